//! Keeping a session alive: when to refresh, what a failed refresh means, and what to do after one.
//!
//! A provider may rotate the refresh token with every use and treat a second use of an old one as theft. So a request
//! that was sent and never answered is not simply sent again for ever: see [`after_failure`].

use jiff::{SignedDuration, Timestamp};

use super::{OverReason, Session};
use crate::time::{ClockReading, Jump};

/// A refresh is not planned later than this before the token expires, unless the token's life is too short for it.
pub const LATEST_BEFORE_EXPIRY: SignedDuration = SignedDuration::from_secs(30);

/// The longest time between refreshes: refreshing is also how a logout elsewhere and changed roles are noticed.
pub const LONGEST_INTERVAL: SignedDuration = SignedDuration::from_hours(1);

const SHORTEST_INTERVAL: SignedDuration = SignedDuration::from_secs(5);
const TINY_LIFETIME: SignedDuration = SignedDuration::from_secs(60);
const FIRST_RETRY: SignedDuration = SignedDuration::from_secs(2);
const LONGEST_RETRY: SignedDuration = SignedDuration::from_mins(5);
const LONGEST_RETRY_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// When to refresh next: after 70 to 80 % of the token's life as we received it (`jitter`, 0 to 1, moves it earlier, so
/// that many machines do not ask in step), or after the provider's own `hint_seconds`; in both cases within an hour,
/// not sooner than five seconds, and at least [`LATEST_BEFORE_EXPIRY`] before the end. A life of less than a minute is
/// halved instead.
pub fn next_refresh(session: &Session, jitter: f64, hint_seconds: Option<u32>) -> Timestamp {
    let start = session.confirmed_at;
    let lifetime = session.claims.expires_at.duration_since(start);
    if lifetime < TINY_LIFETIME {
        return later(start, (lifetime / 2).max(SignedDuration::from_secs(1)));
    }
    let jitter = unit(jitter);
    let wished = match hint_seconds.filter(|seconds| *seconds > 0) {
        Some(seconds) => SignedDuration::from_secs(i64::from(seconds)),
        None => fraction(lifetime.min(LONGEST_INTERVAL), 0.8 - 0.1 * jitter),
    };
    let latest = lifetime.saturating_sub(LATEST_BEFORE_EXPIRY).min(LONGEST_INTERVAL);
    later(start, wished.clamp(SHORTEST_INTERVAL, latest))
}

/// Why a refresh is due now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The planned instant has come.
    Planned,
    /// The machine slept, or its clock was set forward.
    Woke,
    /// The clock was set back, so planned instants mean nothing any more.
    ClockRanBack,
}

/// Whether a refresh is due.
///
/// `planned` is what [`next_refresh`] (or [`AfterFailure::RetryAt`]) said. `before` is what the clocks said when this was
/// asked last, `now` what they say now: where they disagree about the time between, `planned` is not waited for. `steady`
/// is the time as it is counted, which never runs back.
pub fn refresh_due(
    planned: Timestamp,
    before: &ClockReading,
    now: &ClockReading,
    steady: Timestamp,
) -> Option<Due> {
    let jump = now.jump_since(before);
    let unreachable = planned.duration_since(steady) > LONGEST_INTERVAL.saturating_add(LONGEST_RETRY);
    match jump {
        Some(Jump::Back) => Some(Due::ClockRanBack),
        _ if unreachable => Some(Due::ClockRanBack),
        _ if steady >= planned => Some(Due::Planned),
        Some(Jump::Forward | Jump::Slept) => Some(Due::Woke),
        None => None,
    }
}

/// What a token endpoint answered, without secrets, as far as it matters for telling failures apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefreshAnswer {
    /// HTTP status.
    pub status: u16,
    /// The body is a JSON object (an edge's HTML page is not), and for a success it had the tokens in it.
    pub readable: bool,
    /// `errorCode` of the provider, or `error` of RFC 6749 section 5.2.
    pub code: Option<String>,
    /// `errorMessage`, `message` or `error_description`: the provider's words.
    pub message: Option<String>,
    /// `Retry-After`, in whole seconds; an HTTP date counts as absent.
    pub retry_after: Option<SignedDuration>,
}

/// What a failed refresh means for the login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefreshFailure {
    /// The provider refuses the refresh token: the session is over.
    Over {
        /// The provider's code.
        code: Option<String>,
        /// The provider's words: escape for display.
        message: String,
        /// The provider says that the session was logged out, rather than that it ran out.
        revoked: bool,
    },
    /// Nothing is known: network, overload, a fault on the provider's side. The token is kept.
    Unknown {
        /// The provider may have acted on the request, and may have rotated the token.
        sent: bool,
        /// How long the provider asks to be left alone.
        retry_after: Option<SignedDuration>,
        /// What happened.
        what: String,
    },
    /// It can never work like this: wrong project, wrong region, wrong client. The token is kept.
    Config {
        /// What is wrong.
        what: String,
    },
}

impl RefreshFailure {
    /// A request that could not be sent, or (`sent`) was sent and never answered.
    pub fn network(sent: bool, what: impl Into<String>) -> Self {
        Self::Unknown { sent, retry_after: None, what: what.into() }
    }

