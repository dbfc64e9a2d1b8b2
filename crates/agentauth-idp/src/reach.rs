//! Where requests may go: the provider's own origin and, for a provider that spreads over several, the origins that its
//! judged description names, from the first such description on and for as long as this process lives.

use std::sync::{Arc, OnceLock};

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use url::{Origin, Url};

use crate::discovery::Metadata;

/// The places that a provider may be asked at. Cheap to clone; clones share what was named.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    home: Origin,
    /// Whether a description may name other origins.
    open: bool,
    named: Arc<OnceLock<Named>>,
}

#[derive(Debug)]
struct Named {
    origins: Vec<Origin>,
    /// The only addresses that are ever sent a code, a token or a form.
    trusted: Vec<Url>,
}

/// Why a request stays here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutOfReach {
    /// The origin is none of the provider's.
    Origin,
    /// The address is the provider's, but none for credentials.
    Credentials,
}

impl Reach {
    /// One origin, for good.
    pub(crate) fn closed(home: Origin) -> Self {
        Self { home, open: false, named: Arc::default() }
    }

    /// The issuer's origin, until the provider has described itself.
    pub(crate) fn open(issuer: Origin) -> Self {
        Self { home: issuer, open: true, named: Arc::default() }
    }

    /// Takes note of what a judged description names. Only the first one counts.
    pub(crate) fn admit(&self, metadata: &Metadata) {
        if !self.open {
            return;
        }
        let endpoints = [
            Some(&metadata.token_endpoint),
            metadata.revocation_endpoint.as_ref(),
            metadata.userinfo_endpoint.as_ref(),
            metadata.end_session_endpoint.as_ref(),
            metadata.device_authorization_endpoint.as_ref(),
        ];
        let trusted: Vec<Url> = endpoints.into_iter().flatten().cloned().collect();
        let others = [&metadata.jwks_uri, &metadata.authorization_endpoint];
        let origins = trusted.iter().chain(others).map(Url::origin).collect();
        let _ = self.named.set(Named { origins, trusted });
    }

    /// Whether a request like this may be sent.
    pub(crate) fn judge(&self, method: &Method, url: &Url, headers: &HeaderMap) -> Result<(), OutOfReach> {
        let named = self.named.get();
        let origin = url.origin();
        if origin != self.home && !named.is_some_and(|named| named.origins.contains(&origin)) {
            return Err(OutOfReach::Origin);
        }
        let carries = *method != Method::GET || headers.contains_key(AUTHORIZATION);
        if self.open && carries && !named.is_some_and(|named| named.trusted.contains(url)) {
            return Err(OutOfReach::Credentials);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn metadata() -> Metadata {
        Metadata {
            issuer: "https://accounts.example".to_owned(),
            authorization_endpoint: url("https://accounts.example/authorize"),
            token_endpoint: url("https://oauth.example/token"),
            jwks_uri: url("https://keys.example/certs"),
            userinfo_endpoint: Some(url("https://openid.example/userinfo")),
            revocation_endpoint: Some(url("https://oauth.example/revoke")),
            end_session_endpoint: None,
            device_authorization_endpoint: None,
            iss_parameter_supported: false,
        }
    }

    #[test]
    fn only_named_origins_are_reached_and_only_endpoints_get_credentials() {
        let reach = Reach::open(url("https://accounts.example").origin());
        let bearer = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer x"))]);
        let judged =
            |method: Method, address: &str, headers: &HeaderMap| reach.judge(&method, &url(address), headers);
        let none = HeaderMap::new();
        // Before anything is named: the issuer's origin, without credentials.
        assert_eq!(
            judged(Method::GET, "https://accounts.example/.well-known/openid-configuration", &none),
            Ok(())
        );
        assert_eq!(judged(Method::GET, "https://keys.example/certs", &none), Err(OutOfReach::Origin));
        assert_eq!(judged(Method::POST, "https://oauth.example/token", &none), Err(OutOfReach::Origin));
        assert_eq!(
            judged(Method::POST, "https://accounts.example/token", &none),
            Err(OutOfReach::Credentials)
        );
        reach.admit(&metadata());
        assert_eq!(judged(Method::GET, "https://keys.example/certs", &none), Ok(()));
        assert_eq!(judged(Method::POST, "https://oauth.example/token", &none), Ok(()));
        assert_eq!(judged(Method::POST, "https://oauth.example/revoke", &none), Ok(()));
        assert_eq!(judged(Method::GET, "https://openid.example/userinfo", &bearer), Ok(()));
        for (method, address, headers) in [
            (Method::POST, "https://oauth.example/token2", &none),
            (Method::POST, "https://oauth.example/token?x=1", &none),
            (Method::POST, "https://keys.example/certs", &none),
            (Method::GET, "https://keys.example/certs", &bearer),
            (Method::GET, "https://accounts.example/userinfo", &bearer),
            (Method::PUT, "https://accounts.example/authorize", &none),
        ] {
            assert_eq!(judged(method, address, headers), Err(OutOfReach::Credentials), "{address}");
        }
        for address in
            ["http://oauth.example/token", "https://oauth.example:8443/token", "https://other.example/"]
        {
            assert_eq!(judged(Method::GET, address, &none), Err(OutOfReach::Origin), "{address}");
        }
        // What another description names later opens nothing.
        let other = Metadata { token_endpoint: url("https://other.example/token"), ..metadata() };
        reach.admit(&other);
        assert_eq!(judged(Method::POST, "https://other.example/token", &none), Err(OutOfReach::Origin));
    }

    #[test]
    fn a_closed_reach_stays_on_its_origin() {
        let reach = Reach::closed(url("https://api.example").origin());
        reach.admit(&metadata());
        let bearer = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer x"))]);
        assert_eq!(reach.judge(&Method::POST, &url("https://api.example/v1/auth/refresh"), &bearer), Ok(()));
        let away = reach.judge(&Method::POST, &url("https://oauth.example/token"), &bearer);
        assert_eq!(away, Err(OutOfReach::Origin));
    }
}
