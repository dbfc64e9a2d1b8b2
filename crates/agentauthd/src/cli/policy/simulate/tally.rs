//! What other policies would have decided, counted.

use std::collections::{BTreeMap, HashMap};

use agentauth_audit::Verdict;
use agentauth_core::checks::Check;
use agentauth_core::facts::{NotReplayable, Replayed};
use agentauth_core::{GrantKind, Policy, Reason, Timestamp};
use serde::Serialize;

use super::super::recorded::{Decided, texts};

/// How many different changes are kept.
const CHANGES: usize = 1_000;
/// How many different reasons why a record cannot be put to policies are kept.
const REASONS: usize = 50;

/// What is kept while the record is read.
#[derive(Default)]
pub(super) struct Tally {
    replayed: u64,
    untouched: u64,
    trials: u64,
    not_replayed: BTreeMap<String, u64>,
    by_change: BTreeMap<&'static str, u64>,
    changes: HashMap<Key, Counted>,
    left_out: u64,
}

/// What makes changes the same one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    agents: Vec<String>,
    scopes: Vec<String>,
    user: Option<String>,
    before: Answer,
    after: Answer,
}

/// An answer, and what gave it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub(super) struct Answer {
    pub(super) decision: &'static str,
    pub(super) reason: String,
    pub(super) policies: Vec<String>,
}

struct Counted {
    count: u64,
    first: Timestamp,
    last: Timestamp,
    example: String,
}

/// What would change, as JSON shows it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The digest of the set that was asked.
    pub(super) rules: String,
    /// How many decisions were put to it.
    pub(super) replayed: u64,
    /// How many of them would be other ones.
    pub(super) changed: u64,
    pub(super) by_change: BTreeMap<&'static str, u64>,
    /// The most frequent ones first.
    pub(super) changes: Vec<Change>,
    /// Decisions that would change, and of which no more is told: there are too many different ones.
    pub(super) changes_left_out: u64,
    /// Decisions that were made before policies are asked.
    pub(super) untouched: u64,
    pub(super) trials: u64,
    /// Decisions that could not be put to policies, by the reason.
    pub(super) not_replayed: BTreeMap<String, u64>,
    /// What is worth a look. Safe to show.
    pub(super) notes: Vec<String>,
}

/// One change.
#[derive(Debug, Serialize)]
pub(super) struct Change {
    /// `allow_to_deny`, `deny_to_allow`, or `other_reason`: still denied.
    pub(super) change: String,
    pub(super) agents: Vec<String>,
    pub(super) scopes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    pub(super) before: Answer,
    pub(super) after: Answer,
    pub(super) count: u64,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    /// The id of one of them.
    pub(super) example: String,
}

impl Answer {
    pub(super) fn shown(&self) -> String {
        format!("{} ({})", self.decision, agentauth_core::display_safe(&self.reason))
    }
}

impl Tally {
    pub(super) fn count(&mut self, decided: &Decided<'_>, policy: &Policy) {
        let event = decided.event();
        let count = decided.count();
        if event.dry_run {
            self.trials += count;
            return;
        }
        let reason = event.reason.as_ref().map(|reason| reason.as_str()).unwrap_or_default();
        let policies: Vec<String> = event.policies.iter().map(|id| id.as_str().to_owned()).collect();
        let allowed = event.decision == Some(Verdict::Allow);
        if !allowed && !were_asked(reason) {
            self.untouched += count;
            return;
        }
        let past = match decided.past() {
            Ok(past) => past,
            Err(why) => return self.fail(&why, count),
        };
        let replayed = past.judge(policy);
        self.replayed += count;
        let words = event.grant_kinds.as_ref().map(|kinds| kinds.as_str()).unwrap_or_default();
        let agents = event.actor.as_ref().map(|actor| &*actor.agents).unwrap_or_default();
        // What a policy granted, only a policy grants.
        let by_policy = words.split(' ').any(|kind| kind == GrantKind::Policy.as_str());
        let granted = replayed.covered || (allowed && !by_policy);
        let before = Answer { decision: word(allowed), reason: reason.to_owned(), policies };
        let Some(after) = after(&before, &replayed, granted) else { return };
        *self.by_change.entry(change(&before, &after)).or_default() += count;
        let key = Key {
            agents: texts(agents),
            scopes: texts(&event.scopes),
            user: event.user.as_ref().map(|user| user.as_str().to_owned()),
            before,
            after,
        };
        if self.changes.len() >= CHANGES && !self.changes.contains_key(&key) {
            self.left_out += count;
            return;
        }
        let counted = self.changes.entry(key).or_insert_with(|| Counted {
            count: 0,
            first: event.time,
            last: event.time,
            example: decided.id().unwrap_or_default().to_owned(),
        });
        counted.count += count;
        counted.last = event.time;
    }

    fn fail(&mut self, why: &NotReplayable, count: u64) {
        let why = match why {
            NotReplayable::Facts(_) => "facts that it was decided on are not in the record".to_owned(),
            other => other.to_string(),
        };
        if self.not_replayed.len() < REASONS || self.not_replayed.contains_key(&why) {
            *self.not_replayed.entry(why).or_default() += count;
        }
    }

