//! What is given to one serves nobody else, over random agents, manifests, users and grants.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

#[path = "world/mod.rs"]
mod world;

use std::sync::{Arc, LazyLock};

use agentauth_core::consent::Action;
use agentauth_core::session::SessionState;
use agentauth_core::{
    Agent, AgentFile, Agents, Binding, CallerFacts, Catalogue, CheckRequest, Decision, DecisionId, Effect,
    ExecutableFacts, Grant, Grants, Lifetime, Mandate, Policy, Presence, ProcessFacts, Scope, SignedDuration,
    Snapshot, Subject, decide,
};
use proptest::prelude::*;
use world::{World, base};

const USERS: [&str; 3] = ["U1", "U2", "U3"];
const AGENTS: usize = 4;

static WORLD: LazyLock<World> = LazyLock::new(|| serde_json::from_value(base()).unwrap());
static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
    let catalogue = Catalogue::shipped().unwrap();
    let policy = Policy::load(Policy::shipped(), &catalogue, ["files.read", "files.write"]).unwrap();
    Snapshot { policy: Arc::new(policy), launches: agentauth_core::Launches::new(), ..WORLD.snapshot() }
});

/// A grant as it is drawn: what it is bound to follows from the agents that are drawn beside it.
#[derive(Debug, Clone)]
struct Given {
    agent: usize,
    scope: Scope,
    lifetime: Lifetime,
    user: Option<&'static str>,
    /// Bound to the manifest of this one.
    manifest: Option<usize>,
    action: Option<u8>,
    uses: Option<u32>,
    window: Option<&'static str>,
    denied: bool,
}

#[derive(Debug, Clone)]
struct Draw {
    manifests: Vec<Vec<Scope>>,
    given: Vec<Given>,
    /// Grants that are added in the other world, as far as they are not about what decides.
    more: Vec<Given>,
    user: &'static str,
    /// Whether the person was seen lately.
    seen: bool,
    asker: usize,
    parent: Option<usize>,
    scopes: Vec<Scope>,
    action: Option<u8>,
}

impl Given {
    fn grant(&self, agents: &[Agent], number: usize) -> Grant {
        let binding = Binding {
            manifest_digest: self.manifest.map(|of| agents[of].manifest_digest.as_str().into()),
            user: self.user.map(Into::into),
            action: self.action.map(|number| action(number).digest().into()),
            consent: Some(format!("q{number}").into()),
            strength: None,
        };
        let grant = Grant::new(&name(self.agent), self.scope.clone(), self.lifetime).bound(binding);
        let grant = match self.window {
            Some(window) => grant.mandated(Mandate { window: window.parse().ok() }),
            None => grant,
        };
        let grant = match self.uses {
            Some(uses) => grant.for_uses(uses),
            None => grant,
        };
        if self.denied { grant.refused() } else { grant }
    }
}

impl Draw {
    fn agents(&self) -> Vec<Agent> {
        let agent = |(number, scopes): (usize, &Vec<Scope>)| {
            let scopes: Vec<_> =
                scopes.iter().map(|scope| serde_json::json!({"scope": scope, "purpose": "p"})).collect();
            let file = serde_json::json!({
                "manifest": {"name": name(number), "version": number.to_string(), "scopes": scopes},
                "selectors": {"executable": program(number)},
            });
            AgentFile::parse(file.to_string().as_bytes()).unwrap().agent()
        };
        self.manifests.iter().enumerate().map(agent).collect()
    }

    fn grants(&self, agents: &[Agent]) -> Vec<Grant> {
        let given = self.given.iter().enumerate();
        given.map(|(number, given)| given.grant(agents, number)).collect()
    }

    /// What the other world has more.
    fn others(&self, agents: &[Agent]) -> Vec<Grant> {
        let more = self.more.iter().enumerate();
        more.map(|(number, given)| given.grant(agents, 1000 + number)).collect()
    }

    /// Whose rights count.
    fn concerned(&self) -> Vec<String> {
        std::iter::once(self.asker).chain(self.parent).map(name).collect()
    }

    fn snapshot(&self, agents: &[Agent], grants: impl IntoIterator<Item = Grant>) -> Snapshot {
        let mut known = Agents::new();
        agents.iter().for_each(|agent| drop(known.insert(agent.clone())));
        let mut all = Grants::new();
        grants.into_iter().for_each(|grant| drop(all.insert(grant)));
        let SessionState::Active(session) = &SNAPSHOT.session else { panic!() };
        let mut session = (**session).clone();
        session.user.subject = self.user.to_owned();
        session.claims.subject = self.user.to_owned();
        Snapshot {
            agents: known,
            grants: all,
            session: SessionState::Active(Arc::new(session)),
            presence: Presence { seen: self.seen.then_some(WORLD.now), ..Presence::default() },
            ..SNAPSHOT.clone()
        }
    }

