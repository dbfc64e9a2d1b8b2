//! The Open Cybersecurity Schema Framework, version 1.8.0: one JSON object per record.
//!
//! A decision is an API Activity (6003) under the profile `security_control`: OCSF has no class for policy decisions. What
//! has no attribute there is in `unmapped`, so that nothing of a record is lost; the chain's number and hash are
//! `metadata.sequence` and `metadata.uid`, which makes one record recognisable however often it arrives.

mod parts;
mod shape;

use serde_json::{Map, Value, json};

use super::{Origin, PRODUCT, Severity, sentence, words};
use crate::{Entry, Event, Kind, Verdict};
use shape::Shape;

pub use shape::Class;

/// The version of the schema.
pub const VERSION: &str = "1.8.0";

/// The class that records of a kind become; `None` for what keeps the record itself together (checkpoints, what is carried
/// into a new file, facts that decisions name), which is not exported.
#[must_use]
pub fn class(kind: Kind) -> Option<Class> {
    Shape::of(&Event::new(kind, jiff::Timestamp::UNIX_EPOCH)).map(|shape| shape.class)
}

/// One record as one line of JSON, without its end; `None` where [`class`] is.
#[must_use]
pub fn line(entry: &Entry, origin: &Origin) -> Option<String> {
    let mut line = Vec::with_capacity(2048);
    crate::json::append(&mut line, &event(entry, origin)?).ok()?;
    String::from_utf8(line).ok()
}

/// One record as an event; `None` where [`class`] is.
#[must_use]
pub fn event(entry: &Entry, origin: &Origin) -> Option<Map<String, Value>> {
    let record = &entry.event;
    let shape = Shape::of(record)?;
    let mut event = base(entry, origin, &shape);
    match shape.class {
        Class::BaseEvent => {}
        Class::Authentication => authentication(&mut event, record),
        Class::EntityManagement => {
            event.insert("entity".to_owned(), parts::entity(record));
        }
        Class::UserAccess => user_access(&mut event, record),
        Class::ApiActivity => api_activity(&mut event, record, origin),
        Class::ApplicationLifecycle => {
            event.insert("app".to_owned(), parts::product(origin));
        }
        Class::DetectionFinding => finding(&mut event, entry, origin),
        Class::DeviceConfigStateChange => {
            let enabled = shape.enables != Some(false);
            event.insert("state_id".to_owned(), if enabled { 2 } else { 1 }.into());
            event.insert("state".to_owned(), if enabled { "Enabled" } else { "Disabled" }.into());
        }
    }
    Some(event)
}

/// What events of all classes have.
fn base(entry: &Entry, origin: &Origin, shape: &Shape) -> Map<String, Value> {
    let record = &entry.event;
    let Shape { class, activity, .. } = shape;
    let (severity_id, severity) = match Severity::of(record) {
        Severity::Informational => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
    };
    let mut event = parts::object(json!({
        "activity_id": activity.0,
        "activity_name": activity.1,
        "category_uid": class.category().0,
        "category_name": class.category().1,
        "class_uid": class.uid(),
        "class_name": class.name(),
        "type_uid": class.uid() * 100 + u32::from(activity.0),
        "type_name": format!("{}: {}", class.name(), activity.1),
        "severity_id": severity_id,
        "severity": severity,
        "time": record.time.as_millisecond(),
        "message": sentence(record),
        "metadata": {
            "version": VERSION,
            "product": parts::product(origin),
            "log_name": "audit",
            "log_provider": PRODUCT,
            "event_code": record.kind.as_str(),
            "sequence": entry.seq,
            "uid": entry.hash.to_string(),
            "profiles": profiles(*class),
        },
        "device": parts::device(origin),
        "unmapped": parts::unmapped(entry, origin),
    }));
    if let (Some(id), Some(metadata)) = (&record.id, event.get_mut("metadata").and_then(Value::as_object_mut))
    {
        metadata.insert("correlation_uid".to_owned(), id.as_str().into());
    }
    // What a finding is up to is said otherwise.
    if *class != Class::DetectionFinding {
        let (id, name) = match shape.success {
            Some(true) => (1, "Success"),
            Some(false) => (2, "Failure"),
            None => (0, "Unknown"),
        };
        event.insert("status_id".to_owned(), id.into());
        event.insert("status".to_owned(), name.into());
    }
    if let Some(reason) = &record.reason {
        event.insert("status_code".to_owned(), reason.as_str().into());
    }
    if let Some(message) = &record.message {
        event.insert("status_detail".to_owned(), message.as_str().into());
    }
    if class.has_actor()
        && let Some(actor) = parts::actor(record)
    {
        event.insert("actor".to_owned(), actor);
    }
    event
}

