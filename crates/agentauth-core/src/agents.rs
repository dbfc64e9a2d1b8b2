//! The registered agents of a snapshot, and the question which of them a process is.
//!
//! Both indexes are persistent maps: registering one agent among thousands copies nothing else, and a lookup does
//! not depend on how many there are.

use std::sync::Arc;

use imbl::Vector;
use serde::{Deserialize, Serialize};

use crate::agent::{Agent, Selectors, Source};
use crate::caller::{ExecutableFacts, ProcessFacts};
use crate::map::Map;

/// How well a caller is proven to be its agent, the weakest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assurance {
    /// Not at all.
    #[default]
    Unproven,
    /// It runs what stands at the registered path. The most that interpreters get.
    Path,
    /// The hash of what it runs is the registered one, nobody else could change it, and it answered the greeting.
    Pinned,
    /// The daemon's own launcher started it.
    Launched,
}

/// The registered agents.
#[derive(Debug, Clone, Default)]
pub struct Agents {
    by_name: Map<Arc<str>, Arc<Agent>>,
    by_executable: Map<Arc<str>, Candidates>,
}

/// The agents that share one executable.
#[derive(Debug, Clone, Default)]
struct Candidates {
    /// How many of them name a hash.
    hashed: usize,
    /// How many of them name a control group.
    grouped: usize,
    without_script: Vector<Arc<Agent>>,
    by_script: Map<Arc<str>, Vector<Arc<Agent>>>,
}

/// Which agent a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// This one, so well proven.
    Agent {
        /// Which.
        agent: Arc<Agent>,
        /// How well, as far as the process's own files go; [`crate::decide()`] caps for what else was seen.
        assurance: Assurance,
    },
    /// The path is this agent's, but what runs is something else.
    Changed {
        /// Which agent's path it is.
        agent: Arc<Agent>,
        /// What is not as it should be.
        change: Change,
    },
    /// It may be this agent, but a hash is still being computed, or its control group was not seen.
    Pending {
        /// Which agent it may be.
        agent: Arc<Agent>,
    },
    /// It fits two registrations equally well.
    Ambiguous {
        /// The names, in order.
        agents: Vec<Arc<str>>,
    },
    /// The kernel would not say what it runs.
    Unreadable,
    /// No registered agent.
    None,
}

/// What is not as it was registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The executable has another hash.
    Executable(Hashes),
    /// The script has another hash.
    Script(Hashes),
    /// The path does not lead to the file that runs, and no registered hash vouches for that file.
    Path,
}

/// A hash that should be, and the one that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes {
    /// The registered hash.
    pub expected: String,
    /// The hash that was seen.
    pub seen: String,
}

impl Agents {
    /// No agents.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers an agent; returns the one that had its name.
    pub fn insert(&mut self, agent: Agent) -> Option<Arc<Agent>> {
        let earlier = self.remove(&agent.name);
        let agent = Arc::new(agent);
        let candidates = self.by_executable.entry(agent.selectors.executable.as_str().into()).or_default();
        candidates.hashed += usize::from(agent.selectors.names_hash());
        candidates.grouped += usize::from(agent.selectors.cgroup.is_some());
        match &agent.selectors.script {
            Some(script) => {
                candidates.by_script.entry(script.as_str().into()).or_default().push_back(Arc::clone(&agent))
            }
            None => candidates.without_script.push_back(Arc::clone(&agent)),
        }
        self.by_name.insert(Arc::clone(&agent.name), agent);
        earlier
    }

    /// Removes an agent; returns it.
    pub fn remove(&mut self, name: &str) -> Option<Arc<Agent>> {
        let agent = self.by_name.remove(name)?;
        if let Some(candidates) = self.by_executable.get_mut(agent.selectors.executable.as_str()) {
            candidates.hashed -= usize::from(agent.selectors.names_hash());
            candidates.grouped -= usize::from(agent.selectors.cgroup.is_some());
            candidates.without_script.retain(|other| other.name != agent.name);
            if let Some(script) = &agent.selectors.script
                && let Some(sharing) = candidates.by_script.get_mut(script.as_str())
            {
                sharing.retain(|other| other.name != agent.name);
                if sharing.is_empty() {
                    candidates.by_script.remove(script.as_str());
                }
            }
            if candidates.without_script.is_empty() && candidates.by_script.is_empty() {
                self.by_executable.remove(agent.selectors.executable.as_str());
            }
        }
        Some(agent)
    }

