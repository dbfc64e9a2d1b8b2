//! The words that cross the agentauthd socket: requests, responses and error codes.
//!
//! Architecture invariant: these types carry no behaviour and no rule. One file in `agentauthd` converts between
//! them and the rules. No type here can hold a token, a key or a refresh token.
#![forbid(unsafe_code)]

pub mod authzen;
pub mod check;
pub mod consent;
pub mod events;
pub mod launch;
pub mod log;
pub mod login;
pub mod outcome;
pub mod passkey;
pub mod problem;
pub mod rights;
pub mod rules;
pub mod status;
mod strict;

pub use authzen::{
    AccessRequest, ActionSearchRequest, AuthzenAction, AuthzenConfiguration, AuthzenEntity, Document,
    EvaluationContext, EvaluationError, EvaluationObligation, EvaluationOptions, EvaluationRequest,
    EvaluationResponse, EvaluationsRequest, EvaluationsResponse, EvaluationsSemantic, PageRequest,
    PageResponse, ResourceSearchRequest, SearchResponse, SearchResult, Searched, SubjectSearchRequest,
};
pub use check::{CheckRequest, CheckResponse, Obligations, RemedyTerms, Verdict};
pub use consent::{
    Consent, ConsentAction, ConsentAllowed, ConsentAnswer, ConsentAnswered, ConsentGiven, ConsentList,
    ConsentOffer, ConsentProgram, ConsentScope,
};
pub use events::{ConsentEvent, Event};
pub use launch::{Confinement, FileAccess, LaunchRequest, LaunchResponse, LaunchSettings};
pub use log::{LogRequest, LogResponse};
pub use login::{
    Account, LockResponse, LoginMethod, LoginProgress, LoginRequest, LoginStarted, LoginWay, LogoutRequest,
    LogoutResponse, Party, UnlockRequest, UnlockResponse,
};
pub use outcome::{OutcomeKind, OutcomeRequest, OutcomeResponse};
pub use passkey::{PasskeyAdding, PasskeyList, PasskeyRemoved, PasskeyRequest, PasskeyView};
pub use problem::{ErrorCode, Problem};
pub use rights::{
    AgentList, AgentView, GiveRequest, GiveResponse, GrantList, GrantView, RegisterRequest, RegisterResponse,
    RemoveRequest, RemoveResponse, RevokeResponse, ScopeView,
};
pub use rules::{ApplyRequest, ApplyResponse, RuleDifference, RulePart};
pub use status::{
    AgentStatus, AuditStatus, CallerStatus, FailedLogin, HardeningStatus, Health, KeysStatus, MissingOutcome,
    ObservedSettings, PoliciesRefused, PolicyFault, PolicyStatus, ProviderStatus, SecretStoreStatus,
    SessionPhase, SessionStatus, SignalView, SinkStatus, StandingStatus, Status,
};

use serde::{Deserialize, Serialize};

/// The protocol version that this crate speaks.
pub const PROTOCOL: u32 = 1;

/// The request header that carries the greeting's nonce (design: the greeting).
pub const NONCE_HEADER: &str = "agentauthd-nonce";

/// The request and response header for a caller's own correlation identifier.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// The authority to put in a request URL; the socket ignores which host is named, `Host` must be one of these.
pub const HOST: &str = "agentauthd";

/// Paths of the version 1 interface.
pub mod paths {
    /// `GET`: protocol versions and the nonce.
    pub const HELLO: &str = "/v1/hello";
    /// `GET`: the state of everything, without secrets.
    pub const STATUS: &str = "/v1/status";
    /// `POST`: may this caller do that?
    pub const CHECK: &str = "/v1/check";
    /// `POST`: what became of an allowed action.
    pub const OUTCOME: &str = "/v1/outcome";
    /// `POST`: start a login; `GET {LOGIN}/{id}`: follow it.
    pub const LOGIN: &str = "/v1/login";
    /// `POST`: be the launcher of an agent.
    pub const LAUNCHES: &str = "/v1/launches";
    /// `POST`: pause everything; `DELETE`: let it go on.
    pub const LOCK: &str = "/v1/lock";
    /// `GET`: what the daemon logs; `PUT`: more of it for a time.
    pub const LOG: &str = "/v1/log";
    /// `GET`: the registered agents; `POST`: register one; `GET` and `DELETE {AGENTS}/{name}`: one of them.
    pub const AGENTS: &str = "/v1/agents";
    /// `GET`: the grants; `POST`: give a mandate; `DELETE {GRANTS}/{id}`: take one away.
    pub const GRANTS: &str = "/v1/grants";
    /// `POST`: let what was allowed for long count on.
    pub const GRANTS_CONFIRM: &str = "/v1/grants/confirm";
    /// `GET`: what happens, as server-sent events.
    pub const EVENTS: &str = "/v1/events";
    /// `GET`: the questions that wait for the person; `POST {CONSENTS}/{id}`: an answer.
    pub const CONSENTS: &str = "/v1/consents";
    /// `POST`: apply what the person's own files say.
    pub const RULES: &str = "/v1/rules";
    /// `GET`: the registered passkeys; `POST`: register one; `DELETE {PASSKEYS}/{id}`: remove one.
    pub const PASSKEYS: &str = "/v1/passkeys";
    /// `POST`: one question in the words of AuthZEN.
    pub const ACCESS_EVALUATION: &str = "/access/v1/evaluation";
    /// `POST`: several.
    pub const ACCESS_EVALUATIONS: &str = "/access/v1/evaluations";
    /// `POST`: who may do it.
    pub const SEARCH_SUBJECT: &str = "/access/v1/search/subject";
    /// `POST`: to what it may be done.
    pub const SEARCH_RESOURCE: &str = "/access/v1/search/resource";
    /// `POST`: what may be done.
    pub const SEARCH_ACTION: &str = "/access/v1/search/action";
    /// `GET`: where all that is.
    pub const AUTHZEN_CONFIGURATION: &str = "/.well-known/authzen-configuration";
    /// `DELETE`: log out.
    pub const SESSION: &str = "/v1/session";
    /// `GET`: numbers for monitoring, in Prometheus' text format.
    pub const METRICS: &str = "/metrics";
    /// `GET`: the process is up.
    pub const HEALTHZ: &str = "/healthz";
    /// `GET`: decisions can be made.
    pub const READYZ: &str = "/readyz";
}

/// The answer to `GET /v1/hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Always `agentauthd`.
    pub name: String,
    /// The daemon's version.
    pub version: String,
    /// The profile it serves: who means another one has come to the wrong door.
    pub profile: String,
    /// Protocol versions the daemon speaks.
    pub protocols: Vec<u32>,
    /// To be sent as [`NONCE_HEADER`] with every later request on this connection: it proves that the process
    /// which greeted is the one that asks.
    pub nonce: String,
}
