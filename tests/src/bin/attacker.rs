//! A process that is not the agent and wants to be answered as if it were. Each mode is one trick; whatever answers
//! it gets are printed as JSON lines, an end of the connection as `{"io_error": …}`.
//!
//! ```text
//! attacker ask SOCKET SCOPE                     plainly, with a greeting
//! attacker ask-on-line SOCKET SCOPE             says `{"ready":true}`, then the same at a line on standard input
//! attacker ask-orphaned SOCKET SCOPE            the same once its parent is gone
//! attacker become-with-connection SOCKET PROGRAM ARGUMENT...   becomes PROGRAM, its standard input a connection
//! attacker raw-reader                           prints the answer that arrives on standard input
//! attacker exec-after-write SOCKET SCOPE AGENT  writes a request without a greeting, then becomes AGENT
//! attacker exec-after-greeting SOCKET SCOPE AGENT   greets, writes the request, then becomes AGENT
//! attacker exec-into-asking SOCKET SCOPE AGENT  greets, then becomes AGENT, which sends the request with that nonce
//! attacker exec-then-child-asks SOCKET SCOPE AGENT  becomes AGENT; a child that kept the connection greets and asks
//! attacker child-agent-asks SOCKET SCOPE AGENT  greets, then starts AGENT on the connection with that nonce
//! attacker stdin-ask SCOPE NONCE                asks on the connection that is its standard input
//! attacker stdin-greet-ask SCOPE                greets and asks on the connection that is its standard input
//! attacker stdin-greet-ask-as SCOPE NONCE       the same; the nonce it was given is not used
//! attacker greet-then-leave SOCKET SCOPE        greets, prints its pid, exits at a line on standard input; a child
//!                                               asks with the nonce once the file `go` is in the home directory
//! attacker take LISTENER SCOPE                  takes a connection passed to LISTENER and asks on it
//! attacker send-descriptors SOCKET SCOPE        asks with a descriptor attached to the request
//! ```
//! AGENT is the agent's executable. Where a mode says "becomes", a child started before reads the answer.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use agentauth_api::paths;
use e2e::raw::{Raw, request};
use serde_json::{Value, json};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let Err(error) = run(&words) {
        let _ = writeln!(std::io::stdout(), "{}", json!({"io_error": error.to_string()}));
    }
}

