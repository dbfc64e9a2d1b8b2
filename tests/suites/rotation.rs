//! The daemon is killed with `kill -9` in the middle of a rotation, wherever that can be. Afterwards the session works,
//! or the person is told to log in; never are there two live families, and never is it silently wrong.
//!
//! The provider rotates refresh tokens, and kills the family when a spent one comes again.

use std::fs::File;
use std::path::Path;

use agentauth_api::SessionPhase;
use descope_emulator::{Fault, FaultAction};
use e2e::keyring::Keyring;
use e2e::provider::TOKEN_ENDPOINT;
use e2e::{ALICE, Provider, Store, World, WorldOptions, process, wait};
use serde_json::json;

const PAY: &str = "payments.execute:currency=EUR";

/// How many times a point that is a race is tried.
const RACES: usize = 12;

/// What became of the session after the kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Works,
    ToldToLogIn,
}

fn file_world() -> World {
    logged_in(World::durable())
}

fn keychain_world(keyring: &Keyring) -> World {
    let options = WorldOptions {
        store: Store::Keychain,
        bus: Some(keyring.address().to_owned()),
        ..WorldOptions::default()
    };
    logged_in(World::with(&Provider::start(), options))
}

fn logged_in(world: World) -> World {
    world.login(ALICE);
    assert_eq!(world.check(PAY)["decision"], "allow");
    world
}

/// A fault for refreshes only.
fn on_refresh(action: FaultAction) -> Fault {
    Fault::on(TOKEN_ENDPOINT, action).grant("refresh_token")
}

/// From now on the daemon refreshes every other second.
fn refresh_often(world: &World) {
    world.provider.patch(json!({"lifetimes": {"session": 4}}));
}

/// Starts the daemon again and sees where that leads: to a session that works or to a person who is told. Both are
/// followed to a working session, and never is there more than one live family.
#[track_caller]
fn aftermath(world: &mut World) -> Fate {
    world.provider.calm();
    world.provider.patch(json!({"lifetimes": {"session": 600}}));
    let at_most_one = |world: &World, when: &str| {
        let live = world.provider.live_families(ALICE.email);
        assert!(live <= 1, "{live} live families {when}: {:#?}", world.provider.families());
    };
    at_most_one(world, "after the kill");
    world.start_daemon();
    let phase = wait::until("the session to work or to be over", || match world.status().session.phase {
        SessionPhase::Unverified => None,
        settled => Some(settled),
    });
    at_most_one(world, "after the restart");
    let decision = world.check(PAY);
    let fate = if phase == SessionPhase::Active {
        assert_eq!(decision["decision"], "allow", "{decision}");
        Fate::Works
    } else {
        assert_eq!(decision["decision"], "deny", "{decision}");
        assert_eq!(decision["remedy"], "login", "{decision}");
        let reason = decision["reason"].as_str().unwrap();
        assert!(["session_expired", "session_revoked", "not_logged_in"].contains(&reason), "{decision}");
        let shown = world.cli(&["status"]).all();
        assert!(
            shown.contains("agentauthd login") || shown.contains("log in"),
            "status tells the person: {shown}"
        );
        world.login(ALICE);
        Fate::ToldToLogIn
    };
    // What there is now is a session like any other: it is refreshed, survives a restart, and is the only one.
    assert_eq!(world.check(PAY)["decision"], "allow");
    world.restart_daemon();
    world.wait_for_phase(SessionPhase::Active);
    assert_eq!(world.check(PAY)["decision"], "allow");
    assert_eq!(world.provider.live_families(ALICE.email), 1, "{:#?}", world.provider.families());
    fate
}

/// Holds the lock that a refresh takes first.
fn hold_refresh_lock(state: &Path) -> File {
    let path = state.join("refresh-default.lock");
    let file = File::options().create(true).truncate(false).read(true).write(true).open(path).unwrap();
    // A refresh under way may have it for a moment.
    file.lock().unwrap();
    file
}

#[test]
fn killed_before_sending() {
    let mut world = file_world();
    let refreshes = world.provider.families()[0].refreshes;
    let lock = hold_refresh_lock(&world.state_dir());
    // At its start the daemon wants to refresh at once; it has read the store and waits for the lock.
    world.restart_daemon();
    world.wait_for_phase(SessionPhase::Unverified);
    world.kill_daemon();
    drop(lock);
    assert_eq!(world.provider.families()[0].refreshes, refreshes, "nothing was sent");
    assert_eq!(aftermath(&mut world), Fate::Works);
    assert_eq!(world.provider.families().len(), 1);
}

