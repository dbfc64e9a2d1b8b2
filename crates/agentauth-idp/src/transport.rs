//! Requests to the provider: its origins only, no redirects, no cookies, no retries, bounded time and size, and an error
//! that says whether the request may have been processed.

mod client;
mod diagnosis;
mod outlet;

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentauth_core::SignedDuration;
use http::{HeaderMap, Request, StatusCode};
use url::Url;
use zeroize::Zeroizing;

pub use self::outlet::{Outlet, Reply, connect_tls};

use self::client::Plan;
use self::diagnosis::{Diagnosis, diagnose};
use crate::config::ProviderConfig;
use crate::reach::{OutOfReach, Reach};

/// The largest answer that is read.
pub const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// The longest wait that a `Retry-After` may ask for; more is cut down to it.
const MAX_RETRY_AFTER_SECONDS: i64 = 24 * 3600;

/// The client of one provider. Cheap to clone; clones share the connection settings.
#[derive(Clone)]
pub struct Http {
    plan: Plan,
    /// `None` as long as it cannot be built: a machine without certificate authorities may get some.
    client: Arc<Mutex<Option<reqwest::Client>>>,
    pub(crate) reach: Reach,
    host: String,
}

/// Why a request brought no answer. Carries no URL, header or body, hence not the library's own error either.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The client could not be set up.
    #[error("cannot set up https: {why}")]
    Setup {
        /// What went wrong, in short, and what to do.
        why: String,
    },
    /// The request was about to leave for another place than the provider.
    #[error("refused to send a request to another origin than `{host}`")]
    ForeignOrigin {
        /// The provider's host.
        host: String,
    },
    /// The request was about to carry a code or a token to an address that is not meant for any.
    #[error("refused to send credentials to an address of `{host}` that is none of the provider's endpoints")]
    NoEndpoint {
        /// The host.
        host: String,
    },
    /// The request could not be put together.
    #[error("cannot put a request to `{host}` together")]
    Request {
        /// The provider's host.
        host: String,
    },
    /// No connection: the provider has not seen the request.
    #[error("cannot reach `{host}`: {why}")]
    NotSent {
        /// The provider's host.
        host: String,
        /// What went wrong, in short.
        why: String,
        /// What stood in the way.
        obstacle: Obstacle,
    },
    /// The request left and no whole answer came: the provider may have acted on it.
    #[error("`{host}` gave no complete answer: {why}")]
    NoAnswer {
        /// The provider's host.
        host: String,
        /// What went wrong, in short.
        why: String,
    },
    /// The answer is larger than [`MAX_ANSWER_BYTES`].
    #[error("the answer of `{host}` is larger than 1 MiB")]
    TooLarge {
        /// The provider's host.
        host: String,
    },
}

/// What stands between us and the provider, as far as the error tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The host's name leads nowhere.
    Name,
    /// Nothing listens there, or something on the way turns the connection away.
    Connection,
    /// TLS: the other end is not who it should be, or does not speak it.
    Tls,
    /// The proxy did not let us through.
    Proxy,
    /// Time ran out.
    Time,
}

/// A complete answer, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl HttpError {
    /// Whether the provider may have acted on the request although no answer came.
    pub fn sent(&self) -> bool {
        matches!(self, Self::NoAnswer { .. } | Self::TooLarge { .. })
    }
}

impl Http {
    /// A client for `config`'s provider; nothing is connected to yet. Where https cannot be set up, for want of
    /// certificate authorities, each request says so and tries again: the daemon answers all the same.
    ///
    /// # Errors
    /// [`HttpError::Setup`], when not even plain HTTP can be set up.
    pub fn new(config: &ProviderConfig) -> Result<Self, HttpError> {
        let plan = Plan::of(config);
        let client = match plan.build() {
            Ok(client) => Some(client),
            Err(error) if plan.needs_authorities() => {
                tracing::error!(error = %error, "the provider cannot be reached");
                None
            }
            Err(error) => return Err(error),
        };
        let home = config.base_url().origin();
        // Descope has everything on one origin; others may not.
        let reach = if config.oidc().is_some() { Reach::open(home) } else { Reach::closed(home) };
        Ok(Self { plan, client: Arc::new(Mutex::new(client)), reach, host: host_of(config.base_url()) })
    }

