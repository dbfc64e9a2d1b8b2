//! The state database: what is not secret and must survive.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior, params};

use crate::ProfileName;

mod copy;
mod rights;

pub use rights::RightsChange;

/// The schema of this program; the file's `user_version`. Each entry brings the file from its index to the next.
const MIGRATIONS: [&str; 5] = [
    "
    CREATE TABLE pins (
        profile      TEXT PRIMARY KEY NOT NULL,
        issuer       TEXT NOT NULL,
        subject      TEXT NOT NULL,
        display_name TEXT,
        pinned_at    TEXT NOT NULL
    ) STRICT;
    CREATE TABLE refresh_history (
        profile      TEXT PRIMARY KEY NOT NULL,
        rotates      INTEGER NOT NULL CHECK (rotates IN (0, 1)),
        ambiguous    INTEGER NOT NULL CHECK (ambiguous >= 0),
        last_success TEXT
    ) STRICT;
    CREATE TABLE logouts (
        profile      TEXT PRIMARY KEY NOT NULL,
        at           TEXT NOT NULL
    ) STRICT;
",
    "
    CREATE TABLE locks (
        profile      TEXT PRIMARY KEY NOT NULL,
        at           TEXT NOT NULL
    ) STRICT;
    CREATE TABLE clock_marks (
        profile      TEXT PRIMARY KEY NOT NULL,
        last_seen    TEXT NOT NULL
    ) STRICT;
",
    "
    CREATE TABLE agents (
        profile      TEXT NOT NULL,
        name         TEXT NOT NULL,
        registration TEXT NOT NULL,
        PRIMARY KEY (profile, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE grants (
        profile      TEXT NOT NULL,
        id           TEXT NOT NULL,
        says         TEXT NOT NULL,
        PRIMARY KEY (profile, id)
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE own_rules (
        profile      TEXT PRIMARY KEY NOT NULL,
        says         TEXT NOT NULL
    ) STRICT;
",
    "
    CREATE TABLE passkeys (
        profile      TEXT NOT NULL,
        id           TEXT NOT NULL,
        says         TEXT NOT NULL,
        PRIMARY KEY (profile, id)
    ) STRICT, WITHOUT ROWID;
",
];

/// `agnt`: says whose file this is, so that another program's database is refused.
const APPLICATION_ID: i32 = 0x6167_6e74;

/// How long a statement waits for another process's write.
const BUSY: Duration = Duration::from_secs(5);

/// Who a profile belongs to: fixed by the first login, and changed only under a stronger proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The provider (`iss`), or the project's base as the provider's tokens name it.
    pub issuer: String,
    /// The user there (`sub`).
    pub subject: String,
    /// A name to show; never compared.
    pub display_name: Option<String>,
    /// When it was pinned.
    pub pinned_at: Timestamp,
}

/// What [`StateDb::set_pin_if_absent`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinOutcome {
    /// There was none; the given one is stored now.
    Set,
    /// This one was there and still is. The caller compares issuer and subject.
    Existing(Pin),
}

/// What earlier refreshes of a profile taught; survives a restart, since a lost answer may be why there was one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefreshRecord {
    /// A refresh has returned a different token: the provider rotates.
    pub rotates: bool,
    /// Refreshes sent without an answer since the last success.
    pub ambiguous: u32,
    /// The last refresh that succeeded.
    pub last_success: Option<Timestamp>,
}

/// The database `state.db` (SQLite, WAL, 0600). Calls block for a file write, some for [`BUSY`](StateDb::open) at
/// most: use it off the check path, and from `spawn_blocking` in asynchronous code. It grants nothing by itself.
#[derive(Debug)]
pub struct StateDb {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl StateDb {
    /// Opens `path`, creating the file and bringing its schema up to date. Statements wait 5 s for another process.
    ///
    /// # Errors
    /// [`StateError`]; `Newer` if a later version of the program wrote it, `Damaged` if it is not ours or broken.
    pub fn open(path: &Path) -> Result<StateDb, StateError> {
        create_private(path).map_err(|cause| StateError::Inaccessible { path: path.to_owned(), cause })?;
        let fault = |cause| StateError::from_sqlite(path, "open it", cause);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let mut connection = Connection::open_with_flags(resolved(path), flags).map_err(fault)?;
        connection.busy_timeout(BUSY).map_err(fault)?;
        // The identity check comes first, and before anything is written to a file that may be a stranger's.
        let version = migrate(&mut connection, path)?;
        tracing::debug!(version, path = %path.display(), "state database open");
        use_write_ahead_log(&connection).map_err(fault)?;
        // A pin must not be forgotten by a power cut: in WAL mode only FULL syncs at each commit.
        connection.pragma_update(None, "synchronous", "FULL").map_err(fault)?;
        Ok(StateDb { path: path.to_owned(), connection: Mutex::new(connection) })
    }

