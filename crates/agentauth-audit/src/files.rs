//! The files of the record: how they are named, and which records lie in which.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::chain::Hash;
use crate::place::NAME;

/// The digits of a number in a file's name, so that names sort as numbers do.
const DIGITS: usize = 12;
const PLAIN: &str = "jsonl";
const PACKED: &str = "jsonl.gz";
const STUB: &str = "stub.json";

/// In which form the records of a file are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// Line by line, as they were written.
    Plain,
    /// The same, compressed (gzip, RFC 1952).
    Packed,
    /// Not any more: only what proves that they were there.
    Stub,
}

impl Form {
    fn extension(self) -> &'static str {
        match self {
            Form::Plain => PLAIN,
            Form::Packed => PACKED,
            Form::Stub => STUB,
        }
    }
}

/// A file that nothing is written to any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The number of its first record.
    pub first: u64,
    /// The number of its last record.
    pub last: u64,
    /// In which form.
    pub form: Form,
    /// Where it is.
    pub path: PathBuf,
}

impl Closed {
    /// The file of these records in `directory`, whether or not there is one.
    pub(crate) fn new(directory: &Path, first: u64, last: u64, form: Form) -> Closed {
        let name = format!("audit.{first:0DIGITS$}-{last:0DIGITS$}.{}", form.extension());
        Closed { first, last, form, path: directory.join(name) }
    }

    /// The same records in another form.
    pub(crate) fn in_form(&self, form: Form) -> Closed {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        Closed::new(directory, self.first, self.last, form)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn parse(directory: &Path, name: &str) -> Option<Closed> {
        let (numbers, extension) = name.strip_prefix("audit.")?.split_once('.')?;
        let form =
            [Form::Plain, Form::Packed, Form::Stub].into_iter().find(|form| form.extension() == extension)?;
        let (first, last) = numbers.split_once('-')?;
        let closed = Closed::new(directory, first.parse().ok()?, last.parse().ok()?, form);
        // One spelling only, and no range that is none.
        (closed.first <= closed.last && closed.first > 0 && closed.name() == name).then_some(closed)
    }
}

/// The closed files in `directory`, oldest first; of two forms of the same records, the one that says more.
///
/// # Errors
/// Those of reading the directory; one that is not there holds none.
pub(crate) fn closed_files(directory: &Path) -> io::Result<Vec<Closed>> {
    let mut files = all_forms(directory)?;
    files.dedup_by(|next, before| (next.first, next.last) == (before.first, before.last));
    Ok(files)
}

/// Every closed file in `directory`, oldest first, and before its other forms the one that says more.
pub(crate) fn all_forms(directory: &Path) -> io::Result<Vec<Closed>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut files = Vec::new();
    for entry in entries {
        files.extend(entry?.file_name().to_str().and_then(|name| Closed::parse(directory, name)));
    }
    files.sort_by_key(|file| (file.first, file.last, file.form));
    Ok(files)
}

/// The file that is written to.
pub(crate) fn open_path(directory: &Path) -> PathBuf {
    directory.join(NAME)
}

/// What is left of a file that was deleted: enough for the chain to be followed across the hole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stub {
    /// The number of the first record that was deleted.
    pub first: u64,
    /// The number of the last.
    pub last: u64,
    /// The hash of the record before the first.
    #[serde(with = "hash_text")]
    pub prev: Hash,
    /// The hash of the last.
    #[serde(with = "hash_text")]
    pub hash: Hash,
    /// How many records there were.
    pub records: u64,
    /// How long they were, in bytes.
    pub bytes: u64,
    /// The time of the first.
    pub from: Timestamp,
    /// The time of the last.
    pub to: Timestamp,
    /// When they were deleted.
    pub deleted: Timestamp,
    /// A signed checkpoint of the last record, where there was a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
}

impl Stub {
    /// Reads the stub at `path`.
    ///
    /// # Errors
    /// Those of the file; [`io::ErrorKind::InvalidData`] if it is no stub.
    pub(crate) fn read(path: &Path) -> io::Result<Stub> {
        let text = fs::read(path)?;
        serde_json::from_slice(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

mod hash_text {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::chain::Hash;

    pub(super) fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(hash)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_inside_and_have_one_spelling() {
        let directory = Path::new("/x");
        let file = Closed::new(directory, 7, 1_000, Form::Packed);
        assert_eq!(file.name(), "audit.000000000007-000000001000.jsonl.gz");
        assert_eq!(Closed::parse(directory, &file.name()), Some(file.clone()));
        assert_eq!(file.in_form(Form::Stub).name(), "audit.000000000007-000000001000.stub.json");
        for other in [
            "audit.jsonl",
            "audit.lock",
            "audit.torn-3",
            "audit.altered-0",
            "audit.7-1000.jsonl",
            "audit.000000000007-000000001000.jsonl.gz.part",
            "audit.000000000009-000000000007.jsonl",
            "audit.000000000000-000000000007.jsonl",
            "audit.+00000000001-000000000007.jsonl",
        ] {
            assert_eq!(Closed::parse(directory, other), None, "{other}");
        }
    }

    #[test]
    fn of_two_forms_the_one_that_says_more_counts() {
        let room = tempfile::tempdir().unwrap();
        for name in [
            "audit.000000000005-000000000009.stub.json",
            "audit.000000000001-000000000004.stub.json",
            "audit.000000000005-000000000009.jsonl.gz",
        ] {
            fs::write(room.path().join(name), "").unwrap();
        }
        let files = closed_files(room.path()).unwrap();
        let seen: Vec<_> = files.iter().map(|file| (file.first, file.form)).collect();
        assert_eq!(seen, [(1, Form::Stub), (5, Form::Packed)]);
        assert!(closed_files(&room.path().join("none")).unwrap().is_empty());
    }
}
