//! What the keeper looks after between refreshes: the stored login, the session's end, the provider's keys.

use agentauth_core::session::{OverReason, SessionState};
use agentauth_core::{Clock as _, SignedDuration, Timestamp};
use agentauth_idp::{Chain, KeyError};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Held, Keeper, Login, StoredLogin};
use crate::daemon::record;

/// How long a store that cannot be read is left alone.
pub(super) const STORE_RETRY: SignedDuration = SignedDuration::from_secs(15);

/// What the store holds.
pub(super) enum Stored {
    Login(Box<StoredLogin>),
    Nothing,
    /// A login that the person ended while the store could not be reached.
    Ended(Box<StoredLogin>),
    /// Something that is not used, and why.
    Foreign(String),
    /// The store cannot be read now, and why.
    Unreadable(String),
}

impl Keeper {
    /// Takes up the login from the store, at the start and for as long as the store cannot be read.
    pub(super) async fn read_store(&mut self) {
        let Some(stored) = self.unless_called_away(self.look_into_store()).await else { return };
        match stored {
            Stored::Login(stored)
                if self.parts.limits.is_too_old(stored.logged_in_at, self.parts.clock.now()) =>
            {
                self.held =
                    Held::Login(Login { stored, unstored: false, session_token: None, id_token: None });
                self.login_is_over(OverReason::MaxAge).await;
            }
            Stored::Login(stored) => {
                let why = "the provider has not confirmed the stored login since agentauthd started";
                self.set_unverified(Some(stored.user.clone()), why);
                let resumed = record::session_resumed(&stored.user, self.parts.clock.now());
                self.parts.audit.note_down(&resumed);
                self.held =
                    Held::Login(Login { stored, unstored: false, session_token: None, id_token: None });
                self.next = Some(self.parts.clock.now());
                self.confirm_at = None;
                self.view.send_modify(|view| view.problem = None);
            }
            Stored::Nothing => self.forget(None),
            Stored::Ended(stored) => self.finish_logout(*stored).await,
            Stored::Foreign(problem) => self.forget(Some(problem)),
            Stored::Unreadable(problem) => {
                // Whoever logged out stays logged out, whatever the store may still hold.
                let ended = self.with_db(|db, profile| db.is_logged_out(profile)).await.unwrap_or(false);
                if ended {
                    self.show(|snapshot| snapshot.session = SessionState::LoggedOut);
                } else {
                    self.set_unverified(None, &problem);
                }
                self.view.send_modify(|view| view.problem = Some(problem));
                self.next = Some(self.parts.clock.now() + STORE_RETRY);
            }
        }
    }

