//! What the provider signed for an answer, kept beside the record, so that anybody who has both can tell later, without
//! this daemon and without network, that the person signed in for exactly this.
//!
//! The ID token is no credential here: nothing accepts it as one, its `nonce` is spent, and it expires within minutes. It
//! names the person, so it is kept in a file of the owner's alone; the record holds only the file's digest.

use std::io;
use std::path::Path;

use agentauth_core::canonical::sha256_hex;
use agentauth_core::widening::{Confirmed, Means};
use serde_json::{Value, json};

use super::{AnswerError, Consents};

impl Consents {
    /// Keeps what the provider signed, with the keys of the provider at this time. The digest of the file.
    pub(crate) async fn keep_evidence(&self, confirmed: &Confirmed) -> Result<Option<String>, AnswerError> {
        let proof = match &confirmed.by {
            Means::Reauth { proof: Some(proof), .. } => proof,
            Means::Reauth { proof: None, .. } => return Ok(None),
            Means::Passkey { evidence, .. } => return Ok(Some(evidence.clone())),
        };
        let (directory, digest) = (self.parts.evidence.clone(), confirmed.digest.clone());
        let token = proof.token().to_owned();
        let kept = tokio::task::spawn_blocking(move || keep(&directory, &digest, &token)).await;
        match kept {
            Ok(kept) => kept.map(Some).map_err(AnswerError::Evidence),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

fn keep(directory: &Path, digest: &str, token: &str) -> io::Result<String> {
    agentauth_store::private_directory(directory)?;
    // Without the keys the evidence is as good for whoever has them from elsewhere.
    let cache = directory.parent().map(|state| state.join("jwks.json"));
    let keys = cache.and_then(|path| std::fs::read(path).ok());
    let cached: Value = keys.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let keys = cached.get("jwks");
    let kept = json!({ "id_token": token, "keys": keys }).to_string();
    agentauth_store::write_atomic(&directory.join(format!("{digest}.json")), kept.as_bytes(), 0o600)?;
    Ok(sha256_hex(kept.as_bytes()))
}
