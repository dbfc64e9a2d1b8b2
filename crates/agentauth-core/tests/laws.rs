//! What no decision may ever do, over random worlds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod world;

use std::sync::{Arc, LazyLock};

use agentauth_core::session::{OverReason, SessionState};
use agentauth_core::{
    CallerFacts, Catalogue, Caveat, CheckRequest, Decision, DecisionId, Effect, Grant, Lifetime, Policy,
    Reason, Scope, SignedDuration, Snapshot, Standing, Subject, Timestamp, decide,
};
use proptest::prelude::*;
use world::{World, base};

static WORLD: LazyLock<World> = LazyLock::new(|| serde_json::from_value(base()).unwrap());
static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| WORLD.snapshot());

/// Sets of policies, each the one before with a forbid more.
static POLICIES: LazyLock<Vec<Arc<Policy>>> = LazyLock::new(|| {
    let catalogue = Catalogue::shipped().unwrap();
    let forbids = [
        r#"@id("f1") forbid(principal, action == AgentAuth::Action::"files.write", resource);"#,
        r#"@id("f2") forbid(principal, action, resource) when { context.known.tampered };"#,
        r#"@id("f3") forbid(principal, action, resource in AgentAuth::Resource::"files:/projects/alpha");"#,
        r#"@id("f4") forbid(principal == AgentAuth::Agent::"payment-agent", action, resource);"#,
        r#"@id("f5") forbid(principal, action, resource) when { 9223372036854775807 + context.known.assurance_level > 0 };"#,
    ];
    (0..=forbids.len())
        .map(|count| {
            let mut sources: Vec<_> = Policy::shipped().to_vec();
            let more = forbids[..count].join("\n");
            sources.push(("more.cedar", &more));
            Arc::new(Policy::load(&sources, &catalogue, SNAPSHOT.agents.action_names()).unwrap())
        })
        .collect()
});

/// Everything that varies.
#[derive(Debug, Clone)]
struct Draw {
    locked: bool,
    quarantined: Option<&'static str>,
    session: &'static str,
    session_ends: i64,
    confirmed: i64,
    keys_end: Option<i64>,
    role: bool,
    policy: usize,
    grants: Vec<Grant>,
    caller: &'static str,
    parent: Option<&'static str>,
    complete: bool,
    greeted: bool,
    tampered: bool,
    scopes: Vec<Scope>,
}

impl Draw {
    fn snapshot(&self) -> Snapshot {
        let now = WORLD.now;
        let after = |seconds: i64| now + SignedDuration::from_secs(seconds);
        let mut session = WORLD.session.clone();
        session.expires_at = after(self.session_ends);
        session.confirmed_at = Some(after(self.confirmed));
        session.roles = if self.role { vec!["payment_processor".into(), "admin".into()] } else { Vec::new() };
        session.state = self.session.to_owned();
        session.why = Some(OverReason::Revoked);
        let mut grants = agentauth_core::Grants::new();
        self.grants.iter().for_each(|grant| drop(grants.insert(grant.clone())));
        Snapshot {
            locked: self.locked,
            quarantined_agents: self.quarantined.iter().map(|name| (*name).to_owned()).collect(),
            session: session.state(now).unwrap(),
            keys_fresh_until: self.keys_end.map(after),
            grants,
            policy: Arc::clone(&POLICIES[self.policy]),
            ..SNAPSHOT.clone()
        }
    }

    fn decide(&self, snapshot: &Snapshot) -> Decision {
        let caller = WORLD.callers[self.caller].clone();
        let parent = self.parent.map(|name| WORLD.callers[name].process.clone());
        let ancestors = parent.into_iter().chain(caller.ancestors).collect();
        let caveats =
            if self.tampered { vec![Caveat::Variable("LD_PRELOAD".to_owned())] } else { Vec::new() };
        let facts = CallerFacts {
            ancestors,
            ancestry_complete: self.complete,
            greeted: self.greeted,
            caveats,
            ..caller
        };
        let request = CheckRequest { scopes: self.scopes.clone(), ..CheckRequest::default() };
        decide(snapshot, &request, Subject::Caller(&facts), DecisionId::new("d"), WORLD.now)
    }
}

fn scope() -> impl Strategy<Value = Scope> {
    let texts = [
        "files.read:/projects",
        "files.read:/projects/alpha",
        "files.read:/invoices",
        "files.read:/",
        "files.read",
        "files.write:/projects/alpha",
        "files.delete:/projects/alpha/tmp",
        "payments.execute:currency=EUR",
        "payments.execute:currency=EUR,payee=x",
        "payments.read:currency=EUR",
        "admin.write:area=labels",
        "email.read",
    ];
    proptest::sample::select(texts.to_vec()).prop_map(|text| text.parse().unwrap())
}

