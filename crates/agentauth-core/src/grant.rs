//! Grants: scopes that a person (or an administrator) allowed or refused an agent, and for how long.

mod index;
mod kind;
mod strength;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::canonical::{canonical_digest, sha256_hex};
use crate::catalogue::Strength;
use crate::mandate::Mandate;
use crate::presence::Presence;
use crate::scope::Scope;
use crate::time::Timestamp;
use crate::window::Window;

pub use index::{GrantAnswer, Grants};
pub use kind::{GrantKind, GrantKinds};
pub use strength::{GrantStrength, GrantUse, Prefer};

/// A scope that was allowed to an agent, or refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// A stable name: a hash over all that it says, so that who edits a grant makes another one. It begins with
    /// [`COUNTED`] where the uses are counted.
    pub id: Arc<str>,
    /// The agent's name.
    pub agent: Arc<str>,
    /// What is allowed or refused.
    pub scope: Scope,
    /// For how long.
    pub lifetime: Lifetime,
    /// Whether it is refused.
    pub denied: bool,
    /// For [`Lifetime::Session`]: when the login happened in which it was given; `None` counts in every session
    /// (an administrator's grants).
    pub login: Option<Timestamp>,
    /// How many checks it allows; `None` for any number.
    pub uses: Option<u32>,
    /// How many of those are left. Not part of what it says: the records of the decisions tell.
    pub left: Option<u32>,
    /// What it was given for.
    pub binding: Binding,
    /// Whether it is for runs that nobody watches, and when.
    pub mandate: Option<Mandate>,
}

/// What a grant was given for. What is absent does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The digest of the manifest that the person saw. A refusal stands beyond it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_digest: Option<Arc<str>>,
    /// The user (`sub`) who gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Arc<str>>,
    /// The digest of the canonical action that the person saw: it allows this one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Arc<str>>,
    /// The question that it answers; tells two alike grants apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<Arc<str>>,
    /// How strongly the person confirmed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<Strength>,
}

/// What the occasion is on which a grant is to hold.
#[derive(Debug, Clone, Copy)]
pub struct Occasion<'a> {
    /// When.
    pub now: Timestamp,
    /// When the login happened.
    pub login: Timestamp,
    /// Who is logged in (`sub`).
    pub user: &'a str,
    /// When that person was seen last.
    pub presence: Presence,
    /// The digest of the agent's manifest.
    pub manifest_digest: &'a str,
    /// The digest of the canonical action, where the request names one.
    pub action: Option<&'a str>,
}

/// How the id of a grant begins whose uses are counted.
pub const COUNTED: &str = "uses-";

/// For how long a grant holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifetime {
    /// Until it is revoked.
    UntilRevoked,
    /// Until this instant, which is the first at which it holds no longer.
    Until(Timestamp),
    /// While the login lasts in which it was given.
    Session,
}

/// Whether a grant counts at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It has ended, or is used up.
    Ended,
    /// The person was not seen for too long.
    Unconfirmed,
    /// Its window is not open.
    Closed,
    /// It holds.
    Holds,
}

/// A grant as it is written down: everything that its id is a hash of.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    agent: Arc<str>,
    scope: std::borrow::Cow<'a, Scope>,
    lifetime: Lifetime,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    denied: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    login: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uses: Option<u32>,
    #[serde(default)]
    binding: std::borrow::Cow<'a, Binding>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mandate: Option<std::borrow::Cow<'a, Mandate>>,
}

impl Grant {
    /// `agent` may do `scope` for `lifetime`.
    #[must_use]
    pub fn new(agent: &str, scope: Scope, lifetime: Lifetime) -> Self {
        Self {
            id: "".into(),
            agent: agent.into(),
            scope,
            lifetime,
            denied: false,
            login: None,
            uses: None,
            left: None,
            binding: Binding::default(),
            mandate: None,
        }
        .named()
    }

    /// The same, refused instead of allowed.
    #[must_use]
    pub fn refused(mut self) -> Self {
        self.denied = true;
        self.named()
    }

    /// The same, bound to the login that happened at `login`.
    #[must_use]
    pub fn during(mut self, login: Timestamp) -> Self {
        self.login = Some(login);
        self.named()
    }

    /// The same, for so many checks.
    #[must_use]
    pub fn for_uses(mut self, uses: u32) -> Self {
        (self.uses, self.left) = (Some(uses), Some(uses));
        self.named()
    }

    /// The same, given for this.
    #[must_use]
    pub fn bound(mut self, binding: Binding) -> Self {
        self.binding = binding;
        self.named()
    }

    /// The same, for runs that nobody watches.
    #[must_use]
    pub fn mandated(mut self, mandate: Mandate) -> Self {
        self.mandate = Some(mandate);
        self.named()
    }

