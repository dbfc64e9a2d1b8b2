//! The two forms of a rule decide alike: the JSON of a policy template, read here word by word without Cedar, and the Cedar
//! that it is compiled to, judged by the engine that decides.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

#[path = "templates/draw.rs"]
mod draw;
#[path = "templates/naive.rs"]
mod naive;
#[path = "templates/shipped.rs"]
mod shipped;
mod world;

use std::sync::{Arc, LazyLock};

use agentauth_core::policy::Policy;
use agentauth_core::session::SessionState;
use agentauth_core::{
    Agents, Catalogue, CheckRequest, Decision, DecisionId, Grants, Reason, Snapshot, Subject, Template,
    decide,
};
use draw::{Draw, OWN_LABEL, draw};
use naive::{Expected, judge};
use proptest::prelude::*;
use serde_json::Value;
use world::{World, base};

static WORLD: LazyLock<Snapshot> =
    LazyLock::new(|| serde_json::from_value::<World>(base()).unwrap().snapshot());

/// The catalogue that ships, with labels of the administrator's and one of the person's.
static CATALOGUE: LazyLock<Arc<Catalogue>> = LazyLock::new(|| {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/scopes.toml")).unwrap();
    let labels = "\n[labels]\nconfidential = [\"files:/srv/hr\", \"email:domain=hr.example\"]\npublic = [\"files:/srv/public\"]\n";
    let own = format!("[labels]\n{OWN_LABEL} = [\"files:/home\", \"files:/srv/public\"]\n");
    let catalogue = Catalogue::parse(&format!("{text}{labels}")).unwrap();
    Arc::new(catalogue.extended(Catalogue::parse(&own).unwrap()).unwrap())
});

const BASE: &str = "@id(\"base\") permit (principal, action, resource);";

/// The engine with a template, and with what permits everything unless `alone`.
fn engine(template: &Value, alone: bool) -> Policy {
    let text = template.to_string();
    let cedar = Template::parse(text.as_bytes())
        .unwrap_or_else(|faults| panic!("{faults}\n{text}"))
        .to_cedar("t.json");
    let base = (!alone).then_some(("base.cedar", BASE));
    let sources: Vec<_> = base.into_iter().chain([("t.cedar", cedar.as_str())]).collect();
    Policy::load(&sources, &CATALOGUE, ["warp.engage"]).unwrap_or_else(|faults| panic!("{faults}\n{cedar}"))
}

/// What the engine says, in the words of the naive one.
fn engine_says(policy: &Policy, draw: &Draw) -> Expected {
    let verdict = draw.question(&CATALOGUE, |question| policy.judge(question));
    assert!(verdict.errors.is_empty(), "{:?}", verdict.errors);
    Expected {
        permitted: verdict.permitted,
        policies: verdict.policies.iter().map(|id| id.to_string()).collect(),
        max_lifetime_minutes: verdict.obligations.max_lifetime.map(|lifetime| lifetime.as_mins()),
        require_proof: verdict.obligations.require_proof,
        role: verdict.role.as_deref().map(str::to_owned),
        remedy: verdict.remedy.map(|remedy| remedy.as_str().to_owned()),
        acr: verdict.remedy_terms.acr.as_deref().map(str::to_owned),
        max_age_minutes: verdict.remedy_terms.max_age.map(|age| age.as_mins()),
        strength: verdict.remedy_terms.strength.map(|strength| strength.as_str().to_owned()),
        reason_user: verdict.reason_user.as_deref().map(str::to_owned),
        preapproved: verdict.preapproved.is_some(),
    }
}

proptest! {
    // To load a set of policies takes long; to ask it does not.
    #![proptest_config(ProptestConfig { cases: 50, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_two_forms_decide_alike(template in draw::template(), draws in prop::collection::vec(draw(), 80), alone: bool) {
        let policy = engine(&template, alone);
        for draw in draws {
            let expected = judge(&template, &draw.facts(&CATALOGUE), !alone);
            prop_assert_eq!(engine_says(&policy, &draw), expected, "{:#}\n{:#?}", template, draw);
        }
    }

    /// The decision as it is answered: of an agent's question, with grants, or without.
    #[test]
    fn what_is_answered_is_what_the_template_says(template in draw::template(), draws in prop::collection::vec(draw(), 40)) {
        let policy = Arc::new(engine(&template, false));
        for draw in draws {
            let decision = answered(&policy, &draw);
            // As a trial has it.
            let mut facts = draw.facts(&CATALOGUE);
            facts.assurance = decision.assurance.as_str().to_owned();
            facts.tampered = false;
            facts.signals.clear();
            let expected = judge(&template, &facts, true);
            let about = format!("{template:#}\n{draw:#?}\n{decision:#?}");
            if !expected.permitted {
                let reason = if expected.role.is_some() { Reason::RoleRequired } else { Reason::PolicyForbids };
                prop_assert_eq!(decision.reason, reason, "{}", about);
                prop_assert_eq!(&decision.policies, &expected.policies, "{}", about);
                prop_assert_eq!(decision.remedy.map(|remedy| remedy.as_str().to_owned()), expected.remedy, "{}", about);
                continue;
            }
            let granted = draw.given.is_some() || expected.preapproved;
            prop_assert_eq!(decision.allow, granted, "{}", about);
            if !granted {
                prop_assert_eq!(decision.reason, Reason::ConsentRequired, "{}", about);
                continue;
            }
            prop_assert_eq!(&decision.policies, &expected.policies, "{}", about);
            let lifetime = decision.obligations.max_lifetime.map(|lifetime| lifetime.as_mins());
            prop_assert_eq!(lifetime, expected.max_lifetime_minutes, "{}", about);
            prop_assert_eq!(decision.obligations.require_proof, expected.require_proof, "{}", about);
            if let Some(minutes) = expected.max_lifetime_minutes {
                prop_assert!(decision.expires_at <= draw.now() + agentauth_core::SignedDuration::from_mins(minutes));
            }
        }
    }
}

/// What the agent would be told.
fn answered(policy: &Arc<Policy>, draw: &Draw) -> Decision {
    let file = draw.agent_file();
    let mut agents = Agents::new();
    agents.insert(file.agent());
    let mut grants = Grants::new();
    if let Some(grant) = draw.grant() {
        grants.insert(grant);
    }
    let now = draw.now();
    let snapshot = Snapshot {
        session: SessionState::Active(draw.session()),
        keys_fresh_until: Some(now + agentauth_core::SignedDuration::from_mins(10)),
        agents,
        grants,
        policy: Arc::clone(policy),
        catalogue: Arc::clone(&CATALOGUE),
        device: draw.device(),
        ..WORLD.clone()
    };
    let request = CheckRequest { scopes: vec![draw.scope.parse().unwrap()], ..CheckRequest::default() };
    decide(&snapshot, &request, Subject::DryRun { agent: draw.agent }, DecisionId::new("d"), now)
}
