//! The three families of authorization server: discovery, clients, consent, resources, what each refuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::collections::BTreeMap;

use descope_emulator::{
    App, AppKind, DefaultAudience, Emulator, Fault, FaultAction, FaultBody, GrantType, McpServer, Realm,
    TestPassword,
};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use support::{CHALLENGE, REDIRECT, Tester, VERIFIER, error_code, handle_in, returned, text};

const ALICE: &str = "alice@acme.test";
const DESK: &str = "SA2AcmeDesk00000000000000000";
const REPORTS: &str = "TPA2AcmeReports0000000000000";
const REPORTS_SECRET: &str = "acme-reports-secret";
const CLI: &str = "TPA2AcmeCli00000000000000000";
const SERVER: &str = "MS2AcmeTools0000000000000000";
const SCOPE: &str = "openid offline_access reports.read";
const APPS: &str = "/oauth2/v1/apps";

struct World {
    emulator: Emulator,
    tester: Tester,
}

impl World {
    /// Alice is signed in, and consents, without a page.
    async fn approving() -> Self {
        Self::with(Emulator::builder().auto_approve(ALICE).start().await.unwrap())
    }

    async fn with_pages() -> Self {
        Self::with(Emulator::builder().start().await.unwrap())
    }

    fn with(emulator: Emulator) -> Self {
        let tester = Tester::new(&emulator);
        Self { emulator, tester }
    }

    async fn code_at(&self, door: &str, client: &str, scope: &str, more: &[(&str, &str)]) -> String {
        let changes = [&[("client_id", client), ("scope", scope)], more].concat();
        let answer = returned(&self.tester.authorize_at(&format!("{door}/authorize"), &changes).await);
        answer.get("code").unwrap_or_else(|| panic!("no code in {answer:?}")).clone()
    }

    async fn token(&self, door: &str, form: &[(&str, &str)]) -> Response {
        self.tester.form(&format!("{door}/token"), form).await
    }

    /// A login from beginning to end.
    async fn login(
        &self,
        door: &str,
        client: &str,
        secret: &str,
        scope: &str,
        more: &[(&str, &str)],
    ) -> Value {
        let code = self.code_at(door, client, scope, more).await;
        let mut form = code_form(client, &code).to_vec();
        form.push(("client_secret", secret));
        good(self.token(door, &form).await).await
    }

    async fn refresh(&self, door: &str, client: &str, secret: &str, token: &str) -> Response {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", client),
            ("client_secret", secret),
            ("refresh_token", token),
        ];
        self.token(door, &form).await
    }

    async fn claims(&self, tokens: &Value, name: &str) -> Value {
        self.tester.verify(text(tokens, name)).await.unwrap()
    }

    async fn machine(&self, door: &str, client: &str, secret: &str, more: &[(&str, &str)]) -> Response {
        let form = [("grant_type", "client_credentials"), ("client_id", client), ("client_secret", secret)];
        self.token(door, &[&form, more].concat()).await
    }
}

fn code_form<'a>(client: &'a str, code: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ]
}

async fn good(response: Response) -> Value {
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{body}");
    body
}

#[tokio::test]
async fn every_discovery_document_under_every_address() {
    let world = World::approving().await;
    let (base, p) = (world.emulator.base_url(), world.emulator.project_id());
    let jwks = format!("{base}/{p}/.well-known/jwks.json");
    for (issuer, doors) in [
        (format!("/{p}"), "/oauth2/v1".to_owned()),
        (format!("/{p}/{DESK}"), format!("/{DESK}/oauth2/v1")),
        (format!("/v1/apps/{p}"), APPS.to_owned()),
        (format!("/v1/apps/agentic/{p}/{SERVER}"), format!("{APPS}/agentic/{p}/{SERVER}")),
    ] {
        let document = world.tester.json(&format!("{issuer}/.well-known/openid-configuration")).await;
        assert_eq!(document["issuer"], format!("{base}{issuer}"));
        assert_eq!(document["jwks_uri"], jwks, "one key set for all");
        assert_eq!(document["authorization_endpoint"], format!("{base}{doors}/authorize"));
        assert_eq!(document["token_endpoint"], format!("{base}{doors}/token"));
        assert_eq!(document["pushed_authorization_request_endpoint"], format!("{base}{APPS}/par"));
        let appended = format!("{issuer}/.well-known/oauth-authorization-server");
        let inserted = format!("/.well-known/oauth-authorization-server{issuer}");
        for address in [appended, inserted] {
            assert_eq!(world.tester.json(&address).await, document, "{address}");
        }
        for (name, value) in document.as_object().unwrap() {
            if name.ends_with("_endpoint") {
                // 404 is the answer of an address that does not exist.
                let path = value.as_str().unwrap().strip_prefix(base).unwrap();
                assert_ne!(
                    world.tester.form(path, &[]).await.status(),
                    StatusCode::NOT_FOUND,
                    "{name} {path}"
                );
            }
        }
        let registers = document.get("registration_endpoint").is_some();
        assert_eq!(registers, issuer.contains("agentic"));
        assert!(document["grant_types_supported"].as_array().unwrap().len() > 3);
    }
    for stranger in [
        "/P2Another00Project00000000Id/.well-known/openid-configuration".to_owned(),
        format!("/{p}/SA2Nothing/.well-known/openid-configuration"),
        format!("/v1/apps/agentic/{p}/MS2Nothing/.well-known/openid-configuration"),
        "/.well-known/project-configuration/P2Another00Project00000000Id".to_owned(),
    ] {
        assert_eq!(
            error_code(world.tester.get(&stranger).await).await,
            (404, "E011008".to_owned()),
            "{stranger}"
        );
    }
    let flag = world.tester.json(&format!("/.well-known/project-configuration/{p}")).await;
    assert_eq!(flag, json!({"allowAuthHostingIframeEmbedding": false}));
}

