//! Refreshing: one request with the refresh token, never repeated by itself, and a failure that says what it means for
//! the session. What to do after one is `agentauth-core`'s rule.

use std::fmt;

use agentauth_core::session::{RefreshAnswer, RefreshFailure};
use http::Method;
use oauth2::basic::BasicTokenType;
use oauth2::{RefreshToken, TokenResponse as _};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::config::RefreshVia;
use crate::oauth::{self, Adapter, TokenRequestError};
use crate::problem::{Problem, Shape};
use crate::provider::Provider;
use crate::session_api::Issued;
use crate::text::shown;
use crate::transport::{Answer, HttpError, describe};

/// Statuses with which the edge says that it did not reach the provider at all (Cloudflare), so that nothing was
/// rotated: down, connection timed out, unreachable, TLS failure twice, not resolved.
pub(crate) const NOT_REACHED: [u16; 6] = [521, 522, 523, 525, 526, 530];

/// Descope's codes for a request that no repetition and no other token would make right (sheet 4.5, 5.3: a missing
/// secret, a grant that is switched off).
const REQUEST_CODES: [&str; 2] = ["E011002", "E011003"];

/// What a refresh brought. The session token is not believed yet: see
/// [`Provider::verify_session`](crate::Provider::verify_session).
pub struct Refreshed {
    /// The new session token.
    pub access_token: SecretString,
    /// The refresh token that replaces the old one: store it before using anything else. `None`: keep the old one.
    pub new_refresh: Option<SecretString>,
    /// A new ID token, if there was one.
    pub id_token: Option<SecretString>,
    /// The life of the access token in seconds, as the provider claims it.
    pub expires_in: Option<u64>,
    /// When the provider wishes to be asked again.
    pub next_refresh_seconds: Option<u32>,
}

impl fmt::Debug for Refreshed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refreshed")
            .field("rotated", &self.new_refresh.is_some())
            .field("next_refresh_seconds", &self.next_refresh_seconds)
            .finish_non_exhaustive()
    }
}

impl Provider {
    /// Redeems `refresh_token` for a new session token. The caller sees to it that no other refresh of the same login is
    /// in flight, here or in another process.
    ///
    /// # Errors
    /// See [`RefreshFailure`].
    pub async fn refresh(&self, refresh_token: &SecretString) -> Result<Refreshed, RefreshFailure> {
        let refreshed = match self.config.refresh_via() {
            RefreshVia::TokenEndpoint => self.refresh_by_grant(refresh_token).await?,
            RefreshVia::SessionEndpoint => self.refresh_by_session(refresh_token).await?,
        };
        // The same token again is no rotation.
        let new_refresh = refreshed.new_refresh.filter(|new| {
            !bool::from(new.expose_secret().as_bytes().ct_eq(refresh_token.expose_secret().as_bytes()))
        });
        Ok(Refreshed { new_refresh, ..refreshed })
    }

    async fn refresh_by_grant(&self, refresh_token: &SecretString) -> Result<Refreshed, RefreshFailure> {
        let metadata = self.metadata().await.map_err(|error| {
            let what = describe(&error);
            if error.is_transient() {
                RefreshFailure::network(false, what)
            } else {
                RefreshFailure::Config { what }
            }
        })?;
        let client = oauth::client(&self.config, &metadata, None)
            .map_err(|_| RefreshFailure::Config { what: "the token endpoint is no usable url".to_owned() })?;
        let token = RefreshToken::new(refresh_token.expose_secret().to_owned());
        let mut request = client.exchange_refresh_token(&token);
        if let Some(resource) = self.config.oidc().and_then(|oidc| oidc.resource.as_deref()) {
            request = request.add_extra_param("resource", resource);
        }
        let answer =
            request.request_async(&Adapter(&self.http)).await.map_err(
                |error| match TokenRequestError::from(error) {
                    TokenRequestError::Http(error) => unanswered(&error),
                    TokenRequestError::Refused(answer) => refused(&answer),
                    TokenRequestError::Malformed(place) => unreadable(&place),
                },
            )?;
        if *answer.token_type() != BasicTokenType::Bearer {
            return Err(RefreshFailure::Config {
                what: format!(
                    "the provider gave tokens of type `{}`, which are not supported",
                    shown(answer.token_type().as_ref(), 32)
                ),
            });
        }
        let given = |text: Option<&str>| text.filter(|t| !t.is_empty()).map(SecretString::from);
        Ok(Refreshed {
            access_token: given(Some(answer.access_token().secret().as_str()))
                .ok_or_else(|| unreadable("the access token is empty"))?,
            new_refresh: given(answer.refresh_token().map(|token| token.secret().as_str())),
            id_token: given(answer.extra_fields().id_token.as_deref()),
            expires_in: answer.expires_in().map(|duration| duration.as_secs()),
            next_refresh_seconds: None,
        })
    }

