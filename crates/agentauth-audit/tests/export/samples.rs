//! A record with one event of every kind, as the daemon writes them.

use agentauth_audit::export::Origin;
use agentauth_audit::{Actor, AuditLog, Entry, Event, Kind, Trail, Verdict};
use jiff::Timestamp;
use serde_json::{Value, json};

const ID: &str = "0197c1b2-0000-7000-8000-000000000001";
const DIGEST: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

pub(crate) fn origin() -> Origin {
    Origin {
        host: "host.example".to_owned(),
        address: Some("192.0.2.7".to_owned()),
        device: Some("device:uuid:0197c1b2-0000-7000-8000-00000000000d".to_owned()),
        version: "1.2.3".to_owned(),
        profile: Some("default".to_owned()),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + second).unwrap()
}

fn written(events: impl IntoIterator<Item = Event<'static>>) -> Vec<Entry> {
    let room = tempfile::tempdir().unwrap();
    let log = AuditLog::open(room.path(), at(0)).unwrap();
    for (second, event) in events.into_iter().enumerate() {
        log.append(&Event { time: at(i64::try_from(second).unwrap()), ..event }).unwrap();
    }
    Trail::new(room.path()).entries().unwrap().map(Result::unwrap).collect()
}

fn event(kind: Kind, details: Value) -> Event<'static> {
    let details = details.as_object().cloned().unwrap_or_default();
    Event { details, ..Event::new(kind, at(0)) }
}

fn asked(kind: Kind, agent: &str, details: Value) -> Event<'static> {
    Event {
        id: Some(ID.into()),
        user: Some("U2abc".into()),
        actor: Some(Actor {
            pid: 4711,
            executable: Some("/usr/bin/python3.11".into()),
            sha256: Some(DIGEST.into()),
            assurance: Some("path".into()),
            agents: vec![agent.to_owned().into()],
        }),
        scopes: vec!["payments.execute:currency=EUR".into()],
        purpose: Some("pay supplier invoices".into()),
        ..event(kind, details)
    }
}

