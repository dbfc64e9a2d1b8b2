//! Logging out: memory and keychain at once, the provider as well as it can be reached.

use agentauth_core::session::RefreshHistory;
use agentauth_store::RefreshLock;
use secrecy::ExposeSecret as _;

use super::{Held, Keeper, LOCK_PATIENCE, StoredLogin};
use crate::daemon::chain::Chain;
use crate::daemon::record;

/// What a logout did, and could not do.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoggedOut {
    pub(crate) was_logged_in: bool,
    pub(crate) revoked_at_provider: bool,
    pub(crate) secret_removed: bool,
    pub(crate) failures: Vec<String>,
}

impl Keeper {
    /// Removes the login from the store, then ends it at the provider, and says what did not work.
    pub(super) async fn logout(&mut self, everywhere: bool) -> LoggedOut {
        let now = self.parts.clock.now();
        let mut done = LoggedOut::default();
        // Another process may be in the middle of a rotation; without the lock the newest token could escape.
        let lock =
            RefreshLock::acquire(&self.parts.state_directory, &self.parts.profile, LOCK_PATIENCE).await;
        if let Err(error) = &lock {
            done.failures.push(error.to_string());
        }
        let in_store = match self.parts.store.get(&self.name).await {
            Ok(secret) => secret.and_then(|secret| StoredLogin::from_secret(&secret).ok()),
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "the secret store cannot be read");
                None
            }
        };
        let in_memory = match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Login(login) => Some(login.stored),
            Held::Nothing | Held::Unknown => None,
        };
        done.was_logged_in = in_memory.is_some() || in_store.is_some();
        match self.parts.store.remove(&self.name).await {
            Ok(_) => done.secret_removed = true,
            Err(error) => done.failures.push(format!(
                "the stored login could not be removed: {error}; it ends at the provider if that is reached, and \
                 `agentauthd logout` can be repeated"
            )),
        }
        self.forget(None);
        if let Err(error) = self
            .parts
            .audit
            .append(&record::logout(in_memory.as_ref().or(in_store.as_ref()).map(|l| &l.user), now))
        {
            done.failures.push(error.to_string());
        }
        let differ = |a: &StoredLogin, b: &StoredLogin| {
            a.refresh_token.expose_secret() != b.refresh_token.expose_secret()
        };
        let logins = match (in_memory, in_store) {
            (Some(memory), Some(store)) if differ(&memory, &store) => vec![memory, store],
            (memory, store) => memory.or(store).into_iter().collect(),
        };
        for login in logins {
            match self.parts.provider.logout(&login.refresh_token, everywhere).await {
                Ok(()) => done.revoked_at_provider = true,
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "the login could not be ended at the provider");
                    done.failures
                        .push(format!("the provider did not confirm the end of the session: {error}"));
                }
            }
        }
        self.history = RefreshHistory::default();
        self.put_history(0, None).await;
        done
    }
}
