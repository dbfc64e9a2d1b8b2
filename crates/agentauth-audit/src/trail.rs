//! The whole record of a directory, read in order, in whatever files it lies.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::place::NAME;
use crate::read::{Entry, Reader, VerifyError};

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

    /// Its records in order, from the first whose number is greater than `seq`.
    ///
    /// # Errors
    /// [`VerifyError::Unreadable`].
    pub fn entries_after(&self, seq: u64) -> Result<Entries, VerifyError> {
        Ok(Entries { reader: Reader::open(&self.directory.join(NAME))?, after: seq })
    }
}

/// The records of a [`Trail`], each checked against the one before. After the first error it is at its end.
#[derive(Debug)]
pub struct Entries {
    reader: Reader<BufReader<File>>,
    after: u64,
}

impl Iterator for Entries {
    type Item = Result<Entry, VerifyError>;

    fn next(&mut self) -> Option<Self::Item> {
        let after = self.after;
        self.reader.find(|entry| entry.as_ref().map_or(true, |entry| entry.seq > after))
    }
}
