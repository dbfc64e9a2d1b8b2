//! The facts that a decision rests on, as they are recorded: in sets that are named by what is in them, so that a set is
//! written once, however many decisions rest on it, and a decision of the past can be put to other policies later.

mod past;

use core::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::agent::{Agent, Selectors, Source};
use crate::caller::{CallerFacts, ProcessFacts};
use crate::canonical::{canonical_digest, sha256_hex};
use crate::caveat::Caveat;
use crate::claims::{EffectiveRights, SessionClaims};
use crate::device::Device;
use crate::manifest::{Manifest, UiHints};
use crate::session::{Session, SessionLimits, User};
use crate::text::display_safe_within;
use crate::time::Timestamp;
use crate::zone::Zone;

pub use past::{NotReplayable, Past, Replayed};

/// The longest set that is written out, in bytes: of a longer one only the digest and the length are kept.
pub const MAX_SET_BYTES: usize = 40 * 1024;
/// How many parents of a caller are kept.
const MAX_ANCESTORS: usize = 16;
/// The longest path that is kept, in characters.
const MAX_PATH: usize = 512;

/// One set of facts.
#[derive(Debug, Clone, PartialEq)]
pub struct FactSet {
    kind: FactKind,
    digest: Arc<str>,
    facts: Map<String, Value>,
}

/// What a set of facts is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    /// The process that asked, and those that started it.
    Caller,
    /// The person's session.
    Session,
    /// One registered agent.
    Agent,
    /// The machine and the daemon on it.
    Machine,
    /// The rules that were in force.
    Rules,
}

/// What is known of the process that asked. Neither process ids nor start times nor command lines: the ids are in the
/// records, so that a program that is started again is described by the same set; the command line is the process's own
/// claim, and may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerSet {
    /// What it runs; absent where it hides that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<ProgramFacts>,
    /// What its parent runs, the parent's parent and so on, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<Option<ProgramFacts>>,
    /// Whether the parents could be followed to the end.
    pub ancestry_complete: bool,
    /// Whether it answered the greeting.
    pub greeted: bool,
    /// Whether it has given up gaining privileges.
    pub no_new_privs: bool,
    /// What keeps it from being better proven.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caveats: Vec<Caveat>,
}

/// What one process runs. Safe to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramFacts {
    /// The executable's path.
    pub path: String,
    /// Its SHA-256, where a registration asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The script's path, for an interpreter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The script's SHA-256, where a registration asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_sha256: Option<String>,
    /// The control group, where a registration asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
}

/// What policies can read of the user, and which session said it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSet {
    /// Names the login, until the person logs in again: SHA-256 over issuer, subject and time of the login.
    pub login: String,
    /// The user's subject at the provider.
    pub user: String,
    /// Who says so.
    pub issuer: String,
    /// The mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The roles that count.
    pub roles: Vec<String>,
    /// The permissions that count.
    pub permissions: Vec<String>,
    /// The tenants.
    pub tenants: Vec<String>,
    /// The tenant that roles and permissions belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_tenant: Option<String>,
    /// How the user proved who they are (`amr`).
    pub factors: Vec<String>,
    /// How strongly the user authenticated (`acr`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    /// Whether they have stepped up.
    pub stepped_up: bool,
    /// When they logged in.
    pub logged_in_at: Timestamp,
    /// When the session token ends.
    pub expires_at: Timestamp,
    /// When the provider last answered for the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
    /// When the person was seen last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person_seen_at: Option<Timestamp>,
}

/// The machine, and the daemon on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineSet {
    /// Names the installation.
    pub device: String,
    /// The machine's name.
    #[serde(default)]
    pub host: Option<String>,
    /// The operating system with its version.
    pub os: String,
    /// The version alone, where the system says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// The address by which it would reach others.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// The version of the daemon.
    pub version: String,
    /// Whether an administrator's directory is in force.
    #[serde(default)]
    pub managed: bool,
    /// Whether the device is attested.
    #[serde(default)]
    pub attested: bool,
    /// The time zone in which policies read the time of day; UTC where none is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// One agent as it is registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSet {
    /// The name.
    pub name: String,
    /// The version that its manifest says.
    pub version: String,
    /// Who publishes it; not proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// The digest of the manifest.
    pub manifest: String,
    /// The digest of the registration.
    pub registration: String,
    /// Who registered it: `person` or `administrator`.
    pub source: String,
}

