//! Why a request got no answer, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use agentauth_api::Problem;
use agentauth_ipc::connect::ConnectError;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nothing serves the socket.
    #[error(
        "agentauthd is not running: nothing serves `{}`; start it with `agentauthd run`, or as a service", socket.display()
    )]
    NotRunning {
        /// Where it was looked for.
        socket: PathBuf,
    },
    /// Somebody else stands behind the socket, or could. Nothing was sent.
    #[error(
        "will not talk to what serves `{}`, because it may not be this user's daemon; check who owns the socket and its directory", socket.display()
    )]
    Untrusted {
        /// The socket.
        socket: PathBuf,
        /// What gave it away.
        #[source]
        source: ConnectError,
    },
    /// The daemon of another profile serves the socket. Nothing but the greeting was sent.
    #[error(
        "the daemon at `{}` serves the profile `{}`, not `{meant}`; name that profile, or correct the path of the socket",
        socket.display(), serves.escape_default()
    )]
    OtherProfile {
        /// The socket.
        socket: PathBuf,
        /// The profile that was meant.
        meant: String,
        /// The one that answered.
        serves: String,
    },
    /// The system would not connect.
    #[error("could not connect to agentauthd at `{}`; try again, and look at the daemon's log if it stays so", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        #[source]
        source: ConnectError,
    },
    /// The connection ended before the answer came; whether the request was carried out is not known.
    #[error(
        "agentauthd closed the connection before it answered `{request}`; ask again, and look at the daemon's log if it stays so"
    )]
    Lost {
        /// Method and path.
        request: String,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time; whether the request was carried out is not known.
    #[error("agentauthd did not answer `{request}` within {} s; look at the daemon's log", limit.as_secs())]
    TimedOut {
        /// Method and path.
        request: String,
        /// How long it had.
        limit: Duration,
    },
    /// The daemon answered that it will not. The detail says what to do.
    #[error("agentauthd refused: {}", .0.detail)]
    Refused(Box<Problem>),
    /// The answer makes no sense: another program, or a daemon of another version.
    #[error("agentauthd's answer to `{request}` {what}; is the daemon of the same version as this program?")]
    Protocol {
        /// Method and path.
        request: String,
        /// What was wrong with the answer, as the rest of a sentence.
        what: String,
        /// The cause, if there is one.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl ClientError {
    pub(crate) fn connect(socket: PathBuf, source: ConnectError) -> Self {
        if source.is_not_running() {
            Self::NotRunning { socket }
        } else if source.is_untrusted() {
            Self::Untrusted { socket, source }
        } else {
            Self::Connect { socket, source }
        }
    }

    /// Whether the daemon could not be reached at all, so that the request was certainly not carried out.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::NotRunning { .. } | Self::Connect { .. })
    }

    /// The problem that the daemon answered with, if it did.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(problem) => Some(problem),
            _ => None,
        }
    }
}

impl From<ClientError> for io::Error {
    fn from(error: ClientError) -> Self {
        let kind = match &error {
            ClientError::NotRunning { .. } => io::ErrorKind::NotFound,
            ClientError::Untrusted { .. } | ClientError::OtherProfile { .. } | ClientError::Refused(_) => {
                io::ErrorKind::PermissionDenied
            }
            ClientError::Connect { .. } => io::ErrorKind::ConnectionRefused,
            ClientError::Lost { .. } => io::ErrorKind::ConnectionAborted,
            ClientError::TimedOut { .. } => io::ErrorKind::TimedOut,
            ClientError::Protocol { .. } => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
