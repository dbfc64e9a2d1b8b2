//! One process's directory in `/proc`, held open: what is read through it is always of the same process, or nothing.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStringExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, Stat, openat, readlinkat, statat},
    io::Errno,
};

use super::facts::FileId;

const OPEN: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC);

/// `/proc` itself.
#[derive(Debug)]
pub(crate) struct Proc(OwnedFd);

impl Proc {
    pub(crate) fn open() -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(openat(CWD, "/proc", flags, Mode::empty())?))
    }

    /// The directory of the process that has this number now. Whose that is must be proved afterwards, by the parent's
    /// or child's start time or by a pidfd that is still alive.
    pub(crate) fn process(&self, pid: u32) -> Result<ProcDir, ProcError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let directory = openat(&self.0, pid.to_string().as_str(), flags, Mode::empty())?;
        Ok(ProcDir { directory })
    }

    /// Follows `path` to its end, without opening what is there: the final path, and which file it is.
    pub(crate) fn locate(&self, path: &Path) -> Result<(PathBuf, Stat), ProcError> {
        let file = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let link = format!("self/fd/{}", file.as_raw_fd());
        let target = readlinkat(&self.0, link.as_str(), Vec::with_capacity(256))?;
        Ok((OsString::from_vec(target.into_bytes()).into(), rustix::fs::fstat(&file)?))
    }

    pub(crate) fn own(&self, file: &str) -> Result<Stat, ProcError> {
        Ok(statat(&self.0, format!("self/{file}").as_str(), AtFlags::empty())?)
    }
}

/// `/proc/PID`, opened once.
#[derive(Debug)]
pub(crate) struct ProcDir {
    directory: OwnedFd,
}

impl ProcDir {
    /// Opens a file of this process for reading.
    pub(crate) fn open(&self, file: &str) -> Result<OwnedFd, ProcError> {
        Ok(openat(&self.directory, file, OPEN, Mode::empty())?)
    }

    /// Reads a file that the kernel renders in one piece into `buffer`, replacing what was there.
    pub(crate) fn read_piece(&self, file: &str, buffer: &mut Vec<u8>) -> Result<(), ProcError> {
        buffer.clear();
        let file = self.open(file)?;
        loop {
            if buffer.spare_capacity_mut().len() < 4096 {
                buffer.reserve(4096);
            }
            let room = buffer.spare_capacity_mut().len();
            let read = retry(|| rustix::io::read(&file, rustix::buffer::spare_capacity(buffer)))?;
            // Less than asked for is the end; such files are rendered whole for the first read.
            if read < room {
                return Ok(());
            }
            if buffer.len() > 64 * 1024 {
                return Err(ProcError::TooLong);
            }
        }
    }

    /// Reads a file of any length up to `cap` bytes into `buffer`; says whether it was cut off.
    pub(crate) fn read_capped(
        &self,
        file: &str,
        cap: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<bool, ProcError> {
        buffer.clear();
        let file = self.open(file)?;
        while buffer.len() <= cap {
            if buffer.spare_capacity_mut().len() < 4096 {
                buffer.reserve(4096);
            }
            if retry(|| rustix::io::read(&file, rustix::buffer::spare_capacity(buffer)))? == 0 {
                return Ok(false);
            }
        }
        buffer.truncate(cap);
        Ok(true)
    }

    /// Where a link of this process leads, as the kernel renders it for us.
    pub(crate) fn link(&self, name: &str) -> Result<PathBuf, ProcError> {
        let target = readlinkat(&self.directory, name, Vec::with_capacity(256))?;
        Ok(OsString::from_vec(target.into_bytes()).into())
    }

    /// The file behind a link of this process.
    pub(crate) fn stat(&self, name: &str) -> Result<Stat, ProcError> {
        Ok(statat(&self.directory, name, AtFlags::empty())?)
    }

    /// Whether an absolute path leads the process, in its own mount namespace and below its own root, to this file.
    pub(crate) fn sees(&self, path: &Path, file: &FileId) -> bool {
        let below = path.strip_prefix("/").unwrap_or(path);
        let found = statat(&self.directory, Path::new("root").join(below), AtFlags::empty());
        found.is_ok_and(|found| file_id(&found) == *file)
    }

    /// Owner of the directory: the effective uid. (Of the files in it that is so only while the process does not hide.)
    pub(crate) fn uid(&self) -> Result<u32, ProcError> {
        Ok(rustix::fs::fstat(&self.directory)?.st_uid)
    }
}

impl AsFd for ProcDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// Which file a `stat` is about.
pub(crate) fn file_id(stat: &Stat) -> FileId {
    FileId {
        device: stat.st_dev,
        inode: stat.st_ino,
        changed_ns: nanoseconds(stat.st_ctime.into(), stat.st_ctime_nsec.into()),
        size: u64::try_from(stat.st_size).unwrap_or_default(),
    }
}

/// Last modification in nanoseconds since the epoch.
pub(crate) fn modified_ns(stat: &Stat) -> i128 {
    nanoseconds(stat.st_mtime.into(), stat.st_mtime_nsec.into())
}

fn nanoseconds(seconds: i128, nanoseconds: i128) -> i128 {
    seconds * 1_000_000_000 + nanoseconds
}

/// Why something of a process cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcError {
    #[error("the process is gone")]
    Gone,
    #[error("the process hides it from us")]
    Denied,
    #[error("it is longer than it can be")]
    TooLong,
    #[error("it cannot be read")]
    Io(#[source] io::Error),
}

impl From<Errno> for ProcError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::SRCH => Self::Gone,
            Errno::ACCESS | Errno::PERM => Self::Denied,
            other => Self::Io(other.into()),
        }
    }
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            outcome => return outcome,
        }
    }
}
