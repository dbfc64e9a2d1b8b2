//! The user's service manager, which stands above most of what the user runs and may hide what it is.

use std::sync::{Mutex, PoisonError};

use agentauth_core::{Clock, SignedDuration, Timestamp};
use agentauth_host::manager;
use agentauth_idp::Chain;
use agentauth_ipc::{Identity, ProcessFacts};

/// How often the system's manager is asked at most: who makes it be asked is any process of the user's that hides.
const PAUSE: SignedDuration = SignedDuration::from_secs(2);

/// Knows the process of the user's service manager, as far as it was needed.
#[derive(Debug, Default)]
pub(crate) struct Manager {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Its process, by number and start time.
    process: Option<(u32, u64)>,
    asked_at: Option<Timestamp>,
}

impl Manager {
    /// Whether this is the service manager's process.
    pub(crate) fn is(&self, pid: u32, start_time: u64) -> bool {
        self.lock().process == Some((pid, start_time))
    }

    /// Asks the system for the manager where one of these ancestors may be it and nobody knows. Its process id, to be held
    /// against what is read of the ancestors after this; nothing where there is nothing to be learned.
    pub(crate) async fn ask(&self, identity: &Identity, clock: &dyn Clock) -> Option<u32> {
        let uid = identity.process.uid;
        let may_be =
            identity.ancestors.iter().zip(identity.ancestors.iter().skip(1)).any(|(ancestor, parent)| {
                parent.pid == 1
                    && ancestor.uid == uid
                    && ancestor.executable.is_none()
                    && !self.is(ancestor.pid, ancestor.start_time)
            });
        if !may_be || !self.may_ask(clock.now()) {
            return None;
        }
        match manager::of_user(uid).await {
            Ok(process) => process,
            Err(error) => {
                tracing::debug!(error = %Chain(&error), "the user's service manager is not known");
                None
            }
        }
    }

    /// Takes note of the manager: the ancestor of this number, as it was seen after the answer.
    pub(crate) fn learn(&self, pid: u32, identity: &Identity) {
        if let Some(ProcessFacts { start_time, .. }) =
            identity.ancestors.iter().find(|ancestor| ancestor.pid == pid)
        {
            self.lock().process = Some((pid, *start_time));
        }
    }

    fn may_ask(&self, now: Timestamp) -> bool {
        let mut known = self.lock();
        let may = known.asked_at.is_none_or(|at| now.duration_since(at) >= PAUSE || now < at);
        if may {
            known.asked_at = Some(now);
        }
        may
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
