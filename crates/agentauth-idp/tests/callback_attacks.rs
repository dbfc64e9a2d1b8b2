//! Requests to the login's listener as no browser writes them: odd methods, targets, hosts, encodings, bodies and
//! floods. Each is refused or ignored, the login goes on, and the right answer still gets through.
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

use agentauth_idp::CallbackRefusal as R;
use agentauth_idp::{Login, LoginError, LoginOptions, Loopback, Provider, ProviderConfig, ProviderSettings};
use support::browser::{Started, get, right_answer, start};
use support::stub::{raw, raw_at};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// A request of these parts, otherwise right. `{p}` stands for the port, `{s}` for the state.
fn line(method: &str, target: &str, headers: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\n{headers}\r\n")
}

const HOST: &str = "Host: 127.0.0.1:{p}\r\n";
const RIGHT: &str = "/callback?code=x&state={s}";

fn method(name: &str) -> String {
    line(name, RIGHT, HOST)
}

fn target(target: &str) -> String {
    line("GET", target, HOST)
}

fn query(query: &str) -> String {
    target(&format!("/callback?{query}"))
}

fn host(headers: &str) -> String {
    line("GET", RIGHT, headers)
}

fn header(more: &str) -> String {
    line("GET", RIGHT, &format!("{HOST}{more}\r\n"))
}

