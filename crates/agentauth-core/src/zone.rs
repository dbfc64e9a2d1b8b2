//! Time zones: where a place is in the day.
//!
//! The rules of time zones are compiled in, so that the same name means the same on every machine, and nobody moves a rule
//! by a variable or a file.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::time::Timestamp;

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The days of the week, as people write them; Monday is the first.
pub(crate) const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The number of a text of two digits, as hours and minutes are written.
pub(crate) fn two_digits(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some((tens - b'0') * 10 + (ones - b'0')),
        _ => None,
    }
}

/// A time zone. By itself UTC.
#[derive(Debug, Clone)]
pub struct Zone {
    /// The one way in which it is written.
    name: String,
    rules: TimeZone,
}

/// What the clocks of a place show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeOfDay {
    /// How many minutes the clocks are past midnight: 0 to 1439.
    pub minute: i64,
    /// The day of the week: Monday is 1, Sunday 7.
    pub weekday: i64,
}

impl Zone {
    /// The zone of this name (`Europe/Berlin`, `UTC`), or of this offset (`+01:00`); nothing where nobody knows it.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        let Some(sign) = text.chars().next().filter(|first| matches!(first, '+' | '-')) else {
            let rules = ZONES.get(text).ok()?;
            let name = rules.iana_name()?.to_owned();
            return Some(Self { name, rules });
        };
        let (hours, minutes) = text.get(1..)?.split_once(':')?;
        let (hours, minutes) = two_digits(hours).zip(two_digits(minutes))?;
        if hours > 14 || minutes > 59 {
            return None;
        }
        let seconds = (i32::from(hours) * 60 + i32::from(minutes)) * 60 * if sign == '-' { -1 } else { 1 };
        let offset = jiff::tz::Offset::from_seconds(seconds).ok()?;
        Some(Self { name: format!("{sign}{hours:02}:{minutes:02}"), rules: TimeZone::fixed(offset) })
    }

    /// Its name, as [`Zone::named`] takes it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the clocks there show.
    #[must_use]
    pub fn time_of_day(&self, at: Timestamp) -> TimeOfDay {
        let shown = self.rules.to_datetime(at);
        TimeOfDay {
            minute: i64::from(shown.hour()) * 60 + i64::from(shown.minute()),
            weekday: shown.weekday().to_monday_one_offset().into(),
        }
    }

    /// Its rules.
    pub(crate) fn rules(&self) -> &TimeZone {
        &self.rules
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self { name: "UTC".to_owned(), rules: TimeZone::UTC }
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_of_a_place_tell_minute_and_day() {
        for (zone, at, minute, weekday) in [
            ("UTC", "2026-03-01T00:00:59Z", 0, 7),
            ("UTC", "2026-03-02T23:59:59Z", 1439, 1),
            // Winter and summer, and the day before.
            ("Europe/Berlin", "2026-01-10T07:00:00Z", 480, 6),
            ("Europe/Berlin", "2026-07-10T06:00:00Z", 480, 5),
            ("America/New_York", "2026-03-02T04:59:00Z", 1439, 7),
            ("+05:30", "2026-03-01T20:00:00Z", 90, 1),
            ("-03:00", "2026-03-01T02:00:00Z", 1380, 6),
        ] {
            let found = Zone::named(zone).unwrap().time_of_day(at.parse().unwrap());
            assert_eq!(found, TimeOfDay { minute, weekday }, "{zone} at {at}");
        }
    }

    #[test]
    fn a_zone_is_what_its_name_says() {
        for name in ["UTC", "Europe/Berlin", "+01:00"] {
            let zone = Zone::named(name).unwrap();
            assert_eq!((zone.name(), Zone::named(zone.name()).as_ref()), (name, Some(&zone)));
        }
        assert_eq!(Zone::default(), Zone::named("UTC").unwrap());
        assert_eq!(Zone::named("europe/berlin").unwrap().name(), "Europe/Berlin");
        for none in ["", "Berlin", "+1", "+15:00", "+01:60", "/etc/localtime", "local"] {
            assert_eq!(Zone::named(none), None, "{none}");
        }
    }
}
