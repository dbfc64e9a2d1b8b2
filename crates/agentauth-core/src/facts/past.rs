//! A decision of the past, read from its record and the facts that it names, and put to policies anew.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{AgentSet, CallerSet, FactKind, MachineSet, SessionSet};
use crate::agent::Agent;
use crate::agents::Assurance;
use crate::catalogue::RiskClass;
use crate::caveat::{Caveat, CaveatKinds};
use crate::decision::Obligations;
use crate::device::Device;
use crate::grant::{GrantKinds, GrantUse};
use crate::policy::{Claimed, Policy, Question, Verdict};
use crate::scope::Scope;
use crate::session::Session;
use crate::signals::Signals;
use crate::time::Timestamp;

/// Everything that policies could read of one question when it was decided.
#[derive(Debug, Clone)]
pub struct Past {
    agents: Vec<Arc<Agent>>,
    session: Arc<Session>,
    asked: Vec<(Scope, RiskClass)>,
    assurance: Assurance,
    greeted: bool,
    caveats: Vec<Caveat>,
    signals: Signals,
    device: Arc<Device>,
    seen: Option<Timestamp>,
    grant_kinds: String,
    grant_strengths: String,
    purpose: Option<String>,
    action: Option<String>,
    bytes: u64,
    items: u64,
    at: Timestamp,
}

/// What policies say to a question of the past.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Whether they permit everything that was asked, to every agent concerned.
    pub permitted: bool,
    /// The policies that decided, in order, without repetition.
    pub policies: Vec<Arc<str>>,
    /// What an allow demands.
    pub obligations: Obligations,
    /// Whether all of it is covered, where they permit it: by a grant that there was, or by a policy that grants it.
    pub covered: bool,
    /// The verdict that refused, where one did.
    pub refused: Option<Arc<Verdict>>,
}

