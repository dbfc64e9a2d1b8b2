//! What is written to the audit log, event by event.

mod consent;
mod enforced;
mod passkey;
mod preapproved;
mod service;
mod session;
mod sink;

use std::borrow::Cow;
use std::sync::Arc;

use agentauth_audit::{Actor, Event, Kind, Verdict};
use agentauth_core::agent::Registration;
use agentauth_core::caller::CallerFacts;
use agentauth_core::decision::Decision;
use agentauth_core::grant::Grant;
use agentauth_core::own_rules::RuleChange;
use agentauth_core::signals::Told;
use agentauth_core::text::display_safe_within;
use agentauth_core::widening::{Confirmed, Means};
use agentauth_core::{Catalogue, FactSet, Timestamp};
use serde_json::{Map, Value, json};

use super::grounds::Fact;
use super::launches::Ready;
use crate::log::{MARK, redact};
pub(crate) use consent::{consent_answered, consent_asked, consent_ended};
pub(crate) use enforced::Enforced;
pub(crate) use passkey::{passkey_added, passkey_refused, passkey_removed, passkey_used};
pub(crate) use preapproved::{Preapproved, preapproved};
pub(crate) use service::{
    RECORD_CUT, Start, checkpoint_key, configuration_loaded, keys_loaded, keys_refused, policy_loaded,
    policy_refused, record_cut, service_start, service_stop, shortened, unrecorded,
};
pub(crate) use session::{
    login, login_not_ended, login_refused, login_started, login_switched, logout, person_seen, refresh,
    refresh_failed, session_confirmed, session_over, session_resumed,
};
pub(crate) use sink::{sink_down, sink_dropped, sink_up};

/// A decision, with what it rests on.
pub(crate) fn decision<'a>(
    decision: &'a Decision,
    caller: &'a CallerFacts,
    asked: &'a Asked,
    rests_on: &'a [Arc<Fact>],
    catalogue: &Catalogue,
    now: Timestamp,
) -> Event<'a> {
    Event {
        id: Some(decision.id.as_str().into()),
        trace: asked.trace.as_deref().map(Into::into),
        user: decision.user.as_deref().map(Into::into),
        actor: Some(actor(caller, decision)),
        scopes: decision.scopes.iter().map(|scope| scope.as_str().into()).collect(),
        risks: decision.scopes.iter().map(|scope| catalogue.risk(scope).as_str().into()).collect(),
        purpose: asked.purpose.as_deref().map(Into::into),
        decision: Some(if decision.allow { Verdict::Allow } else { Verdict::Deny }),
        reason: Some(decision.reason.as_str().into()),
        policies: decision.policies.iter().map(|id| id.as_str().into()).collect(),
        grants: decision.grants.iter().map(|id| id.as_str().into()).collect(),
        grant_kinds: decision.grant_kinds.words().map(Into::into),
        grant_strengths: decision.grant_kinds.strength_words().map(Into::into),
        signals: decision.signals.iter().map(|signal| signal.as_str().into()).collect(),
        facts: rests_on.iter().map(|fact| (&**fact.set().digest()).into()).collect(),
        dry_run: decision.dry_run,
        message: decision.admin_note.as_deref().map(Into::into),
        details: about(decision, asked),
        ..Event::new(Kind::Decision, now)
    }
}

/// What became of an allowed action; the last record of a decision says.
pub(crate) fn outcome<'a>(
    agent: &'a str,
    said: &'a Said,
    caller: &'a CallerFacts,
    now: Timestamp,
) -> Event<'a> {
    let mut details = details(json!({ "agent": agent, "outcome": said.outcome }));
    details
        .extend(said.reference.as_ref().map(|reference| ("reference".to_owned(), reference.as_str().into())));
    for (name, moved) in [("bytes", said.bytes), ("items", said.items)] {
        details.extend((moved > 0).then(|| (name.to_owned(), moved.into())));
    }
    Event {
        id: Some(said.decision.as_str().into()),
        actor: Some(asker(caller)),
        details,
        ..Event::new(Kind::Outcome, now)
    }
}

/// An agent does what it does not usually do, or a program that is none.
pub(crate) fn signal<'a>(agent: Option<&'a str>, told: &Told, now: Timestamp) -> Event<'a> {
    Event {
        reason: Some(told.signal.as_str().into()),
        signals: vec![told.signal.as_str().into()],
        details: details(json!({
            "agent": agent,
            "signal": told.signal,
            "seen": told.seen,
            "usual": told.usual,
            "limit": told.limit,
            "until": told.until,
        })),
        ..Event::new(Kind::Signal, now)
    }
}

/// Facts that decisions rest on, which name them by their digest.
pub(crate) fn facts(set: &FactSet, now: Timestamp) -> Event<'_> {
    Event {
        id: Some((&**set.digest()).into()),
        details: details(json!({ "kind": set.kind(), "facts": set.facts() })),
        ..Event::new(Kind::Facts, now)
    }
}

