//! `POST /v1/check`: may this caller do that?

use std::sync::Arc;
use std::time::Instant;

use agentauth_api::ErrorCode;
use agentauth_audit::AuditError;
use agentauth_core::gate::Operation;
use agentauth_core::signals::Act;
use agentauth_core::{
    Agent, Assurance, CheckRequest, Decision, DecisionId, Effect, Remedy, Scope, Snapshot, Subject,
    Timestamp, decide_watched,
};
use agentauth_host::clock::monotonic;
use agentauth_idp::Chain;
use axum::BoxError;
use axum::body::HttpBody;
use axum::response::Response;
use http::HeaderMap;
use uuid::{ContextV7, Uuid};

use super::body;
use super::connection::{Caller, Connection};
use super::refusal::Refusal;
use super::span;
use crate::daemon::app::App;
use crate::daemon::record::{self, Asked};
use crate::daemon::wire::{self, Question};

/// Decides, proves the caller once more, records, answers.
pub(super) async fn check<B>(
    app: &App,
    connection: &Connection,
    request: http::Request<B>,
) -> Result<Response, Refusal>
where
    B: HttpBody<Error: Into<BoxError>>,
{
    let (head, body) = request.into_parts();
    let question = body::json(body).await?;
    let begun = monotonic();
    let Question { request, asked, wait } = wire::question(question, trace(&head.headers))?;
    let caller = if request.dry_run_as.is_some() {
        connection.may(app, &head.headers, Operation::DryRun).await?
    } else {
        connection.checker(app, &head.headers).await?
    };
    // Looked at from before the decision, so that no change after it is missed.
    let changes = (!wait.is_zero()).then(|| (app.state.watch(), app.consents.watch()));
    let (mut decision, mut waiting) = put(app, connection, &caller, &request, &asked, begun).await?;
    if let Some((mut changes, mut questions)) = changes {
        // As long as waiting may help: until the daemon knows more, or the person has answered.
        let mut patience = std::pin::pin!(tokio::time::sleep(wait));
        let waits_for_person = |decision: &Decision| decision.remedy == Some(Remedy::Consent);
        while decision.remedy == Some(Remedy::Wait)
            || waits_for_person(&decision) && app.consents.any_waits(&waiting)
        {
            tokio::select! {
                biased;
                () = app.stop.cancelled() => break,
                () = patience.as_mut() => break,
                _ = changes.changed() => {}
                _ = questions.changed() => {}
            }
            // The snapshot changes for many reasons; what changes nothing here is not written down.
            let (now_so, _) = decided(app, &app.state.load(), &caller, &request, &asked, Counting::No);
            if now_so.reason == decision.reason && now_so.remedy == decision.remedy {
                continue;
            }
            decision = answer(app, connection, &caller, &request, &asked).await?;
            waiting = app.consents.open(&decision, &request, &caller.facts);
            span::decided(&decision);
        }
    }
    if let Some(traces) = &app.traces {
        let took = monotonic().duration_since(begun);
        traces.checked(&decision, &head.headers, app.clock.now(), took);
    }
    waiting.retain(|id| app.consents.get(id).is_some());
    body::answer(&wire::check_response(&app.about.profile, &decision, &asked, &waiting))
}

