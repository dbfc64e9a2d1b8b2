//! A person's own files: what they say counts as it was applied, and an edited one is reported, not obeyed.

use agentauth_api::SessionPhase;
use e2e::{ALICE, BOB, Provider, Store, World, WorldOptions};
use serde_json::Value;

const READ: &str = "files.read:/projects";
const PAY: &str = "payments.execute:currency=EUR";
const NOBODY: &str =
    "@id(\"nobody\")\nforbid(principal, action == AgentAuth::Action::\"files.read\", resource);\n";

fn world(more: &str) -> World {
    let options =
        WorldOptions { store: Store::File, more_configuration: more.to_owned(), ..WorldOptions::default() };
    World::with(&Provider::start(), options)
}

fn restart(world: &mut World) {
    world.restart_daemon();
    world.wait_for_phase(SessionPhase::Active);
}

fn reason(world: &World, scope: &str) -> String {
    world.check(scope)["reason"].as_str().unwrap().to_owned()
}

fn edit(world: &World, from: &str, to: &str) {
    let text = std::fs::read_to_string(world.config_file()).unwrap();
    assert!(text.contains(from));
    std::fs::write(world.config_file(), text.replace(from, to)).unwrap();
}

fn write_policy(world: &World, text: &str) {
    let policies = world.config_dir().join("policies");
    e2e::world::private_directory(&policies);
    std::fs::write(policies.join("own.cedar"), text).unwrap();
}

fn applied(world: &World) -> Vec<Value> {
    world.records("rules.applied")
}

fn told(world: &World, what: &str) -> bool {
    world.status().problems.iter().any(|problem| problem.contains(what))
}

#[test]
fn an_edited_configuration_is_reported_until_the_owner_applies_it() {
    let mut world = world("[session]\nmax_age = \"9h\"\n");
    assert!(applied(&world).is_empty(), "before the first login the files count");
    world.login(ALICE);
    assert_eq!(applied(&world).len(), 1, "they are what is applied from the first login on");
    let ends = |world: &World| world.status().session.login_ends_at;
    let before = ends(&world);
    assert!(before.is_some());

    edit(&world, "9h", "90d");
    restart(&mut world);
    assert_eq!(ends(&world), before);
    assert!(told(&world, "`session.max_age`") && told(&world, "agentauthd config apply"));
    // What gives nobody anything takes effect at once.
    assert!(!told(&world, "log.filter"));

    let refused = world.confirmed_by(BOB, &["config", "apply"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("nothing was applied"), "{refused:?}");
    let outcome = world.confirmed_by(ALICE, &["config", "apply"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stderr.contains("session.max_age: \"9h\" becomes \"90d\""), "{outcome:?}");
    assert!(!told(&world, "session.max_age"));
    let record = applied(&world).pop().unwrap();
    assert_eq!(record["details"]["confirmed_by"], "reauth", "{record}");
    assert_eq!(record["details"]["request"]["operation"], "rules.apply");
    restart(&mut world);
    assert!(ends(&world) > before);
    assert!(!told(&world, "session.max_age"));
    let again = world.cli(&["config", "apply"]);
    assert!(again.code == Some(0) && again.stdout.contains("Nothing has changed"), "{again:?}");
}

#[test]
fn an_edited_policy_is_reported_and_an_applied_one_counts_at_once() {
    let mut world = world("");
    write_policy(&world, NOBODY);
    restart_without_login(&mut world);
    world.login(ALICE);
    assert_eq!(reason(&world, READ), "policy_forbids");

    // Taken away, made harmless, or broken: the one that was applied stays in force.
    for text in [None, Some("// nothing"), Some("permit (")] {
        match text {
            Some(text) => write_policy(&world, text),
            None => std::fs::remove_file(world.config_dir().join("policies/own.cedar")).unwrap(),
        }
        restart(&mut world);
        assert_eq!(reason(&world, READ), "policy_forbids", "{text:?}");
        assert!(told(&world, "`own.cedar`"), "{:?}", world.status().problems);
    }
    let refused = world.cli(&["policy", "apply", "--no-browser"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("own.cedar"), "{refused:?}");

    write_policy(&world, &NOBODY.replace("files.read", "payments.read"));
    let outcome = world.confirmed_by(ALICE, &["policy", "apply"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(reason(&world, READ), "granted");
    assert_eq!(reason(&world, "payments.read"), "policy_forbids");
    assert!(!told(&world, "own.cedar"));
    restart(&mut world);
    assert_eq!(reason(&world, READ), "granted");
}

#[test]
fn an_edited_catalogue_lowers_no_risk() {
    let mut world = world("");
    world.login(ALICE);
    let extension = "[resources.payments.actions.preview]\nsays = \"look at payments\"\nrisk = \"read\"\n\
                     lifetime = \"once\"\nstrength = \"prompt\"\n";
    std::fs::write(world.config_dir().join("scopes.toml"), extension).unwrap();
    restart(&mut world);
    assert!(told(&world, "the catalogue of scopes"), "{:?}", world.status().problems);
    let outcome = world.confirmed_by(ALICE, &["config", "apply"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    restart(&mut world);
    assert!(!told(&world, "the catalogue of scopes"));
    assert_eq!(reason(&world, PAY), "granted");
}

#[test]
fn what_was_applied_counts_only_as_the_record_says() {
    let mut world = world("[session]\nmax_age = \"9h\"\n");
    world.login(ALICE);
    world.stop_daemon();
    let database = rusqlite::Connection::open(world.state_dir().join("state.db")).unwrap();
    let replace = |from: &str, to: &str| {
        let statement = "UPDATE own_rules SET says = replace(says, ?1, ?2)";
        assert_eq!(database.execute(statement, [from, to]).unwrap(), 1);
    };
    replace("9h", "90d");
    // The files still say what was applied.
    world.start_daemon();
    world.wait_for_phase(SessionPhase::Active);
    assert!(!told(&world, "is not to be had"));
    // They do not any more: neither counts, and nobody can log in.
    world.stop_daemon();
    edit(&world, "9h", "90d");
    world.start_daemon();
    assert!(told(&world, "is not to be had"));
    assert_eq!(reason(&world, READ), "not_logged_in");
    world.stop_daemon();
    replace("90d", "9h");
    world.start_daemon();
    world.wait_for_phase(SessionPhase::Active);
    assert!(told(&world, "`session.max_age`"));

    // The record is gone.
    world.stop_daemon();
    std::fs::remove_dir_all(world.state_dir().join("audit")).unwrap();
    world.start_daemon();
    assert!(told(&world, "is not to be had"));
    assert_ne!(reason(&world, READ), "granted");
}

fn restart_without_login(world: &mut World) {
    world.restart_daemon();
    world.wait_for_phase(SessionPhase::LoggedOut);
}