fn about(decision: &Decision, asked: &Asked) -> Map<String, Value> {
    let mut details = Map::new();
    if let Some(call) = &asked.call {
        details.insert("call".to_owned(), call.as_str().into());
    }
    for (name, claimed) in [("bytes", asked.bytes), ("items", asked.items)] {
        if claimed > 0 {
            details.insert(name.to_owned(), claimed.into());
        }
    }
    if let Some(enforced) = &asked.enforced {
        details.insert("enforced".to_owned(), enforced.says.clone());
    }
    if let Some(action) = &asked.action {
        details.insert("action".to_owned(), action.as_str().into());
    }
    if !decision.caveats.is_empty() {
        let caveats: Vec<_> = decision.caveats.iter().map(ToString::to_string).collect();
        details.insert("caveats".to_owned(), caveats.into());
    }
    details
}

/// What the caller said of its request, for correlation only.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// `traceparent`, as given.
    pub(crate) trace: Option<String>,
    /// The purpose, in the agent's words.
    pub(crate) purpose: Option<String>,
    /// The caller's own identifier of the call.
    pub(crate) call: Option<String>,
    /// The digest of the canonical action.
    pub(crate) action: Option<String>,
    /// How many bytes it will move.
    pub(crate) bytes: u64,
    /// How many items.
    pub(crate) items: u64,
    /// What an enforcer asks about.
    pub(crate) enforced: Option<Enforced>,
}

/// What an agent says became of an action that it was allowed.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// The decision's id.
    pub(crate) decision: String,
    /// `done`, `failed` or `unknown`.
    pub(crate) outcome: &'static str,
    /// The agent's own reference; safe to show.
    pub(crate) reference: Option<String>,
    /// How many bytes it moved.
    pub(crate) bytes: u64,
    /// How many items.
    pub(crate) items: u64,
}

fn actor<'a>(caller: &'a CallerFacts, decision: &'a Decision) -> Actor<'a> {
    let executable = caller.process.executable.as_ref();
    Actor {
        pid: caller.process.pid,
        executable: executable.map(|executable| executable.path.as_str().into()),
        sha256: executable.and_then(|executable| executable.sha256.as_deref()).map(Into::into),
        assurance: Some(decision.assurance.as_str().into()),
        agents: decision.agents.iter().map(|agent| agent.as_str().into()).collect(),
    }
}

/// Everything is paused.
pub(crate) fn lock(caller: &CallerFacts, now: Timestamp) -> Event<'_> {
    Event { actor: Some(asker(caller)), ..Event::new(Kind::Lock, now) }
}

/// What was paused goes on: by the word of a person at a terminal, or confirmed by a fresh login.
pub(crate) fn unlock<'a>(
    caller: &'a CallerFacts,
    grade: Option<&'a str>,
    confirmed: Option<&Confirmed>,
    now: Timestamp,
) -> Event<'a> {
    let mut details = confirmed.map(confirmation).unwrap_or_default();
    details.extend(grade.map(|grade| ("grade".to_owned(), grade.into())));
    Event { actor: Some(asker(caller)), details, ..Event::new(Kind::Unlock, now) }
}

/// An agent was started: by the word of a person at a terminal, of whoever may start what an administrator registered, or
/// confirmed by a fresh login.
pub(crate) fn launched<'a>(
    ready: &'a Ready,
    grade: Option<&'a str>,
    confirmed: Option<&Confirmed>,
    now: Timestamp,
) -> Event<'a> {
    let mut details = details(json!({
        "agent": ready.launched.agent,
        "manifest_digest": ready.launched.manifest_digest,
        "executable_sha256": ready.launched.executable_sha256,
        "script_sha256": ready.launched.script_sha256,
        "confined": ready.launched.confined,
        "arguments": kept(&ready.arguments),
    }));
    details.extend(confirmed.map(confirmation).unwrap_or_default());
    details.extend(grade.map(|grade| ("grade".to_owned(), grade.into())));
    Event {
        id: Some(ready.id.as_str().into()),
        actor: Some(asker(&ready.caller)),
        details,
        ..Event::new(Kind::AgentLaunched, now)
    }
}

/// What was launched as an agent is it no more.
pub(crate) fn launch_ended<'a>(id: &'a str, agent: &str, why: &'a str, now: Timestamp) -> Event<'a> {
    Event {
        id: Some(id.into()),
        message: Some(why.into()),
        details: details(json!({ "agent": agent })),
        ..Event::new(Kind::AgentLaunchEnded, now)
    }
}