    /// The pin of `profile`, if it has one.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn pin(&self, profile: &ProfileName) -> Result<Option<Pin>, StateError> {
        read_pin(&self.connection(), profile).map_err(|cause| self.fault("read the pinned user", cause))
    }

    /// Pins `profile` to `pin` unless it is pinned already; atomic across processes.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn set_pin_if_absent(&self, profile: &ProfileName, pin: &Pin) -> Result<PinOutcome, StateError> {
        let work = |connection: &mut Connection| -> rusqlite::Result<PinOutcome> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if let Some(existing) = read_pin(&transaction, profile)? {
                return Ok(PinOutcome::Existing(existing));
            }
            write_pin(&transaction, profile, pin)?;
            transaction.commit()?;
            Ok(PinOutcome::Set)
        };
        work(&mut self.connection()).map_err(|cause| self.fault("pin the user", cause))
    }

    /// Pins `profile` to `pin`, whoever it was pinned to. A widening operation: the caller has proof for it.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn replace_pin(&self, profile: &ProfileName, pin: &Pin) -> Result<(), StateError> {
        write_pin(&self.connection(), profile, pin).map_err(|cause| self.fault("pin the user", cause))
    }

    /// What earlier refreshes of `profile` taught; the default if there were none.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn refresh_record(&self, profile: &ProfileName) -> Result<RefreshRecord, StateError> {
        self.connection()
            .query_row(
                "SELECT rotates, ambiguous, last_success FROM refresh_history WHERE profile = ?1",
                [profile.as_str()],
                |row| {
                    Ok(RefreshRecord {
                        rotates: row.get(0)?,
                        ambiguous: row.get(1)?,
                        last_success: row
                            .get::<_, Option<String>>(2)?
                            .map(|text| instant(2, &text))
                            .transpose()?,
                    })
                },
            )
            .optional()
            .map(Option::unwrap_or_default)
            .map_err(|cause| self.fault("read the refresh history", cause))
    }

    /// Stores `record` for `profile`; on disk when it returns.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn put_refresh_record(
        &self,
        profile: &ProfileName,
        record: &RefreshRecord,
    ) -> Result<(), StateError> {
        self.connection()
            .execute(
                "INSERT INTO refresh_history (profile, rotates, ambiguous, last_success) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (profile) DO UPDATE SET rotates = excluded.rotates, ambiguous = excluded.ambiguous,
                     last_success = excluded.last_success",
                params![
                    profile.as_str(),
                    record.rotates,
                    record.ambiguous,
                    record.last_success.map(|at| at.to_string())
                ],
            )
            .map(drop)
            .map_err(|cause| self.fault("write the refresh history", cause))
    }

    /// Marks `profile` as logged out at `at`, or takes the mark away. The mark outlives a secret store that could not
    /// be reached: a login found there later is not taken up.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn put_logout(&self, profile: &ProfileName, at: Option<Timestamp>) -> Result<(), StateError> {
        let connection = self.connection();
        match at {
            Some(at) => connection.execute(
                "INSERT INTO logouts (profile, at) VALUES (?1, ?2)
                 ON CONFLICT (profile) DO UPDATE SET at = excluded.at",
                params![profile.as_str(), at.to_string()],
            ),
            None => connection.execute("DELETE FROM logouts WHERE profile = ?1", params![profile.as_str()]),
        }
        .map(drop)
        .map_err(|cause| self.fault("write the mark of a logout", cause))
    }

    /// Whether `profile` is marked as logged out.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn is_logged_out(&self, profile: &ProfileName) -> Result<bool, StateError> {
        self.connection()
            .query_row("SELECT count(*) FROM logouts WHERE profile = ?1", params![profile.as_str()], |row| {
                row.get::<_, i64>(0)
            })
            .map(|count| count > 0)
            .map_err(|cause| self.fault("read the mark of a logout", cause))
    }

    /// Marks `profile` as paused since `at`, or takes the mark away.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn put_lock(&self, profile: &ProfileName, at: Option<Timestamp>) -> Result<(), StateError> {
        let connection = self.connection();
        match at {
            Some(at) => connection.execute(
                "INSERT INTO locks (profile, at) VALUES (?1, ?2) ON CONFLICT (profile) DO NOTHING",
                params![profile.as_str(), at.to_string()],
            ),
            None => connection.execute("DELETE FROM locks WHERE profile = ?1", params![profile.as_str()]),
        }
        .map(drop)
        .map_err(|cause| self.fault("write the mark of a pause", cause))
    }

    /// Since when `profile` is paused, if it is.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn locked_since(&self, profile: &ProfileName) -> Result<Option<Timestamp>, StateError> {
        self.instant_of(profile, "SELECT at FROM locks WHERE profile = ?1")
            .map_err(|cause| self.fault("read the mark of a pause", cause))
    }

    /// Remembers `at` as the latest instant that was seen on the clock.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn put_last_seen(&self, profile: &ProfileName, at: Timestamp) -> Result<(), StateError> {
        self.connection()
            .execute(
                "INSERT INTO clock_marks (profile, last_seen) VALUES (?1, ?2)
                 ON CONFLICT (profile) DO UPDATE SET last_seen = excluded.last_seen",
                params![profile.as_str(), at.to_string()],
            )
            .map(drop)
            .map_err(|cause| self.fault("remember the time", cause))
    }

    /// The latest instant that was seen on the clock, so that a clock that was set back is noticed after a restart too.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn last_seen(&self, profile: &ProfileName) -> Result<Option<Timestamp>, StateError> {
        self.instant_of(profile, "SELECT last_seen FROM clock_marks WHERE profile = ?1")
            .map_err(|cause| self.fault("read the time that was seen last", cause))
    }

    fn instant_of(&self, profile: &ProfileName, query: &str) -> rusqlite::Result<Option<Timestamp>> {
        self.connection()
            .query_row(query, [profile.as_str()], |row| instant(0, &row.get::<_, String>(0)?))
            .optional()
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A statement either ran or did not, so a panic elsewhere leaves nothing half done behind the lock.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, attempt: &'static str, cause: rusqlite::Error) -> StateError {
        StateError::from_sqlite(&self.path, attempt, cause)
    }
}