    /// The agent of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Agent>> {
        self.by_name.get(name)
    }

    /// Every agent, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Agent>> {
        self.by_name.values()
    }

    /// The names of all actions that any manifest asks for, with repetitions.
    pub fn action_names(&self) -> impl Iterator<Item = &str> {
        self.iter().flat_map(|agent| agent.manifest.scopes.iter()).map(|entry| entry.scope.action_name())
    }

    /// How many agents there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Whether the hashes of a process with this executable make a difference: a registration at that path names
    /// one.
    #[must_use]
    pub fn wants_digests(&self, path: &str) -> bool {
        self.by_executable.get(path).is_some_and(|candidates| candidates.hashed > 0)
    }

    /// Whether the control group of a process with this executable makes a difference: a registration at that path
    /// names one.
    #[must_use]
    pub fn wants_cgroup(&self, path: &str) -> bool {
        self.by_executable.get(path).is_some_and(|candidates| candidates.grouped > 0)
    }

    /// Which agent `process` is. `greeted`: whether it answered the greeting.
    ///
    /// An administrator's registration stands above a person's. Beyond that the most specific one is meant (a script
    /// before a control group, that before hashes, those before none). One whose control group the process is not in, or
    /// is in by somebody else's doing than root's, does not fit. One that fits but for a
    /// hash is [`Match::Changed`], unless another of the same specificity fits in full (two pinned versions side by
    /// side); a less specific one never takes its place. An executable to which its path does not lead is known by a
    /// registered hash only.
    #[must_use]
    pub fn match_process(&self, process: &ProcessFacts, greeted: bool) -> Match {
        let Some(executable) = &process.executable else { return Match::Unreadable };
        let Some(candidates) = self.by_executable.get(executable.path.as_str()) else { return Match::None };
        let with_script =
            process.script.as_ref().and_then(|script| candidates.by_script.get(script.path.as_str()));
        let mut fits = Fits::default();
        for agent in with_script.into_iter().chain([&candidates.without_script]).flatten() {
            fits.weigh(agent, process);
        }
        let assurance = |selectors: &Selectors| {
            let pinned = selectors.sha256.is_some()
                && !selectors.names_interpreter()
                && process.script.is_none()
                && !executable.interpreter
                && executable.stands_at_its_path()
                && !executable.writable_by_others
                && !executable.just_changed
                && greeted;
            if pinned { Assurance::Pinned } else { Assurance::Path }
        };
        match (fits.full.as_slice(), fits.pending, fits.changed) {
            ([agent], _, _) => {
                Match::Agent { assurance: assurance(&agent.selectors), agent: Arc::clone(agent) }
            }
            ([_, ..], _, _) => {
                let mut agents: Vec<_> = fits.full.iter().map(|agent| Arc::clone(&agent.name)).collect();
                agents.sort();
                Match::Ambiguous { agents }
            }
            ([], Some(agent), _) => Match::Pending { agent },
            ([], None, Some((agent, change))) => Match::Changed { agent, change },
            ([], None, None) => Match::None,
        }
    }
}

/// The registrations that fit best so far, all of one specificity.
#[derive(Default)]
struct Fits {
    rank: Option<(Source, u8)>,
    full: Vec<Arc<Agent>>,
    pending: Option<Arc<Agent>>,
    changed: Option<(Arc<Agent>, Change)>,
}

impl Fits {
    fn weigh(&mut self, agent: &Arc<Agent>, process: &ProcessFacts) {
        let mut pending = false;
        if let Some(group) = &agent.selectors.cgroup {
            match &process.cgroup {
                Some(seen) if seen.proves(group) => {}
                Some(_) => return,
                None => pending = true,
            }
        }
        let rank = Some((agent.source, agent.selectors.specificity()));
        if rank < self.rank {
            return;
        }
        if rank > self.rank {
            *self = Self { rank, ..Self::default() };
        }
        let mut change = |change| self.changed = Some((Arc::clone(agent), change));
        if agent.selectors.sha256.is_none()
            && !process.executable.as_ref().is_some_and(ExecutableFacts::stands_at_its_path)
        {
            change(Change::Path);
            return;
        }
        let executable_hash = process.executable.as_ref().and_then(|facts| facts.sha256.as_deref());
        let script_hash = process.script.as_ref().and_then(|facts| facts.sha256.as_deref());
        let asked = [
            (Change::Executable as fn(Hashes) -> Change, agent.selectors.sha256.as_deref(), executable_hash),
            (Change::Script, agent.selectors.script_sha256.as_deref(), script_hash),
        ];
        for (what, expected, seen) in asked {
            match (expected, seen) {
                (None, _) => {}
                (Some(_), None) => pending = true,
                (Some(expected), Some(seen)) if expected.eq_ignore_ascii_case(seen) => {}
                (Some(expected), Some(seen)) => {
                    change(what(Hashes { expected: expected.to_owned(), seen: seen.to_owned() }));
                    return;
                }
            }
        }
        if pending {
            self.pending = Some(Arc::clone(agent));
        } else {
            self.full.push(Arc::clone(agent));
        }
    }
}

impl Change {
    /// The word for what changed: `executable`, `script` or `path`.
    #[must_use]
    pub fn what(&self) -> &'static str {
        match self {
            Self::Executable(_) => "executable",
            Self::Script(_) => "script",
            Self::Path => "path",
        }
    }
}

impl Assurance {
    /// The word in configuration, policies and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unproven => "unproven",
            Self::Path => "path",
            Self::Pinned => "pinned",
            Self::Launched => "launched",
        }
    }
}

impl std::fmt::Display for Assurance {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
