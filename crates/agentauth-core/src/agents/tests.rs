//! Which agent a process is, registration by registration.

use super::*;
use crate::agent::Registration;
use crate::caller::ScriptFacts;
use crate::manifest::Manifest;

const HASH: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const OTHER: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn agent(name: &str, selectors: &str) -> Agent {
    let manifest =
        Manifest::parse(format!(r#"{{"name":"{name}","version":"1","scopes":[]}}"#).as_bytes()).unwrap();
    let selectors = serde_json::from_str(selectors).unwrap();
    Registration { manifest, selectors, launch_only: false, enforcer: None }.agent()
}

fn agents(registered: &[(&str, String)]) -> Agents {
    let mut agents = Agents::new();
    for (name, selectors) in registered {
        agents.insert(agent(name, selectors));
    }
    agents
}

fn program(path: &str, sha256: Option<&str>) -> ProcessFacts {
    let executable =
        ExecutableFacts { path: path.into(), sha256: sha256.map(Into::into), ..Default::default() };
    ProcessFacts { executable: Some(executable), ..Default::default() }
}

fn script(path: &str, script: &str, sha256: Option<&str>) -> ProcessFacts {
    let script = ScriptFacts { path: script.into(), sha256: sha256.map(Into::into), ..Default::default() };
    ProcessFacts { script: Some(script), ..program(path, Some(HASH)) }
}

fn summary(found: &Match) -> String {
    match found {
        Match::Agent { agent, assurance } => format!("{} {assurance}", agent.name),
        Match::Changed { agent, change } => format!("{} changed {}", agent.name, change.what()),
        Match::Pending { agent } => format!("{} pending", agent.name),
        Match::Ambiguous { agents } => agents.join(" or "),
        Match::Unreadable => "unreadable".to_owned(),
        Match::None => "none".to_owned(),
    }
}

#[test]
fn a_program_is_recognised_by_path_and_hash() {
    let plain = agents(&[("plain", r#"{"executable":"/opt/plain"}"#.to_owned())]);
    let pinned = agents(&[("pinned", format!(r#"{{"executable":"/opt/pinned","sha256":"{HASH}"}}"#))]);
    let found =
        |agents: &Agents, process: ProcessFacts, greeted| summary(&agents.match_process(&process, greeted));
    assert_eq!(found(&plain, program("/opt/plain", None), true), "plain path");
    assert_eq!(found(&plain, program("/opt/plain2", None), true), "none");
    assert_eq!(found(&plain, ProcessFacts::default(), true), "unreadable");
    assert_eq!(found(&pinned, program("/opt/pinned", Some(HASH)), true), "pinned pinned");
    assert_eq!(found(&pinned, program("/opt/pinned", Some(HASH)), false), "pinned path");
    assert_eq!(found(&pinned, program("/opt/pinned", None), true), "pinned pending");
    assert_eq!(found(&pinned, program("/opt/pinned", Some(OTHER)), true), "pinned changed executable");
    for spoil in [
        |facts: &mut ExecutableFacts| facts.deleted = true,
        |facts: &mut ExecutableFacts| facts.replaced = true,
        |facts: &mut ExecutableFacts| facts.writable_by_others = true,
        |facts: &mut ExecutableFacts| facts.just_changed = true,
        |facts: &mut ExecutableFacts| facts.interpreter = true,
    ] {
        let mut process = program("/opt/pinned", Some(HASH));
        spoil(process.executable.as_mut().unwrap());
        assert_eq!(found(&pinned, process, true), "pinned path");
    }
}

#[test]
fn an_interpreter_is_its_script_and_never_more_than_path() {
    let python = |more: &str| format!(r#"{{"executable":"/usr/bin/python3.11","sha256":"{HASH}"{more}}}"#);
    let registered = agents(&[
        ("pay", python(r#","script":"/opt/pay.py""#)),
        ("mail", python(&format!(r#","script":"/opt/mail.py","script_sha256":"{HASH}""#))),
    ]);
    let found = |process: ProcessFacts| summary(&registered.match_process(&process, true));
    assert_eq!(found(script("/usr/bin/python3.11", "/opt/pay.py", None)), "pay path");
    assert_eq!(found(script("/usr/bin/python3.11", "/opt/other.py", None)), "none");
    assert_eq!(found(script("/usr/bin/python3.12", "/opt/pay.py", None)), "none");
    assert_eq!(found(program("/usr/bin/python3.11", Some(HASH))), "none");
    assert_eq!(found(script("/usr/bin/python3.11", "/opt/mail.py", None)), "mail pending");
    assert_eq!(found(script("/usr/bin/python3.11", "/opt/mail.py", Some(OTHER))), "mail changed script");
    assert_eq!(found(script("/usr/bin/python3.11", "/opt/mail.py", Some(HASH))), "mail path");
    let bare = agents(&[("bare", python(""))]);
    assert_eq!(summary(&bare.match_process(&program("/usr/bin/python3.11", Some(HASH)), true)), "bare path");
}

#[test]
fn a_path_that_leads_elsewhere_recognises_nobody() {
    let python = r#"{"executable":"/usr/bin/python3.11","script":"/opt/pay.py""#;
    let registered = agents(&[
        ("plain", r#"{"executable":"/opt/plain"}"#.to_owned()),
        ("pinned", format!(r#"{{"executable":"/opt/pinned","sha256":"{HASH}"}}"#)),
        ("pay", format!("{python}}}")),
        ("any", r#"{"executable":"/opt/both"}"#.to_owned()),
        ("exact", format!(r#"{{"executable":"/opt/both","sha256":"{HASH}"}}"#)),
    ]);
    for mislead in [
        |facts: &mut ExecutableFacts| facts.replaced = true,
        |facts: &mut ExecutableFacts| facts.deleted = true,
    ] {
        let found = |mut process: ProcessFacts| {
            mislead(process.executable.as_mut().unwrap());
            summary(&registered.match_process(&process, true))
        };
        assert_eq!(found(program("/opt/plain", Some(HASH))), "plain changed path");
        assert_eq!(found(script("/usr/bin/python3.11", "/opt/pay.py", None)), "pay changed path");
        assert_eq!(found(script("/usr/bin/python3.11", "/opt/other.py", None)), "none");
        assert_eq!(found(program("/opt/other", None)), "none");
        // A registered hash that fits vouches for the file wherever it is, though no more than its path would.
        assert_eq!(found(program("/opt/pinned", Some(HASH))), "pinned path");
        assert_eq!(found(program("/opt/pinned", None)), "pinned pending");
        assert_eq!(found(program("/opt/pinned", Some(OTHER))), "pinned changed executable");
        assert_eq!(found(program("/opt/both", Some(HASH))), "exact path");
        assert_eq!(found(program("/opt/both", Some(OTHER))), "exact changed executable");
    }
    // The script's hash says nothing about what interprets it.
    let sealed = agents(&[("sealed", format!(r#"{python},"script_sha256":"{HASH}"}}"#))]);
    let mut process = script("/usr/bin/python3.11", "/opt/pay.py", Some(HASH));
    assert_eq!(summary(&sealed.match_process(&process, true)), "sealed path");
    process.executable.as_mut().unwrap().replaced = true;
    assert_eq!(summary(&sealed.match_process(&process, true)), "sealed changed path");
}

#[test]
fn a_control_group_tells_processes_of_one_program_apart() {
    use crate::caller::{ControlGroup, ControlGroupLevel};
    let bash = |more: &str| format!(r#"{{"executable":"/bin/bash"{more}}}"#);
    let registered = agents(&[
        ("backup", bash(r#","cgroup":"/system.slice/backup.service""#)),
        ("report", bash(r#","cgroup":"/system.slice/report.service""#)),
        ("pinned", bash(&format!(r#","sha256":"{OTHER}""#))),
    ]);
    assert!(registered.wants_cgroup("/bin/bash") && !registered.wants_cgroup("/bin/sh"));
    let inside = |path: &str, owner: u32| {
        let level = ControlGroupLevel { owner, ..Default::default() };
        let cgroup = ControlGroup { path: path.to_owned(), levels: vec![level; 3] };
        ProcessFacts { cgroup: Some(cgroup), ..program("/bin/bash", Some(HASH)) }
    };
    let found = |process: ProcessFacts| summary(&registered.match_process(&process, true));
    assert_eq!(found(inside("/system.slice/backup.service", 0)), "backup path");
    assert_eq!(found(inside("/system.slice/report.service", 0)), "report path");
    // Elsewhere, or where a user could have put it, the wider registration is what is left.
    assert_eq!(found(inside("/system.slice/other.service", 0)), "pinned changed executable");
    assert_eq!(found(inside("/system.slice/backup.service", 1000)), "pinned changed executable");
    // Not seen, it may be either.
    assert!(found(program("/bin/bash", Some(HASH))).ends_with("pending"));
    let mut registered = registered;
    registered.remove("backup");
    assert!(registered.wants_cgroup("/bin/bash"));
    registered.remove("report");
    assert!(!registered.wants_cgroup("/bin/bash"));
}

#[test]
fn digests_are_wanted_where_a_registration_names_one() {
    let mut registered = agents(&[
        ("plain", r#"{"executable":"/opt/plain"}"#.to_owned()),
        ("pinned", format!(r#"{{"executable":"/opt/pinned","sha256":"{HASH}"}}"#)),
        ("pay", r#"{"executable":"/usr/bin/python3.11","script":"/opt/pay.py"}"#.to_owned()),
        (
            "mail",
            format!(
                r#"{{"executable":"/usr/bin/python3.11","script":"/opt/mail.py","script_sha256":"{HASH}"}}"#
            ),
        ),
    ]);
    let wanted = |agents: &Agents| {
        ["/opt/plain", "/opt/pinned", "/usr/bin/python3.11", "/opt/other"]
            .map(|path| agents.wants_digests(path))
    };
    assert_eq!(wanted(&registered), [false, true, true, false]);
    registered.remove("mail");
    assert_eq!(wanted(&registered), [false, true, false, false]);
    registered.insert(agent("pinned", r#"{"executable":"/opt/pinned"}"#));
    registered.insert(agent("plain", &format!(r#"{{"executable":"/opt/plain","sha256":"{HASH}"}}"#)));
    assert_eq!(wanted(&registered), [true, false, false, false]);
}

#[test]
fn the_most_specific_registration_is_meant() {
    let registered = agents(&[
        ("any", r#"{"executable":"/opt/tool"}"#.to_owned()),
        ("exact", format!(r#"{{"executable":"/opt/tool","sha256":"{HASH}"}}"#)),
    ]);
    let found = |hash| summary(&registered.match_process(&program("/opt/tool", hash), true));
    assert_eq!(found(Some(HASH)), "exact pinned");
    assert_eq!(found(None), "exact pending");
    // A wider registration of the same path does not excuse a changed file.
    assert_eq!(found(Some(OTHER)), "exact changed executable");
}

#[test]
fn two_pinned_versions_stand_side_by_side() {
    let registered = agents(&[
        ("old", format!(r#"{{"executable":"/opt/tool","sha256":"{HASH}"}}"#)),
        ("new", format!(r#"{{"executable":"/opt/tool","sha256":"{OTHER}"}}"#)),
    ]);
    let found = |hash| summary(&registered.match_process(&program("/opt/tool", Some(hash)), true));
    assert_eq!(found(HASH), "old pinned");
    assert_eq!(found(OTHER), "new pinned");
    assert!(found(&"c".repeat(64)).contains("changed"));
}

#[test]
fn two_equally_good_registrations_are_both_named() {
    let twice = r#"{"executable":"/opt/tool"}"#.to_owned();
    let registered = agents(&[("b", twice.clone()), ("a", twice)]);
    assert_eq!(summary(&registered.match_process(&program("/opt/tool", None), true)), "a or b");
}

#[test]
fn registering_again_replaces_and_removing_forgets() {
    let mut registered = agents(&[("a", r#"{"executable":"/opt/one"}"#.to_owned())]);
    let earlier = registered.insert(agent("a", r#"{"executable":"/opt/two","script":"/opt/s"}"#));
    assert_eq!(earlier.unwrap().selectors.executable, "/opt/one");
    assert_eq!(summary(&registered.match_process(&program("/opt/one", None), true)), "none");
    assert_eq!(summary(&registered.match_process(&script("/opt/two", "/opt/s", None), true)), "a path");
    registered.remove("a");
    assert!(registered.is_empty() && registered.by_executable.is_empty());
}

#[test]
fn the_administrators_word_stands_above_the_persons() {
    let specific = agent("mine", &format!(r#"{{"executable":"/opt/a","sha256":"{HASH}"}}"#));
    let general = Agent { source: Source::Administrator, ..agent("theirs", r#"{"executable":"/opt/a"}"#) };
    let process = program("/opt/a", Some(HASH));
    let matched = |agents: &Agents| match agents.match_process(&process, true) {
        Match::Agent { agent, .. } => agent.name.to_string(),
        other => panic!("{other:?}"),
    };
    for order in [[&specific, &general], [&general, &specific]] {
        let mut agents = Agents::new();
        order.into_iter().for_each(|agent| drop(agents.insert(agent.clone())));
        assert_eq!(matched(&agents), "theirs");
        agents.remove("theirs");
        assert_eq!(matched(&agents), "mine");
    }
}