/// A command line as far as it is worth keeping, and without what looks like a secret.
fn kept(arguments: &[String]) -> Vec<String> {
    const MOST: usize = 32;
    const LONGEST: usize = 256;
    let before = std::iter::once("").chain(arguments.iter().map(String::as_str));
    let mut kept: Vec<String> = before
        .zip(arguments)
        .take(MOST)
        .map(|(before, argument)| display_safe_within(&without_secrets(before, argument), LONGEST))
        .collect();
    if arguments.len() > MOST {
        kept.push(format!("… and {} more", arguments.len() - MOST));
    }
    kept
}

/// An argument, behind another one: `--token x` is `--token=x`.
fn without_secrets<'a>(before: &str, argument: &'a str) -> Cow<'a, str> {
    let together = format!("{before}={argument}");
    if before.starts_with('-')
        && !before.contains('=')
        && matches!(redact(together.as_bytes()), Cow::Owned(_))
    {
        return MARK.into();
    }
    match redact(argument.as_bytes()) {
        Cow::Borrowed(_) => argument.into(),
        Cow::Owned(left) => String::from_utf8_lossy(&left).into_owned().into(),
    }
}

fn confirmation(confirmed: &Confirmed) -> Map<String, Value> {
    let mut members = details(json!({
        "request": confirmed.request,
        "request_digest": confirmed.digest,
        "confirmed_by": confirmed.strength().as_str(),
    }));
    let (name, member): (_, Value) = match &confirmed.by {
        Means::Reauth { auth_time, .. } => ("auth_time", json!(auth_time)),
        Means::Passkey { id, .. } => ("passkey", id.as_str().into()),
        Means::SignIn { lacks } => ("lacks", lacks.to_string().into()),
    };
    members.insert(name.to_owned(), member);
    members
}

/// An operation was refused to a caller who may not ask for it.
pub(crate) fn operation_refused<'a>(caller: &'a CallerFacts, what: &'a str, now: Timestamp) -> Event<'a> {
    Event {
        actor: Some(asker(caller)),
        message: Some(what.into()),
        ..Event::new(Kind::OperationRefused, now)
    }
}

/// What is logged was changed: by somebody, or because the time for which somebody had changed it is over.
pub(crate) fn log_filter_changed<'a>(
    caller: Option<&'a CallerFacts>,
    filter: &'a str,
    until: Option<Timestamp>,
    now: Timestamp,
) -> Event<'a> {
    Event {
        actor: caller.map(asker),
        details: details(json!({ "filter": filter, "until": until })),
        ..Event::new(Kind::LogFilterChanged, now)
    }
}

/// Who asked for an operation that is no decision.
fn asker(caller: &CallerFacts) -> Actor<'_> {
    let executable = caller.process.executable.as_ref();
    Actor {
        pid: caller.process.pid,
        executable: executable.map(|executable| executable.path.as_str().into()),
        ..Actor::default()
    }
}

/// The administrator's registration of an agent took effect.
pub(crate) fn agent_loaded<'a>(name: &'a str, digest: &'a str, source: &'a str, now: Timestamp) -> Event<'a> {
    Event {
        details: details(json!({ "agent": name, "manifest_digest": digest, "source": source })),
        ..Event::new(Kind::AgentLoaded, now)
    }
}

/// What the person's own files say takes effect: confirmed by them, or because they log in for the first time. The
/// digest is what the row in the state database is held against.
pub(crate) fn rules_applied<'a>(
    digest: &str,
    changes: &[RuleChange],
    confirmed: Option<(&'a CallerFacts, &Confirmed)>,
    now: Timestamp,
) -> Event<'a> {
    let changes: Vec<Value> = changes
        .iter()
        .map(|change| match change {
            RuleChange::Setting { key, from, to } => json!({ "setting": key, "from": from, "to": to }),
            RuleChange::Catalogue { from, to } => json!({ "catalogue": to, "from": from }),
            RuleChange::Policy { file, from, to } => json!({ "policy": file, "from": from, "to": to }),
        })
        .collect();
    let mut details = details(json!({ "rules": digest, "changes": changes }));
    details.extend(confirmed.map(|(_, confirmed)| confirmation(confirmed)).unwrap_or_default());
    Event { actor: confirmed.map(|(by, _)| asker(by)), details, ..Event::new(Kind::RulesApplied, now) }
}

/// The person registers an agent. The digest of the registration is what the row in the state database is held against.
pub(crate) fn agent_registered<'a>(
    registration: &Registration,
    by: &'a CallerFacts,
    confirmed: Option<&Confirmed>,
    now: Timestamp,
) -> Event<'a> {
    let manifest = &registration.manifest;
    let mut details = details(json!({
        "agent": manifest.name,
        "registration": registration.digest(),
        "manifest_digest": manifest.digest(),
        "version": manifest.version,
        "selectors": registration.selectors,
        "launch_only": registration.launch_only,
    }));
    details.extend(registration.enforcer.as_deref().map(|domain| ("enforcer".to_owned(), domain.into())));
    details.extend(confirmed.map(confirmation).unwrap_or_default());
    Event { actor: Some(asker(by)), details, ..Event::new(Kind::AgentRegistered, now) }
}

