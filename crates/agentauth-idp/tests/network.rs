//! The way to the provider: certificates that are believed and certificates that are not, old TLS, and proxies.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use agentauth_idp::{
    DiscoveryError, HttpError, NetworkSettings, Obstacle, Provider, ProviderConfig, ProviderSettings, Proxy,
    describe,
};
use support::settings;
use support::stub::Stub;
use support::tls::{Authority, ConnectProxy, Life, ProxyAnswer, description, old_tls};

fn with(base: &str, network: NetworkSettings) -> Provider {
    let settings = ProviderSettings { network, ..settings(base) };
    Provider::new(ProviderConfig::new(settings).unwrap()).unwrap()
}

fn trusting(ca_file: PathBuf) -> NetworkSettings {
    NetworkSettings { ca_file: Some(ca_file), ..NetworkSettings::default() }
}

fn through(port: u16, ca_file: PathBuf) -> NetworkSettings {
    let proxy = format!("http://127.0.0.1:{port}").parse().unwrap();
    NetworkSettings { proxy, ca_file: Some(ca_file) }
}

/// `reached`, or what stood in the way and what the person is told.
async fn outcome(provider: &Provider) -> (Option<Obstacle>, String) {
    match provider.fetch_metadata().await {
        Ok(_) => (None, "reached".to_owned()),
        Err(DiscoveryError::Http(HttpError::NotSent { host, why, obstacle })) => {
            assert!(provider.config().base_url().as_str().contains(&host), "{host}");
            (Some(obstacle), why)
        }
        Err(error) => (None, describe(&error)),
    }
}

#[tokio::test]
async fn certificates() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("the test's authority");
    let ours = authority.file(&folder);
    for (name, host, life, refused) in [
        ("good", "localhost", Life::Now, None),
        ("for another host", "provider.test", Life::Now, Some("is for another host")),
        ("expired", "localhost", Life::Over, Some("has expired")),
        ("not valid yet", "localhost", Life::Coming, Some("is not valid yet")),
    ] {
        let (stub, port) = authority.provider(host, life).await;
        let provider = with(&format!("https://localhost:{port}"), trusting(ours.clone()));
        let stub_base = stub.base.clone();
        stub.set_discovery(serde_json::json!({}));
        let seen = outcome(&provider).await;
        match refused {
            None => assert_eq!(seen, (None, "reached".to_owned()), "{name} {stub_base}"),
            Some(words) => {
                assert_eq!(seen.0, Some(Obstacle::Tls), "{name}: {}", seen.1);
                assert!(seen.1.contains(words), "{name}: {}", seen.1);
                assert!(stub.seen(&description()).is_empty(), "{name}: a request arrived");
            }
        }
    }
    // An authority that is not listed, whatever it calls itself.
    for name in ["somebody else", "the test's authority"] {
        let (stub, port) = Authority::new(name).provider("localhost", Life::Now).await;
        let provider = with(&format!("https://localhost:{port}"), trusting(ours.clone()));
        let (obstacle, why) = outcome(&provider).await;
        assert_eq!(obstacle, Some(Obstacle::Tls), "{name}: {why}");
        assert!(why.contains("signed by nobody") && why.contains("`network.ca_file`"), "{name}: {why}");
        assert!(stub.seen(&description()).is_empty());
    }
}

#[tokio::test]
async fn nothing_older_than_tls_1_2() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("the test's authority");
    for minor in [0, 1, 2] {
        let (port, after) = old_tls(minor).await;
        let provider = with(&format!("https://localhost:{port}"), trusting(authority.file(&folder)));
        let (obstacle, why) = outcome(&provider).await;
        assert_eq!(obstacle, Some(Obstacle::Tls), "TLS 1.{}: {why}", minor - 1);
        assert!(why.contains("TLS"), "{why}");
        support::until("the client hangs up", async || !after.lock().unwrap().is_empty()).await;
        // An alert (record type 21) and nothing else.
        assert_eq!(after.lock().unwrap()[0], 21);
    }
    let plain = Stub::start().await;
    let base = plain.base.replace("http://127.0.0.1", "https://localhost");
    let (obstacle, why) = outcome(&with(&base, trusting(authority.file(&folder)))).await;
    assert_eq!(obstacle, Some(Obstacle::Tls), "{why}");
    assert!(why.contains("check that the address speaks https"), "{why}");
}