fn grant() -> impl Strategy<Value = Grant> {
    let agent = prop_oneof![Just("files-agent"), Just("payment-agent")];
    let lifetime = prop_oneof![
        4 => Just(Lifetime::UntilRevoked),
        1 => Just(Lifetime::Session),
        1 => (-60..60_i64).prop_map(|seconds| Lifetime::Until(WORLD.now + SignedDuration::from_secs(seconds))),
    ];
    (agent, scope(), lifetime, proptest::bool::weighted(0.04)).prop_map(|(agent, scope, lifetime, denied)| {
        let grant = Grant::new(agent, scope, lifetime);
        if denied { grant.refused() } else { grant }
    })
}

/// Mostly worlds in which much is allowed, so that the laws have something to hold against.
fn draw() -> impl Strategy<Value = Draw> {
    let rarely = || proptest::bool::weighted(0.1);
    let session =
        prop_oneof![8 => Just("active"), 1 => Just("logged_out"), 1 => Just("unverified"), 1 => Just("over")];
    let caller = prop_oneof![
        9 => Just("files"), 9 => Just("payment"), 1 => Just("files, replaced"), 1 => Just("files, not hashed yet"),
        1 => Just("files, misplaced"), 1 => Just("payment, misplaced"), 1 => Just("curl")
    ];
    let parent = prop_oneof![12 => Just(None), 1 => Just(Some("payment")), 1 => Just(Some("files")), 1 => Just(Some("files, replaced")), 1 => Just(Some("payment, misplaced"))];
    let quarantined = prop_oneof![9 => Just(None), 1 => Just(Some("files-agent"))];
    let ends = || prop_oneof![9 => 5..60_i64, 1 => -5..5_i64];
    let confirmed = prop_oneof![5 => -60..0_i64, 1 => -400..10_i64];
    let state = (rarely(), quarantined, session, ends(), confirmed, proptest::option::weighted(0.95, ends()));
    let rest = (
        proptest::bool::weighted(0.8),
        prop_oneof![4 => Just(0), 1 => 0..6_usize],
        proptest::collection::vec(grant(), 8..24),
        caller,
        parent,
        proptest::bool::weighted(0.95),
        proptest::bool::weighted(0.9),
        rarely(),
        prop_oneof![4 => proptest::collection::vec(scope(), 1), 1 => proptest::collection::vec(scope(), 0..3)],
    );
    (state, rest).prop_map(
        |(
            (locked, quarantined, session, session_ends, confirmed, keys_end),
            (role, policy, grants, caller, parent, complete, greeted, tampered, scopes),
        )| Draw {
            locked,
            quarantined,
            session,
            session_ends,
            confirmed,
            keys_end,
            role,
            policy,
            grants,
            caller,
            parent,
            complete,
            greeted,
            tampered,
            scopes,
        },
    )
}

