//! The clocks, and one that tests set.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use agentauth_core::{Clock, ClockReading, MachineClock, SignedDuration, Timestamp};

/// The system's wall clock. A person or a time server may set it back.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

impl MachineClock for SystemClock {
    fn reading(&self) -> ClockReading {
        ClockReading { wall: self.now(), since_boot: since_boot(), awake: awake() }
    }
}

/// The time of day where this machine is: `14:03:59`.
#[must_use]
pub fn time_of_day(at: Timestamp) -> String {
    at.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S").to_string()
}

/// The name of the time zone that this machine is in (`Europe/Berlin`); nothing where that has none.
#[must_use]
pub fn zone_name() -> Option<String> {
    jiff::tz::TimeZone::system().iana_name().map(str::to_owned)
}

/// When the day of `now` ends where this machine is: the first instant of the next one.
#[must_use]
pub fn end_of_day(now: Timestamp) -> Timestamp {
    end_of_day_in(now, jiff::tz::TimeZone::system())
}

/// When the day `YYYY-MM-DD` begins where this machine is; nothing for a text that is no day.
#[must_use]
pub fn start_of_date(text: &str) -> Option<Timestamp> {
    let date = text.parse::<jiff::civil::Date>().ok()?;
    date.to_zoned(jiff::tz::TimeZone::system()).ok().map(|midnight| midnight.timestamp())
}

/// When the day `YYYY-MM-DD` ends where this machine is; nothing for a text that is no day.
#[must_use]
pub fn end_of_date(text: &str) -> Option<Timestamp> {
    end_of_date_in(text, jiff::tz::TimeZone::system())
}

fn end_of_date_in(text: &str, zone: jiff::tz::TimeZone) -> Option<Timestamp> {
    let next = text.parse::<jiff::civil::Date>().ok()?.tomorrow().ok()?;
    next.to_zoned(zone).ok().map(|midnight| midnight.timestamp())
}

fn end_of_day_in(now: Timestamp, zone: jiff::tz::TimeZone) -> Timestamp {
    let next = now.to_zoned(zone).tomorrow().and_then(|tomorrow| tomorrow.start_of_day());
    next.map_or(now, |next| next.timestamp())
}

/// Counts the machine's sleep.
#[cfg(target_os = "linux")]
fn since_boot() -> SignedDuration {
    kernel_clock(rustix::time::ClockId::Boottime)
}

#[cfg(not(target_os = "linux"))]
fn since_boot() -> SignedDuration {
    awake()
}

/// Stands still while the machine sleeps.
#[cfg(unix)]
fn awake() -> SignedDuration {
    kernel_clock(rustix::time::ClockId::Monotonic)
}

#[cfg(unix)]
fn kernel_clock(id: rustix::time::ClockId) -> SignedDuration {
    let time = rustix::time::clock_gettime(id);
    SignedDuration::new(time.tv_sec, i32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(not(unix))]
fn awake() -> SignedDuration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let start = *START.get_or_init(monotonic);
    SignedDuration::try_from(monotonic().duration_since(start)).unwrap_or(SignedDuration::MAX)
}

/// A clock that never runs back: it shows the latest instant that the wall clock has shown, and goes on from there as time
/// passes, the machine's sleep included. So what has ended stays ended when the wall clock is set back, and an end that is
/// ahead comes no later. It follows the wall clock back only when it is told that this one is right.
pub struct SteadyClock {
    machine: Arc<dyn MachineClock>,
    latest: Mutex<Latest>,
}

/// The latest instant that was shown, and the time since the start of the machine then.
#[derive(Clone, Copy)]
struct Latest {
    at: Timestamp,
    since_boot: SignedDuration,
}

impl SteadyClock {
    /// Over the machine's clocks. `last_seen` is what it showed last, before a restart of the program.
    pub fn new(machine: Arc<dyn MachineClock>, last_seen: Option<Timestamp>) -> Self {
        let reading = machine.reading();
        let at = last_seen.map_or(reading.wall, |seen| seen.max(reading.wall));
        Self { machine, latest: Mutex::new(Latest { at, since_boot: reading.since_boot }) }
    }

    /// What the machine's own clocks say.
    pub fn reading(&self) -> ClockReading {
        self.machine.reading()
    }

    /// The wall clock, wherever it was set to.
    pub fn wall(&self) -> Timestamp {
        self.machine.reading().wall
    }

