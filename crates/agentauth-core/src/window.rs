//! Daily windows in the time of a place: `02:00-03:00 Europe/Berlin`, `mon-fri 22:00-01:30 +01:00`.
//!
//! A window opens at the first instant of the day at which the clocks of the place show its beginning or more, and closes
//! at the first one at which they show its end or more. So where clocks are set forward over all of it, it does not open
//! on that day; where they are set back, an hour that comes twice is open as long as it takes to reach the end for the
//! first time. The day is that of the beginning: a window may end after midnight.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::AmbiguousOffset;
use jiff::{Span, ToSpan as _};
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::zone::{DAYS, Zone, two_digits};

/// The longest text of a window, in bytes.
const LONGEST: usize = 128;

/// How far ahead an opening is looked for, in days: beyond a week, and beyond a day that a change of clocks swallows.
const AHEAD: i64 = 16;

/// A span of time that comes every day, or on some days of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    /// Which days, from Monday on.
    days: [bool; 7],
    from: Time,
    /// Midnight is the end of the day.
    until: Time,
    zone: Zone,
}

/// Why a text is no window. What was given is escaped for display by whoever shows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowFault {
    /// Not the parts of a window.
    #[error("write it like `02:00-03:00 Europe/Berlin` or `mon-fri 22:00-01:30 +01:00`")]
    Form,
    /// No such day of the week.
    #[error(
        "`{0}` is no day of the week: write `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`, or spans of them"
    )]
    Day(String),
    /// No such time of day.
    #[error("`{0}` is no time of day: write it as `HH:MM`, from `00:00` to `24:00`")]
    Time(String),
    /// It never opens.
    #[error("it ends where it begins: for the whole day write `00:00-24:00`")]
    Empty,
    /// Nobody knows where that is.
    #[error(
        "`{0}` is no time zone: write a name such as `Europe/Berlin`, `UTC`, or a fixed offset such as `+01:00`"
    )]
    Zone(String),
}

impl Window {
    /// Where it is.
    #[must_use]
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// When the window that is open at `now` closes; nothing where none is.
    #[must_use]
    pub fn open_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.around(now).find(|(opens, closes)| *opens <= now && now < *closes).map(|(_, closes)| closes)
    }

    /// When it opens next after `now`; nothing where that is too far ahead to tell.
    #[must_use]
    pub fn opens_after(&self, now: Timestamp) -> Option<Timestamp> {
        self.around(now).map(|(opens, _)| opens).find(|opens| *opens > now)
    }

    /// The openings from the day before `now` on, in their order.
    fn around(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let today = self.zone.rules().to_datetime(now).date();
        (-1..AHEAD).filter_map(move |days| {
            let day = today.checked_add(Span::new().try_days(days).ok()?).ok()?;
            self.on(day).filter(|(opens, closes)| opens < closes)
        })
    }

    /// When the window of this day opens and closes; nothing on a day that is none of its days.
    fn on(&self, day: Date) -> Option<(Timestamp, Timestamp)> {
        let weekday = usize::try_from(day.weekday().to_monday_zero_offset()).ok()?;
        let wanted = self.days.get(weekday).is_some_and(|open| *open);
        let last = if self.until > self.from { day } else { day.checked_add(1.day()).ok()? };
        let opens = self.first_showing(day.to_datetime(self.from))?;
        let closes = self.first_showing(last.to_datetime(self.until))?;
        wanted.then_some((opens, closes))
    }

    /// The first instant at which the clocks of the place show this or more.
    fn first_showing(&self, shown: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.rules().to_ambiguous_timestamp(shown);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
                offset.to_timestamp(shown).ok()
            }
            // No clock shows it: the first that shows more does so when they are set forward.
            AmbiguousOffset::Gap { after, .. } => {
                let before_the_change = after.to_timestamp(shown).ok()?;
                self.zone.rules().following(before_the_change).next().map(|change| change.timestamp())
            }
        }
    }
}

impl FromStr for Window {
    type Err = WindowFault;

    fn from_str(text: &str) -> Result<Self, WindowFault> {
        if text.len() > LONGEST {
            return Err(WindowFault::Form);
        }
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let (days, span, place) = match *words.as_slice() {
            [span, place] => ([true; 7], span, place),
            [days, span, place] => (days_in(days)?, span, place),
            _ => return Err(WindowFault::Form),
        };
        let (from, until) = span.split_once('-').ok_or(WindowFault::Form)?;
        let (from, until) = (time_in(from)?, time_in(until)?);
        let whole = (Some(Time::midnight()), None);
        if from.is_none() || (from == until && (from, until) != whole) {
            return Err(WindowFault::Empty);
        }
        let zone = Zone::named(place).ok_or_else(|| WindowFault::Zone(place.to_owned()))?;
        let midnight = Time::midnight();
        Ok(Self { days, from: from.unwrap_or(midnight), until: until.unwrap_or(midnight), zone })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != [true; 7] {
            let named = DAYS.iter().zip(self.days).filter(|(_, open)| *open).map(|(name, _)| *name);
            write!(formatter, "{} ", named.collect::<Vec<_>>().join(","))?;
        }
        let shown = |time: Time| format!("{:02}:{:02}", time.hour(), time.minute());
        let until = if self.until == Time::midnight() { "24:00".to_owned() } else { shown(self.until) };
        write!(formatter, "{}-{until} {}", shown(self.from), self.zone)
    }
}

