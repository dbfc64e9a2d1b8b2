//! `/v1/rules`: what the person's own files say is applied.

use std::sync::Arc;

use agentauth_api::ErrorCode;
use agentauth_core::gate::Operation;
use agentauth_core::widening::Widening;
use axum::body::Body;
use axum::extract::State;
use axum::{Extension, Json};
use http::HeaderMap;
use serde::Serialize;

use super::agents::{not_done, refused};
use super::body;
use super::connection::Connection;
use super::lock::not_asked;
use super::login::not_configured;
use super::refusal::Refusal;
use crate::daemon::app::App;
use crate::daemon::logins::CarryOut;
use crate::daemon::wire;

/// Starts the login by which the owner confirms what the files say; nothing to confirm where they say nothing new.
pub(super) async fn apply(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<impl Serialize>, Refusal> {
    // The evidence is to come; who may bring it is whoever may log in.
    let caller = connection.may(&app, &headers, Operation::Login).await?;
    let part = wire::part(body::json(body).await?);
    let drafted = app.rights.draft_rules(part).await.map_err(|error| refused(&error))?;
    let changes = drafted.changes.clone();
    if changes.is_empty() {
        return Ok(Json(wire::applying(&changes, None)));
    }
    if app.state.load().locked {
        let detail = "everything is paused: end the pause with `agentauthd unlock`, then apply it";
        return Err(Refusal::new(ErrorCode::Locked, detail));
    }
    let provider = app.provider.as_ref().ok_or_else(not_configured)?;
    let (rules, replaces) = (drafted.digest.clone(), drafted.replaces.clone());
    let differs = changes.clone();
    let rights = app.rights.clone();
    let carry_out: CarryOut = Box::new(move |confirmed| {
        Box::pin(
            async move { rights.apply_rules(drafted, &caller.facts, &confirmed).await.map_err(not_done) },
        )
    });
    let login = provider
        .logins
        .start_confirmation(
            |account| Widening::ApplyRules { account, rules, replaces, changes: differs },
            "You can close this page. What your files say is applied.",
            carry_out,
        )
        .await
        .map_err(|error| not_asked(&error))?;
    Ok(Json(wire::applying(&changes, Some(login))))
}
