//! `GET /metrics`: numbers for monitoring, in Prometheus' text format.

use std::sync::Arc;

use agentauth_api::ErrorCode;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};

use super::connection::Connection;
use super::lock;
use super::refusal::Refusal;
use crate::daemon::app::App;
use crate::daemon::metrics::{CONTENT_TYPE, report};

/// Tells the numbers to a person's process, and to an agent that may scrape.
pub(super) async fn metrics(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let caller = connection.scraper(&app, &headers).await?;
    let connections = lock(&app.usage).connections();
    let page = report(&app, connections, app.clock.now());
    connection.reprove(&caller).map_err(|why| Refusal::new(ErrorCode::CallerUnproven, why))?;
    let mut response = Response::new(Body::from(page));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    Ok(response)
}
