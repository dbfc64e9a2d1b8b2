//! Errors as the service words them (sheet 4.5), and in RFC 6749's shape where that is asked for.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use crate::settings::ErrorShape;

/// A refusal, in both vocabularies.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code}: {message}")]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    description: &'static str,
    /// The RFC 6749 / RFC 7009 word.
    oauth: &'static str,
    message: String,
    /// Worded by RFC 6749 whatever is configured.
    always_rfc: bool,
}

impl Refusal {
    fn new(
        status: StatusCode,
        code: &'static str,
        description: &'static str,
        oauth: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { status, code, description, oauth, message: message.into(), always_rfc: false }
    }

    /// `E011001`: the request cannot be read.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "E011001", "Bad request", "invalid_request", message)
    }

    /// `E011002`: something required is missing.
    pub(crate) fn missing(name: &str) -> Self {
        let message = format!("The {name} field is required");
        Self::new(
            StatusCode::BAD_REQUEST,
            "E011002",
            "Request is missing required arguments",
            "invalid_request",
            message,
        )
    }

    /// `E011002` again: this is how a missing client secret is reported.
    pub(crate) fn missing_secret() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "E011002",
            "Request is missing required arguments",
            "invalid_client",
            "missing secret",
        )
    }

    /// `E011003` for a grant type that is not offered.
    pub(crate) fn unsupported_grant(grant: &str) -> Self {
        let message = format!(
            "The grant_type field must be one of authorization_code, refresh_token, client_credentials: {grant}"
        );
        Self::new(StatusCode::BAD_REQUEST, "E011003", "Request is invalid", "unsupported_grant_type", message)
    }

    /// `E011003`: a value breaks a rule.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "E011003", "Request is invalid", "invalid_request", message)
    }

    /// `E011003` for a grant type that is switched off for the application.
    pub(crate) fn grant_off(grant: &str) -> Self {
        let message = format!("The grant_type field is not enabled for this application: {grant}");
        Self::new(StatusCode::BAD_REQUEST, "E011003", "Request is invalid", "unauthorized_client", message)
    }

    /// `E011003` for scopes that may not be asked for.
    pub(crate) fn bad_scope(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "E011003", "Request is invalid", "invalid_scope", message)
    }

    /// `E011003` for a resource that is not on the application's list (RFC 8707).
    pub(crate) fn no_target(resource: &str) -> Self {
        let message = format!("The resource is not approved for this application: {resource}");
        Self::new(StatusCode::BAD_REQUEST, "E011003", "Request is invalid", "invalid_target", message)
    }

    /// `E011004`, 401: the secret is not the application's.
    pub(crate) fn wrong_secret() -> Self {
        let message = "The client secret is not valid";
        Self::new(
            StatusCode::UNAUTHORIZED,
            "E011004",
            "Request arguments are invalid",
            "invalid_client",
            message,
        )
    }

    /// `E011003` for an authorization request that would be refused in the browser; `word` is RFC 6749's.
    pub(crate) fn unacceptable(word: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "E011003", "Request is invalid", word, message)
    }

    /// `E152006`: a client cannot be registered; `word` is RFC 7591's.
    pub(crate) fn registration(word: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "E152006", "Dynamic client registration failed", word, message)
    }

    /// `E011004`: the arguments do not fit each other or the state.
    pub(crate) fn mismatch(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "E011004",
            "Request arguments are invalid",
            "invalid_grant",
            message,
        )
    }

    /// `E011008`: no such project or client.
    pub(crate) fn no_project() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "E011008",
            "Project not found",
            "invalid_client",
            "Project not found",
        )
    }

    /// `E061005`: expired, spent, malformed or somebody else's token.
    pub(crate) fn invalid_token(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "E061005", "Invalid token", "invalid_grant", message)
    }

    /// `E064001`: the session was logged out or revoked.
    pub(crate) fn logged_out() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "E064001",
            "Token expired due to logout",
            "invalid_grant",
            "The session was logged out",
        )
    }

    /// `E062108`: no such user.
    pub(crate) fn no_user() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "E062108", "User not found", "invalid_grant", "User not found")
    }

    /// `E011003` for an application that may not sign in with a code from another device.
    pub(crate) fn no_device_login() -> Self {
        let message = "Device authorization is not enabled for this application";
        Self::new(StatusCode::BAD_REQUEST, "E011003", "Request is invalid", "unauthorized_client", message)
    }

    /// What polling is answered with until there are tokens: always in RFC 6749's shape (RFC 8628, 3.5).
    pub(crate) fn polling(word: &'static str, message: impl Into<String>) -> Self {
        let refusal =
            Self::new(StatusCode::BAD_REQUEST, "E011004", "Request arguments are invalid", word, message);
        Self { always_rfc: true, ..refusal }
    }

    /// `E062107`: the login id is taken.
    pub(crate) fn user_exists() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "E062107",
            "User already exists",
            "invalid_request",
            "User already exists",
        )
    }

    /// `E112102`: no such user, said by the management API.
    pub(crate) fn no_managed_user() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "E112102", "User not found", "invalid_request", "User not found")
    }

    /// `E061102`: not the one-time code that was sent.
    pub(crate) fn wrong_code() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "E061102",
            "Invalid one time code",
            "invalid_grant",
            "The code is wrong",
        )
    }

    /// `E061103`: too many wrong one-time codes.
    pub(crate) fn too_many_codes() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "E061103",
            "Too many one time code attempts",
            "invalid_grant",
            "Ask for another code",
        )
    }

    /// `E062802`: no access key in the bearer.
    pub(crate) fn no_access_key() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "E062802",
            "Access key is missing",
            "invalid_client",
            "The access key is missing",
        )
    }

    /// `E062803`: unknown, expired or deactivated.
    pub(crate) fn bad_access_key() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "E062803",
            "Access key is invalid",
            "invalid_client",
            "The access key is not valid",
        )
    }

    /// 403: the key is good and not for this.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "E061005", "Invalid token", "access_denied", message)
    }

    /// `E130429`: slow down.
    pub(crate) fn rate_limited() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "E130429",
            "Rate limit exceeded",
            "slow_down",
            "Rate limit exceeded",
        )
    }

    /// HTTP 500, for faults of the emulator itself.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "E011000", "Internal error", "server_error", message)
    }

    /// The Descope code.
    #[cfg(test)]
    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    /// The answer in `shape`.
    pub(crate) fn respond(&self, shape: ErrorShape) -> Response {
        let shape = if self.always_rfc { ErrorShape::Rfc } else { shape };
        let body = match shape {
            ErrorShape::Descope => json!({"errorCode": self.code, "errorDescription": self.description,
                                          "errorMessage": self.message, "message": self.message}),
            ErrorShape::Rfc => json!({"error": self.oauth, "error_description": self.message}),
        };
        // RFC 6749, 5.2: 400 unless the client itself failed to authenticate.
        let status = match shape {
            ErrorShape::Rfc if self.oauth == "invalid_client" => StatusCode::UNAUTHORIZED,
            ErrorShape::Rfc if self.status.is_client_error() => StatusCode::BAD_REQUEST,
            _ => self.status,
        };
        (status, [("cache-control", "no-store")], Json(body)).into_response()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.respond(ErrorShape::Descope)
    }
}

impl From<crate::keys::KeyFault> for Refusal {
    fn from(fault: crate::keys::KeyFault) -> Self {
        Self::internal(fault.to_string())
    }
}
