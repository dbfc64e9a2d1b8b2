//! An administrator's policies: in force beside the others, read anew while the daemon serves, refused as a whole where they
//! have a fault; and no decision mixes two sets of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use e2e::{ALICE, AgentSpec, LoginRun, Provider, World, WorldOptions, wait};
use rustix::process::Signal;
use serde_json::{Value, json};

const READ: &str = "files.read:/projects";
const NO_READING: &str = "@id(\"org-no-reading\")\n@remedy(\"step_up\") @acr(\"phr\") @max_age(\"PT5M\")\n\
                          forbid (principal, action == AgentAuth::Action::\"files.read\", resource);\n";

const CLOSED: &str = "@id(\"org-closed\") @reason_user(\"Closed.\")\n\
                      forbid (principal, action in AgentAuth::Action::\"files.*\", resource);\n\
                      @id(\"org-quiet\") @remedy(\"step_up\") @max_age(\"PT1M\")\n\
                      forbid (principal, action in AgentAuth::Action::\"risk:read\", resource);\n";

/// Says that the test runs where it may write `/etc`.
const INSIDE: &str = "E2E_OWN_ETC";

/// Runs the test named `name` once more where `/etc` is a copy of its own, seen by nobody else; whether this is already it.
fn has_own_etc(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let copy = tempfile::tempdir().unwrap();
    let script = "cp -a /etc/. \"$1\" 2>/dev/null || true\n\
                  rm -rf \"$1/agentauthd\"\n\
                  mkdir -m 755 \"$1/agentauthd\" \"$1/agentauthd/policies\"\n\
                  mount --bind \"$1\" /etc\n\
                  shift\n\
                  exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]);
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let status = command
        .args(["sh", "-ec", script, "sh"])
        .arg(copy.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed in its own /etc: {status}");
    false
}

fn directory() -> &'static Path {
    Path::new("/etc/agentauthd/policies")
}

/// Puts a file in its place at once, as package managers do.
fn put(name: &str, text: &str) -> PathBuf {
    let (new, path) = (directory().join(".new"), directory().join(name));
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, &path).unwrap();
    path
}

fn world() -> World {
    let more_configuration = "[checks]\nrequests_per_second = 1000000\nburst = 1000000\n\n\
                              [audit]\nfold_after = 1000000\n"
        .to_owned();
    let options =
        WorldOptions { more_configuration, log_filter: "info".to_owned(), ..WorldOptions::default() };
    let world = World::with(&Provider::start(), options);
    world.login(ALICE);
    world
}

fn reason(world: &World, scope: &str) -> String {
    world.check(scope)["reason"].as_str().unwrap().to_owned()
}

fn wait_for(world: &World, scope: &str, wanted: &str) {
    wait::until_true(wanted, || reason(world, scope) == wanted);
}