    /// Reads the store, and refuses a login that is not this installation's, or not this provider's.
    pub(super) async fn look_into_store(&self) -> Stored {
        let answer = self.parts.store.get(&self.name).await;
        let health = self.parts.store.probe().await;
        self.view.send_modify(|view| view.store = Some(health));
        let secret = match answer {
            Ok(Some(secret)) => secret,
            Ok(None) => return Stored::Nothing,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "the secret store cannot be read");
                return Stored::Unreadable(error.to_string());
            }
        };
        let stored = match StoredLogin::from_secret(&secret) {
            Ok(stored) => Box::new(stored),
            Err(error) => return Stored::Foreign(error.to_string()),
        };
        if !stored.belongs_to(&self.parts.profile, self.parts.provider.config()) {
            // It is sent nowhere: another base URL must not be given the token.
            return Stored::Foreign(format!(
                "the stored login belongs to {}, of the profile `{}`, not to the configured provider: log in again, or \
                 configure that provider",
                stored.realm, stored.profile
            ));
        }
        let looked_up = self.with_db(|db, profile| Ok((db.pin(profile)?, db.is_logged_out(profile)?))).await;
        match looked_up {
            Ok((_, true)) => Stored::Ended(stored),
            Ok((Some(pin), _)) if pin.subject == stored.user.subject && pin.issuer == stored.issuer => {
                Stored::Login(stored)
            }
            Ok(_) => Stored::Foreign(
                "the stored login is not of the account that this installation belongs to: log in again"
                    .to_owned(),
            ),
            Err(error) => Stored::Unreadable(error.to_string()),
        }
    }

    /// Carries out what a logout could not: the store is in reach again.
    pub(super) async fn finish_logout(&mut self, stored: StoredLogin) {
        tracing::info!("a login that was ended while the secret store was out of reach is removed now");
        let removed = self.parts.store.remove(&self.name).await;
        self.farewell(stored);
        self.forget(None);
        if let Err(error) = removed {
            tracing::warn!(error = %Chain(&error), "it could not be removed");
            self.view.send_modify(|view| view.problem = Some(error.to_string()));
            self.held = Held::Unknown;
            self.next = Some(self.parts.clock.now() + STORE_RETRY);
        }
    }

    /// A session token that ran out is no session: decisions must not wait for the refresh to say so.
    pub(super) fn end_expired_session(&self) {
        let now = self.parts.clock.now();
        let expired =
            |session: &SessionState| matches!(session, SessionState::Active(s) if s.claims.expires_at <= now);
        if expired(&self.parts.state.load().session) {
            let why = "the session token ran out and the provider has not given a new one yet";
            self.set_unverified(self.user(), why);
        }
    }

    /// A login that has reached the age that the configuration allows is over, whatever the provider would say.
    pub(super) async fn end_login_of_full_age(&mut self) {
        let Held::Login(login) = &self.held else { return };
        let now = self.parts.clock.now();
        if self.parts.limits.is_too_old(login.stored.logged_in_at, now) && !self.is_called_away() {
            self.login_is_over(OverReason::MaxAge).await;
        }
    }

    /// Fetches the keys when they are due, and holds the session token against each new set.
    pub(super) async fn keep_keys_fresh(&mut self) {
        // What has just been fetched is as old as the wall clock says.
        let now = self.parts.clock.wall();
        match self.unless_called_away(self.parts.keys.refresh_if_due(now)).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::warn!(error = %Chain(&error), "the provider's keys could not be fetched");
                let what = Chain(&error).to_string();
                // Once for each time that they cannot be had.
                if !std::mem::replace(&mut self.keys_refused, true) {
                    self.parts.audit.note_down(&record::keys_refused(&what, self.parts.clock.now()));
                }
                self.view.send_modify(|view| view.last_failure = Some(what));
            }
            None => return,
        }
        let fetched_at = self.parts.keys.fetched_at();
        if fetched_at == self.keys_seen {
            return;
        }
        self.keys_seen = fetched_at;
        self.tell_keys();
        let fresh_until = self.parts.keys.fresh_until();
        self.show(|snapshot| snapshot.keys_fresh_until = fresh_until);
        if let Held::Login(Login { session_token: Some(token), .. }) = &self.held
            && self.is_withdrawn(token, now)
        {
            self.set_unverified(self.user(), "the provider withdrew the key that signed the session");
            self.next = Some(now);
        }
    }

    /// Records which keys the provider publishes from now on, where they are others than before.
    fn tell_keys(&mut self) {
        self.keys_refused = false;
        let told = std::mem::replace(&mut self.keys_told, self.parts.keys.ids());
        let ids = &self.keys_told;
        let only = |of: &'_ [String], other: &[String]| -> Vec<String> {
            of.iter().filter(|id| !other.contains(id)).cloned().collect()
        };
        let (added, removed) = (only(ids, &told), only(&told, ids));
        if !added.is_empty() || !removed.is_empty() {
            self.parts.audit.note_down(&record::keys_loaded(&added, &removed, self.parts.clock.now()));
        }
    }

    /// Whether the provider no longer publishes the key behind a token that it has signed.
    fn is_withdrawn(&self, token: &SecretString, now: Timestamp) -> bool {
        matches!(self.parts.keys.verify_at_hand(token.expose_secret(), now), Err(KeyError::Signature(_)))
    }
}
