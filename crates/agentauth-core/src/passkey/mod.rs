//! Passkeys: whether an authenticator made a key for the question that was asked, and whether its answer to another
//! question is that key's (Web Authentication Level 3, sections 7.1 and 7.2).
//!
//! The page asks on `http://localhost:PORT`, so the relying party is `localhost`. The challenge is the digest of the
//! canonical request that the person confirms, so that the authenticator's signature covers exactly that. A passkey
//! without user verification, from another origin or out of a frame counts for nothing.

mod attestation;
mod authenticator;
mod cbor;
mod client;
mod cose;
mod fault;
#[cfg(test)]
pub(crate) mod soft;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::canonical::canonical_digest;
use crate::time::Timestamp;
use crate::widening::Party;
pub use attestation::Attestation;
use authenticator::AuthenticatorData;
pub use cose::{Algorithm, PublicKey};
pub use fault::PasskeyFault;

/// The relying party of every passkey: the host of the page. Ports do not count.
pub const RP_ID: &str = "localhost";
/// What an authenticator is asked for, in order of preference (COSE algorithm identifiers).
pub const ALGORITHMS: [i64; 3] = [-7, -8, -257];
/// The longest name of a passkey, in characters.
pub const LONGEST_NAME: usize = 64;
/// No part of an answer is longer, in bytes.
const MOST: usize = 16 * 1024;
/// The longest credential id (section 7.1), in bytes.
const LONGEST_ID: usize = 1023;

/// A question that an authenticator answers.
#[derive(Clone, Copy, Debug)]
pub struct Ceremony<'a> {
    /// What it signs: the digest of the request.
    pub challenge: &'a [u8],
    /// The origin of the page that asks.
    pub origin: &'a str,
}

/// What `navigator.credentials.create` brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creation {
    /// `clientDataJSON`, byte for byte.
    pub client_data: Vec<u8>,
    /// `attestationObject`.
    pub attestation_object: Vec<u8>,
}

/// What `navigator.credentials.get` brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// Which credential answered.
    pub credential_id: Vec<u8>,
    /// `authenticatorData`.
    pub authenticator_data: Vec<u8>,
    /// `clientDataJSON`, byte for byte.
    pub client_data: Vec<u8>,
    /// Over the authenticator's data and the digest of the client's.
    pub signature: Vec<u8>,
}

/// What is asked of a new passkey beyond the standard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The models that may be used, by AAGUID; any where there are none.
    pub models: Vec<String>,
    /// Certificates in DER of those who vouch for models; where there are none, nobody is asked for.
    pub roots: Vec<Vec<u8>>,
}

/// A registered passkey. Every member belongs to its id, so that an edited one is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passkey {
    /// What the person calls it.
    pub name: String,
    /// The provider of the account that it belongs to.
    pub issuer: String,
    /// That account (`sub`).
    pub subject: String,
    /// base64url.
    pub credential_id: String,
    /// The COSE key, base64url.
    pub public_key: String,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// The model that it says to be.
    pub aaguid: String,
    /// What shows that it is that model.
    pub attestation: Attestation,
    /// Whether the key may be copied to other devices.
    pub backup_eligible: bool,
    /// Whether it was copied when it was registered.
    pub backed_up: bool,
    /// The signature counter at that time.
    pub sign_count: u32,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// What an assertion says beside that it is genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// The signature counter; always 0 where the authenticator has none.
    pub sign_count: u32,
    /// Whether the key has been copied to other devices by now.
    pub backed_up: bool,
}