#[test]
fn killed_after_sending_before_the_provider_acts() {
    let mut world = file_world();
    refresh_often(&world);
    world.provider.inject(on_refresh(FaultAction::HoldBefore).once());
    world.restart_daemon();
    let held = world.provider.wait_for_hold(TOKEN_ENDPOINT);
    world.kill_daemon();
    // The provider never acts on it: the connection is gone.
    assert!(world.provider.control().drop_held(held.id));
    assert_eq!(aftermath(&mut world), Fate::Works);
    assert_eq!(world.provider.families().len(), 1);
}

#[test]
fn killed_after_sending_and_the_provider_acts_later() {
    let mut world = file_world();
    refresh_often(&world);
    world.provider.inject(on_refresh(FaultAction::HoldBefore).once());
    world.restart_daemon();
    let held = world.provider.wait_for_hold(TOKEN_ENDPOINT);
    world.kill_daemon();
    assert!(world.provider.control().release(held.id));
    wait::until_true("the provider to have rotated", || world.provider.families()[0].refreshes > 0);
    // The new token is nobody's. The old one comes again, which ends the family: the person is told.
    assert_eq!(aftermath(&mut world), Fate::ToldToLogIn);
}

#[test]
fn killed_after_the_provider_acted_before_the_answer() {
    let mut world = file_world();
    refresh_often(&world);
    world.provider.inject(on_refresh(FaultAction::HoldAfter).once());
    world.restart_daemon();
    world.provider.wait_for_hold(TOKEN_ENDPOINT);
    world.kill_daemon();
    assert_eq!(aftermath(&mut world), Fate::ToldToLogIn);
}

#[test]
fn killed_after_the_provider_acted_in_the_middle_of_a_run() {
    // As above, but in a refresh of a session in force rather than at the start.
    let mut world = World::durable();
    refresh_often(&world);
    world.login(ALICE);
    world.provider.inject(on_refresh(FaultAction::HoldAfter).once());
    world.provider.wait_for_hold(TOKEN_ENDPOINT);
    world.kill_daemon();
    assert_eq!(aftermath(&mut world), Fate::ToldToLogIn);
}

#[test]
fn killed_after_receiving_before_storing() {
    let Some(mut keyring) = Keyring::start() else { return };
    let mut world = keychain_world(&keyring);
    refresh_often(&world);
    world.provider.inject(on_refresh(FaultAction::HoldAfter).once());
    world.restart_daemon();
    let held = world.provider.wait_for_hold(TOKEN_ENDPOINT);
    // The keyring stops answering; then the daemon gets the new token and cannot store it.
    keyring.stop();
    assert!(world.provider.control().release(held.id));
    wait::until_true("the answer to have left the provider", || {
        let requests = world.provider.control().requests();
        requests
            .iter()
            .rev()
            .find(|request| request.path == TOKEN_ENDPOINT)
            .is_some_and(|last| last.status == Some(200))
    });
    // It does not use what it could not store.
    let decision = world.check(PAY);
    assert_eq!(
        (&decision["decision"], &decision["reason"]),
        (&json!("deny"), &json!("session_unverified")),
        "{decision}"
    );
    world.kill_daemon();
    keyring.go_on();
    assert_eq!(aftermath(&mut world), Fate::ToldToLogIn);
}

#[test]
fn killed_right_after_storing_in_the_file() {
    let mut world = World::durable();
    for round in 0..3 {
        refresh_often(&world);
        world.login(ALICE);
        let stored = secret_file(&world);
        let before = std::fs::read(&stored).unwrap();
        wait::until_true("the rotated token to be in the file", || {
            std::fs::read(&stored).is_ok_and(|now| now != before)
        });
        world.kill_daemon();
        assert_eq!(aftermath(&mut world), Fate::Works, "round {round}");
        world.cli(&["logout"]);
    }
}

