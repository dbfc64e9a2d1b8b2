//! What was signed for an answer, kept beside the record, so that anybody who has both can tell later, without this
//! daemon and without network, what the person confirmed.
//!
//! It names the person, so it is kept in a file of the owner's alone; the record holds only the file's digest.

use std::io;
use std::path::Path;

use agentauth_core::canonical::sha256_hex;
use serde_json::Value;

/// Keeps the evidence for the request of this digest. The digest of the file.
pub(crate) async fn keep(directory: &Path, request_digest: &str, evidence: Value) -> io::Result<String> {
    let path = directory.join(format!("{request_digest}.json"));
    let directory = directory.to_owned();
    let kept = tokio::task::spawn_blocking(move || {
        agentauth_store::private_directory(&directory)?;
        let text = evidence.to_string();
        agentauth_store::write_atomic(&path, text.as_bytes(), 0o600)?;
        Ok(sha256_hex(text.as_bytes()))
    });
    match kept.await {
        Ok(kept) => kept,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
