//! Laws of questions and answers.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use super::*;
use crate::agents::Assurance;
use crate::caller::{CallerFacts, ExecutableFacts, ProcessFacts};
use crate::catalogue::{Catalogue, Strength};
use crate::grant::{Binding, Grant, Grants, Lifetime};
use crate::mandate::Mandate;
use crate::policy::Policy;
use crate::scope::Scope;
use crate::session::{SessionState, User};
use crate::time::{SignedDuration, Timestamp};
use crate::{AgentFile, Agents, Snapshot};

const LIMITS: Limits = Limits { open: 6, open_of_agent: 3, asked: 5, within: SignedDuration::from_secs(600) };

const SCOPES: [&str; 6] = [
    "files.read:/projects",
    "files.read:/projects/alpha",
    "files.write:/projects",
    "files.delete:/projects/tmp",
    "payments.execute:currency=EUR",
    "warp.engage",
];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn scope(text: &str) -> Scope {
    text.parse().unwrap()
}

/// Two agents that may ask for everything here, and a user.
static WORLD: LazyLock<Snapshot> = LazyLock::new(|| {
    let mut agents = Agents::new();
    for name in ["a", "b"] {
        let scopes: Vec<_> = SCOPES
            .iter()
            .map(|scope| serde_json::json!({"scope": scope, "purpose": "see to \u{2014} things"}))
            .collect();
        let file = serde_json::json!({
            "manifest": {"name": name, "version": "1.0", "publisher": "<b>Example</b>", "scopes": scopes},
            "selectors": {"executable": "/opt/agent"},
        });
        agents.insert(AgentFile::parse(file.to_string().as_bytes()).unwrap().agent());
    }
    let catalogue = Catalogue::shipped().unwrap();
    let policy = Policy::load(Policy::shipped(), &catalogue, agents.action_names()).unwrap();
    let user = User { subject: "U1".into(), name: Some("Ada".into()), email: Some("ada@example.com".into()) };
    Snapshot {
        generation: 0,
        locked: false,
        quarantined_device: false,
        quarantined_agents: imbl::HashSet::new(),
        session: SessionState::Unverified { user: Some(user), since: at(0), why: String::new() },
        keys_fresh_until: None,
        agents,
        grants: Grants::new(),
        launches: crate::Launches::new(),
        presence: crate::Presence::default(),
        declined: Declined::default(),
        policy: Arc::new(policy),
        catalogue: Arc::new(catalogue),
        max_confirmation_age: SignedDuration::from_mins(15),
        device: Arc::default(),
    }
});

fn world() -> Snapshot {
    WORLD.clone()
}

fn caller() -> CallerFacts {
    let runs = |path: &str| ProcessFacts {
        pid: 7,
        executable: Some(ExecutableFacts { path: path.into(), ..ExecutableFacts::default() }),
        ..ProcessFacts::default()
    };
    CallerFacts {
        process: runs("/opt/agent"),
        ancestors: vec![runs("/usr/bin/ba\u{202e}sh"), runs("/usr/bin/gnome-terminal-server")],
        ..CallerFacts::default()
    }
}

fn question(snapshot: &Snapshot, agent: &str, id: &str, scopes: &[&str], now: Timestamp) -> Question {
    let scopes: Vec<_> = scopes.iter().map(|text| wanted(text, None)).collect();
    asked(snapshot, agent, id, &scopes, now).unwrap()
}

fn wanted(text: &str, at_least: Option<Strength>) -> Wanted {
    Wanted { scope: scope(text), at_least }
}

fn asked(snapshot: &Snapshot, agent: &str, id: &str, scopes: &[Wanted], now: Timestamp) -> Option<Question> {
    let lacking = Lacking {
        agent,
        scopes,
        action: None,
        purpose: Some("now\u{1b}[2J"),
        caller: &caller(),
        assurance: Assurance::Path,
    };
    let times = (now, now + SignedDuration::from_mins(10));
    Question::new(id, &lacking, snapshot, Choice::Always, times)
}

fn terms(now: Timestamp) -> Terms {
    Terms { now, today_ends: now + SignedDuration::from_hours(5), longest: Choice::Always }
}