    fn decide(&self, snapshot: &Snapshot) -> Decision {
        let process = |number: usize| ProcessFacts {
            pid: 100 + u32::try_from(number).unwrap(),
            executable: Some(ExecutableFacts { path: program(number), ..ExecutableFacts::default() }),
            ..ProcessFacts::default()
        };
        let facts = CallerFacts {
            process: process(self.asker),
            ancestors: self.parent.map(process).into_iter().collect(),
            ancestry_complete: true,
            greeted: true,
            ..CallerFacts::default()
        };
        let action = self.action.map(action);
        let request = CheckRequest { scopes: self.scopes.clone(), action, ..CheckRequest::default() };
        decide(snapshot, &request, Subject::Caller(&facts), DecisionId::new("d"), WORLD.now)
    }
}

fn name(number: usize) -> String {
    format!("agent-{number}")
}

fn program(number: usize) -> String {
    format!("/opt/agents/{number}")
}

fn action(number: u8) -> Action {
    Action::new(&serde_json::json!({"number": number})).unwrap()
}

const SCOPES: [&str; 5] =
    ["files.read:/a", "files.read:/a/b", "files.read:/c", "files.read", "files.write:/a"];

fn scope() -> impl Strategy<Value = Scope> {
    proptest::sample::select(SCOPES.to_vec()).prop_map(|text| text.parse().unwrap())
}

fn given() -> impl Strategy<Value = Given> {
    let lifetime = prop_oneof![
        3 => Just(Lifetime::UntilRevoked),
        1 => Just(Lifetime::Session),
        2 => (-60..600_i64).prop_map(|seconds| Lifetime::Until(WORLD.now + SignedDuration::from_secs(seconds))),
    ];
    // It is ten o'clock.
    let window = prop_oneof![
        4 => Just(None), 1 => Just(Some("09:00-11:00 UTC")), 1 => Just(Some("02:00-03:00 Europe/Berlin"))
    ];
    let bound = (
        proptest::option::of(proptest::sample::select(USERS.to_vec())),
        proptest::option::weighted(0.3, 0..AGENTS),
        proptest::option::weighted(0.2, 0..2_u8),
    );
    let counted = (proptest::option::weighted(0.3, 1..4_u32), window, proptest::bool::weighted(0.05));
    (0..AGENTS, scope(), lifetime, bound, counted).prop_map(
        |(agent, scope, lifetime, (user, manifest, action), (uses, window, denied))| Given {
            agent,
            scope,
            lifetime,
            user,
            manifest,
            action,
            uses,
            window,
            denied,
        },
    )
}

