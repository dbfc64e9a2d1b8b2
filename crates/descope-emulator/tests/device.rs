//! Signing in with a code from another device: endpoint, polling, pages, and what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod support;

use descope_emulator::{Approval, Control, DeviceState, Emulator, SecretKind};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Tester, error_code, text};

const ALICE: &str = "alice@acme.test";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const SCOPE: &str = "openid profile email offline_access";

struct Device {
    emulator: Emulator,
    tester: Tester,
}

impl Device {
    async fn new() -> Self {
        let emulator = Emulator::builder().start().await.unwrap();
        let tester = Tester::new(&emulator);
        Self { emulator, tester }
    }

    fn control(&self) -> Control {
        self.emulator.control()
    }

    async fn begin(&self) -> Value {
        let form = [("client_id", self.tester.project.as_str()), ("scope", SCOPE)];
        let response = self.tester.form("/oauth2/v1/device", &form).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["cache-control"], "no-store");
        response.json().await.unwrap()
    }

    async fn poll(&self, codes: &Value) -> (u16, Value) {
        self.poll_as(&self.tester.project, codes).await
    }

    async fn poll_as(&self, client: &str, codes: &Value) -> (u16, Value) {
        let form =
            [("grant_type", GRANT), ("client_id", client), ("device_code", text(codes, "device_code"))];
        let response = self.tester.form("/oauth2/v1/token", &form).await;
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// What polling says; the emulator's clock moves on far enough first.
    async fn word(&self, codes: &Value) -> String {
        self.control().advance(60);
        let (status, body) = self.poll(codes).await;
        assert_eq!(status, 400, "{body}");
        text(&body, "error").to_owned()
    }

    async fn page(&self, path: &str) -> (u16, String) {
        let response = self.tester.get(path).await;
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn submit(&self, path: &str, form: &[(&str, &str)]) -> (u16, String) {
        let path = format!("/device/{}/{path}", self.tester.project);
        let response = self.tester.form(&path, form).await;
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

/// The handle in a page's form.
fn handle(html: &str) -> String {
    let (_, rest) =
        html.split_once("name=\"state_id\" value=\"").unwrap_or_else(|| panic!("no form: {html}"));
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_device_gets_its_tokens_once() {
    let device = Device::new().await;
    let codes = device.begin().await;
    let project = &device.tester.project;
    assert_eq!(text(&codes, "verification_uri"), format!("{}/device/{project}", device.tester.base));
    assert_eq!((codes["expires_in"].as_u64(), codes["interval"].as_u64()), (Some(600), Some(5)));
    assert!(text(&codes, "verification_uri_complete").ends_with(text(&codes, "user_code")));
    let issued = device.control().issued();
    assert!(
        issued.iter().any(
            |secret| secret.kind == SecretKind::DeviceCode && secret.value == text(&codes, "device_code")
        )
    );

    assert_eq!(device.word(&codes).await, "authorization_pending");
    device.control().approve_device(text(&codes, "user_code"), ALICE).unwrap();
    device.control().advance(5);
    let (status, tokens) = device.poll(&codes).await;
    assert_eq!(status, 200, "{tokens}");
    let session = device.tester.verify(text(&tokens, "access_token")).await.unwrap();
    assert_eq!(session["sub"], device.control().user(ALICE).unwrap().id);
    let id = device.tester.verify(text(&tokens, "id_token")).await.unwrap();
    assert_eq!((text(&id, "email"), id.get("nonce")), (ALICE, None));
    assert_eq!(device.tester.refresh_grant(text(&tokens, "refresh_token")).await.status(), StatusCode::OK);

    device.control().advance(5);
    let (status, again) = device.poll(&codes).await;
    assert_eq!((status, text(&again, "errorCode")), (401, "E061005"), "{again}");
    assert_eq!(device.control().devices()[0].state, DeviceState::Redeemed);
    assert_eq!(device.control().families().len(), 1);
}

#[tokio::test]
async fn who_asks_too_often_is_slowed_down_for_good() {
    let device = Device::new().await;
    let codes = device.begin().await;
    let word = async || text(&device.poll(&codes).await.1, "error").to_owned();
    assert_eq!(word().await, "authorization_pending");
    assert_eq!(word().await, "slow_down");
    device.control().advance(9);
    assert_eq!(word().await, "slow_down", "ten seconds by now");
    device.control().advance(15);
    assert_eq!(word().await, "authorization_pending");
    let view = device.control().devices().remove(0);
    assert_eq!((view.interval, view.polls, view.state), (15, 4, DeviceState::Open));
}

#[tokio::test]
async fn no_and_too_late_are_said_in_rfc_shape_whatever_is_configured() {
    let device = Device::new().await;
    let refused = device.begin().await;
    device.control().deny_device(text(&refused, "user_code")).unwrap();
    assert_eq!(device.word(&refused).await, "access_denied");
    assert!(device.control().approve_device(text(&refused, "user_code"), ALICE).is_err(), "answered once");

    let late = device.begin().await;
    device.control().advance(600);
    assert_eq!(device.word(&late).await, "expired_token");
    assert!(device.control().approve_device(text(&late, "user_code"), ALICE).is_err());

    device.control().set_approval(Approval::Deny).unwrap();
    let never = device.begin().await;
    assert_eq!(device.word(&never).await, "access_denied");
    assert_eq!(device.control().families().len(), 0);
}

#[tokio::test]
async fn a_code_belongs_to_its_client() {
    let device = Device::new().await;
    let codes = device.begin().await;
    device.control().approve_device(text(&codes, "user_code"), ALICE).unwrap();
    let (status, body) = device.poll_as("P2Another00Project00000000Id", &codes).await;
    assert_eq!((status, text(&body, "errorCode")), (404, "E011008"));
    let (status, body) = device.poll(&json!({"device_code": "made-up"})).await;
    assert_eq!((status, text(&body, "errorCode")), (401, "E061005"));
    let stranger = device.tester.form("/oauth2/v1/device", &[("client_id", "P2Another")]).await;
    assert_eq!(error_code(stranger).await, (404, "E011008".to_owned()));
    assert_eq!(device.poll(&codes).await.0, 200, "nothing of that spent it");
}

#[tokio::test]
async fn switched_off_it_is_neither_announced_nor_answered() {
    let device = Device::new().await;
    let document = format!("/{}/.well-known/openid-configuration", device.tester.project);
    let announced = device.tester.json(&document).await;
    assert_eq!(
        text(&announced, "device_authorization_endpoint"),
        format!("{}/oauth2/v1/device", device.tester.base)
    );
    assert!(announced["grant_types_supported"].as_array().unwrap().contains(&json!(GRANT)));

    let codes = device.begin().await;
    device.control().patch_settings(&json!({"device": {"enabled": false, "announced": false}})).unwrap();
    let silent = device.tester.json(&document).await;
    assert_eq!(silent.get("device_authorization_endpoint"), None);
    assert!(!silent["grant_types_supported"].as_array().unwrap().contains(&json!(GRANT)));
    let project = device.tester.project.as_str();
    for (path, client) in
        [("/oauth2/v1/device", project), ("/oauth2/v1/apps/device", "TPA2AcmeCli00000000000000000")]
    {
        let refused = device.tester.form(path, &[("client_id", client)]).await;
        assert_eq!(error_code(refused).await, (400, "E011003".to_owned()));
    }
    assert_eq!(text(&device.poll(&codes).await.1, "errorCode"), "E011003");
}

#[tokio::test]
async fn a_person_enters_the_code_signs_in_and_approves() {
    let device = Device::new().await;
    let codes = device.begin().await;
    let start = format!("/device/{}", device.tester.project);
    let (status, html) = device.page(&start).await;
    assert!(status == 200 && html.contains("name=\"user_code\""), "{html}");
    let typed = text(&codes, "user_code").to_lowercase().replace('-', "%20");
    let (status, html) = device.page(&format!("{start}?user_code={typed}")).await;
    assert!(status == 200 && html.contains(text(&codes, "user_code")), "{html}");

    let wrong = [("state_id", handle(&html)), ("email", ALICE.into()), ("password", "wrong".into())];
    let wrong: Vec<(&str, &str)> = wrong.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let (status, html) = device.submit("sign-in", &wrong).await;
    assert!(status == 401 && html.contains("do not belong together"), "{html}");
    let signing_in = handle(&html);
    let form = [("state_id", signing_in.as_str()), ("email", ALICE), ("password", "alice-in-acme")];
    let (status, html) = device.submit("sign-in", &form).await;
    assert!(status == 200 && html.contains(ALICE) && html.contains(text(&codes, "user_code")), "{html}");
    assert!(html.contains("offline_access"), "what is asked for: {html}");
    assert_eq!(device.word(&codes).await, "authorization_pending", "signing in is no approval");

    let unsigned = [("state_id", signing_in.as_str()), ("action", "approve")];
    assert_eq!(
        device.submit("answer", &unsigned).await.0,
        404,
        "the page before the sign-in approves nothing"
    );
    let asked = handle(&html);
    let approve = [("state_id", asked.as_str()), ("action", "approve")];
    let (status, html) = device.submit("answer", &approve).await;
    assert!(status == 200 && html.contains("is signed in"), "{html}");
    assert_eq!(device.submit("answer", &approve).await.0, 404, "once");
    device.control().advance(60);
    assert_eq!(device.poll(&codes).await.0, 200);
}

#[tokio::test]
async fn a_person_refuses() {
    for at_the_password in [true, false] {
        let device = Device::new().await;
        let codes = device.begin().await;
        let (_, html) = device
            .page(text(&codes, "verification_uri_complete").strip_prefix(&device.tester.base).unwrap())
            .await;
        let first = handle(&html);
        if at_the_password {
            let (_, html) = device.submit("sign-in", &[("state_id", &first), ("action", "cancel")]).await;
            assert!(html.contains("was refused"), "{html}");
        } else {
            let form = [("state_id", first.as_str()), ("email", ALICE), ("password", "alice-in-acme")];
            let (_, html) = device.submit("sign-in", &form).await;
            let (_, html) =
                device.submit("answer", &[("state_id", &handle(&html)), ("action", "deny")]).await;
            assert!(html.contains("was refused"), "{html}");
        }
        assert_eq!(device.word(&codes).await, "access_denied");
    }
}

#[tokio::test]
async fn guessing_codes_leads_nowhere() {
    let device = Device::new().await;
    let codes = device.begin().await;
    let path = |code: &str| format!("/device/{}?user_code={code}", device.tester.project);
    for _ in 0..5 {
        assert_eq!(device.page(&path("BBBB-BBBB")).await.0, 404);
    }
    let right = path(text(&codes, "user_code"));
    assert_eq!(device.page(&right).await.0, 429, "not even the right one");
    device.control().advance(61);
    assert_eq!(device.page(&right).await.0, 200);
}

#[tokio::test]
async fn tests_that_are_other_processes_answer_too() {
    let device = Device::new().await;
    let codes = device.begin().await;
    let code = text(&codes, "user_code");
    let at = |what: &str| format!("{}/emulator/devices/{code}/{what}", device.tester.base);
    let http = &device.tester.http;
    let unknown = http.post(at("approve")).json(&json!({"user": "nobody@acme.test"})).send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    let approved = http.post(at("approve")).json(&json!({"user": ALICE})).send().await.unwrap();
    let listed: Value = approved.json().await.unwrap();
    assert_eq!((text(&listed[0], "state"), text(&listed[0], "user")), ("approved", ALICE));
    assert!(!listed.to_string().contains(text(&codes, "device_code")));
    assert_eq!(http.post(at("deny")).send().await.unwrap().status(), StatusCode::NOT_FOUND);
}
