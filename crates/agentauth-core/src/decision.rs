//! The decision: allow or deny, the reason, and the way forward.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::agents::Assurance;
use crate::catalogue::Strength;
use crate::caveat::Caveat;
use crate::consent::Wanted;
use crate::grant::GrantKinds;
use crate::messages;
use crate::scope::Scope;
use crate::signals::Signals;
use crate::time::{SignedDuration, Timestamp};

/// Names one decision, in the answer and in the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DecisionId(String);

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Names this decision.
    pub id: DecisionId,
    /// Whether the action may be done.
    pub allow: bool,
    /// [`Reason::Granted`], or the first check that failed.
    pub reason: Reason,
    /// What would turn this deny into an allow.
    pub remedy: Option<Remedy>,
    /// What exactly that takes, where a policy says so.
    pub remedy_terms: RemedyTerms,
    /// For the person: what was decided, why, and what to do. Safe to show.
    pub message: String,
    /// For a language model: what was refused, not to retry, what to ask the user. Safe to show.
    pub model_message: String,
    /// For the administrator, in the audit log: what the policy wants them told, or the evaluation error.
    pub admin_note: Option<String>,
    /// The registered agents whose rights were intersected, the caller's own first; on a deny also those that the
    /// caller only seems to be.
    pub agents: Vec<String>,
    /// How well the caller is proven.
    pub assurance: Assurance,
    /// What keeps it from being better proven.
    pub caveats: Vec<Caveat>,
    /// The user's subject, where somebody is logged in.
    pub user: Option<String>,
    /// What was asked for.
    pub scopes: Vec<Scope>,
    /// The scope at which the failing check failed, where it failed at one.
    pub failed_scope: Option<Scope>,
    /// The grants that allow (or the one that refuses, or has expired), without repetition.
    pub grants: Vec<String>,
    /// The kind of the grant that policies saw or would have seen, for every scope and agent in order; none before the
    /// policies were asked.
    pub grant_kinds: GrantKinds,
    /// The policies that decided, in order, without repetition.
    pub policies: Vec<String>,
    /// What an allow demands: the strictest over all policies that permitted.
    pub obligations: Obligations,
    /// When a cached copy of this answer stops being true. A deny is not to be cached: it ends at once.
    pub expires_at: Timestamp,
    /// Whether this was a trial.
    pub dry_run: bool,
    /// Whether any scope is high-risk: its record must be on disk before the answer leaves.
    pub high_risk: bool,
    /// What is unusual about what the agents do that ask.
    pub signals: Signals,
    /// What the decision changes, for the one writer to carry out. Empty for a dry run.
    pub effects: Vec<Effect>,
}

/// Why. The words are stable: they go over the wire and into the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Every check passed.
    Granted,
    /// Somebody paused everything.
    Locked,
    /// An administrator locked the device or the agent.
    Quarantined,
    /// The caller is no registered agent.
    AgentUnknown,
    /// The agent's file is not the registered one.
    AgentChanged,
    /// The caller could not be proven to be the agent that it seems to be.
    CallerUnproven,
    /// Nobody is logged in.
    NotLoggedIn,
    /// The login has run out.
    SessionExpired,
    /// There is a login, but nothing verified to show for it now.
    SessionUnverified,
    /// The provider ended the login.
    SessionRevoked,
    /// The provider has not confirmed the login recently enough for this scope.
    Stale,
    /// The agent's manifest does not ask for it.
    NotInManifest,
    /// A policy forbids it, or none permits it.
    PolicyForbids,
    /// A policy forbids it to users without a role.
    RoleRequired,
    /// Nobody has allowed it yet.
    ConsentRequired,
    /// Somebody refused it.
    ConsentDenied,
    /// It was allowed, but no longer is.
    GrantExpired,
    /// An enforcer may ask, and its domain does not permit what it asks about.
    DomainForbids,
    /// The decision could not be written down.
    AuditUnavailable,
}

