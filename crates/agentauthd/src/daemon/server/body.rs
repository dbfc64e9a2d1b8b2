//! Reading a request's body within its bounds.

use std::time::Duration;

use agentauth_api::ErrorCode;
use axum::body::{Body, HttpBody as _};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::refusal::Refusal;

/// The longest body that is read.
pub(crate) const MAX_BODY: usize = 64 * 1024;
/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads a JSON body. Unknown and duplicate members are refused.
///
/// # Errors
/// A problem: too large, too slow, or not what the endpoint takes.
pub(crate) async fn json<T: DeserializeOwned>(body: Body) -> Result<T, Refusal> {
    let collected = tokio::time::timeout(PATIENCE, Limited::new(body, MAX_BODY).collect()).await;
    let bytes = match collected {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format!("the body is longer than {MAX_BODY} bytes: send less");
            return Err(Refusal::new(ErrorCode::RequestTooLarge, detail));
        }
        Ok(Err(_)) => {
            return Err(Refusal::new(ErrorCode::RequestInvalid, "the body broke off: send it whole"));
        }
        Err(_) => {
            let detail = format!("the body did not arrive within {} s: send it at once", PATIENCE.as_secs());
            return Err(Refusal::new(ErrorCode::RequestInvalid, detail));
        }
    };
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