/// An agent's registration goes, and all its grants with it.
pub(crate) fn agent_removed<'a>(name: &'a str, by: &'a CallerFacts, now: Timestamp) -> Event<'a> {
    Event {
        actor: Some(asker(by)),
        details: details(json!({ "agent": name })),
        ..Event::new(Kind::AgentRemoved, now)
    }
}

/// Grants that follow from others that were given: what is left of them under a new manifest, or a refusal that stands
/// above an administrator's.
pub(crate) fn grants_carried<'a>(agent: &'a str, grants: &'a [Grant], now: Timestamp) -> Event<'a> {
    let say: Vec<Value> = grants
        .iter()
        .map(|grant| json!({ "scope": grant.scope, "lifetime": grant.lifetime, "denied": grant.denied }))
        .collect();
    Event {
        grants: grants.iter().map(|grant| (&*grant.id).into()).collect(),
        details: details(json!({ "agent": agent, "grants": say })),
        ..Event::new(Kind::GrantAdded, now)
    }
}

/// The person gives a mandate, confirmed by a fresh login; `evidence` is the digest of what the provider signed for it.
pub(crate) fn mandate_given<'a>(
    grants: &'a [Grant],
    by: &'a CallerFacts,
    confirmed: &Confirmed,
    evidence: Option<&str>,
    now: Timestamp,
) -> Event<'a> {
    let first = grants.first();
    let mut details = details(json!({
        "agent": first.map(|grant| &*grant.agent),
        "manifest_digest": first.and_then(|grant| grant.binding.manifest_digest.as_deref()),
        "lifetime": first.map(|grant| grant.lifetime),
        "uses": first.and_then(|grant| grant.uses),
        "window": first.and_then(|grant| grant.window()).map(ToString::to_string),
    }));
    details.extend(confirmation(confirmed));
    details.extend(evidence.map(|digest| ("evidence".to_owned(), digest.into())));
    Event {
        actor: Some(asker(by)),
        user: first.and_then(|grant| grant.binding.user.as_deref()).map(Into::into),
        scopes: grants.iter().map(|grant| grant.scope.as_str().into()).collect(),
        grants: grants.iter().map(|grant| (&*grant.id).into()).collect(),
        details,
        ..Event::new(Kind::GrantAdded, now)
    }
}

/// Grants that end with the registration that they were given under.
pub(crate) fn grants_replaced<'a>(agent: &'a str, ids: &'a [String], now: Timestamp) -> Event<'a> {
    Event {
        grants: ids.iter().map(|id| id.as_str().into()).collect(),
        details: details(json!({ "agent": agent })),
        ..Event::new(Kind::GrantRevoked, now)
    }
}

/// A person, or the agent itself, took a grant away.
pub(crate) fn grant_revoked<'a>(grant: &'a Grant, by: &'a CallerFacts, now: Timestamp) -> Event<'a> {
    Event {
        actor: Some(asker(by)),
        scopes: vec![grant.scope.as_str().into()],
        grants: vec![(&*grant.id).into()],
        details: details(json!({ "agent": &*grant.agent })),
        ..Event::new(Kind::GrantRevoked, now)
    }
}

/// A grant ended by itself.
pub(crate) fn grant_expired(grant: &Grant, now: Timestamp) -> Event<'_> {
    Event {
        scopes: vec![grant.scope.as_str().into()],
        grants: vec![(&*grant.id).into()],
        details: details(json!({ "agent": &*grant.agent, "ended_at": grant.ends_at() })),
        ..Event::new(Kind::GrantExpired, now)
    }
}

/// An administrator's lock on an agent is in force.
pub(crate) fn quarantine(agent: &str, now: Timestamp) -> Event<'static> {
    Event { details: details(json!({ "agent": agent })), ..Event::new(Kind::Quarantine, now) }
}

fn details(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_kept_short_and_without_secrets() {
        let arguments =
            |words: &[&str]| -> Vec<String> { words.iter().map(|&word| word.to_owned()).collect() };
        let jwt = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJVMmFiYyJ9.c2lnbmF0dXJlLXNpZ25hdHVyZQ";
        assert_eq!(
            kept(&arguments(&[
                "run",
                "--api-key=hunter2-hunter2",
                "--token",
                "s3cr3t-w0rd",
                "-v",
                "plain",
                jwt
            ])),
            ["run", "--api-key=[redacted]", "--token", "[redacted]", "-v", "plain", "[redacted]"]
        );
        let many = kept(&arguments(&["x"; 40]));
        assert_eq!((many.len(), many.last().unwrap().as_str()), (33, "… and 8 more"));
    }
}
