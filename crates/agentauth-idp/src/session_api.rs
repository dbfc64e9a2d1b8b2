//! Descope's own session endpoints below `/v1/auth` (sheet 4.1 to 4.3): how they are asked and how they answer.

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, SET_COOKIE};
use http::{HeaderValue, Method, Request};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::provider::Provider;
use crate::transport::Answer;

/// The members of a JWTResponse that are used. Absent, null and empty all mean "not given".
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JwtResponse {
    session_jwt: Option<String>,
    refresh_jwt: Option<String>,
    next_refresh_seconds: Option<i64>,
    cookie_name: Option<String>,
    session_cookie_name: Option<String>,
}

/// The tokens of a JWTResponse, wherever they were.
pub(crate) struct Issued {
    pub(crate) session: Option<SecretString>,
    pub(crate) refresh: Option<SecretString>,
    pub(crate) next_refresh_seconds: Option<u32>,
}

impl Provider {
    /// A request to `/v1/auth/{operation}` as the bearer of `refresh_token` (`Bearer {project}:{token}`). `None` if the
    /// token cannot stand in a header, so is none that the provider gave, or if the provider is not Descope.
    pub(crate) fn session_request(
        &self,
        method: Method,
        operation: &str,
        refresh_token: &SecretString,
    ) -> Option<Request<Vec<u8>>> {
        let project = self.config.project_id()?;
        let bearer = Zeroizing::new(format!("Bearer {project}:{}", refresh_token.expose_secret()));
        let mut authorization = HeaderValue::from_str(&bearer).ok()?;
        authorization.set_sensitive(true);
        let body = if method == Method::POST { b"{}".to_vec() } else { Vec::new() };
        Request::builder()
            .method(method)
            .uri(self.config.at(&format!("v1/auth/{operation}")))
            .header(AUTHORIZATION, authorization)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .ok()
    }
}

impl Issued {
    /// Reads a JWTResponse; `None` if the body is none.
    pub(crate) fn of(answer: &Answer) -> Option<Self> {
        let body: JwtResponse = serde_json::from_slice(&answer.body).ok()?;
        let given = |text: Option<String>| text.filter(|t| !t.is_empty());
        // Projects that keep tokens in cookies leave the members empty.
        let refresh_cookie = given(body.cookie_name).unwrap_or_else(|| "DSR".to_owned());
        let session_cookie = given(body.session_cookie_name).unwrap_or_else(|| "DS".to_owned());
        Some(Self {
            session: given(body.session_jwt)
                .or_else(|| cookie(answer, &session_cookie))
                .map(SecretString::from),
            refresh: given(body.refresh_jwt)
                .or_else(|| cookie(answer, &refresh_cookie))
                .map(SecretString::from),
            next_refresh_seconds: body
                .next_refresh_seconds
                .filter(|&seconds| seconds > 0)
                .and_then(|seconds| u32::try_from(seconds).ok()),
        })
    }
}

/// The value of a `Set-Cookie`.
fn cookie(answer: &Answer, name: &str) -> Option<String> {
    answer.headers.get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok()).find_map(|line| {
        let pair = line.split(';').next()?;
        let (found, value) = pair.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (found.trim() == name && !value.is_empty()).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    fn issued(body: &str, cookies: &[&'static str]) -> Option<Issued> {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(SET_COOKIE, HeaderValue::from_static(cookie));
        }
        Issued::of(&Answer {
            status: StatusCode::OK,
            headers,
            body: Zeroizing::new(body.as_bytes().to_vec()),
        })
    }

    fn text(secret: &Option<SecretString>) -> Option<&str> {
        secret.as_ref().map(ExposeSecret::expose_secret)
    }

    #[test]
    fn tokens_are_found_in_body_or_cookies() {
        let all = issued(r#"{"sessionJwt":"s","refreshJwt":"r","nextRefreshSeconds":90}"#, &[]).unwrap();
        assert_eq!((text(&all.session), text(&all.refresh)), (Some("s"), Some("r")));
        assert_eq!(all.next_refresh_seconds, Some(90));
        for body in [
            r#"{"sessionJwt":"s"}"#,
            r#"{"sessionJwt":"s","refreshJwt":null}"#,
            r#"{"sessionJwt":"s","refreshJwt":"","nextRefreshSeconds":0}"#,
        ] {
            let kept = issued(body, &[]).unwrap();
            assert_eq!((text(&kept.session), text(&kept.refresh)), (Some("s"), None), "{body}");
            assert_eq!(kept.next_refresh_seconds, None);
        }
        let cookies =
            issued(r#"{"sessionJwt":"","refreshJwt":""}"#, &["DS=s; Path=/", "DSR=r; Secure; HttpOnly"])
                .unwrap();
        assert_eq!((text(&cookies.session), text(&cookies.refresh)), (Some("s"), Some("r")));
        let named = issued(r#"{"cookieName":"mine"}"#, &["DSR=other", "mine=r"]).unwrap();
        assert_eq!((text(&named.session), text(&named.refresh)), (None, Some("r")));
        assert!(issued("<html>", &[]).is_none());
    }
}
