//! What a record says.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::json::Object;

/// Something that happened. Borrowed text keeps the way to the log free of copies; what is read back owns its text.
/// Absent members are left out of the line.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Event<'a> {
    /// When, to the microsecond.
    pub time: Timestamp,
    /// What.
    #[serde(rename = "event")]
    pub kind: Kind,
    /// The identifier that the asker was given: of a decision, a login, a consent.
    #[serde(default)]
    pub id: Option<Text<'a>>,
    /// The caller's own correlation hint (W3C trace id); never an identity.
    #[serde(default)]
    pub trace: Option<Text<'a>>,
    /// The profile concerned.
    #[serde(default)]
    pub profile: Option<Text<'a>>,
    /// The user's subject at the provider.
    #[serde(default)]
    pub user: Option<Text<'a>>,
    /// The process that asked.
    #[serde(default)]
    pub actor: Option<Actor<'a>>,
    /// The scopes concerned.
    #[serde(default)]
    pub scopes: Vec<Text<'a>>,
    /// What can go wrong with each of the scopes, in their order, where the event is a decision.
    #[serde(default)]
    pub risks: Vec<Text<'a>>,
    /// What the asker said it is for.
    #[serde(default)]
    pub purpose: Option<Text<'a>>,
    /// The answer, where the event is one.
    #[serde(default)]
    pub decision: Option<Verdict>,
    /// The stable reason code.
    #[serde(default)]
    pub reason: Option<Text<'a>>,
    /// The policies that determined the answer.
    #[serde(default)]
    pub policies: Vec<Text<'a>>,
    /// The grants that covered it, or are concerned.
    #[serde(default)]
    pub grants: Vec<Text<'a>>,
    /// The kind of the grant that there was for it, as policies saw it; `policy` where a policy granted it; where they differ, one for each scope and agent, with
    /// spaces between them.
    #[serde(default)]
    pub grant_kinds: Option<Text<'a>>,
    /// How that grant was confirmed, as policies saw it (`policy` where a policy granted it), in the same way.
    #[serde(default)]
    pub grant_strengths: Option<Text<'a>>,
    /// The signals about the asker that were up when it was decided.
    #[serde(default)]
    pub signals: Vec<Text<'a>>,
    /// The facts that it was decided on: digests, each of the `facts` record with that `id`.
    #[serde(default)]
    pub facts: Vec<Text<'a>>,
    /// Somebody tried what would be answered; nothing was spent.
    #[serde(default)]
    pub dry_run: bool,
    /// A sentence for people.
    #[serde(default)]
    pub message: Option<Text<'a>>,
    /// What only this kind of event has; never secrets.
    #[serde(default)]
    pub details: Map<String, Value>,
}

impl<'a> Event<'a> {
    /// An event of `kind` at `time` with nothing else in it.
    pub fn new(kind: Kind, time: Timestamp) -> Event<'a> {
        Event {
            time,
            kind,
            id: None,
            trace: None,
            profile: None,
            user: None,
            actor: None,
            scopes: Vec::new(),
            risks: Vec::new(),
            purpose: None,
            decision: None,
            reason: None,
            policies: Vec::new(),
            grants: Vec::new(),
            grant_kinds: None,
            grant_strengths: None,
            signals: Vec::new(),
            facts: Vec::new(),
            dry_run: false,
            message: None,
            details: Map::new(),
        }
    }

    /// Writes its members, in the order in which they stand here. By hand: a record is written on the way of every
    /// decision.
    pub(crate) fn write(&self, object: &mut Object<'_>) {
        // All of them: one that is added does not get lost.
        let Self {
            time,
            kind,
            id,
            trace,
            profile,
            user,
            actor,
            scopes,
            risks,
            purpose,
            decision,
            reason,
            policies,
            grants,
            grant_kinds,
            grant_strengths,
            signals,
            facts,
            dry_run,
            message,
            details,
        } = self;
        // One instant has one spelling, and lines sort as text.
        object.plain("time", format_args!("{time:.6}"));
        object.text("event", kind.as_str());
        object.some_text("id", id);
        object.some_text("trace", trace);
        object.some_text("profile", profile);
        object.some_text("user", user);
        if let Some(actor) = actor {
            object.object("actor", |object| actor.write(object));
        }
        object.texts("scopes", scopes);
        object.texts("risks", risks);
        object.some_text("purpose", purpose);
        if let Some(decision) = *decision {
            object.text("decision", decision.as_str());
        }
        object.some_text("reason", reason);
        object.texts("policies", policies);
        object.texts("grants", grants);
        object.some_text("grant_kinds", grant_kinds);
        object.some_text("grant_strengths", grant_strengths);
        object.texts("signals", signals);
        object.texts("facts", facts);
        if *dry_run {
            object.put("dry_run", true);
        }
        object.some_text("message", message);
        if !details.is_empty() {
            object.put("details", details);
        }
    }
}

