//! Hostile requests to the login's listener: each is refused with a page that says why, the login goes on, and the
//! right answer still gets through; and the answers that do end a login.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::future::pending;
use std::time::Duration;

use agentauth_idp::{CallbackRefusal, LoginError, LoginOptions, Outcome};
use secrecy::ExposeSecret as _;
use serde_json::json;
use support::browser::{Started, get, right_answer, start, start_with};
use support::provider;
use support::stub::{Stub, raw};

#[tokio::test]
async fn refused_and_the_login_goes_on() {
    use CallbackRefusal as R;
    type Make = fn(u16, &str) -> Vec<u8>;
    let table: &[(&str, Make, R)] = &[
        ("tampered state", |p, s| get(p, &format!("/callback?code=x&state={}", tamper(s))), R::WrongState),
        ("state with a tail", |p, s| get(p, &format!("/callback?code=x&state={s}x")), R::WrongState),
        (
            "state cut short",
            |p, s| get(p, &format!("/callback?code=x&state={}", &s[..s.len() - 1])),
            R::WrongState,
        ),
        ("empty state", |p, _| get(p, "/callback?code=x&state="), R::WrongState),
        ("missing state", |p, _| get(p, "/callback?code=x"), R::MissingState),
        ("error without state", |p, _| get(p, "/callback?error=access_denied"), R::MissingState),
        ("no query", |p, _| get(p, "/callback"), R::MissingState),
        ("two states", |p, s| get(p, &format!("/callback?code=x&state={s}&state={s}")), R::Duplicate),
        (
            "two states, one escaped",
            |p, s| get(p, &format!("/callback?code=x&state={s}&st%61te=evil")),
            R::Duplicate,
        ),
        ("two codes", |p, s| get(p, &format!("/callback?code=x&code=y&state={s}")), R::Duplicate),
        (
            "two of an unknown kind",
            |p, s| get(p, &format!("/callback?code=x&a=1&a=2&state={s}")),
            R::Duplicate,
        ),
        ("no code", |p, s| get(p, &format!("/callback?state={s}")), R::NoCode),
        ("empty code", |p, s| get(p, &format!("/callback?code=&state={s}")), R::NoCode),
        (
            "code and error",
            |p, s| get(p, &format!("/callback?code=x&error=access_denied&state={s}")),
            R::CodeAndError,
        ),
        ("huge code", |p, s| get(p, &format!("/callback?code={}&state={s}", "c".repeat(5000))), R::TooLong),
        (
            "huge query",
            |p, s| get(p, &format!("/callback?code=x&state={s}&pad={}", "p".repeat(9000))),
            R::TooLong,
        ),
        (
            "many parameters",
            |p, s| {
                get(
                    p,
                    &format!(
                        "/callback?state={s}{}",
                        (0..40).map(|i| format!("&p{i}=1")).collect::<String>()
                    ),
                )
            },
            R::TooLong,
        ),
        ("broken percent-encoding", |p, s| get(p, &format!("/callback?code=%zz&state={s}")), R::Malformed),
        ("cut percent-encoding", |p, s| get(p, &format!("/callback?state={s}&code=%4")), R::Malformed),
        ("invalid UTF-8", |p, s| get(p, &format!("/callback?code=%ff%fe&state={s}")), R::Malformed),
        ("foreign host", |p, s| with_host(p, s, "evil.example"), R::ForeignHost),
        ("rebound host with our port", |p, s| with_host(p, s, &format!("evil.example:{p}")), R::ForeignHost),
        ("host with another port", |p, s| with_host(p, s, "127.0.0.1:1"), R::ForeignHost),
        ("host without port", |p, s| with_host(p, s, "127.0.0.1"), R::ForeignHost),
        ("localhost", |p, s| with_host(p, s, &format!("localhost:{p}")), R::ForeignHost),
        ("another loopback address", |p, s| with_host(p, s, &format!("127.0.0.2:{p}")), R::ForeignHost),
        (
            "two hosts",
            |p, s| {
                format!("GET /callback?code=x&state={s} HTTP/1.1\r\nHost: 127.0.0.1:{p}\r\nHost: evil.example\r\n\r\n").into_bytes()
            },
            R::ForeignHost,
        ),
        (
            "no host",
            |_, s| format!("GET /callback?code=x&state={s} HTTP/1.0\r\n\r\n").into_bytes(),
            R::ForeignHost,
        ),
        (
            "a proxy's request",
            |p, s| get(p, &format!("http://evil.example/callback?code=x&state={s}")),
            R::AbsoluteTarget,
        ),
        ("POST", |p, s| other_method("POST", p, s), R::Method),
        ("HEAD", |p, s| other_method("HEAD", p, s), R::Method),
        ("PUT", |p, s| other_method("PUT", p, s), R::Method),
        ("OPTIONS", |p, s| other_method("OPTIONS", p, s), R::Method),
        ("wrong path", |p, s| get(p, &format!("/?code=x&state={s}")), R::NotFound),
        ("path with a slash more", |p, s| get(p, &format!("/callback/?code=x&state={s}")), R::NotFound),
        ("path traversal", |p, s| get(p, &format!("/x/../callback?code=x&state={s}")), R::NotFound),
        ("path in capitals", |p, s| get(p, &format!("/CALLBACK?code=x&state={s}")), R::NotFound),
        ("path escaped", |p, s| get(p, &format!("/%63allback?code=x&state={s}")), R::NotFound),
        ("path with parameter", |p, s| get(p, &format!("/callback;x?code=x&state={s}")), R::NotFound),
        ("favicon", |p, _| get(p, "/favicon.ico"), R::NotFound),
        ("a picture of another page", |p, s| fetched("image", p, s), R::NotNavigation),
        ("a frame of another page", |p, s| fetched("iframe", p, s), R::NotNavigation),
        ("a fetch of another page", |p, s| fetched("empty", p, s), R::NotNavigation),
    ];
    for (name, request, refusal) in table {
        let Started { attempt, port, state, stub } = start(LoginOptions::default()).await;
        let (status, head, page) = raw(port, &request(port, &state)).await;
        assert_eq!(status, refusal.status().as_u16(), "{name}: {head}");
        assert!(head.contains("cache-control: no-store"), "{name}: {head}");
        assert!(head.contains("referrer-policy: no-referrer"), "{name}");
        assert!(head.contains("content-security-policy: default-src 'none'"), "{name}");
        assert!(!page.contains(&state), "{name}: the page shows the state");
        if *name != "HEAD" {
            let said = refusal.to_string();
            let said = maud::html! { (said[1..]) }.into_string();
            assert!(page.contains(&said), "{name}: {page}");
            assert!(page.contains("Nothing was stored"), "{name}");
        }
        let (code, page) = right_answer(attempt, port, &state).await;
        assert_eq!(code, "the-code", "{name}");
        assert!(page.contains("You are logged in") && page.contains("Ada"), "{name}");
        assert!(stub.seen("/oauth2/v1/token").is_empty(), "{name}: a code was redeemed");
    }
}