    async fn refresh_by_session(&self, refresh_token: &SecretString) -> Result<Refreshed, RefreshFailure> {
        let answer = self.ask_session(Method::POST, "refresh", refresh_token).await?;
        let issued = Issued::of(&answer).ok_or_else(|| unreadable("not a session response"))?;
        Ok(Refreshed {
            access_token: issued.session.ok_or_else(|| unreadable("it has no session token"))?,
            new_refresh: issued.refresh,
            id_token: None,
            expires_in: None,
            next_refresh_seconds: issued.next_refresh_seconds,
        })
    }

    /// Asks a session endpoint; anything but 200 is a failure.
    pub(crate) async fn ask_session(
        &self,
        method: Method,
        operation: &str,
        refresh_token: &SecretString,
    ) -> Result<Answer, RefreshFailure> {
        let request = self.session_request(method, operation, refresh_token).ok_or_else(|| {
            RefreshFailure::Config { what: "the stored refresh token is damaged; log in again".to_owned() }
        })?;
        let answer = self.http.send(request, None).await.map_err(|error| unanswered(&error))?;
        if answer.status == http::StatusCode::OK { Ok(answer) } else { Err(refused(&answer)) }
    }
}

fn unanswered(error: &HttpError) -> RefreshFailure {
    match error {
        HttpError::Setup { .. }
        | HttpError::ForeignOrigin { .. }
        | HttpError::NoEndpoint { .. }
        | HttpError::Request { .. } => RefreshFailure::Config { what: error.to_string() },
        _ => RefreshFailure::network(error.sent(), error.to_string()),
    }
}

fn unreadable(place: &str) -> RefreshFailure {
    RefreshFailure::network(true, format!("the provider's answer cannot be used: {place}"))
}

/// Tells what a complete answer that is no success means.
pub(crate) fn refused(answer: &Answer) -> RefreshFailure {
    let problem = Problem::of(answer);
    tracing::debug!(
        status = problem.status,
        code = problem.code.as_deref(),
        ray = problem.ray.as_deref(),
        "the provider refused a request with the refresh token"
    );
    let retry_after = answer.retry_after();
    if (300..400).contains(&problem.status) {
        let what = format!("the provider redirects ({problem}), which is never followed; check the base url");
        return RefreshFailure::Config { what };
    }
    if NOT_REACHED.contains(&problem.status) {
        return RefreshFailure::Unknown {
            sent: false,
            retry_after,
            what: format!("the provider is down ({problem})"),
        };
    }
    if problem.code.as_deref().is_some_and(|code| REQUEST_CODES.contains(&code)) {
        return RefreshFailure::Config {
            what: format!("the provider refuses the way this client refreshes ({problem})"),
        };
    }
    let seen = RefreshAnswer {
        status: problem.status,
        readable: problem.shape != Shape::Unrecognised,
        code: problem.code.clone(),
        message: problem.message.clone(),
        retry_after,
    };
    match (RefreshFailure::of_answer(&seen), problem.ray) {
        (Some(RefreshFailure::Unknown { sent, retry_after, what }), Some(ray)) => {
            RefreshFailure::Unknown { sent, retry_after, what: format!("{what} (cf-ray {ray})") }
        }
        (Some(RefreshFailure::Over { code, message, revoked }), Some(ray)) => {
            RefreshFailure::Over { code, message: format!("{message} (cf-ray {ray})"), revoked }
        }
        (Some(failure), _) => failure,
        // A success of another kind than 200.
        (None, _) => unreadable(&format!("status {}", problem.status)),
    }
}

