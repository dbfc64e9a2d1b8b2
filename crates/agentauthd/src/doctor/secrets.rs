//! Where the refresh token is kept: proven by a throw-away entry, and what to do instead where there is no keychain.

use agentauth_api::SecretStoreStatus;
use agentauth_host::place::Place;
use agentauth_store::{Health, ProfileName, SecretName, SecretStore, StoreError};
use secrecy::{ExposeSecret as _, SecretString};

use super::finding::{Code, Finding};
use crate::config::{Secrets, StoreKind};

/// The other store, for machines without a keychain.
const FILE_STORE: &str =
    "set `secrets.store = \"file\"` and, where nobody can type a passphrase, `secrets.passphrase_file`";

/// What to do where the keychain cannot be used; `remedy` is the keychain's own advice.
fn advice(place: Place, remedy: &str) -> String {
    match place {
        Place::Desktop => format!("{remedy}; else {FILE_STORE}"),
        Place::Container => format!("a container has no keychain of its own: {FILE_STORE}"),
        Place::Ssh => format!(
            "over ssh no desktop login has opened a keychain: {FILE_STORE}; or log in at the desktop first"
        ),
        Place::Wsl | Place::Headless => {
            format!("without a desktop there is usually no keychain: {FILE_STORE}")
        }
    }
}

/// What is known of the store.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) place: Place,
    /// The keychain, tried from here; absent for other stores.
    pub(super) tried: Option<(&'static str, Health)>,
    /// What the daemon says of its store, if it runs.
    pub(super) daemon: Option<SecretStoreStatus>,
}

/// Whether a login can be kept.
pub(super) fn judge(secrets: &Secrets, facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    match (secrets.store, &facts.tried) {
        (StoreKind::Keychain, Some((kind, health))) => found.push(judge_keychain(kind, health, facts.place)),
        (StoreKind::Keychain, None) => {}
        (StoreKind::Memory, _) => found.push(Finding::note(
            Code::SecretsForgotten,
            "the login is kept in memory only",
            "nothing, if that is meant; else set `secrets.store`",
        )),
        (StoreKind::File, _) => match &facts.daemon {
            Some(daemon) if daemon.usable => {
                found.push(Finding::ok(Code::SecretStoreUsable, "the daemon has opened the encrypted file"))
            }
            Some(_) => {}
            None => {
                let todo = if secrets.passphrase_file.is_some() {
                    "start the daemon, and run this again"
                } else {
                    "start the daemon on a terminal, which asks for the passphrase, or set `secrets.passphrase_file`"
                };
                found.push(Finding::note(
                    Code::SecretStoreUnproven,
                    "the encrypted file was not opened",
                    todo,
                ));
            }
        },
    }
    // The daemon may live in another session than this shell, with another keychain or none.
    let here = found.iter().all(|finding| finding.severity < super::Severity::Error);
    if let Some(SecretStoreStatus { kind, usable: false, detail: Some(detail) }) = &facts.daemon
        && here
    {
        found.push(Finding::error(
            Code::SecretStoreFailing,
            format!("the daemon cannot use its {kind}: {detail}"),
            "start the daemon from the session whose keychain is open, or mend what is named",
        ));
    }
    found
}

fn judge_keychain(kind: &str, health: &Health, place: Place) -> Finding {
    match health {
        Health::Usable => Finding::ok(
            Code::SecretStoreUsable,
            format!("an entry was written to the {kind}, read back and removed"),
        ),
        Health::Locked { remedy } => {
            Finding::error(Code::KeychainLocked, format!("the {kind} is locked"), advice(place, remedy))
        }
        Health::Absent { remedy } => {
            Finding::error(Code::KeychainAbsent, format!("there is no {kind} here"), advice(place, remedy))
        }
        Health::Failing { what, remedy } => Finding::error(
            Code::SecretStoreFailing,
            format!("the {kind} does not work: {what}"),
            advice(place, remedy),
        ),
    }
}

