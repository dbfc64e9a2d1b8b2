//! Machines with an unusual network: nothing but IPv6, and no certificate authorities.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::process::Command;

use agentauth_api::SessionPhase;
use e2e::provider::Provider;
use e2e::{ALICE, World, WorldOptions};

/// Runs the ignored test `name` of this suite in a network namespace that has `::1` and no `127.0.0.1`. Returns whether
/// this machine allows such a namespace.
#[track_caller]
fn in_namespace_with_ipv6_only(name: &str) -> bool {
    let flags = if rustix::process::geteuid().is_root() { "-n" } else { "-Urn" };
    let unshare = |script: &str, arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args([flags, "sh", "-c", script, "sh"]).args(arguments).output()
    };
    let without_ipv4 = "ip link set lo up && ip addr del 127.0.0.1/8 dev lo";
    if !unshare(without_ipv4, &[]).is_ok_and(|output| output.status.success()) {
        return false;
    }
    let this = std::env::current_exe().unwrap();
    let script = format!("{without_ipv4} && exec \"$@\"");
    let arguments = [this.to_str().unwrap(), "--exact", name, "--ignored", "--nocapture"];
    let output = unshare(&script, &arguments).unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
    true
}

#[test]
fn a_login_where_there_is_nothing_but_ipv6() {
    if !in_namespace_with_ipv6_only("a_login_over_ipv6") {
        eprintln!("not shown: this machine allows no network namespaces");
    }
}

#[test]
#[ignore = "run by `a_login_where_there_is_nothing_but_ipv6`, in a network namespace of its own"]
fn a_login_over_ipv6() {
    let here = IpAddr::from(Ipv6Addr::LOCALHOST);
    assert!(TcpListener::bind("127.0.0.1:0").is_err(), "this must run without IPv4");
    let provider = Provider::start_at(SocketAddr::new(here, 0));
    // Without configuration: the address that there is gets found.
    let world = World::with(&provider, WorldOptions::default());
    let uris = world.status().provider.redirect_uris;
    assert_eq!(uris.first().map(String::as_str), Some("http://[::1]:47823/callback"), "{uris:?}");
    let registered = world.cli(&["setup", "--yes", "--project-id", provider.project_id()]);
    assert!(registered.stdout.contains("http://[::1]:47823/callback"), "{registered:?}");

    let login = world.begin_login();
    assert!(login.redirect_uri().as_str().starts_with("http://[::1]:"), "{}", login.redirect_uri());
    // Another name for this machine is not it.
    let host = [("host", "localhost:47823")];
    let answer = world.provider.get(&format!("{}?code=x&state=y", login.redirect_uri()), &host);
    assert_eq!(answer.unwrap().0, 421);
    let page = world.provider.sign_in(&login.url, ALICE.email, ALICE.password);
    assert_eq!(page.status, 200, "{}", page.html);
    assert_eq!(login.finish().code, Some(0));
    world.wait_for_phase(SessionPhase::Active);

    // Asked for the other family in so many words, it says what it tried.
    let options = WorldOptions {
        environment: vec![("AGENTAUTHD_LOGIN_LOOPBACK".to_owned(), "127.0.0.1".to_owned())],
        ..WorldOptions::default()
    };
    let refused = World::with(&provider, options).cli(&["login", "--no-browser"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("127.0.0.1:47823"), "{refused:?}");
}

#[test]
fn a_machine_without_certificate_authorities_is_told_what_is_missing() {
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let options = WorldOptions {
        environment: vec![
            variable("AGENTAUTHD_PROVIDER_BASE_URL", "https://provider.test"),
            variable("SSL_CERT_FILE", "/nonexistent/certificates.pem"),
        ],
        ..WorldOptions::default()
    };
    // The daemon starts and answers.
    let world = World::with(&Provider::start(), options);
    assert_eq!(world.status().session.phase, SessionPhase::LoggedOut);
    let login = world.cli(&["login", "--no-browser"]);
    assert_eq!(login.code, Some(1), "{login:?}");
    for word in ["`ca-certificates`", "`network.ca_file`", "SSL_CERT_FILE"] {
        assert!(login.stderr.contains(word), "{word}: {login:?}");
    }
    assert_eq!(world.status().session.phase, SessionPhase::LoggedOut);
}

#[test]
fn a_proxy_with_a_password_is_no_configuration() {
    let world = World::start();
    let mut command = world.command(&["config", "validate"]);
    command.env("AGENTAUTHD_NETWORK_PROXY", "http://ada:hunter2@proxy.test:3128");
    let outcome = e2e::cli::run(command);
    assert_ne!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stderr.contains("`HTTPS_PROXY`"), "{outcome:?}");
    assert!(!format!("{outcome:?}").contains("hunter2"), "{outcome:?}");
}