/// Why the state database did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// A later version of the program has changed the file.
    #[error("the state database `{}` has version {found}, this program knows up to {known}: start the newer program, or move the file away", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The latest that this program knows.
        known: u32,
    },
    /// The file is broken or belongs to another program.
    #[error("the state database `{}` is damaged or not agentauthd's: move it away (the next login pins the user again)", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said, if it was SQLite that noticed.
        #[source]
        cause: Option<rusqlite::Error>,
    },
    /// The file cannot be created or opened.
    #[error("the state database `{}` cannot be opened: check that its directory exists and is yours", path.display())]
    Inaccessible {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Another process held it for too long.
    #[error("the state database `{}` stayed locked by another process while trying to {attempt}: see whether a second daemon runs", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
        /// What was attempted, as a verb phrase.
        attempt: &'static str,
        /// What SQLite said.
        #[source]
        cause: rusqlite::Error,
    },
    /// A statement failed in another way (full disk, read-only file system).
    #[error("the state database `{}` failed to {attempt}: check free space and the rights of its directory", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What was attempted, as a verb phrase.
        attempt: &'static str,
        /// What SQLite said.
        #[source]
        cause: rusqlite::Error,
    },
}

impl StateError {
    fn from_sqlite(path: &Path, attempt: &'static str, cause: rusqlite::Error) -> StateError {
        let path = path.to_owned();
        let unreadable_value = matches!(
            cause,
            rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
        );
        match cause.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StateError::Damaged { path, cause: Some(cause) }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                StateError::Busy { path, attempt, cause }
            }
            _ if unreadable_value => StateError::Damaged { path, cause: Some(cause) },
            _ => StateError::Failed { path, attempt, cause },
        }
    }
}

