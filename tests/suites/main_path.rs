//! The main path: log in, ask, be answered, log out, restart; as different users, agents and strangers.

use std::path::Path;

use agentauth_api::{SessionPhase, Status};
use agentauth_audit::{Text, Trail};
use e2e::{ALICE, AgentSpec, BOB, Provider, Store, World, WorldOptions, binaries, wait};
use rustix::process::Signal;
use serde_json::{Value, json};

const PAY: &str = "payments.execute:currency=EUR";

#[test]
fn a_payment_processor_may_pay_and_it_is_written_down() {
    let world = World::start();
    world.login(ALICE);

    let decision = world.check(PAY);
    assert_eq!(decision["http_status"], 200, "{decision}");
    assert_eq!(decision["decision"], "allow", "{decision}");
    assert_eq!(decision["reason"], "granted", "{decision}");
    assert_eq!(decision["agents"], json!(["probe-agent"]), "{decision}");
    assert_eq!(decision["assurance"], "pinned", "{decision}");
    assert_eq!(decision["scopes"], json!([PAY]), "{decision}");
    assert!(!decision["grants"].as_array().unwrap().is_empty(), "{decision}");
    assert!(decision["remedy"].is_null(), "{decision}");

    // What the role does not cover is denied for that reason, with words for the person and for the model.
    let decision = world.check("admin.manage");
    assert_eq!(decision["http_status"], 200, "a deny is no error: {decision}");
    assert_eq!(
        (&decision["decision"], &decision["reason"]),
        (&json!("deny"), &json!("role_required")),
        "{decision}"
    );
    assert!(decision["message"].as_str().unwrap().contains("admin"), "{decision}");
    assert!(!decision["model_message"].as_str().unwrap().is_empty(), "{decision}");

    // What the manifest does not ask for is not even a question of roles.
    let decision = world.check("email.send:domain=example.com");
    assert_eq!(decision["reason"], "not_in_manifest", "{decision}");
    let decision = world.check("payments.execute:currency=USD");
    assert_eq!(decision["reason"], "not_in_manifest", "{decision}");

    // Every decision is in the record, by its id.
    let audit = world.audit().iter().map(Value::to_string).collect::<Vec<_>>();
    for decision in [world.check(PAY), world.check("admin.manage")] {
        let id = decision["id"].as_str().unwrap();
        let found = world.audit().iter().filter(|record| record.to_string().contains(id)).count();
        assert_eq!(found, 1, "records of decision {id}");
    }
    assert!(audit.iter().any(|record| record.contains("login")), "{audit:#?}");
}

#[test]
fn two_people_two_daemons_one_provider() {
    let provider = Provider::start();
    let mut agents = vec![AgentSpec::probe()];
    agents.extend(AgentSpec::payment());
    let options = WorldOptions { agents, ..WorldOptions::default() };
    let (alice, bob) = (World::with(&provider, options.clone()), World::with(&provider, options));
    alice.login(ALICE);
    bob.login(BOB);
    assert_eq!(alice.check(PAY)["decision"], "allow");
    let decision = bob.check(PAY);
    assert_eq!(
        (&decision["decision"], &decision["reason"]),
        (&json!("deny"), &json!("role_required")),
        "{decision}"
    );
    assert!(decision["message"].as_str().unwrap().contains("payment_processor"), "{decision}");
    // What the policy says to the administrator is in the record, and not in the answer.
    let mut entries = Trail::new(&bob.state_dir().join("audit")).entries().unwrap().map(Result::unwrap);
    let noted = entries.find(|entry| entry.event.id.as_ref().map(Text::as_str) == decision["id"].as_str());
    let message = noted.unwrap().event.message.unwrap();
    assert!(message.as_str().starts_with("Give the user the role `payment_processor`"), "{message:?}");
    assert!(!decision.to_string().contains("Give the user"), "{decision}");
    // What both may do, both may do.
    assert_eq!(bob.check("payments.read")["decision"], "allow");
    assert_eq!(alice.status().session.user.unwrap().email.as_deref(), Some(ALICE.email));
    assert_eq!(bob.status().session.user.unwrap().email.as_deref(), Some(BOB.email));

    // The sample agent is told, and says it by its exit code. An interpreter's arguments are its own claim, which is not
    // enough to move money.
    let Some(python) = binaries::python() else { return };
    let script = binaries::root().join("docs/examples/payment_agent.py");
    for (world, reason) in [(&alice, "policy_forbids"), (&bob, "role_required")] {
        let mut command = binaries::command(&python);
        command.arg(&script).args(["--json", "--socket"]).arg(world.socket());
        let outcome = e2e::cli::run(command);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        let decision = outcome.json();
        assert_eq!(decision["reason"], reason, "{decision}");
        assert_eq!(decision["agents"], json!(["payment-agent"]), "{decision}");
        assert_eq!(decision["assurance"], "path", "{decision}");
    }

    // A copy of the script elsewhere is another program.
    let copy = alice.home().join("payment_agent.py");
    std::fs::copy(&script, &copy).unwrap();
    let mut command = binaries::command(&python);
    command.arg(&copy).args(["--json", "--socket"]).arg(alice.socket());
    let outcome = e2e::cli::run(command);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert_eq!(outcome.json()["reason"], "agent_unknown", "{outcome:?}");
}

