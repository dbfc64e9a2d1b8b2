//! The login as a state: who is logged in, how sure of it we are at a given instant, and when and how the session is
//! kept alive.
//!
//! Architecture invariant: no token is in here. The state says what a verified token said; the tokens themselves stay
//! with the parts that keep and send them.

mod limits;
mod polling;
mod refresh;

pub use limits::{CONFIRM_GRACE, SessionLimits, next_confirmation, vouches_for};
pub use polling::{DEFAULT_POLL_INTERVAL, LONGEST_POLL_BACKOFF, PollAnswer, PollEnd, Polling, SLOW_DOWN};
pub use refresh::{
    AfterFailure, Due, LATEST_BEFORE_EXPIRY, LONGEST_INTERVAL, RefreshAnswer, RefreshFailure, RefreshHistory,
    after_failure, after_unconfirmed, next_refresh, refresh_due,
};

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::claims::{EffectiveRights, SessionClaims};

/// How far a clock may run back before what was confirmed "later" is no longer believed.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(5);

/// The person behind a session, as the provider names them. Texts are the provider's: escape them for display.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct User {
    /// The provider's identifier, the one that is pinned.
    pub subject: String,
    /// Display name.
    pub name: Option<String>,
    /// Mail address; none that the provider says nobody verified, since policies read it.
    pub email: Option<String>,
}

impl User {
    /// The most telling name there is: mail address, name, identifier.
    pub fn label(&self) -> &str {
        let present = |text: &'_ Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        match self {
            Self { email: Some(email), .. } if present(&self.email) => email,
            Self { name: Some(name), .. } if present(&self.name) => name,
            Self { subject, .. } => subject,
        }
    }
}

/// Where the login stands.
#[derive(Clone, Debug)]
pub enum SessionState {
    /// There is no refresh token.
    LoggedOut,
    /// There is a refresh token, and no session token that was verified since the start.
    Unverified {
        /// Who is thought to be logged in.
        user: Option<User>,
        /// Since when it is so.
        since: Timestamp,
        /// What stands in the way, for `status`.
        why: String,
    },
    /// A verified session.
    Active(Arc<Session>),
    /// The provider has ended the session, or it cannot be continued.
    Over {
        /// Who was logged in.
        user: Option<User>,
        /// How it ended.
        why: OverReason,
        /// When we learned it.
        at: Timestamp,
    },
}

/// A verified session.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The person.
    pub user: User,
    /// What the session token says.
    pub claims: SessionClaims,
    /// What that means where the profile acts.
    pub rights: EffectiveRights,
    /// The key that verified the token.
    pub key_id: String,
    /// When the provider last answered for this session.
    pub confirmed_at: Timestamp,
    /// When the person logged in.
    pub logged_in_at: Timestamp,
    /// What the configuration demands beyond what the provider says.
    pub limits: SessionLimits,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OverReason {
    /// The provider says that it was logged out or revoked.
    Revoked,
    /// The provider does not accept the refresh token any more.
    Expired,
    /// An answer got lost on its way, and the provider has probably rotated the login meanwhile.
    AnswerLost,
    /// The login is as old as the configuration lets one become (`session.max_age`), whatever the provider says.
    MaxAge,
}

impl OverReason {
    /// A stable code for records.
    pub fn code(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::AnswerLost => "answer_lost",
            Self::MaxAge => "max_age",
        }
    }

    /// What happened and what to do, for a person.
    pub fn message(self) -> &'static str {
        match self {
            Self::Revoked => "the provider has ended this session; log in again",
            Self::Expired => "the session has expired, or was ended at the provider; log in again",
            Self::AnswerLost => {
                "the provider may have rotated the login while its answer got lost; log in again"
            }
            Self::MaxAge => {
                "the login has reached the age that the configuration allows (`session.max_age`); log in again"
            }
        }
    }
}

