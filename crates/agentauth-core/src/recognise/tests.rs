//! Recorded facts from `testdata/recognise/`, and the property that no single missing fact is forgiven.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

const RECORDED: [(&str, &str); 5] = [
    ("desktops", include_str!("../../testdata/recognise/desktops.json")),
    ("logins", include_str!("../../testdata/recognise/logins.json")),
    ("escapes", include_str!("../../testdata/recognise/escapes.json")),
    ("elsewhere", include_str!("../../testdata/recognise/elsewhere.json")),
    ("tampering", include_str!("../../testdata/recognise/tampering.json")),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    #[serde(rename = "about")]
    _about: String,
    known: Known,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    owner_uid: u32,
    own_executables: Vec<FileIdentity>,
    #[serde(rename = "terminals")]
    _terminals: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(rename = "about")]
    _about: String,
    facts: PersonFacts,
    grade: Grade,
    why: Vec<Shortfall>,
}

fn recorded() -> Vec<(Recogniser, Case)> {
    let mut all = Vec::new();
    for (file, text) in RECORDED {
        let recorded: Recorded = serde_json::from_str(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let known = Recogniser {
            owner_uid: recorded.known.owner_uid,
            own_executables: recorded.known.own_executables,
            terminals: Terminals::builtin(),
        };
        all.extend(recorded.cases.into_iter().map(|case| (known.clone(), case)));
    }
    all
}

#[test]
fn recorded_facts_earn_their_grade() {
    let mut faults = Vec::new();
    for (known, case) in recorded() {
        let (grade, why) = recognise(&case.facts, &known);
        if (grade, &why) != (case.grade, &case.why) {
            faults.push(format!("{}: {grade:?} {why:?}, not {:?} {:?}", case.name, case.grade, case.why));
        }
        assert_eq!(
            grade == Grade::Login,
            why.is_empty(),
            "{}: every grade but the highest says why",
            case.name
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn names_are_unique_and_every_grade_and_shortfall_is_recorded() {
    let cases = recorded();
    let names: BTreeSet<&str> = cases.iter().map(|(_, case)| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len());
    let seen: BTreeSet<Shortfall> = cases.iter().flat_map(|(_, case)| case.why.clone()).collect();
    assert_eq!(seen.len(), ALL.len(), "not recorded: {:?}", ALL.iter().filter(|one| !seen.contains(one)));
    for grade in [Grade::None, Grade::Terminal, Grade::Login] {
        assert!(cases.iter().any(|(_, case)| case.grade == grade));
    }
    assert!(Grade::None < Grade::Terminal && Grade::Terminal < Grade::Login);
}

#[test]
fn recorded_facts_survive_a_round_trip() {
    for (_, case) in recorded() {
        let text = serde_json::to_string(&case.facts).unwrap();
        assert_eq!(serde_json::from_str::<PersonFacts>(&text).unwrap(), case.facts);
    }
}

const ALL: [Shortfall; 23] = [
    Shortfall::ForeignCaller,
    Shortfall::NotOurProgram,
    Shortfall::OtherUserNamespace,
    Shortfall::OtherPidNamespace,
    Shortfall::NoNewPrivileges,
    Shortfall::Seccomp,
    Shortfall::Traced,
    Shortfall::LoaderVariables,
    Shortfall::CallerIsAgent,
    Shortfall::NoTerminal,
    Shortfall::NotForeground,
    Shortfall::BrokenChain,
    Shortfall::StartTimesNotMonotone,
    Shortfall::ForeignParent,
    Shortfall::Orphaned,
    Shortfall::LeaderNotReached,
    Shortfall::Unreadable,
    Shortfall::AgentAmongParents,
    Shortfall::UnknownTerminal,
    Shortfall::NotInSessionScope,
    Shortfall::NoLogindRecord,
    Shortfall::OtherKindOfSession,
    Shortfall::LogindLeaderNotAncestor,
];

/// Every way in which one required fact of rules 1 to 3 can fail, with the hop it concerns picked by `pick` and the
/// failing value drawn from `value`. The grade must then be none, whatever the other facts are.
type Negation = fn(&mut PersonFacts, usize, u32);

const NEGATIONS: &[(&str, Negation)] = &[
    ("uid", |facts, _, value| facts.uid = if value == 1000 { 0 } else { value }),
    ("executable unreadable", |facts, _, _| facts.executable = None),
    ("other inode", |facts, _, value| edit(&mut facts.executable, |file| file.inode += u64::from(value) + 1)),
    ("other device", |facts, _, value| {
        edit(&mut facts.executable, |file| file.device += u64::from(value) + 1)
    }),
    ("user namespace", |facts, _, value| facts.user_ns_same = (value % 2 == 0).then_some(false)),
    ("pid namespace", |facts, _, value| facts.pid_ns_same = (value % 2 == 0).then_some(false)),
    ("no new privileges", |facts, _, value| facts.no_new_privs = (value % 2 == 0).then_some(true)),
    ("seccomp", |facts, _, value| facts.seccomp = (value > 0).then_some(value)),
    ("tracer", |facts, _, value| facts.tracer_pid = (value > 0).then_some(value)),
    ("loader", |facts, _, value| facts.loader_variables = (value > 0).then(|| vec![format!("LD_{value}")])),
    ("caller is agent", |facts, _, _| facts.is_agent = true),
    ("no terminal", |facts, _, _| facts.tty_nr = 0),
    ("background", |facts, _, value| {
        facts.tpgid = if i64::from(value) == facts.pgrp { -1 } else { value.into() }
    }),
    ("no foreground", |facts, _, _| (facts.tpgid, facts.pgrp) = (-1, -1)),
    ("session outside", |facts, _, _| facts.session_id = 0),
    ("session elsewhere", |facts, _, value| facts.session_id = 4_000_000 + value % 1000),
    ("no parents", |facts, _, _| facts.hops.clear()),
    ("no first process", |facts, _, _| drop(facts.hops.pop())),
    ("missing hop", |facts, pick, _| drop(facts.hops.remove(pick))),
    ("doubled hop", |facts, pick, _| facts.hops.insert(pick, facts.hops[pick].clone())),
    ("other parent", |facts, pick, value| facts.hops[pick].pid = 4_000_000 + value % 1000),
    ("unreadable", |facts, pick, _| facts.hops[pick].readable = false),
    ("agent", |facts, pick, _| facts.hops[pick].is_agent = true),
    ("younger", |facts, pick, value| facts.hops[pick].start_time = 90_001 + u64::from(value)),
];

fn edit<T>(field: &mut Option<T>, change: impl FnOnce(&mut T)) {
    if let Some(value) = field {
        change(value);
    }
}

/// What only stands between the caller and `login`.
const LOGIN_NEGATIONS: &[(&str, Negation)] = &[
    ("no control group", |facts, _, _| facts.cgroup = None),
    ("other scope", |facts, _, value| {
        facts.cgroup = Some(format!("0::/user.slice/user-1000.slice/session-x{value}.scope"))
    }),
    ("other user's scope", |facts, _, value| {
        facts.cgroup = Some(format!("0::/user.slice/user-{}.slice/session-2.scope", 2000 + value % 1000))
    }),
    ("no record", |facts, _, _| facts.logind = None),
    ("record not from root", |facts, _, _| edit(&mut facts.logind, |record| record.root_owned = false)),
    ("other class", |facts, _, value| {
        edit(&mut facts.logind, |record| record.class = format!("user{value}"))
    }),
    ("other user", |facts, _, value| {
        edit(&mut facts.logind, |record| record.uid = if value == 1000 { 0 } else { value })
    }),
    ("other leader", |facts, _, value| {
        edit(&mut facts.logind, |record| record.leader = 4_000_000 + value % 1000)
    }),
    ("first process as leader", |facts, _, _| edit(&mut facts.logind, |record| record.leader = 1)),
    ("other record", |facts, _, value| edit(&mut facts.logind, |record| record.id = format!("x{value}"))),
];

fn accepted() -> impl Strategy<Value = (Recogniser, Case)> {
    let mut cases = recorded();
    cases.retain(|(_, case)| case.grade > Grade::None);
    proptest::sample::select(cases)
}

proptest! {
    #[test]
    fn no_single_missing_fact_is_forgiven(
        (known, mut case) in accepted(),
        (name, negate) in proptest::sample::select(NEGATIONS),
        pick in any::<proptest::sample::Index>(),
        value in any::<u32>(),
    ) {
        let pick = pick.index(case.facts.hops.len());
        negate(&mut case.facts, pick, value);
        let (grade, why) = recognise(&case.facts, &known);
        prop_assert_eq!(grade, Grade::None, "{} in spite of: {} (hop {})", case.name, name, pick);
        prop_assert!(!why.is_empty());
    }

    #[test]
    fn no_login_without_the_systems_word(
        (known, mut case) in accepted(),
        (name, negate) in proptest::sample::select(LOGIN_NEGATIONS),
        value in any::<u32>(),
    ) {
        let before = case.grade;
        negate(&mut case.facts, 0, value);
        let (grade, why) = recognise(&case.facts, &known);
        prop_assert!(grade < Grade::Login, "{} in spite of: {}", case.name, name);
        prop_assert!(grade <= before);
        prop_assert!(!why.is_empty());
    }

    #[test]
    fn a_stranger_between_caller_and_session_leader_is_never_forgiven(
        (known, mut case) in accepted(),
        uid in (0u32..5000).prop_filter("not the owner", |uid| *uid != 1000),
        marked in any::<bool>(),
    ) {
        let facts = &mut case.facts;
        prop_assume!(facts.session_id != facts.pid);
        if marked { facts.hops[0].subreaper = true } else { facts.hops[0].uid = uid }
        prop_assert_eq!(recognise(facts, &known).0, Grade::None);
    }

    #[test]
    fn an_unlisted_or_unowned_terminal_is_never_one(
        (known, mut case) in accepted(),
        name in "[a-z]{1,8}",
        root in any::<bool>(),
    ) {
        prop_assume!(case.grade == Grade::Terminal);
        for hop in &mut case.facts.hops {
            if let Some(program) = &mut hop.executable {
                program.root_owned &= root;
                if root {
                    program.path = format!("/usr/bin/not-a-terminal-{name}");
                }
            }
        }
        prop_assert_eq!(recognise(&case.facts, &known).0, Grade::None);
    }
}
