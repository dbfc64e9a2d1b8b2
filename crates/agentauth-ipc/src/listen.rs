//! The listening end: one daemon per socket, and only its owner (and root) gets in.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketType, sockopt},
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    directory::{self, DirectoryError},
    location::LONGEST_PATH,
    peer::{Peer, PeerError},
    stream::{CredStream, watch_writers},
};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// Binds the socket at `path` for the user `owner_uid`.
///
/// The directory is made or verified (0700, theirs, no symbolic link), the socket gets mode 0600. A lock beside the
/// socket is held for as long as the listener lives, so a socket left by a dead daemon can be replaced without two
/// daemons ever stealing from each other. Needs a tokio runtime.
///
/// # Errors
/// [`ListenError::AlreadyRunning`] when another daemon serves there; see [`ListenError`].
pub fn listen(path: &Path, owner_uid: u32) -> Result<Listener, ListenError> {
    let length = path.as_os_str().len();
    if length > LONGEST_PATH {
        return Err(ListenError::TooLong { path: path.to_owned(), length });
    }
    let parent = path.parent().filter(|_| path.is_absolute());
    let parent = parent.ok_or_else(|| ListenError::NotAbsolute { path: path.to_owned() })?;
    directory::prepare(parent, owner_uid)?;

    let lock = lock(path)?;
    clear(path)?;
    let socket = bind(path).map_err(|source| ListenError::Bind { path: path.to_owned(), source })?;
    let file = SocketFile::of(path, lock)?;
    let mut listener = Listener::wrap(UnixListener::from(socket), path.to_owned(), owner_uid)?;
    listener.file = Some(file);
    Ok(listener)
}

/// A listening socket and the rule about who gets in.
#[derive(Debug)]
pub struct Listener {
    inner: AsyncFd<UnixListener>,
    path: PathBuf,
    owner_uid: u32,
    /// Present when the socket is ours to remove; not when a service manager handed it over.
    file: Option<SocketFile>,
}

impl Listener {
    /// Serves a socket that a service manager has bound (systemd or launchd socket activation). The socket and its
    /// directory are held to the same rules as our own; both stay when the listener is dropped.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub fn from_activated(listener: UnixListener, owner_uid: u32) -> Result<Self, ListenError> {
        let inspect = |source: io::Error| ListenError::Inspect { path: PathBuf::new(), source };
        let kind = sockopt::socket_type(&listener).map_err(|errno| inspect(errno.into()))?;
        #[cfg(target_os = "linux")]
        let unix =
            sockopt::socket_domain(&listener).map_err(|errno| inspect(errno.into()))? == AddressFamily::UNIX;
        #[cfg(not(target_os = "linux"))]
        let unix = true;
        #[cfg(not(target_os = "macos"))]
        let accepts = sockopt::socket_acceptconn(&listener).map_err(|errno| inspect(errno.into()))?;
        // Not implemented there; a socket that does not listen fails at the first `accept`.
        #[cfg(target_os = "macos")]
        let accepts = true;
        if !unix || kind != SocketType::STREAM || !accepts {
            return Err(ListenError::NotAListener);
        }
        let address = listener.local_addr().map_err(inspect)?;
        let path = address
            .as_pathname()
            .filter(|path| path.is_absolute())
            .ok_or(ListenError::NotAListener)?
            .to_owned();
        directory::verify(path.parent().ok_or(ListenError::NotAListener)?, owner_uid)?;
        let metadata = std::fs::symlink_metadata(&path)
            .map_err(|source| ListenError::Inspect { path: path.clone(), source })?;
        if metadata.uid() != owner_uid || metadata.mode() & 0o077 != 0 {
            return Err(ListenError::OpenSocket {
                path,
                owner: metadata.uid(),
                mode: metadata.mode() & 0o7777,
            });
        }
        Self::wrap(listener, path, owner_uid)
    }

    /// Where the socket is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose daemon this is.
    pub fn owner_uid(&self) -> u32 {
        self.owner_uid
    }

    /// The next caller who is the owner or root. Cancel-safe.
    ///
    /// # Errors
    /// [`AcceptError`]; all but [`AcceptError::Socket`] concern one caller only, who has been turned away: go on.
    pub async fn accept(&self) -> Result<(CredStream, Peer), AcceptError> {
        let accepted = self.inner.async_io(Interest::READABLE, |listener| listener.accept()).await;
        let (stream, _) = accepted.map_err(|source| AcceptError::Socket { source })?;
        let peer = Peer::of(&stream)?;
        if !may_enter(peer.uid(), self.owner_uid) {
            return Err(AcceptError::Foreign { uid: peer.uid(), pid: peer.pid() });
        }
        let stream = CredStream::new(stream, peer.pid()).map_err(|source| AcceptError::Watch { source })?;
        Ok((stream, peer))
    }

    fn wrap(listener: UnixListener, path: PathBuf, owner_uid: u32) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Bind { path: path.clone(), source };
        watch_writers(&listener).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        #[allow(
            deprecated,
            reason = "a `UnixListener` keeps what the newer function, which is unsafe, asks for"
        )]
        let inner = AsyncFd::with_interest(listener, Interest::READABLE).map_err(failed)?;
        Ok(Self { inner, path, owner_uid, file: None })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.inner.get_ref().as_fd()
    }
}