fn table() -> Vec<(&'static str, String, R)> {
    vec![
        // Methods.
        ("TRACE", method("TRACE"), R::Method),
        ("PATCH", method("PATCH"), R::Method),
        ("DELETE", method("DELETE"), R::Method),
        ("a method of its own", method("FETCH"), R::Method),
        ("get in lower case", method("get"), R::Method),
        (
            "the preflight of another page",
            line(
                "OPTIONS",
                RIGHT,
                &format!(
                    "{HOST}Origin: https://evil.example\r\nAccess-Control-Request-Method: GET\r\n\
                     Access-Control-Request-Private-Network: true\r\n"
                ),
            ),
            R::Method,
        ),
        // Targets.
        ("a tunnel", line("CONNECT", "127.0.0.1:{p}", HOST), R::AbsoluteTarget),
        (
            "our own address as a proxy's",
            target("http://127.0.0.1:{p}/callback?code=x&state={s}"),
            R::AbsoluteTarget,
        ),
        ("another scheme", target("https://127.0.0.1:{p}/callback?code=x&state={s}"), R::AbsoluteTarget),
        ("the whole server", line("OPTIONS", "*", HOST), R::NotFound),
        ("two slashes", target("//callback?code=x&state={s}"), R::NotFound),
        ("a dot segment", target("/./callback?code=x&state={s}"), R::NotFound),
        ("an escaped dot segment", target("/%2e%2e/callback?code=x&state={s}"), R::NotFound),
        ("an escaped slash", target("/callback%2f?code=x&state={s}"), R::NotFound),
        ("an escaped NUL", target("/callback%00?code=x&state={s}"), R::NotFound),
        ("an escaped question mark", target("/callback%3fcode=x&state={s}"), R::NotFound),
        ("a file below", target("/callback/x.html?code=x&state={s}"), R::NotFound),
        // Hosts.
        ("an empty host", host("Host:\r\n"), R::ForeignHost),
        ("a trailing dot", host("Host: 127.0.0.1.:{p}\r\n"), R::ForeignHost),
        ("a short spelling", host("Host: 127.1:{p}\r\n"), R::ForeignHost),
        ("a number", host("Host: 2130706433:{p}\r\n"), R::ForeignHost),
        ("hexadecimal", host("Host: 0x7f.0.0.1:{p}\r\n"), R::ForeignHost),
        ("the other family", host("Host: [::1]:{p}\r\n"), R::ForeignHost),
        ("a mapped address", host("Host: [::ffff:127.0.0.1]:{p}\r\n"), R::ForeignHost),
        ("the wildcard", host("Host: 0.0.0.0:{p}\r\n"), R::ForeignHost),
        ("a port with a zero", host("Host: 127.0.0.1:0{p}\r\n"), R::ForeignHost),
        ("a user before it", host("Host: x@127.0.0.1:{p}\r\n"), R::ForeignHost),
        ("two in one", host("Host: 127.0.0.1:{p}, evil.example\r\n"), R::ForeignHost),
        ("the same twice", host("Host: 127.0.0.1:{p}\r\nHost: 127.0.0.1:{p}\r\n"), R::ForeignHost),
        (
            "ours, as a proxy reports it",
            host("Host: evil.example\r\nX-Forwarded-Host: 127.0.0.1:{p}\r\n"),
            R::ForeignHost,
        ),
        (
            "ours, in `Forwarded`",
            host("Host: evil.example\r\nForwarded: host=\"127.0.0.1:{p}\"\r\n"),
            R::ForeignHost,
        ),
        // Who asks.
        ("a script of another page", header("Origin: https://evil.example"), R::NotNavigation),
        ("a sandboxed page", header("Origin: null"), R::NotNavigation),
        ("our own origin", header("Origin: http://127.0.0.1:{p}"), R::NotNavigation),
        ("a script with fetch metadata", header("Sec-Fetch-Mode: cors"), R::NotNavigation),
        ("a service worker", header("Sec-Fetch-Dest: serviceworker"), R::NotNavigation),
        ("an embedded object", header("Sec-Fetch-Dest: embed"), R::NotNavigation),
        ("two destinations", header("Sec-Fetch-Dest: document\r\nSec-Fetch-Dest: image"), R::NotNavigation),
        (
            "a web socket",
            header("Origin: https://evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket"),
            R::NotNavigation,
        ),
        // Bodies.
        ("a body", header("Content-Length: 5") + "state", R::Body),
        ("a chunked body", header("Transfer-Encoding: chunked") + "5\r\nstate\r\n0\r\n\r\n", R::Body),
        ("an announced body", header("Content-Length: 5\r\nExpect: 100-continue"), R::Body),
        ("both lengths", header("Content-Length: 5\r\nTransfer-Encoding: chunked") + "0\r\n\r\n", R::Body),
        // Parameters.
        ("state in capitals", query("code=x&STATE={s}"), R::MissingState),
        ("state as a list", query("code=x&state[]={s}"), R::MissingState),
        ("semicolons", query("code=x;state={s}"), R::MissingState),
        ("everything escaped", query("code%3Dx%26state%3D{s}"), R::MissingState),
        ("state with NUL", query("code=x&state={s}%00"), R::WrongState),
        ("state after a blank", query("code=x&state=+{s}"), R::WrongState),
        ("state with a line break", query("code=x&state={s}%0d%0a"), R::WrongState),
        ("state escaped twice", query("code=x&state=%2525{s}"), R::WrongState),
        ("state a wildcard", query("code=x&state=*"), R::WrongState),
        ("state true", query("code=x&state=true"), R::WrongState),
        ("state twice, once empty", query("code=x&state=&state={s}"), R::Duplicate),
        ("two issuers", query("code=x&state={s}&iss=a&iss=b"), R::Duplicate),
        ("two errors", query("error=a&error=b&state={s}"), R::Duplicate),
        ("two without a value", query("code=x&state={s}&a&a"), R::Duplicate),
        ("code in capitals", query("CODE=x&state={s}"), R::NoCode),
        ("code as a list", query("code[]=x&state={s}"), R::NoCode),
        ("a token in place of a code", query("access_token=x&token_type=bearer&state={s}"), R::NoCode),
        ("a signed response", query("response=eyJhbGciOiJub25lIn0.e30.&state={s}"), R::NoCode),
        ("code and error, escaped", query("c%6fde=x&%65rror=y&state={s}"), R::CodeAndError),
        ("a code that breaks a header", query("code=x%0d%0aSet-Cookie:+a=b&state={s}"), R::Malformed),
        ("a code with NUL", query("code=x%00&state={s}"), R::Malformed),
        ("a code beyond ASCII", query("code=%c3%a9&state={s}"), R::Malformed),
        ("overlong UTF-8", query("code=%c0%ae&state={s}"), R::Malformed),
        ("a surrogate", query("code=%ed%a0%80&state={s}"), R::Malformed),
        ("an escape of another kind", query("code=%u0041&state={s}"), R::Malformed),
        ("a percent sign alone", query("code=x&state={s}&%"), R::Malformed),
        ("a name that is no text", query("%ff=1&code=x&state={s}"), R::Malformed),
    ]
}

