//! Refresh, rotation with its corner cases, logout, and what an administrator does meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod support;

use descope_emulator::{Delivery, Emulator, FamilyEnd, ReusePolicy, UnrotatedAnswer, UserChange};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Tester, error_code, text};

async fn started() -> (Emulator, Tester) {
    let emulator = Emulator::builder().auto_approve("alice@acme.test").start().await.unwrap();
    let tester = Tester::new(&emulator);
    (emulator, tester)
}

async fn rotating(on_reuse: ReusePolicy) -> (Emulator, Tester) {
    let (emulator, tester) = started().await;
    emulator.control().update_settings(|settings| {
        settings.refresh.rotate = true;
        settings.refresh.on_reuse = on_reuse;
    });
    (emulator, tester)
}

/// A refresh by `/v1/auth/refresh` that must work.
async fn refreshed(tester: &Tester, token: &str) -> Value {
    let response = tester.bearer("/v1/auth/refresh", token).await;
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.unwrap()
}

async fn refused(tester: &Tester, token: &str) -> String {
    let (status, code) = error_code(tester.bearer("/v1/auth/refresh", token).await).await;
    assert_eq!(status, 401);
    code
}

#[tokio::test]
async fn both_doors_refresh_without_rotation() {
    let (emulator, tester) = started().await;
    let tokens = tester.login().await;
    let answer = refreshed(&tester, &tokens.refresh).await;
    assert_eq!(text(&answer, "refreshJwt"), tokens.refresh);
    assert_eq!(text(&answer["user"], "email"), "alice@acme.test");
    assert!(answer["sessionExpiration"].is_i64());
    let session = tester.verify(text(&answer, "sessionJwt")).await.unwrap();
    assert!(session.get("aud").is_none(), "none on tokens of /v1/auth");

    let response = tester.refresh_grant(&tokens.refresh).await;
    assert_eq!(response.status(), StatusCode::OK);
    let answer: Value = response.json().await.unwrap();
    assert_eq!(text(&answer, "refresh_token"), tokens.refresh);
    let id = tester.verify(text(&answer, "id_token")).await.unwrap();
    assert!(id.get("nonce").is_none());
    assert_eq!(tester.verify(text(&answer, "access_token")).await.unwrap()["aud"], emulator.project_id());

    let family = emulator.control().families().remove(0);
    assert_eq!((family.refreshes, family.live_tokens, family.alive), (2, 1, true));
    assert_eq!(family.user, "alice@acme.test");
}

#[tokio::test]
async fn an_unrotated_token_is_the_same_or_left_out_or_empty() {
    let (emulator, tester) = started().await;
    let tokens = tester.login().await;
    for (unrotated, rest, oauth) in [
        (UnrotatedAnswer::Same, Some(tokens.refresh.as_str()), Some(tokens.refresh.as_str())),
        (UnrotatedAnswer::Omitted, None, None),
        (UnrotatedAnswer::Empty, Some(""), Some("")),
    ] {
        emulator.control().update_settings(|settings| settings.refresh.unrotated = unrotated);
        assert_eq!(refreshed(&tester, &tokens.refresh).await.get("refreshJwt").and_then(Value::as_str), rest);
        let answer: Value = tester.refresh_grant(&tokens.refresh).await.json().await.unwrap();
        assert_eq!(answer.get("refresh_token").and_then(Value::as_str), oauth);
    }
}

#[tokio::test]
async fn rotation_spends_the_old_token() {
    let (emulator, tester) = rotating(ReusePolicy::Refuse).await;
    let first = tester.login().await.refresh;
    let second = text(&refreshed(&tester, &first).await, "refreshJwt").to_owned();
    assert_ne!(first, second);
    assert_eq!(refused(&tester, &first).await, "E061005");
    let family = emulator.control().family(1).unwrap();
    assert_eq!((family.alive, family.live_tokens, family.reuses), (true, 1, 1));
    refreshed(&tester, &second).await;
}

#[tokio::test]
async fn reuse_may_kill_the_family() {
    let (emulator, tester) = rotating(ReusePolicy::Kill).await;
    let first = tester.login().await.refresh;
    let second = text(&refreshed(&tester, &first).await, "refreshJwt").to_owned();
    assert_eq!(refused(&tester, &first).await, "E064001");
    assert_eq!(refused(&tester, &second).await, "E064001");
    let family = emulator.control().family(1).unwrap();
    assert_eq!((family.alive, family.ended, family.live_tokens), (false, Some(FamilyEnd::ReuseDetected), 0));
    assert!(emulator.control().live_families().is_empty());
}

