//! The objects that events consist of.

use serde_json::{Map, Value, json};

use super::super::{Origin, PRODUCT, agents};
use crate::{Actor, Entry, Event, Kind, Text};

/// What `json!` made, which is known to be an object.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

pub(super) fn texts<const LIMIT: usize>(texts: &[Text<'_, LIMIT>]) -> Value {
    texts.iter().map(|text| Value::from(text.as_str())).collect()
}

/// `product`.
pub(super) fn product(origin: &Origin) -> Value {
    let mut product = object(json!({ "name": PRODUCT, "vendor_name": PRODUCT }));
    if !origin.version.is_empty() {
        product.insert("version".to_owned(), origin.version.as_str().into());
    }
    product.into()
}

/// `device`: this installation.
pub(super) fn device(origin: &Origin) -> Value {
    let mut device = object(endpoint(origin));
    device.insert("type_id".to_owned(), 0.into());
    device.insert("type".to_owned(), "Unknown".into());
    device.into()
}

/// `src_endpoint`: whoever asks is on the same machine.
pub(super) fn endpoint(origin: &Origin) -> Value {
    let mut endpoint = Map::new();
    let host = if origin.host.is_empty() { "unknown" } else { &*origin.host };
    endpoint.insert("hostname".to_owned(), host.into());
    if let Some(address) = &origin.address {
        endpoint.insert("ip".to_owned(), address.as_str().into());
    }
    if let Some(device) = &origin.device {
        endpoint.insert("uid".to_owned(), device.as_str().into());
    }
    endpoint.into()
}

/// `user`: the person, by the provider's subject.
pub(super) fn person(event: &Event<'_>) -> Value {
    match &event.user {
        Some(subject) => json!({ "uid": subject.as_str(), "type_id": 1, "type": "User" }),
        None => json!({ "name": "unknown", "type_id": 0, "type": "Unknown" }),
    }
}

/// `actor`: process, agent and person. Absent where none of them is known, except where the class demands one.
pub(super) fn actor(event: &Event<'_>) -> Option<Value> {
    let mut actor = Map::new();
    if let Some(process) = &event.actor {
        actor.insert("process".to_owned(), self::process(process));
    }
    if let Some(agent) = agents(event).first() {
        actor.insert("app_name".to_owned(), (*agent).into());
    }
    if event.user.is_some() {
        actor.insert("user".to_owned(), person(event));
    }
    if actor.is_empty()
        && matches!(
            event.kind,
            Kind::Decision | Kind::DecisionsFolded | Kind::Outcome | Kind::OperationRefused
        )
    {
        actor.insert("app_name".to_owned(), "unknown".into());
    }
    (!actor.is_empty()).then(|| actor.into())
}

fn process(actor: &Actor<'_>) -> Value {
    let mut process = object(json!({ "pid": actor.pid }));
    let path = actor.executable.as_ref().map_or("", |path| path.as_str());
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    if !name.is_empty() {
        let mut file = object(json!({ "name": name, "path": path, "type_id": 1, "type": "Regular File" }));
        if let Some(sha256) = &actor.sha256 {
            let hash = json!({ "algorithm_id": 3, "algorithm": "SHA-256", "value": sha256.as_str() });
            file.insert("hashes".to_owned(), json!([hash]));
        }
        process.insert("name".to_owned(), name.into());
        process.insert("file".to_owned(), file.into());
    }
    process.into()
}

/// `entity`: what comes, changes or goes.
pub(super) fn entity(event: &Event<'_>) -> Value {
    let text = |name: &str| event.details.get(name).and_then(Value::as_str);
    let (kind, name, uid, version) = match event.kind {
        Kind::PasskeyAdded | Kind::PasskeyRemoved => ("Passkey", text("name"), text("passkey"), None),
        Kind::CheckpointKey => ("Signing Key", text("name"), text("key").or_else(|| text("vkey")), None),
        Kind::KeysLoaded | Kind::KeysRefused => ("Key Set", text("issuer"), None, None),
        Kind::PolicyLoaded | Kind::PolicyRefused => ("Policy", None, text("digest"), None),
        _ => (
            "AI Agent",
            agents(event).first().copied(),
            text("registration").or_else(|| text("manifest_digest")),
            text("version"),
        ),
    };
    let policy = kind == "Policy";
    let mut entity = object(json!({ "type": kind, "type_id": if policy { 5 } else { 99 } }));
    let name = name.unwrap_or(if policy { "policies" } else { "unknown" });
    entity.insert("name".to_owned(), name.into());
    for (member, value) in [("uid", uid), ("version", version)] {
        if let Some(value) = value {
            entity.insert(member.to_owned(), value.into());
        }
    }
    if policy {
        entity.insert("policy".to_owned(), json!({ "name": name }));
    }
    entity.into()
}

/// `api`: what was asked of the daemon.
pub(super) fn api(event: &Event<'_>, origin: &Origin) -> Value {
    let mut names: Vec<&str> = Vec::new();
    for scope in &event.scopes {
        let name = scope.as_str().split_once(':').map_or(scope.as_str(), |(name, _)| name);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let stated = match event.kind {
        Kind::OperationRefused => event.message.as_ref().map(|message| message.as_str()),
        _ => None,
    };
    let operation = match (stated, names.is_empty()) {
        (Some(stated), _) => stated.to_owned(),
        (None, false) => names.join(", "),
        (None, true) => event.kind.as_str().to_owned(),
    };
    let mut service = object(json!({ "name": PRODUCT }));
    if !origin.version.is_empty() {
        service.insert("version".to_owned(), origin.version.as_str().into());
    }
    let mut api = object(json!({ "operation": operation, "service": service }));
    if let Some(id) = &event.id {
        api.insert("request".to_owned(), json!({ "uid": id.as_str() }));
    }
    api.into()
}

/// `resources`: one for each scope.
pub(super) fn resources(event: &Event<'_>) -> Value {
    let resource = |scope: &Text<'_>| {
        let scope = scope.as_str();
        let kind = scope.split_once('.').map_or(scope, |(kind, _)| kind);
        let mut resource = object(json!({ "name": scope, "type": kind }));
        if let Some((_, context)) = scope.split_once(':').filter(|(_, context)| !context.is_empty()) {
            resource.insert("uid".to_owned(), context.into());
        }
        Value::from(resource)
    };
    event.scopes.iter().map(resource).collect()
}

/// `authorizations`: one for each policy that determined the answer.
pub(super) fn authorizations(event: &Event<'_>, decision: &str) -> Value {
    if event.policies.is_empty() {
        return json!([{ "decision": decision }]);
    }
    let one = |policy: &Text<'_>| json!({ "decision": decision, "policy": { "uid": policy.as_str(), "name": policy.as_str() } });
    event.policies.iter().map(one).collect()
}

/// `count`, `start_time` and `end_time` of what was counted instead of written one by one.
pub(super) fn folded(event: &mut Map<String, Value>, record: &Event<'_>) {
    if let Some(count) = record.details.get("count").and_then(Value::as_u64) {
        event.insert("count".to_owned(), count.into());
    }
    let first = record.details.get("first_time").and_then(Value::as_str);
    if let Some(first) = first.and_then(|time| time.parse::<jiff::Timestamp>().ok()) {
        event.insert("start_time".to_owned(), first.as_millisecond().into());
    }
    event.insert("end_time".to_owned(), record.time.as_millisecond().into());
}

/// The trace id in a `traceparent` (W3C Trace Context), if it is one.
pub(super) fn trace_id(traceparent: &str) -> Option<&str> {
    let mut fields = traceparent.split('-');
    let (version, trace) = (fields.next()?, fields.next()?);
    let hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let valid = version.len() == 2 && version != "ff" && trace.len() == 32 && hex(version) && hex(trace);
    (valid && trace.bytes().any(|byte| byte != b'0')).then_some(trace)
}

/// What OCSF has no attribute for.
pub(super) fn unmapped(entry: &Entry, origin: &Origin) -> Value {
    let event = &entry.event;
    let mut unmapped = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            unmapped.insert(name.to_owned(), value);
        }
    };
    let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| Value::from(text.as_str()));
    put("prev", Some(entry.prev.to_string().into()));
    put("profile", text(&event.profile).or_else(|| origin.profile.as_deref().map(Value::from)));
    put("id", text(&event.id));
    put("traceparent", text(&event.trace));
    put("purpose", text(&event.purpose));
    let agents = agents(event);
    put("agents", (!agents.is_empty()).then(|| agents.into()));
    put("assurance", event.actor.as_ref().and_then(|actor| text(&actor.assurance)));
    put("grants", (!event.grants.is_empty()).then(|| texts(&event.grants)));
    put("policies", (!event.policies.is_empty()).then(|| texts(&event.policies)));
    for (name, list) in [("risks", &event.risks), ("signals", &event.signals), ("facts", &event.facts)] {
        put(name, (!list.is_empty()).then(|| texts(list)));
    }
    put("dry_run", event.dry_run.then(|| true.into()));
    put("details", (!event.details.is_empty()).then(|| event.details.clone().into()));
    unmapped.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_traceparent_names_a_trace() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(trace_id(&format!("00-{id}-b7ad6b7169203331-01")), Some(id));
        for bad in [id, "00", "00-0-0-01", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"] {
            assert_eq!(trace_id(bad), None, "{bad}");
        }
        assert_eq!(trace_id(&format!("00-{}-b7ad6b7169203331-01", "0".repeat(32))), None);
        assert_eq!(trace_id(&format!("00-{}-b7ad6b7169203331-01", id.to_uppercase())), None);
    }
}
