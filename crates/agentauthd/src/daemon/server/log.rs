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
use crate::log::More;

/// Tells what is logged.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
) -> Result<Json<impl Serialize>, Refusal> {
    connection.may(&app, &headers, Operation::Log).await?;
    Ok(Json(wire::logged(&app.log)))
}

/// Logs more for a time, or as configured again.
pub(super) async fn change(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<impl Serialize>, Refusal> {
    let caller = connection.may(&app, &headers, Operation::Log).await?;
    let asked = wire::log_ask(body::json(body).await?)?;
    let now = app.clock.now();
    let more = asked.filter.map(|filter| More { filter, until: now + asked.lasts });
    let changed = match more.clone() {
        Some(more) => {
            app.log.add(more, |more| tokio::spawn(end_later(app.clone(), more, asked.lasts)).abort_handle())
        }
        None => app.log.reset(),
    };
    changed.map_err(|error| Refusal::new(ErrorCode::RequestInvalid, format!("`filter` {error}")))?;
    noted(&app, Some(&caller.facts), more.as_ref(), now);
    Ok(Json(wire::logged(&app.log)))
}

/// Logs as configured again when the time is over. A further change ends this before.
async fn end_later(app: Arc<App>, more: More, after: Duration) {
    tokio::select! {
        biased;
        () = app.stop.cancelled() => return,
        () = tokio::time::sleep(after) => {}
    }
    match app.log.end(&more) {
        Ok(true) => noted(&app, None, None, app.clock.now()),
        Ok(false) => {}
        Err(error) => tracing::error!(%error, "more is logged than the configuration says"),
    }
}

/// Said in the log and in the record: whoever reads either knows why there is more.
fn noted(app: &App, caller: Option<&CallerFacts>, more: Option<&More>, now: Timestamp) {
    let filter = more.map_or(app.log.configured(), |more| &more.filter);
    tracing::warn!(filter, "what is logged was changed");
    app.audit.note_down(&record::log_filter_changed(caller, filter, more.map(|more| more.until), now));
}
