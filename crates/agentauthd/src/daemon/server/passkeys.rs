//! `/v1/passkeys`: which passkeys may confirm; register one, remove one.

use std::sync::Arc;

use agentauth_api::ErrorCode;
use agentauth_core::gate::Operation;
use agentauth_idp::Chain;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use http::HeaderMap;
use serde::Serialize;

use super::agents::broke_down;
use super::body;
use super::connection::Connection;
use super::lock::not_asked;
use super::login::not_configured;
use super::refusal::Refusal;
use crate::daemon::app::App;
use crate::daemon::passkeys::PasskeyError;
use crate::daemon::wire;

/// The registered passkeys, for a person.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
) -> Result<Json<impl Serialize>, Refusal> {
    connection.may(&app, &headers, Operation::ListPasskeys).await?;
    Ok(Json(wire::passkeys_known(&app.passkeys.list())))
}

/// Starts the login by which the owner confirms that a passkey is registered.
pub(super) async fn add(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<impl Serialize>, Refusal> {
    // The evidence is to come; who may bring it is whoever may log in.
    let caller = connection.may(&app, &headers, Operation::Login).await?;
    let name = wire::passkey_name(body::json_or_default(body).await?)?;
    if app.state.load().locked {
        let detail =
            "everything is paused: end the pause with `agentauthd unlock`, then register the passkey";
        return Err(Refusal::new(ErrorCode::Locked, detail));
    }
    let provider = app.provider.as_ref().ok_or_else(not_configured)?;
    let started = provider.logins.start_enrolment(name, caller.facts.clone()).await;
    Ok(Json(wire::passkey_adding(started.map_err(|error| not_asked(&error))?)))
}

/// Removes one, for any process of the person's that is no agent.
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<impl Serialize>, Refusal> {
    let caller = connection.may(&app, &headers, Operation::RemovePasskey).await?;
    let passkeys = app.passkeys.clone();
    // In a task of its own: it is carried through even when the one who asked has gone away.
    let removing = tokio::spawn(async move { passkeys.remove(&id, &caller.facts).await });
    let done = removing.await.map_err(|_| broke_down())?.map_err(|error| refused(&error))?;
    Ok(Json(wire::passkey_removed(done)))
}

fn refused(error: &PasskeyError) -> Refusal {
    let code = match error {
        PasskeyError::None(_) => ErrorCode::NotFound,
        PasskeyError::TooMany | PasskeyError::Twice | PasskeyError::Over => ErrorCode::RequestInvalid,
        PasskeyError::Audit(_) => ErrorCode::AuditUnavailable,
        PasskeyError::State(_) => ErrorCode::Internal,
    };
    Refusal::new(code, Chain(error).to_string())
}
