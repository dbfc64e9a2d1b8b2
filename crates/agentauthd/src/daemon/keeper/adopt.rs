//! A finished login becomes the session.

use std::sync::Arc;

use agentauth_core::Clock as _;
use agentauth_core::claims::OriginalLogin;
use agentauth_core::session::{RefreshHistory, Session, User};
use agentauth_core::widening::Confirmed;
use agentauth_idp::{Chain, VerifiedSession};
use agentauth_store::{Pin, PinOutcome, RefreshLock};
use secrecy::SecretString;

use super::{Held, Keeper, LOCK_PATIENCE, Login, StoredLogin};
use crate::daemon::presence::{self, Sign};
use crate::daemon::record;

/// Where the person signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoginMethod {
    /// In the browser of this machine.
    Browser,
    /// On another device, with a code.
    Device,
}

impl LoginMethod {
    /// The word in the record.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Device => "device",
        }
    }

    /// What ties the sign-in to the login that asked for it: the ID token itself, which repeats the `nonce`; or no more
    /// than the daemon's word that this was the code it asked about.
    pub(crate) fn binding(self) -> &'static str {
        match self {
            Self::Browser => "nonce",
            Self::Device => "daemon",
        }
    }
}

/// A login whose tokens have been verified.
pub(crate) struct NewLogin {
    /// Where the person signed in.
    pub(crate) method: LoginMethod,
    /// How many logouts there had been when it began; see [`KeeperHandle::logouts`](super::KeeperHandle::logouts).
    pub(crate) logouts: u64,
    /// The issuer that the person signed in to.
    pub(crate) issuer: String,
    /// Who signed in.
    pub(crate) user: User,
    /// The long-lived token.
    pub(crate) refresh_token: SecretString,
    /// The signed token that carries the session, if one does.
    pub(crate) session_token: Option<SecretString>,
    /// What it says.
    pub(crate) session: VerifiedSession,
    /// The ID token, to be held against a logout.
    pub(crate) id_token: SecretString,
    /// What of it refreshed ones have to repeat.
    pub(crate) original: Option<OriginalLogin>,
}

/// That a login takes the place of another account's, which that account has confirmed.
pub(crate) struct Replacing {
    /// Whom the installation belongs to.
    pub(crate) pin: Pin,
    /// The confirmation.
    pub(crate) confirmed: Confirmed,
}

/// Why a finished login was not kept. Nothing is stored then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdoptError {
    #[error(
        "you signed in as {seen}, but this installation belongs to {pinned}: sign in as that account, hand the \
         installation over with `agentauthd login --switch`, or use another profile for this account"
    )]
    OtherAccount { seen: String, pinned: String },
    #[error("the installation has been handed over to another account meanwhile: start again")]
    Overtaken,
    #[error("another process is refreshing the login: try again in a moment")]
    Busy(#[source] agentauth_store::RefreshLockError),
    #[error("the login could not be stored: {0}")]
    Store(agentauth_store::StoreError),
    #[error("the state database could not be used: {0}")]
    State(agentauth_store::StateError),
    #[error("what your files say could not be written down as applied, so the login was not kept: {0}")]
    Rules(String),
    #[error("the login could not be recorded, so it was not kept: {0}")]
    Audit(agentauth_audit::AuditError),
    #[error("the login could not be written down for storing")]
    Form,
    #[error("a logout came while you were logging in, so the login was not kept: log in again")]
    LoggedOut,
    #[error("the daemon is stopping; log in again once it runs")]
    Stopped,
}

impl AdoptError {
    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::OtherAccount { .. } | Self::Overtaken => "other_account",
            Self::Busy(_) => "busy",
            Self::Store(_) | Self::Form => "secret_store",
            Self::State(_) | Self::Rules(_) => "state",
            Self::Audit(_) => "audit_unavailable",
            Self::LoggedOut => "logged_out",
            Self::Stopped => "shutting_down",
        }
    }
}

impl Keeper {
    /// Stores a login, pins its account if it is the first, records it, and makes it the session. One that is not
    /// kept is ended at the provider. `replacing` is there when the installation is handed over from another account.
    pub(super) async fn adopt(
        &mut self,
        new: NewLogin,
        replacing: Option<Replacing>,
    ) -> Result<User, AdoptError> {
        let provider = self.parts.provider.config();
        // Not later than the provider says: a clock that is ahead would make the login last longer.
        let now = self.parts.clock.wall();
        let logged_in_at = new.session.claims.issued_at.map_or(now, |issued| issued.min(now));
        let stored = StoredLogin {
            profile: self.parts.profile.clone(),
            realm: provider.realm().clone(),
            issuer: new.issuer,
            user: new.user,
            logged_in_at,
            original: new.original,
            refresh_token: new.refresh_token,
        };
        let signed_in_at = stored.original.as_ref().and_then(|original| original.auth_time);
        let session = Arc::new(Session {
            user: stored.user.clone(),
            rights: new.session.claims.effective(self.parts.tenant.as_deref()),
            key_id: new.session.key_id,
            confirmed_at: now,
            logged_in_at,
            limits: self.parts.limits,
            claims: new.session.claims,
        });
        if let Err(error) = self.file(&stored, &session, new.method, new.logouts, replacing.as_ref()).await {
            self.farewell(stored);
            return Err(error);
        }
        self.history = RefreshHistory::default();
        self.put_history(0, Some(now)).await;
        self.held = Held::Login(Login {
            stored: Box::new(stored),
            unstored: false,
            session_token: new.session_token,
            id_token: Some(new.id_token),
        });
        // Only what the provider says of a sign-in shows that there was one: the browser may have been remembered.
        if let Some(at) = signed_in_at {
            let now = self.parts.clock.now();
            presence::note(&self.parts.state, &self.parts.audit, at, Sign::Login, now);
        }
        let user = session.user.clone();
        if replacing.is_some() {
            self.show(|snapshot| {
                snapshot.grants.forget_logins();
            });
        }
        self.put_in_force(session, None).await;
        let health = self.parts.store.probe().await;
        self.view.send_modify(|view| {
            view.problem = None;
            view.store = Some(health);
            // Another login may have been made under other settings.
            (view.rotates, view.refresh_hint) = (None, None);
        });
        self.reached(self.parts.clock.now());
        Ok(user)
    }

