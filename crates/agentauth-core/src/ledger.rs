//! What the record of the past says about rights: which registrations, grants and passkeys it gave and has not ended.
//!
//! A registration, a grant or a passkey in the database is a copy for quick reading. It counts only if the record says that it
//! was given, so that whoever edits the database gives nothing. The record is replayed in its order, once, at the
//! start.

use std::collections::{HashMap, HashSet};

use crate::agent::Registration;
use crate::grant::{COUNTED, Grant};
use crate::passkey::Passkey;
use crate::time::Timestamp;

/// One record, as far as it concerns rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// An agent was registered by the person, in place of what was registered under its name before.
    Registered {
        /// The agent's name.
        agent: &'a str,
        /// The digest of its registration.
        registration: &'a str,
    },
    /// An agent's registration was removed, and with it all its grants.
    Removed {
        /// The agent's name.
        agent: &'a str,
    },
    /// The person's own rules of this digest took effect.
    RulesApplied(&'a str),
    /// A grant was given.
    Given(&'a str),
    /// A grant was taken away.
    Revoked(&'a str),
    /// A check was allowed by a grant. Only a grant whose uses are counted is changed by it.
    Used(&'a str),
    /// A counted grant had been used this often.
    Uses {
        /// The grant.
        id: &'a str,
        /// How often.
        uses: u32,
    },
    /// A passkey was registered.
    PasskeyAdded(&'a str),
    /// A passkey was removed.
    PasskeyRemoved(&'a str),
    /// A passkey confirmed something, and its counter stood here.
    PasskeyUsed {
        /// The passkey.
        id: &'a str,
        /// Its signature counter.
        sign_count: u32,
    },
    /// The person was seen.
    Seen(Timestamp),
    /// What the record said after some point is lost: nothing that was given before counts any more.
    Lost,
}

/// What stands after all records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    registrations: HashMap<String, String>,
    /// The grants given and not taken away, with how often each counted one was used.
    grants: HashMap<String, u32>,
    /// The passkeys registered and not removed, with the highest counter that each has shown.
    passkeys: HashMap<String, u32>,
    /// The grants taken away and not given again: a copy that is still there has had its day.
    ended: HashSet<String>,
    /// When the person was seen last.
    seen: Option<Timestamp>,
    /// The digest of the person's own rules that were applied last.
    rules: Option<String>,
}

impl Ledger {
    /// Takes the next record into account.
    pub fn apply(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Registered { agent, registration } => {
                self.registrations.insert(agent.to_owned(), registration.to_owned());
            }
            Entry::Removed { agent } => {
                self.registrations.remove(agent);
            }
            Entry::RulesApplied(digest) => self.rules = Some(digest.to_owned()),
            Entry::Given(id) => {
                self.ended.remove(id);
                self.grants.entry(id.to_owned()).or_insert(0);
            }
            Entry::Revoked(id) => {
                self.grants.remove(id);
                self.ended.insert(id.to_owned());
            }
            Entry::Used(id) if id.starts_with(COUNTED) => {
                if let Some(uses) = self.grants.get_mut(id) {
                    *uses = uses.saturating_add(1);
                }
            }
            Entry::Uses { id, uses } => {
                if let Some(known) = self.grants.get_mut(id) {
                    *known = uses.max(*known);
                }
            }
            Entry::PasskeyAdded(id) => {
                self.passkeys.entry(id.to_owned()).or_insert(0);
            }
            Entry::PasskeyRemoved(id) => {
                self.passkeys.remove(id);
            }
            Entry::PasskeyUsed { id, sign_count } => {
                if let Some(known) = self.passkeys.get_mut(id) {
                    *known = sign_count.max(*known);
                }
            }
            Entry::Lost => {
                let ended = std::mem::take(&mut self.ended);
                *self = Self { ended, ..Self::default() };
            }
            Entry::Seen(at) => self.seen = self.seen.max(Some(at)),
            Entry::Used(_) => {}
        }
    }

    /// Forgets the grants of which there is no copy any more. The record says nothing but which copies count, so what it
    /// says of others is not needed; without this, every grant that was ever used up or taken away would stay. Not for a
    /// ledger of records whose copies may not be written yet.
    pub fn forget_without_copy(&mut self, is_there: impl Fn(&str) -> bool) {
        self.grants.retain(|id, _| is_there(id));
        self.ended.retain(|id| is_there(id));
    }

    /// Entries that make the same ledger of an empty one.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let ended = self.ended.iter().map(|id| Entry::Revoked(id));
        let registrations =
            self.registrations.iter().map(|(agent, registration)| Entry::Registered { agent, registration });
        let grants = self.grants.keys().map(|id| Entry::Given(id));
        let used = self.grants.iter().filter(|(_, uses)| **uses > 0);
        let uses = used.map(|(id, uses)| Entry::Uses { id, uses: *uses });
        let passkeys = self.passkeys.keys().map(|id| Entry::PasskeyAdded(id));
        let counters = self.passkeys.iter().filter(|(_, counter)| **counter > 0);
        let counters = counters.map(|(id, counter)| Entry::PasskeyUsed { id, sign_count: *counter });
        ended
            .chain(registrations)
            .chain(grants)
            .chain(uses)
            .chain(passkeys)
            .chain(counters)
            .chain(self.seen.map(Entry::Seen))
            .chain(self.rules.as_deref().map(Entry::RulesApplied))
    }

    /// The signature counter of a passkey that the record says was registered so; nothing for any other.
    #[must_use]
    pub fn counter(&self, passkey: &Passkey) -> Option<u32> {
        self.passkeys.get(&passkey.id()).map(|known| passkey.sign_count.max(*known))
    }

    /// Whether the record says that the person registered exactly this.
    #[must_use]
    pub fn stands(&self, registration: &Registration) -> bool {
        let recorded = self.registrations.get(&registration.manifest.name);
        recorded.is_some_and(|digest| *digest == registration.digest())
    }

    /// The digest of the person's own rules that the record says were applied last; nothing before the first time.
    #[must_use]
    pub fn rules(&self) -> Option<&str> {
        self.rules.as_deref()
    }

    /// The grant as the record leaves it: nothing if it was never given or has ended, else with the uses that are left.
    #[must_use]
    pub fn admit(&self, grant: Grant) -> Option<Grant> {
        let used = *self.grants.get(&*grant.id)?;
        let left = grant.uses.map(|uses| uses.saturating_sub(used));
        (left != Some(0)).then_some(Grant { left, ..grant })
    }

    /// When the person was seen last, if ever.
    #[must_use]
    pub fn seen(&self) -> Option<Timestamp> {
        self.seen
    }

    /// Whether every use of the counted grant of this id is in the record, or it was taken away: it is past.
    #[must_use]
    pub fn is_past(&self, grant: &Grant) -> bool {
        self.ended.contains(&*grant.id)
            || grant.uses.zip(self.grants.get(&*grant.id)).is_some_and(|(uses, used)| *used >= uses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::AgentFile;
    use crate::grant::Lifetime;
    use crate::passkey::soft::Soft;
    use crate::passkey::{Algorithm, Ceremony};
    use crate::widening::Party;

    fn registration(version: &str) -> Registration {
        let json = format!(
            r#"{{"manifest":{{"name":"a","version":"{version}","scopes":[]}},"selectors":{{"executable":"/opt/a"}}}}"#
        );
        AgentFile::parse(json.as_bytes()).unwrap().registration()
    }

    fn grant(scope: &str) -> Grant {
        Grant::new("a", scope.parse().unwrap(), Lifetime::UntilRevoked)
    }

    #[test]
    fn only_what_was_registered_last_stands() {
        let (one, two) = (registration("1"), registration("2"));
        let mut ledger = Ledger::default();
        assert!(!ledger.stands(&one));
        ledger.apply(Entry::Registered { agent: "a", registration: &one.digest() });
        assert!(ledger.stands(&one) && !ledger.stands(&two));
        ledger.apply(Entry::Registered { agent: "a", registration: &two.digest() });
        assert!(!ledger.stands(&one) && ledger.stands(&two));
        ledger.apply(Entry::Removed { agent: "a" });
        assert!(!ledger.stands(&two));
    }

    #[test]
    fn the_rules_that_were_applied_last_count() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.rules(), None);
        for digest in ["one", "two", "one"] {
            ledger.apply(Entry::RulesApplied(digest));
            assert_eq!(ledger.rules(), Some(digest));
        }
    }

    #[test]
    fn a_grant_counts_between_its_record_and_the_record_of_its_end() {
        let (given, never) = (grant("files.read:/a"), grant("files.read:/b"));
        let mut ledger = Ledger::default();
        ledger.apply(Entry::Given(&given.id));
        assert_eq!(ledger.admit(given.clone()), Some(given.clone()));
        assert_eq!(ledger.admit(never), None);
        ledger.apply(Entry::Revoked(&given.id));
        assert_eq!(ledger.admit(given.clone()), None);
        assert!(ledger.is_past(&given));
        ledger.apply(Entry::Given(&given.id));
        assert_eq!(ledger.admit(given.clone()), Some(given.clone()), "the later word counts");
        assert!(!ledger.is_past(&given));
    }

    #[test]
    fn what_has_no_copy_is_forgotten_and_what_has_one_is_as_it_was() {
        let grants = [grant("files.read:/a"), grant("files.read:/b"), grant("files.read:/c").for_uses(2)];
        let gone = ["files.read:/x", "files.read:/y"].map(grant);
        let mut ledger = Ledger::default();
        for grant in grants.iter().chain(&gone) {
            ledger.apply(Entry::Given(&grant.id));
        }
        ledger.apply(Entry::Used(&grants[2].id));
        for revoked in [&grants[1], &gone[1]] {
            ledger.apply(Entry::Revoked(&revoked.id));
        }
        let whole = ledger.clone();
        ledger.forget_without_copy(|id| grants.iter().any(|grant| *grant.id == *id));
        for grant in &grants {
            assert_eq!(ledger.is_past(grant), whole.is_past(grant));
            assert_eq!(ledger.admit(grant.clone()), whole.admit(grant.clone()));
        }
        assert_eq!(ledger.admit(gone[0].clone()), None, "a copy that is put there again does not count");
        assert_eq!(ledger.entries().count(), 4, "two that stand, the use of one, one that ended");
    }

    #[test]
    fn a_passkey_counts_as_it_was_registered_until_it_is_removed() {
        let asked = Ceremony { challenge: &[1; 32], origin: "http://localhost:1" };
        let owner = Party { issuer: "i".to_owned(), subject: "s".to_owned() };
        let passkey = Soft::new(Algorithm::EdDsa, b"one").enrolled(&asked, &owner);
        let edited = Passkey { name: "other".to_owned(), ..passkey.clone() };
        let id = passkey.id();
        let mut ledger = Ledger::default();
        assert_eq!(ledger.counter(&passkey), None);
        ledger.apply(Entry::PasskeyUsed { id: &id, sign_count: 9 });
        ledger.apply(Entry::PasskeyAdded(&id));
        assert_eq!((ledger.counter(&passkey), ledger.counter(&edited)), (Some(0), None));
        for sign_count in [4, 3] {
            ledger.apply(Entry::PasskeyUsed { id: &id, sign_count });
        }
        assert_eq!(ledger.counter(&passkey), Some(4));
        ledger.apply(Entry::PasskeyRemoved(&id));
        assert_eq!(ledger.counter(&passkey), None);
    }

    #[test]
    fn an_edited_grant_is_another_one() {
        let given = grant("files.read:/a").for_uses(1);
        let mut ledger = Ledger::default();
        ledger.apply(Entry::Given(&given.id));
        for (from, to) in [("/a", "/"), ("\"uses\":1", "\"uses\":9"), ("\"agent\":\"a\"", "\"agent\":\"b\"")]
        {
            let edited = given.to_json().replace(from, to);
            assert_ne!(edited, given.to_json());
            assert_eq!(ledger.admit(Grant::from_json(&edited).unwrap()), None, "{edited}");
        }
        assert_eq!(ledger.admit(Grant::from_json(&given.to_json()).unwrap()), Some(given));
    }

    #[test]
    fn the_person_was_last_seen_when_the_latest_record_says_so() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.seen(), None);
        for (second, last) in [(5, 5), (9, 9), (7, 9)] {
            ledger.apply(Entry::Seen(Timestamp::from_second(second).unwrap()));
            assert_eq!(ledger.seen(), Timestamp::from_second(last).ok());
        }
    }

    #[test]
    fn where_the_record_is_lost_nothing_given_before_counts_and_what_ended_has_had_its_day() {
        let (one, other) = (grant("files.read:/a"), grant("files.read:/b"));
        let mut ledger = Ledger::default();
        for entry in [Entry::Given(&one.id), Entry::Given(&other.id), Entry::Revoked(&other.id), Entry::Lost]
        {
            ledger.apply(entry);
        }
        assert_eq!((ledger.admit(one.clone()), ledger.admit(other.clone())), (None, None));
        assert!(!ledger.is_past(&one) && ledger.is_past(&other));
        ledger.apply(Entry::Given(&one.id));
        assert_eq!(ledger.admit(one.clone()), Some(one));
    }

    #[test]
    fn its_entries_make_the_same_ledger() {
        let (thrice, always) = (grant("files.read:/a").for_uses(3), grant("files.read:/b"));
        let mut ledger = Ledger::default();
        for entry in [
            Entry::Registered { agent: "a", registration: "one" },
            Entry::Given(&thrice.id),
            Entry::Given(&always.id),
            Entry::Given("gone"),
            Entry::Revoked("gone"),
            Entry::Used(&thrice.id),
            Entry::Used(&thrice.id),
            Entry::PasskeyAdded("key"),
            Entry::PasskeyUsed { id: "key", sign_count: 7 },
            Entry::PasskeyAdded("lost"),
            Entry::PasskeyRemoved("lost"),
            Entry::Seen(Timestamp::UNIX_EPOCH),
            Entry::RulesApplied("rules"),
        ] {
            ledger.apply(entry);
        }
        let mut again = Ledger::default();
        ledger.entries().for_each(|entry| again.apply(entry));
        assert_eq!(again, ledger);
        assert_eq!(again.admit(thrice).and_then(|grant| grant.left), Some(1));
    }

    #[test]
    fn uses_are_counted_by_the_decisions_that_they_allowed() {
        let (thrice, always) = (grant("files.read:/a").for_uses(3), grant("files.read:/b"));
        let mut ledger = Ledger::default();
        for id in [&thrice.id, &always.id] {
            ledger.apply(Entry::Given(id));
        }
        for left in [Some(2), Some(1), None] {
            ledger.apply(Entry::Used(&thrice.id));
            ledger.apply(Entry::Used(&always.id));
            assert_eq!(ledger.admit(thrice.clone()).and_then(|grant| grant.left), left);
        }
        assert_eq!(ledger.admit(always.clone()), Some(always));
    }
}