#[tokio::test]
async fn grants_that_are_advertised_and_refused() {
    let world = World::approving().await;
    let project = world.tester.project.clone();
    for grant in [
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "password",
    ] {
        let form = [("grant_type", grant), ("client_id", project.as_str())];
        let body: Value = world.token("/oauth2/v1", &form).await.json().await.unwrap();
        assert_eq!(body["errorCode"], "E011003");
        let named = text(&body, "errorMessage");
        for taken in ["authorization_code", "refresh_token", "client_credentials"] {
            assert!(named.contains(taken), "{named}");
        }
    }
}

#[tokio::test]
async fn a_federated_app_has_its_own_issuer_and_audience() {
    let world = World::approving().await;
    let (base, project) = (world.tester.base.clone(), world.tester.project.clone());
    let own = format!("/{DESK}/oauth2/v1");
    // At its own addresses and, by its client id, at the project's.
    for door in [own.as_str(), "/oauth2/v1"] {
        let tokens = world.login(door, DESK, "", "openid email", &[]).await;
        let session = world.claims(&tokens, "access_token").await;
        assert_eq!(session["iss"], format!("{base}/{project}/{DESK}"));
        assert_eq!(session["aud"], json!([project, DESK]));
        assert_eq!((session.get("azp"), session.get("scope")), (None, None));
        let id = world.claims(&tokens, "id_token").await;
        assert_eq!((&id["iss"], &id["aud"]), (&session["iss"], &json!([DESK])));
        let renewed = good(world.refresh(door, DESK, "", text(&tokens, "refresh_token")).await).await;
        assert_eq!(world.claims(&renewed, "access_token").await["iss"], session["iss"]);
    }
    // An app without a client id of its own goes by the project's.
    let tokens = world.login(&own, &project, "", "openid", &[]).await;
    assert_eq!(world.claims(&tokens, "id_token").await["aud"], json!([project]));
    assert_eq!(world.emulator.control().family(3).unwrap().realm, Realm::Federated(DESK.to_owned()));
    // Its refresh token is not the project's client's.
    let stolen = world.refresh("/oauth2/v1", &project, "", text(&tokens, "refresh_token")).await;
    assert_eq!(error_code(stolen).await, (400, "E011004".to_owned()));
    // `ssoAppId` must fit.
    let response = world.tester.authorize(&[("ssoAppId", DESK)]).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let response = world.tester.authorize(&[("client_id", DESK), ("ssoAppId", DESK)]).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn an_inbound_app_asks_for_scopes_and_shows_its_secret() {
    let world = World::approving().await;
    let (base, project) = (world.tester.base.clone(), world.tester.project.clone());
    for door in [APPS.to_owned(), format!("{APPS}/{project}")] {
        let tokens = world.login(&door, REPORTS, REPORTS_SECRET, SCOPE, &[]).await;
        let session = world.claims(&tokens, "access_token").await;
        assert_eq!(session["iss"], format!("{base}/v1/apps/{project}"));
        assert_eq!((&session["azp"], &session["scope"]), (&json!(REPORTS), &json!(SCOPE)));
        assert_eq!(session["aud"], project);
        let refresh = world.claims(&tokens, "refresh_token").await;
        let lifetime = refresh["exp"].as_i64().unwrap() - refresh["iat"].as_i64().unwrap();
        assert_eq!(lifetime, 520 * 7 * 24 * 3600);
        let renewed =
            good(world.refresh(&door, REPORTS, REPORTS_SECRET, text(&tokens, "refresh_token")).await).await;
        assert_eq!(world.claims(&renewed, "access_token").await["azp"], REPORTS);
        // Only the OAuth grant renews it.
        let rest = world.tester.bearer("/v1/auth/refresh", text(&tokens, "refresh_token")).await;
        assert_eq!(error_code(rest).await, (401, "E061005".to_owned()));
        let info = world.tester.http.get(format!("{base}{door}/userinfo"));
        let info: Value = good(info.bearer_auth(text(&tokens, "access_token")).send().await.unwrap()).await;
        assert_eq!(info["sub"], session["sub"]);
        let elsewhere = world.tester.http.get(format!("{base}/oauth2/v1/userinfo"));
        let elsewhere = elsewhere.bearer_auth(text(&tokens, "access_token")).send().await.unwrap();
        assert_eq!(error_code(elsewhere).await, (401, "E061005".to_owned()));
    }
    let authorize = format!("{APPS}/authorize");
    for (changes, error) in [
        (vec![("scope", "")], "invalid_scope"),
        (vec![("scope", "openid reports.burn")], "invalid_scope"),
        (vec![("resource", "https://elsewhere.test/")], "invalid_target"),
    ] {
        let changes = [vec![("client_id", REPORTS), ("scope", SCOPE)], changes].concat();
        assert_eq!(returned(&world.tester.authorize_at(&authorize, &changes).await)["error"], error);
    }
    // The project's doors do not know it, nor do its doors know the project.
    for (door, client) in [("/oauth2/v1/authorize", REPORTS), (authorize.as_str(), project.as_str())] {
        let response = world.tester.authorize_at(door, &[("client_id", client), ("scope", SCOPE)]).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{door} {client}");
    }
}

#[tokio::test]
async fn clients_show_themselves_in_one_way() {
    let world = World::approving().await;
    let url = format!("{}{APPS}/token", world.tester.base);
    let form = async || {
        let code = world.code_at(APPS, REPORTS, SCOPE, &[]).await;
        let form = code_form(REPORTS, &code).map(|(name, value)| (name.to_owned(), value.to_owned()));
        form.into_iter().collect::<BTreeMap<_, _>>()
    };
    let mut by_basic = form().await;
    by_basic.remove("client_id");
    let request = world.tester.http.post(&url).basic_auth(REPORTS, Some(REPORTS_SECRET)).form(&by_basic);
    good(request.send().await.unwrap()).await;

    let mut both = form().await;
    both.insert("client_secret".to_owned(), REPORTS_SECRET.to_owned());
    let request = world.tester.http.post(&url).basic_auth(REPORTS, Some(REPORTS_SECRET)).form(&both);
    assert_eq!(error_code(request.send().await.unwrap()).await, (400, "E011001".to_owned()));

    for (client, secret, expected) in [
        (REPORTS, "", (400, "E011002")),
        (REPORTS, "wrong", (401, "E011004")),
        (CLI, "not needed", (401, "E011004")),
        ("TPA2Nobody", "x", (404, "E011008")),
    ] {
        let response = world.refresh(APPS, client, secret, "x").await;
        let (status, code) = error_code(response).await;
        assert_eq!((status, code.as_str()), expected, "{client} {secret}");
    }
    world.emulator.control().patch_settings(&json!({"oauth": {"errors": "rfc"}})).unwrap();
    for (secret, status) in [("", 401), ("wrong", 401)] {
        let response = world.refresh(APPS, REPORTS, secret, "x").await;
        assert_eq!(response.status(), status);
        assert_eq!(response.json::<Value>().await.unwrap()["error"], "invalid_client");
    }
}

#[tokio::test]
async fn a_public_client_refreshes_without_a_secret_or_is_asked_for_one() {
    let world = World::approving().await;
    let tokens = world.login(APPS, CLI, "", "openid reports.read", &[]).await;
    let token = text(&tokens, "refresh_token");
    good(world.refresh(APPS, CLI, "", token).await).await;
    world.emulator.control().update_settings(|settings| settings.oauth.secret_on_refresh = true);
    let body: Value = world.refresh(APPS, CLI, "", token).await.json().await.unwrap();
    assert_eq!((text(&body, "errorCode"), text(&body, "errorMessage")), ("E011002", "missing secret"));
    // A confidential client is not concerned.
    let tokens = world.login(APPS, REPORTS, REPORTS_SECRET, SCOPE, &[]).await;
    good(world.refresh(APPS, REPORTS, REPORTS_SECRET, text(&tokens, "refresh_token")).await).await;
}

#[tokio::test]
async fn refresh_tokens_belong_to_their_client_and_their_scope() {
    let world = World::approving().await;
    world.emulator.control().update_settings(|settings| settings.refresh.rotate = true);
    let tokens = world.login(APPS, REPORTS, REPORTS_SECRET, "openid reports.read reports.write", &[]).await;
    let token = text(&tokens, "refresh_token");
    for _ in 0..2 {
        let stolen = world.refresh(APPS, CLI, "", token).await;
        assert_eq!(error_code(stolen).await, (400, "E011004".to_owned()));
    }
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", REPORTS),
        ("client_secret", REPORTS_SECRET),
        ("refresh_token", token),
        ("scope", "openid reports.read offline_access"),
    ];
    assert_eq!(error_code(world.token(APPS, &form).await).await, (400, "E011003".to_owned()), "wider");
    let mut narrower = form;
    narrower[4].1 = "reports.read";
    let narrow = good(world.token(APPS, &narrower).await).await;
    assert_eq!(world.claims(&narrow, "access_token").await["scope"], "reports.read");
    // The family keeps what was granted, and none of this spent it.
    let again =
        good(world.refresh(APPS, REPORTS, REPORTS_SECRET, text(&narrow, "refresh_token")).await).await;
    assert_eq!(world.claims(&again, "access_token").await["scope"], "openid reports.read reports.write");
    let family = world.emulator.control().family(1).unwrap();
    assert_eq!((family.alive, family.reuses), (true, 0));
}

