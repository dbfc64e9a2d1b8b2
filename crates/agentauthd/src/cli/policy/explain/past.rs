//! What is known of a decision of the record, and of the policies that decided it.

use std::ops::ControlFlow;

use agentauth_audit::{Kind, Verdict, VerifyError};
use agentauth_core::Scope;
use agentauth_core::facts::Replayed;
use agentauth_core::policy::PolicyFile;
use agentauth_core::policy::inspect::{digest, rules};
use agentauth_core::text::display_safe;

use super::super::super::Failure;
use super::super::super::audit::{Counted, Record, counted};
use super::super::choice;
use super::super::recorded::{self, Decided, texts};
use super::story::{Facts, Story};
use crate::daemon::rulebook::Rulebook;

/// A decision as the record has it.
struct Found {
    facts: Facts,
    /// The digest of the policies that decided.
    rules: Option<String>,
    /// What to put to policies, or why that cannot be.
    past: Result<agentauth_core::Past, String>,
    /// How many equal ones it stands for.
    folded: Option<u64>,
}

/// Why it was decided so. `draft`: the rulebook is not that of this machine, by the person's wish. `notes`: what is to be said
/// of it.
pub(super) fn story(
    id: &str,
    record: &Record,
    rulebook: &Rulebook,
    draft: bool,
    mut notes: Vec<String>,
) -> Result<(Story, Option<VerifyError>), Failure> {
    let (mut found, mut counted) = (None, 0);
    let damage = recorded::each(record, |decided| match is(decided, id) {
        None => ControlFlow::Continue(()),
        // What was counted may yet be found in full.
        Some(Counted::Perhaps) => {
            counted += 1;
            found = Some(Found::of(decided));
            ControlFlow::Continue(())
        }
        Some(Counted::Certainly) => {
            counted = 1;
            found = Some(Found::of(decided));
            ControlFlow::Break(())
        }
    })?;
    let Some(Found { mut facts, rules: decided_by, past, folded }) = found else {
        return Err(damage.map_or_else(
            || {
                Failure::Told(format!(
                    "the record has no decision with the id `{}`; ids are those that `agentauthd audit tail --event \
                     decision` prints",
                    display_safe(id)
                ))
            },
            |error| record.failure(error),
        ));
    };
    let is_it = |files: &[PolicyFile]| decided_by.as_deref() == Some(&*digest(files));
    let actions = facts.scopes.iter().filter_map(|scope| scope.parse::<Scope>().ok());
    let actions: Vec<_> = actions.map(|scope| scope.action_name().to_owned()).collect();
    let (files, policy) = if !draft && is_it(&rulebook.in_force) {
        (&rulebook.in_force, rulebook.load_in_force(actions))
    } else {
        (&rulebook.files, rulebook.load(actions))
    };
    let policy = choice::loaded(policy)?;
    let same = is_it(files);
    match &decided_by {
        _ if same => {}
        Some(decided_by) => notes.push(format!(
            "the policies that decided this are not those that were looked at now (theirs is the digest {}…): which of \
             them decided is as recorded; where they stand, what they say and what helps is as it is now",
            display_safe(decided_by.get(..12).unwrap_or(decided_by))
        )),
        None => notes.push(
            "the record does not say which set of policies decided this; where they stand and what they say is as it is now"
                .to_owned(),
        ),
    }
    if let Some(count) = folded {
        notes.push(format!("it is one of {count} equal denials that were counted together"));
    }
    if counted > 1 {
        notes.push("other denials were counted at the same time; it may be one of those".to_owned());
    }
    match past.map(|past| past.judge(&policy)) {
        Ok(replayed) => facts.learn(&replayed, same, &mut notes),
        Err(why) => notes.push(format!("it could not be put to the policies once more: {why}")),
    }
    Ok((Story::of(&facts, &rules(files), &policy, notes), damage))
}

impl Found {
    fn of(decided: &Decided<'_>) -> Self {
        let event = decided.event();
        let text =
            |text: &Option<agentauth_audit::Text<'_>>| text.as_ref().map(|text| text.as_str().to_owned());
        let facts = Facts {
            id: decided.id().map(str::to_owned),
            time: Some(event.time),
            allow: event.decision == Some(Verdict::Allow),
            reason: text(&event.reason).unwrap_or_default(),
            agents: event.actor.as_ref().map(|actor| texts(&actor.agents)).unwrap_or_default(),
            user: text(&event.user),
            scopes: texts(&event.scopes),
            policies: texts(&event.policies),
            ..Facts::default()
        };
        let folded = (event.kind == Kind::DecisionsFolded).then(|| decided.count());
        Self {
            facts,
            rules: decided.fact("rules", "policies").map(str::to_owned),
            past: decided.past().map_err(|why| why.to_string()),
            folded,
        }
    }
}

