//! `/v1/log`: what the daemon logs while it runs.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The body of `PUT /v1/log`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogRequest {
    /// What is to be logged beside what the configuration says, in the words of its `log.filter`; absent, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// For how long, in seconds: 10 minutes unless given, a day at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// What is logged now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogResponse {
    /// What is logged beside what the configuration says; the same as `configured` where that is all.
    pub filter: String,
    /// The filter of the configuration, always in force.
    pub configured: String,
    /// Until when more is logged; absent where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}
