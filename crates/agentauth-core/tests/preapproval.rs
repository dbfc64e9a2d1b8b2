//! What an administrator's policy grants without anybody being asked, where nothing else was granted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod world;

use std::sync::Arc;

use agentauth_core::gate::Widening;
use agentauth_core::signals::Signals;
use agentauth_core::{
    Agent, Binding, CheckRequest, Decision, DecisionId, Effect, Grant, Grants, Lifetime, Policy, Reason,
    Scope, SignedDuration, Snapshot, Strength, Subject, decide, decide_watched,
};
use world::{World, base};

const DELETE: &str = "files.delete:/projects/alpha/tmp";
const READ: &str = "files.read:/projects";

fn world() -> World {
    serde_json::from_value(base()).unwrap()
}

/// The world with this policy beside one that permits everything, and with no grants.
fn snapshot(world: &World, policy: &str) -> Snapshot {
    let mut snapshot = world.snapshot();
    let sources = [("base", "@id(\"base\") permit(principal, action, resource);"), ("org", policy)];
    let policy = Policy::load(&sources, &snapshot.catalogue, snapshot.agents.action_names()).unwrap();
    snapshot.policy = Arc::new(policy);
    snapshot.grants = Grants::new();
    snapshot
}

fn ask(world: &World, snapshot: &Snapshot, scopes: &[&str]) -> Decision {
    let scopes: Vec<Scope> = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
    let request = CheckRequest { scopes, ..CheckRequest::default() };
    let subject = Subject::Caller(&world.callers["files"]);
    decide(snapshot, &request, subject, DecisionId::new("d"), world.now)
}

#[test]
fn what_is_of_high_risk_is_granted_only_where_the_policy_says_so() {
    let world = world();
    let org = |value: &str| {
        format!(
            "@id(\"org\") @preapprove{value} permit(principal, action in [AgentAuth::Action::\"files.delete\", \
             AgentAuth::Action::\"files.read\"], resource);"
        )
    };
    let plain = snapshot(&world, &org(""));
    assert_eq!(ask(&world, &plain, &[DELETE]).reason, Reason::ConsentRequired);
    assert!(ask(&world, &plain, &[READ]).allow);
    let bold = snapshot(&world, &org("(\"high_risk\")"));
    let allowed = ask(&world, &bold, &[DELETE]);
    assert!(allowed.allow && allowed.high_risk);
    assert_eq!(allowed.grants, ["policy:org"]);
    let effect = Effect::Preapproved {
        agent: "files-agent".into(),
        scope: DELETE.parse().unwrap(),
        policy: "org".into(),
    };
    assert_eq!(allowed.effects, [effect]);
    assert_eq!(allowed.grant_kinds.words().as_deref(), Some("policy"));
}

#[test]
fn what_else_is_missing_is_asked_and_nothing_is_recorded_as_granted() {
    let world = world();
    let org =
        "@id(\"org\") @preapprove permit(principal, action == AgentAuth::Action::\"files.read\", resource);";
    let decision = ask(&world, &snapshot(&world, org), &[READ, "files.write:/projects"]);
    assert_eq!(decision.reason, Reason::ConsentRequired);
    let [Effect::AskConsent { agent, scopes }] = &decision.effects[..] else {
        panic!("{:?}", decision.effects)
    };
    assert_eq!(
        (agent.as_str(), scopes.len(), scopes[0].scope.as_str()),
        ("files-agent", 1, "files.write:/projects")
    );
}

