//! Logging in on another device (RFC 8628): the codes, what a person is shown of them, and the asking until there are
//! tokens. When to ask is `agentauth-core`'s rule; believing the tokens is `tokens.rs`'s.
//!
//! This way in can be phished: whoever talks a person into approving a code gets the login. Nothing in the protocol ties
//! the approval to this machine, and there is no `nonce` to tie the ID token to the request.

use std::fmt;
use std::pin::{Pin, pin};
use std::time::Duration;

use agentauth_core::session::{PollAnswer, PollEnd, Polling};
use agentauth_core::{Clock, SignedDuration};
use http::{Request, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use tokio::time::Sleep;
use url::Url;

use crate::config::protected;
use crate::discovery::DiscoveryError;
use crate::oauth;
use crate::problem::{Problem, Shape};
use crate::provider::Provider;
use crate::refresh::NOT_REACHED;
use crate::tokens::{ExchangeError, TokenSet};
use crate::transport::{Answer, Http, HttpError};

/// The grant type (RFC 8628 section 3.4).
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The longest user code, in characters: it is typed by hand.
const LONGEST_USER_CODE: usize = 64;
/// The longest address that is shown, in bytes.
const LONGEST_ADDRESS: usize = 2048;
/// The longest device code, in bytes.
const LONGEST_DEVICE_CODE: usize = 8192;

/// Codes with which a provider says that it is the application that may not do this (RFC 6749 section 5.2; sheet 4.5).
const CLIENT_CODES: [&str; 5] =
    ["E011003", "access_denied", "invalid_client", "unauthorized_client", "unsupported_grant_type"];

/// The beginning of a login on another device.
#[derive(Debug)]
pub struct DeviceLogin;

/// What the person needs. Shown to the person only; `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct DevicePrompt {
    /// The code to enter, or to compare: printable ASCII.
    pub user_code: String,
    /// Where to enter it: https, or http on this machine.
    pub verification_uri: Url,
    /// The same with the code in it, on the same origin.
    pub verification_uri_complete: Option<Url>,
    /// For how long the code is good, from now.
    pub lifetime: SignedDuration,
}

/// A login that waits for another device.
pub struct DeviceAttempt {
    token_endpoint: Url,
    device_code: SecretString,
    polling: Polling,
    /// By the clock that nobody can set.
    over: Pin<Box<Sleep>>,
}

/// Why a login on another device came to no tokens. Nothing is stored in any of these cases.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The provider could not be asked where to log in.
    #[error("cannot start the login")]
    Discovery(#[from] DiscoveryError),
    /// The description names no endpoint for it.
    #[error(
        "the provider offers this application no login on another device; switch on device authentication there, or log \
         in in the browser"
    )]
    NotOffered,
    /// The provider was not reached, or its answer was not understood.
    #[error("cannot start the login")]
    Http(#[from] HttpError),
    /// The application may not do this.
    #[error(
        "the provider does not let this application log in on another device ({0}); allow it the device authorization \
         grant there, or log in in the browser"
    )]
    NotAllowed(Box<Problem>),
    /// The provider refused for another reason.
    #[error("the provider refused to start a login on another device ({0})")]
    NotStarted(Box<Problem>),
    /// What the provider wants the person to see cannot be shown.
    #[error("the provider's answer has no usable `{0}`, so there is nothing to show; the login is refused")]
    Unusable(&'static str),
    /// The caller gave up.
    #[error("the login was cancelled")]
    Cancelled,
    /// The person said no.
    #[error(
        "the login was refused on the other device; if that was not you, nothing was lost: start again when you want"
    )]
    Denied,
    /// Nobody approved it in time.
    #[error("nobody approved the login within {} s{}; start again", .lifetime.as_secs(), at_last(.last_failure.as_deref()))]
    Expired {
        /// The time that there was.
        lifetime: SignedDuration,
        /// What stood in the way of the last question.
        last_failure: Option<String>,
    },
    /// The provider refused, most likely because its tokens were in an answer that never came.
    #[error("the provider's answer got lost, and it does not give it twice ({0}); start again")]
    AnswerLost(Box<Problem>),
    /// The provider refused.
    #[error("the provider refused the login ({0}); start again")]
    Refused(Box<Problem>),
    /// There were tokens, which cannot be used.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
}

/// What one question brought.
enum Asked {
    Tokens(TokenSet),
    Unusable(ExchangeError),
    Answer(PollAnswer, Box<Problem>),
    Nothing { sent: bool, why: String },
}

