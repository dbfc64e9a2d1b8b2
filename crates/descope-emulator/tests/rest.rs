//! The REST endpoints that no official SDK calls: native flows, certificates, locked management.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use descope_emulator::Emulator;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use support::{Tester, error_code, text};

async fn exchange(tester: &Tester, code: &str, verifier: &str) -> Response {
    let request = tester.http.post(format!("{}/v1/flow/exchange", tester.base));
    let body = json!({"authorizationCode": code, "codeVerifier": verifier});
    request.bearer_auth(&tester.project).json(&body).send().await.unwrap()
}

#[tokio::test]
async fn a_native_flow_ends_with_its_own_pkce() {
    let emulator = Emulator::builder().start().await.unwrap();
    let (control, tester) = (emulator.control(), Tester::new(&emulator));
    let verifier = URL_SAFE_NO_PAD.encode([7; 32]);
    let native = URL_SAFE_NO_PAD.encode(Sha256::digest([7; 32]));
    let standard = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));

    let code = control.native_code("alice@acme.test", &native).unwrap();
    let answer: Value = exchange(&tester, &code, &verifier).await.json().await.unwrap();
    let claims = tester.verify(text(&answer, "sessionJwt")).await.unwrap();
    assert_eq!((&claims["drn"], &claims["amr"]), (&json!("DS"), &json!(["pwd"])));
    assert_eq!(answer["user"]["email"], "alice@acme.test");
    assert_eq!(
        error_code(exchange(&tester, &code, &verifier).await).await,
        (401, "E061005".to_owned()),
        "used"
    );

    let code = control.native_code("alice@acme.test", &standard).unwrap();
    let refused = error_code(exchange(&tester, &code, &verifier).await).await;
    assert_eq!(refused, (400, "E011004".to_owned()), "the digest of RFC 7636");
    let code = control.native_code("alice@acme.test", &native).unwrap();
    control.advance(181);
    assert_eq!(error_code(exchange(&tester, &code, &verifier).await).await.0, 401, "expired");
    assert!(control.native_code("nobody@acme.test", &native).is_err());
}

#[tokio::test]
async fn keys_come_with_certificates_where_asked() {
    let emulator = Emulator::builder().start().await.unwrap();
    let tester = Tester::new(&emulator);
    let path = format!("/{}/.well-known/jwks.json", tester.project);
    assert!(tester.json(&path).await["keys"][0].get("x5c").is_none());
    let key = tester.json(&format!("{path}?certs=true")).await["keys"][0].clone();
    let certificate = STANDARD.decode(key["x5c"][0].as_str().unwrap()).unwrap();
    let modulus = URL_SAFE_NO_PAD.decode(text(&key, "n")).unwrap();
    assert!(certificate.windows(modulus.len()).any(|window| window == modulus));
}

#[tokio::test]
async fn management_is_closed_to_everybody_else() {
    let emulator = Emulator::builder().start().await.unwrap();
    let (control, tester) = (emulator.control(), Tester::new(&emulator));
    let session = control.sign_in("dana@acme.test").unwrap().session;
    let load = async |bearer: &str| {
        let url = format!("{}/v1/mgmt/user?loginId=alice@acme.test", tester.base);
        tester.http.get(url).bearer_auth(bearer).send().await.unwrap().status()
    };
    let project = &tester.project;
    assert_eq!(load(&format!("{project}:acme-management-key")).await, StatusCode::OK);
    for other in ["", "acme-authentication-key", session.as_str(), "acme-management-key:more"] {
        assert_eq!(load(&format!("{project}:{other}")).await, StatusCode::UNAUTHORIZED, "{other}");
    }
    assert_eq!(load("P2Another00Project00000000Id:acme-management-key").await, StatusCode::NOT_FOUND);
}