impl Facts {
    /// Takes up what the policies say to it once more. `same`: they are those that decided.
    fn learn(&mut self, replayed: &Replayed, same: bool, notes: &mut Vec<String>) {
        let by_policy = matches!(self.reason.as_str(), "policy_forbids" | "role_required");
        // Of what failed elsewhere, policies say nothing, and of what was allowed nothing else than before.
        if !by_policy && (same || !self.allow) {
            return;
        }
        let same_policies = replayed.policies.iter().map(|id| &**id).eq(&self.policies);
        match &replayed.refused {
            Some(verdict) if by_policy && same_policies => {
                self.remedy = verdict.remedy;
                self.terms = verdict.remedy_terms.clone();
                self.role = verdict.role.as_deref().map(str::to_owned);
                self.errors = verdict.errors.clone();
                self.message = verdict.reason_user.as_deref().map(str::to_owned);
            }
            _ if same => notes.push(
                "the same policies say something else to the same facts now, so that something is missing in the record"
                    .to_owned(),
            ),
            Some(verdict) => {
                let ids: Vec<_> = verdict.policies.iter().map(|id| display_safe(id)).collect();
                let ids = if ids.is_empty() { "because none permits it".to_owned() } else { ids.join(", ") };
                let too = if self.allow { "" } else { " too" };
                notes.push(format!("the policies of now would deny it{too}: {ids}"));
                self.remedy = verdict.remedy.filter(|_| by_policy && self.policies.is_empty());
            }
            None => {
                let too = if self.allow { " too" } else { "" };
                notes.push(format!("the policies of now would permit it{too}"));
            }
        }
    }
}

/// Whether this is what is looked for: by its id, by the number of its record, or counted among others.
fn is(decided: &Decided<'_>, id: &str) -> Option<Counted> {
    let event = decided.event();
    let itself =
        id.parse() == Ok(decided.entry.seq) || event.id.as_ref().is_some_and(|found| found.as_str() == id);
    if itself { Some(Counted::Certainly) } else { counted(event, id) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use agentauth_audit::{AuditLog, Event};
    use agentauth_core::agents::Agents;
    use agentauth_core::{Catalogue, Policy, Timestamp};
    use serde_json::json;

    use super::*;

    fn folded(reason: &'static str, first: &str, last: &str) -> Event<'static> {
        let details = json!({"count": 3, "first_id": first, "last_id": last});
        Event {
            decision: Some(Verdict::Deny),
            reason: Some(reason.into()),
            details: details.as_object().cloned().unwrap(),
            ..Event::new(Kind::DecisionsFolded, Timestamp::from_second(1_780_000_000).unwrap())
        }
    }

    fn rulebook() -> Rulebook {
        let file = |(name, text): &(&str, &str)| PolicyFile {
            name: (*name).to_owned(),
            text: (*text).to_owned(),
            own: false,
        };
        let files: Vec<_> = Policy::shipped().iter().map(file).collect();
        Rulebook {
            in_force: files.clone(),
            files,
            unusable: Vec::new(),
            catalogue: Arc::new(Catalogue::shipped().unwrap()),
            agents: Agents::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_denial_that_may_be_another_one_is_not_told_as_certain() {
        let room = tempfile::tempdir().unwrap();
        let log = AuditLog::open(room.path(), Timestamp::from_second(1_780_000_000).unwrap()).unwrap();
        for event in [folded("policy_forbids", "d1", "d6"), folded("role_required", "d3", "d8")] {
            log.append(&event).unwrap();
        }
        let record = Record::archive(room.path().to_owned());
        let told = |id: &str| {
            let (story, damage) = story(id, &record, &rulebook(), false, Vec::new()).unwrap();
            assert!(damage.is_none());
            let text = anstream::adapter::strip_str(&story.text()).to_string();
            (text.lines().next().unwrap().to_owned(), text.contains("it may be one of those"))
        };
        assert!(told("d4").1, "it lies in both");
        for (id, reason) in [
            ("d2", "policy_forbids"),
            ("d7", "role_required"),
            // What a record names is in no other one.
            ("d6", "policy_forbids"),
            ("d3", "role_required"),
        ] {
            let (text, unsure) = told(id);
            assert!(text.contains(reason) && !unsure, "{id}: {text}");
        }
    }
}