/// The owner and root; what root may ask is decided elsewhere.
fn may_enter(uid: u32, owner_uid: u32) -> bool {
    uid == owner_uid || uid == 0
}

/// The socket in the file system and the lock that makes it ours. Removed on drop if it is still the same one.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// Released after the removal, when the fields are dropped; the lock file itself stays, since removing it would
    /// let two daemons lock two files of one name.
    _lock: File,
}

impl SocketFile {
    fn of(path: &Path, lock: File) -> Result<Self, ListenError> {
        let metadata = std::fs::symlink_metadata(path)
            .map_err(|source| ListenError::Inspect { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino(), _lock: lock })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let Ok(metadata) = std::fs::symlink_metadata(&self.path) else { return };
        if (metadata.dev(), metadata.ino()) != (self.device, self.inode) {
            tracing::warn!(path = %self.path.display(), "the socket was replaced by somebody else's; left in place");
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket");
        }
    }
}

/// Takes the lock beside the socket, or says that somebody has it.
fn lock(path: &Path) -> Result<File, ListenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let failed = |source| ListenError::Lock { path: name.clone(), source };
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(i32::try_from(flags).unwrap_or_default())
        .open(&name)
        .map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(ListenError::AlreadyRunning { path: path.to_owned() }),
        Err(errno) => Err(failed(errno.into())),
    }
}

/// Removes a socket that nobody serves. Called under the lock.
fn clear(path: &Path) -> Result<(), ListenError> {
    let inspect = |source| ListenError::Inspect { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => return Err(ListenError::NotASocket { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(inspect(error)),
    }
    // Somebody without our lock may serve it, such as a service manager.
    match probe(path) {
        Err(Errno::CONNREFUSED) => {
            tracing::info!(path = %path.display(), "replacing a socket that nobody serves");
            std::fs::remove_file(path).map_err(inspect)
        }
        Err(Errno::NOENT) => Ok(()),
        // A full queue (`EAGAIN`) is the sign of a daemon too.
        Ok(()) | Err(Errno::AGAIN) => Err(ListenError::AlreadyRunning { path: path.to_owned() }),
        Err(errno) => Err(inspect(errno.into())),
    }
}

fn probe(path: &Path) -> Result<(), Errno> {
    let socket = new_socket()?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}

fn bind(path: &Path) -> io::Result<OwnedFd> {
    let socket = new_socket()?;
    watch_writers(&socket)?;
    // On Linux the socket file takes its mode from the socket itself, so it is never open to others, whatever the umask.
    #[cfg(target_os = "linux")]
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::fs::chmod(path, Mode::RUSR | Mode::WUSR)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn new_socket() -> Result<OwnedFd, Errno> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    Ok(socket)
}

/// Why the daemon cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another daemon serves this socket.
    #[error("another agentauthd serves `{path}`; use that one, or stop it first")]
    AlreadyRunning {
        /// The socket.
        path: PathBuf,
    },
    /// The directory is not private to the owner.
    #[error("the socket's directory cannot be used")]
    Directory {
        /// What is wrong with it.
        #[from]
        source: DirectoryError,
    },
    /// The path is not absolute.
    #[error("the socket path `{path}` is not absolute; give the full path")]
    NotAbsolute {
        /// The path.
        path: PathBuf,
    },
    /// The path does not fit into a socket address.
    #[error(
        "the socket path `{path}` has {length} bytes and the system takes at most {LONGEST_PATH}; choose a shorter one"
    )]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// Something that is not a socket stands there; it is not removed.
    #[error("`{path}` exists and is not a socket; remove it or choose another place")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// A socket that was handed over is not a listening Unix socket with an absolute path.
    #[error(
        "the socket handed over by the service manager is not a listening Unix stream socket with an absolute path; check the socket unit"
    )]
    NotAListener,
    /// A socket that was handed over is open to others.
    #[error(
        "the socket `{path}` handed over by the service manager belongs to uid {owner} with mode {mode:04o}; it must be the owner's with 0600: set `SocketMode=0600`"
    )]
    OpenSocket {
        /// The socket.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// The lock file cannot be opened or locked.
    #[error("cannot lock `{path}`")]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A socket could not be looked at or removed.
    #[error("cannot inspect or replace the socket `{path}`")]
    Inspect {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Binding failed.
    #[error("cannot listen on `{path}`")]
    Bind {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Why a connection was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Another user connected.
    #[error("process {pid} of uid {uid} is neither the owner's nor root's")]
    Foreign {
        /// Whose process it is.
        uid: u32,
        /// The process.
        pid: u32,
    },
    /// The caller cannot be named.
    #[error("the caller cannot be named")]
    Peer {
        /// Why.
        #[from]
        source: PeerError,
    },
    /// The kernel will not say who writes.
    #[error("cannot ask for the writers of a connection")]
    Watch {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The listener itself failed (such as too many open files); wait a little before the next try.
    #[error("cannot accept a connection")]
    Socket {
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gets_in() {
        assert!(may_enter(1000, 1000));
        assert!(may_enter(0, 1000));
        assert!(!may_enter(1001, 1000));
        assert!(!may_enter(1000, 0), "root's own daemon is root's");
    }
}
