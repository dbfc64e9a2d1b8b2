//! `--since` and `--until`.

use agentauth_core::{SignedDuration, Timestamp};

/// A moment, as the command line says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// This one.
    At(Timestamp),
    /// So long ago.
    Ago(SignedDuration),
}

impl Moment {
    /// When that is.
    pub(super) fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Moment::At(at) => at,
            Moment::Ago(ago) => now.checked_sub(ago).unwrap_or(Timestamp::MIN),
        }
    }
}

/// The beginning of a period.
pub(super) fn since(text: &str) -> Result<Moment, String> {
    moment(text, agentauth_host::clock::start_of_date)
}

/// The end of a period: a date counts to its end.
pub(super) fn until(text: &str) -> Result<Moment, String> {
    moment(text, agentauth_host::clock::end_of_date)
}

fn moment(text: &str, of_date: impl Fn(&str) -> Option<Timestamp>) -> Result<Moment, String> {
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<u16>().ok()) {
        return Ok(Moment::Ago(SignedDuration::from_hours(24 * i64::from(days))));
    }
    // A time first: it would pass for its date.
    if let Some(at) = text.parse().ok().or_else(|| of_date(text)) {
        return Ok(Moment::At(at));
    }
    match text.parse::<SignedDuration>() {
        Ok(ago) if !ago.is_negative() => Ok(Moment::Ago(ago)),
        _ => Err("write how long ago, such as `7d` or `12h`, a time such as `2027-01-31T06:00:00Z`, or a date such as \
                  `2027-01-31`"
            .to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_length_a_time_or_a_date() {
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
        let at = |text| since(text).unwrap().resolve(now).to_string();
        assert_eq!(at("7d"), "2026-03-03T12:00:00Z");
        assert_eq!(at("90m"), "2026-03-10T10:30:00Z");
        assert_eq!(at("2026-03-01T01:02:03+01:00"), "2026-03-01T00:02:03Z");
        let (start, end) = (since("2026-03-01").unwrap(), until("2026-03-01").unwrap());
        let day = end.resolve(now).duration_since(start.resolve(now));
        assert!(day >= SignedDuration::from_hours(22) && day <= SignedDuration::from_hours(26), "{day}");
        for bad in ["", "d", "soon", "2026-13-01", "-1h", "-1d"] {
            assert!(since(bad).is_err(), "{bad}");
        }
        assert_eq!(Moment::Ago(SignedDuration::MAX).resolve(now), Timestamp::MIN);
    }
}
