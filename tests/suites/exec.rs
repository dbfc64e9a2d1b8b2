//! `agentauthd exec`: what it starts is proven to be the agent, all of it and nothing else, for as long as it stands
//! above; in a clean environment, within walls.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use e2e::agents::sha256;
use e2e::cli::{Outcome, Running};
use e2e::{ALICE, AgentSpec, BOB, Errand, Person, Provider, World, WorldOptions, binaries, wait};
use rustix::process::{Pid, Signal, test_kill_process};
use serde_json::{Value, json};

const PAY: &str = "payments.execute:currency=EUR";

/// Carries out what it is told, line by line of Python: `ask(SCOPE)` greets, checks and prints the answer as JSON.
const WORKER: &str = r#"
import errno, fcntl, http.client, json, os, signal, socket, subprocess, sys, time

class Daemon(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["AGENTAUTHD_SOCKET"])
    def ask(self, method, path, body, headers={}):
        self.request(method, path, body and json.dumps(body), headers)
        answer = self.getresponse()
        return {**json.loads(answer.read()), "http_status": answer.status}

daemon = None
def ask(scope):
    global daemon
    if daemon is None:
        daemon = Daemon("agentauthd")
        daemon.nonce = {"agentauthd-nonce": daemon.ask("GET", "/v1/hello", None)["nonce"]}
    print(json.dumps(daemon.ask("POST", "/v1/check", {"scope": scope}, daemon.nonce)), flush=True)

def outcome(work):
    try:
        work()
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]

exec(sys.argv[1])
"#;

/// A world with a worker beside the test agent, and Alice logged in; nothing where there is no Python.
struct Shop {
    world: World,
    scripts: tempfile::TempDir,
}

impl Shop {
    fn open() -> Option<Self> {
        Self::with(Vec::new())
    }

    fn with(environment: Vec<(String, String)>) -> Option<Self> {
        let scripts = tempfile::Builder::new().prefix("aad-work").tempdir().unwrap();
        let place = scripts.path().canonicalize().unwrap();
        std::fs::write(place.join("worker.py"), WORKER).unwrap();
        std::fs::create_dir(place.join("asked")).unwrap();
        std::fs::create_dir(place.join("other")).unwrap();
        let worker = AgentSpec {
            name: "worker".to_owned(),
            executable: binaries::python().or_else(|| {
                eprintln!("skipped: there is no Python");
                None
            })?,
            pinned: false,
            script: Some(place.join("worker.py")),
            cgroup: None,
            scopes: vec![PAY.to_owned(), format!("files.read:{}", place.join("asked").display())],
            grants: vec![PAY.to_owned()],
        };
        let options =
            WorldOptions { agents: vec![AgentSpec::probe(), worker], environment, ..WorldOptions::default() };
        let world = World::with(&Provider::start(), options);
        world.login(ALICE);
        wait_until_settled(&place.join("worker.py"));
        Some(Self { world, scripts })
    }

    /// A place where the worker may write.
    fn place(&self) -> PathBuf {
        self.scripts.path().canonicalize().unwrap()
    }

    fn command(&self, flags: &[&str], arguments: &[&str]) -> Command {
        let words = [&["exec", "--reauth", "--no-browser"], flags, &["--"], arguments].concat();
        self.world.command(&words)
    }

    /// Starts an agent by a fresh login of Alice's.
    #[track_caller]
    fn start(&self, flags: &[&str], arguments: &[&str]) -> Running {
        self.confirmed(self.command(flags, arguments), ALICE)
    }

    /// Starts the worker, and waits for its end.
    #[track_caller]
    fn work(&self, code: &str) -> Outcome {
        self.start(&["--agent", "worker"], &[code]).finish()
    }

    #[track_caller]
    fn confirmed(&self, mut command: Command, person: Person) -> Running {
        command.stdin(Stdio::piped());
        let mut running = Running::start_with_input(command);
        let url = wait::until("the address to sign in at", || {
            let so_far = running.so_far();
            assert!(so_far.code.is_none(), "{so_far:#?}");
            let line = so_far.stderr.lines().find(|line| line.contains("code_challenge="))?.trim().to_owned();
            so_far.stderr.ends_with('\n').then_some(line)
        });
        self.world.provider.sign_in(&url, person.email, person.password);
        running
    }

