//! The reader, which checks the chain as it goes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use crate::chain::{self, Flaw, Frame, Hash, MAX_LINE};
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

/// Reads a log file's records in order and checks each against the one before. After the first error it is at its end:
/// what follows a flaw has no standing.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    path: PathBuf,
    last: Option<Appended>,
    /// Whether the first record may go on with a file that is not read.
    midway: bool,
    /// Whether whatever comes next is believed to follow.
    forgiving: bool,
    lines: u64,
    done: bool,
}

/// What comes next in a file.
pub(crate) enum Next {
    /// A whole line, without its LF.
    Line(Vec<u8>),
    /// A line that is not finished, of this many bytes.
    Unfinished(usize),
    /// Nothing.
    End,
}

impl Reader<BufReader<File>> {
    /// Opens the log file at `path`. A daemon may be writing to it: a last line that is not finished yet reads as
    /// [`Flaw::Torn`].
    ///
    /// # Errors
    /// [`VerifyError::Unreadable`].
    pub fn open(path: &Path) -> Result<Self, VerifyError> {
        let file = File::open(path).map_err(|cause| VerifyError::unreadable(path, cause))?;
        Ok(Reader::new(BufReader::new(file), path))
    }
}

impl<R: BufRead> Reader<R> {
    /// Reads from `source`; `name` is only for error texts.
    pub fn new(source: R, name: &Path) -> Reader<R> {
        Reader {
            source,
            path: name.to_owned(),
            last: None,
            midway: false,
            forgiving: false,
            lines: 0,
            done: false,
        }
    }

    /// Of a file that goes on with others: after `last`, where that is known.
    pub(crate) fn midway(source: R, name: &Path, last: Option<Appended>) -> Reader<R> {
        Reader { last, midway: last.is_none(), ..Reader::new(source, name) }
    }

    /// The last record that was read.
    pub(crate) fn newest(&self) -> Option<Appended> {
        self.last
    }

    /// Lets what comes next follow the record that was found wanting.
    pub(crate) fn forgive(&mut self) {
        self.forgiving = true;
    }

    pub(crate) fn source(&mut self) -> &mut R {
        &mut self.source
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn read(&mut self) -> Result<Option<Entry>, VerifyError> {
        let Some(line) = self.line()? else { return Ok(None) };
        let frame = self.judge(&line)?;
        self.entry(frame, line).map(Some)
    }

    /// The record of a line that was judged.
    pub(crate) fn entry(&self, frame: Frame, line: Vec<u8>) -> Result<Entry, VerifyError> {
        let no_record = || self.broken(Flaw::Content, Some(frame.seq));
        let event = content(&line).ok_or_else(no_record)?;
        let line = String::from_utf8(line).map_err(|_| no_record())?;
        Ok(Entry { seq: frame.seq, prev: frame.prev, hash: frame.hash, event, line })
    }

    /// Whether the next line fits the one before.
    pub(crate) fn judge(&mut self, line: &[u8]) -> Result<Frame, VerifyError> {
        let frame = Frame::parse(line).map_err(|flaw| self.broken(flaw, None))?;
        let at = |flaw| Err(self.broken(flaw, Some(frame.seq)));
        match self.last {
            _ if self.forgiving => {}
            // A file that was begun anew says so, and what is missing before it.
            Some(last)
                if self.lines == 1
                    && frame.prev != last.hash
                    && frame.seq > last.seq
                    && chain::kind(line) == Some(Kind::ChainRecovered) => {}
            Some(last) if frame.prev != last.hash => return at(Flaw::Link),
            Some(last) if frame.seq != last.seq + 1 => return at(Flaw::Number),
            None if (frame.seq == 1 && frame.prev == Hash::ZERO)
                || chain::kind(line) == Some(Kind::ChainRecovered) => {}
            None if self.midway && chain::kind(line) == Some(Kind::ChainContinued) => {}
            None => return at(Flaw::Beginning),
            Some(_) => {}
        }
        self.forgiving = false;
        self.last = Some(Appended { seq: frame.seq, hash: frame.hash });
        Ok(frame)
    }

    /// Goes on behind a flaw: with this line, if it proves itself, or with the next that does.
    pub(crate) fn take_up(&mut self, line: &[u8]) -> Option<Frame> {
        let frame = Frame::parse(line).ok();
        self.last = frame.map(|frame| Appended { seq: frame.seq, hash: frame.hash }).or(self.last);
        frame
    }

    /// The next line without its LF.
    pub(crate) fn line(&mut self) -> Result<Option<Vec<u8>>, VerifyError> {
        match self.next_line()? {
            Next::Line(line) => Ok(Some(line)),
            Next::End => Ok(None),
            Next::Unfinished(_) => {
                self.lines += 1;
                Err(self.broken(Flaw::Torn, None))
            }
        }
    }

    /// The same where a line may be under way. An unfinished one is not counted.
    pub(crate) fn next_line(&mut self) -> Result<Next, VerifyError> {
        let mut line = Vec::new();
        (&mut self.source)
            .take(MAX_LINE as u64 + 1)
            .read_until(b'\n', &mut line)
            .map_err(|cause| VerifyError::unreadable(&self.path, cause))?;
        if line.is_empty() {
            return Ok(Next::End);
        }
        if line.pop() == Some(b'\n') {
            self.lines += 1;
            return Ok(Next::Line(line));
        }
        if line.len() >= MAX_LINE {
            self.lines += 1;
            return Err(self.broken(Flaw::TooLong, None));
        }
        Ok(Next::Unfinished(line.len() + 1))
    }

    pub(crate) fn broken(&self, flaw: Flaw, seq: Option<u64>) -> VerifyError {
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

pub(crate) fn content(line: &[u8]) -> Option<Event<'static>> {
    // The frame's members lie beside the event's in one object, and are passed over.
    serde_json::from_slice(line).ok()
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
    /// A file between two others is not there.
    #[error("the audit log in `{}` lacks the records {first} to {last}: their file is missing", directory.display())]
    Missing {
        /// The directory.
        directory: PathBuf,
        /// The number of the first record that is missing.
        first: u64,
        /// The number of the last.
        last: u64,
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

impl VerifyError {
    pub(crate) fn unreadable(path: &Path, cause: io::Error) -> VerifyError {
        VerifyError::Unreadable { path: path.to_owned(), cause }
    }
}
