//! Logins on another device: the real daemon, the real command line, and a person who approves, refuses, never comes, or
//! changes their mind. Nowhere is the device code to be seen.

use agentauth_api::SessionPhase;
use descope_emulator::{DeviceState, DeviceView, Fault, FaultAction, SecretKind};
use e2e::browser::{Browser, fill_in};
use e2e::cli::Running;
use e2e::provider::TOKEN_ENDPOINT;
use e2e::{ALICE, BOB, Outcome, Person, Provider, Store, World, WorldOptions, process, wait};
use fantoccini::Locator;
use fantoccini::key::Key;
use serde_json::{Value, json};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const PAY: &str = "payments.execute:currency=EUR";

/// A login on another device that waits.
struct Waiting {
    running: Running,
    user_code: String,
    address: String,
}

impl Waiting {
    /// Starts `agentauthd login --device --json` and reads what the person needs.
    #[track_caller]
    fn begin(world: &World) -> Self {
        let mut running = Running::start(world.command(&["login", "--device", "--json"]));
        let begun: Value = wait::until("the code", || {
            let so_far = running.so_far();
            assert!(so_far.code.is_none(), "{so_far:?}\n{}", world.log_tail());
            serde_json::from_str(so_far.stdout.lines().next()?).ok()
        });
        assert_eq!((&begun["state"], &begun["method"]), (&json!("waiting"), &json!("device")), "{begun}");
        let text = |name: &str| begun[name].as_str().unwrap().to_owned();
        Self { running, user_code: text("user_code"), address: text("verification_uri") }
    }

    /// As the provider sees it.
    #[track_caller]
    fn view(&self, world: &World) -> DeviceView {
        let devices = world.provider.control().devices();
        devices
            .into_iter()
            .find(|device| device.user_code == self.user_code)
            .expect("the provider knows the code")
    }

    /// Waits until the daemon has asked about it.
    #[track_caller]
    fn asked(&self, world: &World) {
        wait::until_true("a question to the provider", || self.view(world).polls > 0);
    }

    #[track_caller]
    fn approve(&self, world: &World, person: Person) {
        world.provider.control().approve_device(&self.user_code, person.email).unwrap();
    }

    /// Waits for the command's end; its outcome is the last line.
    #[track_caller]
    fn finish(self) -> (Outcome, Value) {
        let outcome = self.running.finish();
        let last = outcome.stdout.lines().last().unwrap_or_default();
        let last = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {outcome:?}"));
        (outcome, last)
    }
}

/// A world whose provider may be asked every second.
fn world() -> World {
    world_with(WorldOptions::default())
}

fn world_with(options: WorldOptions) -> World {
    let provider = Provider::start();
    provider.patch(json!({"device": {"interval": 1}}));
    World::with(&provider, options)
}

