//! Errors on the socket: RFC 9457 problem details with a stable code.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The stable code of an error. The text of a problem may change; its code does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// The body is not what the endpoint takes.
    RequestInvalid,
    /// The body or header exceeds its bound.
    RequestTooLarge,
    /// A scope does not follow the grammar.
    ScopeInvalid,
    /// Too many requests from this caller.
    RateLimited,
    /// The caller may not do this.
    Forbidden,
    /// The nonce is missing, foreign or stale, or the connection was written to by another process.
    CallerUnproven,
    /// No such path or object.
    NotFound,
    /// No decision of the caller's that was allowed, or too long ago.
    DecisionUnknown,
    /// What is registered for an agent is not what stands there.
    AgentChanged,
    /// The path takes another method.
    MethodNotAllowed,
    /// The login could not be started.
    LoginUnavailable,
    /// Everything is paused.
    Locked,
    /// The audit log cannot be written, so nothing is done.
    AuditUnavailable,
    /// The daemon is stopping.
    ShuttingDown,
    /// A fault of the daemon's own.
    Internal,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 15] = [
        Self::RequestInvalid,
        Self::RequestTooLarge,
        Self::ScopeInvalid,
        Self::RateLimited,
        Self::Forbidden,
        Self::CallerUnproven,
        Self::NotFound,
        Self::DecisionUnknown,
        Self::AgentChanged,
        Self::MethodNotAllowed,
        Self::LoginUnavailable,
        Self::Locked,
        Self::AuditUnavailable,
        Self::ShuttingDown,
        Self::Internal,
    ];

    /// The code as it stands on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestInvalid => "request_invalid",
            Self::RequestTooLarge => "request_too_large",
            Self::ScopeInvalid => "scope_invalid",
            Self::RateLimited => "rate_limited",
            Self::Forbidden => "forbidden",
            Self::CallerUnproven => "caller_unproven",
            Self::NotFound => "not_found",
            Self::DecisionUnknown => "decision_unknown",
            Self::AgentChanged => "agent_changed",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::LoginUnavailable => "login_unavailable",
            Self::Locked => "locked",
            Self::AuditUnavailable => "audit_unavailable",
            Self::ShuttingDown => "shutting_down",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status that goes with the code.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::RequestInvalid | Self::ScopeInvalid => 400,
            Self::Forbidden | Self::CallerUnproven => 403,
            Self::NotFound | Self::DecisionUnknown => 404,
            Self::MethodNotAllowed => 405,
            Self::AgentChanged => 409,
            Self::RequestTooLarge => 413,
            Self::Locked => 423,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::LoginUnavailable | Self::AuditUnavailable | Self::ShuttingDown => 503,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:agentauthd:problem:{code}`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short summary of the kind of problem.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: ErrorCode,
    /// What was tried, why it failed, what to do.
    pub detail: String,
}

impl Problem {
    /// A problem of this code.
    #[must_use]
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:agentauthd:problem:{code}"),
            title: code.as_str().replace('_', " "),
            status: code.status(),
            code,
            detail: detail.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_code_is_the_displayed_code() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }

    #[test]
    fn a_problem_reads_back() {
        let problem = Problem::new(ErrorCode::Forbidden, "an agent may not log the user out");
        let text = serde_json::to_string(&problem).unwrap();
        assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem);
        assert!(text.contains("urn:agentauthd:problem:forbidden"));
    }
}
