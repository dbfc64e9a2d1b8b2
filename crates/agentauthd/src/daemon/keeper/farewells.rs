//! Farewells that are owed: logins that are not used any more, and that the provider has not been told of yet. They stay
//! in the secret store, under a name of their own, until it has been told, so that a daemon that is killed in between
//! leaves no login alive.

use agentauth_core::{Clock as _, SignedDuration};
use agentauth_idp::Chain;
use agentauth_store::{RefreshLock, SecretName, StoreError};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::upkeep::STORE_RETRY;
use super::{Held, Keeper, LOCK_PATIENCE, StoredLogin};
use crate::daemon::record;

/// How often the provider is told of one login before that is given up.
const TRIES: u32 = 10;
/// The most logins that are remembered; an older one makes room.
const MOST: usize = 8;
/// How long the first pause between two tries is; each further one is twice as long.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(30);
/// The longest such pause.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(6);

/// A login that has to be ended at the provider.
pub(super) struct Owed {
    pub(super) login: StoredLogin,
    pub(super) tries: u32,
}

/// The stored form: each login as it stands in the store itself.
#[derive(Serialize, Deserialize)]
struct Form<'a> {
    version: u32,
    #[serde(borrow)]
    owed: Vec<OwedForm<'a>>,
}

#[derive(Serialize, Deserialize)]
struct OwedForm<'a> {
    tries: u32,
    #[serde(borrow)]
    login: std::borrow::Cow<'a, str>,
}

const VERSION: u32 = 1;