#[cfg(test)]
mod tests {
    use agentauth_core::SignedDuration;
    use http::{HeaderMap, StatusCode};
    use zeroize::Zeroizing;

    use super::*;

    fn failure(status: u16, body: &str, headers: &[(&'static str, &'static str)]) -> RefreshFailure {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, http::HeaderValue::from_static(value));
        }
        refused(&Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: map,
            body: Zeroizing::new(body.as_bytes().to_vec()),
        })
    }

    #[test]
    fn failures_are_told_apart() {
        let logged_out = r#"{"errorCode":"E064001","errorMessage":"logged out"}"#;
        let invalid = r#"{"errorCode":"E061005","errorMessage":"invalid token"}"#;
        let grant = r#"{"error":"invalid_grant","error_description":"gone"}"#;
        let html = "<!DOCTYPE html><title>Just a moment...</title>";
        for (status, body, expected) in [
            (401, logged_out, "over, revoked"),
            (401, invalid, "over"),
            (400, grant, "over"),
            (403, html, "unknown"),
            (401, "", "unknown"),
            (429, r#"{"errorCode":"E130429"}"#, "unknown"),
            (408, "", "unknown"),
            (500, html, "unknown, sent"),
            (502, html, "unknown, sent"),
            (503, html, "unknown"),
            (520, html, "unknown, sent"),
            (521, html, "unknown"),
            (522, html, "unknown"),
            (524, html, "unknown, sent"),
            (530, html, "unknown"),
            (404, "", "config"),
            (400, r#"{"errorCode":"E011008","errorMessage":"project not found"}"#, "config"),
            (400, r#"{"errorCode":"E011002","errorMessage":"missing secret"}"#, "config"),
            (400, r#"{"errorCode":"E011003","errorMessage":"grant_type"}"#, "config"),
            (401, r#"{"error":"invalid_client"}"#, "config"),
            (400, r#"{"error":"unsupported_grant_type"}"#, "config"),
            (301, html, "config"),
            (307, "", "config"),
            (201, "{}", "unknown, sent"),
        ] {
            let seen = match failure(status, body, &[]) {
                RefreshFailure::Over { revoked: true, .. } => "over, revoked",
                RefreshFailure::Over { .. } => "over",
                RefreshFailure::Unknown { sent: true, .. } => "unknown, sent",
                RefreshFailure::Unknown { .. } => "unknown",
                RefreshFailure::Config { .. } => "config",
            };
            assert_eq!(seen, expected, "{status} {body}");
        }
    }

    #[test]
    fn retry_after_and_the_trace_id_are_kept() {
        let limited = failure(429, "", &[("retry-after", "17"), ("cf-ray", "8a-FRA")]);
        let RefreshFailure::Unknown { sent: false, retry_after, what } = limited else {
            panic!("{limited:?}")
        };
        assert_eq!(retry_after, Some(SignedDuration::from_secs(17)));
        assert!(what.contains("8a-FRA"), "{what}");
        for (header, expected) in [
            ("Wed, 21 Oct 2026 07:28:00 GMT", None),
            ("-5", None),
            ("999999999", Some(SignedDuration::from_hours(24))),
        ] {
            let RefreshFailure::Unknown { retry_after, .. } = failure(503, "", &[("retry-after", header)])
            else {
                panic!()
            };
            assert_eq!(retry_after, expected, "{header}");
        }
    }
}
