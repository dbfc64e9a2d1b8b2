//! The Open Cybersecurity Schema Framework, version 1.8.0: one JSON object per record.
//!
//! A decision is an API Activity (6003) under the profile `security_control`: OCSF has no class for policy decisions. What
//! has no attribute there is in `unmapped`, so that nothing of a record is lost; the chain's number and hash are
//! `metadata.sequence` and `metadata.uid`, which makes one record recognisable however often it arrives.

mod parts;
mod shape;

use super::{Origin, PRODUCT, Severity, headline, sentence};
use crate::json::Object;
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
    let shape = Shape::of(&entry.event)?;
    let mut line = Vec::with_capacity(4096);
    Object::append(&mut line, |event| write(event, entry, origin, &shape));
    String::from_utf8(line).ok()
}

fn write(event: &mut Object<'_>, entry: &Entry, origin: &Origin, shape: &Shape) {
    let record = &entry.event;
    let &Shape { class, activity: (activity, activity_name), .. } = shape;
    let (category, category_name) = class.category();
    let (severity, severity_name) = match Severity::of(record) {
        Severity::Informational => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
    };
    event.put("class_uid", class.uid());
    event.put("class_name", class.name());
    event.put("category_uid", category);
    event.put("category_name", category_name);
    event.put("activity_id", activity);
    event.put("activity_name", activity_name);
    event.put("type_uid", class.uid() * 100 + u32::from(activity));
    event.put("type_name", format!("{}: {activity_name}", class.name()));
    event.put("severity_id", severity);
    event.put("severity", severity_name);
    event.put("time", record.time.as_millisecond());
    event.put("message", sentence(record));
    event.object("metadata", |metadata| {
        metadata.put("version", VERSION);
        metadata.object("product", |product| parts::product(product, origin));
        metadata.put("log_name", parts::LOG);
        metadata.put("log_provider", PRODUCT);
        metadata.put("event_code", record.kind.as_str());
        metadata.put("sequence", entry.seq);
        metadata.put("uid", entry.hash);
        metadata.put_some("correlation_uid", record.id.as_ref());
        metadata.put("profiles", profiles(class));
    });
    event.object("device", |device| {
        parts::endpoint(device, origin);
        device.put("type_id", 0);
        device.put("type", "Unknown");
    });
    let (status, status_name) = match shape.success {
        // How far somebody has got with a finding.
        _ if class == Class::DetectionFinding => (1, "New"),
        Some(true) => (1, "Success"),
        Some(false) => (2, "Failure"),
        None => (0, "Unknown"),
    };
    event.put("status_id", status);
    event.put("status", status_name);
    event.put_some("status_code", record.reason.as_ref());
    event.put_some("status_detail", record.message.as_ref());
    if class.has_actor() {
        parts::actor(event, record);
    }
    match class {
        Class::BaseEvent => {}
        Class::Authentication => authentication(event, record),
        Class::EntityManagement => event.object("entity", |entity| parts::entity(entity, record)),
        Class::UserAccess => user_access(event, record),
        Class::ApiActivity => api_activity(event, record, origin),
        Class::ApplicationLifecycle => event.object("app", |app| parts::product(app, origin)),
        Class::DetectionFinding => finding(event, entry, origin),
        Class::EventLogActivity => {
            event.put("log_name", parts::LOG);
            event.put("log_provider", PRODUCT);
        }
        Class::DeviceConfigStateChange => {
            let enabled = shape.enables != Some(false);
            event.put("state_id", if enabled { 2 } else { 1 });
            event.put("state", if enabled { "Enabled" } else { "Disabled" });
        }
    }
    event.object("unmapped", |unmapped| parts::unmapped(unmapped, entry, origin));
}

fn profiles(class: Class) -> &'static [&'static str] {
    match class {
        Class::ApiActivity => &["host", "security_control", "trace"],
        _ => &["host"],
    }
}

fn authentication(event: &mut Object<'_>, record: &Event<'_>) {
    event.object("user", |user| parts::person(user, record));
    // Everybody signs in at the provider for this service.
    event.object("service", |service| {
        service.put("name", PRODUCT);
        service.put_some("uid", parts::detail(record, "issuer"));
    });
    let (protocol_id, protocol) = match record.kind {
        Kind::PasskeyUsed | Kind::PasskeyRefused => (99, "WebAuthn"),
        Kind::Refresh | Kind::RefreshFailed => (6, "OAUTH 2.0"),
        _ => (4, "OpenID"),
    };
    event.put("auth_protocol_id", protocol_id);
    event.put("auth_protocol", protocol);
    event.put("is_remote", false);
    if record.kind == Kind::PasskeyUsed {
        event.put("is_mfa", true);
    }
    if matches!(record.kind, Kind::Login | Kind::LoginRefused | Kind::LoginStarted) {
        event.put("logon_type_id", 2);
        event.put("logon_type", "Interactive");
    }
}

fn user_access(event: &mut Object<'_>, record: &Event<'_>) {
    event.object("user", |user| parts::person(user, record));
    event.put_list("privileges", &record.scopes);
    parts::resources(event, record);
}

fn api_activity(event: &mut Object<'_>, record: &Event<'_>, origin: &Origin) {
    event.object("api", |api| parts::api(api, record, origin));
    event.object("src_endpoint", |endpoint| parts::endpoint(endpoint, origin));
    parts::resources(event, record);
    if let Some(trace) = record.trace.as_ref().and_then(|trace| parts::trace_id(trace.as_str())) {
        event.object("trace", |object| object.put("uid", trace));
    }
    let refused = record.kind == Kind::OperationRefused || record.kind == Kind::DecisionsFolded;
    if let Some(verdict) = record.decision.or(refused.then_some(Verdict::Deny)) {
        let (id, name) = match verdict {
            Verdict::Allow => (1, "Allowed"),
            Verdict::Deny => (2, "Denied"),
        };
        let (disposition_id, disposition) = shape::disposition(record, verdict);
        event.put("action_id", id);
        event.put("action", name);
        event.put("disposition_id", disposition_id);
        event.put("disposition", disposition);
        parts::authorizations(event, record, name);
        event.put("is_alert", Severity::of(record) >= Severity::Medium);
    }
    if record.kind == Kind::DecisionsFolded {
        parts::folded(event, record);
    }
}

fn finding(event: &mut Object<'_>, entry: &Entry, origin: &Origin) {
    let record = &entry.event;
    let name = record.reason.as_ref().map_or(record.kind.as_str(), |reason| reason.as_str());
    event.object("finding_info", |info| {
        match &record.id {
            Some(id) => info.put("uid", id),
            None => info.put("uid", entry.hash),
        }
        info.put("title", headline(record.kind));
        info.put("desc", sentence(record));
        info.put("types", [name]);
        info.put("created_time", record.time.as_millisecond());
        info.object("product", |product| parts::product(product, origin));
        info.object("analytic", |analytic| {
            analytic.put("name", name);
            analytic.put("uid", name);
            analytic.put("type_id", 1);
            analytic.put("type", "Rule");
        });
    });
    event.put("is_alert", true);
    event.put("confidence_id", 0);
    parts::resources(event, record);
    if parts::has_actor(record) {
        event.objects("evidences", [record], parts::actor);
    }
}
