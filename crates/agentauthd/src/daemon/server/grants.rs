//! `/v1/grants`: what agents were allowed; give a mandate, let what stands count on, take a grant away.

use std::sync::Arc;

use agentauth_core::Strength;
use agentauth_core::gate::Operation;
use agentauth_core::widening::Widening;
use agentauth_idp::Chain;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use http::HeaderMap;
use serde::Serialize;

use uuid::Uuid;

use super::agents::{broke_down, not_done, refused};
use super::body;
use super::connection::Connection;
use super::lock::not_asked;
use super::login::not_configured;
use super::refusal::Refusal;
use crate::daemon::app::App;
use crate::daemon::logins::{CarryOut, NotDone};
use crate::daemon::rights::RightsError;
use crate::daemon::wire;

/// The grants: all for a person, its own for an agent.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
) -> Result<Json<impl Serialize>, Refusal> {
    let (_, only) = connection.reach(&app, &headers, Operation::ListGrants).await?;
    Ok(Json(wire::grants_known(&app.state.load(), only.as_deref(), app.clock.now())))
}

/// Starts the login by which the owner gives a mandate.
pub(super) async fn give(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<impl Serialize>, Refusal> {
    // The evidence is to come; who may bring it is whoever may log in.
    let caller = connection.may(&app, &headers, Operation::Login).await?;
    let wire::Giving { agent, draft } = wire::giving(body::json(body).await?)?;
    let id = format!("mandate_{}", Uuid::new_v4().simple());
    let grants = app.rights.drafted(&agent, &draft, &id, app.longest).map_err(|error| refused(&error))?;
    let provider = app.provider.as_ref().ok_or_else(not_configured)?;
    let operation = {
        let binding = grants.first().map(|grant| grant.binding.clone()).unwrap_or_default();
        let text = |text: Option<Arc<str>>| text.map(|text| text.to_string()).unwrap_or_default();
        let (manifest_digest, subject) = (text(binding.manifest_digest), text(binding.user));
        let catalogue = app.state.load().catalogue.clone();
        let needs = draft.scopes.iter().map(|scope| catalogue.strength(scope)).max();
        let needs = needs.unwrap_or(Strength::Reauth);
        move |account| Widening::GiveMandate {
            account,
            mandate: id,
            agent,
            manifest_digest,
            subject,
            draft,
            needs,
        }
    };
    let carry_out: CarryOut = {
        let (app, grants) = (app.clone(), grants.clone());
        Box::new(move |confirmed| {
            Box::pin(async move {
                let evidence = app.consents.keep_evidence(&confirmed).await;
                let evidence = evidence
                    .map_err(|error| NotDone { code: "state", message: Chain(&error).to_string() })?;
                let given =
                    app.rights.give_mandate(grants, &caller.facts, &confirmed, evidence.as_deref()).await;
                given.map_err(not_done)
            })
        })
    };
    let done = "You can close this page. The agent may do now what you allowed.";
    let login = provider.logins.start_confirmation(operation, done, carry_out).await;
    let login = login.map_err(|error| not_asked(&error))?;
    Ok(Json(wire::given(&app.state.load(), grants.iter(), login, app.clock.now())))
}

/// Starts the login by which the owner shows to be there, so that what was allowed for long counts on.
pub(super) async fn confirm(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
) -> Result<Json<impl Serialize>, Refusal> {
    connection.may(&app, &headers, Operation::Login).await?;
    let standing = app.rights.standing();
    let provider = app.provider.as_ref().ok_or_else(not_configured)?;
    let grants = standing.iter().map(|grant| grant.id.to_string()).collect();
    // The sign-in itself is what counts, and it is recorded as such.
    let carry_out: CarryOut = Box::new(|_confirmed| Box::pin(async { Ok(()) }));
    let done = "You can close this page. What you allowed for long counts on.";
    let operation = |account| Widening::ConfirmGrants { account, grants };
    let login = provider.logins.start_confirmation(operation, done, carry_out).await;
    let login = login.map_err(|error| not_asked(&error))?;
    let grants = standing.iter().map(|grant| &**grant);
    Ok(Json(wire::given(&app.state.load(), grants, login, app.clock.now())))
}

/// Takes one away: any of them for a person, its own for an agent.
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<impl Serialize>, Refusal> {
    let (caller, only) = connection.reach(&app, &headers, Operation::RevokeGrant).await?;
    let agent = app.state.load().grants.get(&id).map(|grant| grant.agent.clone());
    // Of others' grants an agent does not even learn that they are there.
    if agent.is_none_or(|agent| only.is_some_and(|names| !names.contains(&agent))) {
        return Err(refused(&RightsError::NoGrant(id)));
    }
    let rights = app.rights.clone();
    // In a task of its own: it is carried through even when the one who asked has gone away.
    let revoking = tokio::spawn(async move { rights.revoke(&id, &caller.facts).await });
    let done = revoking.await.map_err(|_| broke_down())?.map_err(|error| refused(&error))?;
    Ok(Json(wire::revoked(&app.state.load(), done, app.clock.now())))
}
