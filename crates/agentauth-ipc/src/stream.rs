//! A stream that knows who wrote each byte, and dies when it was not the process that connected.
//!
//! The kernel attaches the writer's credentials to what arrives (`SO_PASSCRED`) and never joins the bytes of two
//! writers in one `recvmsg`, so each read has exactly one writer. The control buffer has room for the credentials and
//! nothing else: descriptors that somebody passes are dropped by the kernel before they reach our table, and the
//! truncation mark that remains is what gives them away.

use std::{
    fmt, io,
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt, sockopt};
use rustix::net::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd};

/// Most bytes that one read takes.
const LARGEST_READ: usize = 16 * 1024;

/// A connected socket that reads only what one process wrote.
#[derive(Debug)]
pub struct CredStream {
    /// Watched for what there is to read, only: each time that the other side takes an answer out, there is room to write
    /// again, and to be told so would cost one waking more for each request.
    inner: AsyncFd<UnixStream>,
    /// The same socket, watched for room to write; only while there was none.
    full: Option<AsyncFd<OwnedFd>>,
    writer: u32,
    poison: Poison,
    /// Room for one `SCM_CREDENTIALS` and not a byte more.
    control: Vec<u8>,
    /// Where bytes arrive: the reader's buffer would have to be zeroed for each read, and would get what a stranger wrote.
    scratch: Box<[u8]>,
}

impl CredStream {
    /// Watches `stream` (made nonblocking), all of whose bytes must be written by the process `writer` (the connecting pid, as
    /// `SO_PEERCRED` gave it). The listener must have had [`watch_writers`] before the connection was accepted.
    ///
    /// # Errors
    /// When the socket option cannot be set, or the socket not be watched.
    pub fn new(stream: UnixStream, writer: u32) -> io::Result<Self> {
        watch_writers(&stream)?;
        stream.set_nonblocking(true)?;
        #[allow(
            deprecated,
            reason = "a `UnixStream` keeps what the newer function, which is unsafe, asks for"
        )]
        let inner = AsyncFd::with_interest(stream, Interest::READABLE)?;
        let control = nix::cmsg_space!(UnixCredentials);
        let scratch = vec![0; LARGEST_READ].into_boxed_slice();
        Ok(Self { inner, full: None, writer, poison: Poison::default(), control, scratch })
    }

    /// The shared state, for whoever must refuse what was read before the stream was poisoned.
    pub fn poison(&self) -> Poison {
        self.poison.clone()
    }

    /// Why the stream is dead, if it is.
    pub fn poisoned(&self) -> Option<PoisonReason> {
        self.poison.reason()
    }

    /// Writes now, or once there is room.
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        send: impl Fn(&UnixStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Some(full) = &self.full {
                ready!(full.poll_write_ready(context))?.clear_ready();
            }
            match send(self.inner.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.full.is_none() {
                        let socket = self.inner.get_ref().as_fd().try_clone_to_owned()?;
                        #[allow(deprecated, reason = "as above, for an `OwnedFd`")]
                        let full = AsyncFd::with_interest(socket, Interest::WRITABLE)?;
                        self.full = Some(full);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => {
                    self.full = None;
                    return Poll::Ready(outcome);
                }
            }
        }
    }
}

impl AsyncRead for CredStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(reason) = this.poison.reason() {
            return Poll::Ready(Err(reason.into()));
        }
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let most = buffer.remaining().min(LARGEST_READ);
        let Some(room) = this.scratch.get_mut(..most) else {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        };
        loop {
            let mut guard = ready!(this.inner.poll_read_ready(context))?;
            let Ok(outcome) = guard.try_io(|socket| receive(socket.get_ref(), room, &mut this.control))
            else {
                continue;
            };
            match outcome {
                Ok(Received { bytes: 0, .. }) => return Poll::Ready(Ok(())),
                Ok(Received { bytes, writer: Ok(writer) }) if writer == this.writer => {
                    buffer.put_slice(room.get(..bytes).unwrap_or_default());
                    // A short read is not taken for an empty socket: the bytes of another writer may stand behind it without
                    // a further wake-up. Readiness ends only with the kernel's own word, for which to ask how much there
                    // is costs less than to read once more. What comes from now on wakes again.
                    if rustix::io::ioctl_fionread(guard.get_inner()).is_ok_and(|waiting| waiting == 0) {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(()));
                }
                Ok(Received { writer, .. }) => {
                    let reason = writer.err().unwrap_or(PoisonReason::WrongWriter);
                    this.poison.set(reason);
                    tracing::warn!(expected = this.writer, ?writer, %reason, "connection poisoned");
                    return Poll::Ready(Err(reason.into()));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for CredStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(context, |mut socket| io::Write::write(&mut socket, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(context, |mut socket| io::Write::write_vectored(&mut socket, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing is held back.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(rustix::net::shutdown(self.inner.get_ref(), Shutdown::Write)?))
    }
}

/// Asks the kernel to attach writers' credentials. Set on a listener, accepted sockets inherit it, so that even bytes
/// written before `accept` carry them.
///
/// # Errors
/// When the socket option cannot be set.
pub fn watch_writers<Fd: std::os::fd::AsFd>(socket: &Fd) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::PassCred, &true)?)
}

/// One `recvmsg`. `bytes` is 0 at the end of the stream only, where there is no writer to ask for.
struct Received {
    bytes: usize,
    writer: Result<u32, PoisonReason>,
}

fn receive(socket: &UnixStream, room: &mut [u8], control: &mut [u8]) -> io::Result<Received> {
    let mut slices = [io::IoSliceMut::new(room)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(control), flags)?;
    let bytes = message.bytes;
    if message.flags.contains(MsgFlags::MSG_CTRUNC) {
        return Ok(Received { bytes, writer: Err(PoisonReason::PassedDescriptors) });
    }
    let credentials = message.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmCredentials(credentials) => Some(credentials),
        _ => None,
    });
    // The kernel says pid 0 for a writer outside our pid namespace.
    let pid = credentials.and_then(|found| u32::try_from(found.pid()).ok()).filter(|pid| *pid != 0);
    Ok(Received { bytes, writer: pid.ok_or(PoisonReason::NoCredentials) })
}

