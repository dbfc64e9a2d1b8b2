//! The client's end: connect to the owner's daemon, or say why it cannot be trusted.

use std::{
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use tokio::net::UnixStream;

use crate::directory::{self, DirectoryError};

/// Connects to the daemon that serves `path` for `expected_owner_uid`, after verifying the directory (0700, theirs, no
/// symbolic link), the socket (theirs), and the process that listens (theirs).
///
/// # Errors
/// [`ConnectError::NotRunning`] when nothing serves there; see [`ConnectError`].
pub async fn connect(path: &Path, expected_owner_uid: u32) -> Result<UnixStream, ConnectError> {
    let owned = || path.to_owned();
    let parent = path.parent().ok_or_else(|| ConnectError::NotASocket { path: owned() })?;
    directory::verify(parent, expected_owner_uid).map_err(|source| match source {
        DirectoryError::Missing { .. } => ConnectError::NotRunning { path: owned() },
        DirectoryError::Inspect { source, .. } => ConnectError::Refused { path: owned(), source },
        source => ConnectError::Directory { path: owned(), source },
    })?;
    let metadata = std::fs::symlink_metadata(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ConnectError::NotRunning { path: owned() },
        _ => ConnectError::Refused { path: owned(), source },
    })?;
    if !metadata.file_type().is_socket() {
        return Err(ConnectError::NotASocket { path: owned() });
    }
    if metadata.uid() != expected_owner_uid {
        return Err(ConnectError::ForeignSocket {
            path: owned(),
            owner: metadata.uid(),
            expected: expected_owner_uid,
        });
    }
    let stream = UnixStream::connect(path).await.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ConnectError::NotRunning { path: owned() }
        }
        io::ErrorKind::WouldBlock => ConnectError::Busy { path: owned() },
        _ => ConnectError::Refused { path: owned(), source },
    })?;
    let server = stream.peer_cred().map_err(|source| ConnectError::Refused { path: owned(), source })?;
    if server.uid() != expected_owner_uid {
        return Err(ConnectError::ForeignServer {
            path: owned(),
            uid: server.uid(),
            expected: expected_owner_uid,
        });
    }
    Ok(stream)
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing serves the socket.
    #[error(
        "agentauthd is not running: nothing serves `{path}`; start it with `agentauthd run` or `agentauthd service install`"
    )]
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// The daemon does not keep up with connections.
    #[error("agentauthd at `{path}` has too many connections waiting; try again")]
    Busy {
        /// The socket.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot connect to `{path}`")]
    Refused {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The directory cannot be trusted.
    #[error("the socket `{path}` cannot be trusted")]
    Directory {
        /// The socket.
        path: PathBuf,
        /// What is wrong with its directory.
        #[source]
        source: DirectoryError,
    },
    /// Something else stands where the socket should be.
    #[error("`{path}` is not a socket, so it cannot be trusted; check AGENTAUTHD_SOCKET")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The socket file belongs to somebody else.
    #[error("the socket `{path}` belongs to uid {owner} instead of {expected}, so it cannot be trusted")]
    ForeignSocket {
        /// The socket.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it should be.
        expected: u32,
    },
    /// The listening process belongs to somebody else.
    #[error(
        "the process that serves `{path}` belongs to uid {uid} instead of {expected}, so it cannot be trusted"
    )]
    ForeignServer {
        /// The socket.
        path: PathBuf,
        /// Whose process it is.
        uid: u32,
        /// Whose it should be.
        expected: u32,
    },
}

impl ConnectError {
    /// Whether nothing serves the socket, so that starting the daemon would help.
    pub fn is_not_running(&self) -> bool {
        matches!(self, Self::NotRunning { .. })
    }

    /// Whether somebody other than the owner stands behind the socket, or could.
    pub fn is_untrusted(&self) -> bool {
        matches!(
            self,
            Self::Directory { .. }
                | Self::NotASocket { .. }
                | Self::ForeignSocket { .. }
                | Self::ForeignServer { .. }
        )
    }
}
