//! Lifetimes and refusals by example; the index against a plain search by property.

use std::slice;

use proptest::prelude::*;

use super::*;
use crate::time::SignedDuration;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn on(now: i64) -> Occasion<'static> {
    let presence = Presence { seen: Some(at(0)), ..Presence::default() };
    Occasion { now: at(now), login: at(0), user: "U1", presence, manifest_digest: "m1", action: None }
}

fn grant(scope: &str, lifetime: Lifetime) -> Grant {
    Grant::new("agent", scope.parse().unwrap(), lifetime)
}

fn judge(grants: &[Grant], scope: &str, now: i64) -> &'static str {
    let mut index = Grants::new();
    for grant in grants {
        index.insert(grant.clone());
    }
    match index.judge_by(Prefer::Longest, "agent", &scope.parse().unwrap(), &on(now)) {
        GrantAnswer::Live(_) => "live",
        GrantAnswer::Refused(_) => "refused",
        GrantAnswer::Expired(..) => "expired",
        GrantAnswer::Missing => "missing",
    }
}

#[test]
fn lifetimes() {
    let until = grant("files.read:/a", Lifetime::Until(at(10)));
    assert_eq!(judge(slice::from_ref(&until), "files.read:/a/b", 9), "live");
    assert_eq!(judge(slice::from_ref(&until), "files.read:/a/b", 10), "expired");
    assert_eq!(judge(slice::from_ref(&until), "files.read:/b", 9), "missing");
    assert_eq!(
        judge(&[until.clone(), grant("files.read", Lifetime::UntilRevoked)], "files.read:/a", 99),
        "live"
    );
    let session = grant("files.read", Lifetime::Session);
    assert_eq!(judge(slice::from_ref(&session), "files.read", 5), "live");
    assert_eq!(judge(&[session.clone().during(at(0))], "files.read", 5), "live");
    assert_eq!(judge(&[session.during(at(-100))], "files.read", 5), "expired");
}

#[test]
fn a_mandate_holds_while_its_window_is_open_and_the_person_is_seen() {
    let window = |text: &str| Mandate { window: Some(text.parse().unwrap()) };
    // at(0) is 2027-01-15T08:00:00Z.
    let user = Binding { user: Some("U1".into()), ..Binding::default() };
    let nightly = grant("files.read:/a", Lifetime::Until(at(7 * 86_400)))
        .mandated(window("09:00-10:00 Europe/Berlin"))
        .for_uses(2)
        .bound(user.clone());
    let judged = |grants: &[Grant], now: i64| {
        let mut index = Grants::new();
        grants.iter().for_each(|grant| drop(index.insert(grant.clone())));
        let scope = "files.read:/a/b".parse().unwrap();
        let presence = Presence { seen: Some(at(0)), recertify_after: SignedDuration::from_secs(2 * 86_400) };
        match index.judge_by(Prefer::Longest, "agent", &scope, &Occasion { presence, ..on(now) }) {
            GrantAnswer::Live(_) => Standing::Holds,
            GrantAnswer::Expired(_, why) => why,
            other => panic!("{other:?}"),
        }
    };
    let one = slice::from_ref(&nightly);
    assert_eq!(judged(one, 0), Standing::Holds);
    assert_eq!(judged(one, 3599), Standing::Holds);
    assert_eq!(judged(one, 3600), Standing::Closed);
    assert_eq!(judged(one, 86_400), Standing::Holds);
    assert_eq!(judged(one, 2 * 86_400), Standing::Unconfirmed);
    assert_eq!(judged(one, 7 * 86_400), Standing::Ended);
    let mut spent = nightly.clone();
    spent.left = Some(0);
    assert_eq!(judged(&[spent.clone()], 0), Standing::Ended);
    let always = grant("files.read", Lifetime::UntilRevoked).bound(user);
    assert_eq!(judged(&[spent, always.clone()], 3600), Standing::Holds);
    assert_eq!(judged(slice::from_ref(&always), 2 * 86_400), Standing::Unconfirmed);
    // What may hold again is named before what has ended.
    let short = grant("files.read", Lifetime::Until(at(1)));
    assert_eq!(judged(&[short.clone(), nightly.clone()], 3600), Standing::Closed);
    assert_eq!(judged(slice::from_ref(&short), 3600), Standing::Ended);
    // What an administrator gave needs nobody to be seen, and a refusal stands whoever is.
    let administrators = grant("files.read", Lifetime::UntilRevoked);
    assert_eq!(judged(&[administrators], 9 * 86_400), Standing::Holds);
    let presence = Presence::default();
    assert_eq!(always.clone().refused().standing(at(0), at(0), &presence), Standing::Holds);
    // A cached answer is good only as long as all of it.
    let presence = Presence { seen: Some(at(0)), recertify_after: SignedDuration::from_secs(1800) };
    assert_eq!(nightly.holds_until(at(0), &presence), Some(at(1800)));
    assert_eq!(nightly.holds_until(at(0), &on(0).presence), Some(at(3600)));
    assert_eq!(always.holds_until(at(0), &presence), Some(at(1800)));
    assert_eq!(short.holds_until(at(0), &presence), Some(at(1)));
}