    pub(super) fn report(self, rules: &str, notes: Vec<String>) -> Report {
        let told = |(key, counted): (Key, Counted)| {
            let change = change(&key.before, &key.after);
            let Key { agents, scopes, user, before, after } = key;
            let Counted { count, first, last, example } = counted;
            Change {
                change: change.to_owned(),
                agents,
                scopes,
                user,
                before,
                after,
                count,
                first,
                last,
                example,
            }
        };
        let mut changes: Vec<_> = self.changes.into_iter().map(told).collect();
        changes.sort_by(|one, other| {
            (&one.change, other.count, one.first).cmp(&(&other.change, one.count, other.first))
        });
        Report {
            rules: rules.to_owned(),
            replayed: self.replayed,
            changed: self.by_change.values().sum(),
            by_change: self.by_change,
            changes,
            changes_left_out: self.left_out,
            untouched: self.untouched,
            trials: self.trials,
            not_replayed: self.not_replayed,
            notes,
        }
    }
}

/// Whether policies were asked before it was denied for this reason.
fn were_asked(reason: &str) -> bool {
    let known = Reason::from_word(reason);
    let by_check = known.and_then(Check::of).is_some_and(|check| check >= Check::Policies);
    by_check || known == Some(Reason::DomainForbids)
}

/// What would have been decided, where that is something else. `granted`: whether there was a grant for all of it, or would be
/// one by policy.
fn after(before: &Answer, replayed: &Replayed, granted: bool) -> Option<Answer> {
    let policies: Vec<String> = replayed.policies.iter().map(|id| (**id).to_owned()).collect();
    if let Some(verdict) = &replayed.refused {
        let reason = if verdict.role.is_some() { Reason::RoleRequired } else { Reason::PolicyForbids };
        let after = Answer { decision: "deny", reason: reason.as_str().to_owned(), policies };
        // Refused by other policies for the same reason is the same answer.
        return (before.decision != after.decision || before.reason != after.reason).then_some(after);
    }
    let by_policies = [Reason::PolicyForbids, Reason::RoleRequired]
        .into_iter()
        .any(|reason| reason.as_str() == before.reason);
    let of_grants = [Reason::Granted, Reason::ConsentRequired, Reason::GrantExpired]
        .into_iter()
        .any(|reason| reason.as_str() == before.reason);
    if !by_policies && (!of_grants || granted == (before.decision == word(true))) {
        return None;
    }
    let reason = if granted { Reason::Granted } else { Reason::ConsentRequired };
    Some(Answer { decision: word(granted), reason: reason.as_str().to_owned(), policies })
}

fn change(before: &Answer, after: &Answer) -> &'static str {
    match (before.decision, after.decision) {
        ("allow", _) => "allow_to_deny",
        (_, "allow") => "deny_to_allow",
        _ => "other_reason",
    }
}

fn word(allow: bool) -> &'static str {
    if allow { "allow" } else { "deny" }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn before(decision: &'static str, reason: &str) -> Answer {
        Answer { decision, reason: reason.to_owned(), policies: vec!["old".to_owned()] }
    }

    fn permits() -> Replayed {
        Replayed { permitted: true, policies: vec!["base".into()], ..Replayed::default() }
    }

    fn forbids(role: Option<&str>) -> Replayed {
        let verdict = agentauth_core::policy::Verdict { role: role.map(Into::into), ..Default::default() };
        Replayed { policies: vec!["new".into()], refused: Some(Arc::new(verdict)), ..Replayed::default() }
    }

    fn told(before: &Answer, replayed: &Replayed, granted: bool) -> Option<(&'static str, String)> {
        after(before, replayed, granted).map(|after| (after.decision, after.reason))
    }

    #[test]
    fn what_was_allowed_and_is_forbidden_is_a_change() {
        let allowed = before("allow", "granted");
        assert_eq!(told(&allowed, &permits(), true), None);
        assert_eq!(told(&allowed, &forbids(None), true), Some(("deny", "policy_forbids".to_owned())));
        assert_eq!(told(&allowed, &forbids(Some("hr")), true), Some(("deny", "role_required".to_owned())));
    }

    #[test]
    fn what_was_forbidden_and_is_permitted_goes_on_to_the_grants() {
        let denied = before("deny", "policy_forbids");
        assert_eq!(told(&denied, &permits(), true), Some(("allow", "granted".to_owned())));
        assert_eq!(told(&denied, &permits(), false), Some(("deny", "consent_required".to_owned())));
        assert_eq!(told(&denied, &forbids(None), true), None, "by other policies, for the same reason");
        assert_eq!(told(&denied, &forbids(Some("hr")), true), Some(("deny", "role_required".to_owned())));
    }

    #[test]
    fn what_a_policy_grants_comes_and_goes_with_it() {
        let allowed = before("allow", "granted");
        assert_eq!(told(&allowed, &permits(), false), Some(("deny", "consent_required".to_owned())));
        for reason in ["consent_required", "grant_expired"] {
            let granted = told(&before("deny", reason), &permits(), true);
            assert_eq!(granted, Some(("allow", "granted".to_owned())), "{reason}");
        }
        assert_eq!(told(&before("deny", "consent_denied"), &permits(), true), None);
    }

    #[test]
    fn what_failed_behind_the_policies_changes_only_if_they_forbid() {
        for reason in ["consent_required", "consent_denied", "grant_expired", "domain_forbids"] {
            let denied = before("deny", reason);
            assert_eq!(told(&denied, &permits(), false), None, "{reason}");
            assert!(told(&denied, &forbids(None), false).is_some(), "{reason}");
            assert!(were_asked(reason));
        }
        for reason in ["locked", "agent_unknown", "not_logged_in", "stale", "not_in_manifest", "unheard_of"] {
            assert!(!were_asked(reason), "{reason}");
        }
    }
}
