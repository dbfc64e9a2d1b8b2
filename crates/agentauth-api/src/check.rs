//! `POST /v1/check`: the question before a sensitive action, and the decision.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// May the calling agent do this?
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// One scope, `resource.action:context`. Exactly one of `scope` and `scopes` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Several scopes; all must be allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Why, in the agent's words. Shown to people as hostile text, never trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// What exactly is to be done: an object that the person is shown, and to whose canonical form (RFC 8785) an
    /// approval is bound. Whole numbers only, no repeated members, at most 4096 bytes and six levels.
    #[serde(default, deserialize_with = "crate::strict::value", skip_serializing_if = "Option::is_none")]
    pub action: Option<serde_json::Value>,
    /// How many bytes it will move, by the agent's own word: counted against what the agent usually moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How many items it will move, likewise: rows, messages, files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<u64>,
    /// The caller's own opaque identifier for this call, for correlation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// How long to wait, in milliseconds, for a deny with remedy `wait` to become decidable, or for the answer to a
    /// question that was put to the person. At most 30,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// A person's dry run as this registered agent: nothing is spent, the answer is marked.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub dry_run_as: Option<String>,
}

/// Allow or deny.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Go ahead.
    Allow,
    /// Do not.
    Deny,
}

/// What an allow demands of the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obligations {
    /// Seconds for which whatever the agent makes of this allow may live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_lifetime_seconds: Option<u64>,
    /// Credentials must be bound to a key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_proof: bool,
}

/// What exactly a remedy takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemedyTerms {
    /// `step_up`: the authentication context class that the login must have (`acr`, RFC 9470).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// `step_up`: how many seconds ago the login may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_seconds: Option<u64>,
    /// `consent`: how strongly the person must show that the answer is theirs: `prompt`, `passkey` or `reauth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<String>,
}

/// A decision. Always HTTP 200, for a deny too. The daemon writes it from what it has at hand; who reads it owns it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResponse<'a> {
    /// Identifies this decision in the audit log.
    pub id: Cow<'a, str>,
    /// Allow or deny.
    pub decision: Verdict,
    /// A stable word: `granted`, or the first check that failed.
    pub reason: Cow<'a, str>,
    /// What would turn this deny into an allow: `login`, `register`, `consent`, `step_up`, `proof`, `attestation`
    /// or `wait`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Cow<'a, str>>,
    /// What exactly that takes, where a policy says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy_terms: Option<RemedyTerms>,
    /// For the person.
    pub message: Cow<'a, str>,
    /// For a language model: what was refused, not to retry, what to ask the user.
    pub model_message: Cow<'a, str>,
    /// The registered agents whose rights were intersected, the caller's own first.
    pub agents: Cow<'a, [String]>,
    /// How well the caller is proven: `launched`, `pinned`, `path` or `unproven`.
    pub assurance: Cow<'a, str>,
    /// What keeps it from being better proven: names of environment variables, and words such as `traced`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caveats: Vec<String>,
    /// The scopes in canonical form.
    pub scopes: Vec<Cow<'a, str>>,
    /// The questions that this request put to the person, or that wait for it already: `GET /v1/consents` shows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<Cow<'a, str>>,
    /// The grants that cover them.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub grants: Cow<'a, [String]>,
    /// The determining policies.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub policies: Cow<'a, [String]>,
    /// What is unusual about what the agent does just now, as policies saw it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<Cow<'a, str>>,
    /// Strictest over all determining policies.
    #[serde(default)]
    pub obligations: Obligations,
    /// When a cached copy of this answer stops being true.
    pub expires_at: Timestamp,
    /// Whether this was a person's dry run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The request's `call`, echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Cow<'a, str>>,
}
