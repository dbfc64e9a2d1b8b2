//! What agents do, watched while they do it: counted for each agent, held against what it usually does, and told.
//!
//! Counters are of an agent's name, not of its process: who starts anew begins where it stopped. After a start of the
//! daemon they are learned from the record, beside everything else that goes on.

mod allowed;
mod learning;

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use agentauth_core::signals::{Act, Counters, Limits, Noted, Told};
use agentauth_core::{Decision, Scope, Signals, Timestamp};
use foldhash::fast::RandomState;
use uuid::Uuid;

use super::events::{Events, Happening};
use super::metrics::Metrics;
use super::record;
use super::recorder::Recorder;
pub(crate) use allowed::{Allowed, Missing};
pub(crate) use learning::learn;

/// How many agents are watched one by one; beyond that all others together are, and noticed the sooner.
const AGENTS: usize = 1024;
/// What those are called, as no agent can be.
const OTHERS: &str = "(others)";

/// The watch over all agents.
pub(crate) struct Watching {
    limits: Limits,
    /// Goes into all hashes of resources.
    seed: u64,
    agents: RwLock<HashMap<Arc<str>, Arc<Mutex<Watched>>, RandomState>>,
    /// Whoever asks and is no agent.
    strangers: Mutex<Watched>,
    audit: Recorder,
    events: Arc<Events>,
    metrics: Arc<Metrics>,
}

/// One agent.
struct Watched {
    counters: Counters,
    /// What it was allowed lately; nothing for those that are watched together, whose decisions are not each other's.
    allowed: Option<Allowed>,
}

/// Why an outcome is not taken: the decision is none of the agent's, none that was allowed, or too long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotKnown;

impl Watching {
    /// Nothing seen yet.
    pub(crate) fn new(
        limits: Limits,
        seed: u64,
        audit: Recorder,
        events: Arc<Events>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let strangers = Mutex::new(Watched::new(OTHERS, seed));
        Self { limits, seed, agents: RwLock::default(), strangers, audit, events, metrics }
    }

    /// A proven agent asks. Returns what its decision has to see.
    pub(crate) fn asks(
        &self,
        agent: &str,
        act: &Act<'_>,
        by_name: &dyn Fn(&Scope) -> bool,
        now: Timestamp,
    ) -> Signals {
        let watched = self.of(agent);
        let noted = lock(&watched).counters.asks(&self.limits, act, by_name, now);
        self.tell(Some(agent), &watched, noted, now);
        noted.signals
    }

    /// What a decision about the same would have to see, without counting it.
    pub(crate) fn sees(
        &self,
        agent: &str,
        act: &Act<'_>,
        by_name: &dyn Fn(&Scope) -> bool,
        now: Timestamp,
    ) -> Signals {
        match self.known(agent) {
            Some(watched) => lock(&watched).counters.sees(&self.limits, act, by_name, now),
            None => Signals::NONE,
        }
    }

    /// It was decided. `proven`: whether the agents of the decision were asked about with [`Watching::asks`].
    pub(crate) fn decided(&self, decision: &Decision, act: &Act<'_>, proven: bool, now: Timestamp) {
        if !proven {
            let mut strangers = lock(&self.strangers);
            let asked = strangers.counters.asks(&self.limits, act, |_| true, now);
            let denied = strangers.counters.denied(&self.limits, act, true, now);
            drop(strangers);
            let noted = Noted { raised: asked.raised.and(denied.raised), ..denied };
            return self.tell(None, &self.strangers, noted, now);
        }
        for (place, name) in decision.agents.iter().enumerate() {
            let watched = self.of(name);
            let mut agent = lock(&watched);
            if decision.allow {
                agent.counters.allowed(&self.limits, act, now);
                // Whose own the decision is may say what became of it.
                if place == 0
                    && let Some(allowed) = &mut agent.allowed
                    && let Some(id) = number(decision.id.as_str())
                {
                    allowed.add(id, decision.high_risk, act.bytes, act.items, now);
                }
            } else {
                let by_rule = decision.reason.is_about_what_was_asked();
                let noted = agent.counters.denied(&self.limits, act, by_rule, now);
                drop(agent);
                self.tell(Some(name), &watched, noted, now);
            }
        }
    }

    /// Whether this agent was allowed this not too long ago; then whether it has said before what became of it.
    pub(crate) fn knows(&self, agent: &str, decision: &str, now: Timestamp) -> Result<bool, NotKnown> {
        let (known, id) = self.known(agent).zip(number(decision)).ok_or(NotKnown)?;
        lock(&known).allowed.as_ref().and_then(|allowed| allowed.told(id, now)).ok_or(NotKnown)
    }