/// Ways to write paths near `/projects/alpha`, most of them into or out of it.
const SPELLINGS: &str = "/(\\./)?(projects|projects|Projects|projects%2falpha|projects2)(/|/|/\\./|//)\
    (alpha|alpha|Alpha|alph\u{430}|%61lpha|alpha2|alpha |alpha%00|\\.\\.)((/|//|\\\\)(etc|\\.|\\.\\.|%2e%2e|\\.\\.%2f\\.\\.|alpha|\\*| |)){0,3}";

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 600, ..ProptestConfig::default() })]

    /// Each condition of an allow, checked here in the plainest way.
    #[test]
    fn no_allow_without_every_fact_behind_it(draw in draw()) {
        let snapshot = draw.snapshot();
        let decision = draw.decide(&snapshot);
        prop_assert_eq!(decision.allow, decision.reason == Reason::Granted);
        if !decision.allow {
            prop_assert_eq!(decision.expires_at, WORLD.now);
            return Ok(());
        }
        let SessionState::Active(session) = &snapshot.session else { panic!("allowed without a session: {decision:?}") };
        prop_assert!(session.claims.expires_at > WORLD.now);
        prop_assert!(snapshot.keys_fresh_until.unwrap() > WORLD.now);
        prop_assert!(!draw.locked && draw.quarantined.is_none_or(|name| !decision.agents.iter().any(|agent| agent == name)));
        prop_assert!(!draw.scopes.is_empty() && !decision.agents.is_empty());
        prop_assert!(!draw.caller.contains("replaced") && !draw.caller.contains("not hashed") && draw.caller != "curl");
        prop_assert!(!draw.caller.contains("misplaced") && draw.greeted && draw.complete);
        prop_assert!(draw.parent.is_none_or(|parent| !parent.contains("replaced") && !parent.contains("misplaced")));
        for scope in &draw.scopes {
            if snapshot.catalogue.risk(scope).is_high() {
                prop_assert!(decision.high_risk && !draw.tampered);
                prop_assert!(WORLD.now.duration_since(session.confirmed_at) <= snapshot.max_confirmation_age);
            }
            for agent in &decision.agents {
                prop_assert!(snapshot.agents.get(agent).unwrap().manifest.covers(scope));
                let mut covering = draw.grants.iter().filter(|grant| {
                    *grant.agent == **agent && !grant.denied && grant.scope.covers(scope)
                        && grant.standing(WORLD.now, session.logged_in_at, &snapshot.presence) == Standing::Holds
                });
                prop_assert!(covering.next().is_some());
            }
        }
        prop_assert!(decision.expires_at >= WORLD.now);
        prop_assert!(decision.expires_at <= session.claims.expires_at.min(snapshot.keys_fresh_until.unwrap()));
        prop_assert!(decision.expires_at <= WORLD.now + SignedDuration::from_secs(60));
    }

    #[test]
    fn a_forbid_more_never_allows(draw in draw()) {
        let snapshot = draw.snapshot();
        if !draw.decide(&snapshot).allow {
            for policy in POLICIES.iter().skip(draw.policy + 1) {
                let stricter = Snapshot { policy: Arc::clone(policy), ..snapshot.clone() };
                prop_assert!(!draw.decide(&stricter).allow);
            }
        }
    }

    #[test]
    fn a_grant_less_and_a_refusal_more_never_allow(draw in draw(), refusal in grant()) {
        let snapshot = draw.snapshot();
        let before = draw.decide(&snapshot);
        for grant in draw.grants.iter().filter(|grant| !grant.denied) {
            let mut fewer = snapshot.clone();
            fewer.grants.remove(&grant.id);
            prop_assert!(before.allow || !draw.decide(&fewer).allow);
        }
        let mut refused = snapshot.clone();
        refused.grants.insert(refusal.refused());
        prop_assert!(before.allow || !draw.decide(&refused).allow);
    }

    /// A no gives nothing, and takes no grant away unless everything was refused. While it stands there is no question.
    #[test]
    fn a_decline_never_allows_and_is_not_asked_again(draw in draw(), everything in any::<bool>()) {
        let snapshot = draw.snapshot();
        let before = draw.decide(&snapshot);
        let mut declined = snapshot.clone();
        let until = WORLD.now + SignedDuration::from_secs(1);
        for agent in snapshot.agents.iter() {
            for scope in &draw.scopes {
                declined.declined.decline(&agent.name, scope.clone(), WORLD.now, until);
            }
            if everything {
                declined.declined.decline_everything(&agent.name, WORLD.now, until);
            }
        }
        let after = draw.decide(&declined);
        prop_assert_eq!(after.allow, before.allow && !everything);
        let asked = after.effects.iter().any(|effect| matches!(effect, Effect::AskConsent { .. }));
        prop_assert!(!asked);
    }

    /// One question for each agent, of scopes that were asked for, each once; and only where all that stands in the way
    /// is a missing answer.
    #[test]
    fn questions_are_about_what_was_asked(draw in draw()) {
        let decision = draw.decide(&draw.snapshot());
        let mut asked = Vec::new();
        for effect in &decision.effects {
            let Effect::AskConsent { agent, scopes } = effect else { continue };
            prop_assert!(!asked.contains(agent) && decision.agents.contains(agent) && !scopes.is_empty());
            asked.push(agent.clone());
            for (position, wanted) in scopes.iter().enumerate() {
                let earlier = scopes[..position].iter().any(|other| other.scope == wanted.scope);
                prop_assert!(draw.scopes.contains(&wanted.scope) && !earlier && wanted.at_least.is_none());
            }
        }
        let asks = matches!(decision.reason, Reason::ConsentRequired | Reason::GrantExpired);
        prop_assert_eq!(asks, !asked.is_empty());
    }

    /// Whatever spelling of a path is asked for: what is allowed lies, segment by segment, below what was granted.
    #[test]
    fn no_spelling_of_a_path_leads_out_of_a_grant(path in SPELLINGS) {
        let Ok(asked) = format!("files.read:{path}").parse::<Scope>() else { return Ok(()) };
        let mut snapshot = SNAPSHOT.clone();
        snapshot.grants = agentauth_core::Grants::new();
        let granted = "files.read:/projects/alpha".parse().unwrap();
        snapshot.grants.insert(Grant::new("files-agent", granted, Lifetime::UntilRevoked));
        let request = CheckRequest { scopes: vec![asked], ..CheckRequest::default() };
        let subject = Subject::Caller(&WORLD.callers["files"]);
        let decision = decide(&snapshot, &request, subject, DecisionId::new("d"), WORLD.now);
        let names: Vec<_> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
        prop_assert_eq!(decision.allow, names.starts_with(&["projects", "alpha"]), "{}: {:?}", path, decision.reason);
    }

    /// Locks, quarantines, one scope more, an agent more above the caller: none of them gives a right.
    #[test]
    fn narrowing_never_allows(draw in draw(), extra in scope()) {
        let snapshot = draw.snapshot();
        if !draw.decide(&snapshot).allow {
            let narrower = [
                Snapshot { locked: true, ..snapshot.clone() },
                Snapshot { quarantined_device: true, ..snapshot.clone() },
                Snapshot { keys_fresh_until: None, ..snapshot.clone() },
                Snapshot { session: SessionState::LoggedOut, ..snapshot.clone() },
            ];
            for snapshot in &narrower {
                prop_assert!(!draw.decide(snapshot).allow);
            }
            if draw.parent.is_none() {
                let child = Draw { parent: Some("payment"), ..draw.clone() };
                prop_assert!(!child.decide(&snapshot).allow);
            }
            if !draw.scopes.is_empty() {
                let mut more = draw.clone();
                more.scopes.push(extra);
                prop_assert!(!more.decide(&snapshot).allow);
            }
        }
    }

    /// The cached copy stays true until it says that it does not: nothing changes but time.
    #[test]
    fn an_allow_stays_true_until_it_expires(draw in draw()) {
        let snapshot = draw.snapshot();
        let decision = draw.decide(&snapshot);
        if decision.allow {
            let last: Timestamp = decision.expires_at - SignedDuration::from_millis(1);
            if last > WORLD.now {
                let facts = CallerFacts { greeted: draw.greeted, ..WORLD.callers[draw.caller].clone() };
                if draw.parent.is_none() && !draw.tampered {
                    let request = CheckRequest { scopes: draw.scopes.clone(), ..CheckRequest::default() };
                    prop_assert!(decide(&snapshot, &request, Subject::Caller(&facts), DecisionId::new("d"), last).allow);
                }
            }
        }
    }
}

