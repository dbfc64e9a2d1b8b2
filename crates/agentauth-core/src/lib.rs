//! Every rule of agentauthd, pure and synchronous: scopes, manifests, grants, sessions, claims, recognition of
//! persons, policy, and [`decide()`].
//!
//! Architecture invariant: nothing here reads a clock, a file, a socket or the environment, and nothing is
//! asynchronous. Facts come in as arguments; a decision with its reasons goes out.
#![forbid(unsafe_code)]

pub mod agent;
pub mod agents;
pub mod caller;
pub mod canonical;
pub mod catalogue;
pub mod caveat;
pub mod checks;
pub mod claims;
pub mod consent;
pub mod decide;
pub mod decision;
pub mod device;
pub mod domain;
pub mod facts;
pub mod gate;
pub mod grant;
mod json;
pub mod launches;
pub mod ledger;
pub mod mandate;
pub mod manifest;
mod map;
mod messages;
pub mod own_rules;
pub mod passkey;
pub mod policy;
pub mod presence;
pub mod recognise;
pub mod scenario;
pub mod scope;
pub mod session;
pub mod signals;
pub mod snapshot;
pub mod template;
pub mod text;
pub mod time;
pub mod trace;
pub mod widening;
pub mod window;
pub mod zone;

pub use agent::{Agent, AgentFile, FileGrant, Registration, Selectors, Source};
pub use agents::{Agents, Assurance, Change, Match};
pub use caller::{CallerFacts, ExecutableFacts, ProcessFacts, ScriptFacts};
pub use catalogue::{ActionEntry, Catalogue, RiskClass, Strength};
pub use caveat::{Caveat, CaveatKinds};
pub use decide::{CheckRequest, Subject, decide, decide_watched};
pub use decision::{Decision, DecisionId, Effect, Obligations, Reason, Remedy, RemedyTerms};
pub use device::Device;
pub use facts::{AgentSet, CallerSet, FactKind, FactSet, MachineSet, Past, SessionSet};
pub use grant::{
    Binding, Grant, GrantAnswer, GrantKind, GrantKinds, GrantStrength, GrantUse, Grants, Lifetime, Occasion,
    Prefer, Standing,
};
pub use launches::{Launch, Launches};
pub use ledger::Ledger;
pub use mandate::Mandate;
pub use manifest::{Manifest, ManifestScope, UiHints};
pub use policy::{Policy, PolicyFaults};
pub use presence::Presence;
pub use scope::{Broad, Scope, ScopeContext, ScopeFault};
pub use signals::{Signal, Signals};
pub use snapshot::Snapshot;
pub use template::Template;
pub use text::display_safe;
pub use time::{Clock, ClockReading, Jump, MachineClock, SignedDuration, Timestamp};
pub use trace::{SpanId, TraceId, TraceParent, TraceState};
pub use window::Window;
pub use zone::Zone;
