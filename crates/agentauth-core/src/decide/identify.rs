//! Check 2: which registered agent asks, how well that is proven, and whose rights limit it.

use std::sync::Arc;

use super::Subject;
use super::refusal::Refusal;
use crate::agent::Agent;
use crate::agents::{Agents, Assurance, Change, Match};
use crate::caller::{CallerFacts, ProcessFacts};
use crate::caveat::Caveat;
use crate::decision::{Reason, Remedy};
use crate::launches::{Launch, Launches};
use crate::text::display_safe_within;

/// What is known of who asks.
#[derive(Default)]
pub(super) struct Identified {
    /// The caller's agent, and the agents among its ancestors: the rights that count are those that all have.
    pub(super) agents: Vec<Arc<Agent>>,
    /// Every agent that the caller is, seems to be, or descends from, the nearest first.
    pub(super) suspects: Vec<Arc<str>>,
    pub(super) assurance: Assurance,
    pub(super) greeted: bool,
    /// What keeps the caller from being better proven.
    pub(super) caveats: Vec<Caveat>,
    /// Why the caller is not taken for an agent.
    pub(super) fault: Option<Box<Refusal>>,
}

pub(super) fn identify(agents: &Agents, launches: &Launches, subject: Subject<'_>) -> Identified {
    match subject {
        Subject::Caller(facts) => of_caller(agents, launches, facts),
        Subject::DryRun { agent } => {
            let mut found = Identified { greeted: true, ..Identified::default() };
            match agents.get(agent) {
                Some(agent) => {
                    found.count(agent);
                    found.assurance = agent.at_best();
                }
                None => {
                    let detail = format!("there is no registered agent `{}`", display_safe_within(agent, 64));
                    found.refuse(Reason::AgentUnknown, Remedy::Register, detail);
                }
            }
            found
        }
    }
}

fn of_caller(agents: &Agents, launches: &Launches, facts: &CallerFacts) -> Identified {
    // A launch is of one registration: another one of the same name was not what was started.
    let registered = |launch: &&Arc<Launch>| {
        agents
            .get(&launch.agent.name)
            .is_some_and(|agent| Arc::ptr_eq(agent, &launch.agent) || **agent == *launch.agent)
    };
    let launched: Vec<&Arc<Launch>> = launches.over(facts).filter(registered).collect();
    let nearest = launched.first().map(|launch| &launch.agent);
    // What was launched has namespaces of its own by the launcher's doing, and what it makes of them cannot give it more
    // than the agent has by whom it stands: which files it sees, and what its program seems to be, only ever takes from that.
    let counts = |caveat: &Caveat| nearest.is_none() || !caveat.is_of_launches();
    let mut found = Identified {
        greeted: facts.greeted,
        caveats: facts.all_caveats().into_iter().filter(counts).collect(),
        ..Identified::default()
    };
    match agents.match_process(&facts.process, facts.greeted) {
        Match::Agent { agent, assurance } => {
            found.count(&agent);
            // What was launched as one agent and is another's program is proven to be that one as far as its file goes.
            let launched = nearest.is_some_and(|launched| launched.name == agent.name);
            found.assure(if launched { Assurance::Launched } else { assurance });
            found.must_have_greeted();
            if agent.launch_only && !launched {
                let detail =
                    format!("`{}` is registered to be started by `agentauthd exec` only", agent.name);
                found.refuse(Reason::CallerUnproven, None, detail);
                found.fault.iter_mut().for_each(|fault| fault.unlaunched = true);
            }
        }
        Match::Changed { agent, change } => {
            found.suspect(&agent.name);
            found.refuse_changed(&agent, &change, &facts.process, "");
        }
        Match::Pending { agent } => {
            found.suspect(&agent.name);
            found.must_have_greeted();
            found.refuse(Reason::CallerUnproven, Remedy::Wait, pending(&agent));
        }
        Match::Ambiguous { agents } => {
            agents.iter().for_each(|name| found.suspect(name));
            let detail = format!("it fits these registrations equally well: {}", agents.join(", "));
            found.refuse(Reason::CallerUnproven, Remedy::Register, detail);
        }
        Match::Unreadable => {
            found.fault = Some(
                Refusal::new(Reason::CallerUnproven, None)
                    .saying("the kernel does not say what the caller runs"),
            );
        }
        // Whatever a launched agent starts is confined as it is, and acts for it.
        Match::None => match nearest {
            Some(agent) => {
                found.count(agent);
                // Which file it runs proves nothing here, and takes nothing away.
                found.caveats = facts.caveats.iter().filter(|caveat| counts(caveat)).cloned().collect();
                found.assure(Assurance::Launched);
                found.must_have_greeted();
            }
            None => found.refuse(Reason::AgentUnknown, Remedy::Register, unknown(facts)),
        },
    }
    for launch in &launched {
        found.count(&launch.agent);
        if !facts.no_new_privs {
            let detail = format!("it stands below the launch of `{}` and lacks its mark", launch.agent.name);
            found.refuse(Reason::CallerUnproven, None, detail);
        }
    }
    for ancestor in &facts.ancestors {
        match agents.match_process(ancestor, false) {
            Match::Agent { agent, .. } => found.count(&agent),
            // Whichever it is: the rights that both have are no more than the right one's.
            Match::Ambiguous { agents: names } => {
                names.iter().filter_map(|name| agents.get(name)).for_each(|agent| found.count(agent));
            }
            Match::Changed { agent, change } => {
                found.suspect(&agent.name);
                let started = "it was started by what should be an agent, but ";
                found.refuse_changed(&agent, &change, ancestor, started);
            }
            Match::Pending { agent } => {
                found.suspect(&agent.name);
                found.refuse(Reason::CallerUnproven, Remedy::Wait, pending(&agent));
            }
            Match::Unreadable | Match::None => {}
        }
    }
    // Among those who could not be seen may be an agent whose rights would be a limit.
    if !facts.ancestry_complete {
        found.refuse(
            Reason::CallerUnproven,
            None,
            "a parent process could not be followed, so it is not known who started it".to_owned(),
        );
    }
    if found.fault.is_some() {
        found.assurance = Assurance::Unproven;
    }
    found
}

