//! The reader, which checks the chain as it goes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::chain::{Flaw, Frame, Hash, MAX_LINE};
use crate::{Appended, Event, Kind};

/// One record as it is in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its number.
    pub seq: u64,
    /// The hash of the record before.
    pub prev: Hash,
    /// Its hash.
    pub hash: Hash,
    /// What it says.
    pub event: Event<'static>,
    /// The line without its LF, byte for byte; harmless on a terminal.
    pub line: String,
}

/// Reads a log's records in order and checks each against the one before. After the first error it is at its end:
/// what follows a flaw has no standing.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    path: PathBuf,
    last: Option<Appended>,
    lines: u64,
    done: bool,
}

impl Reader<BufReader<File>> {
    /// Opens the log file at `path`. A daemon may be writing to it: a last line that is not finished yet reads as
    /// [`Flaw::Torn`].
    ///
    /// # Errors
    /// [`VerifyError::Unreadable`].
    pub fn open(path: &Path) -> Result<Self, VerifyError> {
        let file =
            File::open(path).map_err(|cause| VerifyError::Unreadable { path: path.to_owned(), cause })?;
        Ok(Reader::new(BufReader::new(file), path))
    }
}

impl<R: BufRead> Reader<R> {
    /// Reads from `source`; `name` is only for error texts.
    pub fn new(source: R, name: &Path) -> Reader<R> {
        Reader { source, path: name.to_owned(), last: None, lines: 0, done: false }
    }

    fn read(&mut self) -> Result<Option<Entry>, VerifyError> {
        let Some(line) = self.line()? else { return Ok(None) };
        let frame = self.judge(&line)?;
        let no_record = || self.broken(Flaw::Content, Some(frame.seq));
        let event = content(&line).ok_or_else(no_record)?;
        let line = String::from_utf8(line).map_err(|_| no_record())?;
        Ok(Some(Entry { seq: frame.seq, prev: frame.prev, hash: frame.hash, event, line }))
    }

    /// Whether the next line fits the one before.
    fn judge(&mut self, line: &[u8]) -> Result<Frame, VerifyError> {
        let frame = Frame::parse(line).map_err(|flaw| self.broken(flaw, None))?;
        let at = |flaw| Err(self.broken(flaw, Some(frame.seq)));
        match self.last {
            Some(last) if frame.prev != last.hash => return at(Flaw::Link),
            Some(last) if frame.seq != last.seq + 1 => return at(Flaw::Number),
            None if (frame.seq != 1 || frame.prev != Hash::ZERO)
                && content(line).is_none_or(|event| event.kind != Kind::ChainRecovered) =>
            {
                return at(Flaw::Beginning);
            }
            _ => {}
        }
        self.last = Some(Appended { seq: frame.seq, hash: frame.hash });
        Ok(frame)
    }

    /// The next line without its LF.
    fn line(&mut self) -> Result<Option<Vec<u8>>, VerifyError> {
        let mut line = Vec::new();
        (&mut self.source)
            .take(MAX_LINE as u64 + 1)
            .read_until(b'\n', &mut line)
            .map_err(|cause| VerifyError::Unreadable { path: self.path.clone(), cause })?;
        if line.is_empty() {
            return Ok(None);
        }
        self.lines += 1;
        if line.pop() != Some(b'\n') {
            let flaw = if line.len() >= MAX_LINE { Flaw::TooLong } else { Flaw::Torn };
            return Err(self.broken(flaw, None));
        }
        Ok(Some(line))
    }

    fn broken(&self, flaw: Flaw, seq: Option<u64>) -> VerifyError {
        VerifyError::Broken { path: self.path.clone(), line: self.lines, seq, flaw }
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Entry, VerifyError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.read().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

fn content(line: &[u8]) -> Option<Event<'static>> {
    /// The event's members lie beside the frame's in one object.
    #[derive(Deserialize)]
    struct Content {
        #[serde(flatten)]
        event: Event<'static>,
    }
    serde_json::from_slice::<Content>(line).ok().map(|content| content.event)
}

/// Whether a record of the past can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Everything up to it is as it was written.
    Proven,
    /// It follows a flaw, or is one.
    Doubtful,
}

/// Hands over, in order, the records of the log at `path` whose line is `wanted`. The frames of all are checked; only
/// what is wanted is read further. Records behind a flaw are handed over too, as [`Standing::Doubtful`]: what took
/// something away is better believed. Returns the first flaw.
///
/// # Errors
/// [`VerifyError::Unreadable`], or a line that is longer than any record, behind which nothing can be found.
pub fn replay(
    path: &Path,
    wanted: impl Fn(&[u8]) -> bool,
    mut each: impl FnMut(&Event<'static>, Standing),
) -> Result<Option<VerifyError>, VerifyError> {
    let mut reader = Reader::open(path)?;
    let mut flaw = None;
    loop {
        let line = match reader.line() {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(flaw),
            Err(torn @ VerifyError::Broken { flaw: Flaw::Torn, .. }) => return Ok(flaw.or(Some(torn))),
            Err(error) => return Err(error),
        };
        if flaw.is_none() {
            flaw = reader.judge(&line).err();
        }
        if wanted(&line)
            && let Some(event) = content(&line)
        {
            let standing = if flaw.is_none() { Standing::Proven } else { Standing::Doubtful };
            each(&event, standing);
        }
    }
}

/// What a log that verifies holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many records.
    pub records: u64,
    /// The number of the first; more than 1 where the file goes on for one that was lost or set aside.
    pub first: Option<u64>,
    /// The last record; compare with what was kept elsewhere to see that nothing is missing at the end.
    pub head: Option<Appended>,
}

/// Checks the whole log at `path`.
///
/// # Errors
/// [`VerifyError::Broken`] names the first record that is not as it was written.
pub fn verify(path: &Path) -> Result<Verified, VerifyError> {
    let mut verified = Verified { records: 0, first: None, head: None };
    for entry in Reader::open(path)? {
        let entry = entry?;
        verified.records += 1;
        verified.first = verified.first.or(Some(entry.seq));
        verified.head = Some(Appended { seq: entry.seq, hash: entry.hash });
    }
    Ok(verified)
}

/// Why a log does not verify.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A record is not as it was written.
    #[error("the audit log `{}` is broken at line {line}{}: {flaw}", path.display(), seq.map(|seq| format!(" (record {seq})")).unwrap_or_default())]
    Broken {
        /// The log.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The number that the line gives itself, if its own hash holds.
        seq: Option<u64>,
        /// What is wrong.
        flaw: Flaw,
    },
    /// The file cannot be read.
    #[error("the audit log `{}` cannot be read", path.display())]
    Unreadable {
        /// The log.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}
