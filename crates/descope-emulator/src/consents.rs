//! What users allowed third-party clients (sheet 5.8).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One user's consent to one client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// The user id.
    pub user_id: String,
    /// The client id.
    pub client_id: String,
    /// What was allowed.
    pub scopes: Vec<String>,
    /// When.
    pub given_at: Timestamp,
    /// Until when; none: until it is revoked.
    pub expires_at: Option<Timestamp>,
}

/// Every consent in force.
#[derive(Debug, Default)]
pub(crate) struct Consents(Vec<Consent>);

impl Consents {
    /// Puts a consent in the place of an older one, whose scopes it takes over.
    pub(crate) fn give(&mut self, mut consent: Consent) {
        let same = |one: &Consent| one.user_id == consent.user_id && one.client_id == consent.client_id;
        let older: Vec<String> =
            self.0.extract_if(.., |one| same(one)).flat_map(|older| older.scopes).collect();
        consent.scopes.extend(older);
        consent.scopes.sort();
        consent.scopes.dedup();
        self.0.push(consent);
    }

    /// Takes a consent back; false when there was none.
    pub(crate) fn revoke(&mut self, user_id: &str, client_id: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|one| (one.user_id.as_str(), one.client_id.as_str()) != (user_id, client_id));
        self.0.len() < before
    }

    /// Whether the user allowed the client all of `scopes`, and still does.
    pub(crate) fn cover(&self, user_id: &str, client_id: &str, scopes: &[String], now: Timestamp) -> bool {
        self.0.iter().any(|one| {
            one.user_id == user_id
                && one.client_id == client_id
                && one.expires_at.is_none_or(|end| now < end)
                && scopes.iter().all(|scope| one.scopes.contains(scope))
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Consent> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consent_covers_what_it_names_until_it_ends() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let scopes = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let mut consents = Consents::default();
        let consent = Consent {
            user_id: "U".to_owned(),
            client_id: "C".to_owned(),
            scopes: scopes(&["a", "b"]),
            given_at: at(0),
            expires_at: Some(at(10)),
        };
        consents.give(consent.clone());
        assert!(consents.cover("U", "C", &scopes(&["a"]), at(9)));
        assert!(!consents.cover("U", "C", &scopes(&["a"]), at(10)), "expired");
        assert!(!consents.cover("U", "C", &scopes(&["a", "c"]), at(1)));
        assert!(!consents.cover("V", "C", &scopes(&["a"]), at(1)));
        consents.give(Consent { scopes: scopes(&["c"]), expires_at: None, ..consent });
        assert_eq!(consents.iter().count(), 1);
        assert!(consents.cover("U", "C", &scopes(&["a", "c"]), at(99)));
        assert!(consents.revoke("U", "C") && !consents.revoke("U", "C"));
    }
}
