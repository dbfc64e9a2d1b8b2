//! Passkeys, on the socket and in the rules.

use agentauth_api as api;
use agentauth_core::passkey::LONGEST_NAME;

use crate::daemon::logins::Started;
use crate::daemon::passkeys::{Known, Removed};
use crate::daemon::server::Refusal;

/// What a new passkey is to be called.
///
/// # Errors
/// A problem: a name that is too long, or could not be shown as it is.
pub(crate) fn passkey_name(request: api::PasskeyRequest) -> Result<String, Refusal> {
    let name = request.name.unwrap_or_else(|| "passkey".to_owned());
    let name = name.trim();
    if name.is_empty() || name.chars().count() > LONGEST_NAME || agentauth_core::display_safe(name) != name {
        let detail =
            format!("`name` is no name: give 1 to {LONGEST_NAME} characters that can be shown as they are");
        return Err(Refusal::new(api::ErrorCode::RequestInvalid, detail));
    }
    Ok(name.to_owned())
}

/// The login that has to confirm a new passkey.
pub(crate) fn passkey_adding(started: Started) -> api::PasskeyAdding {
    api::PasskeyAdding { login: super::login_started(started) }
}

/// The registered passkeys.
pub(crate) fn passkeys_known(known: &[Known]) -> api::PasskeyList {
    api::PasskeyList { passkeys: known.iter().map(passkey).collect() }
}

/// What removing a passkey did.
pub(crate) fn passkey_removed(done: Removed) -> api::PasskeyRemoved {
    api::PasskeyRemoved { passkey: passkey(&done.passkey), failures: done.failures }
}

fn passkey(known: &Known) -> api::PasskeyView {
    let passkey = &known.passkey;
    api::PasskeyView {
        id: known.id.to_string(),
        name: passkey.name.clone(),
        algorithm: passkey.algorithm.as_str().to_owned(),
        aaguid: passkey.aaguid.clone(),
        attestation: passkey.attestation.as_str().to_owned(),
        backup_eligible: passkey.backup_eligible,
        sign_count: known.counted,
        created_at: passkey.created_at,
    }
}
