//! The record read for what stands: from the newest file that says itself what was carried over into it.

use std::io;

use crate::carried::Set;
use crate::chain::{self, Flaw, Frame};
use crate::files::{Closed, Form, Stub, open_path};
use crate::read::{Reader, VerifyError, content};
use crate::source::Source;
use crate::{Appended, Event, Kind, Trail};

/// Whether a record of the past can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Everything up to it is as it was written.
    Proven,
    /// It follows a flaw, or is one.
    Doubtful,
}

/// One record of a [`Trail::replay`].
#[derive(Debug)]
pub struct Replayed<'a> {
    /// Its number.
    pub seq: u64,
    /// What it says.
    pub event: &'a Event<'static>,
    /// Whether that can be relied on.
    pub standing: Standing,
}

/// How a [`Trail::replay`] went.
#[derive(Debug)]
pub struct Replay {
    /// The first flaw.
    pub flaw: Option<VerifyError>,
    /// The last record before it.
    pub last: Option<Appended>,
    /// The record that was watched for, if it was among those that were read.
    pub watched: Option<Appended>,
}

/// A file to replay.
enum File {
    Closed(Closed),
    Open,
}

/// How a file begins before which nothing has to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    /// It is the first, or was begun anew.
    Anew,
    /// All was carried into it.
    Carried,
}

impl Trail {
    /// Hands over, in order, the records that are `wanted` by their kind and line: those of the newest file into which
    /// everything before was carried over (`chain.carried`, handed over first) and of the files after it; without one, all
    /// that are there.
    /// The frames of all are checked; only what is wanted is read further. Records behind a flaw are handed over too, as
    /// [`Standing::Doubtful`]: what took something away is better believed. Number and hash of the record `watch` are
    /// told, if it is among those that are read.
    ///
    /// # Errors
    /// [`VerifyError::Unreadable`], or a line that is longer than any record, behind which nothing can be found.
    pub fn replay(
        &self,
        watch: Option<u64>,
        wanted: impl Fn(Kind, &[u8]) -> bool,
        mut each: impl FnMut(Replayed<'_>),
    ) -> Result<Replay, VerifyError> {
        let (files, start, beginning) = self.files_and_start()?;
        let mut run = Run { flaw: None, last: None, watch, watched: None, wanted: &wanted, each: &mut each };
        for (index, file) in files.iter().enumerate().skip(start) {
            let set = (index == start && beginning == Some(Beginning::Carried)).then(Set::default);
            // Where the files before are missing without a trace, what they took away is not known.
            run.file(self, file, set, index == start && beginning.is_none())?;
        }
        Ok(Replay { flaw: run.flaw, last: run.last, watched: run.watched })
    }

    /// The number of the first record that a replay reads; nothing if that is the open file's: all before it could be
    /// missing.
    pub(crate) fn start(&self) -> Result<Option<u64>, VerifyError> {
        let (files, start, _) = self.files_and_start()?;
        Ok(match files.get(start) {
            Some(File::Closed(closed)) => Some(closed.first),
            Some(File::Open) | None => None,
        })
    }

    /// All files, the one that a replay begins with, and how that begins; nothing if it does not. What is carried over lies
    /// at a file's beginning, so they are tried from the newest on.
    fn files_and_start(&self) -> Result<(Vec<File>, usize, Option<Beginning>), VerifyError> {
        let mut files: Vec<File> = self.closed_files()?.into_iter().map(File::Closed).collect();
        files.push(File::Open);
        let mut begun =
            files.iter().enumerate().rev().filter_map(|(at, file)| Some((at, self.begins(file)?)));
        let (start, beginning) = begun.next().map_or((0, None), |(at, beginning)| (at, Some(beginning)));
        Ok((files, start, beginning))
    }

    /// How the file begins, if nothing before it has to be read.
    fn begins(&self, file: &File) -> Option<Beginning> {
        let mut reader = self.reader(file, None, false).ok()??;
        let first = reader.line().ok()??;
        let frame = Frame::parse(&first).ok()?;
        match chain::kind(&first) {
            Some(Kind::ChainContinued) => {
                let mut set = Set::default();
                while let Ok(Some(line)) = reader.line() {
                    if chain::kind(&line) == Some(Kind::ChainCarried)
                        && let Some(event) = content(&line)
                    {
                        set.add(event);
                        if set.is_complete() {
                            return Some(Beginning::Carried);
                        }
                    }
                }
                None
            }
            Some(Kind::ChainRecovered) => Some(Beginning::Anew),
            _ => (frame.seq == 1).then_some(Beginning::Anew),
        }
    }

    fn reader(
        &self,
        file: &File,
        last: Option<Appended>,
        strict: bool,
    ) -> Result<Option<Reader<Source>>, VerifyError> {
        let (source, path) = match file {
            File::Closed(closed) if closed.form == Form::Stub => return Ok(None),
            File::Closed(closed) => (Source::closed(closed), closed.path.clone()),
            File::Open => (Source::plain(&open_path(self.directory())), open_path(self.directory())),
        };
        match source {
            Ok(source) if strict => Ok(Some(Reader::new(source, &path))),
            Ok(source) => Ok(Some(Reader::midway(source, &path, last))),
            // Nothing was ever written, or the file is between two names.
            Err(error) if matches!(file, File::Open) && error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(VerifyError::unreadable(&path, cause)),
        }
    }
}

struct Run<'a, W, E> {
    flaw: Option<VerifyError>,
    last: Option<Appended>,
    watch: Option<u64>,
    watched: Option<Appended>,
    wanted: &'a W,
    each: &'a mut E,
}