#[test]
fn the_administrators_policies_take_effect_by_themselves_and_a_fault_keeps_those_of_before() {
    if !has_own_etc("the_administrators_policies_take_effect_by_themselves_and_a_fault_keeps_those_of_before")
    {
        return;
    }
    let mut world = world();
    assert_eq!(reason(&world, READ), "granted");
    let shipped = world.status().policy;
    assert!(shipped.refused.is_none() && !shipped.digest.is_empty());

    let path = put("org.cedar", NO_READING);
    wait_for(&world, READ, "policy_forbids");
    let answer = world.check(READ);
    assert_eq!(answer["policies"], serde_json::json!(["org-no-reading"]), "{answer}");
    assert_eq!(answer["remedy_terms"], serde_json::json!({"acr": "phr", "max_age_seconds": 300}), "{answer}");
    let with = world.status().policy;
    assert!(with.digest != shipped.digest && with.count == shipped.count + 1);
    assert!(with.sources.iter().any(|source| Path::new(source) == path), "{with:?}");

    // Broken, or writable by others: refused as a whole, and said with its place.
    put(
        "org.cedar",
        "@id(\"org-no-reading\")\nforbid (principal, action, resource)\nwhen { principal.nmae == \"x\" };\n",
    );
    put("more.cedar", "@id(\"more\") @colour(\"red\") permit (principal, action, resource);\n");
    wait::until_true("a refusal", || {
        world.status().policy.refused.is_some_and(|refused| refused.faults.len() == 2)
    });
    let status = world.status();
    assert_eq!(reason(&world, READ), "policy_forbids");
    assert_eq!((status.policy.digest, status.policy.count), (with.digest.clone(), with.count));
    let faults = status.policy.refused.unwrap().faults;
    let (colour, name) = (&faults[0], &faults[1]);
    assert_eq!((colour.line, colour.column, colour.policy.as_deref()), (Some(1), Some(13), Some("more")));
    assert_eq!((name.line, name.column), (Some(3), Some(8)), "{name:?}");
    assert_eq!(name.excerpt, ["| when { principal.nmae == \"x\" };", "|        ^^^^^^^^^^^^^^"]);
    let told = world.cli(&["status"]).stdout;
    assert!(
        told.contains("org.cedar:3:8: `org-no-reading`") && told.contains("|        ^^^^^^^^^^^^^^"),
        "{told}"
    );
    assert!(world.daemon_output().contains("more.cedar:1:13"));
    let validated = world.cli(&["config", "validate"]);
    assert!(
        validated.code == Some(1) && validated.stderr.contains("|        ^^^^^^^^^^^^^^"),
        "{validated:?}"
    );

    // Mended, and read at once on request.
    std::fs::remove_file(directory().join("more.cedar")).unwrap();
    std::fs::remove_file(&path).unwrap();
    world.daemon().signal(Signal::HUP);
    wait_for(&world, READ, "granted");
    let again = world.status().policy;
    assert_eq!((again.digest, again.refused), (shipped.digest, None));

    // What ships is switched off by the administrator alone.
    assert_eq!(reason(&world, "admin.manage"), "role_required");
    put("shipped.off", "admin.cedar # nobody here administers by agents\n");
    wait::until_true("what ships to be switched off", || world.status().policy.count < shipped.count);
    assert_ne!(reason(&world, "admin.manage"), "role_required");

    let record = world.audit();
    let whys: Vec<&str> = record
        .iter()
        .filter(|record| record["event"] == "policy.loaded")
        .map(|record| record["details"]["why"].as_str().unwrap())
        .collect();
    assert_eq!((whys[0], whys[1], *whys.last().unwrap()), ("start", "changed", "changed"), "{whys:?}");
    assert!(record.iter().any(|record| record["event"] == "policy.refused"));

    // At a start there is no set before.
    put("org.cedar", "forbid (");
    world.stop_daemon();
    let outcome = world.cli(&["run"]);
    assert!(outcome.code == Some(1) && outcome.stderr.contains("org.cedar:1:"), "{outcome:?}");
}

#[test]
fn reloading_under_load_loses_no_request_and_no_decision_mixes_two_sets() {
    if !has_own_etc("reloading_under_load_loses_no_request_and_no_decision_mixes_two_sets") {
        return;
    }
    const ASKERS: usize = 4;
    const EACH: usize = 50;
    const RELOADS: usize = 12;
    // What differs from one set to the next: reason, policies, remedy and terms.
    let sets = [
        (
            Some(NO_READING),
            json!(["policy_forbids", ["org-no-reading"], "step_up", {"acr": "phr", "max_age_seconds": 300}]),
        ),
        (Some(CLOSED), json!(["policy_forbids", ["org-closed", "org-quiet"], null, null])),
        (None, json!(["granted", ["base-permit"], null, null])),
    ];
    let mut world = world();
    assert_eq!(reason(&world, READ), "granted");

    let done = AtomicBool::new(false);
    let scopes = vec![READ; EACH];
    let pid = world.daemon().pid();
    let mut digests: HashMap<String, String> = HashMap::new();
    let answers: Vec<Value> = thread::scope(|scope| {
        let asking = || {
            let mut answers = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let some = world.probe(&scopes);
                assert_eq!(some.len(), EACH, "an answer is missing");
                answers.extend(some);
            }
            answers
        };
        let askers: Vec<_> = (0..ASKERS).map(|_| scope.spawn(asking)).collect();
        let hang_up = || {
            rustix::process::kill_process(
                rustix::process::Pid::from_raw(pid.cast_signed()).unwrap(),
                Signal::HUP,
            )
            .unwrap()
        };
        let mut before = world.status().policy.digest;
        for (text, said) in sets.iter().cycle().take(RELOADS) {
            match text {
                Some(text) => drop(put("org.cedar", text)),
                None => std::fs::remove_file(directory().join("org.cedar")).unwrap(),
            }
            hang_up();
            wait::until_true("the other set", || world.status().policy.digest != before);
            before = world.status().policy.digest;
            let known = digests.entry(said.to_string()).or_insert_with(|| before.clone());
            assert_eq!(*known, before, "the same texts are the same set");
        }
        done.store(true, Ordering::Relaxed);
        askers.into_iter().flat_map(|asker| asker.join().unwrap()).collect()
    });

    // Each answer is wholly that of one set, and all of them were asked.
    let told = |answer: &Value| {
        json!([answer["reason"], answer["policies"], answer["remedy"], answer["remedy_terms"]]).to_string()
    };
    let mut counts: HashMap<String, usize> = HashMap::new();
    for answer in &answers {
        assert!(digests.contains_key(&told(answer)), "a mixture: {answer}");
        *counts.entry(told(answer)).or_default() += 1;
    }
    assert_eq!(counts.len(), sets.len(), "{counts:?}");

    let record = world.audit();
    let rules: HashMap<&str, &str> = record
        .iter()
        .filter(|record| record["event"] == "facts" && record["details"]["kind"] == "rules")
        .map(|record| {
            (record["id"].as_str().unwrap(), record["details"]["facts"]["policies"].as_str().unwrap())
        })
        .collect();
    let by_policies: HashMap<String, &String> =
        sets.iter().map(|(_, said)| (said[1].to_string(), &digests[&said.to_string()])).collect();
    let mut decided = 0;
    for record in record.iter().filter(|record| record["event"] == "decision" && record["scopes"][0] == READ)
    {
        let named =
            record["facts"].as_array().unwrap().iter().filter_map(|fact| rules.get(fact.as_str().unwrap()));
        let sets: Vec<&str> = named.copied().collect();
        assert_eq!(sets, [by_policies[&record["policies"].to_string()].as_str()], "{record}");
        decided += 1;
    }
    assert!(decided > answers.len(), "{decided} recorded of {} answered", answers.len());
    println!("{RELOADS} reloads, {} answers: {:?}", answers.len(), counts.values());
}

