//! `/v1/log`: what is logged while the daemon runs.

use std::sync::Arc;
use std::time::Duration;

use agentauth_api::ErrorCode;
use agentauth_core::Timestamp;
use agentauth_core::caller::CallerFacts;
use agentauth_core::gate::Operation;
use axum::body::Body;
use axum::extract::State;
use axum::{Extension, Json};
use http::HeaderMap;
use serde::Serialize;

use super::body;
use super::connection::Connection;
use super::refusal::Refusal;
use crate::daemon::app::App;
use crate::daemon::{record, wire};
use crate::log::Filtering;

/// Tells what is logged.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
) -> Result<Json<impl Serialize>, Refusal> {
    connection.may(&app, &headers, Operation::Log).await?;
    Ok(Json(wire::logged(&app.log)))
}

/// Changes it for a time.
pub(super) async fn change(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<impl Serialize>, Refusal> {
    let caller = connection.may(&app, &headers, Operation::Log).await?;
    let asked = wire::log_ask(body::json(body).await?)?;
    let now = app.clock.now();
    let changed = match asked.filter {
        Some(filter) => app.log.set(&filter, now + asked.lasts),
        None => app.log.reset(),
    };
    let changed =
        changed.map_err(|error| Refusal::new(ErrorCode::RequestInvalid, format!("`filter` {error}")))?;
    if changed.until.is_some() {
        tokio::spawn(come_back(app.clone(), changed.clone(), asked.lasts));
    }
    noted(&app, Some(&caller.facts), &changed, now);
    Ok(Json(wire::logged(&app.log)))
}

/// Logs as configured again when the time is over, unless it was changed once more by then.
async fn come_back(app: Arc<App>, temporary: Filtering, after: Duration) {
    tokio::select! {
        biased;
        () = app.stop.cancelled() => return,
        () = tokio::time::sleep(after) => {}
    }
    if app.log.now() != temporary {
        return;
    }
    match app.log.reset() {
        Ok(changed) => noted(&app, None, &changed, app.clock.now()),
        Err(error) => tracing::error!(%error, "the configured filter of the log does not come back"),
    }
}

/// Said in the log and in the record: whoever reads either knows why there is more or less.
fn noted(app: &App, caller: Option<&CallerFacts>, changed: &Filtering, now: Timestamp) {
    tracing::warn!(filter = changed.filter, "what is logged was changed");
    app.audit.note_down(&record::log_filter_changed(caller, &changed.filter, changed.until, now));
}
