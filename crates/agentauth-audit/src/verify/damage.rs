//! What can be wrong with a record.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// The first place where a record is not as it was written, and what was done there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit record is damaged at `{}`, line {line} (record {seq}): {kind}: {detail}", path.display())]
pub struct Damage {
    /// What was done.
    pub kind: DamageKind,
    /// The file.
    pub path: PathBuf,
    /// The line, from 1; that of a compressed file, decompressed.
    pub line: u64,
    /// The number of the first record concerned: the one that was changed, is missing, was moved, or in whose place
    /// something was inserted.
    pub seq: u64,
    /// More about it, for people.
    pub detail: String,
}

/// What was done to a record.
///
/// Some deeds leave the same traces, and are told apart by what follows: a record that comes where it does not belong was
/// *inserted* if it is also, or nothing is, in its own place, and *reordered* if it is missing there; records that are
/// nowhere were *deleted*, or, where a file ends before them, *truncated*; a record that was changed together with its
/// own hash shows by the next one, which does not follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DamageKind {
    /// The content of a record was changed.
    Edited,
    /// Records between others are missing.
    Deleted,
    /// Something stands between two records that follow each other.
    Inserted,
    /// A record stands elsewhere than it was written.
    Reordered,
    /// The end of a file is missing.
    Truncated,
    /// A checkpoint is not signed by a key that counts, not signed right, or not of what the record has there.
    ForgedCheckpoint,
    /// A whole file is missing.
    MissingFile,
    /// What was left of a deleted file does not fit what is around it.
    Stub,
}

impl DamageKind {
    /// The word for it, stable.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DamageKind::Edited => "edited",
            DamageKind::Deleted => "deleted",
            DamageKind::Inserted => "inserted",
            DamageKind::Reordered => "reordered",
            DamageKind::Truncated => "truncated",
            DamageKind::ForgedCheckpoint => "forged_checkpoint",
            DamageKind::MissingFile => "missing_file",
            DamageKind::Stub => "stub",
        }
    }
}

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DamageKind::Edited => "a record was changed",
            DamageKind::Deleted => "records were deleted",
            DamageKind::Inserted => "something was inserted",
            DamageKind::Reordered => "records were reordered",
            DamageKind::Truncated => "the end was cut off",
            DamageKind::ForgedCheckpoint => "a checkpoint was forged, or what it covers was",
            DamageKind::MissingFile => "a file is missing",
            DamageKind::Stub => "a stub does not fit",
        })
    }
}

/// Why a record does not verify.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyFailure {
    /// It is not as it was written.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// It cannot be read.
    #[error("the audit record `{}` cannot be read", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}
