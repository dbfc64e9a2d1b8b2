//! Every operation against every asker.

use super::*;

const ASKERS: [Asker; 6] = [
    Asker::Agent,
    Asker::Person(Grade::None),
    Asker::Person(Grade::Terminal),
    Asker::Person(Grade::Login),
    Asker::Root,
    Asker::Other,
];
const EVIDENCE: [Option<Strength>; 4] =
    [None, Some(Strength::Prompt), Some(Strength::Passkey), Some(Strength::Reauth)];

/// Per operation, what each of [`ASKERS`] gets: `+` yes, `p` with an answer on the page or more, `e` with a passkey
/// or a fresh login, `-` never. This table is the specification; the code above is the implementation.
const TABLE: &[(Operation, &str)] = &[
    //                                        agent, person without grade, at a terminal, in a login, root, other
    (Operation::Hello, "+++++-"),
    (Operation::Health, "+++++-"),
    (Operation::Status, "+++++-"),
    (Operation::Whoami, "-+++--"),
    (Operation::Check, "++++--"),
    (Operation::DryRun, "--++--"),
    (Operation::Outcome, "+-----"),
    (Operation::Token, "+-----"),
    (Operation::Proof, "+-----"),
    (Operation::Introspect, "+-----"),
    (Operation::RevokeToken(Reach::Own), "++++--"),
    (Operation::RevokeToken(Reach::All), "-+++--"),
    (Operation::Keys, "++++--"),
    (Operation::Login, "-+++--"),
    (Operation::LoginAsAnother, "-eee--"),
    (Operation::Logout, "-+++--"),
    (Operation::Lock, "-+++--"),
    (Operation::Unlock(Widening::Expiring), "-e++--"),
    (Operation::Unlock(Widening::Standing), "-eee--"),
    (Operation::ListAgents(Reach::Own), "++++--"),
    (Operation::ListAgents(Reach::All), "-+++--"),
    (Operation::RegisterAgent, "-eee--"),
    (Operation::NarrowAgent, "-p++--"),
    (Operation::RemoveAgent, "-p++--"),
    (Operation::Launch(Launching::Administered), "-+++--"),
    (Operation::Launch(Launching::Confined(Widening::Expiring)), "-e++--"),
    (Operation::Launch(Launching::Confined(Widening::Standing)), "-eee--"),
    (Operation::Launch(Launching::Unconfined), "-eee--"),
    (Operation::ListGrants(Reach::Own), "++++--"),
    (Operation::ListGrants(Reach::All), "-+++--"),
    (Operation::RevokeGrant(Reach::Own), "++++--"),
    (Operation::RevokeGrant(Reach::All), "-+++--"),
    (Operation::ListConsents(Reach::Own), "++++--"),
    (Operation::ListConsents(Reach::All), "-+++--"),
    (Operation::Deny(Reach::Own), "++++--"),
    (Operation::Deny(Reach::All), "-+++--"),
    (Operation::Approve(Widening::Expiring), "-p++--"),
    (Operation::Approve(Widening::Standing), "-eee--"),
    (Operation::Apply, "-eee--"),
    (Operation::AddPasskey, "-eee--"),
    (Operation::ReadAudit, "-+++--"),
    (Operation::Events(Reach::Own), "++++--"),
    (Operation::Events(Reach::All), "-+++--"),
    (Operation::Metrics, "-+++--"),
    (Operation::ListPasskeys, "-+++--"),
    (Operation::RemovePasskey, "-+++--"),
    (Operation::Log, "-+++--"),
];

#[test]
fn every_operation_and_asker_is_as_the_table_says() {
    for (operation, row) in TABLE {
        assert_eq!(row.len(), ASKERS.len(), "{operation:?}");
        for (asker, mark) in ASKERS.into_iter().zip(row.chars()) {
            for evidence in EVIDENCE {
                let expected = match mark {
                    '+' => true,
                    'p' => evidence.is_some(),
                    'e' => evidence >= Some(Strength::Passkey),
                    _ => false,
                };
                let verdict = may_with(*operation, asker, evidence);
                assert_eq!(verdict.is_ok(), expected, "{operation:?} {asker:?} {evidence:?}: {verdict:?}");
            }
            assert_eq!(may(*operation, asker), may_with(*operation, asker, None));
        }
    }
}

#[test]
fn the_table_names_every_operation_once() {
    // A new operation does not compile here until it has a row above.
    let number = |operation: &Operation| match operation {
        Operation::Hello => 0,
        Operation::Health => 1,
        Operation::Status => 2,
        Operation::Whoami => 3,
        Operation::Check => 4,
        Operation::DryRun => 5,
        Operation::Outcome => 6,
        Operation::Token => 7,
        Operation::Proof => 8,
        Operation::Introspect => 9,
        Operation::RevokeToken(Reach::Own) => 10,
        Operation::RevokeToken(Reach::All) => 11,
        Operation::Keys => 12,
        Operation::Login => 13,
        Operation::LoginAsAnother => 14,
        Operation::Logout => 15,
        Operation::Lock => 16,
        Operation::Unlock(Widening::Expiring) => 17,
        Operation::Unlock(Widening::Standing) => 18,
        Operation::ListAgents(Reach::Own) => 19,
        Operation::ListAgents(Reach::All) => 20,
        Operation::RegisterAgent => 21,
        Operation::NarrowAgent => 22,
        Operation::RemoveAgent => 23,
        Operation::Launch(Launching::Administered) => 24,
        Operation::Launch(Launching::Confined(Widening::Expiring)) => 25,
        Operation::Launch(Launching::Confined(Widening::Standing)) => 26,
        Operation::Launch(Launching::Unconfined) => 27,
        Operation::ListGrants(Reach::Own) => 28,
        Operation::ListGrants(Reach::All) => 29,
        Operation::RevokeGrant(Reach::Own) => 30,
        Operation::RevokeGrant(Reach::All) => 31,
        Operation::ListConsents(Reach::Own) => 32,
        Operation::ListConsents(Reach::All) => 33,
        Operation::Deny(Reach::Own) => 34,
        Operation::Deny(Reach::All) => 35,
        Operation::Approve(Widening::Expiring) => 36,
        Operation::Approve(Widening::Standing) => 37,
        Operation::Apply => 38,
        Operation::AddPasskey => 39,
        Operation::ReadAudit => 40,
        Operation::Events(Reach::Own) => 41,
        Operation::Events(Reach::All) => 42,
        Operation::Metrics => 43,
        Operation::ListPasskeys => 44,
        Operation::RemovePasskey => 45,
        Operation::Log => 46,
    };
    let numbers: Vec<usize> = TABLE.iter().map(|(operation, _)| number(operation)).collect();
    assert_eq!(numbers, (0..47).collect::<Vec<_>>());
}

