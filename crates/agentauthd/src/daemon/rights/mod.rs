//! The one writer of registrations and grants.
//!
//! What gives rights is recorded first, brought to disk, then written to the state database, then put into the
//! snapshot. What takes them away goes the other way round, so that it holds whatever fails afterwards. The database
//! holds copies: at the start only what the record bears out counts.

mod carried;
mod draft;
mod expiry;
mod mandate;
mod own;
mod reload;
mod replay;

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use agentauth_audit::{AuditError, Event};
use agentauth_core::agent::{Agent, Registration, Source};
use agentauth_core::caller::CallerFacts;
use agentauth_core::grant::{Binding, Grant, Lifetime};
use agentauth_core::mandate::MandateFault;
use agentauth_core::policy::{Policy, PolicyFaults, PolicyFile};
use agentauth_core::text::display_safe_within;
use agentauth_core::widening::Confirmed;
use agentauth_core::{Clock, Snapshot};
use agentauth_idp::Chain;
use agentauth_store::{ProfileName, RightsChange, StateDb, StateError};
use tokio::sync::Mutex;

use super::domains::Domains;
use super::events::Events;
use super::policies::AdminPolicies;
use super::record;
use super::recorder::Recorder;
use super::state::State;
pub(crate) use carried::entries as carried;
pub(crate) use draft::Drafted;
pub(crate) use own::{Basis, InForce, Sources, Wished};
pub(crate) use reload::{RefusedPolicies, Reloaded};
pub(crate) use replay::{LastRun, Standings, ledger, standings};

/// At most this many grants are named in one record.
const GRANTS_PER_RECORD: usize = 256;

/// Registers and removes agents, gives and takes grants.
pub(crate) struct Rights {
    pub(crate) state: Arc<State>,
    pub(crate) db: Arc<StateDb>,
    pub(crate) profile: ProfileName,
    pub(crate) audit: Recorder,
    pub(crate) clock: Arc<dyn Clock>,
    /// The policy files in force: a newly registered action makes them be validated anew.
    pub(crate) policies: RwLock<Vec<PolicyFile>>,
    /// Where the administrator's policies are, and the administrator.
    pub(crate) admin_policies: (PathBuf, u32),
    /// Those of them that are in force.
    pub(crate) administrators: RwLock<Arc<AdminPolicies>>,
    /// The newest policies, where they were refused.
    pub(crate) refused_policies: std::sync::Mutex<Option<RefusedPolicies>>,
    pub(crate) events: Arc<Events>,
    /// Where the person's policies are.
    pub(crate) policies_dir: PathBuf,
    /// The domains by which enforcers ask.
    pub(crate) domains: Arc<Domains>,
    /// The person's own rules that are in force.
    pub(crate) own_rules: std::sync::Mutex<InForce>,
    /// Where the person's own rules are read anew.
    pub(crate) sources: Sources,
    /// The user whose files count.
    pub(crate) owner: u32,
    /// Changes take turns, so that record, database and snapshot tell one story.
    pub(crate) turn: Mutex<()>,
}

