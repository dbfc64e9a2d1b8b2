//! The administrator's policies, read anew while the daemon serves. A set that does not validate is refused as a whole, and
//! the one before stays.

use std::sync::{Arc, PoisonError};

use agentauth_core::Timestamp;
use agentauth_core::policy::{Policy, PolicyFault, PolicyFaults};
use agentauth_idp::Chain;

use super::Rights;
use crate::daemon::policies::{AdminPolicies, policy_files};
use crate::daemon::record;

/// Policies that were refused; those of before are in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefusedPolicies {
    pub(crate) at: Timestamp,
    pub(crate) faults: Vec<PolicyFault>,
}

/// What reading the policies anew came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reloaded {
    /// They say what they said.
    Same,
    /// Others are in force now.
    Changed,
    /// They have faults; those of before stay in force.
    Refused,
    /// It could not be recorded; those of before stay in force, and it has to be tried again.
    Unrecorded,
}

impl Rights {
    /// Reads the administrator's policies anew. `why` goes into the record.
    pub(crate) async fn reload_policies(&self, why: &'static str) -> Reloaded {
        let _turn = self.turn.lock().await;
        let (directory, owner) = self.admin_policies.clone();
        let in_force = self.administrators();
        let own = self.own_rules.lock().unwrap_or_else(PoisonError::into_inner).rules.policies.clone();
        let own_directory = self.policies_dir.clone();
        let snapshot = self.state.load_full();
        let reading = move || {
            let admin = AdminPolicies::read(&directory, owner);
            if admin == *in_force {
                return Ok(None);
            }
            let files = policy_files(&admin, &own_directory, &own);
            match Policy::load_applied(&files, &snapshot.catalogue, snapshot.agents.action_names()) {
                Ok(policy) if admin.faults.is_empty() => Ok(Some((admin, files, policy))),
                Ok(_) => Err(admin.faults),
                Err(PolicyFaults(more)) => Err(admin.faults.into_iter().chain(more).collect()),
            }
        };
        let read = match tokio::task::spawn_blocking(reading).await {
            Ok(read) => read,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        match read {
            Ok(None) => {
                self.refused(None);
                Reloaded::Same
            }
            Ok(Some((admin, files, policy))) => {
                let sources = files.iter().map(|file| file.name.clone());
                let sources: Vec<String> = sources.chain(self.domains.names()).collect();
                let event = record::policy_loaded(&sources, &policy, why, self.clock.now());
                // What could not be recorded may give rights that nobody could tell of.
                if let Err(error) = self.audit.append(&event) {
                    tracing::error!(error = %Chain(&error), "changed policies are not in force: they cannot be recorded");
                    return Reloaded::Unrecorded;
                }
                tracing::info!(policies = policy.len(), digest = policy.digest(), why, "policies loaded");
                *self.policies.write().unwrap_or_else(PoisonError::into_inner) = files;
                *self.administrators.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(admin);
                self.state.change(|snapshot| snapshot.policy = Arc::new(policy));
                self.refused(None);
                Reloaded::Changed
            }
            Err(faults) => {
                for fault in &faults {
                    tracing::error!(%fault, "changed policies are refused, those of before stay in force");
                }
                let now = self.clock.now();
                if self.refused_policies().is_none_or(|before| before.faults != faults) {
                    self.audit.note_down(&record::policy_refused(&faults, why, now));
                }
                self.refused(Some(RefusedPolicies { at: now, faults }));
                Reloaded::Refused
            }
        }
    }

    /// The newest policies, where they were refused.
    pub(crate) fn refused_policies(&self) -> Option<RefusedPolicies> {
        self.refused_policies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The administrator's policies that are in force.
    pub(super) fn administrators(&self) -> Arc<AdminPolicies> {
        self.administrators.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn refused(&self, refused: Option<RefusedPolicies>) {
        *self.refused_policies.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }
}