/// What would turn a deny into an allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Log in.
    Login,
    /// Register the agent, or register it again.
    Register,
    /// Ask the person.
    Consent,
    /// Log in more strongly.
    StepUp,
    /// Bind the credential to a key.
    Proof,
    /// Prove the device.
    Attestation,
    /// Wait: the daemon is already seeing to it.
    Wait,
}

/// What exactly a remedy takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemedyTerms {
    /// [`Remedy::StepUp`]: the authentication context class that the login must have (`acr`, RFC 9470).
    pub acr: Option<Arc<str>>,
    /// [`Remedy::StepUp`]: how long ago the login may be.
    pub max_age: Option<SignedDuration>,
    /// [`Remedy::Consent`]: how strongly the person must show that the answer is theirs.
    pub strength: Option<Strength>,
}

/// What an allow demands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obligations {
    /// How long a credential that is made of this allow may live.
    pub max_lifetime: Option<SignedDuration>,
    /// Whether it must be bound to a key.
    pub require_proof: bool,
}

/// What a decision changes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// The person may be asked whether the agent may do all this: one question, however many scopes.
    AskConsent {
        /// The agent without a grant.
        agent: String,
        /// What it asks for and has no grant for, or none that is strong enough, in the order of the request, without
        /// repetition.
        scopes: Vec<Wanted>,
    },
    /// A policy grants what nobody was asked about. That is in the record before a decision rests on it.
    Preapproved {
        /// The agent.
        agent: String,
        /// What is granted to it.
        scope: Scope,
        /// The policy's name.
        policy: String,
    },
    /// A use of a grant is taken before the answer leaves. The record of the decision is the record of the use.
    SpendGrant {
        /// The grant's id.
        id: String,
    },
}

impl DecisionId {
    /// An id from its text; the rim makes it unique.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Decision {
    /// This decision when its record could not be written (check 8): an allow becomes a deny; a deny stays as it is.
    #[must_use]
    pub fn audit_unavailable(self, now: Timestamp) -> Self {
        self.withdrawn(Reason::AuditUnavailable, None, now)
    }

    /// This decision when the caller could not be proven again before the answer left: an allow becomes a deny; a
    /// deny stays as it is.
    #[must_use]
    pub fn caller_unproven(mut self, now: Timestamp) -> Self {
        self.assurance = Assurance::Unproven;
        self.withdrawn(Reason::CallerUnproven, None, now)
    }

    /// This decision when what an enforcer asks about is not permitted by its domain: an allow becomes a deny; a deny stays
    /// as it is. `why`: in words for people.
    #[must_use]
    pub fn domain_forbids(self, why: Option<&str>, now: Timestamp) -> Self {
        if !self.allow {
            return self;
        }
        let (message, model_message) = messages::domain_forbids(&self.agents, &self.scopes, why);
        Self { message, model_message, ..self.withdrawn(Reason::DomainForbids, None, now) }
    }

    fn withdrawn(self, reason: Reason, remedy: Option<Remedy>, now: Timestamp) -> Self {
        if !self.allow {
            return self;
        }
        let (message, model_message) = messages::withdrawn(reason, &self.agents, &self.scopes);
        Self {
            allow: false,
            reason,
            remedy,
            remedy_terms: RemedyTerms::default(),
            message,
            model_message,
            obligations: Obligations::default(),
            expires_at: now,
            effects: Vec::new(),
            ..self
        }
    }
}

impl RemedyTerms {
    /// What both take together: the shorter age and the greater strength. Of two classes the first is named, since which
    /// one is stronger only the provider knows.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        let max_age = match (self.max_age, other.max_age) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        Self {
            acr: self.acr.or_else(|| other.acr.clone()),
            max_age,
            strength: self.strength.max(other.strength),
        }
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Obligations {
    /// What both demand together: the shorter lifetime, and proof if either wants it.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let max_lifetime = match (self.max_lifetime, other.max_lifetime) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        Self { max_lifetime, require_proof: self.require_proof || other.require_proof }
    }
}

