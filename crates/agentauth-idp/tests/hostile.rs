//! Hostile answers and tokens: each is refused, for the right reason, and nothing is left behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod support;

use agentauth_idp::{Keys, Provider, TokenSet};
use secrecy::SecretString;
use serde_json::{Value, json};
use support::forge::{
    NONCE, WEAK_MODULUS, WEAK_TOKEN, header, hmac, id, jwk, jwks, modulus, our_jwks, ours, session, sign,
    sign_text, theirs, unsigned, with,
};
use support::{PROJECT, now, provider};

/// No request is ever made in this file's token tests; nobody listens there.
const BASE: &str = "http://127.0.0.1:9";

fn keys() -> Keys {
    Keys::from_set(our_jwks().as_bytes(), now()).unwrap()
}

/// What becomes of a login with these two tokens: `accepted`, or the code of the refusal.
async fn verdict(provider: &Provider, keys: &Keys, session: String, id: String) -> String {
    let tokens = TokenSet {
        access_token: SecretString::from(session),
        refresh_token: SecretString::from("refresh"),
        id_token: SecretString::from(id),
        expires_in: None,
    };
    match provider.accept(&tokens, keys, Some(NONCE), Some("U1"), now()).await {
        Ok(accepted) => {
            assert_eq!(accepted.user.subject, "U1");
            "accepted".to_owned()
        }
        Err(fault) => {
            let message = agentauth_idp::describe(&fault);
            assert!(!message.contains("eyJ"), "a token in an error: {message}");
            fault.code().to_owned()
        }
    }
}

fn changed(member: &str, to: Value) -> String {
    sign(&header(), &with(session(), member, to))
}

fn headed(member: &str, to: Value) -> String {
    sign(&with(header(), member, to), &session())
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

/// Changes one character in the middle of a part.
fn tampered(token: &str, part: usize) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let middle = parts[part].len() / 2;
    let old = parts[part].remove(middle);
    parts[part].insert(middle, if old == 'A' { 'B' } else { 'A' });
    parts.join(".")
}