impl TryFrom<String> for Window {
    type Error = WindowFault;

    fn try_from(text: String) -> Result<Self, WindowFault> {
        text.parse()
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
    }
}

/// Days and spans of days, with commas between them. A span may go over the end of the week.
fn days_in(text: &str) -> Result<[bool; 7], WindowFault> {
    let position = |name: &str| {
        let known = DAYS.iter().position(|known| name.eq_ignore_ascii_case(known));
        known.ok_or_else(|| WindowFault::Day(name.to_owned()))
    };
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (position(first)?, position(last)?);
        for (day, open) in days.iter_mut().enumerate() {
            let within =
                if first <= last { first <= day && day <= last } else { day >= first || day <= last };
            *open |= within;
        }
    }
    Ok(days)
}

/// The time of day; nothing for `24:00`, the end of the day.
fn time_in(text: &str) -> Result<Option<Time>, WindowFault> {
    let fault = || WindowFault::Time(text.to_owned());
    let (hour, minute) = text.split_once(':').ok_or_else(fault)?;
    match two_digits(hour).zip(two_digits(minute)) {
        Some((24, 0)) => Ok(None),
        Some((hour, minute)) => {
            let time = Time::new(hour.cast_signed(), minute.cast_signed(), 0, 0);
            time.map(Some).map_err(|_| fault())
        }
        None => Err(fault()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(text: &str) -> Window {
        text.parse().unwrap_or_else(|fault| panic!("{text}: {fault}"))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn there_is_one_text_for_each_window() {
        for (text, canonical) in [
            ("02:00-03:00 Europe/Berlin", "02:00-03:00 Europe/Berlin"),
            ("  mon-sun   02:00-03:00  europe/berlin ", "02:00-03:00 Europe/Berlin"),
            ("fri-mon 22:00-01:30 +01:00", "mon,fri,sat,sun 22:00-01:30 +01:00"),
            ("wed,MON,wed 00:00-24:00 UTC", "mon,wed 00:00-24:00 UTC"),
            ("23:00-00:00 -03:30", "23:00-24:00 -03:30"),
        ] {
            assert_eq!(window(text).to_string(), canonical);
            let json = serde_json::to_value(window(text)).unwrap();
            assert_eq!(
                (json.as_str(), serde_json::from_value(json.clone()).ok()),
                (Some(canonical), Some(window(canonical)))
            );
        }
    }

    #[test]
    fn what_is_no_window_is_said() {
        for text in ["", "02:00-03:00", "02:00 Europe/Berlin", "a b c d", &"x".repeat(200)] {
            assert_eq!(text.parse::<Window>(), Err(WindowFault::Form), "{text}");
        }
        for text in ["funday 02:00-03:00 UTC", "mon- 02:00-03:00 UTC", ", 02:00-03:00 UTC"] {
            assert!(matches!(text.parse::<Window>(), Err(WindowFault::Day(_))), "{text}");
        }
        for text in
            ["2:00-03:00 UTC", "02:00-24:01 UTC", "02:60-03:00 UTC", "+2:00-03:00 UTC", "02:00:00-03:00 UTC"]
        {
            assert!(matches!(text.parse::<Window>(), Err(WindowFault::Time(_))), "{text}");
        }
        for text in ["02:00-02:00 UTC", "24:00-02:00 UTC", "00:00-00:00 UTC", "24:00-24:00 UTC"] {
            assert_eq!(text.parse::<Window>(), Err(WindowFault::Empty), "{text}");
        }
        for place in
            ["Berlin", "../../etc/passwd", "+1", "+15:00", "+01:60", "+0100", "/etc/localtime", "local"]
        {
            let text = format!("02:00-03:00 {place}");
            assert!(matches!(text.parse::<Window>(), Err(WindowFault::Zone(_))), "{text}");
        }
    }

    #[test]
    fn a_window_follows_the_clocks_of_its_place() {
        let nightly = window("02:00-03:00 Europe/Berlin");
        for (now, closes, opens) in [
            ("2026-01-10T00:59:59Z", None, "2026-01-10T01:00:00Z"),
            ("2026-01-10T01:00:00Z", Some("2026-01-10T02:00:00Z"), "2026-01-11T01:00:00Z"),
            ("2026-01-10T01:59:59Z", Some("2026-01-10T02:00:00Z"), "2026-01-11T01:00:00Z"),
            ("2026-01-10T02:00:00Z", None, "2026-01-11T01:00:00Z"),
            ("2026-07-10T00:30:00Z", Some("2026-07-10T01:00:00Z"), "2026-07-11T00:00:00Z"),
        ] {
            assert_eq!(nightly.open_until(at(now)), closes.map(at), "{now}");
            assert_eq!(nightly.opens_after(at(now)), Some(at(opens)), "{now}");
        }
    }

    #[test]
    fn clocks_set_forward_swallow_what_they_leap_over() {
        // In Berlin, 02:00 to 03:00 is missing on 2026-03-29.
        let night = at("2026-03-28T12:00:00Z");
        assert_eq!(window("02:00-03:00 Europe/Berlin").opens_after(night), Some(at("2026-03-30T00:00:00Z")));
        for (text, opens, closes) in [
            ("01:30-02:30 Europe/Berlin", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"),
            ("02:30-04:00 Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"),
            ("01:00-05:00 Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z"),
        ] {
            let window = window(text);
            assert_eq!(window.opens_after(night), Some(at(opens)), "{text}");
            assert_eq!(window.open_until(at(opens)), Some(at(closes)), "{text}");
        }
    }

    #[test]
    fn clocks_set_back_open_an_hour_that_comes_twice_until_its_end_is_first_reached() {
        // In Berlin, 02:00 to 03:00 comes twice on 2026-10-25.
        for (text, opens, closes) in [
            ("02:00-03:00 Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"),
            ("02:15-02:45 Europe/Berlin", "2026-10-25T00:15:00Z", "2026-10-25T00:45:00Z"),
            ("02:30-03:30 Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T02:30:00Z"),
        ] {
            let window = window(text);
            assert_eq!(window.opens_after(at("2026-10-24T12:00:00Z")), Some(at(opens)), "{text}");
            assert_eq!(window.open_until(at(opens)), Some(at(closes)), "{text}");
            assert_eq!(window.open_until(at(closes)), None, "{text}");
        }
    }

    #[test]
    fn the_day_is_that_of_the_beginning() {
        // 2026-01-09 is a Friday.
        let late = window("fri 22:00-01:30 +01:00");
        assert_eq!(late.opens_after(at("2026-01-05T00:00:00Z")), Some(at("2026-01-09T21:00:00Z")));
        assert_eq!(late.open_until(at("2026-01-10T00:29:59Z")), Some(at("2026-01-10T00:30:00Z")));
        assert_eq!(late.open_until(at("2026-01-09T00:00:00Z")), None);
        let days = window("sat,sun 00:00-24:00 UTC");
        assert_eq!(days.open_until(at("2026-01-10T23:59:59Z")), Some(at("2026-01-11T00:00:00Z")));
        assert_eq!(days.open_until(at("2026-01-12T00:00:00Z")), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_a_window_or_a_fault(text in "\\PC{0,40}") {
            if let Ok(window) = text.parse::<Window>() {
                prop_assert_eq!(&window.to_string().parse::<Window>().unwrap(), &window);
            }
        }

        /// Held against what the clocks of the place show: a window is open only while they show a time inside it.
        #[test]
        fn it_is_open_only_while_the_clocks_show_it(
            zone in proptest::sample::select(vec!["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca", "UTC", "+05:45"]),
            from in 0..1440_i32, long in 1..1440_i32, day in 0..7_usize, every in any::<bool>(),
            second in 1_767_225_600_i64..1_830_297_600,
        ) {
            let until = (from + long) % 1440;
            let shown = |minutes: i32| format!("{:02}:{:02}", minutes / 60, minutes % 60);
            let days = if every { String::new() } else { format!("{} ", DAYS[day]) };
            let window = window(&format!("{days}{}-{} {zone}", shown(from), shown(until)));
            let now = Timestamp::from_second(second).unwrap();
            let there = window.zone.rules().to_datetime(now);
            let minute = i32::from(there.hour()) * 60 + i32::from(there.minute());
            // An end that is reached for the first time closes it, and the clocks may be set back behind that.
            if let Some(closes) = window.open_until(now) {
                prop_assert!(now < closes);
                let within = if from < until { from <= minute && minute < until } else { minute >= from || minute < until };
                let set_back = window.zone.rules().preceding(now).next().is_some_and(|change| now.duration_since(change.timestamp()).as_secs() < 3 * 3600);
                prop_assert!(within || set_back, "{window} at {there}");
                prop_assert_eq!(window.open_until(closes), None);
            }
            let opens = window.opens_after(now).unwrap();
            prop_assert!(opens > now);
            prop_assert!(window.open_until(opens).is_some());
        }
    }
}
