//! Tokens signed with elliptic curves, and tokens whose parts are written in odd ways.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod support;

use agentauth_idp::Keys;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde_json::{Value, json};
use support::forge::{header, jwk, jwks, ours, session, sign_text, unsigned, with};
use support::{now, provider};

/// No request is ever made in this file; nobody listens there.
const BASE: &str = "http://127.0.0.1:9";

struct Curves {
    pkcs8: Vec<u8>,
    edwards: Ed25519KeyPair,
}

impl Curves {
    fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self { pkcs8: pkcs8.as_ref().to_vec(), edwards: Ed25519KeyPair::generate().unwrap() }
    }

    fn pair(&self) -> EcdsaKeyPair {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.pkcs8).unwrap()
    }

    /// `ec` and `ed`, beside the usual `k1`.
    fn keys(&self) -> Keys {
        let pair = self.pair();
        let point = pair.public_key().as_ref();
        let text = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
        let ec = json!({"kty":"EC","crv":"P-256","kid":"ec","x":text(&point[1..33]),"y":text(&point[33..])});
        let ed = json!({"kty":"OKP","crv":"Ed25519","kid":"ed","x":text(self.edwards.public_key().as_ref())});
        Keys::from_set(jwks(&[jwk(ours(), "k1"), ec, ed]).as_bytes(), now()).unwrap()
    }

    fn ecdsa(&self, header: &Value) -> String {
        let message = unsigned(&header.to_string(), &session().to_string());
        let signature = self.pair().sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn der(&self, header: &Value) -> String {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.pkcs8).unwrap();
        let message = unsigned(&header.to_string(), &session().to_string());
        let signature = pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn eddsa(&self, header: &Value) -> String {
        let message = unsigned(&header.to_string(), &session().to_string());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(self.edwards.sign(message.as_bytes())))
    }
}

/// The same token with another signature.
fn resigned(token: &str, signature: &[u8]) -> String {
    format!("{}.{}", token.rsplit_once('.').unwrap().0, URL_SAFE_NO_PAD.encode(signature))
}

fn signature(token: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(token.rsplit_once('.').unwrap().1).unwrap()
}

#[tokio::test]
async fn curves() {
    let curves = Curves::new();
    let es = json!({"alg":"ES256","kid":"ec","typ":"JWT"});
    let ed = json!({"alg":"EdDSA","kid":"ed","typ":"JWT"});
    let (good, good_ed) = (curves.ecdsa(&es), curves.eddsa(&ed));
    let swapped = {
        let signature = signature(&good);
        [&signature[32..], &signature[..32]].concat()
    };
    let table = [
        ("ES256", good.clone(), "accepted"),
        ("EdDSA", good_ed.clone(), "accepted"),
        ("ES256 in DER", curves.der(&es), "bad_signature"),
        ("ES256 of zeros", resigned(&good, &[0; 64]), "bad_signature"),
        ("ES256 with r alone", resigned(&good, &signature(&good)[..32]), "bad_signature"),
        ("ES256 with r and s exchanged", resigned(&good, &swapped), "bad_signature"),
        ("ES256 with an octet more", resigned(&good, &[signature(&good), vec![0]].concat()), "bad_signature"),
        ("EdDSA of zeros", resigned(&good_ed, &[0; 64]), "bad_signature"),
        ("EdDSA cut short", resigned(&good_ed, &signature(&good_ed)[..63]), "bad_signature"),
        (
            "an RSA name for a curve",
            curves.ecdsa(&with(es.clone(), "alg", json!("RS256"))),
            "algorithm_mismatch",
        ),
        (
            "another curve's name",
            curves.ecdsa(&with(es.clone(), "alg", json!("ES384"))),
            "algorithm_mismatch",
        ),
        ("ES256K", curves.ecdsa(&with(es.clone(), "alg", json!("ES256K"))), "algorithm_not_allowed"),
        (
            "EdDSA by its other name",
            curves.eddsa(&with(ed.clone(), "alg", json!("Ed25519"))),
            "algorithm_not_allowed",
        ),
        (
            "HS256 by name of a curve's key",
            curves.ecdsa(&with(es.clone(), "alg", json!("HS256"))),
            "algorithm_not_allowed",
        ),
        ("an RSA key's name", curves.ecdsa(&with(es.clone(), "kid", json!("k1"))), "algorithm_mismatch"),
        ("the other curve's key", curves.ecdsa(&with(es, "kid", json!("ed"))), "algorithm_mismatch"),
    ];
    check(&curves.keys(), &table).await;
}

