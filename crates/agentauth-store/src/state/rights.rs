//! Registrations, grants and passkeys: copies of what the record gave, for quick reading at the start. A row gives nothing by
//! itself.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, TransactionBehavior, params};

use super::{StateDb, StateError};
use crate::ProfileName;

/// Rows to write and to take out, at once or not at all. What is taken out goes first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RightsChange {
    /// Registrations to take out, by the agent's name.
    pub agents_out: Vec<String>,
    /// Registrations to write: the agent's name, and the registration as JSON.
    pub agents_in: Vec<(String, String)>,
    /// Grants to take out, by id.
    pub grants_out: Vec<String>,
    /// Grants to write: the id, and what the grant says as JSON.
    pub grants_in: Vec<(String, String)>,
    /// Passkeys to take out, by id.
    pub passkeys_out: Vec<String>,
    /// Passkeys to write: the id, and what the passkey says as JSON.
    pub passkeys_in: Vec<(String, String)>,
}

impl StateDb {
    /// Carries out `change` for `profile`; on disk when it returns.
    ///
    /// # Errors
    /// [`StateError`]; nothing has changed then.
    pub fn change_rights(&self, profile: &ProfileName, change: &RightsChange) -> Result<(), StateError> {
        let profile = profile.as_str();
        let work = || -> rusqlite::Result<()> {
            let mut connection = self.connection();
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (rows, statement) in [
                (&change.agents_out, "DELETE FROM agents WHERE profile = ?1 AND name = ?2"),
                (&change.grants_out, "DELETE FROM grants WHERE profile = ?1 AND id = ?2"),
                (&change.passkeys_out, "DELETE FROM passkeys WHERE profile = ?1 AND id = ?2"),
            ] {
                let mut statement = transaction.prepare_cached(statement)?;
                for row in rows {
                    statement.execute(params![profile, row])?;
                }
            }
            for (rows, statement) in [
                (
                    &change.agents_in,
                    "INSERT OR REPLACE INTO agents (profile, name, registration) VALUES (?1, ?2, ?3)",
                ),
                (&change.grants_in, "INSERT OR REPLACE INTO grants (profile, id, says) VALUES (?1, ?2, ?3)"),
                (
                    &change.passkeys_in,
                    "INSERT OR REPLACE INTO passkeys (profile, id, says) VALUES (?1, ?2, ?3)",
                ),
            ] {
                let mut statement = transaction.prepare_cached(statement)?;
                for (key, text) in rows {
                    statement.execute(params![profile, key, text])?;
                }
            }
            transaction.commit()
        };
        work().map_err(|cause| self.fault("write registrations, grants and passkeys", cause))
    }

