//! No secret leaves the daemon: after a run at trace level, with refreshes, faults and logouts, everything that the
//! provider issued or was sent is looked for in everything that others can see. And the process itself is shut.

use std::path::{Path, PathBuf};
use std::process::Command;

use agentauth_api::{LoginStarted, LoginWay, SessionPhase};
use descope_emulator::{Fault, FaultAction, Secret, SecretKind};
use e2e::cli::Running;
use e2e::provider::TOKEN_ENDPOINT;
use e2e::raw::Raw;
use e2e::receiver::{Datagrams, Mood, Receiver};
use e2e::terminal::Terminal;
use e2e::{ALICE, AgentSpec, BOB, LoginRun, Provider, Store, World, WorldOptions, binaries, process, wait};
use rustix::process::geteuid;
use serde_json::{Value, json};

const PAY: &str = "payments.execute:currency=EUR";

/// Nobody: as root the daemon is not shielded from its own user, so these tests never run it as root.
const PLAIN_UID: u32 = 65534;

/// The user that daemon and agents run as.
fn plain_uid() -> Option<u32> {
    geteuid().is_root().then_some(PLAIN_UID)
}

/// A command that runs as that user.
fn as_plain(program: &Path) -> Command {
    match plain_uid() {
        None => binaries::command(program),
        Some(uid) => {
            let mut command = binaries::command("setpriv");
            command
                .args([&format!("--reuid={uid}"), &format!("--regid={uid}"), "--clear-groups"])
                .arg(program);
            command
        }
    }
}

/// A world of a plain user, and its agent where that user can run it.
fn plain_world() -> (World, PathBuf, tempfile::TempDir) {
    plain_world_with(String::new())
}

