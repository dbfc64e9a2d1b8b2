//! The AuthZEN Authorization API 1.0 (final, 11 January 2026): `/access/v1/…` and the metadata.
//!
//! Unknown members are ignored and `null` counts as absent, as that specification asks; types are strict, and a member that
//! is repeated anywhere is refused (I-JSON, RFC 7493, section 2.3).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// A whole body, before it is known what it is: without repeated members at any depth.
#[derive(Clone, Debug, PartialEq)]
pub struct Document(pub Value);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::strict::value(deserializer).map(|value| Self(value.unwrap_or_default()))
    }
}

/// A subject or a resource (sections 5.1 and 5.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuthzenEntity {
    /// What kind of thing it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// Which one.
    pub id: String,
    /// What the asker says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Map<String, Value>>,
}

/// What is to be done (section 5.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuthzenAction {
    /// Its name.
    pub name: String,
    /// What the asker says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Map<String, Value>>,
}

/// `POST /access/v1/evaluation`: one question (section 6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRequest {
    /// Who.
    pub subject: AuthzenEntity,
    /// What.
    pub action: AuthzenAction,
    /// To what.
    pub resource: AuthzenEntity,
    /// Around it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Map<String, Value>>,
}

/// `POST /access/v1/evaluations`: several questions (section 7). The members of [`EvaluationRequest`] stand beside these as
/// defaults for each of `evaluations`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EvaluationsRequest {
    /// The default subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Map<String, Value>>,
    /// The default action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Map<String, Value>>,
    /// The default resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Map<String, Value>>,
    /// The default context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Map<String, Value>>,
    /// The questions, each read by itself: what is wrong with one is its own answer. None: the defaults are one question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluations: Option<Vec<Value>>,
    /// How they are answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<EvaluationOptions>,
}

/// How several questions are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationOptions {
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluations_semantic: Option<EvaluationsSemantic>,
}

/// Until when questions are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvaluationsSemantic {
    /// All of them.
    #[default]
    ExecuteAll,
    /// Up to the first deny.
    DenyOnFirstDeny,
    /// Up to the first permit.
    PermitOnFirstPermit,
}

/// The answer to one question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationResponse {
    /// Whether it is permitted.
    pub decision: bool,
    /// Why, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<EvaluationContext>,
}

/// The answers to several questions, in their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationsResponse {
    /// One for each question, or up to the deciding one.
    pub evaluations: Vec<EvaluationResponse>,
}

/// What is said beside a decision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EvaluationContext {
    /// Identifies this decision in the audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The stable reason, in the words of `POST /v1/check`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same; `approval_required` where the person can be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What would turn this deny into a permit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// For the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// For a language model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_message: Option<String>,
    /// For the person, by [`EvaluationContext::code`]: of a deny.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reason_user: BTreeMap<String, String>,
    /// For whoever keeps the policies, by [`EvaluationContext::code`]: which of them denied.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reason_admin: BTreeMap<String, String>,
    /// The policies that decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// What a permit demands (obligations profile, draft 1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obligations: Vec<EvaluationObligation>,
    /// When a cached copy of a permit stops being true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The decision that an approval would be about (access request profile, draft of June 2026).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation_id: Option<String>,
    /// The question that waits for the person (the same profile).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_request: Option<AccessRequest>,
    /// What is wrong with one question of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<EvaluationError>,
}

/// What a permit demands of whoever acts on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationObligation {
    /// Which: `max_lifetime` or `require_proof`.
    pub id: String,
    /// The profile's type: `custom`.
    #[serde(rename = "type")]
    pub kind: String,
    /// How much.
    pub properties: Map<String, Value>,
}

/// A question that waits for the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRequest {
    /// Until when it can be answered.
    pub expires_at: Timestamp,
    /// Where it is shown, and answered.
    pub endpoint: String,
    /// What to tell the person.
    pub display: String,
}

/// What is wrong with one question of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluationError {
    /// The HTTP status that it would have had by itself.
    pub status: u16,
    /// What is wrong.
    pub message: String,
}

