//! One refresh: under the lock of all processes, with the newest stored token, durable before use.

use std::sync::Arc;

use agentauth_core::session::{
    AfterFailure, OverReason, RefreshFailure, RefreshHistory, Session, SessionState, after_failure,
    next_confirmation, next_refresh, vouches_for,
};
use agentauth_core::text::display_safe;
use agentauth_core::{Clock as _, SignedDuration, Timestamp};
use agentauth_idp::{Carrier, Chain, KnownLogin, Refreshed};
use agentauth_store::{RefreshLock, RefreshRecord};
use secrecy::ExposeSecret as _;

use super::upkeep::{STORE_RETRY, Stored};
use super::{Held, Keeper, LOCK_PATIENCE};
use crate::daemon::metrics::RefreshOutcome;
use crate::daemon::record;

/// How soon a rotated token that the store refused is offered to it again.
const STORE_AGAIN: SignedDuration = SignedDuration::from_secs(2);
/// How long a fault of the configuration is left alone.
const FIX_PAUSE: SignedDuration = SignedDuration::from_mins(5);
/// How soon a session token that could not be verified is asked for anew.
const VERIFY_AGAIN: SignedDuration = SignedDuration::from_secs(30);

impl Keeper {
    /// Asks the provider for a new session token.
    pub(super) async fn refresh(&mut self) {
        let Some(_lock) = self.take_newest().await else { return };
        self.refresh_locked().await;
    }

