//! Other places than the provider that something is sent to, by the same rules: one address each, no redirects, no
//! cookies, https unless it is on this machine, the same authorities and the same proxy.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentauth_core::SignedDuration;
use http::{HeaderMap, Request, StatusCode};
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use url::Url;

use super::client::{Plan, authorities_for_tls};
use super::{Http, HttpError, Obstacle, diagnosis, host_of};
use crate::config::NetworkSettings;
use crate::reach::Reach;

/// One address that requests are posted to. Carries whatever headers it is given there and nowhere else.
#[derive(Clone, Debug)]
pub struct Outlet {
    http: Http,
    url: Url,
}

/// What the other end answered.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// How long it wants to be left alone.
    pub retry_after: Option<SignedDuration>,
    /// The body, at most a mebibyte.
    pub body: Vec<u8>,
}

impl Outlet {
    /// The outlet at `url`; nothing is connected to yet. Connections are kept between requests for a while.
    ///
    /// # Errors
    /// [`HttpError::Setup`], when the address is neither https nor on this machine, or not even plain HTTP can be set up.
    pub fn new(url: Url, network: &NetworkSettings, total: Duration) -> Result<Self, HttpError> {
        let plan = Plan::to(&url, network, total);
        if !plan.is_fit_for(&url) {
            let why = format!("`{}` is neither https nor on this machine", host_of(&url));
            return Err(HttpError::Setup { why });
        }
        // Where https cannot be set up now, each request says so and tries again.
        let client = match plan.build() {
            Ok(client) => Some(client),
            Err(_) if plan.needs_authorities() => None,
            Err(error) => return Err(error),
        };
        let (reach, host) = (Reach::closed(url.origin()), host_of(&url));
        Ok(Self { http: Http { plan, client: Arc::new(Mutex::new(client)), reach, host }, url })
    }

    /// Posts one request and reads the whole answer.
    ///
    /// # Errors
    /// [`HttpError`]; none carries a header or the body.
    pub async fn post(&self, headers: HeaderMap, body: Vec<u8>) -> Result<Reply, HttpError> {
        let mut request = Request::post(self.url.as_str())
            .body(body)
            .map_err(|_| HttpError::Request { host: self.http.host.clone() })?;
        *request.headers_mut() = headers;
        let answer = self.http.send(request, None).await?;
        let retry_after = answer.retry_after();
        Ok(Reply { status: answer.status, retry_after, body: answer.body.to_vec() })
    }
}

/// Connects to `host` with TLS, which it has to prove itself in. No proxy is used.
///
/// # Errors
/// [`HttpError::Setup`] where there are no authorities; [`HttpError::NotSent`].
pub async fn connect_tls(
    host: &str,
    port: u16,
    network: &NetworkSettings,
) -> Result<TlsStream<TcpStream>, HttpError> {
    let away = |obstacle, why: String| HttpError::NotSent { host: format!("{host}:{port}"), why, obstacle };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let more = authorities_for_tls(network.ca_file.as_deref())?;
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(more, provider.clone()).map_err(
        |error| HttpError::Setup { why: format!("no certificate authorities can be read: {error}") },
    )?;
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| HttpError::Setup { why: error.to_string() })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let name = server_name(host).ok_or_else(|| away(Obstacle::Name, "it is no name of a host".to_owned()))?;
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(|error| away(Obstacle::Connection, crate::text::shown(&error.to_string(), 200)))?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.map_err(|error| {
        let fault = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let why = fault.map_or_else(|| crate::text::shown(&error.to_string(), 200), diagnosis::tls);
        away(Obstacle::Tls, why)
    })
}

fn server_name(host: &str) -> Option<ServerName<'static>> {
    match host.parse::<IpAddr>() {
        Ok(address) => Some(ServerName::IpAddress(address.into())),
        Err(_) => ServerName::try_from(host.to_owned()).ok(),
    }
}
