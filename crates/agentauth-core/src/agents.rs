//! The registered agents of a snapshot, and the question which of them a process is.
//!
//! Both indexes are persistent maps: registering one agent among thousands copies nothing else, and a lookup does
//! not depend on how many there are.

use std::sync::Arc;

use imbl::{HashMap, Vector};
use serde::{Deserialize, Serialize};

use crate::agent::{Agent, Selectors};
use crate::caller::ProcessFacts;

/// How well a caller is proven to be its agent, the weakest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assurance {
    /// Not at all.
    #[default]
    Unproven,
    /// It runs what stands at the registered path. The most that interpreters and callers without the greeting get.
    Path,
    /// The hash of what it runs is the registered one, nobody else could change it, and it answered the greeting.
    Pinned,
    /// The daemon's own launcher started it.
    Launched,
}

/// The registered agents.
#[derive(Debug, Clone, Default)]
pub struct Agents {
    by_name: HashMap<Arc<str>, Arc<Agent>>,
    by_executable: HashMap<Arc<str>, Candidates>,
}

/// The agents that share one executable.
#[derive(Debug, Clone, Default)]
struct Candidates {
    without_script: Vector<Arc<Agent>>,
    by_script: HashMap<Arc<str>, Vector<Arc<Agent>>>,
}

/// Which agent a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// This one, so well proven.
    Agent {
        /// Which.
        agent: Arc<Agent>,
        /// How well. Does not yet know of loader tricks; [`crate::decide`] caps for those.
        assurance: Assurance,
    },
    /// The path is this agent's, but what stands there is something else.
    Changed {
        /// Which agent's path it is.
        agent: Arc<Agent>,
        /// What changed: `executable` or `script`.
        what: &'static str,
        /// The registered hash.
        expected: String,
        /// The hash that was seen.
        seen: String,
    },
    /// It may be this agent, but a hash is still being computed.
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

    /// Which agent `process` is. `greeted`: whether it answered the greeting.
    ///
    /// The most specific registration is meant (a script before none, hashes before none). One that fits but for a
    /// hash is [`Match::Changed`], unless another of the same specificity fits in full (two pinned versions side by
    /// side); a less specific one never takes its place.
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
                && !executable.deleted
                && !executable.writable_by_others
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
            ([], None, Some((agent, what, expected, seen))) => Match::Changed { agent, what, expected, seen },
            ([], None, None) => Match::None,
        }
    }
}

