//! `GET /v1/status`: a glance at everything. Never a token.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::login::Account;

/// The state of the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// The daemon's process id.
    pub pid: u32,
    /// When the daemon started.
    pub started_at: Timestamp,
    /// The profile it serves.
    pub profile: String,
    /// This installation, `device:uuid:…`.
    pub device: String,
    /// Whether everything is paused.
    pub locked: bool,
    /// The login.
    pub session: SessionStatus,
    /// The provider.
    pub provider: ProviderStatus,
    /// The provider's signing keys.
    pub keys: KeysStatus,
    /// Where the refresh token is kept.
    pub secret_store: SecretStoreStatus,
    /// The organisation's policy.
    pub policy: PolicyStatus,
    /// The record.
    pub audit: AuditStatus,
    /// Where copies of the record go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<SinkStatus>,
    /// Registered agents.
    pub agents: Vec<AgentStatus>,
    /// What was allowed for long, and until when it counts.
    #[serde(default)]
    pub standing: StandingStatus,
    /// What agents do just now that they do not usually do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<SignalView>,
    /// Risky actions that were allowed more than ten minutes ago, and of which no agent said what became of them; the
    /// oldest twenty of the last day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_outcomes: Vec<MissingOutcome>,
    /// How the daemon sees the process that asks.
    pub caller: CallerStatus,
    /// What is wrong, and what to do about it; empty when all is well.
    pub problems: Vec<String>,
    /// Credentials that lie in the daemon's environment without being needed; names only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needless_credentials: Vec<String>,
    /// What keeps the daemon's memory and files to itself, and whether it is in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hardening: Vec<HardeningStatus>,
    /// The newest login, if it came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_login: Option<FailedLogin>,
}

/// Mandates and grants until revoked: they count as long as the person is seen from time to time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingStatus {
    /// How many there are.
    pub grants: usize,
    /// When the person signed in last, as the provider says it; absent where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Timestamp>,
    /// Until when they count without the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts_until: Option<Timestamp>,
}

/// An agent does what it does not usually do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalView {
    /// Which agent; absent for programs that are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What was noticed: `rate`, `volume`, `spread`, `off_hours`, `denies`, `first_seen` or `burst`.
    pub signal: String,
    /// The most that was seen since.
    pub seen: u64,
    /// The most of the days before; absent where there is no past to speak of, or it plays no part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual: Option<u64>,
    /// Beyond this it is too much.
    pub limit: u64,
    /// Since when it is up.
    pub since: Timestamp,
    /// Until when, if nothing further happens.
    pub until: Timestamp,
}

/// A risky action of which nobody said what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingOutcome {
    /// The decision's id.
    pub decision: String,
    /// Whose action it was.
    pub agent: String,
    /// When it was allowed.
    pub allowed_at: Timestamp,
}

/// One measure that keeps the daemon's memory and files to itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardeningStatus {
    /// The measure, in words.
    pub what: String,
    /// Why it is not in force; absent when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A login that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedLogin {
    /// A stable word, as `GET /v1/login/{id}` gives it.
    pub code: String,
    /// What happened and what to do.
    pub message: String,
}

/// Where the session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionPhase {
    /// Nobody is logged in.
    LoggedOut,
    /// A login is stored, but the provider has not confirmed it since the start.
    Unverified,
    /// Logged in and verified.
    Active,
    /// The login ended; log in again.
    Over,
}

/// The login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Where it stands.
    pub phase: SessionPhase,
    /// Why, in words, where that is not obvious.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Who is, or was, logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Account>,
    /// Effective roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Effective permissions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
    /// The tenant that the roles are of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// When the person logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logged_in_at: Option<Timestamp>,
    /// When the session token ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When the login itself ends, if the provider said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_ends_at: Option<Timestamp>,
    /// When the provider last confirmed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
    /// When the daemon asks the provider next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_refresh_at: Option<Timestamp>,
    /// What the provider's tokens show of its settings; while there is a verified session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<ObservedSettings>,
}