fn draw() -> impl Strategy<Value = Draw> {
    let manifest = || {
        let scopes = proptest::sample::subsequence(SCOPES.to_vec(), 2..=4);
        scopes.prop_map(|texts| texts.into_iter().map(|text| text.parse().unwrap()).collect::<Vec<Scope>>())
    };
    let asked = (
        0..AGENTS,
        proptest::option::weighted(0.2, 0..AGENTS),
        proptest::collection::vec(scope(), 1..3),
        proptest::option::weighted(0.3, 0..2_u8),
    );
    (
        proptest::collection::vec(manifest(), AGENTS),
        proptest::collection::vec(given(), 0..24),
        proptest::collection::vec(given(), 0..12),
        (proptest::sample::select(USERS.to_vec()), proptest::bool::weighted(0.9)),
        asked,
    )
        .prop_map(|(manifests, given, more, (user, seen), (asker, parent, scopes, action))| Draw {
            manifests,
            given,
            more,
            user,
            seen,
            asker,
            parent,
            scopes,
            action,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    /// The decision about one agent is the same whatever is given to or taken from others: not only whether it is
    /// allowed, but every word of it.
    #[test]
    fn no_grant_of_one_agent_does_anything_for_another(draw in draw()) {
        let agents = draw.agents();
        let concerned = draw.concerned();
        let about = |grant: &Grant| concerned.iter().any(|name| **name == *grant.agent);
        let alone = draw.snapshot(&agents, draw.grants(&agents).into_iter().filter(about));
        let decision = draw.decide(&alone);
        let beside = draw.snapshot(&agents, draw.grants(&agents));
        prop_assert_eq!(&draw.decide(&beside), &decision);
        let more = draw.others(&agents).into_iter().filter(|grant| !about(grant));
        let more = draw.snapshot(&agents, draw.grants(&agents).into_iter().chain(more));
        prop_assert_eq!(&draw.decide(&more), &decision);
    }

    /// The same for users: what one of them gave serves in no login of another.
    #[test]
    fn no_grant_of_one_user_does_anything_for_another(draw in draw()) {
        let agents = draw.agents();
        let theirs = |grant: &Grant| grant.binding.user.as_deref().is_some_and(|user| user != draw.user);
        let alone = draw.snapshot(&agents, draw.grants(&agents).into_iter().filter(|grant| !theirs(grant)));
        let decision = draw.decide(&alone);
        let beside = draw.snapshot(&agents, draw.grants(&agents));
        prop_assert_eq!(&draw.decide(&beside), &decision);
        let more = draw.others(&agents).into_iter().filter(theirs);
        let more = draw.snapshot(&agents, draw.grants(&agents).into_iter().chain(more));
        prop_assert_eq!(&draw.decide(&more), &decision);
    }

    /// The same for manifests and for actions. Refusals stand beyond a manifest.
    #[test]
    fn no_grant_for_another_manifest_or_action_does_anything(draw in draw()) {
        let agents = draw.agents();
        let digest = |of: &str| agents.iter().find(|agent| *agent.name == *of).unwrap().manifest_digest.clone();
        let asked = draw.action.map(|number| action(number).digest().to_owned());
        let foreign = |grant: &Grant| {
            let manifest = grant.binding.manifest_digest.as_deref();
            let action = grant.binding.action.as_deref();
            !grant.denied && manifest.is_some_and(|bound| bound != digest(&grant.agent))
                || action.is_some_and(|bound| Some(bound) != asked.as_deref())
        };
        let without = draw.snapshot(&agents, draw.grants(&agents).into_iter().filter(|grant| !foreign(grant)));
        let with = draw.snapshot(&agents, draw.grants(&agents));
        prop_assert_eq!(draw.decide(&with), draw.decide(&without));
    }

    /// Counted uses: never more allows than there are uses, each taking one from what the agents concerned have.
    #[test]
    fn uses_are_spent_and_never_more_than_there_are(draw in draw()) {
        let agents = draw.agents();
        let mut snapshot = draw.snapshot(&agents, draw.grants(&agents));
        let concerned = draw.concerned();
        let left = |snapshot: &Snapshot| -> u64 {
            let of = |name: &String| snapshot.grants.of_agent(name).filter_map(|grant| grant.left).map(u64::from).sum::<u64>();
            concerned.iter().collect::<std::collections::BTreeSet<_>>().into_iter().map(of).sum()
        };
        let all = left(&snapshot);
        for taken in 0.. {
            let decision = draw.decide(&snapshot);
            if !decision.allow || decision.effects.is_empty() {
                break;
            }
            prop_assert!(taken < all, "{taken} allows of {all} uses");
            prop_assert_eq!(decision.expires_at, WORLD.now, "a cached copy would be another use");
            let before = left(&snapshot);
            let mut spent = 0;
            for effect in &decision.effects {
                let Effect::SpendGrant { id } = effect else { continue };
                let grant = snapshot.grants.get(id).unwrap();
                prop_assert!(concerned.iter().any(|name| **name == *grant.agent) && decision.grants.contains(id));
                prop_assert!(snapshot.grants.spend(id));
                spent += 1;
            }
            prop_assert!(spent > 0 && left(&snapshot) + spent == before);
        }
    }

    /// What a person allowed for long, or for runs that nobody watches, comes back by no answer at a terminal.
    #[test]
    fn what_stands_is_known_as_such(draw in draw()) {
        let agents = draw.agents();
        let grants = draw.grants(&agents);
        let long = grants.iter().any(|grant| grant.is_standing() || grant.mandate.is_some() && !grant.denied);
        let snapshot = draw.snapshot(&agents, grants);
        prop_assert!(!long || snapshot.paused() == agentauth_core::gate::Widening::Standing);
    }

    /// Under a new manifest a grant becomes no wider, no longer, and nobody else's.
    #[test]
    fn what_is_left_under_a_new_manifest_is_never_more(draw in draw(), asked in scope()) {
        let agents = draw.agents();
        for (given, grant) in draw.given.iter().zip(draw.grants(&agents)) {
            for entry in &draw.manifests[(given.agent + 1) % AGENTS] {
                let Some(left) = grant.carried_over(entry, "new") else { continue };
                prop_assert!(grant.scope.covers(&left.scope) && entry.covers(&left.scope));
                prop_assert!(!left.scope.covers(&asked) || grant.scope.covers(&asked) && entry.covers(&asked));
                prop_assert_eq!(grant.uses, None);
                let bound = Binding { manifest_digest: Some("new".into()), ..grant.binding.clone() };
                prop_assert_eq!(&left.binding, &bound);
                prop_assert_eq!(
                    (&left.agent, left.lifetime, left.login, left.uses, left.denied, &left.mandate),
                    (&grant.agent, grant.lifetime, grant.login, None, grant.denied, &grant.mandate)
                );
            }
        }
    }
}

#[test]
fn the_worlds_drawn_allow_often_enough_to_mean_something() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut allowed, mut spent, mut of_others) = (0, 0, 0);
    for _ in 0..1000 {
        let draw = draw().new_tree(&mut runner).unwrap().current();
        let agents = draw.agents();
        let grants = draw.grants(&agents);
        let decision = draw.decide(&draw.snapshot(&agents, grants.clone()));
        allowed += usize::from(decision.allow);
        spent += usize::from(decision.allow && !decision.effects.is_empty());
        let covered = |grant: &Grant| {
            !grant.denied
                && *grant.agent != *name(draw.asker)
                && draw.scopes.iter().all(|scope| grant.scope.covers(scope))
        };
        of_others += usize::from(!decision.allow && grants.iter().any(covered));
    }
    assert!(allowed >= 50 && spent >= 10 && of_others >= 100, "{allowed} {spent} {of_others} of 1000");
}
