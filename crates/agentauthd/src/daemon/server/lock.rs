//! `POST /v1/lock` and `DELETE /v1/lock`: pause everything, and let it go on.

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
use crate::daemon::chain::Chain;
use crate::daemon::pause::StillPaused;
use crate::daemon::{record, wire};

/// Pauses everything: narrowing, so any process of the user may ask that is no agent.
pub(super) async fn lock(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: http::HeaderMap,
) -> Result<Json<impl Serialize>, Refusal> {
    let caller = connection.may(&app, &headers, Operation::Lock).await?;
    let pause = app.pause.clone();
    // In a task of its own: it is written down even when the one who asked has gone away.
    let locking = tokio::spawn(async move { pause.lock(&caller.facts).await });
    let done =
        locking.await.map_err(|_| Refusal::new(ErrorCode::Internal, "the pause broke down: ask again"))?;
    Ok(Json(wire::locked(done)))
}

/// Ends the pause, for a person at a terminal; or starts the login by which its owner confirms it.
pub(super) async fn unlock(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: http::HeaderMap,
    body: Body,
) -> Result<Json<impl Serialize>, Refusal> {
    if !wire::by_login(&body::json_or_default(body).await?) {
        let caller = connection.may(&app, &headers, Operation::Unlock).await?;
        let (grade, _) = connection.grade(&app, &caller);
        let record = record::unlock(&caller.facts, Some(grade.word()), None, app.clock.now());
        let was_locked = app.pause.unlock(&record).await.map_err(still_paused)?;
        return Ok(Json(wire::unlocked(was_locked, None)));
    }
    // The evidence is to come; who may bring it is whoever may log in.
    let caller = connection.may(&app, &headers, Operation::Login).await?;
    if !app.state.load().locked {
        return Ok(Json(wire::unlocked(false, None)));
    }
    let provider = app.provider.as_ref().ok_or_else(not_configured)?;
    let started = provider.logins.start_unlock(app.pause.clone(), (*caller.facts).clone()).await;
    let started = started.map_err(|error| {
        tracing::warn!(error = %Chain(&error), "a login that ends the pause could not be started");
        Refusal::new(ErrorCode::LoginUnavailable, Chain(&error).to_string())
    })?;
    Ok(Json(wire::unlocked(true, Some(started))))
}

fn still_paused(error: StillPaused) -> Refusal {
    let code = match error {
        StillPaused::Audit(_) => ErrorCode::AuditUnavailable,
        StillPaused::State(_) => ErrorCode::Internal,
    };
    Refusal::new(code, Chain(&error).to_string())
}