/// The audit records of this kind.
#[test]
fn a_person_approves_in_a_browser_with_the_keyboard_alone() {
    let world = world();
    let browser = Browser::start();
    let waiting = Waiting::begin(&world);
    let code = waiting.user_code.clone();
    let (asked, done) = world.provider.block_on(async {
        let client = browser.open().await;
        client.goto(&waiting.address).await.unwrap();
        let field = client.wait().for_element(Locator::Css("input#user_code")).await.unwrap();
        // As people type it.
        field.send_keys(&code.to_lowercase().replace('-', "")).await.unwrap();
        field.send_keys(&char::from(Key::Enter).to_string()).await.unwrap();
        fill_in(&client, ALICE.email, ALICE.password, "button#sign-in").await;
        let shown = client.wait().for_element(Locator::Css("#code")).await.unwrap();
        assert_eq!(shown.text().await.unwrap(), code);
        let asked = client.find(Locator::Css("body")).await.unwrap().text().await.unwrap();
        let mut button = client.active_element().await.unwrap();
        assert_eq!(
            button.attr("id").await.unwrap().as_deref(),
            Some("deny"),
            "nothing is approved by mere Enter"
        );
        button.send_keys(&char::from(Key::Tab).to_string()).await.unwrap();
        button = client.active_element().await.unwrap();
        assert_eq!(button.attr("id").await.unwrap().as_deref(), Some("approve"));
        button.send_keys(&char::from(Key::Enter).to_string()).await.unwrap();
        let done = client.wait().for_element(Locator::Css("#done")).await.unwrap().text().await.unwrap();
        client.close().await.unwrap();
        (asked, done)
    });
    assert!(asked.contains(ALICE.email) && asked.contains("offline_access"), "what is asked for: {asked}");
    assert!(done.contains("signed in"), "{done}");

    let (outcome, last) = waiting.finish();
    assert_eq!((outcome.code, &last["state"]), (Some(0), &json!("done")), "{outcome:?}");
    assert_eq!(last["user"]["email"], ALICE.email);
    assert_eq!(world.status().session.phase, SessionPhase::Active);
    assert_eq!(world.check(PAY)["decision"], "allow");
    let record = world.records("login").remove(0);
    assert_eq!(
        (&record["details"]["method"], &record["details"]["binding"]),
        (&json!("device"), &json!("daemon"))
    );

    // A login in the browser says that its ID token was asked for by this very login.
    world.login(ALICE);
    let record = world.records("login").remove(1);
    assert_eq!(
        (&record["details"]["method"], &record["details"]["binding"]),
        (&json!("browser"), &json!("nonce"))
    );
}

#[test]
fn a_person_refuses() {
    let world = world();
    let waiting = Waiting::begin(&world);
    world.provider.control().deny_device(&waiting.user_code).unwrap();
    let (outcome, last) = waiting.finish();
    assert_eq!((outcome.code, &last["code"]), (Some(1), &json!("denied")), "{outcome:?}");
    assert_eq!(world.status().session.phase, SessionPhase::LoggedOut);
    let refused = world.records("login.refused").remove(0);
    assert_eq!((&refused["reason"], &refused["details"]["method"]), (&json!("denied"), &json!("device")));

    let mut told = Running::start(world.command(&["login", "--device"]));
    wait::until_true("a question", || world.provider.control().devices().len() == 2);
    let code = world.provider.control().devices().remove(1).user_code;
    wait::until_true("the code on the screen", || told.so_far().stderr.contains(&code));
    world.provider.control().deny_device(&code).unwrap();
    let outcome = told.finish();
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("was refused on the other device"), "{outcome:?}");
}

#[test]
fn nobody_comes() {
    let world = world();
    let waiting = Waiting::begin(&world);
    waiting.asked(&world);
    world.provider.control().advance(3_600);
    let (outcome, last) = waiting.finish();
    assert_eq!((outcome.code, &last["code"]), (Some(1), &json!("timed_out")), "{outcome:?}");
    assert!(last["message"].as_str().unwrap().contains("start again"), "{last}");
    assert_eq!(world.status().session.phase, SessionPhase::LoggedOut);
}

#[test]
fn a_provider_that_stumbles_is_outlived() {
    let world = world();
    let on = |action| Fault::on(TOKEN_ENDPOINT, action).grant(GRANT).once();
    world.provider.inject(on(FaultAction::html(502)));
    world.provider.inject(on(FaultAction::too_many_requests(1)).after(1));
    world.provider.inject(on(FaultAction::Reset).after(2));
    let waiting = Waiting::begin(&world);
    waiting.approve(&world, ALICE);
    let (outcome, _) = waiting.finish();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(world.provider.live_families(ALICE.email), 1);
}

#[test]
fn tokens_in_a_lost_answer_are_reported_as_such() {
    let world = world();
    let waiting = Waiting::begin(&world);
    waiting.approve(&world, ALICE);
    world.provider.inject(Fault::on(TOKEN_ENDPOINT, FaultAction::AnswerLost).grant(GRANT).once());
    let (outcome, last) = waiting.finish();
    assert_eq!((outcome.code, &last["code"]), (Some(1), &json!("answer_lost")), "{outcome:?}");
    assert_eq!(world.status().session.phase, SessionPhase::LoggedOut);
}

