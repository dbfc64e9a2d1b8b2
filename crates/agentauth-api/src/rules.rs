//! The person's own rules: what their files say takes effect once it is applied.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::LoginStarted;

/// `POST /v1/rules`: apply what the person's files say now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// What of it.
    pub apply: RulePart,
}

/// A part of the person's own rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RulePart {
    /// The configuration, and the person's catalogue of scopes.
    Configuration,
    /// The person's policies.
    Policies,
}

/// What applying comes to, and what it still needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyResponse {
    /// What differs from what was applied so far. Nothing: there is nothing to do.
    pub changes: Vec<RuleDifference>,
    /// Whether it is applied already.
    pub applied: bool,
    /// Whether it takes effect only when the daemon starts anew.
    pub restart: bool,
    /// The login that has to confirm it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<LoginStarted>,
}

/// One way in which files differ from what was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleDifference {
    /// `setting`, `catalogue` or `policy`.
    pub kind: String,
    /// The option, or the policy's file; `scopes.toml` for the catalogue.
    pub name: String,
    /// What was applied: a setting's value, or the SHA-256 of the text. Absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// What the files say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
    /// The difference in words. Safe to show.
    pub says: String,
}