/// Why a state gives no session to decide with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionFault {
    /// Nobody is logged in.
    NotLoggedIn,
    /// The session is over, or its token has expired and cannot be renewed.
    Expired(Expiry),
    /// There is a login that may well be good, but nothing verified to show for it now.
    Unverified,
    /// The provider has ended the session.
    Revoked,
}

/// What an expired session expired by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// The provider's own limits.
    Provider,
    /// An answer that got lost.
    AnswerLost,
    /// The age that the configuration allows.
    MaxAge,
}

impl SessionFault {
    /// The decision's reason.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotLoggedIn => "not_logged_in",
            Self::Expired(_) => "session_expired",
            Self::Unverified => "session_unverified",
            Self::Revoked => "session_revoked",
        }
    }

    /// The decision's remedy: `login`, or `wait` where the daemon is already seeing to it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Unverified => "wait",
            Self::NotLoggedIn | Self::Expired(_) | Self::Revoked => "login",
        }
    }

    /// What is wrong and what to do, for a person.
    pub fn message(self) -> &'static str {
        match self {
            Self::NotLoggedIn => "nobody is logged in; run `agentauthd login`",
            Self::Expired(Expiry::Provider) => {
                "the session has expired, or was ended at the provider; run `agentauthd login`"
            }
            Self::Expired(Expiry::AnswerLost) => {
                "the provider may have rotated the login while its answer got lost; run `agentauthd login`"
            }
            Self::Expired(Expiry::MaxAge) => {
                "the login has reached the age that the configuration allows (`session.max_age`); run `agentauthd login`"
            }
            Self::Unverified => "the provider has not confirmed the session yet; this is retried on its own",
            Self::Revoked => "the provider has ended this session; run `agentauthd login`",
        }
    }
}

impl Session {
    /// Whether the token still counts at `now`: before [`Session::usable_until`], without any leeway in our favour, and
    /// not before the instant at which the provider confirmed it (a clock that ran back makes old tokens look young).
    pub fn is_usable(&self, now: Timestamp) -> bool {
        now < self.usable_until() && self.confirmed_at.duration_since(now) <= CLOCK_TOLERANCE
    }

    /// The first instant at which the session counts no longer, as far as is known now: the token's `exp`, the age
    /// that the configuration allows, or a confirmation by the provider that did not come.
    pub fn usable_until(&self) -> Timestamp {
        let ends = [self.limits.ends_at(self.logged_in_at), self.limits.confirm_by(self.confirmed_at)];
        ends.into_iter().flatten().fold(self.claims.expires_at, Timestamp::min)
    }

    /// When the login itself ends: by the provider's word or by the configuration's, whichever is first.
    pub fn login_ends_at(&self) -> Option<Timestamp> {
        [self.claims.refresh_expires_at, self.limits.ends_at(self.logged_in_at)].into_iter().flatten().min()
    }

    fn is_too_old(&self, now: Timestamp) -> bool {
        self.limits.is_too_old(self.logged_in_at, now)
    }

    /// Whether the refresh token behind this session is known to have ended.
    fn is_beyond_refresh(&self, now: Timestamp) -> bool {
        self.claims.refresh_expires_at.is_some_and(|end| now >= end)
    }
}

impl SessionState {
    /// The session to decide with at `now`.
    ///
    /// # Errors
    /// Why there is none; an expired token whose login can still be renewed is `Unverified`, since a renewal is due
    /// and waiting is the remedy.
    pub fn usable_at(&self, now: Timestamp) -> Result<&Arc<Session>, SessionFault> {
        match self {
            Self::LoggedOut => Err(SessionFault::NotLoggedIn),
            Self::Unverified { .. } => Err(SessionFault::Unverified),
            Self::Active(session) if session.is_too_old(now) => Err(SessionFault::Expired(Expiry::MaxAge)),
            Self::Active(session) if session.is_usable(now) => Ok(session),
            Self::Active(session) if session.is_beyond_refresh(now) => {
                Err(SessionFault::Expired(Expiry::Provider))
            }
            Self::Active(_) => Err(SessionFault::Unverified),
            Self::Over { why: OverReason::Revoked, .. } => Err(SessionFault::Revoked),
            Self::Over { why: OverReason::Expired, .. } => Err(SessionFault::Expired(Expiry::Provider)),
            Self::Over { why: OverReason::AnswerLost, .. } => Err(SessionFault::Expired(Expiry::AnswerLost)),
            Self::Over { why: OverReason::MaxAge, .. } => Err(SessionFault::Expired(Expiry::MaxAge)),
        }
    }

