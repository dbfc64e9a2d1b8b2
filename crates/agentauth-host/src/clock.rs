//! The clocks, and one that tests set.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use agentauth_core::{Clock, SignedDuration, Timestamp};

/// The system's wall clock. A person or a time server may set it back.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// The system's steady clock, for how long something took; it is never set, and says nothing about dates.
#[allow(clippy::disallowed_methods, reason = "the one place where the steady clock is read")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// A clock that stands until it is set: the fake beside [`SystemClock`].
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<Timestamp>,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> ManualClock {
        ManualClock { now: Mutex::new(now) }
    }

    /// Sets it, forwards or back.
    pub fn set(&self, now: Timestamp) {
        *self.shown() = now;
    }

    /// Moves it by `by`, which may be negative; stops at the ends of time.
    pub fn advance(&self, by: SignedDuration) {
        let mut shown = self.shown();
        let end = if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
        *shown = shown.checked_add(by).unwrap_or(end);
    }

    fn shown(&self) -> MutexGuard<'_, Timestamp> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.shown()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_is_in_this_century_and_goes_on() {
        let first = SystemClock.now();
        assert!(first > "2024-01-01T00:00:00Z".parse().unwrap());
        assert!(SystemClock.now() >= first);
        assert!(monotonic() <= monotonic());
    }

    #[test]
    fn the_manual_clock_stands_until_it_is_moved() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = ManualClock::new(start);
        assert_eq!(clock.now(), start);
        clock.advance(SignedDuration::from_secs(90));
        assert_eq!(clock.now().to_string(), "2026-01-01T00:01:30Z");
        clock.advance(SignedDuration::from_secs(-90));
        assert_eq!(clock.now(), start);
        clock.set(Timestamp::UNIX_EPOCH);
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
        clock.advance(SignedDuration::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
    }
}