    fn records(&self, kind: &str) -> Vec<Value> {
        self.world.audit().into_iter().filter(|record| record["event"] == kind).collect()
    }
}

#[track_caller]
fn answer(outcome: &Outcome) -> Value {
    let line = outcome.stdout.lines().last().unwrap_or_else(|| panic!("no answer: {outcome:#?}"));
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {outcome:#?}"))
}

#[track_caller]
fn assert_launched(answer: &Value, agent: &str) {
    assert_eq!(
        (&answer["decision"], &answer["assurance"], &answer["agents"]),
        (&json!("allow"), &json!("launched"), &json!([agent])),
        "{answer}"
    );
}

/// What was changed a moment ago is believed less.
fn wait_until_settled(file: &Path) {
    let changed = std::fs::metadata(file).unwrap().ctime();
    wait::until_true("the script to have been left alone for a while", || {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
            > changed as u64 + 2
    });
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    test_kill_process(Pid::from_raw(pid as i32).unwrap()).is_ok() && state.is_some_and(|state| state != 'Z')
}

#[test]
fn a_program_that_was_launched_is_proven_in_full() {
    let Some(shop) = Shop::open() else { return };
    assert_eq!(shop.world.check(PAY)["assurance"], "pinned", "without the launcher");
    let socket = shop.world.socket();
    let run = shop.start(&["--agent", "probe-agent"], &["--socket", socket.to_str().unwrap(), PAY]);
    let outcome = run.finish();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_launched(&answer(&outcome), "probe-agent");

    let launched = &shop.records("agent.launched")[0];
    let details = &launched["details"];
    assert_eq!(details["agent"], "probe-agent", "{launched}");
    assert_eq!(details["arguments"][2], PAY, "{launched}");
    assert_eq!(details["executable_sha256"], sha256(&binaries::program("probe-agent")), "{launched}");
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
    let Some(shop) = Shop::open() else { return };
    assert_launched(&answer(&shop.work(&format!("ask('{PAY}')"))), "worker");
}

#[test]
fn whatever_it_starts_is_it_too_also_when_it_detaches() {
    let Some(shop) = Shop::open() else { return };
    let done = shop.place().join("done");
    let attacker = binaries::program("attacker");
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
    let Some(shop) = Shop::open() else { return };
    let waiting = format!("ask('{PAY}'); sys.stdin.readline()");
    let mut run = shop.start(&["--agent", "worker"], &[&waiting]);
    wait::until_true("the worker to ask", || run.so_far().stdout.ends_with("}\n"));
    assert_launched(&answer(&run.so_far()), "worker");
    // The environment and the command line of the one that was launched, word for word.
    let attacker = binaries::program("attacker");
    let mut command = Command::new("bash");
    command.env_clear().envs([("AGENTAUTHD_LAUNCHED", "1")]).env("AGENTAUTHD_SOCKET", shop.world.socket());
    let line = format!(
        "exec -a {} {} ask {} {PAY}",
        binaries::python().unwrap().display(),
        attacker.display(),
        shop.world.socket().display()
    );
    command.args(["-c", &line]);
    let stranger = answer(&e2e::cli::run(command));
    assert_eq!((&stranger["reason"], &stranger["assurance"]), (&json!("agent_unknown"), &json!("unproven")));
    // Nor is the agent's own program, started by somebody else.
    let mut command = Command::new(binaries::python().unwrap());
    command.env_clear().env("AGENTAUTHD_SOCKET", shop.world.socket()).env("AGENTAUTHD_LAUNCHED", "1");
    command.arg(shop.place().join("worker.py")).arg(format!("ask('{PAY}')"));
    assert_eq!(answer(&e2e::cli::run(command))["assurance"], "path");
    run.process().child().stdin.take().unwrap().write_all(b"\n").unwrap();
    assert_eq!(run.finish().code, Some(0));
}

#[test]
fn the_launcher_is_only_ever_our_own_command_line() {
    let Some(shop) = Shop::open() else { return };
    let attacker = binaries::program("attacker");
    let socket = shop.world.socket();
    for reauth in [false, true] {
        let body = json!({"agent": "worker", "reauth": reauth}).to_string();
        // An agent, a stranger, and a stranger who does not greet.
        let agent = &shop.world.probe(&["--request", "POST", "/v1/launches", &body])[0];
        assert_eq!((&agent["http_status"], &agent["code"]), (&json!(403), &json!("forbidden")), "{agent}");
        let mut raw = e2e::raw::Raw::connect(&socket).unwrap();
        let nonce = raw.greet().unwrap();
        for nonce in [Some(nonce.as_str()), None] {
            let body = json!({"agent": "worker", "reauth": reauth});
            let refused = raw.ask("POST", "/v1/launches", nonce, Some(&body)).unwrap();
            assert_eq!(refused.status, 403, "{}", refused.json());
        }
    }
    assert!(attacker.exists() && shop.records("agent.launched").is_empty());
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
    let Some(shop) = Shop::open() else { return };
    let agentauthd = binaries::program("agentauthd");
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
    let spec = AgentSpec { executable: program.clone(), ..AgentSpec::probe() };
    let world = World::with(&provider, WorldOptions { agents: vec![spec], ..WorldOptions::default() });
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
    let Some(shop) = Shop::with(variables.to_vec()) else { return };
    let code = "print(json.dumps([dict(os.environ), os.listdir('/proc/self/fd'), \
                [line.split()[1] for line in open('/proc/self/status') if line.startswith('NoNewPrivs')], \
                oct(os.umask(0))]))";
    let given = ["--agent", "worker", "--env", "EXTRA=a=b", "--env", "SECRET_THING"];
    let outcome = shop.start(&given, &[code]).finish();
    let found = answer(&outcome);
    let mut names: Vec<&str> = found[0].as_object().unwrap().keys().map(String::as_str).collect();
    names.retain(|name| *name != "LC_CTYPE");
    names.sort_unstable();
    let expected =
        ["AGENTAUTHD_LAUNCHED", "AGENTAUTHD_SOCKET", "EXTRA", "HOME", "LANG", "PATH", "SECRET_THING"];
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
fn the_walls_hold_and_the_way_to_the_daemon_is_open() {
    let Some(shop) = Shop::open() else { return };
    let world = &shop.world;
    let keyring = world.home().join(".local/share/keyrings/login.keyring");
    std::fs::create_dir_all(keyring.parent().unwrap()).unwrap();
    std::fs::write(&keyring, "secret").unwrap();
    let bus = world.home().join("run/bus-like");
    std::fs::write(&bus, "x").unwrap();
    let visible = world.home().join("project");
    std::fs::create_dir(&visible).unwrap();
    std::fs::write(visible.join("notes"), "x").unwrap();
    let state = world.state_dir();
    let code = format!(
        "tries = {{\n\
         'keyring': lambda: open('{keyring}').read(),\n\
         'configuration': lambda: open('{config}').read(),\n\
         'state': lambda: open('{state}/state.db', 'rb').read(1),\n\
         'new agent': lambda: open('{agents}/evil.json', 'w'),\n\
         'remove agent': lambda: os.remove('{agents}/worker.json'),\n\
         'link': lambda: os.symlink('/x', '{agents}/evil.json'),\n\
         'move': lambda: os.rename('{visible}/notes', '{agents}/evil.json'),\n\
         'run dir': lambda: open('{bus}').read(),\n\
         'read': lambda: open('{visible}/notes').read(),\n\
         'write': lambda: open('{visible}/more', 'w').write('x'),\n\
         'list home': lambda: os.listdir('{home}'),\n\
         'temporary': lambda: open('{place}/more', 'w').write('x'),\n\
         'signal the launcher': lambda: os.kill(os.getppid(), 0),\n\
         'type': lambda: fcntl.ioctl(0, 0x5412, b'x'),\n\
         }}\n\
         print(json.dumps({{name: outcome(work) for name, work in tries.items()}}), flush=True)\n\
         ask('{PAY}')",
        keyring = keyring.display(),
        config = world.config_file().display(),
        state = state.display(),
        agents = world.config_dir().join("agents").display(),
        visible = visible.display(),
        bus = bus.display(),
        home = world.home().display(),
        place = shop.place().display(),
    );
    let outcome = shop.work(&code);
    let lines = outcome.json_lines();
    let hidden = ["keyring", "configuration", "state", "new agent", "remove agent", "link", "run dir"];
    for name in hidden {
        assert_eq!(lines[0][name], "EACCES", "{name}: {outcome:?}");
    }
    assert!(["EACCES", "EXDEV"].contains(&lines[0]["move"].as_str().unwrap()), "{outcome:?}");
    for name in ["read", "write", "list home", "temporary"] {
        assert_eq!(lines[0][name], "done", "{name}: {outcome:?}");
    }
    for name in ["signal the launcher", "type"] {
        assert_eq!(lines[0][name], "EPERM", "{name}: {outcome:?}");
    }
    assert_launched(&lines[1], "worker");

    // The same without walls, which takes a fresh login.
    let outcome = shop.start(&["--agent", "worker", "--no-confine"], &[&code]).finish();
    let lines = outcome.json_lines();
    assert_eq!((&lines[0]["keyring"], &lines[0]["state"]), (&json!("done"), &json!("done")), "{outcome:?}");
    assert_launched(&lines[1], "worker");
    assert_eq!(shop.records("agent.launched")[1]["details"]["confined"], false);
}

#[test]
fn files_can_be_narrowed_to_what_the_manifest_asks_for() {
    let Some(shop) = Shop::open() else { return };
    let place = shop.place();
    for part in ["asked", "other"] {
        std::fs::write(place.join(part).join("file"), "x").unwrap();
    }
    let code = format!(
        "tries = {{\n\
         'asked': lambda: open('{place}/asked/file').read(),\n\
         'asked, written': lambda: open('{place}/asked/more', 'w'),\n\
         'other': lambda: open('{place}/../more'),\n\
         'home': lambda: os.listdir(os.environ['HOME']),\n\
         'system': lambda: open('/etc/passwd').read(),\n\
         }}\n\
         print(json.dumps({{name: outcome(work) for name, work in tries.items()}}), flush=True)\n\
         ask('{PAY}')",
        place = place.display()
    );
    let outcome = shop.start(&["--agent", "worker", "--confine-files"], &[&code]).finish();
    let lines = outcome.json_lines();
    let expected = json!({"asked": "done", "asked, written": "EACCES", "other": "EACCES", "home": "EACCES", "system": "done"});
    let mut found = lines[0].clone();
    // What is not there at all is not there, walls or not.
    if found["other"] == "ENOENT" {
        found["other"] = json!("EACCES");
    }
    assert_eq!(found, expected, "{outcome:?}");
    assert_launched(&lines[1], "worker");
}

#[test]
fn it_ends_as_the_program_does_and_passes_signals_on() {
    let Some(shop) = Shop::open() else { return };
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
    let Some(shop) = Shop::open() else { return };
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
    let Some(shop) = Shop::open() else { return };
    // The descendant asks for each line; it is no registered agent by itself.
    let script = shop.place().join("worker.py");
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
    let Some(shop) = Shop::open() else { return };
    let world = &shop.world;
    // script(1) in the place of login(1), for this namespace only: a real terminal, under a recognised name.
    let mounted = Command::new("mount").args(["--bind", "/usr/bin/script", "/usr/bin/login"]).status();
    assert!(mounted.unwrap().success());
    let start = || {
        let code = format!("ask('{PAY}'); sys.exit(4)");
        let errand = Errand::new(world, &["exec", "--agent", "worker", "--", &code]);
        let mut command = Command::new("/usr/bin/login");
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
        (&json!("consent_denied"), &json!("launched")),
        "{answer}"
    );
    let launched = &shop.records("agent.launched")[0];
    assert!(["terminal", "login"].contains(&launched["details"]["grade"].as_str().unwrap()), "{launched}");
}
