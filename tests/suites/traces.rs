//! Traces: a check is a span of its caller's trace, and a collector that is away costs nothing.

use e2e::raw::Raw;
use e2e::receiver::{Mood, Receiver};
use e2e::{ALICE, Provider, World, WorldOptions, wait};
use serde_json::{Value, json};

const PAY: &str = "payments.execute:currency=EUR";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// The spans that a collector has.
fn spans(collector: &Receiver) -> Vec<Value> {
    let spans = |request: &String| -> Vec<Value> {
        let request: Value = serde_json::from_str(request).unwrap();
        request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
    };
    collector.lines().iter().flat_map(spans).collect()
}

fn world(url: &str) -> World {
    let more_configuration = format!("[traces]\nurl = \"{url}\"\n");
    World::with(&Provider::start(), WorldOptions { more_configuration, ..WorldOptions::default() })
}

/// A question with a `traceparent` and more header lines, answered.
fn check(world: &World, scope: &str, traceparent: &str, more: &str) -> Value {
    let body = json!({"scope": scope, "purpose": "a purpose that is nobody's business"}).to_string();
    let mut raw = Raw::connect(&world.socket()).unwrap();
    let nonce = raw.greet().unwrap();
    let request = format!(
        "POST /v1/check HTTP/1.1\r\nHost: agentauthd\r\nagentauthd-nonce: {nonce}\r\ntraceparent: {traceparent}\r\n{more}\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    raw.send(request.as_bytes()).unwrap();
    raw.receive().unwrap().json()
}

fn attribute<'s>(span: &'s Value, key: &str) -> Option<&'s str> {
    let all = span["attributes"].as_array().unwrap();
    all.iter().find(|one| one["key"] == key)?["value"]["stringValue"].as_str()
}

#[track_caller]
fn span_of(collector: &Receiver, decision: &Value) -> Value {
    let id = decision["id"].as_str().unwrap();
    wait::until("the span", || {
        spans(collector).into_iter().find(|span| attribute(span, "agentauth.decision.id") == Some(id))
    })
}

#[test]
fn a_check_continues_the_callers_trace() {
    let collector = Receiver::start(Mood::Takes);
    let world = world(&collector.url());
    world.login(ALICE);

    let state = "tracestate: rojo=00f067aa0ba902b7\r\ntracestate: congo=t61rcWkgMzE , \r\n";
    let decision = check(&world, PAY, &format!("00-{TRACE}-{PARENT}-01"), state);
    let span = span_of(&collector, &decision);
    assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(TRACE), &json!(PARENT)), "{span}");
    assert_eq!(span["traceState"], "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
    let own = span["spanId"].as_str().unwrap();
    assert!(own.len() == 16 && own != PARENT && own.bytes().all(|byte| byte.is_ascii_hexdigit()), "{span}");
    assert_eq!(attribute(&span, "agentauth.reason"), decision["reason"].as_str());
    let time = |member: &str| span[member].as_str().unwrap().parse::<u128>().unwrap();
    assert!(time("startTimeUnixNano") < time("endTimeUnixNano"), "{span}");
    assert!(collector.batches().iter().all(|batch| batch.content == "application/json"));
    let whole = collector.lines().join("\n");
    assert!(!whole.contains("business") && !whole.contains("payments"), "{whole}");

    // What is no traceparent is as if there were none; a trace that is not recorded is left alone.
    for wrong in ["00-00000000000000000000000000000000-b7ad6b7169203331-01", "nonsense"] {
        let span = span_of(&collector, &check(&world, PAY, wrong, state));
        assert!(span["parentSpanId"].is_null() && span["traceId"] != TRACE, "{span}");
        assert!(span["traceState"].is_null(), "it belongs to the parent: {span}");
    }
    let wrong = "tracestate: rojo=1\r\ntracestate: what is none\r\n";
    let span = span_of(&collector, &check(&world, PAY, &format!("00-{TRACE}-{PARENT}-01"), wrong));
    assert!(span["traceId"] == TRACE && span["traceState"].is_null(), "{span}");
    let unrecorded = check(&world, PAY, &format!("00-{TRACE}-{PARENT}-00"), "");
    let span = span_of(&collector, &world.check(PAY));
    assert_eq!(attribute(&span, "agentauth.agent"), Some("probe-agent"));
    let id = unrecorded["id"].as_str();
    assert!(spans(&collector).iter().all(|span| attribute(span, "agentauth.decision.id") != id));
}

#[test]
fn a_collector_that_is_away_slows_nothing_and_the_loss_is_counted() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let world = world(&format!("http://{address}/v1/traces"));
    world.login(ALICE);
    for _ in 0..20 {
        assert_eq!(world.check(PAY)["decision"], "allow");
    }
    wait::until_true("the loss to be counted", || {
        let page = Raw::connect(&world.socket()).unwrap().ask("GET", "/metrics", None, None).unwrap();
        let page = String::from_utf8(page.body).unwrap();
        let dropped = page
            .lines()
            .find_map(|line| line.strip_prefix("agentauthd_trace_spans_total{outcome=\"dropped\"} "));
        dropped.unwrap_or_else(|| panic!("{page}")).parse::<u64>().unwrap() > 0
    });
}
