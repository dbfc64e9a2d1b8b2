//! The rules of a session, end to end: its age, its confirmations, the pause, and the handover to another account.

use std::path::Path;

use agentauth_api::SessionPhase;
use descope_emulator::{Fault, FaultAction};
use e2e::cli::Running;
use e2e::provider::TOKEN_ENDPOINT;
use e2e::{ALICE, AgentSpec, BOB, Errand, LoginRun, Person, Provider, Store, World, WorldOptions, wait};
use serde_json::{Value, json};

const PAY: &str = "payments.execute:currency=EUR";

fn world_with(store: Store, section: &str) -> World {
    let options = WorldOptions {
        store,
        more_configuration: format!("[session]\n{section}\n"),
        ..WorldOptions::default()
    };
    World::with(&Provider::start(), options)
}

/// Every address that a command has printed so far, once its line is whole.
fn addresses(text: &str) -> Vec<String> {
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(str::trim);
    lines.filter(|line| line.contains("code_challenge=")).map(str::to_owned).collect()
}

/// A handover under way: somebody has signed in, and the owner is asked.
struct Handover {
    running: Running,
    confirm_at: String,
}

impl Handover {
    #[track_caller]
    fn begin(world: &World, to: Person) -> Self {
        let mut running = Running::start(world.command(&["login", "--switch", "--no-browser"]));
        let first = Self::address(&mut running, 1);
        let page = world.provider.sign_in(&first, to.email, to.password);
        assert_eq!(page.status, 200, "{}", page.html);
        assert!(page.html.contains("Nothing has changed yet"), "{}", page.html);
        let confirm_at = Self::address(&mut running, 2);
        Self { running, confirm_at }
    }

    #[track_caller]
    fn address(running: &mut Running, number: usize) -> String {
        wait::until("the command to print an address", || {
            let so_far = running.so_far();
            assert!(so_far.code.is_none(), "{so_far:#?}");
            addresses(&so_far.all()).into_iter().nth(number - 1)
        })
    }
}

#[test]
fn a_handover_is_confirmed_by_the_owner_and_takes_everything_over() {
    let mut world = World::durable();
    world.login(ALICE);
    let mut handover = Handover::begin(&world, BOB);
    let shown = handover.running.so_far().all();
    for part in [ALICE.email, ALICE.name, BOB.email, BOB.name, "from", "to"] {
        assert!(shown.contains(part), "both accounts are shown: {shown}");
    }
    // Until the owner has spoken, nothing has changed.
    assert_eq!(world.status().session.user.unwrap().email.as_deref(), Some(ALICE.email));
    assert_eq!(world.check(PAY)["decision"], "allow");
    world.provider.sign_in(&handover.confirm_at, ALICE.email, ALICE.password);
    let outcome = handover.running.finish();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains(BOB.email), "{outcome:?}");
    assert_eq!(world.status().session.user.unwrap().email.as_deref(), Some(BOB.email));
    assert_eq!(world.check(PAY)["reason"], "role_required", "Bob's roles count now");
    wait::until_true("Alice's logins to be ended", || world.provider.live_families(ALICE.email) == 0);
    assert_eq!(world.provider.live_families(BOB.email), 1);

    // What was confirmed is in the record, before the login that it made possible.
    let kinds: Vec<_> = world.audit().into_iter().map(|record| record["event"].clone()).collect();
    let place = |kind: &str| kinds.iter().rposition(|found| found == kind).unwrap();
    assert!(place("login.switched") < place("login"));
    let switched = &world.records("login.switched")[0]["details"];
    assert_eq!(switched["request"]["operation"], "login.switch", "{switched}");
    assert_ne!(switched["request"]["from"]["sub"], switched["request"]["to"]["sub"]);

    // The installation is Bob's, across a restart too.
    world.restart_daemon();
    world.wait_for_phase(SessionPhase::Active);
    assert_eq!(world.status().session.user.unwrap().email.as_deref(), Some(BOB.email));
    let login = world.begin_login();
    world.provider.sign_in(&login.url, ALICE.email, ALICE.password);
    let refused = login.finish();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for part in [ALICE.email, BOB.email, "agentauthd login --switch"] {
        assert!(refused.stderr.contains(part), "{refused:?}");
    }
}