#[test]
fn nobody_is_asked_about_it_beside_what_a_policy_wants_confirmed() {
    let world = world();
    let org =
        "@id(\"org\") @preapprove permit(principal, action == AgentAuth::Action::\"files.read\", resource);
               @id(\"strong\") @remedy(\"consent\") @strength(\"passkey\")
               forbid(principal, action == AgentAuth::Action::\"files.write\", resource)
               when { context.known.grant_strength_level < 2 };";
    for scopes in [[READ, "files.write:/projects"], ["files.write:/projects", READ]] {
        let decision = ask(&world, &snapshot(&world, org), &scopes);
        assert_eq!(decision.reason, Reason::PolicyForbids);
        let [Effect::AskConsent { scopes, .. }] = &decision.effects[..] else {
            panic!("{:?}", decision.effects)
        };
        let asked: Vec<&str> = scopes.iter().map(|wanted| wanted.scope.as_str()).collect();
        assert_eq!(asked, ["files.write:/projects"], "a no to the other would take it away");
    }
}

#[test]
fn a_persons_no_is_above_it() {
    let world = world();
    let org =
        "@id(\"org\") @preapprove permit(principal, action == AgentAuth::Action::\"files.read\", resource);";
    let until = world.now + SignedDuration::from_secs(60);
    let mut declined = snapshot(&world, org);
    declined.declined.decline("files-agent", READ.parse().unwrap(), world.now, until);
    assert_eq!(ask(&world, &declined, &[READ]).reason, Reason::ConsentDenied);
    let mut everything = snapshot(&world, org);
    everything.declined.decline_everything("files-agent", world.now, until);
    assert_eq!(ask(&world, &everything, &[READ]).reason, Reason::ConsentDenied);
    assert!(ask(&world, &snapshot(&world, org), &[READ]).allow);
}

/// Whether who watches the files agent is told that the person allowed exactly this scope.
fn by_name(world: &World, snapshot: &Snapshot, scope: &str) -> bool {
    let request = CheckRequest { scopes: vec![scope.parse().unwrap()], ..CheckRequest::default() };
    let mut found = None;
    let mut watch = |_: &Agent, by_name: &dyn Fn(&Scope) -> bool| {
        found = Some(by_name(&request.scopes[0]));
        Signals::NONE
    };
    let subject = Subject::Caller(&world.callers["files"]);
    let _ = decide_watched(snapshot, &request, subject, &mut watch, DecisionId::new("d"), world.now);
    found.unwrap()
}

#[test]
fn what_a_policy_grants_was_not_allowed_by_name() {
    let world = world();
    let org =
        "@id(\"org\") @preapprove permit(principal, action == AgentAuth::Action::\"files.read\", resource);";
    assert!(!by_name(&world, &snapshot(&world, org), READ));
    let asks = snapshot(&world, "@id(\"org\") permit(principal, action, resource);");
    assert!(by_name(&world, &asks, READ), "the person is asked");
}

#[test]
fn allowed_by_name_is_what_the_grant_says_that_the_decision_uses() {
    let world = world();
    let below = format!("{READ}/alpha");
    let grant = |scope: &str, lifetime, strength| {
        let consent = Some("c".into());
        let binding = Binding { consent, strength: Some(strength), ..Binding::default() };
        Grant::new("files-agent", scope.parse().unwrap(), lifetime).bound(binding)
    };
    let by_policy = |policy: &str| {
        let mut snapshot = snapshot(&world, policy);
        let until = Lifetime::Until(world.now + SignedDuration::from_secs(60));
        snapshot.grants.insert(grant(READ, Lifetime::UntilRevoked, Strength::Prompt));
        snapshot.grants.insert(grant(&below, until, Strength::Passkey));
        by_name(&world, &snapshot, &below)
    };
    assert!(!by_policy("@id(\"org\") permit(principal, action, resource);"), "the one that holds longest");
    assert!(by_policy(
        "@id(\"org\") forbid(principal, action, resource) when { context.known.grant_strength_level < 2 };"
    ));
}

#[test]
fn it_takes_as_much_to_start_the_agent_as_where_an_administrator_granted_it() {
    let world = world();
    let named = |agent: &str| {
        let text = "@id(\"org\") @preapprove permit(principal == AgentAuth::Agent::\"NAME\", \
                    action == AgentAuth::Action::\"files.read\", resource);";
        snapshot(&world, &text.replace("NAME", agent))
    };
    let (its, anothers) = (named("files-agent"), named("payment-agent"));
    assert_eq!((its.granted_to("files-agent"), its.paused()), (Widening::Standing, Widening::Standing));
    assert_eq!(anothers.granted_to("files-agent"), Widening::Expiring);
}
