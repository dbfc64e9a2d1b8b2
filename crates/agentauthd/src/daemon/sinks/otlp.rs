//! A collector of OpenTelemetry logs: OTLP over HTTP in its JSON encoding (`opentelemetry.proto.collector.logs.v1`).

use agentauth_audit::export::{Origin, PRODUCT, Severity, agents, sentence};
use agentauth_audit::{Entry, Verdict};
use agentauth_core::TraceParent;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::door::{Sink, SinkError, Taken};
use super::post::Post;

/// A collector.
#[derive(Debug)]
pub(super) struct Otlp {
    post: Post,
    origin: Origin,
}

impl Otlp {
    pub(super) fn new(post: Post, origin: Origin) -> Self {
        Self { post, origin }
    }
}

impl Sink for Otlp {
    async fn send(&mut self, batch: &[Entry]) -> Result<Taken, SinkError> {
        for entry in batch {
            self.origin.learn(&entry.event);
        }
        let body = serde_json::to_vec(&request(batch, &self.origin))
            .map_err(|error| SinkError::new(error.to_string()))?;
        let reply = self.post.send("application/json", None, body).await?;
        // A collector that took everything may say nothing at all.
        Ok(serde_json::from_slice::<Answer>(&reply.body).unwrap_or_default().taken(batch.len() as u64))
    }
}

/// `ExportLogsServiceResponse`: what the collector did not take and must not be sent again.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    partial_success: Partial,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Partial {
    /// A 64-bit integer: a string in JSON, though some write a number.
    rejected_log_records: Value,
    error_message: Option<String>,
}

impl Answer {
    fn taken(self, sent: u64) -> Taken {
        let Partial { rejected_log_records: rejected, error_message } = self.partial_success;
        let refused = rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok()).unwrap_or(0);
        Taken { refused: refused.min(sent), why: error_message.filter(|why| !why.is_empty()) }
    }
}

/// `ExportLogsServiceRequest`.
fn request(batch: &[Entry], origin: &Origin) -> Value {
    let resource = attributes([
        ("service.name", Some(PRODUCT.into())),
        ("service.version", said(&origin.version)),
        ("service.instance.id", origin.device.as_deref().and_then(said)),
        ("host.name", said(&origin.host)),
    ]);
    json!({"resourceLogs": [{
        "resource": {"attributes": resource},
        "scopeLogs": [{
            "scope": {"name": "agentauthd.audit", "version": origin.version},
            "logRecords": batch.iter().map(log_record).collect::<Vec<_>>(),
        }],
    }]})
}

/// The record's line is the body, byte for byte: whoever has it can check the chain.
fn log_record(entry: &Entry) -> Value {
    let event = &entry.event;
    let (number, word) = severity(Severity::of(event));
    let nanoseconds = event.time.as_nanosecond().to_string();
    let list = |texts: Vec<&str>| (!texts.is_empty()).then(|| texts.into_iter().map(Value::from).collect());
    let text = |text: &Option<agentauth_audit::Text<'static>>| text.as_ref().map(|it| it.as_str().into());
    let decision = event.decision.map(|verdict| if verdict == Verdict::Allow { "allow" } else { "deny" });
    let scopes = list(event.scopes.iter().map(|scope| scope.as_str()).collect());
    let mut record = json!({
        "timeUnixNano": nanoseconds,
        "observedTimeUnixNano": nanoseconds,
        "severityNumber": number,
        "severityText": word,
        "eventName": event.kind.as_str(),
        "body": {"stringValue": entry.line},
        "attributes": attributes([
            ("agentauth.seq", Some(entry.seq.into())),
            ("agentauth.hash", Some(entry.hash.to_string().into())),
            ("agentauth.event", Some(event.kind.as_str().into())),
            ("agentauth.message", Some(sentence(event).into())),
            ("agentauth.id", text(&event.id)),
            ("agentauth.decision", decision.map(Value::from)),
            ("agentauth.reason", text(&event.reason)),
            ("agentauth.agents", list(agents(event))),
            ("agentauth.scopes", scopes),
            ("user.id", text(&event.user)),
        ]),
    });
    let parent = event.trace.as_ref().and_then(|trace| TraceParent::parse(trace.as_str()));
    if let (Some(parent), Some(members)) = (parent, record.as_object_mut()) {
        members.insert("traceId".to_owned(), parent.trace.to_string().into());
        members.insert("spanId".to_owned(), parent.span.to_string().into());
        members.insert("flags".to_owned(), parent.flags.into());
    }
    record
}

fn said(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| text.into())
}

/// `KeyValue`s of what there is.
pub(in crate::daemon) fn attributes<const N: usize>(pairs: [(&str, Option<Value>); N]) -> Vec<Value> {
    let known = pairs.into_iter().filter_map(|(key, value)| value.map(|value| (key, value)));
    known.map(|(key, value)| json!({"key": key, "value": any_value(value)})).collect()
}

/// `AnyValue`: 64-bit integers are strings in the JSON encoding of protocol buffers.
fn any_value(value: Value) -> Value {
    let mut any = Map::new();
    match value {
        Value::Array(items) => {
            let values: Vec<_> = items.into_iter().map(any_value).collect();
            any.insert("arrayValue".to_owned(), json!({ "values": values }));
        }
        Value::Number(number) => {
            any.insert("intValue".to_owned(), number.to_string().into());
        }
        other => {
            any.insert("stringValue".to_owned(), other);
        }
    }
    Value::Object(any)
}

fn severity(severity: Severity) -> (u8, &'static str) {
    match severity {
        Severity::Informational => (9, "INFO"),
        Severity::Low => (10, "INFO2"),
        Severity::Medium => (13, "WARN"),
        Severity::High => (17, "ERROR"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_how_many_records_are_refused_for_good() {
        let taken = |text: &str| serde_json::from_str::<Answer>(text).unwrap_or_default().taken(10).refused;
        assert_eq!(taken(""), 0);
        assert_eq!(taken("{}"), 0);
        assert_eq!(taken("<html>"), 0);
        assert_eq!(taken(r#"{"partialSuccess":{}}"#), 0);
        assert_eq!(taken(r#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"old"}}"#), 3);
        assert_eq!(taken(r#"{"partialSuccess":{"rejectedLogRecords":4}}"#), 4);
        assert_eq!(taken(r#"{"partialSuccess":{"rejectedLogRecords":"400"}}"#), 10);
        assert_eq!(taken(r#"{"partialSuccess":{"rejectedLogRecords":"-1"}}"#), 0);
    }
}
