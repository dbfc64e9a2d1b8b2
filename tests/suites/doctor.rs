//! `agentauthd doctor`: each misconfiguration staged, and named as what it is.
//!
//! Each stage is a world with one thing wrong. What must be reported, as warning or error, is exactly what the table
//! says, and nothing that the provider issued or was sent may stand in a report.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use agentauth_api::SessionPhase;
use descope_emulator::{Fault, FaultAction};
use e2e::doctor::{PLANTED, doctor, expect, free_port, run_doctor};
use e2e::keyring::Keyring;
use e2e::{ALICE, AgentSpec, BOB, CAROL, Person, Provider, Store, World, WorldOptions, binaries, wait};
use serde_json::{Value, json};

/// A project that the provider does not know.
const ANOTHER_PROJECT: &str = "P000000000000000000000000000";
const KEY: &str = "DESCOPE_MANAGEMENT_KEY";

/// A world in which all is well, with somebody logged in, and its one login port.
fn healthy() -> (World, u16) {
    healthy_with(ALICE, WorldOptions::default())
}

fn healthy_with(person: Person, options: WorldOptions) -> (World, u16) {
    let (world, port) = unused(&Provider::start(), options);
    world.login(person);
    (world, port)
}

/// A world in which nobody has logged in.
fn unused(provider: &Arc<Provider>, mut options: WorldOptions) -> (World, u16) {
    let port = free_port();
    approve(provider, &[&format!("http://127.0.0.1:{port}/callback")]);
    let variable = |name: &str, value: String| (name.to_owned(), value);
    options.environment.push(variable("AGENTAUTHD_LOGIN_PORTS", port.to_string()));
    options.environment.push(variable("AGENTAUTHD_LOGIN_EPHEMERAL_PORT", "false".to_owned()));
    (World::with(provider, options), port)
}