impl<W: Fn(Kind, &[u8]) -> bool, E: FnMut(Replayed<'_>)> Run<'_, W, E> {
    /// Replays one file. Where a `set` is to be found in it, that comes before everything else.
    fn file(
        &mut self,
        trail: &Trail,
        file: &File,
        mut set: Option<Set>,
        strict: bool,
    ) -> Result<(), VerifyError> {
        if let File::Closed(closed) = file
            && closed.form == Form::Stub
        {
            return self.stub(closed);
        }
        let Some(mut reader) = trail.reader(file, self.last, strict)? else { return Ok(()) };
        let mut waiting: Vec<(u64, Event<'static>, Standing)> = Vec::new();
        loop {
            let line = match reader.line() {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(torn @ VerifyError::Broken { flaw: Flaw::Torn, .. }) => {
                    self.flaw.get_or_insert(torn);
                    break;
                }
                Err(error) => return Err(error),
            };
            let mut seq = u64::MAX;
            match reader.judge(&line) {
                Ok(frame) => {
                    seq = frame.seq;
                    if self.flaw.is_none() {
                        self.last = reader.newest();
                    }
                    if self.watch == Some(seq) {
                        self.watched = Some(Appended { seq, hash: frame.hash });
                    }
                }
                Err(flaw) => _ = self.flaw.get_or_insert(flaw),
            }
            let standing = if self.flaw.is_none() { Standing::Proven } else { Standing::Doubtful };
            let kind = chain::kind(&line).unwrap_or(Kind::Unknown);
            let part = kind == Kind::ChainCarried;
            if !part && !(self.wanted)(kind, &line) {
                continue;
            }
            let Some(event) = content(&line) else { continue };
            match &mut set {
                // What was carried behind a flaw is not.
                Some(_) if part && standing == Standing::Doubtful => {}
                Some(open) if part => {
                    open.add(event);
                    if !open.is_complete() {
                        continue;
                    }
                    let after = open.after();
                    for event in std::mem::take(open).into_parts() {
                        (self.each)(Replayed { seq, event: &event, standing });
                    }
                    // What came before is part of the set already.
                    for (seq, event, standing) in waiting.drain(..).filter(|(seq, ..)| *seq > after) {
                        (self.each)(Replayed { seq, event: &event, standing });
                    }
                    set = None;
                }
                // Only the first set says anything that is not known.
                None if part => {}
                Some(_) => waiting.push((seq, event, standing)),
                None => (self.each)(Replayed { seq, event: &event, standing }),
            }
        }
        for (seq, event, standing) in waiting {
            (self.each)(Replayed { seq, event: &event, standing });
        }
        Ok(())
    }

    /// What was deleted cannot be heard any more; only a file into which all was carried may come after it.
    fn stub(&mut self, file: &Closed) -> Result<(), VerifyError> {
        let stub = Stub::read(&file.path).map_err(|cause| VerifyError::unreadable(&file.path, cause))?;
        self.flaw.get_or_insert(VerifyError::Missing {
            directory: file.path.parent().unwrap_or(&file.path).to_owned(),
            first: stub.first,
            last: stub.last,
        });
        self.last = Some(Appended { seq: stub.last, hash: stub.hash });
        Ok(())
    }
}