/// Checks whose file it is and which version, and migrates it. Returns the version afterwards.
fn migrate(connection: &mut Connection, path: &Path) -> Result<u32, StateError> {
    let fault = |cause| StateError::from_sqlite(path, "bring it up to date", cause);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
    let (found, known) = (examine(&transaction, path)?, MIGRATIONS.len() as u32);
    for migration in MIGRATIONS.iter().skip(found as usize) {
        transaction.execute_batch(migration).map_err(fault)?;
    }
    if found < known {
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(fault)?;
        transaction.pragma_update(None, "user_version", known).map_err(fault)?;
    }
    transaction.commit().map_err(fault)?;
    Ok(known)
}

/// The version of the file, if it is ours and whole.
fn examine(connection: &Connection, path: &Path) -> Result<u32, StateError> {
    let fault = |cause| StateError::from_sqlite(path, "examine it", cause);
    let damaged = || StateError::Damaged { path: path.to_owned(), cause: None };
    let known = MIGRATIONS.len() as u32;
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, found) =
        (pragma("application_id").map_err(fault)?, pragma("user_version").map_err(fault)?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fault)?;
    let fresh = application == 0 && found == 0 && tables == 0;
    if !fresh && application != APPLICATION_ID {
        return Err(damaged());
    }
    let found = u32::try_from(found).map_err(|_| damaged())?;
    if found > known {
        return Err(StateError::Newer { path: path.to_owned(), found, known });
    }
    if !fresh {
        let verdict: String =
            connection.pragma_query_value(None, "quick_check", |row| row.get(0)).map_err(fault)?;
        if verdict != "ok" {
            return Err(damaged());
        }
    }
    Ok(found)
}

/// SQLite does not always wait when two processes switch a fresh file at once, so this does.
fn use_write_ahead_log(connection: &Connection) -> rusqlite::Result<()> {
    const PAUSE: Duration = Duration::from_millis(10);
    let mut left = BUSY.as_millis() / PAUSE.as_millis();
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())) {
            Err(error)
                if left > 0
                    && matches!(
                        error.sqlite_error_code(),
                        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
                    ) =>
            {
                left -= 1;
                std::thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
}

fn read_pin(connection: &Connection, profile: &ProfileName) -> rusqlite::Result<Option<Pin>> {
    connection
        .query_row(
            "SELECT issuer, subject, display_name, pinned_at FROM pins WHERE profile = ?1",
            [profile.as_str()],
            |row| {
                Ok(Pin {
                    issuer: row.get(0)?,
                    subject: row.get(1)?,
                    display_name: row.get(2)?,
                    pinned_at: instant(3, &row.get::<_, String>(3)?)?,
                })
            },
        )
        .optional()
}

fn write_pin(connection: &Connection, profile: &ProfileName, pin: &Pin) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT OR REPLACE INTO pins (profile, issuer, subject, display_name, pinned_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![profile.as_str(), pin.issuer, pin.subject, pin.display_name, pin.pinned_at.to_string()],
        )
        .map(drop)
}

fn instant(column: usize, text: &str) -> rusqlite::Result<Timestamp> {
    text.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}

/// Makes the file 0600 before SQLite sees it; the `-wal` and `-shm` files take their mode from it.
fn create_private(path: &Path) -> io::Result<()> {
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
        options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        let file = options.open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        if metadata.permissions().mode() & 0o777 != 0o600 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
    }
    #[cfg(not(unix))]
    drop(options.open(path)?);
    Ok(())
}

/// SQLite's no-follow flag refuses a link anywhere in the path; only the file itself must not be one.
fn resolved(path: &Path) -> PathBuf {
    match (path.parent().map(fs::canonicalize), path.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests;
