//! The tools for those who write policies, as they use them: faults with their places, verdicts on a changed manifest,
//! scenarios, and real decisions explained, simulated and counted.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::fs;
use std::path::PathBuf;

use e2e::cli::{self, Outcome};
use e2e::{ALICE, BOB, World, WorldOptions, binaries};
use serde_json::{Value, json};
use tempfile::TempDir;

const PAY: &str = "payments.execute:currency=EUR";
const READ: &str = "files.read:/projects";

const HR: &str = r#"@id("hr-fresh-login")
@remedy("step_up") @max_age("PT15M")
@reason_user("Files of human resources need a fresh login.")
forbid (principal, action in AgentAuth::Action::"files.*", resource in AgentAuth::Resource::"files:/srv/hr")
when { context.known.auth_age > 900 };

@id("hr-no-bursts")
forbid (principal, action in AgentAuth::Action::"files.*", resource in AgentAuth::Resource::"files:/srv/hr")
when { context.signals.contains("burst") };
"#;

/// Somebody's machine without a daemon, in a directory of policies.
struct Desk {
    home: TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { home: tempfile::tempdir().unwrap() };
        fs::create_dir_all(desk.path(".config/agentauthd/policies")).unwrap();
        fs::create_dir_all(desk.path("work/policies")).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path("work").join(name), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let mut command = binaries::command(binaries::program("agentauthd"));
        command.current_dir(self.path("work")).env("HOME", self.home.path()).args(arguments);
        cli::run(command)
    }
}

fn manifest(scopes: &[&str]) -> String {
    let scopes: Vec<_> = scopes.iter().map(|scope| json!({"scope": scope, "purpose": "work"})).collect();
    json!({"name": "desk-agent", "version": "1.0.0", "scopes": scopes}).to_string()
}