/// The same with more in its configuration.
fn plain_world_with(more_configuration: String) -> (World, PathBuf, tempfile::TempDir) {
    let programs = tempfile::tempdir().unwrap();
    std::fs::set_permissions(programs.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let agent = programs.path().join("probe-agent");
    std::fs::copy(binaries::program("probe-agent"), &agent).unwrap();
    let options = WorldOptions {
        store: Store::File,
        uid: plain_uid(),
        agents: vec![AgentSpec { executable: agent.clone(), ..AgentSpec::probe() }],
        more_configuration,
        ..WorldOptions::default()
    };
    (World::with(&Provider::start(), options), agent, programs)
}

/// Somewhere a secret could be seen.
struct Place {
    name: String,
    content: Vec<u8>,
    /// The login URL is in it, which carries `state` and `nonce` by design.
    has_login_url: bool,
}

#[derive(Default)]
struct Places(Vec<Place>);

impl Places {
    fn add(&mut self, name: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.0.push(Place { name: name.into(), content: content.into(), has_login_url: false });
    }

    fn add_with_login_url(&mut self, name: &str, content: impl Into<Vec<u8>>) {
        self.0.push(Place { name: name.to_owned(), content: content.into(), has_login_url: true });
    }

    fn add_process(&mut self, what: &str, pid: u32) {
        for file in ["cmdline", "environ"] {
            let content = process::proc_file(pid, file);
            assert!(
                !content.is_empty() || !geteuid().is_root(),
                "/proc/{pid}/{file} of {what} is readable for root"
            );
            self.add(format!("/proc/{what}/{file}"), content);
        }
    }

    fn add_files(&mut self, below: &Path) {
        for file in process::files_below(below) {
            self.add(file.display().to_string(), std::fs::read(&file).unwrap());
        }
    }

    fn find(&self, secrets: &[Secret]) -> Vec<String> {
        let mut found = Vec::new();
        for secret in secrets {
            for part in parts(&secret.value) {
                for place in &self.0 {
                    let by_design =
                        place.has_login_url && matches!(secret.kind, SecretKind::State | SecretKind::Nonce);
                    if !by_design && contains(&place.content, part.as_bytes()) {
                        found.push(format!("{:?} in {}", secret.kind, place.name));
                    }
                }
            }
        }
        found.dedup();
        found
    }
}

/// A secret, and the parts of a token that are secret by themselves.
fn parts(secret: &str) -> Vec<&str> {
    let mut parts = vec![secret];
    if secret.matches('.').count() == 2 {
        parts.extend(secret.split('.').skip(1).filter(|part| part.len() >= 16));
    }
    parts
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    // A fast search: most positions differ in the first byte.
    let Some(&first) = needle.first() else { return false };
    let mut from = 0;
    while let Some(at) = haystack[from..].iter().position(|&byte| byte == first) {
        if haystack[from + at..].starts_with(needle) {
            return true;
        }
        from += at + 1;
    }
    false
}

fn on_refresh(action: FaultAction) -> Fault {
    Fault::on(TOKEN_ENDPOINT, action).grant("refresh_token")
}

#[test]
fn no_secret_is_to_be_seen_anywhere() {
    let (mut world, agent, _programs) = plain_world();
    let mut places = Places::default();
    let ask = |world: &World, places: &mut Places, scope: &str| -> Value {
        let mut command = as_plain(&agent);
        command.arg("--socket").arg(world.socket()).arg(scope);
        let outcome = e2e::cli::run(command);
        places.add("an answer to a check", outcome.all());
        outcome.json_lines().remove(0)
    };

    // A login that fails, by a wrong password and then by a lost answer; then one that works.
    let login = world.begin_login();
    world.provider.sign_in(&login.url, ALICE.email, "not-her-password");
    world
        .provider
        .inject(Fault::on(TOKEN_ENDPOINT, FaultAction::AnswerLost).grant("authorization_code").once());
    finish(&world, login, &mut places, 1);
    let login = world.begin_login();
    places.add_process("daemon", world.daemon().pid());
    finish(&world, login, &mut places, 0);
    assert_eq!(ask(&world, &mut places, PAY)["decision"], "allow");

    // Refreshes, in good order and through every fault.
    world.provider.patch(json!({"lifetimes": {"session": 4}}));
    world.restart_daemon();
    world.wait_for_phase(SessionPhase::Active);
    for fault in [
        FaultAction::unavailable(500),
        FaultAction::html(502),
        FaultAction::too_many_requests(1),
        FaultAction::Reset,
    ] {
        let id = world.provider.inject(on_refresh(fault).once());
        wait::until_true("the fault to have hit", || {
            world.provider.control().faults().iter().any(|fault| fault.id == id && fault.hits > 0)
        });
        places.add("an answer during a fault", status(&world));
        ask(&world, &mut places, PAY);
        // Two lost answers in a row would end the login: let one refresh through.
        let refreshes = |world: &World| world.provider.families().last().unwrap().refreshes;
        let before = refreshes(&world);
        wait::until_true("the next refresh to work", || refreshes(&world) > before);
    }
    world.provider.inject(on_refresh(FaultAction::AnswerTruncated).once());
    wait::until_true("the session to be over", || world.status().session.phase == SessionPhase::Over);
    ask(&world, &mut places, PAY);
    let login = world.begin_login();
    finish(&world, login, &mut places, 0);

    // What the socket says, at every door.
    for path in ["/v1/hello", "/v1/status", "/healthz", "/readyz", "/v1/login/none", "/v1/nothing"] {
        let mut command = as_plain(&agent);
        command.arg("--socket").arg(world.socket()).args(["--request", "GET", path]);
        places.add(path, e2e::cli::run(command).all());
    }
    let mut command = as_plain(&agent);
    command.arg("--socket").arg(world.socket()).args(["--request", "GET", "/v1/status"]);
    places.add("an agent's status", e2e::cli::run(command).all());
    for words in
        [vec!["status"], vec!["status", "--json"], vec!["whoami"], vec!["config", "show"], vec!["check", PAY]]
    {
        places.add(format!("{words:?}"), world.cli(&words).all());
    }
    places.add_files(&world.state_dir());
    places.add("logout", world.cli(&["logout"]).all());
    places.add_process("daemon", world.daemon().pid());
    world.stop_daemon();
    places.add_files(&world.state_dir());
    places.add_files(&world.config_dir());
    places.add_files(&world.home().join("run"));
    places.add("the daemon's standard output and log", world.daemon_output());

    let secrets = world.provider.issued();
    for kind in [
        SecretKind::SessionJwt,
        SecretKind::RefreshJwt,
        SecretKind::IdToken,
        SecretKind::Code,
        SecretKind::Verifier,
        SecretKind::State,
        SecretKind::Nonce,
    ] {
        assert!(secrets.iter().any(|secret| secret.kind == kind), "the run must have made a {kind:?}");
    }
    assert!(world.daemon_output().contains("TRACE"), "the log is at trace level");
    let found = places.find(&secrets);
    assert!(found.is_empty(), "{} places show secrets: {found:#?}", found.len());
    // The search itself finds what is there.
    let mut planted = Places::default();
    planted.add(
        "a log",
        format!("token={}", secrets.iter().find(|s| s.kind == SecretKind::RefreshJwt).unwrap().value),
    );
    assert!(!planted.find(&secrets).is_empty());
}

#[test]
fn no_secret_is_to_be_seen_at_the_other_doors() {
    let (mut world, _, _programs) = plain_world();
    let mut places = Places::default();
    world.login(ALICE);

    // What looks at everything.
    for words in [vec!["doctor"], vec!["doctor", "--json"], vec!["status", "--all", "--json"]] {
        places.add(format!("{words:?}"), world.cli(&words).all());
    }

    // A pause, which only the owner's fresh login ends.
    for words in [vec!["lock", "--json"], vec!["status"], vec!["unlock"]] {
        places.add(format!("{words:?}"), world.cli(&words).all());
    }
    let unlock = LoginRun::begin(world.command(&["unlock", "--reauth", "--no-browser"]));
    finish(&world, unlock, &mut places, 0);
    world.wait_for_phase(SessionPhase::Active);

    // Another account, held until the owner says no: the wrong person confirms.
    let mut switch = Running::start(world.command(&["login", "--switch", "--no-browser"]));
    for number in 0..2 {
        let address = wait::until("an address to sign in at", || {
            let shown = switch.so_far().all();
            let whole = shown.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(str::trim);
            whole.filter(|line| line.contains("code_challenge=")).nth(number).map(str::to_owned)
        });
        places.add("the result page", world.provider.sign_in(&address, BOB.email, BOB.password).html);
    }
    let outcome = switch.finish();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    places.add_with_login_url("the handover", outcome.all());

    // A login on another device.
    let mut device = Running::start(world.command(&["login", "--device", "--json"]));
    let code = wait::until("a code", || {
        let shown: Value = serde_json::from_str(device.so_far().stdout.lines().next()?).ok()?;
        Some(shown["user_code"].as_str().unwrap().to_owned())
    });
    world.provider.control().approve_device(&code, ALICE.email).unwrap();
    let outcome = device.finish();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    places.add("the login on another device", outcome.all());

    places.add("status", status(&world));
    places.add_process("daemon", world.daemon().pid());
    world.stop_daemon();
    places.add_files(&world.state_dir());
    places.add_files(&world.config_dir());
    places.add_files(&world.home().join("run"));
    places.add("the daemon's standard output and log", world.daemon_output());
    let mut secrets = world.provider.issued();
    assert!(secrets.iter().any(|secret| secret.kind == SecretKind::DeviceCode), "a device code was issued");
    // A confirmation's nonce is the digest of what was confirmed: the record keeps it, for whoever checks the proof.
    let confirmed: Vec<Value> =
        world.audit().into_iter().map(|record| record["details"]["request_digest"].clone()).collect();
    secrets.retain(|secret| secret.kind != SecretKind::Nonce || !confirmed.contains(&json!(secret.value)));
    let found = places.find(&secrets);
    assert!(found.is_empty(), "{} places show secrets: {found:#?}", found.len());
}

#[test]
fn no_secret_is_to_be_seen_by_those_who_watch() {
    // Everything that leaves the daemon for somewhere else ends here.
    let (records, logs, spans) =
        (Receiver::start(Mood::Takes), Receiver::start(Mood::Takes), Receiver::start(Mood::Takes));
    let (syslog, journal) = (Datagrams::start(), Datagrams::start());
    let (token_file, _token) = sink_token();
    let (mut world, agent, programs) = plain_world_with(format!(
        "{}\n[sinks.otlp]\nurl = \"{}\"\ngzip = false\n{token_file}\n[traces]\nurl = \"{}\"\n{token_file}\n\
         [sinks.syslog]\naddress = \"unix:{}\"\n\n[sinks.journald]\nsend = \"all\"\nsocket = \"{}\"\n",
        records.section(&token_file),
        logs.url(),
        spans.url(),
        syslog.path().display(),
        journal.path().display(),
    ));
    let mut places = Places::default();
    // What is logged is changed while the daemon runs, from little to everything.
    assert_eq!(world.cli(&["log", "info"]).code, Some(0));
    let watcher = programs.path().join("watcher");
    std::fs::copy(binaries::program("probe-agent"), &watcher).unwrap();
    let asks = |world: &World, program: &Path, arguments: &[&str]| {
        let mut command = as_plain(program);
        command.arg("--socket").arg(world.socket()).args(arguments);
        e2e::cli::run(command)
    };
    let mut json = Running::start(world.command(&["status", "--watch", "--json"]));
    let mut text = Running::start(world.command(&["status", "--watch"]));
    let mut events = {
        let mut command = as_plain(&watcher);
        command.arg("--socket").arg(world.socket()).arg("--follow");
        Running::start(command)
    };
    let mut top = Terminal::start(&world.command(&["top"]), "COMMAND");
    world.login(ALICE);
    places.add("the change of the log", world.cli(&["log", "trace", "--json"]).all());

    // A session that is renewed, and a provider that fails, while everybody looks.
    world.provider.patch(json!({"lifetimes": {"session": 4}}));
    // The login that confirms is one of its own, so those of all count.
    let refreshes =
        |world: &World| world.provider.families().iter().map(|family| family.refreshes).sum::<u64>();
    let before = refreshes(&world);
    world.provider.inject(on_refresh(FaultAction::html(502)).once());
    asks(&world, &agent, &[PAY]);
    // The login's session lasts for long, so that the new one is asked for by hand.
    assert_eq!(world.cli(&["lock"]).code, Some(0));
    finish(&world, LoginRun::begin(world.command(&["unlock", "--reauth", "--no-browser"])), &mut places, 0);
    wait::until_true("a refresh", || refreshes(&world) > before);
    asks(&world, &agent, &[PAY, "admin.manage"]);
    let page = asks(&world, &watcher, &["--request", "GET", "/metrics"]);
    assert!(page.stdout.contains("agentauthd_decisions_total"), "{page:?}");
    places.add("the metrics", page.all());
    places.add("the metrics, for an agent", asks(&world, &agent, &["--request", "GET", "/metrics"]).all());
    top.until("decision", |screen| screen.iter().any(|line| line.contains(PAY)));
    wait::until_true("the watching", || json.so_far().stdout.lines().count() > 2);
    places.add("logout", world.cli(&["logout"]).all());
    top.until("logout", |screen| screen.iter().any(|line| line.contains("nobody is logged in")));
    places.add("the dashboard", top.shown());
    top.press("q");
    places.add("the dashboard, to its end", top.finish().all());
    world.stop_daemon();
    for (name, running) in
        [("status --watch --json", &mut json), ("status --watch", &mut text), ("events", &mut events)]
    {
        let shown = running.so_far().all();
        assert!(!shown.is_empty(), "{name}");
        places.add(name, shown);
    }
    for (name, receiver) in [("the HTTP sink", &records), ("the OTLP sink", &logs), ("the traces", &spans)] {
        let lines = receiver.lines();
        assert!(!lines.is_empty(), "{name} was sent something");
        let sender = format!("Bearer {SINK_TOKEN}");
        assert!(receiver.batches().iter().all(|batch| batch.authorization == sender), "{name} got its token");
        places.add(name, lines.join("\n"));
    }
    for (name, receiver) in [("the syslog sink", &syslog), ("the journald sink", &journal)] {
        assert!(contains(&receiver.bytes(), PAY.as_bytes()), "{name} was sent the decisions");
        places.add(name, receiver.bytes());
    }
    for format in ["jsonl", "ocsf", "cef", "csv"] {
        let exported = world.cli(&["audit", "export", "--format", format]);
        assert!(exported.code == Some(0) && exported.stdout.lines().count() > 5, "{exported:?}");
        places.add(format!("the export as {format}"), exported.all());
    }
    for words in [vec!["audit", "tail"], vec!["audit", "stats"], vec!["audit", "verify"]] {
        places.add(format!("{words:?}"), world.cli(&words).all());
    }
    places.add_files(&world.state_dir());
    places.add("the log", world.daemon_output());
    assert!(world.daemon_output().contains("TRACE"), "the log came to trace level");
    let mut secrets = world.provider.issued();
    assert!(secrets.iter().any(|secret| secret.kind == SecretKind::RefreshJwt));
    let confirmed: Vec<Value> =
        world.audit().into_iter().map(|record| record["details"]["request_digest"].clone()).collect();
    secrets.retain(|secret| secret.kind != SecretKind::Nonce || !confirmed.contains(&json!(secret.value)));
    let found = places.find(&secrets);
    assert!(found.is_empty(), "{} places show secrets: {found:#?}", found.len());
    let shown = places.0.iter().filter(|place| contains(&place.content, SINK_TOKEN.as_bytes()));
    assert_eq!(shown.map(|place| &place.name).collect::<Vec<_>>(), Vec::<&String>::new(), "the sinks' token");
}

/// What the receivers of copies ask for; nothing that the log's filter would know by its looks.
const SINK_TOKEN: &str = "swordfish";

/// A line of the configuration that names a file with that token, and where the file lives.
fn sink_token() -> (String, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, SINK_TOKEN).unwrap();
    for (path, mode) in [(directory.path(), 0o755), (&file, 0o600)] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    std::os::unix::fs::chown(&file, plain_uid(), plain_uid()).unwrap();
    (format!("token_file = \"{}\"\n", file.display()), directory)
}

