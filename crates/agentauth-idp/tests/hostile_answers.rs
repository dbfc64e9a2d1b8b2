//! Hostile answers of the provider: descriptions, key sets and token responses that say too much, too little, or the
//! same thing twice.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod support;

use agentauth_idp::{CodeGrant, DiscoveryError, ExchangeError, KeySetFault, Keys, describe};
use secrecy::SecretString;
use serde_json::{Value, json};
use support::forge::{jwk, jwks, modulus, our_jwks, ours, theirs, with};
use support::stub::{Reply, Stub};
use support::{PROJECT, now, provider};

const TOKEN: &str = "/oauth2/v1/token";

fn grant() -> CodeGrant {
    CodeGrant {
        code: SecretString::from("the-code-of-this-login"),
        verifier: SecretString::from("v".repeat(43)),
        redirect_uri: "http://127.0.0.1:47823/callback".to_owned(),
        nonce: "n".to_owned(),
        max_age_seconds: None,
        acr_values: Vec::new(),
    }
}

fn good() -> Value {
    json!({"access_token":"the-access-token-of-the-test","token_type":"Bearer",
        "refresh_token":"the-refresh-token-of-the-test","id_token":"the-id-token-of-the-test","expires_in":600})
}

#[tokio::test]
async fn token_responses() {
    let text = good().to_string();
    let set = |member: &str, to: Value| with(good(), member, to).to_string();
    let without = |member: &str| set(member, Value::Null);
    let null = |member: &str| {
        let mut all = good();
        all[member] = Value::Null;
        all.to_string()
    };
    let first = |more: &str| text.replacen('{', &format!("{{{more},"), 1);
    let deep = first(&format!(r#""x":{}1{}"#, "[".repeat(40), "]".repeat(40)));
    let table = [
        ("usual", text.clone(), "tokens"),
        ("bearer in lower case", set("token_type", json!("bearer")), "tokens"),
        ("no lifetime", without("expires_in"), "tokens"),
        ("more than is known", set("more", json!({"a":[1,2]})), "tokens"),
        ("access token twice", first(r#""access_token":"another""#), "malformed"),
        ("refresh token twice", first(r#""refresh_token":"another""#), "malformed"),
        ("id token twice", first(r#""id_token":"another""#), "malformed"),
        ("refresh token twice, once escaped", first(r#""refresh\u005ftoken":"another""#), "malformed"),
        ("an unknown member twice", first(r#""a":1,"a":2"#), "malformed"),
        ("two documents", format!("{text}{text}"), "malformed"),
        ("a tail", format!("{text} x"), "malformed"),
        ("cut short", text[..text.len() - 10].to_owned(), "malformed"),
        ("empty", String::new(), "malformed"),
        ("a list", format!("[{text}]"), "malformed"),
        ("values without names", json!(["a", "Bearer", "r", "i"]).to_string(), "malformed"),
        ("a page", "<html><title>Just a moment...</title></html>".to_owned(), "malformed"),
        ("a form", "access_token=a&token_type=bearer&refresh_token=r&id_token=i".to_owned(), "malformed"),
        ("a byte order mark", format!("\u{feff}{text}"), "malformed"),
        ("deep nesting", deep, "malformed"),
        ("no access token", without("access_token"), "malformed"),
        ("access token null", null("access_token"), "malformed"),
        ("access token empty", set("access_token", json!("")), "malformed"),
        ("access token a number", set("access_token", json!(7)), "malformed"),
        ("access token a list", set("access_token", json!(["a"])), "malformed"),
        ("access token without end", set("access_token", json!("a".repeat(40_000))), "malformed"),
        ("no refresh token", without("refresh_token"), "no refresh"),
        ("refresh token null", null("refresh_token"), "no refresh"),
        ("refresh token empty", set("refresh_token", json!("")), "no refresh"),
        ("refresh token an object", set("refresh_token", json!({"a":1})), "malformed"),
        ("no id token", without("id_token"), "no id"),
        ("id token null", null("id_token"), "no id"),
        ("id token a list", set("id_token", json!(["a"])), "malformed"),
        ("no type", without("token_type"), "malformed"),
        ("bound tokens", set("token_type", json!("DPoP")), "type"),
        ("tokens of a MAC", set("token_type", json!("mac")), "type"),
        ("a type that turns around", set("token_type", json!("\u{202e}reraeb")), "type"),
        ("a type that is a token", set("token_type", json!("eyJhbGciOiJSUzI1NiJ9.e30.c2ln")), "type"),
        ("lifetime a text", set("expires_in", json!("soon")), "malformed"),
        ("lifetime negative", set("expires_in", json!(-1)), "malformed"),
        ("lifetime beyond all time", set("expires_in", json!(1e300)), "malformed"),
    ];
    let stub = Stub::start().await;
    let provider = provider(&stub.base);
    for (name, body, expected) in table {
        stub.set(TOKEN, Reply::json(&body));
        let seen = match provider.exchange(&grant()).await {
            Ok(_) => "tokens",
            Err(error) => {
                let message = describe(&error);
                for secret in ["-of-the-test", "the-code-of-this-login", "eyJ", "another"] {
                    assert!(!message.contains(secret), "{name}: {message}");
                }
                assert!(!agentauth_core::text::has_hidden(&message), "{name}: {message}");
                match error {
                    ExchangeError::Malformed(_) => "malformed",
                    ExchangeError::TokenType(_) => "type",
                    ExchangeError::NoRefreshToken => "no refresh",
                    ExchangeError::NoIdToken => "no id",
                    _ => "something else",
                }
            }
        };
        assert_eq!(seen, expected, "{name}");
    }
}

#[tokio::test]
async fn descriptions() {
    let stub = Stub::start().await;
    let provider = provider(&stub.base);
    let base = stub.base.clone();
    let path = format!("/{PROJECT}/.well-known/openid-configuration");
    let good = json!({"issuer":format!("{base}/{PROJECT}"),"authorization_endpoint":format!("{base}/a"),
        "token_endpoint":format!("{base}/t"),"jwks_uri":format!("{base}/k")});
    let set = |member: &str, to: Value| with(good.clone(), member, to).to_string();
    let text = good.to_string();
    let table = [
        ("usual", text.clone(), "accepted"),
        ("more than is known", set("claims_supported", json!(["sub"])), "accepted"),
        (
            "token endpoint twice",
            text.replacen('{', r#"{"token_endpoint":"https://evil.example","#, 1),
            "not json",
        ),
        ("issuer twice, once escaped", text.replacen('{', r#"{"issu\u0065r":"x","#, 1), "not json"),
        ("a tail", format!("{text}x"), "not json"),
        ("a list", format!("[{text}]"), "not json"),
        ("a page", "<html>".to_owned(), "not json"),
        (
            "deep nesting",
            set("x", serde_json::from_str(&format!("{}{}", "[".repeat(20), "]".repeat(20))).unwrap()),
            "not json",
        ),
        ("no issuer", set("issuer", Value::Null), "member"),
        ("issuer a list", set("issuer", json!([format!("{base}/{PROJECT}")])), "member"),
        ("issuer of another project", set("issuer", json!(format!("{base}/P1"))), "issuer"),
        ("issuer with two slashes", set("issuer", json!(format!("{base}/{PROJECT}//"))), "issuer"),
        ("issuer with a query", set("issuer", json!(format!("{base}/{PROJECT}?x"))), "issuer"),
        ("no token endpoint", set("token_endpoint", Value::Null), "member"),
        ("no keys", set("jwks_uri", Value::Null), "member"),
        ("another host", set("token_endpoint", json!("http://evil.example/t")), "origin"),
        ("another port", set("token_endpoint", json!("http://127.0.0.1:1/t")), "origin"),
        ("another scheme", set("token_endpoint", json!(base.replace("http", "https"))), "origin"),
        (
            "another name of this machine",
            set("token_endpoint", json!(base.replace("127.0.0.1", "localhost"))),
            "origin",
        ),
        ("a user in it", set("token_endpoint", json!(base.replace("//", "//127.0.0.1@"))), "origin"),
        (
            "a host behind an at sign",
            set("token_endpoint", json!(format!("{base}@evil.example/t"))),
            "origin",
        ),
        ("a backslash", set("token_endpoint", json!(base.replace("//", "//evil.example\\@"))), "origin"),
        ("a fragment", set("token_endpoint", json!(format!("{base}/t#x"))), "origin"),
        ("relative", set("jwks_uri", json!("/k")), "origin"),
        ("a script", set("authorization_endpoint", json!("javascript:alert(1)")), "origin"),
        ("a file", set("authorization_endpoint", json!("file:///etc/passwd")), "origin"),
        ("an endpoint that nobody knows", set("some_new_endpoint", json!("http://evil.example/")), "origin"),
        ("an endpoint that is a number", set("revocation_endpoint", json!(5)), "origin"),
        ("only plain challenges", set("code_challenge_methods_supported", json!(["plain"])), "no S256"),
        ("no challenges", set("code_challenge_methods_supported", json!([])), "no S256"),
    ];
    for (name, body, expected) in table {
        stub.set(&path, Reply::json(&body));
        let seen = match provider.fetch_metadata().await {
            Ok(_) => "accepted",
            Err(error) => {
                assert!(!error.is_transient(), "{name}");
                match error {
                    DiscoveryError::NotJson => "not json",
                    DiscoveryError::Member(_) => "member",
                    DiscoveryError::Issuer { .. } => "issuer",
                    DiscoveryError::Origin { .. } => "origin",
                    DiscoveryError::Unprotected { .. } => "unprotected",
                    DiscoveryError::Moved { .. } => "moved",
                    DiscoveryError::NoS256 => "no S256",
                    _ => "something else",
                }
            }
        };
        assert_eq!(seen, expected, "{name}");
    }
}

#[test]
fn key_sets() {
    let good = our_jwks();
    let spare = || jwk(theirs(), "spare");
    let changed = |member: &str, to: Value| jwks(&[with(jwk(ours(), "k1"), member, to), spare()]);
    let n = modulus(ours());
    type Outcome = Result<Vec<&'static str>, &'static str>;
    let table: Vec<(&str, String, Outcome)> = vec![
        ("usual", good.clone(), Ok(vec!["k1"])),
        ("members that nobody knows", changed("x", json!({"y":1})), Ok(vec!["k1", "spare"])),
        ("keys twice", good.replacen('{', r#"{"keys":[],"#, 1), Err("json")),
        ("a modulus twice", good.replacen(r#""e":"#, &format!(r#""n":"{n}","e":"#), 1), Err("json")),
        ("a tail", format!("{good}x"), Err("json")),
        ("a page", "<html>".to_owned(), Err("json")),
        ("nothing", String::new(), Err("json")),
        (
            "deep nesting",
            jwks(&[serde_json::from_str(&format!("{}{}", "[".repeat(20), "]".repeat(20))).unwrap()]),
            Err("json"),
        ),
        ("a bare list", json!([jwk(ours(), "k1")]).to_string(), Err("shape")),
        ("a bare key", jwk(ours(), "k1").to_string(), Err("shape")),
        ("keys by name", json!({"keys":{"k1":jwk(ours(), "k1")}}).to_string(), Err("shape")),
        ("no keys", jwks(&[]), Err("none")),
        ("only rubbish", jwks(&[json!(1), json!("k"), json!([]), json!({})]), Err("none")),
        ("no kid", changed("kid", Value::Null), Ok(vec!["spare"])),
        ("kid a number", changed("kid", json!(1)), Ok(vec!["spare"])),
        ("kid without end", changed("kid", json!("k".repeat(600))), Ok(vec!["spare"])),
        ("modulus with padding", changed("n", json!(format!("{n}="))), Ok(vec!["spare"])),
        ("modulus in the other alphabet", changed("n", json!(format!("+/{n}"))), Ok(vec!["spare"])),
        ("modulus empty", changed("n", json!("")), Ok(vec!["spare"])),
        ("modulus of 16 kbit", changed("n", json!("_".repeat(2731))), Ok(vec!["spare"])),
        ("exponent empty", changed("e", json!("")), Ok(vec!["spare"])),
        ("exponent even", changed("e", json!("Ag")), Ok(vec!["spare"])),
        ("exponent without end", changed("e", json!("_".repeat(64))), Ok(vec!["spare"])),
        ("a private key", changed("d", json!("AQAB")), Ok(vec!["spare"])),
        ("a symmetric key", jwks(&[json!({"kty":"oct","kid":"k1","k":"AAAA"}), spare()]), Ok(vec!["spare"])),
        ("kty in lower case", changed("kty", json!("rsa")), Ok(vec!["spare"])),
        ("alg none", changed("alg", json!("none")), Ok(vec!["spare"])),
        ("alg a list", changed("alg", json!(["RS256"])), Ok(vec!["spare"])),
        ("key_ops a text", changed("key_ops", json!("verify")), Ok(vec!["spare"])),
    ];
    for (name, document, expected) in table {
        let seen =
            Keys::from_set(document.as_bytes(), now()).map(|keys| keys.ids()).map_err(|fault| match fault {
                KeySetFault::Json(_) => "json",
                KeySetFault::Shape => "shape",
                KeySetFault::NoUsableKey(_) => "none",
            });
        let expected = expected.map(|ids| ids.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(seen, expected, "{name}");
    }
}
