//! Why a request brought no answer, in words that say what to do: the libraries below say what they saw, not what it
//! means for the person.

use std::error::Error;
use std::io;

use rustls::CertificateError;

use super::{Obstacle, describe};

/// What stood in the way, and the sentence for a person.
pub(super) struct Diagnosis {
    pub(super) obstacle: Obstacle,
    pub(super) why: String,
}

/// Explains `error`; `proxy` is the configured one.
pub(super) fn diagnose(error: &reqwest::Error, proxy: Option<&str>) -> Diagnosis {
    let the_proxy = proxy.map_or_else(|| "the proxy".to_owned(), |proxy| format!("the proxy `{proxy}`"));
    let via = proxy.map(|proxy| format!(" through the proxy `{proxy}`")).unwrap_or_default();
    // The outermost error names the URL, which may have any word in it.
    let words = error.source().map(describe).unwrap_or_default().to_ascii_lowercase();
    let says = |any: &[&str]| any.iter().any(|word| words.contains(word));
    let (obstacle, why) = if error.is_timeout() {
        (Obstacle::Time, format!("it took too long{via}"))
    } else if let Some(fault) = find::<rustls::Error>(error) {
        (Obstacle::Tls, tls(fault))
    } else if says(&["dns error", "failed to lookup address"]) {
        let which = if proxy.is_some() { "the proxy's name" } else { "its name" };
        let why = format!(
            "{which} could not be resolved ({}); check the spelling, and whether this machine is online or needs a \
             proxy (`network.proxy`)",
            innermost(error)
        );
        (Obstacle::Name, why)
    } else if says(&["proxy authorization required"]) {
        let why = format!(
            "{the_proxy} wants credentials; give them in `HTTPS_PROXY` in the environment of the daemon"
        );
        (Obstacle::Proxy, why)
    } else if says(&["tunnel"]) && find::<io::Error>(error).is_some() {
        let why = format!(
            "{the_proxy} cannot be reached ({}); check `network.proxy`, or `HTTPS_PROXY` in the environment of the \
             daemon",
            innermost(error)
        );
        (Obstacle::Proxy, why)
    } else if says(&["proxy", "tunnel"]) {
        let why = format!(
            "{the_proxy} did not let the connection through ({}); ask who runs it, or set `network.proxy`",
            innermost(error)
        );
        (Obstacle::Proxy, why)
    } else {
        (Obstacle::Connection, connection(error, &via))
    };
    Diagnosis { obstacle, why }
}

/// What a failure of TLS means.
pub(super) fn tls(fault: &rustls::Error) -> String {
    use rustls::Error as E;
    match fault {
        E::InvalidCertificate(fault) => certificate(fault),
        E::PeerIncompatible(_) => {
            format!("it speaks no TLS 1.2 or newer that is accepted here ({fault}), and nothing older is")
        }
        E::AlertReceived(alert) => {
            format!("it ended the TLS handshake ({alert:?}); it may speak nothing newer than TLS 1.1")
        }
        other => format!(
            "TLS failed ({}); check that the address speaks https",
            crate::text::shown(&other.to_string(), 160)
        ),
    }
}

fn certificate(fault: &CertificateError) -> String {
    use CertificateError as C;
    match fault {
        // A bad signature: an authority that calls itself like one that is trusted.
        C::UnknownIssuer | C::BadSignature => "its certificate is signed by nobody whom this machine trusts (unknown issuer); if a \
                             proxy on the way or the provider has an authority of its own, name its certificate \
                             with `network.ca_file`, else somebody may be listening in"
            .to_owned(),
        C::Expired | C::ExpiredContext { .. } => {
            "its certificate has expired; check this machine's clock, or tell who runs it".to_owned()
        }
        C::NotValidYet | C::NotValidYetContext { .. } => {
            "its certificate is not valid yet; check this machine's clock".to_owned()
        }
        C::NotValidForName | C::NotValidForNameContext { .. } => {
            "its certificate is for another host; check the configured address, and whether something on the way \
             answers in its place"
                .to_owned()
        }
        other => format!(
            "its certificate cannot be accepted ({}); tell who runs it",
            crate::text::shown(&other.to_string(), 160)
        ),
    }
}

fn connection(error: &reqwest::Error, via: &str) -> String {
    let said = innermost(error);
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => format!(
            "the connection was refused{via}; nothing listens there, a firewall forbids it, or a proxy is needed \
             (`network.proxy`)"
        ),
        Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) => {
            format!("there is no way to it{via} ({said}); check whether this machine is online")
        }
        _ => format!("{said}{via}"),
    }
}

/// The first cause of this type. An `io::Error` may hide one that its own chain of sources skips.
fn find<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        let hidden = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = hidden.and_then(|hidden| find::<E>(hidden)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The last error of the chain: what the operating system or the TLS library said.
pub(super) fn innermost(error: &dyn Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    crate::text::shown(&last.to_string(), 200)
}
