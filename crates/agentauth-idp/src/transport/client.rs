//! The HTTP client as this crate wants it: which protocols, which authorities, which proxy.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use url::Url;

use super::diagnosis::innermost;
use super::{HttpError, MAX_ANSWER_BYTES};
use crate::config::{NetworkSettings, ProviderConfig, Proxy};

/// How long a connection to somebody else than the provider may take.
const CONNECT: Duration = Duration::from_secs(10);

/// What a client is built from.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Until a connection stands.
    connect: Duration,
    /// Until a request is answered in full.
    total: Duration,
    /// Whether connections are kept between requests.
    keeps: bool,
    /// Whether the requests leave this machine or are protected on it; plain HTTP is for loopback only.
    https: bool,
    /// Nothing; or the one to use instead of what the environment says.
    proxy: Proxy,
    ca_file: Option<PathBuf>,
}

impl Plan {
    pub(super) fn of(config: &ProviderConfig) -> Self {
        let plan = Self::to(config.base_url(), config.network(), config.timeouts().total);
        // A pooled connection that the other end is just closing makes an ambiguous failure of a certain one.
        Self { connect: config.timeouts().connect, keeps: false, ..plan }
    }

    /// The plan for one address of somebody else's.
    pub(super) fn to(url: &Url, network: &NetworkSettings, total: Duration) -> Self {
        Self {
            connect: CONNECT,
            total,
            keeps: true,
            https: url.scheme() != "http",
            proxy: if is_loopback(url) { Proxy::Direct } else { network.proxy.clone() },
            ca_file: network.ca_file.clone(),
        }
    }

    /// Whether what is sent to `url` stays on this machine or is protected on the way.
    pub(super) fn is_fit_for(&self, url: &Url) -> bool {
        matches!(url.scheme(), "https" | "http") && (self.https || is_loopback(url))
    }

    /// Whether building may fail now and succeed later.
    pub(super) fn needs_authorities(&self) -> bool {
        self.https
    }

    /// Host and port of the configured proxy.
    pub(super) fn proxy_host(&self) -> Option<String> {
        match &self.proxy {
            Proxy::Url(url) => Some(super::host_of(url)),
            Proxy::Environment | Proxy::Direct => None,
        }
    }

    /// Builds the client. Reads files: the system's certificates and the configured ones.
    pub(super) fn build(&self) -> Result<reqwest::Client, HttpError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("agentauthd/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // A refresh that is repeated behind our back replays a spent token.
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(usize::from(self.keeps))
            .http1_only()
            .connect_timeout(self.connect)
            .timeout(self.total);
        builder = match &self.proxy {
            Proxy::Environment => builder,
            Proxy::Direct => builder.no_proxy(),
            Proxy::Url(url) => {
                let proxy = reqwest::Proxy::all(url.clone())
                    .map_err(|_| setup("the configured proxy (`network.proxy`) cannot be used".to_owned()))?;
                builder.no_proxy().proxy(proxy)
            }
        };
        builder = if self.https {
            let more = self.ca_file.as_deref().map(authorities).transpose()?.unwrap_or_default();
            builder.https_only(true).tls_version_min(reqwest::tls::Version::TLS_1_2).tls_certs_merge(more)
        } else {
            // Loopback: no certificate is ever needed.
            builder.tls_certs_only([])
        };
        builder.build().map_err(|source| setup(self.explain(&innermost(&source))))
    }

    fn explain(&self, said: &str) -> String {
        match &self.ca_file {
            // The system's own are read leniently: what cannot be used is in the configured file.
            Some(path) => format!("the certificates in `{}` (`network.ca_file`) cannot be used: {said}", path.display()),
            None if said.contains("No CA certificates") => "this machine has no certificate authorities to trust; \
                install the package `ca-certificates` (Debian, Ubuntu, Fedora, Alpine), or name a PEM file with \
                `network.ca_file`; if SSL_CERT_FILE or SSL_CERT_DIR is set, only what it names counts"
                .to_owned(),
            None => said.to_owned(),
        }
    }
}

/// The certificates of a PEM file, for requests.
fn authorities(path: &Path) -> Result<Vec<reqwest::Certificate>, HttpError> {
    match reqwest::Certificate::from_pem_bundle(&authorities_in(path)?) {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(no_certificate(path)),
    }
}

/// The same for connections of another protocol, where a file is configured.
pub(super) fn authorities_for_tls(path: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&authorities_in(path)?).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| no_certificate(path))
}

fn no_certificate(path: &Path) -> HttpError {
    let what = "holds no certificate in PEM form (`-----BEGIN CERTIFICATE-----`)";
    setup(format!("`{}` (`network.ca_file`) {what}", path.display()))
}

/// What the file holds, if nobody else can have written it.
fn authorities_in(path: &Path) -> Result<Vec<u8>, HttpError> {
    let fault = |why: String| setup(format!("`{}` (`network.ca_file`) {why}", path.display()));
    let unread = |error: std::io::Error| fault(format!("cannot be read: {}", error.kind()));
    let file = open(path).map_err(unread)?;
    // Whoever can write this file can stand in for the provider.
    if let Err(why) = judge(&file.metadata().map_err(unread)?) {
        return Err(fault(why.to_owned()));
    }
    let mut pem = Vec::new();
    file.take(MAX_ANSWER_BYTES as u64 + 1).read_to_end(&mut pem).map_err(unread)?;
    if pem.len() > MAX_ANSWER_BYTES {
        return Err(fault("is larger than 1 MiB".to_owned()));
    }
    Ok(pem)
}

#[cfg(unix)]
fn open(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // Without O_NONBLOCK, opening a pipe would wait for a writer.
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    std::fs::OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> std::io::Result<File> {
    File::open(path)
}

#[cfg(unix)]
fn judge(metadata: &Metadata) -> Result<(), &'static str> {
    use std::os::unix::fs::MetadataExt as _;
    // A group that bears the owner's own number is the owner's private group, as umask 002 expects.
    let forbidden = if metadata.gid() == metadata.uid() { 0o002 } else { 0o022 };
    if !metadata.is_file() {
        Err("is not a regular file")
    } else if ![0, rustix::process::geteuid().as_raw()].contains(&metadata.uid()) {
        Err("belongs to another user; look at what it says, then make it your own or root's")
    } else if metadata.mode() & forbidden != 0 {
        Err("can be written by others; look at what it says, then run `chmod go-w` on it")
    } else {
        Ok(())
    }
}

#[cfg(not(unix))]
fn judge(metadata: &Metadata) -> Result<(), &'static str> {
    if metadata.is_file() { Ok(()) } else { Err("is not a regular file") }
}

fn setup(why: String) -> HttpError {
    HttpError::Setup { why }
}

/// Whether requests to `url` stay on this machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
