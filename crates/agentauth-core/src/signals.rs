//! Signals: an agent does what it does not usually do, or more than it may at all.
//!
//! Everything that an agent asks for is counted as it asks. A count is held against a limit of the configuration, and
//! against the agent's own past: the most of the same that it did on the days before, times a factor, but never less than
//! a floor, so that a quiet agent is not noticed for three calls. What goes beyond that raises a signal, which is up for a
//! while and which policies can read. Whatever was beyond is not learned as usual.
//!
//! All of it is of a fixed size for each agent, counted in whole numbers, and follows from what was asked and when.

mod counters;
mod days;
mod known;
mod limits;
mod ring;
mod spread;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

pub use counters::{Act, Counters, Noted, Told};
pub use limits::{Bound, Limits};

/// What was noticed. The words are stable: policies read them, and they stand in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// It asks more often than it does.
    Rate,
    /// It moves more bytes or items than it does, by its own word.
    Volume,
    /// It asks for more different resources than it does.
    Spread,
    /// It is at work outside of working hours.
    OffHours,
    /// It is denied more often than it is.
    Denies,
    /// It asks for something risky that it never did before, and that nobody allowed by name.
    FirstSeen,
    /// It changes, deletes, runs or sends more within a minute than it does.
    Burst,
}

/// Some of the signals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Signals(u8);

impl Signal {
    /// Every signal.
    pub const ALL: [Self; 7] =
        [Self::Rate, Self::Volume, Self::Spread, Self::OffHours, Self::Denies, Self::FirstSeen, Self::Burst];

    /// The word in policies, on the wire and in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Volume => "volume",
            Self::Spread => "spread",
            Self::OffHours => "off_hours",
            Self::Denies => "denies",
            Self::FirstSeen => "first_seen",
            Self::Burst => "burst",
        }
    }

    /// What it says of the agent, for a person.
    #[must_use]
    pub fn says(self) -> &'static str {
        match self {
            Self::Rate => "asks more often than it usually does",
            Self::Volume => "moves more than it usually does",
            Self::Spread => "asks for more different things than it usually does",
            Self::OffHours => "is at work outside of working hours",
            Self::Denies => "is denied more often than it usually is",
            Self::FirstSeen => "asks for something risky that it never did before",
            Self::Burst => "changes more at once than it usually does",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Signals {
    /// None.
    pub const NONE: Self = Self(0);

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn contains(self, signal: Signal) -> bool {
        self.0 & signal.bit() != 0
    }

    /// These and this one.
    #[must_use]
    pub fn with(self, signal: Signal) -> Self {
        Self(self.0 | signal.bit())
    }

    /// These but this one.
    #[must_use]
    pub fn without(self, signal: Signal) -> Self {
        Self(self.0 & !signal.bit())
    }

    /// These and those.
    #[must_use]
    pub fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        Signal::ALL.into_iter().filter(move |signal| self.contains(*signal))
    }
}

impl FromIterator<Signal> for Signals {
    fn from_iter<I: IntoIterator<Item = Signal>>(signals: I) -> Self {
        signals.into_iter().fold(Self::NONE, Self::with)
    }
}

impl<'de> Deserialize<'de> for Signals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Signal>::deserialize(deserializer).map(Self::from_iter)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
