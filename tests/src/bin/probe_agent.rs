//! An agent for tests: greets and checks the given scopes over one kept connection, and prints one JSON line for each
//! answer. Further modes let it be careless or be used by somebody else.
//!
//! ```text
//! probe-agent --socket PATH SCOPE...            greet, check each scope
//!     --no-greeting                             ask without greeting
//!     --nonce N                                 send this nonce instead of the one of the greeting
//!     --stdin-socket                            standard input is the connection; do not greet, ask with --nonce
//!     --ask-on-line                             say `{"ready":true}`, and do all that at a line on standard input
//!     --repeat-on-line                          ask again for every line on standard input
//!     --lend PROGRAM ARG...                     greet, then run PROGRAM with the connection as its standard input
//!                                               and the nonce as its last argument
//!     --pass SOCKET                             greet, then pass the connection and the nonce to whoever listens there
//!     --exit-after-asking PROGRAM ARG...        greet, start PROGRAM on the connection, say `{"ready":true}`, wait for a
//!                                               line on standard input, send the question, exit without reading
//! probe-agent --socket PATH --request METHOD PATH [JSON]   greet, send this one request
//! probe-agent --socket PATH --relay            greet, send each line's request (`{"method", "path", "headers", "body"}`),
//!                                               print its answer (`{"status", "head", "body"}`)
//! probe-agent --socket PATH --follow           greet, print each event of `GET /v1/events`, and at the end `{"ended":true}`
//! probe-agent --run PROGRAM ARG...              run PROGRAM as its child
//! probe-agent --idle                            read standard input to its end and do nothing
//! probe-agent --print TEXT                      print TEXT
//! ```

use std::io::{BufRead, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use agentauth_api::{NONCE_HEADER, paths};
use e2e::raw::{Answer, Raw, request};
use serde_json::{Value, json};

#[derive(Default)]
struct Arguments {
    socket: Option<PathBuf>,
    scopes: Vec<String>,
    nonce: Option<String>,
    no_greeting: bool,
    stdin_socket: bool,
    repeat_on_line: bool,
    ask_on_line: bool,
    lend: Vec<String>,
    exit_after_asking: Vec<String>,
    pass: Option<PathBuf>,
    request: Vec<String>,
    follow: bool,
    relay: bool,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::default();
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--socket" => arguments.socket = given.next().map(PathBuf::from),
            "--nonce" => arguments.nonce = given.next(),
            "--no-greeting" => arguments.no_greeting = true,
            "--stdin-socket" => arguments.stdin_socket = true,
            "--ask-on-line" => arguments.ask_on_line = true,
            "--repeat-on-line" => arguments.repeat_on_line = true,
            "--lend" => arguments.lend = given.by_ref().collect(),
            "--exit-after-asking" => arguments.exit_after_asking = given.by_ref().collect(),
            "--request" => arguments.request = given.by_ref().collect(),
            "--relay" => arguments.relay = true,
            "--follow" => arguments.follow = true,
            "--pass" => arguments.pass = given.next().map(PathBuf::from),
            "--run" => {
                let status = Command::new(given.next().expect("a program")).args(given).status().unwrap();
                return ExitCode::from(status.code().unwrap_or(1) as u8);
            }
            "--idle" => {
                let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
                return ExitCode::SUCCESS;
            }
            "--print" => {
                print!("{}", given.next().unwrap_or_default());
                std::io::stdout().flush().unwrap();
                return ExitCode::SUCCESS;
            }
            _ => arguments.scopes.push(argument),
        }
    }
    match ask(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{}", json!({"io_error": error.to_string()}));
            ExitCode::FAILURE
        }
    }
}

