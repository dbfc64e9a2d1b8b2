//! Watching many agents, and knowing them again after a start.

use agentauth_audit::{Actor, AuditLog, Event, Kind, Verdict};
use agentauth_core::Catalogue;
use agentauth_core::signals::Bound;
use tokio_util::sync::CancellationToken;

use super::*;

const DECISION: &str = "dec_0199aa0000007000800000000000000a";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

struct Room {
    directory: tempfile::TempDir,
    catalogue: Catalogue,
    metrics: Arc<Metrics>,
    watching: Watching,
}

impl Room {
    fn new(limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::default());
        let audit = Recorder::new(AuditLog::open(directory.path(), at(0)).unwrap());
        let watching = Watching::new(limits, 7, audit, Events::new(), metrics.clone());
        Self { directory, catalogue: Catalogue::shipped().unwrap(), metrics, watching }
    }

    fn act<'a>(&'a self, scopes: &'a [Scope]) -> Act<'a> {
        Act { scopes, catalogue: &self.catalogue, bytes: 0, items: 0, times: 1 }
    }

    fn learn(&self) {
        let newest = self.watching.audit.newest();
        learn(&self.watching, &self.catalogue, self.directory.path(), newest, &CancellationToken::new());
    }
}

fn two_a_minute() -> Limits {
    Limits { rate: Bound { floor: 2, most: 2 }, ..Limits::default() }
}

#[test]
fn agents_beyond_the_bound_are_watched_together_and_no_memory_is_taken_for_them() {
    let room = Room::new(two_a_minute());
    let scopes = ["files.read:/a".parse().unwrap()];
    let ask = |name: &str| room.watching.asks(name, &room.act(&scopes), &|_| false, at(1));
    for number in 0..AGENTS {
        assert!(ask(&format!("agent-{number}")).is_empty());
    }
    let rate: Signals = [agentauth_core::Signal::Rate].into_iter().collect();
    let seen: Vec<Signals> = (0..5).map(|number| ask(&format!("one-more-{number}"))).collect();
    assert_eq!(seen, [Signals::NONE, Signals::NONE, rate, rate, rate], "together they ask too often");
    assert_eq!(room.watching.agents.read().unwrap().len(), AGENTS + 1);
    let looked = |name| room.watching.sees(name, &room.act(&scopes), &|_| false, at(2));
    assert_eq!((looked("never-seen"), looked("agent-7")), (rate, Signals::NONE));
    let up: Vec<_> = room.watching.up(at(2)).into_iter().map(|(name, _)| name.unwrap()).collect();
    assert_eq!(up.iter().map(|name| &**name).collect::<Vec<_>>(), [OTHERS]);
    assert!(!agentauth_core::manifest::is_agent_name(OTHERS), "nobody can be called that");
    // What one of them was allowed is not another one's to tell of.
    assert_eq!(room.watching.knows("one-more-1", DECISION, at(2)), Err(NotKnown));
    assert_eq!(room.metrics.raised_so_far(agentauth_core::Signal::Rate), 1);
}

fn decision(name: &str, second: i64) -> Event<'_> {
    let actor = Actor { assurance: Some("pinned".into()), agents: vec![name.into()], ..Actor::default() };
    Event {
        actor: Some(actor),
        scopes: vec!["files.read:/a".into()],
        decision: Some(Verdict::Deny),
        reason: Some("not_in_manifest".into()),
        ..Event::new(Kind::Decision, at(second))
    }
}

#[test]
fn a_restart_forgets_neither_what_was_counted_together_nor_what_was_allowed() {
    let limits = Limits { denies: Bound { floor: 10, most: 10 }, ..Limits::default() };
    let room = Room::new(limits.clone());
    let folded = Event { kind: Kind::DecisionsFolded, ..decision("many", 1) };
    let details = serde_json::Map::from_iter([("count".to_owned(), 10.into())]);
    for event in [
        decision("many", 0),
        Event { details, ..folded },
        decision("one", 1),
        Event {
            id: Some(DECISION.into()),
            scopes: vec!["email.send:domain=example.com".into()],
            decision: Some(Verdict::Allow),
            reason: Some("granted".into()),
            ..decision("one", 2)
        },
        // Somebody who only seems to be it, whatever the reason.
        Event {
            actor: Some(Actor {
                assurance: Some("unproven".into()),
                agents: vec!["posing".into()],
                ..Actor::default()
            }),
            reason: Some("locked".into()),
            ..decision("posing", 3)
        },
        Event { reason: Some("a later version's".into()), ..decision("later", 4) },
    ] {
        room.watching.audit.append(&event).unwrap();
    }
    room.learn();
    let up: Vec<_> = room.watching.up(at(5)).into_iter().map(|(name, told)| (name, told.signal)).collect();
    assert_eq!(up, [(Some("many".into()), agentauth_core::Signal::Denies)], "eleven denies");
    assert_eq!(room.watching.knows("one", DECISION, at(5)), Ok(false));
    let due = at(3) + agentauth_core::SignedDuration::from_hours(1);
    let missing: Vec<_> = room.watching.missing(due).into_iter().map(|(name, _)| name).collect();
    assert_eq!(missing, ["one".into()]);
    let mut names: Vec<_> = room.watching.agents.read().unwrap().keys().cloned().collect();
    names.sort();
    assert_eq!(names, ["many".into(), "one".into()]);
}

#[test]
fn a_record_of_ever_new_names_takes_no_more_than_its_place() {
    let room = Room::new(Limits::default());
    for number in 0..AGENTS + 50 {
        room.watching.audit.append(&decision(&format!("agent-{number}"), 0)).unwrap();
    }
    room.learn();
    assert!(room.watching.agents.read().unwrap().len() <= AGENTS + 1);
}