/// Forbids reading with what was confirmed by less than a passkey.
const STRONG: &str = "@id(\"org-strong\")\n@remedy(\"consent\") @strength(\"passkey\")\n\
                      forbid (principal, action == AgentAuth::Action::\"files.read\", resource)\n\
                      when { context.known.grant_strength_level < 2 };\n";

/// Somebody logged in, whose agent was allowed nothing.
fn ungranted() -> World {
    let agent = AgentSpec { grants: Vec::new(), ..AgentSpec::probe() };
    let options = WorldOptions { agents: vec![agent], ..WorldOptions::default() };
    let world = World::with(&Provider::start(), options);
    world.login(ALICE);
    world
}

/// Answers a question by signing in; at a provider that does not show that it is done anew, that is worth a prompt.
fn sign_in_for(world: &World, question: &str, shows_it: bool) -> Option<i32> {
    let run =
        LoginRun::begin(world.command(&["approve", question, "--for", "30m", "--reauth", "--no-browser"]));
    if !shows_it {
        let change = json!({"kind": "id", "claims": {"auth_time": null}});
        world.provider.next_token(serde_json::from_value(change).unwrap());
    }
    world.provider.sign_in(&run.url, ALICE.email, ALICE.password);
    run.finish().code
}

#[test]
fn what_was_confirmed_too_weakly_is_asked_again_and_a_weaker_answer_is_refused() {
    if !has_own_etc("what_was_confirmed_too_weakly_is_asked_again_and_a_weaker_answer_is_refused") {
        return;
    }
    let world = ungranted();
    let asked = || world.check(READ)["consents"][0].as_str().unwrap().to_owned();
    let first = asked();
    assert_eq!(sign_in_for(&world, &first, false), Some(0));
    assert_eq!(reason(&world, READ), "granted");
    assert_eq!(world.records("consent.answered")[0]["details"]["strength"], "prompt");

    let path = put("org.cedar", STRONG);
    wait_for(&world, READ, "policy_forbids");
    let denied = world.check(READ);
    assert_eq!(
        (&denied["remedy"], &denied["remedy_terms"]),
        (&json!("consent"), &json!({"strength": "passkey"})),
        "{denied}"
    );
    let question = asked();
    let list = world.cli(&["consents", "--json"]).json();
    let scope = &list["consents"][0]["scopes"][0];
    assert_eq!((&scope["scope"], &scope["at_least"]), (&json!(READ), &json!("passkey")), "{list}");
    assert!(scope["offers"].as_array().unwrap().iter().all(|offer| offer["needs"] == "passkey"), "{list}");
    let text = list["consents"][0]["text"].to_string();
    assert!(text.contains("A policy wants it confirmed") && text.contains("as strongly as"), "{text}");

    // A terminal's answer, over the socket and by the command line, and a login that shows nothing.
    let allow = json!({"allow": [{"scope": READ, "for": "once"}]});
    let mut raw = e2e::raw::Raw::connect(&world.socket()).unwrap();
    let answer = raw.ask("POST", &format!("/v1/consents/{question}"), None, Some(&allow)).unwrap();
    assert_eq!(answer.status, 403, "{}", answer.json());
    let told = world.cli(&["approve", &question]);
    assert!(told.code == Some(1) && told.stderr.contains("--reauth"), "{told:?}");
    assert_eq!(sign_in_for(&world, &question, false), Some(1));
    assert_eq!(reason(&world, READ), "policy_forbids");

    assert_eq!(sign_in_for(&world, &question, true), Some(0));
    assert_eq!(reason(&world, READ), "granted");
    let answered = &world.records("consent.answered")[1]["details"];
    assert_eq!(
        (&answered["strength"], &answered["demanded"]),
        (&json!("reauth"), &json!({READ: "passkey"})),
        "{answered}"
    );
    let decided = world.records("decision").pop().unwrap();
    assert_eq!((&decided["decision"], &decided["grant_strengths"]), (&json!("allow"), &json!("reauth")));
    assert!(world.cli(&["consents", "--json"]).json()["consents"].as_array().unwrap().is_empty());
    std::fs::remove_file(path).unwrap();
}

