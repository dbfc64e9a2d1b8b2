//! From discovery to tokens: the way of a login.
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
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use descope_emulator::{ACME, Approval, Emulator, SecretKind, Settings};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use support::{CHALLENGE, REDIRECT, Tester, VERIFIER, error_code, returned, text};

async fn approving() -> (Emulator, Tester) {
    let emulator = Emulator::builder().auto_approve("alice@acme.test").start().await.unwrap();
    let tester = Tester::new(&emulator);
    (emulator, tester)
}

async fn with_page() -> (Emulator, Tester) {
    let emulator = Emulator::builder().start().await.unwrap();
    let tester = Tester::new(&emulator);
    (emulator, tester)
}

#[tokio::test]
async fn discovery_and_keys_agree() {
    let (emulator, tester) = approving().await;
    let project = emulator.project_id();
    assert!(project.starts_with('P') && project.len() == 28);
    let document = tester.json(&format!("/{project}/.well-known/openid-configuration")).await;
    assert_eq!(document["issuer"], emulator.issuer());
    assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
    for path in [
        format!("/{project}/.well-known/oauth-authorization-server"),
        format!("/.well-known/oauth-authorization-server/{project}"),
    ] {
        assert_eq!(tester.json(&path).await, document);
    }
    for (name, value) in document.as_object().unwrap() {
        if name.ends_with("_endpoint") || name == "jwks_uri" {
            assert!(value.as_str().unwrap().starts_with(emulator.base_url()), "{name}");
        }
    }
    let jwks = tester.json(&format!("/{project}/.well-known/jwks.json")).await;
    assert_eq!(jwks, tester.json(&format!("/v2/keys/{project}")).await);
    assert_eq!(jwks["keys"], tester.json(&format!("/v1/keys/{project}")).await);
    let key = &jwks["keys"][0];
    assert_eq!((text(key, "alg"), text(key, "kty"), text(key, "use")), ("RS256", "RSA", "sig"));
    assert_eq!(URL_SAFE_NO_PAD.decode(text(key, "n")).unwrap().len(), 256);
    let older = &jwks["keys"][1];
    assert!(older["kid"] != key["kid"] && URL_SAFE_NO_PAD.decode(text(older, "n")).unwrap().len() == 256);
    let stranger = "P2Another00Project00000000Id";
    assert_eq!(
        error_code(tester.get(&format!("/v2/keys/{stranger}")).await).await,
        (404, "E011008".to_owned())
    );
    assert_eq!(emulator.control().key_fetches(), 4);
    emulator.shutdown().await;
}

#[tokio::test]
async fn a_login_gives_three_verifiable_tokens() {
    let (emulator, tester) = approving().await;
    let alice = emulator.control().user("alice@acme.test").unwrap();
    let tokens = tester.login().await;

    let session = tester.verify(&tokens.access).await.unwrap();
    assert_eq!(session["iss"], emulator.project_id());
    assert_eq!(session["sub"], alice.id);
    assert_eq!(session["drn"], "DS");
    assert_eq!(session["roles"], json!(["payment_processor"]));
    assert_eq!(session["permissions"], json!(["payments.execute", "payments.read"]));
    assert_eq!(session["exp"].as_i64().unwrap() - session["iat"].as_i64().unwrap(), 600);
    assert!(session["rexp"].as_str().unwrap().ends_with('Z'));
    assert!(session.get("jti").is_none() && session.get("tenants").is_none());

    let refresh = tester.verify(&tokens.refresh).await.unwrap();
    assert_eq!(refresh["drn"], "DSR");

    let id = tester.verify(&tokens.id).await.unwrap();
    assert_eq!(id["iss"], emulator.issuer());
    assert_eq!(id["aud"], json!([emulator.project_id()]));
    assert_eq!(id["nonce"], "the-nonce");
    assert_eq!((text(&id, "email"), text(&id, "name")), ("alice@acme.test", "Alice Moreau"));
    assert!(id["auth_time"].is_i64());
    let half = &Sha256::digest(tokens.access.as_bytes())[..16];
    assert_eq!(text(&id, "at_hash"), URL_SAFE_NO_PAD.encode(half));
}

