//! The greeting: what was noted of a caller when it got its nonce, and the proof that it still is the same.
//!
//! A process can connect, and then become another program with the connection kept. So the daemon notes program and
//! command line at the greeting, and proves them again around each decision: a few microseconds, through files that
//! stay open for the life of the connection.

use std::{fmt, mem::MaybeUninit, os::fd::OwnedFd};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{
    identify::{
        FileId, ScriptFacts,
        proc::{Proc, ProcDir, ProcError, file_id},
    },
    peer::Peer,
};

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 16;

/// Most bytes of a command line that are noted; as much as identification looks at.
const LONGEST_COMMAND_LINE: u64 = 64 * 1024;

/// One greeted connection: its nonce, and what was noted of its caller.
#[derive(Debug)]
pub struct Greeting {
    nonce: Nonce,
    noted: Noted,
}

impl Greeting {
    /// Notes the caller under a nonce that the server has just drawn.
    ///
    /// # Errors
    /// See [`NoteError`]: a caller that hides its program cannot be greeted.
    pub fn new(peer: &Peer, nonce: Nonce) -> Result<Self, NoteError> {
        Ok(Self { nonce, noted: Noted::of(peer)? })
    }

    /// The nonce to hand out.
    pub fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// Which program was noted.
    pub fn executable(&self) -> FileId {
        self.noted.executable
    }

    /// Whether `text` is the nonce that was handed out, in constant time.
    pub fn is_echo(&self, text: &str) -> bool {
        self.nonce.matches(text)
    }

    /// Proves that the caller still is what was noted.
    ///
    /// # Errors
    /// See [`ReproofError`].
    pub fn reprove(&self, peer: &Peer) -> Result<(), ReproofError> {
        reprove(peer, &self.noted)
    }
}

/// A number that only the greeted connection was told.
#[derive(Clone)]
pub struct Nonce([u8; NONCE_BYTES]);

