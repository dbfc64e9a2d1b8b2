//! What the configuration demands of a session beyond what the provider says: how old a login may become, and how often
//! the provider has to confirm it.

use jiff::{SignedDuration, Timestamp};

use super::refresh::{fraction, later, unit};

/// How long a confirmation may be late. It covers one wait for another process's refresh and one request that times out,
/// 30 s each: an end of the session at the provider is noticed within `revalidate_every` and this, or nothing is allowed.
pub const CONFIRM_GRACE: SignedDuration = SignedDuration::from_secs(60);

/// How far from the clock a token that was issued just now may say that it was issued.
const FRESHLY_ISSUED: SignedDuration = SignedDuration::from_mins(5);

/// How far ahead of the clock a login may lie before its age is not known any more.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// What the configuration demands of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionLimits {
    /// How long after the person logged in a login ends, whatever the provider says.
    pub max_age: Option<SignedDuration>,
    /// How often the provider has to confirm the session.
    pub revalidate_every: Option<SignedDuration>,
}

impl SessionLimits {
    /// When a login of `logged_in_at` ends.
    pub fn ends_at(&self, logged_in_at: Timestamp) -> Option<Timestamp> {
        self.max_age.map(|age| later(logged_in_at, age))
    }

    /// Whether a login of `logged_in_at` has ended by `now`. One that lies in the future has an unknown age, so it has.
    pub fn is_too_old(&self, logged_in_at: Timestamp, now: Timestamp) -> bool {
        let ahead = logged_in_at.duration_since(now) > AHEAD;
        self.ends_at(logged_in_at).is_some_and(|end| now >= end || ahead)
    }

    /// Until when a session that the provider confirmed at `confirmed_at` counts without being confirmed again.
    pub fn confirm_by(&self, confirmed_at: Timestamp) -> Option<Timestamp> {
        self.revalidate_every.map(|every| later(later(confirmed_at, every), CONFIRM_GRACE))
    }
}

/// When to ask the provider for the next confirmation: after 90 to 100 % of the time that the configuration allows
/// (`jitter`, 0 to 1, moves it earlier, so that many machines do not ask in step).
pub fn next_confirmation(limits: &SessionLimits, confirmed_at: Timestamp, jitter: f64) -> Option<Timestamp> {
    limits.revalidate_every.map(|every| later(confirmed_at, fraction(every, 1.0 - 0.1 * unit(jitter))))
}

/// Whether a token that the provider issued just now shows that the clock is right: it says when it was issued, and the
/// clock says the same to within five minutes. Only then may what is known of the time be taken back.
pub fn vouches_for(issued_at: Option<Timestamp>, clock: Timestamp) -> bool {
    issued_at.is_some_and(|issued| issued.duration_since(clock).abs() <= FRESHLY_ISSUED)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::session::tests::at;

    fn limits(max_age: i64, every: i64) -> SessionLimits {
        SessionLimits {
            max_age: Some(SignedDuration::from_secs(max_age)),
            revalidate_every: Some(SignedDuration::from_secs(every)),
        }
    }

    #[test]
    fn without_limits_there_is_no_end() {
        let none = SessionLimits::default();
        assert_eq!((none.ends_at(at(1)), none.confirm_by(at(1))), (None, None));
        assert!(!none.is_too_old(at(0), at(i64::from(i32::MAX))));
        assert_eq!(next_confirmation(&none, at(0), 0.5), None);
    }

    #[test]
    fn a_login_from_the_future_has_no_age() {
        let limits = limits(3600, 60);
        assert!(!limits.is_too_old(at(1000), at(1000)));
        assert!(!limits.is_too_old(at(1000), at(4599)));
        assert!(limits.is_too_old(at(1000), at(4600)));
        assert!(!limits.is_too_old(at(1000), at(700)), "clocks differ a little");
        assert!(limits.is_too_old(at(1000), at(699)));
    }

    #[test]
    fn confirmations_are_asked_for_early_and_waited_for_a_while() {
        let limits = limits(3600, 100);
        assert_eq!(next_confirmation(&limits, at(1000), 0.0), Some(at(1100)));
        assert_eq!(next_confirmation(&limits, at(1000), 1.0), Some(at(1090)));
        assert_eq!(limits.confirm_by(at(1000)), Some(at(1160)));
    }

    #[test]
    fn only_a_token_of_just_now_vouches_for_the_clock() {
        assert!(!vouches_for(None, at(1000)));
        for (issued, vouches) in [(1000, true), (700, true), (1300, true), (699, false), (1301, false)] {
            assert_eq!(vouches_for(Some(at(issued)), at(1000)), vouches, "{issued}");
        }
    }

    proptest! {
        #[test]
        fn no_refresh_moves_the_end_of_a_login(
            login in 0..4_000_000_000_i64, age in 3600..31_536_000_i64, confirmed in 0..4_000_000_000_i64,
            lifetime in 1..10_000_000_i64, now in 0..5_000_000_000_i64,
        ) {
            let mut session = crate::session::tests::session(600);
            session.limits = limits(age, 300);
            session.logged_in_at = at(login);
            session.confirmed_at = at(confirmed);
            session.claims.expires_at = at(confirmed + lifetime);
            let usable = crate::session::SessionState::Active(std::sync::Arc::new(session)).usable_at(at(now)).is_ok();
            prop_assert!(!usable || now < login + age);
            prop_assert!(!usable || now < confirmed + 300 + CONFIRM_GRACE.as_secs());
            prop_assert!(!usable || now < confirmed + lifetime);
        }

        #[test]
        fn a_confirmation_is_due_before_it_is_missed(every in 10..86_400_i64, jitter in any::<f64>()) {
            let limits = limits(3600, every);
            let due = next_confirmation(&limits, at(0), jitter).unwrap();
            prop_assert!(due >= at(every * 9 / 10) && due <= at(every));
            prop_assert!(limits.confirm_by(at(0)).unwrap() >= at(every) + CONFIRM_GRACE);
        }
    }
}
