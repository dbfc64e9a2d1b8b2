//! One file, read as fast as it can be hashed.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use memchr::memchr;
use serde_json::Value;

use super::VerifyFailure;
use super::diagnose::Trouble;
use crate::chain::{self, Flaw, Frame, MAX_LINE};
use crate::files::{Closed, Form};
use crate::read::content;
use crate::{Appended, Kind};

/// How much is read at once.
const CHUNK: usize = 1 << 20;

/// One file of the record.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Closed(Closed),
    Open(PathBuf),
}

impl Part {
    pub(super) fn path(&self) -> &Path {
        match self {
            Part::Closed(closed) => &closed.path,
            Part::Open(path) => path,
        }
    }

    pub(super) fn open(&self) -> Result<Box<dyn Read>, VerifyFailure> {
        let unreadable = |cause| VerifyFailure::Unreadable { path: self.path().to_owned(), cause };
        let file = File::open(self.path()).map_err(unreadable)?;
        Ok(match self {
            Part::Closed(closed) if closed.form == Form::Packed => {
                Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(CHUNK, file)))
            }
            _ => Box::new(file),
        })
    }
}

/// What was found in a file, up to the first thing that is not right.
pub(super) struct Scan {
    pub(super) part: Part,
    pub(super) first: Option<Frame>,
    pub(super) last: Option<Appended>,
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// Why the first record says that it begins anew.
    pub(super) recovered: Option<String>,
    /// How many records say that a torn line was set aside.
    pub(super) torn: u64,
    /// What concerns checkpoints.
    pub(super) notes: Vec<Note>,
    /// The record that was asked for.
    pub(super) watched: Option<Appended>,
    pub(super) trouble: Option<Trouble>,
}

/// A record that concerns checkpoints.
pub(super) struct Note {
    pub(super) line: u64,
    pub(super) seq: u64,
    /// The record before.
    pub(super) before: Appended,
    pub(super) what: Noted,
}

pub(super) enum Noted {
    Key(String),
    Checkpoint(String),
}

/// Reads a file and checks it by itself.
pub(super) fn scan(part: &Part, watched: Option<u64>) -> Result<Scan, VerifyFailure> {
    let mut scan = Scan {
        part: part.clone(),
        first: None,
        last: None,
        records: 0,
        bytes: 0,
        recovered: None,
        torn: 0,
        notes: Vec::new(),
        watched: None,
        trouble: None,
    };
    let end = each_line(part, |line| match scan.line(line, watched) {
        Ok(()) => true,
        Err(trouble) => {
            scan.trouble = Some(trouble);
            false
        }
    })?;
    if scan.trouble.is_none() {
        scan.trouble = match end {
            End::Clean | End::Stopped => None,
            End::Unfinished => Some(Trouble::Unfinished),
            End::TooLong => Some(Trouble::Line(Flaw::TooLong)),
            End::Corrupt => Some(Trouble::Corrupt),
        };
    }
    Ok(scan)
}

impl Scan {
    fn line(&mut self, line: &[u8], watched: Option<u64>) -> Result<(), Trouble> {
        let frame = match self.last {
            None => {
                let frame = Frame::parse(line).map_err(Trouble::Line)?;
                self.first = Some(frame);
                frame
            }
            Some(last) => Frame::follow(line, last).map_err(|flaw| match flaw {
                Flaw::Link | Flaw::Number => Trouble::Link,
                flaw => Trouble::Line(flaw),
            })?,
        };
        self.records += 1;
        self.bytes += line.len() as u64 + 1;
        let here = Appended { seq: frame.seq, hash: frame.hash };
        if let Some(Kind::Checkpoint | Kind::CheckpointKey | Kind::ChainRecovered) = chain::kind(line) {
            self.special(line, frame);
        }
        if watched == Some(frame.seq) {
            self.watched = Some(here);
        }
        self.last = Some(here);
        Ok(())
    }

    /// Looks into the few records that say something about the record itself.
    fn special(&mut self, line: &[u8], frame: Frame) {
        let Some(event) = content(line) else { return };
        let text =
            |name: &str| event.details.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let before = Appended { seq: frame.seq.saturating_sub(1), hash: frame.prev };
        let what = match event.kind {
            Kind::Checkpoint => Noted::Checkpoint(text("note")),
            Kind::CheckpointKey => Noted::Key(text("key")),
            Kind::ChainRecovered if self.last.is_none() => {
                let message = event.message.map(|message| message.as_str().to_owned());
                self.recovered = Some(message.unwrap_or_default());
                return;
            }
            Kind::ChainRecovered => {
                self.torn += 1;
                return;
            }
            _ => return,
        };
        self.notes.push(Note { line: self.records, seq: frame.seq, before, what });
    }
}

/// How a file ended.
pub(super) enum End {
    /// With a whole line, or empty.
    Clean,
    /// It was not read on.
    Stopped,
    /// Within a line.
    Unfinished,
    /// With a line that is longer than any record.
    TooLong,
    /// Its compressed form cannot be read on.
    Corrupt,
}

/// Hands over each line without its LF, for as long as `each` wants more.
pub(super) fn each_line(part: &Part, mut each: impl FnMut(&[u8]) -> bool) -> Result<End, VerifyFailure> {
    let mut source = part.open()?;
    let packed = matches!(part, Part::Closed(closed) if closed.form == Form::Packed);
    let mut buffer = vec![0; CHUNK + MAX_LINE];
    let mut held = 0;
    loop {
        let count = match source.read(buffer.get_mut(held..).unwrap_or_default()) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if packed && error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(End::Unfinished);
            }
            Err(_) if packed => return Ok(End::Corrupt),
            Err(cause) => {
                return Err(VerifyFailure::Unreadable { path: part.path().to_owned(), cause });
            }
        };
        if count == 0 {
            return Ok(if held == 0 { End::Clean } else { End::Unfinished });
        }
        let filled = buffer.get(..held + count).unwrap_or_default();
        let mut rest = filled;
        while let Some(lf) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at(lf);
            if !each(line) {
                return Ok(End::Stopped);
            }
            rest = after.get(1..).unwrap_or_default();
        }
        let left = rest.len();
        if left >= MAX_LINE {
            return Ok(End::TooLong);
        }
        let start = filled.len() - left;
        buffer.copy_within(start..start + left, 0);
        held = left;
    }
}