    /// Takes the lock of all processes and reads the stored login again, since another process may have rotated it. No
    /// lock where there is nothing to ask the provider with; then it has been seen to.
    pub(super) async fn take_newest(&mut self) -> Option<RefreshLock> {
        let lock = RefreshLock::acquire(&self.parts.state_directory, &self.parts.profile, LOCK_PATIENCE);
        let lock = match self.unless_called_away(lock).await? {
            Ok(lock) => lock,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "the provider is not asked: the lock is not to be had");
                self.try_later(&error.to_string(), STORE_RETRY);
                return None;
            }
        };
        match self.unless_called_away(self.look_into_store()).await? {
            Stored::Login(stored) => {
                if let Held::Login(login) = &mut self.held {
                    login.stored = stored;
                    return Some(lock);
                }
            }
            Stored::Nothing => {
                tracing::info!("another process ended the login");
                self.forget(None);
            }
            Stored::Ended(stored) => self.finish_logout(*stored).await,
            // A refresh may rotate the token, and the new one would have nowhere to go.
            Stored::Foreign(why) | Stored::Unreadable(why) => self.try_later(&why, STORE_RETRY),
        }
        None
    }

    /// The refresh itself; the lock is held.
    pub(super) async fn refresh_locked(&mut self) {
        let Held::Login(login) = &self.held else { return };
        let token = login.stored.refresh_token.clone();
        // Until the answer is here, the database says that one is outstanding: after a crash the next attempt knows
        // that it may be the second.
        self.put_history(self.history.ambiguous.saturating_add(1), None).await;
        if self.is_called_away() || self.is_paused() {
            return self.put_history(self.history.ambiguous, None).await;
        }
        tracing::debug!("refreshing the session");
        // From here on nothing cuts it short: the answer may hold the only valid login.
        let asked_at = self.parts.clock.wall();
        match self.parts.provider.refresh(&token).await {
            Ok(refreshed) => self.refreshed(refreshed, asked_at).await,
            Err(failure) => self.not_refreshed(failure).await,
        }
    }

    /// Offers a rotated token to the store again.
    pub(super) async fn store_again(&mut self) {
        let lock = RefreshLock::acquire(&self.parts.state_directory, &self.parts.profile, LOCK_PATIENCE);
        let Some(lock) = self.unless_called_away(lock).await else { return };
        let stored = lock.is_ok() && self.store_rotated().await;
        let pause = if stored { SignedDuration::ZERO } else { STORE_AGAIN };
        self.next = Some(self.parts.clock.now() + pause);
    }

    async fn refreshed(&mut self, mut refreshed: Refreshed, asked_at: Timestamp) {
        let now = self.parts.clock.now();
        self.reached(now);
        let Held::Login(login) = &mut self.held else { return };
        if let Some(new) = refreshed.new_refresh.take()
            && new.expose_secret() != login.stored.refresh_token.expose_secret()
        {
            login.stored.refresh_token = new;
            login.unstored = true;
            self.history.rotates = true;
        }
        if !self.store_rotated().await {
            self.parts.metrics.refreshed(RefreshOutcome::Unusable);
            self.next = Some(self.parts.clock.now() + STORE_AGAIN);
            return;
        }
        self.history = self.history.succeeded(false);
        self.view.send_modify(|view| {
            view.rotates = Some(self.history.rotates);
            view.refresh_hint = refreshed.next_refresh_seconds;
        });
        self.put_history(0, Some(now)).await;
        self.activate(refreshed, asked_at).await;
    }

    /// Stores a rotated refresh token and waits until it is durable; `true` when nothing is left to store.
    pub(super) async fn store_rotated(&mut self) -> bool {
        let Held::Login(login) = &mut self.held else { return true };
        if !login.unstored {
            return true;
        }
        let Ok(secret) = login.stored.to_secret() else { return false };
        match self.parts.store.set(&self.name, &secret).await {
            Ok(()) => {
                login.unstored = false;
                self.view.send_modify(|view| view.problem = None);
                true
            }
            Err(error) => {
                tracing::error!(error = %Chain(&error), "the rotated login cannot be stored; it is held in memory");
                let problem = format!(
                    "the provider gave a new login that cannot be stored ({error}); it will be lost if agentauthd stops now"
                );
                let health = self.parts.store.probe().await;
                self.view.send_modify(|view| {
                    view.problem = Some(problem);
                    view.store = Some(health);
                });
                false
            }
        }
    }

    /// Verifies what a refresh brought, records it, and makes it the session.
    async fn activate(&mut self, refreshed: Refreshed, asked_at: Timestamp) {
        // The tokens are the provider's and new, so they are held against the clock as it stands: wherever that was
        // before.
        let now = self.parts.clock.wall();
        let Held::Login(login) = &self.held else { return };
        let stored = login.stored.clone();
        let known =
            KnownLogin { subject: &stored.user.subject, original: stored.original.as_ref(), asked_at };
        let verified = self.parts.provider.renew(&refreshed, &self.parts.keys, known, now).await;
        let verified = match verified {
            Ok(verified) => verified,
            Err(error) => {
                tracing::error!(error = %Chain(&error), "the provider's session token is refused");
                self.parts.metrics.refreshed(RefreshOutcome::Unusable);
                // Keys that are not to be had say nothing against the session in force; it stays until it ends.
                if !error.is_transient() {
                    self.set_unverified(Some(stored.user), &error.to_string());
                }
                return self.try_later(&error.to_string(), VERIFY_AGAIN);
            }
        };
        let carrier = verified.carrier;
        let session = Arc::new(Session {
            rights: verified.claims.effective(self.parts.tenant.as_deref()),
            user: stored.user,
            key_id: verified.key_id,
            confirmed_at: now,
            logged_in_at: stored.logged_in_at,
            limits: self.parts.limits,
            claims: verified.claims,
        });
        // Recorded before it takes effect: the new token may give rights that the old one did not.
        if let Err(error) = self.parts.audit.append(&record::refresh(&session, now)) {
            tracing::error!(error = %Chain(&error), "no session: the refresh cannot be recorded");
            self.parts.metrics.refreshed(RefreshOutcome::Unusable);
            self.set_unverified(Some(session.user.clone()), &error.to_string());
            return self.try_later(&error.to_string(), STORE_AGAIN);
        }
        if let Held::Login(login) = &mut self.held {
            login.session_token = match carrier {
                Carrier::AccessToken => Some(refreshed.access_token),
                Carrier::IdToken => refreshed.id_token.clone(),
                Carrier::Userinfo => None,
            };
            login.id_token = refreshed.id_token.or_else(|| login.id_token.take());
        }
        self.parts.metrics.refreshed(RefreshOutcome::Renewed);
        self.view.send_modify(|view| view.problem = None);
        self.put_in_force(session, refreshed.next_refresh_seconds).await;
    }

    /// Makes a session the one that decisions are made with, and plans what keeps it so.
    pub(super) async fn put_in_force(&mut self, session: Arc<Session>, hint: Option<u32>) {
        let vouched = vouches_for(session.claims.issued_at, session.confirmed_at);
        self.next = Some(next_refresh(&session, (self.parts.jitter)(), hint));
        self.confirm_at = next_confirmation(&self.parts.limits, session.confirmed_at, (self.parts.jitter)());
        let fresh_until = self.parts.keys.fresh_until();
        self.show(|snapshot| {
            snapshot.session = SessionState::Active(session);
            snapshot.keys_fresh_until = fresh_until;
        });
        if vouched {
            self.trust_clock().await;
        } else if self.parts.clock.wall() < self.parts.clock.now() {
            let why = "the clock was set back, and the provider's token does not show that it is right";
            self.try_later(why, VERIFY_AGAIN);
            self.confirm_at = None;
        }
    }

    async fn not_refreshed(&mut self, failure: RefreshFailure) {
        let now = self.parts.clock.now();
        let what = words(&failure);
        tracing::warn!(what, "the session was not refreshed");
        self.parts.audit.note_down(&record::refresh_failed(&what, now));
        let after = after_failure(&self.history, &failure, now, (self.parts.jitter)());
        self.history = self.history.failed(&failure);
        self.parts.metrics.refreshed(match failure {
            RefreshFailure::Over { .. } | RefreshFailure::Config { .. } => RefreshOutcome::Refused,
            RefreshFailure::Unknown { .. } => RefreshOutcome::Unanswered,
        });
        self.put_history(self.history.ambiguous, None).await;
        match after {
            AfterFailure::RetryAt(at) => {
                self.view.send_modify(|view| {
                    view.reachable = Some(false);
                    view.last_failure = Some(what);
                });
                self.next = Some(at);
            }
            AfterFailure::Fix { what } => self.try_later(&what, FIX_PAUSE),
            AfterFailure::End(why) => {
                self.reached(now);
                self.login_is_over(why).await;
            }
        }
    }

    /// The login ended: forget it here too. One that the provider knows nothing of is ended there as well.
    pub(super) async fn login_is_over(&mut self, why: OverReason) {
        tracing::warn!(?why, "the login is over");
        let now = self.parts.clock.now();
        let login = match &self.held {
            Held::Login(login) => Some((*login.stored).clone()),
            Held::Nothing | Held::Unknown => None,
        };
        // Whoever could not remove it the first time has said so already.
        let told =
            matches!(&self.parts.state.load().session, SessionState::Over { why: told, .. } if *told == why);
        self.end(why);
        if !told {
            let user = login.as_ref().map(|login| &login.user);
            self.parts.audit.note_down(&record::session_over(user, why, now));
        }
        if let Some(login) = login.filter(|_| why == OverReason::MaxAge) {
            return self.retire(login).await;
        }
        if let Err(error) = self.parts.store.remove(&self.name).await {
            tracing::warn!(error = %Chain(&error), "a login that is over cannot be removed from the store");
        }
        self.history = RefreshHistory::default();
        self.put_history(0, None).await;
    }

    pub(super) fn try_later(&mut self, why: &str, pause: SignedDuration) {
        self.next = Some(self.parts.clock.now() + pause);
        self.view.send_modify(|view| view.problem = Some(why.to_owned()));
    }

    pub(super) fn reached(&self, now: Timestamp) {
        self.view.send_modify(|view| {
            view.reachable = Some(true);
            view.last_reached_at = Some(now);
            view.last_failure = None;
        });
    }

    pub(super) async fn put_history(&self, ambiguous: u32, success: Option<Timestamp>) {
        let rotates = self.history.rotates;
        let put = self.with_db(move |db, profile| {
            let last_success = match success {
                Some(at) => Some(at),
                None => db.refresh_record(profile)?.last_success,
            };
            db.put_refresh_record(profile, &RefreshRecord { rotates, ambiguous, last_success })
        });
        if let Err(error) = put.await {
            tracing::warn!(error = %Chain(&error), "the history of refreshes cannot be kept");
        }
    }
}

/// A failure in words, for the log, the record and `status`. What the provider wrote is escaped.
pub(super) fn words(failure: &RefreshFailure) -> String {
    match failure {
        RefreshFailure::Over { code, message, .. } => {
            let code = code.as_deref().map(|code| format!(" ({})", display_safe(code))).unwrap_or_default();
            format!("the provider refused the login{code}: {}", display_safe(message))
        }
        RefreshFailure::Unknown { sent, what, .. } => {
            let sent = if *sent { "; it may have acted on the request" } else { "" };
            format!("the provider gave no usable answer: {}{sent}", display_safe(what))
        }
        RefreshFailure::Config { what } => {
            format!(
                "the provider does not know this project or client: {}; check the configuration",
                display_safe(what)
            )
        }
    }
}
