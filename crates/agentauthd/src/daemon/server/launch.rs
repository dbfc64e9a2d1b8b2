//! `POST /v1/launches`: the command line's launcher is to stand above an agent.

use std::sync::Arc;

use agentauth_api::ErrorCode;
use agentauth_core::agent::Source;
use agentauth_core::gate::{Launching, Operation};
use agentauth_core::recognise::unfit_as_own_program;
use agentauth_core::text::display_safe_within;
use agentauth_core::widening::{Launched, Widening};
use axum::body::Body;
use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use uuid::Uuid;

use super::body;
use super::connection::{Caller, Connection};
use super::lock::not_asked;
use super::login::not_configured;
use super::refusal::Refusal;
use crate::daemon::app::App;
use crate::daemon::launches::{self, NotLaunched, Ready, Unfit};
use crate::daemon::logins::{CarryOut, NotDone};
use crate::daemon::{record, wire};
use agentauth_idp::Chain;

/// Proves the launcher, looks at the registered files, records, and notes the launch; or starts the login by which the
/// owner confirms it first.
pub(super) async fn launch(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: http::HeaderMap,
    body: Body,
) -> Result<Json<impl Serialize>, Refusal> {
    let ask = wire::launch_ask(body::json(body).await?)?;
    let snapshot = app.state.load();
    let agent = snapshot.agents.get(&ask.agent).cloned();
    let launching = match &agent {
        Some(agent) if agent.source == Source::Administrator => Launching::Administered,
        _ if ask.confined => Launching::Confined(snapshot.granted_to(&ask.agent)),
        _ => Launching::Unconfined,
    };
    drop(snapshot);
    // Who may bring the evidence that is to come is whoever may log in.
    let operation = if ask.reauth { Operation::Login } else { Operation::Launch(launching) };
    let caller = connection.may(&app, &headers, operation).await?;
    proven(&app, &connection, &caller)?;
    if app.state.load().locked {
        let detail = "everything is paused: end the pause with `agentauthd unlock`, then start the agent";
        return Err(Refusal::new(ErrorCode::Locked, detail));
    }
    let Some(agent) = agent else {
        let detail = format!(
            "there is no registered agent `{}`: `agentauthd status` lists them",
            display_safe_within(&ask.agent, 64)
        );
        return Err(Refusal::new(ErrorCode::NotFound, detail));
    };
    if app.state.load().quarantined_agents.contains(&*agent.name) {
        let detail = format!("an administrator has locked the agent `{}`", agent.name);
        return Err(Refusal::new(ErrorCode::Forbidden, detail));
    }
    let files = launches::examine(&agent, &app.hashes, app.clock.now()).await.map_err(unfit)?;
    connection.reprove(&caller).map_err(|why| Refusal::new(ErrorCode::CallerUnproven, why))?;
    let handle = connection.handle().map_err(|error| Refusal::new(ErrorCode::Internal, error.to_string()))?;
    let launched = Launched {
        agent: (*agent.name).to_owned(),
        manifest_digest: agent.manifest_digest.clone(),
        executable_sha256: files.executable.to_string(),
        script_sha256: files.script.map(|digest| digest.to_string()),
        confined: ask.confined,
    };
    let ready = Ready {
        id: format!("launch_{}", Uuid::new_v4().simple()),
        agent: agent.clone(),
        caller: (*caller.facts).clone(),
        handle,
        arguments: ask.arguments,
        launched,
    };
    let id = ready.id.clone();
    if !ask.reauth {
        let (grade, _) = connection.grade(&app, &caller);
        let record = record::launched(&ready, Some(grade.word()), None, app.clock.now());
        app.launches.begin(&ready, &record).map_err(|error| not_launched(&error))?;
        return Ok(Json(wire::launched(id, &agent, &app.launching, None)));
    }
    let provider = app.provider.as_ref().ok_or_else(not_configured)?;
    let launch = ready.launched.clone();
    let (launches, clock) = (app.launches.clone(), app.clock.clone());
    let carry_out: CarryOut = Box::new(move |confirmed| {
        Box::pin(async move {
            let record = record::launched(&ready, None, Some(&confirmed), clock.now());
            let begun = launches.begin(&ready, &record);
            begun.map_err(|error| NotDone { code: error.code().as_str(), message: Chain(&error).to_string() })
        })
    });
    let started = provider
        .logins
        .start_confirmation(
            |account| Widening::Launch { account, launch },
            "You can close this page. The agent is being started.",
            carry_out,
        )
        .await
        .map_err(|error| not_asked(&error))?;
    Ok(Json(wire::launched(id, &agent, &app.launching, Some(started))))
}

/// Only our own command line is a launcher, run as it was built: it is what keeps the promise that nothing but the
/// registered program runs below it.
fn proven(app: &App, connection: &Connection, caller: &Caller) -> Result<(), Refusal> {
    let facts = &caller.facts;
    if !facts.greeted || !facts.ancestry_complete {
        let detail =
            "the launcher is not proven: greet first, and let the parent process live until it has started";
        return Err(Refusal::new(ErrorCode::CallerUnproven, detail));
    }
    let (_, shortfalls) = connection.grade(app, caller);
    let unfit = unfit_as_own_program(&shortfalls);
    let launches = app.state.load().launches.of(facts.process.pid, facts.process.start_time).is_some();
    let why = if !unfit.is_empty() {
        unfit.iter().map(|shortfall| shortfall.text()).collect::<Vec<_>>().join("; ")
    } else if launches {
        "it has launched an agent already".to_owned()
    } else {
        return Ok(());
    };
    let what = format!("being the launcher of an agent was refused: {why}; start it with `agentauthd exec`");
    app.audit.note_down(&record::operation_refused(facts, &what, app.clock.now()));
    Err(Refusal::new(ErrorCode::Forbidden, what))
}

fn unfit(error: Unfit) -> Refusal {
    let code = match error {
        Unfit::Changed { .. } => ErrorCode::AgentChanged,
        Unfit::NoScript { .. } | Unfit::Leads { .. } | Unfit::Unreadable { .. } => ErrorCode::Forbidden,
    };
    Refusal::new(code, Chain(&error).to_string())
}

fn not_launched(error: &NotLaunched) -> Refusal {
    Refusal::new(error.code(), Chain(error).to_string())
}
