//! What a person declined a while ago: for a time, an agent that heard no is not given another question about it.
//!
//! This takes no grant away, except where everything from the agent was refused.

use std::fmt;
use std::sync::Arc;

use imbl::Vector;

use crate::map::Map;
use crate::scope::Scope;
use crate::time::{SignedDuration, Timestamp};

/// The most refusals that are remembered of one agent; the oldest goes first.
const MOST: usize = 256;
/// How long a refusal is remembered that stands no longer, so that the next question can say so.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);

/// What was declined, by agent.
#[derive(Debug, Clone, Default)]
pub struct Declined {
    by_agent: Map<Arc<str>, Vector<Decline>>,
}

/// A no, and how long it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decline {
    /// What was refused; `None` for everything.
    scope: Option<Scope>,
    /// When it was said.
    at: Timestamp,
    /// The first instant at which it stands no longer.
    until: Timestamp,
}

impl Declined {
    /// The person refused `scope` to `agent` just now: until then there is no further question about it.
    pub fn decline(&mut self, agent: &str, scope: Scope, now: Timestamp, until: Timestamp) {
        self.add(agent, Decline { scope: Some(scope), at: now, until });
    }

    /// The person refused everything to `agent` just now: until then nothing is allowed to it.
    pub fn decline_everything(&mut self, agent: &str, now: Timestamp, until: Timestamp) {
        self.add(agent, Decline { scope: None, at: now, until });
    }

    /// When the person last refused something that overlaps `scope` to `agent`, if that is remembered.
    #[must_use]
    pub fn earlier(&self, agent: &str, scope: &Scope) -> Option<Timestamp> {
        let known = self.by_agent.get(agent)?.iter();
        let fitting =
            known.filter(|decline| decline.scope.as_ref().is_none_or(|known| known.overlaps(scope)));
        fitting.map(|decline| decline.at).max()
    }

    /// The refusal that stands at `now` against `agent` asking for `scope`: one of everything, or one of a scope that
    /// overlaps it, so that no variation of what was refused is asked at once.
    #[must_use]
    pub fn of(&self, agent: &str, scope: &Scope, now: Timestamp) -> Option<&Decline> {
        let standing = self.by_agent.get(agent)?.iter().filter(|decline| now < decline.until);
        let fitting =
            standing.filter(|decline| decline.scope.as_ref().is_none_or(|known| known.overlaps(scope)));
        fitting.max_by_key(|decline| (decline.is_everything(), decline.until))
    }

    /// Until when everything is refused to `agent`.
    #[must_use]
    pub fn everything_until(&self, agent: &str, now: Timestamp) -> Option<Timestamp> {
        let standing = self.by_agent.get(agent)?.iter().filter(|decline| now < decline.until);
        standing.filter(|decline| decline.is_everything()).map(|decline| decline.until).max()
    }

    /// Forgets what stands no longer, and is a day old.
    pub fn forget(&mut self, now: Timestamp) {
        let agents: Vec<_> = self.by_agent.keys().cloned().collect();
        for agent in agents {
            let Some(declines) = self.by_agent.get_mut(&agent) else { continue };
            declines.retain(|decline| now < decline.until || now.duration_since(decline.at) < REMEMBERED);
            if declines.is_empty() {
                self.by_agent.remove(&agent);
            }
        }
    }

    fn add(&mut self, agent: &str, decline: Decline) {
        let declines = self.by_agent.entry(agent.into()).or_default();
        declines.retain(|known| known.scope != decline.scope || known.until > decline.until);
        declines.push_back(decline);
        while declines.len() > MOST {
            let oldest = declines.iter().position(|known| !known.is_everything()).unwrap_or_default();
            declines.remove(oldest);
        }
    }
}

impl Decline {
    /// Whether everything was refused.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.scope.is_none()
    }
}

impl fmt::Display for Decline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            Some(scope) => {
                write!(formatter, "you refused `{scope}`, and are not asked again before {:.0}", self.until)
            }
            None => write!(formatter, "you refused everything to this agent until {:.0}", self.until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        text.parse().unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_no_holds_for_its_time_against_all_that_overlaps_it_and_for_its_agent_only() {
        let mut declined = Declined::default();
        declined.decline("a", scope("files.read:/p/x"), at(0), at(100));
        for near in ["files.read:/p/x", "files.read:/p/x/y", "files.read:/p", "files.read"] {
            assert!(declined.of("a", &scope(near), at(99)).is_some(), "{near}");
            assert!(declined.of("a", &scope(near), at(100)).is_none(), "{near}");
            assert!(declined.of("b", &scope(near), at(99)).is_none(), "{near}");
        }
        for far in ["files.read:/p/z", "files.write:/p/x"] {
            assert!(declined.of("a", &scope(far), at(99)).is_none(), "{far}");
        }
    }

    #[test]
    fn refusing_everything_stands_above_the_rest() {
        let mut declined = Declined::default();
        declined.decline_everything("a", at(0), at(100));
        declined.decline("a", scope("files.read"), at(0), at(200));
        assert!(declined.of("a", &scope("files.read"), at(50)).unwrap().is_everything());
        assert!(declined.of("a", &scope("mail.send"), at(50)).unwrap().is_everything());
        assert!(!declined.of("a", &scope("files.read"), at(150)).unwrap().is_everything());
        assert_eq!(declined.everything_until("a", at(50)), Some(at(100)));
        assert_eq!(declined.everything_until("a", at(100)), None);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten() {
        let mut declined = Declined::default();
        declined.decline_everything("a", at(0), at(100));
        for number in 0..1000 {
            declined.decline("a", scope(&format!("files.read:/p/{number}")), at(0), at(100));
        }
        assert_eq!(declined.by_agent["a"].len(), MOST);
        assert!(declined.everything_until("a", at(1)).is_some());
        declined.forget(at(100));
        assert_eq!(declined.earlier("a", &scope("files.read:/p/999")), Some(at(0)));
        declined.forget(at(24 * 3600));
        assert!(declined.by_agent.is_empty());
    }
}
