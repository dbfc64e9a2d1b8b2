//! What a person registered and granted at an earlier time: rows in the state database, and the records that bear them
//! out.

use std::path::Path;

use agentauth_audit::{AuditLog, Event, Kind};
use agentauth_core::agent::Registration;
use agentauth_core::grant::Grant;
use agentauth_store::{ProfileName, RightsChange, StateDb};
use serde_json::json;

/// At most this many grants are named in one record.
const GRANTS_PER_RECORD: usize = 256;

/// Writes both into the state directory of a profile whose daemon does not run.
pub fn put(state: &Path, profile: &str, registrations: &[Registration], grants: &[Grant]) {
    let profile: ProfileName = profile.parse().unwrap();
    agentauth_store::private_directory(state).unwrap();
    agentauth_store::claim_directory(state, &profile).unwrap();
    let now = jiff::Timestamp::now();
    let log = AuditLog::open(&state.join("audit"), now).unwrap();
    for registration in registrations {
        let mut event = Event::new(Kind::AgentRegistered, now);
        let details = json!({"agent": registration.manifest.name, "registration": registration.digest()});
        event.details = details.as_object().unwrap().clone();
        log.append(&event).unwrap();
    }
    for grants in grants.chunks(GRANTS_PER_RECORD) {
        let mut event = Event::new(Kind::GrantAdded, now);
        event.grants = grants.iter().map(|grant| (&*grant.id).into()).collect();
        log.append(&event).unwrap();
    }
    let row = |registration: &Registration| (registration.manifest.name.clone(), registration.to_json());
    let change = RightsChange {
        agents_in: registrations.iter().map(row).collect(),
        grants_in: grants.iter().map(|grant| (grant.id.to_string(), grant.to_json())).collect(),
        ..RightsChange::default()
    };
    StateDb::open(&state.join("state.db")).unwrap().change_rights(&profile, &change).unwrap();
}