impl DeviceLogin {
    /// Asks the provider for codes. The time limit, the shorter of the provider's and `limit`, runs from here.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub async fn start(
        provider: &Provider,
        limit: Option<Duration>,
        clock: &dyn Clock,
    ) -> Result<(DeviceAttempt, DevicePrompt), DeviceError> {
        let config = provider.config();
        let metadata = provider.fetch_metadata().await?;
        let endpoint = metadata.device_authorization_endpoint.as_ref().ok_or(DeviceError::NotOffered)?;
        let form = [("client_id", config.client_id()), ("scope", &config.scopes().join(" "))];
        let answer = post(&provider.http, endpoint, &form).await?;
        if answer.status != StatusCode::OK {
            return Err(not_started(&answer));
        }
        let codes = Codes::judge(&answer.body)?;
        let limit = limit.and_then(|limit| SignedDuration::try_from(limit).ok());
        let lifetime = limit.map_or(codes.lifetime, |limit| codes.lifetime.min(limit));
        let attempt = DeviceAttempt {
            token_endpoint: metadata.token_endpoint.clone(),
            device_code: codes.device_code,
            polling: Polling::new(codes.interval, lifetime, clock.now()),
            over: Box::pin(tokio::time::sleep(lifetime.unsigned_abs())),
        };
        let prompt = DevicePrompt {
            user_code: codes.user_code,
            verification_uri: codes.verification_uri,
            verification_uri_complete: codes.verification_uri_complete,
            lifetime,
        };
        Ok((attempt, prompt))
    }
}

impl DeviceAttempt {
    /// Asks until the person has answered, the time is over, or `cancel` completes. A question that is under way then is
    /// brought to its end, and the login that it may have brought is ended at the provider.
    ///
    /// # Errors
    /// See [`DeviceError`]; [`DeviceError::Cancelled`] once `cancel` has completed.
    pub async fn wait(
        mut self,
        provider: &Provider,
        clock: &dyn Clock,
        cancel: impl Future<Output = ()>,
    ) -> Result<TokenSet, DeviceError> {
        let lifetime = self.polling.deadline().duration_since(clock.now());
        let ended = |end, problem, last_failure: &Option<String>| match (end, problem) {
            (PollEnd::Denied, _) => DeviceError::Denied,
            (PollEnd::AnswerLost, Some(problem)) => DeviceError::AnswerLost(problem),
            (PollEnd::Refused, Some(problem)) => DeviceError::Refused(problem),
            _ => DeviceError::Expired { lifetime, last_failure: last_failure.clone() },
        };
        let mut cancel = pin!(cancel);
        let mut last_failure = None;
        let mut pause = self.polling.wait(clock.now()).map_err(|end| ended(end, None, &None))?;
        loop {
            tokio::select! {
                biased;
                () = cancel.as_mut() => return Err(DeviceError::Cancelled),
                () = self.over.as_mut() => return Err(ended(PollEnd::Expired, None, &last_failure)),
                () = tokio::time::sleep(pause.unsigned_abs()) => {}
            }
            let mut cancelled = false;
            let asked = {
                let mut asking = pin!(self.ask(provider));
                tokio::select! {
                    biased;
                    asked = asking.as_mut() => asked,
                    () = cancel.as_mut() => {
                        cancelled = true;
                        asking.await
                    }
                }
            };
            let (answer, problem) = match asked {
                Asked::Tokens(tokens) if cancelled => {
                    // Nobody will use it. Best effort: the person has long been told that it is over.
                    let _ = provider.logout(&tokens.refresh_token, false).await;
                    return Err(DeviceError::Cancelled);
                }
                _ if cancelled => return Err(DeviceError::Cancelled),
                Asked::Tokens(tokens) => return Ok(tokens),
                Asked::Unusable(error) => return Err(error.into()),
                Asked::Answer(answer, problem) => {
                    last_failure = matches!(answer, PollAnswer::Failed { .. }).then(|| problem.to_string());
                    (answer, Some(problem))
                }
                Asked::Nothing { sent, why } => {
                    last_failure = Some(why);
                    (PollAnswer::Failed { sent, retry_after: None }, None)
                }
            };
            tracing::debug!(?answer, "asked whether the login was approved on the other device");
            (self.polling, pause) =
                self.polling.after(answer, clock.now()).map_err(|end| ended(end, problem, &last_failure))?;
        }
    }

    async fn ask(&self, provider: &Provider) -> Asked {
        let form = [
            ("grant_type", GRANT),
            ("device_code", self.device_code.expose_secret()),
            ("client_id", provider.config().client_id()),
        ];
        match post(&provider.http, &self.token_endpoint, &form).await {
            Ok(answer) => match judge(&answer) {
                // Some servers repeat what they were sent.
                Asked::Answer(meant, problem) if names(&answer.body, &self.device_code) => {
                    Asked::Answer(meant, Box::new(Problem { code: None, message: None, ..*problem }))
                }
                asked => asked,
            },
            Err(error) => Asked::Nothing { sent: error.sent(), why: error.to_string() },
        }
    }
}

impl fmt::Debug for DevicePrompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevicePrompt").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

impl fmt::Debug for DeviceAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceAttempt").field("polling", &self.polling).finish_non_exhaustive()
    }
}