#[test]
fn a_question_says_everything_and_hides_nothing() {
    let mut snapshot = world();
    snapshot.declined.decline("a", scope("files.delete:/projects/tmp"), at(10), at(20));
    let asked =
        question(&snapshot, "a", "q", &["files.write:/projects", "files.delete:/projects/tmp"], at(100));
    assert_eq!(
        asked.lines(),
        [
            "`a` 1.0, by its own word from <b>Example</b> asks to act for Ada (ada@example.com)",
            "Program: /opt/agent (process 7, recognised by its path)",
            "Started by: ba\\u{202e}sh ← gnome-terminal-server",
            "It says: “now\\u{1b}[2J”",
            "1. create and change files at `/projects` and everything below it (changes things)",
            "   files.write:/projects",
            "   For: “see to — things”",
            "   New: you have never allowed this.",
            "2. delete files at `/projects/tmp` and everything below it (can destroy data)",
            "   files.delete:/projects/tmp",
            "   For: “see to — things”",
            "   You refused this 1970-01-01T00:00:10Z.",
        ]
    );
    assert_eq!(asked.scopes[0].suggested, Choice::HalfHour);
    assert_eq!(asked.scopes[1].suggested, Choice::Once);
}

#[test]
fn a_question_says_that_the_same_is_allowed_at_other_times_or_would_be() {
    let mut snapshot = world();
    let agent = snapshot.agents.get("a").unwrap().clone();
    let binding = Binding {
        manifest_digest: Some(agent.manifest_digest.as_str().into()),
        user: Some("U1".into()),
        ..Binding::default()
    };
    // at(0) is midnight.
    let mandate = Mandate { window: "02:00-03:00 UTC".parse().ok() };
    let nightly =
        Grant::new("a", scope("files.read:/projects"), Lifetime::Until(at(86_400))).mandated(mandate);
    snapshot.grants.insert(nightly.clone().bound(Binding { user: Some("U2".into()), ..binding.clone() }));
    snapshot.presence.note(at(0), at(0));
    let news = |snapshot: &Snapshot, now: i64| {
        let asked = question(snapshot, "a", "q", &["files.read:/projects/alpha"], at(now));
        asked.scopes[0].news.sentence()
    };
    assert!(news(&snapshot, 9).contains("another occasion"), "{}", news(&snapshot, 9));
    snapshot.grants.insert(nightly.bound(binding));
    assert!(news(&snapshot, 9).contains("at another time: 02:00-03:00 UTC"), "{}", news(&snapshot, 9));
    assert!(news(&snapshot, 86_400).contains("that ended"), "{}", news(&snapshot, 86_400));
    snapshot.presence.recertify_after = SignedDuration::from_secs(5);
    assert!(news(&snapshot, 9).contains("have not signed in"), "{}", news(&snapshot, 9));
}

#[test]
fn nothing_of_a_question_is_cut_and_what_nobody_can_read_is_not_asked() {
    let snapshot = world();
    let ask = |scopes: &[Wanted]| asked(&snapshot, "a", "q", scopes, at(0));
    let long = format!("files.read:/projects/{}/end", "long".repeat(500));
    assert!(ask(&[wanted(&long, None)]).unwrap().lines().iter().any(|line| line.trim() == long));
    let four: Vec<_> = (0..4).map(|number| wanted(&format!("{long}/{number}"), None)).collect();
    assert_eq!(ask(&four), None);
}

#[test]
fn the_same_question_is_joined_and_any_other_is_not() {
    let mut snapshot = world();
    let mut questions = Questions::new(LIMITS);
    let ask = |questions: &mut Questions, snapshot: &Snapshot, agent, id, scopes: &[&str]| {
        questions.ask(question(snapshot, agent, id, scopes, at(0)), at(0))
    };
    let both = ["files.read:/projects", "files.write:/projects"];
    let turned = ["files.write:/projects", "files.read:/projects"];
    assert!(matches!(ask(&mut questions, &snapshot, "a", "1", &both), Asking::Opened(_)));
    let Asking::Joined(same) = ask(&mut questions, &snapshot, "a", "2", &turned) else {
        panic!("opened twice")
    };
    assert_eq!(&*same.id, "1");
    assert!(matches!(ask(&mut questions, &snapshot, "a", "3", &both[..1]), Asking::Opened(_)));
    assert!(matches!(ask(&mut questions, &snapshot, "b", "4", &both), Asking::Opened(_)));
    let user = User { subject: "U2".into(), name: None, email: None };
    snapshot.session = SessionState::Unverified { user: Some(user), since: at(0), why: String::new() };
    assert!(matches!(ask(&mut questions, &snapshot, "a", "5", &both), Asking::Opened(_)));
    let cleared = questions.clear(at(0), |question| question.still_stands(&snapshot));
    assert_eq!(cleared.len(), 3);
    assert_eq!(questions.iter().map(|question| &*question.id).collect::<Vec<_>>(), ["5"]);
}

