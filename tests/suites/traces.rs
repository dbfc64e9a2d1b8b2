//! Traces: a check is a span of its caller's trace, and a collector that is away costs nothing.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use e2e::raw::Raw;
use e2e::{ALICE, Provider, World, WorldOptions, wait};
use serde_json::{Value, json};

const PAY: &str = "payments.execute:currency=EUR";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A collector on this machine.
struct Collector {
    runtime: Option<tokio::runtime::Runtime>,
    address: std::net::SocketAddr,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let taken: Arc<Mutex<Vec<Value>>> = Arc::default();
        let into = taken.clone();
        let take = async move |headers: HeaderMap, body: Bytes| {
            assert_eq!(headers["content-type"], "application/json");
            into.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
            (StatusCode::OK, "{}")
        };
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime
            .spawn(async move { axum::serve(listener, Router::new().route("/v1/traces", post(take))).await });
        Self { runtime: Some(runtime), address, taken }
    }

    fn spans(&self) -> Vec<Value> {
        let taken = self.taken.lock().unwrap();
        let spans = |request: &Value| {
            request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().cloned().unwrap_or_default()
        };
        taken.iter().flat_map(spans).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

fn world(url: &str) -> World {
    let more_configuration = format!("[traces]\nurl = \"{url}\"\n");
    World::with(&Provider::start(), WorldOptions { more_configuration, ..WorldOptions::default() })
}

/// The test agent's question with a `traceparent`, answered.
fn check(world: &World, scope: &str, traceparent: &str) -> Value {
    let body = json!({"scope": scope, "purpose": "a purpose that is nobody's business"}).to_string();
    let mut raw = Raw::connect(&world.socket()).unwrap();
    let nonce = raw.greet().unwrap();
    let request = format!(
        "POST /v1/check HTTP/1.1\r\nHost: agentauthd\r\nagentauthd-nonce: {nonce}\r\ntraceparent: {traceparent}\r\n\
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
fn span_of(collector: &Collector, decision: &Value) -> Value {
    let id = decision["id"].as_str().unwrap();
    wait::until("the span", || {
        collector.spans().into_iter().find(|span| attribute(span, "agentauth.decision.id") == Some(id))
    })
}

#[test]
fn a_check_continues_the_callers_trace() {
    let collector = Collector::start();
    let world = world(&format!("http://{}/v1/traces", collector.address));
    world.login(ALICE);

    let decision = check(&world, PAY, &format!("00-{TRACE}-{PARENT}-01"));
    let span = span_of(&collector, &decision);
    assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(TRACE), &json!(PARENT)), "{span}");
    let own = span["spanId"].as_str().unwrap();
    assert!(own.len() == 16 && own != PARENT && own.bytes().all(|byte| byte.is_ascii_hexdigit()), "{span}");
    assert_eq!(attribute(&span, "agentauth.reason"), decision["reason"].as_str());
    let time = |member: &str| span[member].as_str().unwrap().parse::<u128>().unwrap();
    assert!(time("startTimeUnixNano") < time("endTimeUnixNano"), "{span}");
    let whole = serde_json::to_string(&*collector.taken.lock().unwrap()).unwrap();
    assert!(!whole.contains("business") && !whole.contains("payments"), "{whole}");

    // What is no traceparent is as if there were none; a trace that is not recorded is left alone.
    for wrong in ["00-00000000000000000000000000000000-b7ad6b7169203331-01", "nonsense"] {
        let span = span_of(&collector, &check(&world, PAY, wrong));
        assert!(span["parentSpanId"].is_null() && span["traceId"] != TRACE, "{span}");
    }
    let unrecorded = check(&world, PAY, &format!("00-{TRACE}-{PARENT}-00"));
    span_of(&collector, &world.check(PAY));
    let id = unrecorded["id"].as_str();
    assert!(collector.spans().iter().all(|span| attribute(span, "agentauth.decision.id") != id));
    let agent = collector
        .spans()
        .into_iter()
        .filter_map(|span| attribute(&span, "agentauth.agent").map(str::to_owned));
    assert!(agent.into_iter().any(|agent| agent == "probe-agent"));
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
