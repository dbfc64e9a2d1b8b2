//! Syslog: messages of RFC 5424 over a Unix socket, UDP (RFC 5426) or TLS with octet counting (RFC 5425).
//!
//! None of the three confirms a message. A Unix socket refuses what it cannot take, which is as good. TLS tells of a lost
//! connection only later, so what was sent in the last seconds is sent again then. UDP tells nothing: it is for networks
//! where that will do.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use agentauth_audit::Entry;
use agentauth_audit::export::Origin;
use agentauth_audit::export::syslog::{Style, message};
use agentauth_idp::{NetworkSettings, connect_tls, describe};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram};

use super::door::{Sink, SinkError, Taken};
use super::form::render;
use crate::config::{RecordFormat, SyslogAddress};

/// How long what went out over TLS may turn out not to have arrived. The system gives a connection up that leaves data
/// unconfirmed for [`UNCONFIRMED`], which is shorter.
const SETTLES: Duration = Duration::from_secs(15);
/// In milliseconds.
const UNCONFIRMED: u32 = 10_000;

/// What stands in the place of a record that is too long for a datagram; number and hash stand before it.
const TOO_LONG: &str = "the record is too long for this way: look it up in the log";

/// A receiver of syslog messages.
pub(super) struct Syslog {
    to: SyslogAddress,
    network: NetworkSettings,
    style: Style,
    format: RecordFormat,
    origin: Origin,
    line: Option<Line>,
}

/// The open way to it.
enum Line {
    Unix(UnixDatagram),
    Udp(UdpSocket),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl Syslog {
    pub(super) fn new(
        to: SyslogAddress,
        network: NetworkSettings,
        style: Style,
        format: RecordFormat,
        origin: Origin,
    ) -> Self {
        Self { to, network, style, format, origin, line: None }
    }

    async fn connect(&self) -> Result<Line, SinkError> {
        let failed = |error: io::Error| SinkError::new(format!("cannot reach `{}`: {error}", self.to));
        Ok(match &self.to {
            SyslogAddress::Unix(path) => {
                let socket = UnixDatagram::unbound().map_err(failed)?;
                socket.connect(path).map_err(failed)?;
                Line::Unix(socket)
            }
            SyslogAddress::Udp { host, port } => Line::Udp(udp(host, *port).await.map_err(failed)?),
            SyslogAddress::Tls { host, port } => {
                let stream = connect_tls(host, *port, &self.network)
                    .await
                    .map_err(|error| SinkError::new(describe(&error)))?;
                let (connection, _) = stream.get_ref();
                rustix::net::sockopt::set_tcp_user_timeout(connection, UNCONFIRMED)
                    .map_err(|error| failed(error.into()))?;
                Line::Tls(Box::new(stream))
            }
        })
    }

    /// Sends a record as one message; what has no place in the format has none.
    async fn put(&mut self, line: &mut Line, entry: &Entry) -> io::Result<()> {
        self.origin.learn(&entry.event);
        let Some(body) = render(self.format, entry, &self.origin) else { return Ok(()) };
        let message = |body: &str| message(entry, &self.origin, self.style, body);
        match line.write(&message(&body)).await {
            Err(error) if too_long(&error) => line.write(&message(TOO_LONG)).await,
            other => other,
        }
    }
}

impl Sink for Syslog {
    async fn send(&mut self, batch: &[Entry]) -> Result<Taken, SinkError> {
        // Whoever closed the connection may not have had what went before.
        self.still_there().await?;
        let mut line = match self.line.take() {
            Some(line) => line,
            None => self.connect().await?,
        };
        for (delivered, entry) in batch.iter().enumerate() {
            self.put(&mut line, entry).await.map_err(|error| {
                let why = format!("`{}` took no record: {error}", self.to);
                SinkError { delivered, ..SinkError::new(why) }
            })?;
        }
        line.flush()
            .await
            .map_err(|error| SinkError::new(format!("`{}` did not take all records: {error}", self.to)))?;
        self.line = Some(line);
        Ok(Taken::default())
    }

    fn settles_after(&self) -> Duration {
        if matches!(self.to, SyslogAddress::Tls { .. }) { SETTLES } else { Duration::ZERO }
    }

    async fn still_there(&mut self) -> Result<(), SinkError> {
        let Some(Line::Tls(stream)) = &mut self.line else { return Ok(()) };
        // Receivers of syslog say nothing: there is something to read only when the connection ends.
        let mut said = [0; 256];
        let why = match tokio::time::timeout(Duration::ZERO, stream.read(&mut said)).await {
            Err(_) => return Ok(()),
            Ok(Ok(0)) => "it closed the connection".to_owned(),
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
        };
        self.line = None;
        Err(SinkError::new(format!("the connection to `{}` is lost: {why}", self.to)))
    }
}

impl Line {
    /// One message: a datagram, or with its length before it (RFC 5425, section 4.3).
    async fn write(&mut self, message: &str) -> io::Result<()> {
        match self {
            Self::Unix(socket) => socket.send(message.as_bytes()).await.map(drop),
            Self::Udp(socket) => socket.send(message.as_bytes()).await.map(drop),
            Self::Tls(stream) => stream.write_all(format!("{} {message}", message.len()).as_bytes()).await,
        }
    }

    /// Sends off what was written.
    async fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Unix(_) | Self::Udp(_) => Ok(()),
            Self::Tls(stream) => stream.flush().await,
        }
    }
}

/// A socket that only `host` can send to: it is connected, and never bound to an address of ours.
async fn udp(host: &str, port: u16) -> io::Result<UdpSocket> {
    let address =
        tokio::net::lookup_host((host, port)).await?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
    rustix::net::connect(&socket, &address)?;
    UdpSocket::from_std(socket.into())
}

/// Whether a datagram is larger than the way takes.
pub(super) fn too_long(error: &io::Error) -> bool {
    let codes = [rustix::io::Errno::MSGSIZE, rustix::io::Errno::NOBUFS];
    error.raw_os_error().is_some_and(|code| codes.iter().any(|known| known.raw_os_error() == code))
}
