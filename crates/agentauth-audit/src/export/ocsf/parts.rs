//! The objects that events consist of. Each function writes the members of one.

use serde_json::Value;

use super::super::{Origin, PRODUCT, agents};
use crate::json::Object;
use crate::{Actor, Entry, Event, Kind, Text};

/// The name of the record among the logs of this product.
pub(super) const LOG: &str = "audit";

/// What only this kind of event says.
pub(super) fn detail<'e>(event: &'e Event<'_>, name: &str) -> Option<&'e str> {
    event.details.get(name).and_then(Value::as_str)
}

/// `product`, and `app`.
pub(super) fn product(product: &mut Object<'_>, origin: &Origin) {
    product.put("name", PRODUCT);
    product.put("vendor_name", PRODUCT);
    product.put_some("version", version(origin));
}

fn version(origin: &Origin) -> Option<&str> {
    Some(&*origin.version).filter(|version| !version.is_empty())
}

/// `src_endpoint`, whoever asks is on the same machine; and of `device`, this installation.
pub(super) fn endpoint(endpoint: &mut Object<'_>, origin: &Origin) {
    endpoint.put("hostname", if origin.host.is_empty() { "unknown" } else { &origin.host });
    endpoint.put_some("ip", origin.address.as_ref());
    endpoint.put_some("uid", origin.device.as_ref());
}

/// `user`: the person, by the provider's subject.
pub(super) fn person(user: &mut Object<'_>, event: &Event<'_>) {
    let (kind, id) = match &event.user {
        Some(subject) => {
            user.put("uid", subject);
            ("User", 1)
        }
        None => {
            user.put("name", "unknown");
            ("Unknown", 0)
        }
    };
    user.put("type_id", id);
    user.put("type", kind);
}

/// Whether it is known who acted, or the class of the event demands that somebody did.
pub(super) fn has_actor(event: &Event<'_>) -> bool {
    event.actor.is_some() || event.user.is_some() || !agents(event).is_empty() || demands_actor(event)
}

fn demands_actor(event: &Event<'_>) -> bool {
    matches!(event.kind, Kind::Decision | Kind::DecisionsFolded | Kind::Outcome | Kind::OperationRefused)
}

/// `actor`: process, agent and person. Left out where nobody is known, unless the class demands one.
pub(super) fn actor(object: &mut Object<'_>, event: &Event<'_>) {
    if !has_actor(event) {
        return;
    }
    object.object("actor", |actor| {
        if let Some(process) = &event.actor {
            actor.object("process", |object| self::process(object, process));
        }
        let nobody = event.actor.is_none() && event.user.is_none();
        actor.put_some("app_name", agents(event).first().copied().or(nobody.then_some("unknown")));
        if event.user.is_some() {
            actor.object("user", |user| person(user, event));
        }
    });
}

fn process(process: &mut Object<'_>, actor: &Actor<'_>) {
    process.put("pid", actor.pid);
    let path = actor.executable.as_ref().map_or("", |path| path.as_str());
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
    if name.is_empty() {
        return;
    }
    process.put("name", name);
    process.object("file", |file| {
        file.put("name", name);
        file.put("path", path);
        file.put("type_id", 1);
        file.put("type", "Regular File");
        if let Some(sha256) = &actor.sha256 {
            file.objects("hashes", [sha256], |hash, sha256| {
                hash.put("algorithm_id", 3);
                hash.put("algorithm", "SHA-256");
                hash.put("value", sha256);
            });
        }
    });
}

