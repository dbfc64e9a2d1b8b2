//! `/v1/agents`: which programs are agents, registered by whom; register one, remove one.

use std::sync::Arc;

use agentauth_api::ErrorCode;
use agentauth_core::agent::{Agent, Registration};
use agentauth_core::gate::Operation;
use agentauth_core::widening::Widening;
use agentauth_idp::Chain;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use http::HeaderMap;
use serde::Serialize;

use super::body;
use super::connection::{Caller, Connection};
use super::lock::not_asked;
use super::login::not_configured;
use super::refusal::Refusal;
use crate::daemon::app::App;
use crate::daemon::logins::{CarryOut, NotDone};
use crate::daemon::rights::{Drafted, RightsError};
use crate::daemon::wire;

/// The registered agents: all for a person, itself for an agent.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
) -> Result<Json<impl Serialize>, Refusal> {
    let (_, only) = connection.reach(&app, &headers, Operation::ListAgents).await?;
    Ok(Json(wire::agents_known(&app.state.load(), only.as_deref())))
}

/// One of them.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Json<impl Serialize>, Refusal> {
    let (_, only) = connection.reach(&app, &headers, Operation::ListAgents).await?;
    let snapshot = app.state.load();
    let agent =
        snapshot.agents.get(&name).filter(|agent| only.is_none_or(|names| names.contains(&agent.name)));
    let agent = agent.ok_or_else(|| refused(&RightsError::NoAgent(name.clone())))?;
    Ok(Json(wire::agent(&snapshot, agent)))
}

/// Registers an agent. What gives nobody anything takes effect at once for a person at a terminal; everything else waits
/// for the owner's fresh login.
pub(super) async fn register(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<impl Serialize>, Refusal> {
    // The evidence is to come; who may bring it is whoever may log in.
    let caller = connection.may(&app, &headers, Operation::Login).await?;
    let wish = wire::wish(body::json(body).await?)?;
    let Drafted { registration, before, notes } =
        app.rights.draft(wish, &app.hashes).await.map_err(|error| refused(&error))?;
    let now = before.as_deref().map(Agent::registration);
    let replaces = now.as_ref().map(Registration::digest);
    let answer = |in_force, login| {
        let snapshot = app.state.load();
        Json(wire::registered(&snapshot, &registration, before.as_deref(), notes.clone(), in_force, login))
    };
    if now.as_ref() == Some(&registration) {
        return Ok(answer(true, None));
    }
    let narrows = now.is_some_and(|now| !registration.widens(&now));
    if narrows && connection.gate(&app, &caller, Operation::NarrowAgent).is_ok() {
        app.rights
            .register(registration.clone(), replaces.as_deref(), &caller.facts, None)
            .await
            .map_err(|error| refused(&error))?;
        return Ok(answer(true, None));
    }
    if app.state.load().locked {
        let detail = "everything is paused: end the pause with `agentauthd unlock`, then register the agent";
        return Err(Refusal::new(ErrorCode::Locked, detail));
    }
    let provider = app.provider.as_ref().ok_or_else(not_configured)?;
    let done = format!("You can close this page. The agent {} is registered.", registration.manifest.name);
    let login = provider
        .logins
        .start_confirmation(
            |account| Widening::RegisterAgent {
                account,
                registration: Box::new(registration.clone()),
                replaces: replaces.clone(),
            },
            &done,
            registering(&app, registration.clone(), replaces.clone(), caller),
        )
        .await
        .map_err(|error| not_asked(&error))?;
    Ok(answer(false, Some(login)))
}

/// Removes an agent with all its grants, for a person at a terminal; or starts the login by which the owner confirms it.
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<impl Serialize>, Refusal> {
    if !wire::removal_by_login(&body::json_or_default(body).await?) {
        let caller = connection.may(&app, &headers, Operation::RemoveAgent).await?;
        let rights = app.rights.clone();
        // In a task of its own: it is carried through even when the one who asked has gone away.
        let removing = tokio::spawn(async move { rights.remove_agent(&name, &caller.facts).await });
        let done = removing.await.map_err(|_| broke_down())?.map_err(|error| refused(&error))?;
        return Ok(Json(wire::removed(Some(done), None)));
    }
    let caller = connection.may(&app, &headers, Operation::Login).await?;
    if app.state.load().agents.get(&name).is_none() {
        return Err(refused(&RightsError::NoAgent(name)));
    }
    let provider = app.provider.as_ref().ok_or_else(not_configured)?;
    let done = format!("You can close this page. {name} is no agent any more.");
    let (rights, agent) = (app.rights.clone(), name.clone());
    let carry_out: CarryOut = Box::new(move |_confirmed| {
        Box::pin(async move { rights.remove_agent(&name, &caller.facts).await.map(drop).map_err(not_done) })
    });
    let login = provider
        .logins
        .start_confirmation(|account| Widening::RemoveAgent { account, agent }, &done, carry_out)
        .await
        .map_err(|error| not_asked(&error))?;
    Ok(Json(wire::removed(None, Some(login))))
}

fn registering(app: &App, registration: Registration, replaces: Option<String>, caller: Caller) -> CarryOut {
    let rights = app.rights.clone();
    Box::new(move |confirmed| {
        Box::pin(async move {
            let done =
                rights.register(registration, replaces.as_deref(), &caller.facts, Some(&confirmed)).await;
            done.map_err(not_done)
        })
    })
}

pub(super) fn not_done(error: RightsError) -> NotDone {
    NotDone { code: code(&error).as_str(), message: Chain(&error).to_string() }
}

pub(super) fn refused(error: &RightsError) -> Refusal {
    Refusal::new(code(error), Chain(error).to_string())
}

pub(super) fn broke_down() -> Refusal {
    Refusal::new(ErrorCode::Internal, "it broke down half-way: look at `agentauthd status`, and ask again")
}

fn code(error: &RightsError) -> ErrorCode {
    match error {
        RightsError::NoAgent(_) | RightsError::NoGrant(_) => ErrorCode::NotFound,
        RightsError::Administrators(_) | RightsError::Refusal(_) | RightsError::NoLogin => {
            ErrorCode::Forbidden
        }
        RightsError::Paused => ErrorCode::Locked,
        RightsError::File { .. }
        | RightsError::Selectors(_)
        | RightsError::NoScript(_)
        | RightsError::Overtaken
        | RightsError::Mandate(_)
        | RightsError::Rules(_)
        | RightsError::Policy(_) => ErrorCode::RequestInvalid,
        RightsError::Audit(_) => ErrorCode::AuditUnavailable,
        RightsError::State(_) => ErrorCode::Internal,
    }
}
