//! Registering agents, and what they were granted.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::LoginStarted;

/// `POST /v1/agents`: register an agent, or register it anew.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// The manifest. Absent: that of the agent named by `update`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Value>,
    /// The agent whose registration is to be brought up to date: what is left out below stays as it is registered,
    /// and digests are those of the files as they are now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<String>,
    /// The program. Links are resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
    /// The script, where the program is an interpreter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The control group that its processes are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Whether only what `agentauthd exec` started is taken for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch_only: Option<bool>,
    /// The domain by which it may ask about others; empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcer: Option<String>,
}

/// What a registration comes to, and what it still needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterResponse {
    /// The agent as it is to be registered.
    pub agent: AgentView,
    /// The agent as it is registered so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<AgentView>,
    /// Scopes that the registration so far does not cover.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub widened: Vec<String>,
    /// What a careful reader would say of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Whether it is in force already.
    pub registered: bool,
    /// The login that has to confirm it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<LoginStarted>,
}

/// `GET /v1/agents`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentList {
    /// The registered agents, by name.
    pub agents: Vec<AgentView>,
}

/// A registered agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentView {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Who publishes it, as it says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// Who registered it: `person` or `administrator`.
    pub source: String,
    /// The digest of its manifest.
    pub manifest_digest: String,
    /// The digest of its registration.
    pub registration: String,
    /// Its program.
    pub executable: String,
    /// The program's SHA-256, where that recognises it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Its script, for interpreters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The script's SHA-256, where that recognises it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_sha256: Option<String>,
    /// The control group of its processes, where that recognises it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Whether only what `agentauthd exec` started is taken for it.
    pub launch_only: bool,
    /// The domain by which it may ask about others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcer: Option<String>,
    /// Whether the administrator forbids it.
    pub forbidden: bool,
    /// What it asks for.
    pub scopes: Vec<ScopeView>,
    /// How many grants it has.
    pub grants: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What an agent asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeView {
    /// The scope.
    pub scope: String,
    /// What for, in the author's words. Hostile text.
    pub purpose: String,
    /// Whether the agent is of no use without it.
    pub required: bool,
    /// What it allows, in plain words; absent for an action that the catalogue does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
    /// What can go wrong: `read`, `write`, `delete`, `execute`, `exfiltrate`, `money`.
    pub risk: String,
}

/// `DELETE /v1/agents/{name}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveRequest {
    /// Confirm it by a fresh login, where no terminal shows that a person asks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reauth: bool,
}

/// The answer to `DELETE /v1/agents/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveResponse {
    /// How many grants went with it.
    pub grants: usize,
    /// The login that has to confirm it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<LoginStarted>,
    /// What could not be done; the agent has lost its rights all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
}

/// `POST /v1/grants`: give a mandate, for runs that nobody watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GiveRequest {
    /// The registered agent.
    pub agent: String,
    /// What it may do; its manifest asks for all of it.
    pub scopes: Vec<String>,
    /// The first instant at which it may not any more.
    pub until: Timestamp,
    /// How many checks each scope is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// When it may: `02:00-03:00 Europe/Berlin`, `mon-fri 22:00-01:30 +01:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
}

/// The answer to `POST /v1/grants` and to `POST /v1/grants/confirm`: nothing is so before the login has confirmed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GiveResponse {
    /// The grants that are to be given, or that are to count on.
    pub grants: Vec<GrantView>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: usize,
    /// The login that has to confirm it.
    pub login: LoginStarted,
}

/// `GET /v1/grants`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantList {
    /// The grants, by agent and scope.
    pub grants: Vec<GrantView>,
}

/// What was allowed to an agent, or refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantView {
    /// Its id.
    pub id: String,
    /// The agent.
    pub agent: String,
    /// The scope.
    pub scope: String,
    /// Whether it is refused.
    pub denied: bool,
    /// For how long: `until`, `session` or `until_revoked`.
    pub lifetime: String,
    /// Until when, for `until`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// For how many checks in all, where they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// How many of those are left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<u32>,
    /// The digest of the one action that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Whether it is a mandate, for runs that nobody watches.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mandate: bool,
    /// When alone it holds: `02:00-03:00 Europe/Berlin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// When that window opens next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<Timestamp>,
    /// Whether it holds now.
    pub holds: bool,
    /// Whether it would hold if the person had been seen lately.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unconfirmed: bool,
}

/// The answer to `DELETE /v1/grants/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeResponse {
    /// The grant that was taken away.
    pub grant: GrantView,
    /// What could not be done; the grant is gone all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
}