#[test]
fn an_answer_that_does_not_fit_gives_nothing() {
    let snapshot = world();
    let asked = question(&snapshot, "a", "q", &["files.read:/projects", "files.delete:/projects/tmp"], at(0));
    let answer = |allowed: &[(&str, Choice)]| Answer {
        allowed: allowed.iter().map(|(text, choice)| (scope(text), *choice)).collect(),
    };
    let to = |allowed: &[(&str, Choice)], strength| answer(allowed).to(&asked, strength, &terms(at(1)));
    let read = ("files.read:/projects", Choice::Once);
    for wider in ["files.read", "files.read:/", "files.read:/projects/alpha", "files.write:/projects"] {
        let fault = to(&[read, (wider, Choice::Once)], Strength::Reauth);
        assert_eq!(fault, Err(AnswerFault::NotAsked(scope(wider))));
    }
    assert!(matches!(to(&[read, read], Strength::Reauth), Err(AnswerFault::Twice(_))));
    let delete = ("files.delete:/projects/tmp", Choice::Once);
    assert!(matches!(to(&[read, delete], Strength::Prompt), Err(AnswerFault::TooWeak { .. })));
    for long in [Choice::Session, Choice::Always] {
        let standing = ("files.read:/projects", long);
        assert!(matches!(to(&[standing], Strength::Prompt), Err(AnswerFault::TooWeak { .. })));
        assert!(to(&[standing], Strength::Passkey).is_ok());
    }
    let capped = Terms { longest: Choice::HalfHour, ..terms(at(1)) };
    let today = answer(&[("files.read:/projects", Choice::Today)]);
    assert!(matches!(today.to(&asked, Strength::Reauth, &capped), Err(AnswerFault::NotOffered { .. })));
    let late = terms(asked.expires_at);
    assert_eq!(Answer::nothing().to(&asked, Strength::Reauth, &late), Err(AnswerFault::Expired));
    let given = to(&[read], Strength::Prompt).unwrap();
    assert_eq!(given.given.len(), 1);
    assert_eq!(
        (given.given[0].uses, given.given[0].lifetime),
        (Some(1), Lifetime::Until(at(1) + ONCE_WITHIN))
    );
    assert_eq!(given.refused, [scope("files.delete:/projects/tmp")]);
}

#[test]
fn what_a_policy_demands_of_an_answer_is_said_and_kept() {
    let mut snapshot = world();
    let login =
        Binding { consent: Some("earlier".into()), strength: Some(Strength::Prompt), ..Binding::default() };
    let weak = Grant::new("a", scope("files.read:/projects"), Lifetime::Until(at(500))).bound(login);
    snapshot.grants.insert(weak.clone());
    let demanding =
        |least| asked(&snapshot, "a", "q", &[wanted("files.read:/projects", Some(least))], at(0)).unwrap();
    let passkey = demanding(Strength::Passkey);
    let lines = passkey.lines();
    assert!(
        lines
            .iter()
            .any(|line| line.trim() == "A policy wants it confirmed with a passkey or by signing in."),
        "{lines:?}"
    );
    assert!(lines.iter().any(|line| line.contains("did not confirm it as strongly")), "{lines:?}");
    // What another person allowed, or but one action, is nothing that is confirmed too weakly.
    for binding in [
        Binding { user: Some("U2".into()), ..weak.binding.clone() },
        Binding { action: Some("of another digest".into()), ..weak.binding.clone() },
    ] {
        let mut snapshot = world();
        snapshot.grants.insert(weak.clone().bound(binding));
        let wanted = [wanted("files.read:/projects", Some(Strength::Passkey))];
        let lines = asked(&snapshot, "a", "q", &wanted, at(0)).unwrap().lines();
        assert!(!lines.iter().any(|line| line.contains("did not confirm it as strongly")), "{lines:?}");
    }
    assert!(passkey.scopes[0].offers.iter().all(|offer| offer.needs == Strength::Passkey));
    assert!(demanding(Strength::Reauth).scopes[0].offers.iter().all(|offer| offer.needs == Strength::Reauth));

    let answer = Answer { allowed: vec![(scope("files.read:/projects"), Choice::Once)] };
    let fault = answer.to(&passkey, Strength::Prompt, &terms(at(1))).unwrap_err();
    assert!(fault.to_string().contains("takes more than an answer: confirm it with a passkey"), "{fault}");
    assert_eq!(answer.needs(&passkey, &terms(at(1))), Ok(Some(Strength::Passkey)));
    let given = answer.to(&passkey, Strength::Reauth, &terms(at(1))).unwrap().grants(&passkey, None);
    assert_eq!(given[0].strength(), crate::GrantStrength::Reauth);
    assert!(weak.strength() < given[0].strength());
    // A no takes nothing.
    assert!(Answer::nothing().to(&passkey, Strength::Prompt, &terms(at(1))).is_ok());

    // A weaker question that waits is another one.
    let mut questions = Questions::new(LIMITS);
    assert!(matches!(
        questions.ask(question(&snapshot, "a", "1", &["files.read:/projects"], at(0)), at(0)),
        Asking::Opened(_)
    ));
    assert!(matches!(questions.ask(passkey.clone(), at(0)), Asking::Opened(_)));
    assert!(matches!(questions.ask(passkey, at(0)), Asking::Joined(_)));
}