#[test]
fn killed_right_after_storing_in_the_keychain() {
    let Some(keyring) = Keyring::start() else { return };
    for _ in 0..2 {
        let mut world = keychain_world(&keyring);
        refresh_often(&world);
        world.restart_daemon();
        let before = keyring.on_disk();
        wait::until_true("the rotated token to be in the keyring", || keyring.on_disk() != before);
        world.kill_daemon();
        // The keyring writes its file when it has taken the secret, so the daemon's call had arrived.
        assert_eq!(aftermath(&mut world), Fate::Works);
        assert_eq!(world.provider.families().len(), 1);
        world.cli(&["logout"]);
    }
}

#[test]
fn killed_at_any_time() {
    // Kills that follow the refresh request by ever longer times, to meet what lies between the points above.
    let Some(keyring) = Keyring::start() else { return };
    let mut world = keychain_world(&keyring);
    let mut fates = Vec::new();
    for round in 0..RACES {
        refresh_often(&world);
        world.login(ALICE);
        let sent = |world: &World| world.provider.control().count(TOKEN_ENDPOINT);
        let before = sent(&world);
        wait::until_true("a refresh to be under way", || sent(&world) > before);
        for _ in 0..round * 4 {
            std::thread::yield_now();
        }
        std::thread::sleep(std::time::Duration::from_micros(400 * round as u64));
        world.kill_daemon();
        fates.push(aftermath(&mut world));
        world.cli(&["logout"]);
    }
    eprintln!("fates: {fates:?}");
}

#[test]
fn an_answer_that_got_lost_is_tried_once_more_and_then_told() {
    let world = World::durable();
    refresh_often(&world);
    world.login(ALICE);
    world.provider.inject(on_refresh(FaultAction::AnswerLost).once());
    // The retry brings the spent token, the family dies, and the person is told; without a restart.
    wait::until_true("the session to be over", || world.status().session.phase == SessionPhase::Over);
    let decision = world.check(PAY);
    assert_eq!((&decision["decision"], &decision["remedy"]), (&json!("deny"), &json!("login")), "{decision}");
    assert_eq!(world.provider.live_families(ALICE.email), 0);
    world.login(ALICE);
    assert_eq!(world.check(PAY)["decision"], "allow");
}

#[test]
fn an_outage_is_survived_without_a_login() {
    let world = World::durable();
    refresh_often(&world);
    world.login(ALICE);
    // What moves no money: to ask for that again and again would be noticed as a burst.
    let unverified = || world.check("payments.read")["reason"] == "session_unverified";
    for fault in [FaultAction::unavailable(503), FaultAction::html(503), FaultAction::too_many_requests(1)] {
        let id = world.provider.inject(on_refresh(fault.clone()));
        wait::until_true("the session to be unverified", unverified);
        world.provider.control().clear_fault(id);
        wait::until_true(&format!("the session to be back after {fault:?}"), || !unverified());
        assert_eq!(world.check(PAY)["decision"], "allow");
    }
    assert_eq!(world.provider.families().len(), 1);
}

#[test]
fn refreshes_never_overlap() {
    // A second daemon of the same profile, as after a broken handover: its socket is elsewhere, its login the same.
    let world = World::durable();
    refresh_often(&world);
    world.login(ALICE);
    let other = world.home().join("run/other.sock");
    let mut command = world.command(&["--socket", other.to_str().unwrap(), "run"]);
    command.stdout(std::process::Stdio::null()).stderr(File::create(world.home().join("other.err")).unwrap());
    let mut second = world.spawn(command);
    let before = world.provider.families()[0].refreshes;
    wait::until_true("both to have refreshed several times", || {
        second.exited().is_some() || world.provider.families()[0].refreshes >= before + 6
    });
    assert_eq!(world.provider.control().counts()[TOKEN_ENDPOINT].peak, 1, "two refreshes at once");
    assert_eq!(world.provider.live_families(ALICE.email), 1, "{:#?}", world.provider.families());
    assert_eq!(world.provider.families()[0].reuses, 0);
    assert_eq!(world.check(PAY)["decision"], "allow");
}

/// The file in which the refresh token is.
fn secret_file(world: &World) -> std::path::PathBuf {
    let files = process::files_below(&world.state_dir());
    let of_token = |file: &&std::path::PathBuf| {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        name.ends_with(".age") && name != "identity.age"
    };
    files.iter().find(of_token).unwrap_or_else(|| panic!("no stored secret among {files:?}")).clone()
}
