//! Logging out: memory and keychain at once, the provider as well as it can be reached.

use std::time::Duration;

use agentauth_core::Clock as _;
use agentauth_core::session::RefreshHistory;
use agentauth_idp::{Chain, LogoutFailure, SignOut};
use agentauth_store::RefreshLock;
use secrecy::ExposeSecret as _;

use super::upkeep::STORE_RETRY;
use super::{Held, Keeper, StoredLogin};
use crate::daemon::record;

/// How long a logout waits for another process's refresh.
const LOGOUT_PATIENCE: Duration = Duration::from_secs(3);

/// What a logout did, and could not do.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoggedOut {
    pub(crate) was_logged_in: bool,
    pub(crate) revoked_at_provider: bool,
    pub(crate) secret_removed: bool,
    pub(crate) failures: Vec<String>,
    /// Where the person ends the sign-in that the browser may still have at the provider.
    pub(crate) sign_out_url: Option<String>,
}

impl Keeper {
    /// Removes the login from the store, then ends it at the provider, and says what did not work.
    pub(super) async fn logout(&mut self, everywhere: bool) -> LoggedOut {
        let now = self.parts.clock.now();
        let mut done = LoggedOut::default();
        // First of all the mark: should the store be out of reach, the login in it is not taken up again.
        if let Err(error) = self.with_db(move |db, profile| db.put_logout(profile, Some(now))).await {
            done.failures.push(error.to_string());
        }
        // Another process may be in the middle of a rotation; without the lock its newest token could escape.
        let lock =
            RefreshLock::acquire(&self.parts.state_directory, &self.parts.profile, LOGOUT_PATIENCE).await;
        if let Err(error) = &lock {
            done.failures.push(error.to_string());
        }
        let in_store = match self.parts.store.get(&self.name).await {
            Ok(secret) => secret.and_then(|secret| StoredLogin::from_secret(&secret).ok()),
            Err(error) => {
                done.failures.push(format!("the stored login could not be read: {error}"));
                None
            }
        };
        match self.parts.store.remove(&self.name).await {
            Ok(_) => done.secret_removed = true,
            Err(error) => done.failures.push(format!(
                "the stored login could not be removed: {error}; agentauthd will remove it as soon as the store is in \
                 reach, and does not use it"
            )),
        }
        let (in_memory, id_token) = match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Login(login) => (Some(*login.stored), login.id_token),
            Held::Nothing | Held::Unknown => (None, None),
        };
        if !done.secret_removed {
            // Look again: what could not be removed now is removed later.
            self.held = Held::Unknown;
        }
        self.plan((!done.secret_removed).then_some(now + STORE_RETRY));
        self.view.send_modify(|view| view.problem = None);
        done.was_logged_in = in_memory.is_some() || in_store.is_some();
        let user = in_memory.as_ref().or(in_store.as_ref()).map(|login| &login.user);
        if let Err(error) = self.parts.audit.append(&record::logout(user, now)) {
            done.failures.push(error.to_string());
        }
        self.end_at_provider(in_memory, in_store, everywhere, &mut done).await;
        if done.was_logged_in
            && let SignOut::Browser(address) = self.parts.provider.sign_out(id_token.as_ref()).await
        {
            done.sign_out_url = Some(address.into());
        }
        self.history = RefreshHistory::default();
        self.put_history(0, None).await;
        done
    }

    /// Tells the provider of the newest login that is known, and of an older one that the store still had.
    async fn end_at_provider(
        &self,
        in_memory: Option<StoredLogin>,
        in_store: Option<StoredLogin>,
        everywhere: bool,
        done: &mut LoggedOut,
    ) {
        let token = |login: &StoredLogin| login.refresh_token.expose_secret().to_owned();
        let mut logins: Vec<StoredLogin> = in_memory.into_iter().chain(in_store).collect();
        logins.dedup_by(|a, b| token(a) == token(b));
        for login in logins {
            if !login.belongs_to(&self.parts.profile, self.parts.provider.config()) {
                done.failures
                    .push(format!("the login of {} was removed here, but not ended there", login.realm));
                continue;
            }
            match self.parts.provider.logout(&login.refresh_token, everywhere).await {
                Ok(()) => done.revoked_at_provider = true,
                Err(error @ LogoutFailure::NotEverywhere) => {
                    done.revoked_at_provider = true;
                    done.failures.push(error.to_string());
                }
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "the login could not be ended at the provider");
                    done.failures
                        .push(format!("the provider did not confirm the end of the session: {error}"));
                }
            }
        }
    }
}
