//! Where the record is copied to.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::{Host, Url};

/// Where the record is copied to while it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sinks {
    /// The systemd journal.
    pub journald: JournaldSink,
    /// A syslog server.
    pub syslog: SyslogSink,
    /// A collector of OpenTelemetry logs.
    pub otlp: OtlpSink,
    /// An HTTP endpoint.
    pub http: HttpSink,
}

/// What of the record goes to the systemd journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournaldSink {
    /// Which records.
    pub send: JournaldSend,
    /// Where journald listens.
    pub socket: PathBuf,
    /// How many records may wait for it.
    pub spool: u64,
}

/// Which records the systemd journal is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournaldSend {
    /// The signed checkpoints, where journald listens at all.
    Checkpoints,
    /// Every record.
    All,
    /// None.
    Nothing,
}

impl JournaldSend {
    pub(super) const ALL: [Self; 3] = [Self::Checkpoints, Self::All, Self::Nothing];

    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Checkpoints => "checkpoints",
            Self::All => "all",
            Self::Nothing => "nothing",
        }
    }
}

/// A syslog server that is sent every record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogSink {
    /// Where it listens; absent, there is none.
    pub address: Option<SyslogAddress>,
    /// The facility, 0 to 23.
    pub facility: u8,
    /// The form of the message's text.
    pub format: RecordFormat,
    /// How many records may wait for it.
    pub spool: u64,
}

/// A collector of OpenTelemetry logs that is sent every record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpSink {
    /// The whole address, path included; absent, there is none.
    pub url: Option<Url>,
    /// A file with the token that it asks for.
    pub token_file: Option<PathBuf>,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// How many records may wait for it.
    pub spool: u64,
}

/// An HTTP endpoint that is sent every record, in batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSink {
    /// The whole address; absent, there is none.
    pub url: Option<Url>,
    /// A file with the token that it asks for.
    pub token_file: Option<PathBuf>,
    /// The form of a record.
    pub format: RecordFormat,
    /// The form of a batch.
    pub body: HttpBody,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// How many records may wait for it.
    pub spool: u64,
}

/// The form in which a receiver is told a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFormat {
    /// The line of the log, byte for byte.
    Json,
    /// The Common Event Format.
    Cef,
    /// The Open Cybersecurity Schema Framework.
    Ocsf,
}

impl RecordFormat {
    pub(super) const ALL: [Self; 3] = [Self::Json, Self::Cef, Self::Ocsf];

    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Cef => "cef",
            Self::Ocsf => "ocsf",
        }
    }
}

/// The form of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpBody {
    /// A line each.
    Lines,
    /// One JSON array.
    Array,
}

impl HttpBody {
    pub(super) const ALL: [Self; 2] = [Self::Lines, Self::Array];

    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Array => "array",
        }
    }
}

/// Where a syslog server listens: `unix:/dev/log`, `udp://HOST:PORT` or `tls://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogAddress {
    /// A datagram socket.
    Unix(PathBuf),
    /// RFC 5426.
    Udp {
        /// Its name or address.
        host: String,
        /// 514 unless given.
        port: u16,
    },
    /// RFC 5425.
    Tls {
        /// Its name or address, which its certificate has to be for.
        host: String,
        /// 6514 unless given.
        port: u16,
    },
}

impl FromStr for SyslogAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "must be \"unix:/dev/log\", \"udp://HOST:PORT\" or \"tls://HOST:PORT\", without anything else"
                .to_owned()
        };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() { Ok(Self::Unix(path)) } else { Err(wrong()) };
        }
        let url = Url::parse(text).map_err(|_| wrong())?;
        let bare = matches!(url.path(), "" | "/")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let host = match url.host() {
            Some(Host::Domain(name)) if bare && !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(address)) if bare => address.to_string(),
            Some(Host::Ipv6(address)) if bare => address.to_string(),
            _ => return Err(wrong()),
        };
        match url.scheme() {
            "udp" => Ok(Self::Udp { host, port: url.port().unwrap_or(514) }),
            "tls" => Ok(Self::Tls { host, port: url.port().unwrap_or(6514) }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for SyslogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Unix(path) => return write!(f, "unix:{}", path.display()),
            Self::Udp { host, port } => ("udp", host, port),
            Self::Tls { host, port } => ("tls", host, port),
        };
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

/// The address of a receiver that is spoken HTTP with: https, or http on this machine. Its credential is not part of it.
pub(super) fn receiver(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| "is no address".to_owned())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a credential: give `token_file`".to_owned());
    }
    if url.fragment().is_some() {
        return Err("must not have a fragment (`#`)".to_owned());
    }
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" if url.has_host() => Ok(url),
        "http" if loopback => Ok(url),
        _ => Err("must be https, or http on this machine".to_owned()),
    }
}

/// How many records may wait for a sink, unless configured otherwise.
const SPOOL: u64 = 250_000;

impl Default for Sinks {
    fn default() -> Self {
        Self {
            journald: JournaldSink {
                send: JournaldSend::Checkpoints,
                socket: PathBuf::from("/run/systemd/journal/socket"),
                spool: SPOOL,
            },
            syslog: SyslogSink { address: None, facility: 10, format: RecordFormat::Json, spool: SPOOL },
            otlp: OtlpSink { url: None, token_file: None, gzip: true, spool: SPOOL },
            http: HttpSink {
                url: None,
                token_file: None,
                format: RecordFormat::Json,
                body: HttpBody::Lines,
                gzip: true,
                spool: SPOOL,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_syslog_servers_are_read_as_they_are_shown() {
        for text in ["unix:/dev/log", "udp://127.0.0.1:514", "tls://logs.example:6514", "udp://[::1]:9"] {
            assert_eq!(text.parse::<SyslogAddress>().unwrap().to_string(), text);
        }
        assert_eq!(
            "tls://logs.example".parse::<SyslogAddress>().unwrap().to_string(),
            "tls://logs.example:6514"
        );
        for bad in [
            "",
            "unix:",
            "unix:log",
            "tcp://logs.example:514",
            "udp://",
            "tls://user@logs.example",
            "/dev/log",
            "tls://logs.example/path",
            "udp://logs.example:514?x=1",
            "tls://logs.example:70000",
        ] {
            bad.parse::<SyslogAddress>().unwrap_err();
        }
    }

    #[test]
    fn receivers_are_reached_protected_and_without_credentials_in_the_address() {
        for good in [
            "https://siem.example/in?index=a",
            "http://127.0.0.1:4318/v1/logs",
            "http://[::1]/",
            "http://localhost/",
        ] {
            receiver(good).unwrap();
        }
        for bad in [
            "http://siem.example/",
            "https://user:secret@siem.example/",
            "https://token@siem.example/",
            "ftp://siem.example/",
            "http://127.0.0.1.evil.example/",
            "siem.example",
            "https://siem.example/#x",
        ] {
            let why = receiver(bad).unwrap_err();
            assert!(!why.contains("secret"), "{why}");
        }
    }
}
