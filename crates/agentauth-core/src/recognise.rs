//! How well a calling process is shown to be the person's own.
//!
//! "No agent found" is not "the person": one `setsid -f` leaves the process tree. So a grade is earned by facts that an
//! escaped process does not have: our own command line, in the foreground of a terminal, whose parents lead without a
//! gap to a login or a terminal program that only the administrator can replace, and on to the first process, without
//! a registered agent among them.
//!
//! Architecture invariant: this is a pure function over recorded facts. Whatever could not be read counts against the
//! caller.

mod facts;
mod terminals;

pub use facts::{FileIdentity, Hop, HopExecutable, LogindRecord, PersonFacts};
pub use terminals::{BUILTIN_TERMINALS, Terminals, TerminalsFault};

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// How well a caller is shown to be a person's own; ordered.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Not shown at all.
    #[default]
    None,
    /// In the foreground of a recognised terminal.
    Terminal,
    /// That, within a login session that the system vouches for.
    Login,
}

impl Grade {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Terminal => "terminal",
            Self::Login => "login",
        }
    }
}

/// What the rules compare the facts with.
#[derive(Clone, Debug)]
pub struct Recogniser {
    /// The user that the daemon works for.
    pub owner_uid: u32,
    /// The files of our own command line.
    pub own_executables: Vec<FileIdentity>,
    /// The terminals that count.
    pub terminals: Terminals,
}

/// A fact that stands between a caller and a higher grade.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Shortfall {
    /// The caller runs as another user.
    ForeignCaller,
    /// The caller is not our own command line.
    NotOurProgram,
    /// The caller lives in another user namespace, or that could not be read.
    OtherUserNamespace,
    /// The caller lives in another PID namespace, or that could not be read.
    OtherPidNamespace,
    /// The caller may not gain privileges: the mark of a confined process.
    NoNewPrivileges,
    /// The caller's system calls are filtered.
    Seccomp,
    /// A debugger is attached to the caller.
    Traced,
    /// The caller's loader was told to load something else.
    LoaderVariables,
    /// The caller is itself registered as an agent.
    CallerIsAgent,
    /// The caller has no terminal.
    NoTerminal,
    /// The caller is not in the foreground of its terminal.
    NotForeground,
    /// The chain of parents has a gap, a cycle or an end before the first process.
    BrokenChain,
    /// A parent started after its child, so a process identifier was reused.
    StartTimesNotMonotone,
    /// A parent belongs to another user before the session leader is reached.
    ForeignParent,
    /// A parent collects orphans before the session leader is reached, so the real parent may be gone.
    Orphaned,
    /// The chain of parents never reaches the leader of the caller's session.
    LeaderNotReached,
    /// A parent could not be examined.
    Unreadable,
    /// A registered agent is among the parents.
    AgentAmongParents,
    /// The session leader was not started by a recognised terminal.
    UnknownTerminal,
    /// The caller is not in a login session's control group.
    NotInSessionScope,
    /// The system has no trustworthy record of that login session.
    NoLogindRecord,
    /// The login session is not an ordinary one of this user, or is ending.
    OtherKindOfSession,
    /// The process that leads the login session is not among the parents.
    LogindLeaderNotAncestor,
}

impl Shortfall {
    /// The fact in words, for a person.
    pub fn text(self) -> &'static str {
        match self {
            Self::ForeignCaller => "it runs as another user",
            Self::NotOurProgram => "it is not the installed `agentauthd` program",
            Self::OtherUserNamespace => "it runs in another user namespace",
            Self::OtherPidNamespace => "it runs in another process namespace, such as a container",
            Self::NoNewPrivileges => "it is confined (no new privileges)",
            Self::Seccomp => "it is confined (system call filter)",
            Self::Traced => "a debugger is attached to it",
            Self::LoaderVariables => "loader variables such as LD_PRELOAD are set; unset them",
            Self::CallerIsAgent => "it is registered as an agent",
            Self::NoTerminal => "it has no terminal",
            Self::NotForeground => "it does not run in the foreground of its terminal",
            Self::BrokenChain => "its parent processes could not be followed",
            Self::StartTimesNotMonotone => "a parent process is younger than its child",
            Self::ForeignParent => "it was started through a process of another user, such as sudo",
            Self::Orphaned => "the process that started it is gone",
            Self::LeaderNotReached => "it was not started from its terminal's session",
            Self::Unreadable => "a parent process could not be examined",
            Self::AgentAmongParents => "it was started by a registered agent",
            Self::UnknownTerminal => "its terminal is not one of the recognised ones",
            Self::NotInSessionScope => "it does not belong to a login session",
            Self::NoLogindRecord => "the system has no record of its login session",
            Self::OtherKindOfSession => "its login session is not an ordinary one of this user",
            Self::LogindLeaderNotAncestor => "its login session was not what started it",
        }
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())
    }
}

