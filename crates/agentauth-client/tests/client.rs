//! The client against a small server: what it sends, when it connects anew, and what it makes of bad answers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentauth_client::{
    CheckRequest, Client, ClientError, ErrorCode, LoginProgress, LoginRequest, LogoutRequest, Problem,
    Verdict,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

/// What the server saw.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    connection: usize,
    request: String,
    nonce: Option<String>,
    body: Value,
}

/// What it does.
#[derive(Clone, Debug)]
enum Act {
    Answer(u16, Value),
    Raw(u16, &'static str, Bytes),
    AnswerAndClose(Value),
    /// Drop the connection without a word.
    Vanish,
    /// Never answer.
    Hang,
    /// Answer only after this long.
    Late(Duration, Value),
}

struct Server {
    directory: TempDir,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<Vec<JoinHandle<()>>>>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Serves `act`, which is told the number of the request (greetings not counted, from 0) and its path.
    fn start(act: impl Fn(usize, &str) -> Act + Send + Sync + 'static) -> Self {
        Self::with_hello(json!([1]), act)
    }

    fn with_hello(protocols: Value, act: impl Fn(usize, &str) -> Act + Send + Sync + 'static) -> Self {
        let directory = private_directory();
        let listener = UnixListener::bind(directory.path().join("agent.sock")).unwrap();
        let seen = Arc::new(Mutex::new(Vec::<Seen>::new()));
        let connections = Arc::new(Mutex::new(Vec::new()));
        let act = Arc::new(act);
        let accepting = tokio::spawn({
            let (seen, connections) = (seen.clone(), connections.clone());
            async move {
                for connection in 1.. {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (seen, act, protocols) = (seen.clone(), act.clone(), protocols.clone());
                    let service = service_fn(move |request: Request<Incoming>| {
                        let (seen, act, protocols) = (seen.clone(), act.clone(), protocols.clone());
                        async move { serve(connection, request, &seen, &*act, protocols).await }
                    });
                    let serving = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    connections.lock().unwrap().push(tokio::spawn(async move {
                        let _ = serving.await;
                    }));
                }
            }
        });
        Self { directory, seen, connections, accepting }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("agent.sock")
    }

