//! `agentauthd exec`: what it starts is proven to be the agent, all of it and nothing else, for as long as it stands
//! above; in a clean environment, within walls. All of it as a plain user.

#[path = "exec/walls.rs"]
mod walls;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use e2e::agents::sha256;
use e2e::arena::{PAY, own, plain_user, python};
use e2e::cli::Running;
use e2e::process::is_alive;
use e2e::shop::{Shop, answer, assert_launched};
use e2e::{ALICE, AgentSpec, BOB, Errand, Provider, World, WorldOptions, binaries, wait};
use rustix::process::Signal;
use serde_json::{Value, json};

#[test]
fn a_program_that_was_launched_is_proven_in_full() {
    let shop = Shop::open();
    let socket = shop.world.socket();
    let mut alone = shop.program(shop.place().join("probe-agent"));
    alone.arg("--socket").arg(&socket).arg(PAY);
    assert_eq!(answer(&e2e::cli::run(alone))["assurance"], "pinned", "without the launcher");
    let run = shop.start(&["--agent", "probe-agent"], &["--socket", socket.to_str().unwrap(), PAY]);
    let outcome = run.finish();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_launched(&answer(&outcome), "probe-agent");

    let launched = &shop.records("agent.launched")[0];
    let details = &launched["details"];
    assert_eq!(details["agent"], "probe-agent", "{launched}");
    assert_eq!(details["arguments"][2], PAY, "{launched}");
    assert_eq!(details["executable_sha256"], sha256(&shop.place().join("probe-agent")), "{launched}");
    assert_eq!(
        (&details["confined"], &details["confirmed_by"]),
        (&json!(true), &json!("reauth")),
        "{launched}"
    );
    assert_eq!(details["request"]["operation"], "launch", "{launched}");
    assert!(launched["actor"]["executable"].as_str().unwrap().ends_with("/agentauthd"), "{launched}");
    wait::until_true("the end of the launch to be recorded", || {
        shop.records("agent.launch_ended").iter().any(|record| record["id"] == launched["id"])
    });
}

#[test]
fn an_interpreter_that_was_launched_is_proven_in_full() {
    let shop = Shop::open();
    assert_launched(&answer(&shop.work(&format!("ask('{PAY}')"))), "worker");
}

#[test]
fn whatever_it_starts_is_it_too_also_when_it_detaches() {
    let shop = Shop::open();
    let done = shop.place().join("done");
    let attacker = shop.place().join("attacker");
    // A child of a child, in a session of its own, whose parents are gone when it asks.
    let code = format!(
        "subprocess.run(['setsid', '-f', 'sh', '-c', '(sleep 0.3; {} ask $AGENTAUTHD_SOCKET {PAY}; touch {}) &'])\n\
         while not os.path.exists('{}'): time.sleep(0.02)",
        attacker.display(),
        done.display(),
        done.display()
    );
    let outcome = shop.work(&code);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_launched(&answer(&outcome), "worker");
}

#[test]
fn nobody_else_is_it_whatever_they_say_of_themselves() {
    let shop = Shop::open();
    let waiting = format!("ask('{PAY}'); sys.stdin.readline()");
    let mut run = shop.start(&["--agent", "worker"], &[&waiting]);
    wait::until_true("the worker to ask", || run.so_far().stdout.ends_with("}\n"));
    assert_launched(&answer(&run.so_far()), "worker");
    // The environment and the command line of the one that was launched, word for word.
    let attacker = shop.place().join("attacker");
    let mut command = shop.program("bash");
    command.envs([("AGENTAUTHD_LAUNCHED", "1")]).env("AGENTAUTHD_SOCKET", shop.world.socket());
    let line = format!(
        "exec -a {} {} ask {} {PAY}",
        python().display(),
        attacker.display(),
        shop.world.socket().display()
    );
    command.args(["-c", &line]);
    let stranger = answer(&e2e::cli::run(command));
    assert_eq!((&stranger["reason"], &stranger["assurance"]), (&json!("agent_unknown"), &json!("unproven")));
    // Nor is the agent's own program, started by somebody else.
    let mut command = shop.program(python());
    command.env("AGENTAUTHD_SOCKET", shop.world.socket()).env("AGENTAUTHD_LAUNCHED", "1");
    command.arg(shop.script()).arg(format!("ask('{PAY}')"));
    let by_itself = answer(&e2e::cli::run(command));
    assert_eq!((&by_itself["assurance"], &by_itself["reason"]), (&json!("path"), &json!("policy_forbids")));
    let said = by_itself["message"].as_str().unwrap();
    assert!(said.contains("agentauthd exec --agent worker"), "{said}");
    run.process().child().stdin.take().unwrap().write_all(b"\n").unwrap();
    assert_eq!(run.finish().code, Some(0));
}

