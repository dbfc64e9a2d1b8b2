//! What a scenario decides in, as JSON says it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::ScenarioFault;
use crate::agent::AgentFile;
use crate::agents::Agents;
use crate::caller::CallerFacts;
use crate::catalogue::{Catalogue, Strength};
use crate::claims::{SessionClaims, TenantRights};
use crate::consent::Declined;
use crate::device::Device;
use crate::grant::{Binding, Grant, Grants, Lifetime};
use crate::launches::{Launch, Launches};
use crate::policy::Policy;
use crate::presence::Presence;
use crate::scope::Scope;
use crate::session::{OverReason, Session, SessionLimits, SessionState, User};
use crate::snapshot::Snapshot;
use crate::time::{SignedDuration, Timestamp};
use crate::zone::Zone;

/// The world that an organisation's scenarios start from.
const PLAIN: &str = include_str!("plain.json");

/// Everything that a question is decided in, beside the catalogue and, where it names none, the policies.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct World {
    /// For readers.
    #[serde(default)]
    pub about: String,
    /// When it is asked.
    pub now: Timestamp,
    /// What is paused, and how fresh what is known is.
    pub snapshot: SnapshotText,
    /// Who is logged in.
    pub session: SessionText,
    /// Policy files by name, in place of those that are tested.
    pub policies: Option<BTreeMap<String, String>>,
    /// Registration files ([`AgentFile`]).
    pub agents: Vec<Value>,
    /// What is granted or refused beyond what the registrations say.
    #[serde(default)]
    pub grants: Vec<GrantText>,
    /// Processes that may ask, by name.
    #[serde(default)]
    pub callers: BTreeMap<String, CallerFacts>,
    /// What `agentauthd exec` started, and still runs.
    #[serde(default)]
    pub launches: Vec<LaunchText>,
    /// The machine.
    #[serde(default)]
    pub device: DeviceText,
    /// When the person was seen last; at the moment of the question, where it is absent.
    #[serde(default)]
    pub person_seen_at: Option<Timestamp>,
}

/// What is paused, and how fresh what is known is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotText {
    /// Whether everything is paused.
    pub locked: bool,
    /// Whether an administrator locked the device.
    pub quarantined_device: bool,
    /// The agents that an administrator locked.
    pub quarantined_agents: Vec<String>,
    /// Until when the provider's keys count as fresh; never, where it is absent.
    pub keys_fresh_until: Option<Timestamp>,
    /// How old the provider's last word may be for what is risky.
    pub max_confirmation_age_seconds: i64,
    /// The time zone in which policies read the time of day; UTC, where it is absent.
    #[serde(default)]
    pub zone: Option<String>,
}

/// Who is logged in, and how.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionText {
    /// `active`, `logged_out`, `unverified` or `over`.
    pub state: String,
    /// Why it is over.
    pub why: Option<OverReason>,
    /// The user's subject at the provider.
    #[serde(default)]
    pub user: Option<String>,
    /// The mail address.
    #[serde(default)]
    pub email: Option<String>,
    /// The roles in the project.
    pub roles: Vec<String>,
    /// The permissions in the project.
    pub permissions: Vec<String>,
    /// Roles and permissions inside tenants.
    pub tenants: Option<BTreeMap<String, TenantRights>>,
    /// The tenant that the token names (`dct`).
    pub current_tenant: Option<String>,
    /// The tenant in which the profile acts.
    pub acts_in: Option<String>,
    /// How the user proved who they are (`amr`).
    pub factors: Vec<String>,
    /// How strongly, in the provider's words.
    #[serde(default)]
    pub acr: Option<String>,
    /// Whether they have stepped up.
    pub stepped_up: bool,
    /// When the session token ends.
    pub expires_at: Timestamp,
    /// When the login ends.
    pub refresh_expires_at: Option<Timestamp>,
    /// When the provider last answered for it; at the moment of the question, where it is absent.
    #[serde(default)]
    pub confirmed_at: Option<Timestamp>,
    /// When the person logged in; by `auth_age_seconds`, where it is absent.
    #[serde(default)]
    pub logged_in_at: Option<Timestamp>,
    /// How many seconds before the question the person logged in.
    #[serde(default)]
    pub auth_age_seconds: u32,
    /// The age that the configuration lets a login become.
    pub max_age_seconds: Option<i64>,
    /// How often the configuration wants it confirmed.
    pub revalidate_every_seconds: Option<i64>,
}

