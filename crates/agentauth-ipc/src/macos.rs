//! macOS: the peer by its audit token, its program and the signature over that. Who wrote each byte the system does not
//! say, and no identifier is built on this yet: a caller can be refused but not proven.

#[cfg(feature = "identify")]
pub mod peer {
    //! Who connected: the kernel's audit token, which is of one run of one process, and what the code signing machinery
    //! says of the program in that run.

    use std::{io, os::fd::AsFd, path::PathBuf};

    use core_foundation::{base::TCFType as _, data::CFData};
    use nix::sys::socket::{getsockopt, sockopt};
    use security_framework::os::macos::code_signing::{Flags, GuestAttributes, SecCode, SecRequirement};

    use crate::program::{Program, Signature};

    /// Places in an audit token, as `<bsm/libbsm.h>` reads it.
    const EFFECTIVE_UID: usize = 1;
    const EFFECTIVE_GID: usize = 2;
    const PROCESS: usize = 5;
    const PROCESS_VERSION: usize = 7;

    /// The process that connected.
    #[derive(Debug)]
    pub struct Peer {
        token: [u32; 8],
    }

    impl Peer {
        /// Asks the kernel who connected `socket` (`LOCAL_PEERTOKEN`).
        ///
        /// # Errors
        /// See [`PeerError`].
        pub fn of<Fd: AsFd>(socket: &Fd) -> Result<Self, PeerError> {
            let token = getsockopt(socket, sockopt::LocalPeerToken)
                .map_err(|errno| PeerError::Ask { source: errno.into() })?;
            let peer = Self { token: token.val };
            if peer.pid() == 0 { Err(PeerError::Unnameable) } else { Ok(peer) }
        }

        /// Process id.
        pub fn pid(&self) -> u32 {
            self.part(PROCESS)
        }

        /// Effective user id at the time of `connect`.
        pub fn uid(&self) -> u32 {
            self.part(EFFECTIVE_UID)
        }

        /// Effective group id at the time of `connect`.
        pub fn gid(&self) -> u32 {
            self.part(EFFECTIVE_GID)
        }

        /// Whether this is root.
        pub fn is_root(&self) -> bool {
            self.uid() == 0
        }

        /// Always: the token is of one run of one process, and no later one has the same.
        pub fn is_pinned(&self) -> bool {
            true
        }

        /// Whether that run goes on: the process has neither ended nor become another program. Doubt counts as no.
        pub fn alive(&self) -> bool {
            self.code().is_ok()
        }

        /// What it runs.
        ///
        /// # Errors
        /// [`PeerError::Gone`] when the process has ended or become another program.
        pub fn program(&self) -> Result<Program, PeerError> {
            let url = self.code()?.path(Flags::NONE).map_err(|source| PeerError::Code { source })?;
            let path: PathBuf = url.to_path().ok_or(PeerError::Unnameable)?;
            Ok(Program { pid: self.pid(), path, run: u64::from(self.part(PROCESS_VERSION)) })
        }

        /// Whether the running code is validly signed and meets `requirement`, in Apple's language for that (such as
        /// `anchor apple generic and certificate leaf[subject.OU] = "TEAM123456"`).
        ///
        /// # Errors
        /// [`PeerError::Requirement`] when that cannot be read; [`PeerError::Gone`].
        pub fn signature(&self, requirement: &str) -> Result<Signature, PeerError> {
            let asked: SecRequirement =
                requirement.parse().map_err(|source| PeerError::Requirement { source })?;
            match self.code()?.check_validity(Flags::NONE, &asked) {
                Ok(()) => Ok(Signature::Valid { signer: requirement.to_owned() }),
                Err(failure) => Ok(Signature::Invalid { status: failure.code() }),
            }
        }

        /// The code of this very run: the system looks it up by the whole token, its version included.
        fn code(&self) -> Result<SecCode, PeerError> {
            let bytes: Vec<u8> = self.token.iter().flat_map(|part| part.to_ne_bytes()).collect();
            let token = CFData::from_buffer(&bytes);
            let mut attributes = GuestAttributes::new();
            attributes.set_audit_token(token.as_concrete_TypeRef());
            SecCode::copy_guest_with_attribues(None, &attributes, Flags::NONE)
                .map_err(|_| PeerError::Gone { pid: self.pid() })
        }

        fn part(&self, place: usize) -> u32 {
            self.token.get(place).copied().unwrap_or_default()
        }
    }

    /// Why the peer cannot be named.
    #[derive(Debug, thiserror::Error)]
    pub enum PeerError {
        /// The kernel names none.
        #[error("the process that connected cannot be named")]
        Unnameable,
        /// It ended, or runs another program by now.
        #[error("the process {pid} that connected is gone, or has become another program")]
        Gone {
            /// The process id it had.
            pid: u32,
        },
        /// The kernel did not answer.
        #[error("cannot ask the kernel who connected")]
        Ask {
            /// What the system said.
            #[source]
            source: io::Error,
        },
        /// Nothing is known of its code.
        #[error("cannot look at the code of the process that connected")]
        Code {
            /// What the system said.
            #[source]
            source: security_framework::base::Error,
        },
        /// The requirement is not written as Apple wants it.
        #[error("the code signing requirement cannot be read")]
        Requirement {
            /// What the system said.
            #[source]
            source: security_framework::base::Error,
        },
    }
}

#[cfg(feature = "identify")]
pub mod stream {
    //! A plain stream: macOS does not say who wrote the bytes of a connected socket.

    use std::{
        fmt, io,
        pin::Pin,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        task::{Context, Poll},
    };

    use tokio::{
        io::{AsyncRead, AsyncWrite, ReadBuf},
        net::UnixStream,
    };

    /// A connected socket. Its bytes may come from any process that holds it.
    #[derive(Debug)]
    pub struct CredStream {
        inner: UnixStream,
        poison: Poison,
    }

    impl CredStream {
        /// Wraps `stream` (made nonblocking); the writer cannot be watched here.
        ///
        /// # Errors
        /// When the socket cannot be watched.
        pub fn new(stream: std::os::unix::net::UnixStream, _writer: u32) -> io::Result<Self> {
            stream.set_nonblocking(true)?;
            Ok(Self { inner: UnixStream::from_std(stream)?, poison: Poison::default() })
        }

        /// The shared state.
        pub fn poison(&self) -> Poison {
            self.poison.clone()
        }

        /// Why the stream is dead, if it is.
        pub fn poisoned(&self) -> Option<PoisonReason> {
            self.poison.reason()
        }
    }

    impl AsyncRead for CredStream {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if let Some(reason) = self.poison.reason() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::PermissionDenied, reason)));
            }
            Pin::new(&mut self.inner).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for CredStream {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.inner).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_shutdown(cx)
        }
    }

    pub(crate) fn watch_writers<Fd: std::os::fd::AsFd>(_: &Fd) -> io::Result<()> {
        Ok(())
    }

    /// The shared state of one connection.
    #[derive(Clone, Default)]
    pub struct Poison(Arc<AtomicBool>);

    impl Poison {
        /// Why the connection is dead, if it is.
        pub fn reason(&self) -> Option<PoisonReason> {
            self.0.load(Ordering::Acquire).then_some(PoisonReason::Condemned)
        }

        /// Kills the connection.
        pub fn condemn(&self) {
            self.0.store(true, Ordering::Release);
        }
    }

    impl fmt::Debug for Poison {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_tuple("Poison").field(&self.reason()).finish()
        }
    }

    /// Why a connection is dead.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
    pub enum PoisonReason {
        /// Another layer gave the connection up.
        #[error("this connection was given up")]
        Condemned,
    }
}