#[tokio::test]
async fn consent_is_asked_for_once_and_can_be_taken_back() {
    let world = World::with_pages().await;
    let control = world.emulator.control();
    let authorize = format!("{APPS}/authorize");
    let login = format!("/login/{}", world.tester.project);
    let sign_in = async |changes: &[(&str, &str)]| {
        let changes = [&[("client_id", CLI), ("scope", "openid reports.read")], changes].concat();
        let handle = handle_in(world.tester.authorize_at(&authorize, &changes).await).await;
        let form = [("state_id", handle.as_str()), ("email", ALICE), ("password", "alice-in-acme")];
        world.tester.form(&login, &form).await
    };
    let page = sign_in(&[]).await;
    assert_eq!(page.status(), StatusCode::OK);
    let page = page.text().await.unwrap();
    assert!(
        page.contains("Allow Acme CLI?") && page.contains("reports.read") && page.contains(ALICE),
        "{page}"
    );

    let answer = async |action: &'static str| {
        let handle = handle_in(sign_in(&[("prompt", "consent")]).await).await;
        returned(&world.tester.form(&login, &[("state_id", handle.as_str()), ("action", action)]).await)
    };
    assert_eq!(answer("deny").await["error"], "access_denied");
    assert!(control.consents().is_empty());
    let code = answer("allow").await["code"].clone();
    let tokens = good(world.token(APPS, &code_form(CLI, &code)).await).await;
    assert_eq!(control.consents()[0].client_id, CLI);
    // Once given it is not asked for again.
    assert!(returned(&sign_in(&[]).await).contains_key("code"));
    let token = text(&tokens, "refresh_token");
    good(world.refresh(APPS, CLI, "", token).await).await;
    assert!(control.revoke_consent(ALICE, CLI).unwrap() && !control.revoke_consent(ALICE, CLI).unwrap());
    assert_eq!(error_code(world.refresh(APPS, CLI, "", token).await).await, (401, "E061005".to_owned()));
    assert!(control.revoke_consent("nobody", CLI).is_err());
}

