//! Requests to the provider: one origin, no redirects, no cookies, no retries, bounded time and size, and an error
//! that says whether the request may have been processed.

use std::error::Error;
use std::time::Duration;

use agentauth_core::SignedDuration;
use http::{HeaderMap, Request, StatusCode};
use url::Url;
use zeroize::Zeroizing;

use crate::config::ProviderConfig;

/// The largest answer that is read.
pub const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// The longest wait that a `Retry-After` may ask for; more is cut down to it.
const MAX_RETRY_AFTER_SECONDS: i64 = 24 * 3600;

/// The client of one provider. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    origin: url::Origin,
    host: String,
}

/// Why a request brought no answer. Carries no URL, header or body, hence not the library's own error either.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The client could not be set up.
    #[error("cannot set up https: {why}; check the system's certificates")]
    Setup {
        /// What went wrong, in short.
        why: String,
    },
    /// The request was about to leave for another place than the provider.
    #[error("refused to send a request to another origin than `{host}`")]
    ForeignOrigin {
        /// The provider's host.
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
    /// A client for `config`'s provider; nothing is connected to yet.
    ///
    /// # Errors
    /// [`HttpError::Setup`], when TLS cannot be set up.
    pub fn new(config: &ProviderConfig) -> Result<Self, HttpError> {
        let timeouts = config.timeouts();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("agentauthd/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // A refresh that is repeated behind our back replays a spent token.
            .retry(reqwest::retry::never())
            // A pooled connection that the other end is just closing makes an ambiguous failure of a certain one.
            .pool_max_idle_per_host(0)
            .http1_only()
            .connect_timeout(timeouts.connect)
            .timeout(timeouts.total);
        if config.base_url().scheme() == "http" {
            // Loopback: no proxy stands in between, and no certificate is ever needed.
            builder = builder.no_proxy().tls_certs_only([]);
        } else {
            builder = builder.https_only(true).tls_version_min(reqwest::tls::Version::TLS_1_2);
        }
        let client = builder.build().map_err(|source| HttpError::Setup { why: innermost(&source) })?;
        Ok(Self { client, origin: config.base_url().origin(), host: host_of(config.base_url()) })
    }

    /// Sends `request` and reads the whole answer; `limit` overrides the total time.
    pub(crate) async fn send(
        &self,
        request: Request<Vec<u8>>,
        limit: Option<Duration>,
    ) -> Result<Answer, HttpError> {
        let host = || self.host.clone();
        let mut request =
            reqwest::Request::try_from(request).map_err(|_| HttpError::Request { host: host() })?;
        if request.url().origin() != self.origin {
            return Err(HttpError::ForeignOrigin { host: host() });
        }
        if limit.is_some() {
            *request.timeout_mut() = limit;
        }
        let mut response = self.client.execute(request).await.map_err(|error| self.classify(&error))?;
        if response.content_length().is_some_and(|length| length > MAX_ANSWER_BYTES as u64) {
            return Err(HttpError::TooLarge { host: host() });
        }
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|error| self.incomplete(&error))? {
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

    fn classify(&self, error: &reqwest::Error) -> HttpError {
        if error.is_connect() || error.is_builder() {
            HttpError::NotSent { host: self.host.clone(), why: reason(error), obstacle: obstacle(error) }
        } else {
            self.incomplete(error)
        }
    }

    fn incomplete(&self, error: &reqwest::Error) -> HttpError {
        HttpError::NoAnswer { host: self.host.clone(), why: reason(error) }
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

/// What stood in the way.
fn obstacle(error: &reqwest::Error) -> Obstacle {
    if error.is_timeout() {
        return Obstacle::Time;
    }
    // The outermost error names the URL, which may have any word in it.
    obstacle_in(&error.source().map(describe).unwrap_or_default())
}

/// The libraries below give no types for it, so their words are what there is.
fn obstacle_in(words: &str) -> Obstacle {
    let words = words.to_ascii_lowercase();
    let says = |any: &[&str]| any.iter().any(|word| words.contains(word));
    if says(&["dns error", "failed to lookup address"]) {
        Obstacle::Name
    } else if says(&["proxy", "tunnel"]) {
        Obstacle::Proxy
    } else if says(&["certificate", "tls", "handshake", "corrupt message"]) {
        Obstacle::Tls
    } else {
        Obstacle::Connection
    }
}

fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() { "it took too long".to_owned() } else { innermost(error) }
}

/// `error` with all its causes in one line, for a person or a log.
pub fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The last error of the chain: what the operating system or the TLS library said.
fn innermost(error: &dyn Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    crate::text::shown(&last.to_string(), 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obstacles_are_told_apart_by_what_the_libraries_say() {
        for (words, obstacle) in [
            (
                "client error (Connect): dns error: failed to lookup address information: Name or service not known",
                Obstacle::Name,
            ),
            (
                "client error (Connect): tcp connect error: Connection refused (os error 111)",
                Obstacle::Connection,
            ),
            ("client error (Connect): invalid peer certificate: UnknownIssuer", Obstacle::Tls),
            ("client error (Connect): received corrupt message of type InvalidContentType", Obstacle::Tls),
            ("client error (Connect): tunnel error: unsuccessful", Obstacle::Proxy),
        ] {
            assert_eq!(obstacle_in(words), obstacle, "{words}");
        }
    }
}