#[test]
fn nobody_logged_in_and_nobody_known() {
    let world = World::start();
    let decision = world.check(PAY);
    assert_eq!(
        (&decision["decision"], &decision["reason"]),
        (&json!("deny"), &json!("not_logged_in")),
        "{decision}"
    );
    assert_eq!(decision["remedy"], "login", "{decision}");

    world.login(ALICE);
    let stranger = binaries::program("attacker");
    let mut command = binaries::command(&stranger);
    command.arg("ask").arg(world.socket()).arg(PAY);
    let decision = &world.lines_of(command)[0];
    assert_eq!(
        (&decision["decision"], &decision["reason"]),
        (&json!("deny"), &json!("agent_unknown")),
        "{decision}"
    );
    assert_eq!(decision["remedy"], "register", "{decision}");
    assert_eq!(decision["agents"], json!([]), "{decision}");
}

#[test]
fn a_changed_program_is_not_the_agent_any_more() {
    let provider = Provider::start();
    let home = tempfile::tempdir().unwrap();
    let agent = home.path().join("agent");
    std::fs::copy(binaries::program("probe-agent"), &agent).unwrap();
    let spec = AgentSpec { executable: agent.clone(), ..AgentSpec::probe() };
    let world = World::with(&provider, WorldOptions { agents: vec![spec], ..WorldOptions::default() });
    world.login(ALICE);
    let ask = || {
        let mut command = binaries::command(&agent);
        command.arg("--socket").arg(world.socket()).arg("payments.read");
        world.lines_of(command).remove(0)
    };
    assert_eq!(ask()["decision"], "allow");
    // Another program at the same path: here the same one with a byte after its end.
    let mut bytes = std::fs::read(&agent).unwrap();
    bytes.push(0);
    std::fs::remove_file(&agent).unwrap();
    std::fs::write(&agent, bytes).unwrap();
    std::fs::set_permissions(&agent, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let decision = ask();
    assert_eq!(
        (&decision["decision"], &decision["reason"]),
        (&json!("deny"), &json!("agent_changed")),
        "{decision}"
    );
}

#[test]
fn an_agent_with_somebody_elses_code_loaded_is_not_pinned() {
    let world = World::start();
    world.login(ALICE);
    let mut command = world.probe_command(&[PAY]);
    command.env("LD_PRELOAD", "");
    command.env("LD_LIBRARY_PATH", world.home());
    let decision = &world.lines_of(command)[0];
    assert_ne!(decision["assurance"], "pinned", "{decision}");
}

#[test]
fn rights_are_those_that_all_agents_above_have() {
    let provider = Provider::start();
    let home = tempfile::tempdir().unwrap();
    let outer = home.path().join("outer");
    std::fs::copy(binaries::program("probe-agent"), &outer).unwrap();
    let outer = AgentSpec {
        name: "outer".to_owned(),
        executable: outer,
        scopes: vec!["payments.read".to_owned()],
        grants: vec!["payments.read".to_owned()],
        ..AgentSpec::probe()
    };
    let path = outer.executable.clone();
    let world = World::with(
        &provider,
        WorldOptions { agents: vec![AgentSpec::probe(), outer], ..WorldOptions::default() },
    );
    world.login(ALICE);
    let mut command = binaries::command(&path);
    command.arg("--run").arg(binaries::program("probe-agent")).arg("--socket").arg(world.socket());
    command.args([PAY, "payments.read"]);
    let decisions = world.lines_of(command);
    assert_eq!(decisions[0]["decision"], "deny", "{decisions:?}");
    assert_eq!(decisions[0]["agents"], json!(["probe-agent", "outer"]), "{decisions:?}");
    assert_eq!(decisions[1]["decision"], "allow", "{decisions:?}");
}

#[test]
fn logging_out_ends_everything_and_stays() {
    let mut world = World::durable();
    world.login(ALICE);
    assert_eq!(world.check(PAY)["decision"], "allow");
    assert!(world.provider.families()[0].alive);

    let outcome = world.cli(&["logout"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(world.check(PAY)["reason"], "not_logged_in");
    assert_eq!(world.status().session.phase, SessionPhase::LoggedOut);
    assert!(!world.provider.families()[0].alive, "the provider was told");

    world.restart_daemon();
    assert_eq!(world.wait_for_phase(SessionPhase::LoggedOut).session.user, None);
    assert_eq!(world.check(PAY)["reason"], "not_logged_in");

    // Logging out twice is fine, and so is logging in again.
    assert_eq!(world.cli(&["logout"]).code, Some(0));
    world.login(ALICE);
    assert_eq!(world.check(PAY)["decision"], "allow");
}

#[test]
fn a_login_after_a_logout_is_kept_alive_like_the_first() {
    let world = World::start();
    world.provider.patch(json!({"lifetimes": {"session": 4}}));
    for _ in 0..2 {
        world.login(ALICE);
        let refreshes = || world.provider.families().last().unwrap().refreshes;
        wait::until_true("two refreshes", || refreshes() >= 2);
        assert_eq!(world.check(PAY)["decision"], "allow");
        assert_eq!(world.cli(&["logout"]).code, Some(0));
    }
}

#[test]
fn logging_out_works_without_the_provider_and_says_what_it_could_not_do() {
    let mut world = World::durable();
    world.login(ALICE);
    world.provider.down();
    let outcome = world.cli(&["logout"]);
    assert_eq!(world.check(PAY)["reason"], "not_logged_in");
    assert!(outcome.all().to_lowercase().contains("provider"), "{outcome:?}");
    world.provider.up();
    world.restart_daemon();
    assert_eq!(world.wait_for_phase(SessionPhase::LoggedOut).session.user, None);
}

#[test]
fn an_agent_can_neither_log_out_nor_in_nor_try_for_others() {
    let world = World::start();
    world.login(ALICE);
    for request in [
        vec!["DELETE", "/v1/session"],
        vec!["POST", "/v1/login", "{}"],
        vec!["POST", "/v1/check", r#"{"scope":"payments.read","as":"probe-agent"}"#],
    ] {
        let answer = &world.probe(&[vec!["--request"], request.clone()].concat())[0];
        assert_eq!(answer["http_status"], 403, "{request:?}: {answer}");
        assert_eq!(answer["code"], "forbidden", "{request:?}: {answer}");
    }
    assert_eq!(world.check(PAY)["decision"], "allow");

    // Not by way of our own command line as its child, either.
    let mut command = binaries::command(binaries::program("probe-agent"));
    command.arg("--run").arg(binaries::program("agentauthd")).arg("logout");
    command.env_clear().envs(world.environment());
    let outcome = e2e::cli::run(command);
    assert_ne!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(world.check(PAY)["decision"], "allow");
}

#[test]
fn a_restart_resumes_the_session() {
    let mut world = World::durable();
    world.login(ALICE);
    let before = world.status().session;
    world.restart_daemon();
    let after = world.wait_for_phase(SessionPhase::Active).session;
    assert_eq!(after.user, before.user);
    assert_eq!(after.roles, before.roles);
    assert_eq!(after.logged_in_at, before.logged_in_at);
    assert_eq!(world.check(PAY)["decision"], "allow");
    assert_eq!(world.provider.families().len(), 1, "no second login");
}

#[test]
fn without_the_provider_a_restart_waits_and_then_goes_on_without_a_login() {
    let mut world = World::durable();
    world.login(ALICE);
    world.provider.down();
    world.restart_daemon();
    let user = wait::until("the stored login to have been read", || world.status().session.user);
    assert_eq!(user.email.as_deref(), Some(ALICE.email));
    assert_eq!(world.status().session.phase, SessionPhase::Unverified);
    let decision = world.check(PAY);
    assert_eq!(
        (&decision["decision"], &decision["reason"], &decision["remedy"]),
        (&json!("deny"), &json!("session_unverified"), &json!("wait")),
        "{decision}"
    );
    wait::until_true("the status to say that the provider is not there", || {
        world.status().provider.reachable == Some(false)
    });
    world.provider.up();
    world.wait_for_phase(SessionPhase::Active);
    assert_eq!(world.check(PAY)["decision"], "allow");
    assert_eq!(world.provider.families().len(), 1, "no second login");
}

#[test]
fn a_role_taken_away_at_the_provider_is_noticed_at_the_next_refresh() {
    let world = World::durable();
    world.login(ALICE);
    assert_eq!(world.check(PAY)["decision"], "allow");
    world.provider.patch(json!({"lifetimes": {"session": 4}}));
    world.provider.set_roles(ALICE.email, &["viewer"]);
    // The session in force was issued for long: a new login is one way to a refresh.
    let mut world = world;
    world.restart_daemon();
    world.wait_for_phase(SessionPhase::Active);
    wait::until_true("the role to be gone", || world.check(PAY)["reason"] == "role_required");
    // And given back, without a restart.
    world.provider.set_roles(ALICE.email, &["payment_processor"]);
    wait::until_true("the role to be back", || world.check(PAY)["decision"] == "allow");
}

#[test]
fn a_session_revoked_at_the_provider_is_over() {
    let world = World::start();
    world.provider.patch(json!({"lifetimes": {"session": 4}}));
    world.login(ALICE);
    world.provider.revoke(ALICE.email);
    wait::until_true("the session to be over", || world.status().session.phase == SessionPhase::Over);
    let decision = world.check(PAY);
    assert_eq!(decision["decision"], "deny");
    assert!(
        ["session_revoked", "session_expired"].contains(&decision["reason"].as_str().unwrap()),
        "{decision}"
    );
    assert_eq!(decision["remedy"], "login", "{decision}");
    world.login(ALICE);
    assert_eq!(world.check(PAY)["decision"], "allow");
}

#[test]
fn the_command_line_tells_by_its_exit_code() {
    let mut world = World::start();
    let code = |world: &World, arguments: &[&str]| {
        let outcome = world.cli(arguments);
        outcome.code.unwrap_or_else(|| panic!("{arguments:?}: {outcome:?}"))
    };
    assert_eq!(code(&world, &["status"]), 0);
    assert_eq!(code(&world, &["--version"]), 0);
    assert_eq!(code(&world, &["no-such-command"]), 64);
    assert_eq!(code(&world, &["check"]), 64);
    // This process is no agent.
    assert_eq!(code(&world, &["check", PAY]), 2);
    assert_eq!(code(&world, &["check", "not a scope"]), 1);
    assert_eq!(code(&world, &["config", "validate"]), 0);
    assert_eq!(code(&world, &["config", "show"]), 0);
    for shell in ["bash", "zsh", "fish"] {
        let outcome = world.cli(&["completions", shell]);
        assert!(outcome.code == Some(0) && outcome.stdout.contains("agentauthd"), "{shell}: {outcome:?}");
    }
    world.stop_daemon();
    for arguments in [vec!["status"], vec!["check", PAY], vec!["logout"], vec!["whoami"]] {
        let outcome = world.cli(&arguments);
        assert_eq!(outcome.code, Some(3), "{arguments:?}: {outcome:?}");
        assert!(outcome.stderr.contains("agentauthd run"), "what to do: {outcome:?}");
        assert_eq!(outcome.stdout, "", "talk is on standard error: {outcome:?}");
    }
}

#[test]
fn status_tells_who_and_until_when() {
    let world = World::start();
    world.login(ALICE);
    let outcome = world.cli(&["status", "--json"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let status: Status = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(status.session.phase, SessionPhase::Active);
    assert_eq!(status.session.roles, ["payment_processor"]);
    assert_eq!(status.session.user.as_ref().unwrap().name.as_deref(), Some(ALICE.name));
    assert!(status.session.expires_at.is_some() && status.session.next_refresh_at.is_some());
    assert!(status.keys.count > 0 && status.keys.fetched_at.is_some());
    assert!(status.secret_store.usable && status.audit.writable && status.policy.count > 0);
    assert_eq!(status.agents[0].name, "probe-agent");
    assert_eq!(status.provider.reachable, Some(true));
    assert_eq!(status.problems, Vec::<String>::new());
    assert_eq!(status.caller.executable.as_deref(), Some(binaries::program("agentauthd").to_str().unwrap()));
    assert_eq!((status.caller.agent, status.caller.greeted), (None, true));

    let outcome = world.cli(&["status"]);
    assert!(outcome.stdout.contains(ALICE.email), "{outcome:?}");
    assert!(!outcome.stdout.contains('\u{1b}'), "no colour without a terminal: {outcome:?}");
    let outcome = world.cli(&["whoami"]);
    assert!(outcome.code == Some(0) && outcome.stdout.contains(ALICE.email), "{outcome:?}");
}

#[test]
fn trying_for_an_agent_takes_a_persons_terminal() {
    let world = World::start();
    world.login(ALICE);
    // From here it is refused, with the reason and what to do.
    let outcome = world.cli(&["check", PAY, "--as", "probe-agent"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("terminal"), "{outcome:?}");

    // On a real terminal it may. Making one takes root, and a process tree that can be seen whole.
    if rustix::process::geteuid().is_root() && Path::new("/usr/bin/script").exists() {
        let mut command = std::process::Command::new("unshare");
        command.args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--propagation",
            "private",
        ]);
        command.arg(std::env::current_exe().unwrap());
        command.args(["--exact", "in_a_terminal_a_dry_run_is_allowed", "--ignored", "--nocapture"]);
        let outcome = e2e::cli::run(command);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
    } else {
        eprintln!("skipped the other half: it needs root and script(1)");
    }
}

#[test]
#[ignore = "runs as the first process of a namespace, started by the test above"]
fn in_a_terminal_a_dry_run_is_allowed() {
    let world = World::start();
    world.login(ALICE);
    let script = world.home().join("dry-run.sh");
    let (out, rc) = (world.home().join("dry-run.json"), world.home().join("dry-run.rc"));
    let mut text = "env -i".to_owned();
    for (name, value) in world.environment() {
        text += &format!(" '{}={}'", name.display(), value.display());
    }
    let agentauthd = binaries::program("agentauthd");
    text += &format!(
        " {} check {PAY} --as probe-agent --json >{out} 2>&1\n",
        agentauthd.display(),
        out = out.display()
    );
    text += &format!("echo $? >{rc}.part; mv {rc}.part {rc}\n", rc = rc.display());
    std::fs::write(&script, text).unwrap();
    // script(1) in the place of login(1), for this namespace only: a real terminal, under a recognised name.
    let mounted =
        std::process::Command::new("mount").args(["--bind", "/usr/bin/script", "/usr/bin/login"]).status();
    assert!(mounted.unwrap().success());
    let mut command = std::process::Command::new("/usr/bin/login");
    let shell = format!("sh {}", script.display());
    command.args(["--quiet", "--return", "--command", &shell, "/dev/null"]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let mut terminal = world.spawn(command);
    let keyboard = terminal.child().stdin.take().unwrap();
    let rc = wait::until("the dry run in a terminal", || std::fs::read_to_string(&rc).ok());
    let said = std::fs::read_to_string(&out).unwrap();
    assert_eq!(rc.trim(), "0", "{said}");
    let decision: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&decision["decision"], &decision["dry_run"]), (&json!("allow"), &json!(true)), "{decision}");
    drop(keyboard);
}

#[test]
fn malformed_questions_are_refused_before_anything_is_decided() {
    let world = World::start();
    world.login(ALICE);
    let decisions = || world.audit().iter().filter(|record| record["event"] == "decision").count();
    let before = decisions();
    for (body, status, code) in [
        (r#"{"scope":"nonsense"}"#, 400, "scope_invalid"),
        (r#"{"scope":"files.read:/a/../b"}"#, 400, "scope_invalid"),
        (r#"{"scope":"payments.read","unknown":1}"#, 400, "request_invalid"),
        (r#"{}"#, 400, "request_invalid"),
        (r#"{"scope":"payments.read","scopes":["payments.read"]}"#, 400, "request_invalid"),
        (r#"[]"#, 400, "request_invalid"),
    ] {
        let answer = &world.probe(&["--request", "POST", "/v1/check", body])[0];
        assert_eq!(
            (&answer["http_status"], &answer["code"]),
            (&json!(status), &json!(code)),
            "{body}: {answer}"
        );
    }
    for (method, path, status) in
        [("GET", "/v1/nothing", 404), ("PUT", "/v1/check", 405), ("GET", "/v1/check", 405)]
    {
        let answer = &world.probe(&["--request", method, path])[0];
        assert_eq!(answer["http_status"], status, "{method} {path}: {answer}");
    }
    assert_eq!(decisions(), before, "nothing was decided");
}

#[test]
fn a_second_daemon_does_not_take_the_socket() {
    let world = World::start();
    world.login(ALICE);
    let outcome = world.cli(&["run"]);
    assert!(!matches!(outcome.code, Some(0) | None), "{outcome:?}");
    assert_eq!(world.check(PAY)["decision"], "allow", "the first goes on");
}

#[test]
fn it_drains_on_sigterm_and_leaves_no_socket() {
    let mut world = World::start();
    assert!(world.socket().exists());
    world.daemon().signal(Signal::TERM);
    wait::until_true("the daemon to end", || world.daemon().exited().is_some());
    assert_eq!(world.daemon().exited().unwrap().code(), Some(0));
    assert!(!world.socket().exists());
    // A socket that a killed daemon left behind is no obstacle.
    let mut world = World::start();
    world.kill_daemon();
    assert!(world.socket().exists());
    world.start_daemon();
    assert_eq!(world.cli(&["status"]).code, Some(0));
}

#[test]
fn another_uid_is_refused_and_root_may_look() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: it takes root to be two users");
        return;
    }
    let provider = Provider::start();
    let options = WorldOptions { uid: Some(65534), store: Store::Memory, ..WorldOptions::default() };
    let world = World::with(&provider, options);
    // This process is root, the daemon's owner is nobody.
    assert_eq!(world.status().session.phase, SessionPhase::LoggedOut);
    let answer = &world.probe(&["--request", "POST", "/v1/check", r#"{"scope":"payments.read"}"#])[0];
    assert_eq!(answer["http_status"], 403, "{answer}");
    // A third user does not even get in.
    for path in [world.home(), &world.home().join("run"), &world.home().join("run/agentauthd")] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    }
    std::fs::set_permissions(world.socket(), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let copy = world.home().join("stranger");
    std::fs::copy(binaries::program("probe-agent"), &copy).unwrap();
    let mut command = binaries::command("setpriv");
    command.args(["--reuid=12345", "--regid=12345", "--clear-groups"]).arg(&copy);
    command.arg("--socket").arg(world.socket()).args(["--request", "GET", "/v1/status"]);
    let answers = world.lines_of(command);
    assert!(
        answers.iter().all(|answer| answer["io_error"].is_string() || answer["http_status"] == 403),
        "{answers:?}"
    );
}