#[tokio::test]
async fn a_consent_expires_and_without_a_page_it_cannot_be_asked_for() {
    let world = World::with_pages().await;
    let control = world.emulator.control();
    let app = App {
        redirects: vec![REDIRECT.to_owned()],
        scopes: vec!["notes.read".to_owned()],
        consent_seconds: Some(100),
        ..App::new(AppKind::Inbound)
    };
    control.put_app("TPA2Short", app).unwrap();
    control.update_settings(|settings| settings.oauth.remember_browser = true);
    control.set_approval(descope_emulator::Approval::As(ALICE.to_owned())).unwrap();
    let tokens = world.login(APPS, "TPA2Short", "", "notes.read", &[]).await;
    control.advance(101);
    let refused = world.refresh(APPS, "TPA2Short", "", text(&tokens, "refresh_token")).await;
    assert_eq!(error_code(refused).await, (401, "E061005".to_owned()));

    control.set_approval(descope_emulator::Approval::Page).unwrap();
    let authorize = format!("{APPS}/authorize");
    let changes = [("client_id", "TPA2Short"), ("scope", "notes.read")];
    let handle = handle_in(world.tester.authorize_at(&authorize, &changes).await).await;
    let form = [("state_id", handle.as_str()), ("email", ALICE), ("password", "alice-in-acme")];
    let page = world.tester.form(&format!("/login/{}", world.tester.project), &form).await;
    let cookie = page.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let silent = [changes.as_slice(), &[("prompt", "none")]].concat();
    let answer = returned(&world.tester.authorize_with(&authorize, &silent, &cookie).await);
    assert_eq!(answer["error"], "consent_required");
}

