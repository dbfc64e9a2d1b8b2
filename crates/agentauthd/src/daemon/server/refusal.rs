//! Saying no on the socket: RFC 9457 problem details.

use agentauth_api::{ErrorCode, Problem};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::config::{self, DEFAULT_PROFILE};

/// A problem on its way to the caller.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) Problem);

impl Refusal {
    /// A problem with this code, and what was tried, why it failed, what to do.
    pub(crate) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self(Problem::new(code, detail))
    }
}

/// A problem whose commands are those of this profile; any other answer stays as it is.
pub(crate) fn addressed(profile: &str, mut answer: Response) -> Response {
    if profile == DEFAULT_PROFILE {
        return answer;
    }
    match answer.extensions_mut().remove::<Problem>() {
        Some(problem) => {
            let detail = config::addressed(profile, &problem.detail).into_owned();
            Refusal(Problem { detail, ..problem }).into_response()
        }
        None => answer,
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let close = matches!(self.0.code, ErrorCode::CallerUnproven | ErrorCode::RequestTooLarge);
        // With commands in it, whoever answers may have to say of which profile they are.
        let commands = self.0.detail.contains("`agentauthd ").then(|| self.0.clone());
        let mut response = (status, Json(self.0)).into_response();
        if let Some(problem) = commands {
            response.extensions_mut().insert(problem);
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if close {
            // What follows on this connection cannot be trusted to be a request.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn commands_are_those_of_the_profile() {
        let said = async |profile: &str, detail: &str| {
            let answer = addressed(profile, Refusal::new(ErrorCode::NotFound, detail).into_response());
            assert_eq!(answer.status(), StatusCode::NOT_FOUND);
            assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
            let body = axum::body::to_bytes(answer.into_body(), 4096).await.unwrap();
            serde_json::from_slice::<Problem>(&body).unwrap().detail
        };
        assert_eq!(said("dev", "run `agentauthd login`").await, "run `agentauthd --profile dev login`");
        assert_eq!(said(DEFAULT_PROFILE, "run `agentauthd login`").await, "run `agentauthd login`");
        assert_eq!(said("dev", "no such path").await, "no such path");
    }
}
