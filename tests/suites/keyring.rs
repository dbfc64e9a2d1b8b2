//! The login in a real keychain: gnome-keyring, looked at from outside.

use std::time::{Duration, Instant};

use agentauth_api::SessionPhase;
use descope_emulator::SecretKind;
use e2e::keyring::Keyring;
use e2e::{ALICE, Provider, Store, World, WorldOptions, wait};

const PAY: &str = "payments.execute:currency=EUR";

/// A status that takes longer than this hangs.
const AT_ONCE: Duration = Duration::from_secs(10);

fn world(keyring: &Keyring) -> World {
    World::with(&Provider::start(), options(keyring))
}

fn options(keyring: &Keyring) -> WorldOptions {
    WorldOptions {
        store: Store::Keychain,
        bus: Some(keyring.address().to_owned()),
        ..WorldOptions::default()
    }
}

/// What somebody else sees of our entries, secrets included.
fn seen(keyring: &Keyring) -> String {
    keyring.search("service", "agentauthd") + &keyring.search("application", "agentauthd")
}

fn refresh_tokens(world: &World) -> Vec<String> {
    let issued = world.provider.issued();
    issued
        .into_iter()
        .filter(|secret| secret.kind == SecretKind::RefreshJwt)
        .map(|secret| secret.value)
        .collect()
}

#[test]
fn a_login_is_in_the_keychain_and_a_logout_takes_it_out() {
    let Some(keyring) = Keyring::start() else { return };
    let mut world = world(&keyring);
    world.login(ALICE);
    let status = world.status();
    assert!(status.secret_store.usable, "{status:?}");
    let inside = seen(&keyring);
    let tokens = refresh_tokens(&world);
    assert!(
        tokens.iter().any(|token| inside.contains(token)),
        "the refresh token is not in the keychain: {inside}"
    );

    // After a restart the session goes on, and what the keychain holds is the newest token only.
    world.restart_daemon();
    world.wait_for_phase(SessionPhase::Active);
    assert_eq!(world.check(PAY)["decision"], "allow");
    assert_eq!(world.provider.families().len(), 1);
    let inside = seen(&keyring);
    let tokens = refresh_tokens(&world);
    let (newest, older) = tokens.split_last().unwrap();
    assert!(inside.contains(newest));
    assert!(!older.is_empty() && older.iter().all(|token| !inside.contains(token)));

    let outcome = world.cli(&["logout"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let inside = seen(&keyring);
    assert!(!inside.contains("eyJ"), "a logout leaves nothing: {inside}");
    world.restart_daemon();
    world.wait_for_phase(SessionPhase::LoggedOut);
}

#[test]
fn a_locked_keychain_is_told_and_nothing_hangs() {
    let Some(mut keyring) = Keyring::start() else { return };
    let mut world = world(&keyring);
    world.login(ALICE);
    world.stop_daemon();
    keyring.lock();

    world.start_daemon();
    let started = Instant::now();
    let status = wait::until("the status to say that the keychain is locked", || {
        Some(world.status()).filter(|status| status.secret_store.detail.is_some())
    });
    assert!(!status.secret_store.usable, "{status:#?}");
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    let detail = status.secret_store.detail.unwrap_or_default();
    assert!(detail.contains("unlock"), "what to do: {detail}");
    let asked = Instant::now();
    let decision = world.check(PAY);
    assert!(asked.elapsed() < AT_ONCE);
    assert_eq!(decision["decision"], "deny", "{decision}");
    let outcome = world.cli(&["status"]);
    assert!(outcome.code == Some(0) && outcome.stdout.contains("locked"), "what is wrong: {outcome:?}");

    // A login now would have nowhere to go: it fails, and says so.
    let login = world.begin_login();
    world.provider.sign_in(&login.url, ALICE.email, ALICE.password);
    let outcome = login.finish();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("locked"), "{outcome:?}");

    // Unlocked, the session comes back by itself.
    keyring.unlock();
    world.wait_for_phase(SessionPhase::Active);
    assert_eq!(world.check(PAY)["decision"], "allow");
}

#[test]
fn a_keychain_that_does_not_answer_is_told_and_nothing_hangs() {
    let Some(mut keyring) = Keyring::start() else { return };
    let mut world = world(&keyring);
    world.login(ALICE);
    world.stop_daemon();
    keyring.stop();
    world.start_daemon();
    for _ in 0..3 {
        let asked = Instant::now();
        assert_eq!(world.check(PAY)["decision"], "deny");
        assert_eq!(world.cli(&["status"]).code, Some(0));
        assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    }
    keyring.go_on();
    world.wait_for_phase(SessionPhase::Active);
    assert_eq!(world.check(PAY)["decision"], "allow");
}

#[test]
fn without_a_keychain_there_is_no_silent_fallback() {
    let options = WorldOptions {
        store: Store::Keychain,
        bus: Some("unix:path=/nonexistent/bus".to_owned()),
        ..WorldOptions::default()
    };
    let world = World::with(&Provider::start(), options);
    let status = wait::until("the status to say that there is no keychain", || {
        Some(world.status()).filter(|status| status.secret_store.detail.is_some())
    });
    assert!(!status.secret_store.usable);
    let login = world.begin_login();
    world.provider.sign_in(&login.url, ALICE.email, ALICE.password);
    let outcome = login.finish();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(world.check(PAY)["decision"], "deny");
    let files = e2e::process::files_below(&world.state_dir());
    assert!(!files.iter().any(|file| file.extension().is_some_and(|end| end == "age")), "{files:?}");
}

#[test]
fn a_keychain_that_comes_back_is_found_again() {
    let Some(mut keyring) = Keyring::start() else { return };
    let world = world(&keyring);
    world.provider.patch(serde_json::json!({"lifetimes": {"session": 4}}));
    world.login(ALICE);
    // A new keyring daemon under a live store: old D-Bus sessions mean nothing to it.
    keyring.unlock();
    let before = world.provider.families()[0].refreshes;
    wait::until_true("refreshes to go on", || world.provider.families()[0].refreshes >= before + 2);
    assert_eq!(world.wait_for_phase(SessionPhase::Active).problems, Vec::<String>::new());
}
