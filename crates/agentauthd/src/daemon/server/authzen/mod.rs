//! `/access/v1/…` and `/.well-known/authzen-configuration`: the AuthZEN Authorization API 1.0 over the same decisions as
//! `POST /v1/check`. Who asks for itself is answered by those alone; an enforcer, by those and by its domain.

mod asking;

use std::sync::Arc;

use agentauth_api::ErrorCode;
use agentauth_core::domain::Sought;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::body;
use super::connection::Connection;
use super::refusal::Refusal;
use crate::daemon::app::App;
use crate::daemon::wire::{self, AuthzenFault, Batch, Semantic};
use asking::Asking;

/// Below which paths errors are said as AuthZEN says them.
const PATHS: &str = "/access/v1/";

/// One question.
pub(super) async fn evaluation(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<impl Serialize>, Failure> {
    let question = wire::evaluation(&json(&headers, body).await?)?;
    let asking = Asking::new(&app, &connection, &headers).await?;
    Ok(Json(asking.answer(question).await?))
}

/// Several questions, in their order; each is decided and recorded as one that comes alone.
pub(super) async fn evaluations(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let batch = wire::batch(&json(&headers, body).await?)?;
    let asking = Asking::new(&app, &connection, &headers).await?;
    let (items, semantic) = match batch {
        Batch::One(question) => return Ok(Json(asking.answer(*question).await?).into_response()),
        Batch::Many { items, semantic } => (items, semantic),
    };
    let mut answers = Vec::with_capacity(items.len());
    for (position, item) in items.into_iter().enumerate() {
        let answer = match item {
            // The first counts as the request that it came in.
            Ok(_) if position > 0 && !asking.may_go_on() => {
                let what = "this process asks too often: slow down, then ask again";
                wire::failed(&AuthzenFault::new(StatusCode::TOO_MANY_REQUESTS, what))
            }
            Ok(question) => match asking.answer(question).await {
                Ok(answer) => answer,
                Err(Failure { fault, .. }) if is_of_the_question(&fault) => wire::failed(&fault),
                Err(failure) => return Err(failure),
            },
            Err(fault) => wire::failed(&fault),
        };
        let decided = match semantic {
            Semantic::All => false,
            Semantic::UntilDeny => !answer.decision,
            Semantic::UntilPermit => answer.decision,
        };
        answers.push(answer);
        if decided {
            break;
        }
    }
    Ok(Json(wire::evaluations(answers)).into_response())
}

/// Who may do it.
pub(super) async fn search_subject(
    state: State<Arc<App>>,
    connection: Extension<Arc<Connection>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<impl Serialize>, Failure> {
    search(Sought::Subjects, state, connection, headers, body).await
}

/// To what it may be done.
pub(super) async fn search_resource(
    state: State<Arc<App>>,
    connection: Extension<Arc<Connection>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<impl Serialize>, Failure> {
    search(Sought::Resources, state, connection, headers, body).await
}

/// What may be done.
pub(super) async fn search_action(
    state: State<Arc<App>>,
    connection: Extension<Arc<Connection>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<impl Serialize>, Failure> {
    search(Sought::Actions, state, connection, headers, body).await
}

async fn search(
    sought: Sought,
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<impl Serialize>, Failure> {
    let search = wire::search(sought, &json(&headers, body).await?)?;
    let asking = Asking::new(&app, &connection, &headers).await?;
    Ok(Json(asking.search(search).await?))
}

/// Where all this is. For everybody, as the greeting is.
pub(super) async fn configuration(State(app): State<Arc<App>>) -> Json<impl Serialize> {
    Json(wire::configuration(&app.about.socket))
}

/// A problem, as the path that was asked for says it.
pub(super) fn refused(path: &str, refusal: Refusal) -> Response {
    if path.starts_with(PATHS) { Failure::from(refusal).into_response() } else { refusal.into_response() }
}

/// What is wrong, on its way to the caller: a status and a text.
#[derive(Debug)]
pub(super) struct Failure {
    fault: AuthzenFault,
    /// Whether what follows on this connection cannot be trusted to be a request.
    close: bool,
}

impl From<AuthzenFault> for Failure {
    fn from(fault: AuthzenFault) -> Self {
        Self { fault, close: false }
    }
}

impl From<Refusal> for Failure {
    fn from(Refusal(problem): Refusal) -> Self {
        let status = match problem.code {
            // Who is not proven is not authenticated.
            ErrorCode::CallerUnproven => StatusCode::UNAUTHORIZED,
            _ => StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        };
        let close = matches!(problem.code, ErrorCode::CallerUnproven | ErrorCode::RequestTooLarge);
        Self { fault: AuthzenFault::new(status, &problem.detail), close }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.fault.status, self.fault.what).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Whether it is about one question of several, and not about who asks or about the daemon.
fn is_of_the_question(fault: &AuthzenFault) -> bool {
    fault.status == StatusCode::BAD_REQUEST || fault.status == StatusCode::FORBIDDEN
}

/// The body of a request that says that it is JSON.
async fn json(headers: &HeaderMap, body: Body) -> Result<Bytes, Failure> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let what = "the request is not JSON by its own word: send `Content-Type: application/json`";
        return Err(AuthzenFault::new(StatusCode::BAD_REQUEST, what).into());
    }
    Ok(body::bytes(body).await?)
}
