//! One span for each request: who asked what, and what was decided.
//!
//! It is there from the level `debug` on. At the usual level nothing is put together: what a disabled span costs is one look
//! at a number that says so.

use agentauth_core::Decision;
use agentauth_core::text::display_safe_within;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use tracing::field::Empty;
use tracing::{Level, Span};

use super::connection::Connection;

/// What a filter names requests by.
const TARGET: &str = "agentauthd::request";
/// The most characters of a caller's text.
const LONGEST: usize = 128;

/// The span of a request. Paths and identifiers are the caller's words.
pub(super) fn of(connection: &Connection, request: &Request<Incoming>, id: Option<&HeaderValue>) -> Span {
    let span = tracing::debug_span!(
        target: TARGET,
        "request",
        pid = connection.pid(),
        method = %request.method(),
        path = %display_safe_within(request.uri().path(), LONGEST),
        request_id = Empty,
        decision = Empty,
        agent = Empty,
        reason = Empty,
    );
    if !span.is_disabled()
        && let Some(id) = id
    {
        span.record("request_id", &*display_safe_within(&String::from_utf8_lossy(id.as_bytes()), LONGEST));
    }
    span
}

/// What was decided in the request under way.
pub(super) fn decided(decision: &Decision) {
    if !tracing::enabled!(target: TARGET, Level::DEBUG) {
        return;
    }
    let span = Span::current();
    span.record("decision", decision.id.as_str());
    span.record("reason", decision.reason.as_str());
    if let Some(agent) = decision.agents.first() {
        span.record("agent", agent.as_str());
    }
}

/// The request was answered.
pub(super) fn answered(span: &Span, status: StatusCode) {
    if !span.is_disabled() {
        span.in_scope(|| tracing::debug!(target: TARGET, status = status.as_u16(), "answered"));
    }
}
