//! Tokens of every kind, good and bad, signed with keys made for the run.

use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::PROJECT;

/// The provider's key, and that of another project.
pub(crate) fn ours() -> &'static RsaKeyPair {
    static KEY: OnceLock<RsaKeyPair> = OnceLock::new();
    KEY.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
}

/// A key that is not the provider's.
pub(crate) fn theirs() -> &'static RsaKeyPair {
    static KEY: OnceLock<RsaKeyPair> = OnceLock::new();
    KEY.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
}

/// The base64url modulus of a key.
pub(crate) fn modulus(key: &RsaKeyPair) -> String {
    URL_SAFE_NO_PAD.encode(key.public_key().modulus().big_endian_without_leading_zero())
}

/// The JWK of a key.
pub(crate) fn jwk(key: &RsaKeyPair, kid: &str) -> Value {
    json!({"kty":"RSA","use":"sig","alg":"RS256","kid":kid,"n":modulus(key),"e":"AQAB"})
}

/// A key set with these keys.
pub(crate) fn jwks(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// The key set of the tests: our key as `k1`.
pub(crate) fn our_jwks() -> String {
    jwks(&[jwk(ours(), "k1")])
}

pub(crate) fn header() -> Value {
    json!({"alg":"RS256","kid":"k1","typ":"JWT"})
}

/// The claims of a good session token at `super::now()`.
pub(crate) fn session() -> Value {
    json!({"iss":PROJECT,"sub":"U1","drn":"DS","iat":1_700_000_000,"exp":1_700_000_600,"amr":["pwd"],"roles":["r"]})
}

/// The claims of a good ID token for [`NONCE`].
pub(crate) fn id(base: &str) -> Value {
    json!({"iss":format!("{base}/{PROJECT}"),"aud":PROJECT,"sub":"U1","iat":1_700_000_000,"exp":1_700_000_600,
        "nonce":NONCE,"name":"Ada","email":"ada@example.com"})
}

/// The nonce of the tests.
pub(crate) const NONCE: &str = "the-nonce-of-this-login";

/// `value` with `member` set; null removes it.
pub(crate) fn with(mut value: Value, member: &str, to: Value) -> Value {
    let object = value.as_object_mut().unwrap();
    if to.is_null() {
        object.remove(member);
    } else {
        object.insert(member.to_owned(), to);
    }
    value
}

/// A token properly signed with our key.
pub(crate) fn sign(header: &Value, payload: &Value) -> String {
    sign_text(&header.to_string(), &payload.to_string(), ours())
}

/// A token of these very texts, signed with `key`.
pub(crate) fn sign_text(header: &str, payload: &str, key: &RsaKeyPair) -> String {
    let message = unsigned(header, payload);
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A token of these texts with an HMAC signature.
pub(crate) fn hmac(header: &str, payload: &str, secret: &[u8]) -> String {
    let message = unsigned(header, payload);
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &EncodingKey::from_secret(secret), Algorithm::HS256)
            .unwrap();
    format!("{message}.{signature}")
}

/// The first two parts.
pub(crate) fn unsigned(header: &str, payload: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
}

/// A session token signed with a 1024-bit key, and that key: no library makes them any more.
pub(crate) const WEAK_MODULUS: &str = "02hebHx_WlXp5DakZkBYZneYPuJdsVxMtadJ1UlgMWazOlSSg2QqP2y_YH2a-xeXZupf2TMKJIPBDEl474TmFo1Zez5xKyAF-WjIeYxcxRc18mZDRmC-C6n30YJiB6P-HN-1UTTiblap4bdlIUMyIXJzNU_fW6IcSZT9N2nFyiE";
pub(crate) const WEAK_TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6IndlYWsiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJQMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4Iiwic3ViIjoiVTEiLCJkcm4iOiJEUyIsImlhdCI6MTcwMDAwMDAwMCwiZXhwIjoxNzAwMDAwNjAwfQ.vdFO-eRwGEHlQeX5f6b8r2GvFtSkaQcrgj7RrOPqM_DHjfMDifcnrAnHm06KxbSGjyGiMRqcGcxp9iS4tZw7yBc5hE4ULL8IbtzNE189B4bLORG6TFfy24HNgPvTcx2_HxnidCXCacA3vK371TIuTkZo-VZ9ZnfCwjTTABsaPIw";