#[test]
fn a_daemon_that_restarts_has_forgotten_the_login() {
    let mut world = world_with(WorldOptions { store: Store::File, ..WorldOptions::default() });
    for kill in [false, true] {
        let waiting = Waiting::begin(&world);
        waiting.asked(&world);
        if kill {
            world.kill_daemon()
        } else {
            world.stop_daemon()
        }
        waiting.approve(&world, ALICE);
        world.start_daemon();
        world.wait_for_phase(SessionPhase::LoggedOut);
        assert_eq!(waiting.view(&world).state, DeviceState::Approved, "nobody fetches the tokens");
        let outcome = waiting.running.finish();
        assert!(matches!(outcome.code, Some(1 | 3)), "{outcome:?}");
        let told = outcome.stderr.contains("error:") || outcome.stdout.contains("the login was cancelled");
        assert!(told, "the person is told: {outcome:?}");
    }
    assert!(world.provider.families().is_empty());
    let again = Waiting::begin(&world);
    again.approve(&world, ALICE);
    assert_eq!(again.finish().0.code, Some(0));
}

#[test]
fn a_logout_wins() {
    let world = world();
    // While the daemon waits for the next question.
    let waiting = Waiting::begin(&world);
    waiting.asked(&world);
    assert_eq!(world.cli(&["logout"]).code, Some(0));
    let view = waiting.view(&world);
    let (outcome, last) = waiting.finish();
    assert_eq!((outcome.code, &last["code"]), (Some(1), &json!("cancelled")), "{outcome:?}");
    world.provider.control().approve_device(&view.user_code, ALICE.email).unwrap();

    // While a question is under way that the provider answers with tokens.
    world.provider.inject(Fault::on(TOKEN_ENDPOINT, FaultAction::HoldAfter).grant(GRANT).once());
    let waiting = Waiting::begin(&world);
    waiting.approve(&world, ALICE);
    world.provider.wait_for_hold(TOKEN_ENDPOINT);
    assert_eq!(world.cli(&["logout"]).code, Some(0));
    world.provider.calm();
    let (outcome, last) = waiting.finish();
    assert_eq!((outcome.code, &last["code"]), (Some(1), &json!("cancelled")), "{outcome:?}");
    assert_eq!(world.provider.families().len(), 1, "there were tokens");
    wait::until_true("the end of that login at the provider", || {
        world.provider.live_families(ALICE.email) == 0
    });
    assert_eq!(world.status().session.phase, SessionPhase::LoggedOut);
}

#[test]
fn a_second_login_takes_over() {
    let world = world();
    let first = Waiting::begin(&world);
    first.asked(&world);
    let second = Waiting::begin(&world);
    let view = first.view(&world);
    let outcome = first.running.finish();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    world.provider.control().approve_device(&view.user_code, ALICE.email).unwrap();
    second.approve(&world, ALICE);
    let (outcome, _) = second.finish();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(world.provider.families().len(), 1, "nobody fetched the first one's tokens");

    let third = Waiting::begin(&world);
    third.asked(&world);
    world.login(ALICE);
    assert_eq!(third.running.finish().code, Some(1), "the browser is a login, too");
    wait::until_true("the end of the replaced login", || world.provider.live_families(ALICE.email) == 1);
}

#[test]
fn another_account_is_refused_and_signed_out_again() {
    let world = world();
    world.login(ALICE);
    let waiting = Waiting::begin(&world);
    waiting.approve(&world, BOB);
    let (outcome, last) = waiting.finish();
    assert_eq!((outcome.code, &last["code"]), (Some(1), &json!("other_account")), "{outcome:?}");
    wait::until_true("the end of that login at the provider", || {
        world.provider.live_families(BOB.email) == 0
    });
    assert_eq!(world.status().session.user.unwrap().email.as_deref(), Some(ALICE.email));
}