/// What is searched for: its kind. An `id` that stands beside it is ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Searched {
    /// What kind of thing.
    #[serde(rename = "type")]
    pub kind: String,
    /// What the asker says of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<Map<String, Value>>,
}

/// `POST /access/v1/search/subject`: who may do it (section 8.4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubjectSearchRequest {
    /// Who is searched for.
    pub subject: Searched,
    /// What.
    pub action: AuthzenAction,
    /// To what.
    pub resource: AuthzenEntity,
    /// Around it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Map<String, Value>>,
    /// Which part of the results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<PageRequest>,
}

/// `POST /access/v1/search/resource`: to what it may be done (section 8.5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceSearchRequest {
    /// Who.
    pub subject: AuthzenEntity,
    /// What.
    pub action: AuthzenAction,
    /// What is searched for.
    pub resource: Searched,
    /// Around it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Map<String, Value>>,
    /// Which part of the results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<PageRequest>,
}

/// `POST /access/v1/search/action`: what may be done (section 8.6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionSearchRequest {
    /// Who.
    pub subject: AuthzenEntity,
    /// To what.
    pub resource: AuthzenEntity,
    /// Around it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Map<String, Value>>,
    /// Which part of the results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<PageRequest>,
}

/// Which part of the results is wanted (section 8.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRequest {
    /// The `next_token` of the page before; everything else in the request must be as it was then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// How many results at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// The answer to a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchResponse {
    /// Which part of the results this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<PageResponse>,
    /// Why nothing is told, where the asker may not ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<EvaluationContext>,
    /// What was found.
    pub results: Vec<SearchResult>,
}

/// Which part of the results this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageResponse {
    /// What to send for the next page; empty at the end.
    pub next_token: String,
    /// How many results are here.
    pub count: u64,
    /// How many there are in all.
    pub total: u64,
}

/// One that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SearchResult {
    /// A subject or a resource.
    Entity {
        /// Its kind.
        #[serde(rename = "type")]
        kind: String,
        /// Which one.
        id: String,
    },
    /// An action.
    Action {
        /// Its name.
        name: String,
    },
}

/// `GET /.well-known/authzen-configuration` (section 9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthzenConfiguration {
    /// Who decides.
    pub policy_decision_point: String,
    /// Where one question is asked.
    pub access_evaluation_endpoint: String,
    /// Where several are.
    pub access_evaluations_endpoint: String,
    /// Where subjects are searched.
    pub search_subject_endpoint: String,
    /// Where resources are searched.
    pub search_resource_endpoint: String,
    /// Where actions are searched.
    pub search_action_endpoint: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
        serde_json::from_str::<Document>(text).and_then(|Document(value)| serde_json::from_value(value))
    }

    #[test]
    fn unknown_members_are_ignored_and_null_is_absent() {
        let request: EvaluationRequest = read(
            r#"{"subject": {"type": "user", "id": "alice", "properties": null, "x": 1}, "action": {"name": "read"},
                "resource": {"type": "record", "id": "1"}, "context": null, "futureField": {"nested": true}}"#,
        )
        .unwrap();
        assert_eq!((request.subject.properties, request.context), (None, None));
        let searched: Searched = read(r#"{"type": "user", "id": 5}"#).unwrap();
        assert_eq!(searched.kind, "user");
    }

    #[test]
    fn types_are_strict_and_members_unique() {
        let entity = |text: &str| read::<AuthzenEntity>(text);
        assert!(entity(r#"{"type": "user", "id": "a"}"#).is_ok());
        for refused in [
            r#""alice""#,
            r#"{"type": "user"}"#,
            r#"{"type": null, "id": "a"}"#,
            r#"{"type": "user", "id": 1}"#,
            r#"{"type": "user", "id": "a", "properties": []}"#,
            r#"{"type": "user", "id": "a", "id": "b"}"#,
            r#"{"type": "user", "id": "a", "x": {"y": 1, "y": 2}}"#,
        ] {
            assert!(entity(refused).is_err(), "{refused}");
        }
        assert!(read::<EvaluationsRequest>(r#"{"evaluations": {}}"#).is_err());
        assert!(read::<EvaluationsRequest>(r#"{"options": {"evaluations_semantic": "all"}}"#).is_err());
    }
}