#[test]
fn a_handover_that_nobody_confirms_changes_nothing() {
    let world = World::start();
    world.login(ALICE);
    let unchanged = |world: &World| {
        wait::until_true("the login that was held to be ended", || {
            world.provider.live_families(BOB.email) == 0
        });
        assert_eq!(world.status().session.user.unwrap().email.as_deref(), Some(ALICE.email));
        assert_eq!(world.check(PAY)["decision"], "allow");
        assert_eq!(world.provider.live_families(ALICE.email), 1, "{:#?}", world.provider.families());
        assert!(world.records("login.switched").is_empty());
    };

    // The wrong person confirms.
    let handover = Handover::begin(&world, BOB);
    let page = world.provider.sign_in(&handover.confirm_at, BOB.email, BOB.password);
    assert!(page.html.contains("sign in as the account that this installation belongs to"), "{}", page.html);
    let outcome = handover.running.finish();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    unchanged(&world);

    // The answer is for another question: the owner's own login of somewhere else.
    let handover = Handover::begin(&world, BOB);
    world.provider.next_token(
        serde_json::from_value(json!({"kind": "id", "claims": {"auth_time": 1_000_000_000}})).unwrap(),
    );
    world.provider.sign_in(&handover.confirm_at, ALICE.email, ALICE.password);
    let outcome = handover.running.finish();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("question was asked at"), "{outcome:?}");
    unchanged(&world);

    // Nobody answers: another login takes its place.
    let handover = Handover::begin(&world, BOB);
    world.login(ALICE);
    let outcome = handover.running.finish();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    unchanged(&world);
}

#[test]
fn a_handover_to_oneself_is_a_login() {
    let world = World::start();
    world.login(ALICE);
    let login = LoginRun::begin(world.command(&["login", "--switch", "--no-browser"]));
    world.provider.sign_in(&login.url, ALICE.email, ALICE.password);
    let outcome = login.finish();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(world.records("login.switched").is_empty());
    wait::until_true("one family", || world.provider.live_families(ALICE.email) == 1);
}

