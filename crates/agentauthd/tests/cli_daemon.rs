//! The real program against a stand-in daemon: what each subcommand asks, prints and exits with.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A daemon that answers from a table.
struct Daemon {
    home: TempDir,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

type Answer = dyn Fn(&str, usize) -> (u16, Value) + Send + Sync;

impl Daemon {
    /// `answer` is told the request (`GET /v1/status`) and how often it came before.
    fn start(answer: impl Fn(&str, usize) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let home =
            tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir().unwrap();
        let directory = home.path().join("agentauthd");
        std::fs::create_dir(&directory).unwrap();
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700)).unwrap();
        let listener = UnixListener::bind(directory.join("agent.sock")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answer: Arc<Answer> = Arc::new(answer);
        std::thread::spawn({
            let asked = asked.clone();
            move || {
                for stream in listener.incoming().flatten() {
                    let (asked, answer) = (asked.clone(), answer.clone());
                    std::thread::spawn(move || serve(stream, &asked, &*answer));
                }
            }
        });
        Self { home, asked }
    }

    #[allow(clippy::disallowed_methods, reason = "the program under test is started")]
    fn spawn(&self, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_agentauthd"))
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.home.path())
            // Wherever the tests run, these programs are behind SSH, in a terminal for UTF-8.
            .env("SSH_CONNECTION", "192.0.2.7 50312 192.0.2.1 22")
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Exit code, standard output, standard error.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        told(self.spawn(arguments).wait_with_output().unwrap())
    }

    fn asked(&self) -> Vec<(String, Value)> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(request, _)| request != "GET /v1/hello").cloned().collect()
    }
}

fn told(output: Output) -> (i32, String, String) {
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn serve(stream: UnixStream, asked: &Mutex<Vec<(String, Value)>>, answer: &Answer) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        let mut length = 0;
        let request = loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break head.split(" HTTP").next().unwrap().to_owned();
            }
            if head.is_empty() {
                head = line;
            }
        };
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let before = {
            let mut asked = asked.lock().unwrap();
            let before = asked.iter().filter(|(name, _)| *name == request).count();
            asked.push((request.clone(), body));
            before
        };
        let (status, value) = if request == "GET /v1/hello" {
            (
                200,
                json!({"name": "agentauthd", "version": "9", "profile": "default", "protocols": [1], "nonce": "n"}),
            )
        } else {
            answer(&request, before)
        };
        let text = value.to_string();
        let kind = if status >= 400 { "application/problem+json" } else { "application/json" };
        let head =
            format!("HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", text.len());
        if writer.write_all((head + &text).as_bytes()).is_err() {
            return;
        }
    }
}

fn decision(verdict: &str, reason: &str) -> Value {
    json!({
        "id": "d1", "decision": verdict, "reason": reason, "message": "because of that", "model_message": "mm",
        "agents": ["payment-agent"], "assurance": "path", "scopes": ["files.read:/x"],
        "expires_at": "2026-03-01T12:00:00Z"
    })
}

fn problem(code: &str, status: u16) -> (u16, Value) {
    (
        status,
        json!({"type": "urn:x", "title": code, "status": status, "code": code, "detail": "do it otherwise"}),
    )
}

fn status(phase: &str) -> Value {
    json!({
        "version": "0.1.0", "pid": 1, "started_at": "2026-03-01T09:00:00Z", "profile": "default",
        "device": "device:uuid:0", "locked": false,
        "session": {"phase": phase, "user": {"subject": "U1", "name": "Ada\u{202e}", "email": "ada@example.com"}},
        "provider": {"kind": "descope", "issuer": "https://api.descope.com/P", "project_id": "P", "base_url": "https://api.descope.com", "redirect_uris": []},
        "keys": {"count": 0}, "secret_store": {"kind": "Secret Service", "usable": true},
        "policy": {"count": 0, "sources": []}, "audit": {"writable": true, "records": 1},
        "agents": [], "caller": {"pid": 2, "assurance": "unproven", "grade": "none", "greeted": true}, "problems": []
    })
}

#[test]
fn check_exits_by_the_decision() {
    let allows = Daemon::start(|_, _| (200, decision("allow", "granted")));
    let (code, out, talk) = allows.run(&["check", "files.read:/x", "--purpose", "why", "--wait", "2s"]);
    assert_eq!((code, talk.as_str()), (0, ""));
    assert!(out.starts_with("allow  granted\nbecause of that\n"), "{out}");
    assert_eq!(
        allows.asked(),
        [("POST /v1/check".to_owned(), json!({"scope": "files.read:/x", "purpose": "why", "wait_ms": 2000}))]
    );

    let denies = Daemon::start(|_, _| (200, decision("deny", "consent_required")));
    let (code, out, _) = denies.run(&["check", "a.b", "c.d", "--as", "payment-agent", "--json"]);
    assert_eq!(code, 2);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["reason"], "consent_required");
    assert_eq!(denies.asked()[0].1, json!({"scopes": ["a.b", "c.d"], "as": "payment-agent"}));
}

