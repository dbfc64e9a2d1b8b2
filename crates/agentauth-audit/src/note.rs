//! Checkpoints: number and hash of a record, signed. Whoever keeps one elsewhere sees later whether the record up to
//! there is still what it was, and whether its end was cut off.
//!
//! A checkpoint is a signed note (C2SP signed-note and tlog-checkpoint): its text is the origin, the number of the record
//! and the base64 of the record's chain hash, a line each; then an empty line; then the signatures, `— name base64(key id
//! || Ed25519 signature)`. The number stands where a Merkle tree has its size, the hash where it has its root.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::{Appended, Hash};

/// The longest note, in bytes.
const LONGEST: usize = 4096;
/// The kind of key that Ed25519 is, in key identifiers and verifier keys.
const ED25519_KIND: u8 = 0x01;
/// What a signature line begins with: an em dash.
const DASH: &str = "\u{2014} ";

/// Number and hash of a record, and whose log it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log.
    pub origin: String,
    /// The record.
    pub at: Appended,
}

impl Checkpoint {
    /// What is signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.at.seq, STANDARD.encode(self.at.hash.0))
    }
}

/// A key that signs checkpoints.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: VerifyingKey,
}

impl SigningKey {
    /// The key of this seed; `name` is the name of the log.
    ///
    /// # Errors
    /// [`NoteError::Key`].
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<SigningKey, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::Key)?;
        let key = pair.public_key().as_ref().try_into().map_err(|_| NoteError::Key)?;
        Ok(SigningKey { public: VerifyingKey::new(name, key)?, pair })
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// The note of a record of this key's log.
    #[must_use]
    pub fn sign(&self, at: Appended) -> String {
        let text = Checkpoint { origin: self.public.name.clone(), at }.text();
        let mut bytes = self.public.id.to_vec();
        bytes.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n{DASH}{} {}\n", self.public.name, STANDARD.encode(bytes))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public)
    }
}

/// The public half of a key; as text a verifier key, `name+key id+base64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    name: String,
    id: [u8; 4],
    key: [u8; 32],
}

impl VerifyingKey {
    fn new(name: &str, key: [u8; 32]) -> Result<VerifyingKey, NoteError> {
        if name.is_empty() || name.contains(|c: char| c == '+' || c.is_whitespace() || c.is_control()) {
            return Err(NoteError::Name);
        }
        let digest =
            Sha256::new().chain_update(name).chain_update([b'\n', ED25519_KIND]).chain_update(key).finalize();
        let [a, b, c, d, ..]: [u8; 32] = digest.into();
        Ok(VerifyingKey { name: name.to_owned(), id: [a, b, c, d], key })
    }

    /// The log that it is for.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519_KIND];
        key.extend_from_slice(&self.key);
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id), STANDARD.encode(key))
    }
}

impl FromStr for VerifyingKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<VerifyingKey, NoteError> {
        // The base64 may hold further plus signs.
        let (name, rest) = text.split_once('+').ok_or(NoteError::Key)?;
        let (id, key) = rest.split_once('+').ok_or(NoteError::Key)?;
        let bytes = STANDARD.decode(key).map_err(|_| NoteError::Key)?;
        let [ED25519_KIND, key @ ..] = bytes.as_slice() else { return Err(NoteError::Key) };
        let key = VerifyingKey::new(name, key.try_into().map_err(|_| NoteError::Key)?)?;
        if hex::encode(key.id) == id { Ok(key) } else { Err(NoteError::Key) }
    }
}

