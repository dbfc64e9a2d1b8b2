//! Judging one request to the login's listener (pure): whether it is the answer that this login waits for.

use std::collections::BTreeSet;

use http::header::{ALLOW, CONTENT_LENGTH, HOST, ORIGIN, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, request};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::text::shown;

/// The longest query that is looked at.
const MAX_QUERY_BYTES: usize = 8 * 1024;
/// The longest authorization code.
const MAX_CODE_BYTES: usize = 4 * 1024;
/// More parameters than any authorization response has.
const MAX_PARAMETERS: usize = 32;

/// What the answer must look like.
pub(crate) struct Expected {
    /// Our `state`.
    pub(crate) state: SecretString,
    /// The listener's literal address and port, the only `Host` that is ours (a foreign one means DNS rebinding).
    pub(crate) authority: String,
    /// The exact path.
    pub(crate) path: String,
    /// The issuer that the browser was sent to (RFC 9207).
    pub(crate) issuer: String,
    /// Whether the provider promised to send `iss`.
    pub(crate) iss_required: bool,
}

/// The judgement.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The answer, with an authorization code.
    Code(SecretString),
    /// The answer, with an error.
    Error {
        /// `error`, escaped and capped.
        code: String,
        /// `error_description`, escaped and capped.
        description: Option<String>,
    },
    /// Our `state`, but another issuer's answer (mix-up, RFC 9207 section 2.4).
    IssuerMismatch {
        /// `iss`, escaped and capped; `None` if it is missing although promised.
        found: Option<String>,
    },
    /// Not the answer: refused, and the login goes on waiting.
    Refused(CallbackRefusal),
}

/// Why a request to the listener was not taken for the login's answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallbackRefusal {
    /// `Host` is missing, repeated or not the literal address.
    #[error("the request was meant for another host")]
    ForeignHost,
    /// The request line names a whole URL instead of a path.
    #[error("the request is written for a proxy")]
    AbsoluteTarget,
    /// Any other path.
    #[error("there is nothing at this path")]
    NotFound,
    /// Anything but `GET`.
    #[error("only GET is answered here")]
    Method,
    /// A picture, script, frame or fetch of another page instead of the browser's own navigation.
    #[error("the request is not a page load of its own")]
    NotNavigation,
    /// A page load has no body; what has one was put together by a program.
    #[error("the request carries a body")]
    Body,
    /// The query is longer than any answer.
    #[error("the query is too long")]
    TooLong,
    /// The query is not well-formed.
    #[error("the query is not well-formed")]
    Malformed,
    /// A parameter is given twice (RFC 6749 section 3.1).
    #[error("a parameter is given twice")]
    Duplicate,
    /// No `state`.
    #[error("`state` is missing, so it is not the answer to this login")]
    MissingState,
    /// Another `state` than ours.
    #[error("`state` is not the one of this login")]
    WrongState,
    /// Neither `code` nor `error`.
    #[error("there is neither a code nor an error")]
    NoCode,
    /// Both `code` and `error`.
    #[error("there are both a code and an error")]
    CodeAndError,
    /// The answer came already.
    #[error("this login has its answer already")]
    AlreadyAnswered,
}

impl CallbackRefusal {
    /// The status of the page that says so.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotNavigation | Self::MissingState | Self::WrongState => StatusCode::FORBIDDEN,
            Self::TooLong => StatusCode::URI_TOO_LONG,
            Self::AlreadyAnswered => StatusCode::GONE,
            Self::AbsoluteTarget
            | Self::Body
            | Self::Malformed
            | Self::Duplicate
            | Self::NoCode
            | Self::CodeAndError => StatusCode::BAD_REQUEST,
        }
    }

    /// A stable name for logs and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ForeignHost => "foreign_host",
            Self::AbsoluteTarget => "absolute_target",
            Self::NotFound => "not_found",
            Self::Method => "method",
            Self::NotNavigation => "not_navigation",
            Self::Body => "body",
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Duplicate => "duplicate",
            Self::MissingState => "missing_state",
            Self::WrongState => "wrong_state",
            Self::NoCode => "no_code",
            Self::CodeAndError => "code_and_error",
            Self::AlreadyAnswered => "already_answered",
        }
    }

    /// Whether it counts against the login: somebody tried to give an answer. Requests that a browser makes by
    /// itself, or that another page can make in bulk, do not.
    pub(crate) fn counts(&self) -> bool {
        !matches!(
            self,
            Self::ForeignHost
                | Self::AbsoluteTarget
                | Self::NotFound
                | Self::Method
                | Self::NotNavigation
                | Self::Body
                | Self::AlreadyAnswered
        )
    }

    /// The header that a refusal needs beside its page.
    pub(crate) fn header(&self) -> Option<(http::HeaderName, http::HeaderValue)> {
        matches!(self, Self::Method).then(|| (ALLOW, http::HeaderValue::from_static("GET")))
    }
}

