//! What policies allow that nobody was asked about: each such consent is in the record before the first decision that rests
//! on it.
//!
//! The policy itself is the grant, so nothing is kept beside the record: whoever takes the policy away ends it. A consent is
//! written anew into each file of the record and by each run, so that a file tells by itself what its decisions rest on.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use agentauth_audit::AuditError;
use agentauth_core::{Decision, Effect, Snapshot, Timestamp};

use super::record::{self, Preapproved};
use super::recorder::Recorder;

/// How many consents are known to be written. Beyond that they are written once more.
const REMEMBERED: usize = 4096;

/// Which consents by policy were written.
#[derive(Default)]
pub(crate) struct Preapprovals {
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    /// The file of the record, by the number of its first record.
    file: u64,
    /// The ids of the consents in it.
    ids: HashSet<String>,
}

impl Preapprovals {
    /// Writes the consents by policy that this decision rests on, as far as they are not in the record's file yet. Where
    /// that fails, nothing may rest on them.
    pub(crate) fn write(
        &self,
        audit: &Recorder,
        decision: &Decision,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<(), AuditError> {
        for effect in &decision.effects {
            let Effect::Preapproved { agent, scope, policy } = effect else { continue };
            let manifest_digest = snapshot.agents.get(agent).map(|agent| agent.manifest_digest.as_str());
            let consent = Preapproved {
                agent,
                manifest_digest: manifest_digest.unwrap_or_default(),
                user: decision.user.as_deref(),
                scope,
                policy,
                rules: snapshot.policy.digest(),
                device: &snapshot.device.id,
            };
            let id = consent.id();
            // Held while it is written: nobody who finds it here is ahead of it.
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            let file = audit.log().first();
            if written.file != file || written.ids.len() >= REMEMBERED {
                *written = Written { file, ids: HashSet::new() };
            }
            if !written.ids.contains(&id) {
                audit.append(&record::preapproved(&consent, &id, now))?;
                written.ids.insert(id);
            }
        }
        Ok(())
    }
}