#[test]
fn what_was_given_during_a_login_goes_with_the_account() {
    let mut grants = Grants::new();
    grants.insert(grant("files.read", Lifetime::Session));
    grants.insert(grant("files.write", Lifetime::Session).during(at(0)));
    grants.insert(grant("files.delete", Lifetime::UntilRevoked).during(at(0)));
    assert_eq!(grants.forget_logins(), 2);
    assert_eq!(
        grants.iter().map(|grant| grant.scope.as_str().to_owned()).collect::<Vec<_>>(),
        ["files.read"]
    );
}

#[test]
fn a_refusal_stands_above_every_grant_that_it_overlaps() {
    let all = grant("files.read", Lifetime::UntilRevoked);
    let secret = grant("files.read:/secret", Lifetime::Until(at(10))).refused();
    let both = [all, secret];
    assert_eq!(judge(&both, "files.read:/secret/x", 5), "refused");
    assert_eq!(judge(&both, "files.read:/", 5), "refused");
    assert_eq!(judge(&both, "files.read:/public", 5), "live");
    assert_eq!(judge(&both, "files.read:/secret/x", 10), "live");
    assert_eq!(
        judge(&[grant("files.read:/a", Lifetime::Until(at(1))).refused()], "files.read:/a", 5),
        "missing"
    );
}

#[test]
fn of_several_the_one_that_holds_longest_is_named() {
    let mut index = Grants::new();
    for lifetime in [Lifetime::Until(at(50)), Lifetime::Until(at(90)), Lifetime::Until(at(70))] {
        index.insert(grant("files.read:/a", lifetime));
    }
    let scope: Scope = "files.read:/a".parse().unwrap();
    let ends = |index: &Grants| match index.judge_by(Prefer::Longest, "agent", &scope, &on(1)) {
        GrantAnswer::Live(grant) => grant.ends_at(),
        other => panic!("{other:?}"),
    };
    assert_eq!(ends(&index), Some(at(90)));
    index.insert(grant("files.read", Lifetime::UntilRevoked));
    assert_eq!(ends(&index), None);
}

#[test]
fn ids_are_stable_and_tell_apart() {
    let id = |agent: &str, scope: &str, lifetime| Grant::new(agent, scope.parse().unwrap(), lifetime).id;
    let one = id("agent", "a.b:k=1,l=2", Lifetime::UntilRevoked);
    assert_eq!(one, id("agent", "a.b:l=2,k=1", Lifetime::UntilRevoked));
    assert_ne!(one, id("agent2", "a.b:k=1,l=2", Lifetime::UntilRevoked));
    assert_ne!(one, id("agent", "a.b:k=1", Lifetime::UntilRevoked));
    assert_ne!(one, id("agent", "a.b:k=1,l=2", Lifetime::Session));
    assert_ne!(one, Grant::new("agent", "a.b:k=1,l=2".parse().unwrap(), Lifetime::UntilRevoked).refused().id);
    assert_eq!(&*one, "grant-844ef48ceaa0d640551645ec45fe0120");
}

