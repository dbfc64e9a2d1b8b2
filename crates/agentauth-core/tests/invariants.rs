//! What holds for policies whatever they say, over random histories.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod drawn;
mod reference;

use agentauth_core::policy::PolicyFile;
use agentauth_core::session::SessionState;
use agentauth_core::{Decision, Reason};
use drawn::policies::{self, Words};
use drawn::{History, Moment, Stage, Texts};
use fastrand::Rng;
use reference::{Rules, State};

/// How many histories each law is tried on, and how many questions each has.
const HISTORIES: u64 = 30;
const MOMENTS: usize = 40;

/// The histories with what is asked of chance about each.
fn histories(from: u64) -> impl Iterator<Item = (History, Rng)> {
    (from..from + HISTORIES).map(|seed| (History::of(seed, MOMENTS), Rng::with_seed(seed)))
}

/// The same history under other policies.
fn under(history: &History, change: impl FnMut(&mut Vec<PolicyFile>)) -> History {
    let mut change = change;
    let mut other = history.clone();
    for rules in &mut other.rules {
        let mut files = rules.files.clone();
        change(&mut files);
        *rules = Rules::new(files, rules.catalogue.clone(), rules.actions.clone());
    }
    other
}

fn with_one_more(history: &History, text: &str) -> History {
    under(history, |files| files[0].text += text)
}

fn decisions(history: &History) -> Vec<Decision> {
    let mut stage = Stage::of(history);
    history.moments.iter().map(|moment| stage.decide(moment)).collect()
}

/// Whether a policy that was named denied it.
fn is_forbidden(decision: &Decision) -> bool {
    matches!(decision.reason, Reason::PolicyForbids | Reason::RoleRequired) && !decision.policies.is_empty()
}

#[test]
fn a_forbid_more_never_allows_and_a_permit_more_allows_nothing_that_was_forbidden() {
    let (mut denied, mut forbidden) = (0, 0);
    for (history, mut random) in histories(1000) {
        let forbid = policies::forbid(&mut random, Words::All, "one-more");
        let permit = policies::permit(&mut random, Words::All, "one-more");
        let stricter = decisions(&with_one_more(&history, &forbid));
        let milder = decisions(&with_one_more(&history, &permit));
        for ((before, stricter), milder) in decisions(&history).iter().zip(stricter).zip(milder) {
            let rules = Texts(&history.rules[0].files);
            assert!(before.allow || !stricter.allow, "{forbid}{rules}{before:#?}\n{stricter:#?}");
            assert!(
                !is_forbidden(before) || is_forbidden(&milder),
                "{permit}{rules}{before:#?}\n{milder:#?}"
            );
            denied += usize::from(!before.allow);
            forbidden += usize::from(is_forbidden(before));
        }
    }
    assert!(denied > 300 && forbidden > 60, "{denied} denied, {forbidden} of them by a policy");
}

#[test]
fn a_policy_that_fails_denies_everything_that_it_concerns_and_nothing_else() {
    let (mut allowed, mut failed) = (0, 0);
    for (history, mut random) in histories(2000) {
        let text = policies::failing(&mut random, "fails");
        let nothing = decisions(&with_one_more(&history, &text));
        let elsewhere =
            text.replace("principal, action,", "principal, action == AgentAuth::Action::\"email.send\",");
        let others = decisions(&with_one_more(&history, &elsewhere));
        for ((before, nothing), other) in decisions(&history).iter().zip(nothing).zip(others) {
            assert!(!nothing.allow, "{text}{nothing:#?}");
            if before.allow {
                assert_eq!(nothing.reason, Reason::PolicyForbids, "{nothing:#?}");
                assert!(nothing.policies.iter().any(|id| id == "fails"), "{nothing:#?}");
                failed += 1;
            }
            if !before.scopes.iter().any(|scope| scope.action_name() == "email.send") {
                assert_eq!(other.allow, before.allow, "{elsewhere}{other:#?}");
                allowed += usize::from(other.allow);
            }
        }
    }
    assert!(allowed > 40 && failed > 40, "{allowed} allowed, {failed} failed");
}

