//! The emulator's clock: the machine's time plus a skew that a test may set.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// The emulator's idea of the present. A skew makes the provider's clock differ from the client's.
#[derive(Debug, Default)]
pub(crate) struct EmulatorClock {
    skew_seconds: AtomicI64,
}

impl EmulatorClock {
    /// The present instant as the emulator sees it.
    pub(crate) fn now(&self) -> Timestamp {
        let skew = SignedDuration::from_secs(self.skew_seconds());
        let wall = wall_clock();
        wall.checked_add(skew).unwrap_or(wall)
    }

    /// Seconds by which the emulator is ahead of the machine (negative: behind).
    pub(crate) fn skew_seconds(&self) -> i64 {
        self.skew_seconds.load(Ordering::Relaxed)
    }

    /// Puts the emulator `seconds` ahead of the machine.
    pub(crate) fn set_skew(&self, seconds: i64) {
        self.skew_seconds.store(seconds, Ordering::Relaxed);
    }

    /// Moves the emulator's clock by `seconds`, on top of the present skew.
    pub(crate) fn advance(&self, seconds: i64) {
        self.skew_seconds.fetch_add(seconds, Ordering::Relaxed);
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the stand-in for a remote server has a clock of its own, and this is the one place that reads it"
)]
fn wall_clock() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skew_moves_the_clock() {
        let clock = EmulatorClock::default();
        let before = clock.now();
        clock.set_skew(3600);
        clock.advance(-60);
        let gained = clock.now().duration_since(before).as_secs();
        assert!((3540..3600).contains(&gained), "{gained}");
    }
}
