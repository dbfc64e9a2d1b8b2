//! Decisions by example: each file in `testdata/scenarios` is a world with questions and the answers that are due.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod world;

use std::collections::BTreeSet;

use agentauth_core::{
    Assurance, CallerFacts, CheckRequest, Decision, DecisionId, Effect, Reason, Remedy, Scope, Subject,
    Timestamp, decide,
};
use serde::Deserialize;
use serde_json::Value;
use world::{World, base, overlay, read_json, testdata};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    caller: Option<Value>,
    #[serde(default)]
    dry_run: Option<String>,
    scopes: Vec<Scope>,
    #[serde(default)]
    purpose: Option<String>,
    #[serde(default)]
    audit: Option<String>,
    expect: Expectation,
}

/// What must be so; what is absent is not looked at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    decision: String,
    reason: Reason,
    remedy: Option<Remedy>,
    policies: Vec<String>,
    assurance: Option<Assurance>,
    caveats: Option<Vec<String>>,
    agents: Option<Vec<String>>,
    scope: Option<Scope>,
    grants: Option<usize>,
    effects: Option<usize>,
    /// What the person is asked, as `agent scope strength`.
    asks: Option<Vec<String>>,
    high_risk: Option<bool>,
    expires_at: Option<Timestamp>,
    max_lifetime_seconds: Option<i64>,
    require_proof: Option<bool>,
    #[serde(default)]
    says: Vec<String>,
    #[serde(default)]
    model_says: Vec<String>,
}

/// The members of a case that change its world; the others are the question and the answer.
const WORLD: [&str; 7] = ["now", "snapshot", "session", "policies", "agents", "grants", "launches"];

