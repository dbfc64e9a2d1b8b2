//! `POST /v1/check`: may this caller do that?

use std::sync::Arc;

use agentauth_api::ErrorCode;
use agentauth_core::gate::Operation;
use agentauth_core::{
    Assurance, CheckRequest, Decision, DecisionId, Effect, Remedy, Snapshot, Subject, Timestamp, decide,
};
use agentauth_idp::Chain;
use axum::body::Body;
use axum::extract::State;
use axum::{Extension, Json};
use http::HeaderMap;
use serde::Serialize;
use uuid::{ContextV7, Uuid};

use super::body;
use super::connection::{Caller, Connection};
use super::refusal::Refusal;
use crate::daemon::app::App;
use crate::daemon::record::{self, Asked};
use crate::daemon::wire::{self, Question};

/// Decides, proves the caller once more, records, answers.
pub(super) async fn check(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<impl Serialize>, Refusal> {
    let trace = headers.get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let Question { request, asked, wait } = wire::question(body::json(body).await?, trace)?;
    let caller = if request.dry_run_as.is_some() {
        connection.may(&app, &headers, Operation::DryRun).await?
    } else {
        connection.checker(&app, &headers).await?
    };
    let (mut changes, mut questions) = (app.state.watch(), app.consents.watch());
    let mut decision = answer(&app, &connection, &caller, &request, &asked).await?;
    let mut waiting = app.consents.open(&decision, &request, &caller.facts);
    if decision.remedy == Some(Remedy::Wait)
        && let Some(provider) = &app.provider
    {
        provider.keeper.nudge();
    }
    // As long as waiting may help: until the daemon knows more, or the person has answered.
    let mut patience = std::pin::pin!(tokio::time::sleep(wait));
    let waits_for_person = |decision: &Decision| decision.remedy == Some(Remedy::Consent);
    while !wait.is_zero()
        && (decision.remedy == Some(Remedy::Wait)
            || waits_for_person(&decision) && app.consents.any_waits(&waiting))
    {
        tokio::select! {
            biased;
            () = app.stop.cancelled() => break,
            () = patience.as_mut() => break,
            _ = changes.changed() => {}
            _ = questions.changed() => {}
        }
        // The snapshot changes for many reasons; what changes nothing here is not written down.
        let now_so = decided(&app, &app.state.load(), &caller, &request);
        if now_so.reason == decision.reason && now_so.remedy == decision.remedy {
            continue;
        }
        decision = answer(&app, &connection, &caller, &request, &asked).await?;
        waiting = app.consents.open(&decision, &request, &caller.facts);
    }
    waiting.retain(|id| app.consents.get(id).is_some());
    Ok(Json(wire::check_response(&app.about.profile, decision, asked, &waiting)))
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
            return Ok(decision);
        }
        let now = app.clock.now();
        if let Err(error) = app.audit.to_disk().await {
            tracing::error!(error = %Chain(&error), "denied: the decision cannot be brought to disk");
            return Ok(decision.audit_unavailable(now));
        }
        // The disk took its time; what was true before it may not be any more. Then it is decided, recorded and brought
        // to disk once more: no other way leads out with so risky an allow.
        if decision.assurance == Assurance::Launched {
            app.launches.end_dead(&caller.facts);
        }
        let mut snapshot = Snapshot::clone(&app.state.load());
        spent(&decision).for_each(|id| snapshot.grants.give_back(id));
        if decided(app, &snapshot, caller, request).allow && connection.reprove(caller).is_ok() {
            return Ok(decision);
        }
    }
}

fn recorded_decision(
    app: &App,
    connection: &Connection,
    caller: &Caller,
    request: &CheckRequest,
    asked: &Asked,
) -> Result<Decision, Refusal> {
    let now = app.clock.now();
    let decision = loop {
        let decision = decided(app, &app.state.load(), caller, request);
        // Its launcher ended, and nobody has noticed yet.
        if decision.assurance == Assurance::Launched && app.launches.end_dead(&caller.facts) {
            continue;
        }
        if let Err(why) = connection.reprove(caller) {
            tracing::warn!(pid = connection.pid(), why, "a caller changed between question and answer");
            let unproven = decision.caller_unproven(now);
            app.audit.note_down(&record::decision(&unproven, &caller.facts, asked, now));
            return Err(Refusal::new(ErrorCode::CallerUnproven, why));
        }
        let uses: Vec<&str> = spent(&decision).collect();
        // Another check was quicker to take the last use: what is left now is another question.
        if uses.is_empty() || app.rights.spend(&uses) {
            break decision;
        }
    };
    Ok(match app.audit.append(&record::decision(&decision, &caller.facts, asked, now)) {
        Ok(()) => decision,
        Err(error) => {
            tracing::error!(error = %Chain(&error), "denied: the decision cannot be recorded");
            decision.audit_unavailable(now)
        }
    })
}

/// The grants of which this decision takes a use.
fn spent(decision: &Decision) -> impl Iterator<Item = &str> {
    decision.effects.iter().filter_map(|effect| match effect {
        Effect::SpendGrant { id } => Some(id.as_str()),
        _ => None,
    })
}

fn decided(app: &App, snapshot: &Snapshot, caller: &Caller, request: &CheckRequest) -> Decision {
    let now = app.clock.now();
    let subject = match &request.dry_run_as {
        Some(agent) => Subject::DryRun { agent },
        None => Subject::Caller(&caller.facts),
    };
    decide(snapshot, request, subject, new_id(now), now)
}

/// A fresh identifier, ordered by time.
fn new_id(now: Timestamp) -> DecisionId {
    let time = uuid::Timestamp::from_unix(
        ContextV7::new(),
        u64::try_from(now.as_second()).unwrap_or(0),
        u32::try_from(now.subsec_nanosecond()).unwrap_or(0),
    );
    DecisionId::new(format!("dec_{}", Uuid::new_v7(time).simple()))
}