    /// The agent has said what became of it, and that is on record.
    pub(crate) fn became(&self, agent: &str, decision: &str, bytes: u64, items: u64, now: Timestamp) {
        let Some((watched, id)) = self.known(agent).zip(number(decision)) else { return };
        let mut seen = lock(&watched);
        let Some((bytes, items)) = seen.allowed.as_mut().map(|allowed| allowed.tell(id, bytes, items)) else {
            return;
        };
        let noted = seen.counters.reported(&self.limits, bytes, items, now);
        drop(seen);
        self.tell(Some(agent), &watched, noted, now);
    }

    /// Every signal that is up, with the agent that it is about; `None` for those who are no agents.
    pub(crate) fn up(&self, now: Timestamp) -> Vec<(Option<Arc<str>>, Told)> {
        let mut up: Vec<_> = self
            .each()
            .into_iter()
            .flat_map(|(name, watched)| {
                lock(&watched)
                    .counters
                    .told(now)
                    .map(move |told| (Some(name.clone()), told))
                    .collect::<Vec<_>>()
            })
            .collect();
        up.extend(lock(&self.strangers).counters.told(now).map(|told| (None, told)));
        up.sort_by(|(one, _), (other, _)| one.cmp(other));
        up
    }

    /// Risky actions that were allowed a while ago, and of which nobody said what became of them.
    pub(crate) fn missing(&self, now: Timestamp) -> Vec<(Arc<str>, Missing)> {
        let of = |(name, watched): (Arc<str>, Arc<Mutex<Watched>>)| {
            let watched = lock(&watched);
            let missing = watched.allowed.iter().flat_map(|allowed| allowed.missing(now));
            missing.map(|missing| (name.clone(), missing)).collect::<Vec<_>>()
        };
        let mut missing: Vec<_> = self.each().into_iter().flat_map(of).collect();
        missing.sort_by_key(|(_, missing)| missing.at);
        missing
    }

    fn each(&self) -> Vec<(Arc<str>, Arc<Mutex<Watched>>)> {
        let agents = self.agents.read().unwrap_or_else(PoisonError::into_inner);
        agents.iter().map(|(name, watched)| (Arc::clone(name), Arc::clone(watched))).collect()
    }

    fn of(&self, name: &str) -> Arc<Mutex<Watched>> {
        self.known(name).unwrap_or_else(|| {
            let mut agents = self.agents.write().unwrap_or_else(PoisonError::into_inner);
            let name = place(&agents, name);
            let begun = || Arc::new(Mutex::new(Watched::new(name, self.seed)));
            Arc::clone(agents.entry(name.into()).or_insert_with(begun))
        })
    }

    fn known(&self, name: &str) -> Option<Arc<Mutex<Watched>>> {
        let agents = self.agents.read().unwrap_or_else(PoisonError::into_inner);
        agents.get(place(&agents, name)).cloned()
    }

    /// Writes down what was raised, and tells those who follow. Before the decision that saw it is written.
    fn tell(&self, agent: Option<&str>, watched: &Mutex<Watched>, noted: Noted, now: Timestamp) {
        if noted.raised.is_empty() {
            return;
        }
        self.metrics.raised(noted.raised);
        let told: Vec<Told> = lock(watched).counters.told(now).collect();
        for told in told.into_iter().filter(|told| noted.raised.contains(told.signal)) {
            tracing::warn!(agent, signal = %told.signal, seen = told.seen, limit = told.limit, "a signal is up");
            self.audit.note_down(&record::signal(agent, &told, now));
            let agent: Arc<str> = agent.unwrap_or_default().into();
            self.events.tell(|| Happening::Noticed { agent, told });
        }
    }
}

impl Watched {
    fn new(name: &str, seed: u64) -> Self {
        Self { counters: Counters::new(seed), allowed: (name != OTHERS).then(Allowed::default) }
    }

    /// What was learned of an earlier time, too.
    fn absorb(&mut self, earlier: Self) {
        self.counters.absorb(&earlier.counters);
        if let (Some(own), Some(earlier)) = (&mut self.allowed, earlier.allowed) {
            own.absorb(earlier);
        }
    }
}

/// Under which name this agent is among these.
fn place<'n, T, S: BuildHasher>(agents: &HashMap<Arc<str>, T, S>, name: &'n str) -> &'n str {
    if agents.len() < AGENTS || agents.contains_key(name) { name } else { OTHERS }
}

/// A decision's id as a number.
fn number(id: &str) -> Option<u128> {
    id.strip_prefix("dec_").and_then(|id| Uuid::try_parse(id).ok()).map(|id| id.as_u128())
}

fn lock(watched: &Mutex<Watched>) -> MutexGuard<'_, Watched> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
