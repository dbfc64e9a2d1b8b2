//! `/v1/flow/exchange`: the end of a flow in a native application, with a PKCE of its own (sheet 6.2).

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use sha2::{Digest as _, Sha256};

use crate::body::Body;
use crate::doors::bearer::open;
use crate::doors::sign_in::complete;
use crate::errors::Refusal;
use crate::ledger::SecretKind;
use crate::state::Shared;

/// `POST /v1/flow/exchange`
pub(crate) async fn exchange(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    open(&shared, &headers)?;
    let (code, verifier) = (body.need("authorizationCode")?, body.need("codeVerifier")?);
    let now = shared.clock.now();
    let mut world = shared.world();
    world.ledger.note(SecretKind::Received, code);
    world.ledger.note(SecretKind::Verifier, verifier);
    let (challenge, pending) = world.one_time.take_native(code, now)?;
    if challenge_of(verifier).as_ref() != Some(&challenge) {
        return Err(Refusal::mismatch("The codeVerifier does not fit the challenge"));
    }
    complete(&shared, &mut world, pending, now)
}

/// Not RFC 7636: the digest is over the octets that the verifier stands for, not over its letters.
fn challenge_of(verifier: &str) -> Option<String> {
    let octets = URL_SAFE_NO_PAD.decode(verifier).ok()?;
    Some(URL_SAFE_NO_PAD.encode(Sha256::digest(octets)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_over_the_raw_octets() {
        let verifier = URL_SAFE_NO_PAD.encode([7; 32]);
        assert_eq!(challenge_of(&verifier), Some(URL_SAFE_NO_PAD.encode(Sha256::digest([7; 32]))));
        assert_ne!(challenge_of(&verifier), Some(URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier))));
        assert_eq!(challenge_of("not base64url!"), None);
    }
}
