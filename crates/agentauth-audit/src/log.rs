//! The log as its owner writes it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::chain::Frame;
use crate::files::{Closed, Form, Stub, closed_files};
use crate::place::{NAME, NEXT, make_private_directory, open_file, remove_if_there, sync_directory};
use crate::read::{Reader, content};
use crate::source::Source;
use crate::tail::Tail;
use crate::writer::{NOTHING, Open, Trouble, Writer};
use crate::{Event, Kind};

/// Locked while a process writes here. Not the log itself: Windows would keep readers out of it.
const LOCK: &str = "audit.lock";

/// The log of one directory, held by one process at a time.
///
/// When something is done to the file from outside (removed, replaced, cut, written to), or a write fails, that append
/// fails; the next one tries to put things right first, sets aside what does not fit and says so in the log.
#[derive(Debug)]
pub struct AuditLog {
    pub(crate) directory: PathBuf,
    pub(crate) path: PathBuf,
    writer: Mutex<Writer>,
    /// The number up to which all is on disk. Held while it is brought there, so that who comes meanwhile is served by
    /// the next round, together with everybody else.
    on_disk: Mutex<u64>,
    /// The number from which on records are still needed by somebody.
    keep_from: AtomicU64,
    _lock: File,
}

/// Where a record ended up in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its number.
    pub seq: u64,
    /// Its hash.
    pub hash: crate::Hash,
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
        // A new file that was not in use yet.
        remove_if_there(&directory.join(NEXT)).map_err(unavailable("look at it"))?;
        let closed = closed_files(directory).map_err(unavailable("look at it"))?.pop();
        let mut file = open_file(&path, false).map_err(unavailable("open it"))?;
        sync_directory(directory).map_err(unavailable("bring it to disk"))?;
        let tail = Tail::read(&mut file).map_err(unavailable("read its end"))?;
        let open = Open::new(file, tail.good).map_err(unavailable("look at it"))?;
        let last = tail.last.map(|frame| Appended { seq: frame.seq, hash: frame.hash });
        let mut writer = Writer::after(last.unwrap_or(NOTHING), now);
        writer.open = Some(open);
        match (last, closed) {
            (Some(_), _) => {
                writer.look_at_first(&path);
                if !tail.rest.is_empty() {
                    writer.cut_torn_tail(directory, &tail, now)?;
                }
            }
            // Ended between the two files, or within the first line of the new one.
            (None, Some(closed)) if !tail.rest.contains(&b'\n') => {
                let aside = if tail.rest.is_empty() {
                    None
                } else {
                    Some(writer.keep_torn(directory, &tail, closed.last + 1)?)
                };
                writer.go_on_from(&closed, directory, aside, now)?;
            }
            (None, None) if tail.rest.is_empty() => {}
            // Nothing in reach proves itself: all of it is set aside, and the count begins anew.
            (None, closed) => {
                if let Some(closed) = closed {
                    writer.head = last_of(&closed);
                }
                writer.restart(directory, &path, Trouble::Altered, now)?;
            }
        }
        Ok(AuditLog {
            directory: directory.to_owned(),
            path,
            writer: Mutex::new(writer),
            on_disk: Mutex::new(0),
            keep_from: AtomicU64::new(u64::MAX),
            _lock: lock,
        })
    }

    /// Appends `event`: one `write(2)` of one line, done when this returns (not synced to disk).
    ///
    /// # Errors
    /// [`AuditError`]; the record is not in the log then.
    pub fn append(&self, event: &Event<'_>) -> Result<Appended, AuditError> {
        self.append_after(|_| None, event)
    }

    /// Appends `event` after others that have to be in the same file before it: `before` is given the number of the file's
    /// first record, and asked for the next one of them until there is none. Whoever appends meanwhile waits.
    ///
    /// # Errors
    /// [`AuditError`]; the last one that `before` gave, or `event`, is not in the log then.
    pub fn append_after<'e>(
        &self,
        mut before: impl FnMut(u64) -> Option<Event<'e>>,
        event: &Event<'_>,
    ) -> Result<Appended, AuditError> {
        let mut writer = self.writer();
        writer.ready(&self.directory, &self.path, event.time, false)?;
        while let Some(earlier) = before(writer.first) {
            writer.write(&self.directory, &earlier)?;
        }
        writer.write(&self.directory, event)
    }

    /// Appends a `checkpoint` of the record before it, as `sign` signs it. Returns the checkpoint's own place.
    ///
    /// It is of the very record before it, so that it is checked with nothing else at hand. What is signed leaves this
    /// process only when it is on disk, which is the caller's care: [`AuditLog::sync_to`].
    ///
    /// # Errors
    /// [`AuditError`]; the record is not in the log then.
    pub fn append_signed(
        &self,
        now: Timestamp,
        sign: impl FnOnce(Appended) -> String,
    ) -> Result<Appended, AuditError> {
        let mut writer = self.writer();
        writer.ready(&self.directory, &self.path, now, false)?;
        let mut event = Event::new(Kind::Checkpoint, now);
        event.details.insert("note".to_owned(), sign(writer.head).into());
        writer.write(&self.directory, &event)
    }

    /// Whether ordinary records can be written again, after one could not: mends what is to be mended. Blocking.
    ///
    /// # Errors
    /// [`AuditError`]: not yet.
    pub fn probe(&self, now: Timestamp) -> Result<(), AuditError> {
        let mut writer = self.writer();
        writer.ready(&self.directory, &self.path, now, true)?;
        writer.has_room(&self.directory)
    }

    /// Whether the record of this number is known to be on disk. While something is being brought there, it is not.
    pub fn is_on_disk(&self, seq: u64) -> bool {
        self.on_disk.try_lock().is_ok_and(|on_disk| *on_disk >= seq)
    }

    /// Brings all that was appended to disk. Blocking.
    ///
    /// # Errors
    /// [`AuditError::Unavailable`].
    pub fn sync(&self) -> Result<(), AuditError> {
        self.sync_to(self.head().seq)
    }

    /// Returns when the record of this number is on disk (`fdatasync`, some 0.5 ms and more), in a file that was found at
    /// its place. Those who ask at the same time share one: who finds it under way waits for it, and then for one more at
    /// most. Blocking; appends go on meanwhile.
    ///
    /// # Errors
    /// [`AuditError::Unavailable`]; the record is in the file but perhaps not on the disk, or not at its place.
    pub fn sync_to(&self, seq: u64) -> Result<(), AuditError> {
        let mut on_disk = self.on_disk.lock().unwrap_or_else(PoisonError::into_inner);
        if *on_disk >= seq {
            return Ok(());
        }
        let (head, behind, file) = {
            let mut writer = self.writer();
            writer.look(&self.directory, &self.path, true)?;
            let file = writer.open.as_ref().map(|open| open.file.clone());
            (writer.head.seq, std::mem::take(&mut writer.behind), file)
        };
        let moved = !behind.is_empty();
        let outcome = behind.iter().chain(&file).try_for_each(|file| file.sync_data());
        let outcome = outcome.and_then(|()| if moved { sync_directory(&self.directory) } else { Ok(()) });
        if let Err(cause) = outcome {
            self.writer().behind.extend(behind);
            return Err(AuditError::unavailable(&self.directory, "bring it to disk", cause));
        }
        *on_disk = head;
        Ok(())
    }

    /// The last record's number and hash: kept elsewhere, they show whether the end of the log was cut off.
    pub fn head(&self) -> Appended {
        self.writer().head
    }

    /// Where the log is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Records from this number on are needed by somebody who has not read them yet: their files are not deleted.
    /// [`u64::MAX`], which is said at first: by nobody.
    pub fn keep_from(&self, seq: u64) {
        self.keep_from.store(seq, Ordering::Relaxed);
    }

    /// The number from which on records are needed.
    pub(crate) fn kept_from(&self) -> u64 {
        self.keep_from.load(Ordering::Relaxed)
    }

    /// A panic between two statements leaves what they left; the checks before each append look at the file itself.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Begins the empty open file as the one after `closed`: the process ended between the two.
    fn go_on_from(
        &mut self,
        closed: &Closed,
        directory: &Path,
        aside: Option<String>,
        now: Timestamp,
    ) -> Result<(), AuditError> {
        self.head = last_of(closed);
        let mut event = Event::new(Kind::ChainContinued, now);
        event.details.insert("file".to_owned(), closed.name().into());
        if let Some(name) = aside {
            event.details.insert("set_aside".to_owned(), name.into());
        }
        let first = self.write(directory, &event)?;
        self.begins(first, now);
        Ok(())
    }

    /// Finds out with which record the open file begins. One that cannot be read is left to those who verify.
    fn look_at_first(&mut self, path: &Path) {
        let line = Reader::open(path).ok().and_then(|mut reader| reader.line().ok().flatten());
        let Some(line) = line else { return };
        if let (Ok(frame), Some(event)) = (Frame::parse(&line), content(&line)) {
            self.begins(Appended { seq: frame.seq, hash: frame.hash }, event.time);
        }
    }
}

/// The last record of a closed file. Where it cannot be read, the chain does not go on from it, which shows.
fn last_of(closed: &Closed) -> Appended {
    let found = || -> Option<Appended> {
        let frame = match closed.form {
            Form::Stub => {
                let stub = Stub::read(&closed.path).ok()?;
                return Some(Appended { seq: stub.last, hash: stub.hash });
            }
            Form::Plain => Tail::read(&mut File::open(&closed.path).ok()?).ok()?.last?,
            Form::Packed => {
                let mut reader = Reader::new(Source::closed(closed).ok()?, &closed.path);
                let mut last = None;
                while let Ok(Some(line)) = reader.line() {
                    last = Some(line);
                }
                Frame::parse(&last?).ok()?
            }
        };
        Some(Appended { seq: frame.seq, hash: frame.hash })
    };
    let unknown = Appended { seq: closed.last, ..NOTHING };
    found().filter(|last| last.seq == closed.last).unwrap_or(unknown)
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
    /// The record is longer than [`MAX_LINE`](crate::MAX_LINE).
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
}

impl AuditError {
    pub(crate) fn unavailable(directory: &Path, attempt: &'static str, cause: io::Error) -> AuditError {
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
