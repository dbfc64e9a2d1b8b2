//! Random histories: sets of policies, states that follow upon each other, and questions that are asked again and again. All of it
//! follows from one number, so that a failure can be seen again.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod policies;
pub(crate) mod states;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use agentauth_core::consent::Declined;
use agentauth_core::{
    Agent, Agents, CallerFacts, CheckRequest, Decision, DecisionId, Grants, Launches, Policy, Signals,
    Snapshot, Subject, Timestamp, decide_watched,
};
use fastrand::Rng;

use crate::reference::{self, Rules, State, Told};

/// One history.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) rules: Vec<Rules>,
    pub(crate) states: Vec<State>,
    pub(crate) questions: Vec<Asking>,
    pub(crate) moments: Vec<Moment>,
}

/// A question, and who asks it: a process, or a person as the agent of a name.
#[derive(Debug, Clone)]
pub(crate) struct Asking {
    pub(crate) request: CheckRequest,
    pub(crate) caller: Result<CallerFacts, String>,
}

/// One question at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Moment {
    pub(crate) rules: usize,
    pub(crate) state: usize,
    pub(crate) question: usize,
    pub(crate) signals: Signals,
    pub(crate) now: Timestamp,
}

/// What the fast path works with, from one moment to the next: policies once loaded, and registrations and grants that are
/// changed and not made anew.
pub(crate) struct Stage<'a> {
    history: &'a History,
    policies: Vec<Option<Arc<Policy>>>,
    agents: Agents,
    grants: Grants,
    /// The state that both are of.
    state: Option<usize>,
}

impl Asking {
    pub(crate) fn subject(&self) -> Subject<'_> {
        match &self.caller {
            Ok(facts) => Subject::Caller(facts),
            Err(agent) => Subject::DryRun { agent },
        }
    }
}

impl History {
    /// The history of this number, with so many questions.
    pub(crate) fn of(seed: u64, moments: usize) -> Self {
        let random = &mut Rng::with_seed(seed);
        let actions: Arc<BTreeSet<String>> = Arc::new(
            states::THE_CATALOGUE
                .actions()
                .map(|(name, _)| name.to_owned())
                .chain(states::actions())
                .collect(),
        );
        let count = 1 + usize::from(chance(random, 0.3));
        let rules: Vec<Rules> = (0..count)
            .map(|_| {
                let (catalogue, actions) = (Arc::clone(&states::THE_CATALOGUE), Arc::clone(&actions));
                Rules::new(policies::files(random), catalogue, actions)
            })
            .collect();
        let mut all_states = vec![states::healthy(random)];
        for _ in 0..random.usize(3..8) {
            // Mostly something happens to what was, and sometimes to how it was in the beginning.
            let from = if chance(random, 0.3) { 0 } else { all_states.len() - 1 };
            let next = states::changed(random, &all_states[from]);
            all_states.push(next);
        }
        let questions: Vec<Asking> = (0..random.usize(3..8))
            .map(|_| Asking { request: states::request(random), caller: states::caller(random) })
            .collect();
        let mut now = Moment { rules: 0, state: 0, question: 0, signals: Signals::NONE, now: states::base() };
        let moments = (0..moments)
            .map(|_| {
                match random.u8(0..10) {
                    0 => now.state = random.usize(0..all_states.len()),
                    1 | 2 => now.now = states::moment(random),
                    3 => now.signals = states::signals(random),
                    4 => now.rules = random.usize(0..rules.len()),
                    _ => {}
                }
                now.question = random.usize(0..questions.len());
                now
            })
            .collect();
        Self { rules, states: all_states, questions, moments }
    }

    /// A moment with all that belongs to it, as few words as it takes.
    pub(crate) fn shown(&self, moment: &Moment) -> String {
        let Moment { rules, state, question, signals, now } = moment;
        let Asking { request, caller } = &self.questions[*question];
        let State { session, grants, declined, presence, device, keys_fresh_until, .. } =
            &self.states[*state];
        let grants: String =
            grants.iter().map(|grant| format!("\n  {} {}", grant.id, grant.to_json())).collect();
        format!(
            "at {now}, policies {rules}, state {state}, {signals:?}\n{request:?}\n{caller:?}\n{session:?}\n{device:?}\n\
             {presence:?}, keys until {keys_fresh_until:?}, {declined:?}\ngrants:{grants}\n{}\n",
            Texts(&self.rules[*rules].files)
        )
    }

