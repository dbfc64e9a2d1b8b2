//! What is known of a decision of the record, and of the policies that decided it.

use std::ops::ControlFlow;

use agentauth_audit::{Kind, Verdict, VerifyError};
use agentauth_core::Scope;
use agentauth_core::facts::Replayed;
use agentauth_core::policy::PolicyFile;
use agentauth_core::policy::inspect::{digest, rules};
use agentauth_core::text::display_safe;

use super::super::super::Failure;
use super::super::super::audit::Record;
use super::super::choice;
use super::super::recorded::{self, Decided};
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

/// Why it was decided so. `draft`: the rulebook is not that of this machine, by the person's wish.
pub(super) fn story(
    id: &str,
    record: &Record,
    rulebook: &Rulebook,
    draft: bool,
) -> Result<(Story, Option<VerifyError>), Failure> {
    let mut found = None;
    let damage = recorded::each(record, |decided| {
        if !is(decided, id) {
            return ControlFlow::Continue(());
        }
        let whole = decided.event().kind == Kind::Decision;
        found = Some(Found::of(decided));
        // What was counted may yet be found in full.
        if whole { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
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
    let mut notes = Vec::new();
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
        let texts = |texts: &[agentauth_audit::Text<'_>]| -> Vec<String> {
            texts.iter().map(|text| text.as_str().to_owned()).collect()
        };
        let id = match event.kind {
            Kind::DecisionsFolded => {
                event.details.get("first_id").and_then(|id| id.as_str()).map(str::to_owned)
            }
            _ => text(&event.id),
        };
        let facts = Facts {
            id,
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
        // Of what failed before, policies say nothing.
        let by_policy = matches!(self.reason.as_str(), "policy_forbids" | "role_required");
        if !by_policy {
            return;
        }
        let agrees =
            replayed.refused.is_some() && replayed.policies.iter().map(|id| &**id).eq(&self.policies);
        match &replayed.refused {
            Some(verdict) if agrees => {
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
                notes.push(format!("the policies of now would deny it too: {ids}"));
                self.remedy = verdict.remedy.filter(|_| self.policies.is_empty());
            }
            None => notes.push("the policies of now would permit it".to_owned()),
        }
    }
}

/// Whether this is what is looked for: by its id, by the number of its record, or counted among others. Ids of decisions
/// are in the order of time.
fn is(decided: &Decided<'_>, id: &str) -> bool {
    let event = decided.event();
    if id.parse() == Ok(decided.entry.seq) || event.id.as_ref().is_some_and(|found| found.as_str() == id) {
        return true;
    }
    let bound = |name: &str| event.details.get(name).and_then(|value| value.as_str());
    match (bound("first_id"), bound("last_id")) {
        (Some(first), Some(last)) => first.len() == id.len() && first <= id && id <= last,
        _ => false,
    }
}
