//! The periodic question to the provider whether the session still stands, where the configuration wants one.
//!
//! It rotates nothing where the provider has a way to ask without; it never runs beside a refresh, here or in another
//! process. While no answer comes, the session counts until its confirmation is overdue, and no longer.

use std::sync::Arc;

use agentauth_core::Clock as _;
use agentauth_core::session::{
    AfterFailure, RefreshFailure, Session, SessionState, after_unconfirmed, next_confirmation,
};
use agentauth_idp::Confirmation;

use super::{Held, Keeper};
use crate::daemon::record;

impl Keeper {
    /// Asks the provider whether the session stands.
    pub(super) async fn confirm(&mut self) {
        let Some(_lock) = self.take_newest().await else {
            // What stands in the way has planned the next step; the confirmation goes with it.
            self.confirm_at = self.next;
            return;
        };
        let Held::Login(login) = &self.held else { return };
        let (refresh_token, session_token) =
            (login.stored.refresh_token.clone(), login.session_token.clone());
        if self.is_paused() {
            return;
        }
        // Nothing is rotated, so an answer that is not waited for is no loss.
        let asked = self.parts.provider.confirm(&refresh_token, session_token.as_ref());
        let Some(answer) = self.unless_called_away(asked).await else { return };
        match answer {
            Ok(Confirmation::Stands { subject }) => self.confirmed(&subject).await,
            Ok(Confirmation::OnlyByRefresh) => self.refresh_locked().await,
            Err(failure) => self.not_confirmed(failure).await,
        }
    }

    async fn confirmed(&mut self, subject: &str) {
        let (now, wall) = (self.parts.clock.now(), self.parts.clock.wall());
        self.reached(now);
        self.history.failures = 0;
        let Some(user) = self.user() else { return };
        if user.subject != subject {
            let failure = RefreshFailure::Over {
                code: None,
                message: "the provider takes the login for another account's".to_owned(),
                revoked: true,
            };
            return self.not_confirmed(failure).await;
        }
        let SessionState::Active(before) = self.parts.state.load().session.clone() else {
            // The session token has run out; only a refresh brings another.
            self.next = Some(now);
            self.confirm_at = None;
            return;
        };
        let session = Session { confirmed_at: wall, ..Session::clone(&before) };
        self.parts.audit.note_down(&record::session_confirmed(&session, now));
        self.confirm_at = next_confirmation(&self.parts.limits, wall, (self.parts.jitter)());
        let session = Arc::new(session);
        self.show(|snapshot| snapshot.session = SessionState::Active(session));
    }

    async fn not_confirmed(&mut self, failure: RefreshFailure) {
        let now = self.parts.clock.now();
        let what = super::refresh::words(&failure);
        tracing::warn!(what, "the session was not confirmed");
        self.parts.audit.note_down(&record::refresh_failed(&what, now));
        match after_unconfirmed(&self.history, &failure, now, (self.parts.jitter)()) {
            AfterFailure::RetryAt(at) => {
                self.history.failures = self.history.failures.saturating_add(1);
                self.view.send_modify(|view| {
                    view.reachable = Some(false);
                    view.last_failure = Some(what);
                });
                self.confirm_at = Some(at);
            }
            AfterFailure::Fix { what } => {
                // This way of asking does not work here; a refresh may.
                self.view.send_modify(|view| view.problem = Some(what));
                self.next = Some(now);
                self.confirm_at = None;
            }
            AfterFailure::End(why) => {
                self.reached(now);
                self.login_is_over(why).await;
            }
        }
    }
}
