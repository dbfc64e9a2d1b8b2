//! How the provider is reached: the proxy on the way, the authorities that may vouch for it, and the loopback address
//! that the browser comes back to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

use super::ConfigFault;

/// The network between this machine and the provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSettings {
    /// The proxy on the way. None is ever used for a loopback host.
    pub proxy: Proxy,
    /// A PEM file with certificate authorities that count beside those of the system.
    pub ca_file: Option<PathBuf>,
}

/// The proxy on the way to the provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proxy {
    /// What `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say, and on macOS and Windows the system's settings.
    #[default]
    Environment,
    /// None, whatever the environment says.
    Direct,
    /// This one. The address holds no credentials.
    Url(Url),
}

/// The loopback address that the browser comes back to (RFC 8252 section 7.3). It is always a literal: `localhost` may
/// resolve elsewhere (section 8.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loopback {
    /// `127.0.0.1` where this machine has it, else `[::1]`.
    #[default]
    Auto,
    /// `127.0.0.1`.
    V4,
    /// `[::1]`.
    V6,
}

impl fmt::Display for Proxy {
    /// The word in a configuration: empty, `none`, or the address.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Environment => "",
            Self::Direct => "none",
            Self::Url(url) => url.as_str(),
        })
    }
}

impl FromStr for Proxy {
    type Err = ConfigFault;

    /// Reads what is shown.
    fn from_str(text: &str) -> Result<Self, ConfigFault> {
        match text {
            "" => return Ok(Self::Environment),
            "none" => return Ok(Self::Direct),
            _ => {}
        }
        // What is wrong is not repeated: the text may hold a password.
        let url = Url::parse(text).map_err(|_| ConfigFault::Proxy)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ConfigFault::ProxyCredentials);
        }
        let bare = matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none();
        if bare { Ok(Self::Url(url)) } else { Err(ConfigFault::Proxy) }
    }
}

impl Loopback {
    /// Every choice, the usual one first.
    pub const ALL: [Self; 3] = [Self::Auto, Self::V4, Self::V6];

    /// The word in a configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::V4 => "127.0.0.1",
            Self::V6 => "::1",
        }
    }

    /// The address that a login on this machine listens on. For [`Loopback::Auto`] it is tried whether `127.0.0.1` is
    /// there at all: a network namespace may have nothing but `::1`.
    pub fn address(self) -> IpAddr {
        let (v4, v6) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST));
        match self {
            Self::V4 => v4,
            Self::V6 => v6,
            Self::Auto => {
                let there = |ip: IpAddr| TcpListener::bind(SocketAddr::new(ip, 0)).is_ok();
                if !there(v4) && there(v6) { v6 } else { v4 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_addresses_without_secrets() {
        for (text, expected) in [
            ("", Ok("")),
            ("none", Ok("none")),
            ("http://proxy.corp:3128", Ok("http://proxy.corp:3128/")),
            ("https://proxy.corp", Ok("https://proxy.corp/")),
            ("http://[fd00::1]:3128/", Ok("http://[fd00::1]:3128/")),
            ("http://ada:hunter2@proxy.corp:3128", Err(ConfigFault::ProxyCredentials)),
            ("http://ada@proxy.corp", Err(ConfigFault::ProxyCredentials)),
            ("proxy.corp:3128", Err(ConfigFault::Proxy)),
            ("socks5://proxy.corp", Err(ConfigFault::Proxy)),
            ("http://proxy.corp/path", Err(ConfigFault::Proxy)),
            ("http://proxy.corp?x=1", Err(ConfigFault::Proxy)),
            ("direct", Err(ConfigFault::Proxy)),
        ] {
            let seen = text.parse::<Proxy>().map(|proxy| proxy.to_string());
            assert_eq!(seen, expected.map(str::to_owned), "{text}");
            if let Err(fault) = seen {
                assert!(!fault.to_string().contains("hunter2"));
            }
        }
    }

    #[test]
    fn a_chosen_loopback_address_is_taken_as_it_is() {
        assert_eq!(Loopback::V4.address().to_string(), "127.0.0.1");
        assert_eq!(Loopback::V6.address().to_string(), "::1");
        assert!(Loopback::Auto.address().is_loopback());
    }
}