fn profiles(class: Class) -> &'static [&'static str] {
    match class {
        Class::ApiActivity => &["host", "security_control", "trace"],
        _ => &["host"],
    }
}

fn authentication(event: &mut Map<String, Value>, record: &Event<'_>) {
    event.insert("user".to_owned(), parts::person(record));
    // Everybody signs in at the provider for this service.
    let mut service = parts::object(json!({ "name": PRODUCT }));
    let text = |name: &str| record.details.get(name).and_then(Value::as_str);
    if let Some(issuer) = text("issuer") {
        service.insert("uid".to_owned(), issuer.into());
    }
    event.insert("service".to_owned(), service.into());
    let (protocol_id, protocol) = match record.kind {
        Kind::PasskeyUsed | Kind::PasskeyRefused => (99, "WebAuthn"),
        Kind::Refresh | Kind::RefreshFailed => (6, "OAUTH 2.0"),
        _ => (4, "OpenID"),
    };
    event.insert("auth_protocol_id".to_owned(), protocol_id.into());
    event.insert("auth_protocol".to_owned(), protocol.into());
    event.insert("is_remote".to_owned(), false.into());
    if record.kind == Kind::PasskeyUsed {
        event.insert("is_mfa".to_owned(), true.into());
    }
    if matches!(record.kind, Kind::Login | Kind::LoginRefused | Kind::LoginStarted) {
        event.insert("logon_type_id".to_owned(), 2.into());
        event.insert("logon_type".to_owned(), "Interactive".into());
    }
}

fn user_access(event: &mut Map<String, Value>, record: &Event<'_>) {
    event.insert("user".to_owned(), parts::person(record));
    if !record.scopes.is_empty() {
        event.insert("privileges".to_owned(), parts::texts(&record.scopes));
        event.insert("resources".to_owned(), parts::resources(record));
    }
}

fn api_activity(event: &mut Map<String, Value>, record: &Event<'_>, origin: &Origin) {
    event.insert("api".to_owned(), parts::api(record, origin));
    event.insert("src_endpoint".to_owned(), parts::endpoint(origin));
    if !record.scopes.is_empty() {
        event.insert("resources".to_owned(), parts::resources(record));
    }
    if let Some(trace) = record.trace.as_ref().and_then(|trace| parts::trace_id(trace.as_str())) {
        event.insert("trace".to_owned(), json!({ "uid": trace }));
    }
    let refused = record.kind == Kind::OperationRefused || record.kind == Kind::DecisionsFolded;
    let verdict = record.decision.or(refused.then_some(Verdict::Deny));
    if let Some(verdict) = verdict {
        let (id, name) = match verdict {
            Verdict::Allow => (1, "Allowed"),
            Verdict::Deny => (2, "Denied"),
        };
        event.insert("action_id".to_owned(), id.into());
        event.insert("action".to_owned(), name.into());
        let (disposition_id, disposition) = shape::disposition(record, verdict);
        event.insert("disposition_id".to_owned(), disposition_id.into());
        event.insert("disposition".to_owned(), disposition.into());
        event.insert("authorizations".to_owned(), parts::authorizations(record, name));
        event.insert("is_alert".to_owned(), (Severity::of(record) >= Severity::Medium).into());
    }
    if record.kind == Kind::DecisionsFolded {
        parts::folded(event, record);
    }
}

fn finding(event: &mut Map<String, Value>, entry: &Entry, origin: &Origin) {
    let record = &entry.event;
    let name = record.reason.as_ref().map_or(record.kind.as_str(), |reason| reason.as_str());
    event.insert(
        "finding_info".to_owned(),
        json!({
            "uid": record.id.as_ref().map_or_else(|| entry.hash.to_string(), |id| id.as_str().to_owned()),
            "title": words::headline(record.kind),
            "desc": sentence(record),
            "types": [name],
            "created_time": record.time.as_millisecond(),
            "product": parts::product(origin),
            "analytic": { "name": name, "uid": name, "type_id": 1, "type": "Rule" },
        }),
    );
    event.insert("status_id".to_owned(), 1.into());
    event.insert("status".to_owned(), "New".into());
    event.insert("is_alert".to_owned(), true.into());
    event.insert("confidence_id".to_owned(), 0.into());
    if !record.scopes.is_empty() {
        event.insert("resources".to_owned(), parts::resources(record));
    }
    if let Some(actor) = parts::actor(record) {
        event.insert("evidences".to_owned(), json!([{ "actor": actor }]));
    }
}
