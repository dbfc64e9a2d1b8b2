//! Time as an argument: the types, and the question that the rim answers.

pub use jiff::{SignedDuration, Timestamp};

/// An instant as HTTP writes it (RFC 9110 section 5.6.7); nothing if it is written otherwise. To the second.
pub fn http_date(text: &str) -> Option<Timestamp> {
    let text = text.trim().strip_suffix("GMT")?;
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(format!("{text}+0000")).ok()
}

/// The question "what time is it". The rules take a [`Timestamp`]; tasks that must ask more than once hold a
/// `Clock`. `agentauth-host` answers with the system's clock, tests with one that they set.
pub trait Clock: Send + Sync {
    /// The present instant (UTC).
    fn now(&self) -> Timestamp;
}

/// What the machine's clocks said at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// The wall clock, which a person or a time server may set.
    pub wall: Timestamp,
    /// How long ago the machine started, its sleep included; never set.
    pub since_boot: SignedDuration,
    /// The same without its sleep.
    pub awake: SignedDuration,
}

/// What happened between two readings, beside that time passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jump {
    /// The wall clock was set back.
    Back,
    /// The wall clock was set forward.
    Forward,
    /// The machine slept.
    Slept,
}

/// By how much clocks may disagree about the time between two readings.
const DISAGREEMENT: SignedDuration = SignedDuration::from_secs(10);

impl ClockReading {
    /// What happened since `before`. The wall clock counts more than sleep: what was planned by it means nothing any
    /// more.
    #[must_use]
    pub fn jump_since(&self, before: &Self) -> Option<Jump> {
        let passed = self.since_boot.saturating_sub(before.since_boot);
        let wall = self.wall.duration_since(before.wall).saturating_sub(passed);
        let slept = passed.saturating_sub(self.awake.saturating_sub(before.awake));
        match (wall, slept) {
            (wall, _) if wall < -DISAGREEMENT => Some(Jump::Back),
            (wall, _) if wall > DISAGREEMENT => Some(Jump::Forward),
            (_, slept) if slept > DISAGREEMENT => Some(Jump::Slept),
            _ => None,
        }
    }
}

/// The clocks of a machine. `agentauth-host` answers with the system's, tests with ones that they set.
pub trait MachineClock: Clock {
    /// What they say now.
    fn reading(&self) -> ClockReading;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        let read = |text| http_date(text).map(|at| at.to_string());
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT").as_deref(), Some("1994-11-06T08:49:37Z"));
        for bad in ["", "GMT", "1994-11-06T08:49:37Z", "Sun, 06 Nov 1994 08:49:37 +0100"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
