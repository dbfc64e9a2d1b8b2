//! Mandates: grants for runs that nobody watches. Each is bounded by the scope's context, by an end, and by a window, a
//! number of uses or both.

use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::catalogue::{Catalogue, Strength};
use crate::consent::Choice;
use crate::grant::{Binding, Grant, Lifetime};
use crate::scope::{Scope, ScopeContext};
use crate::time::{SignedDuration, Timestamp};
use crate::window::Window;

/// The latest end of a mandate, counted from when it is given.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);
/// The most uses of one mandate.
pub const MOST_USES: u32 = 100_000;
/// The most scopes that are given at once.
pub const MOST_SCOPES: usize = 32;

/// What makes a grant a mandate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mandate {
    /// When it holds; `None`: at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

/// A mandate that a person wishes to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What the agent is to be allowed.
    pub scopes: Vec<Scope>,
    /// The first instant at which it holds no longer.
    pub until: Timestamp,
    /// How many checks each scope is for.
    pub uses: Option<u32>,
    /// When it holds.
    pub window: Option<Window>,
}

/// Why a mandate cannot be given so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MandateFault {
    /// Nothing to give, or more than anybody reads.
    #[error("name 1 to {MOST_SCOPES} scopes")]
    Scopes,
    /// It would be as good as a grant until it is revoked.
    #[error("a mandate is bounded by a window, by a number of uses, or by both: give `window` or `uses`")]
    Unbounded,
    /// The number of uses is none.
    #[error("a mandate is for 1 to {MOST_USES} uses")]
    Uses,
    /// It has ended already, or ends too late.
    #[error("a mandate ends within {} days, and not before it begins: give another end", LONGEST.as_hours() / 24)]
    End,
    /// The window does not open before the end.
    #[error("the window `{0}` does not open before the end: give a later end")]
    NeverOpen(Window),
    /// It is for every resource there is.
    #[error(
        "`{0}` names nothing that it is for: a mandate is for something that the scope says, as in `{0}:…`"
    )]
    NoContext(Scope),
    /// The agent never asks for it.
    #[error("the manifest of the agent does not ask for `{0}`: a mandate gives nothing beyond it")]
    NotInManifest(Scope),
    /// The machine's longest yes is shorter.
    #[error("this machine allows nothing for longer than {}: see `consent.longest`", .0.says())]
    TooLong(Choice),
}

impl Draft {
    /// The grants of this mandate to `agent`, for `user`, one for each scope. `id` tells it apart from all others.
    ///
    /// # Errors
    /// What keeps it from being given.
    pub fn grants(
        &self,
        agent: &Agent,
        catalogue: &Catalogue,
        user: &str,
        id: &str,
        (now, longest): (Timestamp, Choice),
    ) -> Result<Vec<Grant>, MandateFault> {
        if longest < Choice::Always {
            return Err(MandateFault::TooLong(longest));
        }
        if self.scopes.is_empty() || self.scopes.len() > MOST_SCOPES {
            return Err(MandateFault::Scopes);
        }
        if self.window.is_none() && self.uses.is_none() {
            return Err(MandateFault::Unbounded);
        }
        if self.uses.is_some_and(|uses| !(1..=MOST_USES).contains(&uses)) {
            return Err(MandateFault::Uses);
        }
        if self.until <= now || self.until.duration_since(now) > LONGEST {
            return Err(MandateFault::End);
        }
        if let Some(window) = &self.window {
            let opens = window.open_until(now).map(|_| now).or_else(|| window.opens_after(now));
            if opens.is_none_or(|opens| opens >= self.until) {
                return Err(MandateFault::NeverOpen(window.clone()));
            }
        }
        // Nothing weaker than a passkey confirms a mandate.
        let strength = self.scopes.iter().map(|scope| catalogue.strength(scope)).max();
        let strength = strength.unwrap_or(Strength::Reauth).max(Strength::Passkey);
        let mut grants: Vec<Grant> = Vec::with_capacity(self.scopes.len());
        for scope in &self.scopes {
            if matches!(scope.context(), ScopeContext::Any) && has_contexts(catalogue, scope) {
                return Err(MandateFault::NoContext(scope.clone()));
            }
            if !agent.manifest.covers(scope) {
                return Err(MandateFault::NotInManifest(scope.clone()));
            }
            let binding = Binding {
                manifest_digest: Some(agent.manifest_digest.as_str().into()),
                user: Some(user.into()),
                action: None,
                consent: Some(id.into()),
                strength: Some(strength),
            };
            let grant = Grant::new(&agent.name, scope.clone(), Lifetime::Until(self.until))
                .mandated(Mandate { window: self.window.clone() })
                .bound(binding);
            let grant = match self.uses {
                Some(uses) => grant.for_uses(uses),
                None => grant,
            };
            if grants.iter().all(|known| known.id != grant.id) {
                grants.push(grant);
            }
        }
        Ok(grants)
    }
}