#[test]
fn the_worlds_drawn_allow_often_enough_to_mean_something() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let allowed = (0..500)
        .filter(|_| {
            let draw = draw().new_tree(&mut runner).unwrap().current();
            draw.decide(&draw.snapshot()).allow
        })
        .count();
    assert!(allowed >= 25, "only {allowed} of 500");
}

#[test]
fn hostile_texts_are_escaped_and_cut_in_every_message() {
    let mut caller = WORLD.callers["curl"].clone();
    let executable = caller.process.executable.as_mut().unwrap();
    executable.path = format!("/tmp/\u{1b}[2J\u{202e}{}", "x".repeat(5000));
    let request =
        CheckRequest { scopes: vec!["files.read:/projects".parse().unwrap()], ..CheckRequest::default() };
    let decision = decide(&SNAPSHOT, &request, Subject::Caller(&caller), DecisionId::new("d"), WORLD.now);
    for message in [&decision.message, &decision.model_message] {
        assert!(!message.contains(['\u{1b}', '\u{202e}']) && message.chars().count() < 1000, "{message}");
    }
}

#[test]
fn an_allow_can_be_taken_back_at_the_last_moment() {
    let request =
        CheckRequest { scopes: vec!["files.read:/projects".parse().unwrap()], ..CheckRequest::default() };
    let subject = Subject::Caller(&WORLD.callers["files"]);
    let decision = decide(&SNAPSHOT, &request, subject, DecisionId::new("d"), WORLD.now);
    assert!(decision.allow);
    let unproven = decision.clone().caller_unproven(WORLD.now);
    let unwritten = decision.audit_unavailable(WORLD.now);
    assert_eq!((unproven.reason, unwritten.reason), (Reason::CallerUnproven, Reason::AuditUnavailable));
    for deny in [unproven, unwritten] {
        assert!(!deny.allow && deny.expires_at == WORLD.now && deny.message.contains("may not"));
        assert_eq!(deny.clone().audit_unavailable(WORLD.now), deny);
    }
}
