//! What belongs to a record: what it rests on, and what came of it, in a record that may be damaged.

use agentauth_audit::{AuditLog, Verdict};
use agentauth_core::Timestamp;
use serde_json::{Value, json};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + second).unwrap()
}

fn event(kind: Kind, id: Option<&'static str>, grants: &[&'static str], details: Value) -> Event<'static> {
    Event {
        id: id.map(Into::into),
        grants: grants.iter().map(|&grant| grant.into()).collect(),
        details: details.as_object().cloned().unwrap_or_default(),
        ..Event::new(kind, at(0))
    }
}

fn decision(id: &'static str, allow: bool, grants: &[&'static str]) -> Event<'static> {
    let verdict = if allow { Verdict::Allow } else { Verdict::Deny };
    Event { decision: Some(verdict), ..event(Kind::Decision, Some(id), grants, Value::Null) }
}

/// A question, its answer, what was allowed by it and what came of that, among things that have nothing to do with it.
fn trail() -> (tempfile::TempDir, Trail) {
    let room = tempfile::tempdir().unwrap();
    let log = AuditLog::open(room.path(), at(0)).unwrap();
    let events = [
        event(Kind::PolicyLoaded, None, &[], json!({"policies": 1})),
        decision("d1", false, &[]),
        event(Kind::ConsentAsked, Some("c1"), &[], json!({"decision": "d1"})),
        event(Kind::ConsentAsked, Some("c2"), &[], json!({"decision": "d9"})),
        Event {
            decision: Some(Verdict::Allow),
            ..event(Kind::ConsentAnswered, Some("c1"), &["g1"], Value::Null)
        },
        event(Kind::PolicyLoaded, None, &[], json!({"policies": 2})),
        event(Kind::Facts, Some("f1"), &[], json!({"kind": "session", "facts": {"roles": ["a"]}})),
        event(Kind::Facts, Some("f2"), &[], Value::Null),
        Event { facts: vec!["f1".into()], ..decision("d2", true, &["g1"]) },
        decision("d3", true, &["g1"]),
        event(Kind::Outcome, Some("d2"), &[], json!({"outcome": "done"})),
        event(Kind::Outcome, Some("d3"), &[], json!({"outcome": "failed"})),
        event(Kind::DecisionsFolded, None, &[], json!({"count": 9, "first_id": "d4", "last_id": "d8"})),
        event(Kind::DecisionsFolded, None, &[], json!({"count": 2, "first_id": "d0", "last_id": "d3"})),
        event(Kind::GrantRevoked, None, &["g1"], Value::Null),
        event(Kind::GrantRevoked, None, &["g2"], Value::Null),
        event(Kind::PolicyLoaded, None, &[], json!({"policies": 3})),
    ];
    for event in &events {
        log.append(event).unwrap();
    }
    let trail = Trail::new(room.path());
    (room, trail)
}

fn found(trail: &Trail, id: &str) -> Vec<(Group, u64)> {
    let (related, damage) = Related::find(trail, id).unwrap();
    assert!(damage.is_none());
    related.found.keys().copied().collect()
}

#[test]
fn a_decision_leads_to_all_that_it_rests_on_and_to_what_came_of_it() {
    let (_room, trail) = trail();
    use Group::{Consents, Facts, Folded, Grants, Outcomes, Policies, Subject, Uses};
    assert_eq!(
        found(&trail, "d2"),
        [(Subject, 9), (Outcomes, 11), (Facts, 7), (Consents, 3), (Consents, 5), (Grants, 15), (Policies, 6)]
    );
    assert_eq!(
        found(&trail, "d1"),
        [(Subject, 2), (Consents, 3), (Consents, 5), (Grants, 15), (Policies, 1)]
    );
    assert_eq!(found(&trail, "c1"), [(Subject, 3), (Subject, 5), (Grants, 15), (Uses, 9), (Uses, 10)]);
    assert_eq!(found(&trail, "g1"), [(Consents, 3), (Consents, 5), (Grants, 15), (Uses, 9), (Uses, 10)]);
    assert_eq!(
        found(&trail, "d6"),
        [(Folded, 13)],
        "counted, not written down: and what is written down was not counted"
    );
    assert_eq!(found(&trail, "9"), found(&trail, "d2"), "by the number of its record");
    assert_eq!(found(&trail, "d"), []);
    assert_eq!(found(&trail, ""), []);
}

#[test]
fn what_stands_behind_a_damage_is_found_too() {
    let (room, trail) = trail();
    let path = room.path().join("audit.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"id\":\"d3\"", "\"id\":\"dX\"")).unwrap();
    let (related, damage) = Related::find(&trail, "d2").unwrap();
    assert!(damage.is_some());
    assert_eq!(related.of(Group::Subject).count(), 1);
    assert_eq!(related.of(Group::Outcomes).count(), 1);
}

#[test]
fn of_many_uses_the_newest_are_kept() {
    let room = tempfile::tempdir().unwrap();
    let log = AuditLog::open(room.path(), at(0)).unwrap();
    log.append(&event(Kind::GrantAdded, None, &["g1"], Value::Null)).unwrap();
    for _ in 0..USES + 7 {
        log.append(&decision("d", true, &["g1"])).unwrap();
    }
    let (related, _) = Related::find(&Trail::new(room.path()), "g1").unwrap();
    assert_eq!((related.of(Group::Uses).count(), related.left_out), (USES, 7));
    assert_eq!(related.of(Group::Uses).next().unwrap().seq, 9);
}
