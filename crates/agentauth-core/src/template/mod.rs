//! Policy templates: an organisation's rules in JSON, for people who write no Cedar.
//!
//! A template is read whole or not at all ([`Template::parse`]), and becomes Cedar ([`Template::to_cedar`]) that is
//! loaded, judged and recorded like any other. `docs/policy-templates.md` is the standard, and
//! `docs/policy-template.schema.json` its schema.
//!
//! What takes away and what gives are read differently where a rule names a scope: see `Sense`.

mod cedar;
mod pattern;
mod read;
#[cfg(test)]
mod tests;

pub use pattern::ScopePattern;
pub use read::{MAX_FAULTS, TemplateFault, TemplateFaultCode, TemplateFaults};

use crate::agents::Assurance;
use crate::catalogue::{RiskClass, Strength};
use crate::signals::Signal;

/// The longest template, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 256 * 1024;
/// The most rules of one template.
pub const MAX_RULES: usize = 256;
/// The most values of one condition.
pub const MAX_VALUES: usize = 64;

/// An organisation's rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Names it: how the names of its policies begin.
    pub id: String,
    /// How people call it.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What it says, in order.
    pub rules: Vec<Rule>,
    /// SHA-256 of its text, in lower-case hexadecimal.
    pub digest: String,
}

/// One rule: where it applies, and what it does there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Names it in the template; `r1`, `r2`, … where it has no name of its own.
    pub id: String,
    /// All of these must hold.
    pub when: Vec<Condition>,
    /// Where all of one of these hold, the rule does not apply.
    pub unless: Vec<Vec<Condition>>,
    /// What it does.
    pub effects: Vec<Effect>,
    /// What the person is told when it forbids.
    pub reason_user: Option<String>,
    /// What the administrator is told, in the record.
    pub reason_admin: Option<String>,
    /// The rule as it was written, on one line; safe to show.
    pub text: String,
}

/// Something that holds of a question, or does not. Of a list, one entry is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// What is asked for.
    Scope(Vec<ScopePattern>),
    /// The agent, by name.
    Agent(Vec<String>),
    /// Who publishes the agent, by its manifest.
    Publisher(Vec<String>),
    /// The user, by subject.
    User(Vec<String>),
    /// The user's address; `*@example.com` is every one of the domain.
    Email(Vec<String>),
    /// A role that the user has.
    Role(Vec<String>),
    /// A permission that the user has.
    Permission(Vec<String>),
    /// A tenant that the user is in.
    Tenant(Vec<String>),
    /// What can go wrong.
    Risk(Vec<Risk>),
    /// How well the caller is proven.
    Assurance(Proven),
    /// The machine.
    Os(Vec<Os>),
    /// Whether an administrator's directory is in force.
    Managed(bool),
    /// Whether the device proved what it is.
    Attested(bool),
    /// A label of what is asked for.
    Label(Vec<String>),
    /// The time of day in the zone that policies read it in.
    Time(Hours),
    /// What is unusual about what the agent does.
    Signals(Vec<Signal>),
}

/// A risk class, or all of the high ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Risk {
    /// This class.
    Class(RiskClass),
    /// From `delete` on.
    High,
}

/// How well a caller is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proven {
    /// Exactly as one of these.
    OneOf(Vec<Assurance>),
    /// Worse than this.
    Below(Assurance),
    /// As well as this, or better.
    AtLeast(Assurance),
}

/// An operating system, or a machine that nobody manages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Os {
    /// One of the systems, by the word that policies know.
    Named(&'static str),
    /// Whatever the system, no administrator's directory is in force.
    Unmanaged,
}

