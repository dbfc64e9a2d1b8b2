//! What is written to: one line after the other, and how it is put right when it is not as it was left.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::chain::{Hash, MAX_LINE, begin_line, finish_line};
use crate::json::Object;
use crate::place::{
    Identity, Standing, keep_room, make_private_directory, named_length, open_file, sync_directory,
};
use crate::tail::Tail;
use crate::{Appended, AuditError, Event, Kind};

/// How many records go by between two looks at the whole path.
const THOROUGHLY: u64 = 16;

/// Room on the disk behind the end of the file that only records of reserved kinds may take, in bytes.
const RESERVE: u64 = 256 * 1024;
/// How much more room is taken at once, in bytes.
const STEP: u64 = 1024 * 1024;

/// The file that is written to, and what is known of it.
#[derive(Debug)]
pub(crate) struct Writer {
    /// The open file, and where it stands; `None` while there is none to write to.
    pub(crate) open: Option<Open>,
    /// What the next append has to mend first.
    trouble: Option<Trouble>,
    /// The last record.
    pub(crate) head: Appended,
    /// The number of the first record in the open file.
    pub(crate) first: u64,
    /// When that was written.
    pub(crate) begun: Timestamp,
    /// Files that are written to no more and perhaps not on the disk yet.
    pub(crate) behind: Vec<Arc<File>>,
    /// The line being written; kept for its capacity.
    buffer: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) file: Arc<File>,
    identity: Identity,
    /// The length of what was written and is good.
    pub(crate) length: u64,
    /// Up to which length there is room on the disk; as far as it goes where the file system cannot keep any.
    room: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Our own write went wrong: the file may be longer than what is good.
    Unfinished,
    /// The file is not at its place.
    Vanished,
    /// Another file is at its place.
    Replaced,
    /// Somebody else cut it or wrote to it.
    Altered,
}

impl Writer {
    /// After `head`, without a file to write to.
    pub(crate) fn after(head: Appended, now: Timestamp) -> Writer {
        Writer {
            open: None,
            trouble: None,
            head,
            first: head.seq + 1,
            begun: now,
            behind: Vec::new(),
            buffer: Vec::with_capacity(4096),
        }
    }

    /// Mends what the last append left, then looks whether the file is as it was left.
    pub(crate) fn ready(
        &mut self,
        directory: &Path,
        path: &Path,
        now: Timestamp,
        thoroughly: bool,
    ) -> Result<(), AuditError> {
        if let Some(trouble) = self.trouble {
            self.mend(directory, path, trouble, now)?;
        }
        self.look(directory, path, thoroughly || self.head.seq.is_multiple_of(THOROUGHLY))
    }

    /// Whether the file still has a name, and is as long as we left it, which is cheap to see. Whether the name is the
    /// log's is looked up when `thoroughly`, and every [`THOROUGHLY`] records: until then records go on into the file that
    /// was moved, where they are as good as before.
    pub(crate) fn look(&mut self, directory: &Path, path: &Path, thoroughly: bool) -> Result<(), AuditError> {
        let Some(open) = &self.open else {
            self.trouble = Some(Trouble::Vanished);
            return Err(AuditError::unavailable(directory, "find it", io::ErrorKind::NotFound.into()));
        };
        if !thoroughly && named_length(&open.file) == Some(open.length) {
            return Ok(());
        }
        let found = Standing::at(path);
        let trouble = match &found {
            Ok(standing) if standing.identity != open.identity => Trouble::Replaced,
            Ok(standing) if standing.length != open.length => Trouble::Altered,
            Ok(_) => return Ok(()),
            Err(_) => Trouble::Vanished,
        };
        self.trouble = Some(trouble);
        let cause = found.err().unwrap_or_else(|| io::Error::other(trouble.words()));
        Err(AuditError::unavailable(directory, "find it as it was left", cause))
    }

    /// Puts the next record's line into the buffer. It is the next record once it is written.
    fn compose(&mut self, event: &Event<'_>) -> Result<Appended, AuditError> {
        let seq = self.head.seq + 1;
        self.buffer.clear();
        begin_line(&mut self.buffer, seq, self.head.hash);
        Object::go_on(&mut self.buffer, |line| event.write(line));
        let hash = finish_line(&mut self.buffer, self.head.hash);
        if self.buffer.len() > MAX_LINE {
            return Err(AuditError::TooLarge { bytes: self.buffer.len() });
        }
        Ok(Appended { seq, hash })
    }