#[test]
fn check_tells_every_fault_of_every_file_with_its_place() {
    let desk = Desk::new();
    desk.write(
        "policies/a.cedar",
        "@id(\"a\")\nforbid (principal, action, resource)\nwhen { principal.nmae == \"x\" };\n",
    );
    desk.write("policies/b.cedar", "permit (principal, action, resource);\n@id(\"b\") @colour(\"red\") permit (principal, action, resource);\n");
    desk.write("c.cedar", "forbid (");
    let outcome = desk.run(&["policy", "check", "policies", "c.cedar"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    for part in [
        "policies/a.cedar:3:8: `a`: ",
        "| when { principal.nmae == \"x\" };\n       |        ^^^^^^^^^^^^^^",
        "policies/b.cedar:1:1: a policy has no @id",
        "policies/b.cedar:2:10: `b`: @colour",
        "c.cedar:1:",
        "none of these policies would take effect",
    ] {
        assert!(outcome.stderr.contains(part), "{part}\n{}", outcome.stderr);
    }
    let told = desk.run(&["policy", "check", "policies", "c.cedar", "--json"]).json();
    assert_eq!((&told["valid"], told["faults"].as_array().unwrap().len()), (&json!(false), 4), "{told}");
    let places: Vec<_> =
        told["faults"].as_array().unwrap().iter().map(|fault| (&fault["line"], &fault["column"])).collect();
    assert_eq!(json!(places), json!([[3, 8], [1, 1], [2, 10], [1, 9]]), "{told}");

    desk.write("policies/a.cedar", HR);
    fs::remove_file(desk.path("work/policies/b.cedar")).unwrap();
    let outcome = desk.run(&["policy", "check", "policies"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("policies would be in force."), "{outcome:?}");
    assert!(
        outcome.stdout.contains("     2  policies/a.cedar") && outcome.stdout.contains("shipped/base.cedar")
    );
    assert_eq!(desk.run(&["policy", "check", "none"]).code, Some(1));
    assert_eq!(desk.run(&["policy", "check", "--admin"]).code, Some(64));

    // In the administrator's place, what ships can be switched off.
    desk.write("policies/shipped.off", "base.cedar\n");
    let told = desk.run(&["policy", "check", "--admin", "policies", "--json"]).json();
    let files: Vec<_> =
        told["files"].as_array().unwrap().iter().map(|file| file["file"].as_str().unwrap()).collect();
    assert!(files.contains(&"policies/a.cedar") && !files.contains(&"shipped/base.cedar"), "{told}");
}

#[test]
fn a_changed_manifest_gets_a_verdict_for_each_scope() {
    let desk = Desk::new();
    desk.write(
        "policies/org.cedar",
        "@id(\"short\") @max_lifetime(\"PT5M\") permit (principal, action == AgentAuth::Action::\"calendar.read\", resource);\n\
         @id(\"confirm-mail\") @remedy(\"consent\")\n\
         forbid (principal, action == AgentAuth::Action::\"email.send\", resource)\n\
         when { context.known.grant == \"none\" };\n\
         @id(\"no-shell\") forbid (principal, action == AgentAuth::Action::\"shell.run\", resource);\n",
    );
    desk.write("old.json", &manifest(&["files.read:/a"]));
    desk.write(
        "new.json",
        &manifest(&["files.read:/", "calendar.read", "email.send:domain=example.com", "shell.run", PAY]),
    );
    let check = |more: &[&str]| {
        desk.run(&[&["policy", "check", "policies", "--manifest", "old.json", "new.json"], more].concat())
    };
    let outcome = check(&["--json"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    let told = outcome.json();
    let verdicts: Vec<(&str, &str, &str)> = told["manifest"]["scopes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["scope"].as_str().unwrap(),
                one["change"].as_str().unwrap(),
                one["verdict"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        verdicts,
        [
            ("files.read:/", "widened", "permitted"),
            ("calendar.read", "added", "capped"),
            ("email.send:domain=example.com", "added", "needs_approval"),
            ("shell.run", "added", "denied"),
            (PAY, "added", "denied"),
        ],
        "{told}"
    );
    assert_eq!(told["manifest"]["scopes"][1]["max_lifetime_seconds"], 300);
    assert_eq!(told["manifest"]["scopes"][4]["policies"], json!(["payments-need-role", "unproven-no-money"]));
    let text = check(&[]).stdout;
    assert!(
        text.contains("denied         shell.run (added, ") && text.contains("2 scopes are denied."),
        "{text}"
    );

    // With the role it is a matter of how well the agent is proven.
    let pay = |more: &[&str]| {
        let told = check(&[&["--json", "--role", "payment_processor"], more].concat()).json();
        told["manifest"]["scopes"][4].clone()
    };
    let by_path = pay(&[]);
    assert_eq!(
        (&by_path["verdict"], &by_path["remedy"]),
        (&json!("capped"), &json!("register")),
        "{by_path}"
    );
    assert_eq!(pay(&["--assurance", "launched"])["verdict"], "permitted");
    let same = desk.run(&["policy", "check", "policies", "--manifest", "new.json", "new.json"]);
    assert_eq!(same.code, Some(0), "{same:?}");
    assert_eq!(desk.run(&["policy", "check", "--manifest", "old.json", "none.json"]).code, Some(1));
}

#[test]
fn a_draft_that_no_daemon_would_read_is_a_fault() {
    let desk = Desk::new();
    desk.write("hr.cedr", HR);
    let outcome = desk.run(&["policy", "check", "hr.cedr"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("hr.cedr: its name does not end in `.cedar`"), "{outcome:?}");
    let outcome = desk.run(&["policy", "check", "policies"]);
    assert!(outcome.code == Some(0) && outcome.stderr.contains("`policies` has no file"), "{outcome:?}");
    // Each directory's word on what ships counts.
    fs::create_dir(desk.path("work/more")).unwrap();
    desk.write("policies/shipped.off", "admin.cedar\n");
    desk.write("more/shipped.off", "payments.cedar\n");
    let told = desk.run(&["policy", "check", "--admin", "policies", "more", "--json"]).json();
    let files = told["files"].to_string();
    assert!(!files.contains("admin.cedar") && !files.contains("payments.cedar"), "{told}");
    // A catalogue is read to a limit, and faults are counted to one.
    desk.write("scopes.toml", &"#".repeat(2 << 20));
    let outcome = desk.run(&["policy", "check", "--catalogue", "scopes.toml"]);
    assert!(outcome.stderr.contains("it is longer than 1048576 bytes"), "{outcome:?}");
    desk.write("many.cedar", &"permit (principal, action, resource);\n".repeat(150));
    let outcome = desk.run(&["policy", "check", "many.cedar"]);
    assert!(outcome.stderr.contains("at least 100 faults: none"), "{outcome:?}");
}

#[test]
fn a_verdict_on_a_scope_is_about_what_the_person_can_do() {
    let desk = Desk::new();
    desk.write("new.json", &manifest(&["calendar.read"]));
    let verdict = |policies: &str, more: &[&str]| {
        desk.write("policies/org.cedar", policies);
        let arguments = ["policy", "check", "policies", "--json", "--manifest", "/dev/null", "new.json"];
        let outcome = desk.run(&[&arguments, more].concat());
        let judged = outcome.json()["manifest"]["scopes"][0].clone();
        (outcome.code.unwrap(), judged["verdict"].as_str().unwrap().to_owned(), judged)
    };
    let forbid = |id: &str, annotations: &str, unless: &str| {
        format!("@id(\"{id}\") {annotations} forbid (principal, action, resource) unless {{ {unless} }};\n")
    };
    let consent = "@remedy(\"consent\") @strength(\"passkey\")";
    let old_login = "context.known.auth_age < 3600";
    for (policies, more, code, due) in [
        // What is asked for is given with a passkey, and that is not enough.
        (forbid("a", consent, "context.known.grant_strength_level >= 3"), &[][..], 2, "denied"),
        (forbid("a", consent, "context.known.grant_strength_level >= 2"), &[], 0, "needs_approval"),
        (forbid("a", consent, "context.known.grant_strength == \"passkey\""), &[], 0, "needs_approval"),
        // Nothing attests a device, and no credential is bound.
        (forbid("a", "@remedy(\"attestation\")", "context.known.device.attested"), &[], 2, "denied"),
        (forbid("a", "@remedy(\"proof\")", "context.known.proof"), &[], 2, "denied"),
        (
            forbid("a", "@remedy(\"step_up\")", old_login)
                + &forbid("b", "@remedy(\"proof\")", "context.known.proof"),
            &["--auth-age", "2h"],
            2,
            "denied",
        ),
        // What stands in the way of every grant does so without one, too.
        (forbid("a", "", "context.known.grant == \"none\""), &[], 2, "denied"),
    ] {
        let (found_code, found, judged) = verdict(&policies, more);
        assert_eq!((found_code, &*found), (code, due), "{policies}\n{judged}");
        if !policies.contains("== \"none\"") {
            continue;
        }
        assert_eq!(judged["policies"], json!(["a"]), "{judged}");
    }
    // Of two that forbid, the names do not decide.
    for (first, second) in [("a", "b"), ("b", "a")] {
        let policies = forbid(first, consent, "context.known.grant_strength_level >= 2")
            + &forbid(second, "@remedy(\"step_up\") @max_age(\"PT1H\")", old_login);
        let (code, found, judged) = verdict(&policies, &["--auth-age", "2h"]);
        assert_eq!((code, &*found), (0, "capped"), "{judged}");
        assert_eq!(
            (&judged["remedy"], &judged["policies"]),
            (&json!("step_up"), &json!([second])),
            "{judged}"
        );
        assert!(
            judged["why"].as_str().unwrap().contains("only once the person has confirmed it"),
            "{judged}"
        );
        assert_eq!(judged["consent"], "passkey", "{judged}");
        assert_eq!(verdict(&policies, &[]).1, "needs_approval");
    }
    let outcome = desk.run(&["policy", "check", "policies", "--role", "clerk"]);
    assert!(outcome.code == Some(64) && outcome.stderr.contains("`--manifest`"), "{outcome:?}");
}

#[test]
fn scenarios_beside_the_policies_pass_or_fail_with_the_difference() {
    let desk = Desk::new();
    desk.write("policies/hr.cedar", HR);
    let scenarios = |reason: &str| {
        json!({
            "about": "Human resources.",
            "cases": [
                {"name": "just logged in", "scopes": ["files.read:/srv/hr/a"],
                 "expect": {"decision": "allow", "policies": ["base-permit"]}},
                {"name": "logged in an hour ago", "session": {"auth_age_seconds": 3600},
                 "scopes": ["files.read:/srv/hr/a"],
                 "expect": {"decision": "deny", "reason": reason, "remedy": "step_up", "policies": ["hr-fresh-login"]}}
            ]
        })
        .to_string()
    };
    desk.write("policies/hr.scenarios.json", &scenarios("policy_forbids"));
    let outcome = desk.run(&["policy", "test", "policies"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(
        outcome.stdout.contains("ok    policies/hr.scenarios.json: logged in an hour ago\n"),
        "{outcome:?}"
    );
    assert!(outcome.stdout.contains("2 passed, 0 failed"), "{outcome:?}");
    assert!(outcome.stdout.contains("hr-no-bursts  policies/hr.cedar:8"), "{outcome:?}");
    assert!(!outcome.stdout.contains("  hr-fresh-login  "), "{outcome:?}");

    desk.write("policies/hr.scenarios.json", &scenarios("role_required"));
    let outcome = desk.run(&["policy", "test", "policies"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    for part in [
        "FAIL  policies/hr.scenarios.json: logged in an hour ago\n",
        "        reason\n          due  role_required\n          is   policy_forbids\n",
        "it says:",
        "1 passed, 1 failed",
    ] {
        assert!(outcome.stdout.contains(part), "{part}\n{}", outcome.stdout);
    }
    let told = desk.run(&["policy", "test", "policies", "--json"]).json();
    assert_eq!(
        told["scenarios"][1]["differences"],
        json!([{"member": "reason", "expected": "role_required", "found": "policy_forbids"}])
    );
    assert_eq!((&told["passed"], &told["failed"]), (&json!(1), &json!(1)));

    // Without the policies beside them, the second is allowed; what is no scenario fails.
    desk.write("only.json", &scenarios("policy_forbids"));
    assert!(desk.run(&["policy", "test", "only.json"]).stdout.contains("is   allow"));
    desk.write("only.json", "{\"cases\": [{\"name\": \"x\", \"scopes\": [\"a.b\"], \"expects\": {}}]}");
    let outcome = desk.run(&["policy", "test", "only.json"]);
    assert!(outcome.code == Some(1) && outcome.stdout.contains("unknown field `expects`"), "{outcome:?}");
    desk.write("only.json", "{\"cases\": [{\"name\": \"x\", \"scopes\": [\"a.b\"]}]}");
    let outcome = desk.run(&["policy", "test", "only.json"]);
    assert!(outcome.code == Some(1) && outcome.stdout.contains("names nothing that must be"), "{outcome:?}");
    assert_eq!(desk.run(&["policy", "test"]).code, Some(1), "there are none to be found");

    // What is not as it should be is said to scripts, too.
    fs::create_dir_all(desk.path(".local/state/agentauthd")).unwrap();
    fs::write(desk.path(".local/state/agentauthd/state.db"), "no database".repeat(100)).unwrap();
    desk.write("policies/hr.scenarios.json", &scenarios("policy_forbids"));
    let outcome = desk.run(&["policy", "test", "policies", "--json"]);
    assert!(
        outcome.code == Some(0) && outcome.stderr.contains("is damaged or not agentauthd's"),
        "{outcome:?}"
    );
    assert!(outcome.json()["notes"][0].as_str().unwrap().contains("is damaged"), "{outcome:?}");
    let told = desk.run(&["policy", "explain", "--agent", "x", "--scope", "files.read"]);
    assert!(told.stdout.contains("note: the state database"), "{told:?}");
}

#[test]
fn a_question_that_nobody_asked_is_explained() {
    let desk = Desk::new();
    desk.write("policies/hr.cedar", HR);
    let explain = |more: &[&str]| {
        desk.run(
            &[&["policy", "explain", "--policies", "policies", "--agent", "desk-agent", "--scope"], more]
                .concat(),
        )
    };
    let denied = explain(&["files.read:/srv/hr", "--auth-age", "1h"]);
    assert_eq!(denied.code, Some(0), "{denied:?}");
    for part in [
        "deny  policy_forbids",
        "6. NO   the organisation's policies permit it",
        "hr-fresh-login forbids it  policies/hr.cedar, line 4",
        "line 5: when { context.known.auth_age > 900 }",
        "Log in again: `agentauthd login`. The login may be 15 min old at most.",
        "`hr-fresh-login` (policies/hr.cedar, line 4): it is your own",
        "`desk-agent` is not registered here",
    ] {
        assert!(denied.stdout.contains(part), "{part}\n{}", denied.stdout);
    }
    assert!(explain(&["files.read:/srv/hr"]).stdout.starts_with("allow  granted"));
    let burst = explain(&["files.read:/srv/hr", "--signal", "burst", "--json"]).json();
    assert_eq!(
        (&burst["policies"][0]["id"], &burst["policies"][0]["line"]),
        (&json!("hr-no-bursts"), &json!(8))
    );
    assert_eq!(burst["checks"][5]["ended"], "failed");
    assert_eq!(burst["checks"][6]["ended"], "not_reached");
    assert!(explain(&["files.read:/a", "--grant", "none"]).stdout.contains("7. NO   the person"));
    for wrong in [
        &["policy", "explain"][..],
        &["policy", "explain", "--scope", "a.b"],
        // What would change nothing is refused.
        &["policy", "explain", "dec_1", "--role", "clerk"],
        &["policy", "explain", "dec_1", "--grant", "none"],
        &["policy", "explain", "dec_1", "--strength", "passkey"],
        &["policy", "explain", "--scope", "a.b", "--agent", "x", "--dir", "."],
        &["policy", "explain", "--scope", "a.b", "--agent", "x", "--grant", "none", "--strength", "passkey"],
    ] {
        assert_eq!(desk.run(wrong).code, Some(64), "{wrong:?}");
    }
}

#[test]
fn what_is_supposed_is_supposed_of_this_machine() {
    let desk = Desk::new();
    desk.write("facts.json", r#"{"now": "2026-03-04T12:00:00Z"}"#);
    let config = "[signals]\nworking_hours = [\"mon-fri 08:00-18:00 Asia/Tokyo\"]\n";
    fs::write(desk.path(".config/agentauthd/config.toml"), config).unwrap();
    let explain = |condition: &str| {
        let forbid = format!("@id(\"here\") forbid (principal, action, resource) when {{ {condition} }};");
        desk.write("policies/here.cedar", &forbid);
        let arguments =
            ["policy", "explain", "--policies", "policies", "--agent", "a", "--scope", "files.read"];
        let outcome = desk.run(&[&arguments[..], &["--facts", "facts.json"]].concat());
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        outcome.stdout
    };
    for true_here in [
        format!("context.known.device.os == \"{}\"", std::env::consts::OS),
        "context.known.daemon_version != \"\"".to_owned(),
        "context.known.local_minute == 1260".to_owned(),
    ] {
        let told = explain(&true_here);
        assert!(told.starts_with("deny  policy_forbids"), "{true_here}: {told}");
    }
    // A policy that fails is not told as one that permits or forbids.
    let told = explain("context.known.auth_age + 9223372036854775807 > 0");
    for part in ["here could not be evaluated", "evaluation error: ", "Whoever wrote it has to mend it"] {
        assert!(told.contains(part), "{part}\n{told}");
    }
}

#[test]
fn recorded_decisions_are_explained_simulated_and_counted() {
    let more_configuration = "[audit]\nfold_after = 3\nfold_window = \"1s\"\n".to_owned();
    let options =
        WorldOptions { more_configuration, log_filter: "info".to_owned(), ..WorldOptions::default() };
    let mut world = World::without_daemon(&e2e::Provider::start(), options);
    let own = world.config_dir().join("policies");
    fs::create_dir_all(&own).unwrap();
    let forbid = "@id(\"own-no-payments\") forbid (principal, action == AgentAuth::Action::\"payments.read\", resource);\n";
    fs::write(own.join("own.cedar"), forbid).unwrap();
    world.start_daemon();
    world.login(BOB);
    let denied = world.check(PAY);
    assert_eq!(denied["reason"], "role_required", "{denied}");
    let id = denied["id"].as_str().unwrap();
    let allowed = world.probe(&[READ, READ, READ]);
    assert!(allowed.iter().all(|answer| answer["reason"] == "granted"), "{allowed:?}");

    // The deny is explained: the check, the policy, its line, the condition, what helps and who can change it.
    let told = world.cli(&["policy", "explain", id]);
    assert_eq!(told.code, Some(0), "{told:?}");
    for part in [
        "deny  role_required  probe-agent payments.execute:currency=EUR",
        "  5. yes  the agent's manifest asks for it",
        "  6. NO   the organisation's policies permit it",
        "payments-need-role forbids it  shipped/payments.cedar, line 7",
        "line 12: unless { principal in AgentAuth::Role::\"payment_processor\" }",
        "  7.  -   the person",
        "You lack the role `payment_processor`. Whoever administers your accounts can give it to you",
        "`payments-need-role` (shipped/payments.cedar, line 7): it ships: an administrator can switch its file off",
    ] {
        assert!(told.stdout.contains(part), "{part}\n{}", told.stdout);
    }
    assert!(!told.stdout.contains("are not those"), "{}", told.stdout);
    let granted = world.cli(&["policy", "explain", allowed[0]["id"].as_str().unwrap(), "--json"]).json();
    assert_eq!(
        (&granted["decision"], &granted["policies"][0]["id"]),
        (&json!("allow"), &json!("base-permit"))
    );
    assert!(granted["checks"].as_array().unwrap().iter().all(|check| check["ended"] == "passed"));
    assert_eq!(granted["notes"], json!([]));
    let missing = world.cli(&["policy", "explain", "dec_none"]);
    assert!(missing.code == Some(1) && missing.stderr.contains("`dec_none`"), "{missing:?}");

    // Other policies would have decided otherwise: reading is forbidden, and paying needs no role.
    let draft = world.home().join("draft");
    fs::create_dir(&draft).unwrap();
    fs::write(
        draft.join("org.cedar"),
        "@id(\"no-reading\") forbid (principal, action == AgentAuth::Action::\"files.read\", resource);\n",
    )
    .unwrap();
    fs::write(draft.join("shipped.off"), "payments.cedar\n").unwrap();
    let draft = draft.to_str().unwrap();
    let simulate = |world: &World, more: &[&str]| {
        let outcome = world.cli(&[&["policy", "simulate", "--json"], more].concat());
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        outcome.json()
    };
    let told = world.cli(&["policy", "explain", allowed[0]["id"].as_str().unwrap(), "--policies", draft]);
    for part in ["are not those that were looked at now", "the policies of now would deny it: no-reading"] {
        assert!(told.stdout.contains(part), "{part}\n{}", told.stdout);
    }
    let told = simulate(&world, &["--policies", draft, "--admin"]);
    assert_eq!(told["by_change"], json!({"allow_to_deny": 3, "deny_to_allow": 1}), "{told}");
    let reading = change(&told, READ);
    assert_eq!(reading["count"], 3);
    assert_eq!(
        (&reading["after"]["reason"], &reading["after"]["policies"]),
        (&json!("policy_forbids"), &json!(["no-reading"]))
    );
    assert_eq!(
        (&reading["agents"], &reading["before"]["policies"]),
        (&json!(["probe-agent"]), &json!(["base-permit"]))
    );
    let paying = change(&told, PAY);
    assert_eq!(
        (&paying["before"]["reason"], &paying["after"]["reason"]),
        (&json!("role_required"), &json!("granted"))
    );
    assert_eq!(paying["example"], id);
    // What ships stays where a person tries policies of their own; and nothing changes without any.
    assert_eq!(simulate(&world, &["--policies", draft])["by_change"], json!({"allow_to_deny": 3}));
    let same = simulate(&world, &[]);
    assert_eq!((&same["changed"], &same["replayed"]), (&json!(0), &json!(4)), "{same}");
    assert_eq!(simulate(&world, &["--since", "2999-01-01"])["replayed"], 0);
    let text = world.cli(&["policy", "simulate", "--policies", draft, "--admin"]).stdout;
    assert!(
        text.contains("allow (granted) → deny (policy_forbids)  probe-agent files.read:/projects  3 times"),
        "{text}"
    );
    assert!(text.contains("4 of 4 decisions would be other ones."), "{text}");

    // What never decided anything is named; what did, in scenarios or in the record, is not.
    let scenarios = world.home().join("admin.scenarios.json");
    let case = json!({"cases": [{"name": "no role", "scopes": ["admin.manage"], "expect": {"policies": ["admin-needs-role"]}}]});
    fs::write(&scenarios, case.to_string()).unwrap();
    let covered = world.cli(&["policy", "coverage", "--tests", scenarios.to_str().unwrap(), "--json"]).json();
    let of = |id: &str| -> (u64, u64) {
        let policy =
            covered["policies"].as_array().unwrap().iter().find(|policy| policy["id"] == id).unwrap();
        (policy["in_scenarios"].as_u64().unwrap(), policy["in_record"].as_u64().unwrap())
    };
    assert_eq!(of("payments-need-role"), (0, 1));
    assert_eq!(of("admin-needs-role"), (1, 0));
    assert_eq!(of("base-permit"), (0, 3));
    assert_eq!(of("tampered-not-risky"), (0, 0));
    let text = world.cli(&["policy", "coverage"]).stdout;
    let idle = text.lines().find(|line| line.starts_with("Never decided anything:")).unwrap();
    assert!(idle.contains("tampered-not-risky") && idle.contains("admin-needs-role"), "{text}");
    assert!(!idle.contains("payments-need-role") && !idle.contains("base-permit"), "{text}");

    // Denials that were counted together count as many, and each of them is explained.
    let many = world.probe(&["payments.read"; 8]);
    world.stop_daemon();
    let none = world.home().join("none");
    fs::create_dir(&none).unwrap();
    let reading = change(&simulate(&world, &["--policies", none.to_str().unwrap()]), "payments.read");
    assert_eq!((&reading["count"], &reading["after"]["decision"]), (&json!(8), &json!("allow")), "{reading}");
    let told = world.cli(&["policy", "explain", many[7]["id"].as_str().unwrap()]).stdout;
    assert!(told.contains("it is one of 5 equal denials"), "{told}");
    assert!(
        told.contains("own-no-payments forbids it") && told.contains("it is your own: change it"),
        "{told}"
    );
}

#[test]
fn it_is_said_when_the_policies_are_no_longer_those_that_decided() {
    let world = World::start();
    world.login(ALICE);
    let id = world.check("admin.manage")["id"].as_str().unwrap().to_owned();
    assert!(!world.cli(&["policy", "explain", &id]).stdout.contains("note:"));
    let draft = world.home().join("own.cedar");
    fs::write(&draft, "@id(\"admin-needs-role\") forbid (principal, action, resource);\n").unwrap();
    let told = world.cli(&["policy", "explain", &id, "--policies", draft.to_str().unwrap()]).stdout;
    assert!(told.contains("the policies that decided this are not those that were looked at now"), "{told}");
    assert!(
        told.contains("the policies of now would deny it too: admin-needs-role, admin-needs-role@own"),
        "{told}"
    );
    assert!(told.contains("You lack the role `admin`."), "{told}");
}

fn change(told: &Value, scope: &str) -> Value {
    let changes = told["changes"].as_array().unwrap();
    changes
        .iter()
        .find(|change| change["scopes"] == json!([scope]))
        .unwrap_or_else(|| panic!("{told}"))
        .clone()
}
