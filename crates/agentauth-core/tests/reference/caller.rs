//! Who asks, by looking at every registration. Control groups, hashes of scripts and registrations that fit equally well are left to
//! tests of their own.

use agentauth_core::{Agent, Assurance, CallerFacts, Caveat, ProcessFacts, Reason, Remedy, Source, Subject};

use super::State;

/// What is known of who asks.
#[derive(Default)]
pub(crate) struct Asker<'a> {
    /// Whose rights count.
    pub(crate) agents: Vec<&'a Agent>,
    /// Those and whom else it seems to be.
    pub(crate) suspects: Vec<&'a str>,
    pub(crate) assurance: Assurance,
    pub(crate) greeted: bool,
    pub(crate) caveats: Vec<Caveat>,
    /// The first thing that is wrong.
    pub(crate) fault: Option<(Reason, Option<Remedy>)>,
}

/// What a process is.
enum Seen<'a> {
    Nothing,
    Hidden,
    Agent(&'a Agent, Assurance),
    /// It may be this one, which the hash will tell.
    Perhaps(&'a Agent),
    /// It runs at this one's path. Whether another registration would help.
    Impostor(&'a Agent, bool),
}

pub(crate) fn who<'a>(state: &'a State, subject: Subject<'_>) -> Asker<'a> {
    match subject {
        Subject::DryRun { agent } => trial(state, agent),
        Subject::Caller(facts) => caller(state, facts),
    }
}

fn trial<'a>(state: &'a State, name: &str) -> Asker<'a> {
    let mut asker = Asker { greeted: true, ..Asker::default() };
    match state.agents.iter().find(|agent| *agent.name == *name) {
        None => asker.fault = Some((Reason::AgentUnknown, Some(Remedy::Register))),
        Some(agent) => {
            add(&mut asker, agent);
            asker.assurance = if agent.launch_only {
                Assurance::Launched
            } else if agent.selectors.sha256.is_some() && !agent.selectors.names_interpreter() {
                Assurance::Pinned
            } else {
                Assurance::Path
            };
        }
    }
    asker
}

fn caller<'a>(state: &'a State, facts: &CallerFacts) -> Asker<'a> {
    let above = launches_above(state, facts);
    let nearest = above.first().copied();
    let of_the_launcher =
        |caveat: &&Caveat| matches!(caveat, Caveat::OtherUserNamespace | Caveat::OtherMountNamespace);
    let counted = |caveats: Vec<Caveat>| -> Vec<Caveat> {
        caveats.into_iter().filter(|caveat| nearest.is_none() || !of_the_launcher(&caveat)).collect()
    };
    let mut asker =
        Asker { greeted: facts.greeted, caveats: counted(facts.all_caveats()), ..Asker::default() };
    let mut reached = Assurance::Unproven;
    match see(state, &facts.process, facts.greeted) {
        Seen::Agent(agent, by_its_file) => {
            add(&mut asker, agent);
            let launched = nearest.is_some_and(|launched| launched.name == agent.name);
            reached = if launched { Assurance::Launched } else { by_its_file };
            if !facts.greeted || (agent.launch_only && !launched) {
                blame(&mut asker, Reason::CallerUnproven, None);
            }
        }
        Seen::Nothing => match nearest {
            Some(agent) => {
                add(&mut asker, agent);
                asker.caveats = counted(facts.caveats.clone());
                reached = Assurance::Launched;
                if !facts.greeted {
                    blame(&mut asker, Reason::CallerUnproven, None);
                }
            }
            None => blame(&mut asker, Reason::AgentUnknown, Some(Remedy::Register)),
        },
        Seen::Hidden => blame(&mut asker, Reason::CallerUnproven, None),
        other => {
            // Whether it is the agent is not known yet; but that it did not greet is.
            if matches!(other, Seen::Perhaps(_)) && !facts.greeted {
                blame(&mut asker, Reason::CallerUnproven, None);
            }
            suspect(&mut asker, &other);
        }
    }
    asker.assurance = if asker.caveats.is_empty() { reached } else { reached.min(Assurance::Path) };
    for launched in above {
        add(&mut asker, launched);
        if !facts.no_new_privs {
            blame(&mut asker, Reason::CallerUnproven, None);
        }
    }
    for ancestor in &facts.ancestors {
        match see(state, ancestor, false) {
            Seen::Agent(agent, _) => add(&mut asker, agent),
            Seen::Nothing | Seen::Hidden => {}
            other => suspect(&mut asker, &other),
        }
    }
    if !facts.ancestry_complete {
        blame(&mut asker, Reason::CallerUnproven, None);
    }
    if asker.fault.is_some() {
        asker.assurance = Assurance::Unproven;
    }
    asker
}