/// Whether the action is done to something that a scope can name. What the catalogue does not know may be.
fn has_contexts(catalogue: &Catalogue, scope: &Scope) -> bool {
    catalogue.entry(scope).is_none_or(|entry| entry.path || !entry.keys.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::AgentFile;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn draft() -> Draft {
        Draft {
            scopes: vec!["files.read:/projects/alpha".parse().unwrap()],
            until: at("2026-06-01T00:00:00Z"),
            uses: Some(30),
            window: Some("02:00-03:00 Europe/Berlin".parse().unwrap()),
        }
    }

    fn given(draft: &Draft, longest: Choice) -> Result<Vec<Grant>, MandateFault> {
        let json = r#"{"manifest":{"name":"nightly","version":"1","scopes":[{"scope":"files.read:/projects","purpose":"p"}]},
            "selectors":{"executable":"/opt/nightly"}}"#;
        let agent = AgentFile::parse(json.as_bytes()).unwrap().agent();
        let catalogue = Catalogue::shipped().unwrap();
        draft.grants(&agent, &catalogue, "U1", "mandate-1", (at("2026-05-01T00:00:00Z"), longest))
    }

    #[test]
    fn a_mandate_is_bound_to_agent_manifest_user_scope_window_uses_and_end() {
        let grants = given(&draft(), Choice::Always).unwrap();
        let [grant] = grants.as_slice() else { panic!("{grants:?}") };
        assert_eq!((&*grant.agent, grant.uses, grant.left), ("nightly", Some(30), Some(30)));
        assert_eq!(
            (grant.scope.as_str(), grant.lifetime),
            ("files.read:/projects/alpha", Lifetime::Until(draft().until))
        );
        assert!(grant.is_standing() && grant.binding.manifest_digest.is_some());
        assert_eq!(grant.binding.user.as_deref(), Some("U1"));
        let read = Grant::from_json(&grant.to_json()).unwrap();
        assert_eq!(&read, grant);
        let other = draft();
        let other = Draft { window: Some("02:00-04:00 Europe/Berlin".parse().unwrap()), ..other };
        assert_ne!(given(&other, Choice::Always).unwrap()[0].id, grant.id, "another window is another grant");
    }

    #[test]
    fn what_is_not_bounded_or_beyond_the_manifest_is_no_mandate() {
        let scope = |text: &str| vec![text.parse::<Scope>().unwrap()];
        let fault = |draft: Draft| given(&draft, Choice::Always).unwrap_err();
        assert_eq!(fault(Draft { scopes: Vec::new(), ..draft() }), MandateFault::Scopes);
        assert_eq!(fault(Draft { uses: None, window: None, ..draft() }), MandateFault::Unbounded);
        assert_eq!(fault(Draft { uses: Some(0), ..draft() }), MandateFault::Uses);
        for until in ["2026-05-01T00:00:00Z", "2025-05-01T00:00:00Z", "2027-05-03T00:00:00Z"] {
            assert_eq!(fault(Draft { until: at(until), ..draft() }), MandateFault::End, "{until}");
        }
        let soon = Draft { until: at("2026-05-01T00:00:00Z") + SignedDuration::from_secs(1), ..draft() };
        let noon: Window = "12:00-13:00 UTC".parse().unwrap();
        assert_eq!(fault(Draft { window: Some(noon.clone()), ..soon }), MandateFault::NeverOpen(noon));
        assert_eq!(
            fault(Draft { scopes: scope("files.read"), ..draft() }),
            MandateFault::NoContext("files.read".parse().unwrap())
        );
        for other in ["files.read:/", "files.write:/projects/alpha", "email.send:domain=x"] {
            assert!(
                matches!(fault(Draft { scopes: scope(other), ..draft() }), MandateFault::NotInManifest(_)),
                "{other}"
            );
        }
        assert_eq!(given(&draft(), Choice::Session), Err(MandateFault::TooLong(Choice::Session)));
    }
}
