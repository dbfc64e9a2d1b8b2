//! `POST /v1/login` and `GET /v1/login/{id}`: start a login and follow it.

use std::sync::Arc;
use std::time::Duration;

use agentauth_api::ErrorCode;
use agentauth_core::gate::Operation;
use agentauth_idp::Chain;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use super::body;
use super::connection::Connection;
use super::refusal::Refusal;
use crate::daemon::app::App;
use crate::daemon::logins::StartError;
use crate::daemon::wire;

/// The longest wait of one request.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// How to follow a login.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Follow {
    /// Milliseconds to wait for a change.
    #[serde(default)]
    wait_ms: u64,
    /// The state that the one who follows knows of.
    #[serde(default)]
    seen: Option<String>,
}

/// Binds the listener and releases the URL, or asks the provider for a code.
pub(super) async fn start(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: http::HeaderMap,
    body: Body,
) -> Result<Json<impl Serialize>, Refusal> {
    connection.may(&app, &headers, Operation::Login).await?;
    let ask = wire::login_ask(body::json_or_default(body).await?)?;
    if app.state.load().locked {
        let detail = "everything is paused: end the pause with `agentauthd unlock`, then log in";
        return Err(Refusal::new(ErrorCode::Locked, detail));
    }
    let provider = app.provider.as_ref().ok_or_else(not_configured)?;
    let started = provider.logins.start(ask).await.map_err(|error| {
        tracing::warn!(error = %Chain(&error), "a login could not be started");
        let code = match &error {
            StartError::DeviceForbidden => ErrorCode::Forbidden,
            StartError::Browser(_) | StartError::Device(_) => ErrorCode::LoginUnavailable,
        };
        Refusal::new(code, Chain(&error).to_string())
    })?;
    Ok(Json(wire::login_started(started)))
}

/// Where a login stands; waits for a change as long as asked.
pub(super) async fn progress(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: http::HeaderMap,
    Path(id): Path<String>,
    Query(follow): Query<Follow>,
) -> Result<Json<impl Serialize>, Refusal> {
    connection.may(&app, &headers, Operation::Login).await?;
    let wait = Duration::from_millis(follow.wait_ms).min(MAX_WAIT);
    let provider = app.provider.as_ref().ok_or_else(not_configured)?;
    let seen = follow.seen.as_deref().unwrap_or("waiting");
    match provider.logins.progress(&id, seen, wait).await {
        Some(progress) => Ok(Json(wire::login_progress(progress))),
        None => {
            let detail =
                "there is no such login, or it ended long ago: start another with `agentauthd login`";
            Err(Refusal::new(ErrorCode::NotFound, detail))
        }
    }
}

/// Without a provider there is nobody to log in with.
pub(super) fn not_configured() -> Refusal {
    let detail = "no provider is configured: run `agentauthd setup`, then start the daemon again";
    Refusal::new(ErrorCode::LoginUnavailable, detail)
}
