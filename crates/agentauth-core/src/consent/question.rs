//! One question: which program wants what, for whom, what for, what is new, and which answers there are.
//!
//! Every text in it is safe to show: what came from an agent, a manifest or the provider has been through
//! [`display_safe_within`] when the question was made. Terminal, page and record all say what [`Question::lines`] says.

use std::sync::Arc;

use super::action::Action;
use super::choice::{Choice, Offer, offers, suggested};
use crate::agent::Agent;
use crate::agents::Assurance;
use crate::caller::{CallerFacts, ProcessFacts};
use crate::catalogue::{Catalogue, RiskClass, Strength};
use crate::grant::{Binding, Grant, Standing};
use crate::scope::{MAX_SCOPE_BYTES, Scope, ScopeContext};
use crate::session::User;
use crate::snapshot::Snapshot;
use crate::text::display_safe_within;
use crate::time::Timestamp;

/// How many of the programs above the caller are named.
const MAX_PARENTS: usize = 8;

/// The longest question, in bytes of all its lines: what nobody can read is not asked. What is asked is shown whole.
pub const MAX_QUESTION_BYTES: usize = 8 * 1024;

/// A question to the person.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Names it; the rim makes it unique.
    pub id: Arc<str>,
    /// The agent's name.
    pub agent: Arc<str>,
    /// The agent's version, by its own word.
    pub version: String,
    /// Who publishes it, by its own word.
    pub publisher: Option<String>,
    /// What its author wants the person to read.
    pub says: Option<String>,
    /// The digest of the manifest that the question is about.
    pub manifest_digest: String,
    /// Whose rights it would use.
    pub user: User,
    /// The process that asked first.
    pub program: Program,
    /// Why it asks now, in its own words.
    pub purpose: Option<String>,
    /// What exactly it is about to do; an answer holds for this only.
    pub action: Option<Action>,
    /// What it asks for.
    pub scopes: Vec<AskedScope>,
    /// When it was asked first.
    pub asked_at: Timestamp,
    /// The first instant at which it cannot be answered any more.
    pub expires_at: Timestamp,
}

/// The process that asks, as far as a person needs to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its process id.
    pub pid: u32,
    /// What it runs.
    pub executable: String,
    /// The script, where that is an interpreter.
    pub script: Option<String>,
    /// How well it is proven to be the agent.
    pub assurance: Assurance,
    /// The programs that started it, the nearest first.
    pub started_by: Vec<String>,
    /// Signs that somebody else's code may run inside.
    pub tampered: Vec<String>,
}

/// One scope of a question.
#[derive(Debug, Clone, PartialEq)]
pub struct AskedScope {
    /// The scope.
    pub scope: Scope,
    /// What it allows, in plain words: "read files".
    pub says: String,
    /// Where: "in `/projects` and everything below it".
    pub effect: String,
    /// What can go wrong.
    pub risk: RiskClass,
    /// What the manifest says it is for.
    pub purpose: String,
    /// What is new since the last time.
    pub news: News,
    /// The yes that is proposed.
    pub suggested: Choice,
    /// Every yes that may be given.
    pub offers: Vec<Offer>,
    /// How strongly it has to be confirmed at least, where a policy says so. The offers demand it.
    pub at_least: Option<Strength>,
}

/// What an agent lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The scope.
    pub scope: Scope,
    /// How strongly it has to be confirmed at least, where a policy says so.
    pub at_least: Option<Strength>,
}

/// What is new about a scope since the last time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It was never allowed.
    Never,
    /// It was allowed, and no longer is.
    Ended {
        /// Since when, where that is known.
        at: Option<Timestamp>,
    },
    /// It was allowed to another version of the agent.
    OtherVersion,
    /// It is allowed, but was not confirmed as strongly as a policy wants it.
    TooWeak,
    /// A mandate allows it at other times.
    OutsideWindow {
        /// When.
        window: String,
    },
    /// It was allowed for long, and does not count because the person was not seen for long.
    Unconfirmed,
    /// It was refused.
    Refused {
        /// When.
        at: Timestamp,
    },
}

/// What a request lacks, of which a question is made.
#[derive(Debug, Clone, Copy)]
pub struct Lacking<'a> {
    /// The agent without a grant.
    pub agent: &'a str,
    /// What it lacks.
    pub scopes: &'a [Wanted],
    /// What exactly is to be done.
    pub action: Option<&'a Action>,
    /// Why, in its own words.
    pub purpose: Option<&'a str>,
    /// Who asked.
    pub caller: &'a CallerFacts,
    /// How well that is proven.
    pub assurance: Assurance,
}