impl Keeper {
    /// Writes down that these logins are to be ended at the provider. Who calls this holds the lock of all processes, or
    /// has waited for it in vain.
    pub(super) async fn owe(&mut self, logins: Vec<StoredLogin>) -> Result<(), StoreError> {
        let new: Vec<StoredLogin> = logins.into_iter().filter(|login| self.is_ours(login)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let mut owed = self.owed().await?;
        for login in new {
            if !owed.iter().any(|known| is_same(&known.login, &login)) {
                owed.push(Owed { login, tries: 0 });
            }
        }
        while owed.len() > MOST {
            let oldest = owed.remove(0);
            self.give_up(&oldest.login);
        }
        self.put_owed(&owed).await?;
        self.farewell_at = Some(self.parts.clock.now());
        Ok(())
    }

    /// Takes back that a login is to be ended: it is used on.
    pub(super) async fn owe_no_more(&mut self, login: &StoredLogin) {
        let outcome = async {
            let mut owed = self.owed().await?;
            owed.retain(|known| !is_same(&known.login, login));
            self.put_owed(&owed).await
        };
        if let Err(error) = outcome.await {
            tracing::warn!(error = %Chain(&error), "a login that is used on may be ended at the provider");
        }
    }

    /// Tells the provider of every login that it has not been told of, once.
    pub(super) async fn say_farewells(&mut self) {
        let now = self.parts.clock.now();
        self.farewell_at = None;
        let lock = RefreshLock::acquire(&self.parts.state_directory, &self.parts.profile, LOCK_PATIENCE);
        let Some(lock) = self.unless_called_away(lock).await else {
            self.farewell_at = Some(now);
            return;
        };
        let owed = match self.owed().await {
            Ok(owed) if lock.is_ok() => owed,
            _ => {
                self.farewell_at = Some(now + STORE_RETRY);
                return;
            }
        };
        // What another provider is owed waits until that one is configured again: it is sent nowhere else.
        let (owed, others): (Vec<Owed>, Vec<Owed>) =
            owed.into_iter().partition(|owed| self.is_ours(&owed.login));
        if owed.is_empty() {
            return;
        }
        let mut left = Vec::new();
        for Owed { login, tries } in owed {
            if self.is_in_use(&login) {
                continue;
            }
            match self.unless_called_away(self.parts.provider.logout(&login.refresh_token, false)).await {
                Some(Ok(())) => tracing::info!("a login that is not used any more was ended at the provider"),
                Some(Err(error)) if error.is_final() => {
                    tracing::info!(error = %Chain(&error), "the provider knows nothing of a login that is not used any more");
                }
                Some(Err(error)) if tries + 1 >= TRIES => {
                    tracing::warn!(error = %Chain(&error), "a login that is not used any more stays alive at the provider");
                    self.give_up(&login);
                }
                Some(Err(error)) => {
                    tracing::info!(error = %Chain(&error), "a login could not be ended at the provider; tried again later");
                    left.push(Owed { login, tries: tries + 1 });
                }
                None => left.push(Owed { login, tries }),
            }
        }
        if let Some(fewest) = left.iter().map(|owed| owed.tries).min() {
            let pause = FIRST_PAUSE.saturating_mul(1 << fewest.min(10)).min(LONGEST_PAUSE);
            self.farewell_at = Some(now + pause);
        }
        left.extend(others);
        if let Err(error) = self.put_owed(&left).await {
            tracing::warn!(error = %Chain(&error), "the store does not take what is left to be ended at the provider");
            self.farewell_at = Some(now + STORE_RETRY);
        }
    }

    /// Takes the login out of use for good: out of the store, and ended at the provider, now or later.
    pub(super) async fn retire(&mut self, login: StoredLogin) {
        let now = self.parts.clock.now();
        // Another process may be in the middle of a rotation; without the lock its newest token could escape.
        let lock = RefreshLock::acquire(&self.parts.state_directory, &self.parts.profile, LOCK_PATIENCE);
        let lock = self.unless_called_away(lock).await;
        let stored = self.parts.store.get(&self.name).await.ok().flatten();
        let stored = stored.and_then(|secret| StoredLogin::from_secret(&secret).ok());
        let done = async {
            self.owe(stored.into_iter().chain([login]).collect()).await?;
            self.parts.store.remove(&self.name).await
        };
        if let Err(error) = done.await {
            tracing::warn!(error = %Chain(&error), "a login that is over cannot be removed from the store yet");
            self.held = Held::Unknown;
            self.next = Some(now + STORE_RETRY);
        }
        drop(lock);
        self.history = agentauth_core::session::RefreshHistory::default();
        self.put_history(0, None).await;
    }

    fn is_ours(&self, login: &StoredLogin) -> bool {
        login.belongs_to(&self.parts.profile, self.parts.provider.config())
    }

    fn is_in_use(&self, login: &StoredLogin) -> bool {
        matches!(&self.held, Held::Login(held) if is_same(&held.stored, login))
    }

    fn give_up(&self, login: &StoredLogin) {
        self.parts.audit.note_down(&record::login_not_ended(&login.user, self.parts.clock.now()));
    }

    async fn owed(&self) -> Result<Vec<Owed>, StoreError> {
        let name = SecretName::farewells(self.parts.profile.clone());
        let Some(secret) = self.parts.store.get(&name).await? else { return Ok(Vec::new()) };
        Ok(read(&secret).unwrap_or_else(|| {
            tracing::warn!("what is left to be ended at the provider is not readable; it is forgotten");
            Vec::new()
        }))
    }

    async fn put_owed(&self, owed: &[Owed]) -> Result<(), StoreError> {
        let name = SecretName::farewells(self.parts.profile.clone());
        match write(owed) {
            Some(secret) => self.parts.store.set(&name, &secret).await,
            None => self.parts.store.remove(&name).await.map(drop),
        }
    }
}

fn is_same(one: &StoredLogin, other: &StoredLogin) -> bool {
    one.refresh_token.expose_secret() == other.refresh_token.expose_secret()
}

fn read(secret: &SecretString) -> Option<Vec<Owed>> {
    // The parser's own message could quote a token.
    let form: Form<'_> = serde_json::from_str(secret.expose_secret()).ok()?;
    if form.version != VERSION {
        return None;
    }
    let login = |text: &str| StoredLogin::from_secret(&SecretString::from(text)).ok();
    let owed = |form: &OwedForm<'_>| Some(Owed { login: login(&form.login)?, tries: form.tries });
    Some(form.owed.iter().filter_map(owed).collect())
}

/// The text to store; nothing where nothing is owed.
pub(super) fn write(owed: &[Owed]) -> Option<SecretString> {
    let logins: Vec<(u32, SecretString)> =
        owed.iter().filter_map(|owed| Some((owed.tries, owed.login.to_secret().ok()?))).collect();
    if logins.is_empty() {
        return None;
    }
    let owed = logins
        .iter()
        .map(|(tries, login)| OwedForm { tries: *tries, login: login.expose_secret().into() })
        .collect();
    serde_json::to_string(&Form { version: VERSION, owed }).ok().map(SecretString::from)
}

#[cfg(test)]
mod tests {
    use agentauth_core::Timestamp;
    use agentauth_core::session::User;

    use super::*;

    fn owed(token: &str, tries: u32) -> Owed {
        let login = StoredLogin {
            profile: "dev".parse().unwrap(),
            realm: agentauth_idp::Realm::Descope {
                project_id: "P1".into(),
                base_url: "https://api.descope.com/".into(),
            },
            original: None,
            issuer: "https://api.descope.com/P1".into(),
            user: User { subject: "U1".into(), name: Some("Zoë \"Z\"".into()), email: None },
            logged_in_at: Timestamp::from_second(1_700_000_000).unwrap(),
            refresh_token: SecretString::from(token),
        };
        Owed { login, tries }
    }

    #[test]
    fn what_is_owed_reads_back_and_nothing_is_no_entry() {
        let secret = write(&[owed("r.1", 0), owed("r.2", 3)]).unwrap();
        let read = read(&secret).unwrap();
        let seen: Vec<_> =
            read.iter().map(|owed| (owed.login.refresh_token.expose_secret(), owed.tries)).collect();
        assert_eq!(seen, [("r.1", 0), ("r.2", 3)]);
        assert!(write(&[]).is_none());
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        for text in ["", "{}", "[]", r#"{"version":2,"owed":[]}"#] {
            assert!(read(&SecretString::from(text)).is_none(), "{text}");
        }
        let broken = r#"{"version":1,"owed":[{"tries":0,"login":"{}"}]}"#;
        assert!(read(&SecretString::from(broken)).unwrap().is_empty());
    }
}