fn status(world: &World) -> Vec<u8> {
    Raw::connect(&world.socket()).unwrap().ask("GET", "/v1/status", None, None).unwrap().body
}

/// Signs in and collects what the command showed.
#[track_caller]
fn finish(world: &World, login: LoginRun, places: &mut Places, code: i32) {
    places.add("the command's cmdline and environ", login.seen_by_others.clone());
    let page = world.provider.sign_in(&login.url, ALICE.email, ALICE.password);
    places.add("the result page", page.html);
    let outcome = login.finish();
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    places.add_with_login_url("the login command", outcome.all());
}

#[test]
fn the_answer_that_starts_a_login_has_no_verifier() {
    let world = World::start();
    let mut raw = Raw::connect(&world.socket()).unwrap();
    let nonce = raw.greet().unwrap();
    let answer = raw.ask("POST", "/v1/login", Some(&nonce), Some(&json!({}))).unwrap();
    let started: LoginStarted = serde_json::from_slice(&answer.body).unwrap();
    let LoginWay::Browser { url, .. } = started.way else { panic!("{started:?}") };
    world.provider.sign_in(&url, ALICE.email, ALICE.password);
    let progress =
        raw.ask("GET", &format!("/v1/login/{}?wait_ms=20000", started.id), Some(&nonce), None).unwrap();
    assert_eq!(progress.json()["state"], "done", "{:?}", progress.json());
    let mut places = Places::default();
    places.add_with_login_url("the start", answer.body);
    places.add("the progress", progress.body);
    assert_eq!(places.find(&world.provider.issued()), Vec::<String>::new());
}

