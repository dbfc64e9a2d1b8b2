//! The life of a launch: what only the administrator's word starts, what ends it, and how it stands to the terminal.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use agentauth_api::SessionPhase;
use e2e::arena::{PAY, own, plain_user, python};
use e2e::cli::Running;
use e2e::errand::quoted;
use e2e::process::state;
use e2e::shop::{Shop, answer, assert_launched};
use e2e::{ALICE, AgentSpec, Store, WorldOptions, wait};
use rustix::process::Signal;
use serde_json::{Value, json};

const READ: &str = "payments.read";

/// Asks at each line on standard input, over one connection.
const ASKS: &str =
    "ask('payments.execute:currency=EUR')\nfor line in sys.stdin: ask('payments.execute:currency=EUR')";

/// A program that was started and answers at each line.
struct Asking {
    run: Running,
    answers: usize,
}

impl Asking {
    fn start(shop: &Shop, code: &str) -> Self {
        let mut asking = Self { run: shop.start(&["--agent", "worker"], &[code]), answers: 0 };
        assert_launched(&asking.next(), "worker");
        asking
    }

    /// The next answer that it prints.
    #[track_caller]
    fn next(&mut self) -> Value {
        self.answers += 1;
        wait::until("the next answer", || {
            let so_far = self.run.so_far();
            let line = so_far.stdout.lines().nth(self.answers - 1)?.to_owned();
            serde_json::from_str(&line).ok()
        })
    }

    #[track_caller]
    fn again(&mut self) -> Value {
        self.run.process().child().stdin.as_mut().unwrap().write_all(b"again\n").unwrap();
        self.next()
    }
}

/// Signs Alice in for a command, and waits for its end.
#[track_caller]
fn confirmed(shop: &Shop, arguments: &[&str]) {
    let command = shop.world.command(&[arguments, &["--no-browser"]].concat());
    let outcome = shop.confirmed(command, ALICE).finish();
    assert_eq!(outcome.code, Some(0), "{outcome:?}\n{}", shop.world.log_tail());
}

#[test]
fn what_is_registered_to_be_launched_only_is_nobody_by_itself() {
    let shop = Shop::open();
    let program = shop.word("stranger");
    std::fs::copy(shop.place().join("probe-agent"), &program).unwrap();
    let manifest = shop.word("sealed.json");
    let text = json!({"name": "sealed", "version": "1.0.0", "scopes": [{"scope": READ, "purpose": "see what was paid"}]});
    std::fs::write(&manifest, text.to_string()).unwrap();
    for made in [&program, &manifest] {
        own(plain_user(), Path::new(made));
    }
    let ask = || {
        let mut command = shop.program(&program);
        command.arg("--socket").arg(shop.world.socket()).arg(READ);
        answer(&e2e::cli::run(command))
    };
    assert_eq!(ask()["reason"], "agent_unknown");
    confirmed(&shop, &["agent", "register", &manifest, "--exe", &program, "--launch-only"]);
    let shown = shop.world.cli(&["agent", "show", "sealed"]);
    assert!(shown.all().contains("started by `agentauthd exec`, and in no other way"), "{shown:?}");

    let refused = ask();
    assert_eq!((&refused["reason"], &refused["assurance"]), (&json!("caller_unproven"), &json!("unproven")));
    for (member, part) in [
        ("message", "start it with `agentauthd exec --agent sealed`"),
        ("model_message", "`agentauthd exec`"),
    ] {
        assert!(refused[member].as_str().unwrap().contains(part), "{refused}");
    }
    shop.wait_until_settled(Path::new(&program));
    let socket = shop.world.socket();
    let launched = shop.start(&["--agent", "sealed"], &["--socket", socket.to_str().unwrap(), READ]).finish();
    let launched = answer(&launched);
    assert_eq!(
        (&launched["reason"], &launched["assurance"], &launched["agents"]),
        (&json!("consent_required"), &json!("launched"), &json!(["sealed"])),
        "{launched}"
    );
}