/// `entity`: what comes, changes or goes.
pub(super) fn entity(entity: &mut Object<'_>, event: &Event<'_>) {
    let text = |name: &str| detail(event, name);
    let (kind, name, uid, version) = match event.kind {
        Kind::PasskeyAdded | Kind::PasskeyRemoved => ("Passkey", text("name"), text("passkey"), None),
        Kind::CheckpointKey => ("Signing Key", text("name"), text("key"), None),
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
    let name = name.unwrap_or(if policy { "policies" } else { "unknown" });
    entity.put("type", kind);
    entity.put("type_id", if policy { 5 } else { 99 });
    entity.put("name", name);
    entity.put_some("uid", uid);
    entity.put_some("version", version);
    if policy {
        entity.object("policy", |policy| policy.put("name", name));
    }
}

/// `api`: what was asked of the daemon.
pub(super) fn api(api: &mut Object<'_>, event: &Event<'_>, origin: &Origin) {
    let mut names: Vec<&str> = Vec::new();
    for scope in &event.scopes {
        let name = scope.as_str().split_once(':').map_or(scope.as_str(), |(name, _)| name);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    match &event.message {
        Some(stated) if event.kind == Kind::OperationRefused => api.put("operation", stated),
        _ if names.is_empty() => api.put("operation", event.kind.as_str()),
        _ => api.put("operation", names.join(", ")),
    }
    api.object("service", |service| {
        service.put("name", PRODUCT);
        service.put_some("version", version(origin));
    });
    if let Some(id) = &event.id {
        api.object("request", |request| request.put("uid", id));
    }
}

/// `resources`: one for each scope, if there are any.
pub(super) fn resources(object: &mut Object<'_>, event: &Event<'_>) {
    if event.scopes.is_empty() {
        return;
    }
    object.objects("resources", &event.scopes, |resource, scope| {
        let scope = scope.as_str();
        resource.put("name", scope);
        resource.put("type", scope.split_once('.').map_or(scope, |(kind, _)| kind));
        let context = scope.split_once(':').map(|(_, context)| context);
        resource.put_some("uid", context.filter(|context| !context.is_empty()));
    });
}

/// `authorizations`: one for each policy that determined the answer.
pub(super) fn authorizations(object: &mut Object<'_>, event: &Event<'_>, decision: &str) {
    let policies = event.policies.iter().map(Some);
    let none = event.policies.is_empty().then_some(None);
    object.objects("authorizations", policies.chain(none), |authorization, policy| {
        authorization.put("decision", decision);
        if let Some(id) = policy {
            authorization.object("policy", |policy| {
                policy.put("uid", id);
                policy.put("name", id);
            });
        }
    });
}

/// `count`, `start_time` and `end_time` of what was counted instead of written one by one.
pub(super) fn folded(object: &mut Object<'_>, event: &Event<'_>) {
    object.put_some("count", event.details.get("count").and_then(Value::as_u64));
    let first = detail(event, "first_time").and_then(|time| time.parse::<jiff::Timestamp>().ok());
    object.put_some("start_time", first.map(jiff::Timestamp::as_millisecond));
    object.put("end_time", event.time.as_millisecond());
}

/// The trace id in a `traceparent` (W3C Trace Context), if it is one.
pub(super) fn trace_id(traceparent: &str) -> Option<&str> {
    let mut fields = traceparent.split('-');
    let (version, trace) = (fields.next()?, fields.next()?);
    let hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let valid = version.len() == 2 && version != "ff" && trace.len() == 32 && hex(version) && hex(trace);
    (valid && trace.bytes().any(|byte| byte != b'0')).then_some(trace)
}

/// `unmapped`: what OCSF has no attribute for.
pub(super) fn unmapped(unmapped: &mut Object<'_>, entry: &Entry, origin: &Origin) {
    let event = &entry.event;
    unmapped.put("prev", entry.prev);
    let profile = event.profile.as_ref().map(Text::as_str);
    unmapped.put_some("profile", profile.or(origin.profile.as_deref()));
    unmapped.put_some("id", event.id.as_ref());
    unmapped.put_some("traceparent", event.trace.as_ref());
    unmapped.put_some("purpose", event.purpose.as_ref());
    unmapped.put_list("agents", &agents(event));
    unmapped.put_some("assurance", event.actor.as_ref().and_then(|actor| actor.assurance.as_ref()));
    unmapped.put_list("grants", &event.grants);
    unmapped.put_list("policies", &event.policies);
    unmapped.put_list("risks", &event.risks);
    unmapped.put_list("signals", &event.signals);
    unmapped.put_list("facts", &event.facts);
    if event.dry_run {
        unmapped.put("dry_run", true);
    }
    if !event.details.is_empty() {
        unmapped.put("details", &event.details);
    }
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
