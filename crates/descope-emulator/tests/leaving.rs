//! Leaving: RP-initiated logout, revocation (RFC 7009), userinfo; and where a browser may be sent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod support;

use descope_emulator::{App, AppKind, Control, Emulator, RefusalForm, Settings};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use support::{REDIRECT, Tester, error_code, handle_in, text};

const ALICE: &str = "alice@acme.test";
const DESK: &str = "SA2AcmeDesk00000000000000000";
const REPORTS: &str = "TPA2AcmeReports0000000000000";
const REPORTS_SECRET: &str = "acme-reports-secret";
const LOGOUT: &str = "/oauth2/v1/logout";

struct World {
    emulator: Emulator,
    control: Control,
    tester: Tester,
}

impl World {
    async fn approving() -> Self {
        Self::with(Emulator::builder().auto_approve(ALICE).start().await.unwrap())
    }

    fn with(emulator: Emulator) -> Self {
        let (control, tester) = (emulator.control(), Tester::new(&emulator));
        Self { emulator, control, tester }
    }

    async fn log_out(&self, query: &[(&str, &str)], cookie: &str) -> Response {
        let request = self.tester.http.get(format!("{}{LOGOUT}", self.tester.base)).query(query);
        request.header("cookie", cookie).send().await.unwrap()
    }

    async fn userinfo(&self, token: &str) -> Response {
        let request = self.tester.http.get(format!("{}/oauth2/v1/userinfo", self.tester.base));
        request.bearer_auth(token).send().await.unwrap()
    }

    async fn revoke(&self, door: &str, form: &[(&str, &str)]) -> Response {
        self.tester.form(&format!("{door}/revoke"), form).await
    }
}