/// The shared state of one connection: alive, or dead and why. Once set it stays.
#[derive(Clone, Default)]
pub struct Poison(Arc<AtomicU8>);

impl Poison {
    /// Why the connection is dead, if it is.
    pub fn reason(&self) -> Option<PoisonReason> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            1 => Some(PoisonReason::WrongWriter),
            2 => Some(PoisonReason::PassedDescriptors),
            3 => Some(PoisonReason::NoCredentials),
            _ => Some(PoisonReason::Condemned),
        }
    }

    /// Kills the connection for a reason that another layer found; the first reason stays.
    pub fn condemn(&self) {
        self.set(PoisonReason::Condemned);
    }

    fn set(&self, reason: PoisonReason) {
        // Failure means that an earlier reason stands, which is what is wanted.
        let _ = self.0.compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire);
    }
}

impl fmt::Debug for Poison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Poison").field(&self.reason()).finish()
    }
}

/// Why a connection is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub enum PoisonReason {
    /// Another process than the one that connected wrote to the connection.
    #[error(
        "another process than the one that connected wrote to this connection; connect anew from each process"
    )]
    WrongWriter = 1,
    /// Somebody passed file descriptors (or control data that does not fit).
    #[error("file descriptors were passed over this connection, which takes none")]
    PassedDescriptors = 2,
    /// The kernel did not say who wrote, or the writer is outside our pid namespace.
    #[error("the writer of this connection's bytes is unknown")]
    NoCredentials = 3,
    /// Another layer gave the connection up.
    #[error("this connection was given up")]
    Condemned = 4,
}

impl From<PoisonReason> for io::Error {
    fn from(reason: PoisonReason) -> Self {
        io::Error::new(io::ErrorKind::PermissionDenied, reason)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn pair(writer: u32) -> (CredStream, tokio::net::UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        (CredStream::new(near, writer).unwrap(), tokio::net::UnixStream::from_std(far).unwrap())
    }

    #[tokio::test]
    async fn an_answer_waits_for_room_and_arrives_whole() {
        let (mut stream, mut far) = pair(std::process::id());
        let sent: Vec<u8> = (0..2_000_000u32).map(|n| (n % 251) as u8).collect();
        let expected = sent.clone();
        let writer = tokio::spawn(async move {
            stream.write_all(&sent).await.unwrap();
            assert!(stream.full.is_none(), "room is waited for only where there is none");
            stream.shutdown().await.unwrap();
            stream
        });
        // The writer is stuck before anything is read: the kernel's buffer is far smaller.
        tokio::task::yield_now().await;
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, expected);
        drop(writer.await.unwrap());
    }

    #[tokio::test]
    async fn bytes_of_the_right_writer_arrive_in_order_and_the_end_is_seen() {
        let (mut stream, mut far) = pair(std::process::id());
        let sent: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
        let expected = sent.clone();
        let writer = tokio::spawn(async move {
            for chunk in sent.chunks(7_001) {
                far.write_all(chunk).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let mut got = Vec::new();
        stream.read_to_end(&mut got).await.unwrap();
        writer.await.unwrap();
        assert_eq!(got, expected);
        assert_eq!(stream.poisoned(), None);
    }

    #[tokio::test]
    async fn both_directions_and_many_turns() {
        let (mut stream, mut far) = pair(std::process::id());
        let echo = tokio::spawn(async move {
            let mut buffer = [0; 64];
            loop {
                let n = stream.read(&mut buffer).await.unwrap();
                if n == 0 {
                    break;
                }
                stream.write_all(&buffer[..n]).await.unwrap();
            }
        });
        for turn in 0..500u32 {
            far.write_all(&turn.to_be_bytes()).await.unwrap();
            let answer =
                tokio::time::timeout(Duration::from_secs(20), far.read_u32()).await.unwrap().unwrap();
            assert_eq!(answer, turn);
        }
        drop(far);
        echo.await.unwrap();
    }

    #[tokio::test]
    async fn a_wrong_writer_poisons_for_good() {
        let (mut stream, mut far) = pair(std::process::id() + 1);
        let poison = stream.poison();
        far.write_all(b"x").await.unwrap();
        let mut buffer = [0; 8];
        for _ in 0..2 {
            let error = stream.read(&mut buffer).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        }
        assert_eq!(poison.reason(), Some(PoisonReason::WrongWriter));
        assert_eq!(buffer, [0; 8], "nothing of the stranger's bytes is handed on");
        poison.condemn();
        assert_eq!(poison.reason(), Some(PoisonReason::WrongWriter), "the first reason stays");
    }

    #[tokio::test]
    async fn a_condemned_stream_reads_nothing_more() {
        let (mut stream, mut far) = pair(std::process::id());
        far.write_all(b"x").await.unwrap();
        stream.poison().condemn();
        assert!(stream.read(&mut [0; 8]).await.is_err());
        assert_eq!(stream.poisoned(), Some(PoisonReason::Condemned));
    }
}
