//! The project's signing keys: generation, rotation, the public key set.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;

use crate::certificates::certificate;
use crate::random::unguessable;

/// How many keys the set holds at most: the present one and twelve rotations (sheet 2.2).
const KEPT: usize = 13;

/// A signature algorithm of RFC 7518. Descope signs with RS256; the others are there for the SDKs' own test shapes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSA, PKCS #1 v1.5, SHA-256.
    #[default]
    #[serde(rename = "RS256")]
    Rs256,
    /// RSA, PKCS #1 v1.5, SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSA, PKCS #1 v1.5, SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
    /// RSA, PSS, SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// P-256, SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// P-384, SHA-384.
    #[serde(rename = "ES384")]
    Es384,
}

impl Algorithm {
    /// The name in JOSE headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
        }
    }
}

/// Why a key could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// The library could not generate or export a key.
    #[error("cannot generate a {} key", .0.name())]
    Generate(Algorithm),
    /// The library could not sign.
    #[error("cannot sign with {}: the key is of another kind", .0.name())]
    Sign(Algorithm),
    /// An override asks for a key that does not exist (yet).
    #[error("cannot sign with `{0:?}`: there is no such key; rotate the keys first")]
    NoSuchKey(crate::forge::Signing),
}

/// The modulus of a key whose private half was thrown away: what a key set holds from before the emulator's time.
/// Making one more key at every start would double the time that a start takes.
const RETIRED_MODULUS: &str = "sWbyLpgeHsqWXPpHxoTm50--zOcShBcGMBYf7PHY3gwqvzve4EsUDkWMA3y0iUNzYGJZytlltNn6GNJQLSixSlUsptyaB3bB\
    QNq12zFHTokkgJD_HbE3dO9gOL26w0EgcPbUmhXRtYPbQCfwJEUairNfwvErSrQd4oGKf2gTusNcoyXPMPlHSrB6HdiRrxRs\
    LXFA2TUvVav2O-VlOk4VROdulMJEDQQw1JSyUEYmS85Tf7V4Cx8t6sEQTcHirmiivvOcxD1kgI9hr4vGBQVJ_bIVSqaw6VDf\
    EqlNbCxP_0uSwPR5d4OkuSkiMM2S8RCbqKgMC2A_SQaxyc2y2lw6nQ";

enum Material {
    Rsa(Box<RsaKeyPair>),
    Ec(Box<EcdsaKeyPair>),
    /// Published, and unable to sign.
    PublicOnly,
}

/// One signing key.
pub(crate) struct SigningKey {
    kid: String,
    algorithm: Algorithm,
    material: Material,
    private_pem: String,
    public_pem: String,
    /// SubjectPublicKeyInfo.
    public_der: Vec<u8>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// A new key of 2048 bits, or on the algorithm's curve. Takes some 100 ms for RSA: call it off the reactor.
    pub(crate) fn generate(algorithm: Algorithm) -> Result<Self, KeyFault> {
        let fault = |_| KeyFault::Generate(algorithm);
        let (material, private, public) = match algorithm {
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 | Algorithm::Ps256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(fault)?;
                let private = AsDer::<Pkcs8V1Der<'static>>::as_der(&pair).map_err(fault)?.as_ref().to_vec();
                let public = AsDer::<PublicKeyX509Der<'static>>::as_der(pair.public_key()).map_err(fault)?;
                (Material::Rsa(Box::new(pair)), private, public)
            }
            Algorithm::Es256 | Algorithm::Es384 => {
                let curve = match algorithm {
                    Algorithm::Es384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
                    _ => &ECDSA_P256_SHA256_FIXED_SIGNING,
                };
                let pair = EcdsaKeyPair::generate(curve).map_err(fault)?;
                let private = pair.to_pkcs8v1().map_err(fault)?.as_ref().to_vec();
                let public = AsDer::<PublicKeyX509Der<'static>>::as_der(pair.public_key()).map_err(fault)?;
                (Material::Ec(Box::new(pair)), private, public)
            }
        };
        let kid = format!(
            "SK{}",
            unguessable().chars().filter(char::is_ascii_alphanumeric).take(27).collect::<String>()
        );
        Ok(Self {
            kid,
            algorithm,
            material,
            private_pem: pem("PRIVATE KEY", &private),
            public_pem: pem("PUBLIC KEY", public.as_ref()),
            public_der: public.as_ref().to_vec(),
        })
    }

    /// The published key from before the emulator's time.
    fn from_before() -> Self {
        Self {
            kid: "SK2FromBeforeTheEmulator00001".to_owned(),
            algorithm: Algorithm::Rs256,
            material: Material::PublicOnly,
            private_pem: String::new(),
            public_pem: String::new(),
            public_der: Vec::new(),
        }
    }

    pub(crate) fn can_sign(&self) -> bool {
        !matches!(self.material, Material::PublicOnly)
    }

    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// PKCS #8. Known to the ledger, so that tests can look for it.
    pub(crate) fn private_pem(&self) -> &str {
        &self.private_pem
    }

    pub(crate) fn public_der(&self) -> Vec<u8> {
        self.public_der.clone()
    }

    pub(crate) fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// The raw signature octets of `message` (JWS form).
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, KeyFault> {
        let fault = || KeyFault::Sign(algorithm);
        let random = SystemRandom::new();
        match (&self.material, algorithm) {
            (
                Material::Rsa(pair),
                Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 | Algorithm::Ps256,
            ) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding = match algorithm {
                    Algorithm::Rs384 => &RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &RSA_PKCS1_SHA512,
                    Algorithm::Ps256 => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                pair.sign(padding, &random, message, &mut signature).map_err(|_| fault())?;
                Ok(signature)
            }
            (Material::Ec(pair), Algorithm::Es256 | Algorithm::Es384) if algorithm == self.algorithm => {
                Ok(pair.sign(&random, message).map_err(|_| fault())?.as_ref().to_vec())
            }
            _ => Err(fault()),
        }
    }

    /// The public half as a JWK (RFC 7517).
    pub(crate) fn jwk(&self) -> Value {
        let b64 = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
        match &self.material {
            Material::Rsa(pair) => {
                let public = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"alg": self.algorithm.name(), "kty": "RSA", "use": "sig", "kid": self.kid,
                       "n": b64(&public.n), "e": b64(&public.e)})
            }
            Material::Ec(pair) => {
                // An uncompressed point: 0x04, x, y.
                let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if self.algorithm == Algorithm::Es384 { "P-384" } else { "P-256" };
                json!({"alg": self.algorithm.name(), "kty": "EC", "use": "sig", "kid": self.kid,
                       "crv": curve, "x": b64(x), "y": b64(y)})
            }
            Material::PublicOnly => {
                json!({"alg": self.algorithm.name(), "kty": "RSA", "use": "sig", "kid": self.kid,
                                           "n": RETIRED_MODULUS, "e": "AQAB"})
            }
        }
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

