//! What policies allow that nobody was asked about: each such consent is in the record's file before the first decision there
//! that rests on it.
//!
//! The policy itself is the grant, so nothing is kept beside the record: whoever takes the policy away ends it. A consent is
//! written anew into each file of the record, and when policies are loaded anew, so that a file tells by itself what its
//! decisions rest on.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::{Arc, PoisonError, RwLock};

use agentauth_audit::Event;
use agentauth_core::{Agent, Decision, Effect, Policy, Scope, Snapshot, Timestamp};
use foldhash::fast::RandomState;

use super::record;
use super::recorder::{Ground, WrittenIn};

/// How many consents are remembered. One that is forgotten is written once more.
const REMEMBERED: usize = 4096;

/// One consent by policy, and where it was written.
#[derive(Debug)]
pub(crate) struct Preapproval {
    agent: Arc<Agent>,
    user: Option<String>,
    scope: Scope,
    /// The policy's name.
    policy: String,
    /// The set that it is in.
    rules: Arc<Policy>,
    device: String,
    written_in: WrittenIn,
}

/// The consents by policy that decisions rested on.
#[derive(Default)]
pub(crate) struct Preapprovals {
    known: RwLock<Known>,
    hasher: RandomState,
}

#[derive(Default)]
struct Known {
    /// The set of policies that all of them are by.
    rules: Option<Arc<Policy>>,
    /// By the hash of what tells them apart.
    consents: HashMap<u64, Arc<Preapproval>, RandomState>,
}

impl Preapprovals {
    /// The consents by policy that this decision of this snapshot rests on.
    pub(crate) fn of(&self, decision: &Decision, snapshot: &Snapshot) -> Vec<Arc<Preapproval>> {
        let consent = |effect: &Effect| match effect {
            Effect::Preapproved { agent, scope, policy } => {
                // Who is decided about is in the snapshot.
                let agent = snapshot.agents.get(agent)?;
                Some(self.one(agent, decision.user.as_deref(), scope, policy, snapshot))
            }
            _ => None,
        };
        decision.effects.iter().filter_map(consent).collect()
    }

    fn one(
        &self,
        agent: &Arc<Agent>,
        user: Option<&str>,
        scope: &Scope,
        policy: &str,
        snapshot: &Snapshot,
    ) -> Arc<Preapproval> {
        let rules = &snapshot.policy;
        let key = self.hasher.hash_one((Arc::as_ptr(agent), user, scope, policy));
        let is_it = |known: &&Arc<Preapproval>| {
            Arc::ptr_eq(&known.agent, agent)
                && Arc::ptr_eq(&known.rules, rules)
                && known.user.as_deref() == user
                && known.scope == *scope
                && known.policy == policy
        };
        let found = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = found.consents.get(&key).filter(is_it) {
            return Arc::clone(known);
        }
        drop(found);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.consents.get(&key).filter(is_it) {
            return Arc::clone(known);
        }
        let others = known.rules.as_ref().is_none_or(|known| !Arc::ptr_eq(known, rules));
        if others || known.consents.len() >= REMEMBERED {
            *known = Known { rules: Some(Arc::clone(rules)), consents: HashMap::default() };
        }
        let consent = Arc::new(Preapproval {
            agent: Arc::clone(agent),
            user: user.map(str::to_owned),
            scope: scope.clone(),
            policy: policy.to_owned(),
            rules: Arc::clone(rules),
            device: snapshot.device.id.clone(),
            written_in: WrittenIn::default(),
        });
        known.consents.insert(key, Arc::clone(&consent));
        consent
    }
}

impl Ground for Preapproval {
    fn written_in(&self) -> &WrittenIn {
        &self.written_in
    }

    fn event(&self, now: Timestamp) -> Event<'_> {
        let consent = record::Preapproved {
            agent: &self.agent.name,
            manifest_digest: &self.agent.manifest_digest,
            user: self.user.as_deref(),
            scope: &self.scope,
            policy: &self.policy,
            rules: self.rules.digest(),
            device: &self.device,
        };
        record::preapproved(&consent, now)
    }
}