    /// What it says, as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Texts, whole numbers and instants always have a JSON text.
        serde_json::to_string(&self.written()).unwrap_or_default()
    }

    /// Reads what [`Grant::to_json`] wrote. Its id follows from what it says; all uses are left.
    ///
    /// # Errors
    /// An unknown or missing member, or a scope that is none.
    pub fn from_json(json: &str) -> serde_json::Result<Self> {
        let Written { agent, scope, lifetime, denied, login, uses, binding, mandate } =
            serde_json::from_str(json)?;
        let (scope, binding) = (scope.into_owned(), binding.into_owned());
        let (id, left, mandate) = ("".into(), uses, mandate.map(std::borrow::Cow::into_owned));
        let grant = Self { id, agent, scope, lifetime, denied, login, uses, left, binding, mandate };
        Ok(grant.named())
    }

    /// Whether it was given for an occasion like this, whenever that is.
    fn is_meant_for(&self, occasion: &Occasion<'_>) -> bool {
        let Binding { manifest_digest, user, action, consent: _, strength: _ } = &self.binding;
        (self.denied || manifest_digest.as_deref().is_none_or(|digest| digest == occasion.manifest_digest))
            && user.as_deref().is_none_or(|user| user == occasion.user)
            && action.as_deref().is_none_or(|action| Some(action) == occasion.action)
    }

    /// Whether it counts at `now`, in the login that happened at `login`.
    #[must_use]
    pub fn standing(&self, now: Timestamp, login: Timestamp, presence: &Presence) -> Standing {
        let alive = self.left != Some(0)
            && match self.lifetime {
                Lifetime::UntilRevoked => true,
                Lifetime::Until(end) => now < end,
                Lifetime::Session => self.login.is_none_or(|given| given == login),
            };
        if !alive {
            Standing::Ended
        } else if self.is_standing() && !presence.is_enough(now) {
            Standing::Unconfirmed
        } else if self.window().is_some_and(|window| window.open_until(now).is_none()) {
            Standing::Closed
        } else {
            Standing::Holds
        }
    }

    /// Whether a person allowed it for long, so that the person has to be seen from time to time: a mandate, or what
    /// stands until it is revoked. What an administrator allows, and what is refused, stands without.
    #[must_use]
    pub fn is_standing(&self) -> bool {
        let long = self.mandate.is_some() || self.lifetime == Lifetime::UntilRevoked;
        long && !self.denied && self.binding.user.is_some()
    }

    /// The window in which alone it holds.
    #[must_use]
    pub fn window(&self) -> Option<&Window> {
        self.mandate.as_ref().and_then(|mandate| mandate.window.as_ref())
    }

    /// Where it holds at `now`: until when it does, as far as that is known.
    #[must_use]
    pub fn holds_until(&self, now: Timestamp, presence: &Presence) -> Option<Timestamp> {
        let seen = self.is_standing().then(|| presence.stands_until());
        let open = self.window().and_then(|window| window.open_until(now));
        [self.ends_at(), seen, open].into_iter().flatten().min()
    }

    /// When it ends by itself.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        match self.lifetime {
            Lifetime::Until(end) => Some(end),
            Lifetime::UntilRevoked | Lifetime::Session => None,
        }
    }

    /// What is left of it under a manifest that now asks for `scope` and nothing wider. Nothing of one whose uses are
    /// counted: under another id they would be counted anew.
    #[must_use]
    pub fn carried_over(&self, scope: &Scope, manifest_digest: &str) -> Option<Self> {
        if self.uses.is_some() {
            return None;
        }
        let scope = self.scope.meet(scope)?;
        let binding = Binding { manifest_digest: Some(manifest_digest.into()), ..self.binding.clone() };
        Some(Self { scope, binding, ..self.clone() }.named())
    }

    fn named(mut self) -> Self {
        let value = serde_json::to_value(self.written()).unwrap_or_default();
        // Neither deep nor with fractions, so it has a canonical text.
        let digest = canonical_digest(&value).unwrap_or_else(|_| sha256_hex(value.to_string().as_bytes()));
        let prefix = if self.uses.is_some() { COUNTED } else { "grant-" };
        self.id = format!("{prefix}{}", digest.get(..32).unwrap_or_default()).into();
        self
    }

    fn written(&self) -> Written<'_> {
        Written {
            agent: Arc::clone(&self.agent),
            scope: std::borrow::Cow::Borrowed(&self.scope),
            lifetime: self.lifetime,
            denied: self.denied,
            login: self.login,
            uses: self.uses,
            binding: std::borrow::Cow::Borrowed(&self.binding),
            mandate: self.mandate.as_ref().map(std::borrow::Cow::Borrowed),
        }
    }

    /// The order of preference among grants that hold: one whose uses are not counted, then the one that ends last. What ends with
    /// the login does so before what is revoked. The id decides between equals, so that the same grants always give the same
    /// answer, whichever was added first.
    fn reach(&self) -> (bool, bool, Option<Timestamp>, bool, &str) {
        let end = self.ends_at();
        (self.uses.is_none(), end.is_none(), end, self.lifetime != Lifetime::Session, &self.id)
    }
}

#[cfg(test)]
mod tests;