#[tokio::test]
async fn resources_become_the_audience() {
    let world = World::approving().await;
    let (project, resource) = (world.tester.project.clone(), "https://reports.acme.test/");
    let tokens = world.login(APPS, REPORTS, REPORTS_SECRET, SCOPE, &[("resource", resource)]).await;
    assert_eq!(world.claims(&tokens, "access_token").await["aud"], json!([project, resource]));
    // At the token endpoint one of the granted ones, and one only.
    let code = world.code_at(APPS, REPORTS, SCOPE, &[("resource", resource)]).await;
    let form = [&code_form(REPORTS, &code)[..], &[("client_secret", REPORTS_SECRET)]].concat();
    let other = [&form[..], &[("resource", "https://elsewhere.test/")]].concat();
    assert_eq!(error_code(world.token(APPS, &other).await).await, (400, "E011003".to_owned()));
    let code = world.code_at(APPS, REPORTS, SCOPE, &[("resource", resource)]).await;
    let form = [&code_form(REPORTS, &code)[..], &[("client_secret", REPORTS_SECRET)]].concat();
    let twice = [&form[..], &[("resource", resource), ("resource", resource)]].concat();
    assert_eq!(error_code(world.token(APPS, &twice).await).await, (400, "E011001".to_owned()));

    for (audience, expected) in [
        (DefaultAudience::Project, json!(project)),
        (DefaultAudience::Client, json!("TPA2Aud")),
        (DefaultAudience::Both, json!([project, "TPA2Aud"])),
    ] {
        let app = App { redirects: vec![REDIRECT.to_owned()], audience, ..App::new(AppKind::Inbound) };
        world.emulator.control().put_app("TPA2Aud", app).unwrap();
        let tokens = world.login(APPS, "TPA2Aud", "", "openid", &[]).await;
        assert_eq!(world.claims(&tokens, "access_token").await["aud"], expected);
    }
}

#[tokio::test]
async fn pkce_is_for_public_clients_and_for_those_that_are_forced() {
    let world = World::approving().await;
    let without = [("code_challenge", ""), ("code_challenge_method", "")];
    let code = world.code_at(APPS, REPORTS, SCOPE, &without).await;
    let mut form = code_form(REPORTS, &code).to_vec();
    form.push(("client_secret", REPORTS_SECRET));
    assert_eq!(
        error_code(world.token(APPS, &form).await).await,
        (400, "E011004".to_owned()),
        "a verifier without a challenge is a downgrade"
    );
    let code = world.code_at(APPS, REPORTS, SCOPE, &without).await;
    let mut form = code_form(REPORTS, &code).to_vec();
    form[4] = ("client_secret", REPORTS_SECRET);
    // The documented parameters of the inbound endpoint have no redirect address.
    form.remove(3);
    good(world.token(APPS, &form).await).await;

    let forced = App {
        secret: Some(TestPassword::new("s")),
        redirects: vec![REDIRECT.to_owned()],
        force_pkce: true,
        ..App::new(AppKind::Inbound)
    };
    world.emulator.control().put_app("TPA2Forced", forced).unwrap();
    for client in [CLI, "TPA2Forced"] {
        let changes = [&[("client_id", client), ("scope", "openid")], &without[..]].concat();
        let answer = returned(&world.tester.authorize_at(&format!("{APPS}/authorize"), &changes).await);
        assert_eq!(answer["error"], "invalid_request", "{client}");
    }
}