/// The process that asked, as the kernel describes it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Actor<'a> {
    /// Its process id.
    pub pid: u32,
    /// Its executable's path.
    #[serde(default)]
    pub executable: Option<Text<'a, 4096>>,
    /// Its executable's SHA-256, hexadecimal.
    #[serde(default)]
    pub sha256: Option<Text<'a>>,
    /// How well it is proven: `launched`, `pinned`, `path`, `unproven`.
    #[serde(default)]
    pub assurance: Option<Text<'a>>,
    /// The registered agents that it is, or descends from, nearest first.
    #[serde(default)]
    pub agents: Vec<Text<'a>>,
}

impl Actor<'_> {
    fn write(&self, object: &mut Object<'_>) {
        let Self { pid, executable, sha256, assurance, agents } = self;
        object.put("pid", pid);
        object.some_text("executable", executable);
        object.some_text("sha256", sha256);
        object.some_text("assurance", assurance);
        object.texts("agents", agents);
    }
}

/// Allow or deny.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The answer was yes.
    Allow,
    /// The answer was no.
    Deny,
}

impl Verdict {
    /// The word in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal,)+) => {
        /// What happened. On the wire a dotted name; names are added, never changed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])+ #[serde(rename = $name)] $variant,)+
            /// A name that a later version wrote.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Kind] = &[$(Kind::$variant,)+ Kind::Unknown];

            /// Of this name in the log.
            pub(crate) fn of_name(name: &str) -> Kind {
                match name {
                    $($name => Kind::$variant,)+
                    _ => Kind::Unknown,
                }
            }

            /// The name in the log.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Kind::$variant => $name,)+
                    Kind::Unknown => "unknown",
                }
            }
        }
    };
}

kinds! {
    /// An agent was started by the daemon's own launcher.
    AgentLaunched = "agent.launched",
    /// What was launched as an agent is it no more: its launcher ended, or its registration.
    AgentLaunchEnded = "agent.launch_ended",
    /// The administrator's registration of an agent took effect.
    AgentLoaded = "agent.loaded",
    /// The person registered an agent.
    AgentRegistered = "agent.registered",
    /// An agent's registration was removed.
    AgentRemoved = "agent.removed",
    /// Events could not be recorded for a while; how many, and why.
    AuditGap = "audit.gap",
    /// What stands at the beginning of a new file: the rights that all records before it gave and have not ended.
    ChainCarried = "chain.carried",
    /// Old records were deleted, down to a stub.
    ChainShortened = "chain.shortened",
    /// A new file goes on with the chain of the one before.
    ChainContinued = "chain.continued",
    /// The log itself: something before this record was lost or set aside.
    ChainRecovered = "chain.recovered",
    /// Number and hash of a record before this one, signed.
    Checkpoint = "checkpoint",
    /// From here on checkpoints are signed by this key.
    CheckpointKey = "checkpoint.key",
    /// A configuration took effect.
    ConfigurationLoaded = "configuration.loaded",
    /// A configuration was refused; the one before stays.
    ConfigurationRefused = "configuration.refused",
    /// A question was answered.
    ConsentAnswered = "consent.answered",
    /// A question was put to the user.
    ConsentAsked = "consent.asked",
    /// A question ended without an answer of its own.
    ConsentEnded = "consent.ended",
    /// A policy allowed what nobody was asked about.
    ConsentPreapproved = "consent.preapproved",
    /// A request was answered.
    Decision = "decision",
    /// Equal denials in a row, counted instead of written one by one.
    DecisionsFolded = "decision.folded",
    /// Facts that decisions rest on, which name them by their digest.
    Facts = "facts",
    /// A grant was given.
    GrantAdded = "grant.added",
    /// A grant ended by itself.
    GrantExpired = "grant.expired",
    /// A grant was taken away.
    GrantRevoked = "grant.revoked",
    /// The provider's keys were fetched.
    KeysLoaded = "keys.loaded",
    /// The provider's keys could not be fetched or were refused.
    KeysRefused = "keys.refused",
    /// What the daemon logs was changed while it runs.
    LogFilterChanged = "log.filter_changed",
    /// Everything was paused.
    Lock = "lock",
    /// A user logged in.
    Login = "login",
    /// A login that is not used any more could not be ended at the provider.
    LoginNotEnded = "login.not_ended",
    /// A login failed or was refused.
    LoginRefused = "login.refused",
    /// A login was begun.
    LoginStarted = "login.started",
    /// The installation belongs to another account from now on.
    LoginSwitched = "login.switched",
    /// A user logged out.
    Logout = "logout",
    /// An operation was refused to a caller who may not ask for it.
    OperationRefused = "operation.refused",
    /// An agent said what became of an allowed action.
    Outcome = "outcome",
    /// The person was seen: signed in at the provider, or used a passkey.
    PersonSeen = "person.seen",
    /// A passkey was registered.
    PasskeyAdded = "passkey.added",
    /// The answer of a passkey counted for nothing.
    PasskeyRefused = "passkey.refused",
    /// A passkey was removed.
    PasskeyRemoved = "passkey.removed",
    /// A passkey confirmed a request.
    PasskeyUsed = "passkey.used",
    /// A policy set took effect.
    PolicyLoaded = "policy.loaded",
    /// A policy set was refused; the one before stays.
    PolicyRefused = "policy.refused",
    /// An admin locked device or agent.
    Quarantine = "quarantine",
    /// The session was refreshed.
    Refresh = "refresh",
    /// A refresh failed.
    RefreshFailed = "refresh.failed",
    /// What the person's own files say took effect: settings, catalogue, policies.
    RulesApplied = "rules.applied",
    /// The daemon serves.
    ServiceStart = "service.start",
    /// The daemon stops.
    ServiceStop = "service.stop",
    /// The provider confirmed a session without giving a new token.
    SessionConfirmed = "session.confirmed",
    /// A session ended other than by logout.
    SessionOver = "session.over",
    /// A stored session was taken up again.
    SessionResumed = "session.resumed",
    /// An agent does what it does not usually do, or more than it may.
    Signal = "signal",
    /// Records that were not handed to a sink: it was out of reach for longer than they are kept for it.
    SinkDropped = "sink.dropped",
    /// A sink cannot be reached, or can be again.
    SinkState = "sink.state",
    /// What was paused goes on.
    Unlock = "unlock",
}