fn approve(provider: &Provider, redirects: &[&str]) {
    provider.patch(json!({"redirects": {"approved": redirects}}));
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_healthy_world_has_nothing_to_warn_of() {
    let (world, _) = healthy();
    let report = doctor(&world, &[]);
    expect("nothing", &report, &[]);
    let notes = report.codes(&["note"]);
    let known = [
        "agent_lint",
        "configuration_overridden",
        "rotation_unknown",
        "secrets_forgotten",
        "trial_not_permitted",
    ];
    assert!(notes.iter().all(|note| known.contains(&note.as_str())), "{notes:?}");
    let fine = report.codes(&["ok"]);
    for code in [
        "configuration_read",
        "provider_described",
        "keys_usable",
        "clock_agrees",
        "redirect_accepted",
        "ports_free",
        "files_private",
        "daemon_runs",
        "logged_in",
        "token_lifetimes",
        "agents_registered",
    ] {
        assert!(fine.contains(code), "{code}: {fine:?}");
    }
    // Nobody was logged in by it, and nobody logged out.
    assert_eq!(world.provider.families().len(), 1);

    // For a person the same in words.
    let outcome = world.cli(&["doctor"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("0 errors, 0 warnings"), "{outcome:?}");
    assert!(!outcome.stdout.contains('\u{1b}'), "no colour without a terminal: {outcome:?}");

    let report = doctor(&world, &["--offline"]);
    expect("offline", &report, &[]);
    assert!(report.codes(&["note"]).contains("provider_skipped"));
}

#[test]
fn faults_of_the_configuration_are_named() {
    let (world, _) = healthy();
    let file = world.config_dir().join("config.toml");
    let text = fs::read_to_string(&file).unwrap();

    fs::write(&file, format!("{text}\nfliter = \"x\"\n")).unwrap();
    expect("a misspelt option", &doctor(&world, &[]), &["configuration_fault"]);
    fs::write(&file, format!("{text}\nnot toml")).unwrap();
    expect("a file that is not TOML", &doctor(&world, &[]), &["configuration_fault"]);
    fs::write(&file, &text).unwrap();
    chmod(&file, 0o666);
    expect("a file that others can write", &doctor(&world, &[]), &["configuration_fault"]);
    chmod(&file, 0o600);
    let http = doctor(&world, &["--set", "provider.base_url=http://auth.example.com"]);
    expect("http beyond this machine", &http, &["configuration_fault"]);
    let scopes = doctor(&world, &["--set", "provider.scopes=openid profile"]);
    expect("no offline_access", &scopes, &["offline_access_missing"]);
    let region = doctor(
        &world,
        &[
            "--offline",
            "--set",
            "provider.base_url=https://api.descope.com",
            "--set",
            "provider.project_id=Peuc1000000000000000000000000000",
        ],
    );
    expect("a project of another region", &region, &["region_mismatch", "daemon_other_configuration"]);
    let overridden = doctor(&world, &["--set", "log.filter=info"]);
    let told = overridden.json["findings"].as_array().unwrap().iter();
    let mut told = told.filter(|finding| finding["id"] == "configuration_overridden");
    assert!(told.any(|finding| finding["what"].as_str().unwrap().contains("log.filter")));
    chmod(&file, 0o600);
    expect("mended", &doctor(&world, &[]), &[]);

    // Without a file there is no project.
    fs::remove_file(&file).unwrap();
    let report = doctor(&world, &["--set", "secrets.store=memory"]);
    expect("no configuration", &report, &["project_missing", "daemon_other_configuration"]);
}

#[test]
fn secrets_that_lie_about_are_named_and_not_repeated() {
    let (world, _) = healthy();
    let mut command = world.command(&["doctor", "--json"]);
    command.env(KEY, PLANTED);
    expect("a management key in the shell", &run_doctor(&world, command), &["credential_in_environment"]);

    // The world's directory is the command's working directory.
    for place in [world.config_dir().join(".env"), world.home().join(".env")] {
        fs::write(&place, format!("# local\n{KEY}=\"{PLANTED}\"\n")).unwrap();
        let report = doctor(&world, &[]);
        expect("a management key in a file", &report, &["secret_in_file"]);
        assert!(report.finding("secret_in_file")["what"].as_str().unwrap().contains(".env:2"));
        fs::remove_file(&place).unwrap();
    }
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJVMSJ9.c2lnbmF0dXJlLW9mLW5vYm9keQ";
    fs::write(world.state_dir().join("tokens.json"), json!({"session": token}).to_string()).unwrap();
    expect("a token in a file", &doctor(&world, &[]), &["secret_in_file"]);

    let options =
        WorldOptions { environment: vec![(KEY.to_owned(), PLANTED.to_owned())], ..WorldOptions::default() };
    let (world, _) = healthy_with(ALICE, options);
    let mut command = world.command(&["doctor", "--json"]);
    command.env_remove(KEY);
    expect("a management key in the daemon", &run_doctor(&world, command), &["credential_in_daemon"]);
    assert!(!world.daemon_output().contains(PLANTED));

    let (world, _) = healthy_with(ALICE, WorldOptions { store: Store::File, ..WorldOptions::default() });
    expect("a passphrase of one's own", &doctor(&world, &[]), &[]);
    chmod(&world.config_dir().join("passphrase"), 0o644);
    expect("a passphrase for everybody", &doctor(&world, &[]), &["passphrase_exposed"]);
}

#[test]
fn what_the_provider_rejects_is_named() {
    let (world, port) = healthy();
    let provider = world.provider.clone();
    let own = format!("http://127.0.0.1:{port}/callback");
    // A refusal may be a page or JSON.
    for form in ["page", "json"] {
        provider.patch(json!({"oauth": {"refusals": form}}));
        approve(&provider, &["http://127.0.0.1:3000/auth/callback"]);
        let report = doctor(&world, &[]);
        expect(&format!("another redirect URL ({form})"), &report, &["redirect_rejected"]);
        assert!(report.finding("redirect_rejected")["todo"].as_str().unwrap().contains(&own));
        approve(&provider, &[&format!("http://localhost:{port}/callback")]);
        expect(&format!("localhost ({form})"), &doctor(&world, &[]), &["redirect_localhost"]);
        approve(&provider, &[&own]);
        let report = doctor(&world, &["--set", "provider.client_id=nobody"]);
        expect(&format!("an unknown client ({form})"), &report, &["client_rejected"]);
        // Client and redirect URL at once: the client comes first.
        approve(&provider, &["http://127.0.0.1:3000/auth/callback"]);
        let report = doctor(&world, &["--set", "provider.client_id=nobody"]);
        expect(&format!("both ({form})"), &report, &["client_rejected"]);
        approve(&provider, &[&own]);
    }
    provider.patch(
        json!({"oauth": {"flows": ["sign-in"], "scopes": ["openid", "profile", "email", "offline_access"]}}),
    );
    expect("flows and scopes that fit", &doctor(&world, &["--set", "provider.flow=sign-in"]), &[]);
    let report = doctor(&world, &["--set", "provider.flow=sing-in"]);
    expect("an unknown flow", &report, &["flow_rejected"]);
    let report = doctor(&world, &["--set", "provider.scopes=openid offline_access roles"]);
    expect("a scope that may not be asked for", &report, &["scope_rejected"]);
    let report = doctor(&world, &["--set", "provider.tenant=nowhere"]);
    expect("an unknown tenant", &report, &["tenant_rejected", "tenant_foreign"]);
    approve(&provider, &[]);
    expect("no redirect URL is validated", &doctor(&world, &[]), &["redirects_unvalidated"]);
}

#[test]
fn a_provider_that_is_not_there_or_another_one_is_named() {
    let (world, _) = healthy();
    let provider = world.provider.clone();
    let elsewhere = "daemon_other_configuration";
    let project = format!("provider.project_id={ANOTHER_PROJECT}");
    expect("another project", &doctor(&world, &["--set", &project]), &["project_unknown", elsewhere]);
    let at = |scheme: &str, host: &str| {
        let url = provider.base_url().replace("http://127.0.0.1", &format!("{scheme}://{host}"));
        format!("provider.base_url={url}")
    };
    let report = doctor(&world, &["--set", &at("http", "localhost")]);
    expect("another name than the issuer's", &report, &["issuer_mismatch", elsewhere]);
    let report = doctor(&world, &["--set", &at("https", "127.0.0.1")]);
    expect("no TLS at the other end", &report, &["provider_tls", elsewhere]);

    let everything = |action| {
        provider.inject(Fault::on("/*", action));
        let report = doctor(&world, &[]);
        provider.calm();
        report
    };
    expect("HTML and 503", &everything(FaultAction::html(503)), &["provider_out_of_order"]);
    expect("a rate limit", &everything(FaultAction::too_many_requests(7)), &["provider_out_of_order"]);
    expect("a broken connection", &everything(FaultAction::Reset), &["provider_out_of_order"]);
    let slow = everything(FaultAction::DelayBefore { ms: 10_000 });
    expect("10 s without an answer", &slow, &["provider_slow"]);
    let only = |path: &str, action| {
        provider.inject(Fault::on(path, action));
        let report = doctor(&world, &[]);
        provider.calm();
        report
    };
    expect("no keys", &only("/v2/keys/*", FaultAction::html(502)), &["keys_unusable"]);
    let report = only("/oauth2/v1/authorize", FaultAction::html(503));
    expect("a sign-in out of order", &report, &["authorization_unjudged"]);
    let report = only("/oauth2/v1/authorize", FaultAction::DelayBefore { ms: 10_000 });
    expect("a sign-in that hangs", &report, &["authorization_unjudged"]);

    for (skew, severity) in [(5, "note"), (-30, "warning"), (3_600, "error")] {
        provider.control().set_skew(skew);
        let report = doctor(&world, &[]);
        provider.control().set_skew(0);
        let expected: &[&str] = if severity == "note" { &[] } else { &["clock_skew"] };
        expect(&format!("clocks {skew} s apart"), &report, expected);
        assert_eq!(report.finding("clock_skew")["severity"], severity);
    }
    provider.down();
    expect("no provider", &doctor(&world, &[]), &["provider_unreachable"]);
    // And without a daemon beside that.
    let mut world = world;
    world.stop_daemon();
    expect("neither provider nor daemon", &doctor(&world, &[]), &["provider_unreachable", "daemon_absent"]);
}

#[test]
fn a_port_that_somebody_holds_is_named_with_its_holder() {
    let (world, port) = healthy();
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let report = doctor(&world, &[]);
    expect("the login port is taken", &report, &["port_taken"]);
    let what = report.finding("port_taken")["what"].as_str().unwrap();
    assert!(what.contains(&format!("pid {}", std::process::id())), "{what}");
    drop(held);
    // The daemon itself listens there while somebody logs in.
    let login = world.begin_login();
    expect("a login under way", &doctor(&world, &[]), &[]);
    drop(login);
}

#[test]
fn what_others_can_reach_is_named() {
    let (world, _) = healthy();
    let socket_dir = world.socket().parent().unwrap().to_owned();
    let staged = |path: &Path, mode: u32, usual: u32| {
        chmod(path, mode);
        let report = doctor(&world, &[]);
        chmod(path, usual);
        report
    };
    let report = staged(&socket_dir, 0o755, 0o700);
    expect("the socket's directory is open", &report, &["directory_exposed", "daemon_untrusted"]);
    expect("the socket is open", &staged(&world.socket(), 0o666, 0o600), &["socket_exposed"]);
    expect("the state is open", &staged(&world.state_dir(), 0o755, 0o700), &["directory_exposed"]);
    let report = staged(&world.config_dir(), 0o777, 0o700);
    expect("the configuration's directory is open", &report, &["directory_exposed"]);
    expect("closed again", &doctor(&world, &[]), &[]);
}

#[test]
fn a_daemon_that_is_away_or_lost_is_named() {
    let (mut world, _) = healthy();
    // Somebody cleared the runtime directory.
    fs::remove_file(world.socket()).unwrap();
    let report = doctor(&world, &[]);
    expect("a daemon without its socket", &report, &["daemon_elsewhere"]);
    let what = report.finding("daemon_elsewhere")["what"].as_str().unwrap().to_owned();
    assert!(what.contains(&format!("pid {}", world.daemon().pid())), "{what}");
    world.kill_daemon();
    expect("no daemon", &doctor(&world, &[]), &["daemon_absent"]);
    world.start_daemon();
    world.kill_daemon();
    let report = doctor(&world, &[]);
    expect("a daemon that was killed", &report, &["daemon_absent"]);
    assert_eq!(report.finding("socket_stale")["severity"], "note");

    // It is stopped, though not while it holds its database: nothing hangs.
    world.start_daemon();
    let database = world.state_dir().join("state.db");
    wait::until_true("it is stopped", || {
        world.daemon().signal(rustix::process::Signal::STOP);
        let locks = rusqlite::Connection::open(&database).unwrap().execute_batch("BEGIN IMMEDIATE; ROLLBACK");
        if locks.is_err() {
            world.daemon().signal(rustix::process::Signal::CONT);
        }
        locks.is_ok()
    });
    let report = doctor(&world, &[]);
    world.daemon().signal(rustix::process::Signal::CONT);
    expect("a daemon that hangs", &report, &["daemon_silent"]);
}

#[test]
fn agents_and_policies_that_do_not_count_are_named() {
    let elsewhere = tempfile::tempdir().unwrap();
    let program = elsewhere.path().canonicalize().unwrap().join("program");
    fs::copy(binaries::program("probe-agent"), &program).unwrap();
    let other = AgentSpec { name: "other".to_owned(), executable: program.clone(), ..AgentSpec::probe() };
    let options = WorldOptions { agents: vec![AgentSpec::probe(), other], ..WorldOptions::default() };
    let (world, _) = healthy_with(ALICE, options);
    fs::write(&program, "another program").unwrap();
    expect("a program that was changed", &doctor(&world, &[]), &["agent_changed"]);
    fs::remove_file(&program).unwrap();
    expect("a program that is not there", &doctor(&world, &[]), &["agent_missing"]);
    std::os::unix::fs::symlink(binaries::program("probe-agent"), &program).unwrap();
    expect("a program behind a link", &doctor(&world, &[]), &["agent_unmatchable"]);
    fs::remove_file(&program).unwrap();
    fs::copy(binaries::program("probe-agent"), &program).unwrap();
    expect("the program that was registered", &doctor(&world, &[]), &[]);

    let database = rusqlite::Connection::open(world.state_dir().join("state.db")).unwrap();
    let edit =
        "UPDATE agents SET registration = replace(registration, '1.0.0', '2.0.0') WHERE name = 'other'";
    assert_eq!(database.execute(edit, []).unwrap(), 1);
    expect("a registration that nobody made", &doctor(&world, &[]), &["agent_refused"]);
    let back =
        "UPDATE agents SET registration = replace(registration, '2.0.0', '1.0.0') WHERE name = 'other'";
    assert_eq!(database.execute(back, []).unwrap(), 1);

    let policies = world.config_dir().join("policies");
    e2e::world::private_directory(&policies);
    fs::write(policies.join("broken.cedar"), "permit (").unwrap();
    expect("a policy that is none", &doctor(&world, &[]), &["policy_fault"]);
}

#[test]
fn what_a_login_shows_of_the_providers_settings_is_judged() {
    // Rotation, seen at the first refresh.
    for (rotate, expected) in [(false, &["rotation_off"][..]), (true, &[])] {
        let provider = Provider::start();
        provider.patch(json!({"refresh": {"rotate": rotate}, "lifetimes": {"session": 20}}));
        let (world, _) = unused(&provider, WorldOptions::default());
        world.login(ALICE);
        wait::until_true("the first refresh", || {
            world.status().session.observed.is_some_and(|observed| observed.rotates.is_some())
        });
        expect(&format!("rotation {rotate}"), &doctor(&world, &[]), expected);
    }
    let provider = Provider::start();
    provider.patch(json!({"lifetimes": {"session": 7_200, "refresh": 520 * 7 * 86_400}}));
    let (world, _) = unused(&provider, WorldOptions::default());
    expect("nobody is logged in", &doctor(&world, &[]), &["not_logged_in"]);
    world.login(ALICE);
    expect("tokens that live too long", &doctor(&world, &[]), &["session_token_long", "refresh_token_long"]);

    let (world, _) = healthy_with(CAROL, WorldOptions::default());
    let report = doctor(&world, &[]);
    expect("roles in a tenant, and none selected", &report, &["tenant_not_selected"]);
    assert!(report.finding("tenant_not_selected")["what"].as_str().unwrap().contains("acme-fr"));
    let tenant = vec![("AGENTAUTHD_PROVIDER_TENANT".to_owned(), "acme-fr".to_owned())];
    let (world, _) = healthy_with(CAROL, WorldOptions { environment: tenant, ..WorldOptions::default() });
    expect("the tenant is selected", &doctor(&world, &[]), &[]);
}

#[test]
fn a_login_that_came_to_nothing_is_told_with_its_reason() {
    let provider = Provider::start();
    provider.patch(json!({"oauth": {"refresh_needs_offline_access": true}}));
    let scopes = vec![("AGENTAUTHD_PROVIDER_SCOPES".to_owned(), "openid profile email".to_owned())];
    let (world, _) = unused(&provider, WorldOptions { environment: scopes, ..WorldOptions::default() });
    let login = world.begin_login();
    provider.sign_in(&login.url, BOB.email, BOB.password);
    assert_eq!(login.finish().code, Some(1));
    let report = doctor(&world, &[]);
    expect("no refresh token", &report, &["offline_access_missing", "login_failed", "not_logged_in"]);
    let what = report.finding("login_failed")["what"].as_str().unwrap();
    assert!(what.contains("refresh token"), "{what}");
}

#[test]
fn a_keychain_that_cannot_be_used_is_named() {
    let provider = Provider::start();
    let nowhere = Some("unix:path=/nowhere/bus".to_owned());
    let options = WorldOptions { store: Store::Keychain, bus: nowhere, ..WorldOptions::default() };
    let (world, _) = unused(&provider, options);
    wait::until_true("the daemon to look for its keychain", || world.status().secret_store.detail.is_some());
    let report = doctor(&world, &[]);
    assert!(report.wrong().contains("keychain_absent"), "{:#}", report.json);
    let todo = report.finding("keychain_absent")["todo"].as_str().unwrap();
    assert!(todo.contains("secrets.store = \"file\""), "{todo}");

    let Some(keyring) = Keyring::start() else { return };
    let bus = Some(keyring.address().to_owned());
    let options = WorldOptions { store: Store::Keychain, bus, ..WorldOptions::default() };
    let (world, _) = unused(&provider, options);
    world.wait_for_phase(SessionPhase::LoggedOut);
    world.login(ALICE);
    let before = keyring.search("service", "agentauthd");
    // A keychain is a process of its own, that a busy machine may keep waiting for longer than an examination waits.
    let calm = |wanted: Option<&str>| {
        wait::until("an examination that nothing kept waiting", || {
            let report = doctor(&world, &[]);
            let late = ["secret_store_failing", "provider_slow", "authorization_unjudged", "daemon_silent"];
            let kept_waiting = late.iter().any(|code| report.wrong().contains(*code));
            (!kept_waiting || wanted.is_some_and(|code| report.wrong().contains(code))).then_some(report)
        })
    };
    expect("a keychain that works", &calm(None), &[]);
    assert_eq!(keyring.search("service", "agentauthd"), before, "nothing is left behind");
    keyring.lock();
    let report = calm(Some("keychain_locked"));
    assert!(report.wrong().contains("keychain_locked"), "{:#}", report.json);
}

#[test]
fn one_allowed_and_one_denied_are_tried_at_a_terminal() {
    if !(rustix::process::geteuid().is_root() && Path::new("/usr/bin/script").exists()) {
        eprintln!("skipped: making a real terminal needs root and script(1)");
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", "in_a_terminal_decisions_are_tried", "--ignored", "--nocapture"]);
    let outcome = e2e::cli::run(command);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}

#[test]
#[ignore = "runs as the first process of a namespace, started by the test above"]
fn in_a_terminal_decisions_are_tried() {
    let (world, _) = healthy();
    // script(1) in the place of login(1), for this namespace only: a real terminal, under a recognised name.
    let mounted = Command::new("mount").args(["--bind", "/usr/bin/script", "/usr/bin/login"]).status();
    assert!(mounted.unwrap().success());
    let report = at_a_terminal(&world, "");
    let of = |code: &str| report["findings"].as_array().unwrap().iter().find(|f| f["id"] == code).cloned();
    assert_eq!((&report["errors"], &report["warnings"]), (&json!(0), &json!(0)), "{report:#}");
    let (allowed, denied) = (of("trial_allowed").unwrap(), of("trial_role_denied").unwrap());
    assert!(allowed["what"].as_str().unwrap().contains("payments"), "{allowed}");
    assert!(denied["what"].as_str().unwrap().contains("admin.manage"), "{denied}");

    let report = at_a_terminal(&world, "--allow admin.manage --deny payments.read --as probe-agent");
    let unexpected =
        report["findings"].as_array().unwrap().iter().filter(|f| f["id"] == "trial_unexpected").count();
    assert_eq!((&report["warnings"], unexpected), (&json!(2), 2), "{report:#}");
}

/// The report of an examination that a person starts in a terminal.
fn at_a_terminal(world: &World, arguments: &str) -> Value {
    let script = world.home().join("doctor.sh");
    let (out, done) = (world.home().join("doctor.json"), world.home().join("doctor.done"));
    let _ = fs::remove_file(&done);
    let mut text = "env -i".to_owned();
    for (name, value) in world.environment() {
        text += &format!(" '{}={}'", name.display(), value.display());
    }
    let agentauthd = binaries::program("agentauthd");
    text += &format!(" {} doctor --json {arguments} >{} 2>&1\n", agentauthd.display(), out.display());
    text += &format!("touch {}\n", done.display());
    fs::write(&script, text).unwrap();
    let mut command = Command::new("/usr/bin/login");
    let shell = format!("sh {}", script.display());
    command.args(["--quiet", "--return", "--command", &shell, "/dev/null"]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let mut terminal = world.spawn(command);
    let keyboard = terminal.child().stdin.take().unwrap();
    wait::until_true("the examination in a terminal", || done.exists());
    drop(keyboard);
    let said = fs::read_to_string(&out).unwrap();
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}
