//! Which records belong to one thing.

use std::collections::{BTreeMap, HashSet};

use agentauth_audit::{Entry, Event, Kind, Trail, VerifyError};

use super::super::{counted, next};

/// How many decisions by the same grant are kept: the newest.
const USES: usize = 50;
/// How often the record is read: a decision leads to its grant, the grant to its consent, the consent to its question.
const ROUNDS: usize = 4;

/// What a record is to the thing that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    /// It is what was asked for.
    Subject,
    /// Denials of which it is one, counted together.
    Folded,
    /// What became of it.
    Outcomes,
    /// The facts that it rests on.
    Facts,
    /// The questions to the person about it, and the answers.
    Consents,
    /// The grants that it rests on or gave, and their end.
    Grants,
    /// What was decided by the grant.
    Uses,
    /// The policies that were in force.
    Policies,
}

impl Group {
    pub(super) const ALL: [Group; 8] = [
        Group::Subject,
        Group::Folded,
        Group::Outcomes,
        Group::Facts,
        Group::Consents,
        Group::Grants,
        Group::Uses,
        Group::Policies,
    ];

    /// The name in JSON.
    pub(super) fn name(self) -> &'static str {
        match self {
            Group::Subject => "records",
            Group::Folded => "folded",
            Group::Outcomes => "outcomes",
            Group::Facts => "facts",
            Group::Consents => "consents",
            Group::Grants => "grants",
            Group::Uses => "uses",
            Group::Policies => "policies",
        }
    }
}

/// The records about one thing.
#[derive(Default)]
pub(super) struct Related {
    found: BTreeMap<(Group, u64), Entry>,
    /// Decisions by the same grant that are not among them.
    pub(super) left_out: usize,
}

impl Related {
    /// Looks for everything about `id`. Also says where the record is damaged first: what follows is found all the same.
    pub(super) fn find(trail: &Trail, id: &str) -> Result<(Related, Option<VerifyError>), VerifyError> {
        let mut sought = Sought { number: id.parse().ok(), id: id.to_owned(), ..Sought::default() };
        let mut related = Related::default();
        let mut damage = None;
        for _ in 0..ROUNDS {
            let before = sought.clone();
            related = Related::default();
            // Which policies were in force is known when the first of the records is met.
            let mut policies = None;
            let mut entries = trail.entries()?.past_damage();
            while let Some(entry) = next(&mut entries, &mut damage)? {
                if entry.event.kind == Kind::PolicyLoaded && related.of(Group::Subject).next().is_none() {
                    policies = Some(entry.clone());
                }
                if let Some(group) = before.group(&entry) {
                    sought.learn(group, &entry.event);
                    related.keep(group, entry);
                }
            }
            let decided = related.of(Group::Subject).any(|entry| entry.event.kind == Kind::Decision);
            if let Some(policies) = policies.filter(|_| decided) {
                related.keep(Group::Policies, policies);
            }
            if decided {
                // What is written down in full was not counted.
                related.found.retain(|(group, _), _| *group != Group::Folded);
            }
            if related.is_empty() || sought == before {
                break;
            }
        }
        Ok((related, damage))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Those of a group, oldest first.
    pub(super) fn of(&self, group: Group) -> impl Iterator<Item = &Entry> {
        self.found.range((group, 0)..=(group, u64::MAX)).map(|(_, entry)| entry)
    }

    fn keep(&mut self, group: Group, entry: Entry) {
        if group == Group::Uses && self.of(Group::Uses).count() == USES {
            let oldest = self.of(Group::Uses).next().map(|entry| entry.seq);
            if let Some(seq) = oldest {
                self.found.remove(&(Group::Uses, seq));
                self.left_out += 1;
            }
        }
        self.found.insert((group, entry.seq), entry);
    }
}

/// What leads to further records.
#[derive(Clone, Default, PartialEq)]
struct Sought {
    id: String,
    /// The same, where it is the number of a record.
    number: Option<u64>,
    /// Ids of decisions and their like, found by number.
    same: HashSet<String>,
    facts: HashSet<String>,
    consents: HashSet<String>,
    grants: HashSet<String>,
    /// Whether what is looked at is a grant or gave one: then what was decided by it belongs to it.
    gives: bool,
}

impl Sought {
    fn is(&self, id: &str) -> bool {
        id == self.id || self.same.contains(id)
    }

    fn group(&self, entry: &Entry) -> Option<Group> {
        let event = &entry.event;
        let id = event.id.as_ref().map(|id| id.as_str());
        let detail = |name: &str| event.details.get(name).and_then(|value| value.as_str());
        let by_number = self.number == Some(entry.seq);
        match event.kind {
            _ if by_number => Some(Group::Subject),
            Kind::Outcome if id.is_some_and(|id| self.is(id)) => Some(Group::Outcomes),
            _ if id.is_some_and(|id| self.is(id)) => Some(Group::Subject),
            Kind::DecisionsFolded => self.is_folded(event).then_some(Group::Folded),
            Kind::Facts => id.is_some_and(|id| self.facts.contains(id)).then_some(Group::Facts),
            Kind::ConsentAsked | Kind::ConsentAnswered | Kind::ConsentEnded | Kind::ConsentPreapproved => {
                let about = id.is_some_and(|id| self.consents.contains(id))
                    || detail("decision").is_some_and(|decision| self.is(decision))
                    || self.names_grant(event);
                about.then_some(Group::Consents)
            }
            Kind::GrantAdded | Kind::GrantRevoked | Kind::GrantExpired => {
                self.names_grant(event).then_some(Group::Grants)
            }
            Kind::Decision => (self.gives && self.names_grant(event)).then_some(Group::Uses),
            _ => None,
        }
    }

    fn names_grant(&self, event: &Event<'_>) -> bool {
        event.grants.iter().any(|grant| self.is(grant.as_str()) || self.grants.contains(grant.as_str()))
    }

    fn is_folded(&self, event: &Event<'_>) -> bool {
        std::iter::once(&self.id).chain(&self.same).any(|id| counted(event, id).is_some())
    }

    /// Takes up what a record that belongs to the thing leads to.
    fn learn(&mut self, group: Group, event: &Event<'_>) {
        let id = event.id.as_ref().map(|id| id.as_str().to_owned());
        let grants = || event.grants.iter().map(|grant| grant.as_str().to_owned());
        match group {
            Group::Subject => {
                self.same.extend(id);
                self.grants.extend(grants());
                self.facts.extend(event.facts.iter().map(|digest| digest.as_str().to_owned()));
                self.gives |= gives(event.kind);
            }
            Group::Consents => {
                self.consents.extend(id);
                self.grants.extend(grants());
            }
            Group::Grants => {
                // Somebody asked for a grant by its id.
                self.gives |= event.grants.iter().any(|grant| self.is(grant.as_str()));
            }
            Group::Folded | Group::Outcomes | Group::Facts | Group::Uses | Group::Policies => {}
        }
    }
}

fn gives(kind: Kind) -> bool {
    matches!(kind, Kind::GrantAdded | Kind::ConsentAnswered | Kind::ConsentPreapproved)
}

#[cfg(test)]
#[path = "related_tests.rs"]
mod tests;
