//! Passkeys, with a real browser and its virtual authenticator: registered under a fresh login, and worth what they sign.

use agentauth_core::passkey::{Assertion, Ceremony, Passkey, PasskeyFault};
use e2e::browser::{Browser, fill_in};
use e2e::page::{Scene, press_button, screenshot, until_told};
use e2e::{ALICE, BOB, LoginRun, Store, World, WorldOptions, wait};
use fantoccini::{Client, Locator};
use serde_json::{Value, json};

const READ: &str = "files.read:/projects";
const OTHER: &str = "payments.read:currency=EUR";
/// What the catalogue wants a sign-in for.
const PAY: &str = "payments.execute:currency=EUR";

fn registered(world: &World) -> Vec<Value> {
    world.cli(&["passkey", "list", "--json"]).json()["passkeys"].as_array().unwrap().clone()
}

/// A window with an authenticator.
fn window(scene: &Scene, browser: &Browser) -> Client {
    scene.world.provider.block_on(async {
        let client = browser.open().await;
        browser.add_authenticator(&client).await;
        client
    })
}

/// Registers a passkey: signs in for it, and lets the browser make it.
#[track_caller]
fn enrol(scene: &Scene, client: &Client) {
    let run = LoginRun::begin(scene.world.command(&["passkey", "add", "--name", "laptop", "--no-browser"]));
    scene.world.provider.block_on(async {
        client.goto(&run.url).await.unwrap();
        fill_in(client, ALICE.email, ALICE.password, "button#sign-in").await;
        let told = until_told(client, "Add the passkey").await;
        assert!(told.contains("laptop") && told.contains(ALICE.email), "{told}");
        screenshot(client, "passkey-register").await;
        press_button(client, "#ask").await;
        until_told(client, "The passkey is registered").await;
    });
    let outcome = run.finish();
    assert_eq!(outcome.code, Some(0), "{outcome:?}\n{}", scene.world.log_tail());
}

/// Chooses an answer on the page with the questions, and sends it.
async fn choose(client: &Client, number: usize, lifetime: &str) {
    let choice = format!("[name=scope{number}][value={lifetime}]");
    press_button(client, &choice).await;
    press_button(client, "button[value=answer]").await;
}

/// What the page lets this browser's passkey sign, without sending it.
async fn signed(client: &Client) -> Value {
    let script = r#"
        const done = arguments[arguments.length - 1];
        const asked = document.getElementById("passkey").dataset;
        const bytes = text => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), c => c.charCodeAt(0));
        const text = buffer => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
        navigator.credentials.get({publicKey: {challenge: bytes(asked.challenge), rpId: "localhost", userVerification: "required",
            allowCredentials: asked.credentials.split(" ").map(id => ({type: "public-key", id: bytes(id)}))}})
          .then(credential => done({credential: text(credential.rawId), authenticator_data: text(credential.response.authenticatorData),
            client_data: text(credential.response.clientDataJSON), signature: text(credential.response.signature)}),
            error => done(String(error)));
    "#;
    let signed = client.execute_async(script, vec![]).await.unwrap();
    assert!(signed.is_object(), "{signed}");
    signed
}

/// Sends these parts with the page's form.
async fn send(client: &Client, parts: &Value) {
    let script = r#"
        const form = document.getElementById("passkey");
        for (const [name, value] of Object.entries(arguments[0])) form.elements[name].value = value;
        form.submit();
    "#;
    client.execute(script, vec![parts.clone()]).await.unwrap();
}