/// A grant.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantText {
    /// To whom.
    pub agent: String,
    /// What for.
    pub scope: Scope,
    /// For how long.
    pub lifetime: Lifetime,
    /// Whether it is refused.
    #[serde(default)]
    pub denied: bool,
    /// The login that it is bound to.
    pub login: Option<Timestamp>,
    /// For how many checks.
    #[serde(default)]
    pub uses: Option<u32>,
    /// A person confirmed it so; absent for an administrator's.
    #[serde(default)]
    pub strength: Option<Strength>,
}

/// A launch that is alive: of the agent as it is registered, or of one registered otherwise.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchText {
    /// Of which agent.
    pub agent: String,
    /// The launcher's process.
    pub pid: u32,
    /// When that was started.
    pub start_time: u64,
    /// The version that was launched, where it is another one than is registered.
    #[serde(default)]
    pub version: Option<String>,
}

/// The machine.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceText {
    /// Names the installation.
    pub id: String,
    /// `linux`, `macos` or `windows`.
    pub os: String,
    /// Its version.
    pub os_version: Option<String>,
    /// The version of the daemon.
    pub daemon_version: String,
    /// Whether an administrator's directory is in force.
    pub managed: bool,
    /// Whether it has proven what it is.
    pub attested: bool,
}

/// An agent that exists for a scenario only: its manifest asks for exactly what is asked.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct MadeUp {
    /// Its name.
    pub name: String,
    /// The version in its manifest.
    pub version: String,
    /// The publisher in its manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// How well it is proven: `path`, `pinned` or `launched`.
    pub assurance: String,
    /// What it is allowed beforehand: `always`, `session`, `until` (for another hour), `once`, or `none`.
    pub grant: String,
    /// How the person confirmed that; absent where an administrator gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strength: Option<Strength>,
}

impl Default for MadeUp {
    fn default() -> Self {
        Self {
            name: "agent".to_owned(),
            version: "1.0.0".to_owned(),
            publisher: None,
            assurance: "path".to_owned(),
            grant: "always".to_owned(),
            strength: None,
        }
    }
}

impl World {
    /// The JSON of a world in which somebody is logged in, without a role, and no agent is registered.
    #[must_use]
    pub fn plain() -> Value {
        // A test reads it.
        serde_json::from_str(PLAIN).unwrap_or_default()
    }

    /// Every action that its agents ask for or are granted.
    ///
    /// # Errors
    /// A registration that is none.
    pub fn actions(&self) -> Result<BTreeSet<String>, ScenarioFault> {
        let files = self.files()?;
        let scopes = files.iter().flat_map(|file| file.manifest.scopes.iter().map(|wanted| &wanted.scope));
        let granted = self.grants.iter().map(|grant| &grant.scope);
        Ok(scopes.chain(granted).map(|scope| scope.action_name().to_owned()).collect())
    }

