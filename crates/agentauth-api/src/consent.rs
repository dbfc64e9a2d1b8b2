//! `GET /v1/consents` and `POST /v1/consents/{id}`: the questions that wait for the person, and the answers.
//!
//! Every text is safe to show in a terminal and as text on a page: the daemon has escaped what hides or reorders other
//! text. It is not HTML.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::login::{Account, LoginStarted};

/// The questions that wait. An agent sees its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentList {
    /// Counts the changes of the list: `GET /v1/consents?seen=REVISION&wait_ms=30000` waits for another.
    pub revision: u64,
    /// The questions, the oldest first.
    pub consents: Vec<Consent>,
}

/// A question to the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// Names it.
    pub id: String,
    /// The whole question, line by line, as the record of the answer repeats it.
    pub text: Vec<String>,
    /// The agent's name.
    pub agent: String,
    /// The agent's version, by its own word.
    pub version: String,
    /// Who publishes it, by its own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// The digest of the manifest that the question is about.
    pub manifest_digest: String,
    /// Whose rights it would use.
    pub user: Account,
    /// The process that asked first.
    pub program: ConsentProgram,
    /// Why it asks now, in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// What exactly it is about to do; an answer holds for this only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<ConsentAction>,
    /// What it asks for.
    pub scopes: Vec<ConsentScope>,
    /// When it was asked first.
    pub asked_at: Timestamp,
    /// When it cannot be answered any more.
    pub expires_at: Timestamp,
}

/// The process that asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentProgram {
    /// Its process id.
    pub pid: u32,
    /// What it runs.
    pub executable: String,
    /// The script, where that is an interpreter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// How well it is proven to be the agent.
    pub assurance: String,
    /// The programs that started it, the nearest first.
    pub started_by: Vec<String>,
    /// Signs that somebody else's code may run inside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tampered: Vec<String>,
}

/// What exactly is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentAction {
    /// SHA-256 over the canonical text (RFC 8785), hexadecimal.
    pub digest: String,
    /// Every value with the names that lead to it.
    pub members: Vec<(String, String)>,
}

/// One scope of a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentScope {
    /// The scope.
    pub scope: String,
    /// What it allows and where, in plain words.
    pub says: String,
    /// What can go wrong: `read`, `write`, `delete`, `execute`, `exfiltrate` or `money`.
    pub risk: String,
    /// What the manifest says it is for.
    pub purpose: String,
    /// What is new since the last time.
    pub news: String,
    /// How strongly it has to be confirmed at least, where a policy says so: `prompt`, `passkey` or `reauth`. The offers
    /// demand it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<String>,
    /// The yes that is proposed.
    pub suggested: String,
    /// Every yes that may be given, the shortest first.
    pub offers: Vec<ConsentOffer>,
}

/// A yes, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentOffer {
    /// `once`, `30m`, `today`, `session` or `always`.
    #[serde(rename = "for")]
    pub lifetime: String,
    /// The least strength of the answer: `prompt`, `passkey` or `reauth`.
    pub needs: String,
}

/// An answer. What it does not allow is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentAnswer {
    /// Every scope that is allowed; none is a no to everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<ConsentAllowed>,
    /// With a no: refuse everything from this agent for so many seconds, at most a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deny_everything_for_seconds: Option<u32>,
    /// Confirm it by a fresh login instead of by where the answer comes from.
    #[serde(default)]
    pub reauth: bool,
}

/// A scope that is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentAllowed {
    /// One of the question's, word for word.
    pub scope: String,
    /// `once`, `30m`, `today`, `session` or `always`.
    #[serde(rename = "for")]
    pub lifetime: String,
}

/// What came of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentAnswered {
    /// What was given.
    #[serde(default)]
    pub given: Vec<ConsentGiven>,
    /// The scopes that were refused.
    #[serde(default)]
    pub refused: Vec<String>,
    /// Until when everything is refused to the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied_until: Option<Timestamp>,
    /// The login that has to confirm it: nothing is given before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<LoginStarted>,
}

/// A grant that an answer gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentGiven {
    /// The grant.
    pub grant: String,
    /// The scope.
    pub scope: String,
    /// The yes.
    #[serde(rename = "for")]
    pub lifetime: String,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}