    /// Tells what an answer means; `None` is a success that could be read.
    ///
    /// 4xx ends the session, except 408 and 429 (unknown), 404 and refusals of the client or project rather than of the
    /// token (configuration), and pages that are no JSON (some box between us and the provider spoke). Everything else
    /// is unknown; of those, a success that cannot be read and a 5xx other than 501 and 503 may have rotated the token.
    pub fn of_answer(answer: &RefreshAnswer) -> Option<Self> {
        const CONFIG_CODES: &[&str] = &[
            "E011008",
            "invalid_client",
            "invalid_request",
            "invalid_scope",
            "invalid_target",
            "unauthorized_client",
            "unsupported_grant_type",
        ];
        const BUSY_CODES: &[&str] = &["E130429", "slow_down", "temporarily_unavailable", "server_error"];
        let code = answer.code.as_deref().unwrap_or("");
        let unknown = |sent: bool| {
            let what = if answer.readable {
                format!("the provider answered {} {code}", answer.status)
            } else {
                format!("the provider answered {} with something that could not be read", answer.status)
            };
            Some(Self::Unknown { sent, retry_after: answer.retry_after, what: what.trim_end().to_owned() })
        };
        let config = |what: &str| Some(Self::Config { what: format!("{what} ({} {code})", answer.status) });
        match answer.status {
            200..=299 if answer.readable => None,
            200..=299 => unknown(true),
            407 => config("the proxy asks for credentials"),
            404 => config("the provider does not know this project or address; check project and base URL"),
            400..=499 if CONFIG_CODES.contains(&code) => {
                config("the provider refuses this client or project; check the profile's configuration")
            }
            408 | 429 => unknown(false),
            400..=499 if BUSY_CODES.contains(&code) || !answer.readable => unknown(false),
            400..=499 => Some(Self::Over {
                code: answer.code.clone(),
                message: answer
                    .message
                    .clone()
                    .unwrap_or_else(|| format!("the provider answered {}", answer.status)),
                revoked: code == "E064001",
            }),
            501 | 503 => unknown(false),
            500..=599 => unknown(true),
            _ => unknown(false),
        }
    }
}

/// What is remembered between refreshes of one login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefreshHistory {
    /// A previous refresh returned a different refresh token: rotation is known to be on.
    pub rotates: bool,
    /// Requests since the last success that were sent without an answer. A failure to connect in between settles
    /// nothing, so it does not reset this.
    pub ambiguous: u32,
    /// Failures since the last success.
    pub failures: u32,
}

impl RefreshHistory {
    /// The history after a success.
    #[must_use]
    pub fn succeeded(self, rotated: bool) -> Self {
        Self { rotates: self.rotates || rotated, ambiguous: 0, failures: 0 }
    }

    /// The history after a failure; ask [`after_failure`] first, with the history before it.
    #[must_use]
    pub fn failed(self, failure: &RefreshFailure) -> Self {
        let ambiguous = matches!(failure, RefreshFailure::Unknown { sent: true, .. });
        Self {
            rotates: self.rotates,
            ambiguous: self.ambiguous.saturating_add(u32::from(ambiguous)),
            failures: self.failures.saturating_add(1),
        }
    }
}

/// What to do after a failed refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// Try again then, with the same token.
    RetryAt(Timestamp),
    /// Stop: the session is over.
    End(OverReason),
    /// Stop until a person has changed something; the login is kept.
    Fix {
        /// What is wrong.
        what: String,
    },
}

/// Decides what follows a failure; `history` is the one before it.
///
/// Retries come after 2, 4, 8 … seconds up to five minutes (`jitter`, 0 to 1, takes up to half of it away), never
/// before the provider's `Retry-After`, which counts up to an hour. Only a refusal ends a login. After an unanswered
/// request it is most likely our own old token, rotated away while the answer got lost, whatever the provider calls it.
/// That many requests stay unanswered ends nothing: if the first was acted on, the second settles the matter, and the
/// later ones change nothing more; if none was, as in an outage of a gateway, the login goes on.
pub fn after_failure(
    history: &RefreshHistory,
    failure: &RefreshFailure,
    now: Timestamp,
    jitter: f64,
) -> AfterFailure {
    match failure {
        RefreshFailure::Over { .. } if history.ambiguous > 0 => AfterFailure::End(OverReason::AnswerLost),
        RefreshFailure::Over { revoked: true, .. } => AfterFailure::End(OverReason::Revoked),
        RefreshFailure::Over { .. } => AfterFailure::End(OverReason::Expired),
        RefreshFailure::Config { what } => AfterFailure::Fix { what: what.clone() },
        RefreshFailure::Unknown { retry_after, .. } => {
            let doubled = FIRST_RETRY.saturating_mul(1 << history.failures.min(16)).min(LONGEST_RETRY);
            let backoff = fraction(doubled, 1.0 - 0.5 * unit(jitter));
            let asked =
                retry_after.unwrap_or(SignedDuration::ZERO).clamp(SignedDuration::ZERO, LONGEST_RETRY_AFTER);
            AfterFailure::RetryAt(later(now, backoff.max(asked)))
        }
    }
}

/// Decides what follows when the provider did not confirm a session that was asked for without a refresh; `history` is
/// the one before it. As [`after_failure`], but a refusal is a revocation: nothing that was asked for ran out by itself.
pub fn after_unconfirmed(
    history: &RefreshHistory,
    failure: &RefreshFailure,
    now: Timestamp,
    jitter: f64,
) -> AfterFailure {
    match after_failure(history, failure, now, jitter) {
        AfterFailure::End(OverReason::Expired) => AfterFailure::End(OverReason::Revoked),
        other => other,
    }
}

/// A jitter within 0 to 1, whatever was given.
pub(super) fn unit(jitter: f64) -> f64 {
    if jitter.is_nan() { 0.5 } else { jitter.clamp(0.0, 1.0) }
}

pub(super) fn fraction(duration: SignedDuration, share: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(duration.as_secs_f64() * share).unwrap_or(duration)
}

pub(super) fn later(instant: Timestamp, by: SignedDuration) -> Timestamp {
    instant.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
