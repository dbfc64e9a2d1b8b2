//! `POST /v1/outcome`: what became of an allowed action.

use serde::{Deserialize, Serialize};

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// It was done.
    Done,
    /// It was not.
    Failed,
    /// Nobody knows.
    Unknown,
}

impl OutcomeKind {
    /// The word on the wire and in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// The agent says what became of an action that it was allowed. Said again, the last counts; all are recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomeRequest {
    /// The decision's id.
    pub decision: String,
    /// What became of it.
    pub outcome: OutcomeKind,
    /// The agent's own reference: a transaction, a message, a path. At most 256 bytes, never trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// How many bytes it moved in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How many items it moved in all: rows, messages, files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<u64>,
}

/// The outcome is on record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeResponse {
    /// The decision's id.
    pub decision: String,
    /// What became of it, as recorded.
    pub outcome: OutcomeKind,
    /// Whether another outcome of the same decision was recorded before.
    pub repeated: bool,
}
