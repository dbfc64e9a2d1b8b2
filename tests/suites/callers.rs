//! Who is on the other end of the connection: every trick by which a process that is not the agent might be answered
//! as if it were.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{ChildStdout, Command, Stdio};

use e2e::process::{Owned, executable};
use e2e::raw::{Raw, request};
use e2e::{ALICE, World, binaries, wait};
use rustix::process::Signal;
use serde_json::{Value, json};

const PAY: &str = "payments.execute:currency=EUR";

/// A world in which the agent is allowed.
fn world() -> World {
    let world = World::start();
    world.login(ALICE);
    assert_eq!(world.check(PAY)["decision"], "allow", "the agent itself is allowed");
    world
}

/// A trick under way, whose answers are read as they come.
struct Trick {
    process: Owned,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Trick {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Owned::start(&mut command);
        let lines = BufReader::new(process.child().stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    fn attacker(words: &[&str]) -> Self {
        let mut command = binaries::command(binaries::program("attacker"));
        command.args(words);
        Self::start(command)
    }

    fn next(&mut self) -> Value {
        let line = self.lines.next().expect("an answer or the end of the connection").unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn wait_until_it_is(&self, program: &str) {
        let program = binaries::program(program).canonicalize().unwrap();
        wait::until_true("the process to become the agent", || {
            executable(self.process.pid()).as_ref() == Some(&program)
        });
    }
}

/// Not answered as the agent: no allow, and not in its name.
#[track_caller]
fn assert_not_the_agent(answer: &Value) {
    assert_ne!(answer["decision"], "allow", "{answer}");
    let agents = answer["agents"].as_array().cloned().unwrap_or_default();
    assert!(!agents.contains(&json!("probe-agent")) || answer["reason"] == "caller_unproven", "{answer}");
    assert!(
        answer["decision"] == "deny" || answer["io_error"].is_string() || answer["http_status"] == 403,
        "{answer}"
    );
}

fn agent() -> String {
    binaries::program("probe-agent").to_str().unwrap().to_owned()
}

#[test]
fn a_stranger_who_greets_is_a_stranger() {
    let world = world();
    let answer = Trick::attacker(&["ask", world.socket().to_str().unwrap(), PAY]).next();
    assert_eq!(answer["reason"], "agent_unknown", "{answer}");
    assert_not_the_agent(&answer);
}

#[test]
fn connect_write_exec_without_a_greeting() {
    let world = world();
    for _ in 0..10 {
        let mut trick =
            Trick::attacker(&["exec-after-write", world.socket().to_str().unwrap(), PAY, &agent()]);
        assert_not_the_agent(&trick.next());
    }
}

#[test]
fn connect_write_exec_before_the_daemon_looks() {
    // With the daemon stopped meanwhile it sees the connection only after the exec: the attacker's best case. Nothing
    // but a greeting tells the two programs apart.
    let mut world = world();
    world.daemon().signal(Signal::STOP);
    let mut trick = Trick::attacker(&["exec-after-write", world.socket().to_str().unwrap(), PAY, &agent()]);
    trick.wait_until_it_is("probe-agent");
    world.daemon().signal(Signal::CONT);
    assert_not_the_agent(&trick.next());
}

#[test]
fn greet_write_exec() {
    let world = world();
    // Several times: the exec races with the answer.
    for _ in 0..10 {
        let mut trick =
            Trick::attacker(&["exec-after-greeting", world.socket().to_str().unwrap(), PAY, &agent()]);
        assert_not_the_agent(&trick.next());
    }
}

#[test]
fn greet_then_become_the_agent_and_let_it_ask() {
    let world = world();
    let mut trick = Trick::attacker(&["exec-into-asking", world.socket().to_str().unwrap(), PAY, &agent()]);
    assert_not_the_agent(&trick.next());
}

#[test]
fn become_the_agent_and_let_a_child_greet_and_ask() {
    let world = world();
    let mut trick =
        Trick::attacker(&["exec-then-child-asks", world.socket().to_str().unwrap(), PAY, &agent()]);
    assert_not_the_agent(&trick.next());
}

#[test]
fn greet_then_start_the_agent_on_the_connection() {
    let world = world();
    let mut trick = Trick::attacker(&["child-agent-asks", world.socket().to_str().unwrap(), PAY, &agent()]);
    assert_not_the_agent(&trick.next());
}

#[test]
fn a_descriptor_that_the_agents_child_inherited() {
    let world = world();
    let attacker = binaries::program("attacker");
    let command = world.probe_command(&["--lend", attacker.to_str().unwrap(), "stdin-ask", PAY]);
    assert_not_the_agent(&Trick::start(command).next());
    // Nor with a greeting of the child's own on that connection.
    let mut command = world.probe_command(&["--lend", attacker.to_str().unwrap(), "stdin-greet-ask-as", PAY]);
    command.stderr(Stdio::null());
    assert_not_the_agent(&Trick::start(command).next());
}

#[test]
fn a_descriptor_that_was_passed() {
    let world = world();
    let listener = world.home().join("take.sock");
    let mut taker = Trick::attacker(&["take", listener.to_str().unwrap(), PAY]);
    assert_eq!(taker.next()["listening"], true);
    let _agent = Trick::start(world.probe_command(&["--pass", listener.to_str().unwrap()]));
    assert_not_the_agent(&taker.next());
}

#[test]
fn descriptors_sent_to_the_daemon_end_the_connection() {
    let world = world();
    let answer = Trick::attacker(&["send-descriptors", world.socket().to_str().unwrap(), PAY]).next();
    assert_not_the_agent(&answer);
    assert!(answer["io_error"].is_string(), "the connection is over: {answer}");
    assert_eq!(world.check(PAY)["decision"], "allow", "for others nothing changed");
}

#[test]
fn a_wrong_nonce_and_somebody_elses_nonce() {
    let world = world();
    let mut other = Raw::connect(&world.socket()).unwrap();
    let theirs = other.greet().unwrap();
    for nonce in ["0", "", "not a nonce", &"x".repeat(1000), &theirs] {
        let answer = &world.probe(&["--nonce", nonce, PAY])[0];
        assert_eq!(answer["http_status"], 403, "{nonce}: {answer}");
        assert_eq!(answer["code"], "caller_unproven", "{nonce}: {answer}");
    }
}

#[test]
fn a_nonce_belongs_to_its_connection() {
    let world = world();
    let mut command = world.probe_command(&["--repeat-on-line", PAY]);
    command.stdin(Stdio::piped());
    let mut agent = Trick::start(command);
    assert_eq!(agent.next()["decision"], "allow");
    // A second greeting gives a second nonce or the same one; what matters is that the kept connection goes on.
    let mut keyboard = agent.process.child().stdin.take().unwrap();
    keyboard.write_all(b"again\n").unwrap();
    assert_eq!(agent.next()["decision"], "allow");
}

#[test]
fn without_a_greeting_assurance_is_at_most_path() {
    let world = world();
    let answer = &world.probe(&["--no-greeting", PAY])[0];
    assert!(["path", "unproven"].contains(&answer["assurance"].as_str().unwrap_or("unproven")), "{answer}");
    let greeted = &world.probe(&[PAY])[0];
    assert_eq!(greeted["assurance"], "pinned", "{greeted}");
}

#[test]
fn a_question_whose_asker_is_gone() {
    let mut world = world();
    let attacker = binaries::program("attacker");
    let mut command =
        world.probe_command(&[PAY, "--exit-after-asking", attacker.to_str().unwrap(), "raw-reader"]);
    command.stdin(Stdio::piped());
    let mut trick = Trick::start(command);
    assert_eq!(trick.next()["ready"], true);
    world.daemon().signal(Signal::STOP);
    trick.process.child().stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert!(trick.process.wait().success());
    // The asker is dead and reaped; an accomplice holds the connection.
    world.daemon().signal(Signal::CONT);
    assert_not_the_agent(&trick.next());
}

#[test]
fn an_impostor_on_the_dead_askers_pid() {
    if std::fs::write("/proc/sys/kernel/ns_last_pid", "").is_err() && !rustix::process::geteuid().is_root() {
        eprintln!("skipped: choosing the next pid takes root");
        return;
    }
    let mut world = world();
    // The attacker connects, greets, and leaves an accomplice with the connection; then the real agent gets its pid.
    let attacker = binaries::program("attacker");
    let mut command = binaries::command(&attacker);
    command.args(["greet-then-leave", world.socket().to_str().unwrap(), PAY]);
    let mut trick = Trick::start(command);
    let pid = trick.next()["pid"].as_u64().unwrap();
    trick.process.child().stdin.take().unwrap().write_all(b"leave\n").unwrap();
    assert!(trick.process.wait().success());
    world.daemon().signal(Signal::STOP);
    let mut impostor = None;
    for _ in 0..200 {
        if std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).is_err() {
            eprintln!("skipped: this system does not let the next pid be chosen");
            world.daemon().signal(Signal::CONT);
            return;
        }
        let mut command = binaries::command(binaries::program("probe-agent"));
        command.arg("--idle").stdin(Stdio::piped());
        let process = Owned::start(&mut command);
        if u64::from(process.pid()) == pid {
            impostor = Some(process);
            break;
        }
    }
    std::fs::write(world.home().join("go"), "").unwrap();
    world.daemon().signal(Signal::CONT);
    if impostor.is_none() {
        eprintln!("the pid could not be had again; what follows is only a dead asker");
    }
    assert_not_the_agent(&trick.next());
}

#[test]
fn two_requests_at_once_are_both_judged() {
    let world = world();
    // Pipelining: the second request is in the daemon's buffer while it answers the first.
    let mut raw = Raw::connect(&world.socket()).unwrap();
    let nonce = raw.greet().unwrap();
    let body = json!({"scope": PAY});
    let one = request("POST", "/v1/check", Some(&nonce), Some(&body));
    raw.send(&[one.clone(), one].concat()).unwrap();
    for _ in 0..2 {
        assert_not_the_agent(&raw.receive().unwrap().json());
    }
}