#[test]
fn a_passkey_allows_for_always_and_only_what_was_shown() {
    let scene = Scene::start();
    let browser = Browser::start();
    let client = window(&scene, &browser);
    scene.ask(&[READ, OTHER, PAY]);
    let address = scene.address(0);
    let on_the_page = scene.world.provider.block_on(async {
        client.goto(&address).await.unwrap();
        client.wait().for_element(Locator::Css("form")).await.unwrap();
        let page = client.current_url().await.unwrap();
        // Without a passkey none is offered, and no script is there.
        choose(&client, 0, "always").await;
        let told = until_told(&client, "Sign in to allow").await;
        assert!(!told.contains("passkey"), "{told}");
        assert!(client.find(Locator::Css("script, #ask")).await.is_err());
        page
    });

    enrol(&scene, &client);
    let known = registered(&scene.world);
    assert_eq!((known.len(), &known[0]["name"]), (1, &json!("laptop")), "{known:?}");
    let added = &scene.world.records("passkey.added")[0]["details"];
    assert_eq!(
        (&added["confirmed_by"], &added["request"]["operation"]),
        (&json!("reauth"), &json!("passkey.add"))
    );

    scene.world.provider.block_on(async {
        // Nor is one offered where only a sign-in will do.
        client.goto(on_the_page.as_str()).await.unwrap();
        choose(&client, 2, "once").await;
        let told = until_told(&client, "Sign in to allow").await;
        assert!(told.contains(PAY) && !told.contains("passkey"), "{told}");

        // What was signed for one answer is no answer to another.
        client.goto(on_the_page.as_str()).await.unwrap();
        choose(&client, 0, "always").await;
        let told = until_told(&client, "Sign in to allow it instead").await;
        assert!(told.contains(READ) && !told.contains(OTHER), "{told}");
        screenshot(&client, "passkey-confirm").await;
        let for_reading = signed(&client).await;
        client.goto(on_the_page.as_str()).await.unwrap();
        choose(&client, 1, "always").await;
        let told = until_told(&client, "Sign in to allow it instead").await;
        assert!(told.contains(OTHER) && !told.contains(READ), "{told}");
        send(&client, &for_reading).await;
        until_told(&client, "for another request than the one that was shown").await;

        // Nor is what was signed for a page that somebody changed.
        client.goto(on_the_page.as_str()).await.unwrap();
        choose(&client, 1, "always").await;
        client.wait().for_element(Locator::Css("#ask:not([disabled])")).await.unwrap();
        let change = "document.getElementById('passkey').dataset.challenge = 'A'.repeat(43)";
        client.execute(change, vec![]).await.unwrap();
        press_button(&client, "#ask").await;
        until_told(&client, "for another request than the one that was shown").await;
    });
    for scope in [READ, OTHER, PAY] {
        assert_eq!(scene.world.check(scope)["reason"], "consent_required");
    }
    let refused = scene.world.records("passkey.refused");
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused.iter().all(|record| record["reason"] == "passkey_other_request"), "{refused:?}");

    scene.world.provider.block_on(async {
        client.goto(on_the_page.as_str()).await.unwrap();
        choose(&client, 0, "always").await;
        press_button(&client, "#ask").await;
        until_told(&client, "The agent may do now what you allowed").await;
        screenshot(&client, "passkey-confirmed").await;
    });
    assert_eq!(scene.world.check(READ)["decision"], "allow");
    let answered = scene.world.records("consent.answered");
    let details = &answered[0]["details"];
    assert_eq!(
        (&details["strength"], &details["binding"]),
        (&json!("passkey"), &json!("challenge")),
        "{details}"
    );
    assert_eq!(details["passkey"], known[0]["id"]);
    assert_eq!(details["request"]["scopes"], json!([{"scope": READ, "for": "always"}]));
    let used = &scene.world.records("passkey.used")[0]["details"];
    assert_eq!(used["evidence"], details["evidence"]);
    verifies_offline(&scene.world, details);
    scene.world.provider.block_on(client.close()).unwrap();
}

/// Whoever has the record and the evidence that it names can tell what the passkey signed.
fn verifies_offline(world: &World, details: &Value) {
    let digest = agentauth_core::canonical::canonical_digest(&details["request"]).unwrap();
    assert_eq!(details["request_digest"], *digest);
    let kept = std::fs::read(world.state_dir().join("evidence").join(format!("{digest}.json"))).unwrap();
    assert_eq!(
        agentauth_core::canonical::sha256_hex(&kept),
        details["evidence"],
        "the record names this evidence"
    );
    let kept: Value = serde_json::from_slice(&kept).unwrap();
    let passkey = Passkey::from_json(&kept["passkey"].to_string()).unwrap();
    assert_eq!(details["passkey"], passkey.id(), "and this passkey");
    let bytes = |name: &str| e2e::page::from_base64url(kept[name].as_str().unwrap());
    let assertion = Assertion {
        credential_id: e2e::page::from_base64url(&passkey.credential_id),
        authenticator_data: bytes("authenticator_data"),
        client_data: bytes("client_data"),
        signature: bytes("signature"),
    };
    let origin = kept["origin"].as_str().unwrap();
    let judge = |request: &Value| {
        let digest = agentauth_core::canonical::canonical_digest(request).unwrap();
        passkey.verify(&assertion, &Ceremony { challenge: &hex::decode(digest).unwrap(), origin }, 0)
    };
    assert!(judge(&details["request"]).is_ok(), "it was signed for exactly this");
    let mut other = details["request"].clone();
    other["scopes"][0]["scope"] = json!("files.read");
    assert_eq!(judge(&other), Err(PasskeyFault::OtherChallenge), "and not for another scope");
}