impl Passkey {
    /// The passkey that an authenticator made for `account`, as asked.
    ///
    /// # Errors
    /// The first thing that does not fit. Nothing is to be registered then.
    pub fn enrolled(
        creation: &Creation,
        ceremony: &Ceremony<'_>,
        terms: &Terms,
        account: &Party,
        name: &str,
        now: Timestamp,
    ) -> Result<Self, PasskeyFault> {
        if creation.attestation_object.len() > MOST {
            return Err(PasskeyFault::Malformed("the attestation object is too long"));
        }
        client::judge(&creation.client_data, "webauthn.create", ceremony)?;
        let object = attestation::Object::parse(&creation.attestation_object)?;
        let data = AuthenticatorData::parse(object.authenticator_data)?;
        data.judge()?;
        let credential = data.credential.as_ref().ok_or(PasskeyFault::Malformed("no credential was made"))?;
        if credential.id.is_empty() || credential.id.len() > LONGEST_ID {
            return Err(PasskeyFault::Malformed("the credential's id is empty or too long"));
        }
        let signed = signed(object.authenticator_data, &creation.client_data);
        let attestation = attestation::judge(&object, &signed, credential, terms, now)?;
        Ok(Self {
            name: name.to_owned(),
            issuer: account.issuer.clone(),
            subject: account.subject.clone(),
            credential_id: URL_SAFE_NO_PAD.encode(credential.id),
            public_key: URL_SAFE_NO_PAD.encode(credential.key_bytes),
            algorithm: credential.key.algorithm(),
            aaguid: aaguid_text(&credential.aaguid),
            attestation,
            backup_eligible: data.backup_eligible,
            backed_up: data.backed_up,
            sign_count: data.sign_count,
            created_at: now,
        })
    }

    /// Its id: the hash of everything that it says.
    #[must_use]
    pub fn id(&self) -> String {
        let digest = canonical_digest(&json!(self)).unwrap_or_default();
        format!("pk_{}", digest.get(..32).unwrap_or_default())
    }

    /// Reads what [`Passkey::to_json`] wrote.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// All of it, for the database.
    #[must_use]
    pub fn to_json(&self) -> String {
        json!(self).to_string()
    }

    /// Whether it belongs to this account.
    #[must_use]
    pub fn is_of(&self, account: &Party) -> bool {
        self.issuer == account.issuer && self.subject == account.subject
    }

    /// Whether `assertion` is this passkey's answer to `ceremony`. `counted` is the signature counter that it showed
    /// last.
    ///
    /// # Errors
    /// The first thing that does not fit. Nothing is confirmed then.
    pub fn verify(
        &self,
        assertion: &Assertion,
        ceremony: &Ceremony<'_>,
        counted: u32,
    ) -> Result<Used, PasskeyFault> {
        if assertion.authenticator_data.len() > MOST || assertion.signature.len() > MOST {
            return Err(PasskeyFault::Malformed("a part of the answer is too long"));
        }
        if URL_SAFE_NO_PAD.encode(&assertion.credential_id) != self.credential_id {
            return Err(PasskeyFault::OtherCredential);
        }
        client::judge(&assertion.client_data, "webauthn.get", ceremony)?;
        let data = AuthenticatorData::parse(&assertion.authenticator_data)?;
        data.judge()?;
        if data.credential.is_some() {
            return Err(PasskeyFault::Malformed("a credential stands in the answer of another"));
        }
        if data.backup_eligible != self.backup_eligible {
            return Err(PasskeyFault::BackupChanged);
        }
        let key = self.key()?;
        key.verify(&signed(&assertion.authenticator_data, &assertion.client_data), &assertion.signature)?;
        // Only the genuine answer says anything about the counter.
        if (data.sign_count != 0 || counted != 0) && data.sign_count <= counted {
            return Err(PasskeyFault::CounterBack { last: counted, now: data.sign_count });
        }
        Ok(Used { sign_count: data.sign_count, backed_up: data.backed_up })
    }

    fn key(&self) -> Result<PublicKey, PasskeyFault> {
        let bytes = URL_SAFE_NO_PAD.decode(&self.public_key);
        let bytes = bytes.map_err(|_| PasskeyFault::Malformed("the registered key is not base64url"))?;
        let (key, rest) = PublicKey::parse(&bytes)?;
        if rest.is_empty() && key.algorithm() == self.algorithm {
            Ok(key)
        } else {
            Err(PasskeyFault::Malformed("the registered key is not what it says"))
        }
    }
}

/// What an authenticator signs.
fn signed(authenticator_data: &[u8], client_data: &[u8]) -> Vec<u8> {
    [authenticator_data, Sha256::digest(client_data).as_slice()].concat()
}

/// Whether this is an AAGUID as people write it: a UUID in lower case.
#[must_use]
pub fn is_aaguid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    lengths == [8, 4, 4, 4, 12]
        && groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
}

fn aaguid_text(aaguid: &[u8; 16]) -> String {
    let hex = hex::encode(aaguid);
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32];
    groups.map(|group| hex.get(group).unwrap_or_default()).join("-")
}
