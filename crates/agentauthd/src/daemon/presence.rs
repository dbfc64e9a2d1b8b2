//! When the person was seen last. What a person allowed for long counts by it, so it is recorded before it counts.

use agentauth_core::Timestamp;
use agentauth_idp::Chain;

use super::record;
use super::recorder::Recorder;
use super::state::State;

/// By what the person was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// A login.
    Login,
    /// A fresh sign-in that confirms something.
    Reauth,
    /// A passkey that confirms something: its authenticator verified the person.
    Passkey,
}

impl Sign {
    /// The word in the record.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Reauth => "reauth",
            Self::Passkey => "passkey",
        }
    }
}

/// The person was seen at `at`, by the clock of whoever saw it. What cannot be recorded does not count.
pub(crate) fn note(state: &State, audit: &Recorder, at: Timestamp, sign: Sign, now: Timestamp) {
    let mut presence = state.load().presence;
    let Some(seen) = presence.note(at, now).then_some(presence.seen).flatten() else { return };
    if let Err(error) = audit.append(&record::person_seen(seen, sign, now)) {
        tracing::error!(error = %Chain(&error), "that the person was there could not be recorded, so it does not count");
        return;
    }
    state.change(|snapshot| {
        snapshot.presence.note(seen, now);
    });
}