    /// The state's word on the wire at `now`: `active`, or the reason why it is not.
    pub fn word(&self, now: Timestamp) -> &'static str {
        match self.usable_at(now) {
            Ok(_) => "active",
            Err(fault) => fault.reason(),
        }
    }

    /// Who is, or was, logged in.
    pub fn user(&self) -> Option<&User> {
        match self {
            Self::LoggedOut => None,
            Self::Unverified { user, .. } | Self::Over { user, .. } => user.as_ref(),
            Self::Active(session) => Some(&session.user),
        }
    }

    /// One sentence for a person: what is so, why, and what to do. The user's name and the reason may contain the
    /// provider's words: escape for display.
    pub fn describe(&self, now: Timestamp) -> String {
        let who = self.user().map_or("somebody", User::label);
        match (self, self.usable_at(now)) {
            (Self::Active(session), Ok(_)) => {
                let left = session.usable_until().duration_since(now);
                format!("logged in as {who}; the session is good for another {} s", left.as_secs())
            }
            (Self::Active(session), Err(SessionFault::Unverified)) => {
                let what = if now < session.claims.expires_at {
                    "the provider has not confirmed the session lately; it is being asked"
                } else {
                    "the session token has run out; it is being renewed"
                };
                format!("logged in as {who}, but {what}")
            }
            (Self::Unverified { why, .. }, _) => {
                format!(
                    "logged in as {who}, but the provider has not confirmed it yet: {why}; this is retried on its own"
                )
            }
            (Self::Over { why, .. }, _) => format!("{who} was logged in: {}", why.message()),
            (_, Err(fault)) => fault.message().to_owned(),
            (_, Ok(_)) => format!("logged in as {who}"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::claims::{Claims, SessionExpectation, judge_session};

    pub(crate) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A session confirmed at 1,000 whose token lives `lifetime` seconds.
    pub(crate) fn session(lifetime: i64) -> Session {
        let text = format!(
            r#"{{"iss":"P1","sub":"U1","drn":"DS","iat":1000,"exp":{},"rexp":"1970-01-02T00:00:00Z"}}"#,
            1000 + lifetime
        );
        let expect = SessionExpectation::new("P1", "https://api.descope.com".parse().unwrap());
        let claims = judge_session(&Claims::parse(text.as_bytes()).unwrap(), &expect, at(1000)).unwrap();
        Session {
            user: User { subject: "U1".to_owned(), name: None, email: Some("u@example.com".to_owned()) },
            rights: claims.effective(None),
            claims,
            key_id: "k".to_owned(),
            confirmed_at: at(1000),
            logged_in_at: at(900),
            limits: SessionLimits::default(),
        }
    }

    fn active(lifetime: i64) -> SessionState {
        SessionState::Active(Arc::new(session(lifetime)))
    }

    #[test]
    fn a_session_is_usable_until_its_token_expires_and_no_second_longer() {
        let state = active(600);
        assert!(state.usable_at(at(1000)).is_ok());
        assert!(state.usable_at(at(1599)).is_ok());
        assert_eq!(state.usable_at(at(1600)).unwrap_err(), SessionFault::Unverified);
        assert_eq!(state.usable_at(at(86_399)).unwrap_err(), SessionFault::Unverified);
        assert_eq!(state.usable_at(at(86_400)).unwrap_err(), SessionFault::Expired(Expiry::Provider));
    }

    #[test]
    fn a_clock_that_ran_back_makes_nothing_young_again() {
        let state = active(600);
        assert!(state.usable_at(at(995)).is_ok());
        assert_eq!(state.usable_at(at(994)).unwrap_err(), SessionFault::Unverified);
        assert_eq!(state.usable_at(at(0)).unwrap_err(), SessionFault::Unverified);
    }

    #[test]
    fn a_login_is_over_at_the_age_that_the_configuration_allows() {
        let mut session = session(600);
        session.limits.max_age = Some(SignedDuration::from_secs(300));
        assert_eq!(session.usable_until(), at(1200), "counted from the login, not from the confirmation");
        assert_eq!(session.login_ends_at(), Some(at(1200)));
        let state = SessionState::Active(Arc::new(session));
        assert!(state.usable_at(at(1199)).is_ok());
        let fault = state.usable_at(at(1200)).unwrap_err();
        assert_eq!((fault, fault.remedy()), (SessionFault::Expired(Expiry::MaxAge), "login"));
        assert!(state.describe(at(1200)).contains("session.max_age"));
    }

    #[test]
    fn a_confirmation_that_does_not_come_ends_the_allows() {
        let mut session = session(600);
        session.limits.revalidate_every = Some(SignedDuration::from_secs(60));
        let state = SessionState::Active(Arc::new(session.clone()));
        assert!(state.usable_at(at(1119)).is_ok());
        assert_eq!(state.usable_at(at(1120)).unwrap_err(), SessionFault::Unverified);
        assert!(state.describe(at(1120)).contains("has not confirmed the session lately"));
        session.confirmed_at = at(1100);
        assert!(SessionState::Active(Arc::new(session)).usable_at(at(1219)).is_ok());
    }

    #[test]
    fn every_state_has_its_word_remedy_and_sentence() {
        let user = Some(User { subject: "U1".to_owned(), name: Some("Ada".to_owned()), email: None });
        let over = |why| SessionState::Over { user: user.clone(), why, at: at(5) };
        let table = [
            (SessionState::LoggedOut, "not_logged_in", "login", "run `agentauthd login`"),
            (
                SessionState::Unverified {
                    user: user.clone(),
                    since: at(1),
                    why: "it cannot be reached".to_owned(),
                },
                "session_unverified",
                "wait",
                "Ada, but the provider has not confirmed it yet: it cannot be reached",
            ),
            (over(OverReason::Revoked), "session_revoked", "login", "ended this session"),
            (over(OverReason::Expired), "session_expired", "login", "has expired"),
            (over(OverReason::AnswerLost), "session_expired", "login", "answer got lost"),
            (over(OverReason::MaxAge), "session_expired", "login", "`session.max_age`"),
            (active(10), "session_unverified", "wait", "u@example.com, but the session token has run out"),
        ];
        for (state, word, remedy, sentence) in table {
            let fault = state.usable_at(at(2000)).unwrap_err();
            assert_eq!((state.word(at(2000)), fault.reason(), fault.remedy()), (word, word, remedy));
            assert!(state.describe(at(2000)).contains(sentence), "{}", state.describe(at(2000)));
        }
        assert_eq!(active(600).word(at(1001)), "active");
        assert!(active(600).describe(at(1001)).contains("another 599 s"));
    }

    #[test]
    fn a_user_is_called_by_the_most_telling_name() {
        let user = |name: Option<&str>, email: Option<&str>| User {
            subject: "U1".to_owned(),
            name: name.map(str::to_owned),
            email: email.map(str::to_owned),
        };
        assert_eq!(user(Some("Ada"), Some("a@b")).label(), "a@b");
        assert_eq!(user(Some("Ada"), Some("")).label(), "Ada");
        assert_eq!(user(Some(""), None).label(), "U1");
    }
}