#[tokio::test]
async fn grants_can_be_switched_off() {
    let world = World::approving().await;
    let control = world.emulator.control();
    let app = App {
        secret: Some(TestPassword::new("s")),
        redirects: vec![REDIRECT.to_owned()],
        grants: [GrantType::AuthorizationCode].into(),
        ..App::new(AppKind::Inbound)
    };
    control.put_app("TPA2Few", app.clone()).unwrap();
    let tokens = world.login(APPS, "TPA2Few", "s", "openid", &[]).await;
    let refresh = world.refresh(APPS, "TPA2Few", "s", text(&tokens, "refresh_token")).await;
    assert_eq!(error_code(refresh).await, (400, "E011003".to_owned()));
    let machine = world.machine(APPS, "TPA2Few", "s", &[("scope", "openid")]).await;
    assert_eq!(error_code(machine).await, (400, "E011003".to_owned()));
    control.put_app("TPA2Few", App { grants: [GrantType::RefreshToken].into(), ..app }).unwrap();
    let changes = [("client_id", "TPA2Few"), ("scope", "openid")];
    let answer = returned(&world.tester.authorize_at(&format!("{APPS}/authorize"), &changes).await);
    assert_eq!(answer["error"], "unauthorized_client");

    assert!(control.remove_app("TPA2Few") && !control.remove_app("TPA2Few"));
    let gone = world.refresh(APPS, "TPA2Few", "s", text(&tokens, "refresh_token")).await;
    assert_eq!(error_code(gone).await, (404, "E011008".to_owned()));
    assert!(control.put_app(&world.tester.project, App::new(AppKind::Inbound)).is_err());
    assert!(control.put_app("TPA2Lost", App::new(AppKind::Mcp("MS9".to_owned()))).is_err());
}

#[tokio::test]
async fn machines_get_tokens_for_their_secret() {
    let world = World::approving().await;
    let (base, project) = (world.tester.base.clone(), world.tester.project.clone());
    let resource = "https://reports.acme.test/";
    let asked = [("scope", "reports.read"), ("audience", resource)];
    let tokens = good(world.machine(APPS, REPORTS, REPORTS_SECRET, &asked).await).await;
    assert!(tokens.get("refresh_token").is_none() && tokens.get("id_token").is_none());
    let claims = world.claims(&tokens, "access_token").await;
    assert_eq!((&claims["sub"], &claims["scope"]), (&json!(REPORTS), &json!("reports.read")));
    assert_eq!(
        (&claims["iss"], &claims["aud"]),
        (&json!(format!("{base}/v1/apps/{project}")), &json!([project, resource]))
    );
    assert!(claims.get("rexp").is_none());
    let info = world.tester.http.get(format!("{base}{APPS}/userinfo"));
    let info = info.bearer_auth(text(&tokens, "access_token")).send().await.unwrap();
    assert_eq!(error_code(info).await, (401, "E061005".to_owned()), "there is no user behind it");

    for (client, secret, more, expected) in [
        (REPORTS, "wrong", vec![("scope", "reports.read")], (401, "E011004")),
        (REPORTS, "", vec![("scope", "reports.read")], (400, "E011002")),
        (REPORTS, REPORTS_SECRET, vec![], (400, "E011002")),
        (REPORTS, REPORTS_SECRET, vec![("scope", "reports.burn")], (400, "E011003")),
        (REPORTS, REPORTS_SECRET, vec![("scope", "reports.read"), ("audience", "x:y")], (400, "E011003")),
        (CLI, "", vec![("scope", "reports.read")], (400, "E011002")),
    ] {
        let (status, code) = error_code(world.machine(APPS, client, secret, &more).await).await;
        assert_eq!((status, code.as_str()), expected, "{client} {secret} {more:?}");
    }
}

#[tokio::test]
async fn the_projects_own_client_shows_an_access_key() {
    let world = World::approving().await;
    let (base, project) = (world.tester.base.clone(), world.tester.project.clone());
    let create = world.tester.http.post(format!("{base}/v1/mgmt/accesskey/create"));
    let create = create.bearer_auth(format!("{project}:acme-management-key"));
    let body = json!({"name": "robot", "roleNames": ["viewer"]});
    let key = good(create.json(&body).send().await.unwrap()).await;
    let secret = text(&key, "cleartext");
    let tokens = good(world.machine("/oauth2/v1", &project, secret, &[]).await).await;
    let claims = world.claims(&tokens, "access_token").await;
    assert_eq!((&claims["sub"], &claims["roles"]), (&key["key"]["id"], &json!(["viewer"])));
    assert!(claims.get("rexp").is_none() && tokens.get("refresh_token").is_none());

    let wrong = world.machine("/oauth2/v1", &project, "wrong", &[]).await;
    assert_eq!(error_code(wrong).await, (401, "E062803".to_owned()));
    let missing = world.machine("/oauth2/v1", &project, "", &[]).await;
    assert_eq!(error_code(missing).await, (400, "E011002".to_owned()));
}