/// What the caller's trace is, as it says.
pub(super) fn trace(headers: &HeaderMap) -> Option<String> {
    headers.get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Puts a question that came at `begun`: decides it, and sees to what the decision gives rise to. With it come the questions to
/// the person that wait.
pub(super) async fn put(
    app: &App,
    connection: &Connection,
    caller: &Caller,
    request: &CheckRequest,
    asked: &Asked,
    begun: Instant,
) -> Result<(Decision, Vec<Arc<str>>), Refusal> {
    let decision = answer(app, connection, caller, request, asked).await?;
    app.metrics.checked(monotonic().duration_since(begun));
    span::decided(&decision);
    let waiting = app.consents.open(&decision, request, &caller.facts);
    if decision.remedy == Some(Remedy::Wait)
        && let Some(provider) = &app.provider
    {
        provider.keeper.nudge();
    }
    Ok((decision, waiting))
}

/// One decision: made, the caller proved once more, recorded. What cannot be recorded is denied.
async fn answer(
    app: &App,
    connection: &Connection,
    caller: &Caller,
    request: &CheckRequest,
    asked: &Asked,
) -> Result<Decision, Refusal> {
    loop {
        let decision = recorded_decision(app, connection, caller, request, asked)?;
        if !decision.allow || !decision.high_risk {
            app.metrics.decided(&decision);
            return Ok(decision);
        }
        let now = app.clock.now();
        if let Err(error) = app.audit.to_disk().await {
            tracing::error!(
                decision = decision.id.as_str(),
                agent = agent_of(&decision),
                error = %Chain(&error),
                "denied: the decision cannot be brought to disk"
            );
            let unavailable = decision.audit_unavailable(now);
            app.metrics.decided(&unavailable);
            return Ok(unavailable);
        }
        // The disk took its time; what was true before it may not be any more. Then it is decided, recorded and brought
        // to disk once more: no other way leads out with so risky an allow.
        if decision.assurance == Assurance::Launched {
            app.launches.end_dead(&caller.facts);
        }
        let mut snapshot = Snapshot::clone(&app.state.load());
        spent(&decision).for_each(|id| snapshot.grants.give_back(id));
        let (again, _) = decided(app, &snapshot, caller, request, asked, Counting::No);
        if still_so(&decision, &again) && connection.reprove(caller).is_ok() {
            app.metrics.decided(&decision);
            return Ok(decision);
        }
    }
}

/// Whether an allow, decided once more, still rests on the grants and the policies that its record names, and demands no more
/// than it did: policies of the same names may have been loaded anew.
fn still_so(recorded: &Decision, again: &Decision) -> bool {
    again.allow
        && again.grants == recorded.grants
        && again.policies == recorded.policies
        && again.obligations == recorded.obligations
}

fn recorded_decision(
    app: &App,
    connection: &Connection,
    caller: &Caller,
    request: &CheckRequest,
    asked: &Asked,
) -> Result<Decision, Refusal> {
    let now = app.clock.now();
    let mut counting = Counting::Yes;
    let (decision, proven, snapshot) = loop {
        let snapshot = app.state.load();
        let (decision, proven) = decided(app, &snapshot, caller, request, asked, counting);
        counting = Counting::No;
        // Its launcher ended, and nobody has noticed yet.
        if decision.assurance == Assurance::Launched && app.launches.end_dead(&caller.facts) {
            continue;
        }
        if let Err(why) = connection.reprove(caller) {
            tracing::warn!(
                decision = decision.id.as_str(),
                agent = agent_of(&decision),
                pid = connection.pid(),
                why,
                "a caller changed between question and answer"
            );
            let unproven = decision.caller_unproven(now);
            app.metrics.decided(&unproven);
            // It is on record if it can be: what it asked for is refused either way.
            let _ = written(app, caller, &snapshot, &unproven, asked, now);
            return Err(Refusal::new(ErrorCode::CallerUnproven, why));
        }
        let uses: Vec<&str> = spent(&decision).collect();
        // Another check was quicker to take the last use: what is left now is another question.
        if uses.is_empty() || app.rights.spend(&uses) {
            break (decision, proven, snapshot);
        }
    };
    Ok(match written(app, caller, &snapshot, &decision, asked, now) {
        Ok(()) => {
            if !decision.dry_run {
                app.watching.decided(&decision, &act(&snapshot, request, asked), proven, now);
            }
            decision
        }
        Err(_) => decision.audit_unavailable(now),
    })
}

/// Writes a decision down, after the facts and the consents by policy that it rests on.
fn written(
    app: &App,
    caller: &Caller,
    snapshot: &Snapshot,
    decision: &Decision,
    asked: &Asked,
    now: Timestamp,
) -> Result<(), AuditError> {
    let facts = app.grounds.of(snapshot, &decision.agents, caller.fact(app));
    let event = record::decision(decision, &caller.facts, asked, &facts, &snapshot.catalogue, now);
    // What nothing comes of may be counted with its like.
    let idle = !decision.allow && !decision.high_risk && !decision.dry_run && decision.effects.is_empty();
    // What an enforcer asks about is in none of what makes two denials alike.
    let idle = idle && asked.enforced.is_none();
    let written = if idle {
        app.audit.denied(&facts, &event)
    } else {
        app.audit.append_resting_on(&facts, &app.preapprovals.of(decision, snapshot), &event)
    };
    written.inspect_err(|error| {
        tracing::error!(
            decision = decision.id.as_str(),
            agent = agent_of(decision),
            error = %Chain(error),
            "denied: the decision cannot be recorded"
        );
    })
}

/// Whose decision it is, for a warning: the request's span, which says so too, is there only where everything is logged.
fn agent_of(decision: &Decision) -> Option<&str> {
    decision.agents.first().map(String::as_str)
}

/// The grants of which this decision takes a use.
fn spent(decision: &Decision) -> impl Iterator<Item = &str> {
    decision.effects.iter().filter_map(|effect| match effect {
        Effect::SpendGrant { id } => Some(id.as_str()),
        _ => None,
    })
}

/// Whether a question counts towards what the agent usually does, or is looked at once more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Counting {
    Yes,
    No,
}

