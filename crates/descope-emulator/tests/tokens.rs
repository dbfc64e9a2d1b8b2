//! Token shapes that a project may have, and tokens that an attacker may bring.
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
use descope_emulator::{
    Algorithm, AudienceForm, AuthorizationSchema, EmptyClaims, Emulator, IssuerForm, ScopeForm, Signing,
    TokenOverride, TokenShape, UserChange,
};
use serde_json::{Map, Value, json};
use support::{Tester, text};

async fn started(login: &str) -> (Emulator, Tester) {
    let emulator = Emulator::builder().auto_approve(login).start().await.unwrap();
    let tester = Tester::new(&emulator);
    (emulator, tester)
}

fn part(token: &str, at: usize) -> String {
    let part = token.split('.').nth(at).unwrap();
    String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn header(token: &str) -> Value {
    serde_json::from_str(&part(token, 0)).unwrap()
}

fn payload(token: &str) -> Value {
    serde_json::from_str(&part(token, 1)).unwrap()
}

/// The session claims of a login under this shape.
async fn claims(emulator: &Emulator, tester: &Tester, shape: TokenShape) -> Value {
    emulator.control().update_settings(|settings| settings.tokens = shape);
    payload(&tester.login().await.access)
}

#[tokio::test]
async fn issuer_audience_and_scope_forms() {
    let (emulator, tester) = started("alice@acme.test").await;
    let (base, project) = (emulator.base_url().to_owned(), emulator.project_id().to_owned());
    for (issuer, expected) in [
        (IssuerForm::Bare, project.clone()),
        (IssuerForm::Url, format!("{base}/{project}")),
        (IssuerForm::App, format!("{base}/{project}/SA2emulated")),
        (IssuerForm::Inbound, format!("{base}/v1/apps/{project}")),
        (IssuerForm::Agentic, format!("{base}/v1/apps/agentic/{project}/MS2emulated")),
        (IssuerForm::Tenant, format!("{base}/v1/apps/{project}/T2emulated")),
    ] {
        let claims = claims(&emulator, &tester, TokenShape { issuer, ..TokenShape::default() }).await;
        assert_eq!(claims["iss"], expected);
    }
    for (audience, expected) in [
        (AudienceForm::Absent, None),
        (AudienceForm::Auto, Some(json!(project))),
        (AudienceForm::String, Some(json!(project))),
        (AudienceForm::List, Some(json!([project, format!("{project}-resource")]))),
    ] {
        let claims = claims(&emulator, &tester, TokenShape { audience, ..TokenShape::default() }).await;
        assert_eq!(claims.get("aud"), expected.as_ref());
    }
    let scopes = ["openid", "profile", "email", "offline_access"];
    for (scope, expected) in [
        (ScopeForm::Absent, None),
        (ScopeForm::String, Some(json!(scopes.join(" ")))),
        (ScopeForm::Array, Some(json!(scopes))),
    ] {
        let claims = claims(&emulator, &tester, TokenShape { scope, ..TokenShape::default() }).await;
        assert_eq!(claims.get("scope"), expected.as_ref());
    }
}

#[tokio::test]
async fn where_rights_stand() {
    let (emulator, tester) = started("carol@acme.test").await;
    let rights =
        json!({"roles": ["payment_processor"], "permissions": ["payments.execute", "payments.read"]});
    let plain = claims(&emulator, &tester, TokenShape::default()).await;
    assert_eq!(plain["tenants"], json!({"acme-fr": rights}));
    assert_eq!((&plain["roles"], text(&plain, "dct")), (&json!([]), "acme-fr"));

    let shape = TokenShape { authorization: AuthorizationSchema::TenantOnly, ..TokenShape::default() };
    let folded = claims(&emulator, &tester, shape).await;
    assert!(folded.get("tenants").is_none());
    assert_eq!((&folded["roles"], text(&folded, "dct")), (&json!(["payment_processor"]), "acme-fr"));

    let shape = TokenShape { authorization: AuthorizationSchema::None, ..TokenShape::default() };
    let none = claims(&emulator, &tester, shape).await;
    assert!(none.get("roles").is_none() && none.get("tenants").is_none());

    let shape = TokenShape { empty_claims: EmptyClaims::Delete, auto_dct: false, ..TokenShape::default() };
    let lean = claims(&emulator, &tester, shape).await;
    assert!(lean.get("roles").is_none() && lean.get("dct").is_none());
    let shape =
        TokenShape { empty_claims: EmptyClaims::Null, exclude_permissions: true, ..TokenShape::default() };
    let null = claims(&emulator, &tester, shape).await;
    assert_eq!(null.get("roles"), Some(&Value::Null));
    assert!(null.get("permissions").is_none() && null["tenants"]["acme-fr"].get("permissions").is_none());
}

#[tokio::test]
async fn subjects_custom_claims_and_identical_tokens() {
    let (emulator, tester) = started("alice@acme.test").await;
    let control = emulator.control();
    let id = control.user("alice@acme.test").unwrap().id;
    let shape =
        TokenShape { override_subject: true, omit_drn: true, session_jti: true, ..TokenShape::default() };
    let changed = claims(&emulator, &tester, shape).await;
    assert_eq!((text(&changed, "sub"), text(&changed, "dsub")), ("alice@acme.test", id.as_str()));
    assert!(changed.get("drn").is_none() && changed["jti"].is_string());

    let shape = TokenShape {
        omit: vec!["exp".to_owned()],
        extra: Map::from_iter([("team".to_owned(), json!("blue"))]),
        ..TokenShape::default()
    };
    let changed = claims(&emulator, &tester, shape).await;
    assert!(changed.get("exp").is_none() && changed["team"] == "blue");

    let custom = json!({"cost_centre": 42, "roles": ["forged"]}).as_object().cloned();
    control.change_user("alice@acme.test", UserChange { claims: custom, ..UserChange::default() }).unwrap();
    let plain = claims(&emulator, &tester, TokenShape::default()).await;
    assert_eq!((&plain["cost_centre"], &plain["roles"]), (&json!(42), &json!(["payment_processor"])));

    // Without a jti, two tokens of one second are the same text.
    let refresh = tester.login().await.refresh;
    let mut seen = Vec::new();
    for _ in 0..20 {
        let answer: Value = tester.bearer("/v1/auth/refresh", &refresh).await.json().await.unwrap();
        seen.push(text(&answer, "sessionJwt").to_owned());
    }
    let all = seen.len();
    seen.dedup();
    assert!(seen.len() < all);
}

#[tokio::test]
async fn a_step_up_flow_marks_the_session_for_a_while() {
    let (emulator, tester) = started("alice@acme.test").await;
    let tokens = tester.login_with(&[("flow", "step-up")]).await;
    assert_eq!(payload(&tokens.access)["su"], true);
    emulator.control().advance(601);
    let answer: Value = tester.bearer("/v1/auth/refresh", &tokens.refresh).await.json().await.unwrap();
    assert!(payload(text(&answer, "sessionJwt")).get("su").is_none());
}

#[tokio::test]
async fn other_algorithms_can_be_the_projects_own() {
    let (emulator, tester) = started("alice@acme.test").await;
    let control = emulator.control();
    control.update_settings(|settings| settings.tokens.algorithm = Algorithm::Es384);
    control.rotate_keys().await.unwrap();
    assert_eq!(header(&tester.login().await.access)["alg"], "ES384");
    assert_eq!(control.keys()[0].alg, "ES384");
}

#[tokio::test]
async fn the_next_token_can_be_hostile() {
    let (emulator, tester) = started("alice@acme.test").await;
    let control = emulator.control();
    control.rotate_and_revoke_keys().await.unwrap();
    control.rotate_keys().await.unwrap();

    let good = [Signing::Proper, Signing::RetiredKey];
    let bad = [
        Signing::Unsigned,
        Signing::Hs256PublicPem,
        Signing::Hs256PublicJwk,
        Signing::ForeignKey,
        Signing::UnknownKid,
        Signing::RevokedKey,
        Signing::Rs384,
        Signing::Ps256,
        Signing::Tampered,
        Signing::ZeroSignature,
        Signing::Stripped,
    ];
    for signing in good {
        let token = control.mint("alice@acme.test", &TokenOverride::session().signing(signing)).unwrap();
        tester.verify(&token).await.unwrap_or_else(|error| panic!("{signing:?}: {error}"));
    }
    for signing in bad {
        let token = control.mint("alice@acme.test", &TokenOverride::session().signing(signing)).unwrap();
        assert_eq!(payload(&token)["drn"], "DS", "{signing:?}");
        assert!(tester.verify(&token).await.is_err(), "{signing:?}");
    }

    // By way of a login: each kind has its own queue, and a spent override is gone.
    control.next_token_override(
        TokenOverride::session().claim("iss", "somebody").without("drn").expires_in(-60),
    );
    control.next_token_override(
        TokenOverride::id().claim("nonce", "another").claim("aud", json!(["x"])).times(2),
    );
    control.next_token_override(TokenOverride::refresh().duplicate("sub", "U2").header("typ", "weird"));
    let first = tester.login().await;
    let session = payload(&first.access);
    assert!(session["iss"] == "somebody" && session.get("drn").is_none());
    assert!(tester.verify(&first.access).await.is_err(), "expired");
    assert_eq!(payload(&first.id)["nonce"], "another");
    assert_eq!(header(&first.refresh)["typ"], "weird");
    assert_eq!(part(&first.refresh, 1).matches("\"sub\":").count(), 2);
    let second = tester.login().await;
    assert_eq!(payload(&second.id)["aud"], json!(["x"]));
    tester.verify(&second.access).await.unwrap();
    assert_eq!(payload(&tester.login().await.id)["nonce"], "the-nonce");

    control.next_token_override(TokenOverride::session().text("not a token"));
    control.clear_overrides();
    tester.verify(&tester.login().await.access).await.unwrap();
    // A refresh JWT verifies under the same keys: whoever takes it for a session has a bug.
    assert_eq!(tester.verify(&second.refresh).await.unwrap()["drn"], "DSR");
    assert!(control.live_families().len() == 4, "minting leaves no living family behind");
}

#[tokio::test]
async fn no_key_no_forgery() {
    let (emulator, _tester) = started("alice@acme.test").await;
    let fault = emulator.control().mint("alice@acme.test", &TokenOverride::id().signing(Signing::RevokedKey));
    assert!(fault.unwrap_err().to_string().contains("rotate the keys first"));
}
