//! Which operation of the socket may be asked for by whom.
//!
//! The gate knows nothing of the particular right at stake: a `check` that passes here is still answered by
//! [`decide`](crate::decide()), and an agent's own records are picked out by the operation. The gate only keeps the wrong
//! asker from an operation altogether.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::agent::Agent;
use crate::catalogue::Strength;
use crate::recognise::{Grade, Shortfall};

/// Whose records an operation touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The asker's own.
    Own,
    /// Anybody's.
    All,
}

/// How much a widening gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Widening {
    /// A grant that expires, of a scope that reads or writes.
    Expiring,
    /// Everything else: for ever, or delete, execute, exfiltrate, money.
    Standing,
}

/// How a program is to be started as an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launching {
    /// As the administrator registered it.
    Administered,
    /// As the person registered it, confined; by what the agent was granted.
    Confined(Widening),
    /// As the person registered it, without confinement.
    Unconfined,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Protocol versions and the nonce.
    Hello,
    /// Liveness and readiness.
    Health,
    /// The state of everything, without secrets.
    Status,
    /// Who is logged in.
    Whoami,
    /// A decision about the asker.
    Check,
    /// A decision about another agent, to try things.
    DryRun,
    /// What became of an allowed action.
    Outcome,
    /// A short-lived token for a granted scope.
    Token,
    /// A proof of possession for one request.
    Proof,
    /// What a token is worth (RFC 7662).
    Introspect,
    /// Withdraw a token (RFC 7009).
    RevokeToken(Reach),
    /// The daemon's public keys.
    Keys,
    /// Start a login, or follow or cancel one's own.
    Login,
    /// Log in as another user than the pinned one.
    LoginAsAnother,
    /// End the session.
    Logout,
    /// Pause everything.
    Lock,
    /// End the pause, by what holds again afterwards.
    Unlock(Widening),
    /// See registered agents.
    ListAgents(Reach),
    /// Register an agent or change its registration.
    RegisterAgent,
    /// Register an agent anew with less than it had.
    NarrowAgent,
    /// Remove an agent's registration: afterwards its processes are no agent's any more, so it takes a person.
    RemoveAgent,
    /// Start an agent's program so that it is proven to be that agent.
    Launch(Launching),
    /// See grants.
    ListGrants(Reach),
    /// Take a grant away.
    RevokeGrant(Reach),
    /// See pending questions.
    ListConsents(Reach),
    /// Answer a question with no.
    Deny(Reach),
    /// Answer a question with yes.
    Approve(Widening),
    /// Apply policies or configuration.
    Apply,
    /// See the registered passkeys.
    ListPasskeys,
    /// Register a passkey.
    AddPasskey,
    /// Remove a passkey: one way less to say yes.
    RemovePasskey,
    /// Read the audit log.
    ReadAudit,
    /// Follow events.
    Events(Reach),
    /// Numbers for monitoring.
    Metrics,
    /// See what is logged, or have more of it logged for a time. Never less: that could hide something.
    Log,
}

/// Who asks, as far as the kernel and the rules of recognition tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A registered agent, or a descendant of one.
    Agent,
    /// A process of the user that is neither, with the grade to which it is shown to be the person's own.
    Person(Grade),
    /// The system's administrator.
    Root,
    /// Another user.
    Other,
}

/// Why an operation is refused to an asker.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{operation} was refused: {why}; {remedy}")]
pub struct GateRefusal {
    operation: Operation,
    kind: RefusalKind,
    why: String,
    remedy: &'static str,
}

/// The kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The asker is another user (or root, for anything but looking).
    AnotherUser,
    /// The asker is an agent, and the operation is the person's.
    AgentAsked,
    /// The operation is an agent's.
    NotAnAgent,
    /// The asker is not shown to be the person, at a terminal.
    GradeTooLow,
    /// The operation widens rights and needs a passkey or a fresh login.
    NeedsEvidence,
}

impl RefusalKind {
    /// A stable code for the wire.
    pub fn code(self) -> &'static str {
        match self {
            Self::AnotherUser => "another_user",
            Self::AgentAsked => "agent_asked",
            Self::NotAnAgent => "not_an_agent",
            Self::GradeTooLow => "grade_too_low",
            Self::NeedsEvidence => "needs_evidence",
        }
    }
}