/// The project's keys, newest first. There is always a present one.
#[derive(Debug)]
pub(crate) struct KeyRing {
    present: Arc<SigningKey>,
    older: VecDeque<Arc<SigningKey>>,
    revoked: Option<Arc<SigningKey>>,
}

impl KeyRing {
    /// `present` and one older key that only verifies.
    pub(crate) fn new(present: SigningKey) -> Self {
        let older = VecDeque::from([Arc::new(SigningKey::from_before())]);
        Self { present: Arc::new(present), older, revoked: None }
    }

    /// The key that signs.
    pub(crate) fn present(&self) -> &Arc<SigningKey> {
        &self.present
    }

    /// The newest key that is published and signs no more, though it could: there is one after a rotation.
    pub(crate) fn retired(&self) -> Option<&Arc<SigningKey>> {
        self.older.iter().find(|key| key.can_sign())
    }

    /// The key that the last rotate-and-revoke dropped.
    pub(crate) fn revoked(&self) -> Option<&Arc<SigningKey>> {
        self.revoked.as_ref()
    }

    /// Every published key, newest first.
    pub(crate) fn published(&self) -> impl Iterator<Item = &Arc<SigningKey>> {
        std::iter::once(&self.present).chain(&self.older)
    }

    /// Whether tokens signed by `kid` are still good.
    pub(crate) fn knows(&self, kid: &str) -> bool {
        self.published().any(|key| key.kid() == kid)
    }

    /// "Rotate": `next` signs from now on, older keys stay published up to the window.
    pub(crate) fn rotate(&mut self, next: SigningKey) {
        let former = std::mem::replace(&mut self.present, Arc::new(next));
        self.older.push_front(former);
        self.older.truncate(KEPT - 1);
    }

    /// "Rotate and revoke": only `next` is left.
    pub(crate) fn rotate_and_revoke(&mut self, next: SigningKey) {
        let former = std::mem::replace(&mut self.present, Arc::new(next));
        self.older.clear();
        self.revoked = Some(former);
    }

    /// As [`KeyRing::jwks`], with a certificate for each key that can have one (`x5c`, RFC 7517 4.7).
    pub(crate) fn jwks_with_certificates(&self) -> Result<Value, KeyFault> {
        let with_certificate = |key: &Arc<SigningKey>| {
            let mut jwk = key.jwk();
            if let (Some(members), Some(der)) = (jwk.as_object_mut(), certificate(key)?) {
                members.insert("x5c".to_owned(), json!([STANDARD.encode(der)]));
            }
            Ok(jwk)
        };
        let keys = self.published().map(with_certificate).collect::<Result<Vec<_>, KeyFault>>()?;
        Ok(json!({"keys": keys}))
    }

    /// `{"keys": […]}`.
    pub(crate) fn jwks(&self) -> Value {
        json!({"keys": self.published().map(|key| key.jwk()).collect::<Vec<_>>()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(algorithm: Algorithm) -> SigningKey {
        SigningKey::generate(algorithm).unwrap()
    }

    #[test]
    fn the_window_is_thirteen_keys() {
        let mut ring = KeyRing::new(small(Algorithm::Es256));
        assert!(ring.retired().is_none());
        let first = ring.present().kid().to_owned();
        for _ in 0..12 {
            ring.rotate(small(Algorithm::Es256));
        }
        assert!(ring.knows(&first));
        assert_eq!(ring.published().count(), 13);
        ring.rotate(small(Algorithm::Es256));
        assert!(!ring.knows(&first));
        ring.rotate_and_revoke(small(Algorithm::Es256));
        assert_eq!(ring.published().count(), 1);
    }

    #[test]
    fn curve_keys_publish_their_point() {
        let key = small(Algorithm::Es384);
        let jwk = key.jwk();
        assert_eq!(jwk["crv"], "P-384");
        assert_eq!(jwk["x"].as_str().unwrap().len(), 64);
        assert_eq!(key.sign(Algorithm::Es384, b"x").unwrap().len(), 96);
        assert!(key.sign(Algorithm::Rs256, b"x").is_err());
    }

    #[test]
    fn private_keys_do_not_print() {
        let key = small(Algorithm::Es256);
        assert!(!format!("{key:?}").contains("PRIVATE"));
        assert!(key.private_pem().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    }
}
