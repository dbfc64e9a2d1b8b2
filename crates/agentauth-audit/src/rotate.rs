//! Closing the file that is written to and going on in a new one, without a gap and without keeping appends waiting.
//!
//! Wherever the process or the machine ends on the way, each record is in exactly one file that counts:
//! 1. `audit.next` is made, empty. Left behind, it is removed at the next start.
//! 2. Appends wait from here: the first record of the new file (`chain.continued`) is written into `audit.next`. It has
//!    not been answered for by anybody; left behind, it is removed with its file.
//! 3. `audit.jsonl` gets its last name. Left so, the next start begins `audit.jsonl` after the last closed file.
//! 4. `audit.next` becomes `audit.jsonl`. Appends go on. 5. The old file, the new one and the directory are synced.

use std::fs;
use std::io;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::carried::carried;
use crate::files::{Closed, Form};
use crate::place::{NEXT, open_file, remove_if_there};
use crate::{AuditError, AuditLog, Event, Kind, Trail, VerifyError};

impl AuditLog {
    /// Whether the open file holds anything that was written after its first record, and has `size` bytes or the
    /// age `age`.
    pub fn is_due(&self, size: u64, age: SignedDuration, now: Timestamp) -> bool {
        let writer = self.writer();
        let length = writer.open.as_ref().map_or(0, |open| open.length);
        let aged = now.duration_since(writer.begun) >= age;
        writer.head.seq > writer.first && (length >= size || aged)
    }

    /// Closes the open file and goes on in a new one. Returns the closed one; nothing if there is nothing in it.
    /// Blocking; appends wait for two renames.
    ///
    /// # Errors
    /// [`AuditError::Unavailable`]: the log goes on where it was.
    pub fn rotate(&self, now: Timestamp) -> Result<Option<Closed>, AuditError> {
        let unavailable = |attempt| move |cause| AuditError::unavailable(&self.directory, attempt, cause);
        let next = self.directory.join(NEXT);
        remove_if_there(&next).map_err(unavailable("begin a new file"))?;
        // Most of the old file is on disk before anybody has to wait for the rest of it.
        self.sync()?;
        let file = open_file(&next, true).map_err(unavailable("begin a new file"))?;
        let rotated = self.close(file, now);
        if !matches!(rotated, Ok(Some(_))) {
            remove_if_there(&next).map_err(unavailable("remove an unused file"))?;
        }
        if rotated.is_ok() {
            self.sync()?;
        }
        rotated
    }

    fn close(&self, file: fs::File, now: Timestamp) -> Result<Option<Closed>, AuditError> {
        let (directory, path) = (&self.directory, &self.path);
        let mut writer = self.writer();
        writer.ready(directory, path, now, true)?;
        if writer.head.seq < writer.first {
            return Ok(None);
        }
        let closed = Closed::new(directory, writer.first, writer.head.seq, Form::Plain);
        let mut event = Event::new(Kind::ChainContinued, now);
        event.details.insert("file".to_owned(), closed.name().into());
        writer.go_on_in(file, directory, &event, || {
            put(path, &closed, &directory.join(NEXT))
                .map_err(|cause| AuditError::unavailable(directory, "put a new file in its place", cause))
        })?;
        Ok(Some(closed))
    }

    /// Whether the open file says what stands at its beginning, or is the first, so that a start need not read others.
    ///
    /// # Errors
    /// [`VerifyError::Unreadable`].
    pub fn is_carried(&self) -> Result<bool, VerifyError> {
        Ok(Trail::new(&self.directory).start()?.is_none())
    }

    /// The number of the first record in the open file: another one after each [`AuditLog::rotate`].
    pub fn first(&self) -> u64 {
        self.writer().first
    }

    /// Writes down that `entries` stand after record `after`, so that a start need not read what is before. Blocking for
    /// as long as it takes; other appends go on meanwhile.
    ///
    /// # Errors
    /// [`AuditError`]: then what is there does not count as the whole.
    pub fn carry(
        &self,
        entries: impl IntoIterator<Item = Value>,
        after: u64,
        now: Timestamp,
    ) -> Result<(), AuditError> {
        for part in carried(entries, after, now) {
            self.append(&part)?;
        }
        self.sync()
    }
}

/// The two renames. If the second fails, the first is taken back.
fn put(path: &std::path::Path, closed: &Closed, next: &std::path::Path) -> io::Result<()> {
    if fs::symlink_metadata(&closed.path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file of that name is there already"));
    }
    fs::rename(path, &closed.path)?;
    fs::rename(next, path).inspect_err(|_| {
        // If this fails too, the log is found to be gone, and is begun anew.
        _ = fs::rename(&closed.path, path);
    })
}