    fn client(&self) -> Result<reqwest::Client, HttpError> {
        // Nothing panics while it is held.
        let mut slot = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            *slot = Some(self.plan.build()?);
        }
        slot.clone().ok_or_else(|| HttpError::Setup { why: "there is no client".to_owned() })
    }

    /// Sends `request` and reads the whole answer; `limit` overrides the total time.
    pub(crate) async fn send(
        &self,
        request: Request<Vec<u8>>,
        limit: Option<Duration>,
    ) -> Result<Answer, HttpError> {
        let mut request = reqwest::Request::try_from(request)
            .map_err(|_| HttpError::Request { host: self.host.clone() })?;
        match self.reach.judge(request.method(), request.url(), request.headers()) {
            Ok(()) => {}
            Err(OutOfReach::Origin) => return Err(HttpError::ForeignOrigin { host: self.host.clone() }),
            Err(OutOfReach::Credentials) => {
                return Err(HttpError::NoEndpoint { host: host_of(request.url()) });
            }
        }
        let to = host_of(request.url());
        let host = || to.clone();
        if limit.is_some() {
            *request.timeout_mut() = limit;
        }
        let client = self.client()?;
        let mut response = client.execute(request).await.map_err(|error| self.classify(host(), &error))?;
        if response.content_length().is_some_and(|length| length > MAX_ANSWER_BYTES as u64) {
            return Err(HttpError::TooLarge { host: host() });
        }
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|error| incomplete(host(), &error))? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(HttpError::TooLarge { host: host() });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status: response.status(), headers: std::mem::take(response.headers_mut()), body })
    }

    /// The provider's host, with its port where that is unusual.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Fetches `url` without credentials.
    pub(crate) async fn get(&self, url: &str) -> Result<Answer, HttpError> {
        let request = Request::get(url)
            .header(http::header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|_| HttpError::Request { host: self.host.clone() })?;
        self.send(request, None).await
    }

    fn classify(&self, host: String, error: &reqwest::Error) -> HttpError {
        if error.is_connect() || error.is_builder() {
            let Diagnosis { obstacle, why } = diagnose(error, self.plan.proxy_host().as_deref());
            HttpError::NotSent { host, why, obstacle }
        } else {
            incomplete(host, error)
        }
    }
}

fn incomplete(host: String, error: &reqwest::Error) -> HttpError {
    HttpError::NoAnswer { host, why: reason(error) }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The library's own form tells of proxies, which may be given with credentials.
        f.debug_struct("Http").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Answer {
    /// `Retry-After` in whole seconds, capped at a day; an HTTP date counts as absent, as in Descope's own clients.
    pub(crate) fn retry_after(&self) -> Option<SignedDuration> {
        let seconds: i64 = self.text(http::header::RETRY_AFTER.as_str())?.trim().parse().ok()?;
        (seconds >= 0).then(|| SignedDuration::from_secs(seconds.min(MAX_RETRY_AFTER_SECONDS)))
    }

    /// Cloudflare's trace id, which the provider's support asks for (sheet 1.3).
    pub(crate) fn ray(&self) -> Option<String> {
        self.text("cf-ray").map(|ray| crate::text::shown(ray, 64))
    }

    /// The header `name`, if it is text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() { "it took too long".to_owned() } else { diagnosis::innermost(error) }
}

/// Shows an error with all its causes on one line, for a person or a log.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// [`Chain`] as text.
pub fn describe(error: &dyn Error) -> String {
    Chain(error).to_string()
}