    pub(crate) fn write(&mut self, directory: &Path, event: &Event<'_>) -> Result<Appended, AuditError> {
        let next = self.compose(event)?;
        let Some(open) = &mut self.open else {
            return Err(AuditError::unavailable(directory, "write to it", io::ErrorKind::NotFound.into()));
        };
        open.make_room(self.buffer.len(), event.kind.is_reserved())
            .map_err(|cause| AuditError::unavailable(directory, "find room for it", cause))?;
        let written = match (&*open.file).write(&self.buffer) {
            Ok(count) if count == self.buffer.len() => {
                open.length += count as u64;
                self.head = next;
                if next.seq == self.first {
                    self.begun = event.time;
                }
                return Ok(next);
            }
            Ok(_) => io::Error::from(io::ErrorKind::StorageFull),
            Err(error) => error,
        };
        if open.file.set_len(open.length).is_err() {
            self.trouble = Some(Trouble::Unfinished);
        }
        Err(AuditError::unavailable(directory, "write to it", written))
    }

    /// Whether there is room for ordinary records.
    pub(crate) fn has_room(&mut self, directory: &Path) -> Result<(), AuditError> {
        let Some(open) = &mut self.open else {
            return Err(AuditError::unavailable(directory, "write to it", io::ErrorKind::NotFound.into()));
        };
        open.make_room(MAX_LINE, false)
            .map_err(|cause| AuditError::unavailable(directory, "find room for it", cause))
    }

    /// Goes on in `file`, which is empty and at no place of the log yet: its first record is `event`, and `put` brings it
    /// to its place, and what was written to before out of it. If that fails, all is as before.
    pub(crate) fn go_on_in(
        &mut self,
        file: File,
        directory: &Path,
        event: &Event<'_>,
        put: impl FnOnce() -> Result<(), AuditError>,
    ) -> Result<Appended, AuditError> {
        let unavailable = |attempt| move |cause| AuditError::unavailable(directory, attempt, cause);
        let next = self.compose(event)?;
        (&file).write_all(&self.buffer).map_err(unavailable("write to a new file"))?;
        let open = Open::new(file, self.buffer.len() as u64).map_err(unavailable("look at it"))?;
        put()?;
        if let Some(before) = self.open.replace(open) {
            // The room that was kept behind its end is not needed any more; if it stays, it goes with the file.
            _ = before.file.set_len(before.length);
            self.behind.push(before.file);
        }
        self.begins(next, event.time);
        self.head = next;
        Ok(next)
    }

    /// Notes with which record the open file begins.
    pub(crate) fn begins(&mut self, first: Appended, time: Timestamp) {
        (self.first, self.begun) = (first.seq, time);
    }

    fn mend(
        &mut self,
        directory: &Path,
        path: &Path,
        trouble: Trouble,
        now: Timestamp,
    ) -> Result<(), AuditError> {
        match (trouble, &self.open) {
            // It was out of reach, and is there again as it was left.
            (Trouble::Vanished | Trouble::Replaced, Some(open)) if open.is_at(path) => {}
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
    pub(crate) fn restart(
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
            Ok(_) => match self.set_aside(directory, path, trouble)? {
                Some(name) => Some(name),
                None => return Ok(()),
            },
        };
        let file = open_file(path, true).map_err(unavailable("begin it anew"))?;
        sync_directory(directory).map_err(unavailable("bring it to disk"))?;
        let open = Open::new(file, 0).map_err(unavailable("look at it"))?;
        self.behind.extend(self.open.replace(open).map(|before| before.file));
        let said = self.say_recovered(directory, trouble.words(), aside, now)?;
        self.begins(said, now);
        Ok(())
    }

    /// Moves what is at `path` out of the way, and returns where to; nothing where that is the log as it was left, which came back
    /// after it had been looked for, and stays.
    fn set_aside(
        &self,
        directory: &Path,
        path: &Path,
        trouble: Trouble,
    ) -> Result<Option<String>, AuditError> {
        let unavailable = |cause| AuditError::unavailable(directory, "set the altered file aside", cause);
        let name = free_name(directory, &format!("audit.altered-{}", self.head.seq));
        let aside = directory.join(&name);
        fs::rename(path, &aside).map_err(unavailable)?;
        // Looked at only now: before, somebody could exchange it in between.
        let came_back = matches!(trouble, Trouble::Vanished | Trouble::Replaced)
            && self.open.as_ref().is_some_and(|open| open.is_at(&aside));
        if came_back {
            fs::rename(&aside, path).map_err(unavailable)?;
            return Ok(None);
        }
        Ok(Some(name))
    }

    /// Moves what follows the last good record into a file of its own.
    pub(crate) fn cut_torn_tail(
        &mut self,
        directory: &Path,
        tail: &Tail,
        now: Timestamp,
    ) -> Result<(), AuditError> {
        let name = self.keep_torn(directory, tail, self.head.seq + 1)?;
        self.say_recovered(directory, "the log ended within a record", Some(name), now).map(drop)
    }

    /// The same without a record of it, which the caller writes.
    pub(crate) fn keep_torn(
        &mut self,
        directory: &Path,
        tail: &Tail,
        seq: u64,
    ) -> Result<String, AuditError> {
        let unavailable = |attempt| move |cause| AuditError::unavailable(directory, attempt, cause);
        let name = free_name(directory, &format!("audit.torn-{seq}"));
        let mut aside =
            open_file(&directory.join(&name), true).map_err(unavailable("set a torn line aside"))?;
        aside
            .write_all(&tail.rest)
            .and_then(|()| aside.sync_all())
            .map_err(unavailable("set a torn line aside"))?;
        if let Some(open) = &self.open {
            open.file.set_len(tail.good).map_err(unavailable("cut a torn line"))?;
        }
        Ok(name)
    }

    fn say_recovered(
        &mut self,
        directory: &Path,
        why: &str,
        aside: Option<String>,
        now: Timestamp,
    ) -> Result<Appended, AuditError> {
        tracing::warn!(why, aside, seq = self.head.seq, "audit log mended");
        let mut event = Event::new(Kind::ChainRecovered, now);
        event.message = Some(why.into());
        event.details.insert("after_seq".to_owned(), self.head.seq.into());
        if let Some(name) = aside {
            event.details.insert("set_aside".to_owned(), Value::String(name));
        }
        self.write(directory, &event)
    }
}

impl Open {
    pub(crate) fn new(file: File, length: u64) -> io::Result<Open> {
        let identity = Standing::of(&file.metadata()?).identity;
        Ok(Open { file: Arc::new(file), identity, length, room: 0 })
    }

