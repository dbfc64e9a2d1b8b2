//! What the provider signed for an answer is kept with the provider's keys of that time.
//!
//! The ID token is no credential here: nothing accepts it as one, its `nonce` is spent, and it expires within minutes.

use agentauth_core::widening::{Confirmed, Means};
use serde_json::{Value, json};

use super::{AnswerError, Consents};
use crate::daemon::evidence;

impl Consents {
    /// Keeps what was signed, where that has not been done yet. The digest of the file.
    pub(crate) async fn keep_evidence(&self, confirmed: &Confirmed) -> Result<Option<String>, AnswerError> {
        let proof = match &confirmed.by {
            Means::Reauth { proof: Some(proof), .. } => proof,
            Means::Reauth { proof: None, .. } | Means::SignIn { .. } => return Ok(None),
            Means::Passkey { evidence, .. } => return Ok(Some(evidence.clone())),
        };
        let directory = &self.parts.evidence;
        // Without the keys the evidence is as good for whoever has them from elsewhere.
        let cache = match directory.parent() {
            Some(state) => tokio::fs::read(state.join("jwks.json")).await.ok(),
            None => None,
        };
        let cached: Value = cache.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let kept = json!({ "id_token": proof.token(), "keys": cached.get("jwks") });
        evidence::keep(directory, &confirmed.digest, kept).await.map(Some).map_err(AnswerError::Evidence)
    }
}