#[tokio::test]
async fn the_configured_authorities_are_read_with_care() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("the test's authority");
    let (_stub, port) = authority.provider("localhost", Life::Now).await;
    let base = format!("https://localhost:{port}");
    let file = |name: &str, content: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    };
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let many = format!("# ours\n{}\n{}", Authority::new("another").pem(), authority.pem());
    for (path, expected) in [
        (file("two", &many, 0o644), "reached"),
        (folder.path().join("absent"), "cannot be read"),
        (folder.path().to_owned(), "is not a regular file"),
        (file("empty", "", 0o600), "holds no certificate"),
        (file("html", "<html>", 0o600), "holds no certificate"),
        (file("broken", broken, 0o600), "cannot be used"),
        (file("huge", &"x".repeat(1_100_000), 0o600), "larger than 1 MiB"),
        (file("open", authority.pem(), 0o666), "can be written by others"),
    ] {
        // The provider is there all the same: it says what is wrong when it is asked.
        let seen = outcome(&with(&base, trusting(path.clone()))).await.1;
        assert!(seen.contains(expected), "{}: {seen}", path.display());
        assert!(expected == "reached" || seen.contains("`network.ca_file`"), "{seen}");
    }
    // What was missing at the start and is there later counts without a restart.
    let late = folder.path().join("late");
    let provider = with(&base, trusting(late.clone()));
    assert!(outcome(&provider).await.1.contains("cannot be read"));
    std::fs::write(&late, authority.pem()).unwrap();
    assert_eq!(outcome(&provider).await.1, "reached");
}

#[tokio::test]
async fn https_goes_through_the_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("the test's authority");
    let ours = authority.file(&folder);
    // Only the proxy knows where this host is.
    let (stub, port) = authority.provider("provider.test", Life::Now).await;
    let proxy = ConnectProxy::start(ProxyAnswer::Through(port)).await;
    let base = stub.base.clone();
    let provider = with(&base, through(proxy.port, ours.clone()));
    assert_eq!(outcome(&provider).await.1, "reached");
    assert_eq!(stub.seen(&description()).len(), 1);
    let heads = proxy.heads();
    assert!(heads[0].starts_with(&format!("CONNECT provider.test:{port} HTTP/1.1\r\n")), "{heads:?}");
    assert!(!heads[0].contains("openid-configuration"), "the proxy sees what is asked: {heads:?}");

    // A proxy that answers in the provider's place is found out.
    let (liar, elsewhere) = Authority::new("somebody else").provider("provider.test", Life::Now).await;
    let proxy = ConnectProxy::start(ProxyAnswer::Through(elsewhere)).await;
    let (obstacle, why) = outcome(&with(&base, through(proxy.port, ours.clone()))).await;
    assert_eq!(obstacle, Some(Obstacle::Tls), "{why}");
    assert!(liar.seen(&description()).is_empty());

    for (answer, words) in [
        (ProxyAnswer::WantsCredentials, "wants credentials"),
        (ProxyAnswer::Forbids, "did not let the connection through"),
    ] {
        let proxy = ConnectProxy::start(answer).await;
        let (obstacle, why) = outcome(&with(&base, through(proxy.port, ours.clone()))).await;
        assert_eq!(obstacle, Some(Obstacle::Proxy), "{why}");
        assert!(why.contains(words) && why.contains(&format!("`127.0.0.1:{}`", proxy.port)), "{why}");
    }
    // A proxy that is not there: nothing falls back to the direct way.
    let (obstacle, why) = outcome(&with(&base, through(9, ours))).await;
    assert_eq!(obstacle, Some(Obstacle::Proxy), "{why}");
    assert!(why.contains("the proxy `127.0.0.1:9` cannot be reached"), "{why}");
}

#[tokio::test]
async fn a_provider_on_this_machine_is_never_asked_through_a_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("the test's authority");
    let (_tls, port) = authority.provider("localhost", Life::Now).await;
    let plain = Stub::start().await;
    let proxy = ConnectProxy::start(ProxyAnswer::Forbids).await;
    for base in [plain.base.clone(), format!("https://localhost:{port}")] {
        let provider = with(&base, through(proxy.port, authority.file(&folder)));
        assert_eq!(outcome(&provider).await.1, "reached", "{base}");
    }
    assert!(proxy.heads().is_empty());
}

/// What one process with this environment sees; the variables are read once per process, so each needs its own.
async fn in_environment(case: &str, variables: &[(&str, String)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "one_environment", "--ignored", "--nocapture"])
        .env_remove("HTTPS_PROXY")
        .env_remove("https_proxy")
        .env_remove("ALL_PROXY")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env_remove("SSL_CERT_FILE")
        .env_remove("SSL_CERT_DIR")
        .env("AGENTAUTHD_TEST_CASE", case)
        .envs(variables.iter().map(|(name, value)| (name, value)));
    // The servers of this test go on meanwhile.
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{case}: {output:?}");
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

