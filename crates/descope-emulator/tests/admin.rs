//! The admin API, and the program.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::process::{Command, Stdio};

use descope_emulator::{Control, Emulator};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{Tester, text};

async fn call(tester: &Tester, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let mut request = tester.http.request(method, format!("{}/emulator/{path}", tester.base));
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn started() -> (Emulator, Control, Tester) {
    let emulator = Emulator::builder().start().await.unwrap();
    let (control, tester) = (emulator.control(), Tester::new(&emulator));
    (emulator, control, tester)
}

#[tokio::test]
async fn everything_by_http() {
    let (emulator, control, tester) = started().await;
    let get = async |path: &str| call(&tester, Method::GET, path, None).await.1;
    let post = async |path: &str, body: Value| call(&tester, Method::POST, path, Some(body)).await.1;

    post("approval", json!({"mode": "as", "user": "bob@acme.test"})).await;
    let patch = json!({"lifetimes": {"session": 30}, "refresh": {"rotate": true}});
    let settings = call(&tester, Method::PATCH, "settings", Some(patch)).await.1;
    assert_eq!(
        (&settings["lifetimes"]["session"], &settings["refresh"]["rotate"]),
        (&json!(30), &json!(true))
    );
    assert_eq!(get("settings").await, settings);

    post("overrides", json!({"kind": "id", "claims": {"nonce": "wrong"}, "signing": "tampered"})).await;
    let tokens = tester.login().await;
    assert!(tester.verify(&tokens.id).await.is_err());
    assert_eq!(call(&tester, Method::DELETE, "overrides", None).await.0, 200);

    assert_eq!(post("clock", json!({"skew_seconds": 5})).await["skew_seconds"], 5);
    assert_eq!(post("clock", json!({"advance_seconds": -5})).await["skew_seconds"], 0);
    assert!(get("clock").await["now"].is_string());

    let kid = post("keys/rotate", json!({})).await["kid"].clone();
    assert_eq!(get("keys").await[0]["kid"], kid);
    assert_eq!(post("keys/rotate", json!({"revoke": true})).await["keys"].as_array().unwrap().len(), 1);

    assert_eq!(get("users").await.as_array().unwrap().len(), 5);
    let change = json!({"roles": ["admin"], "disabled": true});
    let bob = call(&tester, Method::PATCH, "users/bob@acme.test", Some(change)).await.1;
    assert_eq!((&bob["roles"], &bob["disabled"]), (&json!(["admin"]), &json!(true)));
    assert_eq!(get("users/bob@acme.test").await, bob);
    assert_eq!(post("users/bob@acme.test/revoke", json!({})).await["ended"], 1);
    let signed_in = post("users/alice@acme.test/sign-in", json!({})).await;
    assert!(signed_in["refresh"].is_string());
    let minted = post("users/alice@acme.test/mint", json!({"kind": "session", "expires_in": -9})).await;
    assert_eq!(text(&minted, "token").split('.').count(), 3);

    let families = get("families").await;
    assert_eq!((&families[0]["alive"], &families[0]["ended"]), (&json!(false), &json!("revoked_by_admin")));
    assert_eq!(post("families/2/revoke", json!({})).await["alive"], false);

    let requests = get("requests").await;
    assert_eq!(requests["counts"]["/oauth2/v1/token"]["total"], 1);
    assert_eq!(requests["requests"][0]["path"], "/oauth2/v1/authorize");
    call(&tester, Method::DELETE, "requests", None).await;
    assert!(control.counts().is_empty());

    let issued = get("issued").await;
    let refresh = json!({"kind": "refresh_jwt", "value": tokens.refresh});
    assert!(issued.as_array().unwrap().contains(&refresh));
    assert_eq!(get("state").await["project_id"], emulator.project_id());
}

#[tokio::test]
async fn apps_consents_and_mail_by_http() {
    let (_emulator, control, tester) = started().await;
    let call = async |method, path: &str, body| call(&tester, method, path, body).await;
    let app = json!({"kind": "inbound", "name": "Notes", "secret": "s", "redirects": [support::REDIRECT]});
    let (status, view) = call(Method::PUT, "apps/TPA2Notes", Some(app)).await;
    assert_eq!((status, &view["confidential"], view.get("secret")), (200, &json!(true), None));
    assert!(call(Method::GET, "apps", None).await.1.as_array().unwrap().contains(&view));
    let server = json!({"name": "Tools", "registration": true});
    assert_eq!(call(Method::PUT, "mcp-servers/MS2New", Some(server)).await.1["registration"], true);
    let client = json!({"kind": {"mcp": "MS2New"}});
    assert_eq!(call(Method::PUT, "apps/TPA2Client", Some(client)).await.0, 200);
    let (status, refused) = call(Method::PUT, "apps/TPA2Lost", Some(json!({"kind": {"mcp": "MS9"}}))).await;
    assert!(status == 400 && text(&refused, "error").contains("`MS9`"));
    assert_eq!(call(Method::DELETE, "apps/TPA2Client", None).await.1, json!({"removed": true}));

    let handle = support::handle_in(tester.authorize(&[("flow", "magic-link")]).await).await;
    let form = [("state_id", handle.as_str()), ("email", "alice@acme.test")];
    tester.form(&format!("/login/{}", tester.project), &form).await;
    let mail = call(Method::GET, "outbox?to=Alice@acme.test", None).await.1;
    assert_eq!(mail[0]["link"], json!(control.outbox()[0].link));
    assert_eq!(call(Method::GET, "outbox?to=bob@acme.test", None).await.1, json!([]));
    call(Method::DELETE, "outbox", None).await;
    assert!(control.outbox().is_empty());

    call(Method::POST, "approval", Some(json!({"mode": "as", "user": "alice@acme.test"}))).await;
    let changes = [("client_id", "TPA2Notes"), ("scope", "openid")];
    tester.authorize_at("/oauth2/v1/apps/authorize", &changes).await;
    assert_eq!(call(Method::GET, "consents", None).await.1[0]["client_id"], "TPA2Notes");
    let path = "consents/alice@acme.test/TPA2Notes";
    assert_eq!(call(Method::DELETE, path, None).await.1, json!({"revoked": true}));
    assert_eq!(call(Method::DELETE, path, None).await.1, json!({"revoked": false}));
}

#[tokio::test]
async fn faults_and_holds_by_http() {
    let (_emulator, control, tester) = started().await;
    let call = async |method, path: &str, body| call(&tester, method, path, body).await.1;
    let fault = json!({"path": "/v2/keys/*", "times": 1, "action": {"kind": "hold_before"}});
    let id = call(Method::POST, "faults", Some(fault)).await["id"].as_u64().unwrap();
    assert_eq!(call(Method::GET, "holds", None).await, json!([]));
    let path = format!("/v2/keys/{}", tester.project);
    let fetch = tester.get(&path);
    let release = async {
        let held = call(Method::GET, "holds?path=/v2/*&wait_ms=10000", None).await;
        assert_eq!((&held[0]["path"], &held[0]["stage"]), (&json!(path), &json!("before")));
        call(Method::POST, "holds/release", Some(json!({"id": held[0]["id"]}))).await
    };
    let (response, released) = tokio::join!(fetch, release);
    assert_eq!((response.status(), released), (StatusCode::OK, json!({"released": 1})));
    assert_eq!(call(Method::GET, "faults", None).await[0]["hits"], 1);
    call(Method::DELETE, &format!("faults/{id}"), None).await;
    assert!(control.faults().is_empty());

    let every = json!({"path": "*", "action": {"kind": "status", "status": 503}});
    call(Method::POST, "faults", Some(every)).await;
    assert_eq!(tester.get(&path).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    call(Method::DELETE, "faults", None).await;
    assert_eq!(tester.get(&path).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn refusals_say_why() {
    let (_emulator, _control, tester) = started().await;
    for (method, path, body, expected, word) in [
        (Method::GET, "users/nobody", None, 404, "nobody"),
        (Method::POST, "families/9/revoke", Some(json!({})), 404, "family 9"),
        (Method::PATCH, "settings", Some(json!({"lifetimes": {"hours": 1}})), 400, "hours"),
        (Method::PATCH, "users/bob@acme.test", Some(json!({"roles": ["boss"]})), 400, "boss"),
        (Method::POST, "approval", Some(json!({"mode": "as", "user": "nobody"})), 404, "nobody"),
    ] {
        let (status, answer) = call(&tester, method, path, body).await;
        assert_eq!(status, expected, "{path}");
        assert!(text(&answer, "error").contains(word), "{answer}");
    }
    let garbled =
        tester.http.post(format!("{}/emulator/faults", tester.base)).json(&json!({"path": "/"})).send();
    assert_eq!(garbled.await.unwrap().status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(tester.get("/nowhere").await.status(), StatusCode::NOT_FOUND);
}

#[allow(clippy::disallowed_methods, reason = "the test runs the program")]
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_descope-emulator"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn the_program_explains_why_it_does_not_start() {
    for (arguments, word) in [
        (["--fixture", "/nowhere/f.toml"], "/nowhere/f.toml"),
        (["--listen", "0.0.0.0:0"], "loopback"),
        (["--auto-approve", "nobody"], "nobody"),
    ] {
        let output = program(&arguments).output().unwrap();
        assert!(!output.status.success());
        assert!(String::from_utf8(output.stderr).unwrap().contains(word), "{arguments:?}");
    }
}

#[cfg(unix)]
mod signals {
    use std::process::Child;
    use std::time::Duration;

    use reqwest::StatusCode;
    use serde_json::Value;

    use super::program;
    use super::support::text;

    /// Kills the program when a test fails.
    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }

    #[tokio::test]
    async fn the_program_serves_and_stops_on_sigterm() {
        let folder = tempfile::tempdir().unwrap();
        let (fixture, ready) = (folder.path().join("f.toml"), folder.path().join("ready.json"));
        std::fs::write(&fixture, descope_emulator::ACME).unwrap();
        let (fixture, file) = (fixture.to_str().unwrap(), ready.to_str().unwrap());
        let arguments = ["--fixture", fixture, "--listen", "127.0.0.1:0", "--ready-file", file];
        let mut running = Running(program(&arguments).spawn().unwrap());
        let about: Value = tokio::time::timeout(Duration::from_secs(60), async {
            loop {
                match std::fs::read(&ready) {
                    Ok(text) => break serde_json::from_slice(&text).unwrap(),
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        })
        .await
        .unwrap();
        let url = format!("{}/v2/keys/{}", text(&about, "base_url"), text(&about, "project_id"));
        assert_eq!(reqwest::get(url).await.unwrap().status(), StatusCode::OK);

        let pid = rustix::process::Pid::from_child(&running.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = running.0.wait().unwrap();
        assert!(status.success(), "{status}");
        let mut said = String::new();
        std::io::Read::read_to_string(&mut running.0.stdout.take().unwrap(), &mut said).unwrap();
        assert!(said.contains(text(&about, "base_url")) && said.contains("alice@acme.test"));
        assert!(!said.contains("alice-in-acme"));
    }
}