#[tokio::test]
async fn a_pushed_request_works_once_and_for_its_client() {
    let world = World::approving().await;
    let control = world.emulator.control();
    let push = async |more: &[(&str, &str)]| {
        let form = [
            ("client_id", CLI),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("scope", "openid reports.read"),
            ("state", "the-state"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let form: BTreeMap<&str, &str> = form.into_iter().chain(more.iter().copied()).collect();
        let form: Vec<(&str, &str)> = form.into_iter().collect();
        world.tester.form(&format!("{APPS}/par"), &form).await
    };
    let uri = async || {
        let response = push(&[]).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["expires_in"], 60);
        text(&body, "request_uri").to_owned()
    };
    let open = async |client: &str, uri: &str| {
        let address = format!("{}{APPS}/authorize", world.tester.base);
        let request = world.tester.http.get(address).query(&[("client_id", client), ("request_uri", uri)]);
        request.send().await.unwrap()
    };
    let one = uri().await;
    let answer = returned(&open(CLI, &one).await);
    assert_eq!(answer["state"], "the-state");
    good(world.token(APPS, &code_form(CLI, &answer["code"])).await).await;
    assert_eq!(open(CLI, &one).await.status(), StatusCode::BAD_REQUEST, "used");
    assert_eq!(open(REPORTS, &uri().await).await.status(), StatusCode::BAD_REQUEST, "another client's");
    let old = uri().await;
    control.advance(61);
    assert_eq!(open(CLI, &old).await.status(), StatusCode::BAD_REQUEST, "expired");
    for (change, expected) in [
        (("redirect_uri", "http://127.0.0.1:10/"), (400, "E011004")),
        (("scope", "reports.burn"), (400, "E011003")),
        (("client_id", "TPA2Nobody"), (404, "E011008")),
        (("client_id", REPORTS), (400, "E011002")),
        (("request_uri", "urn:x"), (400, "E011001")),
    ] {
        let (status, code) = error_code(push(&[change]).await).await;
        assert_eq!((status, code.as_str()), expected, "{change:?}");
    }
    // A federated app pushes at the same place, and may be made to.
    let app = App { require_par: true, ..App::new(AppKind::Federated) };
    control.put_app("SA2Pushing", app).unwrap();
    let direct = world.tester.authorize(&[("client_id", "SA2Pushing")]).await;
    assert_eq!(returned(&direct)["error"], "invalid_request");
    let body: Value = push(&[("client_id", "SA2Pushing")]).await.json().await.unwrap();
    assert!(returned(&open("SA2Pushing", text(&body, "request_uri")).await).contains_key("code"));
}

#[tokio::test]
async fn an_mcp_server_registers_clients_and_issues_for_them() {
    let world = World::approving().await;
    let control = world.emulator.control();
    let (base, project) = (world.tester.base.clone(), world.tester.project.clone());
    let door = format!("{APPS}/agentic/{project}/{SERVER}");
    let registration = format!("{base}/v1/mgmt/mcp/client/{project}/{SERVER}/register");
    let register =
        async |metadata: Value| world.tester.http.post(&registration).json(&metadata).send().await.unwrap();
    let metadata = json!({"redirect_uris": [REDIRECT], "client_name": "Inspector", "token_endpoint_auth_method": "none",
                          "grant_types": ["authorization_code", "refresh_token"], "software_id": "ignored"});
    let response = register(metadata.clone()).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let client: Value = response.json().await.unwrap();
    assert!(client.get("client_secret").is_none());
    let id = text(&client, "client_id");
    let tokens =
        world.login(&door, id, "", "openid tools.call", &[("resource", "https://tools.acme.test/mcp")]).await;
    let session = world.claims(&tokens, "access_token").await;
    assert_eq!(session["iss"], format!("{base}/v1/apps/agentic/{project}/{SERVER}"));
    assert_eq!((&session["azp"], &session["aud"][1]), (&json!(id), &json!("https://tools.acme.test/mcp")));
    assert_eq!(control.family(1).unwrap().realm, Realm::Mcp(SERVER.to_owned()));
    // Discovery says one thing, tokens may say another.
    control.update_settings(|settings| settings.tokens.mcp_tokens_say_inbound = true);
    let renewed = good(world.refresh(&door, id, "", text(&tokens, "refresh_token")).await).await;
    assert_eq!(world.claims(&renewed, "access_token").await["iss"], format!("{base}/v1/apps/{project}"));
    // The shared doors of the inbound apps know it, another server's do not.
    good(world.refresh(APPS, id, "", text(&tokens, "refresh_token")).await).await;
    control.put_mcp_server("MS2Other", McpServer::default());
    let other = world.refresh(&format!("{APPS}/agentic/{project}/MS2Other"), id, "", "x").await;
    assert_eq!(error_code(other).await, (404, "E011008".to_owned()));

    let confidential: Value = register(json!({"redirect_uris": [REDIRECT]})).await.json().await.unwrap();
    let secret = text(&confidential, "client_secret");
    assert!(control.issued().iter().any(|known| known.value == secret));
    let tokens = world.login(&door, text(&confidential, "client_id"), secret, "tools.call", &[]).await;
    assert!(tokens.get("id_token").is_none());

    for (change, word) in [
        (json!({"redirect_uris": []}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["http://127.0.0.1:*/cb"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": ["nonsense"]}), "invalid_redirect_uri"),
        (json!({"client_name": "no addresses"}), "invalid_client_metadata"),
        (json!({"redirect_uris": [REDIRECT], "grant_types": ["password"]}), "invalid_client_metadata"),
        (
            json!({"redirect_uris": [REDIRECT], "token_endpoint_auth_method": "tls"}),
            "invalid_client_metadata",
        ),
    ] {
        assert_eq!(error_code(register(change.clone()).await).await, (400, "E152006".to_owned()), "{change}");
        control.patch_settings(&json!({"oauth": {"errors": "rfc"}})).unwrap();
        assert_eq!(register(change).await.json::<Value>().await.unwrap()["error"], word);
        control.patch_settings(&json!({"oauth": {"errors": "descope"}})).unwrap();
    }
    let closed = format!("{base}/v1/mgmt/mcp/client/{project}/MS2Other/register");
    let refused = world.tester.http.post(&closed).json(&metadata).send().await.unwrap();
    assert_eq!(error_code(refused).await, (400, "E152006".to_owned()));
}

#[tokio::test]
async fn every_door_can_be_limited_and_broken() {
    let world = World::approving().await;
    let control = world.emulator.control();
    let project = world.tester.project.clone();
    for door in [
        format!("/{DESK}/oauth2/v1/token"),
        format!("{APPS}/token"),
        format!("{APPS}/revoke"),
        format!("{APPS}/par"),
        format!("{APPS}/agentic/{project}/{SERVER}/token"),
        format!("/v1/mgmt/mcp/client/{project}/{SERVER}/register"),
        format!("/v1/apps/{project}/.well-known/openid-configuration"),
    ] {
        let id = control.inject(Fault::on(&door, FaultAction::too_many_requests(7)).once());
        let limited = world.tester.form(&door, &[]).await;
        assert_eq!(
            (limited.status().as_u16(), &limited.headers()["retry-after"]),
            (429, &"7".parse().unwrap())
        );
        assert_eq!(error_code(limited).await.1, "E130429");
        control.clear_fault(id);
        let page =
            FaultAction::Status { status: 502, retry_after: None, body: FaultBody::Html, processed: false };
        control.inject(Fault::on(&door, page).once());
        let broken = world.tester.form(&door, &[]).await;
        assert!(broken.headers()["content-type"].to_str().unwrap().starts_with("text/html"), "{door}");
    }
}

#[tokio::test]
async fn a_device_of_a_third_party_needs_scopes_and_consents_by_its_approval() {
    let world = World::with_pages().await;
    let control = world.emulator.control();
    let begin = async |scope| {
        world.tester.form(&format!("{APPS}/device"), &[("client_id", CLI), ("scope", scope)]).await
    };
    assert_eq!(error_code(begin("reports.burn").await).await, (400, "E011003".to_owned()));
    let codes = good(begin("openid reports.read").await).await;
    control.approve_device(text(&codes, "user_code"), ALICE).unwrap();
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", CLI),
        ("device_code", text(&codes, "device_code")),
    ];
    let tokens = good(world.token(APPS, &form).await).await;
    assert_eq!(world.claims(&tokens, "access_token").await["azp"], CLI);
    good(world.refresh(APPS, CLI, "", text(&tokens, "refresh_token")).await).await;
}
