//! Bodies: reading a request's within its bounds, writing an answer's.

use std::future::{Future as _, poll_fn};
use std::task::Poll;
use std::time::Duration;

use agentauth_api::ErrorCode;
use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http::{HeaderValue, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::refusal::Refusal;

/// The longest body that is read.
pub(crate) const MAX_BODY: usize = 64 * 1024;
/// What an answer's body mostly fits in.
const USUAL_ANSWER: usize = 1024;
/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads a body.
///
/// # Errors
/// A problem: too large, or too slow.
pub(super) async fn bytes<B>(body: B) -> Result<Bytes, Refusal>
where
    B: HttpBody<Error: Into<BoxError>>,
{
    let mut collecting = std::pin::pin!(Limited::new(body, MAX_BODY).collect());
    // Most come with their head: then there is nothing to wait for, and no clock to set.
    let collected = match poll_fn(|context| Poll::Ready(collecting.as_mut().poll(context))).await {
        Poll::Ready(collected) => Ok(collected),
        Poll::Pending => tokio::time::timeout(PATIENCE, collecting).await,
    };
    match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format!("the body is longer than {MAX_BODY} bytes: send less");
            Err(Refusal::new(ErrorCode::RequestTooLarge, detail))
        }
        Ok(Err(_)) => Err(Refusal::new(ErrorCode::RequestInvalid, "the body broke off: send it whole")),
        Err(_) => {
            let detail = format!("the body did not arrive within {} s: send it at once", PATIENCE.as_secs());
            Err(Refusal::new(ErrorCode::RequestInvalid, detail))
        }
    }
}

/// Reads a JSON body. Unknown and duplicate members are refused.
///
/// # Errors
/// A problem: too large, too slow, or not what the endpoint takes.
pub(crate) async fn json<T, B>(body: B) -> Result<T, Refusal>
where
    T: DeserializeOwned,
    B: HttpBody<Error: Into<BoxError>>,
{
    let bytes = bytes(body).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let detail = format!("the body is not what this endpoint takes: {error}; see docs/api.md");
        Refusal::new(ErrorCode::RequestInvalid, detail)
    })
}

/// Reads a JSON body that may be absent, which means all defaults.
///
/// # Errors
/// As [`json`].
pub(crate) async fn json_or_default<T: DeserializeOwned + Default>(body: Body) -> Result<T, Refusal> {
    if body.is_end_stream() { Ok(T::default()) } else { json(body).await }
}

/// An answer in JSON.
///
/// # Errors
/// Never for what this daemon answers: every type of it can be written.
pub(crate) fn answer(what: &impl Serialize) -> Result<Response, Refusal> {
    let mut body = Vec::with_capacity(USUAL_ANSWER);
    serde_json::to_writer(&mut body, what).map_err(|error| {
        Refusal::new(ErrorCode::Internal, format!("the answer cannot be written: {error}"))
    })?;
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
