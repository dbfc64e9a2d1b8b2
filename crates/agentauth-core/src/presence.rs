//! Recertification: what a person allowed for long counts only as long as the person is there to see to it.
//!
//! Seen is who signed in at the provider or confirmed something with a passkey: that takes the person. A session that is
//! refreshed does not, and an answer at a terminal or on the page could be given by a program of the same user.

use crate::time::{SignedDuration, Timestamp};

/// When the person was seen last, and for how long that is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// When the person signed in last, as the provider says it, or used a passkey. `None`: nobody knows.
    pub seen: Option<Timestamp>,
    /// After this long an absence nothing counts that was allowed for long.
    pub recertify_after: SignedDuration,
}

/// The absence that is borne unless the configuration says otherwise.
pub const RECERTIFY_AFTER: SignedDuration = SignedDuration::from_hours(30 * 24);

impl Default for Presence {
    fn default() -> Self {
        Self { seen: None, recertify_after: RECERTIFY_AFTER }
    }
}

impl Presence {
    /// What stands holds until this instant; nothing does where the person was never seen.
    #[must_use]
    pub fn stands_until(&self) -> Timestamp {
        let until = |seen: Timestamp| seen.checked_add(self.recertify_after).unwrap_or(Timestamp::MAX);
        self.seen.map_or(Timestamp::MIN, until)
    }

    /// Whether what stands holds at `now`.
    #[must_use]
    pub fn is_enough(&self, now: Timestamp) -> bool {
        now < self.stands_until()
    }

    /// The absence that is borne, in words.
    #[must_use]
    pub fn patience(&self) -> String {
        let hours = self.recertify_after.as_hours();
        match hours {
            48.. if hours % 24 == 0 => format!("{} days", hours / 24),
            1 => "an hour".to_owned(),
            0 => format!("{} seconds", self.recertify_after.as_secs()),
            _ => format!("{hours} hours"),
        }
    }

    /// The same after the person was seen at `at`, by a clock that may run ahead of ours. Whether that is news.
    pub fn note(&mut self, at: Timestamp, now: Timestamp) -> bool {
        let at = at.min(now);
        let news = self.seen.is_none_or(|seen| seen < at);
        if news {
            self.seen = Some(at);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_absence_ends_what_stands_and_only_being_seen_brings_it_back() {
        let mut presence = Presence { seen: None, recertify_after: SignedDuration::from_secs(100) };
        assert!(!presence.is_enough(at(0)), "never seen");
        assert!(presence.note(at(10), at(10)));
        assert!(presence.is_enough(at(109)) && !presence.is_enough(at(110)));
        assert!(!presence.note(at(5), at(120)), "an older sign-in is no news");
        assert!(!presence.is_enough(at(120)));
        assert!(presence.note(at(500), at(120)), "a clock that runs ahead buys no time");
        assert_eq!(presence.seen, Some(at(120)));
        assert_eq!(presence.patience(), "100 seconds");
        assert_eq!(Presence::default().patience(), "30 days");
        presence.recertify_after = SignedDuration::MAX;
        assert!(presence.is_enough(Timestamp::MAX - SignedDuration::from_secs(1)));
    }
}