#[test]
fn a_refusal_is_an_error_and_never_an_allow() {
    let cases = [
        problem("scope_invalid", 400),
        problem("rate_limited", 429),
        problem("audit_unavailable", 503),
        (200, json!({"decision": "allow"})),
        (200, json!("allow")),
    ];
    for case in cases {
        let daemon = Daemon::start({
            let case = case.clone();
            move |_, _| case.clone()
        });
        let (code, out, talk) = daemon.run(&["check", "files.read"]);
        assert_eq!((code, out.as_str()), (1, ""), "{case:?}");
        assert!(talk.starts_with("error: "), "{talk}");
    }
}

#[test]
fn whoami_and_status_by_phase() {
    for (phase, code) in [("active", 0), ("unverified", 1), ("over", 1), ("logged_out", 1)] {
        let daemon = Daemon::start(move |_, _| (200, status(phase)));
        let (exit, out, talk) = daemon.run(&["whoami"]);
        assert_eq!(exit, code, "{phase}: {talk}");
        assert_eq!(
            out.starts_with("Ada\\u{202e} <ada@example.com>\n"),
            phase != "logged_out",
            "{phase}: {out}"
        );
        let (exit, out, _) = daemon.run(&["whoami", "--json"]);
        assert_eq!((exit, &serde_json::from_str::<Value>(&out).unwrap()["phase"]), (code, &json!(phase)));
        let (exit, out, _) = daemon.run(&["status"]);
        assert_eq!(exit, 0, "the daemon is there: {out}");
        assert!(!out.contains('\u{202e}'));
        let (_, out, _) = daemon.run(&["status", "--json"]);
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["profile"], "default");
    }
}

fn started() -> Value {
    json!({
        "id": "0192-ab", "method": "browser", "device_offered": true,
        "url": "https://provider.example.com/authorize?state=x",
        "redirect_uri": "http://127.0.0.1:47823/callback", "expires_at": "2099-01-01T00:00:00Z"
    })
}

#[test]
fn login_prints_the_address_and_follows_it() {
    let daemon = Daemon::start(|request, before| match (request, before) {
        ("POST /v1/login", _) => (200, started()),
        (_, 0) => (200, json!({"state": "waiting"})),
        _ => (200, json!({"state": "done", "user": {"subject": "U1", "name": "Ada"}})),
    });
    let (code, out, talk) =
        daemon.run(&["login", "--no-browser", "--flow", "f", "--login-hint", "ada@example.com"]);
    assert_eq!((code, out.as_str()), (0, "Logged in as Ada.\n"), "{talk}");
    assert!(talk.contains("https://provider.example.com/authorize?state=x"), "{talk}");
    assert!(talk.contains("ssh -L 47823:127.0.0.1:47823"), "{talk}");
    assert!(talk.contains("agentauthd login --device"), "{talk}");
    let asked = daemon.asked();
    assert_eq!(asked[0].1, json!({"flow": "f", "login_hint": "ada@example.com"}));
    assert_eq!(asked.len(), 3);
}

#[test]
fn a_login_that_fails_says_why() {
    let daemon = Daemon::start(|request, _| match request {
        "POST /v1/login" => (200, started()),
        _ => (200, json!({"state": "failed", "code": "access_denied", "message": "you said no; try again"})),
    });
    let (code, out, talk) = daemon.run(&["login", "--no-browser"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(talk.contains("error: the login failed: you said no; try again"), "{talk}");
    let (code, out, _) = daemon.run(&["login", "--no-browser", "--json"]);
    assert_eq!((code, &serde_json::from_str::<Value>(&out).unwrap()["code"]), (1, &json!("access_denied")));

    let busy = Daemon::start(|_, _| problem("login_unavailable", 503));
    let (code, _, talk) = busy.run(&["login", "--no-browser"]);
    assert!(code == 1 && talk.contains("do it otherwise"), "{talk}");
}

fn on_another_device() -> Value {
    json!({
        "id": "0192-ab", "method": "device", "verification_uri": "https://provider.example.com/device",
        "verification_uri_complete": "https://provider.example.com/device?user_code=WDJB-MJHT",
        "user_code": "WDJB-MJHT", "expires_at": "2099-01-01T00:00:00Z"
    })
}

#[test]
fn login_on_another_device_shows_the_code_and_warns() {
    let daemon = Daemon::start(|request, before| match (request, before) {
        ("POST /v1/login", _) => (200, on_another_device()),
        (_, 0) => (200, json!({"state": "waiting"})),
        _ => (200, json!({"state": "done", "user": {"subject": "U1", "name": "Ada"}})),
    });
    let (code, out, talk) = daemon.run(&["login", "--device"]);
    assert_eq!((code, out.as_str()), (0, "Logged in as Ada.\n"), "{talk}");
    for shown in [
        "https://provider.example.com/device\n",
        "WDJB-MJHT",
        "Only go on if you started this login yourself",
    ] {
        assert!(talk.contains(shown), "{shown}: {talk}");
    }
    assert!(!talk.contains('█') && !talk.contains('▀'), "no picture where nobody looks: {talk}");
    assert_eq!(daemon.asked()[0].1, json!({"method": "device"}));

    let (_, _, talk) = daemon.run(&["login", "--device", "--qr"]);
    let picture: Vec<&str> = talk.lines().filter(|line| line.contains('█')).collect();
    assert!(picture.len() > 12, "{talk}");
    let (before, after) = (talk.find('█').unwrap(), talk.find("enter the code").unwrap());
    assert!(before < after, "the code stays in sight: {talk}");

    let (code, out, _) = daemon.run(&["login", "--device", "--json"]);
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, lines.len()), (0, 2), "{out}");
    assert_eq!((&lines[0]["state"], &lines[0]["user_code"]), (&json!("waiting"), &json!("WDJB-MJHT")));
    assert_eq!(lines[1]["state"], "done");
}