#[test]
fn a_grant_is_for_what_it_was_given_for() {
    let bound = |change: fn(&mut Binding)| {
        let mut binding = Binding::default();
        change(&mut binding);
        grant("files.read:/a", Lifetime::UntilRevoked).bound(binding)
    };
    let fitting = bound(|binding| {
        binding.manifest_digest = Some("m1".into());
        binding.user = Some("U1".into());
        binding.consent = Some("c1".into());
    });
    assert_eq!(judge(slice::from_ref(&fitting), "files.read:/a", 1), "live");
    for change in [
        (|binding| binding.manifest_digest = Some("m2".into())) as fn(&mut Binding),
        |binding| binding.user = Some("U2".into()),
        |binding| binding.action = Some("a1".into()),
    ] {
        assert_eq!(judge(&[bound(change)], "files.read:/a", 1), "missing");
        assert_ne!(bound(change).id, fitting.id);
    }
    let refused = bound(|binding| binding.manifest_digest = Some("m2".into())).refused();
    assert_eq!(judge(&[refused, fitting], "files.read:/a", 1), "refused");

    let mut index = Grants::new();
    index.insert(bound(|binding| binding.action = Some("a1".into())));
    let scope: Scope = "files.read:/a".parse().unwrap();
    let answer = |action| {
        matches!(
            index.judge_by(Prefer::Longest, "agent", &scope, &Occasion { action, ..on(1) }),
            GrantAnswer::Live(_)
        )
    };
    assert!(answer(Some("a1")) && !answer(Some("a2")) && !answer(None));
}

#[test]
fn uses_run_out_and_are_taken_last() {
    let mut index = Grants::new();
    let twice = grant("files.read:/a", Lifetime::UntilRevoked).for_uses(2);
    assert!(twice.id.starts_with(COUNTED));
    index.insert(twice.clone());
    assert_eq!(Grant::from_json(&twice.to_json()).unwrap(), twice);
    let scope: Scope = "files.read:/a".parse().unwrap();
    let live = |index: &Grants| match index.judge_by(Prefer::Longest, "agent", &scope, &on(1)) {
        GrantAnswer::Live(grant) => Some(grant.id.clone()),
        _ => None,
    };
    assert_eq!(live(&index), Some(twice.id.clone()));
    assert!(index.spend(&twice.id) && index.spend(&twice.id));
    assert!(!index.spend(&twice.id) && !index.spend("none"));
    assert_eq!(live(&index), None);
    index.give_back(&twice.id);
    assert_eq!(live(&index), Some(twice.id.clone()));
    let other = grant("files.read", Lifetime::Until(at(5)));
    index.insert(other.clone());
    assert_eq!(live(&index), Some(other.id));
}

#[test]
fn what_a_new_manifest_leaves_of_a_grant() {
    let given = grant("files.read:/a", Lifetime::UntilRevoked)
        .bound(Binding { manifest_digest: Some("m1".into()), ..Binding::default() });
    let left =
        |scope: &str| given.carried_over(&scope.parse().unwrap(), "m2").map(|grant| grant.scope.to_string());
    assert_eq!(left("files.read:/a/b").as_deref(), Some("files.read:/a/b"));
    assert_eq!(left("files.read").as_deref(), Some("files.read:/a"));
    assert_eq!(left("files.read:/b"), None);
    assert_eq!(left("files.write:/a"), None);
    assert_eq!(given.clone().for_uses(3).carried_over(&"files.read".parse().unwrap(), "m2"), None);
}