fn run(words: &[&str]) -> std::io::Result<()> {
    match *words {
        ["ask", socket, scope] => {
            let mut raw = Raw::connect(Path::new(socket))?;
            let nonce = raw.greet()?;
            ask(&mut raw, scope, Some(&nonce))
        }
        ["ask-on-line", socket, scope] => {
            println!("{}", json!({"ready": true}));
            std::io::stdout().flush()?;
            std::io::stdin().read_line(&mut String::new())?;
            run(&["ask", socket, scope])
        }
        ["ask-orphaned", socket, scope] => {
            e2e::wait::until_true("the starter to be gone", || {
                let parent = std::os::unix::process::parent_id();
                !e2e::process::executable(parent).is_some_and(|program| program.ends_with("setsid"))
            });
            run(&["ask", socket, scope])
        }
        ["become-with-connection", socket, program, ref rest @ ..] => {
            let stream = UnixStream::connect(socket)?;
            Err(Command::new(program).args(rest).stdin(Stdio::from(OwnedFd::from(stream))).exec())
        }
        ["raw-reader"] => read_answer(&mut stdin_connection()?),
        ["exec-after-write", socket, scope, agent] => {
            let stream = UnixStream::connect(socket)?;
            let _reader = reader(&stream)?;
            (&stream).write_all(&check(scope, None))?;
            become_idle(agent, stream)
        }
        ["exec-after-greeting", socket, scope, agent] => {
            let mut raw = Raw::connect(Path::new(socket))?;
            let nonce = raw.greet()?;
            let _reader = reader(raw.stream())?;
            raw.send(&check(scope, Some(&nonce)))?;
            become_idle(agent, raw.into_stream())
        }
        ["exec-into-asking", socket, scope, agent] => {
            let mut raw = Raw::connect(Path::new(socket))?;
            let nonce = raw.greet()?;
            Err(asking_agent(agent, scope, &nonce, raw.into_stream()).exec())
        }
        ["exec-then-child-asks", socket, scope, agent] => {
            let stream = UnixStream::connect(socket)?;
            let child = Command::new(std::env::current_exe()?)
                .args(["wait-stdin-greet-ask", scope, agent, &std::process::id().to_string()])
                .stdin(Stdio::from(OwnedFd::from(stream.try_clone()?)))
                .spawn()?;
            let _ = child;
            become_idle(agent, stream)
        }
        ["wait-stdin-greet-ask", scope, agent, parent] => {
            let agent = PathBuf::from(agent).canonicalize()?;
            e2e::wait::until_true("the parent to become the agent", || {
                std::fs::read_link(format!("/proc/{parent}/exe")).is_ok_and(|now| now == agent)
            });
            run(&["stdin-greet-ask", scope])
        }
        ["child-agent-asks", socket, scope, agent] => {
            let mut raw = Raw::connect(Path::new(socket))?;
            let nonce = raw.greet()?;
            asking_agent(agent, scope, &nonce, raw.into_stream()).status().map(drop)
        }
        ["stdin-ask", scope, nonce] => ask(&mut stdin_connection()?, scope, Some(nonce)),
        ["stdin-greet-ask", scope] => {
            let mut raw = stdin_connection()?;
            let nonce = raw.greet()?;
            ask(&mut raw, scope, Some(&nonce))
        }
        ["stdin-greet-ask-as", scope, _] => run(&["stdin-greet-ask", scope]),
        ["greet-then-leave", socket, scope] => {
            let mut raw = Raw::connect(Path::new(socket))?;
            let nonce = raw.greet()?;
            let go = Path::new(socket).ancestors().nth(3).unwrap_or(Path::new("/")).join("go");
            Command::new(std::env::current_exe()?)
                .args(["when-told-ask", go.to_str().unwrap(), scope, &nonce])
                .stdin(Stdio::from(OwnedFd::from(raw.stream().try_clone()?)))
                .spawn()?;
            println!("{}", json!({"pid": std::process::id()}));
            std::io::stdout().flush()?;
            std::io::stdin().read_line(&mut String::new()).map(drop)
        }
        ["when-told-ask", go, scope, nonce] => {
            e2e::wait::until_true("the word to go", || Path::new(go).exists());
            run(&["stdin-ask", scope, nonce])
        }
        ["take", listener, scope] => {
            let listener = UnixListener::bind(listener)?;
            println!("{}", json!({"listening": true}));
            std::io::stdout().flush()?;
            let (from, _) = listener.accept()?;
            let (nonce, descriptor) = e2e::descriptors::receive(&from)?;
            let nonce = String::from_utf8(nonce).unwrap();
            ask(&mut Raw::over(UnixStream::from(descriptor)), scope, Some(&nonce))
        }
        ["send-descriptors", socket, scope] => {
            let mut raw = Raw::connect(Path::new(socket))?;
            let nonce = raw.greet()?;
            let file = std::fs::File::open("/dev/null")?;
            e2e::descriptors::send(raw.stream(), &check(scope, Some(&nonce)), &[file.as_fd()])?;
            read_answer(&mut raw)
        }
        _ => Err(std::io::Error::other(format!("no such trick: {words:?}"))),
    }
}

fn check(scope: &str, nonce: Option<&str>) -> Vec<u8> {
    request("POST", paths::CHECK, nonce, Some(&json!({"scope": scope})))
}

fn ask(raw: &mut Raw, scope: &str, nonce: Option<&str>) -> std::io::Result<()> {
    raw.send(&check(scope, nonce))?;
    read_answer(raw)
}

fn read_answer(raw: &mut Raw) -> std::io::Result<()> {
    let answer = raw.receive()?;
    print_answer(answer.status, answer.json());
    Ok(())
}

fn print_answer(status: u16, mut line: Value) {
    line["http_status"] = status.into();
    // Nobody may be listening any more.
    let _ = writeln!(std::io::stdout(), "{line}");
    let _ = std::io::stdout().flush();
}

fn stdin_connection() -> std::io::Result<Raw> {
    Ok(Raw::over(UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?)))
}

/// An accomplice that holds the same connection and reads the answer.
fn reader(stream: &UnixStream) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .arg("raw-reader")
        .stdin(Stdio::from(OwnedFd::from(stream.try_clone()?)))
        .spawn()
}

/// Becomes the agent's executable, which keeps the connection open and does nothing.
fn become_idle(agent: &str, stream: UnixStream) -> std::io::Result<()> {
    // Standard error holds the connection, standard input keeps the process alive until the test ends it.
    let kept = Stdio::from(OwnedFd::from(stream));
    Err(Command::new(agent).arg("--idle").stderr(kept).exec())
}

/// The agent's executable, asking on an inherited connection.
fn asking_agent(agent: &str, scope: &str, nonce: &str, stream: UnixStream) -> Command {
    let mut command = Command::new(agent);
    command.args(["--stdin-socket", "--nonce", nonce, scope]).stdin(Stdio::from(OwnedFd::from(stream)));
    command
}