impl GateRefusal {
    fn new(operation: Operation, kind: RefusalKind) -> Self {
        let confirmable = operation.need() != Need::Terminal;
        let (why, remedy) = match kind {
            RefusalKind::AnotherUser => {
                ("this daemon belongs to another user of this machine", "ask the daemon of your own account")
            }
            RefusalKind::AgentAsked => (
                "it was asked for by a registered agent or one of its descendants, and only the person may ask for it",
                "let the person run it in a terminal of their own",
            ),
            RefusalKind::NotAnAgent => (
                "only registered agents may ask for it",
                "register the program with `agentauthd agent register`",
            ),
            RefusalKind::GradeTooLow => (
                "the asking process is not shown to be the person at a terminal",
                if confirmable {
                    "run it in the foreground of a terminal window, a console or an SSH login, or confirm it with a fresh \
                     login, from anywhere (`--reauth`)"
                } else {
                    "run it in the foreground of a terminal window, a console or an SSH login"
                },
            ),
            RefusalKind::NeedsEvidence => (
                "it widens what agents may do, and nothing shows that the person wants exactly this",
                "confirm it with a passkey or a fresh login (`--reauth`)",
            ),
        };
        Self { operation, kind, why: why.to_owned(), remedy }
    }

    /// Adds why the asker has no higher grade, so that the person can see what to change.
    #[must_use]
    pub fn because(mut self, shortfalls: &[Shortfall]) -> Self {
        if self.kind == RefusalKind::GradeTooLow && !shortfalls.is_empty() {
            let reasons: Vec<&str> = shortfalls.iter().map(|shortfall| shortfall.text()).collect();
            self.why = format!("{} ({})", self.why, reasons.join("; "));
        }
        self
    }

    /// The kind of refusal.
    pub fn kind(&self) -> RefusalKind {
        self.kind
    }

    /// What was refused.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        self.remedy
    }
}

/// Whether `asker` may ask for `operation` without further evidence. See [`may_with`].
///
/// # Errors
/// A refusal that says why and what to do.
pub fn may(operation: Operation, asker: Asker) -> Result<(), GateRefusal> {
    may_with(operation, asker, None)
}

/// Whether `asker` may ask for `operation`, bringing `evidence` that the person wants exactly this: an answer on the
/// page ([`Strength::Prompt`]), or a passkey or fresh login over the hash of the request.
///
/// Agents get what agents need and what takes away from themselves; evidence does not help them, since nothing widens
/// on the word of an agent. The user's other processes may look and may take away. Trying decisions out needs a
/// recognised terminal. An expiring grant needs it or the page. Ending a pause and starting an agent need it, or a passkey
/// or a fresh login, where nothing but expiring grants is behind them. Everything else that widens needs a passkey or a
/// fresh login, which count from any process of the person's.
///
/// # Errors
/// A refusal that says why and what to do.
pub fn may_with(operation: Operation, asker: Asker, evidence: Option<Strength>) -> Result<(), GateRefusal> {
    let refuse = |kind| Err(GateRefusal::new(operation, kind));
    let need = operation.need();
    match (asker, need) {
        (Asker::Other, _) => refuse(RefusalKind::AnotherUser),
        (Asker::Root, Need::Anybody)
        | (Asker::Agent | Asker::Person(_), Need::Anybody | Need::AnyProcess) => Ok(()),
        (Asker::Root, _) => refuse(RefusalKind::AnotherUser),
        (Asker::Agent, Need::AgentOnly) => Ok(()),
        (Asker::Agent, _) => refuse(RefusalKind::AgentAsked),
        (Asker::Person(_), Need::AgentOnly) => refuse(RefusalKind::NotAnAgent),
        (Asker::Person(_), Need::AnyPerson) => Ok(()),
        (Asker::Person(grade), Need::Terminal) if grade >= Grade::Terminal => Ok(()),
        (Asker::Person(_), Need::Terminal) => refuse(RefusalKind::GradeTooLow),
        (Asker::Person(grade), Need::TerminalOrEvidence)
            if grade >= Grade::Terminal || evidence >= Some(Strength::Passkey) =>
        {
            Ok(())
        }
        (Asker::Person(_), Need::TerminalOrEvidence) => refuse(RefusalKind::GradeTooLow),
        (Asker::Person(grade), Need::Prompt) if grade >= Grade::Terminal || evidence.is_some() => Ok(()),
        (Asker::Person(_), Need::Prompt) => refuse(RefusalKind::GradeTooLow),
        (Asker::Person(_), Need::Evidence) if evidence >= Some(Strength::Passkey) => Ok(()),
        (Asker::Person(_), Need::Evidence) => refuse(RefusalKind::NeedsEvidence),
    }
}