impl Nonce {
    /// A nonce of these bytes, which must come fresh from the system's random source.
    pub fn new(bytes: [u8; NONCE_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its text on the wire: lower-case hexadecimal.
    pub fn text(&self) -> String {
        hex::encode(self.0)
    }

    /// Whether `text` is this nonce, in constant time.
    pub fn matches(&self, text: &str) -> bool {
        let mut bytes = [0; NONCE_BYTES];
        hex::decode_to_slice(text, &mut bytes).is_ok() && bool::from(bytes.ct_eq(&self.0))
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(..)")
    }
}

/// What was noted of a caller: which program, which command line. Holds two descriptors.
#[derive(Debug)]
pub struct Noted {
    directory: ProcDir,
    /// Stays open, since opening it costs more than reading it.
    command_line: OwnedFd,
    executable: FileId,
    command_line_digest: [u8; 32],
}

impl Noted {
    /// Notes the peer as it is now.
    ///
    /// # Errors
    /// See [`NoteError`].
    pub fn of(peer: &Peer) -> Result<Self, NoteError> {
        let pid = peer.pid();
        let fail = |error| match error {
            ProcError::Gone => NoteError::Gone { pid },
            ProcError::Denied => NoteError::Hidden { pid },
            error => NoteError::Read { pid, source: Box::new(error) },
        };
        let proc = Proc::open().map_err(|source| fail(ProcError::Io(source)))?;
        let directory = proc.process(pid).map_err(fail)?;
        let executable = directory.stat("exe").map_err(fail)?;
        let command_line = directory.open("cmdline").map_err(fail)?;
        let command_line_digest = digest(&command_line).map_err(fail)?;
        // Alive after the opening: the directory is this peer's, not that of a later process of the same number.
        if !peer.alive() {
            return Err(NoteError::Gone { pid });
        }
        Ok(Self { directory, command_line, executable: file_id(&executable), command_line_digest })
    }

    /// Which program was noted.
    pub fn executable(&self) -> FileId {
        self.executable
    }
}

/// Proves that the peer is alive and still runs the program, with the command line, that was noted.
///
/// # Errors
/// See [`ReproofError`]. Whatever cannot be read counts as changed.
pub fn reprove(peer: &Peer, noted: &Noted) -> Result<(), ReproofError> {
    let command_line = digest(&noted.command_line).ok();
    // Last, since what runs a program is alive: the directory is this very process's, and a dead one's leads to none.
    let executable = noted.directory.stat("exe").ok().map(|stat| file_id(&stat));
    if executable != Some(noted.executable) {
        return Err(if peer.alive() { ReproofError::ExecutableChanged } else { ReproofError::Gone });
    }
    if command_line != Some(noted.command_line_digest) {
        return Err(ReproofError::CommandLineChanged);
    }
    Ok(())
}

/// Proves that the script is still the file that was noted: interpreters read theirs piece by piece, or again.
///
/// # Errors
/// [`ReproofError::ScriptChanged`]; so does whatever cannot be read.
pub fn reprove_script(script: &ScriptFacts) -> Result<(), ReproofError> {
    match rustix::fs::stat(&script.path) {
        Ok(stat) if file_id(&stat) == script.id => Ok(()),
        _ => Err(ReproofError::ScriptChanged),
    }
}

fn digest(command_line: &OwnedFd) -> Result<[u8; 32], ProcError> {
    let mut hash = Sha256::new();
    let mut buffer = [const { MaybeUninit::<u8>::uninit() }; 4096];
    let mut offset: u64 = 0;
    while offset < LONGEST_COMMAND_LINE {
        let (bytes, room) = match rustix::io::pread(command_line, &mut buffer, offset) {
            Err(rustix::io::Errno::INTR) => continue,
            outcome => outcome?,
        };
        hash.update(&*bytes);
        offset += u64::try_from(bytes.len()).unwrap_or(LONGEST_COMMAND_LINE);
        // The kernel copies page by page as far as there is something, so less than asked for is the end.
        if !room.is_empty() {
            break;
        }
    }
    Ok(hash.finalize().into())
}

/// Why a caller cannot be greeted.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// It exited.
    #[error("the calling process {pid} is gone")]
    Gone {
        /// Its process id.
        pid: u32,
    },
    /// It hides its program (non-dumpable, or another user's).
    #[error("the calling process {pid} hides its program from the daemon, so it cannot be proven")]
    Hidden {
        /// Its process id.
        pid: u32,
    },
    /// `/proc` cannot be read.
    #[error("cannot read the program of the calling process {pid}")]
    Read {
        /// Its process id.
        pid: u32,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why a caller is no longer what was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReproofError {
    /// It exited; somebody else holds the connection.
    #[error("the process that was greeted is gone")]
    Gone,
    /// It runs another program, or the program's file changed.
    #[error(
        "the process runs another program than at the greeting, or the program's file changed; connect again"
    )]
    ExecutableChanged,
    /// The script that it runs was written, replaced or removed.
    #[error("the script that the process runs is not the file that it was at the greeting; connect again")]
    ScriptChanged,
    /// Its command line changed.
    #[error("the process has another command line than at the greeting; connect again")]
    CommandLineChanged,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ourselves() -> (Peer, std::os::unix::net::UnixStream) {
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        (Peer::of(&near).unwrap(), far)
    }

    #[test]
    fn an_unchanged_process_is_proved_again_and_again() {
        let (peer, _far) = ourselves();
        let greeting = Greeting::new(&peer, Nonce::new([7; NONCE_BYTES])).unwrap();
        for _ in 0..100 {
            greeting.reprove(&peer).unwrap();
        }
    }

    #[test]
    fn only_the_nonce_is_its_echo() {
        let (peer, _far) = ourselves();
        let greeting = Greeting::new(&peer, Nonce::new([0xab; NONCE_BYTES])).unwrap();
        assert_eq!(greeting.nonce().text(), "ab".repeat(16));
        assert!(greeting.is_echo(&"ab".repeat(16)));
        for other in ["", "ab", &"ab".repeat(15), &"ab".repeat(17), &"ac".repeat(16), &"zz".repeat(16)] {
            assert!(!greeting.is_echo(other), "{other}");
        }
        assert_eq!(format!("{:?}", greeting.nonce()), "Nonce(..)");
    }

    #[test]
    fn another_note_is_a_change() {
        let (peer, _far) = ourselves();
        let mut noted = Noted::of(&peer).unwrap();
        noted.executable.changed_ns += 1;
        assert_eq!(reprove(&peer, &noted), Err(ReproofError::ExecutableChanged));
        let mut noted = Noted::of(&peer).unwrap();
        noted.command_line_digest = [0; 32];
        assert_eq!(reprove(&peer, &noted), Err(ReproofError::CommandLineChanged));
    }
}