/// What the provider's tokens show of its settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedSettings {
    /// How long a session token lives, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token_seconds: Option<u64>,
    /// How long the refresh token had still to live when the provider last answered, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token_seconds: Option<u64>,
    /// Whether a refresh brings another refresh token; absent before the first refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotates: Option<bool>,
    /// When the provider wished to be asked again, in seconds after its last answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_refresh_seconds: Option<u32>,
    /// Tenants in which the user has roles or permissions that do not count here, because another tenant, or none, is
    /// selected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants_not_counted: Vec<String>,
    /// All tenants of the user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tenants: Vec<String>,
    /// Claims that are not as they should be, and what they count as.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claim_warnings: Vec<String>,
}

/// The provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStatus {
    /// `descope` or `oidc`; absent where no provider is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The issuer; absent where no provider is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Descope's project; absent for any other provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Descope's base URL; the issuer's URL for any other provider.
    pub base_url: String,
    /// Whether the last request reached it; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reachable: Option<bool>,
    /// When it was last reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reached_at: Option<Timestamp>,
    /// The last failure, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// The redirect URLs to register.
    pub redirect_uris: Vec<String>,
}

/// The provider's signing keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysStatus {
    /// How many are held.
    pub count: usize,
    /// When the set was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<Timestamp>,
    /// Until when the set may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usable_until: Option<Timestamp>,
}

/// Where the refresh token is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretStoreStatus {
    /// Which store, in words.
    pub kind: String,
    /// Whether it can be used now.
    pub usable: bool,
    /// If not: why, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The organisation's policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// How many policies are in force.
    pub count: usize,
    /// Where they came from.
    pub sources: Vec<String>,
    /// SHA-256 over names and texts of the sources, in lower-case hexadecimal.
    #[serde(default)]
    pub digest: String,
    /// What is wrong with changed policies that were refused; those of before stay in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<PoliciesRefused>,
}

/// Changed policies that are not in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoliciesRefused {
    /// When they were read.
    pub at: Timestamp,
    /// What is wrong with them.
    pub faults: Vec<PolicyFault>,
}

/// One thing that is wrong with policies. Safe to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyFault {
    /// The file.
    pub file: String,
    /// The policy's `@id`, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The line, from 1, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column, from 1, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// What is wrong, and what to do.
    pub what: String,
    /// The line in question, and a mark (`^`) below what is meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excerpt: Vec<String>,
}

/// The record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditStatus {
    /// Whether decisions can be recorded; if not, nothing is allowed.
    pub writable: bool,
    /// The number of the newest record.
    pub records: u64,
    /// How many files hold records.
    #[serde(default)]
    pub files: usize,
    /// How much room they took, in bytes, when they were looked at last.
    #[serde(default)]
    pub bytes: u64,
    /// The number of the oldest record that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// Its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Timestamp>,
    /// If not writable: why, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A place that copies of the record go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkStatus {
    /// `journald`, `syslog`, `otlp` or `http`.
    pub name: String,
    /// Where it leads.
    pub to: String,
    /// Whether it takes what it is given.
    pub up: bool,
    /// Since when that is so.
    pub since: Timestamp,
    /// How many records wait for it.
    pub behind: u64,
    /// How many records it has taken since the daemon started.
    pub delivered: u64,
    /// How many records it was not given, or has refused, since the daemon started.
    pub dropped: u64,
    /// How many attempts failed since the daemon started.
    pub failures: u64,
    /// Why the last attempt failed; absent while it takes what it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A registered agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// Its manifest's name.
    pub name: String,
    /// Its manifest's version.
    pub version: String,
    /// What recognises its process.
    pub executable: String,
    /// The script, for interpreters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// How many grants it has.
    pub grants: usize,
}

/// How the daemon sees the process that asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerStatus {
    /// Its process id.
    pub pid: u32,
    /// Its executable, where readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
    /// The registered agent that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// How well it is proven.
    pub assurance: String,
    /// What keeps it from being better proven, as in a decision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caveats: Vec<String>,
    /// How well it is shown to be a person's own.
    pub grade: String,
    /// Whether it greeted.
    pub greeted: bool,
}

/// The answer to `/healthz` and `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`, or what is missing.
    pub status: String,
    /// What keeps decisions from being made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}