#[tokio::test]
async fn session_tokens() {
    let good = sign(&header(), &session());
    let body = session().to_string();
    let pem_like = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", modulus(ours()));
    let none = |alg: &str| format!("{}.c2ln", unsigned(&format!(r#"{{"alg":"{alg}","kid":"k1"}}"#), &body));
    let hs = r#"{"alg":"HS256","kid":"k1","typ":"JWT"}"#;
    let deep = format!(r#"{{"iss":"{PROJECT}","x":{}1{}}}"#, "[".repeat(40), "]".repeat(40));
    let table: Vec<(&str, String, &str)> = vec![
        ("good", good.clone(), "accepted"),
        ("unknown claims are ignored", changed("favourite", json!({"colour": "blue"})), "accepted"),
        // Signatures.
        ("alg none", none("none"), "algorithm_not_allowed"),
        ("alg None", none("None"), "algorithm_not_allowed"),
        ("alg nOnE", none("nOnE"), "algorithm_not_allowed"),
        ("alg none, empty signature", format!("{}.", unsigned(r#"{"alg":"none"}"#, &body)), "not_base64url"),
        ("no alg", headed("alg", Value::Null), "header_parameter"),
        ("alg in lower case", headed("alg", json!("rs256")), "algorithm_not_allowed"),
        (
            "HS256 with the modulus as secret",
            hmac(hs, &body, modulus(ours()).as_bytes()),
            "algorithm_not_allowed",
        ),
        ("HS256 with the pem as secret", hmac(hs, &body, pem_like.as_bytes()), "algorithm_not_allowed"),
        (
            "HS256 with the jwk as secret",
            hmac(hs, &body, jwk(ours(), "k1").to_string().as_bytes()),
            "algorithm_not_allowed",
        ),
        ("another alg of the family", headed("alg", json!("RS512")), "algorithm_mismatch"),
        ("PSS with a PKCS1 key", headed("alg", json!("PS256")), "algorithm_mismatch"),
        ("another project's key", sign_text(&header().to_string(), &body, theirs()), "bad_signature"),
        ("unknown kid", headed("kid", json!("k2")), "unknown_key"),
        ("kid in upper case", headed("kid", json!("K1")), "unknown_key"),
        ("kid with a path", headed("kid", json!("../../k1")), "unknown_key"),
        ("kid with SQL", headed("kid", json!("k1' OR '1'='1")), "unknown_key"),
        ("kid with NUL", headed("kid", json!("k1\u{0}")), "unknown_key"),
        ("kid of 10 kB", headed("kid", json!("k".repeat(10_000))), "string_too_long"),
        ("kid a number", headed("kid", json!(1)), "header_parameter"),
        ("no kid", headed("kid", Value::Null), "missing_key_id"),
        ("tampered payload", tampered(&good, 1), "bad_signature"),
        ("tampered signature", tampered(&good, 2), "bad_signature"),
        (
            "zero signature",
            format!("{}.{}", good.rsplit_once('.').unwrap().0, "A".repeat(342)),
            "bad_signature",
        ),
        (
            "signature of another token",
            {
                let other = sign(&header(), &with(session(), "sub", json!("U2")));
                format!("{}.{}", good.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1)
            },
            "bad_signature",
        ),
        ("stripped signature", format!("{}.", good.rsplit_once('.').unwrap().0), "not_base64url"),
        ("two parts", good.rsplit_once('.').unwrap().0.to_owned(), "not_three_parts"),
        ("four parts", format!("{good}.AAAA"), "not_three_parts"),
        ("padding", format!("{good}="), "not_base64url"),
        ("trailing newline", format!("{good}\n"), "not_base64url"),
        ("leading blank", format!(" {good}"), "not_base64url"),
        ("standard base64 alphabet", good.replacen('.', "+.", 1), "not_base64url"),
        ("empty", String::new(), "not_three_parts"),
        ("JSON serialisation", json!({"payload":"e30","signatures":[]}).to_string(), "not_three_parts"),
        ("oversize", format!("{good}{}", "A".repeat(17_000)), "too_large"),
        // Headers.
        ("crit", headed("crit", json!(["exp"])), "critical_header"),
        ("empty crit", headed("crit", json!([])), "critical_header"),
        (
            "duplicate alg",
            sign_text(r#"{"alg":"none","kid":"k1","alg":"RS256"}"#, &body, ours()),
            "duplicate_member",
        ),
        (
            "own key in jwk",
            sign_text(&with(header(), "jwk", jwk(theirs(), "k1")).to_string(), &body, theirs()),
            "bad_signature",
        ),
        (
            "own key at jku",
            sign_text(&with(header(), "jku", json!("https://evil.example")).to_string(), &body, theirs()),
            "bad_signature",
        ),
        ("typ of a DPoP proof", headed("typ", json!("dpop+jwt")), "foreign_type"),
        ("typ of a security event", headed("typ", json!("application/secevent+jwt")), "foreign_type"),
        ("header an array", sign_text("[]", &body, ours()), "not_an_object"),
        ("header no JSON", sign_text("RS256", &body, ours()), "not_json"),
        // Payloads.
        ("payload an array", sign_text(&header().to_string(), "[]", ours()), "not_an_object"),
        ("payload no JSON", sign_text(&header().to_string(), "sub=U1", ours()), "not_json"),
        (
            "duplicate exp",
            sign_text(&header().to_string(), &body.replacen('{', r#"{"exp":1,"#, 1), ours()),
            "duplicate_member",
        ),
        (
            "duplicate iss by escape",
            sign_text(&header().to_string(), &body.replacen('{', r#"{"is\u0073":"x","#, 1), ours()),
            "duplicate_member",
        ),
        ("deep nesting", sign_text(&header().to_string(), &deep, ours()), "too_deep"),
        ("two documents", sign_text(&header().to_string(), &format!("{body}{{}}"), ours()), "not_json"),
        // Times.
        ("expired", changed("exp", json!(1_699_999_000)), "expired"),
        ("expired within a millisecond of the leeway", changed("exp", json!(1_699_999_995)), "expired"),
        ("just within the leeway", changed("exp", json!(1_699_999_996)), "accepted"),
        ("no exp", changed("exp", Value::Null), "missing_claim"),
        ("exp a string", changed("exp", json!("1700000600")), "bad_shape"),
        ("exp negative", changed("exp", json!(-1)), "bad_shape"),
        ("exp beyond all time", changed("exp", json!(1e300)), "bad_shape"),
        (
            "exp null",
            sign_text(&header().to_string(), &body.replace("1700000600", "null"), ours()),
            "bad_shape",
        ),
        ("nbf in the future", changed("nbf", json!(1_700_000_060)), "not_yet_valid"),
        ("nbf a string", changed("nbf", json!("now")), "bad_shape"),
        ("iat in the future", changed("iat", json!(1_700_000_060)), "issued_in_future"),
        // Issuers (sheet 3.2).
        ("iss as url", changed("iss", json!(format!("{BASE}/{PROJECT}"))), "accepted"),
        ("no iss", changed("iss", Value::Null), "missing_claim"),
        ("iss of another project", changed("iss", json!("P999999999999999999999999999")), "wrong_issuer"),
        (
            "iss of another host",
            changed("iss", json!(format!("https://evil.example/{PROJECT}"))),
            "wrong_issuer",
        ),
        (
            "iss of another port",
            changed("iss", json!(format!("http://127.0.0.1:10/{PROJECT}"))),
            "wrong_issuer",
        ),
        ("iss of an inbound app", changed("iss", json!(format!("{BASE}/v1/apps/{PROJECT}"))), "wrong_issuer"),
        (
            "iss of an MCP server",
            changed("iss", json!(format!("{BASE}/v1/apps/agentic/{PROJECT}/MS1"))),
            "wrong_issuer",
        ),
        (
            "iss of a tenant's app",
            changed("iss", json!(format!("{BASE}/v1/apps/{PROJECT}/T1"))),
            "wrong_issuer",
        ),
        ("iss of a federated app", changed("iss", json!(format!("{BASE}/{PROJECT}/SA1"))), "wrong_issuer"),
        (
            "iss with the project in the query",
            changed("iss", json!(format!("https://evil.example/?x=/{PROJECT}"))),
            "wrong_issuer",
        ),
        ("iss a list", changed("iss", json!([PROJECT])), "bad_shape"),
        ("iss empty", changed("iss", json!("")), "wrong_issuer"),
        // Whose and for whom.
        ("aud ours", changed("aud", json!(PROJECT)), "accepted"),
        ("aud of somebody else", changed("aud", json!("somebody")), "wrong_audience"),
        ("aud list of others", changed("aud", json!(["a", "b"])), "wrong_audience"),
        ("aud a number", changed("aud", json!(7)), "bad_shape"),
        ("refresh token as session", changed("drn", json!("DSR")), "wrong_kind"),
        ("trusted device token as session", changed("drn", json!("DTD")), "wrong_kind"),
        ("drn in lower case", changed("drn", json!("ds")), "wrong_kind"),
        ("no drn", changed("drn", Value::Null), "missing_claim"),
        ("drn a list", changed("drn", json!(["DS"])), "bad_shape"),
        ("another user", changed("sub", json!("U2")), "wrong_subject"),
        ("another user by dsub", changed("dsub", json!("U2")), "wrong_subject"),
        ("no user", changed("sub", Value::Null), "missing_claim"),
        ("id token as session", sign(&header(), &id(BASE)), "missing_claim"),
    ];
    check(&table, |token| (token, sign(&header(), &id(BASE)))).await;
}

#[tokio::test]
async fn id_tokens() {
    let changed = |member: &str, to: Value| sign(&header(), &with(id(BASE), member, to));
    let good = sign(&header(), &id(BASE));
    let access = sign(&header(), &session());
    let at_hash = agentauth_core::claims::access_token_hash("RS256", &access).unwrap();
    let table: Vec<(&str, String, &str)> = vec![
        ("good", good.clone(), "accepted"),
        ("good with at_hash", changed("at_hash", json!(at_hash)), "accepted"),
        ("at_hash of another token", changed("at_hash", json!(at_hash.to_lowercase())), "other_access_token"),
        ("at_hash empty", changed("at_hash", json!("")), "other_access_token"),
        ("wrong nonce", changed("nonce", json!("another")), "wrong_nonce"),
        ("nonce with a tail", changed("nonce", json!(format!("{NONCE} "))), "wrong_nonce"),
        ("no nonce", changed("nonce", Value::Null), "missing_claim"),
        ("empty nonce", changed("nonce", json!("")), "wrong_nonce"),
        ("nonce a number", changed("nonce", json!(5)), "bad_shape"),
        ("bare iss", changed("iss", json!(PROJECT)), "wrong_issuer"),
        ("iss with a slash more", changed("iss", json!(format!("{BASE}/{PROJECT}/"))), "wrong_issuer"),
        (
            "iss of another host",
            changed("iss", json!(format!("https://api.descope.com/{PROJECT}"))),
            "wrong_issuer",
        ),
        ("aud of another client", changed("aud", json!("another")), "wrong_audience"),
        ("aud ours and a stranger's", changed("aud", json!([PROJECT, "another"])), "wrong_audience"),
        ("no aud", changed("aud", Value::Null), "missing_claim"),
        ("azp of another client", changed("azp", json!("another")), "wrong_audience"),
        ("expired", changed("exp", json!(1_699_990_000)), "expired"),
        ("no exp", changed("exp", Value::Null), "missing_claim"),
        ("no iat", changed("iat", Value::Null), "missing_claim"),
        ("iat in the future", changed("iat", json!(1_700_000_100)), "issued_in_future"),
        ("another user than the session's", changed("sub", json!("U2")), "subject_mismatch"),
        ("another user by dsub", changed("dsub", json!("U2")), "subject_mismatch"),
        ("session token as id token", access.clone(), "wrong_issuer"),
        ("refresh token as id token", changed("drn", json!("DSR")), "wrong_kind"),
        ("logout token", sign(&with(header(), "typ", json!("logout+jwt")), &id(BASE)), "foreign_type"),
        ("access token type", sign(&with(header(), "typ", json!("at+jwt")), &id(BASE)), "foreign_type"),
        (
            "unsigned",
            format!("{}.c2ln", unsigned(r#"{"alg":"none"}"#, &id(BASE).to_string())),
            "algorithm_not_allowed",
        ),
        ("another's key", sign_text(&header().to_string(), &id(BASE).to_string(), theirs()), "bad_signature"),
        ("tampered", tampered(&good, 2), "bad_signature"),
    ];
    check(&table, |token| (sign(&header(), &session()), token)).await;
}

#[tokio::test]
async fn key_sets() {
    let provider = provider(BASE);
    let good = || (sign(&header(), &session()), sign(&header(), &id(BASE)));
    let with_key = |member: &str, to: Value| with(jwk(ours(), "k1"), member, to);
    let spare = || jwk(theirs(), "spare");
    for (name, set, expected) in [
        ("good", vec![jwk(ours(), "k1")], "accepted"),
        ("alg is implied", vec![with_key("alg", Value::Null)], "accepted"),
        ("two keys with the same kid", vec![jwk(ours(), "k1"), jwk(theirs(), "k1")], "ambiguous_key"),
        ("for encryption", vec![with_key("use", json!("enc"))], "not_for_signatures"),
        ("for another operation", vec![with_key("key_ops", json!(["wrapKey"]))], "not_for_signatures"),
        ("for another algorithm", vec![with_key("alg", json!("RS384"))], "algorithm_mismatch"),
        ("for HMAC", vec![with_key("alg", json!("HS256")), spare()], "unknown_key"),
        ("of another kind", vec![with_key("kty", json!("oct")), spare()], "unknown_key"),
        ("with its private part", vec![with_key("d", json!("AQAB")), spare()], "unknown_key"),
        ("with exponent 1", vec![with_key("e", json!("AQ")), spare()], "unknown_key"),
        ("only of others", vec![jwk(theirs(), "k1")], "bad_signature"),
    ] {
        let keys = Keys::from_set(jwks(&set).as_bytes(), now()).unwrap();
        let (session, id) = good();
        assert_eq!(verdict(&provider, &keys, session, id).await, expected, "{name}");
    }
    let weak = json!({"kty":"RSA","alg":"RS256","kid":"weak","n":WEAK_MODULUS,"e":"AQAB"});
    let keys = Keys::from_set(jwks(&[weak, jwk(ours(), "k1")]).as_bytes(), now()).unwrap();
    let seen = verdict(&provider, &keys, WEAK_TOKEN.to_owned(), good().1).await;
    assert_eq!(seen, "unknown_key", "an RSA key of 1024 bits");
    // Keys that nobody confirmed for a day are no keys.
    let keys = Keys::from_set(our_jwks().as_bytes(), now() - jiff::SignedDuration::from_hours(24)).unwrap();
    let (session, id) = good();
    assert_eq!(verdict(&provider, &keys, session, id).await, "stale_keys");
    // Nor are keys that will be fetched tomorrow: the clock was set back.
    let keys = Keys::from_set(our_jwks().as_bytes(), now() + jiff::SignedDuration::from_hours(24)).unwrap();
    let (session, id) = good();
    assert_eq!(verdict(&provider, &keys, session, id).await, "stale_keys");
}

async fn check(table: &[(&str, String, &str)], tokens: impl Fn(String) -> (String, String)) {
    let provider = provider(BASE);
    let keys = keys();
    for (name, token, expected) in table {
        let (session, id) = tokens(token.clone());
        assert_eq!(verdict(&provider, &keys, session, id).await, *expected, "{name}");
    }
}

#[test]
fn the_forge_is_fair() {
    assert_ne!(modulus(ours()), modulus(theirs()));
    assert_eq!(base64("{}"), "e30");
}
