//! Unguessable strings and stable identifiers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// 43 base64url characters from the operating system's randomness (more than 240 bits).
pub(crate) fn unguessable() -> String {
    let mut octets = Vec::with_capacity(32);
    octets.extend_from_slice(Uuid::new_v4().as_bytes());
    octets.extend_from_slice(Uuid::new_v4().as_bytes());
    URL_SAFE_NO_PAD.encode(octets)
}

/// An identifier in Descope's manner (`U`, `P`, … and 27 letters or digits) that is always the same for the same
/// seed, so that a restarted emulator knows the same people.
pub(crate) fn stable_id(prefix: char, seed: &str) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let digest = Sha256::digest(seed.as_bytes());
    let tail = digest.iter().take(27).filter_map(|octet| LETTERS.get(usize::from(*octet) % LETTERS.len()));
    std::iter::once(prefix).chain(tail.map(|letter| char::from(*letter))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_descopes_length_and_are_stable() {
        let id = stable_id('U', "alice@acme.test");
        assert_eq!(id.len(), 28);
        assert!(id.chars().all(|c| c.is_ascii_alphanumeric()));
        assert_eq!(id, stable_id('U', "alice@acme.test"));
        assert_ne!(id, stable_id('U', "bob@acme.test"));
    }

    #[test]
    fn unguessable_strings_differ() {
        assert_ne!(unguessable(), unguessable());
        assert_eq!(unguessable().len(), 43);
    }
}
