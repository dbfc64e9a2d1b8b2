//! macOS: the peer's pid and uid. What runs there is not looked at yet, so a caller can be refused but not proven.

#[cfg(feature = "identify")]
pub mod peer {
    //! Who connected, as `LOCAL_PEERPID` and `getpeereid` have it.

    use std::{io, os::fd::AsFd};

    use nix::sys::socket::{getsockopt, sockopt};

    /// The process that connected.
    #[derive(Debug)]
    pub struct Peer {
        pid: u32,
        uid: u32,
        gid: u32,
    }

    impl Peer {
        /// Asks the kernel who connected `socket`.
        ///
        /// # Errors
        /// See [`PeerError`].
        pub fn of<Fd: AsFd>(socket: &Fd) -> Result<Self, PeerError> {
            let ask = |errno: nix::errno::Errno| PeerError::Ask { source: errno.into() };
            let pid = getsockopt(socket, sockopt::LocalPeerPid).map_err(ask)?;
            let (uid, gid) = nix::unistd::getpeereid(socket).map_err(ask)?;
            let pid = u32::try_from(pid).ok().filter(|pid| *pid != 0).ok_or(PeerError::Unnameable)?;
            Ok(Self { pid, uid: uid.as_raw(), gid: gid.as_raw() })
        }

        /// Process id.
        pub fn pid(&self) -> u32 {
            self.pid
        }

        /// Effective user id at the time of `connect`.
        pub fn uid(&self) -> u32 {
            self.uid
        }

        /// Effective group id at the time of `connect`.
        pub fn gid(&self) -> u32 {
            self.gid
        }

        /// Whether this is root.
        pub fn is_root(&self) -> bool {
            self.uid == 0
        }

        /// Never: the pid may have been given to another process.
        pub fn is_pinned(&self) -> bool {
            false
        }

        /// Whether some process has this pid. Doubt counts as no.
        pub fn alive(&self) -> bool {
            let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
            pid.is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
        }
    }

    /// Why the peer cannot be named.
    #[derive(Debug, thiserror::Error)]
    pub enum PeerError {
        /// The kernel names none.
        #[error("the process that connected cannot be named")]
        Unnameable,
        /// The kernel did not answer.
        #[error("cannot ask the kernel who connected")]
        Ask {
            /// What the system said.
            #[source]
            source: io::Error,
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
        /// Wraps `stream`; the writer cannot be watched here.
        ///
        /// # Errors
        /// None here.
        pub fn new(stream: UnixStream, _writer: u32) -> io::Result<Self> {
            Ok(Self { inner: stream, poison: Poison::default() })
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
