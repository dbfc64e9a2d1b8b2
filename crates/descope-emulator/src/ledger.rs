//! The ledger of secrets: every secret string that the emulator ever gave or was given, so that a test can look for
//! them in logs, files and process memory.

use serde::{Deserialize, Serialize};

/// What kind of secret it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretKind {
    /// A session JWT (also as OAuth access token).
    SessionJwt,
    /// A refresh JWT.
    RefreshJwt,
    /// An ID token.
    IdToken,
    /// An authorization code.
    Code,
    /// A device code.
    DeviceCode,
    /// A PKCE verifier that a client sent.
    Verifier,
    /// A `state` that a client sent.
    State,
    /// A `nonce` that a client sent.
    Nonce,
    /// A token or code that a client sent and that was not ours.
    Received,
    /// The clear text of an access key.
    AccessKey,
    /// A client secret that a client sent.
    ClientSecret,
    /// A password that was typed into the page.
    Password,
    /// The handle of a sign-in page or the cookie of a remembered browser.
    BrowserHandle,
    /// The token in a mailed sign-in link.
    MailedLink,
    /// The secret of a client that registered itself.
    IssuedClientSecret,
    /// A private key, PEM.
    PrivateKey,
    /// The same private key without armour, on one line.
    PrivateKeyBody,
}

/// One secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Its kind.
    pub kind: SecretKind,
    /// The string itself.
    pub value: String,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Every secret so far, in order, each once.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    secrets: Vec<Secret>,
    seen: std::collections::HashSet<String>,
}

impl Ledger {
    /// Notes a secret; empty strings are none.
    pub(crate) fn note(&mut self, kind: SecretKind, value: &str) {
        if !value.is_empty() && self.seen.insert(value.to_owned()) {
            self.secrets.push(Secret { kind, value: value.to_owned() });
        }
    }

    /// Notes a private key in both of its spellings.
    pub(crate) fn note_key(&mut self, pem: &str) {
        self.note(SecretKind::PrivateKey, pem);
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        self.note(SecretKind::PrivateKeyBody, &body);
    }

    pub(crate) fn all(&self) -> &[Secret] {
        &self.secrets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_once_and_none_printed() {
        let mut ledger = Ledger::default();
        ledger.note(SecretKind::State, "s1");
        ledger.note(SecretKind::State, "s1");
        ledger.note(SecretKind::Nonce, "");
        ledger.note_key("-----BEGIN PRIVATE KEY-----\nAAA\nBBB\n-----END PRIVATE KEY-----\n");
        let values: Vec<&str> = ledger.all().iter().map(|secret| secret.value.as_str()).collect();
        assert_eq!(values.first(), Some(&"s1"));
        assert!(values.contains(&"AAABBB"));
        assert_eq!(values.len(), 3);
        assert!(
            !format!("{ledger:?}").contains("AAABBB") || !format!("{:?}", ledger.all()).contains("AAABBB")
        );
    }
}