#[test]
fn neither_the_order_of_policies_nor_that_of_questions_matters() {
    let mut permitted = 0;
    for (history, mut random) in histories(3000) {
        let mut shuffled = under(&history, |files| {
            for file in files.iter_mut() {
                let mut lines: Vec<&str> = file.text.lines().collect();
                random.shuffle(&mut lines);
                file.text = lines.join("\n");
            }
            // A person's own stay behind the others.
            files.swap(0, 1);
        });
        let mut order: Vec<usize> = (0..MOMENTS).collect();
        random.shuffle(&mut order);
        shuffled.moments = order.iter().map(|place| history.moments[*place]).collect();
        let before = decisions(&history);
        for (place, other) in order.into_iter().zip(decisions(&shuffled)) {
            // Of several errors any is told to the administrator.
            let plain = |decision: &Decision| Decision { admin_note: None, ..decision.clone() };
            assert_eq!(plain(&before[place]), plain(&other), "{}", Texts(&history.rules[0].files));
            permitted += usize::from(other.allow);
        }
    }
    assert!(permitted > 40, "{permitted} permitted");
}

/// What ends an allow, whatever was remembered.
fn endings(state: &State) -> Vec<(&'static str, State)> {
    let ended = |change: &dyn Fn(&mut State)| {
        let mut state = state.clone();
        change(&mut state);
        state
    };
    vec![
        ("the grants are revoked", ended(&|state| state.grants.clear())),
        ("somebody logs out", ended(&|state| state.session = SessionState::LoggedOut)),
        ("everything is paused", ended(&|state| state.locked = true)),
        ("the device is locked", ended(&|state| state.quarantined_device = true)),
        ("the keys are gone", ended(&|state| state.keys_fresh_until = None)),
        ("the agents are gone", ended(&|state| state.agents.clear())),
    ]
}

#[test]
fn what_is_remembered_outlives_neither_grant_nor_session_nor_time_nor_policies() {
    let mut tried = 0;
    for (history, _) in histories(4000) {
        // What a policy grants outlives every grant.
        let history = under(&history, |files| {
            for file in files {
                file.text = file.text.replace("@preapprove(\"high_risk\")", "").replace("@preapprove", "");
            }
        });
        let before = decisions(&history);
        // One history: all that was asked, then each allow anew, its end, and the allow again where nothing but the state has ended it.
        let mut longer = history.clone();
        let forbid_all = "@id(\"nothing\") forbid (principal, action, resource);\n";
        let reloaded = longer.rules.len();
        longer.rules.extend(with_one_more(&history, forbid_all).rules);
        let mut ends = Vec::new();
        for (moment, decision) in history.moments.iter().zip(&before).filter(|(_, decision)| decision.allow) {
            let SessionState::Active(session) = &history.states[moment.state].session else {
                panic!("{decision:#?}")
            };
            let over = Moment { now: session.usable_until(), ..*moment };
            let forbidden = Moment { rules: reloaded + moment.rules, ..*moment };
            let mut all = vec![("the session ends", over), ("the policies are others", forbidden)];
            for (what, state) in endings(&history.states[moment.state]) {
                all.push((what, Moment { state: longer.states.len(), ..*moment }));
                longer.states.push(state);
            }
            ends.extend(all.into_iter().map(|(what, end)| (what, *moment, end)));
        }
        let mut stage = Stage::of(&longer);
        longer.moments.iter().for_each(|moment| drop(stage.decide(moment)));
        for (what, moment, end) in ends {
            assert!(stage.decide(&moment).allow, "before {what}");
            let denied = stage.decide(&end);
            assert!(!denied.allow, "although {what}: {denied:#?}\n{}", Texts(&longer.rules[end.rules].files));
            assert!(stage.decide(&moment).allow, "after {what}");
            tried += 1;
        }
    }
    assert!(tried > 300, "{tried} tried");
}
