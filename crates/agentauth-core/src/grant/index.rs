//! The index of all grants: persistent, and keyed by agent, action and context, so that neither adding one grant among
//! 100,000 nor finding one costs more than among ten.

use std::sync::Arc;

use imbl::Vector;

use super::{Grant, Occasion, Prefer, Standing};
use crate::map::Map;
use crate::scope::{Scope, ScopeContext, path_and_above};

/// The grants of a snapshot.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    by_id: Map<Arc<str>, Arc<Grant>>,
    pub(super) by_agent: Map<Arc<str>, Map<Arc<str>, ActionGrants>>,
}

/// The grants of one agent for one action, by what a request must have so that they could cover it.
#[derive(Debug, Clone, Default)]
pub(super) struct ActionGrants {
    /// Refusals stand against everything that overlaps them, so they are all looked at.
    refusals: Vector<Arc<Grant>>,
    everywhere: Vector<Arc<Grant>>,
    /// By path: a request looks under its own path and every one above.
    paths: Map<Box<str>, Vector<Arc<Grant>>>,
    /// By the first parameter that names one value: a request looks under each of its own.
    exact: Map<Box<str>, Vector<Arc<Grant>>>,
    /// Those whose every value is a prefix.
    prefixes: Vector<Arc<Grant>>,
}

/// What the grants say of one scope of one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantAnswer<'a> {
    /// Allowed, by this one: of several, the one that is preferred.
    Live(&'a Arc<Grant>),
    /// Refused, by this one.
    Refused(&'a Arc<Grant>),
    /// Once allowed, by this one, but not now: of several, one that may hold again.
    Expired(&'a Arc<Grant>, Standing),
    /// Never asked.
    Missing,
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
        self.by_agent.get(agent).into_iter().flat_map(Map::values).flat_map(ActionGrants::iter)
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
    pub fn judge_by(
        &self,
        prefer: Prefer,
        agent: &str,
        scope: &Scope,
        occasion: &Occasion<'_>,
    ) -> GrantAnswer<'_> {
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
                Standing::Holds if live.is_none_or(|best| rank(best, prefer) < rank(grant, prefer)) => {
                    live = Some(grant)
                }
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

/// The order of preference among grants that hold.
fn rank(grant: &Grant, prefer: Prefer) -> impl PartialOrd {
    let strength = (prefer == Prefer::Strongest).then(|| grant.strength().level());
    (strength, grant.reach())
}

impl ActionGrants {
    /// Applies `change` to the one place where `grant` stands.
    fn place(&mut self, grant: &Grant, change: impl FnOnce(&mut Vector<Arc<Grant>>)) {
        fn keyed(
            map: &mut Map<Box<str>, Vector<Arc<Grant>>>,
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
    pub(super) fn each_possible<'a>(&'a self, scope: &Scope, mut visit: impl FnMut(&'a Arc<Grant>)) {
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
