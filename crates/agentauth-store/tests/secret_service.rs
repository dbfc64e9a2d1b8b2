//! The Secret Service, real: gnome-keyring on a private bus. `tests/with-keyring.sh CMD...` provides one and sets
//! `AGENTAUTHD_TEST_KEYRING=1`; under that variable a missing service is a failure, without it these tests do nothing.
//! Tests that disturb the keyring get one of their own.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]
#![allow(clippy::disallowed_methods, reason = "these tests are about processes and their environment")]

mod suite;

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use agentauth_store::{Health, SecretService, SecretStore, StoreError};
use suite::{held, name, secret};

const LOGIN: &str = "/org/freedesktop/secrets/collection/login";
const INNER: &str = "AGENTAUTHD_TEST_INNER";
/// No answer that does not wait for a person takes this long, on however busy a machine.
const AT_ONCE: Duration = Duration::from_secs(8);

fn wanted() -> bool {
    std::env::var_os("AGENTAUTHD_TEST_KEYRING").is_some_and(|value| value == "1")
}

/// `true` in the inner run of the test `test`, which is run again by `runner` (a command line that runs the rest).
fn inside(test: &str, runner: &[&str]) -> bool {
    if std::env::var_os(INNER).is_some() {
        return true;
    }
    if wanted() {
        let output = Command::new(runner[0])
            .args(&runner[1..])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(INNER, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{test}: {output:?}");
    }
    false
}

fn inside_own_keyring(test: &str) -> bool {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/with-keyring.sh");
    inside(test, &[script.to_str().unwrap()])
}

fn busctl(arguments: &[&str]) -> String {
    let output = Command::new("busctl").arg("--user").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn lock() {
    let service = "org.freedesktop.secrets";
    let interface = "org.freedesktop.Secret.Service";
    busctl(&["call", service, "/org/freedesktop/secrets", interface, "Lock", "ao", "1", LOGIN]);
    let locked = busctl(&["get-property", service, LOGIN, "org.freedesktop.Secret.Collection", "Locked"]);
    assert_eq!(locked.trim(), "b true");
}

/// Starts the keyring daemon anew, unlocked, as the user's session would.
fn replace_keyring() {
    let place = PathBuf::from(std::env::var_os("AGENTAUTHD_TEST_KEYRING_DIR").unwrap());
    let before = owner();
    let status = Command::new("sh")
        .args(["-c", "printf %s test-password | gnome-keyring-daemon --replace --unlock --components=secrets >/dev/null 2>&1"])
        .env("HOME", place.join("home"))
        .env("XDG_RUNTIME_DIR", place.join("run"))
        .env("XDG_DATA_HOME", place.join("data"))
        .status()
        .unwrap();
    assert!(status.success());
    for _ in 0..3000 {
        let now = owner();
        if now.is_some() && now != before {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the keyring did not come back");
}

/// The keyring's connection to the bus.
fn owner() -> Option<String> {
    let output = Command::new("busctl")
        .args(["--user", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus"])
        .args(["GetNameOwner", "s", "org.freedesktop.secrets"])
        .output()
        .unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// All three calls and the probe, each of which must answer quickly.
async fn every_answer(store: &SecretService) -> (Vec<StoreError>, Health) {
    let name = name("dev", "refresh_token");
    let started = Instant::now();
    let errors = vec![
        store.get(&name).await.map(drop).unwrap_err(),
        store.set(&name, &secret("s3cret")).await.unwrap_err(),
        store.remove(&name).await.map(drop).unwrap_err(),
    ];
    let health = store.probe().await;
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    for error in &errors {
        assert!(!format!("{error:?} {error}").contains("s3cret"), "{error:?}");
        assert!(!error.remedy().is_empty());
    }
    (errors, health)
}

#[tokio::test]
async fn it_keeps_the_contract() {
    if !wanted() {
        return;
    }
    suite::run(&SecretService::new(), Some(&|| Box::new(SecretService::new()))).await;
}

#[tokio::test]
async fn other_tools_find_what_is_stored() {
    if !wanted() {
        return;
    }
    let store = SecretService::new();
    let name = name("seen-outside", "refresh_token");
    store.set(&name, &secret("from here")).await.unwrap();
    let attributes = ["service", "agentauthd", "profile", "seen-outside", "kind", "refresh_token"];
    let output = Command::new("secret-tool").arg("lookup").args(attributes).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "from here");
    assert!(store.remove(&name).await.unwrap());
    assert!(!Command::new("secret-tool").arg("lookup").args(attributes).status().unwrap().success());
}

#[tokio::test]
async fn a_copy_under_the_same_attributes_does_not_outlive_a_write_or_a_removal() {
    if !wanted() {
        return;
    }
    let store = SecretService::new();
    let name = name("copies", "refresh_token");
    let plant = || {
        let status = Command::new("sh")
            .args(["-c", "printf stale | secret-tool store --label=copy service agentauthd profile copies kind refresh_token extra 1"])
            .status()
            .unwrap();
        assert!(status.success());
    };
    plant();
    store.set(&name, &secret("fresh")).await.unwrap();
    assert_eq!(held(&store, &name).await.as_deref(), Some("fresh"));
    plant();
    assert!(store.remove(&name).await.unwrap());
    assert_eq!(held(&store, &name).await, None);
}

#[tokio::test]
async fn a_locked_keyring_says_so_at_once_and_serves_when_it_is_open_again() {
    if !inside_own_keyring("a_locked_keyring_says_so_at_once_and_serves_when_it_is_open_again") {
        return;
    }
    let store = SecretService::new();
    let name = name("dev", "refresh_token");
    store.set(&name, &secret("kept")).await.unwrap();
    lock();
    let (errors, health) = every_answer(&store).await;
    assert!(errors.iter().all(|error| matches!(error, StoreError::Locked { .. })), "{errors:?}");
    assert!(matches!(health, Health::Locked { .. }), "{health:?}");
    let (errors, _) = every_answer(&SecretService::new()).await;
    assert!(errors.iter().all(|error| matches!(error, StoreError::Locked { .. })), "{errors:?}");

    replace_keyring();
    assert_eq!(held(&store, &name).await.as_deref(), Some("kept"));
    assert_eq!(store.probe().await, Health::Usable);
}

#[tokio::test]
async fn a_keyring_restarted_between_two_calls_is_connected_to_again() {
    if !inside_own_keyring("a_keyring_restarted_between_two_calls_is_connected_to_again") {
        return;
    }
    let store = SecretService::new();
    let name = name("dev", "refresh_token");
    store.set(&name, &secret("one")).await.unwrap();
    replace_keyring();
    assert_eq!(held(&store, &name).await.as_deref(), Some("one"));
    replace_keyring();
    store.set(&name, &secret("two")).await.unwrap();
    replace_keyring();
    assert!(store.remove(&name).await.unwrap());
    replace_keyring();
    assert_eq!(store.probe().await, Health::Usable);
    assert_eq!(held(&store, &name).await, None);
}

#[tokio::test]
async fn a_service_without_any_keyring_is_absent_and_nothing_is_asked() {
    let test = "a_service_without_any_keyring_is_absent_and_nothing_is_asked";
    // The bus starts the service at the first call; in an empty home it has no keyring and nobody to ask for one.
    let bus = "W=$(mktemp -d); trap 'rm -rf \"$W\"' EXIT; mkdir -m 700 \"$W/run\"; export HOME=$W XDG_DATA_HOME=$W/data \
               XDG_RUNTIME_DIR=$W/run; unset DISPLAY WAYLAND_DISPLAY; dbus-run-session -- \"$@\"";
    if !inside(test, &["sh", "-c", bus, "sh"]) {
        return;
    }
    let (errors, health) = every_answer(&SecretService::new()).await;
    assert!(errors.iter().all(|error| matches!(error, StoreError::Absent { .. })), "{errors:?}");
    assert!(matches!(health, Health::Absent { .. }), "{health:?}");
    assert!(errors[0].to_string().contains("has no keyring"), "{}", errors[0]);
}

#[tokio::test]
async fn a_bus_without_the_service_is_absent() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("bus.conf");
    let text = "<!DOCTYPE busconfig PUBLIC '-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN' \
                'http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd'>\
                <busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen><auth>EXTERNAL</auth>\
                <policy context='default'><allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/>\
                <allow own='*'/></policy></busconfig>";
    std::fs::write(&config, text).unwrap();
    let option = format!("--config-file={}", config.display());
    if !inside("a_bus_without_the_service_is_absent", &["dbus-run-session", &option, "--"]) {
        return;
    }
    let (errors, health) = every_answer(&SecretService::new()).await;
    assert!(errors.iter().all(|error| matches!(error, StoreError::Absent { .. })), "{errors:?}");
    assert!(matches!(health, Health::Absent { .. }), "{health:?}");
}

#[tokio::test]
async fn no_bus_at_all_is_absent() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = format!("unix:path={}", dir.path().join("bus").display());
    for address in [nowhere.as_str(), "rubbish", ""] {
        let (errors, health) = every_answer(&SecretService::on_bus(address)).await;
        assert!(
            errors.iter().all(|error| matches!(error, StoreError::Absent { .. })),
            "{address}: {errors:?}"
        );
        assert!(matches!(health, Health::Absent { .. }), "{health:?}");
    }
}

#[tokio::test]
async fn a_bus_that_never_answers_costs_the_time_limit_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus");
    let _deaf = UnixListener::bind(&path).unwrap();
    let store = SecretService::on_bus(&format!("unix:path={}", path.display()))
        .with_patience(Duration::from_millis(100));
    // The runtime has one thread: that the other future gets on shows that the waiting one does not hold it.
    let (answers, ()) = tokio::join!(every_answer(&store), async {
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let (errors, health) = answers;
    assert!(errors.iter().all(|error| matches!(error, StoreError::TimedOut { .. })), "{errors:?}");
    assert!(matches!(health, Health::Failing { .. }), "{health:?}");
}