impl Question {
    /// The question in what a request lacks; nothing where nobody is logged in, the agent is gone, or the question would
    /// be longer than [`MAX_QUESTION_BYTES`].
    #[must_use]
    pub fn new(
        id: &str,
        lacking: &Lacking<'_>,
        snapshot: &Snapshot,
        longest: Choice,
        (asked_at, expires_at): (Timestamp, Timestamp),
    ) -> Option<Self> {
        let agent = snapshot.agents.get(lacking.agent)?;
        let user = snapshot.session.user()?;
        let shown = |text: &Option<String>| text.as_deref().map(|text| display_safe_within(text, 120));
        let question = Self {
            id: id.into(),
            agent: Arc::clone(&agent.name),
            version: display_safe_within(&agent.manifest.version, 64),
            publisher: shown(&agent.manifest.publisher),
            says: agent.manifest.ui_hints.consent_text.as_deref().map(|text| display_safe_within(text, 500)),
            manifest_digest: agent.manifest_digest.to_string(),
            user: User { subject: user.subject.clone(), name: shown(&user.name), email: shown(&user.email) },
            program: Program::of(lacking.caller, lacking.assurance),
            purpose: lacking.purpose.map(|purpose| display_safe_within(purpose, 300)),
            action: lacking.action.cloned(),
            scopes: lacking
                .scopes
                .iter()
                .map(|wanted| AskedScope::of(agent, wanted, snapshot, longest, asked_at))
                .collect(),
            asked_at,
            expires_at,
        };
        let length: usize = question.lines().iter().map(String::len).sum();
        (length <= MAX_QUESTION_BYTES).then_some(question)
    }

    /// Whether the two ask the same: agent, manifest, user, set of scopes with what each has to be confirmed by, action.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        let names = |one: &Self, by: &Self| {
            let same = |asked: &AskedScope, other: &AskedScope| {
                other.scope == asked.scope && other.at_least == asked.at_least
            };
            one.scopes.iter().all(|asked| by.scopes.iter().any(|other| same(asked, other)))
        };
        self.agent == other.agent
            && self.manifest_digest == other.manifest_digest
            && self.user.subject == other.user.subject
            && self.action == other.action
            && names(self, other)
            && names(other, self)
    }

    /// Whether it is still about what it was: the same user is logged in, and the agent's manifest is the one that was
    /// shown.
    #[must_use]
    pub fn still_stands(&self, snapshot: &Snapshot) -> bool {
        let same_user = snapshot.session.user().is_some_and(|user| user.subject == self.user.subject);
        let agent = snapshot.agents.get(&self.agent);
        same_user && agent.is_some_and(|agent| *agent.manifest_digest == *self.manifest_digest)
    }

    /// The whole question as a person reads it, line by line; the record of the answer repeats it.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} asks to act for {}", self.who(), self.for_whom())];
        lines.push(self.program.line());
        lines.push(self.program.origin());
        if !self.program.tampered.is_empty() {
            let signs = self.program.tampered.join(", ");
            lines.push(format!("Careful: other code may run inside this program ({signs})."));
        }
        if let Some(says) = &self.says {
            lines.push(format!("Its author says: “{says}”"));
        }
        if let Some(purpose) = &self.purpose {
            lines.push(format!("It says: “{purpose}”"));
        }
        for (position, asked) in self.scopes.iter().enumerate() {
            lines.push(format!("{}. {} ({})", position + 1, asked.sentence(), asked.risk_says()));
            lines.push(format!("   {}", display_safe_within(asked.scope.as_str(), MAX_SCOPE_BYTES)));
            lines.push(format!("   For: “{}”", asked.purpose));
            lines.push(format!("   {}", asked.news.sentence()));
            lines.extend(asked.demand().map(|demand| format!("   {demand}")));
        }
        if let Some(action) = &self.action {
            lines.push("Only for exactly this:".to_owned());
            lines.extend(action.members().iter().map(|(name, value)| format!("   {name}: {value}")));
        }
        lines
    }

    /// The agent with its version and publisher.
    #[must_use]
    pub fn who(&self) -> String {
        let by =
            self.publisher.as_ref().map_or_else(String::new, |by| format!(", by its own word from {by}"));
        format!("`{}` {}{by}", self.agent, self.version)
    }

    /// The user in words.
    #[must_use]
    pub fn for_whom(&self) -> String {
        match (&self.user.name, &self.user.email) {
            (Some(name), Some(email)) if name != email => format!("{name} ({email})"),
            (Some(one), _) | (None, Some(one)) => one.clone(),
            (None, None) => display_safe_within(&self.user.subject, 120),
        }
    }
}