impl FactSet {
    /// The set of these facts.
    #[must_use]
    pub fn new(kind: FactKind, facts: &impl Serialize) -> Self {
        let facts = serde_json::to_value(facts).unwrap_or_default();
        let whole = json!({ "kind": kind, "facts": facts });
        let text = whole.to_string();
        // A record spells what cannot be seen with up to six letters.
        let spelt = text.chars().filter(|character| !matches!(character, ' '..='~')).count();
        let length = text.len() + 6 * spelt;
        let digest = canonical_digest(&whole).unwrap_or_else(|_| sha256_hex(text.as_bytes()));
        let facts = match facts {
            Value::Object(facts) if length <= MAX_SET_BYTES => facts,
            _ => Map::from_iter([("left_out_bytes".to_owned(), length.into())]),
        };
        Self { kind, digest: digest.into(), facts }
    }

    /// What it is about.
    #[must_use]
    pub fn kind(&self) -> FactKind {
        self.kind
    }

    /// SHA-256 over the canonical JSON (RFC 8785) of `{"facts":…,"kind":…}`, in lower-case hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &Arc<str> {
        &self.digest
    }

    /// The facts.
    #[must_use]
    pub fn facts(&self) -> &Map<String, Value> {
        &self.facts
    }
}

impl FactKind {
    /// The word in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Session => "session",
            Self::Agent => "agent",
            Self::Machine => "machine",
            Self::Rules => "rules",
        }
    }
}

impl CallerSet {
    /// What is known of this caller.
    #[must_use]
    pub fn of(caller: &CallerFacts) -> Self {
        Self {
            program: program(&caller.process),
            ancestors: caller.ancestors.iter().take(MAX_ANCESTORS).map(program).collect(),
            ancestry_complete: caller.ancestry_complete && caller.ancestors.len() <= MAX_ANCESTORS,
            greeted: caller.greeted,
            no_new_privs: caller.no_new_privs,
            caveats: caller.all_caveats(),
        }
    }
}

fn program(process: &ProcessFacts) -> Option<ProgramFacts> {
    let executable = process.executable.as_ref()?;
    let safe = |path: &str| display_safe_within(path, MAX_PATH);
    Some(ProgramFacts {
        path: safe(&executable.path),
        sha256: executable.sha256.clone(),
        script: process.script.as_ref().map(|script| safe(&script.path)),
        script_sha256: process.script.as_ref().and_then(|script| script.sha256.clone()),
        cgroup: process.cgroup.as_ref().map(|group| safe(&group.path)),
    })
}

impl SessionSet {
    /// What this session says, and when the person was seen last.
    #[must_use]
    pub fn of(session: &Session, seen: Option<Timestamp>) -> Self {
        let Session { user, claims, rights, logged_in_at, confirmed_at, .. } = session;
        let login = format!("{}\n{}\n{logged_in_at}", claims.issuer, user.subject);
        Self {
            login: sha256_hex(login.as_bytes()),
            user: user.subject.clone(),
            issuer: claims.issuer.clone(),
            email: user.email.clone(),
            roles: rights.roles.clone(),
            permissions: rights.permissions.clone(),
            tenants: rights.tenants.clone(),
            current_tenant: rights.current_tenant.clone(),
            factors: claims.factors.clone(),
            acr: claims.acr.clone(),
            stepped_up: claims.stepped_up,
            logged_in_at: *logged_in_at,
            expires_at: claims.expires_at,
            confirmed_at: Some(*confirmed_at),
            person_seen_at: seen,
        }
    }

    /// A session of which policies read the same.
    #[must_use]
    pub fn session(&self) -> Session {
        Session {
            user: User { subject: self.user.clone(), name: None, email: self.email.clone() },
            claims: SessionClaims {
                subject: self.user.clone(),
                issuer: self.issuer.clone(),
                issued_at: None,
                expires_at: self.expires_at,
                refresh_expires_at: None,
                roles: self.roles.clone(),
                permissions: self.permissions.clone(),
                tenants: None,
                current_tenant: self.current_tenant.clone(),
                factors: self.factors.clone(),
                acr: self.acr.clone(),
                stepped_up: self.stepped_up,
                warnings: Vec::new(),
            },
            rights: EffectiveRights {
                roles: self.roles.clone(),
                permissions: self.permissions.clone(),
                tenants: self.tenants.clone(),
                current_tenant: self.current_tenant.clone(),
            },
            key_id: String::new(),
            confirmed_at: self.confirmed_at.unwrap_or(self.logged_in_at),
            logged_in_at: self.logged_in_at,
            limits: SessionLimits::default(),
        }
    }
}