fn some_scopes() -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(SCOPES.to_vec(), 1..=SCOPES.len())
}

fn choice() -> impl Strategy<Value = Choice> {
    proptest::sample::select(Choice::ALL.to_vec())
}

fn strength() -> impl Strategy<Value = Strength> {
    proptest::sample::select(vec![Strength::Prompt, Strength::Passkey, Strength::Reauth])
}

proptest! {
    /// What an answer gives was asked by this question, word for word; a prompt gives nothing that lasts or is risky.
    #[test]
    fn an_answer_never_gives_more_than_was_asked(
        asked in some_scopes(),
        answered in proptest::collection::vec((proptest::sample::select(SCOPES.to_vec()), choice()), 0..6),
        strength in strength(),
        second in 0_i64..900,
    ) {
        let snapshot = world();
        let question = question(&snapshot, "a", "q", &asked, at(0));
        let answer = Answer { allowed: answered.iter().map(|(text, choice)| (scope(text), *choice)).collect() };
        let Ok(outcome) = answer.to(&question, strength, &terms(at(second))) else { return Ok(()) };
        prop_assert!(second < 600);
        prop_assert_eq!(outcome.given.len(), answered.len());
        prop_assert_eq!(outcome.given.len() + outcome.refused.len(), question.scopes.len());
        for given in &outcome.given {
            prop_assert!(asked.contains(&given.scope.as_str()));
            prop_assert!(answered.contains(&(given.scope.as_str(), given.choice)));
            if strength == Strength::Prompt {
                prop_assert!(!snapshot.catalogue.risk(&given.scope).is_high() && given.choice.expires());
            }
        }
    }

    /// However agents ask: nobody is put more questions than the limits say, and no two that wait are the same.
    #[test]
    fn the_limits_hold(
        steps in proptest::collection::vec((any::<bool>(), some_scopes(), 0_i64..200, 0_u8..4), 1..60),
    ) {
        let snapshot = world();
        let mut questions = Questions::new(LIMITS);
        let mut opened: Vec<(String, Timestamp)> = Vec::new();
        let mut now = at(0);
        for (number, (of_a, scopes, pause, what)) in steps.into_iter().enumerate() {
            now += SignedDuration::from_secs(pause);
            let agent = if of_a { "a" } else { "b" };
            if what == 0 {
                let first = questions.iter().next().map(|question| Arc::clone(&question.id));
                if let Some(id) = first {
                    prop_assert!(questions.take(&id).is_some() && questions.take(&id).is_none());
                }
            }
            questions.clear(now, |_| true);
            let asked = question(&snapshot, agent, &number.to_string(), &scopes, now);
            match questions.ask(asked.clone(), now) {
                Asking::Opened(_) => opened.push((agent.to_owned(), now)),
                Asking::Joined(same) => prop_assert!(same.is_same_as(&asked) && same.agent == asked.agent),
                Asking::NotPut(_) => {}
            }
            prop_assert!(questions.iter().count() <= LIMITS.open);
            for agent in ["a", "b"] {
                prop_assert!(questions.iter().filter(|question| &*question.agent == agent).count() <= LIMITS.open_of_agent);
                let lately = opened.iter().filter(|(of, at)| of == agent && now.duration_since(*at) < LIMITS.within);
                prop_assert!(lately.count() <= LIMITS.asked);
            }
            let waiting: Vec<_> = questions.iter().collect();
            for (position, one) in waiting.iter().enumerate() {
                prop_assert!(now < one.expires_at);
                prop_assert!(!waiting[..position].iter().any(|other| other.is_same_as(one)));
            }
        }
    }
}
