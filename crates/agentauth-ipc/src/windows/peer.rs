//! Who connected a pipe: its process by number, held by a handle so that no later process can take the number over, its
//! user, its image and who signed that.
#![allow(unsafe_code, reason = "the Windows interface; each call says why it is sound")]

use std::{
    ffi::OsString,
    io,
    os::windows::{
        ffi::OsStringExt as _,
        io::{AsRawHandle, FromRawHandle as _, OwnedHandle},
    },
    path::PathBuf,
    ptr,
};

use windows_sys::Win32::{
    Foundation::{ERROR_INSUFFICIENT_BUFFER, FILETIME, HANDLE, LocalFree, WAIT_TIMEOUT},
    Security::{
        Authorization::ConvertSidToStringSidW, GetTokenInformation, TOKEN_QUERY, TOKEN_USER, TokenUser,
    },
    System::{
        Pipes::GetNamedPipeClientProcessId,
        Threading::{
            GetProcessTimes, OpenProcess, OpenProcessToken, PROCESS_NAME_WIN32,
            PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE, QueryFullProcessImageNameW,
            WaitForSingleObject,
        },
    },
};

use super::signature;
use crate::program::{Program, Signature};

/// Longest path of an image, in UTF-16 units.
const LONGEST_PATH: usize = 32 * 1024;

/// The process that connected.
#[derive(Debug)]
pub struct Peer {
    pid: u32,
    sid: String,
    /// While it is open, the system gives the number to no other process.
    process: OwnedHandle,
}

impl Peer {
    /// Asks the system who connected the server's end `pipe`.
    ///
    /// The number is the client's; that it had not been given to another process between the connection and the opening
    /// is shown by a greeting only, as everywhere.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub fn of<Pipe: AsRawHandle>(pipe: &Pipe) -> Result<Self, PeerError> {
        let mut pid = 0;
        // SAFETY: the handle is open for as long as `pipe` is borrowed, and `pid` outlives the call.
        check(unsafe { GetNamedPipeClientProcessId(pipe.as_raw_handle() as HANDLE, &mut pid) })?;
        if pid == 0 {
            return Err(PeerError::Unnameable);
        }
        let rights = PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE;
        // SAFETY: no pointers; a null result is checked below.
        let process = unsafe { OpenProcess(rights, 0, pid) };
        if process.is_null() {
            return Err(PeerError::Open { pid, source: io::Error::last_os_error() });
        }
        // SAFETY: the handle is open, ours, and owned by nobody else.
        let process = unsafe { OwnedHandle::from_raw_handle(process.cast()) };
        let sid = user_of(&process)?;
        let peer = Self { pid, sid, process };
        if peer.alive() { Ok(peer) } else { Err(PeerError::Gone { pid }) }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The security identifier of its user (`S-1-5-21-...`).
    pub fn user_sid(&self) -> &str {
        &self.sid
    }

    /// Always: the number is held by an open handle.
    pub fn is_pinned(&self) -> bool {
        true
    }

    /// Whether the process still runs. Doubt counts as no.
    pub fn alive(&self) -> bool {
        // SAFETY: the handle is open and may be waited for.
        unsafe { WaitForSingleObject(self.raw(), 0) == WAIT_TIMEOUT }
    }

    /// What it runs. A process cannot become another program here, so this does not change.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub fn program(&self) -> Result<Program, PeerError> {
        let mut path = vec![0u16; LONGEST_PATH];
        let mut length = u32::try_from(path.len()).unwrap_or(u32::MAX);
        // SAFETY: `length` is the room in `path`, and both outlive the call.
        check(unsafe {
            QueryFullProcessImageNameW(self.raw(), PROCESS_NAME_WIN32, path.as_mut_ptr(), &mut length)
        })?;
        path.truncate(length as usize);

        let mut created = FILETIME::default();
        let (mut exited, mut kernel, mut user) =
            (FILETIME::default(), FILETIME::default(), FILETIME::default());
        // SAFETY: four places of the right type that outlive the call.
        check(unsafe { GetProcessTimes(self.raw(), &mut created, &mut exited, &mut kernel, &mut user) })?;
        let run = u64::from(created.dwHighDateTime) << 32 | u64::from(created.dwLowDateTime);
        Ok(Program { pid: self.pid, path: PathBuf::from(OsString::from_wide(&path)), run })
    }

    /// Whether its image bears a signature that the system trusts, and whose. Reads the file and may take a while; asks no
    /// server about revocation.
    ///
    /// # Errors
    /// See [`PeerError`].
    pub fn signature(&self) -> Result<Signature, PeerError> {
        Ok(signature::of(&self.program()?.path))
    }

    fn raw(&self) -> HANDLE {
        self.process.as_raw_handle() as HANDLE
    }
}

/// The security identifier of the user whose process this is.
fn user_of(process: &OwnedHandle) -> Result<String, PeerError> {
    let mut token: HANDLE = ptr::null_mut();
    // SAFETY: the handle is open, and `token` outlives the call.
    check(unsafe { OpenProcessToken(process.as_raw_handle() as HANDLE, TOKEN_QUERY, &mut token) })?;
    // SAFETY: the call above gave us this handle.
    let token = unsafe { OwnedHandle::from_raw_handle(token.cast()) };
    let raw = token.as_raw_handle() as HANDLE;

    let mut length = 0;
    // SAFETY: no room is offered, so nothing is written but the length.
    let asked = unsafe { GetTokenInformation(raw, TokenUser, ptr::null_mut(), 0, &mut length) };
    let failure = io::Error::last_os_error();
    if asked == 0 && failure.raw_os_error() != Some(ERROR_INSUFFICIENT_BUFFER as i32) {
        return Err(PeerError::Ask { source: failure });
    }
    // Whole words, so that the structure at its start is aligned.
    let mut room = vec![0u64; (length as usize).div_ceil(8)];
    // SAFETY: `room` has at least `length` bytes.
    check(unsafe { GetTokenInformation(raw, TokenUser, room.as_mut_ptr().cast(), length, &mut length) })?;
    // SAFETY: the system filled `room` with a `TOKEN_USER`, whose pointer leads into `room`.
    let sid = unsafe { (*room.as_ptr().cast::<TOKEN_USER>()).User.Sid };
    let mut text: *mut u16 = ptr::null_mut();
    // SAFETY: `sid` is valid while `room` lives; the text is the system's, and freed below.
    check(unsafe { ConvertSidToStringSidW(sid, &mut text) })?;
    // SAFETY: a string that ends in a zero; it is read up to there and then freed, once.
    unsafe {
        let length = (0..).take_while(|place| *text.add(*place) != 0).count();
        let sid = String::from_utf16_lossy(std::slice::from_raw_parts(text, length));
        LocalFree(text.cast());
        Ok(sid)
    }
}

fn check(outcome: i32) -> Result<(), PeerError> {
    if outcome == 0 { Err(PeerError::Ask { source: io::Error::last_os_error() }) } else { Ok(()) }
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
    /// The system names none, as for a client on another machine.
    #[error("the process that connected cannot be named")]
    Unnameable,
    /// It cannot be opened, as another user's cannot.
    #[error("cannot look at the process {pid} that connected")]
    Open {
        /// Its process id.
        pid: u32,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system did not answer.
    #[error("cannot ask the system who connected")]
    Ask {
        /// What the system said.
        #[source]
        source: io::Error,
    },
}