#[test]
fn more_grade_or_evidence_never_takes_anything_away() {
    for (operation, _) in TABLE {
        for evidence in EVIDENCE {
            let at = |grade| may_with(*operation, Asker::Person(grade), evidence).is_ok();
            assert!(at(Grade::None) <= at(Grade::Terminal) && at(Grade::Terminal) <= at(Grade::Login));
        }
        for asker in ASKERS {
            let with = |evidence| may_with(*operation, asker, evidence).is_ok();
            assert!(
                EVIDENCE.windows(2).all(|pair| with(pair[0]) <= with(pair[1])),
                "{operation:?} {asker:?}"
            );
        }
    }
}

#[test]
fn nothing_widens_on_the_word_of_an_agent() {
    let widening = [
        Operation::LoginAsAnother,
        Operation::Unlock(Widening::Expiring),
        Operation::Unlock(Widening::Standing),
        Operation::RegisterAgent,
        Operation::NarrowAgent,
        Operation::RemoveAgent,
        Operation::Approve(Widening::Expiring),
        Operation::Approve(Widening::Standing),
        Operation::Apply,
        Operation::AddPasskey,
        Operation::Launch(Launching::Administered),
        Operation::Launch(Launching::Confined(Widening::Expiring)),
        Operation::Launch(Launching::Confined(Widening::Standing)),
        Operation::Launch(Launching::Unconfined),
    ];
    for operation in widening {
        for evidence in EVIDENCE {
            let refusal = may_with(operation, Asker::Agent, evidence).unwrap_err();
            assert_eq!(refusal.kind(), RefusalKind::AgentAsked);
        }
    }
}

#[test]
fn a_refusal_says_what_why_and_what_to_do() {
    let refusal = may(Operation::DryRun, Asker::Person(Grade::None))
        .unwrap_err()
        .because(&[Shortfall::NoTerminal, Shortfall::LoaderVariables]);
    assert_eq!(
        refusal.to_string(),
        "trying a decision for another agent was refused: the asking process is not shown to be the person at a \
         terminal (it has no terminal; loader variables such as LD_PRELOAD are set; unset them); run it in the \
         foreground of a terminal window, a console or an SSH login"
    );
    assert_eq!((refusal.operation(), refusal.kind().code()), (Operation::DryRun, "grade_too_low"));
    for (operation, asker) in [
        (Operation::Approve(Widening::Expiring), Asker::Person(Grade::None)),
        (Operation::Approve(Widening::Standing), Asker::Person(Grade::Login)),
        (Operation::Unlock(Widening::Expiring), Asker::Person(Grade::None)),
        (Operation::RemoveAgent, Asker::Person(Grade::None)),
    ] {
        let refusal = may(operation, asker).unwrap_err();
        assert!(refusal.remedy().contains("--reauth"), "whoever is refused has a way: {refusal}");
    }
    let refusal = may(Operation::RegisterAgent, Asker::Person(Grade::Login)).unwrap_err();
    assert!(refusal.remedy().contains("passkey"));
    assert_eq!(
        refusal.clone().because(&[Shortfall::NoTerminal]),
        refusal,
        "the grade is not what is missing"
    );
    for (operation, _) in TABLE {
        for asker in ASKERS {
            if let Err(refusal) = may(*operation, asker) {
                let text = refusal.to_string();
                assert!(text.starts_with(&operation.to_string()) && !text.ends_with('.'), "{text}");
            }
        }
    }
}

#[test]
fn who_scrapes_is_named_and_so_is_everybody_above_it() {
    let agent = |name: &str| {
        let text = format!(
            r#"{{"name": "{name}", "version": "1", "scopes": [{{"scope": "a.b", "purpose": "p"}}]}}"#
        );
        let manifest = crate::Manifest::parse(text.as_bytes()).unwrap();
        let selectors = crate::Selectors {
            executable: "/x".to_owned(),
            sha256: None,
            script: None,
            script_sha256: None,
            cgroup: None,
        };
        Arc::new(crate::Registration { manifest, selectors, launch_only: false, enforcer: None }.agent())
    };
    let named = ["watcher".to_owned(), "outer".to_owned()];
    for (agents, expected) in [
        (&["watcher"][..], true),
        (&["watcher", "outer"], true),
        (&["watcher", "other"], false),
        (&["other"], false),
        (&[], false),
    ] {
        let agents: Vec<_> = agents.iter().map(|name| agent(name)).collect();
        assert_eq!(scrapes(&agents, &named), expected, "{agents:?}");
        assert!(!scrapes(&agents, &[]));
    }
}