    /// The snapshot in which it is decided. `policy` is asked for only where the world names no policies of its own.
    ///
    /// # Errors
    /// A registration that is none, a session of an unknown state, or policies that cannot be loaded.
    pub fn snapshot(
        &self,
        catalogue: &Arc<Catalogue>,
        policy: &Arc<Policy>,
    ) -> Result<Snapshot, ScenarioFault> {
        let mut agents = Agents::new();
        let mut grants = Grants::new();
        for file in self.files()? {
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
        let policy = match &self.policies {
            Some(sources) => {
                let sources: Vec<_> = sources.iter().collect();
                Arc::new(Policy::load(&sources, catalogue, agents.action_names())?)
            }
            None => Arc::clone(policy),
        };
        Ok(Snapshot {
            generation: 1,
            locked: self.snapshot.locked,
            quarantined_device: self.snapshot.quarantined_device,
            quarantined_agents: self.snapshot.quarantined_agents.iter().cloned().collect(),
            session: self.session.state(self.now)?,
            keys_fresh_until: self.snapshot.keys_fresh_until,
            agents,
            grants,
            declined: Declined::default(),
            launches,
            presence: Presence { seen: self.person_seen_at.or(Some(self.now)), ..Presence::default() },
            policy,
            catalogue: Arc::clone(catalogue),
            max_confirmation_age: SignedDuration::from_secs(self.snapshot.max_confirmation_age_seconds),
            device: Arc::new(Device { zone: self.snapshot.zone()?, ..self.device.device() }),
        })
    }

    /// Adds an agent that asks for these scopes, and what it is allowed beforehand.
    ///
    /// # Errors
    /// An assurance or a grant that is none.
    pub fn make_up(&mut self, agent: &MadeUp, scopes: &[Scope]) -> Result<(), ScenarioFault> {
        let wanted: Vec<_> = scopes
            .iter()
            .map(|scope| json!({ "scope": scope, "purpose": "asked for in a scenario" }))
            .collect();
        let mut manifest = Map::new();
        manifest.insert("name".to_owned(), agent.name.as_str().into());
        manifest.insert("version".to_owned(), agent.version.as_str().into());
        manifest.insert("scopes".to_owned(), wanted.into());
        let publisher = agent.publisher.as_deref();
        manifest.extend(publisher.map(|publisher| ("publisher".to_owned(), publisher.into())));
        self.register(&agent.name, &manifest.into(), &agent.assurance)?;
        self.allow(&agent.name, scopes, &agent.grant, agent.strength)
    }

    /// Registers an agent of this manifest so that it is proven as well as `assurance` says: `path`, `pinned` or
    /// `launched`.
    ///
    /// # Errors
    /// An assurance that is none.
    pub fn register(&mut self, name: &str, manifest: &Value, assurance: &str) -> Result<(), ScenarioFault> {
        let executable = format!("/opt/agents/{name}");
        let selectors = match assurance {
            "path" | "launched" => json!({ "executable": executable }),
            "pinned" => json!({ "executable": executable, "sha256": "a".repeat(64) }),
            other => return Err(ScenarioFault::word("assurance", other, "`path`, `pinned`, `launched`")),
        };
        let launch_only = assurance == "launched";
        self.agents.push(json!({ "manifest": manifest, "selectors": selectors, "launch_only": launch_only }));
        Ok(())
    }

    /// Allows an agent these scopes: `always`, for this `session`, `until` an hour from now, `once`, or not (`none`).
    /// `strength`: how the person confirmed it, unless an administrator gave it.
    ///
    /// # Errors
    /// A grant that is none.
    pub fn allow(
        &mut self,
        agent: &str,
        scopes: &[Scope],
        grant: &str,
        strength: Option<Strength>,
    ) -> Result<(), ScenarioFault> {
        let lifetime = match grant {
            "none" => return Ok(()),
            "always" => Lifetime::UntilRevoked,
            "session" => Lifetime::Session,
            "until" | "once" => {
                let end = self.now.checked_add(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MAX);
                Lifetime::Until(end)
            }
            other => {
                let known = "`always`, `session`, `until`, `once`, `none`";
                return Err(ScenarioFault::word("grant", other, known));
            }
        };
        let granted = scopes.iter().map(|scope| GrantText {
            agent: agent.to_owned(),
            scope: scope.clone(),
            lifetime,
            denied: false,
            login: None,
            uses: (grant == "once").then_some(1),
            strength,
        });
        self.grants.extend(granted);
        Ok(())
    }

    fn files(&self) -> Result<Vec<AgentFile>, ScenarioFault> {
        let read = |file: &Value| AgentFile::parse(file.to_string().as_bytes()).map_err(ScenarioFault::Agent);
        self.agents.iter().map(read).collect()
    }
}

impl SessionText {
    /// The session at `now`.
    ///
    /// # Errors
    /// An unknown state, or one that is over without saying why.
    pub fn state(&self, now: Timestamp) -> Result<SessionState, ScenarioFault> {
        let user = User {
            subject: self.user.clone().unwrap_or_else(|| "U2abc".to_owned()),
            name: Some("Ada".to_owned()),
            email: self.email.clone().or_else(|| Some("ada@example.com".to_owned())),
        };
        let age = SignedDuration::from_secs(self.auth_age_seconds.into());
        let logged_in_at = self.logged_in_at.or_else(|| now.checked_sub(age).ok()).unwrap_or(now);
        match self.state.as_str() {
            "logged_out" => Ok(SessionState::LoggedOut),
            "unverified" => Ok(SessionState::Unverified {
                user: Some(user),
                since: logged_in_at,
                why: "no answer".to_owned(),
            }),
            "over" => match self.why {
                Some(why) => Ok(SessionState::Over { user: Some(user), why, at: logged_in_at }),
                None => Err(ScenarioFault::word("why", "", "`revoked`, `expired`, `answer_lost`, `max_age`")),
            },
            "active" => {
                let claims = SessionClaims {
                    subject: user.subject.clone(),
                    issuer: "https://api.descope.com/P2abc".to_owned(),
                    issued_at: Some(logged_in_at),
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
                Ok(SessionState::Active(Arc::new(Session {
                    user,
                    claims,
                    rights,
                    key_id: "K1".to_owned(),
                    confirmed_at: self.confirmed_at.unwrap_or(now),
                    logged_in_at,
                    limits: SessionLimits {
                        max_age: self.max_age_seconds.map(SignedDuration::from_secs),
                        revalidate_every: self.revalidate_every_seconds.map(SignedDuration::from_secs),
                    },
                })))
            }
            other => Err(ScenarioFault::word("state", other, "`active`, `logged_out`, `unverified`, `over`")),
        }
    }
}

impl GrantText {
    /// The grant.
    #[must_use]
    pub fn grant(&self) -> Grant {
        let grant = Grant::new(&self.agent, self.scope.clone(), self.lifetime);
        let grant = if self.denied { grant.refused() } else { grant };
        let grant = match self.login {
            Some(login) => grant.during(login),
            None => grant,
        };
        let grant = match self.strength {
            Some(_) => {
                let consent = Some("ask_1".into());
                grant.bound(Binding { consent, strength: self.strength, ..Binding::default() })
            }
            None => grant,
        };
        match self.uses {
            Some(uses) => grant.for_uses(uses),
            None => grant,
        }
    }
}

impl DeviceText {
    fn device(&self) -> Device {
        Device {
            id: self.id.clone(),
            os: self.os.clone(),
            os_version: self.os_version.clone(),
            daemon_version: self.daemon_version.clone(),
            managed: self.managed,
            attested: self.attested,
            ..Device::default()
        }
    }
}

impl SnapshotText {
    fn zone(&self) -> Result<Zone, ScenarioFault> {
        let Some(name) = &self.zone else { return Ok(Zone::default()) };
        Zone::named(name)
            .ok_or_else(|| ScenarioFault::word("zone", name, "the time zones, such as `Europe/Berlin`"))
    }
}

/// Puts the members of `over` over those of `under`: `snapshot`, `session`, `callers` and `device` member by member, `grants` in
/// addition, others whole. What is no object changes nothing.
pub fn overlay(under: &mut Value, over: &Map<String, Value>) {
    let Some(under) = under.as_object_mut() else { return };
    for (name, value) in over {
        match (name.as_str(), under.get_mut(name), value) {
            (
                "snapshot" | "session" | "callers" | "device",
                Some(Value::Object(members)),
                Value::Object(more),
            ) => members.extend(more.clone()),
            ("grants", Some(Value::Array(grants)), Value::Array(more)) => grants.extend(more.iter().cloned()),
            _ => drop(under.insert(name.clone(), value.clone())),
        }
    }
}