/// Why a right was not given, or not taken away.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RightsError {
    #[error("there is no registered agent `{}`: see `agentauthd agent list`", display_safe_within(.0, 64))]
    NoAgent(String),
    #[error("there is no grant `{}`: see `agentauthd grants`", display_safe_within(.0, 64))]
    NoGrant(String),
    #[error("`{}` is a refusal, and without it more would be allowed: nobody takes it away", display_safe_within(.0, 64))]
    Refusal(String),
    #[error(
        "`{}` is registered by this machine's administrator, and only the administrator can change that",
        display_safe_within(.0, 64)
    )]
    Administrators(String),
    #[error("`{path}` cannot be registered: give the absolute path of a file that you can read")]
    File {
        /// The path, safe to show.
        path: String,
        /// What is wrong.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("`{}` is an interpreter, and every program it runs would be this agent: name the script too", display_safe_within(.0, 200))]
    NoScript(String),
    #[error("{0}")]
    Selectors(String),
    #[error("what it would replace has changed meanwhile: look at it again, and ask anew")]
    Overtaken,
    #[error(transparent)]
    Mandate(#[from] MandateFault),
    #[error("everything is paused, so nothing can be allowed: end the pause with `agentauthd unlock` first")]
    Paused,
    #[error("nobody is logged in whose rights it would use: log in with `agentauthd login` first")]
    NoLogin,
    #[error("the files cannot be applied: {0}")]
    Rules(String),
    #[error("the policies in force do not go together with what the agent asks for")]
    Policy(#[source] PolicyFaults),
    #[error("it could not be recorded, so it does not count")]
    Audit(#[source] AuditError),
    #[error("it could not be written to the state database")]
    State(#[source] StateError),
}

/// What removing an agent did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    /// How many grants went with it.
    pub(crate) grants: usize,
    /// What could not be done; the agent has lost its rights all the same.
    pub(crate) failures: Vec<String>,
}

/// What revoking a grant did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revoked {
    /// The grant.
    pub(crate) grant: Arc<Grant>,
    /// What could not be done; the grant is gone all the same.
    pub(crate) failures: Vec<String>,
}

impl Rights {
    /// Registers an agent in place of what has its name. Grants stay as far as the new manifest still asks for what they
    /// allow. `replacing` is the digest of the registration that the person saw it replace, if any.
    pub(crate) async fn register(
        &self,
        registration: Registration,
        replacing: Option<&str>,
        by: &CallerFacts,
        confirmed: Option<&Confirmed>,
    ) -> Result<(), RightsError> {
        let _turn = self.turn.lock().await;
        let before = self.state.load().agents.get(&registration.manifest.name).cloned();
        if let Some(before) = before.as_deref().filter(|before| before.source == Source::Administrator) {
            return Err(RightsError::Administrators((*before.name).to_owned()));
        }
        if before.as_deref().map(|before| before.registration().digest()).as_deref() != replacing {
            return Err(RightsError::Overtaken);
        }
        let agent = registration.agent();
        let policy = self.policy_for(&agent)?;
        let now = self.clock.now();
        let (carried, ended) = self.carried(before.as_deref(), &agent);
        self.audit
            .append(&record::agent_registered(&registration, by, confirmed, now))
            .map_err(RightsError::Audit)?;
        let grants: Vec<Grant> = carried.iter().map(|(_, grant)| grant.clone()).collect();
        for grants in grants.chunks(GRANTS_PER_RECORD) {
            self.audit
                .append(&record::grants_carried(&agent.name, grants, now))
                .map_err(RightsError::Audit)?;
        }
        for ids in ended.chunks(GRANTS_PER_RECORD) {
            self.audit.append(&record::grants_replaced(&agent.name, ids, now)).map_err(RightsError::Audit)?;
        }
        self.audit.to_disk().await.map_err(RightsError::Audit)?;
        self.write(RightsChange {
            agents_in: vec![((*agent.name).to_owned(), registration.to_json())],
            grants_in: rows(&grants),
            grants_out: ended.clone(),
            ..RightsChange::default()
        })
        .await
        .map_err(RightsError::State)?;
        let name = Arc::clone(&agent.name);
        let mut revoked = Vec::new();
        self.state.change(|snapshot| {
            if let Some(policy) = policy {
                snapshot.policy = Arc::new(policy);
            }
            // A revocation takes effect at once and writes later: what was revoked meanwhile is not carried on.
            let (stand, gone): (Vec<_>, Vec<_>) =
                carried.into_iter().partition(|(from, _)| snapshot.grants.get(from).is_some());
            revoked = gone.into_iter().map(|(_, grant)| (*grant.id).to_owned()).collect();
            for id in &ended {
                snapshot.grants.remove(id);
            }
            for (_, grant) in stand {
                snapshot.grants.insert(grant);
            }
            snapshot.agents.insert(agent);
        });
        self.events.taken(&name, &ended, "replaced");
        self.events.given(&name, grants.iter().filter(|grant| !revoked.iter().any(|id| **id == *grant.id)));
        if !revoked.is_empty() {
            self.write(RightsChange { grants_out: revoked.clone(), ..RightsChange::default() })
                .await
                .map_err(RightsError::State)?;
            self.audit.append(&record::grants_replaced(&name, &revoked, now)).map_err(RightsError::Audit)?;
        }
        Ok(())
    }

    /// Removes an agent with its grants.
    pub(crate) async fn remove_agent(&self, name: &str, by: &CallerFacts) -> Result<Removed, RightsError> {
        let agent = self.state.load().agents.get(name).cloned();
        let agent = agent.ok_or_else(|| RightsError::NoAgent(name.to_owned()))?;
        if agent.source == Source::Administrator {
            return Err(RightsError::Administrators(name.to_owned()));
        }
        // At once, whoever else is busy here.
        let take = |snapshot: &mut Snapshot| {
            snapshot.agents.remove(name);
            let ids: Vec<String> =
                snapshot.grants.of_agent(name).map(|grant| (*grant.id).to_owned()).collect();
            snapshot.grants.remove_agent(name);
            ids
        };
        let mut ids = Vec::new();
        self.state.change(|snapshot| ids = take(snapshot));
        let _turn = self.turn.lock().await;
        // Somebody may have had a turn in between; this is the newer word.
        self.state.change(|snapshot| ids.extend(take(snapshot)));
        self.events.taken(&agent.name, &ids, "removed");
        let mut failures = Vec::new();
        let change = RightsChange {
            agents_out: vec![name.to_owned()],
            grants_out: ids.clone(),
            ..RightsChange::default()
        };
        if let Err(error) = self.write(change).await {
            failures
                .push(format!("the agent would be back after a restart of agentauthd: {}", Chain(&error)));
        }
        let now = self.clock.now();
        if let Err(error) = self.audit.append(&record::agent_removed(name, by, now)) {
            failures.push(Chain(&error).to_string());
        }
        for ids in ids.chunks(GRANTS_PER_RECORD) {
            if let Err(error) = self.audit.append(&record::grants_replaced(name, ids, now)) {
                failures.push(Chain(&error).to_string());
            }
        }
        Ok(Removed { grants: ids.len(), failures })
    }

    /// Gives grants; `event` is the record that names them all ([`Event::grants`]) and says by whose word.
    pub(crate) async fn give(&self, grants: Vec<Grant>, event: &Event<'_>) -> Result<(), RightsError> {
        let _turn = self.turn.lock().await;
        let snapshot = self.state.load_full();
        for grant in &grants {
            let agent = snapshot.agents.get(&grant.agent);
            let agent = agent.ok_or_else(|| RightsError::NoAgent((*grant.agent).to_owned()))?;
            // Given for a manifest that is another one by now.
            let bound = grant.binding.manifest_digest.as_deref();
            if bound.is_some_and(|digest| digest != agent.manifest_digest) {
                return Err(RightsError::Overtaken);
            }
        }
        self.audit.append(event).map_err(RightsError::Audit)?;
        self.audit.to_disk().await.map_err(RightsError::Audit)?;
        self.write(RightsChange { grants_in: rows(&grants), ..RightsChange::default() })
            .await
            .map_err(RightsError::State)?;
        self.state.change(|snapshot| {
            for grant in &grants {
                snapshot.grants.insert(grant.clone());
            }
        });
        if let Some(first) = grants.first() {
            self.events.given(&first.agent, &grants);
        }
        Ok(())
    }

    /// Takes a grant away. An administrator's comes back with every start, so a refusal that stands above it is put
    /// beside it.
    pub(crate) async fn revoke(&self, id: &str, by: &CallerFacts) -> Result<Revoked, RightsError> {
        let mut taken = None;
        let mut refused = false;
        self.state.change(|snapshot| {
            // To take a refusal away would give something.
            refused = snapshot.grants.get(id).is_some_and(|grant| grant.denied);
            taken = if refused { None } else { snapshot.grants.remove(id) };
        });
        if refused {
            return Err(RightsError::Refusal(id.to_owned()));
        }
        let grant = taken.ok_or_else(|| RightsError::NoGrant(id.to_owned()))?;
        self.events.taken(&grant.agent, &[id.to_owned()], "revoked");
        let _turn = self.turn.lock().await;
        let refusal = grant.binding.consent.is_none().then(|| {
            let binding = Binding { consent: Some(format!("revoked {id}").into()), ..Binding::default() };
            Grant::new(&grant.agent, grant.scope.clone(), Lifetime::UntilRevoked).refused().bound(binding)
        });
        self.state.change(|snapshot| {
            snapshot.grants.remove(id);
            if let Some(refusal) = &refusal {
                snapshot.grants.insert(refusal.clone());
            }
        });
        let mut failures = Vec::new();
        let change = RightsChange {
            grants_out: vec![id.to_owned()],
            grants_in: rows(refusal.as_slice()),
            ..RightsChange::default()
        };
        if let Err(error) = self.write(change).await {
            failures
                .push(format!("the grant would be back after a restart of agentauthd: {}", Chain(&error)));
        }
        let now = self.clock.now();
        let mut note = |event: &Event<'_>| {
            if let Err(error) = self.audit.append(event) {
                failures.push(Chain(&error).to_string());
            }
        };
        note(&record::grant_revoked(&grant, by, now));
        if let Some(refusal) = &refusal {
            note(&record::grants_carried(&grant.agent, std::slice::from_ref(refusal), now));
        }
        Ok(Revoked { grant, failures })
    }

    /// Takes one use of each of these grants, of all or of none; `false` where one of them has none left. The record
    /// of the decision that is to follow is the record of the use.
    pub(crate) fn spend(&self, ids: &[&str]) -> bool {
        let mut all = true;
        self.state.change(|snapshot| {
            let mut grants = snapshot.grants.clone();
            all = ids.iter().all(|id| grants.spend(id));
            if all {
                snapshot.grants = grants;
            }
        });
        all
    }

    /// The ids of the grants of which the database has a copy, while no change is under way. Blocking.
    pub(crate) fn copies(&self) -> Result<HashSet<String>, StateError> {
        let _turn = self.turn.blocking_lock();
        self.db.grant_ids(&self.profile)
    }

    /// The policies for a snapshot with this agent; nothing where those in force do.
    fn policy_for(&self, agent: &Agent) -> Result<Option<Policy>, RightsError> {
        let snapshot = self.state.load();
        let wanted = agent.manifest.scopes.iter().map(|entry| entry.scope.action_name());
        if wanted.clone().all(|action| snapshot.policy.knows(action)) {
            return Ok(None);
        }
        let actions: BTreeSet<&str> = snapshot.agents.action_names().chain(wanted).collect();
        let policies = self.policies.read().unwrap_or_else(PoisonError::into_inner);
        Policy::load_applied(&policies, &snapshot.catalogue, actions).map(Some).map_err(RightsError::Policy)
    }

    /// What the grants of the agent before become under its new manifest, each with the id that it follows from, and the
    /// ids that go.
    fn carried(&self, before: Option<&Agent>, after: &Agent) -> (Vec<(Arc<str>, Grant)>, Vec<String>) {
        let Some(before) = before.filter(|before| before.manifest_digest != after.manifest_digest) else {
            return (Vec::new(), Vec::new());
        };
        let snapshot = self.state.load();
        let bound = snapshot
            .grants
            .of_agent(&before.name)
            .filter(|grant| grant.binding.manifest_digest.as_deref() == Some(&*before.manifest_digest));
        let (mut carried, mut ended) = (Vec::new(), Vec::new());
        for grant in bound.filter(|grant| !grant.denied) {
            ended.push((*grant.id).to_owned());
            for entry in &after.manifest.scopes {
                let left = grant.carried_over(&entry.scope, &after.manifest_digest);
                carried.extend(left.map(|left| (Arc::clone(&grant.id), left)));
            }
        }
        (carried, ended)
    }

    async fn write(&self, change: RightsChange) -> Result<(), StateError> {
        let (db, profile) = (self.db.clone(), self.profile.clone());
        match tokio::task::spawn_blocking(move || db.change_rights(&profile, &change)).await {
            Ok(outcome) => outcome,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

fn rows(grants: &[Grant]) -> Vec<(String, String)> {
    grants.iter().map(|grant| ((*grant.id).to_owned(), grant.to_json())).collect()
}