/// The grade that `facts` earn, and everything that stands in the way of a higher one (nothing, for
/// [`Grade::Login`]).
pub fn recognise(facts: &PersonFacts, known: &Recogniser) -> (Grade, Vec<Shortfall>) {
    let mut why = Vec::new();
    examine_caller(facts, known, &mut why);
    let leader = examine_terminal(facts, known, &mut why);
    examine_ancestry(facts, known, leader, &mut why);
    let denied = !why.is_empty();
    let mut to_login = Vec::new();
    examine_login(facts, known, &mut to_login);
    let at_terminal = leader.is_some_and(|leader| is_terminal(facts, leader, known));
    if !denied && to_login.is_empty() {
        return (Grade::Login, Vec::new());
    }
    if !denied && at_terminal {
        return (Grade::Terminal, to_login);
    }
    if leader.is_some() && !at_terminal {
        why.push(Shortfall::UnknownTerminal);
    }
    why.extend(to_login);
    let mut seen = BTreeSet::new();
    why.retain(|shortfall| seen.insert(*shortfall));
    (Grade::None, why)
}

/// Of what stands in the way of a higher grade, what keeps the caller from being our own program, run as it was built
/// and by no agent. Nothing is said of who started it, and where.
#[must_use]
pub fn unfit_as_own_program(shortfalls: &[Shortfall]) -> Vec<Shortfall> {
    let counts = |shortfall: &Shortfall| {
        matches!(
            shortfall,
            Shortfall::ForeignCaller
                | Shortfall::NotOurProgram
                | Shortfall::OtherUserNamespace
                | Shortfall::OtherPidNamespace
                | Shortfall::Seccomp
                | Shortfall::Traced
                | Shortfall::LoaderVariables
                | Shortfall::CallerIsAgent
                | Shortfall::AgentAmongParents
                | Shortfall::StartTimesNotMonotone
        )
    };
    shortfalls.iter().copied().filter(counts).collect()
}

/// Rule 1: the caller is our own command line, unconfined, unobserved, with an honest loader.
fn examine_caller(facts: &PersonFacts, known: &Recogniser, why: &mut Vec<Shortfall>) {
    let mut need = |holds: bool, shortfall| {
        if !holds {
            why.push(shortfall);
        }
    };
    need(facts.uid == known.owner_uid, Shortfall::ForeignCaller);
    let ours = facts
        .executable
        .as_ref()
        .is_some_and(|file| known.own_executables.iter().any(|own| own.is_same(file)));
    need(ours, Shortfall::NotOurProgram);
    need(facts.user_ns_same == Some(true), Shortfall::OtherUserNamespace);
    need(facts.pid_ns_same == Some(true), Shortfall::OtherPidNamespace);
    need(facts.no_new_privs == Some(false), Shortfall::NoNewPrivileges);
    need(facts.seccomp == Some(0), Shortfall::Seccomp);
    need(facts.tracer_pid == Some(0), Shortfall::Traced);
    need(facts.loader_variables.as_ref().is_some_and(Vec::is_empty), Shortfall::LoaderVariables);
    need(!facts.is_agent, Shortfall::CallerIsAgent);
}

/// Where the leader of the caller's session was found.
#[derive(Clone, Copy)]
enum Leader {
    /// The caller itself.
    Caller,
    /// That many hops up.
    Hop(usize),
}

impl Leader {
    /// The hops from the first parent to the leader, inclusive.
    fn hops_below(self) -> usize {
        match self {
            Self::Caller => 0,
            Self::Hop(index) => index + 1,
        }
    }
}

/// Rule 2: in the foreground of a terminal, and started from that terminal's session.
fn examine_terminal(facts: &PersonFacts, known: &Recogniser, why: &mut Vec<Shortfall>) -> Option<Leader> {
    if facts.tty_nr == 0 {
        why.push(Shortfall::NoTerminal);
    } else if facts.tpgid <= 0 || facts.pgrp != facts.tpgid {
        why.push(Shortfall::NotForeground);
    }
    if facts.session_id == 0 {
        why.push(Shortfall::LeaderNotReached);
        return None;
    }
    if facts.session_id == facts.pid {
        return Some(Leader::Caller);
    }
    for (index, hop) in facts.hops.iter().enumerate() {
        if hop.pid == facts.session_id && is_login_program(facts, known, hop) {
            return Some(Leader::Hop(index));
        }
        let obstacle = if hop.pid == 1 || hop.subreaper {
            Some(Shortfall::Orphaned)
        } else if hop.uid != known.owner_uid {
            Some(Shortfall::ForeignParent)
        } else {
            None
        };
        if let Some(obstacle) = obstacle {
            why.extend([obstacle, Shortfall::LeaderNotReached]);
            return None;
        }
        if hop.pid == facts.session_id {
            return Some(Leader::Hop(index));
        }
    }
    why.push(Shortfall::LeaderNotReached);
    None
}