/// Why a record cannot be put to policies.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotReplayable {
    /// Not the record of a decision, or of another version's.
    #[error("the record is not one of a decision that this version can read")]
    Record(#[source] serde_json::Error),
    /// It was decided before a policy was asked: nobody was logged in, or the caller was no agent.
    #[error("policies had no part in it: {0}")]
    NotAsked(&'static str),
    /// It names no facts about the machine.
    #[error("the record does not say on which machine it was decided")]
    Machine,
    /// Facts that it names are not in the log, or not as they should be.
    #[error("the facts `{0}` that it names are not there")]
    Facts(String),
}

/// The members of a decision's record that matter here.
#[derive(Deserialize)]
struct Record {
    time: Timestamp,
    event: String,
    #[serde(default)]
    actor: Actor,
    #[serde(default)]
    scopes: Vec<Scope>,
    #[serde(default)]
    risks: Vec<RiskClass>,
    #[serde(default)]
    purpose: Option<String>,
    #[serde(default)]
    grant_kinds: String,
    #[serde(default)]
    grant_strengths: String,
    #[serde(default)]
    signals: Signals,
    #[serde(default)]
    facts: Vec<String>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    details: Details,
}

#[derive(Deserialize, Default)]
struct Actor {
    #[serde(default)]
    assurance: Assurance,
    #[serde(default)]
    agents: Vec<String>,
}

#[derive(Deserialize, Default)]
struct Details {
    #[serde(default)]
    caveats: Vec<Caveat>,
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    bytes: u64,
    #[serde(default)]
    items: u64,
}

impl Past {
    /// Reads the record of a decision, or of equal ones that were counted, the JSON of its line. `facts`: the `details` of the `facts` record of a digest.
    ///
    /// # Errors
    /// See [`NotReplayable`].
    pub fn read<'f>(
        record: &Value,
        facts: impl Fn(&str) -> Option<&'f Map<String, Value>>,
    ) -> Result<Self, NotReplayable> {
        let record = Record::deserialize(record).map_err(NotReplayable::Record)?;
        let decided = matches!(record.event.as_str(), "decision" | "decision.folded");
        if !decided || record.risks.len() != record.scopes.len() {
            return Err(NotReplayable::NotAsked("it is no decision about scopes"));
        }
        let (mut agents, mut session, mut greeted) = (Vec::new(), None, record.dry_run);
        let mut device = None;
        for digest in &record.facts {
            let missing = || NotReplayable::Facts(digest.clone());
            let set = facts(digest).ok_or_else(missing)?;
            let kind =
                set.get("kind").and_then(|kind| FactKind::deserialize(kind).ok()).ok_or_else(missing)?;
            let said = set.get("facts").ok_or_else(missing)?;
            match kind {
                FactKind::Agent => {
                    agents.push(Arc::new(AgentSet::deserialize(said).map_err(|_| missing())?.agent()));
                }
                FactKind::Session => {
                    session = Some(SessionSet::deserialize(said).map_err(|_| missing())?);
                }
                FactKind::Caller => {
                    greeted |= CallerSet::deserialize(said).map_err(|_| missing())?.greeted;
                }
                FactKind::Machine => {
                    device = Some(MachineSet::deserialize(said).map_err(|_| missing())?.device());
                }
                FactKind::Rules => {}
            }
        }
        if agents.is_empty() || agents.len() != record.actor.agents.len() {
            return Err(NotReplayable::NotAsked("the caller was no registered agent"));
        }
        let session = session.ok_or(NotReplayable::NotAsked("nobody was logged in"))?;
        Ok(Self {
            agents,
            seen: session.person_seen_at,
            session: Arc::new(session.session()),
            device: Arc::new(device.ok_or(NotReplayable::Machine)?),
            asked: record.scopes.into_iter().zip(record.risks).collect(),
            assurance: record.actor.assurance,
            greeted,
            caveats: record.details.caveats,
            signals: record.signals,
            grant_kinds: record.grant_kinds,
            grant_strengths: record.grant_strengths,
            purpose: record.purpose,
            action: record.details.action,
            bytes: record.details.bytes,
            items: record.details.items,
            at: record.time,
        })
    }

    /// When it was asked.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// What `policy` says to it: as [`crate::decide()`] asks, about every scope for every agent, until one is refused.
    #[must_use]
    pub fn judge(&self, policy: &Policy) -> Replayed {
        let mut replayed = Replayed { permitted: true, covered: true, ..Replayed::default() };
        let asked = self.asked.iter().flat_map(|asked| self.agents.iter().map(move |agent| (asked, agent)));
        for (position, ((scope, risk), agent)) in asked.enumerate() {
            let used = GrantKinds::read(&self.grant_kinds, &self.grant_strengths, position);
            let verdict = policy.judge(&Question {
                agent,
                session: &self.session,
                scope,
                risk: *risk,
                assurance: self.assurance,
                greeted: self.greeted,
                tampered: self.caveats.iter().any(Caveat::is_tampering),
                caveats: CaveatKinds::of(&self.caveats),
                signals: self.signals,
                device: &self.device,
                seen: self.seen,
                grant: &|| used.seen(),
                claimed: Claimed {
                    purpose: self.purpose.as_deref(),
                    action: self.action.as_deref(),
                    bytes: self.bytes,
                    items: self.items,
                },
                now: self.at,
            });
            if !verdict.permitted {
                return Replayed {
                    policies: verdict.policies.clone(),
                    refused: Some(verdict),
                    ..Replayed::default()
                };
            }
            for id in &verdict.policies {
                if !replayed.policies.contains(id) {
                    replayed.policies.push(Arc::clone(id));
                }
            }
            replayed.covered &= used.seen() != GrantUse::default() || verdict.preapproved.is_some();
            replayed.obligations = replayed.obligations.and(verdict.obligations);
        }
        replayed
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_record_does_not_say_of_the_machine_is_not_made_up() {
        let agent = json!({"name": "a", "version": "1.0.0", "manifest": "m", "registration": "r", "source": "person"});
        let session = json!({
            "login": "l", "user": "U", "issuer": "i", "roles": [], "permissions": [], "tenants": [], "factors": [],
            "stepped_up": false, "logged_in_at": "2026-03-01T00:00:00Z", "expires_at": "2026-03-02T00:00:00Z",
        });
        let machine = json!({"device": "d", "os": "linux 6.1", "version": "1.0.0"});
        let set = |kind: &str, facts: Value| {
            let Value::Object(set) = json!({"kind": kind, "facts": facts}) else { panic!() };
            set
        };
        let sets = [set("agent", agent), set("session", session), set("machine", machine)];
        let read = |facts: &[&str]| {
            let record = json!({
                "time": "2026-03-01T01:00:00Z", "event": "decision", "actor": {"assurance": "path", "agents": ["a"]},
                "scopes": ["files.read"], "risks": ["read"], "facts": facts,
            });
            Past::read(&record, |digest| sets.get(digest.parse::<usize>().ok()?))
        };
        assert_eq!(read(&["0", "1", "2"]).unwrap().device.os, "linux");
        assert!(matches!(read(&["0", "1"]), Err(NotReplayable::Machine)));
    }
}