fn ask(arguments: Arguments) -> std::io::Result<()> {
    if arguments.ask_on_line {
        println!("{}", json!({"ready": true}));
        std::io::stdout().flush()?;
        std::io::stdin().read_line(&mut String::new())?;
    }
    let mut raw = if arguments.stdin_socket {
        Raw::over(UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?))
    } else {
        Raw::connect(arguments.socket.as_deref().expect("--socket PATH"))?
    };
    let mut nonce = arguments.nonce.clone();
    if !arguments.no_greeting && !arguments.stdin_socket {
        let greeted = raw.greet()?;
        nonce.get_or_insert(greeted);
    }
    if let Some((program, rest)) = arguments.lend.split_first() {
        let nonce = nonce.unwrap_or_default();
        let status = Command::new(program)
            .args(rest)
            .arg(nonce)
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(raw.into_stream())))
            .status()?;
        return if status.success() { Ok(()) } else { Err(std::io::Error::other(status.to_string())) };
    }
    if let Some((program, rest)) = arguments.exit_after_asking.split_first() {
        let kept = Stdio::from(std::os::fd::OwnedFd::from(raw.stream().try_clone()?));
        Command::new(program).args(rest).stdin(kept).spawn()?;
        println!("{}", json!({"ready": true}));
        std::io::stdout().flush()?;
        std::io::stdin().read_line(&mut String::new())?;
        let body = json!({"scope": arguments.scopes.first()});
        return raw.send(&request("POST", paths::CHECK, nonce.as_deref(), Some(&body)));
    }
    if let Some(listener) = &arguments.pass {
        let to = UnixStream::connect(listener)?;
        e2e::descriptors::send(&to, nonce.unwrap_or_default().as_bytes(), &[raw.stream().as_fd()])?;
        // Alive until the other side is done: this must not be about an exit.
        let _ = (&to).read(&mut [0]);
        return Ok(());
    }
    if arguments.follow {
        for event in raw.follow(nonce.as_deref())? {
            println!("{event}");
            std::io::stdout().flush()?;
        }
        println!("{}", json!({"ended": true}));
        return Ok(());
    }
    if arguments.relay {
        return relay(&mut raw, nonce.as_deref());
    }
    if let [method, path, body @ ..] = arguments.request.as_slice() {
        let body = body.first().map(|body| serde_json::from_str::<Value>(body)).transpose()?;
        let answer = raw.ask(method, path, nonce.as_deref(), body.as_ref())?;
        print_answer(&answer);
    }
    check_all(&mut raw, nonce.as_deref(), &arguments.scopes)?;
    if arguments.repeat_on_line {
        for _ in std::io::stdin().lock().lines() {
            check_all(&mut raw, nonce.as_deref(), &arguments.scopes)?;
        }
    }
    Ok(())
}

/// Every byte of the request is the line's, but for the greeting.
fn relay(raw: &mut Raw, nonce: Option<&str>) -> std::io::Result<()> {
    for line in std::io::stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line?)?;
        let text = |name: &str| asked[name].as_str().unwrap_or_default();
        let body = text("body");
        let mut request = format!("{} {} HTTP/1.1\r\nhost: agentauthd\r\n", text("method"), text("path"));
        if let Some(nonce) = nonce {
            request += &format!("{NONCE_HEADER}: {nonce}\r\n");
        }
        for (name, value) in asked["headers"].as_object().into_iter().flatten() {
            request += &format!("{name}: {}\r\n", value.as_str().unwrap_or_default());
        }
        request += &format!("content-length: {}\r\n\r\n{body}", body.len());
        raw.send(request.as_bytes())?;
        let (head, answer) = raw.receive_with_head()?;
        let body = String::from_utf8_lossy(&answer.body);
        println!("{}", json!({"status": answer.status, "head": head, "body": body}));
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn check_all(raw: &mut Raw, nonce: Option<&str>, scopes: &[String]) -> std::io::Result<()> {
    for scope in scopes {
        let answer =
            raw.ask("POST", paths::CHECK, nonce, Some(&json!({"scope": scope, "purpose": "a test"})))?;
        print_answer(&answer);
    }
    Ok(())
}

fn print_answer(answer: &Answer) {
    match serde_json::from_slice::<Value>(&answer.body) {
        Ok(mut line) => {
            line["http_status"] = answer.status.into();
            println!("{line}");
        }
        // Some answers are no JSON.
        Err(_) => print!("{}", String::from_utf8_lossy(&answer.body)),
    }
    std::io::stdout().flush().unwrap();
}