    /// The wall clock is known to be right: goes on from there, even if that is back.
    pub fn trust_wall(&self) {
        let reading = self.machine.reading();
        *self.latest() = Latest { at: reading.wall, since_boot: reading.since_boot };
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        let mut latest = self.latest();
        let reading = self.machine.reading();
        let passed = reading.since_boot.saturating_sub(latest.since_boot).max(SignedDuration::ZERO);
        let counted = latest.at.checked_add(passed).unwrap_or(Timestamp::MAX);
        if reading.wall > counted {
            *latest = Latest { at: reading.wall, since_boot: reading.since_boot };
        }
        reading.wall.max(counted)
    }
}

impl std::fmt::Debug for SteadyClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SteadyClock").field("latest", &self.latest().at).finish_non_exhaustive()
    }
}

/// The system's steady clock, for how long something took; it is never set, and says nothing about dates.
#[allow(clippy::disallowed_methods, reason = "the one place where the steady clock is read")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// Clocks that stand until they are moved: the fake beside [`SystemClock`].
#[derive(Debug)]
pub struct ManualClock {
    shown: Mutex<ClockReading>,
}

impl ManualClock {
    /// A wall clock that shows `now`, on a machine that has just started.
    pub fn new(now: Timestamp) -> ManualClock {
        let zero = SignedDuration::ZERO;
        ManualClock { shown: Mutex::new(ClockReading { wall: now, since_boot: zero, awake: zero }) }
    }

    /// Somebody sets the wall clock, forwards or back; no time passes.
    pub fn set(&self, now: Timestamp) {
        self.shown().wall = now;
    }

    /// Time passes; with a negative `by`, somebody sets the wall clock back instead. Stops at the ends of time.
    pub fn advance(&self, by: SignedDuration) {
        let mut shown = self.shown();
        let end = if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX };
        shown.wall = shown.wall.checked_add(by).unwrap_or(end);
        let passed = by.max(SignedDuration::ZERO);
        shown.since_boot = shown.since_boot.saturating_add(passed);
        shown.awake = shown.awake.saturating_add(passed);
    }

    /// The machine sleeps for so long.
    pub fn sleep(&self, by: SignedDuration) {
        let awake = self.shown().awake;
        self.advance(by);
        self.shown().awake = awake;
    }

    fn shown(&self) -> MutexGuard<'_, ClockReading> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.shown().wall
    }
}

impl MachineClock for ManualClock {
    fn reading(&self) -> ClockReading {
        *self.shown()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_the_midnight_of_its_place() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let zone = |hours| jiff::tz::TimeZone::fixed(jiff::tz::offset(hours));
        assert_eq!(end_of_day_in(at("2026-03-01T23:30:00Z"), zone(0)), at("2026-03-02T00:00:00Z"));
        assert_eq!(end_of_day_in(at("2026-03-01T23:30:00Z"), zone(2)), at("2026-03-02T22:00:00Z"));
        assert_eq!(end_of_day_in(at("2026-03-01T00:00:00Z"), zone(0)), at("2026-03-02T00:00:00Z"));
    }

    #[test]
    fn a_date_ends_with_the_next_one() {
        let zone = |hours| jiff::tz::TimeZone::fixed(jiff::tz::offset(hours));
        let end = |text: &str, hours| end_of_date_in(text, zone(hours)).map(|end| end.to_string());
        assert_eq!(end("2026-12-31", 1).as_deref(), Some("2026-12-31T23:00:00Z"));
        assert_eq!(end("2026-12-31", 0).as_deref(), Some("2027-01-01T00:00:00Z"));
        for bad in ["", "2026-13-01", "tomorrow", "9999-12-31"] {
            assert_eq!(end(bad, 0), None, "{bad}");
        }
    }

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

    #[test]
    fn the_system_counts_time_awake_and_asleep() {
        let (first, second) = (SystemClock.reading(), SystemClock.reading());
        assert!(second.since_boot >= first.since_boot && second.awake >= first.awake);
    }

    #[test]
    fn the_steady_clock_follows_the_wall_clock_forward_and_never_back() {
        let secs = SignedDuration::from_secs;
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let machine = Arc::new(ManualClock::new(start));
        let clock = SteadyClock::new(machine.clone(), None);
        machine.advance(secs(60));
        assert_eq!(clock.now(), start + secs(60));
        machine.set(start - secs(3600));
        assert_eq!(clock.now(), start + secs(60), "set back");
        machine.sleep(secs(30));
        assert_eq!(clock.now(), start + secs(90), "and goes on from there, asleep or not");
        machine.set(start + secs(7200));
        assert_eq!(clock.now(), start + secs(7200), "set forward");
        machine.set(start + secs(90));
        assert_eq!(clock.now(), start + secs(7200), "and back again");
        clock.trust_wall();
        assert_eq!(clock.now(), start + secs(90));
        let restarted = SteadyClock::new(machine, Some(start + secs(7200)));
        assert_eq!(restarted.now(), start + secs(7200), "a restart forgets nothing");
    }
}
