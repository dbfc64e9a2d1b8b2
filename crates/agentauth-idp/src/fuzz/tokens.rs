//! Tokens and key sets.

use std::sync::LazyLock;

use agentauth_core::SignedDuration;
use agentauth_core::claims::{
    ALLOWED_ALGORITHMS, Claims, IdTokenExpectation, MAX_TOKEN_BYTES, SessionExpectation, access_token_hash,
    judge_id_token, judge_session, split_jws,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::Value;

use super::json::{duplicates, is_json};
use super::{ORIGIN, PROJECT, assert_presentable, config, now, oidc};
use crate::jwks::{KeyNames, KeySet, hopeless};
use crate::transport::describe;

/// The public half of the key pair that RFC 8037 appendix A prints.
const TEST_KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
/// Its private half, as PKCS #8.
const TEST_PKCS8: [u8; 48] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20, 0x9d,
    0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49,
    0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
];

static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let document = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"{TEST_KEY}"}}]}}"#);
    KeySet::parse(document.as_bytes(), KeyNames::Required).expect("a usable key set")
});
static SIGNING_KEY: LazyLock<EncodingKey> = LazyLock::new(|| EncodingKey::from_ed_der(&TEST_PKCS8));
static SESSION: LazyLock<SessionExpectation> = LazyLock::new(|| SessionExpectation {
    audiences: config().audiences(),
    ..SessionExpectation::new(PROJECT, config().base_url().clone())
});
static ID: LazyLock<IdTokenExpectation> = LazyLock::new(|| IdTokenExpectation {
    nonce: Some("n".to_owned()),
    ..IdTokenExpectation::new(config().issuer(), PROJECT)
});

/// A whole token; or, where there is a line break, its header and its payload in plain text, which are then signed with
/// the test key where the header lets that key verify.
pub fn jwt(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match text.split_once('\n') {
        None => whole(text),
        Some((header, payload)) => {
            let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
            whole(&format!("{message}.c2ln"));
            if let Ok((header, seen)) = split_jws(&format!("{message}.c2ln")) {
                assert_eq!(seen, payload.as_bytes(), "another payload than was written");
                oidc::access_token(&format!("{message}.c2ln"), &header, payload.as_bytes());
                if header.alg == "EdDSA" && header.kid.as_deref() == Some("k1") {
                    signed(&message);
                }
            }
            claims(payload.as_bytes());
            oidc::id_token(payload.as_bytes());
        }
    }
}

/// A token whose signature cannot be good.
fn whole(token: &str) {
    match split_jws(token) {
        Ok((header, payload)) => {
            assert!(token.len() <= MAX_TOKEN_BYTES && token.is_ascii());
            let (head, rest) = token.split_once('.').expect("a first part");
            let (body, signature) = rest.split_once('.').expect("a second part");
            assert!(!signature.is_empty() && !signature.contains('.'), "not three parts: {token}");
            // One spelling only: what was read, written again, is the token.
            assert_eq!(URL_SAFE_NO_PAD.encode(&payload), body);
            let head = URL_SAFE_NO_PAD.decode(head).expect("base64url");
            let twice = duplicates(&head).expect("a header that was read is JSON");
            assert!(!twice.anywhere, "a header with duplicates: {token}");
            let again = serde_json::from_slice::<Value>(&head).expect("JSON");
            assert_eq!(again.get("alg").and_then(Value::as_str), Some(header.alg.as_str()));
            assert_eq!(again.get("kid").and_then(Value::as_str), header.kid.as_deref());
            assert!(again.get("crit").is_none());
            if let Err(fault) = header.check_type(&["at+jwt"]) {
                assert_presentable(&fault.to_string());
            }
            let _ = access_token_hash(&header.alg, token);
        }
        Err(fault) => assert_presentable(&fault.to_string()),
    }
    if let Ok(header) = hopeless(token, KeyNames::Required) {
        assert!(ALLOWED_ALGORITHMS.contains(&header.alg.as_str()), "worth a fetch: {}", header.alg);
        assert!(header.kid.is_some());
    }
    match KEYS.verify(token) {
        // Nobody but the holder of the key can make one; the fuzzer's corpus has a few that were made with it.
        Ok(verified) => {
            assert_eq!((verified.header.alg.as_str(), verified.key_id.as_str()), ("EdDSA", "k1"));
            let good = token.rsplit_once('.').is_some_and(|(message, signature)| sign(message) == signature);
            assert!(good, "a forged signature was accepted: {token}");
        }
        Err(fault) => assert_presentable(&describe(&fault)),
    }
}

/// A token that the provider's key really signed.
fn signed(message: &str) {
    let token = format!("{message}.{}", sign(message));
    match KEYS.verify(&token) {
        Ok(verified) => {
            let payload = message.split_once('.').map(|(_, payload)| payload).unwrap_or_default();
            let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
            assert_eq!(Some(verified.claims), Claims::parse(&payload).ok());
        }
        // The payload is at fault, or the token is too large; the signature is good.
        Err(fault) => assert_ne!(fault.code(), "bad_signature", "{token}"),
    }
}

