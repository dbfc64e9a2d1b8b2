//! The daemon itself, as it is written down: its runs, what they go by, and the record.

use agentauth_audit::{Event, Kind, Stub, VerifyingKey};
use agentauth_core::Timestamp;
use agentauth_core::canonical::canonical_digest;
use agentauth_core::policy::{Policy, PolicyFault};
use agentauth_host::machine::Machine;
use serde_json::{Map, Value, json};

use super::details;
use crate::config::{Origin, Setting};
use crate::daemon::kept::Unmet;
use crate::daemon::rights::LastRun;

/// At most this many faults of policies stand in one record.
const MAX_FAULTS: usize = 20;

/// The configuration that this run goes by: which options are set and where, and a digest over what all of them are set to.
pub(crate) fn configuration_loaded(settings: &[Setting], now: Timestamp) -> Event<'static> {
    let values: Map<String, Value> =
        settings.iter().map(|setting| (setting.key.to_owned(), setting.json.clone())).collect();
    let set: Map<String, Value> = settings
        .iter()
        .filter(|setting| setting.origin != Origin::Default)
        .map(|setting| (setting.key.to_owned(), setting.origin.to_string().into()))
        .collect();
    let digest = canonical_digest(&Value::Object(values)).ok();
    Event {
        details: details(json!({ "digest": digest, "set": set })),
        ..Event::new(Kind::ConfigurationLoaded, now)
    }
}

/// The provider publishes other keys than before.
pub(crate) fn keys_loaded(added: &[String], removed: &[String], now: Timestamp) -> Event<'static> {
    Event {
        details: details(json!({ "added": added, "removed": removed })),
        ..Event::new(Kind::KeysLoaded, now)
    }
}

/// The provider's keys cannot be had.
pub(crate) fn keys_refused(what: &str, now: Timestamp) -> Event<'_> {
    Event { message: Some(what.into()), ..Event::new(Kind::KeysRefused, now) }
}

/// A policy set took effect.
pub(crate) fn policy_loaded<'a>(
    sources: &[String],
    policy: &Policy,
    why: &'static str,
    now: Timestamp,
) -> Event<'a> {
    let (policies, digest) = (policy.len(), policy.digest());
    Event {
        details: details(json!({ "sources": sources, "policies": policies, "digest": digest, "why": why })),
        ..Event::new(Kind::PolicyLoaded, now)
    }
}

/// Changed policies were refused; those of before stay in force.
pub(crate) fn policy_refused<'a>(faults: &[PolicyFault], why: &'static str, now: Timestamp) -> Event<'a> {
    let told: Vec<String> = faults.iter().take(MAX_FAULTS).map(ToString::to_string).collect();
    Event {
        details: details(json!({ "faults": told, "of": faults.len(), "why": why })),
        ..Event::new(Kind::PolicyRefused, now)
    }
}

/// What a start says of itself, for all records up to the next one.
pub(crate) struct Start<'a> {
    pub(crate) profile: &'a str,
    pub(crate) device: &'a str,
    pub(crate) machine: &'a Machine,
    pub(crate) last_run: &'a LastRun,
}

/// The daemon serves.
pub(crate) fn service_start<'a>(start: &Start<'_>, now: Timestamp) -> Event<'a> {
    let ended = match start.last_run {
        LastRun::None => json!({ "last_run": "none" }),
        LastRun::Stopped(why) => json!({ "last_run": "stopped", "last_stop": why }),
        LastRun::Crashed => json!({ "last_run": "crashed" }),
    };
    let mut details = details(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "profile": start.profile,
        "device": start.device,
        "host": start.machine.host,
        "address": start.machine.address,
    }));
    details.extend(self::details(ended));
    Event { details, ..Event::new(Kind::ServiceStart, now) }
}

/// The reason of a gap in the record that its second place shows: what was given before it counts no more.
pub(crate) const RECORD_CUT: &str = "record_cut";

/// The record does not go together with what was kept of it elsewhere.
pub(crate) fn record_cut(unmet: &Unmet, now: Timestamp) -> Event<'_> {
    let kept = unmet.kept.map(|kept| json!({ "seq": kept.seq, "hash": kept.hash }));
    Event {
        reason: Some(RECORD_CUT.into()),
        message: Some(unmet.why.as_str().into()),
        details: details(json!({ "last": unmet.last, "kept": kept })),
        ..Event::new(Kind::AuditGap, now)
    }
}

/// Events could not be recorded for a while.
pub(crate) fn unrecorded<'a>(lost: u64, since: Timestamp, why: &'a str, now: Timestamp) -> Event<'a> {
    Event {
        reason: Some("unrecorded".into()),
        message: Some(why.into()),
        details: details(json!({ "events": lost, "since": since })),
        ..Event::new(Kind::AuditGap, now)
    }
}

/// From here on checkpoints are signed by this key.
pub(crate) fn checkpoint_key<'a>(key: &VerifyingKey, now: Timestamp) -> Event<'a> {
    Event { details: details(json!({ "key": key.to_string() })), ..Event::new(Kind::CheckpointKey, now) }
}

/// Old records were deleted.
pub(crate) fn shortened<'a>(stub: &Stub, now: Timestamp) -> Event<'a> {
    let details =
        details(json!({ "first": stub.first, "last": stub.last, "hash": stub.hash, "to": stub.to }));
    Event { details, ..Event::new(Kind::ChainShortened, now) }
}

/// The daemon stops.
pub(crate) fn service_stop<'a>(why: &'a str, now: Timestamp) -> Event<'a> {
    Event { message: Some(why.into()), ..Event::new(Kind::ServiceStop, now) }
}