#[cfg(test)]
mod tests {
    use agentauth_audit::{AuditLog, Kind, Trail};
    use agentauth_core::scenario::World;
    use agentauth_core::{Catalogue, CheckRequest, DecisionId, Grants, Subject, decide};

    use super::super::recorder::Recorder;
    use super::*;

    fn world() -> World {
        serde_json::from_str(include_str!("../../../agentauth-core/testdata/world.json")).unwrap()
    }

    /// Where a policy grants what is of no high risk, and nothing else does.
    fn snapshot(world: &World) -> Snapshot {
        let catalogue = Arc::new(Catalogue::shipped().unwrap());
        let text = "@id(\"org\") @preapprove permit(principal, action, resource);";
        let policy = Policy::load(&[("org", text)], &catalogue, world.actions().unwrap()).unwrap();
        Snapshot { grants: Grants::new(), ..world.snapshot(&catalogue, &Arc::new(policy)).unwrap() }
    }

    fn allowed(world: &World, snapshot: &Snapshot, scope: &str) -> Decision {
        let request = CheckRequest { scopes: vec![scope.parse().unwrap()], ..CheckRequest::default() };
        let subject = Subject::Caller(&world.callers["files"]);
        let decision = decide(snapshot, &request, subject, DecisionId::new("d"), world.now);
        assert!(decision.allow, "{decision:?}");
        decision
    }

    #[test]
    fn a_consent_by_policy_stands_in_each_file_before_what_rests_on_it() {
        let (world, directory) = (world(), tempfile::tempdir().unwrap());
        let (snapshot, preapprovals) = (snapshot(&world), Preapprovals::default());
        let recorder = Recorder::new(AuditLog::open(directory.path(), world.now).unwrap());
        let decision = allowed(&world, &snapshot, "files.read:/projects");
        let event = Event::new(Kind::Decision, world.now);
        let append = |consents: &[Arc<Preapproval>]| recorder.append_resting_on(&[], consents, &event);
        append(&preapprovals.of(&decision, &snapshot)).unwrap();
        append(&preapprovals.of(&decision, &snapshot)).unwrap();
        // Another file begins between the look at what is written and the write.
        let consents = preapprovals.of(&decision, &snapshot);
        recorder.log().rotate(world.now).unwrap().unwrap();
        append(&consents).unwrap();
        std::fs::remove_file(recorder.log().path()).unwrap();
        assert!(append(&consents).is_err());
        append(&consents).unwrap();
        let last = || -> Vec<Kind> {
            let entries = Trail::new(directory.path()).entries().unwrap();
            entries.filter_map(|entry| entry.ok().map(|entry| entry.event.kind)).collect()
        };
        let consent_and_decision = [Kind::ConsentPreapproved, Kind::Decision];
        let kinds = last();
        assert_eq!(kinds[..3], [Kind::ConsentPreapproved, Kind::Decision, Kind::Decision], "{kinds:?}");
        let after: Vec<Kind> =
            kinds.into_iter().skip_while(|kind| *kind != Kind::ChainRecovered).skip(1).collect();
        assert_eq!(after[..2], consent_and_decision, "{after:?}");
    }

    #[test]
    fn a_consent_is_the_same_as_long_as_nothing_about_it_changes_and_what_is_remembered_is_bounded() {
        let world = world();
        let (first, preapprovals) = (snapshot(&world), Preapprovals::default());
        let one = |snapshot: &Snapshot, scope: &str| {
            preapprovals.of(&allowed(&world, snapshot, scope), snapshot).remove(0)
        };
        let consent = one(&first, "files.read:/projects");
        assert!(Arc::ptr_eq(&consent, &one(&first.clone(), "files.read:/projects")));
        assert!(!Arc::ptr_eq(&consent, &one(&first, "files.read:/projects/alpha")));
        let loaded_anew = snapshot(&world);
        assert!(!Arc::ptr_eq(&consent, &one(&loaded_anew, "files.read:/projects")));
        assert_eq!(
            preapprovals.known.read().unwrap().consents.len(),
            1,
            "those of the policies before are gone"
        );
        for number in 0..=REMEMBERED {
            one(&loaded_anew, &format!("files.read:/projects/{number}"));
        }
        assert!(preapprovals.known.read().unwrap().consents.len() <= REMEMBERED);
    }
}