    fn client(&self) -> Client {
        Client::new(self.socket(), me(&self.directory)).with_patience(Duration::from_secs(20))
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// `connection request` of everything seen.
    fn log(&self) -> Vec<String> {
        self.seen().iter().map(|seen| format!("{} {}", seen.connection, seen.request)).collect()
    }

    /// Closes every connection, as a daemon does with idle ones.
    async fn close_connections(&self) {
        let connections = std::mem::take(&mut *self.connections.lock().unwrap());
        for connection in connections {
            connection.abort();
            let _ = connection.await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(
    connection: usize,
    request: Request<Incoming>,
    seen: &Mutex<Vec<Seen>>,
    act: &(impl Fn(usize, &str) -> Act + ?Sized),
    protocols: Value,
) -> Result<Response<Full<Bytes>>, io::Error> {
    assert_eq!(request.headers()["host"], "agentauthd");
    let name = format!("{} {}", request.method(), request.uri());
    let path = request.uri().path().to_owned();
    let nonce = request.headers().get("agentauthd-nonce").map(|nonce| nonce.to_str().unwrap().to_owned());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    let number = {
        let mut seen = seen.lock().unwrap();
        let number = seen.iter().filter(|seen| seen.request != "GET /v1/hello").count();
        seen.push(Seen { connection, request: name, nonce, body });
        number
    };
    let act = if path == "/v1/hello" {
        let nonce = format!("nonce-{connection}");
        Act::Answer(
            200,
            json!({"name": "agentauthd", "version": "9", "profile": "dev", "protocols": protocols, "nonce": nonce}),
        )
    } else {
        act(number, &path)
    };
    let answer = |status: u16, kind: &str, body: Bytes| {
        Response::builder().status(status).header("content-type", kind).body(Full::new(body)).unwrap()
    };
    match act {
        Act::Answer(status, value) if status >= 400 && value.get("code").is_some() => {
            Ok(answer(status, "application/problem+json", value.to_string().into()))
        }
        Act::Answer(status, value) => Ok(answer(status, "application/json", value.to_string().into())),
        Act::Raw(status, kind, body) => Ok(answer(status, kind, body)),
        Act::AnswerAndClose(value) => {
            let mut response = answer(200, "application/json", value.to_string().into());
            response.headers_mut().insert("connection", "close".parse().unwrap());
            Ok(response)
        }
        Act::Vanish => Err(io::Error::other("vanished")),
        Act::Late(delay, value) => {
            tokio::time::sleep(delay).await;
            Ok(answer(200, "application/json", value.to_string().into()))
        }
        Act::Hang => {
            std::future::pending::<Infallible>().await;
            unreachable!()
        }
    }
}

fn private_directory() -> TempDir {
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir().unwrap()
}

fn me(directory: &TempDir) -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(directory.path()).unwrap().uid()
}

fn health() -> Value {
    json!({"status": "ok"})
}

fn decision(verdict: &str) -> Value {
    json!({
        "id": "d1", "decision": verdict, "reason": "granted", "message": "m", "model_message": "mm", "agents": ["a"],
        "assurance": "path", "scopes": ["files.read"], "expires_at": "2026-03-01T12:00:00Z"
    })
}

fn problem(code: ErrorCode) -> Act {
    Act::Answer(code.status(), serde_json::to_value(Problem::new(code, "because")).unwrap())
}

fn a_check() -> CheckRequest {
    CheckRequest { scope: Some("files.read".to_owned()), ..CheckRequest::default() }
}

#[tokio::test]
async fn it_greets_once_and_sends_the_nonce_with_every_later_request() {
    let server = Server::start(|_, path| match path {
        "/v1/check" => Act::Answer(200, decision("allow")),
        _ => Act::Answer(200, health()),
    });
    let mut client = server.client();
    assert_eq!(client.health().await.unwrap().status, "ok");
    assert_eq!(client.check(&a_check()).await.unwrap().decision, Verdict::Allow);
    client.ready().await.unwrap();
    assert_eq!(server.log(), ["1 GET /v1/hello", "1 GET /healthz", "1 POST /v1/check", "1 GET /readyz"]);
    let nonces: Vec<_> = server.seen().into_iter().map(|seen| seen.nonce).collect();
    let sent = Some("nonce-1".to_owned());
    assert_eq!(nonces, [None, sent.clone(), sent.clone(), sent]);
    assert_eq!(server.seen()[2].body, json!({"scope": "files.read"}));
}

#[tokio::test]
async fn it_tells_the_daemon_of_another_profile_nothing() {
    let server = Server::start(|_, _| Act::Answer(200, decision("allow")));
    let mut client = server.client().for_profile("prod");
    let error = client.check(&a_check()).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::OtherProfile { meant, serves, .. } if meant == "prod" && serves == "dev")
    );
    assert!(!error.is_unreachable());
    assert_eq!(server.log(), ["1 GET /v1/hello"], "the question was not sent");
    let mut client = server.client().for_profile("dev");
    assert_eq!(client.check(&a_check()).await.unwrap().decision, Verdict::Allow);
}

#[tokio::test]
async fn it_connects_and_greets_anew_when_the_daemon_has_closed_the_connection() {
    let server = Server::start(|_, path| match path {
        "/v1/check" => Act::Answer(200, decision("deny")),
        _ => Act::Answer(200, health()),
    });
    let mut client = server.client();
    client.health().await.unwrap();
    server.close_connections().await;
    // Also for a check: nothing of it had been sent.
    assert_eq!(client.check(&a_check()).await.unwrap().decision, Verdict::Deny);
    assert_eq!(server.log()[2..], ["2 GET /v1/hello", "2 POST /v1/check"]);
    assert_eq!(server.seen()[3].nonce.as_deref(), Some("nonce-2"));
}

#[tokio::test]
async fn it_heeds_connection_close() {
    let server = Server::start(|number, _| match number {
        0 => Act::AnswerAndClose(health()),
        _ => Act::Answer(200, health()),
    });
    let mut client = server.client();
    for _ in 0..3 {
        client.health().await.unwrap();
    }
    assert_eq!(
        server.log(),
        ["1 GET /v1/hello", "1 GET /healthz", "2 GET /v1/hello", "2 GET /healthz", "2 GET /healthz"]
    );
}

#[tokio::test]
async fn what_may_have_been_carried_out_is_not_sent_twice() {
    let server = Server::start(|number, _| match number {
        1 => Act::Vanish,
        _ => Act::Answer(200, decision("allow")),
    });
    let mut client = server.client();
    client.check(&a_check()).await.unwrap();
    assert!(matches!(client.check(&a_check()).await, Err(ClientError::Lost { .. })));
    assert_eq!(server.log().iter().filter(|line| line.ends_with("/v1/check")).count(), 2);
    client.check(&a_check()).await.unwrap();
}

#[tokio::test]
async fn a_question_that_changes_nothing_is_asked_again_once() {
    let server = Server::start(|number, _| match number {
        1 => Act::Vanish,
        3.. => Act::Vanish,
        _ => Act::Answer(200, health()),
    });
    let mut client = server.client();
    client.health().await.unwrap();
    client.health().await.unwrap();
    assert!(matches!(client.health().await, Err(ClientError::Lost { .. })), "but not for ever");
    assert_eq!(server.log().len(), 8, "{:?}", server.log());
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_told_from_one_that_is_not_trusted() {
    let directory = private_directory();
    let socket = directory.path().join("agent.sock");
    let mut client = Client::new(&socket, me(&directory));
    let absent = client.status().await.unwrap_err();
    assert!(matches!(absent, ClientError::NotRunning { .. }) && absent.is_unreachable());
    assert!(absent.to_string().contains("agentauthd run"), "{absent}");

    drop(UnixListener::bind(&socket).unwrap());
    assert!(
        matches!(client.status().await, Err(ClientError::NotRunning { .. })),
        "a socket that nobody serves"
    );

    let _listener = {
        std::fs::remove_file(&socket).unwrap();
        UnixListener::bind(&socket).unwrap()
    };
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let untrusted = client.status().await.unwrap_err();
    assert!(matches!(untrusted, ClientError::Untrusted { .. }) && !untrusted.is_unreachable(), "{untrusted}");
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut stranger = Client::new(&socket, me(&directory) + 1);
    assert!(matches!(stranger.status().await, Err(ClientError::Untrusted { .. })));
}

#[tokio::test]
async fn a_problem_is_a_refusal_and_a_failed_proof_is_greeted_anew() {
    let server = Server::start(|number, _| match number {
        0 => problem(ErrorCode::ScopeInvalid),
        1 => problem(ErrorCode::CallerUnproven),
        _ => Act::Answer(200, decision("allow")),
    });
    let mut client = server.client();
    for code in [ErrorCode::ScopeInvalid, ErrorCode::CallerUnproven] {
        let error = client.check(&a_check()).await.unwrap_err();
        assert_eq!(error.problem().unwrap().code, code);
        assert!(error.to_string().contains("because"));
    }
    client.check(&a_check()).await.unwrap();
    assert_eq!(
        server.log(),
        ["1 GET /v1/hello", "1 POST /v1/check", "1 POST /v1/check", "2 GET /v1/hello", "2 POST /v1/check"]
    );
}

#[tokio::test]
async fn a_newer_daemons_reason_is_told_though_its_code_is_not_known() {
    let newer = json!({"type": "urn:x", "title": "t", "status": 409, "code": "moon_phase", "detail": "wait for the moon"});
    let server = Server::start(move |_, _| Act::Answer(409, newer.clone()));
    let error = server.client().check(&a_check()).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Protocol { .. }) && error.to_string().contains("wait for the moon"),
        "{error}"
    );
}

#[tokio::test]
async fn not_ready_is_an_answer() {
    let server = Server::start(|_, _| Act::Answer(503, json!({"status": "waiting", "missing": ["keys"]})));
    assert_eq!(server.client().ready().await.unwrap().missing, ["keys"]);
}

#[tokio::test]
async fn answers_that_make_no_sense_are_no_answers() {
    let huge = Bytes::from(vec![b' '; 1024 * 1024 + 1]);
    let cases = [
        Act::Raw(200, "application/json", huge),
        Act::Raw(200, "application/json", Bytes::from_static(b"{\"decision\":\"allow\"}")),
        Act::Raw(200, "text/html", Bytes::from_static(b"<h1>It works</h1>")),
        Act::Raw(502, "text/html", Bytes::from_static(b"<h1>Bad gateway</h1>")),
        Act::Answer(302, json!({"location": "elsewhere"})),
        Act::Answer(500, decision("allow")),
    ];
    for case in cases {
        let server = Server::start({
            let case = case.clone();
            move |_, _| case.clone()
        });
        let answer = server.client().check(&a_check()).await;
        assert!(matches!(answer, Err(ClientError::Protocol { .. })), "{answer:?} to {case:?}");
    }
}

#[tokio::test]
async fn a_daemon_of_another_protocol_is_not_spoken_to() {
    let server = Server::with_hello(json!([2, 3]), |_, _| Act::Answer(200, health()));
    let error = server.client().health().await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
    assert!(error.to_string().contains("[2, 3]"), "{error}");
    assert_eq!(server.log(), ["1 GET /v1/hello"]);
}

#[tokio::test]
async fn a_daemon_that_hangs_is_not_waited_for_for_ever() {
    let server = Server::start(|number, _| if number == 0 { Act::Hang } else { Act::Answer(200, health()) });
    let mut client = server.client().with_patience(Duration::from_millis(50));
    assert!(matches!(client.health().await, Err(ClientError::TimedOut { .. })));
    let mut client = client.with_patience(Duration::from_secs(20));
    client.health().await.unwrap();
    assert_eq!(
        server.seen().last().unwrap().connection,
        2,
        "the unfinished exchange's connection is not used again"
    );
}

#[tokio::test]
async fn what_the_request_itself_asks_to_wait_is_waited_beyond_the_patience() {
    let late = |value| Act::Late(Duration::from_millis(400), value);
    let server = Server::start(move |number, _| match number {
        0 => late(decision("allow")),
        1 => late(json!({"state": "waiting"})),
        2 => late(json!({"was_logged_in": true, "revoked_at_provider": true, "secret_removed": true})),
        _ => Act::Hang,
    });
    // With a patience of nothing, all that is waited is what the request asks for.
    let mut client = server.client().with_patience(Duration::ZERO);
    let waits = CheckRequest { wait_ms: Some(20_000), ..a_check() };
    assert_eq!(client.check(&waits).await.unwrap().decision, Verdict::Allow);
    client.login_progress("x", Duration::from_secs(20)).await.unwrap();
    assert!(client.logout(&LogoutRequest { everywhere: false }).await.unwrap().was_logged_in);

    let waits = CheckRequest { wait_ms: Some(100), ..a_check() };
    let mut client = server.client().with_patience(Duration::from_millis(50));
    match client.check(&waits).await {
        Err(ClientError::TimedOut { limit, .. }) => assert_eq!(limit, Duration::from_millis(150)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_login_and_a_logout() {
    let server = Server::start(|number, _| match number {
        0 => Act::Answer(
            200,
            json!({"id": "0192-ab", "method": "browser", "url": "https://p/x", "redirect_uri": "http://127.0.0.1:1/cb", "expires_at": "2026-03-01T12:00:00Z"}),
        ),
        1 => Act::Answer(200, json!({"state": "waiting"})),
        2 => Act::Answer(200, json!({"state": "done", "user": {"subject": "U1"}})),
        _ => Act::Answer(
            200,
            json!({"was_logged_in": true, "revoked_at_provider": false, "secret_removed": true, "failures": ["x"]}),
        ),
    });
    let mut client = server.client();
    let request = LoginRequest { tenant: Some("T1".to_owned()), ..LoginRequest::default() };
    let started = client.login_start(&request).await.unwrap();
    let wait = Duration::from_secs(3600);
    assert_eq!(client.login_progress(&started.id, wait).await.unwrap(), LoginProgress::Waiting);
    assert!(matches!(client.login_progress(&started.id, wait).await.unwrap(), LoginProgress::Done { .. }));
    let ended = client.logout(&LogoutRequest { everywhere: true }).await.unwrap();
    assert_eq!(ended.failures, ["x"]);
    let seen = server.seen();
    assert_eq!(seen[1].body, json!({"tenant": "T1"}));
    assert_eq!(seen[2].request, "GET /v1/login/0192-ab?wait_ms=30000", "a wait is bounded");
    assert_eq!(
        (seen[4].request.as_str(), &seen[4].body),
        ("DELETE /v1/session", &json!({"everywhere": true}))
    );
    for id in ["", "../session", "a/b", "a?b", "a b"] {
        assert!(client.login_progress(id, wait).await.is_err(), "{id}");
    }
    assert_eq!(server.seen().len(), 5, "an identifier that could change the path is never sent");
}

#[tokio::test]
async fn hello_always_greets() {
    let server = Server::start(|_, _| Act::Answer(200, health()));
    let mut client = server.client();
    assert_eq!(client.hello().await.unwrap().nonce, "nonce-1");
    assert_eq!(client.hello().await.unwrap().nonce, "nonce-2");
    client.health().await.unwrap();
    assert_eq!(server.log(), ["1 GET /v1/hello", "2 GET /v1/hello", "2 GET /healthz"]);
    assert!(!format!("{client:?}").contains("nonce-2"));
}

#[test]
fn it_works_on_a_runtime_that_is_entered_again_and_again() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(async { Server::start(|_, _| Act::Answer(200, health())) });
    let mut client = server.client();
    for _ in 0..3 {
        runtime.block_on(client.health()).unwrap();
    }
    assert_eq!(server.seen().iter().map(|seen| seen.connection).max(), Some(1));
}