    /// Whether this very file, as it was left, is at `path`.
    fn is_at(&self, path: &Path) -> bool {
        Standing::at(path).is_ok_and(|there| (there.identity, there.length) == (self.identity, self.length))
    }

    /// Sees to it that there is room for a line, and behind it still for what is `reserved`, which may take that.
    fn make_room(&mut self, line: usize, reserved: bool) -> io::Result<()> {
        let end = self.length + line as u64;
        if end + RESERVE <= self.room {
            return Ok(());
        }
        match keep_room(&self.file, self.length, RESERVE + STEP + line as u64) {
            Ok(true) => self.room = end + RESERVE + STEP,
            Ok(false) => self.room = u64::MAX,
            // The write itself says whether it fits.
            Err(_) if reserved => {}
            // Less than a whole step may be left.
            Err(error) => {
                if !keep_room(&self.file, self.length, RESERVE + line as u64).map_err(|_| error)? {
                    self.room = u64::MAX;
                }
            }
        }
        Ok(())
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

/// What a log without any record goes on from.
pub(crate) const NOTHING: Appended = Appended { seq: 0, hash: Hash::ZERO };

/// `name`, or with a number behind it the first that is not taken.
fn free_name(directory: &Path, name: &str) -> String {
    let taken = |name: &str| fs::symlink_metadata(directory.join(name)).is_ok();
    let numbered = (1..1000).map(|number| format!("{name}.{number}"));
    std::iter::once(name.to_owned())
        .chain(numbered)
        .find(|name| !taken(name))
        .unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_that_came_back_while_it_is_mended_stays_and_nothing_else_does() {
        let home = tempfile::tempdir().unwrap();
        let (directory, path) = (home.path(), home.path().join("audit.jsonl"));
        let now = Timestamp::UNIX_EPOCH;
        let mut writer = Writer::after(NOTHING, now);
        writer.open = Some(Open::new(open_file(&path, true).unwrap(), 0).unwrap());
        writer.write(directory, &Event::new(Kind::ServiceStart, now)).unwrap();
        for trouble in [Trouble::Vanished, Trouble::Replaced] {
            assert!(matches!(writer.set_aside(directory, &path, trouble), Ok(None)));
            assert!(writer.open.as_ref().unwrap().is_at(&path));
        }
        assert!(matches!(writer.set_aside(directory, &path, Trouble::Altered), Ok(Some(_))));
        fs::write(&path, "another").unwrap();
        assert!(matches!(writer.set_aside(directory, &path, Trouble::Replaced), Ok(Some(_))));
        assert!(!path.exists());
    }
}
