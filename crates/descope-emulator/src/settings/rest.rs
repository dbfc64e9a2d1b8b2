//! The endpoints under `/v1`: what documents and SDKs disagree on, and limits.

use serde::{Deserialize, Serialize};

/// The endpoints under `/v1/auth` and `/v1/mgmt`, where documents and SDKs disagree (sheet 4.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RestSettings {
    /// The bearer must end with the project's authentication key.
    pub locked: bool,
    /// The answer of `/v1/auth/me/history`.
    pub history: HistoryShape,
    /// The answer of `/v1/auth/validate`.
    pub validate: ValidateShape,
    /// Name of the session cookie, and with it `sessionCookieName`.
    pub session_cookie: String,
    /// Name of the refresh cookie, and with it `cookieName`.
    pub refresh_cookie: String,
    /// How many requests a path takes; the first that fits counts. None at start: tests would stumble over the
    /// service's own 500 a minute.
    pub limits: Vec<RateLimit>,
    /// Seconds for which one-time codes and links are good.
    pub one_time_seconds: u32,
}

impl Default for RestSettings {
    fn default() -> Self {
        Self {
            locked: false,
            history: HistoryShape::Bare,
            validate: ValidateShape::Parsed,
            session_cookie: "DS".to_owned(),
            refresh_cookie: "DSR".to_owned(),
            limits: Vec::new(),
            one_time_seconds: 180,
        }
    }
}

/// The answer of `/v1/auth/me/history`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryShape {
    /// A list, as the SDKs read it.
    Bare,
    /// `{"authHistory": […]}`, as the service's OpenAPI file has it.
    Wrapped,
}

/// The answer of `/v1/auth/validate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValidateShape {
    /// `{"parsedJWT": {…}}`, as the OpenAPI file has it.
    Parsed,
    /// The claims themselves with ISO dates, as the documentation shows it.
    Flat,
}

/// A limit on requests (sheet 4.6). What goes beyond gets 429, `E130429` and `Retry-After`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// The path, in which `*` stands for any run of characters.
    pub path: String,
    /// Requests in each window.
    pub requests: u32,
    /// Length of a window.
    pub seconds: u32,
}