#[tokio::test]
async fn reuse_may_be_accepted_or_have_a_grace_time() {
    let (emulator, tester) = rotating(ReusePolicy::Accept).await;
    let first = tester.login().await.refresh;
    refreshed(&tester, &first).await;
    refreshed(&tester, &first).await;
    assert_eq!(emulator.control().family(1).unwrap().reuses, 1);

    emulator.control().update_settings(|settings| settings.refresh.on_reuse = ReusePolicy::Grace);
    refreshed(&tester, &first).await;
    emulator.control().advance(11);
    assert_eq!(refused(&tester, &first).await, "E064001");
}

#[tokio::test]
async fn expiry_slides_or_stays() {
    let (emulator, tester) = rotating(ReusePolicy::Kill).await;
    let control = emulator.control();
    control.update_settings(|settings| settings.lifetimes.refresh = 1000);
    let end = async |token: &str| tester.verify(token).await.unwrap()["exp"].as_i64().unwrap();
    let first = tester.login().await.refresh;
    let original = end(&first).await;
    control.advance(400);
    let second = text(&refreshed(&tester, &first).await, "refreshJwt").to_owned();
    assert!(end(&second).await >= original + 400);

    control.update_settings(|settings| settings.refresh.sliding = false);
    let first = tester.login().await.refresh;
    let original = end(&first).await;
    control.advance(600);
    let answer = refreshed(&tester, &first).await;
    let second = text(&answer, "refreshJwt").to_owned();
    assert_eq!(end(&second).await, original);
    let session_end = answer["sessionExpiration"].as_i64().unwrap();
    assert!(session_end <= original, "a session token never outlives its refresh token");
    control.advance(401);
    assert_eq!(refused(&tester, &second).await, "E061005");
}

#[tokio::test]
async fn garbage_session_tokens_and_other_projects_are_refused() {
    let (_emulator, tester) = started().await;
    let tokens = tester.login().await;
    assert_eq!(refused(&tester, "a.b.c").await, "E061005");
    assert_eq!(refused(&tester, &tokens.access).await, "E061005");
    let url = format!("{}/v1/auth/refresh", tester.base);
    let nobody = tester.http.post(&url).send().await.unwrap();
    assert_eq!(error_code(nobody).await, (401, "E061005".to_owned()));
    let alone = tester.http.post(&url).bearer_auth(&tester.project).send().await.unwrap();
    assert_eq!(error_code(alone).await.0, 401);
    let bearer = format!("P2Another00Project00000000Id:{}", tokens.refresh);
    let other = tester.http.post(&url).bearer_auth(bearer).send().await.unwrap();
    assert_eq!(error_code(other).await, (404, "E011008".to_owned()));
    let third = async |key: &str| {
        let bearer = format!("{}:{}:{key}", tester.project, tokens.refresh);
        tester.http.post(&url).bearer_auth(bearer).send().await.unwrap().status()
    };
    assert_eq!(third("acme-authentication-key").await, StatusCode::OK);
    assert_eq!(third("another-key").await, StatusCode::UNAUTHORIZED);
    let try_refresh = tester.bearer("/v1/auth/try-refresh", "a.b.c").await;
    assert_eq!((try_refresh.status(), try_refresh.text().await.unwrap()), (StatusCode::OK, "{}".to_owned()));
    let good: Value = tester.bearer("/v1/auth/try-refresh", &tokens.refresh).await.json().await.unwrap();
    assert!(good["sessionJwt"].is_string() && good.get("user").is_none());
}

#[tokio::test]
async fn logout_ends_one_family_and_logoutall_every_one() {
    let (emulator, tester) = rotating(ReusePolicy::Kill).await;
    let one = tester.login().await.refresh;
    let two = tester.login().await.refresh;
    let three = tester.login().await.refresh;
    let answer: Value = tester.bearer("/v1/auth/logout", &one).await.json().await.unwrap();
    assert_eq!((text(&answer, "sessionJwt"), text(&answer, "refreshJwt")), ("", ""));
    assert_eq!(refused(&tester, &one).await, "E064001");
    assert_eq!(error_code(tester.bearer("/v1/auth/logout", &one).await).await.1, "E064001");
    // A spent token of a living family may log out, too.
    refreshed(&tester, &two).await;
    assert_eq!(tester.bearer("/v1/auth/logout", &two).await.status(), StatusCode::OK);
    assert_eq!(emulator.control().live_families().len(), 1);
    tester.login().await;
    assert_eq!(tester.bearer("/v1/auth/logoutall", &three).await.status(), StatusCode::OK);
    assert!(emulator.control().live_families().is_empty());
    assert_eq!(emulator.control().family(4).unwrap().ended, Some(FamilyEnd::LoggedOutEverywhere));
}