#[test]
fn a_removed_grant_is_gone_and_leaves_no_trace() {
    let mut index = Grants::new();
    let ids: Vec<_> = ["files.read", "files.read:/a", "files.read:k=v", "files.read:k=v*", "mail.send"]
        .into_iter()
        .flat_map(|scope| [grant(scope, Lifetime::Session), grant(scope, Lifetime::Session).refused()])
        .map(|grant| {
            let id = Arc::clone(&grant.id);
            index.insert(grant);
            id
        })
        .collect();
    assert_eq!(index.len(), 10);
    assert_eq!(index.of_agent("agent").count(), 10);
    let mut other = index.clone();
    for id in &ids {
        assert!(index.remove(id).is_some());
    }
    assert!(index.is_empty() && index.by_agent.is_empty());
    assert_eq!(other.remove_agent("agent"), 10);
    assert!(other.is_empty() && other.by_agent.is_empty());
}

#[test]
fn a_hundred_thousand_grants_of_one_action_are_found_by_key() {
    let mut index = Grants::new();
    for number in 0..100_000 {
        index.insert(grant(&format!("files.read:/projects/{number}"), Lifetime::UntilRevoked));
    }
    let of_action = &index.by_agent["agent"]["files.read"];
    let mut looked_at = 0;
    of_action.each_possible(&"files.read:/projects/4711/src".parse().unwrap(), |_| looked_at += 1);
    assert_eq!(looked_at, 1);
}

fn any_text() -> impl Strategy<Value = String> {
    let path = proptest::collection::vec(prop_oneof![Just("a"), Just("b")], 0..4)
        .prop_map(|segments| format!(":/{}", segments.join("/")));
    let pairs = proptest::collection::btree_map(
        prop_oneof![Just("k"), Just("l")],
        prop_oneof![Just("*"), Just("a*"), Just("a"), Just("ab")],
        1..3,
    )
    .prop_map(|pairs| {
        let written: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!(":{}", written.join(","))
    });
    (prop_oneof![Just("f.r"), Just("f.w")], prop_oneof![1 => Just(String::new()), 3 => path, 3 => pairs])
        .prop_map(|(name, context)| format!("{name}{context}"))
}

fn any_grant() -> impl Strategy<Value = Grant> {
    let lifetime = prop_oneof![
        Just(Lifetime::UntilRevoked),
        Just(Lifetime::Session),
        (0..20_i64).prop_map(|second| Lifetime::Until(at(second)))
    ];
    (any_text(), lifetime, proptest::bool::weighted(0.2), proptest::option::of(0..2_i64)).prop_map(
        |(scope, lifetime, denied, login)| {
            let grant = grant(&scope, lifetime);
            let grant = if denied { grant.refused() } else { grant };
            match login {
                Some(second) => grant.during(at(second)),
                None => grant,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_says_what_a_plain_search_says(
        grants in proptest::collection::vec(any_grant(), 0..12),
        removed in 0..12_usize,
        asked in any_text(),
        now in 0..20_i64,
    ) {
        let mut index = Grants::new();
        let mut plain: Vec<Grant> = Vec::new();
        for grant in &grants {
            plain.retain(|other| other.id != grant.id);
            plain.push(grant.clone());
            index.insert(grant.clone());
        }
        if let Some(grant) = grants.get(removed) {
            plain.retain(|other| other.id != grant.id);
            index.remove(&grant.id);
        }
        let scope: Scope = asked.parse().unwrap();
        let presence = on(now).presence;
        let holds = |grant: &&Grant| grant.standing(at(now), at(0), &presence) == Standing::Holds;
        let covering = || plain.iter().filter(|grant| !grant.denied && grant.scope.covers(&scope));
        let expected = if plain.iter().filter(holds).any(|grant| grant.denied && grant.scope.overlaps(&scope)) {
            "refused"
        } else if covering().any(|grant| holds(&grant)) {
            "live"
        } else if covering().next().is_some() {
            "expired"
        } else {
            "missing"
        };
        let found = match index.judge_by(Prefer::Longest, "agent", &scope, &on(now)) {
            GrantAnswer::Live(_) => "live",
            GrantAnswer::Refused(_) => "refused",
            GrantAnswer::Expired(..) => "expired",
            GrantAnswer::Missing => "missing",
        };
        prop_assert_eq!(found, expected);
        prop_assert_eq!(index.len(), plain.len());
    }
}
