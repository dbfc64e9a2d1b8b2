//! `GET /v1/hello`: the greeting.

use std::sync::Arc;

use agentauth_api::{Hello, PROTOCOL};
use axum::extract::State;
use axum::{Extension, Json};

use super::connection::Connection;
use super::refusal::Refusal;
use crate::daemon::app::App;

/// Notes who the caller is now, and gives it a nonce to come back with.
pub(super) async fn hello(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
) -> Result<Json<Hello>, Refusal> {
    let nonce = connection.greet(&app).await?;
    Ok(Json(Hello {
        name: "agentauthd".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        profile: app.about.profile.clone(),
        protocols: vec![PROTOCOL],
        nonce,
    }))
}