#[test]
fn an_agent_that_is_removed_or_registered_anew_is_launched_no_more() {
    let shop = Shop::open();
    let mut asking = Asking::start(&shop, ASKS);
    // Its program is recognised by itself, and a path moves no money.
    let manifest = shop.word("worker.json");
    let scopes = json!([{"scope": PAY, "purpose": "do what the test asks for"}]);
    let text = json!({"name": "worker", "version": "2.0.0", "scopes": scopes});
    std::fs::write(&manifest, text.to_string()).unwrap();
    own(plain_user(), Path::new(&manifest));
    let (exe, script) = (python(), shop.word("program/worker.py"));
    let arguments = ["agent", "register", &manifest, "--exe", exe.to_str().unwrap(), "--script", &script];
    confirmed(&shop, &arguments);
    let after = asking.again();
    assert_eq!((&after["decision"], &after["reason"]), (&json!("deny"), &json!("policy_forbids")), "{after}");
    assert!(after["message"].as_str().unwrap().contains("start it again with `agentauthd exec`"), "{after}");
    wait::until_true("the end to be recorded", || shop.records("agent.launch_ended").len() == 1);

    let mut second = Asking::start(&shop, ASKS);
    confirmed(&shop, &["agent", "remove", "worker", "--reauth"]);
    for asking in [&mut asking, &mut second] {
        let after = asking.again();
        assert_eq!(
            (&after["decision"], &after["reason"]),
            (&json!("deny"), &json!("agent_unknown")),
            "{after}"
        );
    }
    wait::until_true("the end to be recorded", || shop.records("agent.launch_ended").len() == 2);
    let why = shop.records("agent.launch_ended")[1]["message"].to_string();
    assert!(why.contains("not registered any more"), "{why}");
    for asking in [asking, second] {
        let mut run = asking.run;
        drop(run.process().child().stdin.take());
        assert_eq!(run.finish().code, Some(0));
    }
}

#[test]
fn nothing_is_launched_any_more_after_a_restart_of_the_daemon() {
    let mut shop = Shop::with(WorldOptions { store: Store::File, ..WorldOptions::default() });
    // The program itself, and a child that is no agent by itself; each over a connection of its own.
    let child = format!("open('{}').read()", shop.script().display());
    let code = format!(
        "class Fresh:\n\
         \x20   pass\n\
         def both():\n\
         \x20   global daemon\n\
         \x20   daemon = None\n\
         \x20   ask('{PAY}')\n\
         \x20   print(subprocess.run([sys.executable, '-c', {child}, \"ask('{PAY}')\"], capture_output=True, text=True).stdout, end='', flush=True)\n\
         both()\n\
         for line in sys.stdin: both()"
    );
    let mut asking = Asking::start(&shop, &code);
    assert_launched(&asking.next(), "worker");
    shop.world.restart_daemon();
    shop.world.wait_for_phase(SessionPhase::Active);
    let own = asking.again();
    assert_eq!((&own["decision"], &own["assurance"]), (&json!("deny"), &json!("path")), "{own}");
    let child = asking.next();
    assert_eq!((&child["decision"], &child["reason"]), (&json!("deny"), &json!("agent_unknown")), "{child}");
    for answer in [own, child] {
        let said = answer["message"].as_str().unwrap();
        assert!(
            said.contains("the daemon was restarted. Then start it again with `agentauthd exec`"),
            "{said}"
        );
    }
    let mut run = asking.run;
    drop(run.process().child().stdin.take());
    assert_eq!(run.finish().code, Some(0));
    // And anew it is.
    assert_launched(&answer(&shop.work(&format!("ask('{PAY}')"))), "worker");
}

#[test]
fn standard_streams_are_passed_through() {
    let shop = Shop::open();
    let code = "text = sys.stdin.read()\nsys.stdout.write(text.upper())\nsys.stderr.write('aside')\nsys.exit(len(text))";
    let mut run = shop.start(&["--agent", "worker"], &[code]);
    run.process().child().stdin.take().unwrap().write_all(b"one\ntwo\n").unwrap();
    let outcome = run.finish();
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(8), "ONE\nTWO\n"), "{outcome:?}");
    assert!(outcome.stderr.ends_with("aside"), "{outcome:?}");
}

#[test]
fn death_by_a_signal_is_told_as_shells_do() {
    let shop = Shop::open();
    for (signal, number) in [("SIGTERM", 15), ("SIGSEGV", 11), ("SIGPIPE", 13)] {
        let code =
            format!("signal.signal(signal.{signal}, signal.SIG_DFL)\nos.kill(os.getpid(), signal.{signal})");
        assert_eq!(shop.work(&code).code, Some(128 + number), "{signal}");
    }
}