#[test]
fn a_pause_survives_a_restart_and_ends_by_a_fresh_login_of_the_owner() {
    let mut world = World::durable();
    world.login(ALICE);
    assert_eq!(world.check(PAY)["decision"], "allow");
    let outcome = world.cli(&["lock"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let asked = world.provider.control().count(TOKEN_ENDPOINT);
    let denied = |world: &World| {
        let decision = world.check(PAY);
        assert_eq!(
            (&decision["decision"], &decision["reason"], &decision["remedy"]),
            (&json!("deny"), &json!("locked"), &Value::Null),
            "{decision}"
        );
        assert!(world.status().locked);
        let shown = world.cli(&["status"]).all();
        assert!(shown.contains("paused") && shown.contains("agentauthd unlock"), "{shown}");
    };
    denied(&world);
    assert_eq!(world.cli(&["lock", "--json"]).json()["was_locked"], true);

    world.restart_daemon();
    denied(&world);
    wait::until_true("the store to have been read", || world.status().session.user.is_some());
    denied(&world);
    assert_eq!(world.provider.control().count(TOKEN_ENDPOINT), asked, "nothing is asked while paused");
    let refused = world.cli(&["login", "--no-browser"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("agentauthd unlock"), "{refused:?}");

    // No terminal shows that a person asks.
    let refused = world.cli(&["unlock"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("unlocking was refused"), "{refused:?}");
    denied(&world);

    // A fresh login does, if it is the owner's.
    let unlock = || LoginRun::begin(world.command(&["unlock", "--reauth", "--no-browser"]));
    let run = unlock();
    world.provider.sign_in(&run.url, BOB.email, BOB.password);
    let refused = run.finish();
    assert!(refused.code == Some(1) && refused.stderr.contains("stays paused"), "{refused:?}");
    denied(&world);
    let run = unlock();
    world.provider.sign_in(&run.url, ALICE.email, ALICE.password);
    let outcome = run.finish();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    world.wait_for_phase(SessionPhase::Active);
    assert_eq!(world.check(PAY)["decision"], "allow");
    assert!(world.provider.control().count(TOKEN_ENDPOINT) > asked, "the provider has confirmed the session");
    // The logins that proved it are not kept.
    wait::until_true("one family", || world.provider.live_families(ALICE.email) == 1);
    assert_eq!(world.provider.live_families(BOB.email), 0);
    let unlocked = world.records("unlock");
    assert_eq!(unlocked.len(), 1);
    assert_eq!(unlocked[0]["details"]["request"]["operation"], "unlock", "{}", unlocked[0]);
    assert_eq!(world.records("lock").len(), 2);
    assert_eq!(world.cli(&["unlock", "--reauth", "--json"]).json()["was_locked"], false);
}

#[test]
fn an_agent_neither_pauses_nor_ends_a_pause_nor_hands_over() {
    let world = World::start();
    world.login(ALICE);
    let refused = |request: &[&str]| {
        let answer = &world.probe(&[&["--request"], request].concat())[0];
        assert_eq!((&answer["http_status"], &answer["code"]), (&json!(403), &json!("forbidden")), "{answer}");
    };
    refused(&["POST", "/v1/lock", "{}"]);
    assert!(!world.status().locked);
    assert_eq!(world.cli(&["lock"]).code, Some(0));
    refused(&["DELETE", "/v1/lock", "{}"]);
    refused(&["DELETE", "/v1/lock", r#"{"reauth":true}"#]);
    refused(&["POST", "/v1/login", r#"{"switch":true}"#]);
    assert!(world.status().locked);
    assert_eq!(world.records("operation.refused").len(), 4);
    assert!(world.records("unlock").is_empty());
}

#[test]
fn a_person_at_a_terminal_ends_a_pause() {
    // Making a terminal takes root, and a process tree that can be seen whole.
    if !rustix::process::geteuid().is_root() || !Path::new("/usr/bin/script").exists() {
        eprintln!("skipped: it needs root and script(1)");
        return;
    }
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", "in_a_terminal_a_pause_ends", "--ignored", "--nocapture"]);
    let outcome = e2e::cli::run(command);
    assert!(outcome.code == Some(0) && outcome.stdout.contains("1 passed"), "{outcome:?}");
}

#[test]
#[ignore = "runs as the first process of a namespace, started by the test above"]
fn in_a_terminal_a_pause_ends() {
    // script(1) in the place of login(1), for this namespace only: a real terminal, under a recognised name.
    let mounted =
        std::process::Command::new("mount").args(["--bind", "/usr/bin/script", "/usr/bin/login"]).status();
    assert!(mounted.unwrap().success());
    let unlock = |world: &World| {
        let errand = Errand::new(world, &["unlock"]);
        let mut command = std::process::Command::new("/usr/bin/login");
        command.args(["--quiet", "--return", "--command", &errand.line(), "/dev/null"]);
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
        let _terminal = world.spawn(command);
        errand.finish()
    };

    // What a terminal could not give, it does not give back either.
    let world = World::start();
    world.login(ALICE);
    assert_eq!(world.cli(&["lock"]).code, Some(0));
    let refused = unlock(&world);
    assert!(refused.code == Some(1) && refused.stdout.contains("--reauth"), "{refused:?}");
    assert!(world.status().locked);

    let agent = AgentSpec { grants: Vec::new(), ..AgentSpec::probe() };
    let options = WorldOptions { agents: vec![agent], ..WorldOptions::default() };
    let world = World::with(&Provider::start(), options);
    world.login(ALICE);
    assert_eq!(world.cli(&["lock"]).code, Some(0));
    assert_eq!(world.check(PAY)["reason"], "locked");
    let ended = unlock(&world);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    world.wait_for_phase(SessionPhase::Active);
    assert_eq!(world.check(PAY)["reason"], "consent_required");
    let unlocked = world.records("unlock");
    assert!(
        ["terminal", "login"].contains(&unlocked[0]["details"]["grade"].as_str().unwrap()),
        "{unlocked:?}"
    );
}

#[test]
fn the_end_of_a_session_at_the_provider_is_noticed_by_the_next_confirmation() {
    let world = world_with(Store::Memory, "revalidate_every = \"10s\"");
    for end in ["disabled", "revoked"] {
        world.login(ALICE);
        let refreshes = world.provider.control().count(TOKEN_ENDPOINT);
        assert_eq!(world.check(PAY)["decision"], "allow");
        let control = world.provider.control();
        match end {
            "disabled" => drop(control.set_disabled(ALICE.email, true).unwrap()),
            _ => world.provider.revoke(ALICE.email),
        }
        wait::until_true("the end to be noticed", || {
            world.check("payments.read")["reason"] == "session_revoked"
        });
        assert_eq!(world.status().session.phase, SessionPhase::Over);
        assert_eq!(control.count(TOKEN_ENDPOINT), refreshes, "{end}: nothing was rotated for it");
        control.set_disabled(ALICE.email, false).unwrap();
    }
    let over = world.records("session.over");
    assert!(over.iter().all(|record| record["reason"] == "revoked"), "{over:?}");
    assert_eq!(over.len(), 2);
}

/// The provider is asked often enough that nothing else has to happen.
#[test]
fn withdrawn_keys_end_a_login_at_the_next_confirmation() {
    let world = world_with(Store::Memory, "revalidate_every = \"10s\"");
    world.login(ALICE);
    assert_eq!(world.check(PAY)["decision"], "allow");
    rotate_and_revoke(&world);
    assert_over(&world);
}

/// Nothing but the keys themselves can be the reason: tokens live for a day, and nobody asks the provider.
#[test]
fn withdrawn_keys_end_a_login_when_the_key_set_is_due() {
    let mut world = World::durable();
    let control = world.provider.control().clone();
    world.provider.patch(json!({"lifetimes": {"session": 24 * 3600}}));
    world.login(ALICE);
    world.stop_daemon();
    // As 50 minutes later, at the same provider: the set is due after 48, and cannot be had for now.
    let file = world.state_dir().join("jwks.json");
    let mut cache: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let fetched: jiff::Timestamp = cache["fetched_at"].as_str().unwrap().parse().unwrap();
    cache["fetched_at"] = json!((fetched - jiff::SignedDuration::from_mins(50)).to_string());
    assert_eq!(cache["life_seconds"], 3600, "the bound that docs/architecture.md tells");
    std::fs::write(&file, cache.to_string()).unwrap();
    world.provider.inject(Fault::on("/v2/keys/*", FaultAction::html(503)));
    world.start_daemon();
    world.wait_for_phase(SessionPhase::Active);

    let withdrawn: Vec<_> = control.keys().into_iter().map(|key| key.kid).collect();
    rotate_and_revoke(&world);
    assert!(control.keys().iter().all(|key| !withdrawn.contains(&key.kid)));
    // Within the bound, what the old key signed is believed.
    let believed = world.check(PAY);
    assert_eq!(believed["decision"], "allow", "{believed}");
    let asked = control.count(TOKEN_ENDPOINT);
    world.provider.calm();
    assert_over(&world);
    assert_eq!(
        control.count(TOKEN_ENDPOINT),
        asked + 1,
        "the provider was asked once whether the login stands"
    );
    let record = world.audit();
    let of = |kind: &str| record.iter().filter(|event| event["event"] == kind).collect::<Vec<_>>();
    let changes = of("keys.loaded");
    let removed: Vec<&str> = changes.last().unwrap()["details"]["removed"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(Value::as_str)
        .collect();
    assert!(withdrawn.iter().all(|kid| removed.contains(&kid.as_str())), "{changes:?}");
    assert_eq!((of("keys.refused").len(), of("session.resumed").len()), (1, 1), "{record:?}");
    assert_eq!(of("login.started")[0]["details"]["method"], "browser");
    let configurations = of("configuration.loaded");
    assert_eq!(configurations.len(), 2, "one for each start");
    let digest = |of: usize| configurations[of]["details"]["digest"].as_str().unwrap();
    assert_eq!(digest(0), digest(1), "nothing was changed between them");
    let origin = |of: usize| configurations[of]["details"]["set"]["provider.base_url"].as_str().unwrap();
    assert!(origin(0).contains("config.toml:") && origin(1) == "as applied", "{configurations:?}");
    let held = std::fs::read_to_string(&file).unwrap();
    assert!(withdrawn.iter().all(|kid| !held.contains(kid)), "a withdrawn key is kept: {held}");
    // The way out works.
    world.login(ALICE);
    let after = world.check(PAY);
    assert_eq!(after["decision"], "allow", "{after}");
}

/// "Rotate and revoke" in the provider's console: every key is another, and no refresh token of before is good.
fn rotate_and_revoke(world: &World) {
    let provider = &world.provider;
    provider.block_on(provider.control().rotate_and_revoke_keys()).unwrap();
}

/// The login ends, and agents and the person are told why and what to do.
#[track_caller]
fn assert_over(world: &World) {
    // What moves no money: to ask for that again and again would be noticed as a burst.
    let decision = wait::until("the login to end", || {
        Some(world.check("payments.read")).filter(|decision| decision["remedy"] == "login")
    });
    assert_eq!(decision["decision"], "deny", "{decision}");
    let reason = decision["reason"].as_str().unwrap();
    assert!(["session_expired", "session_revoked"].contains(&reason), "{decision}");
    let status = world.wait_for_phase(SessionPhase::Over);
    let why = status.session.detail.unwrap();
    assert!(why.contains("log in"), "{why}");
    let shown = world.cli(&["status"]).all();
    assert!(shown.contains(&why), "{shown}");
    let over = world.records("session.over");
    assert_eq!(over.len(), 1, "{over:?}");
}

#[test]
fn a_login_of_full_age_is_over_even_if_the_clock_is_set_back() {
    let mut world = world_with(Store::File, "max_age = \"1h\"");
    world.login(ALICE);
    assert_eq!(world.check(PAY)["decision"], "allow");
    let status = world.status().session;
    let hour = status.login_ends_at.unwrap().duration_since(status.logged_in_at.unwrap());
    assert_eq!(hour.as_secs(), 3600, "{status:?}");
    let asked = world.provider.control().count(TOKEN_ENDPOINT);
    world.stop_daemon();
    // As after a clock that was set back by an hour: the daemon has seen a later time than the clock shows.
    let db = rusqlite::Connection::open(world.state_dir().join("state.db")).unwrap();
    let seen: String =
        db.query_row("SELECT last_seen FROM clock_marks", [], |row| row.get(0)).expect("the time was noted");
    let later = seen.parse::<jiff::Timestamp>().unwrap() + jiff::SignedDuration::from_hours(1);
    db.execute("UPDATE clock_marks SET last_seen = ?1", [later.to_string()]).unwrap();
    drop(db);
    world.start_daemon();
    world.wait_for_phase(SessionPhase::Over);
    let decision = world.check(PAY);
    assert_eq!(
        (&decision["decision"], &decision["reason"], &decision["remedy"]),
        (&json!("deny"), &json!("session_expired"), &json!("login")),
        "{decision}"
    );
    assert!(decision["message"].as_str().unwrap().contains("age"), "{decision}");
    wait::until_true("the login to be ended at the provider", || {
        world.provider.live_families(ALICE.email) == 0
    });
    assert_eq!(world.provider.control().count(TOKEN_ENDPOINT), asked, "it was not renewed once more");
    assert_eq!(world.records("session.over")[0]["reason"], "max_age");
    let shown = world.cli(&["status"]).all();
    assert!(shown.contains("session.max_age"), "{shown}");
    // The provider shows that the clock is right, so a new login is as good as any.
    world.login(ALICE);
    assert_eq!(world.check(PAY)["decision"], "allow");
    world.restart_daemon();
    world.wait_for_phase(SessionPhase::Active);
    assert_eq!(world.check(PAY)["decision"], "allow");
}