/// Writes an entry that nobody needs, reads it back and removes it.
pub(super) async fn try_out(store: &dyn SecretStore) -> Health {
    match store.probe().await {
        Health::Usable => {}
        other => return other,
    }
    let Some(name) = throw_away() else { return Health::Usable };
    let value = SecretString::from("agentauthd doctor was here");
    let tried = async {
        store.set(&name, &value).await?;
        let back = store.get(&name).await?;
        store.remove(&name).await?;
        Ok::<_, StoreError>(back)
    };
    match tried.await {
        Ok(Some(back)) if back.expose_secret() == value.expose_secret() => Health::Usable,
        Ok(_) => Health::Failing {
            what: "it did not give back what was written".to_owned(),
            remedy: "restart the keychain's service".to_owned(),
        },
        Err(StoreError::Locked { remedy, .. }) => Health::Locked { remedy },
        Err(StoreError::Absent { remedy, .. }) => Health::Absent { remedy },
        Err(error) => Health::Failing { what: error.to_string(), remedy: error.remedy().to_owned() },
    }
}

/// No profile has this name: a profile's begins otherwise, and no other kind of secret is filed under it.
fn throw_away() -> Option<SecretName> {
    let profile: ProfileName = format!("doctor-{}", std::process::id()).parse().ok()?;
    SecretName::new(profile, "doctor_probe").ok()
}

#[cfg(test)]
mod tests {
    use agentauth_store::Memory;

    use super::*;
    use crate::doctor::Severity;

    fn secrets(store: StoreKind) -> Secrets {
        Secrets { store, passphrase_file: None }
    }

    fn judged(
        store: StoreKind,
        tried: Option<Health>,
        daemon: Option<(bool, Option<&str>)>,
    ) -> Vec<(Code, Severity)> {
        let daemon = daemon.map(|(usable, detail)| SecretStoreStatus {
            kind: "secret-service".to_owned(),
            usable,
            detail: detail.map(str::to_owned),
        });
        let tried = tried.map(|health| ("secret-service", health));
        let facts = Facts { place: Place::Desktop, tried, daemon };
        judge(&secrets(store), &facts).iter().map(|finding| (finding.id, finding.severity)).collect()
    }

    #[test]
    fn each_state_of_a_keychain_has_its_name() {
        let remedy = || "r".to_owned();
        for (health, code, severity) in [
            (Health::Usable, Code::SecretStoreUsable, Severity::Ok),
            (Health::Locked { remedy: remedy() }, Code::KeychainLocked, Severity::Error),
            (Health::Absent { remedy: remedy() }, Code::KeychainAbsent, Severity::Error),
            (
                Health::Failing { what: "w".to_owned(), remedy: remedy() },
                Code::SecretStoreFailing,
                Severity::Error,
            ),
        ] {
            assert_eq!(judged(StoreKind::Keychain, Some(health), None), [(code, severity)]);
        }
    }

    #[test]
    fn the_daemon_may_see_another_keychain() {
        let found = judged(StoreKind::Keychain, Some(Health::Usable), Some((false, Some("locked"))));
        assert_eq!(
            found,
            [(Code::SecretStoreUsable, Severity::Ok), (Code::SecretStoreFailing, Severity::Error)]
        );
        // Before it has looked, it says nothing.
        assert_eq!(judged(StoreKind::Keychain, Some(Health::Usable), Some((false, None))).len(), 1);
    }

    #[test]
    fn other_stores_are_the_daemons_to_open() {
        assert_eq!(judged(StoreKind::Memory, None, None), [(Code::SecretsForgotten, Severity::Note)]);
        assert_eq!(judged(StoreKind::File, None, None), [(Code::SecretStoreUnproven, Severity::Note)]);
        assert_eq!(
            judged(StoreKind::File, None, Some((true, None))),
            [(Code::SecretStoreUsable, Severity::Ok)]
        );
        assert_eq!(
            judged(StoreKind::File, None, Some((false, Some("wrong passphrase")))),
            [(Code::SecretStoreFailing, Severity::Error)]
        );
    }

    #[test]
    fn advice_is_for_the_place() {
        assert!(advice(Place::Desktop, "unlock it").starts_with("unlock it"));
        for place in [Place::Ssh, Place::Container, Place::Wsl, Place::Headless] {
            let advice = advice(place, "unlock it");
            assert!(advice.contains("secrets.store = \"file\"") && !advice.contains("unlock it"), "{advice}");
        }
    }

    #[tokio::test]
    async fn a_trial_leaves_nothing_behind() {
        let store = Memory::new();
        assert_eq!(try_out(&store).await, Health::Usable);
        assert!(store.get(&throw_away().unwrap()).await.unwrap().is_none());
    }
}
