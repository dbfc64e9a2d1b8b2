//! Windows: the pipe's name, the client's end, and who is on the other end of a pipe. Listening needs an explicit security
//! descriptor; it says so instead of serving a pipe that others can open.

#[cfg(feature = "identify")]
mod peer;
#[cfg(feature = "identify")]
mod signature;

#[cfg(feature = "identify")]
pub use peer::{Peer, PeerError};

/// The pipe of the user with this security identifier (`S-1-5-21-...`).
pub fn pipe_name(user_sid: &str) -> String {
    format!(r"\\.\pipe\agentauthd-{user_sid}")
}

#[cfg(feature = "connect")]
pub mod connect {
    //! The client's end.

    use std::{
        io,
        path::{Path, PathBuf},
    };

    use tokio::net::windows::named_pipe::{ClientOptions, NamedPipeClient};

    /// `ERROR_PIPE_BUSY`: every instance is taken.
    const PIPE_BUSY: i32 = 231;

    /// Connects to the pipe. The server may identify us but not act for us (tokio's default quality of service).
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn connect(path: &Path) -> Result<NamedPipeClient, ConnectError> {
        ClientOptions::new().open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ConnectError::NotRunning { path: path.to_owned() },
            _ if source.raw_os_error() == Some(PIPE_BUSY) => ConnectError::Busy { path: path.to_owned() },
            _ => ConnectError::Refused { path: path.to_owned(), source },
        })
    }

    /// Why there is no connection.
    #[derive(Debug, thiserror::Error)]
    pub enum ConnectError {
        /// There is no such pipe.
        #[error("agentauthd is not running: there is no pipe `{path}`")]
        NotRunning {
            /// The pipe.
            path: PathBuf,
        },
        /// Every instance is taken.
        #[error("agentauthd at `{path}` has too many connections waiting; try again")]
        Busy {
            /// The pipe.
            path: PathBuf,
        },
        /// The system refused.
        #[error("cannot connect to `{path}`")]
        Refused {
            /// The pipe.
            path: PathBuf,
            /// What the system said.
            #[source]
            source: io::Error,
        },
    }
}

#[cfg(feature = "identify")]
pub mod listen {
    //! The listening end, which does not exist yet.

    use std::path::Path;

    /// A listener; there is none on this system yet.
    #[derive(Debug)]
    pub enum Listener {}

    /// Refuses.
    ///
    /// # Errors
    /// Always [`ListenError::Unsupported`].
    pub fn listen(_path: &Path, _owner_sid: &str) -> Result<Listener, ListenError> {
        Err(ListenError::Unsupported)
    }

    /// Why the daemon cannot listen.
    #[derive(Debug, thiserror::Error)]
    pub enum ListenError {
        /// Not on this system.
        #[error("serving a named pipe is not supported on Windows yet; run agentauthd on Linux or under WSL")]
        Unsupported,
    }

    /// Why a connection was not accepted.
    #[derive(Debug, thiserror::Error)]
    pub enum AcceptError {}
}