    /// What the reference says.
    pub(crate) fn told(&self, moment: &Moment) -> Told {
        let asking = &self.questions[moment.question];
        let (state, rules) = (&self.states[moment.state], &self.rules[moment.rules]);
        let signals = |name: &str| signals_of(name, moment.signals);
        reference::decide(state, rules, &asking.request, asking.subject(), &signals, moment.now)
    }
}

/// Of two agents not both are noticed.
fn signals_of(agent: &str, signals: Signals) -> Signals {
    if agent == "payment-agent" { Signals::NONE } else { signals }
}

impl<'a> Stage<'a> {
    pub(crate) fn of(history: &'a History) -> Self {
        Self {
            history,
            policies: vec![None; history.rules.len()],
            agents: Agents::new(),
            grants: Grants::new(),
            state: None,
        }
    }

    /// What the fast path decides.
    pub(crate) fn decide(&mut self, moment: &Moment) -> Decision {
        let snapshot = self.snapshot(moment);
        let asking = &self.history.questions[moment.question];
        let watch = &mut |agent: &Agent, _: &dyn Fn(&agentauth_core::Scope) -> bool| {
            signals_of(&agent.name, moment.signals)
        };
        let id = DecisionId::new("d");
        decide_watched(&snapshot, &asking.request, asking.subject(), watch, id, moment.now)
    }

    pub(crate) fn snapshot(&mut self, moment: &Moment) -> Snapshot {
        let rules = &self.history.rules[moment.rules];
        let policy = self.policies[moment.rules].get_or_insert_with(|| loaded(rules));
        let state = &self.history.states[moment.state];
        if self.state.replace(moment.state) != Some(moment.state) {
            bring(&mut self.agents, &mut self.grants, state);
        }
        let mut launches = Launches::new();
        state.launches.iter().cloned().for_each(|launch| launches.insert(launch));
        let mut declined = Declined::default();
        for no in &state.declined {
            match &no.scope {
                Some(scope) => declined.decline(&no.agent, scope.clone(), states::base(), no.until),
                None => declined.decline_everything(&no.agent, states::base(), no.until),
            }
        }
        Snapshot {
            generation: 1,
            locked: state.locked,
            quarantined_device: state.quarantined_device,
            quarantined_agents: state.quarantined_agents.iter().cloned().collect(),
            session: state.session.clone(),
            keys_fresh_until: state.keys_fresh_until,
            agents: self.agents.clone(),
            grants: self.grants.clone(),
            presence: state.presence,
            declined,
            launches,
            policy: Arc::clone(policy),
            catalogue: Arc::clone(&rules.catalogue),
            max_confirmation_age: state.max_confirmation_age,
            device: Arc::clone(&state.device),
        }
    }
}

/// Loads a set of policies.
pub(crate) fn loaded(rules: &Rules) -> Arc<Policy> {
    let policy = Policy::load_files(&rules.files, &rules.catalogue, rules.actions.iter());
    Arc::new(policy.unwrap_or_else(|faults| panic!("{faults}\n{}", Texts(&rules.files))))
}

/// Makes registrations and grants those of `state`, without touching what stays.
fn bring(agents: &mut Agents, grants: &mut Grants, state: &State) {
    for agent in &state.agents {
        if agents.get(&agent.name).is_none_or(|known| **known != *agent) {
            agents.insert(agent.clone());
        }
    }
    let gone: Vec<_> = agents
        .iter()
        .filter(|known| !state.agents.iter().any(|agent| agent.name == known.name))
        .map(|known| Arc::clone(&known.name))
        .collect();
    gone.iter().for_each(|name| drop(agents.remove(name)));
    let gone: Vec<_> = grants
        .iter()
        .filter(|known| !state.grants.iter().any(|grant| *grant == ***known))
        .map(|known| Arc::clone(&known.id))
        .collect();
    gone.iter().for_each(|id| drop(grants.remove(id)));
    for grant in &state.grants {
        if grants.get(&grant.id).is_none() {
            grants.insert(grant.clone());
        }
    }
}

/// The texts of policies, for a failure.
pub(crate) struct Texts<'a>(pub(crate) &'a [agentauth_core::policy::PolicyFile]);

impl fmt::Display for Texts<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|file| write!(formatter, "// {}\n{}", file.name, file.text))
    }
}

pub(crate) fn chance(random: &mut Rng, probability: f64) -> bool {
    random.f64() < probability
}

pub(crate) fn pick<T: Clone>(random: &mut Rng, all: &[T]) -> T {
    all[random.usize(0..all.len())].clone()
}
