//! The systemd journal, in its native protocol: a datagram a record, of fields with their lengths.
//!
//! The journal adds what it knows of the sender by itself (`_UID`, `_PID`, `_EXE`, …): these fields cannot be forged by
//! the record's text. Every value is sent with its length, so that no text can end a field and begin another.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use agentauth_audit::export::{Severity, agents, sentence};
use agentauth_audit::{Entry, Kind, Verdict};
use agentauth_core::text::display_safe_within;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

use super::door::{Sink, SinkError, Taken};
use super::syslog::too_long;

/// What the catalogue knows a record by (`MESSAGE_ID`); made up once, for good.
const RECORD_ID: &str = "1d5c7b1f0f2e4c0e9b1e6b7a5b8e4c21";
/// The same for a checkpoint.
const CHECKPOINT_ID: &str = "7f0c2a6e4d9b4f5c8a3d1e2f6b7c9d80";

/// The longest sentence for people.
const SENTENCE: usize = 1024;

/// The journal behind one socket.
#[derive(Debug)]
pub(super) struct Journald {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Journald {
    /// The journal that listens at `path`.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), socket: None }
    }

    fn connect(&self) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(&self.path)?;
        Ok(socket)
    }

    /// The same as sending, where the system leaves little room for a datagram.
    #[cfg(test)]
    pub(super) async fn send_with_little_room(&mut self, entry: &Entry) -> io::Result<()> {
        let socket = self.connect()?;
        rustix::net::sockopt::set_socket_send_buffer_size(&socket, 1)?;
        self.socket = Some(socket);
        let mut fields = Fields(datagram(entry));
        fields.put("AGENTAUTH_PADDING", &"x".repeat(8 * 1024));
        self.write(&fields.0).await
    }

    async fn write(&mut self, datagram: &[u8]) -> io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.connect()?,
        };
        match socket.send(datagram).await {
            Ok(_) => {}
            // Larger than a datagram may be: the journal takes it from a sealed piece of memory.
            Err(error) if too_long(&error) => {
                let memory = sealed(datagram)?;
                socket.async_io(Interest::WRITABLE, || hand_over(&socket, &memory)).await?;
            }
            Err(error) => return Err(error),
        }
        self.socket = Some(socket);
        Ok(())
    }
}

impl Sink for Journald {
    async fn send(&mut self, batch: &[Entry]) -> Result<Taken, SinkError> {
        for (delivered, entry) in batch.iter().enumerate() {
            if let Err(error) = self.write(&datagram(entry)).await {
                let why = format!("the journal at `{}` took no record: {error}", self.path.display());
                return Err(SinkError { delivered, ..SinkError::new(why) });
            }
        }
        Ok(Taken::default())
    }
}

/// A record as the journal wants it.
fn datagram(entry: &Entry) -> Vec<u8> {
    let event = &entry.event;
    let mut fields = Fields(Vec::with_capacity(2 * entry.line.len() + 512));
    fields.put("MESSAGE", &display_safe_within(&sentence(event), SENTENCE));
    fields.put("MESSAGE_ID", if event.kind == Kind::Checkpoint { CHECKPOINT_ID } else { RECORD_ID });
    fields.put("PRIORITY", priority(Severity::of(event)));
    fields.put("SYSLOG_IDENTIFIER", "agentauthd");
    // authpriv
    fields.put("SYSLOG_FACILITY", "10");
    fields.put("AGENTAUTH_SEQ", &entry.seq.to_string());
    fields.put("AGENTAUTH_HASH", &entry.hash.to_string());
    fields.put("AGENTAUTH_EVENT", event.kind.as_str());
    let texts = [
        ("AGENTAUTH_ID", &event.id),
        ("AGENTAUTH_PROFILE", &event.profile),
        ("AGENTAUTH_USER", &event.user),
        ("AGENTAUTH_REASON", &event.reason),
        ("AGENTAUTH_TRACE", &event.trace),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            fields.put(name, text.as_str());
        }
    }
    if let Some(verdict) = event.decision {
        fields.put("AGENTAUTH_DECISION", if verdict == Verdict::Allow { "allow" } else { "deny" });
    }
    // A field may stand there more than once.
    for agent in agents(event) {
        fields.put("AGENTAUTH_AGENT", agent);
    }
    for scope in &event.scopes {
        fields.put("AGENTAUTH_SCOPE", scope.as_str());
    }
    fields.put("AGENTAUTH_RECORD", &entry.line);
    fields.0
}

fn priority(severity: Severity) -> &'static str {
    match severity {
        Severity::Informational => "6",
        Severity::Low => "5",
        Severity::Medium => "4",
        Severity::High => "3",
    }
}

struct Fields(Vec<u8>);

impl Fields {
    /// In the form that takes any bytes: name, line feed, length in 64 bits little-endian, bytes, line feed.
    fn put(&mut self, name: &'static str, value: &str) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'\n');
        self.0.extend_from_slice(&(value.len() as u64).to_le_bytes());
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'\n');
    }
}

/// The bytes in memory that nobody can change any more.
fn sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    let memory =
        rustix::fs::memfd_create("agentauthd-record", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = std::fs::File::from(memory);
    io::Write::write_all(&mut file, bytes)?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

/// An empty datagram that carries the descriptor.
fn hand_over(socket: &UnixDatagram, memory: &OwnedFd) -> io::Result<()> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [memory.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(&[])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}
