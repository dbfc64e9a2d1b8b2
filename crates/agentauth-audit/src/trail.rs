//! The whole record of a directory, read in order, in whatever files it lies.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::chain;
use crate::files::{Closed, Form, Stub, closed_files, open_path};
use crate::place::Standing;
use crate::read::{Entry, Next, Reader, VerifyError};
use crate::source::Source;
use crate::tail::last_time;
use crate::{Appended, Kind};

/// How many records that are not wanted are passed over in one go.
const PASSED_OVER: usize = 16 * 1024;
/// How often the files are looked for anew when one of them changes its form at that moment.
const ATTEMPTS: usize = 8;

/// The record of one directory, for those who only read it: the command line, exports, sinks. A daemon may be writing
/// to it meanwhile.
#[derive(Clone, Debug)]
pub struct Trail {
    directory: PathBuf,
}

impl Trail {
    /// The record in `directory`, the one that the daemon writes to.
    #[must_use]
    pub fn new(directory: &Path) -> Trail {
        Trail { directory: directory.to_owned() }
    }

    /// Its records in order, from the oldest that is there.
    ///
    /// # Errors
    /// [`VerifyError::Unreadable`].
    pub fn entries(&self) -> Result<Entries, VerifyError> {
        self.entries_after(0)
    }

    /// Its records in order, from the first whose number is greater than `seq`. Records before it in the same file are
    /// passed over without a look at what they say.
    ///
    /// # Errors
    /// [`VerifyError::Unreadable`].
    pub fn entries_after(&self, seq: u64) -> Result<Entries, VerifyError> {
        Entries::begin_at(&self.directory, seq, None, false)
    }

    /// The same for those who hand records on and judge none: a line that does not prove itself is passed over, and its
    /// number is missing; behind a flaw it goes on. Where only one `kind` is wanted, the others are passed over without a
    /// look at what they say. Then [`Entries`] says now and then that there is nothing more although there is:
    /// [`Entries::newest`] tells how far it has come.
    ///
    /// # Errors
    /// [`VerifyError::Unreadable`].
    pub fn copies_after(&self, seq: u64, kind: Option<Kind>) -> Result<Entries, VerifyError> {
        Entries::begin_at(&self.directory, seq, kind, true)
    }

    /// The files that nothing is written to any more, oldest first.
    ///
    /// # Errors
    /// [`VerifyError::Unreadable`].
    pub fn closed_files(&self) -> Result<Vec<Closed>, VerifyError> {
        closed_files(&self.directory).map_err(|cause| VerifyError::unreadable(&self.directory, cause))
    }

