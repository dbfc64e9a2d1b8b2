//! Grants: scopes that a person (or an administrator) allowed or refused an agent, and for how long.
//!
//! The index is persistent and keyed by agent, action and context, so that neither adding one grant among 100,000
//! nor finding one costs more than among ten.

use std::sync::Arc;

use imbl::{HashMap, Vector};
use serde::{Deserialize, Serialize};

use crate::canonical::{canonical_digest, sha256_hex};
use crate::mandate::Mandate;
use crate::presence::Presence;
use crate::scope::{Scope, ScopeContext, path_and_above};
use crate::time::Timestamp;
use crate::window::Window;

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

/// The grants of a snapshot.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    by_id: HashMap<Arc<str>, Arc<Grant>>,
    by_agent: HashMap<Arc<str>, HashMap<Arc<str>, ActionGrants>>,
}

/// The grants of one agent for one action, by what a request must have so that they could cover it.
#[derive(Debug, Clone, Default)]
struct ActionGrants {
    /// Refusals stand against everything that overlaps them, so they are all looked at.
    refusals: Vector<Arc<Grant>>,
    everywhere: Vector<Arc<Grant>>,
    /// By path: a request looks under its own path and every one above.
    paths: HashMap<Box<str>, Vector<Arc<Grant>>>,
    /// By the first parameter that names one value: a request looks under each of its own.
    exact: HashMap<Box<str>, Vector<Arc<Grant>>>,
    /// Those whose every value is a prefix.
    prefixes: Vector<Arc<Grant>>,
}

