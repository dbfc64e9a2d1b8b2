//! The demonstration runs and every outcome in it is as expected.

use std::process::Command;

use e2e::binaries;

#[test]
fn every_outcome_is_as_expected() {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(binaries::program("agentauth-demo"));
    command.arg("--daemon").arg(binaries::program("agentauthd"));
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", home.path());
    let outcome = e2e::cli::run(command);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    for word in [
        "Alice",
        "Bob",
        "allow",
        "agent_unknown",
        "consent_required",
        "consent_denied",
        "forbidden",
        "role_required",
        "not_logged_in",
    ] {
        assert!(outcome.stdout.contains(word), "{word} in {}", outcome.stdout);
    }
    assert!(!outcome.all().contains("eyJ"), "no token: {}", outcome.all());
    assert!(!outcome.stdout.contains('\u{1b}'), "no colour without a terminal");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0, "nothing is left behind");
}
