//! `/v1/grants`: what agents were allowed; take a grant away.

use std::sync::Arc;

use agentauth_core::gate::Operation;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use http::HeaderMap;
use serde::Serialize;

use super::agents::{broke_down, refused};
use super::connection::Connection;
use super::refusal::Refusal;
use crate::daemon::app::App;
use crate::daemon::rights::RightsError;
use crate::daemon::wire;

/// The grants: all for a person, its own for an agent.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
) -> Result<Json<impl Serialize>, Refusal> {
    let (_, only) = connection.reach(&app, &headers, Operation::ListGrants).await?;
    Ok(Json(wire::grants_known(&app.state.load(), only.as_deref(), app.clock.now())))
}

/// Takes one away: any of them for a person, its own for an agent.
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<impl Serialize>, Refusal> {
    let (caller, only) = connection.reach(&app, &headers, Operation::RevokeGrant).await?;
    let agent = app.state.load().grants.get(&id).map(|grant| grant.agent.clone());
    // Of others' grants an agent does not even learn that they are there.
    if agent.is_none_or(|agent| only.is_some_and(|names| !names.contains(&agent))) {
        return Err(refused(&RightsError::NoGrant(id)));
    }
    let rights = app.rights.clone();
    // In a task of its own: it is carried through even when the one who asked has gone away.
    let revoking = tokio::spawn(async move { rights.revoke(&id, &caller.facts).await });
    let done = revoking.await.map_err(|_| broke_down())?.map_err(|error| refused(&error))?;
    Ok(Json(wire::revoked(&app.state.load(), done, app.clock.now())))
}