/// Asks the provider at `AGENTAUTHD_TEST_BASE` and prints what came of it, with everything that libraries log.
#[tokio::test]
#[ignore = "run by `the_environment_counts`, in a process of its own"]
async fn one_environment() {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let Some(case) = Some(variable("AGENTAUTHD_TEST_CASE")).filter(|case| !case.is_empty()) else { return };
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(std::io::stderr).init();
    let network = NetworkSettings {
        proxy: if case == "direct" { Proxy::Direct } else { Proxy::Environment },
        ca_file: Some(variable("AGENTAUTHD_TEST_CA")).filter(|path| !path.is_empty()).map(PathBuf::from),
    };
    let provider = with(&variable("AGENTAUTHD_TEST_BASE"), network);
    println!("outcome: {} {provider:?}", outcome(&provider).await.1);
}

#[tokio::test]
async fn the_environment_counts() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("the test's authority");
    let ours = authority.file(&folder).to_str().unwrap().to_owned();
    let (stub, port) = authority.provider("provider.test", Life::Now).await;
    let proxy = ConnectProxy::start(ProxyAnswer::Through(port)).await;
    let base = ("AGENTAUTHD_TEST_BASE", stub.base.clone());
    let ca = ("AGENTAUTHD_TEST_CA", ours.clone());
    let address = format!("http://ada:hunter2@127.0.0.1:{}", proxy.port);

    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let before = proxy.heads().len();
        let said = in_environment("proxy", &[base.clone(), ca.clone(), (name, address.clone())]).await;
        assert!(said.contains("outcome: reached"), "{name}: {said}");
        let head = proxy.heads().remove(before).to_ascii_lowercase();
        assert!(head.contains("proxy-authorization: basic ywrhomh1bnrlcji="), "{head}");
        for secret in ["hunter2", "YWRhOmh1bnRlcjI="] {
            assert!(!said.contains(secret), "{name}: the password is shown: {said}");
        }
    }
    // A host that is none of the loopback addresses to us, so that it is asked through a proxy; and the system, asked
    // for it, stays on this machine.
    let (by_number, _) = authority.provider("0.0.0.0", Life::Now).await;
    let near =
        [("AGENTAUTHD_TEST_BASE", by_number.base.clone()), ca.clone(), ("HTTPS_PROXY", address.clone())];
    let before = proxy.heads().len();
    let said = in_environment("proxy", &near).await;
    assert!(proxy.heads()[before].starts_with("CONNECT 0.0.0.0:"), "{said}");
    let before = proxy.heads().len();
    let mut excepted = near.to_vec();
    excepted.push(("NO_PROXY", "0.0.0.0".to_owned()));
    let said = in_environment("no", &excepted).await;
    assert!(said.contains("outcome: reached"), "{said}");
    let said = in_environment("direct", &near).await;
    assert!(said.contains("outcome: reached"), "{said}");
    // HTTP_PROXY is for plain http, which never leaves this machine.
    let plain = Stub::start().await;
    let plain = ("AGENTAUTHD_TEST_BASE", plain.base);
    for name in ["HTTP_PROXY", "ALL_PROXY"] {
        let said = in_environment("plain", &[plain.clone(), (name, address.clone())]).await;
        assert!(said.contains("outcome: reached"), "{said}");
    }
    assert_eq!(proxy.heads().len(), before, "{:?}", proxy.heads());

    // SSL_CERT_FILE and SSL_CERT_DIR take the place of the system's authorities.
    let proxied = [base.clone(), ("HTTPS_PROXY", address)];
    let set = |name: &'static str, value: &str| {
        let mut all = proxied.to_vec();
        all.push((name, value.to_owned()));
        all
    };
    let said = in_environment("file", &set("SSL_CERT_FILE", &ours)).await;
    assert!(said.contains("outcome: reached"), "{said}");
    let said = in_environment("dir", &set("SSL_CERT_DIR", folder.path().to_str().unwrap())).await;
    assert!(said.contains("outcome: reached"), "{said}");
    // A machine without any: said when the provider is asked, with the package's name.
    let empty = tempfile::tempdir().unwrap();
    let said = in_environment("none", &set("SSL_CERT_DIR", empty.path().to_str().unwrap())).await;
    assert!(said.contains("no certificate authorities to trust"), "{said}");
    assert!(said.contains("`ca-certificates`") && said.contains("`network.ca_file`"), "{said}");
    // With our own file it is enough.
    let mut both = set("SSL_CERT_DIR", empty.path().to_str().unwrap());
    both.push(ca);
    assert!(in_environment("own", &both).await.contains("outcome: reached"));
}