/// What a payload is worth, once its signature is known to be good.
fn claims(payload: &[u8]) {
    let claims = match Claims::parse(payload) {
        Ok(claims) => claims,
        Err(fault) => return assert_presentable(&fault.to_string()),
    };
    let twice = duplicates(payload).expect("claims that were read are JSON");
    assert!(!twice.anywhere, "claims with duplicates were accepted");
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let (leeway, late) = (SignedDuration::from_secs(5), SignedDuration::from_hours(24 * 365));
    match judge_session(&claims, &SESSION, now()) {
        Ok(session) => {
            assert_eq!(judge_session(&claims, &SESSION, now()).as_ref(), Ok(&session));
            assert_eq!(text("drn"), Some("DS"));
            let issuer = text("iss").expect("an issuer");
            assert!(issuer == PROJECT || issuer == format!("{ORIGIN}/{PROJECT}"), "{issuer}");
            assert_eq!(text("dsub").or(text("sub")), Some(session.subject.as_str()));
            assert!(!session.subject.is_empty() && session.subject.len() <= 255);
            assert!(!session.subject.chars().any(char::is_control));
            assert!(session.expires_at > now() - leeway);
            if let Ok(after) = session.expires_at.checked_add(leeway) {
                let refused = judge_session(&claims, &SESSION, after).map_err(|refusal| refusal.code());
                assert_eq!(refused.err(), Some("expired"));
            }
            let pinned = SessionExpectation { subject: Some("nobody else".to_owned()), ..SESSION.clone() };
            assert!(judge_session(&claims, &pinned, now()).is_err() || session.subject == "nobody else");
            let elsewhere = SessionExpectation {
                project_id: "P999999999999999999999999999".to_owned(),
                ..SESSION.clone()
            };
            assert!(judge_session(&claims, &elsewhere, now()).is_err(), "another project's session");
            for warning in &session.warnings {
                assert_presentable(warning);
            }
            for role in &session.roles {
                let said = claims.get("roles").and_then(Value::as_array).expect("a list of roles");
                assert!(said.iter().any(|one| one == role.as_str()), "a role that nobody gave");
            }
        }
        Err(refusal) => assert_presentable(&refusal.to_string()),
    }
    match judge_id_token(&claims, &ID, now()) {
        Ok(id) => {
            assert_eq!(judge_id_token(&claims, &ID, now()).as_ref(), Ok(&id));
            assert_eq!(text("iss"), Some(format!("{ORIGIN}/{PROJECT}").as_str()));
            assert_eq!(text("nonce"), Some("n"));
            let audience = claims.get("aud").expect("an audience");
            let ours = |one: &Value| one == PROJECT;
            assert!(ours(audience) || audience.as_array().is_some_and(|list| list.iter().all(ours)));
            assert!(!id.subject.is_empty() && id.subject.len() <= 255);
            let after = now().checked_add(late).ok().filter(|after| *after > id.expires_at + leeway);
            assert!(after.is_none_or(|after| judge_id_token(&claims, &ID, after).is_err()));
        }
        Err(refusal) => assert_presentable(&refusal.to_string()),
    }
}

/// A published key set, Descope's and any other provider's.
pub fn jwks(input: &[u8]) {
    for names in [KeyNames::Required, KeyNames::Optional] {
        key_set(input, names);
    }
}

fn key_set(input: &[u8], names: KeyNames) {
    let set = match KeySet::parse(input, names) {
        Ok(set) => set,
        Err(fault) => return assert_presentable(&describe(&fault)),
    };
    assert!(is_json(input));
    assert!(
        !duplicates(input).expect("a key set that was read is JSON").anywhere,
        "duplicates were accepted"
    );
    let document: Value = serde_json::from_slice(input).expect("JSON");
    let published = document.get("keys").and_then(Value::as_array).expect("a list of keys");
    let ids: Vec<&str> = set.ids().collect();
    assert!(!ids.is_empty() && ids.len() + set.ignored() == published.len());
    let again = KeySet::parse(input, names).expect("the same document");
    assert!(again.ids().eq(ids.iter().copied()));
    if names == KeyNames::Required {
        // Who does without names takes these keys all the same.
        let lenient = KeySet::parse(input, KeyNames::Optional).expect("a set with more keys");
        assert!(ids.iter().all(|kid| lenient.contains(kid)));
    }
    for kid in &ids {
        if kid.is_empty() {
            assert_eq!(names, KeyNames::Optional);
            assert!(
                published.iter().any(|jwk| jwk.get("kid").is_none()),
                "a nameless key that nobody published"
            );
            continue;
        }
        assert!(!kid.is_empty() && kid.len() <= 512 && set.contains(kid));
        let jwk = published.iter().find(|jwk| jwk.get("kid").and_then(Value::as_str) == Some(kid));
        assert!(jwk.is_some(), "a key that nobody published: {kid}");
    }
    // A token of the test key is good by that key only, whatever else is published under its name.
    for (alg, message) in [
        ("EdDSA", message(r#"{"alg":"EdDSA","kid":"k1"}"#)),
        ("RS256", message(r#"{"alg":"RS256","kid":"k1"}"#)),
        ("ES256", message(r#"{"alg":"ES256","kid":"k1"}"#)),
        // A token that names no key.
        ("EdDSA", message(r#"{"alg":"EdDSA"}"#)),
        ("RS256", message(r#"{"alg":"RS256"}"#)),
    ] {
        match set.verify(&format!("{message}.{}", sign(&message))) {
            Ok(verified) => {
                assert_eq!(alg, "EdDSA");
                assert!(verified.header.kid.is_some() || names == KeyNames::Optional, "a key was guessed");
                let holds = published.iter().any(|jwk| {
                    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
                    text("kid").unwrap_or_default() == verified.key_id && text("x") == Some(TEST_KEY)
                });
                assert!(holds, "verified by another key");
            }
            Err(fault) => assert_presentable(&describe(&fault)),
        }
    }
}

fn message(header: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(r#"{"sub":"U1"}"#))
}

fn sign(message: &str) -> String {
    jsonwebtoken::crypto::sign(message.as_bytes(), &SIGNING_KEY, Algorithm::EdDSA).expect("a signature")
}