impl Reason {
    /// Every reason, in the order of the checks.
    pub const ALL: [Self; 19] = [
        Self::Granted,
        Self::Locked,
        Self::Quarantined,
        Self::AgentUnknown,
        Self::AgentChanged,
        Self::CallerUnproven,
        Self::NotLoggedIn,
        Self::SessionExpired,
        Self::SessionUnverified,
        Self::SessionRevoked,
        Self::Stale,
        Self::NotInManifest,
        Self::PolicyForbids,
        Self::RoleRequired,
        Self::ConsentRequired,
        Self::ConsentDenied,
        Self::GrantExpired,
        Self::DomainForbids,
        Self::AuditUnavailable,
    ];

    /// The reason of this word; nothing for a word that this version does not know.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }

    /// Whether it denies what was asked for, and not because of what is missing around it: an agent that goes on asking is
    /// up to something, or broken.
    #[must_use]
    pub fn is_about_what_was_asked(self) -> bool {
        matches!(
            self,
            Self::NotInManifest
                | Self::PolicyForbids
                | Self::RoleRequired
                | Self::ConsentRequired
                | Self::ConsentDenied
                | Self::GrantExpired
        )
    }

    /// The word on the wire and in the audit log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Locked => "locked",
            Self::Quarantined => "quarantined",
            Self::AgentUnknown => "agent_unknown",
            Self::AgentChanged => "agent_changed",
            Self::CallerUnproven => "caller_unproven",
            Self::NotLoggedIn => "not_logged_in",
            Self::SessionExpired => "session_expired",
            Self::SessionUnverified => "session_unverified",
            Self::SessionRevoked => "session_revoked",
            Self::Stale => "stale",
            Self::NotInManifest => "not_in_manifest",
            Self::PolicyForbids => "policy_forbids",
            Self::RoleRequired => "role_required",
            Self::ConsentRequired => "consent_required",
            Self::ConsentDenied => "consent_denied",
            Self::GrantExpired => "grant_expired",
            Self::DomainForbids => "domain_forbids",
            Self::AuditUnavailable => "audit_unavailable",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Remedy {
    /// Every remedy.
    pub const ALL: [Self; 7] = [
        Self::Login,
        Self::Register,
        Self::Consent,
        Self::StepUp,
        Self::Proof,
        Self::Attestation,
        Self::Wait,
    ];

    /// The word on the wire and in policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Register => "register",
            Self::Consent => "consent",
            Self::StepUp => "step_up",
            Self::Proof => "proof",
            Self::Attestation => "attestation",
            Self::Wait => "wait",
        }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_serde() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        for remedy in Remedy::ALL {
            assert_eq!(serde_json::to_value(remedy).unwrap(), remedy.as_str());
        }
    }

    #[test]
    fn terms_only_get_stricter() {
        let aged = |minutes| RemedyTerms {
            max_age: Some(SignedDuration::from_mins(minutes)),
            ..RemedyTerms::default()
        };
        let passkey = RemedyTerms { strength: Some(Strength::Passkey), ..RemedyTerms::default() };
        assert_eq!(aged(5).and(&aged(3)), aged(3));
        assert_eq!(passkey.clone().and(&RemedyTerms::default()), passkey);
        assert_eq!(passkey.and(&aged(5)), RemedyTerms { strength: Some(Strength::Passkey), ..aged(5) });
        let named = |acr: &str| RemedyTerms { acr: Some(acr.into()), ..RemedyTerms::default() };
        assert_eq!(named("phr").and(&named("mfa")), named("phr"));
        assert!(RemedyTerms::default().is_empty() && !named("phr").is_empty());
    }

    #[test]
    fn obligations_only_get_stricter() {
        let minutes = |count| Obligations {
            max_lifetime: Some(SignedDuration::from_mins(count)),
            require_proof: false,
        };
        let proof = Obligations { max_lifetime: None, require_proof: true };
        assert_eq!(minutes(5).and(minutes(3)), minutes(3));
        assert_eq!(minutes(5).and(proof), Obligations { require_proof: true, ..minutes(5) });
        assert_eq!(Obligations::default().and(proof), proof);
    }
}