impl MachineSet {
    /// The device that policies see.
    #[must_use]
    pub fn device(&self) -> Device {
        let os = self.os.split_once(' ').map_or(&*self.os, |(os, _)| os);
        Device {
            id: self.device.clone(),
            os: os.to_owned(),
            os_version: self.os_version.clone(),
            daemon_version: self.version.clone(),
            managed: self.managed,
            attested: self.attested,
            zone: self.time_zone.as_deref().and_then(Zone::named).unwrap_or_default(),
        }
    }
}

impl AgentSet {
    /// This agent.
    #[must_use]
    pub fn of(agent: &Agent) -> Self {
        Self {
            name: agent.name.to_string(),
            version: agent.manifest.version.clone(),
            publisher: agent.manifest.publisher.clone(),
            manifest: agent.manifest_digest.clone(),
            registration: agent.registration().digest(),
            source: agent.source.as_str().to_owned(),
        }
    }

    /// An agent of which policies read the same. What it may ask for, and what recognises it, is not in the facts.
    #[must_use]
    pub fn agent(&self) -> Agent {
        let manifest = Manifest {
            name: self.name.clone(),
            version: self.version.clone(),
            publisher: self.publisher.clone(),
            scopes: Vec::new(),
            ui_hints: UiHints::default(),
        };
        let selectors = Selectors {
            executable: String::new(),
            sha256: None,
            script: None,
            script_sha256: None,
            cgroup: None,
        };
        let agent =
            crate::agent::Registration { manifest, selectors, launch_only: false, enforcer: None }.agent();
        let administered = self.source == Source::Administrator.as_str();
        let source = if administered { Source::Administrator } else { Source::Person };
        Agent { manifest_digest: self.manifest.clone(), source, ..agent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(json: &str) -> CallerFacts {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_set_is_named_by_what_is_in_it() {
        let one = FactSet::new(FactKind::Machine, &json!({ "b": 1, "a": "x" }));
        let same = FactSet::new(FactKind::Machine, &json!({ "a": "x", "b": 1 }));
        assert_eq!(one, same);
        assert_eq!(one.digest().as_ref(), sha256_hex(br#"{"facts":{"a":"x","b":1},"kind":"machine"}"#));
        assert_ne!(one.digest(), FactSet::new(FactKind::Rules, &json!({ "a": "x", "b": 1 })).digest());
        assert_ne!(one.digest(), FactSet::new(FactKind::Machine, &json!({ "a": "x", "b": 2 })).digest());
    }

    #[test]
    fn an_agent_of_the_past_was_registered_by_whom_it_was() {
        for source in [Source::Administrator, Source::Person] {
            let set = AgentSet {
                name: "a".into(),
                version: "1".into(),
                publisher: None,
                manifest: "m".into(),
                registration: "r".into(),
                source: source.as_str().into(),
            };
            assert_eq!(set.agent().source, source);
        }
    }

    #[test]
    fn a_set_that_is_too_long_for_a_record_keeps_its_name_only() {
        let long = "x".repeat(MAX_SET_BYTES);
        let set = FactSet::new(FactKind::Session, &json!({ "email": long }));
        assert_eq!(set.facts().keys().collect::<Vec<_>>(), ["left_out_bytes"]);
        assert_ne!(set.digest(), FactSet::new(FactKind::Session, &json!({ "email": long + "x" })).digest());
    }

    #[test]
    fn the_same_program_started_again_is_the_same_caller_and_tells_no_command_line() {
        let run = |pid: u32, token: &str| {
            let text = format!(
                r#"{{"process": {{"pid": {pid}, "start_time": {pid}, "arguments": ["a", "--token={token}"],
                    "executable": {{"path": "/opt/a\u001b[2J", "inode": 7, "device": 1}}}},
                    "ancestors": [{{"pid": 2, "executable": {{"path": "/bin/sh", "inode": 1, "device": 1}}}}]}}"#
            );
            CallerSet::of(&caller(&text))
        };
        let (one, other) = (run(10, "secret"), run(11, "other"));
        assert_eq!(one, other);
        let text = serde_json::to_string(&one).unwrap();
        assert!(!text.contains("secret") && !text.contains('\u{1b}') && text.contains("/bin/sh"), "{text}");
    }

    #[test]
    fn a_set_of_the_longest_ancestry_fits_a_record() {
        let process = format!(r#"{{"executable": {{"path": "/{}"}}}}"#, "x".repeat(4000));
        let text =
            format!(r#"{{"process": {process}, "ancestors": [{}]}}"#, vec![process.as_str(); 64].join(","));
        let set = FactSet::new(FactKind::Caller, &CallerSet::of(&caller(&text)));
        assert!(set.facts().contains_key("ancestors"));
        assert!(set.facts()["ancestry_complete"] == false, "the rest was left out");
    }
}