#[tokio::test]
async fn the_page_signs_in_complains_and_cancels() {
    let (emulator, tester) = with_page().await;
    let open = || async {
        let response = tester.authorize(&[("login_hint", "alice@acme.test"), ("flow", "sign-in")]).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(
            response.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'")
        );
        let page = response.text().await.unwrap();
        assert!(page.contains("alice@acme.test") && page.contains("Sign in to Acme"));
        let (_, rest) = page.split_once("name=\"state_id\" value=\"").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    let path = format!("/login/{}", emulator.project_id());
    let handle = open().await;
    let fill = |password: &'static str, action: &'static str, handle: &str| {
        [
            ("state_id", handle.to_owned()),
            ("email", "alice@acme.test".to_owned()),
            ("password", password.to_owned()),
            ("action", action.to_owned()),
        ]
    };
    let post = async |form: [(&str, String); 4]| {
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        tester.form(&path, &form).await
    };

    let wrong = post(fill("guess", "sign-in", &handle)).await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    let page = wrong.text().await.unwrap();
    assert!(page.contains("role=\"alert\"") && page.contains("do not belong together"));
    assert_eq!(tester.get(&format!("{path}?state_id={handle}")).await.status(), StatusCode::OK);

    let answer = returned(&post(fill("alice-in-acme", "sign-in", &handle)).await);
    assert_eq!(answer["state"], "the-state");
    assert_eq!(tester.exchange(&answer["code"]).await.status(), StatusCode::OK);
    // The handle is used up.
    assert_eq!(post(fill("alice-in-acme", "sign-in", &handle)).await.status(), StatusCode::NOT_FOUND);

    let cancelled = returned(&post(fill("", "cancel", &open().await)).await);
    assert_eq!((cancelled["error"].as_str(), cancelled["state"].as_str()), ("access_denied", "the-state"));
    assert!(!cancelled.contains_key("code"));

    emulator.control().set_disabled("alice@acme.test", true).unwrap();
    let refused = post(fill("alice-in-acme", "sign-in", &open().await)).await.text().await.unwrap();
    assert!(refused.contains("disabled"));
}

#[tokio::test]
async fn bad_clients_and_addresses_are_not_redirected() {
    let (emulator, tester) = approving().await;
    emulator.control().update_settings(|settings| {
        settings.redirects.approved = vec!["http://127.0.0.1:9/callback".to_owned()];
    });
    for changes in
        [("client_id", "P2Another00Project00000000Id"), ("redirect_uri", "http://127.0.0.1:10/callback")]
    {
        let response = tester.authorize(&[changes]).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{changes:?}");
        assert!(!response.headers().contains_key("location"));
    }
    emulator.control().update_settings(|settings| settings.redirects.any_loopback_port = true);
    let response = tester.authorize(&[("redirect_uri", "http://127.0.0.1:10/callback")]).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn authorize_errors_go_to_the_client() {
    let (emulator, tester) = approving().await;
    for (changes, error) in [
        (vec![("response_type", "token")], "unsupported_response_type"),
        (vec![("response_type", "")], "invalid_request"),
        (vec![("code_challenge", "")], "invalid_request"),
        (vec![("code_challenge_method", "plain")], "invalid_request"),
        (vec![("code_challenge_method", "")], "invalid_request"),
        (vec![("code_challenge", "short")], "invalid_request"),
        (vec![("tenant", "nowhere")], "invalid_request"),
        (vec![("tenant", "acme-fr")], "access_denied"),
    ] {
        let answer = returned(&tester.authorize(&changes).await);
        assert_eq!(answer["error"], error, "{changes:?}");
        assert_eq!(answer["state"], "the-state");
        assert!(!answer["error_description"].is_empty());
    }
    emulator.control().set_approval(Approval::Deny).unwrap();
    assert_eq!(returned(&tester.authorize(&[]).await)["error"], "access_denied");
    emulator.control().set_approval(Approval::Page).unwrap();
    assert_eq!(returned(&tester.authorize(&[("prompt", "none")]).await)["error"], "login_required");
    assert!(emulator.control().set_approval(Approval::As("nobody".to_owned())).is_err());
}

#[tokio::test]
async fn flows_and_scopes_that_do_not_exist_and_refusals_in_json() {
    let (emulator, tester) = approving().await;
    let settings = json!({"oauth": {"flows": ["sign-in"], "scopes": ["openid"], "refusals": "json"}});
    emulator.control().patch_settings(&settings).unwrap();
    let answer = returned(&tester.authorize(&[("flow", "sign-in"), ("scope", "openid")]).await);
    assert!(answer.contains_key("code"), "{answer:?}");
    for (changes, error) in [
        ([("flow", "sing-in"), ("scope", "openid")], "invalid_request"),
        ([("flow", "sign-in"), ("scope", "openid roles")], "invalid_scope"),
    ] {
        assert_eq!(returned(&tester.authorize(&changes).await)["error"], error, "{changes:?}");
    }
    let refused = tester.authorize(&[("client_id", "nobody")]).await;
    assert_eq!(error_code(refused).await, (400, "E011004".to_owned()));
}

#[tokio::test]
async fn authorize_by_post() {
    let (_emulator, tester) = approving().await;
    let form = [
        ("response_type", "code"),
        ("client_id", tester.project.as_str()),
        ("redirect_uri", REDIRECT),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("scope", "openid"),
    ];
    assert!(returned(&tester.form("/oauth2/v1/authorize", &form).await).contains_key("code"));
}

#[tokio::test]
async fn a_code_is_bound_and_works_once() {
    let (emulator, tester) = approving().await;
    let project = tester.project.clone();
    let good = async || {
        [
            ("grant_type", "authorization_code".to_owned()),
            ("client_id", project.clone()),
            ("code", tester.code(&[]).await),
            ("redirect_uri", REDIRECT.to_owned()),
            ("code_verifier", VERIFIER.to_owned()),
        ]
    };
    let post = async |form: &[(&str, String)]| {
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        tester.form("/oauth2/v1/token", &form).await
    };
    for (name, value, expected) in [
        ("client_id", "P2Another00Project00000000Id", (404, "E011008")),
        ("redirect_uri", "http://127.0.0.1:9/callback/", (400, "E011004")),
        ("code_verifier", "another-verifier-of-sufficient-length-0123456789", (400, "E011004")),
        ("code_verifier", "", (400, "E011002")),
        ("code", "made-up", (401, "E061005")),
        ("grant_type", "password", (400, "E011003")),
    ] {
        let mut form = good().await;
        form.iter_mut().find(|(known, _)| *known == name).unwrap().1 = value.to_owned();
        let (status, code) = error_code(post(&form).await).await;
        assert_eq!((status, code.as_str()), expected, "{name}={value}");
    }

    let form = good().await;
    assert_eq!(post(&form).await.status(), StatusCode::OK);
    assert_eq!(error_code(post(&form).await).await, (401, "E061005".to_owned()));

    let form = good().await;
    emulator.control().advance(61);
    assert_eq!(error_code(post(&form).await).await, (401, "E061005".to_owned()));
}

#[tokio::test]
async fn the_token_endpoint_takes_json_and_words_errors_both_ways() {
    let (emulator, tester) = approving().await;
    let url = format!("{}/oauth2/v1/token", tester.base);
    let body = json!({"grant_type": "authorization_code", "client_id": tester.project, "code": tester.code(&[]).await,
                      "redirect_uri": REDIRECT, "code_verifier": VERIFIER});
    let response = tester.http.post(&url).json(&body).send().await.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
    let tokens: Value = response.json().await.unwrap();
    assert_eq!(tokens["expires_in"], 600);

    let again: Value = tester.http.post(&url).json(&body).send().await.unwrap().json().await.unwrap();
    assert!(again["errorDescription"].is_string() && again["message"].is_string());
    emulator.control().patch_settings(&json!({"oauth": {"errors": "rfc"}})).unwrap();
    let response = tester.http.post(&url).json(&body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(response.json::<Value>().await.unwrap()["error"], "invalid_grant");
}

#[tokio::test]
async fn without_openid_no_id_token_and_without_offline_access_no_refresh_token() {
    let (emulator, tester) = approving().await;
    let plain = tester.login_with(&[("scope", "profile")]).await;
    assert!(plain.id.is_empty() && !plain.refresh.is_empty());
    emulator.control().update_settings(|settings| settings.oauth.refresh_needs_offline_access = true);
    assert!(tester.login_with(&[("scope", "openid")]).await.refresh.is_empty());
    assert!(!tester.login().await.refresh.is_empty());
}

#[tokio::test]
async fn a_remembered_browser_keeps_its_sign_in_time() {
    let mut settings = Settings::default();
    settings.oauth.remember_browser = true;
    let emulator = Emulator::builder().settings(settings).start().await.unwrap();
    let tester = Tester::new(&emulator);
    let page = tester.authorize(&[]).await.text().await.unwrap();
    let (_, rest) = page.split_once("name=\"state_id\" value=\"").unwrap();
    let handle = rest.split_once('"').unwrap().0;
    let path = format!("/login/{}", tester.project);
    let form = [("state_id", handle), ("email", "bob@acme.test"), ("password", "bob-in-acme")];
    let asked = emulator.control().now().as_second();
    let first = tester.form(&path, &form).await;
    let cookie = first.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let signed_in = emulator.control().now().as_second();
    emulator.control().advance(300);

    let url = |prompt: &str| {
        format!(
            "{}/oauth2/v1/authorize?response_type=code&client_id={}&redirect_uri={REDIRECT}&scope=openid&code_challenge={CHALLENGE}&code_challenge_method=S256&prompt={prompt}",
            tester.base, tester.project
        )
    };
    let silent = tester.http.get(url("none")).header("cookie", &cookie).send().await.unwrap();
    let tokens: Value = tester.exchange(&returned(&silent)["code"]).await.json().await.unwrap();
    let id = tester.verify(text(&tokens, "id_token")).await.unwrap();
    // The sign-in's own time, however long each request took; the token is as new as it is.
    let (issued, auth_time) = (id["iat"].as_i64().unwrap(), id["auth_time"].as_i64().unwrap());
    assert!((asked..=signed_in).contains(&auth_time), "{asked} {auth_time} {signed_in}");
    let latest = emulator.control().now().as_second();
    assert!((signed_in + 300..=latest).contains(&issued), "{signed_in} {issued} {latest}");
    let forced = tester.http.get(url("login")).header("cookie", &cookie).send().await.unwrap();
    assert_eq!(forced.status(), StatusCode::OK, "prompt=login shows the page");

    let logout = format!("{}/oauth2/v1/logout", tester.base);
    let back = tester
        .http
        .get(format!("{logout}?post_logout_redirect_uri={REDIRECT}&state=s"))
        .header("cookie", &cookie);
    assert_eq!(returned(&back.send().await.unwrap())["state"], "s");
    let silent = tester.http.get(url("none")).header("cookie", &cookie).send().await.unwrap();
    assert_eq!(returned(&silent)["error"], "login_required", "the browser is forgotten");
    assert!(tester.http.get(&logout).send().await.unwrap().text().await.unwrap().contains("Signed out"));
    assert_eq!(emulator.control().live_families().len(), 1, "tokens are not touched");
}

#[tokio::test]
async fn the_ledger_knows_every_secret() {
    let (emulator, tester) = approving().await;
    let code = tester.code(&[]).await;
    tester.exchange(&code).await;
    let tokens = tester.login().await;
    let secrets = emulator.control().issued();
    let has = |kind, value: &str| secrets.iter().any(|secret| secret.kind == kind && secret.value == value);
    assert!(has(SecretKind::Code, &code));
    assert!(has(SecretKind::SessionJwt, &tokens.access));
    assert!(has(SecretKind::RefreshJwt, &tokens.refresh));
    assert!(has(SecretKind::IdToken, &tokens.id));
    assert!(has(SecretKind::Verifier, VERIFIER));
    assert!(has(SecretKind::State, "the-state") && has(SecretKind::Nonce, "the-nonce"));
    assert!(secrets.iter().any(|secret| secret.kind == SecretKind::PrivateKey));
    assert!(!format!("{secrets:?}").contains(&tokens.refresh));
}

#[tokio::test]
async fn bad_starts_are_explained() {
    let said = async |builder: descope_emulator::Builder| builder.start().await.unwrap_err().to_string();
    assert!(said(Emulator::builder().fixture("nonsense = 1")).await.contains("fixture"));
    assert!(said(Emulator::builder().project_id("X")).await.contains("`X`"));
    assert!(said(Emulator::builder().listen("0.0.0.0:0".parse().unwrap())).await.contains("loopback"));
    assert!(said(Emulator::builder().fixture(ACME).auto_approve("nobody")).await.contains("`nobody`"));
}