impl Identified {
    fn count(&mut self, agent: &Arc<Agent>) {
        if !self.agents.iter().any(|known| known.name == agent.name) {
            self.agents.push(Arc::clone(agent));
        }
        self.suspect(&agent.name);
    }

    fn suspect(&mut self, name: &Arc<str>) {
        if !self.suspects.contains(name) {
            self.suspects.push(Arc::clone(name));
        }
    }

    /// So well is it proven, as far as no caveat takes from it.
    fn assure(&mut self, assurance: Assurance) {
        self.assurance = if self.caveats.is_empty() { assurance } else { assurance.min(Assurance::Path) };
    }

    /// Notes why the caller is not taken for an agent, unless something nearer to it is wrong already.
    fn refuse(&mut self, reason: Reason, remedy: impl Into<Option<Remedy>>, detail: String) {
        if self.fault.is_none() {
            self.fault = Some(Refusal::new(reason, remedy.into()).saying(detail));
        }
    }

    /// Who connects, writes its question and execs an agent's program looks like the agent ever after. Only the answer
    /// to a greeting shows that it was the agent who asked.
    fn must_have_greeted(&mut self) {
        if !self.greeted && self.fault.is_none() {
            self.fault = Some(Refusal::ungreeted());
        }
    }

    fn refuse_changed(&mut self, agent: &Agent, change: &Change, process: &ProcessFacts, before: &str) {
        let remedy = match change {
            Change::Executable(_) | Change::Script(_) => Some(Remedy::Register),
            // The registration is right: another file runs.
            Change::Path => None,
        };
        self.refuse(Reason::AgentChanged, remedy, format!("{before}{}", changed(agent, change, process)));
    }
}

fn changed(agent: &Agent, change: &Change, process: &ProcessFacts) -> String {
    let start = |hash: &str| display_safe_within(hash, 12);
    match change {
        Change::Executable(hashes) | Change::Script(hashes) => format!(
            "the {} of `{}` has changed: SHA-256 {} is registered, {} was found",
            change.what(),
            agent.name,
            start(&hashes.expected),
            start(&hashes.seen)
        ),
        Change::Path => {
            let path = process.executable.as_ref().map_or("", |executable| executable.path.as_str());
            format!(
                "the program at `{}` is not the file that the daemon sees there",
                display_safe_within(path, 100)
            )
        }
    }
}

fn pending(agent: &Agent) -> String {
    format!("it may be `{}`, but the hash of its file, or its control group, is not known yet", agent.name)
}

fn unknown(facts: &CallerFacts) -> String {
    let path = facts.process.executable.as_ref().map_or_else(String::new, |executable| {
        let script = facts.process.script.as_ref().map_or_else(String::new, |script| {
            format!(" running `{}`", display_safe_within(&script.path, 100))
        });
        format!(" (`{}`{script})", display_safe_within(&executable.path, 100))
    });
    format!("it is not a registered agent{path}")
}