/// What the grants say of one scope of one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantAnswer<'a> {
    /// Allowed, by this one: of several, the one that holds longest.
    Live(&'a Arc<Grant>),
    /// Refused, by this one.
    Refused(&'a Arc<Grant>),
    /// Once allowed, by this one, but not now: of several, one that may hold again.
    Expired(&'a Arc<Grant>, Standing),
    /// Never asked.
    Missing,
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
        let Binding { manifest_digest, user, action, consent: _ } = &self.binding;
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

    /// The order of preference among grants that hold: one whose uses are not counted, then the one that ends last.
    fn reach(&self) -> (bool, bool, Option<Timestamp>) {
        (self.uses.is_none(), self.ends_at().is_none(), self.ends_at())
    }
}

impl Grants {
    /// No grants.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a grant; returns the one of the same id, which it replaces.
    pub fn insert(&mut self, grant: Grant) -> Option<Arc<Grant>> {
        let earlier = self.remove(&grant.id);
        let grant = Arc::new(grant);
        let of_action = self
            .by_agent
            .entry(Arc::clone(&grant.agent))
            .or_default()
            .entry(grant.scope.action_name().into())
            .or_default();
        of_action.place(&grant, |grants| grants.push_back(Arc::clone(&grant)));
        self.by_id.insert(Arc::clone(&grant.id), grant);
        earlier
    }

    /// Removes a grant; returns it.
    pub fn remove(&mut self, id: &str) -> Option<Arc<Grant>> {
        let grant = self.by_id.remove(id)?;
        if let Some(of_agent) = self.by_agent.get_mut(&grant.agent) {
            if let Some(of_action) = of_agent.get_mut(grant.scope.action_name()) {
                of_action.place(&grant, |grants| grants.retain(|other| other.id != grant.id));
                if of_action.is_empty() {
                    of_agent.remove(grant.scope.action_name());
                }
            }
            if of_agent.is_empty() {
                self.by_agent.remove(&grant.agent);
            }
        }
        Some(grant)
    }

    /// Takes one use of a grant whose uses are counted; `false` where there is none left, or no such grant.
    pub fn spend(&mut self, id: &str) -> bool {
        let Some(grant) = self.by_id.get(id).cloned() else { return false };
        let Some(left) = grant.left.and_then(|left| left.checked_sub(1)) else { return false };
        self.insert(Grant { left: Some(left), ..Grant::clone(&grant) });
        true
    }

    /// Counts a use as not taken yet; for looking at what was true when it was.
    pub fn give_back(&mut self, id: &str) {
        if let Some(grant) = self.by_id.get(id).cloned()
            && let Some(left) = grant.left
        {
            self.insert(Grant { left: Some(left.saturating_add(1)), ..Grant::clone(&grant) });
        }
    }

    /// Removes every grant of an agent; returns how many there were.
    pub fn remove_agent(&mut self, agent: &str) -> usize {
        let Some(of_agent) = self.by_agent.remove(agent) else { return 0 };
        let ids: Vec<_> =
            of_agent.values().flat_map(ActionGrants::iter).map(|grant| Arc::clone(&grant.id)).collect();
        for id in &ids {
            self.by_id.remove(id);
        }
        ids.len()
    }

    /// Removes every grant that was given during a login, which goes with the account; returns how many there were.
    pub fn forget_logins(&mut self) -> usize {
        let given: Vec<_> =
            self.iter().filter(|grant| grant.login.is_some()).map(|grant| Arc::clone(&grant.id)).collect();
        for id in &given {
            self.remove(id);
        }
        given.len()
    }

    /// The grant of this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Grant>> {
        self.by_id.get(id)
    }

    /// Every grant, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Grant>> {
        self.by_id.values()
    }

    /// Every grant of one agent, in no order.
    pub fn of_agent(&self, agent: &str) -> impl Iterator<Item = &Arc<Grant>> {
        self.by_agent.get(agent).into_iter().flat_map(HashMap::values).flat_map(ActionGrants::iter)
    }

    /// How many grants there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// What the grants say of `agent` doing `scope` on this occasion.
    ///
    /// A refusal stands against every scope that it overlaps, and above every grant: who asks for a whole folder
    /// does not get what was refused inside it.
    #[must_use]
    pub fn judge(&self, agent: &str, scope: &Scope, occasion: &Occasion<'_>) -> GrantAnswer<'_> {
        let of_action = self.by_agent.get(agent).and_then(|of_agent| of_agent.get(scope.action_name()));
        let Some(of_action) = of_action else { return GrantAnswer::Missing };
        let standing = |grant: &Grant| grant.standing(occasion.now, occasion.login, &occasion.presence);
        let refusal = of_action.refusals.iter().find(|grant| {
            grant.is_meant_for(occasion) && standing(grant) == Standing::Holds && grant.scope.overlaps(scope)
        });
        if let Some(refusal) = refusal {
            return GrantAnswer::Refused(refusal);
        }
        let mut live: Option<&Arc<Grant>> = None;
        let mut expired: Option<(&Arc<Grant>, Standing)> = None;
        of_action.each_possible(scope, |grant| {
            if !grant.scope.covers(scope) || !grant.is_meant_for(occasion) {
                return;
            }
            match standing(grant) {
                Standing::Holds if live.is_none_or(|best| best.reach() < grant.reach()) => live = Some(grant),
                Standing::Holds => {}
                other if expired.is_none_or(|(_, best)| best < other) => expired = Some((grant, other)),
                _ => {}
            }
        });
        match (live, expired) {
            (Some(grant), _) => GrantAnswer::Live(grant),
            (None, Some((grant, why))) => GrantAnswer::Expired(grant, why),
            (None, None) => GrantAnswer::Missing,
        }
    }
}

impl ActionGrants {
    /// Applies `change` to the one place where `grant` stands.
    fn place(&mut self, grant: &Grant, change: impl FnOnce(&mut Vector<Arc<Grant>>)) {
        fn keyed(
            map: &mut HashMap<Box<str>, Vector<Arc<Grant>>>,
            key: Box<str>,
            change: impl FnOnce(&mut Vector<Arc<Grant>>),
        ) {
            let grants = map.entry(key.clone()).or_default();
            change(grants);
            if grants.is_empty() {
                map.remove(&key);
            }
        }
        match grant.scope.context() {
            _ if grant.denied => change(&mut self.refusals),
            ScopeContext::Any => change(&mut self.everywhere),
            ScopeContext::Path(path) => keyed(&mut self.paths, path.as_str().into(), change),
            ScopeContext::Pairs(pairs) => match pairs.iter().find(|(_, value)| !value.ends_with('*')) {
                Some((key, value)) => keyed(&mut self.exact, pair_text(key, value), change),
                None => change(&mut self.prefixes),
            },
        }
    }

    /// Every grant that could cover `scope`, and few others.
    fn each_possible<'a>(&'a self, scope: &Scope, mut visit: impl FnMut(&'a Arc<Grant>)) {
        self.everywhere.iter().for_each(&mut visit);
        match scope.context() {
            ScopeContext::Any => {}
            ScopeContext::Path(path) => {
                if !self.paths.is_empty() {
                    path_and_above(path)
                        .filter_map(|above| self.paths.get(above))
                        .flatten()
                        .for_each(&mut visit);
                }
            }
            ScopeContext::Pairs(pairs) => {
                if !self.exact.is_empty() {
                    pairs
                        .iter()
                        .filter_map(|(key, value)| self.exact.get(&*pair_text(key, value)))
                        .flatten()
                        .for_each(&mut visit);
                }
                self.prefixes.iter().for_each(&mut visit);
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Arc<Grant>> {
        let lists = [&self.refusals, &self.everywhere, &self.prefixes];
        lists.into_iter().chain(self.paths.values()).chain(self.exact.values()).flatten()
    }

    fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

fn pair_text(key: &str, value: &str) -> Box<str> {
    format!("{key}={value}").into()
}

#[cfg(test)]
mod tests;