fn tamper(state: &str) -> String {
    let swapped = if state.starts_with('A') { "B" } else { "A" };
    format!("{swapped}{}", &state[1..])
}

fn with_host(port: u16, state: &str, host: &str) -> Vec<u8> {
    let _ = port;
    format!("GET /callback?code=x&state={state} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

fn other_method(method: &str, port: u16, state: &str) -> Vec<u8> {
    format!("{method} /callback?code=x&state={state} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\n\r\n")
        .into_bytes()
}

fn fetched(dest: &str, port: u16, state: &str) -> Vec<u8> {
    format!("GET /callback?code=x&state={state} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nSec-Fetch-Dest: {dest}\r\n\r\n")
        .into_bytes()
}

#[tokio::test]
async fn not_even_http() {
    for (name, bytes) in [
        ("rubbish", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("control characters", b"GET /callback?code=\x01\x02 HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("endless head", [b"GET / HTTP/1.1\r\n".to_vec(), b"x: y\r\n".repeat(20_000)].concat()),
        ("endless target", format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(200_000)).into_bytes()),
    ] {
        let Started { attempt, port, state, .. } = start(LoginOptions::default()).await;
        let (status, ..) = raw(port, &bytes).await;
        assert!(matches!(status, 0 | 400 | 414 | 431), "{name}: {status}");
        assert_eq!(right_answer(attempt, port, &state).await.0, "the-code", "{name}");
    }
}

#[tokio::test]
async fn answers_that_end_the_login() {
    let table: &[(&str, &str, &str, Option<&str>)] = &[
        ("denied", "error=access_denied", "access_denied", None),
        (
            "denied, with words",
            "error=access_denied&error_description=not+today",
            "access_denied",
            Some("not today"),
        ),
        ("invalid request", "error=invalid_request", "invalid_request", None),
        ("unauthorized client", "error=unauthorized_client", "unauthorized_client", None),
        ("unsupported response type", "error=unsupported_response_type", "unsupported_response_type", None),
        ("invalid scope", "error=invalid_scope", "invalid_scope", None),
        ("server error", "error=server_error", "server_error", None),
        ("busy", "error=temporarily_unavailable", "temporarily_unavailable", None),
        ("login required", "error=login_required", "login_required", None),
        ("interaction required", "error=interaction_required", "interaction_required", None),
        ("consent required", "error=consent_required", "consent_required", None),
        ("unknown", "error=weather&error_uri=https://evil.example", "weather", None),
        (
            "control characters",
            "error=x%0a&error_description=a%1b%5b2Jb%e2%80%aec",
            "x\\u{a}",
            Some("a\\u{1b}[2Jb\\u{202e}c"),
        ),
        (
            "markup",
            "error=x&error_description=%3Cscript%3Ealert(1)%3C/script%3E",
            "x",
            Some("<script>alert(1)</script>"),
        ),
        ("a token", "error=x&error_description=eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "x", Some("[redacted]")),
    ];
    for (name, query, expected, words) in table {
        let Started { attempt, port, state, .. } = start(LoginOptions::default()).await;
        let request = get(port, &format!("/callback?{query}&state={state}"));
        let browser = tokio::spawn(async move { raw(port, &request).await });
        let error = attempt.wait(pending()).await.unwrap_err();
        let LoginError::Provider { code, description } = &error else { panic!("{name}: {error}") };
        assert_eq!((code.as_str(), description.as_deref()), (*expected, *words), "{name}");
        let (status, _, page) = browser.await.unwrap();
        assert_eq!(status, 200, "{name}");
        assert!(page.contains("The login did not succeed"), "{name}: {page}");
        assert!(
            !page.contains("<script") && !page.contains('\u{202e}') && !page.contains("eyJ"),
            "{name}: {page}"
        );
        assert_eq!(raw(port, &get(port, "/callback")).await.0, 0, "{name}: the listener is still open");
    }
    let long = format!("error=x&error_description={}", "w".repeat(5000));
    let Started { attempt, port, state, .. } = start(LoginOptions::default()).await;
    let request = get(port, &format!("/callback?{long}&state={state}"));
    let browser = tokio::spawn(async move { raw(port, &request).await });
    let error = attempt.wait(pending()).await.unwrap_err().to_string();
    assert!(error.chars().count() < 500, "{error}");
    browser.await.unwrap();
}

#[tokio::test]
async fn another_issuer_ends_the_login() {
    for (name, promised, query, refused) in [
        ("another", false, "code=x&iss=https%3A%2F%2Fevil.example", true),
        ("another, with an error", false, "error=access_denied&iss=https%3A%2F%2Fevil.example", true),
        ("empty", false, "code=x&iss=", true),
        ("promised and missing", true, "code=x", true),
        ("not promised and missing", false, "code=x", false),
    ] {
        let stub = Stub::start().await;
        stub.set_discovery(json!({"authorization_response_iss_parameter_supported": promised}));
        let provider = provider(&stub.base);
        let Started { attempt, port, state, .. } = start_with(stub, &provider, LoginOptions::default()).await;
        let request = get(port, &format!("/callback?{query}&state={state}"));
        let browser = tokio::spawn(async move { raw(port, &request).await });
        let outcome = attempt.wait(pending()).await;
        assert_eq!(matches!(outcome, Err(LoginError::IssuerMismatch { .. })), refused, "{name}: {outcome:?}");
        drop(outcome);
        browser.await.unwrap();
    }
    let stub = Stub::start().await;
    let issuer = provider(&stub.base).config().issuer();
    let provider = provider(&stub.base);
    let Started { attempt, port, state, .. } = start_with(stub, &provider, LoginOptions::default()).await;
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("code", "x"), ("state", &state), ("iss", &issuer)])
        .finish();
    let browser = tokio::spawn(async move { raw(port, &get(port, &format!("/callback?{query}"))).await });
    let callback = attempt.wait(pending()).await.unwrap();
    drop(callback);
    let (_, _, page) = browser.await.unwrap();
    assert!(page.contains("stopped before the login was complete"), "{page}");
}

#[tokio::test]
async fn a_second_answer_is_refused() {
    let Started { attempt, port, state, .. } = start(LoginOptions::default()).await;
    let request = get(port, &format!("/callback?code=first&state={state}"));
    // A connection that was open before the first answer came.
    let mut early = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let browser = tokio::spawn(async move { raw(port, &request).await });
    let callback = attempt.wait(pending()).await.unwrap();
    let second = get(port, &format!("/callback?code=second&state={state}"));
    tokio::io::AsyncWriteExt::write_all(&mut early, &second).await.unwrap();
    let mut answer = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut early, &mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 410 "), "{answer}");
    assert_eq!(raw(port, &second).await.0, 0, "the listener still accepts");
    assert_eq!(callback.grant.code.expose_secret(), "first");
    callback
        .finish(Outcome::Failed { what: "the code was refused".to_owned(), next: "Again.".to_owned() })
        .await;
    let (_, _, page) = browser.await.unwrap();
    assert!(page.contains("The code was refused") && page.contains("Again."), "{page}");
}

#[tokio::test]
async fn five_wrong_answers_end_the_login() {
    let Started { attempt, port, state, .. } = start(LoginOptions::default()).await;
    let waiting = tokio::spawn(attempt.wait(pending()));
    // What a page of another site can do in bulk does not count.
    for _ in 0..20 {
        assert_eq!(raw(port, &fetched("image", port, "guess")).await.0, 403);
        assert_eq!(raw(port, &get(port, "/favicon.ico")).await.0, 404);
    }
    for guess in 0..5 {
        assert!(!waiting.is_finished(), "{guess}");
        assert_eq!(raw(port, &get(port, &format!("/callback?code=x&state=guess{guess}"))).await.0, 403);
    }
    let error = waiting.await.unwrap().unwrap_err();
    assert!(
        matches!(error, LoginError::TooManyRefused { count: 5, last: CallbackRefusal::WrongState }),
        "{error}"
    );
    assert_eq!(raw(port, &get(port, &format!("/callback?code=x&state={state}"))).await.0, 0);
}

#[tokio::test]
async fn time_and_cancellation_end_the_login() {
    let limit = Some(Duration::from_millis(50));
    let Started { attempt, port, .. } = start(LoginOptions { limit, ..LoginOptions::default() }).await;
    let error = attempt.wait(pending()).await.unwrap_err();
    assert!(matches!(error, LoginError::TimedOut { .. }), "{error}");
    assert!(error.to_string().contains(&format!("http://127.0.0.1:{port}/callback")), "{error}");
    support::until("the listener closes", async || raw(port, b"x\r\n\r\n").await.0 == 0).await;

    let Started { attempt, .. } = start(LoginOptions::default()).await;
    let error = attempt.wait(std::future::ready(())).await.unwrap_err();
    assert!(matches!(error, LoginError::Cancelled), "{error}");
}

#[tokio::test]
async fn a_silent_connection_blocks_nobody() {
    let Started { attempt, port, state, .. } = start(LoginOptions::default()).await;
    let _silent = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let begun = std::pin::pin!(right_answer(attempt, port, &state));
    let (code, _) =
        tokio::time::timeout(Duration::from_secs(30), begun).await.expect("closing took too long");
    assert_eq!(code, "the-code");
}