fn decision(verdict: Verdict, reason: &'static str) -> Event<'static> {
    Event {
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        decision: Some(verdict),
        reason: Some(reason.into()),
        policies: vec!["base.cedar#allow".into(), "hours".into()],
        risks: vec!["money".into()],
        signals: vec!["burst".into()],
        facts: vec![DIGEST.into()],
        grants: vec!["g1".into()],
        ..asked(Kind::Decision, "payment-agent", json!({"call": "c-1", "caveats": ["interpreter"]}))
    }
}

/// One of every kind, and the decisions that look different.
pub(crate) fn entries() -> Vec<Entry> {
    let mut events = Vec::new();
    for kind in Kind::ALL {
        events.extend(of(*kind));
    }
    written(events)
}

fn of(kind: Kind) -> Vec<Event<'static>> {
    let agent = json!({"agent": "payment-agent", "manifest_digest": DIGEST, "version": "1.0.0"});
    match kind {
        Kind::Decision => vec![
            decision(Verdict::Allow, "granted"),
            decision(Verdict::Deny, "consent_required"),
            decision(Verdict::Deny, "quarantined"),
            Event { dry_run: true, policies: Vec::new(), ..decision(Verdict::Deny, "policy_forbids") },
            Event {
                scopes: ["files.read:/a", "files.read:/b", "sheets.write"].map(Into::into).to_vec(),
                actor: Some(Actor { pid: 1, ..Actor::default() }),
                user: None,
                ..decision(Verdict::Deny, "agent_unknown")
            },
            Event { actor: None, user: None, scopes: Vec::new(), ..decision(Verdict::Deny, "agent_changed") },
        ],
        Kind::ConsentAnswered => vec![
            Event {
                decision: Some(Verdict::Allow),
                grants: vec!["g1".into()],
                ..asked(kind, "payment-agent", agent.clone())
            },
            Event { decision: Some(Verdict::Deny), ..asked(kind, "payment-agent", agent) },
        ],
        Kind::ConsentAsked | Kind::ConsentEnded => vec![asked(kind, "payment-agent", agent)],
        Kind::ConsentPreapproved => vec![Event {
            decision: Some(Verdict::Allow),
            policies: vec!["org-invoices".into()],
            grants: vec!["policy:org-invoices".into()],
            ..event(kind, json!({"agent": "payment-agent", "strength": "policy", "rules": "0f"}))
        }],
        Kind::GrantAdded | Kind::GrantRevoked => {
            vec![Event { grants: vec!["g1".into()], ..asked(kind, "payment-agent", agent) }]
        }
        // Where little is known.
        Kind::GrantExpired | Kind::LoginRefused => vec![
            event(kind, Value::Null),
            Event { reason: Some("access_denied".into()), ..event(kind, json!({"method": "browser"})) },
        ],
        Kind::DecisionsFolded => vec![Event {
            decision: Some(Verdict::Deny),
            reason: Some("consent_required".into()),
            ..asked(
                kind,
                "payment-agent",
                json!({"count": 812, "first_id": ID, "last_id": ID,
                "first_time": "2026-05-28T20:26:40Z", "last_time": "2026-05-28T20:27:40Z"}),
            )
        }],
        Kind::Outcome => vec![
            asked(kind, "payment-agent", json!({"outcome": "done", "reference": "tx-1"})),
            asked(kind, "payment-agent", json!({"outcome": "failed"})),
            event(kind, json!({"outcome": "unknown"})),
        ],
        Kind::Login | Kind::Refresh => vec![Event {
            user: Some("U2abc".into()),
            ..event(
                kind,
                json!({"issuer": "https://api.example/P1", "method": "browser", "roles": ["admin"], "permissions": []}),
            )
        }],
        Kind::OperationRefused => vec![Event {
            actor: Some(Actor { pid: 9, executable: Some("/home/ada/agent".into()), ..Actor::default() }),
            message: Some("POST /v1/agents".into()),
            ..event(kind, Value::Null)
        }],
        Kind::PasskeyAdded | Kind::PasskeyRemoved => {
            vec![Event {
                user: Some("U2abc".into()),
                ..event(kind, json!({"passkey": "k1", "name": "Ada's key"}))
            }]
        }
        Kind::Signal => vec![Event {
            reason: Some("burst_of_writes".into()),
            ..asked(kind, "payment-agent", json!({"signal": "burst_of_writes"}))
        }],
        Kind::ChainShortened => {
            vec![event(kind, json!({"first": 1, "last": 1000, "hash": DIGEST, "to": "2026-05-28T20:26:40Z"}))]
        }
        Kind::ServiceStart => vec![event(kind, json!({"version": "1.2.3", "device": "device:uuid:1"}))],
        Kind::PolicyLoaded => vec![event(kind, json!({"sources": ["base.cedar"], "policies": 2}))],
        Kind::SinkState => {
            ["up", "down"].map(|state| event(kind, json!({"sink": "syslog", "state": state}))).to_vec()
        }
        Kind::SessionOver | Kind::RefreshFailed | Kind::ServiceStop | Kind::AuditGap => {
            vec![Event { message: Some("the provider ended the login".into()), ..event(kind, Value::Null) }]
        }
        _ => vec![event(kind, agent)],
    }
}

/// A denial whose asker, purpose, reason and details are named so.
pub(crate) fn named(name: &str) -> Entry {
    written([wicked(name)]).remove(0)
}

/// One for each name.
pub(crate) fn hostile(names: &[&str]) -> Vec<Entry> {
    written(names.iter().map(|name| wicked(name)))
}

fn wicked(name: &str) -> Event<'static> {
    let text = || Some(name.to_owned().into());
    let mut event = Event {
        id: text(),
        trace: text(),
        user: text(),
        purpose: text(),
        reason: text(),
        message: text(),
        policies: vec![name.to_owned().into()],
        decision: Some(Verdict::Deny),
        ..asked(Kind::Decision, name, json!({ "said": name, name: "said" }))
    };
    if let Some(actor) = &mut event.actor {
        actor.executable = Some(name.to_owned().into());
    }
    event
}