/// The provider's answer to the request for codes (RFC 8628 section 3.2), judged.
struct Codes {
    device_code: SecretString,
    user_code: String,
    verification_uri: Url,
    verification_uri_complete: Option<Url>,
    lifetime: SignedDuration,
    interval: Option<SignedDuration>,
}

impl Codes {
    fn judge(body: &[u8]) -> Result<Self, DeviceError> {
        let unreadable = || DeviceError::Unusable("device_code");
        oauth::readable(body).map_err(|_| unreadable())?;
        let members: Map<String, Value> = serde_json::from_slice(body).map_err(|_| unreadable())?;
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let seconds = |name: &str| {
            let seconds = members.get(name).and_then(Value::as_u64)?;
            i64::try_from(seconds).ok().map(SignedDuration::from_secs)
        };
        let device_code = text("device_code")
            .filter(|code| !code.is_empty() && code.len() <= LONGEST_DEVICE_CODE)
            .filter(|code| code.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or(DeviceError::Unusable("device_code"))?;
        // What a person is shown must not carry what the tokens are given for.
        let shows_it = |shown: &str| shown.contains(device_code);
        let user_code = text("user_code")
            .filter(|code| plain_code(code) && !shows_it(code))
            .ok_or(DeviceError::Unusable("user_code"))?;
        let verification_uri = text("verification_uri")
            .and_then(address)
            .filter(|uri| !shows_it(uri.as_str()))
            .ok_or(DeviceError::Unusable("verification_uri"))?;
        let verification_uri_complete = text("verification_uri_complete").and_then(address).filter(|uri| {
            // It saves typing, and is not worth an address that the person would not expect.
            uri.origin() == verification_uri.origin() && !shows_it(uri.as_str())
        });
        let lifetime = seconds("expires_in")
            .filter(SignedDuration::is_positive)
            .ok_or(DeviceError::Unusable("expires_in"))?;
        Ok(Self {
            device_code: SecretString::from(device_code),
            user_code: user_code.to_owned(),
            verification_uri,
            verification_uri_complete,
            lifetime,
            interval: seconds("interval"),
        })
    }
}

/// Printable ASCII of a length that can be typed, without blanks at its ends.
fn plain_code(code: &str) -> bool {
    (1..=LONGEST_USER_CODE).contains(&code.len())
        && code.trim().len() == code.len()
        && code.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

/// An address that a person can be sent to: nobody on the way reads or changes what is entered there.
fn address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let fine = url.as_str().len() <= LONGEST_ADDRESS
        && protected(&url)
        && url.username().is_empty()
        && url.password().is_none();
    fine.then_some(url)
}

fn not_started(answer: &Answer) -> DeviceError {
    let problem = Box::new(Problem::of(answer));
    if problem.code.as_deref().is_some_and(|code| CLIENT_CODES.contains(&code)) {
        DeviceError::NotAllowed(problem)
    } else {
        DeviceError::NotStarted(problem)
    }
}

/// Tells what a complete answer to a question means. The four codes count whatever the status: providers differ in it.
fn judge(answer: &Answer) -> Asked {
    if answer.status == StatusCode::OK {
        let tokens = oauth::token_response(&answer.body)
            .map_err(ExchangeError::Malformed)
            .and_then(|response| TokenSet::of(&response));
        return tokens.map_or_else(Asked::Unusable, Asked::Tokens);
    }
    let problem = Box::new(Problem::of(answer));
    let status = problem.status;
    let failed = |sent| PollAnswer::Failed { sent, retry_after: answer.retry_after() };
    let meant = match problem.code.as_deref() {
        Some("authorization_pending") => PollAnswer::Pending,
        Some("slow_down") => PollAnswer::SlowDown,
        Some("access_denied") => PollAnswer::Denied,
        Some("expired_token") => PollAnswer::Expired,
        _ if matches!(status, 408 | 429 | 501 | 503) || NOT_REACHED.contains(&status) => failed(false),
        _ if status >= 500 => failed(true),
        // Some box between us and the provider spoke.
        _ if problem.shape == Shape::Unrecognised && (400..500).contains(&status) && status != 404 => {
            failed(false)
        }
        _ => PollAnswer::Refused,
    };
    Asked::Answer(meant, problem)
}

async fn post(http: &Http, to: &Url, form: &[(&str, &str)]) -> Result<Answer, HttpError> {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = Request::post(to.as_str())
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body.into_bytes())
        .map_err(|_| HttpError::Request { host: to.host_str().unwrap_or_default().to_owned() })?;
    http.send(request, None).await
}

fn names(body: &[u8], secret: &SecretString) -> bool {
    let secret = secret.expose_secret().as_bytes();
    body.windows(secret.len().max(1)).any(|window| window == secret)
}

fn at_last(failure: Option<&str>) -> String {
    failure
        .map(|failure| format!(" (at last, the provider could not be asked: {failure})"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