#[test]
fn a_removed_passkey_and_an_edited_row_confirm_nothing() {
    let mut scene = Scene::with(WorldOptions { store: Store::File, ..WorldOptions::default() });
    let browser = Browser::start();
    let client = window(&scene, &browser);
    enrol(&scene, &client);
    let id = registered(&scene.world)[0]["id"].as_str().unwrap().to_owned();

    // A row that the record does not bear out is none.
    scene.world.stop_daemon();
    let database = rusqlite::Connection::open(scene.world.state_dir().join("state.db")).unwrap();
    let row: String = database.query_row("SELECT says FROM passkeys", [], |row| row.get(0)).unwrap();
    let edit = |from: &str, to: &str| {
        let changed =
            database.execute("UPDATE passkeys SET says = replace(says, ?1, ?2)", [from, to]).unwrap();
        assert_eq!(changed, 1);
    };
    edit("\"sign_count\":", "\"sign_count\":1");
    scene.world.start_daemon();
    scene.world.wait_for_phase(agentauth_api::SessionPhase::Active);
    assert!(registered(&scene.world).is_empty());
    let problems = scene.world.status().problems;
    assert!(problems.iter().any(|problem| problem.contains("1 passkeys")), "{problems:?}");
    scene.ask(&[READ]);
    let address = scene.address(0);
    scene.world.provider.block_on(async {
        client.goto(&address).await.unwrap();
        choose(&client, 0, "always").await;
        let told = until_told(&client, "Sign in to allow").await;
        assert!(!told.contains("passkey"), "{told}");
    });

    // As it was, it counts again.
    scene.world.stop_daemon();
    database.execute("UPDATE passkeys SET says = ?1", [&row]).unwrap();
    scene.world.start_daemon();
    scene.world.wait_for_phase(agentauth_api::SessionPhase::Active);
    assert_eq!(registered(&scene.world)[0]["id"], *id);
    scene.ask(&[READ]);
    let address = scene.address(1);
    scene.world.provider.block_on(async {
        client.goto(&address).await.unwrap();
        choose(&client, 0, "always").await;
        client.wait().for_element(Locator::Css("#ask:not([disabled])")).await.unwrap();
    });
    // Removed while the page waits, by any process of the person's that is no agent.
    let by_agent = scene.world.probe(&["--request", "DELETE", &format!("/v1/passkeys/{id}")]).remove(0);
    assert_eq!(by_agent["http_status"], 403, "{by_agent}");
    let removed = scene.world.cli(&["passkey", "remove", &id[..12]]);
    assert!(removed.code == Some(0) && removed.stdout.contains("laptop"), "{removed:?}");
    scene.world.provider.block_on(async {
        press_button(&client, "#ask").await;
        until_told(&client, "not registered here").await;
    });
    assert_eq!(scene.world.check(READ)["reason"], "consent_required");
    assert_eq!(scene.world.cli(&["passkey", "remove", &id]).code, Some(1), "it is gone");

    // Whoever puts the row back brings nothing back.
    scene.world.stop_daemon();
    let profile = "default";
    database
        .execute("INSERT INTO passkeys (profile, id, says) VALUES (?1, ?2, ?3)", [profile, &id, &row])
        .unwrap();
    scene.world.start_daemon();
    assert!(registered(&scene.world).is_empty());
    scene.world.provider.block_on(client.close()).unwrap();
}

#[test]
fn what_the_command_line_asks_for_is_shown_and_confirmed_on_a_page() {
    let scene = Scene::start();
    let browser = Browser::start();
    let client = window(&scene, &browser);
    enrol(&scene, &client);
    let manifest = scene.world.home().join("manifest.json");
    let text = json!({"name": "probe-agent", "version": "9.0.0", "scopes": [
        {"scope": "email.send:domain=example.com", "purpose": "do what the test asks for"}
    ]});
    std::fs::write(&manifest, text.to_string()).unwrap();
    let arguments =
        ["agent", "register", manifest.to_str().unwrap(), "--update", "probe-agent", "--no-browser"];
    let mut run = LoginRun::begin(scene.world.command(&arguments));
    let page = wait::until("the page's address", || {
        let told = run.running().so_far().all();
        told.split_whitespace().find(|word| word.contains("/enter/")).map(str::to_owned)
    });
    scene.world.provider.block_on(async {
        client.goto(&page).await.unwrap();
        let told = until_told(&client, "Register the agent probe-agent 9.0.0").await;
        assert!(told.contains("email.send:domain=example.com") && told.contains(ALICE.email), "{told}");
        screenshot(&client, "passkey-operation").await;
        press_button(&client, "#ask").await;
        until_told(&client, "The agent probe-agent is registered").await;
    });
    let outcome = run.finish();
    assert_eq!(outcome.code, Some(0), "{outcome:?}\n{}", scene.world.log_tail());
    let record = scene.world.records("agent.registered").pop().unwrap();
    assert_eq!(record["details"]["confirmed_by"], "passkey", "{record}");
    assert_eq!(record["details"]["request"]["operation"], "agent.register");

    // Signing in is a way as before; and what may confirm is not widened with a passkey.
    let shown = scene.world.cli(&["agent", "show", "probe-agent", "--json"]).json();
    assert_eq!(shown["version"], "9.0.0");
    let mut run = LoginRun::begin(scene.world.command(&["passkey", "add", "--no-browser"]));
    let told = run.running().so_far().all();
    assert!(!told.contains("/enter/"), "{told}");
    scene.world.provider.sign_in(&run.url, BOB.email, BOB.password);
    let refused = run.finish();
    assert!(refused.code == Some(1) && refused.stderr.contains("no passkey was registered"), "{refused:?}");
    for (method, path) in [("GET", "/v1/passkeys"), ("POST", "/v1/passkeys")] {
        let refused = scene.world.probe(&["--request", method, path, "{}"]).remove(0);
        assert_eq!(refused["http_status"], 403, "{refused}");
    }
    scene.world.provider.block_on(client.close()).unwrap();
}