#[tokio::test]
async fn refused_and_the_login_goes_on() {
    let table = table();
    assert!(table.len() >= 60);
    for (name, request, refusal) in table {
        let Started { attempt, port, state, stub } = start(LoginOptions::default()).await;
        let request = request.replace("{p}", &port.to_string()).replace("{s}", &state);
        let (status, head, page) = raw(port, request.as_bytes()).await;
        assert_eq!(status, refusal.status().as_u16(), "{name}: {head}");
        let said = maud::html! { (refusal.to_string()[1..]) }.into_string();
        assert!(page.contains(&said), "{name}: {page}");
        assert!(!page.contains(&state), "{name}: the page shows the state");
        for header in ["access-control-allow", "set-cookie", "location:"] {
            assert!(!head.contains(header), "{name}: {head}");
        }
        assert_eq!(right_answer(attempt, port, &state).await.0, "the-code", "{name}");
        assert!(stub.seen("/oauth2/v1/token").is_empty(), "{name}: a code was redeemed");
    }
}

#[tokio::test]
async fn not_http_and_the_login_goes_on() {
    let many = (0..100).map(|n| format!("X-{n}: 1\r\n")).collect::<String>();
    for (name, request) in [
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("HTTP/3", "GET /callback?code=x&state={s} HTTP/3\r\nHost: 127.0.0.1:{p}\r\n\r\n".to_owned()),
        ("no version", "GET /callback?code=x&state={s}\r\n\r\n".to_owned()),
        ("two targets", target("/callback?code=x&state={s} /callback")),
        ("no target", "GET HTTP/1.1\r\nHost: 127.0.0.1:{p}\r\n\r\n".to_owned()),
        ("a folded header", host("Host: 127.0.0.1:{p}\r\n evil.example\r\n")),
        ("a blank before the colon", host("Host : 127.0.0.1:{p}\r\n")),
        ("NUL in a header", header("X-A: \0")),
        ("NUL in a header's name", header("X\0A: 1")),
        ("a header without a name", header(": 1")),
        ("a hundred headers", header(many.trim_end())),
        ("a huge header", header(&format!("Cookie: {}", "c".repeat(40_000)))),
        ("a huge target", target(&format!("/callback?{}", "a".repeat(90_000)))),
        ("a broken length", header("Content-Length: -1")),
        ("two lengths", header("Content-Length: 1\r\nContent-Length: 2") + "a"),
        ("a length with a sign", header("Content-Length: +5") + "state"),
        ("an unknown coding", header("Transfer-Encoding: gzip")),
    ] {
        let Started { attempt, port, state, .. } = start(LoginOptions::default()).await;
        let request = request.replace("{p}", &port.to_string()).replace("{s}", &state);
        let (status, head, _) = raw(port, request.as_bytes()).await;
        assert!(matches!(status, 0 | 400 | 414 | 431 | 505), "{name}: {head}");
        assert_eq!(right_answer(attempt, port, &state).await.0, "the-code", "{name}");
    }
}