#[test]
fn the_process_is_shut() {
    let (mut world, _, _programs) = plain_world();
    let pid = world.daemon().pid();
    let limits = String::from_utf8(process::proc_file(pid, "limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"], "{core}");

    // The same user can open the memory of its other processes, but not of this one.
    let mut other = as_plain(Path::new("/bin/sleep"));
    other.arg("600");
    let other = world.spawn(other);
    let opens = |pid: u32, file: &str| {
        let mut command = as_plain(Path::new("/bin/sh"));
        command.args(["-c", &format!("exec 3</proc/{pid}/{file}")]);
        e2e::cli::run(command)
    };
    for file in ["mem", "environ", "maps"] {
        let control = wait::until("the other process to run as that user", || {
            Some(opens(other.pid(), file)).filter(|outcome| outcome.code == Some(0))
        });
        assert_eq!(control.code, Some(0));
        let outcome = opens(pid, file);
        assert_ne!(outcome.code, Some(0), "/proc/{pid}/{file} can be opened");
        assert!(outcome.stderr.contains("Permission denied"), "{outcome:?}");
    }
}

#[test]
fn files_are_for_the_owner_alone() {
    let world = World::durable();
    world.login(ALICE);
    use std::os::unix::fs::MetadataExt;
    for file in process::files_below(&world.state_dir()) {
        let mode = std::fs::metadata(&file).unwrap().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", file.display());
    }
    for directory in [world.state_dir(), world.socket().parent().unwrap().to_owned()] {
        let mode = std::fs::metadata(&directory).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o700, "{}", directory.display());
    }
}
