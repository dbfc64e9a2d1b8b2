//! The provider's error answers, in both of their shapes (sheet 4.5 and 5.3): Descope's
//! `{"errorCode","errorDescription","errorMessage"}` and RFC 6749 section 5.2's `{"error","error_description"}`;
//! and answers that are neither, such as the edge's HTML.

use std::fmt;

use serde::Deserialize;

use crate::text::shown;
use crate::transport::Answer;

/// What the provider said when it refused. The texts are capped, escaped and free of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// Who speaks: the provider, or something in front of it.
    pub shape: Shape,
    /// `errorCode` or `error`.
    pub code: Option<String>,
    /// The human text.
    pub message: Option<String>,
    /// Cloudflare's trace id for the provider's support.
    pub ray: Option<String>,
}

/// How an error answer was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `errorCode` and its companions.
    Descope,
    /// RFC 6749 `error`.
    OAuth,
    /// Neither: an HTML page, an empty body, another JSON.
    Unrecognised,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    error_code: Option<String>,
    error_description: Option<String>,
    error_message: Option<String>,
    message: Option<String>,
    error: Option<String>,
    #[serde(rename = "error_description")]
    oauth_description: Option<String>,
}

impl Problem {
    pub(crate) fn of(answer: &Answer) -> Self {
        let none = |shape| Self {
            status: answer.status.as_u16(),
            shape,
            code: None,
            message: None,
            ray: answer.ray(),
        };
        let Ok(wire) = serde_json::from_slice::<Wire>(&answer.body) else {
            return none(Shape::Unrecognised);
        };
        let given = |text: Option<String>| text.filter(|t| !t.is_empty());
        if let Some(code) = given(wire.error_code) {
            let message = given(wire.error_message)
                .or(given(wire.message))
                .or(given(wire.error_description))
                .map(|m| shown(&m, 300));
            Self { code: Some(shown(&code, 32)), message, ..none(Shape::Descope) }
        } else if let Some(code) = given(wire.error) {
            let message = given(wire.oauth_description).map(|m| shown(&m, 300));
            Self { code: Some(shown(&code, 64)), message, ..none(Shape::OAuth) }
        } else {
            none(Shape::Unrecognised)
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, ", `{code}`")?;
        }
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        if let Some(ray) = &self.ray {
            write!(f, " (cf-ray {ray})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};
    use zeroize::Zeroizing;

    use super::*;

    fn problem(body: &str) -> Problem {
        let mut headers = HeaderMap::new();
        headers.insert("cf-ray", "abc-FRA".parse().unwrap());
        Problem::of(&Answer {
            status: StatusCode::UNAUTHORIZED,
            headers,
            body: Zeroizing::new(body.as_bytes().to_vec()),
        })
    }

    #[test]
    fn descope_shape() {
        let p = problem(r#"{"errorCode":"E064001","errorDescription":"d","errorMessage":"logged out"}"#);
        assert_eq!((p.shape, p.code.as_deref()), (Shape::Descope, Some("E064001")));
        assert_eq!(p.to_string(), "HTTP 401, `E064001`: logged out (cf-ray abc-FRA)");
        let p = problem(r#"{"errorCode":"E1","errorDescription":"only this","errorMessage":null}"#);
        assert_eq!(p.message.as_deref(), Some("only this"));
    }

    #[test]
    fn oauth_shape() {
        let p = problem(r#"{"error":"invalid_grant","error_description":"gone"}"#);
        assert_eq!((p.shape, p.code.as_deref()), (Shape::OAuth, Some("invalid_grant")));
        assert_eq!(p.message.as_deref(), Some("gone"));
    }

    #[test]
    fn anything_else_is_unrecognised() {
        for body in
            ["", "<html>Attention required</html>", "[]", "{}", r#"{"errorCode":""}"#, r#"{"error":5}"#]
        {
            assert_eq!(problem(body).shape, Shape::Unrecognised, "{body}");
        }
    }

    #[test]
    fn echoed_tokens_are_taken_out() {
        let p = problem(r#"{"errorCode":"E1","errorMessage":"bad eyJhbGciOiJSUzI1NiJ9.e30.sig token"}"#);
        assert_eq!(p.message.as_deref(), Some("bad [redacted] token"));
    }
}
