//! Who connected: the kernel's word at the time of `connect`, and a handle that no later process can take over.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{getsockopt, sockopt},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

/// The process that connected.
#[derive(Debug)]
pub struct Peer {
    pid: u32,
    uid: u32,
    gid: u32,
    pidfd: OwnedFd,
    pinned: bool,
}

impl Peer {
    /// Asks the kernel who connected `socket` (`SO_PEERCRED`, `SO_PEERPIDFD`). For a socket pair that is its maker.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub fn of<Fd: AsFd>(socket: &Fd) -> Result<Self, PeerError> {
        let credentials = getsockopt(socket, sockopt::PeerCredentials).map_err(PeerError::ask)?;
        // Pid 0 stands for a process outside our pid namespace: nothing about it can be read.
        let pid =
            u32::try_from(credentials.pid()).ok().filter(|pid| *pid != 0).ok_or(PeerError::Unnameable)?;
        let (pidfd, pinned) = match getsockopt(socket, sockopt::PeerPidfd) {
            Ok(pidfd) => (pidfd, true),
            Err(Errno::ESRCH | Errno::ENODATA | Errno::EINVAL) => return Err(PeerError::Gone { pid }),
            // Kernels before 6.5 do not know the question.
            Err(Errno::ENOPROTOOPT | Errno::EOPNOTSUPP) => (open_pidfd(pid)?, false),
            Err(errno) => return Err(PeerError::ask(errno)),
        };
        let peer = Self { pid, uid: credentials.uid(), gid: credentials.gid(), pidfd, pinned };
        if peer.alive() { Ok(peer) } else { Err(PeerError::Gone { pid }) }
    }

    /// Process id, as our pid namespace numbers it.
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

    /// Whether this is root, who may connect to anybody's daemon and see its state.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether the process handle came from the socket itself. If not (kernels before 6.5) it was opened by number, and
    /// only the greeting proves that the number had not been given to another process meanwhile.
    pub fn is_pinned(&self) -> bool {
        self.pinned
    }

    /// Whether the process still exists (a zombie does not count). Doubt counts as no.
    pub fn alive(&self) -> bool {
        const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        loop {
            match poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&AT_ONCE)) {
                Ok(ready) => return ready == 0,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}

impl AsFd for Peer {
    /// The pidfd.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

fn open_pidfd(pid: u32) -> Result<OwnedFd, PeerError> {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(PeerError::Unnameable)?;
    pidfd_open(number, PidfdFlags::empty()).map_err(|errno| match errno {
        rustix::io::Errno::SRCH => PeerError::Gone { pid },
        other => PeerError::Ask { source: other.into() },
    })
}

/// Why the peer cannot be named.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// It exited before it could be looked at.
    #[error("the process {pid} that connected is gone")]
    Gone {
        /// The process id it had.
        pid: u32,
    },
    /// It lives outside our pid namespace.
    #[error(
        "the process that connected lives outside the daemon's pid namespace, so nothing is known of it; connect from the same container or host as the daemon"
    )]
    Unnameable,
    /// The kernel did not answer.
    #[error("cannot ask the kernel who connected")]
    Ask {
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl PeerError {
    fn ask(errno: Errno) -> Self {
        Self::Ask { source: errno.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_socket_pair_it_is_us() {
        let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
        let peer = Peer::of(&near).unwrap();
        assert_eq!(peer.pid(), std::process::id());
        assert_eq!(peer.uid(), rustix::process::geteuid().as_raw());
        assert_eq!(peer.gid(), rustix::process::getegid().as_raw());
        assert!(peer.alive());
    }

    #[test]
    fn a_handle_opened_by_number_works_too() {
        let handle = open_pidfd(std::process::id()).unwrap();
        let peer = Peer { pid: std::process::id(), uid: 0, gid: 0, pidfd: handle, pinned: false };
        assert!(peer.alive());
        assert!(matches!(open_pidfd(u32::MAX), Err(PeerError::Unnameable)));
        assert!(matches!(open_pidfd(i32::MAX as u32), Err(PeerError::Gone { .. })));
    }
}
