//! Passkeys: what may confirm an operation in place of a sign-in.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::LoginStarted;

/// `POST /v1/passkeys`: register a passkey.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasskeyRequest {
    /// What to call it, at most 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The answer to `POST /v1/passkeys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasskeyAdding {
    /// The login that has to confirm it; the browser that signs in goes on to the page that makes the passkey.
    pub login: LoginStarted,
}

/// `GET /v1/passkeys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasskeyList {
    /// The registered passkeys, the oldest first.
    pub passkeys: Vec<PasskeyView>,
}

/// A registered passkey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasskeyView {
    /// Its id.
    pub id: String,
    /// What the person calls it.
    pub name: String,
    /// What it signs with: `ES256`, `EdDSA` or `RS256`.
    pub algorithm: String,
    /// The model that it says to be.
    pub aaguid: String,
    /// What shows that it is that model: `claimed`, `self_made` or `vouched`.
    pub attestation: String,
    /// Whether its key may be copied to other devices.
    pub backup_eligible: bool,
    /// How often it has signed, as it says itself; 0 where it does not count.
    pub sign_count: u32,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// The answer to `DELETE /v1/passkeys/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasskeyRemoved {
    /// The passkey that was removed.
    pub passkey: PasskeyView,
    /// What could not be done; the passkey confirms nothing any more all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
}