/// Root's own process that logind names as the leader of the caller's login session: login(1), which on some systems also
/// stays the leader of the terminal's session, with the person's shell as an ordinary member of it.
fn is_login_program(facts: &PersonFacts, known: &Recogniser, hop: &Hop) -> bool {
    hop.uid == 0
        && hop.pid > 1
        && !hop.subreaper
        && logind_session(facts, known).is_some_and(|record| {
            record.root_owned && record.uid == known.owner_uid && record.leader == hop.pid
        })
}

/// Rule 3: an unbroken chain to the first process, without a registered agent and without a process that could be one.
fn examine_ancestry(
    facts: &PersonFacts,
    known: &Recogniser,
    leader: Option<Leader>,
    why: &mut Vec<Shortfall>,
) {
    let (mut child_start, mut expected) = (facts.start_time, facts.ppid);
    for (index, hop) in facts.hops.iter().enumerate() {
        if hop.pid != expected || (hop.pid == 1 && index + 1 != facts.hops.len()) {
            why.push(Shortfall::BrokenChain);
        }
        if hop.start_time > child_start {
            why.push(Shortfall::StartTimesNotMonotone);
        }
        if hop.is_agent {
            why.push(Shortfall::AgentAmongParents);
        }
        let above_leader = leader.is_some_and(|leader| index >= leader.hops_below());
        let may_be_opaque =
            hop.uid != known.owner_uid || (above_leader && is_vouched_for(facts, known, index, hop));
        if !hop.readable || (hop.executable.is_none() && !may_be_opaque) {
            why.push(Shortfall::Unreadable);
        }
        (child_start, expected) = (hop.start_time, hop.ppid);
    }
    if facts.hops.last().is_none_or(|last| last.pid != 1) {
        why.push(Shortfall::BrokenChain);
    }
}

/// A process of the user's whose executable cannot be read could be an agent that made itself unreadable. Two are
/// known not to be: the user's own service manager where the system manager says so, and the login service's half that
/// runs as the user (sshd), which is the direct child of the privileged one that logind names as the session's leader.
fn is_vouched_for(facts: &PersonFacts, known: &Recogniser, index: usize, hop: &Hop) -> bool {
    let leads = |parent: &Hop| {
        parent.uid == 0
            && logind_session(facts, known)
                .is_some_and(|record| record.root_owned && record.leader == parent.pid)
    };
    hop.vouched || facts.hops.get(index + 1).is_some_and(leads)
}

/// Rule 4, `terminal`: the session leader was started by a listed program of the administrator's. One that logs people in
/// is one only in root's hands: everybody can start an sshd of their own.
fn is_terminal(facts: &PersonFacts, leader: Leader, known: &Recogniser) -> bool {
    let place = leader.hops_below();
    let Some(parent) = facts.hops.get(place) else { return false };
    let Some(program) = parent.executable.as_ref().filter(|program| program.root_owned) else { return false };
    let of_root = |hop: &Hop| hop.uid == 0 && hop.pid > 1;
    known.terminals.contains(&program.path)
        && (!known.terminals.logs_in(&program.path)
            || of_root(parent)
            || facts.hops.get(place + 1).is_some_and(of_root))
}

/// Rule 4, `login`: inside a login session of this user that the system vouches for, and started by its leader.
fn examine_login(facts: &PersonFacts, known: &Recogniser, why: &mut Vec<Shortfall>) {
    if session_scope(facts, known).is_none() {
        why.push(Shortfall::NotInSessionScope);
        return;
    }
    let Some(record) = logind_session(facts, known).filter(|record| record.root_owned) else {
        why.push(Shortfall::NoLogindRecord);
        return;
    };
    if record.class != "user" || record.uid != known.owner_uid || record.state.as_deref() == Some("closing") {
        why.push(Shortfall::OtherKindOfSession);
    }
    if record.leader <= 1 || !facts.hops.iter().any(|hop| hop.pid == record.leader) {
        why.push(Shortfall::LogindLeaderNotAncestor);
    }
}

/// The record of the session whose scope the caller is in.
fn logind_session<'f>(facts: &'f PersonFacts, known: &Recogniser) -> Option<&'f LogindRecord> {
    let scope = session_scope(facts, known)?;
    facts.logind.as_ref().filter(|record| record.id == scope)
}

/// The identifier in `/user.slice/user-UID.slice/session-ID.scope`, which must be the whole path.
fn session_scope<'f>(facts: &'f PersonFacts, known: &Recogniser) -> Option<&'f str> {
    let path = facts.control_group()?;
    let id = path
        .strip_prefix(&format!("/user.slice/user-{}.slice/session-", known.owner_uid))?
        .strip_suffix(".scope")?;
    let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then_some(id)
}

#[cfg(test)]
mod tests;