impl Kind {
    /// Whether room is kept for it when the disk is full: what takes rights away, and what the record says of itself.
    #[must_use]
    pub fn is_reserved(self) -> bool {
        matches!(
            self,
            Kind::AgentLaunchEnded
                | Kind::AgentRemoved
                | Kind::AuditGap
                | Kind::ChainContinued
                | Kind::ChainRecovered
                | Kind::GrantExpired
                | Kind::GrantRevoked
                | Kind::Lock
                | Kind::Logout
                | Kind::PasskeyRemoved
                | Kind::Quarantine
                | Kind::ServiceStart
                | Kind::ServiceStop
                | Kind::SessionOver
        )
    }
}

/// Text in a record: written up to `LIMIT` bytes, then cut at a character and marked with `…`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<'a, const LIMIT: usize = 1024>(Cow<'a, str>);

impl<const LIMIT: usize> Text<'_, LIMIT> {
    /// What is written.
    pub(crate) fn capped(&self) -> Cow<'_, str> {
        if self.0.len() <= LIMIT {
            return Cow::Borrowed(&self.0);
        }
        let mark = "…";
        let kept = self.0.floor_char_boundary(LIMIT.saturating_sub(mark.len()));
        let (kept, _) = self.0.split_at(kept);
        Cow::Owned([kept, mark].concat())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'a, const LIMIT: usize> From<&'a str> for Text<'a, LIMIT> {
    fn from(text: &'a str) -> Self {
        Text(Cow::Borrowed(text))
    }
}

impl<'a, const LIMIT: usize> From<&'a String> for Text<'a, LIMIT> {
    fn from(text: &'a String) -> Self {
        Text(Cow::Borrowed(text))
    }
}

impl<const LIMIT: usize> From<String> for Text<'_, LIMIT> {
    fn from(text: String) -> Self {
        Text(Cow::Owned(text))
    }
}

impl<'a, const LIMIT: usize> From<Cow<'a, str>> for Text<'a, LIMIT> {
    fn from(text: Cow<'a, str>) -> Self {
        Text(text)
    }
}

impl<const LIMIT: usize> fmt::Debug for Text<'_, LIMIT> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const LIMIT: usize> Serialize for Text<'_, LIMIT> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.capped())
    }
}

impl<'de, const LIMIT: usize> Deserialize<'de> for Text<'_, LIMIT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Text(Cow::Owned(text)))
    }
}
