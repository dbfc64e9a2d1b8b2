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
use std::sync::Arc;

use agentauth_core::{Catalogue, Decision, Policy, Reason, Remedy, scenario};
use world::{base, testdata};

#[test]
fn every_scenario_is_decided_as_it_says() {
    let mut wrong = Vec::new();
    let mut seen: BTreeSet<(Reason, Option<Remedy>)> = BTreeSet::new();
    let mut count = 0;
    let mut files: Vec<_> =
        std::fs::read_dir(testdata().join("scenarios")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let catalogue = Arc::new(Catalogue::shipped().unwrap());
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let scenarios =
            scenario::read(&text, &base()).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
        let actions: BTreeSet<_> =
            scenarios.iter().flat_map(|scenario| scenario.actions().unwrap()).collect();
        let policy = Arc::new(Policy::load(Policy::shipped(), &catalogue, actions).unwrap());
        for scenario in scenarios {
            let case = &scenario.case;
            let place = format!("{}: {}", path.file_name().unwrap().display(), case.name);
            let expect = &case.expect;
            assert!(
                expect.decision.is_some() && expect.reason.is_some() && expect.remedy.is_some(),
                "{place}: it says too little"
            );
            assert!(expect.policies.is_some(), "{place}: it names no policies");
            let snapshot = scenario.world.snapshot(&catalogue, &policy);
            let snapshot = snapshot.unwrap_or_else(|fault| panic!("{place}: {fault}"));
            let decide = || scenario.decide_in(&snapshot).unwrap_or_else(|fault| panic!("{place}: {fault}"));
            let decision = decide();
            assert_eq!(decision.dry_run, case.dry_run.is_some());
            assert!(!decision.dry_run || decision.effects.is_empty(), "{place}: a trial changes something");
            // The same again, from the remembered verdicts.
            assert_eq!(decision, decide(), "{place}");
            seen.insert((decision.reason, decision.remedy));
            count += 1;
            let differences = expect.differences(&decision);
            let differences = differences.iter().map(ToString::to_string);
            for fault in differences.chain(check(&decision).map(str::to_owned)) {
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

/// What holds of every decision.
fn check(decision: &Decision) -> impl Iterator<Item = &'static str> {
    let empty = decision.message.is_empty() || decision.model_message.is_empty();
    let unnamed = !decision.allow && !decision.model_message.contains(decision.reason.as_str());
    let unfit = decision.allow != (decision.reason == Reason::Granted);
    [
        (empty, "a message is empty"),
        (unnamed, "the message for models does not name the reason"),
        (unfit, "the reason does not fit the decision"),
    ]
    .into_iter()
    .filter_map(|(wrong, says)| wrong.then_some(says))
}
