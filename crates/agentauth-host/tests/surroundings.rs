//! What depends on the environment, each in a process of its own that gets the environment it needs.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]
#![allow(clippy::disallowed_methods, reason = "these tests are about the environment and about processes")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// Set for the inner run of a test.
const INNER: &str = "AGENTAUTHD_TEST_INNER";

fn is_inner() -> bool {
    std::env::var_os(INNER).is_some()
}

/// Runs the test called `name` again, in a process with `environment` besides `PATH`.
fn again(name: &str, environment: &[(&str, &str)]) -> Output {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env(INNER, "1")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
    output
}

fn wait_for(path: &Path) -> String {
    for _ in 0..3000 {
        if let Ok(text) = fs::read_to_string(path)
            && text.ends_with('\n')
        {
            return text;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} was never written", path.display());
}

#[test]
fn the_chosen_browser_gets_the_address_and_not_our_output() {
    const URL: &str = "https://auth.example.com/authorize?client_id=a&state=b%20c";
    if is_inner() {
        agentauth_host::browser::open(URL).unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (script, opened) = (dir.path().join("browser"), dir.path().join("opened"));
    let text =
        format!("#!/bin/sh\necho noise; echo noise >&2\nprintf '%s\\n' \"$@\" >{}\n", opened.display());
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    let output = again(
        "the_chosen_browser_gets_the_address_and_not_our_output",
        &[("BROWSER", script.to_str().unwrap())],
    );
    assert_eq!(wait_for(&opened), format!("{URL}\n"));
    assert!(!String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).contains("noise"));
}

#[test]
fn with_neither_display_nor_browser_nothing_is_opened() {
    use agentauth_host::browser::{BrowserError, open};
    if is_inner() {
        assert!(matches!(open("https://example.com"), Err(BrowserError::NoDisplay)));
        return;
    }
    again("with_neither_display_nor_browser_nothing_is_opened", &[]);
}

#[test]
fn a_service_manager_gets_the_notices() {
    use agentauth_host::service;
    if is_inner() {
        assert_eq!(service::watchdog_interval(), Some(Duration::from_secs(2)));
        service::ready().unwrap();
        service::status("serving\nSTOPPING=1").unwrap();
        service::watchdog_ping().unwrap();
        service::stopping().unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    again(
        "a_service_manager_gets_the_notices",
        &[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "6000000")],
    );
    socket.set_nonblocking(true).unwrap();
    let mut got = Vec::new();
    let mut buffer = [0; 256];
    while let Ok(length) = socket.recv(&mut buffer) {
        got.push(String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned());
    }
    assert_eq!(got, ["READY=1", "STATUS=serving", "WATCHDOG=1", "STOPPING=1"]);
}

#[test]
fn without_a_service_manager_notices_do_nothing() {
    use agentauth_host::service;
    if is_inner() {
        assert_eq!(service::watchdog_interval(), None);
        service::ready().unwrap();
        service::stopping().unwrap();
        return;
    }
    again("without_a_service_manager_notices_do_nothing", &[]);
}
