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
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
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

    /// The messages of a batch; what has no place in the format has none.
    fn messages(&mut self, batch: &[Entry]) -> Vec<Message> {
        let mut messages = Vec::with_capacity(batch.len());
        for entry in batch {
            self.origin.learn(&entry.event);
            if let Some(body) = render(self.format, entry, &self.origin) {
                let whole = message(entry, &self.origin, self.style, &body);
                let short = message(entry, &self.origin, self.style, TOO_LONG);
                messages.push(Message { whole, short });
            }
        }
        messages
    }
}

struct Message {
    whole: String,
    /// For ways that do not take the whole.
    short: String,
}

impl Sink for Syslog {
    async fn send(&mut self, batch: &[Entry]) -> Result<Taken, SinkError> {
        // Whoever closed the connection may not have had what went before.
        self.still_there().await?;
        let mut line = match self.line.take() {
            Some(line) => line,
            None => self.connect().await?,
        };
        let messages = self.messages(batch);
        line.write(&messages).await.map_err(|(delivered, error)| {
            let why = format!("`{}` took no record: {error}", self.to);
            // Where messages were left out, the numbers do not fit: then all are sent again.
            let delivered = if messages.len() == batch.len() { delivered } else { 0 };
            SinkError { delivered, ..SinkError::new(why) }
        })?;
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
    /// Sends all, or tells how many went out before it failed.
    async fn write(&mut self, messages: &[Message]) -> Result<(), (usize, io::Error)> {
        match self {
            Self::Unix(socket) => {
                for (at, message) in messages.iter().enumerate() {
                    let sent = match socket.send(message.whole.as_bytes()).await {
                        Err(error) if too_long(&error) => socket.send(message.short.as_bytes()).await,
                        other => other,
                    };
                    sent.map_err(|error| (at, error))?;
                }
            }
            Self::Udp(socket) => {
                for (at, message) in messages.iter().enumerate() {
                    let sent = match socket.send(message.whole.as_bytes()).await {
                        Err(error) if too_long(&error) => socket.send(message.short.as_bytes()).await,
                        other => other,
                    };
                    sent.map_err(|error| (at, error))?;
                }
            }
            Self::Tls(stream) => counted(stream, messages).await.map_err(|error| (0, error))?,
        }
        Ok(())
    }
}

/// Writes messages with their lengths before them (RFC 5425, section 4.3).
async fn counted(stream: &mut (impl AsyncWrite + Unpin), messages: &[Message]) -> io::Result<()> {
    for message in messages {
        stream.write_all(format!("{} ", message.whole.len()).as_bytes()).await?;
        stream.write_all(message.whole.as_bytes()).await?;
    }
    stream.flush().await
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

fn too_long(error: &io::Error) -> bool {
    let codes = [rustix::io::Errno::MSGSIZE, rustix::io::Errno::NOBUFS];
    error.raw_os_error().is_some_and(|code| codes.iter().any(|known| known.raw_os_error() == code))
}