#[test]
fn where_it_is_switched_off_it_is_refused_and_not_suggested() {
    let here = WorldOptions {
        environment: vec![("AGENTAUTHD_LOGIN_ALLOW_DEVICE".to_owned(), "false".to_owned())],
        ..WorldOptions::default()
    };
    let world = world_with(here);
    let outcome = world.cli(&["login", "--device"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("login.allow_device"), "{outcome:?}");
    assert!(world.provider.control().devices().is_empty(), "the provider was not even asked");
    assert!(!hint(&world).contains("--device"));

    let world = self::world();
    assert!(hint(&world).contains("agentauthd login --device"), "offered, so suggested: {}", hint(&world));
    world.provider.patch(json!({"device": {"enabled": false}}));
    let outcome = world.cli(&["login", "--device"]);
    assert!(
        outcome.code == Some(1) && outcome.stderr.contains("does not let this application"),
        "{outcome:?}"
    );
    world.provider.patch(json!({"device": {"announced": false}}));
    let outcome = world.cli(&["login", "--device"]);
    assert!(
        outcome.code == Some(1) && outcome.stderr.contains("switch on device authentication"),
        "{outcome:?}"
    );
    assert!(!hint(&world).contains("--device"));
}

/// What a login without a browser says, from behind SSH.
fn hint(world: &World) -> String {
    let mut command = world.command(&["login"]);
    command.env("SSH_CONNECTION", "192.0.2.7 50312 192.0.2.1 22");
    let mut login = e2e::LoginRun::begin(command);
    let said = wait::until("the hint", || {
        let said = login.running().so_far().stderr;
        said.contains("Waiting until").then_some(said)
    });
    assert!(said.contains("ssh -L"), "{said}");
    said
}

#[test]
fn the_device_code_is_to_be_seen_nowhere() {
    let mut world = world_with(WorldOptions { store: Store::File, ..WorldOptions::default() });
    let mut seen: Vec<(String, Vec<u8>)> = Vec::new();
    world.provider.inject(Fault::on(TOKEN_ENDPOINT, FaultAction::html(503)).grant(GRANT).once());
    // One that is refused, one that is given up, one that is approved while people and programs look on.
    let refused = Waiting::begin(&world);
    world.provider.control().deny_device(&refused.user_code).unwrap();
    seen.push(("a refused login".to_owned(), refused.finish().0.all().into()));
    let given_up = Waiting::begin(&world);
    given_up.asked(&world);
    assert_eq!(world.cli(&["logout"]).code, Some(0));
    seen.push(("a login given up".to_owned(), given_up.finish().0.all().into()));

    let mut shown = Running::start(world.command(&["login", "--device", "--qr"]));
    wait::until_true("the third", || world.provider.control().devices().len() == 3);
    let code = world.provider.control().devices().remove(2).user_code;
    wait::until_true("the code on the screen", || shown.so_far().stderr.contains(&code));
    for pid in [shown.process().pid(), world.daemon().pid()] {
        for file in ["cmdline", "environ"] {
            seen.push((format!("/proc/{pid}/{file}"), process::proc_file(pid, file)));
        }
    }
    world.provider.control().approve_device(&code, ALICE.email).unwrap();
    let outcome = shown.finish();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    seen.push(("an approved login".to_owned(), outcome.all().into()));
    seen.push(("status".to_owned(), world.cli(&["status", "--json"]).all().into()));
    world.stop_daemon();
    seen.push(("the daemon's log".to_owned(), world.daemon_output().into()));
    for file in process::files_below(world.home()) {
        seen.push((file.display().to_string(), std::fs::read(&file).unwrap()));
    }

    let issued = world.provider.issued();
    assert_eq!(issued.iter().filter(|secret| secret.kind == SecretKind::DeviceCode).count(), 3);
    for secret in issued.iter().filter(|secret| secret.value.len() >= 8) {
        for (place, content) in &seen {
            let found = content.windows(secret.value.len()).any(|window| window == secret.value.as_bytes());
            assert!(!found, "a {:?} is in {place}", secret.kind);
        }
    }
    let log = world.daemon_output();
    assert!(!log.contains(&code), "not even the person's code is the log's business");
}
