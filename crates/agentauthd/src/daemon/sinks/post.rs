//! What HTTP receivers have in common: one address, a token, compressed bodies, and what their answers mean.

use std::io::{self, Write as _};
use std::time::Duration;

use agentauth_idp::{HttpError, NetworkSettings, Outlet, Reply, describe};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use url::Url;

use super::credential::Credential;
use super::door::SinkError;

/// How long one request may take.
const TOTAL: Duration = Duration::from_secs(25);
/// The longest time that a receiver is left alone because it says so.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Something to post bodies to.
#[derive(Debug)]
pub(super) struct Post {
    outlet: Outlet,
    credential: Credential,
    gzip: bool,
}

impl Post {
    /// The receiver at `url`.
    ///
    /// # Errors
    /// [`HttpError::Setup`].
    pub(super) fn new(
        url: Url,
        network: &NetworkSettings,
        credential: Credential,
        gzip: bool,
    ) -> Result<Self, HttpError> {
        Ok(Self { outlet: Outlet::new(url, network, TOTAL)?, credential, gzip })
    }

    /// Posts `body` of type `content` and returns what a receiver that took it answered.
    pub(super) async fn send(
        &self,
        content: &'static str,
        key: Option<HeaderValue>,
        body: Vec<u8>,
    ) -> Result<Reply, SinkError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
        if let Some(key) = key {
            headers.insert("idempotency-key", key);
        }
        let (credential, gzip) = (self.credential.clone(), self.gzip);
        // Reading a file and compressing are for a thread that may block.
        let prepared = tokio::task::spawn_blocking(move || {
            let token = credential.header().map_err(|error| SinkError::new(describe(&error)))?;
            let body = if gzip {
                compressed(&body).map_err(|error| SinkError::new(error.to_string()))?
            } else {
                body
            };
            Ok::<_, SinkError>((token, body))
        });
        let (token, body) = prepared
            .await
            .map_err(|_| SinkError::new("a batch could not be made up: please report this"))??;
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, token);
        }
        if self.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let reply =
            self.outlet.post(headers, body).await.map_err(|error| SinkError::new(describe(&error)))?;
        if reply.status.is_success() { Ok(reply) } else { Err(refused(&reply)) }
    }
}

/// What an answer other than yes means. Nothing of the body is repeated: it may be anything.
fn refused(reply: &Reply) -> SinkError {
    let status = reply.status;
    let meaning = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ": look at the token and what it may do",
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => ": look at the address",
        StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::BAD_REQUEST => ": look at the format and at `gzip`",
        StatusCode::PAYLOAD_TOO_LARGE => ": it wants smaller batches",
        _ if status.is_redirection() => ": redirects are not followed, give the address that it leads to",
        _ => "",
    };
    let wait = reply.retry_after.and_then(|wait| Duration::try_from(wait).ok());
    SinkError {
        wait: wait.map(|wait| wait.min(LONGEST_WAIT)),
        too_large: status == StatusCode::PAYLOAD_TOO_LARGE,
        ..SinkError::new(format!("it answered {status}{meaning}"))
    }
}

fn compressed(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use agentauth_core::SignedDuration;

    use super::*;

    #[test]
    fn a_receiver_is_left_alone_for_as_long_as_it_says_but_not_for_ever() {
        let asked = |seconds: Option<i64>| {
            let retry_after = seconds.map(SignedDuration::from_secs);
            refused(&Reply { status: StatusCode::SERVICE_UNAVAILABLE, retry_after, body: Vec::new() }).wait
        };
        assert_eq!(asked(None), None);
        assert_eq!(asked(Some(7)), Some(Duration::from_secs(7)));
        assert_eq!(asked(Some(86_400)), Some(LONGEST_WAIT));
    }
}
