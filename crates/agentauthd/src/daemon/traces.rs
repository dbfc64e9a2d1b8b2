//! Traces: one span for each check, continuing the caller's trace, sent to a collector (OTLP over HTTP, in its JSON encoding).
//!
//! For correlation only, and it may be lost: a check hands its span to a bounded queue and waits for nobody. What finds no
//! room, and what a collector does not take, is counted and forgotten. A span has no text that an agent wrote in it, but for
//! a valid `tracestate`.

use std::sync::Arc;
use std::time::Duration;

use agentauth_core::{Decision, Reason, Timestamp, TraceParent, TraceState};
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::metrics::{Metrics, SpanOutcome};
use super::sinks::{Collector, attributes};

/// Spans that may wait.
const QUEUE: usize = 2048;
/// Spans in one request.
const BATCH: usize = 512;
/// How long spans are gathered.
const GATHER: Duration = Duration::from_secs(1);
/// How long a collector that does not take anything is left alone.
const PAUSE: Duration = Duration::from_secs(10);
/// How long what is left may take when the daemon stops.
const GRACE: Duration = Duration::from_secs(2);
/// `SPAN_KIND_SERVER` of the protocol.
const SERVER: u8 = 2;
/// `STATUS_CODE_ERROR` of the protocol.
const ERROR: u8 = 2;
/// That it is known whether the parent is another process's span, and that it is one.
const REMOTE_PARENT: u32 = 0x300;

/// Takes spans of checks.
#[derive(Clone)]
pub(crate) struct Traces {
    spans: mpsc::Sender<Span>,
    metrics: Arc<Metrics>,
}

/// One check.
#[derive(Debug)]
struct Span {
    parent: Option<TraceParent>,
    state: Option<TraceState>,
    decision: String,
    agent: Option<String>,
    allow: bool,
    reason: Reason,
    assurance: &'static str,
    dry_run: bool,
    ended: Timestamp,
    took: Duration,
}

/// Sends them.
pub(super) struct Exporter {
    spans: mpsc::Receiver<Span>,
    collector: Collector,
    metrics: Arc<Metrics>,
    device: String,
}

/// The two ends of the queue.
pub(super) fn traces(collector: Collector, metrics: Arc<Metrics>, device: String) -> (Traces, Exporter) {
    let (sender, spans) = mpsc::channel(QUEUE);
    (Traces { spans: sender, metrics: metrics.clone() }, Exporter { spans, collector, metrics, device })
}

impl Traces {
    /// A check with these headers was answered. What is no `traceparent` is taken no notice of, and a trace that the caller
    /// does not record is not recorded here either.
    pub(crate) fn checked(&self, decision: &Decision, headers: &HeaderMap, ended: Timestamp, took: Duration) {
        // What is no text is no valid value of either.
        let values = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("="));
        let parent = values("traceparent").next().and_then(TraceParent::parse);
        if parent.is_some_and(|parent| !parent.is_sampled()) {
            return;
        }
        // It belongs to the parent.
        let state = parent.and_then(|_| TraceState::parse(values("tracestate")));
        let span = Span {
            parent,
            state,
            decision: decision.id.as_str().to_owned(),
            agent: decision.agents.first().cloned(),
            allow: decision.allow,
            reason: decision.reason,
            assurance: decision.assurance.as_str(),
            dry_run: decision.dry_run,
            ended,
            took,
        };
        if self.spans.try_send(span).is_err() {
            self.metrics.traced(SpanOutcome::Dropped, 1);
        }
    }
}

impl Exporter {
    /// Sends until told to stop, and then what is left.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut away = false;
        while !stop.is_cancelled() {
            let mut batch = Vec::new();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                read = self.spans.recv_many(&mut batch, BATCH) => if read == 0 { break },
            }
            until(&stop, GATHER).await;
            self.gather(&mut batch);
            let taken = self.send(batch).await;
            match &taken {
                Err(why) if !away => {
                    tracing::warn!(%why, "the collector of traces takes nothing; spans are lost")
                }
                Ok(()) if away => tracing::info!("the collector of traces takes spans again"),
                _ => {}
            }
            away = taken.is_err();
            if away {
                until(&stop, PAUSE).await;
            }
        }
        let mut rest = Vec::new();
        self.gather(&mut rest);
        if !rest.is_empty() {
            let _ = tokio::time::timeout(GRACE, self.send(rest)).await;
        }
    }

    /// Takes what is there, as far as it fits into a request.
    fn gather(&mut self, batch: &mut Vec<Span>) {
        while batch.len() < BATCH
            && let Ok(span) = self.spans.try_recv()
        {
            batch.push(span);
        }
    }

    async fn send(&self, batch: Vec<Span>) -> Result<(), String> {
        let count = batch.len() as u64;
        let device = self.device.clone();
        // Not on the thread that decides.
        let written =
            tokio::task::spawn_blocking(move || serde_json::to_vec(&request(&batch, &device))).await;
        let sent = match written {
            Ok(Ok(body)) => self.collector.take(body).await,
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        self.metrics.traced(if sent.is_ok() { SpanOutcome::Sent } else { SpanOutcome::Dropped }, count);
        sent
    }
}

async fn until(stop: &CancellationToken, pause: Duration) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(pause) => {}
    }
}

/// `ExportTraceServiceRequest`.
fn request(batch: &[Span], device: &str) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let resource = attributes([
        ("service.name", Some("agentauthd".into())),
        ("service.version", Some(version.into())),
        ("service.instance.id", Some(device.into())),
    ]);
    json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{
            "scope": {"name": "agentauthd", "version": version},
            "spans": batch.iter().map(span).collect::<Vec<_>>(),
        }],
    }]})
}

fn span(span: &Span) -> Value {
    let fresh = || Uuid::new_v4().simple().to_string();
    let id = |text: String| text.get(..16).unwrap_or_default().to_owned();
    let ended = span.ended.as_nanosecond();
    let began = ended - i128::try_from(span.took.as_nanos()).unwrap_or_default();
    let mut written = json!({
        "traceId": span.parent.map_or_else(fresh, |parent| parent.trace.to_string()),
        "spanId": id(fresh()),
        "name": "agentauthd check",
        "kind": SERVER,
        "startTimeUnixNano": began.to_string(),
        "endTimeUnixNano": ended.to_string(),
        "flags": 1,
        "attributes": attributes([
            ("agentauth.decision.id", Some(span.decision.as_str().into())),
            ("agentauth.decision", Some(if span.allow { "allow" } else { "deny" }.into())),
            ("agentauth.reason", Some(span.reason.as_str().into())),
            ("agentauth.agent", span.agent.as_deref().map(Into::into)),
            ("agentauth.assurance", Some(span.assurance.into())),
            ("agentauth.dry_run", span.dry_run.then(|| "true".into())),
        ]),
    });
    if let Some(members) = written.as_object_mut() {
        if let Some(parent) = span.parent {
            members.insert("parentSpanId".to_owned(), parent.span.to_string().into());
            members.insert("flags".to_owned(), (REMOTE_PARENT | u32::from(parent.flags)).into());
        }
        if let Some(state) = &span.state {
            members.insert("traceState".to_owned(), state.as_str().into());
        }
        // A deny is an answer; that nothing can be recorded is a fault.
        if span.reason == Reason::AuditUnavailable {
            members.insert("status".to_owned(), json!({"code": ERROR}));
        }
    }
    written
}