    /// Everything that must have worked before a login takes effect. What worked is undone when the rest does not.
    async fn file(
        &mut self,
        stored: &StoredLogin,
        session: &Session,
        method: LoginMethod,
        logouts: u64,
        replacing: Option<&Replacing>,
    ) -> Result<(), AdoptError> {
        self.refuse_other_account(stored, replacing).await?;
        let lock = RefreshLock::acquire(&self.parts.state_directory, &self.parts.profile, LOCK_PATIENCE);
        let lock = self.unless_called_away(lock).await;
        if logouts != self.obeyed || self.is_called_away() {
            return Err(if self.stop.is_cancelled() { AdoptError::Stopped } else { AdoptError::LoggedOut });
        }
        let _lock = lock.ok_or(AdoptError::LoggedOut)?.map_err(AdoptError::Busy)?;
        let before = self.parts.store.get(&self.name).await.map_err(AdoptError::Store)?;
        let secret = stored.to_secret().map_err(|_| AdoptError::Form)?;
        // What this login replaces: the stored one, and a newer one that the store did not take. That they are to be
        // ended is written down before the new one takes their place, so that nothing of them can be forgotten.
        let unstored = match &self.held {
            Held::Login(login) if login.unstored => Some((*login.stored).clone()),
            _ => None,
        };
        let stored_before = before.as_ref().and_then(|secret| StoredLogin::from_secret(secret).ok());
        let replaced: Vec<StoredLogin> = stored_before.into_iter().chain(unstored).collect();
        self.owe(replaced.clone()).await.map_err(AdoptError::Store)?;
        let filed = match self.parts.store.set(&self.name, &secret).await {
            Ok(()) => self.pin_and_record(&stored.issuer, session, method, replacing).await,
            // It may be stored all the same.
            Err(error) => Err(AdoptError::Store(error)),
        };
        if let Err(error) = filed {
            self.restore(before).await;
            for login in &replaced {
                self.owe_no_more(login).await;
            }
            return Err(error);
        }
        self.held = Held::Unknown;
        Ok(())
    }

    async fn refuse_other_account(
        &self,
        new: &StoredLogin,
        replacing: Option<&Replacing>,
    ) -> Result<(), AdoptError> {
        let pin = self.with_db(|db, profile| db.pin(profile)).await.map_err(AdoptError::State)?;
        match (pin, replacing) {
            (Some(pin), None) if pin.issuer != new.issuer || pin.subject != new.user.subject => {
                Err(other_account(&new.user, &pin))
            }
            (pin, Some(replacing)) if pin.as_ref() != Some(&replacing.pin) => Err(AdoptError::Overtaken),
            _ => Ok(()),
        }
    }

    /// The record and the pin; what gives rights is recorded before it takes effect.
    async fn pin_and_record(
        &self,
        issuer: &str,
        session: &Session,
        method: LoginMethod,
        replacing: Option<&Replacing>,
    ) -> Result<(), AdoptError> {
        let settle = self.parts.settle.clone();
        match tokio::task::spawn_blocking(move || settle()).await {
            Ok(settled) => settled.map_err(|error| AdoptError::Rules(Chain(&error).to_string()))?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
        let now = session.confirmed_at;
        if let Some(replacing) = replacing {
            let record = record::login_switched(&session.user.subject, &replacing.confirmed, now);
            self.parts.audit.append(&record).map_err(AdoptError::Audit)?;
        }
        let record = record::login(session, issuer, method, now);
        self.parts.audit.append(&record).map_err(AdoptError::Audit)?;
        let pin = Pin {
            issuer: issuer.to_owned(),
            subject: session.user.subject.clone(),
            display_name: session.user.email.clone().or_else(|| session.user.name.clone()),
            pinned_at: now,
        };
        let replaces = replacing.is_some();
        let pinned = self.with_db(move |db, profile| {
            // Whoever logs in is not logged out any more.
            db.put_logout(profile, None)?;
            db.put_last_seen(profile, now)?;
            if replaces {
                return db.replace_pin(profile, &pin).map(|()| PinOutcome::Set);
            }
            db.set_pin_if_absent(profile, &pin)
        });
        match pinned.await.map_err(AdoptError::State)? {
            PinOutcome::Existing(pin) if pin.issuer != issuer || pin.subject != session.user.subject => {
                Err(other_account(&session.user, &pin))
            }
            PinOutcome::Set | PinOutcome::Existing(_) => Ok(()),
        }
    }

    /// Puts back what the store held before a login that failed half-way.
    async fn restore(&self, before: Option<SecretString>) {
        let restored = match before {
            Some(secret) => self.parts.store.set(&self.name, &secret).await,
            None => self.parts.store.remove(&self.name).await.map(|_| ()),
        };
        if let Err(error) = restored {
            tracing::error!(error = %Chain(&error), "a login that failed half-way cannot be removed from the store");
        }
    }
}

fn other_account(seen: &User, pinned: &Pin) -> AdoptError {
    let seen = seen.email.clone().unwrap_or_else(|| seen.subject.clone());
    AdoptError::OtherAccount {
        seen,
        pinned: pinned.display_name.clone().unwrap_or_else(|| pinned.subject.clone()),
    }
}
