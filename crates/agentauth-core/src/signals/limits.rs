//! The limits of the configuration.

use crate::time::SignedDuration;
use crate::window::Window;

/// What counts as too much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Whether anything is counted at all.
    pub enabled: bool,
    /// How long a signal is up after the last time that something was beyond its limit.
    pub holds: SignedDuration,
    /// On how many days before today an agent must have been at work before it is held against its own past.
    pub learning_days: u32,
    /// How many times the most of the days before is still usual.
    pub factor: u64,
    /// Questions within a minute.
    pub rate: Bound,
    /// Questions about what changes, deletes, runs, sends or pays, within a minute.
    pub burst: Bound,
    /// Bytes within an hour, as the agent says them.
    pub bytes: Bound,
    /// Items within an hour, as the agent says them.
    pub items: Bound,
    /// Different resources within an hour.
    pub spread: Bound,
    /// Denies within ten minutes.
    pub denies: Bound,
    /// Questions within an hour outside of working hours. A risky one is one too many at once.
    pub off_hours: u64,
    /// When work is done; where there is none, no hour is outside.
    pub working_hours: Vec<Window>,
    /// Whether risky resources that were never asked for before are noticed.
    pub first_seen: bool,
}

/// Limits of one count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Up to here nothing is unusual, whatever the past says.
    pub floor: u64,
    /// More than this is too much, whatever the past says.
    pub most: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            enabled: true,
            holds: SignedDuration::from_mins(15),
            learning_days: 3,
            factor: 3,
            rate: Bound { floor: 240, most: 3000 },
            burst: Bound { floor: 60, most: 600 },
            bytes: Bound { floor: 64 * MIB, most: 2048 * MIB },
            items: Bound { floor: 1000, most: 100_000 },
            spread: Bound { floor: 200, most: 5000 },
            denies: Bound { floor: 30, most: 300 },
            off_hours: 20,
            working_hours: Vec::new(),
            first_seen: true,
        }
    }
}

impl Bound {
    /// From where on it is too much, for an agent whose past is `usual`; `None`: there is not enough of it.
    pub(super) fn bar(self, usual: Option<u64>, factor: u64) -> u64 {
        let own = usual.map_or(u64::MAX, |usual| usual.saturating_mul(factor).max(self.floor));
        own.min(self.most)
    }
}
