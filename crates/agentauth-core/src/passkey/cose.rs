//! Public keys as authenticators write them (COSE, RFC 9052 and 9053), and the signatures made with them.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use serde::{Deserialize, Serialize};

use super::PasskeyFault;
use super::cbor::{Item, item};

/// What a passkey signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA over P-256 with SHA-256 (COSE -7).
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519 (COSE -8).
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// RSA, PKCS #1 v1.5 with SHA-256 (COSE -257).
    #[serde(rename = "RS256")]
    Rs256,
}

impl Algorithm {
    /// The name that JOSE gives it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }
}

/// The public half of a passkey.
#[derive(Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// A point of P-256, uncompressed.
    Es256([u8; 65]),
    /// A point of edwards25519.
    EdDsa([u8; 32]),
    /// Modulus and exponent, big-endian without leading zeros.
    Rs256 {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey({:?})", self.algorithm())
    }
}

impl PublicKey {
    /// The key that `bytes` begin with, and what follows it.
    ///
    /// # Errors
    /// [`PasskeyFault::Malformed`], [`PasskeyFault::KeyKind`].
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), PasskeyFault> {
        let (key, rest) = item(bytes)?;
        let member = |label| key.member(&Item::Integer(label));
        let number = |label| member(label).and_then(Item::integer).unwrap_or_default();
        let bytes = |label| member(label).and_then(Item::bytes).unwrap_or_default();
        // kty, alg and, for curves, crv.
        let key = match (number(1), number(3), number(-1)) {
            (2, -7, 1) => {
                let (x, y): (&[u8], &[u8]) = (bytes(-2), bytes(-3));
                let point = [&[4], x, y].concat();
                let point = point.try_into().ok().filter(|_| x.len() == 32);
                Self::Es256(point.ok_or(PasskeyFault::Malformed("the key is no point of P-256"))?)
            }
            (1, -8, 6) => {
                let point = bytes(-2).try_into();
                Self::EdDsa(point.map_err(|_| PasskeyFault::Malformed("the key is no point of Ed25519"))?)
            }
            (3, -257, _) => Self::Rs256 { n: bytes(-1).to_vec(), e: bytes(-2).to_vec() },
            _ => return Err(PasskeyFault::KeyKind),
        };
        key.check()?;
        Ok((key, rest))
    }

    /// What it signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Es256(_) => Algorithm::Es256,
            Self::EdDsa(_) => Algorithm::EdDsa,
            Self::Rs256 { .. } => Algorithm::Rs256,
        }
    }

    /// Whether `signature` is over `message`, by this key.
    ///
    /// # Errors
    /// [`PasskeyFault::Signature`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), PasskeyFault> {
        let verified = match self {
            Self::Es256(_) | Self::EdDsa(_) => self.check()?.verify_sig(message, signature),
            Self::Rs256 { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        };
        verified.map_err(|_| PasskeyFault::Signature)
    }

    /// The key as the cryptographic library takes it.
    fn check(&self) -> Result<ParsedPublicKey, PasskeyFault> {
        let parsed = match self {
            Self::Es256(point) => ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point),
            Self::EdDsa(point) => ParsedPublicKey::new(&ED25519, point),
            Self::Rs256 { n, .. } if !(256..=1024).contains(&n.len()) => {
                return Err(PasskeyFault::Malformed("the key is not of 2048 to 8192 bits"));
            }
            Self::Rs256 { n, e } => {
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            }
        };
        parsed.map_err(|_| PasskeyFault::Malformed("the key is none"))
    }
}