impl Program {
    fn of(caller: &CallerFacts, assurance: Assurance) -> Self {
        let process = &caller.process;
        let hidden = || "a program that it hides".to_owned();
        let path = |process: &ProcessFacts| {
            process.executable.as_ref().map(|executable| display_safe_within(&executable.path, 300))
        };
        let mut started_by: Vec<String> = caller.ancestors.iter().take(MAX_PARENTS).map(name_of).collect();
        if caller.ancestors.len() > MAX_PARENTS {
            started_by.push("…".to_owned());
        }
        Self {
            pid: process.pid,
            executable: path(process).unwrap_or_else(hidden),
            script: process.script.as_ref().map(|script| display_safe_within(&script.path, 300)),
            assurance,
            started_by,
            tampered: caller
                .caveats
                .iter()
                .filter(|caveat| caveat.is_tampering())
                .map(|caveat| display_safe_within(caveat.word(), 64))
                .collect(),
        }
    }

    /// What it runs and how well that is proven.
    #[must_use]
    pub fn line(&self) -> String {
        let script = self.script.as_ref().map_or_else(String::new, |script| format!(" running {script}"));
        let proven = match self.assurance {
            Assurance::Unproven => "not proven",
            Assurance::Path => "recognised by its path",
            Assurance::Pinned => "recognised by its fingerprint",
            Assurance::Launched => "started by agentauthd itself",
        };
        format!("Program: {}{script} (process {}, {proven})", self.executable, self.pid)
    }

    /// Who started it.
    #[must_use]
    pub fn origin(&self) -> String {
        if self.started_by.is_empty() {
            return "Started by: the system".to_owned();
        }
        format!("Started by: {}", self.started_by.join(" ← "))
    }
}

impl AskedScope {
    fn of(agent: &Agent, wanted: &Wanted, snapshot: &Snapshot, longest: Choice, now: Timestamp) -> Self {
        let (Wanted { scope, at_least }, catalogue) = (wanted, &snapshot.catalogue);
        let demanded = |offer: Offer| Offer {
            needs: at_least.map_or(offer.needs, |least| offer.needs.max(least)),
            ..offer
        };
        let purpose = agent.manifest.scopes.iter().find(|entry| entry.scope.covers(scope));
        Self {
            scope: scope.clone(),
            says: says(catalogue, scope),
            effect: effect(scope),
            risk: catalogue.risk(scope),
            purpose: purpose.map(|entry| display_safe_within(&entry.purpose, 300)).unwrap_or_default(),
            news: News::of(agent, wanted, snapshot, now),
            suggested: suggested(catalogue, scope, longest),
            offers: offers(catalogue, scope, longest).into_iter().map(demanded).collect(),
            at_least: *at_least,
        }
    }

    /// What is wanted, in plain words, and where.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("{} {}", self.says, self.effect)
    }

    /// What a policy demands of the answer, in words.
    #[must_use]
    pub fn demand(&self) -> Option<&'static str> {
        match self.at_least? {
            Strength::Prompt => None,
            Strength::Passkey => Some("A policy wants it confirmed with a passkey or by signing in."),
            Strength::Reauth => Some("A policy wants it confirmed by signing in."),
        }
    }

    /// What can go wrong, in words.
    #[must_use]
    pub fn risk_says(&self) -> &'static str {
        match self.risk {
            RiskClass::Read => "reads",
            RiskClass::Write => "changes things",
            RiskClass::Delete => "can destroy data",
            RiskClass::Execute => "can run code or change the system",
            RiskClass::Exfiltrate => "sends data to others",
            RiskClass::Money => "moves money",
        }
    }
}

