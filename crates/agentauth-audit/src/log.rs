//! The writer.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::Value;

use crate::chain::{Hash, MAX_LINE, begin_line, finish_line};
use crate::place::{Identity, NAME, Place, Standing, make_private_directory, open_file, sync_directory};
use crate::tail::Tail;
use crate::{Event, Kind, json};

/// Locked while a process writes here. Not the log itself: Windows would keep readers out of it.
const LOCK: &str = "audit.lock";
/// How many records go by between two looks at the whole path.
const THOROUGHLY: u64 = 64;

/// The log of one directory, held by one process at a time.
///
/// When something is done to the file from outside (removed, replaced, cut, written to), or a write fails, that append
/// fails; the next one tries to put things right first, sets aside what does not fit and says so in the log.
#[derive(Debug)]
pub struct AuditLog {
    directory: PathBuf,
    path: PathBuf,
    state: Mutex<State>,
    _lock: File,
}

/// Where a record ended up in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its number.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

#[derive(Debug)]
struct State {
    /// The open file, and where it stands; `None` while there is none to write to.
    open: Option<Open>,
    /// What the next append has to mend first.
    trouble: Option<Trouble>,
    /// The last record.
    head: Appended,
    /// The line being written; kept for its capacity.
    buffer: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Open {
    file: Arc<File>,
    place: Place,
    identity: Identity,
    /// The length of what was written and is good.
    length: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// Our own write went wrong: the file may be longer than what is good.
    Unfinished,
    /// The file is not at its place.
    Vanished,
    /// Another file is at its place.
    Replaced,
    /// Somebody else cut it or wrote to it.
    Altered,
}

impl AuditLog {
    /// Opens the log in `directory`, creating both (0700, 0600). A last line cut short by a crash is set aside into
    /// `audit.torn-<seq>`, and a `chain.recovered` record says so at time `now`. Blocking.
    ///
    /// # Errors
    /// [`AuditError::InUse`] if another process holds it; [`AuditError::Unavailable`].
    pub fn open(directory: &Path, now: Timestamp) -> Result<AuditLog, AuditError> {
        let path = directory.join(NAME);
        let unavailable = |attempt| move |cause| AuditError::unavailable(directory, attempt, cause);
        make_private_directory(directory).map_err(unavailable("make its directory"))?;
        let lock = open_file(&directory.join(LOCK), false).map_err(unavailable("open its lock"))?;
        hold(&lock, &path)?;
        let mut file = open_file(&path, false).map_err(unavailable("open it"))?;
        sync_directory(directory).map_err(unavailable("bring it to disk"))?;
        let tail = Tail::read(&mut file).map_err(unavailable("read its end"))?;
        let head = tail.last.map_or(Appended { seq: 0, hash: Hash::ZERO }, |frame| Appended {
            seq: frame.seq,
            hash: frame.hash,
        });
        let open = Open::new(file, directory, tail.good).map_err(unavailable("look at it"))?;
        let mut state = State { open: Some(open), trouble: None, head, buffer: Vec::with_capacity(4096) };
        if !tail.rest.is_empty() {
            if tail.last.is_some() {
                state.cut_torn_tail(directory, &tail, now)?;
            } else {
                // Nothing in reach proves itself: all of it is set aside, and the count begins anew.
                state.restart(directory, &path, Trouble::Altered, now)?;
            }
        }
        Ok(AuditLog { directory: directory.to_owned(), path, state: Mutex::new(state), _lock: lock })
    }

    /// Appends `event`: one `write(2)` of one line, done when this returns (not synced to disk).
    ///
    /// # Errors
    /// [`AuditError`]; the record is not in the log then.
    pub fn append(&self, event: &Event<'_>) -> Result<Appended, AuditError> {
        let mut state = self.state();
        self.ready(&mut state, event.time, false)?;
        state.write(&self.directory, event)
    }

    /// Appends `event` and returns when it is on disk (`fdatasync`, some 0.5 ms and more). Blocking: call it from
    /// `spawn_blocking`. Other appends go on meanwhile.
    ///
    /// # Errors
    /// [`AuditError`]; if the sync failed, the record is in the file but perhaps not on the disk.
    pub fn append_durable(&self, event: &Event<'_>) -> Result<Appended, AuditError> {
        let (appended, file) = {
            let mut state = self.state();
            self.ready(&mut state, event.time, true)?;
            let appended = state.write(&self.directory, event)?;
            (appended, state.open.as_ref().map(|open| open.file.clone()))
        };
        if let Some(file) = file {
            file.sync_data()
                .map_err(|cause| AuditError::unavailable(&self.directory, "bring a record to disk", cause))?;
        }
        Ok(appended)
    }

