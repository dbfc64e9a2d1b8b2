//! The socket's server: accept, bound, serve, drain. One file for each request.

mod agents;
mod authzen;
mod body;
mod check;
mod connection;
mod consents;
mod events;
mod grants;
mod health;
mod hello;
mod launch;
mod lock;
mod log;
mod login;
mod metrics;
mod outcome;
mod passkeys;
mod refusal;
mod rules;
mod session;
mod span;
mod status;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentauth_api::{ErrorCode, REQUEST_ID_HEADER, paths};
use agentauth_idp::Chain;
use agentauth_ipc::{AcceptError, CredStream, Listener, Peer};
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use super::app::App;
use super::limits::TooMany;
pub(crate) use connection::Connection;
pub(crate) use refusal::Refusal;

/// The longest request head.
const MAX_HEAD: usize = 16 * 1024;
/// The most header fields.
const MAX_FIELDS: usize = 64;
/// How long a kept connection may be idle, or take to send a head.
const IDLE: Duration = Duration::from_mins(5);
/// How long requests under way may take once the daemon is stopping.
const DRAIN: Duration = Duration::from_secs(5);
/// How long to wait when the system has no descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Serves until told to stop, then lets the requests under way finish.
pub(crate) async fn serve(app: Arc<App>, listener: Listener, stop: CancellationToken) {
    let connections = TaskTracker::new();
    let router = router(app.clone());
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let pid = peer.pid();
                match Place::take(&app, pid) {
                    Ok(place) => {
                        connections.spawn(serve_one(place, router.clone(), stream, peer, stop.clone()));
                    }
                    Err(error) => {
                        app.metrics.connections_refused.add();
                        tracing::warn!(pid, %error, "connection refused");
                    }
                }
            }
            Err(error) => {
                app.metrics.connections_refused.add();
                tracing::warn!(error = %Chain(&error), "connection refused");
                if matches!(error, AcceptError::Socket { .. }) {
                    tokio::time::sleep(EXHAUSTED).await;
                }
            }
        }
    }
    connections.close();
    connections.wait().await;
}

async fn serve_one(place: Place, router: Router, stream: CredStream, peer: Peer, stop: CancellationToken) {
    // One token to look at each time the connection is woken, whichever of the two ends it.
    let end = stop.child_token();
    let connection = Arc::new(Connection::new(peer, stream.poison(), end.clone()));
    let app = place.app.clone();
    let service = service_fn(move |request| answer(app.clone(), connection.clone(), router.clone(), request));
    let mut serving = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_FIELDS)
            .serve_connection(TokioIo::new(stream), service)
    );
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = end.cancelled() => {
            if !stop.is_cancelled() {
                return tracing::warn!(pid = place.pid, "a reader that does not read is left");
            }
            serving.as_mut().graceful_shutdown();
            match tokio::time::timeout(DRAIN, serving).await {
                Ok(served) => served,
                Err(_) => return tracing::warn!(pid = place.pid, "a request did not finish in time"),
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(pid = place.pid, error = %Chain(&error), "connection ended");
    }
}

/// What holds for every request: a poisoned connection is answered nothing, `Host` is ours, the rate is bounded, and
/// the caller's own request id comes back. Directly under the connection, because it is on the way of every check.
async fn answer(
    app: Arc<App>,
    connection: Arc<Connection>,
    router: Router,
    mut request: http::Request<Incoming>,
) -> Result<Response, Infallible> {
    app.metrics.requests.add();
    let id = request.headers().get(REQUEST_ID_HEADER).filter(|id| id.len() <= 128).cloned();
    let span = span::of(&connection, &request, id.as_ref());
    let mut response = match admit(&app, &connection, request.headers()) {
        Ok(()) if is_check(&request) => {
            let checked = check::check(&app, &connection, request).instrument(span.clone()).await;
            checked.unwrap_or_else(IntoResponse::into_response)
        }
        Ok(()) => {
            request.extensions_mut().insert(connection);
            router.oneshot(request.map(Body::new)).instrument(span.clone()).await?
        }
        Err(refusal) => authzen::refused(request.uri().path(), refusal),
    };
    span::answered(&span, response.status());
    response = refusal::addressed(&app.about.profile, response);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(id) = id {
        headers.insert(HeaderName::from_static(REQUEST_ID_HEADER), id);
    }
    Ok(response)
}

