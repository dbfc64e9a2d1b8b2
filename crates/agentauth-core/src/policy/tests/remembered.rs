//! What is remembered of verdicts: never anything else than a fresh evaluation says.

use super::*;
use crate::grant::{GrantKind, GrantStrength};

/// What differs from one question to the next.
#[derive(Debug, Clone)]
struct Varied {
    session: usize,
    device: usize,
    scope: &'static str,
    assurance: Assurance,
    greeted: bool,
    grant: GrantUse,
    seen: Option<i64>,
    now: i64,
    claimed: Claimed<'static>,
    burst: bool,
}

fn varied() -> impl Strategy<Value = Varied> {
    let grant = prop_oneof![
        Just(GrantUse::default()),
        Just(GrantUse { kind: GrantKind::Once, strength: GrantStrength::Prompt }),
        Just(GrantUse { kind: GrantKind::Once, strength: GrantStrength::Passkey }),
        Just(GrantUse { kind: GrantKind::Always, strength: GrantStrength::Policy }),
    ];
    let scope = prop_oneof![Just("files.read:/srv/hr"), Just("files.read:/a"), Just("files.write")];
    let assurance = prop_oneof![Just(Assurance::Path), Just(Assurance::Pinned)];
    let claimed = prop_oneof![
        Just(Claimed::default()),
        Just(Claimed { purpose: Some("invoice"), action: Some("d1"), bytes: 5, items: 1 }),
    ];
    let seen = prop_oneof![Just(None), Just(Some(-600)), Just(Some(-5))];
    let facts = (grant, seen, prop_oneof![Just(0), Just(5), Just(500)], claimed);
    (0..4_usize, 0..2_usize, scope, assurance, any::<bool>(), any::<bool>(), facts).prop_map(
        |(session, device, scope, assurance, greeted, burst, (grant, seen, now, claimed))| Varied {
            session,
            device,
            scope,
            assurance,
            greeted,
            grant,
            seen,
            now,
            claimed,
            burst,
        },
    )
}

fn condition() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just(r#"context.known.grant == "once""#),
        Just(r#"context.known.grant_strength == "passkey""#),
        Just("context.known.grant_strength_level >= 2"),
        Just("context.known.local_minute < 541"),
        Just("context.known.local_weekday == 5"),
        Just("context.known.device.managed"),
        Just(r#"context.known has acr && context.known.acr == "phr""#),
        Just(r#"context.known.amr.contains("mfa")"#),
        Just("context.known.auth_age < 62"),
        Just("context.known.session_confirmed_age < 3"),
        Just(
            r#"context.known has person_seen_at && context.known.person_seen_at > datetime("2027-01-15T07:55:00Z")"#
        ),
        Just(r#"context.known.now.durationSince(context.known.logged_in_at) < duration("90s")"#),
        Just("context.claimed has bytes && context.claimed.bytes > 4"),
        Just(r#"context.claimed has action && context.claimed.action == "d1""#),
        Just(r#"resource.classification.contains("secret")"#),
        Just(r#"resource.risk == "read""#),
        Just("context.known.greeted"),
        Just(r#"context.signals.contains("burst")"#),
        Just("context.known.assurance_level >= 2"),
        Just(r#"principal in AgentAuth::Role::"a""#),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 32, ..ProptestConfig::default() })]

    /// Whatever was asked before, a policy set says what one that was never asked says.
    #[test]
    fn what_is_remembered_is_what_a_fresh_evaluation_says(
        bodies in proptest::collection::vec((any::<bool>(), condition()), 1..5),
        questions in proptest::collection::vec(varied(), 1..12),
    ) {
        let text: String = bodies.iter().enumerate().map(|(number, (permit, condition))| {
            let effect = if *permit { "permit" } else { "forbid" };
            format!("@id(\"p{number}\") {effect}(principal, action, resource) when {{ {condition} }};\n")
        }).collect();
        let labels = Catalogue::parse("[labels]\nsecret = [\"files:/srv/hr\"]").unwrap();
        let catalogue = Catalogue::shipped().unwrap().overlaid(labels);
        let load = || Policy::load(&[("x", PERMIT), ("y", &*text)], &catalogue, [""; 0]).unwrap();
        let weak = { let mut weak = Session::clone(&session(&["a"])); weak.claims.acr = None; weak };
        let renewed = Session { confirmed_at: at(-30), ..Session::clone(&session(&["a"])) };
        let sessions = [session(&["a"]), session(&[]), Arc::new(weak), Arc::new(renewed)];
        let devices = [device(), Arc::new(Device { managed: false, ..Device::clone(&device()) })];
        let (agent, asked_often) = (agent(), load());
        // Nothing of this one is remembered, and nothing kept ready.
        let mut forgetful = load();
        for action in forgetful.slices.values_mut() {
            let (policies, preapproves) = (action.slice.policies.clone(), action.slice.preapproves.clone());
            action.slice = Arc::new(Slice { policies, reads: Reads::EVERYTHING, preapproves });
        }
        for varied in &questions {
            let scope: Scope = varied.scope.parse().unwrap();
            let question = Question {
                agent: &agent,
                session: &sessions[varied.session],
                scope: &scope,
                risk: catalogue.risk(&scope),
                assurance: varied.assurance,
                greeted: varied.greeted,
                tampered: false,
                caveats: CaveatKinds::default(),
                signals: if varied.burst { Signals::NONE.with(Signal::Burst) } else { Signals::NONE },
                device: &devices[varied.device],
                seen: varied.seen.map(at),
                grant: &|| varied.grant,
                claimed: varied.claimed,
                now: at(varied.now),
            };
            forgetful.askers.clear();
            *forgetful.user.write().unwrap() = None;
            let fresh = forgetful.judge(&question);
            // Whether it may change with time is not a matter of the moment.
            let fresh = Verdict {
                depends_on_time: asked_often.judge(&question).depends_on_time,
                depends_on_grant: asked_often.judge(&question).depends_on_grant,
                depends_on_strength: asked_often.judge(&question).depends_on_strength,
                ..Verdict::clone(&fresh)
            };
            prop_assert_eq!(&*asked_often.judge(&question), &fresh, "{:?} of {}", varied, text);
        }
    }
}