    /// Brings what was appended to disk; for the end of the process. Blocking.
    ///
    /// # Errors
    /// [`AuditError::Unavailable`].
    pub fn sync(&self) -> Result<(), AuditError> {
        let file = self.state().open.as_ref().map(|open| open.file.clone());
        file.map_or(Ok(()), |file| file.sync_data())
            .map_err(|cause| AuditError::unavailable(&self.directory, "bring it to disk", cause))
    }

    /// The last record's number and hash: kept elsewhere, they show whether the end of the log was cut off.
    pub fn head(&self) -> Appended {
        self.state().head
    }

    /// Where the log is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A panic between two statements leaves what they left; the checks before each append look at the file itself.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Mends what the last append left, then checks that the file at its place is ours and as long as we left it. The
    /// place is looked up in the directory as it was opened, which is cheap; whether that directory is still at the
    /// path itself is looked up when `thoroughly`, and every [`THOROUGHLY`] records. Until then records go on into the
    /// directory that was moved, where they are as good as before.
    fn ready(&self, state: &mut State, now: Timestamp, thoroughly: bool) -> Result<(), AuditError> {
        if let Some(trouble) = state.trouble {
            state.mend(&self.directory, &self.path, trouble, now)?;
        }
        let Some(open) = &state.open else {
            return Err(AuditError::unavailable(&self.directory, "find it", io::ErrorKind::NotFound.into()));
        };
        let found = if thoroughly || state.head.seq.is_multiple_of(THOROUGHLY) {
            Standing::at(&self.path)
        } else {
            open.place.standing(&self.path)
        };
        let trouble = match &found {
            Ok(standing) if standing.identity != open.identity => Trouble::Replaced,
            Ok(standing) if standing.length != open.length => Trouble::Altered,
            Ok(_) => return Ok(()),
            Err(_) => Trouble::Vanished,
        };
        state.trouble = Some(trouble);
        let cause = found.err().unwrap_or_else(|| io::Error::other(trouble.words()));
        Err(AuditError::unavailable(&self.directory, "find it as it was left", cause))
    }
}

impl State {
    fn write(&mut self, directory: &Path, event: &Event<'_>) -> Result<Appended, AuditError> {
        let Some(open) = &mut self.open else {
            return Err(AuditError::unavailable(directory, "write to it", io::ErrorKind::NotFound.into()));
        };
        let seq = self.head.seq + 1;
        self.buffer.clear();
        begin_line(&mut self.buffer, seq, self.head.hash);
        let members = self.buffer.len();
        json::append(&mut self.buffer, event).map_err(AuditError::Unwritable)?;
        // The event is an object that is never empty: its members go on where the frame's stopped.
        if let Some(brace) = self.buffer.get_mut(members) {
            *brace = b',';
        }
        self.buffer.pop();
        let hash = finish_line(&mut self.buffer, self.head.hash);
        if self.buffer.len() > MAX_LINE {
            return Err(AuditError::TooLarge { bytes: self.buffer.len() });
        }
        let written = match (&*open.file).write(&self.buffer) {
            Ok(count) if count == self.buffer.len() => {
                open.length += count as u64;
                self.head = Appended { seq, hash };
                return Ok(self.head);
            }
            Ok(_) => io::Error::from(io::ErrorKind::StorageFull),
            Err(error) => error,
        };
        if open.file.set_len(open.length).is_err() {
            self.trouble = Some(Trouble::Unfinished);
        }
        Err(AuditError::unavailable(directory, "write to it", written))
    }

    fn mend(
        &mut self,
        directory: &Path,
        path: &Path,
        trouble: Trouble,
        now: Timestamp,
    ) -> Result<(), AuditError> {
        match (trouble, &self.open) {
            (Trouble::Unfinished, Some(open)) => {
                open.file
                    .set_len(open.length)
                    .map_err(|cause| AuditError::unavailable(directory, "cut an unfinished line", cause))?;
            }
            _ => self.restart(directory, path, trouble, now)?,
        }
        self.trouble = None;
        Ok(())
    }

    /// Sets aside what is at `path` and begins a new file there that goes on with the chain.
    fn restart(
        &mut self,
        directory: &Path,
        path: &Path,
        trouble: Trouble,
        now: Timestamp,
    ) -> Result<(), AuditError> {
        let unavailable = |attempt| move |cause| AuditError::unavailable(directory, attempt, cause);
        make_private_directory(directory).map_err(unavailable("make its directory"))?;
        let aside = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(cause) => return Err(AuditError::unavailable(directory, "look at it", cause)),
            // An earlier attempt got no further.
            Ok(metadata) if metadata.is_file() && metadata.len() == 0 => {
                fs::remove_file(path).map_err(unavailable("begin it anew"))?;
                None
            }
            Ok(_) => {
                let name = free_name(directory, &format!("audit.altered-{}", self.head.seq));
                fs::rename(path, directory.join(&name)).map_err(unavailable("set the altered file aside"))?;
                Some(name)
            }
        };
        let file = open_file(path, true).map_err(unavailable("begin it anew"))?;
        sync_directory(directory).map_err(unavailable("bring it to disk"))?;
        self.open = Some(Open::new(file, directory, 0).map_err(unavailable("look at it"))?);
        self.say_recovered(directory, trouble.words(), aside, now)
    }