/// A span of the day, on some days of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    /// From the first to before the second, in minutes after midnight. Where the second is not the greater one, it is on
    /// the next day. Nothing for the whole day.
    pub minutes: Option<(u16, u16)>,
    /// The days on which it begins, Monday is 1; nothing for all.
    pub days: Option<Vec<u8>>,
    /// Whether what is outside of it is meant.
    pub outside: bool,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing of it is allowed.
    Deny,
    /// The caller has to prove that it holds a key, and what is made of an allow has to be bound to one.
    RequireProof,
    /// The device has to have proven what it is.
    RequireAttestation,
    /// The machine has to be managed.
    RequireManaged,
    /// There must be no sign of other code in the caller.
    RequireUntampered,
    /// The user has to have this role.
    RequireRole(String),
    /// A credential that is made of an allow lives for so many minutes at the most.
    MaxLifetime(u32),
    /// The login has to be stepped up; or of this class, and not older than so many minutes.
    StepUp {
        /// The authentication context class.
        acr: Option<String>,
        /// The age in minutes.
        max_age: Option<u32>,
    },
    /// The grant has to have been given as strongly.
    Consent(Strength),
    /// The caller has to be proven as well.
    Floor(Assurance),
    /// Nobody has to be asked.
    Preapprove {
        /// Also of what is high-risk.
        high_risk: bool,
    },
}

/// How a scope in a condition is read. A question for `files.read` reaches into `/srv/hr`, but does not lie within it. On
/// doubt the stricter reading counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sense {
    /// What has something in common with the pattern: of a rule that takes away, in `if`; of one that gives, in `unless`.
    Reaching,
    /// What lies within the pattern: of a rule that gives, in `if`; of one that takes away, in `unless`.
    Within,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Every fault at once, each with its place. A member that is not known, or stands twice, is a fault.
    pub fn parse(json: &[u8]) -> Result<Self, TemplateFaults> {
        read::template(json)
    }

    /// The policies in Cedar, one for each effect of each rule. `source`: how the template's file is called, for the
    /// comments; nothing of it has to be safe to show.
    #[must_use]
    pub fn to_cedar(&self, source: &str) -> String {
        cedar::text(self, source)
    }

    /// The names of its policies, in the order in which they are written.
    #[must_use]
    pub fn policy_ids(&self) -> Vec<String> {
        self.rules.iter().flat_map(|rule| rule.policy_ids(&self.id)).collect()
    }

    /// The rule that this policy came of, with its place among the rules.
    #[must_use]
    pub fn rule_of(&self, policy: &str) -> Option<(usize, &Rule)> {
        let of = |rule: &Rule| rule.policy_ids(&self.id).any(|id| id == policy);
        self.rules.iter().enumerate().find(|(_, rule)| of(rule))
    }
}

impl Effect {
    /// What stands behind the rule's name in the policy's; empty for what stands alone.
    fn suffix(&self) -> &'static str {
        match self {
            Self::Deny => "",
            Self::RequireProof => "-proof",
            Self::RequireAttestation => "-attestation",
            Self::RequireManaged => "-managed",
            Self::RequireUntampered => "-untampered",
            Self::RequireRole(_) => "-role",
            Self::MaxLifetime(_) => LIMIT,
            Self::StepUp { .. } => "-step-up",
            Self::Consent(_) => "-consent",
            Self::Floor(_) => "-assurance",
            Self::Preapprove { .. } => "-preapproved",
        }
    }
}

/// What stands behind the rule's name in that of the policy which limits what is made of an allow.
const LIMIT: &str = "-limit";

impl Rule {
    /// The names of its policies in the template of this name.
    fn policy_ids<'a>(&'a self, template: &'a str) -> impl Iterator<Item = String> + 'a {
        // What has to be bound to a key is said beside the lifetime.
        let limited = |effect: &Effect| matches!(effect, Effect::RequireProof | Effect::MaxLifetime(_));
        let limit = self.effects.iter().any(limited).then_some(LIMIT);
        let effects = self.effects.iter().filter(|effect| !matches!(effect, Effect::MaxLifetime(_)));
        effects.map(Effect::suffix).chain(limit).map(move |suffix| format!("{template}.{}{suffix}", self.id))
    }
}
