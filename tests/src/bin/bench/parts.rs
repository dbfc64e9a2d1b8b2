//! What a check is made of, each part by itself: what is left of a whole one is the socket, HTTP and the waking of processes.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use agentauth_api::{CheckRequest, CheckResponse};
use agentauth_core::scenario::{self, World};
use agentauth_core::{Catalogue, Decision, DecisionId, Policy, Scope, Snapshot, Subject, Timestamp, decide};

use crate::table::{Row, median, time};
use crate::worlds::READ;
use crate::{Effort, say};

/// What stands above these rows.
pub const TITLE: &str =
    "the parts of a check, one processor core, without the socket (identity and the record are above)";

/// A question as agents ask it.
const QUESTION: &str = r#"{"scope":"files.read:/projects/alpha","purpose":"read the plans"}"#;

/// The rows.
pub fn rows(effort: Effort) -> Vec<Row> {
    say("the parts of a check");
    let (snapshot, now) = snapshot();
    let scopes = |number: usize| format!("{READ}/{number}").parse::<Scope>().unwrap();
    let asked = |scope: Scope| agentauth_core::CheckRequest { scopes: vec![scope], ..Default::default() };
    let ask = |request: &agentauth_core::CheckRequest| -> Decision {
        let subject = Subject::DryRun { agent: "agent" };
        let decision = decide(&snapshot, request, subject, DecisionId::new("dec"), now);
        assert!(decision.allow, "{}", decision.message);
        decision
    };
    let same = asked(READ.parse().unwrap());
    let answer = answer(&ask(&same));

    let parse = middle(effort, |_| {
        let request: CheckRequest = serde_json::from_str(black_box(QUESTION)).unwrap();
        black_box(request.scope.unwrap().parse::<Scope>().unwrap());
    });
    let remembered = middle(effort, |_| {
        black_box(ask(&same));
    });
    let questions: Vec<_> =
        (0..effort.rounds * effort.requests).map(|number| asked(scopes(number))).collect();
    let evaluated = middle(effort, |number| {
        black_box(ask(&questions[number]));
    });
    let serialise = middle(effort, |_| {
        black_box(serde_json::to_vec(black_box(&answer)).unwrap());
    });
    vec![
        Row::new("parse: body and scope, p50", time(parse)),
        Row::new("decide: the policies' verdict is remembered, p50", time(remembered)),
        Row::new("decide: the policies are evaluated, p50", time(evaluated)),
        Row::new("serialise: the answer, p50", time(serialise)),
    ]
}

/// A login and an agent that may read, under the policies that ship.
fn snapshot() -> (Snapshot, Timestamp) {
    let text = format!(r#"{{"cases": [{{"name": "measured", "scopes": ["{READ}"]}}]}}"#);
    let measured = scenario::read(&text, &World::plain()).unwrap().remove(0);
    let catalogue = Arc::new(Catalogue::shipped().unwrap());
    let policy = Policy::load(Policy::shipped(), &catalogue, measured.actions().unwrap()).unwrap();
    (measured.world.snapshot(&catalogue, &Arc::new(policy)).unwrap(), measured.world.now)
}

/// The answer as the daemon gives it.
fn answer(decision: &Decision) -> CheckResponse<'static> {
    serde_json::from_value(serde_json::json!({
        "id": "dec_01a2044eb55e7502a08d7eaef569c96d",
        "decision": "allow",
        "reason": decision.reason.as_str(),
        "message": decision.message,
        "model_message": decision.model_message,
        "agents": decision.agents,
        "assurance": decision.assurance.as_str(),
        "scopes": [READ],
        "grants": decision.grants,
        "policies": decision.policies,
        "obligations": {},
        "expires_at": decision.expires_at,
        "dry_run": false,
    }))
    .unwrap()
}

/// The median over rounds of each round's median, in nanoseconds. `once` is told which time it is.
fn middle(effort: Effort, mut once: impl FnMut(usize)) -> f64 {
    let mut number = 0;
    median((0..effort.rounds).map(|_| {
        median((0..effort.requests).map(|_| {
            let begun = Instant::now();
            once(number);
            number += 1;
            begun.elapsed().as_nanos() as f64
        }))
    }))
}