/// The agents of the launches that the caller stands below, the nearest first: as they are registered now, or not at all.
fn launches_above<'a>(state: &'a State, facts: &CallerFacts) -> Vec<&'a Agent> {
    let mut agents = Vec::new();
    let mut child = facts.process.start_time;
    for ancestor in &facts.ancestors {
        if ancestor.start_time > child {
            break;
        }
        child = ancestor.start_time;
        let launch = state
            .launches
            .iter()
            .find(|launch| launch.pid == ancestor.pid && launch.start_time == ancestor.start_time);
        let registered = |launched: &Agent| state.agents.iter().find(|agent| **agent == *launched);
        agents.extend(launch.and_then(|launch| registered(&launch.agent)));
    }
    agents
}

fn see<'a>(state: &'a State, process: &ProcessFacts, greeted: bool) -> Seen<'a> {
    let Some(file) = &process.executable else { return Seen::Hidden };
    let script = process.script.as_ref().map(|script| script.path.as_str());
    let fitting = state.agents.iter().filter(|agent| {
        agent.selectors.executable == file.path
            && agent.selectors.script.as_deref().is_none_or(|wanted| Some(wanted) == script)
    });
    // The administrator's before a person's, then the one that says most.
    let Some(agent) = fitting.max_by_key(|agent| {
        let selectors = &agent.selectors;
        (agent.source == Source::Administrator, selectors.script.is_some(), selectors.sha256.is_some())
    }) else {
        return Seen::Nothing;
    };
    let at_its_path = !file.deleted && !file.replaced;
    match (&agent.selectors.sha256, &file.sha256) {
        (None, _) if at_its_path => Seen::Agent(agent, Assurance::Path),
        (None, _) => Seen::Impostor(agent, false),
        (Some(_), None) => Seen::Perhaps(agent),
        (Some(wanted), Some(seen)) if wanted != seen => Seen::Impostor(agent, true),
        (Some(_), Some(_)) => {
            let proves = greeted
                && at_its_path
                && script.is_none()
                && !agent.selectors.names_interpreter()
                && !(file.interpreter || file.writable_by_others || file.just_changed);
            Seen::Agent(agent, if proves { Assurance::Pinned } else { Assurance::Path })
        }
    }
}

fn suspect<'a>(asker: &mut Asker<'a>, seen: &Seen<'a>) {
    let (agent, reason, remedy) = match seen {
        Seen::Perhaps(agent) => (agent, Reason::CallerUnproven, Some(Remedy::Wait)),
        Seen::Impostor(agent, true) => (agent, Reason::AgentChanged, Some(Remedy::Register)),
        Seen::Impostor(agent, false) => (agent, Reason::AgentChanged, None),
        Seen::Nothing | Seen::Hidden | Seen::Agent(..) => return,
    };
    if !asker.suspects.contains(&&*agent.name) {
        asker.suspects.push(&agent.name);
    }
    blame(asker, reason, remedy);
}

fn add<'a>(asker: &mut Asker<'a>, agent: &'a Agent) {
    if !asker.agents.iter().any(|known| known.name == agent.name) {
        asker.agents.push(agent);
    }
    if !asker.suspects.contains(&&*agent.name) {
        asker.suspects.push(&agent.name);
    }
}

fn blame(asker: &mut Asker<'_>, reason: Reason, remedy: Option<Remedy>) {
    asker.fault = asker.fault.or(Some((reason, remedy)));
}