#[tokio::test]
async fn a_second_request_on_one_connection_is_not_read() {
    let Started { attempt, port, state, .. } = start(LoginOptions::default()).await;
    let first = get(port, "/favicon.ico");
    let second = get(port, &format!("/callback?code=smuggled&state={state}"));
    let (status, head, page) = raw(port, &[first, second].concat()).await;
    assert_eq!(status, 404, "{head}");
    assert!(!page.contains("HTTP/1.1"), "two answers: {page}");
    assert_eq!(right_answer(attempt, port, &state).await.0, "the-code");
}

#[tokio::test]
async fn issuers_that_only_look_like_ours_end_the_login() {
    type Variant = fn(&str) -> String;
    let variants: [(&str, Variant); 6] = [
        ("a slash more", |issuer| format!("{issuer}/")),
        ("capitals", |issuer| issuer.replace("http", "HTTP")),
        ("a blank after it", |issuer| format!("{issuer}%20")),
        ("NUL after it", |issuer| format!("{issuer}%00")),
        ("a fragment", |issuer| format!("{issuer}%23")),
        ("escaped twice", |issuer| issuer.replace(':', "%253A")),
    ];
    for (name, variant) in variants {
        let Started { attempt, port, state, stub } = start(LoginOptions::default()).await;
        let issuer = variant(&support::provider(&stub.base).config().issuer());
        let request = get(port, &format!("/callback?code=x&state={state}&iss={issuer}"));
        let browser = tokio::spawn(async move { raw(port, &request).await });
        let error = attempt.wait(pending()).await.unwrap_err();
        assert!(matches!(error, LoginError::IssuerMismatch { .. }), "{name}: {error}");
        assert!(!error.to_string().contains('\0'), "{name}");
        assert_eq!(browser.await.unwrap().0, 200, "{name}");
    }
}

#[tokio::test]
async fn floods_do_not_keep_the_right_answer_out() {
    let Started { attempt, port, state, .. } = start(LoginOptions::default()).await;
    // Connections that say nothing, connections that say one byte at a time, and always new ones.
    let flood = tokio::spawn(async move {
        let mut held = Vec::new();
        for n in 0_usize.. {
            let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else { break };
            if n % 2 == 0 {
                let _ = stream.write_all(b"GET /callback?co").await;
            }
            held.push(stream);
            if held.len() >= 64 {
                let mut old = held.remove(0);
                let _ = old.write_all(b"x").await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    // Well below the ten seconds after which silence ends by itself.
    let answer = tokio::time::timeout(Duration::from_secs(8), right_answer(attempt, port, &state));
    assert_eq!(answer.await.expect("the flood kept the answer out").0, "the-code");
    flood.abort();
}

#[tokio::test]
async fn over_ipv6_only_the_literal_address_is_the_host() {
    let stub = support::stub::Stub::start().await;
    let settings = ProviderSettings { loopback: Loopback::V6, ..support::settings(&stub.base) };
    let provider = Provider::new(ProviderConfig::new(settings).unwrap()).unwrap();
    let (attempt, url) = match Login::start(&provider, LoginOptions::default()).await {
        Ok(started) => started,
        Err(LoginError::Ports(_)) if Loopback::Auto.address().is_ipv4() => return,
        Err(error) => panic!("{error}"),
    };
    let redirect = url::Url::parse(attempt.redirect_uri()).unwrap();
    let port = redirect.port().unwrap();
    assert_eq!(redirect.as_str(), format!("http://[::1]:{port}/callback"));
    let state = url.url().query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    for (host, expected) in [
        (format!("127.0.0.1:{port}"), 421),
        (format!("[::1%25lo]:{port}"), 421),
        (format!("[0:0:0:0:0:0:0:1]:{port}"), 421),
        (format!("localhost:{port}"), 421),
        (format!("[::1]:{port}"), 400),
    ] {
        let request = format!("GET /callback?state={state} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(raw_at(("::1", port), request.as_bytes()).await.0, expected, "{host}");
    }
}
