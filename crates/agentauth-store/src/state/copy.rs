//! What the state database says, for whoever only looks.

use std::path::Path;
use std::sync::Mutex;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::{BUSY, MIGRATIONS, StateDb, StateError, examine, resolved};

impl StateDb {
    /// What `path` says at this moment, brought up to date in memory. The file is only read: one of an earlier version stays
    /// as it is for the daemon that may be using it. What is changed here is kept nowhere.
    ///
    /// # Errors
    /// [`StateError`], as [`StateDb::open`].
    pub fn copy_of(path: &Path) -> Result<StateDb, StateError> {
        let fault = |cause| StateError::from_sqlite(path, "read it", cause);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let mut file = Connection::open_with_flags(resolved(path), flags).map_err(fault)?;
        file.busy_timeout(BUSY).map_err(fault)?;
        let moment = file.transaction().map_err(fault)?;
        let (before, after) = MIGRATIONS.split_at(examine(&moment, path)? as usize);
        let memory = Connection::open_in_memory().map_err(fault)?;
        let copy = || -> rusqlite::Result<()> {
            before.iter().try_for_each(|migration| memory.execute_batch(migration))?;
            for table in tables(&memory)? {
                copy_rows(&moment, &memory, &table)?;
            }
            after.iter().try_for_each(|migration| memory.execute_batch(migration))
        };
        copy().map_err(fault)?;
        Ok(StateDb { path: path.to_owned(), connection: Mutex::new(memory) })
    }
}

fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut names = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
    names.query_map([], |row| row.get(0))?.collect()
}

fn copy_rows(from: &Connection, to: &Connection, table: &str) -> rusqlite::Result<()> {
    let mut all = from.prepare(&format!("SELECT * FROM \"{table}\""))?;
    let columns = all.column_count();
    let places = vec!["?"; columns].join(", ");
    let mut insert = to.prepare(&format!("INSERT INTO \"{table}\" VALUES ({places})"))?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| row.get(column)).collect::<Result<Vec<Value>, _>>()?;
        insert.execute(params_from_iter(values))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{Pin, ProfileName};

    fn pinned(path: &Path, subject: &str) -> StateDb {
        let db = StateDb::open(path).unwrap();
        let pinned_at = "2026-01-02T03:04:05Z".parse().unwrap();
        let pin = Pin {
            issuer: "https://api.example.com/P2abc".to_owned(),
            subject: subject.to_owned(),
            display_name: None,
            pinned_at,
        };
        db.replace_pin(&profile(), &pin).unwrap();
        db
    }

    fn profile() -> ProfileName {
        "dev".parse().unwrap()
    }

    fn version(path: &Path) -> u32 {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_file_of_an_earlier_version_is_understood_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        drop(pinned(&path, "U1"));
        let raw = Connection::open(&path).unwrap();
        raw.execute_batch("DROP TABLE passkeys; DROP TABLE own_rules; DROP TABLE grants; DROP TABLE agents;")
            .unwrap();
        raw.pragma_update(None, "user_version", 2).unwrap();
        drop(raw);
        let before = fs::read(&path).unwrap();
        let copy = StateDb::copy_of(&path).unwrap();
        assert_eq!(copy.pin(&profile()).unwrap().unwrap().subject, "U1");
        assert_eq!(copy.grants(&profile()).unwrap(), []);
        drop(copy);
        assert_eq!((fs::read(&path).unwrap() == before, version(&path)), (true, 2));
    }

    #[test]
    fn what_a_daemon_has_just_written_is_seen_and_what_is_changed_is_kept_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        let db = pinned(&path, "U2");
        let copy = StateDb::copy_of(&path).unwrap();
        assert_eq!(copy.pin(&profile()).unwrap().unwrap().subject, "U2");
        let mut other = copy.pin(&profile()).unwrap().unwrap();
        other.subject = "U3".to_owned();
        copy.replace_pin(&profile(), &other).unwrap();
        assert_eq!(db.pin(&profile()).unwrap().unwrap().subject, "U2");
    }

    #[test]
    fn what_is_not_ours_or_newer_is_refused_and_nothing_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        StateDb::copy_of(&path).unwrap_err();
        assert!(!path.exists());
        drop(pinned(&path, "U1"));
        let raw = Connection::open(&path).unwrap();
        raw.pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(StateDb::copy_of(&path), Err(StateError::Newer { found: 99, .. })));
        raw.pragma_update(None, "application_id", 7).unwrap();
        assert!(matches!(StateDb::copy_of(&path), Err(StateError::Damaged { .. })));
    }
}
