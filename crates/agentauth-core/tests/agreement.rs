//! The fast path decides as the reference does, over random histories.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

mod drawn;
mod reference;

use std::collections::{BTreeMap, HashMap, HashSet};

use agentauth_core::{Decision, Reason, SignedDuration, Timestamp};
use drawn::{History, Moment, Stage};
use reference::Told;

/// How many histories each of the four parts has; another number can be given by this variable.
const HISTORIES: u64 = 250;
const HISTORIES_VARIABLE: &str = "AGREEMENT_HISTORIES";
/// How many questions each history has.
const MOMENTS: usize = 100;

/// What was seen, so that one knows whether it means something.
#[derive(Default)]
struct Seen {
    cases: usize,
    /// Asked in the same words of the same state before.
    repeated: usize,
    reasons: BTreeMap<Reason, usize>,
    /// Allows that may be kept for a while.
    kept: usize,
}

/// What the reference said: to the very same question at the same moment it says nothing else.
type Known = HashMap<Moment, Told>;

/// Where both differ, in words.
fn difference(decision: &Decision, told: &Told, now: Timestamp) -> Option<String> {
    let allow = told.reason == Some(Reason::Granted);
    let named_grants = decision.grants.len() == told.grants.len()
        && decision.grants.iter().zip(&told.grants).all(|(grant, any)| any.contains(grant));
    let same = [
        ("allow", decision.allow == allow),
        ("reason", Some(decision.reason) == told.reason),
        ("remedy", decision.remedy == told.remedy),
        ("remedy_terms", decision.remedy_terms == told.terms),
        ("agents", decision.agents == told.agents),
        ("failed_scope", decision.failed_scope == told.failed_scope),
        ("grants", named_grants),
        ("grant_kinds", decision.grant_kinds.iter().collect::<Vec<_>>() == told.kinds),
        ("policies", decision.policies == told.policies),
        ("obligations", decision.obligations == told.obligations),
        ("effects", decision.effects == told.effects),
        ("high_risk", decision.high_risk == told.high_risk),
        ("expires_at", if allow { decision.expires_at >= now } else { decision.expires_at == now }),
        ("expires_at", decision.expires_at <= now + SignedDuration::from_mins(1)),
    ];
    let differing: Vec<&str> = same.iter().filter(|(_, same)| !same).map(|(what, _)| *what).collect();
    (!differing.is_empty())
        .then(|| format!("{}\nfast: {decision:#?}\nreference: {told:#?}", differing.join(", ")))
}

/// Goes through a history; the first moment at which both differ.
fn differs(history: &History, seen: &mut Seen) -> Option<(usize, String)> {
    let mut stage = Stage::of(history);
    let mut asked = HashSet::new();
    let mut known = Known::new();
    for (place, moment) in history.moments.iter().enumerate() {
        let decision = stage.decide(moment);
        let told = known.entry(*moment).or_insert_with(|| history.told(moment));
        if let Some(what) = difference(&decision, told, moment.now) {
            return Some((place, what));
        }
        if decision.allow && decision.expires_at > moment.now {
            if let Some(what) = outrun(history, moment, &decision, &mut known) {
                return Some((place, what));
            }
            seen.kept += 1;
        }
        seen.cases += 1;
        seen.repeated +=
            usize::from(!asked.insert((moment.rules, moment.state, moment.question, moment.signals)));
        *seen.reasons.entry(decision.reason).or_default() += 1;
    }
    None
}

/// While an allow may be kept, the reference goes on allowing it, as long as nothing but time has changed.
fn outrun(history: &History, moment: &Moment, decision: &Decision, known: &mut Known) -> Option<String> {
    let last = (decision.expires_at - SignedDuration::from_millis(1)).max(moment.now);
    // Each fourth one also somewhere on the way there.
    let on_the_way = moment.now + decision.expires_at.duration_since(moment.now) / 2;
    let on_the_way = known.len().is_multiple_of(4).then_some(on_the_way);
    [last].into_iter().chain(on_the_way).find_map(|later| {
        let later = Moment { now: later, ..*moment };
        let told = known.entry(later).or_insert_with(|| history.told(&later));
        let lasts = told.reason == Some(Reason::Granted) && told.obligations == decision.obligations;
        let until = decision.expires_at;
        (!lasts).then(|| format!("kept until {until}, and at {}: {told:#?}\nfast: {decision:#?}", later.now))
    })
}