#[test]
fn the_launcher_is_only_ever_our_own_command_line() {
    let shop = Shop::open();
    let stranger = shop.place().join("stranger");
    std::fs::copy(binaries::program("probe-agent"), &stranger).unwrap();
    own(plain_user(), &stranger);
    for reauth in [false, true] {
        let body = json!({"agent": "worker", "reauth": reauth}).to_string();
        // An agent, a stranger, and a stranger who does not greet.
        for (who, flags) in
            [("probe-agent", &[][..]), ("stranger", &[][..]), ("stranger", &["--no-greeting"][..])]
        {
            let mut command = shop.program(shop.place().join(who));
            command.arg("--socket").arg(shop.world.socket()).args(flags);
            command.args(["--request", "POST", "/v1/launches", &body]);
            let refused = answer(&e2e::cli::run(command));
            assert_eq!(refused["http_status"], 403, "{who}: {refused}");
            assert!(
                ["forbidden", "caller_unproven"].contains(&refused["code"].as_str().unwrap()),
                "{who}: {refused}"
            );
        }
    }
    assert!(shop.records("agent.launched").is_empty());
    // Our own one, but under somebody's hand.
    for variable in ["LD_PRELOAD", "LD_LIBRARY_PATH"] {
        let mut command = shop.command(&["--agent", "worker"], &["print('no')"]);
        command.env(variable, "/nonexistent");
        let refused = e2e::cli::run(command);
        assert!(refused.code == Some(1) && refused.stderr.contains("loader variables"), "{refused:?}");
    }
    // Without a terminal, and without a fresh login, nobody shows that a person wants it.
    let refused = shop.world.cli(&["exec", "--agent", "worker", "--", "print('no')"]);
    assert!(
        refused.code == Some(1) && refused.stderr.contains("starting an agent was refused"),
        "{refused:?}"
    );
    let refused = shop.world.cli(&["exec", "--agent", "worker", "--no-confine"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("without confinement"), "{refused:?}");
    // Somebody else's login is not the owner's.
    let refused = shop.confirmed(shop.command(&["--agent", "worker"], &["print('no')"]), BOB).finish();
    assert!(refused.code == Some(1) && refused.stderr.contains("nothing was started"), "{refused:?}");
    assert!(!refused.stdout.contains("no"));
    let refused = shop.world.cli(&["exec", "--agent", "nobody", "--reauth", "--no-browser"]);
    assert!(
        refused.code == Some(1) && refused.stderr.contains("no registered agent `nobody`"),
        "{refused:?}"
    );
    assert!(shop.records("agent.launched").is_empty());
}

#[test]
fn an_agent_starts_no_other() {
    let shop = Shop::open();
    let agentauthd = shop.world.agentauthd().to_owned();
    let code = format!(
        "for flags in ([], ['--reauth', '--no-browser'], ['--no-confine', '--reauth', '--no-browser']):\n\
         \x20   for before in ([], ['setsid', '-w']):\n\
         \x20       done = subprocess.run(before + ['{}', 'exec', '--agent', 'probe-agent'] + flags, capture_output=True, text=True)\n\
         \x20       print(json.dumps([done.returncode, done.stderr]), flush=True)",
        agentauthd.display()
    );
    let outcome = shop.work(&code);
    let answers: Vec<Value> = outcome.json_lines();
    assert_eq!(answers.len(), 6, "{outcome:?}");
    for answer in answers {
        let said = answer[1].as_str().unwrap();
        assert!(
            answer[0] == 1 && said.contains("was refused") && said.contains("registered agent"),
            "{answer}"
        );
    }
    assert_eq!(shop.records("agent.launched").len(), 1, "the worker's own");
}

#[test]
fn a_changed_program_is_not_started() {
    let provider = Provider::start();
    let place = tempfile::Builder::new().prefix("aad-program").tempdir().unwrap();
    let program = place.path().canonicalize().unwrap().join("probe");
    std::fs::copy(binaries::program("probe-agent"), &program).unwrap();
    own(plain_user(), place.path());
    let spec = AgentSpec { executable: program.clone(), ..AgentSpec::probe() };
    let options = WorldOptions { agents: vec![spec], uid: plain_user(), ..WorldOptions::default() };
    let world = World::with(&provider, options);
    world.login(ALICE);
    let before = sha256(&program);
    let mut bytes = std::fs::read(&program).unwrap();
    bytes.push(0);
    std::fs::remove_file(&program).unwrap();
    std::fs::write(&program, bytes).unwrap();
    let refused = world.cli(&["exec", "--agent", "probe-agent", "--reauth", "--no-browser"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for part in [before.as_str(), &sha256(&program), "executable", "has changed"] {
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
    }
}

#[test]
fn the_environment_is_clean_and_nothing_is_left_open() {
    let variables = [
        ("SECRET_THING", "1"),
        ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/x"),
        ("SSH_AUTH_SOCK", "/x"),
        ("LANG", "C.UTF-8"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let options = WorldOptions { environment: variables.to_vec(), ..WorldOptions::default() };
    let shop = Shop::with(options);
    let code = "print(json.dumps([dict(os.environ), os.listdir('/proc/self/fd'), \
                [line.split()[1] for line in open('/proc/self/status') if line.startswith('NoNewPrivs')], \
                oct(os.umask(0))]))";
    let given = ["--agent", "worker", "--env", "EXTRA=a=b", "--env", "SECRET_THING"];
    let outcome = shop.start(&given, &[code]).finish();
    let found = answer(&outcome);
    let mut names: Vec<&str> = found[0].as_object().unwrap().keys().map(String::as_str).collect();
    names.retain(|name| *name != "LC_CTYPE");
    names.sort_unstable();
    let expected = [
        "AGENTAUTHD_LAUNCHED",
        "AGENTAUTHD_SOCKET",
        "EXTRA",
        "HOME",
        "LANG",
        "PATH",
        "SECRET_THING",
        "TMPDIR",
    ];
    assert_eq!(names, expected, "{found}");
    assert_eq!(found[0]["EXTRA"], "a=b");
    assert!(!found[0]["PATH"].as_str().unwrap().contains("home"));
    // The fourth is the directory that is being listed.
    assert_eq!(found[1].as_array().unwrap().len(), 4, "{found}");
    assert_eq!((&found[2][0], &found[3]), (&json!("1"), &json!("0o77")), "{found}");
    for refused in ["LD_PRELOAD=/x", "PYTHONPATH", "NODE_OPTIONS=x", "AGENTAUTHD_SOCKET=/x"] {
        let outcome = shop.world.cli(&["exec", "--agent", "worker", "--env", refused]);
        assert_eq!(outcome.code, Some(64), "{refused}: {outcome:?}");
    }
}

#[test]
fn it_ends_as_the_program_does_and_passes_signals_on() {
    let shop = Shop::open();
    assert_eq!(shop.work("sys.exit(7)").code, Some(7));
    assert_eq!(shop.work("os.kill(os.getpid(), signal.SIGKILL)").code, Some(128 + 9));
    let code = "signal.signal(signal.SIGINT, lambda *_: print('interrupted', flush=True))\n\
                signal.signal(signal.SIGUSR1, lambda *_: sys.exit(5))\n\
                print('ready', flush=True)\n\
                while True: time.sleep(0.05)";
    let mut run = shop.start(&["--agent", "worker"], &[code]);
    wait::until_true("the worker to be ready", || run.so_far().stdout.contains("ready"));
    run.process().signal(Signal::INT);
    wait::until_true("the signal to get through", || run.so_far().stdout.contains("interrupted"));
    run.process().signal(Signal::USR1);
    assert_eq!(run.finish().code, Some(5));
}

#[test]
fn told_to_end_it_ends_everything_that_came_of_it() {
    let shop = Shop::open();
    // A detached descendant that does not listen, and one that does.
    let code = "one = subprocess.Popen(['setsid', 'sh', '-c', 'trap \"\" TERM; while :; do sleep 0.1; done'])\n\
                two = subprocess.Popen(['setsid', 'sleep', '1000'])\n\
                print(one.pid, two.pid, os.getpid(), flush=True)\n\
                signal.pause()";
    for end in [Some(Signal::TERM), None] {
        let code =
            if end.is_some() { code.to_owned() } else { code.replace("signal.pause()", "sys.exit(3)") };
        let mut run = shop.start(&["--agent", "worker", "--grace", "1s"], &[&code]);
        let pids: Vec<u32> = wait::until("the processes to be named", || {
            let so_far = run.so_far().stdout;
            let line = so_far.strip_suffix('\n')?;
            Some(line.split(' ').map(|pid| pid.parse().unwrap()).collect())
        });
        if let Some(signal) = end {
            run.process().signal(signal);
        }
        let outcome = run.finish();
        assert_eq!(outcome.code, Some(if end.is_some() { 128 + 15 } else { 3 }), "{outcome:?}");
        assert!(pids.iter().all(|pid| !is_alive(*pid)), "{pids:?}");
    }
}

#[test]
fn what_is_left_of_a_killed_launch_is_not_launched_any_more() {
    let shop = Shop::open();
    // The descendant asks for each line; it is no registered agent by itself.
    let script = shop.script();
    let code = format!(
        "subprocess.run([sys.executable, '-c', open('{}').read(), \"ask('{PAY}')\\nfor line in sys.stdin: ask('{PAY}')\"])",
        script.display()
    );
    let mut run = shop.start(&["--agent", "worker"], &[&code]);
    let lines = |run: &mut Running| run.so_far().stdout.lines().count();
    wait::until_true("the first answer", || lines(&mut run) == 1 && run.so_far().stdout.ends_with('\n'));
    assert_launched(&answer(&run.so_far()), "worker");
    let mut keyboard = run.process().child().stdin.take().unwrap();
    run.process().kill();
    keyboard.write_all(b"again\n").unwrap();
    wait::until_true("the second answer", || lines(&mut run) == 2 && run.so_far().stdout.ends_with('\n'));
    let after = answer(&run.so_far());
    assert_eq!((&after["decision"], &after["assurance"]), (&json!("deny"), &json!("unproven")), "{after}");
    assert_eq!(after["reason"], "agent_unknown", "{after}");
}

#[test]
fn a_person_at_a_terminal_starts_what_they_registered() {
    // Making a terminal takes root, and a process tree that can be seen whole.
    if !rustix::process::geteuid().is_root() || !Path::new("/usr/bin/script").exists() {
        eprintln!("skipped: it needs root and script(1)");
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", "in_a_terminal_an_agent_is_started", "--ignored", "--nocapture"]);
    let outcome = e2e::cli::run(command);
    assert!(outcome.code == Some(0) && outcome.stdout.contains("1 passed"), "{outcome:?}");
}

#[test]
#[ignore = "runs as the first process of a namespace, started by the test above"]
fn in_a_terminal_an_agent_is_started() {
    let shop = Shop::open();
    let world = &shop.world;
    // script(1) in the place of a terminal window's program, for this namespace only.
    let place = Path::new("/usr/libexec");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "tmpfs"]).arg(place).status();
    assert!(mounted.unwrap().success());
    let program = place.join("xterm");
    std::fs::copy("/usr/bin/script", &program).unwrap();
    let start = || {
        let code = format!("ask('{PAY}'); sys.exit(4)");
        let errand = Errand::new(world, &["exec", "--agent", "worker", "--", &code]);
        let mut command = shop.program(&program);
        command.args(["--quiet", "--return", "--command", &errand.line(), "/dev/null"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let _terminal = world.spawn(command);
        errand.finish()
    };

    // It may move money for good: a terminal could not have given that.
    let refused = start();
    assert!(refused.code == Some(1) && refused.stdout.contains("--reauth"), "{refused:?}");
    let grants = world.cli(&["grants", "--agent", "worker", "--json"]).json();
    for grant in grants["grants"].as_array().unwrap() {
        assert_eq!(world.cli(&["grant", "revoke", grant["id"].as_str().unwrap()]).code, Some(0));
    }

    let started = start();
    assert_eq!(started.code, Some(4), "{started:?}");
    let answer: Value = serde_json::from_str(started.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&answer["reason"], &answer["assurance"]),
        (&json!("consent_required"), &json!("launched")),
        "{answer}"
    );
    let launched = &shop.records("agent.launched")[0];
    assert!(["terminal", "login"].contains(&launched["details"]["grade"].as_str().unwrap()), "{launched}");
}
