//! `GET /v1/status`: a glance at everything. Never a token.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use http::HeaderMap;
use serde::Serialize;

use super::connection::Connection;
use super::refusal::Refusal;
use crate::daemon::app::App;
use crate::daemon::wire;

/// Tells how everything stands, and how the daemon sees the one who asks.
pub(super) async fn status(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
) -> Result<Json<impl Serialize>, Refusal> {
    let caller = connection.caller(&app, &headers).await?;
    let (grade, _) = connection.grade(&app, &caller);
    Ok(Json(wire::status(&app, connection.pid(), &caller.facts, grade, app.clock.now())))
}