#[tokio::test]
async fn revocation_by_rfc_7009() {
    let (emulator, tester) = started().await;
    let tokens = tester.login().await;
    assert_eq!(tester.form("/oauth2/v1/revoke", &[("token", "unknown")]).await.status(), StatusCode::OK);
    assert_eq!(error_code(tester.form("/oauth2/v1/revoke", &[]).await).await, (400, "E011002".to_owned()));
    let form = [("token", tokens.refresh.as_str()), ("token_type_hint", "refresh_token")];
    assert_eq!(tester.form("/oauth2/v1/revoke", &form).await.status(), StatusCode::OK);
    assert_eq!(refused(&tester, &tokens.refresh).await, "E064001");
    assert_eq!(emulator.control().family(1).unwrap().ended, Some(FamilyEnd::Revoked));
}

#[tokio::test]
async fn changes_to_a_user_show_in_the_next_token() {
    let (emulator, tester) = started().await;
    let control = emulator.control();
    let tokens = tester.login().await;
    control.set_roles("alice@acme.test", &["viewer"]).unwrap();
    let answer = refreshed(&tester, &tokens.refresh).await;
    let session = tester.verify(text(&answer, "sessionJwt")).await.unwrap();
    assert_eq!(session["roles"], json!(["viewer"]));
    assert_eq!(tester.verify(&tokens.access).await.unwrap()["roles"], json!(["payment_processor"]));

    control.set_disabled("alice@acme.test", true).unwrap();
    assert_eq!(refused(&tester, &tokens.refresh).await, "E061005");
    control.set_disabled("alice@acme.test", false).unwrap();
    refreshed(&tester, &tokens.refresh).await;
    assert_eq!(control.revoke_user("alice@acme.test").unwrap(), 1);
    assert_eq!(refused(&tester, &tokens.refresh).await, "E064001");

    assert!(control.set_roles("alice@acme.test", &["boss"]).is_err());
    assert!(control.revoke_user("nobody").is_err());
}

#[tokio::test]
async fn key_rotation_and_revocation() {
    let (emulator, tester) = started().await;
    let control = emulator.control();
    let tokens = tester.login().await;
    let kid = control.rotate_keys().await.unwrap();
    assert_eq!(control.keys().len(), 3);
    assert!(control.keys()[0].present && control.keys()[0].kid == kid);
    tester.verify(&tokens.access).await.unwrap();
    refreshed(&tester, &tokens.refresh).await;

    control.rotate_and_revoke_keys().await.unwrap();
    assert_eq!(control.keys().len(), 1);
    assert!(tester.verify(&tokens.access).await.is_err());
    assert_eq!(refused(&tester, &tokens.refresh).await, "E061005");
    tester.login().await;
}

