//! `GET /healthz` and `GET /readyz`.

use std::sync::Arc;

use agentauth_api::Health;
use axum::Json;
use axum::extract::State;
use http::StatusCode;

use crate::daemon::app::App;

/// The process is up and serves.
pub(super) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok".to_owned(), missing: Vec::new() })
}

/// Decisions can be made: there is a session that can be used, and the record can be written.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> (StatusCode, Json<Health>) {
    let now = app.clock.now();
    let snapshot = app.state.load();
    let mut missing = Vec::new();
    if snapshot.locked {
        missing.push("locked".to_owned());
    }
    if let Err(fault) = snapshot.session.usable_at(now) {
        missing.push(fault.reason().to_owned());
    }
    if app.audit.fault().is_some() {
        missing.push("audit_unavailable".to_owned());
    }
    if missing.is_empty() {
        (StatusCode::OK, Json(Health { status: "ok".to_owned(), missing }))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "not ready".to_owned(), missing }))
    }
}
