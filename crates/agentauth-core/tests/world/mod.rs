//! The world of a scenario: `testdata/world.json`, changed by a scenario file, changed by a case.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use agentauth_core::claims::{SessionClaims, TenantRights};
use agentauth_core::device::Device;
use agentauth_core::session::{OverReason, Session, SessionLimits, SessionState, User};
use agentauth_core::{
    AgentFile, Agents, Binding, CallerFacts, Catalogue, Grant, Grants, Launch, Launches, Lifetime, Policy,
    Scope, SignedDuration, Snapshot, Strength, Timestamp, Zone,
};
use serde::Deserialize;
use serde_json::Value;

/// What a case decides in.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct World {
    #[serde(default)]
    pub(crate) about: String,
    pub(crate) now: Timestamp,
    pub(crate) snapshot: SnapshotText,
    pub(crate) session: SessionText,
    pub(crate) policies: Option<BTreeMap<String, String>>,
    pub(crate) agents: Vec<Value>,
    #[serde(default)]
    pub(crate) grants: Vec<GrantText>,
    pub(crate) callers: BTreeMap<String, CallerFacts>,
    #[serde(default)]
    pub(crate) launches: Vec<LaunchText>,
}

/// A launch that is alive: of the agent as it is registered, or of one registered otherwise.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct LaunchText {
    pub(crate) agent: String,
    pub(crate) pid: u32,
    pub(crate) start_time: u64,
    #[serde(default)]
    pub(crate) version: Option<String>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnapshotText {
    pub(crate) locked: bool,
    pub(crate) quarantined_device: bool,
    pub(crate) quarantined_agents: Vec<String>,
    pub(crate) keys_fresh_until: Option<Timestamp>,
    pub(crate) max_confirmation_age_seconds: i64,
    #[serde(default)]
    pub(crate) zone: Option<String>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionText {
    pub(crate) state: String,
    pub(crate) why: Option<OverReason>,
    pub(crate) roles: Vec<String>,
    pub(crate) permissions: Vec<String>,
    pub(crate) tenants: Option<BTreeMap<String, TenantRights>>,
    pub(crate) current_tenant: Option<String>,
    pub(crate) acts_in: Option<String>,
    pub(crate) factors: Vec<String>,
    #[serde(default)]
    pub(crate) acr: Option<String>,
    pub(crate) stepped_up: bool,
    pub(crate) expires_at: Timestamp,
    pub(crate) refresh_expires_at: Option<Timestamp>,
    pub(crate) confirmed_at: Timestamp,
    pub(crate) logged_in_at: Timestamp,
    pub(crate) max_age_seconds: Option<i64>,
    pub(crate) revalidate_every_seconds: Option<i64>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantText {
    pub(crate) agent: String,
    pub(crate) scope: Scope,
    pub(crate) lifetime: Lifetime,
    #[serde(default)]
    pub(crate) denied: bool,
    pub(crate) login: Option<Timestamp>,
    /// A person confirmed it so; absent for an administrator's.
    #[serde(default)]
    pub(crate) strength: Option<Strength>,
}

impl World {
    pub(crate) fn snapshot(&self) -> Snapshot {
        let files: Vec<AgentFile> =
            self.agents.iter().map(|file| AgentFile::parse(file.to_string().as_bytes()).unwrap()).collect();
        let mut agents = Agents::new();
        let mut grants = Grants::new();
        for file in &files {
            agents.insert(file.agent());
            file.grants().for_each(|grant| drop(grants.insert(grant)));
        }
        for grant in &self.grants {
            grants.insert(grant.grant());
        }
        let mut launches = Launches::new();
        for launch in &self.launches {
            // A case may have other agents than the one that was launched before.
            let Some(agent) = agents.get(&launch.agent) else { continue };
            let mut agent = (**agent).clone();
            agent.manifest.version = launch.version.clone().unwrap_or(agent.manifest.version);
            launches.insert(Launch {
                id: format!("launch of {}", launch.agent).into(),
                agent: Arc::new(agent),
                pid: launch.pid,
                start_time: launch.start_time,
            });
        }
        let catalogue = Catalogue::shipped().unwrap();
        let policy = match &self.policies {
            Some(sources) => {
                let sources: Vec<_> = sources.iter().collect();
                Policy::load(&sources, &catalogue, agents.action_names())
            }
            None => Policy::load(Policy::shipped(), &catalogue, agents.action_names()),
        };
        Snapshot {
            generation: 1,
            locked: self.snapshot.locked,
            quarantined_device: self.snapshot.quarantined_device,
            quarantined_agents: self.snapshot.quarantined_agents.iter().cloned().collect(),
            session: self.session.state(),
            keys_fresh_until: self.snapshot.keys_fresh_until,
            agents,
            grants,
            declined: agentauth_core::consent::Declined::default(),
            launches,
            presence: agentauth_core::Presence { seen: Some(self.now), ..Default::default() },
            policy: Arc::new(policy.unwrap_or_else(|faults| panic!("{faults}"))),
            catalogue: Arc::new(catalogue),
            max_confirmation_age: SignedDuration::from_secs(self.snapshot.max_confirmation_age_seconds),
            device: Arc::new(Device {
                zone: self.snapshot.zone.as_deref().and_then(Zone::named).unwrap_or_default(),
                ..Device::default()
            }),
        }
    }
}

impl SessionText {
    pub(crate) fn state(&self) -> SessionState {
        let user =
            User { subject: "U2abc".into(), name: Some("Ada".into()), email: Some("ada@example.com".into()) };
        match self.state.as_str() {
            "logged_out" => SessionState::LoggedOut,
            "unverified" => SessionState::Unverified {
                user: Some(user),
                since: self.logged_in_at,
                why: "no answer".into(),
            },
            "over" => SessionState::Over { user: Some(user), why: self.why.unwrap(), at: self.logged_in_at },
            "active" => {
                let claims = SessionClaims {
                    subject: user.subject.clone(),
                    issuer: "https://api.descope.com/P2abc".into(),
                    issued_at: Some(self.logged_in_at),
                    expires_at: self.expires_at,
                    refresh_expires_at: self.refresh_expires_at,
                    roles: self.roles.clone(),
                    permissions: self.permissions.clone(),
                    tenants: self.tenants.clone(),
                    current_tenant: self.current_tenant.clone(),
                    factors: self.factors.clone(),
                    acr: self.acr.clone(),
                    stepped_up: self.stepped_up,
                    warnings: Vec::new(),
                };
                let rights = claims.effective(self.acts_in.as_deref());
                SessionState::Active(Arc::new(Session {
                    user,
                    claims,
                    rights,
                    key_id: "K1".into(),
                    confirmed_at: self.confirmed_at,
                    logged_in_at: self.logged_in_at,
                    limits: SessionLimits {
                        max_age: self.max_age_seconds.map(SignedDuration::from_secs),
                        revalidate_every: self.revalidate_every_seconds.map(SignedDuration::from_secs),
                    },
                }))
            }
            other => panic!("`{other}` is no state of a session"),
        }
    }
}

impl GrantText {
    pub(crate) fn grant(&self) -> Grant {
        let grant = Grant::new(&self.agent, self.scope.clone(), self.lifetime);
        let grant = if self.denied { grant.refused() } else { grant };
        let grant = match self.login {
            Some(login) => grant.during(login),
            None => grant,
        };
        match self.strength {
            Some(_) => {
                let consent = Some("ask_1".into());
                grant.bound(Binding { consent, strength: self.strength, ..Binding::default() })
            }
            None => grant,
        }
    }
}

pub(crate) fn testdata() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

pub(crate) fn read_json(path: &PathBuf) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The world that every scenario starts from.
pub(crate) fn base() -> Value {
    read_json(&testdata().join("world.json"))
}

/// Puts the members of `over` over those of `under`: `snapshot`, `session` and `callers` member by member, `grants`
/// in addition, others whole.
pub(crate) fn overlay(under: &mut Value, over: &Value) {
    let under = under.as_object_mut().unwrap();
    for (name, value) in over.as_object().unwrap() {
        match (name.as_str(), under.get_mut(name)) {
            ("snapshot" | "session" | "callers", Some(Value::Object(members))) => {
                members.extend(value.as_object().unwrap().clone());
            }
            ("grants", Some(Value::Array(grants))) => {
                grants.extend(value.as_array().unwrap().iter().cloned())
            }
            _ => {
                under.insert(name.clone(), value.clone());
            }
        }
    }
}
