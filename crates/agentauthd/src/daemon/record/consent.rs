//! Questions to the person and their answers, as they are written down.

use std::sync::Arc;

use agentauth_audit::{Actor, Event, Kind, Verdict};
use agentauth_core::Timestamp;
use agentauth_core::consent::{Answered, Question};
use agentauth_core::grant::Grant;
use serde_json::{Map, Value, json};

use super::{asker, confirmation, details};
use crate::daemon::consents::Word;

/// A question is put to the person.
pub(crate) fn consent_asked<'a>(question: &'a Question, decision: &str, now: Timestamp) -> Event<'a> {
    Event {
        purpose: question.purpose.as_deref().map(Into::into),
        details: details(json!({
            "agent": *question.agent,
            "manifest_digest": question.manifest_digest,
            "action_digest": question.action.as_ref().map(|action| action.digest()),
            "decision": decision,
            "demanded": demanded(question),
            "expires_at": question.expires_at,
        })),
        ..about(question, Kind::ConsentAsked, now)
    }
}

/// A question is answered. What it gives counts because this record names it.
pub(crate) fn consent_answered<'a>(
    question: &'a Question,
    answered: &Answered,
    grants: &'a [Grant],
    (word, evidence): (&'a Word, Option<&str>),
    device: &str,
    now: Timestamp,
) -> Event<'a> {
    let given: Vec<Value> = answered
        .given
        .iter()
        .zip(grants)
        .map(|(given, grant)| {
            json!({
                "scope": given.scope, "for": given.choice, "lifetime": given.lifetime, "uses": given.uses,
                "grant": *grant.id,
            })
        })
        .collect();
    let mut members = details(json!({
        "agent": *question.agent,
        "manifest_digest": question.manifest_digest,
        "action_digest": question.action.as_ref().map(|action| action.digest()),
        "shown": question.lines(),
        "demanded": demanded(question),
        "given": given,
        "refused": answered.refused,
        "strength": word.strength,
        "grade": word.grade.word(),
        "binding": word.binding(),
        "program": {
            "pid": question.program.pid,
            "executable": question.program.executable,
            "script": question.program.script,
            "assurance": question.program.assurance,
            "started_by": question.program.started_by,
        },
        "device": device,
        "asked_at": question.asked_at,
    }));
    members.extend(word.confirmed.as_ref().map(confirmation).unwrap_or_default());
    members.extend(evidence.map(|digest| ("evidence".to_owned(), digest.into())));
    Event {
        actor: word.by.as_deref().map(asker),
        decision: Some(if given.is_empty() { Verdict::Deny } else { Verdict::Allow }),
        grants: grants.iter().map(|grant| (&*grant.id).into()).collect(),
        details: members,
        ..about(question, Kind::ConsentAnswered, now)
    }
}

/// A question ended without an answer of its own; `why` is a stable word.
pub(crate) fn consent_ended<'a>(question: &'a Arc<Question>, why: &'a str, now: Timestamp) -> Event<'a> {
    let mut members = Map::new();
    members.insert("agent".to_owned(), (*question.agent).into());
    Event { reason: Some(why.into()), details: members, ..about(question, Kind::ConsentEnded, now) }
}

/// How strongly policies want each of its scopes confirmed, where they do.
fn demanded(question: &Question) -> Option<Map<String, Value>> {
    let demands = question.scopes.iter().filter_map(|asked| Some((&asked.scope, asked.at_least?)));
    let demands: Map<_, _> =
        demands.map(|(scope, least)| (scope.to_string(), least.as_str().into())).collect();
    (!demands.is_empty()).then_some(demands)
}

fn about(question: &Question, kind: Kind, now: Timestamp) -> Event<'_> {
    Event {
        id: Some((&*question.id).into()),
        user: Some(question.user.subject.as_str().into()),
        actor: Some(Actor {
            pid: question.program.pid,
            executable: Some(question.program.executable.as_str().into()),
            agents: vec![(&*question.agent).into()],
            ..Actor::default()
        }),
        scopes: question.scopes.iter().map(|asked| asked.scope.as_str().into()).collect(),
        ..Event::new(kind, now)
    }
}