#[tokio::test]
async fn spellings() {
    let curves = Curves::new();
    let body = session().to_string();
    let rsa = |header: &str, payload: &str| sign_text(header, payload, ours());
    let plain = header().to_string();
    let headed = |member: &str, to: Value| rsa(&with(header(), member, to).to_string(), &body);
    let twice_inside = body.replacen('{', r#"{"tenants":{"t1":{"roles":["a"],"roles":["admin"]}},"#, 1);
    let bytes = |payload: &[u8]| {
        // Not text, so it cannot go through the forge; the signature is never reached or is wrong alike.
        let (head, rest) = plain_token(&plain, payload);
        format!("{head}.{rest}.c2ln")
    };
    let utf16: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let table = [
        ("usual", rsa(&plain, &body), "accepted"),
        ("blanks within the JSON", rsa(&plain, &format!(" {body}\n")), "accepted"),
        ("parameters that nobody knows", headed("x", json!({"y": 1})), "accepted"),
        ("a certificate chain of its own", headed("x5c", json!(["AAAA"])), "accepted"),
        ("a certificate elsewhere", headed("x5u", json!("https://evil.example/c.pem")), "accepted"),
        ("five parts, as if encrypted", format!("{}.AAAA.AAAA", rsa(&plain, &body)), "not_three_parts"),
        ("a byte order mark", rsa(&plain, &format!("\u{feff}{body}")), "not_json"),
        ("a header with a byte order mark", rsa(&format!("\u{feff}{plain}"), &body), "not_json"),
        ("single quotes", rsa(&plain, &body.replace('"', "'")), "not_json"),
        ("a comment", rsa(&plain, &body.replacen('{', "{/* */", 1)), "not_json"),
        ("a trailing comma", rsa(&plain, &body.replace('}', ",}")), "not_json"),
        ("NaN", rsa(&plain, &body.replace("1700000600", "NaN")), "not_json"),
        ("a number beyond all numbers", rsa(&plain, &body.replace("1700000600", "1e400")), "not_json"),
        ("roles given twice, deep inside", rsa(&plain, &twice_inside), "duplicate_member"),
        ("kid given twice", rsa(&plain.replacen('{', r#"{"kid":"k2","#, 1), &body), "duplicate_member"),
        ("UTF-16", bytes(&utf16), "bad_signature"),
        ("alg a list", headed("alg", json!(["RS256"])), "header_parameter"),
        ("alg with NUL", headed("alg", json!("RS256\u{0}")), "algorithm_not_allowed"),
        ("alg with a blank", headed("alg", json!("RS256 ")), "algorithm_not_allowed"),
        ("alg in other digits", headed("alg", json!("RS\u{ff12}56")), "algorithm_not_allowed"),
        ("alg of 10 kB", headed("alg", json!("R".repeat(10_000))), "string_too_long"),
        ("kid a list", headed("kid", json!(["k1"])), "header_parameter"),
        ("kid empty", headed("kid", json!("")), "header_parameter"),
        ("kid with a blank", headed("kid", json!("k1 ")), "unknown_key"),
        ("kid an address", headed("kid", json!("https://evil.example/k1")), "unknown_key"),
        ("crit for what we ignore", headed("crit", json!(["x5u"])), "critical_header"),
        (
            "unencoded payload",
            rsa(&with(with(header(), "b64", json!(false)), "crit", json!(["b64"])).to_string(), &body),
            "critical_header",
        ),
        ("typ of a logout", headed("typ", json!("LOGOUT+JWT")), "foreign_type"),
        ("typ of an introspection", headed("typ", json!("token-introspection+jwt")), "foreign_type"),
        (
            "typ of an attestation",
            headed("typ", json!("application/oauth-client-attestation+jwt")),
            "foreign_type",
        ),
        ("a lone surrogate", rsa(&plain, &body.replace("U1", "\\ud800")), "not_json"),
        ("a subject that turns around", rsa(&plain, &body.replace("U1", "\u{202e}1U")), "wrong_subject"),
        ("a subject with a line break", rsa(&plain, &body.replace("U1", "U1\\n")), "bad_shape"),
        ("a subject without end", rsa(&plain, &body.replace("U1", &"U".repeat(300))), "bad_shape"),
    ];
    check(&curves.keys(), &table).await;
}

fn plain_token(header: &str, payload: &[u8]) -> (String, String) {
    (URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
}

async fn check(keys: &Keys, table: &[(&str, String, &str)]) {
    let provider = provider(BASE);
    for (name, token, expected) in table {
        let token = SecretString::from(token.clone());
        let seen = match provider.verify_session(&token, keys, Some("U1"), now()).await {
            Ok(verified) => {
                assert_eq!(verified.claims.subject, "U1", "{name}");
                "accepted"
            }
            Err(fault) => {
                let message = agentauth_idp::describe(&fault);
                assert!(!message.contains("eyJ"), "{name}: a token in an error: {message}");
                assert!(!agentauth_core::text::has_hidden(&message), "{name}: {message}");
                fault.code()
            }
        };
        assert_eq!(seen, *expected, "{name}");
    }
}
