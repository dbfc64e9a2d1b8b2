//! The pause: a person locks everything, and later unlocks it.
//!
//! Locking takes rights away, so it takes effect first and is written down after. Unlocking gives them back, so it is
//! recorded first; and nothing is allowed by it until the provider has confirmed the session anew.

use std::sync::Arc;

use agentauth_audit::{AuditError, Event};
use agentauth_core::caller::CallerFacts;
use agentauth_core::session::SessionState;
use agentauth_core::{Clock, Timestamp};
use agentauth_idp::Chain;
use agentauth_store::{ProfileName, StateDb, StateError};
use tokio::sync::Mutex;

use super::keeper::KeeperHandle;
use super::record;
use super::recorder::Recorder;
use super::state::State;

/// Pauses everything, and lets it go on.
pub(crate) struct Pause {
    pub(crate) state: Arc<State>,
    pub(crate) db: Arc<StateDb>,
    pub(crate) profile: ProfileName,
    pub(crate) audit: Recorder,
    pub(crate) clock: Arc<dyn Clock>,
    /// Absent where no project is configured.
    pub(crate) keeper: Option<KeeperHandle>,
    /// Lock and unlock take turns, so that what is written and what holds are the same.
    pub(crate) turn: Mutex<()>,
}

/// What a lock did, and could not do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paused {
    pub(crate) was_locked: bool,
    /// What could not be done. The pause holds all the same.
    pub(crate) failures: Vec<String>,
}

/// Why the pause goes on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StillPaused {
    #[error("the end of the pause could not be recorded, so everything stays paused")]
    Audit(#[source] AuditError),
    #[error("the mark of the pause could not be removed, so everything stays paused")]
    State(#[source] StateError),
}

impl StillPaused {
    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Audit(_) => "audit_unavailable",
            Self::State(_) => "state",
        }
    }
}

impl Pause {
    /// Denies everything from now on, across restarts too.
    pub(crate) async fn lock(&self, caller: &CallerFacts) -> Paused {
        // At once, whoever else is busy here.
        let mut was_locked = false;
        self.state.change(|snapshot| was_locked = std::mem::replace(&mut snapshot.locked, true));
        let _turn = self.turn.lock().await;
        // An unlock may have had its turn in between; this is the newer word.
        self.state.change(|snapshot| snapshot.locked = true);
        let now = self.clock.now();
        let mut failures = Vec::new();
        if let Err(error) = self.mark(Some(now)).await {
            tracing::error!(error = %Chain(&error), "the pause would not survive a restart");
            failures.push(format!("everything is paused, but not beyond a restart of agentauthd: {error}"));
        }
        if let Err(error) = self.audit.append(&record::lock(caller, now)) {
            failures.push(error.to_string());
        }
        tracing::info!(pid = caller.process.pid, "everything is paused");
        Paused { was_locked, failures }
    }

    /// Ends the pause; `record` says by whose word. Whether there was one.
    pub(crate) async fn unlock(&self, record: &Event<'_>) -> Result<bool, StillPaused> {
        let _turn = self.turn.lock().await;
        if !self.state.load().locked {
            return Ok(false);
        }
        self.audit.append(record).map_err(StillPaused::Audit)?;
        self.mark(None).await.map_err(StillPaused::State)?;
        let since = self.clock.now();
        self.state.change(|snapshot| {
            snapshot.locked = false;
            if let SessionState::Active(session) = &snapshot.session {
                let why = "the provider has not confirmed the session since the pause".to_owned();
                snapshot.session = SessionState::Unverified { user: Some(session.user.clone()), since, why };
            }
        });
        tracing::info!("the pause has ended");
        if let Some(keeper) = &self.keeper {
            keeper.ask_now().await;
        }
        Ok(true)
    }

    async fn mark(&self, at: Option<Timestamp>) -> Result<(), StateError> {
        let (db, profile) = (self.db.clone(), self.profile.clone());
        match tokio::task::spawn_blocking(move || db.put_lock(&profile, at)).await {
            Ok(outcome) => outcome,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}
