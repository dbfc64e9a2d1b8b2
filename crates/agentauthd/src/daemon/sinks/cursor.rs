//! How far a sink has come, on disk: `sinks/NAME.cursor` in the state directory.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use agentauth_audit::Hash;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

/// How long the one line of the file is: it is written in place, in one piece.
const LINE: usize = 192;

/// A place in the log: behind the record of this number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The record's number; 0 before the first.
    pub(super) seq: u64,
    /// Its hash, where it is known.
    pub(super) hash: Option<Hash>,
}

/// What the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Everything up to here was handed over.
    pub(super) position: Position,
    /// The last record of the batch that was about to be handed over: it is made up the same way again, so that a
    /// receiver that has it already knows it.
    pub(super) trying: u64,
}

#[derive(Serialize, Deserialize)]
struct Line {
    seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    trying: u64,
}

/// The open file. It is not synced: what a power cut takes back is handed over again.
#[derive(Debug)]
pub(super) struct CursorFile(File);

impl CursorFile {
    /// Opens or begins the file, and reads what it says. What cannot be read counts as nothing: then everything that is
    /// kept for the sink is handed over again. Blocking, and short.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Mark)> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)?;
        let mut text = String::new();
        // Bytes that are no text are no mark either.
        if let Err(error) = (&mut file).take(LINE as u64).read_to_string(&mut text)
            && error.kind() != io::ErrorKind::InvalidData
        {
            return Err(error);
        }
        Ok((Self(file), read(&text).unwrap_or_default()))
    }

    /// Writes what the file says from now on.
    ///
    /// # Errors
    /// The first I/O error.
    pub(super) fn write(&self, mark: &Mark) -> io::Result<()> {
        let hash = mark.position.hash.map(|hash| hash.to_string());
        let line = Line { seq: mark.position.seq, hash, trying: mark.trying };
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.resize(LINE - 1, b' ');
        bytes.push(b'\n');
        self.0.write_all_at(&bytes, 0)
    }
}

fn read(text: &str) -> Option<Mark> {
    let line: Line = serde_json::from_str(text).ok()?;
    let hash = match line.hash {
        Some(digits) => Some(digits.parse().ok()?),
        None => None,
    };
    Some(Mark { position: Position { seq: line.seq, hash }, trying: line.trying })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_anything_else_counts_as_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("http.cursor");
        let (file, mark) = CursorFile::open(&path).unwrap();
        assert_eq!(mark, Mark::default());
        for mark in [
            Mark { position: Position { seq: u64::MAX, hash: Some(Hash([7; 32])) }, trying: u64::MAX },
            Mark { position: Position { seq: 1, hash: None }, trying: 9 },
        ] {
            file.write(&mark).unwrap();
            assert_eq!(CursorFile::open(&path).unwrap().1, mark);
            assert_eq!(std::fs::metadata(&path).unwrap().len(), LINE as u64);
        }
        for other in ["", "{", "{\"seq\":1,\"hash\":\"xx\",\"trying\":0}", "\u{0}\u{0}"] {
            std::fs::write(&path, other).unwrap();
            assert_eq!(CursorFile::open(&path).unwrap().1, Mark::default(), "{other:?}");
        }
        std::fs::write(&path, [0xff; 300]).unwrap();
        assert_eq!(CursorFile::open(&path).unwrap().1, Mark::default());
        let link = directory.path().join("link.cursor");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        CursorFile::open(&link).unwrap_err();
    }
}