/// Grants what is read, and what is paid: the second says too little for that.
const PREAPPROVED: &str = "@id(\"org-reading\") @preapprove\n\
                           permit (principal, action == AgentAuth::Action::\"files.read\", resource);\n\
                           @id(\"org-paying\") @preapprove\n\
                           permit (principal, action == AgentAuth::Action::\"payments.execute\", resource);\n";

#[test]
fn what_an_administrator_preapproves_is_recorded_first_and_ends_with_the_policy() {
    if !has_own_etc("what_an_administrator_preapproves_is_recorded_first_and_ends_with_the_policy") {
        return;
    }
    let world = ungranted();
    let pay = "payments.execute:currency=EUR";
    let consents = || world.records("consent.preapproved");
    assert_eq!(reason(&world, READ), "consent_required");
    let before = world.status().policy.digest;
    let path = put("org.cedar", PREAPPROVED);
    // Not by asking: who is denied so often may do nothing risky for a while.
    wait::until_true("the policies to be in force", || world.status().policy.digest != before);
    let allowed = world.check(READ);
    assert_eq!(allowed["grants"], json!(["policy:org-reading"]), "{allowed}");
    assert_eq!(reason(&world, pay), "consent_required", "of high risk");

    // One consent, before the first decision that rests on it; another scope is another.
    let below = format!("{READ}/alpha");
    assert_eq!(reason(&world, &below), "granted");
    assert_eq!(reason(&world, &below), "granted");
    let written = consents();
    assert_eq!(written.len(), 2, "{written:?}");
    let digest = world.status().policy.digest;
    for (consent, scope) in written.iter().zip([READ, &below]) {
        let details = &consent["details"];
        assert_eq!((&consent["scopes"], &consent["policies"]), (&json!([scope]), &json!(["org-reading"])));
        assert_eq!(
            (&details["strength"], &details["agent"], &details["rules"]),
            (&json!("policy"), &json!("probe-agent"), &json!(digest)),
            "{consent}"
        );
        let rests = |record: &&Value| {
            record["event"] == "decision"
                && record["decision"] == "allow"
                && record["scopes"] == json!([scope])
                && record["grants"] == json!(["policy:org-reading"])
        };
        let all = world.audit();
        let first = all.iter().find(rests).unwrap();
        assert!(consent["seq"].as_u64() < first["seq"].as_u64(), "{consent} {first}");
        assert_eq!((&first["grant_kinds"], &first["grant_strengths"]), (&json!("policy"), &json!("policy")));
    }

    // The person's no is above it.
    let question = world.check(pay)["consents"][0].as_str().unwrap().to_owned();
    assert_eq!(world.cli(&["deny", &question, "--for", "1h"]).code, Some(0));
    assert_eq!(reason(&world, READ), "consent_denied");

    // A restart leaves it what it is: nothing is given but by the policy.
    let mut world = world;
    world.restart_daemon();
    world.login(ALICE);
    wait_for(&world, READ, "granted");
    let listed = world.cli(&["grants", "--json"]).json();
    assert_eq!(listed["grants"], json!([]), "{listed}");
    std::fs::remove_file(path).unwrap();
    wait_for(&world, READ, "consent_required");
}