/// Whether this is the question that everything here is for; the way through the router is left out for it.
fn is_check(request: &http::Request<Incoming>) -> bool {
    request.method() == Method::POST && request.uri().path() == paths::CHECK
}

/// A connection's place among those that are served; given back when it is dropped.
struct Place {
    app: Arc<App>,
    pid: u32,
}

impl Place {
    fn take(app: &Arc<App>, pid: u32) -> Result<Self, TooMany> {
        lock(&app.usage).open(pid, app.clock.now())?;
        Ok(Self { app: app.clone(), pid })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.app.usage).close(self.pid, self.app.clock.now());
    }
}

fn router(app: Arc<App>) -> Router {
    Router::new()
        // Any other method is refused as everywhere.
        .route(paths::CHECK, MethodRouter::new())
        .route(paths::OUTCOME, post(outcome::report))
        .route(paths::HELLO, get(hello::hello))
        .route(paths::STATUS, get(status::status))
        .route(paths::LOGIN, post(login::start))
        .route("/v1/login/{id}", get(login::progress))
        .route(paths::AGENTS, get(agents::list).post(agents::register))
        .route("/v1/agents/{name}", get(agents::show).delete(agents::remove))
        .route(paths::GRANTS, get(grants::list).post(grants::give))
        .route(paths::GRANTS_CONFIRM, post(grants::confirm))
        .route(paths::EVENTS, get(events::follow))
        .route("/v1/grants/{id}", delete(grants::revoke))
        .route(paths::CONSENTS, get(consents::list))
        .route("/v1/consents/{id}", post(consents::answer))
        .route(paths::PASSKEYS, get(passkeys::list).post(passkeys::add))
        .route("/v1/passkeys/{id}", delete(passkeys::remove))
        .route(paths::LAUNCHES, post(launch::launch))
        .route(paths::RULES, post(rules::apply))
        .route(paths::LOCK, post(lock::lock).delete(lock::unlock))
        .route(paths::SESSION, delete(session::logout))
        .route(paths::LOG, get(log::show).put(log::change))
        .route(paths::ACCESS_EVALUATION, post(authzen::evaluation))
        .route(paths::ACCESS_EVALUATIONS, post(authzen::evaluations))
        .route(paths::SEARCH_SUBJECT, post(authzen::search_subject))
        .route(paths::SEARCH_RESOURCE, post(authzen::search_resource))
        .route(paths::SEARCH_ACTION, post(authzen::search_action))
        .route(paths::AUTHZEN_CONFIGURATION, get(authzen::configuration))
        .route(paths::METRICS, get(metrics::metrics))
        .route(paths::HEALTHZ, get(health::healthz))
        .route(paths::READYZ, get(health::readyz))
        .fallback(async |uri: Uri| {
            let detail = "there is no such path; see docs/api.md";
            authzen::refused(uri.path(), Refusal::new(ErrorCode::NotFound, detail))
        })
        .method_not_allowed_fallback(async |uri: Uri| {
            let detail = "this path takes another method; see docs/api.md";
            authzen::refused(uri.path(), Refusal::new(ErrorCode::MethodNotAllowed, detail))
        })
        .with_state(app)
}

fn admit(app: &App, connection: &Connection, headers: &HeaderMap) -> Result<(), Refusal> {
    connection.refuse_poisoned()?;
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    if !matches!(host, None | Some(b"" | b"agentauthd" | b"localhost")) {
        return Err(Refusal::new(ErrorCode::RequestInvalid, "`Host` must be `agentauthd` or `localhost`"));
    }
    if !lock(&app.usage).request(connection.pid(), app.clock.now()) {
        app.metrics.rate_limited.add();
        return Err(Refusal::new(
            ErrorCode::RateLimited,
            "this process asks too often: slow down, then ask again",
        ));
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
