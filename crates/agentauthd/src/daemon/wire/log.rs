//! What is logged, in the words of the socket.

use std::time::Duration;

use agentauth_api as api;

use crate::daemon::server::Refusal;
use crate::log::Control;

/// How long a change lasts unless it is said.
const USUALLY: Duration = Duration::from_mins(10);
/// The longest that it may last.
const LONGEST: Duration = Duration::from_hours(24);

/// What is to be logged beside what the configuration says; without a filter, nothing.
pub(crate) struct LogAsk {
    pub(crate) filter: Option<String>,
    pub(crate) lasts: Duration,
}

/// The change in a request.
///
/// # Errors
/// A problem: a time beyond its bounds, or one for no filter.
pub(crate) fn log_ask(request: api::LogRequest) -> Result<LogAsk, Refusal> {
    let invalid = |detail| Err(Refusal::new(api::ErrorCode::RequestInvalid, detail));
    let api::LogRequest { filter, seconds } = request;
    if filter.is_none() && seconds.is_some() {
        return invalid("`seconds` says how long `filter` holds: give both, or neither");
    }
    let lasts = seconds.map_or(USUALLY, Duration::from_secs);
    if lasts.is_zero() || lasts > LONGEST {
        return invalid("`seconds` must be from 1 to 86400");
    }
    Ok(LogAsk { filter, lasts })
}

/// What is logged now.
pub(crate) fn logged(log: &Control) -> api::LogResponse {
    let configured = log.configured().to_owned();
    match log.more() {
        Some(more) => api::LogResponse { filter: more.filter, configured, until: Some(more.until) },
        None => api::LogResponse { filter: configured.clone(), configured, until: None },
    }
}