#[test]
fn orphans_are_collected_while_the_program_runs() {
    let shop = Shop::open();
    let code = "done = subprocess.run(['sh', '-c', 'sleep 0.3 & echo $!'], stdout=subprocess.PIPE, text=True)\n\
                print(done.stdout.strip(), flush=True)\n\
                sys.stdin.readline()";
    let mut run = shop.start(&["--agent", "worker"], &[code]);
    let pid: u32 = wait::until("the orphan's number", || run.so_far().stdout.trim().parse().ok());
    wait::until_true("the orphan to be gone, and not left as a zombie", || state(pid).is_none());
    assert!(run.process().exited().is_none());
    run.process().child().stdin.take().unwrap().write_all(b"\n").unwrap();
    assert_eq!(run.finish().code, Some(0));
}

/// A terminal in which a shell with job control runs this line, as the world's user.
fn terminal(shop: &Shop, line: &str) -> Option<Running> {
    if !Path::new("/usr/bin/script").exists() {
        eprintln!("skipped: there is no script(1)");
        return None;
    }
    let mut command = shop.program("script");
    let line = format!("bash -mc {}", quoted(line));
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    command.env_clear().envs(shop.world.environment()).env("TERM", "dumb");
    Some(shop.confirmed(command, ALICE))
}

/// `agentauthd exec` of the worker, as a shell reads it.
fn line(shop: &Shop, code: &str) -> String {
    let command = shop.command(&["--agent", "worker"], &[code]);
    let words = std::iter::once(shop.world.agentauthd().to_str().unwrap().to_owned());
    let given =
        command.get_args().skip_while(|word| *word != "exec").map(|word| word.to_str().unwrap().to_owned());
    words.chain(given).map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn wait_for(run: &mut Running, text: &str) {
    if wait::within(wait::PATIENCE, || run.so_far().stdout.contains(text).then_some(())).is_none() {
        panic!("waited for {text:?}: {:#?}", run.so_far());
    }
}

fn type_in(run: &mut Running, keys: &[u8]) {
    run.process().child().stdin.as_mut().unwrap().write_all(keys).unwrap();
}

#[test]
fn what_is_typed_at_the_terminal_reaches_the_program_once() {
    let shop = Shop::open();
    let code = "heard = 0\n\
                def hear(*_):\n\
                \x20   global heard\n\
                \x20   heard += 1\n\
                \x20   os.write(1, f'interrupted {heard}\\n'.encode())\n\
                signal.signal(signal.SIGINT, hear)\n\
                print('ready', [os.isatty(number) for number in range(3)], flush=True)\n\
                for line in sys.stdin:\n\
                \x20   print('read', line.strip(), 'after', heard, flush=True)\n\
                \x20   if line.strip() == 'end': sys.exit(9)";
    let Some(mut run) = terminal(&shop, &format!("{}; echo code $?", line(&shop, code))) else { return };
    wait_for(&mut run, "ready [True, True, True]");
    type_in(&mut run, b"\x03");
    wait_for(&mut run, "interrupted 1");
    type_in(&mut run, b"one\n");
    wait_for(&mut run, "read one after 1");
    type_in(&mut run, b"end\n");
    wait_for(&mut run, "read end after 1");
    wait_for(&mut run, "code 9");
    run.finish();
}

#[test]
fn it_is_stopped_and_continued_with_the_program() {
    let shop = Shop::open();
    let code = "print('pid', os.getpid(), flush=True)\n\
                for line in sys.stdin:\n\
                \x20   print('read', line.strip(), flush=True)\n\
                \x20   if line.strip() == 'end': sys.exit(7)";
    let shell = format!("{}; echo stopped $?; read go; fg %1 >/dev/null; echo code $?", line(&shop, code));
    let Some(mut run) = terminal(&shop, &shell) else { return };
    wait_for(&mut run, "pid ");
    let pid: u32 = wait::until("the program's number", || {
        let said = run.so_far().stdout;
        said.split("pid ").nth(1)?.split_ascii_whitespace().next()?.parse().ok()
    });
    type_in(&mut run, b"\x1a");
    // 128 and the signal by which it was stopped, 19 or 20.
    wait_for(&mut run, "stopped 14");
    wait::until_true("the program to be stopped", || state(pid) == Some('T'));
    type_in(&mut run, b"go\n");
    wait::until_true("the program to go on", || state(pid).is_some_and(|state| state != 'T'));
    type_in(&mut run, b"end\n");
    wait_for(&mut run, "read end");
    wait_for(&mut run, "code 7");
    run.finish();
}

#[test]
fn the_end_of_the_terminal_ends_the_program() {
    let shop = Shop::open();
    let code = "print('pid', os.getpid(), flush=True)\nwhile True: time.sleep(1)";
    let Some(mut run) = terminal(&shop, &line(&shop, code)) else { return };
    wait_for(&mut run, "pid ");
    let pid: u32 = wait::until("the program's number", || {
        let said = run.so_far().stdout;
        said.split("pid ").nth(1)?.split_ascii_whitespace().next()?.parse().ok()
    });
    // The terminal's other end is gone with script(1).
    run.process().signal(Signal::KILL);
    wait::until_true("the program to be gone", || state(pid).is_none_or(|state| state == 'Z'));
    wait::until_true("the end to be recorded", || shop.records("agent.launch_ended").len() == 1);
}

#[test]
fn what_the_administrator_registered_needs_no_confirmation_and_what_they_forbid_starts_for_nobody() {
    // It takes root to be the administrator.
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: it needs root");
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", "under_an_administrator", "--ignored", "--nocapture"]);
    let outcome = e2e::cli::run(command);
    assert!(outcome.code == Some(0) && outcome.stdout.contains("1 passed"), "{outcome:?}");
}

#[test]
#[ignore = "runs as the first process of a namespace, started by the test above"]
fn under_an_administrator() {
    // A copy of /etc, in its place for this namespace only.
    let etc = tempfile::Builder::new().prefix("aad-etc").tempdir().unwrap();
    let copied = Command::new("cp").args(["-a", "/etc/."]).arg(etc.path()).status().unwrap();
    assert!(copied.success());
    std::fs::set_permissions(etc.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let programs = etc.path().join("agentauthd/programs");
    let agents = etc.path().join("agentauthd/agents");
    for made in [&programs, &agents] {
        std::fs::create_dir_all(made).unwrap();
    }
    std::fs::write(programs.join("worker.py"), include_str!("../src/programs/worker.py")).unwrap();
    let service = AgentSpec {
        name: "service".to_owned(),
        executable: python(),
        pinned: false,
        script: Some("/etc/agentauthd/programs/worker.py".into()),
        cgroup: None,
        scopes: vec![PAY.to_owned()],
        grants: vec![PAY.to_owned()],
    };
    std::fs::write(agents.join("service.json"), service.file().to_string()).unwrap();
    let mut forbidden = service.file();
    forbidden["manifest"]["name"] = json!("worker");
    forbidden["selectors"] = json!({"executable": "/nonexistent"});
    forbidden["grants"] = json!([]);
    forbidden["forbidden"] = json!(true);
    std::fs::write(agents.join("worker.json"), forbidden.to_string()).unwrap();
    let mounted = Command::new("mount").arg("--bind").args([etc.path(), Path::new("/etc")]).status();
    assert!(mounted.unwrap().success());

    let shop = Shop::open();
    let world = &shop.world;
    let code = format!("ask('{PAY}')");
    // No terminal, and nobody signs in.
    let outcome = world.cli(&["exec", "--agent", "service", "--", &code]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_launched(&answer(&outcome), "service");
    let launched = &shop.records("agent.launched")[0];
    assert_eq!(launched["details"]["confirmed_by"], Value::Null, "{launched}");

    // An agent starts none of them either.
    let mut command = shop.program(shop.place().join("probe-agent"));
    command.arg("--run").arg(world.agentauthd()).args(["exec", "--agent", "service", "--", &code]);
    command.envs(world.environment()).stdin(Stdio::null());
    let refused = e2e::cli::run(command);
    assert!(refused.code == Some(1) && refused.stderr.contains("registered agent"), "{refused:?}");

    // The person registered this one, too; the administrator's word stands above it.
    let refused = world.cli(&["exec", "--agent", "worker", "--reauth", "--no-browser", "--", &code]);
    assert!(refused.code == Some(1) && refused.stderr.contains("an administrator has locked"), "{refused:?}");
    assert_eq!(shop.records("agent.launched").len(), 1);
}