    /// The registrations of `profile`, each as JSON, by the agent's name.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn registrations(&self, profile: &ProfileName) -> Result<Vec<(String, String)>, StateError> {
        self.rows(profile, "SELECT name, registration FROM agents WHERE profile = ?1 ORDER BY name")
    }

    /// The grants of `profile`, each as JSON, by id.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn grants(&self, profile: &ProfileName) -> Result<Vec<(String, String)>, StateError> {
        self.rows(profile, "SELECT id, says FROM grants WHERE profile = ?1 ORDER BY id")
    }

    /// The ids of the grants of `profile`.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn grant_ids(&self, profile: &ProfileName) -> Result<HashSet<String>, StateError> {
        let read = || -> rusqlite::Result<HashSet<String>> {
            let connection = self.connection();
            let mut statement = connection.prepare("SELECT id FROM grants WHERE profile = ?1")?;
            statement.query_map([profile.as_str()], |row| row.get(0))?.collect()
        };
        read().map_err(|cause| self.fault("read which grants there are", cause))
    }

    /// Keeps what the person's own rules say, as JSON, in place of what was kept; on disk when it returns.
    ///
    /// # Errors
    /// [`StateError`]; nothing has changed then.
    pub fn put_own_rules(&self, profile: &ProfileName, says: &str) -> Result<(), StateError> {
        let statement = "INSERT OR REPLACE INTO own_rules (profile, says) VALUES (?1, ?2)";
        let write = || self.connection().execute(statement, params![profile.as_str(), says]);
        write().map(drop).map_err(|cause| self.fault("write the rules that were applied", cause))
    }

    /// What the person's own rules say, as JSON, where they were ever applied.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn own_rules(&self, profile: &ProfileName) -> Result<Option<String>, StateError> {
        let query = "SELECT says FROM own_rules WHERE profile = ?1";
        let read = || self.connection().query_row(query, [profile.as_str()], |row| row.get(0)).optional();
        read().map_err(|cause| self.fault("read the rules that were applied", cause))
    }

    /// The passkeys of `profile`, each as JSON, by id.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn passkeys(&self, profile: &ProfileName) -> Result<Vec<(String, String)>, StateError> {
        self.rows(profile, "SELECT id, says FROM passkeys WHERE profile = ?1 ORDER BY id")
    }

    fn rows(&self, profile: &ProfileName, query: &str) -> Result<Vec<(String, String)>, StateError> {
        let read = || -> rusqlite::Result<Vec<(String, String)>> {
            let connection = self.connection();
            let mut statement = connection.prepare(query)?;
            let rows = statement.query_map([profile.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        };
        read().map_err(|cause| self.fault("read registrations, grants and passkeys", cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, text: &str) -> (String, String) {
        (key.to_owned(), text.to_owned())
    }

    #[test]
    fn rights_survive_and_belong_to_one_profile() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let (dev, prod): (ProfileName, ProfileName) = ("dev".parse().unwrap(), "prod".parse().unwrap());
        let db = StateDb::open(&path).unwrap();
        let first = RightsChange {
            agents_in: vec![pair("b", "B"), pair("a", "A")],
            grants_in: vec![pair("g2", "2"), pair("g1", "1")],
            passkeys_in: vec![pair("p1", "1"), pair("p2", "2")],
            ..RightsChange::default()
        };
        db.change_rights(&dev, &first).unwrap();
        let second = RightsChange {
            agents_out: vec!["b".to_owned(), "none".to_owned()],
            agents_in: vec![pair("a", "A2")],
            grants_out: vec!["g1".to_owned(), "g3".to_owned()],
            grants_in: vec![pair("g3", "3")],
            passkeys_out: vec!["p1".to_owned()],
            ..RightsChange::default()
        };
        db.change_rights(&dev, &second).unwrap();
        drop(db);
        let db = StateDb::open(&path).unwrap();
        assert_eq!(db.registrations(&dev).unwrap(), [pair("a", "A2")]);
        assert_eq!(db.grants(&dev).unwrap(), [pair("g2", "2"), pair("g3", "3")]);
        assert_eq!(db.grant_ids(&dev).unwrap(), HashSet::from(["g2", "g3"].map(str::to_owned)));
        assert_eq!(db.passkeys(&dev).unwrap(), [pair("p2", "2")]);
        assert_eq!((db.registrations(&prod).unwrap(), db.grants(&prod).unwrap()), (vec![], vec![]));
    }

    #[test]
    fn the_rules_applied_last_are_kept_for_each_profile() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let (dev, prod): (ProfileName, ProfileName) = ("dev".parse().unwrap(), "prod".parse().unwrap());
        let db = StateDb::open(&path).unwrap();
        assert_eq!(db.own_rules(&dev).unwrap(), None);
        for says in ["{}", "[]"] {
            db.put_own_rules(&dev, says).unwrap();
        }
        drop(db);
        let db = StateDb::open(&path).unwrap();
        assert_eq!(db.own_rules(&dev).unwrap().as_deref(), Some("[]"));
        assert_eq!(db.own_rules(&prod).unwrap(), None);
    }
}
