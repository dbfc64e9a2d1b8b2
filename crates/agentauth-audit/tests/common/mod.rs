//! A log in a directory of its own.

use std::fs;
use std::path::{Path, PathBuf};

use agentauth_audit::AuditLog;
use jiff::Timestamp;

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + second).unwrap()
}

pub(crate) struct Room {
    pub(crate) dir: tempfile::TempDir,
    directory: PathBuf,
}

impl Room {
    pub(crate) fn new() -> Room {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("audit");
        Room { dir, directory }
    }

    pub(crate) fn open(&self) -> AuditLog {
        AuditLog::open(&self.directory, at(10_000)).unwrap()
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("audit").join(name)
    }

    /// The names of all files in it but the lock.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "audit.lock")
            .collect();
        names.sort();
        names
    }
}