#[test]
fn every_scenario_is_decided_as_it_says() {
    let mut wrong = Vec::new();
    let mut seen: BTreeSet<(Reason, Option<Remedy>)> = BTreeSet::new();
    let mut count = 0;
    let mut files: Vec<_> =
        std::fs::read_dir(testdata().join("scenarios")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files {
        let file = read_json(&path);
        let mut common = base();
        let mut header = file.clone();
        let cases = header.as_object_mut().unwrap().remove("cases").unwrap();
        overlay(&mut common, &header);
        for case in cases.as_array().unwrap() {
            let place =
                format!("{}: {}", path.file_name().unwrap().display(), case["name"].as_str().unwrap());
            let mut text = case.clone();
            let members = text.as_object_mut().unwrap();
            let changes: serde_json::Map<_, _> =
                WORLD.iter().filter_map(|name| members.remove_entry(*name)).collect();
            let mut world = common.clone();
            overlay(&mut world, &Value::Object(changes));
            let world: World =
                serde_json::from_value(world).unwrap_or_else(|error| panic!("{place}: {error}"));
            let case: Case = serde_json::from_value(text).unwrap_or_else(|error| panic!("{place}: {error}"));
            let decision = run(&world, &case);
            seen.insert((decision.reason, decision.remedy));
            count += 1;
            for fault in check(&decision, &case.expect) {
                wrong.push(format!("{place}: {fault}\n    {}", decision.message));
            }
        }
    }
    assert!(wrong.is_empty(), "{} faults in {count} scenarios:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 40, "only {count} scenarios");
    // What a domain forbids is said after this decision: by whoever asks the domain.
    for reason in Reason::ALL.into_iter().filter(|reason| *reason != Reason::DomainForbids) {
        assert!(seen.iter().any(|(found, _)| *found == reason), "no scenario ends with {reason}");
    }
    for remedy in Remedy::ALL {
        assert!(seen.iter().any(|(_, found)| *found == Some(remedy)), "no scenario ends with {remedy}");
    }
}

fn run(world: &World, case: &Case) -> Decision {
    let snapshot = world.snapshot();
    let request = CheckRequest {
        scopes: case.scopes.clone(),
        purpose: case.purpose.clone(),
        action: None,
        dry_run_as: case.dry_run.clone(),
        ..CheckRequest::default()
    };
    let facts: CallerFacts = match &case.caller {
        Some(Value::String(name)) => {
            world.callers.get(name).unwrap_or_else(|| panic!("{}: no caller `{name}`", case.name)).clone()
        }
        Some(facts) => serde_json::from_value(facts.clone()).unwrap(),
        None => CallerFacts::default(),
    };
    let subject = match &case.dry_run {
        Some(agent) => Subject::DryRun { agent },
        None => Subject::Caller(&facts),
    };
    let decision = decide(&snapshot, &request, subject, DecisionId::new(&case.name), world.now);
    assert_eq!(decision.dry_run, case.dry_run.is_some());
    // The same again, from the remembered verdicts.
    assert_eq!(
        decision,
        decide(&snapshot, &request, subject, DecisionId::new(&case.name), world.now),
        "{}",
        case.name
    );
    match case.audit.as_deref() {
        Some("unavailable") => decision.audit_unavailable(world.now),
        Some(other) => panic!("{}: `audit` is `{other}`", case.name),
        None => decision,
    }
}

fn check(decision: &Decision, expected: &Expectation) -> Vec<String> {
    let mut faults = Vec::new();
    let mut same = |what: &str, found: String, due: Option<String>| {
        if let Some(due) = due.filter(|due| *due != found) {
            faults.push(format!("{what} is {found}, and {due} is due"));
        }
    };
    let word = if decision.allow { "allow" } else { "deny" };
    same("decision", word.to_owned(), Some(expected.decision.clone()));
    same("reason", decision.reason.to_string(), Some(expected.reason.to_string()));
    same("remedy", format!("{:?}", decision.remedy), Some(format!("{:?}", expected.remedy)));
    same("policies", decision.policies.join(", "), Some(expected.policies.join(", ")));
    same(
        "assurance",
        decision.assurance.to_string(),
        expected.assurance.map(|assurance| assurance.to_string()),
    );
    let caveats: Vec<_> = decision.caveats.iter().map(ToString::to_string).collect();
    same("caveats", caveats.join(", "), expected.caveats.as_ref().map(|caveats| caveats.join(", ")));
    same("agents", decision.agents.join(", "), expected.agents.as_ref().map(|agents| agents.join(", ")));
    let failed = decision.failed_scope.as_ref().map(ToString::to_string).unwrap_or_default();
    same("failed scope", failed, expected.scope.as_ref().map(ToString::to_string));
    same(
        "number of grants",
        decision.grants.len().to_string(),
        expected.grants.map(|count| count.to_string()),
    );
    same(
        "number of effects",
        decision.effects.len().to_string(),
        expected.effects.map(|count| count.to_string()),
    );
    let asked = decision.effects.iter().filter_map(|effect| match effect {
        Effect::AskConsent { agent, scopes } => Some(scopes.iter().map(move |wanted| {
            let least = wanted.at_least.map(|least| format!(" {least}")).unwrap_or_default();
            format!("{agent} {}{least}", wanted.scope)
        })),
        _ => None,
    });
    same(
        "what is asked",
        asked.flatten().collect::<Vec<_>>().join(", "),
        expected.asks.as_ref().map(|asks| asks.join(", ")),
    );
    same("high risk", decision.high_risk.to_string(), expected.high_risk.map(|high| high.to_string()));
    same("expiry", decision.expires_at.to_string(), expected.expires_at.map(|at| at.to_string()));
    let lifetime = decision.obligations.max_lifetime.map_or(0, |lifetime| lifetime.as_secs());
    same("lifetime", lifetime.to_string(), expected.max_lifetime_seconds.map(|seconds| seconds.to_string()));
    same(
        "proof",
        decision.obligations.require_proof.to_string(),
        expected.require_proof.map(|proof| proof.to_string()),
    );
    for part in &expected.says {
        if !decision.message.contains(part) {
            faults.push(format!("the message does not say `{part}`"));
        }
    }
    for part in &expected.model_says {
        if !decision.model_message.contains(part) {
            faults.push(format!("the message for models does not say `{part}`"));
        }
    }
    if decision.message.is_empty() || decision.model_message.is_empty() {
        faults.push("a message is empty".to_owned());
    }
    if !decision.allow && !decision.model_message.contains(decision.reason.as_str()) {
        faults.push("the message for models does not name the reason".to_owned());
    }
    if decision.allow != (decision.reason == Reason::Granted) {
        faults.push("the reason does not fit the decision".to_owned());
    }
    faults
}