    /// When its oldest and its newest record were written; nothing where that cannot be read. Looks at beginning and end
    /// only.
    #[must_use]
    pub fn period(&self) -> Option<(Timestamp, Timestamp)> {
        let first = self.entries().ok()?.next()?.ok()?.event.time;
        let newest = || {
            let closed = self.closed_files().ok()?.pop()?;
            last_time(&closed.path, closed.form).ok()?
        };
        let open = last_time(&open_path(&self.directory), Form::Plain).ok().flatten();
        Some((first, open.or_else(newest)?))
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// The records of a [`Trail`], each checked against the one before, over all files. Records that were deleted are passed
/// over: their numbers are missing, and the chain is followed across the hole.
///
/// `None` says that there is nothing more now. Later there may be: the next call reads on, in the next file where this
/// one was closed meanwhile. A line that is being written is not there yet. After an error it is at its end.
#[derive(Debug)]
pub struct Entries {
    directory: PathBuf,
    after: u64,
    last: Option<Appended>,
    current: Option<Current>,
    past_damage: bool,
    over: bool,
    /// The only kind that is wanted.
    kind: Option<Kind>,
    /// Whether flaws are passed over.
    lenient: bool,
}

/// The file that is being read.
#[derive(Debug)]
struct Current {
    reader: Reader<Source>,
    /// Whether it may still grow.
    grows: bool,
}

impl Entries {
    fn begin_at(
        directory: &Path,
        after: u64,
        kind: Option<Kind>,
        lenient: bool,
    ) -> Result<Entries, VerifyError> {
        let mut entries = Entries {
            directory: directory.to_owned(),
            after,
            last: None,
            current: None,
            past_damage: false,
            over: false,
            kind,
            lenient,
        };
        entries.begin()?;
        Ok(entries)
    }

    /// Goes on after a record that is not as it was written: the error is handed over, and the next call reads on behind it,
    /// so that one changed byte does not blind whoever looks. What follows proves itself from there on only. Where a file
    /// cannot be read it is at its end all the same.
    #[must_use]
    pub fn past_damage(mut self) -> Entries {
        self.past_damage = true;
        self
    }

    /// The last record that was read or passed over.
    #[must_use]
    pub fn newest(&self) -> Option<Appended> {
        self.last
    }

    /// Opens the file in which the first record that is wanted lies, or the oldest after it.
    fn begin(&mut self) -> Result<(), VerifyError> {
        let wanted = self.after.saturating_add(1);
        self.look(|files| files.iter().find(|file| file.last >= wanted).cloned())
    }

    /// The next record that is wanted; nothing if there is none yet.
    fn step(&mut self) -> Result<Option<Entry>, VerifyError> {
        let mut passed_over = 0;
        loop {
            let Some(current) = &mut self.current else {
                self.next_file()?;
                if self.current.is_none() {
                    return Ok(None);
                }
                continue;
            };
            let next = match current.reader.next_line() {
                // What is left of a line without an end is no line either.
                Err(VerifyError::Broken { .. }) if self.lenient => continue,
                next => next?,
            };
            match next {
                Next::Line(line) => {
                    let frame = match current.reader.judge(&line) {
                        Ok(frame) => frame,
                        Err(_) if self.lenient => match current.reader.take_up(&line) {
                            Some(frame) => frame,
                            None => continue,
                        },
                        Err(error) => {
                            current.reader.forgive();
                            return Err(error);
                        }
                    };
                    self.last = current.reader.newest();
                    if frame.seq > self.after && self.kind.is_some() && chain::kind(&line) != self.kind {
                        passed_over += 1;
                        if passed_over == PASSED_OVER {
                            return Ok(None);
                        }
                    } else if frame.seq > self.after {
                        return current.reader.entry(frame, line).map(Some);
                    }
                }
                Next::Unfinished(length) if current.grows => {
                    let back = current.reader.source().back(length);
                    back.map_err(|cause| VerifyError::unreadable(current.reader.path(), cause))?;
                    if current.is_still_at(&open_path(&self.directory)) {
                        return Ok(None);
                    }
                    current.grows = false;
                }
                // What followed the last record here was set aside when the log went on elsewhere.
                Next::Unfinished(_) => self.current = None,
                Next::End if !current.grows => self.current = None,
                Next::End if current.is_still_at(&open_path(&self.directory)) => return Ok(None),
                // It was closed: what was written to it before that is still to be read.
                Next::End => current.grows = false,
            }
        }
    }

    /// Opens the file that goes on where the last one ended, if it is there.
    fn next_file(&mut self) -> Result<(), VerifyError> {
        let Some(last) = self.last else { return self.begin() };
        self.look(|files| files.iter().find(|file| file.first > last.seq).cloned())
    }

    /// Opens the closed file that `choose` chooses, or else the one that is written to.
    fn look(&mut self, choose: impl Fn(&[Closed]) -> Option<Closed>) -> Result<(), VerifyError> {
        let mut outcome = Ok(false);
        for _ in 0..ATTEMPTS {
            let files = closed_files(&self.directory)
                .map_err(|cause| VerifyError::unreadable(&self.directory, cause))?;
            outcome = match choose(&files) {
                Some(file) if file.form == Form::Stub => self.pass(&file),
                Some(file) => self.open_closed(&file),
                None => {
                    self.open_growing(files.is_empty())?;
                    // It may have been closed, and another begun, since the files were looked at.
                    let files = closed_files(&self.directory)
                        .map_err(|cause| VerifyError::unreadable(&self.directory, cause))?;
                    if choose(&files).is_none() {
                        return Ok(());
                    }
                    self.current = None;
                    continue;
                }
            };
            match &outcome {
                Ok(true) => return Ok(()),
                // A stub was passed, and the file after it is looked for.
                Ok(false) => return self.next_file(),
                // It takes on another form right now, under another name.
                Err(VerifyError::Unreadable { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {}
                Err(_) => break,
            }
        }
        outcome.map(drop)
    }

    fn open_closed(&mut self, file: &Closed) -> Result<bool, VerifyError> {
        let first = self.last.map(|last| last.seq + 1);
        if let Some(first) = first.filter(|first| *first < file.first && !self.lenient) {
            // If it is gone on after that, then with this file.
            self.last = None;
            self.after = self.after.max(file.first - 1);
            return Err(VerifyError::Missing {
                directory: self.directory.clone(),
                first,
                last: file.first - 1,
            });
        }
        let source = Source::closed(file).map_err(|cause| VerifyError::unreadable(&file.path, cause))?;
        let reader = Reader::midway(source, &file.path, self.last);
        self.current = Some(Current { reader, grows: false });
        Ok(true)
    }

    /// Follows the chain across records that were deleted.
    fn pass(&mut self, file: &Closed) -> Result<bool, VerifyError> {
        let stub = Stub::read(&file.path).map_err(|cause| VerifyError::unreadable(&file.path, cause))?;
        self.last = Some(Appended { seq: stub.last, hash: stub.hash });
        Ok(false)
    }

    /// Opens the file that is written to. It is missing for a moment while another takes its name.
    fn open_growing(&mut self, alone: bool) -> Result<(), VerifyError> {
        let path = open_path(&self.directory);
        match Source::plain(&path) {
            Ok(source) => {
                let reader = Reader::midway(source, &path, self.last);
                self.current = Some(Current { reader, grows: true });
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !(alone && self.last.is_none()) => {
                Ok(())
            }
            Err(cause) => Err(VerifyError::unreadable(&path, cause)),
        }
    }
}

impl Current {
    fn is_still_at(&mut self, path: &Path) -> bool {
        let Some(Ok(own)) = self.reader.source().standing() else { return false };
        Standing::at(path).is_ok_and(|there| there.identity == own.identity)
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, VerifyError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let item = self.step().transpose();
        self.over = match &item {
            Some(Err(VerifyError::Unreadable { .. })) => true,
            Some(Err(_)) => !self.past_damage,
            _ => false,
        };
        item
    }
}