/// Whether an agent reads the numbers for monitoring, which are the person's: when the configuration names it, and each that
/// it stands below. `agents` are those whose rights limit it; none, where it is not proven to be one.
#[must_use]
pub fn scrapes(agents: &[Arc<Agent>], named: &[String]) -> bool {
    let is_named = |agent: &Arc<Agent>| named.iter().any(|name| **name == *agent.name);
    !agents.is_empty() && agents.iter().all(is_named)
}

/// What an operation demands of its asker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Any process of the user, and root.
    Anybody,
    /// Any process of the user; the operation answers only for the asker itself.
    AnyProcess,
    /// An agent.
    AgentOnly,
    /// A process of the user that is no agent.
    AnyPerson,
    /// The person at a recognised terminal.
    Terminal,
    /// That, or an answer on the page, or stronger.
    Prompt,
    /// The person at a recognised terminal, or a passkey or a fresh login.
    TerminalOrEvidence,
    /// A passkey or a fresh login.
    Evidence,
}

impl Operation {
    fn need(self) -> Need {
        match self {
            Self::Hello | Self::Health | Self::Status => Need::Anybody,
            // An unregistered program may ask and is told `agent_unknown` by the decision.
            Self::Check | Self::Keys => Need::AnyProcess,
            Self::RevokeToken(Reach::Own)
            | Self::ListAgents(Reach::Own)
            | Self::ListGrants(Reach::Own)
            | Self::RevokeGrant(Reach::Own)
            | Self::ListConsents(Reach::Own)
            | Self::Deny(Reach::Own)
            | Self::Events(Reach::Own) => Need::AnyProcess,
            Self::Outcome | Self::Token | Self::Proof | Self::Introspect => Need::AgentOnly,
            Self::Whoami
            | Self::Login
            | Self::Logout
            | Self::Lock
            | Self::RevokeToken(Reach::All)
            | Self::ListAgents(Reach::All)
            | Self::ListGrants(Reach::All)
            | Self::RevokeGrant(Reach::All)
            | Self::ListConsents(Reach::All)
            | Self::Deny(Reach::All)
            | Self::ListPasskeys
            | Self::RemovePasskey
            | Self::ReadAudit
            | Self::Events(Reach::All)
            | Self::Metrics
            | Self::Log
            | Self::Launch(Launching::Administered) => Need::AnyPerson,
            Self::DryRun => Need::Terminal,
            Self::NarrowAgent | Self::RemoveAgent | Self::Approve(Widening::Expiring) => Need::Prompt,
            Self::Unlock(Widening::Expiring) | Self::Launch(Launching::Confined(Widening::Expiring)) => {
                Need::TerminalOrEvidence
            }
            Self::LoginAsAnother
            | Self::RegisterAgent
            | Self::Approve(Widening::Standing)
            | Self::Apply
            | Self::AddPasskey
            | Self::Unlock(Widening::Standing)
            | Self::Launch(Launching::Confined(Widening::Standing) | Launching::Unconfined) => Need::Evidence,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Hello => "greeting",
            Self::Health => "looking at the daemon's health",
            Self::Status => "looking at the status",
            Self::Whoami => "asking who is logged in",
            Self::Check => "checking a scope",
            Self::DryRun => "trying a decision for another agent",
            Self::Outcome => "reporting an outcome",
            Self::Token => "getting a token",
            Self::Proof => "getting a proof of possession",
            Self::Introspect => "inspecting a token",
            Self::RevokeToken(_) => "withdrawing a token",
            Self::Keys => "reading the public keys",
            Self::Login => "logging in",
            Self::LoginAsAnother => "logging in as another user",
            Self::Logout => "logging out",
            Self::Lock => "locking",
            Self::Unlock(_) => "unlocking",
            Self::ListAgents(_) => "listing agents",
            Self::RegisterAgent => "registering an agent",
            Self::NarrowAgent => "registering an agent with less than it had",
            Self::RemoveAgent => "removing an agent",
            Self::Launch(Launching::Administered | Launching::Confined(_)) => "starting an agent",
            Self::Launch(Launching::Unconfined) => "starting an agent without confinement",
            Self::ListGrants(_) => "listing grants",
            Self::RevokeGrant(_) => "revoking a grant",
            Self::ListConsents(_) => "listing questions",
            Self::Deny(_) => "denying a question",
            Self::Approve(_) => "approving a question",
            Self::Apply => "applying policy or configuration",
            Self::ListPasskeys => "listing passkeys",
            Self::AddPasskey => "registering a passkey",
            Self::RemovePasskey => "removing a passkey",
            Self::ReadAudit => "reading the audit log",
            Self::Events(_) => "following events",
            Self::Metrics => "reading metrics",
            Self::Log => "changing what is logged",
        })
    }
}

#[cfg(test)]
mod tests;