/// The history without whatever the difference does not need.
fn smaller(mut history: History, place: usize) -> History {
    let still = |history: &History| differs(history, &mut Seen::default()).is_some();
    history.moments.truncate(place + 1);
    let mut chunk = history.moments.len().div_ceil(2);
    while chunk > 0 {
        let mut start = 0;
        while start < history.moments.len() {
            let mut fewer = history.clone();
            fewer.moments.drain(start..(start + chunk).min(history.moments.len()));
            if still(&fewer) { history = fewer } else { start += chunk }
        }
        chunk /= 2;
    }
    for set in 0..history.rules.len() {
        for file in 0..history.rules[set].files.len() {
            let mut line = 0;
            while line < history.rules[set].files[file].text.lines().count() {
                let mut fewer = history.clone();
                let rules = &mut fewer.rules[set];
                let text = &mut rules.files[file].text;
                *text = text
                    .lines()
                    .enumerate()
                    .filter(|(other, _)| *other != line)
                    .map(|(_, text)| format!("{text}\n"))
                    .collect();
                rules.parsed = reference::policies::Policies::of(&rules.files);
                if still(&fewer) { history = fewer } else { line += 1 }
            }
        }
    }
    history
}

fn histories() -> u64 {
    std::env::var(HISTORIES_VARIABLE).map_or(HISTORIES, |text| text.parse().unwrap())
}

/// Holds both against each other over many histories, beginning with this number.
fn agree(from: u64) -> Seen {
    let mut seen = Seen::default();
    for seed in from..from + histories() {
        let history = History::of(seed, MOMENTS);
        if let Some((place, _)) = differs(&history, &mut seen) {
            let history = smaller(history, place);
            let (_, what) = differs(&history, &mut Seen::default()).unwrap();
            let said: String = history.moments.iter().map(|moment| history.shown(moment)).collect();
            panic!("history {seed}:\n{said}\n{what}");
        }
    }
    seen
}

fn holds(part: u64) {
    let seen = agree(part * histories());
    let Seen { cases, repeated, kept, reasons } = &seen;
    println!("{cases} cases, {repeated} of them repeated, {kept} allows kept for a while: {reasons:?}");
    assert_eq!(*cases as u64, histories() * MOMENTS as u64);
    if histories() < HISTORIES {
        return;
    }
    // Otherwise there would be little to remember, or little to get wrong.
    assert!(*repeated > cases / 3 && *kept > cases / 50);
    for reason in [Reason::Granted, Reason::PolicyForbids, Reason::RoleRequired, Reason::ConsentRequired] {
        assert!(
            reasons.get(&reason).is_some_and(|count| *count > cases / 100),
            "{reason} is seldom the reason"
        );
    }
    let of_the_checks =
        |reason: &&Reason| !matches!(reason, Reason::DomainForbids | Reason::AuditUnavailable);
    let unseen = Reason::ALL.iter().filter(of_the_checks).find(|reason| !reasons.contains_key(*reason));
    assert_eq!(unseen, None, "it was never the reason");
}

#[test]
fn both_tell_the_same_first_quarter() {
    holds(0);
}

#[test]
fn both_tell_the_same_second_quarter() {
    holds(1);
}

#[test]
fn both_tell_the_same_third_quarter() {
    holds(2);
}

#[test]
fn both_tell_the_same_last_quarter() {
    holds(3);
}

#[test]
fn every_condition_that_is_drawn_passes_validation() {
    let text = drawn::policies::every_atom();
    agentauth_core::Policy::load(&[("atoms", text)], &drawn::states::THE_CATALOGUE, drawn::states::actions())
        .unwrap_or_else(|faults| panic!("{faults}"));
}