/// A checkpoint with its signatures, which are not verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl SignedCheckpoint {
    /// What it says, signed by one of `keys`.
    ///
    /// # Errors
    /// [`NoteError::Unknown`] if none of them has signed it, [`NoteError::Signature`] if one has not signed this.
    pub fn verify(&self, keys: &[VerifyingKey]) -> Result<&Checkpoint, NoteError> {
        let text = self.checkpoint.text();
        let mut known = false;
        for signature in &self.signatures {
            let signer = keys.iter().find(|key| (&key.name, key.id) == (&signature.name, signature.id));
            let Some(key) = signer.filter(|key| key.name == self.checkpoint.origin) else { continue };
            known = true;
            UnparsedPublicKey::new(&ED25519, key.key)
                .verify(text.as_bytes(), &signature.bytes)
                .map_err(|_| NoteError::Signature)?;
        }
        if known { Ok(&self.checkpoint) } else { Err(NoteError::Unknown) }
    }

    /// What it claims to say.
    #[must_use]
    pub fn unverified(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

impl FromStr for SignedCheckpoint {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<SignedCheckpoint, NoteError> {
        if note.len() > LONGEST {
            return Err(NoteError::Shape);
        }
        let (text, signatures) = note.split_once("\n\n").ok_or(NoteError::Shape)?;
        let lines: Vec<_> = text.split('\n').collect();
        let [origin, number, hash] = lines.as_slice() else { return Err(NoteError::Shape) };
        let seq: u64 = number.parse().map_err(|_| NoteError::Shape)?;
        let hash = STANDARD.decode(hash).map_err(|_| NoteError::Shape)?;
        let hash = Hash(hash.try_into().map_err(|_| NoteError::Shape)?);
        let checkpoint = Checkpoint { origin: (*origin).to_owned(), at: Appended { seq, hash } };
        // One spelling only: what is signed is made anew from what was read.
        if checkpoint.text() != format!("{text}\n") {
            return Err(NoteError::Shape);
        }
        let lines = signatures.strip_suffix('\n').ok_or(NoteError::Shape)?;
        let signatures = lines.split('\n').map(signature).collect::<Option<_>>().ok_or(NoteError::Shape)?;
        Ok(SignedCheckpoint { checkpoint, signatures })
    }
}

fn signature(line: &str) -> Option<Signature> {
    let (name, text) = line.strip_prefix(DASH)?.split_once(' ')?;
    let bytes = STANDARD.decode(text).ok()?;
    let (id, bytes) = bytes.split_first_chunk::<4>()?;
    Some(Signature { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
}

/// What is wrong with a checkpoint or a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Not a note of this format.
    #[error("it is not a signed checkpoint")]
    Shape,
    /// Not a key of this format.
    #[error("it is not an Ed25519 key for checkpoints")]
    Key,
    /// A name that cannot stand in a note.
    #[error("the name of a log must not be empty, and have neither white space nor a plus sign")]
    Name,
    /// Signed by none of the keys that count.
    #[error("it is signed by none of the keys that count")]
    Unknown,
    /// A signature that is not of this text.
    #[error("its signature is not right")]
    Signature,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "agentauthd.example/audit";
    const VKEY: &str = "agentauthd.example/audit+4f5000a7+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";
    const SIGNATURE: &str =
        "T1AApzMLwzO0C8HdPwtycnSZosEditKJwyvtw1NGQxUWY+Si37b6/muAiFZoSpPuAyVzxDcyROiv8gjj+eMD7sCLFAc=";

    /// The seed of RFC 8037, appendix A.
    fn key() -> SigningKey {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        SigningKey::from_seed(NAME, &hex::decode(seed).unwrap().try_into().unwrap()).unwrap()
    }

    fn eight() -> Appended {
        let hash = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328";
        Appended { seq: 8, hash: hash.parse().unwrap() }
    }

    #[test]
    fn key_text_and_signature_are_those_of_the_vector() {
        assert_eq!(key().public().to_string(), VKEY);
        let note = format!(
            "{NAME}\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n\n\u{2014} {NAME} {SIGNATURE}\n"
        );
        assert_eq!(key().sign(eight()), note);
        let keys = [VKEY.parse().unwrap()];
        let read: SignedCheckpoint = note.parse().unwrap();
        assert_eq!(read.verify(&keys).unwrap().at, eight());
    }

    #[test]
    fn other_keys_other_text_and_other_spellings_are_refused() {
        let note = key().sign(eight());
        let keys = [key().public().clone()];
        let other = SigningKey::from_seed(NAME, &[7; 32]).unwrap();
        let read: SignedCheckpoint = note.parse().unwrap();
        assert_eq!(read.verify(&[other.public().clone()]).unwrap_err(), NoteError::Unknown);
        let edited: SignedCheckpoint = note.replacen("\n8\n", "\n9\n", 1).parse().unwrap();
        assert_eq!(edited.verify(&keys).unwrap_err(), NoteError::Signature);
        for bad in [
            note.replacen("\n8\n", "\n08\n", 1),
            note.replacen("\n8\n", "\n8\nmore\n", 1),
            note.replacen('\u{2014}', "-", 1),
            note.trim_end().to_owned(),
            String::new(),
        ] {
            assert_eq!(bad.parse::<SignedCheckpoint>().unwrap_err(), NoteError::Shape, "{bad}");
        }
        // A signature of somebody unknown beside ours does not matter.
        let both = note.clone() + "\u{2014} witness AAAAAAAA\n";
        both.parse::<SignedCheckpoint>().unwrap().verify(&keys).unwrap();
    }

    #[test]
    fn a_key_whose_identifier_does_not_fit_is_none() {
        let other = VKEY.replacen("4f5000a7", "4f5000a8", 1);
        assert_eq!(other.parse::<VerifyingKey>().unwrap_err(), NoteError::Key);
        assert_eq!(SigningKey::from_seed("a b", &[1; 32]).unwrap_err(), NoteError::Name);
    }
}
