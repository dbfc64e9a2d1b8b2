//! What can be wrong with a provider's settings.

use std::fmt;

use agentauth_core::claims::PlaceFault;

/// Everything that is wrong with [`ProviderSettings`](super::ProviderSettings), at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigFaults(pub Vec<ConfigFault>);

/// One thing that is wrong with [`ProviderSettings`](super::ProviderSettings).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFault {
    /// The project id is not shaped like one.
    #[error(
        "project id `{0}` is not `P` followed by 27 or 31 letters and digits; copy it from the provider's console"
    )]
    ProjectId(String),
    /// The base URL does not parse.
    #[error("base url `{0}` is not a url; write it as `https://host`")]
    BaseUrl(String),
    /// The base URL is not protected.
    #[error("base url `{0}` is not https; plain http is accepted for loopback addresses only")]
    NotHttps(String),
    /// The base URL has more than scheme, host and port.
    #[error("base url `{0}` has credentials, a path, a query or a fragment; write it as `https://host`")]
    BaseUrlParts(String),
    /// The client id is unusable.
    #[error("client id `{0}` is empty, too long or has spaces or control characters")]
    ClientId(String),
    /// A scope is not a scope token of RFC 6749 section 3.3.
    #[error("scope `{0}` is empty or has characters that a scope cannot have")]
    Scope(String),
    /// `openid` is missing.
    #[error("the scopes lack `openid`, without which there is no id token; add it")]
    NoOpenid,
    /// A free-text parameter is unusable.
    #[error("{0} is empty, longer than 256 characters or has control characters")]
    Parameter(&'static str),
    /// An extra issuer is unusable.
    #[error("issuer `{0}` is not an https url without query and fragment")]
    Issuer(String),
    /// An audience is unusable.
    #[error("audience `{0}` is empty, too long or has control characters")]
    Audience(String),
    /// The issuer of an OpenID provider is unusable.
    #[error(
        "issuer `{0}` is not an https url without query and fragment (http for loopback addresses only); copy it from the `issuer` of the provider's discovery document"
    )]
    OidcIssuer(String),
    /// An OpenID provider knows us by a client id only.
    #[error("no client id is given; register a public (native) client with the provider and name it")]
    NoClientId,
    /// A setting that only Descope has.
    #[error("{0} is a setting of Descope, and the provider is of kind `oidc`; remove it")]
    DescopeOnly(&'static str),
    /// The place of a fact is no path.
    #[error("{0}: {1}")]
    Claim(&'static str, PlaceFault),
    /// The resource is no URI.
    #[error("resource `{0}` is not an absolute uri without a fragment (rfc 8707)")]
    Resource(String),
    /// The type of tokens that are not read.
    #[error("the type of access tokens is given, but `opaque` ones are never read; remove one of the two")]
    TypeOfOpaque,
    /// No port to listen on.
    #[error("no redirect port is given; list at least one or allow an ephemeral one")]
    NoPorts,
    /// More ports than make sense.
    #[error("more than 16 redirect ports are given; a few are enough")]
    TooManyPorts,
    /// Ports that an ordinary user cannot listen on, or the wildcard.
    #[error("redirect port {0} is below 1024; choose one from 1024 to 65535")]
    Port(u16),
    /// The redirect path is unusable.
    #[error(
        "redirect path `{0}` must begin with `/` and have only letters, digits, `-`, `_`, `.`, `~` in its segments"
    )]
    Path(String),
    /// The proxy is no address.
    #[error(
        "the proxy is not an address like `http://host:port`; leave it empty for what the environment says, or write `none`"
    )]
    Proxy,
    /// The proxy's address holds credentials.
    #[error(
        "the proxy's address holds a name or a password, and no secret is configuration; give it in `HTTPS_PROXY` in the environment of the daemon"
    )]
    ProxyCredentials,
    /// A timeout is zero or absurd.
    #[error("timeout `{0}` must be between one second and one hour")]
    Timeout(&'static str),
}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}