/// Judges one request. The order matters: nothing of the query is looked at before host, path and method are ours,
/// and nothing in it counts before `state` is.
pub(crate) fn judge(expected: &Expected, request: &request::Parts) -> Verdict {
    match answer(expected, request) {
        Ok(verdict) => verdict,
        Err(refusal) => Verdict::Refused(refusal),
    }
}

fn answer(expected: &Expected, request: &request::Parts) -> Result<Verdict, CallbackRefusal> {
    if only(&request.headers, HOST.as_str()) != Some(expected.authority.as_bytes()) {
        return Err(CallbackRefusal::ForeignHost);
    }
    if request.uri.authority().is_some() || request.uri.scheme().is_some() {
        return Err(CallbackRefusal::AbsoluteTarget);
    }
    if request.uri.path() != expected.path {
        return Err(CallbackRefusal::NotFound);
    }
    if request.method != Method::GET {
        return Err(CallbackRefusal::Method);
    }
    // Fetch metadata: present in today's browsers; a page that guesses by pictures or fetches gives itself away. So does
    // `Origin`, which no browser sends with a page load by GET.
    let fetched = |name: &str, usual: &str| request.headers.get_all(name).iter().any(|value| value != usual);
    if fetched("sec-fetch-dest", "document")
        || fetched("sec-fetch-mode", "navigate")
        || request.headers.contains_key(ORIGIN)
    {
        return Err(CallbackRefusal::NotNavigation);
    }
    if request.headers.contains_key(TRANSFER_ENCODING)
        || request.headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0")
    {
        return Err(CallbackRefusal::Body);
    }
    let query = request.uri.query().unwrap_or_default();
    if query.len() > MAX_QUERY_BYTES {
        return Err(CallbackRefusal::TooLong);
    }
    let parameters = parse(query)?;
    let value = |name: &str| parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let state = value("state").ok_or(CallbackRefusal::MissingState)?;
    if !bool::from(state.as_bytes().ct_eq(expected.state.expose_secret().as_bytes())) {
        return Err(CallbackRefusal::WrongState);
    }
    match value("iss") {
        Some(iss) if iss != expected.issuer => {
            return Ok(Verdict::IssuerMismatch { found: Some(shown(iss, 200)) });
        }
        None if expected.iss_required => return Ok(Verdict::IssuerMismatch { found: None }),
        _ => {}
    }
    let filled = |name: &str| value(name).filter(|v| !v.is_empty());
    match (filled("code"), filled("error")) {
        (Some(_), Some(_)) => Err(CallbackRefusal::CodeAndError),
        (None, None) => Err(CallbackRefusal::NoCode),
        (Some(code), None) if code.len() > MAX_CODE_BYTES => Err(CallbackRefusal::TooLong),
        // RFC 6749 appendix A.11: printable ASCII.
        (Some(code), None) if !code.bytes().all(|b| matches!(b, b' '..=b'~')) => {
            Err(CallbackRefusal::Malformed)
        }
        (Some(code), None) => Ok(Verdict::Code(SecretString::from(code))),
        (None, Some(error)) => Ok(Verdict::Error {
            code: shown(error, 64),
            description: filled("error_description").map(|d| shown(d, 300)),
        }),
    }
}

/// The value of a header that must be there once.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.as_bytes())
}

/// The query's parameters, strictly: valid percent-encoding, valid UTF-8, no name twice.
fn parse(query: &str) -> Result<Vec<(String, String)>, CallbackRefusal> {
    let mut names = BTreeSet::new();
    let mut parameters = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name)?, decode(value)?);
        if !names.insert(name.clone()) {
            return Err(CallbackRefusal::Duplicate);
        }
        parameters.push((name, value));
        if parameters.len() > MAX_PARAMETERS {
            return Err(CallbackRefusal::TooLong);
        }
    }
    Ok(parameters)
}

/// `application/x-www-form-urlencoded`, without the leniency of the URL standard.
fn decode(text: &str) -> Result<String, CallbackRefusal> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else {
                    return Err(CallbackRefusal::Malformed);
                };
                u8::try_from(high * 16 + low).map_err(|_| CallbackRefusal::Malformed)?
            }
            other => other,
        });
    }
    String::from_utf8(out).map_err(|_| CallbackRefusal::Malformed)
}