fn location(response: &Response) -> Option<&str> {
    response.headers().get("location").map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_logout_lands_on_registered_addresses_only() {
    let world = World::approving().await;
    world.control.update_settings(|settings| {
        settings.redirects.after_logout =
            vec!["http://127.0.0.1:9/bye".to_owned(), "http://127.0.0.1:*/x".to_owned()];
    });
    let tokens = world.tester.login().await;
    let good = [
        ("id_token_hint", tokens.id.as_str()),
        ("client_id", world.tester.project.as_str()),
        ("post_logout_redirect_uri", "http://127.0.0.1:9/bye"),
        ("state", "s 1"),
    ];
    let response = world.log_out(&good, "").await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(location(&response), Some("http://127.0.0.1:9/bye?state=s+1"));
    let posted = world.tester.form(LOGOUT, &good).await;
    assert_eq!(location(&posted), Some("http://127.0.0.1:9/bye?state=s+1"));
    // A hint stays good after its time.
    world.control.advance(7200);
    assert_eq!(world.log_out(&good, "").await.status(), StatusCode::SEE_OTHER);
    let plain = world.log_out(&[], "").await;
    assert!(plain.text().await.unwrap().contains("Signed out"));

    for (at, value, word) in [
        (0, tokens.access.as_str(), "id_token_hint"),
        (0, "nonsense", "id_token_hint"),
        (1, DESK, "another client"),
        (2, "http://127.0.0.1:9/bye/", "not approved"),
        (2, "http://127.0.0.1:9/x", "not approved"),
        (2, REDIRECT, "not approved"),
    ] {
        let mut query = good;
        query[at].1 = value;
        let response = world.log_out(&query, "").await;
        assert_eq!((response.status(), location(&response)), (StatusCode::BAD_REQUEST, None), "{value}");
        assert!(response.text().await.unwrap().contains(word), "{word}");
    }
    let nobody = world.log_out(&[("client_id", "TPA2Nobody")], "").await;
    assert!(nobody.text().await.unwrap().contains("TPA2Nobody"));
    world.control.rotate_and_revoke_keys().await.unwrap();
    assert_eq!(world.log_out(&good, "").await.status(), StatusCode::BAD_REQUEST, "signed by a revoked key");
    assert_eq!(world.control.family(1).unwrap().ended, None, "a logout does not touch tokens");
}

#[tokio::test]
async fn an_app_has_its_own_list_and_a_stranger_keeps_the_browser() {
    let mut settings = Settings::default();
    settings.oauth.remember_browser = true;
    let world = World::with(Emulator::builder().settings(settings).start().await.unwrap());
    let app = App { after_logout: vec!["app://out".to_owned()], ..App::new(AppKind::Federated) };
    world.control.put_app("SA2Out", app).unwrap();
    let query = |client, to| [("client_id", client), ("post_logout_redirect_uri", to)];
    assert_eq!(location(&world.log_out(&query("SA2Out", "app://out"), "").await), Some("app://out"));
    let elsewhere = world.log_out(&query("SA2Out", REDIRECT), "").await;
    assert_eq!(elsewhere.status(), StatusCode::BAD_REQUEST);

    let handle = handle_in(world.tester.authorize(&[]).await).await;
    let form = [("state_id", handle.as_str()), ("email", ALICE), ("password", "alice-in-acme")];
    let signed_in = world.tester.form(&format!("/login/{}", world.tester.project), &form).await;
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let bob = world.control.sign_in("bob@acme.test").unwrap();
    let hint = bob.id_token.unwrap();
    let refused = world.log_out(&[("id_token_hint", hint.as_str())], &cookie).await;
    assert!(refused.text().await.unwrap().contains("Somebody else"));
    let still = async || {
        let silent =
            world.tester.authorize_with("/oauth2/v1/authorize", &[("prompt", "none")], &cookie).await;
        support::returned(&silent).contains_key("code")
    };
    assert!(still().await);
    assert_eq!(world.log_out(&[], &cookie).await.status(), StatusCode::OK);
    assert!(!still().await);
}

#[tokio::test]
async fn revocation_looks_at_the_client() {
    let world = World::approving().await;
    let project = world.tester.project.clone();
    let (one, two) = (world.tester.login().await, world.tester.login().await);
    // An access token goes alone; its family goes on.
    assert_eq!(world.userinfo(&one.access).await.status(), StatusCode::OK);
    let hinted =
        [("token", one.access.as_str()), ("token_type_hint", "refresh_token"), ("client_id", &project)];
    assert_eq!(
        world.revoke("/oauth2/v1", &hinted).await.status(),
        StatusCode::OK,
        "a wrong hint does not matter"
    );
    assert_eq!(error_code(world.userinfo(&one.access).await).await, (401, "E064001".to_owned()));
    assert_eq!(world.tester.refresh_grant(&one.refresh).await.status(), StatusCode::OK);
    // A refresh token takes its access tokens with it.
    let form = [("token", two.refresh.as_str()), ("client_id", project.as_str())];
    assert_eq!(world.revoke("/oauth2/v1", &form).await.status(), StatusCode::OK);
    assert_eq!(error_code(world.userinfo(&two.access).await).await, (401, "E064001".to_owned()));
    assert_eq!(error_code(world.tester.refresh_grant(&two.refresh).await).await, (401, "E064001".to_owned()));
    assert_eq!(world.revoke("/oauth2/v1", &form).await.status(), StatusCode::OK, "twice is no error");

    let kept = one.refresh.as_str();
    for (door, form, expected) in [
        ("/oauth2/v1", vec![("token", kept), ("client_id", DESK)], (400, "E011004")),
        ("/oauth2/v1", vec![("token", kept), ("client_id", "TPA2Nobody")], (404, "E011008")),
        ("/oauth2/v1/apps", vec![("token", kept)], (400, "E011002")),
        ("/oauth2/v1/apps", vec![("token", kept), ("client_id", REPORTS)], (400, "E011002")),
        (
            "/oauth2/v1/apps",
            vec![("token", kept), ("client_id", REPORTS), ("client_secret", REPORTS_SECRET)],
            (400, "E011004"),
        ),
    ] {
        let (status, code) = error_code(world.revoke(door, &form).await).await;
        assert_eq!((status, code.as_str()), expected, "{door} {:?}", form.get(1));
    }
    let form = [("token", "unknown"), ("client_id", REPORTS), ("client_secret", REPORTS_SECRET)];
    assert_eq!(world.revoke("/oauth2/v1/apps", &form).await.status(), StatusCode::OK);
    assert!(world.control.family(1).unwrap().alive);
}

#[tokio::test]
async fn userinfo_tells_what_the_scopes_allow() {
    let world = World::approving().await;
    let tokens = world.tester.login_with(&[("scope", "openid email descope.claims")]).await;
    let info: Value = world.userinfo(&tokens.access).await.json().await.unwrap();
    let id = world.tester.verify(&tokens.id).await.unwrap();
    assert_eq!((&info["sub"], text(&info, "email")), (&id["sub"], ALICE));
    assert_eq!(info["roles"], json!(["payment_processor"]));
    assert!(info.get("name").is_none());
    for token in ["", "nonsense", tokens.refresh.as_str()] {
        assert_eq!(error_code(world.userinfo(token).await).await.0, 401);
    }
    world.control.advance(601);
    assert_eq!(error_code(world.userinfo(&tokens.access).await).await, (401, "E061005".to_owned()));
}

#[tokio::test]
async fn an_empty_list_falls_back_on_the_projects_domains() {
    let world = World::approving().await;
    let status = async |client: &str, address: &str| {
        let changes = [("client_id", client), ("redirect_uri", address)];
        let response = world.tester.authorize(&changes).await;
        assert_eq!(location(&response).is_some(), response.status() == StatusCode::SEE_OTHER);
        response.status().as_u16()
    };
    let project = world.tester.project.as_str();
    // No list, no domains: no validation.
    assert_eq!((status(project, "https://any.test/cb").await, status(DESK, "any://x").await), (303, 303));
    world.control.update_settings(|settings| {
        settings.redirects.domains =
            vec!["127.0.0.1".to_owned(), "*.acme.test".to_owned(), "electron".to_owned()];
    });
    for client in [project, DESK] {
        for (address, expected) in [
            ("http://127.0.0.1:5/cb", 303),
            ("https://a.acme.test/cb", 303),
            ("electron://auth/", 303),
            ("https://acme.test/cb", 400),
            ("http://localhost:5/cb", 400),
            ("http://127.0.0.1:5/cb#fragment", 400),
            ("nonsense", 400),
            ("", 400),
        ] {
            assert_eq!(status(client, address).await, expected, "{client} {address}");
        }
    }
    // A list of its own is all that counts then.
    world
        .control
        .update_settings(|settings| settings.redirects.approved = vec!["http://127.0.0.1:*/cb".to_owned()]);
    assert_eq!(
        (status(project, "http://127.0.0.1:5/cb").await, status(project, "electron://auth/").await),
        (303, 400)
    );
    assert_eq!(status(DESK, "electron://auth/").await, 303);
}

#[tokio::test]
async fn a_third_party_without_a_list_is_sent_nowhere() {
    let world = World::approving().await;
    world.control.put_app("TPA2Bare", App::new(AppKind::Inbound)).unwrap();
    let changes = [("client_id", "TPA2Bare"), ("scope", "openid")];
    let response = world.tester.authorize_at("/oauth2/v1/apps/authorize", &changes).await;
    assert_eq!((response.status(), location(&response)), (StatusCode::BAD_REQUEST, None));
    world.control.update_settings(|settings| settings.oauth.refusals = RefusalForm::Json);
    let response = world.tester.authorize_at("/oauth2/v1/apps/authorize", &changes).await;
    assert_eq!(location(&response), None);
    assert_eq!(error_code(response).await, (400, "E011004".to_owned()));
    assert!(world.emulator.base_url().starts_with("http://127.0.0.1"));
}

#[tokio::test]
async fn the_token_type_is_written_as_told() {
    let world = World::approving().await;
    for written in ["Bearer", "bearer", "BEARER"] {
        world.control.update_settings(|settings| settings.oauth.token_type = written.to_owned());
        let code = world.tester.code(&[]).await;
        let tokens: Value = world.tester.exchange(&code).await.json().await.unwrap();
        assert_eq!(tokens["token_type"], written);
        let renewed = world.tester.refresh_grant(text(&tokens, "refresh_token")).await;
        assert_eq!(renewed.json::<Value>().await.unwrap()["token_type"], written);
    }
}
