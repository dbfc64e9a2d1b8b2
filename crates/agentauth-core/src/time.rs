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