/// The registrations that fit best so far, all of one specificity.
#[derive(Default)]
struct Fits {
    specificity: u8,
    full: Vec<Arc<Agent>>,
    pending: Option<Arc<Agent>>,
    changed: Option<(Arc<Agent>, &'static str, String, String)>,
}

impl Fits {
    fn weigh(&mut self, agent: &Arc<Agent>, process: &ProcessFacts) {
        let specificity = agent.selectors.specificity();
        let known = !self.full.is_empty() || self.pending.is_some() || self.changed.is_some();
        if known && specificity < self.specificity {
            return;
        }
        if specificity > self.specificity {
            *self = Self { specificity, ..Self::default() };
        }
        let executable_hash = process.executable.as_ref().and_then(|facts| facts.sha256.as_deref());
        let script_hash = process.script.as_ref().and_then(|facts| facts.sha256.as_deref());
        let asked = [
            ("executable", agent.selectors.sha256.as_deref(), executable_hash),
            ("script", agent.selectors.script_sha256.as_deref(), script_hash),
        ];
        let mut pending = false;
        for (what, expected, seen) in asked {
            match (expected, seen) {
                (None, _) => {}
                (Some(_), None) => pending = true,
                (Some(expected), Some(seen)) if expected.eq_ignore_ascii_case(seen) => {}
                (Some(expected), Some(seen)) => {
                    self.changed = Some((Arc::clone(agent), what, expected.to_owned(), seen.to_owned()));
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
mod tests {
    use super::*;
    use crate::caller::{ExecutableFacts, ScriptFacts};
    use crate::manifest::Manifest;

    const HASH: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const OTHER: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn agent(name: &str, selectors: &str) -> Agent {
        let manifest =
            Manifest::parse(format!(r#"{{"name":"{name}","version":"1","scopes":[]}}"#).as_bytes()).unwrap();
        Agent::new(manifest, serde_json::from_str(selectors).unwrap())
    }

    fn agents(registered: &[(&str, String)]) -> Agents {
        let mut agents = Agents::new();
        for (name, selectors) in registered {
            agents.insert(agent(name, selectors));
        }
        agents
    }

    fn program(path: &str, sha256: Option<&str>) -> ProcessFacts {
        let executable =
            ExecutableFacts { path: path.into(), sha256: sha256.map(Into::into), ..Default::default() };
        ProcessFacts { executable: Some(executable), ..Default::default() }
    }

    fn script(path: &str, script: &str, sha256: Option<&str>) -> ProcessFacts {
        let script = ScriptFacts { path: script.into(), sha256: sha256.map(Into::into) };
        ProcessFacts { script: Some(script), ..program(path, Some(HASH)) }
    }

    fn summary(found: &Match) -> String {
        match found {
            Match::Agent { agent, assurance } => format!("{} {assurance}", agent.name),
            Match::Changed { agent, what, .. } => format!("{} changed {what}", agent.name),
            Match::Pending { agent } => format!("{} pending", agent.name),
            Match::Ambiguous { agents } => agents.join(" or "),
            Match::Unreadable => "unreadable".to_owned(),
            Match::None => "none".to_owned(),
        }
    }

    #[test]
    fn a_program_is_recognised_by_path_and_hash() {
        let plain = agents(&[("plain", r#"{"executable":"/opt/plain"}"#.to_owned())]);
        let pinned = agents(&[("pinned", format!(r#"{{"executable":"/opt/pinned","sha256":"{HASH}"}}"#))]);
        let found = |agents: &Agents, process: ProcessFacts, greeted| {
            summary(&agents.match_process(&process, greeted))
        };
        assert_eq!(found(&plain, program("/opt/plain", None), true), "plain path");
        assert_eq!(found(&plain, program("/opt/plain2", None), true), "none");
        assert_eq!(found(&plain, ProcessFacts::default(), true), "unreadable");
        assert_eq!(found(&pinned, program("/opt/pinned", Some(HASH)), true), "pinned pinned");
        assert_eq!(found(&pinned, program("/opt/pinned", Some(HASH)), false), "pinned path");
        assert_eq!(found(&pinned, program("/opt/pinned", None), true), "pinned pending");
        assert_eq!(found(&pinned, program("/opt/pinned", Some(OTHER)), true), "pinned changed executable");
        for spoil in [
            |facts: &mut ExecutableFacts| facts.deleted = true,
            |facts: &mut ExecutableFacts| facts.writable_by_others = true,
        ] {
            let mut process = program("/opt/pinned", Some(HASH));
            spoil(process.executable.as_mut().unwrap());
            assert_eq!(found(&pinned, process, true), "pinned path");
        }
    }

    #[test]
    fn an_interpreter_is_its_script_and_never_more_than_path() {
        let python =
            |more: &str| format!(r#"{{"executable":"/usr/bin/python3.11","sha256":"{HASH}"{more}}}"#);
        let registered = agents(&[
            ("pay", python(r#","script":"/opt/pay.py""#)),
            ("mail", python(&format!(r#","script":"/opt/mail.py","script_sha256":"{HASH}""#))),
        ]);
        let found = |process: ProcessFacts| summary(&registered.match_process(&process, true));
        assert_eq!(found(script("/usr/bin/python3.11", "/opt/pay.py", None)), "pay path");
        assert_eq!(found(script("/usr/bin/python3.11", "/opt/other.py", None)), "none");
        assert_eq!(found(script("/usr/bin/python3.12", "/opt/pay.py", None)), "none");
        assert_eq!(found(program("/usr/bin/python3.11", Some(HASH))), "none");
        assert_eq!(found(script("/usr/bin/python3.11", "/opt/mail.py", None)), "mail pending");
        assert_eq!(found(script("/usr/bin/python3.11", "/opt/mail.py", Some(OTHER))), "mail changed script");
        assert_eq!(found(script("/usr/bin/python3.11", "/opt/mail.py", Some(HASH))), "mail path");
        let bare = agents(&[("bare", python(""))]);
        assert_eq!(
            summary(&bare.match_process(&program("/usr/bin/python3.11", Some(HASH)), true)),
            "bare path"
        );
    }

    #[test]
    fn the_most_specific_registration_is_meant() {
        let registered = agents(&[
            ("any", r#"{"executable":"/opt/tool"}"#.to_owned()),
            ("exact", format!(r#"{{"executable":"/opt/tool","sha256":"{HASH}"}}"#)),
        ]);
        let found = |hash| summary(&registered.match_process(&program("/opt/tool", hash), true));
        assert_eq!(found(Some(HASH)), "exact pinned");
        assert_eq!(found(None), "exact pending");
        // A wider registration of the same path does not excuse a changed file.
        assert_eq!(found(Some(OTHER)), "exact changed executable");
    }

    #[test]
    fn two_pinned_versions_stand_side_by_side() {
        let registered = agents(&[
            ("old", format!(r#"{{"executable":"/opt/tool","sha256":"{HASH}"}}"#)),
            ("new", format!(r#"{{"executable":"/opt/tool","sha256":"{OTHER}"}}"#)),
        ]);
        let found = |hash| summary(&registered.match_process(&program("/opt/tool", Some(hash)), true));
        assert_eq!(found(HASH), "old pinned");
        assert_eq!(found(OTHER), "new pinned");
        assert!(found(&"c".repeat(64)).contains("changed"));
    }

    #[test]
    fn two_equally_good_registrations_are_both_named() {
        let twice = r#"{"executable":"/opt/tool"}"#.to_owned();
        let registered = agents(&[("b", twice.clone()), ("a", twice)]);
        assert_eq!(summary(&registered.match_process(&program("/opt/tool", None), true)), "a or b");
    }

    #[test]
    fn registering_again_replaces_and_removing_forgets() {
        let mut registered = agents(&[("a", r#"{"executable":"/opt/one"}"#.to_owned())]);
        let earlier = registered.insert(agent("a", r#"{"executable":"/opt/two","script":"/opt/s"}"#));
        assert_eq!(earlier.unwrap().selectors.executable, "/opt/one");
        assert_eq!(summary(&registered.match_process(&program("/opt/one", None), true)), "none");
        assert_eq!(summary(&registered.match_process(&script("/opt/two", "/opt/s", None), true)), "a path");
        registered.remove("a");
        assert!(registered.is_empty() && registered.by_executable.is_empty());
    }
}
