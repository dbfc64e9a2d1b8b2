//! `POST /v1/lock` and `DELETE /v1/lock`: pause everything, and let it go on.

use std::sync::Arc;

use agentauth_api::ErrorCode;
use agentauth_core::gate::Operation;
use agentauth_core::widening::Widening;
use agentauth_idp::Chain;
use axum::body::Body;
use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;

use super::body;
use super::connection::Connection;
use super::login::not_configured;
use super::refusal::Refusal;
use crate::daemon::app::App;
use crate::daemon::logins::{CarryOut, ConfirmError, NotDone};
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
        let operation = Operation::Unlock(app.state.load().paused());
        let caller = connection.may(&app, &headers, operation).await?;
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
    let pause = app.pause.clone();
    let clock = app.clock.clone();
    let facts = caller.facts.clone();
    let carry_out: CarryOut = Box::new(move |confirmed| {
        Box::pin(async move {
            let record = record::unlock(&facts, None, Some(&confirmed), clock.now());
            let ended = pause.unlock(&record).await;
            ended
                .map(drop)
                .map_err(|error| NotDone { code: error.code(), message: Chain(&error).to_string() })
        })
    });
    let started = provider
        .logins
        .start_confirmation(
            |account| Widening::Unlock { account },
            "You can close this page. What was paused goes on.",
            carry_out,
        )
        .await
        .map_err(|error| match error {
            ConfirmError::NoOwner => Refusal::new(
                ErrorCode::LoginUnavailable,
                "nobody has logged in here yet, so there is no account to confirm it: unlock at a terminal",
            ),
            error => not_asked(&error),
        })?;
    Ok(Json(wire::unlocked(true, Some(started))))
}

/// Why the owner could not be asked to confirm something.
pub(super) fn not_asked(error: &ConfirmError) -> Refusal {
    tracing::warn!(error = %Chain(error), "a login that confirms an operation could not be started");
    Refusal::new(ErrorCode::LoginUnavailable, Chain(error).to_string())
}

fn still_paused(error: StillPaused) -> Refusal {
    let code = match error {
        StillPaused::Audit(_) => ErrorCode::AuditUnavailable,
        StillPaused::State(_) => ErrorCode::Internal,
    };
    Refusal::new(code, Chain(&error).to_string())
}