impl News {
    fn of(agent: &Agent, wanted: &Wanted, snapshot: &Snapshot, now: Timestamp) -> Self {
        let Wanted { scope, at_least } = wanted;
        if let Some(at) = snapshot.declined.earlier(&agent.name, scope) {
            return Self::Refused { at };
        }
        let covering = |grant: &&Arc<Grant>| !grant.denied && grant.scope.covers(scope);
        let login = snapshot.session.usable_at(now).map_or(Timestamp::MIN, |session| session.logged_in_at);
        let user = snapshot.session.user().map(|user| user.subject.as_str());
        let weak = |grant: &Arc<Grant>| {
            let Binding { manifest_digest, user: giver, action, .. } = &grant.binding;
            at_least.is_some_and(|least| grant.strength() < least.into())
                && manifest_digest.as_deref().is_none_or(|digest| *digest == *agent.manifest_digest)
                && giver.as_deref().is_none_or(|giver| Some(giver) == user)
                && action.is_none()
                && grant.standing(now, login, &snapshot.presence) == Standing::Holds
        };
        if snapshot.grants.of_agent(&agent.name).filter(covering).any(weak) {
            return Self::TooWeak;
        }
        if let Some(asleep) = Self::asleep(agent, snapshot, now, covering) {
            return asleep;
        }
        let earlier = snapshot.grants.of_agent(&agent.name).filter(covering);
        earlier.fold(Self::Never, |news, grant| match (news, grant.ends_at().filter(|end| *end <= now)) {
            (Self::Ended { at: Some(known) }, Some(end)) => Self::Ended { at: Some(known.max(end)) },
            (_, Some(end)) => Self::Ended { at: Some(end) },
            (Self::Never, None) => Self::Ended { at: None },
            (news, None) => news,
        })
    }

    /// What of it has not ended and does not hold now.
    fn asleep(
        agent: &Agent,
        snapshot: &Snapshot,
        now: Timestamp,
        covering: impl Fn(&&Arc<Grant>) -> bool,
    ) -> Option<Self> {
        let user = snapshot.session.user().map(|user| user.subject.as_str());
        let meant = |grant: &&Arc<Grant>| {
            let binding = &grant.binding;
            binding.action.is_none()
                && binding.user.as_deref() == user
                && binding.manifest_digest.as_deref() == Some(&*agent.manifest_digest)
        };
        let standing = snapshot.grants.of_agent(&agent.name).filter(covering).filter(meant);
        // What stands is bound to no login.
        let standing = standing.filter(|grant| grant.is_standing());
        let best = standing.max_by_key(|grant| grant.standing(now, Timestamp::MIN, &snapshot.presence))?;
        match best.standing(now, Timestamp::MIN, &snapshot.presence) {
            Standing::Closed => {
                best.window().map(|window| Self::OutsideWindow { window: window.to_string() })
            }
            Standing::Unconfirmed => Some(Self::Unconfirmed),
            Standing::Ended | Standing::Holds => None,
        }
    }

    /// One sentence for the person.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::OutsideWindow { window } => format!("You allowed this at another time: {window}."),
            Self::TooWeak => {
                "You allowed this, but did not confirm it as strongly as a policy wants.".to_owned()
            }
            Self::Unconfirmed => {
                "You allowed this for long, but have not signed in for so long that it does not count."
                    .to_owned()
            }
            Self::Never => "New: you have never allowed this.".to_owned(),
            Self::Ended { at: Some(at) } => format!("You allowed this before; that ended {at:.0}."),
            Self::Ended { at: None } => "You allowed this before, for another occasion or login.".to_owned(),
            Self::OtherVersion => "You allowed this to another version of the agent.".to_owned(),
            Self::Refused { at } => format!("You refused this {at:.0}."),
        }
    }
}

fn says(catalogue: &Catalogue, scope: &Scope) -> String {
    match catalogue.entry(scope) {
        Some(entry) => display_safe_within(&entry.says, 80),
        None => format!("do `{}`, which nobody has described here,", scope.action_name()),
    }
}

/// Where a scope holds, in words that leave nothing out.
fn effect(scope: &Scope) -> String {
    let quoted = |text: &str| format!("`{}`", display_safe_within(text, MAX_SCOPE_BYTES));
    match scope.context() {
        ScopeContext::Any => "everywhere, without any limit".to_owned(),
        ScopeContext::Path(path) if path == "/" => "everywhere on this computer".to_owned(),
        ScopeContext::Path(path) => format!("at {} and everything below it", quoted(path)),
        ScopeContext::Pairs(pairs) => {
            let each = pairs.iter().map(|(key, value)| match value.strip_suffix('*') {
                Some("") => format!("whatever {key} is"),
                Some(start) => format!("where {key} begins with {}", quoted(start)),
                None => format!("where {key} is {}", quoted(value)),
            });
            each.collect::<Vec<_>>().join(" and ")
        }
    }
}

/// The name of what a parent runs.
fn name_of(process: &ProcessFacts) -> String {
    let path = match (&process.script, &process.executable) {
        (Some(script), _) => &script.path,
        (None, Some(executable)) => &executable.path,
        (None, None) => return "a hidden program".to_owned(),
    };
    display_safe_within(path.rsplit('/').next().unwrap_or(path), 64)
}
