//! What decisions rest on, ready to be named in their records: sets of facts, put together and digested when something in
//! them changes, and never for a single decision.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use agentauth_audit::Event;
use agentauth_core::session::{Session, SessionState};
use agentauth_core::snapshot::Snapshot;
use agentauth_core::{
    Agent, AgentSet, CallerFacts, CallerSet, Catalogue, FactKind, FactSet, MachineSet, Policy, SessionSet,
    Timestamp,
};
use arc_swap::ArcSwapOption;
use foldhash::fast::RandomState;
use serde::Serialize;
use serde_json::json;

use super::record;
use super::recorder::{Ground, WrittenIn};

/// How many sets are remembered. One that is forgotten is put together, and written, once more.
const REMEMBERED: usize = 256;
/// Of how many agents the sets are kept ready.
const AGENTS: usize = 4096;

/// One set of facts, and where it was written.
#[derive(Debug)]
pub(crate) struct Fact {
    set: FactSet,
    written_in: WrittenIn,
}

impl Fact {
    fn new(set: FactSet) -> Arc<Self> {
        Arc::new(Self { set, written_in: WrittenIn::default() })
    }

    /// What it says.
    pub(crate) fn set(&self) -> &FactSet {
        &self.set
    }
}

impl Ground for Fact {
    fn written_in(&self) -> &WrittenIn {
        &self.written_in
    }

    fn event(&self, now: Timestamp) -> Event<'_> {
        record::facts(&self.set, now)
    }
}

/// The sets that decisions rest on.
pub(crate) struct Grounds {
    machine: Arc<Fact>,
    session: ArcSwapOption<SessionSeen>,
    rules: ArcSwapOption<(RulesSeen, Arc<Fact>)>,
    agents: RwLock<HashMap<Arc<str>, AgentSeen, RandomState>>,
    /// Every set that is in use or was lately, by digest: what comes again was written already.
    book: Mutex<HashMap<Arc<str>, Arc<Fact>>>,
}

/// An agent, with the set that was made of it.
type AgentSeen = (Arc<Agent>, Arc<Fact>);

/// A session and when the person was seen last, with the set that was made of the two.
struct SessionSeen {
    session: Arc<Session>,
    person: Option<Timestamp>,
    fact: Arc<Fact>,
}

/// The rules that a set was made of.
struct RulesSeen {
    policy: Arc<Policy>,
    catalogue: Arc<Catalogue>,
    seconds: [i64; 2],
}

impl Grounds {
    /// On this machine.
    pub(crate) fn new(machine: &MachineSet) -> Self {
        let machine = FactSet::new(FactKind::Machine, machine);
        Self {
            machine: Fact::new(machine),
            session: ArcSwapOption::empty(),
            rules: ArcSwapOption::empty(),
            agents: RwLock::default(),
            book: Mutex::default(),
        }
    }

    /// What is known of this caller. Not for every decision: whoever asks keeps it.
    pub(crate) fn of_caller(&self, caller: &CallerFacts) -> Arc<Fact> {
        self.fact(FactKind::Caller, &CallerSet::of(caller))
    }

    /// Everything that a decision about these agents rests on in this snapshot.
    pub(crate) fn of(&self, snapshot: &Snapshot, agents: &[String], caller: Arc<Fact>) -> Vec<Arc<Fact>> {
        let mut facts = Vec::with_capacity(4 + agents.len());
        facts.push(caller);
        facts.extend(
            agents.iter().filter_map(|name| snapshot.agents.get(name)).map(|agent| self.agent(agent)),
        );
        if let SessionState::Active(session) = &snapshot.session {
            facts.push(self.session(session, snapshot.presence.seen));
        }
        facts.push(self.rules(snapshot));
        facts.push(Arc::clone(&self.machine));
        facts
    }

    fn session(&self, session: &Arc<Session>, person: Option<Timestamp>) -> Arc<Fact> {
        if let Some(known) = &*self.session.load()
            && Arc::ptr_eq(&known.session, session)
            && known.person == person
        {
            return Arc::clone(&known.fact);
        }
        let fact = self.fact(FactKind::Session, &SessionSet::of(session, person));
        let seen = SessionSeen { session: Arc::clone(session), person, fact: Arc::clone(&fact) };
        self.session.store(Some(Arc::new(seen)));
        fact
    }

    fn rules(&self, snapshot: &Snapshot) -> Arc<Fact> {
        let seconds = [snapshot.max_confirmation_age.as_secs(), snapshot.presence.recertify_after.as_secs()];
        if let Some(known) = &*self.rules.load()
            && Arc::ptr_eq(&known.0.policy, &snapshot.policy)
            && Arc::ptr_eq(&known.0.catalogue, &snapshot.catalogue)
            && known.0.seconds == seconds
        {
            return Arc::clone(&known.1);
        }
        let fact = self.fact(
            FactKind::Rules,
            &json!({
                "policies": snapshot.policy.digest(),
                "catalogue": snapshot.catalogue.digest(),
                "max_confirmation_age_seconds": seconds[0],
                "recertify_after_seconds": seconds[1],
            }),
        );
        let seen = RulesSeen {
            policy: Arc::clone(&snapshot.policy),
            catalogue: Arc::clone(&snapshot.catalogue),
            seconds,
        };
        self.rules.store(Some(Arc::new((seen, Arc::clone(&fact)))));
        fact
    }

    fn agent(&self, agent: &Arc<Agent>) -> Arc<Fact> {
        {
            let agents = self.agents.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((known, fact)) = agents.get(&agent.name)
                && Arc::ptr_eq(known, agent)
            {
                return Arc::clone(fact);
            }
        }
        let fact = self.fact(FactKind::Agent, &AgentSet::of(agent));
        let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
        if agents.len() >= AGENTS {
            agents.clear();
        }
        agents.insert(Arc::clone(&agent.name), (Arc::clone(agent), Arc::clone(&fact)));
        fact
    }

    fn fact(&self, kind: FactKind, facts: &impl Serialize) -> Arc<Fact> {
        let set = FactSet::new(kind, facts);
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = book.get(set.digest()) {
            return Arc::clone(known);
        }
        if book.len() >= REMEMBERED {
            book.clear();
        }
        let digest = Arc::clone(set.digest());
        let fact = Fact::new(set);
        book.insert(digest, Arc::clone(&fact));
        fact
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_the_same_set_and_what_is_remembered_is_bounded() {
        let grounds = Grounds::new(&MachineSet::default());
        let caller = |path: String| {
            let mut facts = CallerFacts::default();
            facts.process.executable =
                Some(agentauth_core::ExecutableFacts { path, ..agentauth_core::ExecutableFacts::default() });
            facts
        };
        let first = grounds.of_caller(&caller("/a".to_owned()));
        first.written_in().put(7);
        assert!(grounds.of_caller(&caller("/a".to_owned())).written_in().is(7) && !first.written_in().is(8));
        for number in 0..3 * REMEMBERED {
            grounds.of_caller(&caller(format!("/{number}")));
        }
        assert!(grounds.book.lock().unwrap().len() <= REMEMBERED);
    }
}