#[test]
fn what_makes_no_sense_with_another_device_is_refused() {
    let daemon = Daemon::start(|_, _| (200, on_another_device()));
    for more in [&["--no-browser"][..], &["--flow", "f"], &["--tenant", "T"], &["--login-hint", "ada"]] {
        let (code, _, talk) = daemon.run(&[&["login", "--device"], more].concat());
        assert!(code == 64 && talk.contains("cannot be used with"), "{more:?}: {talk}");
    }
    assert_eq!(daemon.run(&["login", "--qr"]).0, 64);
    assert!(daemon.asked().is_empty());
}

#[test]
fn logout_tells_what_could_not_be_done() {
    let clean = Daemon::start(|_, _| {
        (200, json!({"was_logged_in": true, "revoked_at_provider": true, "secret_removed": true}))
    });
    assert_eq!(clean.run(&["logout"]), (0, "Logged out.\n".to_owned(), String::new()));
    assert_eq!(clean.run(&["logout", "--everywhere"]).1, "Logged out, on all machines.\n");
    assert_eq!(clean.asked()[1], ("DELETE /v1/session".to_owned(), json!({"everywhere": true})));

    let torn = Daemon::start(|_, _| {
        let failures = ["the provider did not answer; the session there ends by itself"];
        (
            200,
            json!({"was_logged_in": true, "revoked_at_provider": false, "secret_removed": true, "failures": failures}),
        )
    });
    let (code, out, talk) = torn.run(&["logout"]);
    assert_eq!((code, out.as_str()), (1, "Logged out on this machine.\n"));
    assert!(talk.contains("warning: the provider did not answer"), "{talk}");
}

#[test]
fn a_logout_that_takes_long_says_what_it_waits_for() {
    let (answer, answered) = std::sync::mpsc::channel::<()>();
    let answered = Mutex::new(answered);
    let daemon = Daemon::start(move |_, _| {
        // Not before the person has been told.
        answered.lock().unwrap().recv().unwrap();
        (200, json!({"was_logged_in": true, "revoked_at_provider": true, "secret_removed": true}))
    });
    let mut logout = daemon.spawn(&["logout"]);
    let mut talk = BufReader::new(logout.stderr.take().unwrap());
    let mut line = String::new();
    talk.read_line(&mut line).unwrap();
    assert!(line.contains("Waiting for the provider"), "{line}");
    answer.send(()).unwrap();
    let (code, out, _) = told(logout.wait_with_output().unwrap());
    assert_eq!((code, out.as_str()), (0, "Logged out.\n"));
}

#[test]
fn ctrl_c_ends_waiting_and_watching_politely() {
    let daemon = Daemon::start(|request, _| match request {
        "POST /v1/login" => (200, started()),
        "GET /v1/status" => (200, status("active")),
        _ => {
            std::thread::park();
            (500, Value::Null)
        }
    });
    let login = daemon.spawn(&["login", "--no-browser"]);
    await_request(&daemon, "GET /v1/login/0192-ab?wait_ms=25000");
    interrupt(&login);
    let (code, out, talk) = told(login.wait_with_output().unwrap());
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(talk.contains("Stopped waiting"), "{talk}");

    let watch = daemon.spawn(&["status", "--watch", "--json"]);
    await_request(&daemon, "GET /v1/status");
    interrupt(&watch);
    let (code, out, talk) = told(watch.wait_with_output().unwrap());
    assert_eq!((code, talk.as_str()), (0, ""));
    for line in out.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
}

#[test]
fn watch_outlives_a_daemon_that_goes_away() {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let daemon = Daemon::start(move |request, _| match request {
        "GET /v1/status" if asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 1 => {
            problem("shutting_down", 503)
        }
        "GET /v1/status" => (200, status("active")),
        _ => problem("not_found", 404),
    });
    let mut watch = daemon.spawn(&["status", "--watch", "--json"]);
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["profile"], "default");
    assert!(next()["error"].is_string());
    assert_eq!(next()["profile"], "default");
    interrupt(&watch);
    watch.wait().unwrap();
}

/// Waits until the daemon was asked this.
fn await_request(daemon: &Daemon, request: &str) {
    for _ in 0..3000 {
        if daemon.asked().iter().any(|(asked, _)| asked == request) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("was not asked {request}, only {:?}", daemon.asked());
}

fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}
