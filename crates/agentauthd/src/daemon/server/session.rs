//! `DELETE /v1/session`: log out.

use std::sync::Arc;

use agentauth_api::ErrorCode;
use agentauth_core::gate::Operation;
use axum::body::Body;
use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;

use super::body;
use super::connection::Connection;
use super::login::not_configured;
use super::refusal::Refusal;
use crate::daemon::app::App;
use crate::daemon::wire;

/// Takes the session away: narrowing, so any process of the user may ask that is no agent.
pub(super) async fn logout(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: http::HeaderMap,
    body: Body,
) -> Result<Json<impl Serialize>, Refusal> {
    connection.may(&app, &headers, Operation::Logout).await?;
    let everywhere = wire::everywhere(&body::json_or_default(body).await?);
    let provider = app.provider.as_ref().ok_or_else(not_configured)?;
    provider.logins.abandon();
    let done = provider
        .keeper
        .logout(everywhere)
        .await
        .map_err(|stopped| Refusal::new(ErrorCode::ShuttingDown, stopped.to_string()))?;
    Ok(Json(wire::logged_out(done)))
}