    /// Moves what follows the last good record into a file of its own.
    fn cut_torn_tail(&mut self, directory: &Path, tail: &Tail, now: Timestamp) -> Result<(), AuditError> {
        let unavailable = |attempt| move |cause| AuditError::unavailable(directory, attempt, cause);
        let name = free_name(directory, &format!("audit.torn-{}", self.head.seq + 1));
        let mut aside =
            open_file(&directory.join(&name), true).map_err(unavailable("set a torn line aside"))?;
        aside
            .write_all(&tail.rest)
            .and_then(|()| aside.sync_all())
            .map_err(unavailable("set a torn line aside"))?;
        if let Some(open) = &self.open {
            open.file.set_len(tail.good).map_err(unavailable("cut a torn line"))?;
        }
        self.say_recovered(directory, "the log ended within a record", Some(name), now)
    }

    fn say_recovered(
        &mut self,
        directory: &Path,
        why: &str,
        aside: Option<String>,
        now: Timestamp,
    ) -> Result<(), AuditError> {
        tracing::warn!(why, aside, seq = self.head.seq, "audit log mended");
        let mut event = Event::new(Kind::ChainRecovered, now);
        event.message = Some(why.into());
        event.details.insert("after_seq".to_owned(), self.head.seq.into());
        if let Some(name) = aside {
            event.details.insert("set_aside".to_owned(), Value::String(name));
        }
        self.write(directory, &event).map(drop)
    }
}

impl Open {
    fn new(file: File, directory: &Path, length: u64) -> io::Result<Open> {
        let identity = Standing::of(&file.metadata()?).identity;
        Ok(Open { file: Arc::new(file), place: Place::open(directory)?, identity, length })
    }
}

impl Trouble {
    fn words(self) -> &'static str {
        match self {
            Trouble::Unfinished => "a write was not finished",
            Trouble::Vanished => "the log file is gone",
            Trouble::Replaced => "another file is in the place of the log",
            Trouble::Altered => "the log file was changed by another program",
        }
    }
}

/// Why a record was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// Another process writes to this log.
    #[error("the audit log `{}` is held by another process: see whether a second daemon runs", path.display())]
    InUse {
        /// The log.
        path: PathBuf,
    },
    /// The record is longer than [`MAX_LINE`].
    #[error("an audit record of {bytes} bytes is too long: ask for fewer scopes at once")]
    TooLarge {
        /// Its length with frame.
        bytes: usize,
    },
    /// The log cannot be written, or is not as it was left.
    #[error("the audit log in `{}` is unavailable (failed to {attempt}): check free space, and that the directory is yours and that nothing else writes to it", directory.display())]
    Unavailable {
        /// Its directory.
        directory: PathBuf,
        /// What was attempted, as a verb phrase.
        attempt: &'static str,
        /// Why it failed.
        #[source]
        cause: io::Error,
    },
    /// The event cannot be put into JSON.
    #[error("an audit record cannot be written as JSON: please report this")]
    Unwritable(#[source] serde_json::Error),
}

impl AuditError {
    fn unavailable(directory: &Path, attempt: &'static str, cause: io::Error) -> AuditError {
        AuditError::Unavailable { directory: directory.to_owned(), attempt, cause }
    }
}

/// Takes the file's lock, which ends with the process.
fn hold(file: &File, path: &Path) -> Result<(), AuditError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(fs::TryLockError::WouldBlock) => Err(AuditError::InUse { path: path.to_owned() }),
        Err(fs::TryLockError::Error(cause)) => {
            Err(AuditError::unavailable(path.parent().unwrap_or(path), "lock it", cause))
        }
    }
}

/// `name`, or with a number behind it the first that is not taken.
fn free_name(directory: &Path, name: &str) -> String {
    let taken = |name: &str| fs::symlink_metadata(directory.join(name)).is_ok();
    let numbered = (1..1000).map(|number| format!("{name}.{number}"));
    std::iter::once(name.to_owned())
        .chain(numbered)
        .find(|name| !taken(name))
        .unwrap_or_else(|| name.to_owned())
}