/// One decision, and whether it is about agents that the caller is proven to be.
pub(super) fn decided(
    app: &App,
    snapshot: &Snapshot,
    caller: &Caller,
    request: &CheckRequest,
    asked: &Asked,
    counting: Counting,
) -> (Decision, bool) {
    let now = app.clock.now();
    let subject = match &request.dry_run_as {
        Some(agent) => Subject::DryRun { agent },
        None => Subject::Caller(&caller.facts),
    };
    let act = act(snapshot, request, asked);
    let counts = counting == Counting::Yes && request.dry_run_as.is_none();
    let mut proven = false;
    let mut watch = |agent: &Agent, by_name: &dyn Fn(&Scope) -> bool| {
        proven = true;
        if counts {
            app.watching.asks(&agent.name, &act, by_name, now)
        } else {
            app.watching.sees(&agent.name, &act, by_name, now)
        }
    };
    let decision = decide_watched(snapshot, request, subject, &mut watch, new_id(now), now);
    let decision = match &asked.enforced {
        None => decision,
        Some(enforced) => enforced.over(decision, now),
    };
    (decision, proven)
}

/// What the agent does, as it is counted.
fn act<'a>(snapshot: &'a Snapshot, request: &'a CheckRequest, asked: &Asked) -> Act<'a> {
    Act {
        scopes: &request.scopes,
        catalogue: &snapshot.catalogue,
        bytes: asked.bytes,
        items: asked.items,
        times: 1,
    }
}

/// A fresh identifier, ordered by time.
fn new_id(now: Timestamp) -> DecisionId {
    let time = uuid::Timestamp::from_unix(
        ContextV7::new(),
        u64::try_from(now.as_second()).unwrap_or(0),
        u32::try_from(now.subsec_nanosecond()).unwrap_or(0),
    );
    let mut digits = Uuid::encode_buffer();
    DecisionId::new(["dec_", Uuid::new_v7(time).simple().encode_lower(&mut digits)].concat())
}

#[cfg(test)]
mod tests {
    use agentauth_core::scenario::World;
    use agentauth_core::{Catalogue, Policy, decide};

    use super::*;

    #[test]
    fn an_allow_that_would_rest_on_something_else_than_its_record_is_decided_anew() {
        let world = include_str!("../../../../agentauth-core/testdata/world.json");
        let world: World = serde_json::from_str(world).unwrap();
        let catalogue = Arc::new(Catalogue::shipped().unwrap());
        let org = "@id(\"org\") @preapprove(\"high_risk\") permit(principal, action, resource);";
        let policy = Policy::load(&[("org", org)], &catalogue, world.actions().unwrap()).unwrap();
        let mut snapshot = world.snapshot(&catalogue, &Arc::new(policy)).unwrap();
        let delete = "files.delete:/projects/alpha/tmp".parse().unwrap();
        let request = CheckRequest { scopes: vec![delete], ..CheckRequest::default() };
        let decided = |snapshot: &Snapshot| {
            let subject = Subject::Caller(&world.callers["files"]);
            decide(snapshot, &request, subject, new_id(world.now), world.now)
        };
        let recorded = decided(&snapshot);
        assert!(recorded.allow && recorded.high_risk && still_so(&recorded, &decided(&snapshot)));
        let mut stricter = decided(&snapshot);
        stricter.obligations.require_proof = true;
        assert!(!still_so(&recorded, &stricter));
        snapshot.grants.remove(&recorded.grants[0]);
        let again = decided(&snapshot);
        assert_eq!((again.allow, &*again.grants[0]), (true, "policy:org"));
        assert!(!still_so(&recorded, &again));
    }
}