#[tokio::test]
async fn who_am_i() {
    let (emulator, tester) = started().await;
    let control = emulator.control();
    let tokens = tester.login().await;
    let get = async |path: &str, bearer: String| {
        tester.http.get(format!("{}{path}", tester.base)).bearer_auth(bearer).send().await.unwrap()
    };
    let ours = |token: &str| format!("{}:{token}", tester.project);
    let me: Value = get("/v1/auth/me", ours(&tokens.refresh)).await.json().await.unwrap();
    assert_eq!((text(&me, "email"), text(&me, "givenName")), ("alice@acme.test", "Alice"));
    assert_eq!(me["roleNames"], json!(["payment_processor"]));
    let history: Value = get("/v1/auth/me/history", ours(&tokens.refresh)).await.json().await.unwrap();
    assert_eq!(history.as_array().unwrap().len(), 1);
    let userinfo: Value = get("/oauth2/v1/userinfo", tokens.access.clone()).await.json().await.unwrap();
    assert_eq!(userinfo["sub"], tester.verify(&tokens.id).await.unwrap()["sub"]);
    assert_eq!(text(&userinfo, "email"), "alice@acme.test");
    let validated: Value = tester.bearer("/v1/auth/validate", &tokens.access).await.json().await.unwrap();
    assert_eq!(validated["parsedJWT"]["drn"], "DS");

    tester.bearer("/v1/auth/logout", &tokens.refresh).await;
    assert_eq!(
        error_code(get("/v1/auth/me", ours(&tokens.refresh)).await).await,
        (401, "E064001".to_owned())
    );
    assert_eq!(get("/oauth2/v1/userinfo", tokens.access.clone()).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(tester.bearer("/v1/auth/validate", &tokens.access).await.status(), StatusCode::OK);
    control.advance(601);
    assert_eq!(tester.bearer("/v1/auth/validate", &tokens.access).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn tenants_are_selected_and_listed() {
    let emulator = Emulator::builder().auto_approve("erin@acme.test").start().await.unwrap();
    let tester = Tester::new(&emulator);
    let tokens = tester.login().await;
    let session = tester.verify(&tokens.access).await.unwrap();
    assert!(session.get("dct").is_none());
    assert_eq!(session["tenants"]["acme-de"]["roles"], json!(["payment_processor", "viewer"]));

    let post = async |path: &str, body: Value| {
        let request = tester.http.post(format!("{}{path}", tester.base)).json(&body);
        request.bearer_auth(format!("{}:{}", tester.project, tokens.refresh)).send().await.unwrap()
    };
    let selected: Value =
        post("/v1/auth/tenant/select", json!({"tenant": "acme-de"})).await.json().await.unwrap();
    assert_eq!(tester.verify(text(&selected, "sessionJwt")).await.unwrap()["dct"], "acme-de");
    assert_ne!(text(&selected, "refreshJwt"), tokens.refresh);
    assert_eq!(tester.verify(text(&selected, "refreshJwt")).await.unwrap()["dct"], "acme-de");
    let nowhere = post("/v1/auth/tenant/select", json!({"tenant": "nowhere"})).await;
    assert_eq!(error_code(nowhere).await, (400, "E011004".to_owned()));
    let current: Value = post("/v1/auth/me/tenants", json!({"dct": true})).await.json().await.unwrap();
    assert_eq!(
        current,
        json!({"tenants": [{"id": "acme-de", "name": "Acme Deutschland", "customAttributes": {}}]})
    );

    let chosen = tester.login_with(&[("tenant", "acme-fr")]).await;
    assert_eq!(tester.verify(&chosen.access).await.unwrap()["dct"], "acme-fr");
    // Taken out of the tenant, the user loses it at the next refresh.
    let change =
        UserChange { tenants: Some([("acme-de".to_owned(), vec![])].into()), ..UserChange::default() };
    emulator.control().change_user("erin@acme.test", change).unwrap();
    let answer = refreshed(&tester, &chosen.refresh).await;
    let session = tester.verify(text(&answer, "sessionJwt")).await.unwrap();
    assert_eq!(session["tenants"], json!({"acme-de": {}}));
}

#[tokio::test]
async fn cookies_secrets_hints_and_switched_off_grants() {
    let (emulator, tester) = started().await;
    let control = emulator.control();
    let tokens = tester.login().await;
    control.update_settings(|settings| {
        settings.refresh.delivery = Delivery::Cookies;
        settings.refresh.next_refresh_seconds = 77;
    });
    let response = tester.bearer("/v1/auth/refresh", &tokens.refresh).await;
    let cookies: Vec<String> = response
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|value| value.to_str().unwrap().to_owned())
        .collect();
    assert!(cookies[0].starts_with("DS=ey") && cookies[1].starts_with(&format!("DSR={}", tokens.refresh)));
    let body: Value = response.json().await.unwrap();
    assert_eq!((text(&body, "sessionJwt"), text(&body, "refreshJwt")), ("", ""));
    assert_eq!(body["nextRefreshSeconds"], 77);

    control.update_settings(|settings| settings.oauth.secret_on_refresh = true);
    assert_eq!(error_code(tester.refresh_grant(&tokens.refresh).await).await, (400, "E011002".to_owned()));
    control.update_settings(|settings| settings.oauth.refresh_grant = false);
    assert_eq!(error_code(tester.refresh_grant(&tokens.refresh).await).await, (400, "E011003".to_owned()));
}
