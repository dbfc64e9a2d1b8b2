//! Registrations, end to end: confirmed by the owner's fresh login, kept by the record, ended at once.

use std::path::{Path, PathBuf};

use agentauth_core::grant::{Binding, Grant, Lifetime};
use e2e::cli::{Outcome, Running};
use e2e::{ALICE, AgentSpec, BOB, Provider, Store, World, WorldOptions, agents, binaries, rights, wait};
use serde_json::{Value, json};

const READ: &str = "files.read:/projects";

/// A world whose one program is no agent yet, with somebody logged in.
fn unregistered(store: Store) -> World {
    let options = WorldOptions { store, agents: Vec::new(), ..WorldOptions::default() };
    let world = World::with(&Provider::start(), options);
    world.login(ALICE);
    world
}

/// A manifest in a file of the person's.
fn manifest(world: &World, version: &str, scopes: &[&str]) -> PathBuf {
    let scopes: Vec<Value> =
        scopes.iter().map(|scope| json!({"scope": scope, "purpose": "do what the test asks for"})).collect();
    let path = world.home().join(format!("manifest-{version}.json"));
    let text = json!({"name": "probe-agent", "version": version, "scopes": scopes}).to_string();
    std::fs::write(&path, text).unwrap();
    path
}

#[track_caller]
fn register(world: &World, manifest: &Path, exe: &Path) {
    let arguments = ["agent", "register", manifest.to_str().unwrap(), "--exe", exe.to_str().unwrap()];
    let outcome = world.confirmed_by(ALICE, &arguments);
    assert_eq!(outcome.code, Some(0), "{outcome:?}\n{}", world.log_tail());
}

fn reason(world: &World) -> String {
    world.check(READ)["reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_program_is_an_agent_once_the_owner_has_signed_in_for_it_and_until_it_is_removed() {
    let mut world = unregistered(Store::File);
    assert_eq!(reason(&world), "agent_unknown");
    let manifest = manifest(&world, "1.0.0", &[READ]);
    let exe = binaries::program("probe-agent");
    let arguments = ["agent", "register", manifest.to_str().unwrap(), "--exe", exe.to_str().unwrap()];

    // Somebody else's sign-in is not the owner's.
    let refused = world.confirmed_by(BOB, &arguments);
    assert!(refused.code == Some(1) && refused.stderr.contains("nothing was registered"), "{refused:?}");
    assert_eq!(reason(&world), "agent_unknown");

    let outcome = world.confirmed_by(ALICE, &arguments);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    for part in [READ, &exe.display().to_string(), &agents::sha256(&exe), "do what the test asks for"] {
        assert!(outcome.stderr.contains(part), "{part} is missing in {outcome:?}");
    }
    assert_eq!(reason(&world), "consent_required");
    let record = &world.records("agent.registered")[0];
    assert_eq!(record["details"]["request"]["operation"], "agent.register", "{record}");
    assert_eq!(record["details"]["confirmed_by"], "reauth");
    assert_eq!(record["details"]["selectors"]["sha256"], json!(agents::sha256(&exe)));

    // The same once more changes nothing and asks nobody.
    let again = world.cli(&arguments);
    assert_eq!((again.code, world.records("agent.registered").len()), (Some(0), 1), "{again:?}");
    let listed = world.cli(&["agent", "list", "--json"]).json();
    assert_eq!(listed["agents"][0]["name"], "probe-agent");
    assert_eq!(world.cli(&["agent", "show", "probe-agent", "--json"]).json(), listed["agents"][0]);
    assert_eq!(world.cli(&["agent", "show", "nobody"]).code, Some(1));

    world.restart_daemon();
    world.wait_for_phase(agentauth_api::SessionPhase::Active);
    assert_eq!(reason(&world), "consent_required");

    let refused = world.cli(&["agent", "remove", "probe-agent"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("not shown to be the person"), "{refused:?}");
    let removed = world.confirmed_by(ALICE, &["agent", "remove", "probe-agent", "--reauth"]);
    assert_eq!(removed.code, Some(0), "{removed:?}");
    assert_eq!(reason(&world), "agent_unknown");
    world.restart_daemon();
    world.wait_for_phase(agentauth_api::SessionPhase::Active);
    assert_eq!(reason(&world), "agent_unknown");
}

#[test]
fn a_row_that_the_record_does_not_bear_out_registers_nobody() {
    let mut world = unregistered(Store::File);
    register(&world, &manifest(&world, "1.0.0", &[READ]), &binaries::program("probe-agent"));
    world.stop_daemon();
    let database = rusqlite::Connection::open(world.state_dir().join("state.db")).unwrap();
    let edit = |from: &str, to: &str| {
        let changed = database
            .execute("UPDATE agents SET registration = replace(registration, ?1, ?2)", [from, to])
            .unwrap();
        assert_eq!(changed, 1);
    };
    edit(READ, "files.read:/");
    world.start_daemon();
    world.wait_for_phase(agentauth_api::SessionPhase::Active);
    assert_eq!(reason(&world), "agent_unknown");
    let problems = world.status().problems;
    assert!(problems.iter().any(|problem| problem.contains("probe-agent")), "{problems:?}");

    world.stop_daemon();
    edit("files.read:/", READ);
    world.start_daemon();
    world.wait_for_phase(agentauth_api::SessionPhase::Active);
    assert_eq!(reason(&world), "consent_required");

    // A row of somebody's own making, and one that was removed and put back.
    world.stop_daemon();
    database
        .execute(
            "UPDATE agents SET name = 'other', registration = replace(registration, 'probe-agent', 'other')",
            [],
        )
        .unwrap();
    world.start_daemon();
    assert!(world.cli(&["agent", "list", "--json"]).json()["agents"].as_array().unwrap().is_empty());
}

#[test]
fn a_new_version_is_confirmed_for_what_it_widens_and_a_changed_program_for_its_digest() {
    let world = unregistered(Store::Memory);
    // A copy of its own, so that it can change.
    let exe = world.home().canonicalize().unwrap().join("copied-agent");
    std::fs::copy(binaries::program("probe-agent"), &exe).unwrap();
    let ask = || -> Value {
        let mut command = binaries::command(&exe);
        command.arg("--socket").arg(world.socket()).arg(READ);
        world.lines_of(command).remove(0)
    };
    register(&world, &manifest(&world, "1.0.0", &[READ]), &exe);
    assert_eq!(ask()["reason"], "consent_required");

    let wider = manifest(&world, "2.0.0", &[READ, "email.send:domain=example.com"]);
    let arguments = ["agent", "register", wider.to_str().unwrap(), "--update", "probe-agent"];
    let outcome = world.confirmed_by(ALICE, &arguments);
    assert!(
        outcome.code == Some(0) && outcome.stderr.contains("new: email.send:domain=example.com"),
        "{outcome:?}"
    );

    // Another program at the same path.
    let before = agents::sha256(&exe);
    let mut bytes = std::fs::read(&exe).unwrap();
    bytes.extend_from_slice(b"\0");
    let replacement = exe.with_extension("new");
    std::fs::write(&replacement, bytes).unwrap();
    std::fs::set_permissions(&replacement, std::fs::metadata(&exe).unwrap().permissions()).unwrap();
    std::fs::rename(&replacement, &exe).unwrap();
    let refused = ask();
    assert_eq!(refused["reason"], "agent_changed", "{refused}");
    let message = refused["message"].as_str().unwrap();
    let update = "agentauthd agent register --update probe-agent";
    for part in [&before[..12], &agents::sha256(&exe)[..12], update] {
        assert!(message.contains(part), "{part} is missing in {message}");
    }
    let outcome = world.confirmed_by(ALICE, &["agent", "register", "--update", "probe-agent"]);
    assert!(outcome.code == Some(0) && outcome.stderr.contains("in place of"), "{outcome:?}");
    assert!(outcome.stderr.contains(&before), "{outcome:?}");
    assert_eq!(ask()["reason"], "consent_required");
}

#[test]
fn what_cannot_be_registered_is_refused_with_every_reason_and_nothing_is_stored() {
    let world = unregistered(Store::Memory);
    let good = manifest(&world, "1.0.0", &[READ]);
    let bad = world.home().join("bad.json");
    std::fs::write(
        &bad,
        r#"{"name":"a b","version":"1","scopes":[{"scope":"files.read:/../x"},{"scope":"*","purpose":"p"}]}"#,
    )
    .unwrap();
    let exe = binaries::program("probe-agent");
    let refused = world.cli(&["agent", "register", bad.to_str().unwrap(), "--exe", exe.to_str().unwrap()]);
    assert_eq!(refused.code, Some(1));
    for place in ["/name", "/scopes/0/scope", "/scopes/0/purpose", "/scopes/1/scope"] {
        assert!(refused.stderr.contains(place), "{place} is missing in {refused:?}");
    }
    for exe in ["/nonexistent/program", "/", "/dev/null"] {
        let refused = world.cli(&["agent", "register", good.to_str().unwrap(), "--exe", exe]);
        assert!(refused.code == Some(1) && refused.stderr.contains(exe), "{refused:?}");
    }
    let python = binaries::python();
    if let Some(python) = python {
        let python = python.to_str().unwrap();
        let refused = world.cli(&["agent", "register", good.to_str().unwrap(), "--exe", python]);
        assert!(refused.code == Some(1) && refused.stderr.contains("is an interpreter"), "{refused:?}");
    }
    let refused = world.cli(&["agent", "register", "--update", "probe-agent"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("no registered agent"), "{refused:?}");
    assert!(world.records("agent.registered").is_empty());
    assert!(world.cli(&["agent", "list", "--json"]).json()["agents"].as_array().unwrap().is_empty());
}

#[test]
fn an_agent_registers_nothing_and_sees_itself_only() {
    let other = AgentSpec {
        name: "other".to_owned(),
        executable: "/opt/other".into(),
        pinned: false,
        ..AgentSpec::probe()
    };
    let options = WorldOptions { agents: Vec::new(), ..WorldOptions::default() };
    let mut world = World::without_daemon(&Provider::start(), options);
    let ((probe, mut granted), (other, more)) = (AgentSpec::probe().standing(), other.standing());
    granted.extend(more);
    granted.push(
        Grant::new("probe-agent", "files.read:/secret".parse().unwrap(), Lifetime::UntilRevoked).refused(),
    );
    rights::put(&world.state_dir(), "default", &[probe, other], &granted);
    world.start_daemon();
    world.wait_for_phase(agentauth_api::SessionPhase::LoggedOut);
    world.login(ALICE);
    let ask = |method: &str, path: &str, body: &str| {
        let request = ["--request", method, path, body];
        world.probe(if body.is_empty() { &request[..3] } else { &request }).remove(0)
    };
    let body = json!({"manifest": {"name": "mine", "version": "1", "scopes": []}, "executable": "/bin/true"});
    for (method, path, body) in [
        ("POST", "/v1/agents", body.to_string()),
        ("POST", "/v1/rules", r#"{"apply":"configuration"}"#.to_owned()),
        ("DELETE", "/v1/agents/other", "{}".to_owned()),
        ("DELETE", "/v1/agents/probe-agent", r#"{"reauth":true}"#.to_owned()),
    ] {
        let answer = ask(method, path, &body);
        assert_eq!((&answer["http_status"], &answer["code"]), (&json!(403), &json!("forbidden")), "{answer}");
    }
    let agents = ask("GET", "/v1/agents", "");
    assert_eq!(agents["agents"].as_array().unwrap().len(), 1, "{agents}");
    assert_eq!(agents["agents"][0]["name"], "probe-agent");
    assert_eq!(ask("GET", "/v1/agents/other", "")["code"], "not_found");
    let grants = ask("GET", "/v1/grants", "");
    assert!(
        grants["grants"].as_array().unwrap().iter().all(|grant| grant["agent"] == "probe-agent"),
        "{grants}"
    );
    let all = world.cli(&["grants", "--json"]).json();
    let foreign = all["grants"].as_array().unwrap().iter().find(|grant| grant["agent"] == "other").unwrap();
    let path = format!("/v1/grants/{}", foreign["id"].as_str().unwrap());
    assert_eq!(ask("DELETE", &path, "")["code"], "not_found");

    // What is its own it may give back.
    assert_eq!(world.check(READ)["decision"], "allow");
    let own = grants["grants"].as_array().unwrap().iter().find(|grant| grant["scope"] == READ).unwrap();
    let answer = ask("DELETE", &format!("/v1/grants/{}", own["id"].as_str().unwrap()), "");
    assert_eq!(answer["grant"]["scope"], READ, "{answer}");
    assert_ne!(world.check(READ)["decision"], "allow");

    // To take a refusal back would give something: neither it nor a person's process does that so.
    let left = ask("GET", "/v1/grants", "");
    let refusal = left["grants"].as_array().unwrap().iter().find(|grant| grant["denied"] == true).unwrap();
    let id = refusal["id"].as_str().unwrap();
    assert_eq!(ask("DELETE", &format!("/v1/grants/{id}"), "")["code"], "forbidden");
    assert_eq!(world.cli(&["grant", "revoke", id]).code, Some(1));
    let left = ask("GET", "/v1/grants", "");
    assert!(left["grants"].as_array().unwrap().iter().any(|grant| grant["id"] == id), "{left}");
}

#[test]
fn a_revoked_grant_is_gone_with_the_next_check_and_stays_so() {
    let mut world = World::durable();
    world.login(ALICE);
    assert_eq!(world.check(READ)["decision"], "allow");
    let grants = world.cli(&["grants", "--agent", "probe-agent", "--json"]).json();
    let grant = grants["grants"].as_array().unwrap().iter().find(|grant| grant["scope"] == READ).unwrap();
    let revoked = world.cli(&["grant", "revoke", grant["id"].as_str().unwrap()]);
    assert!(revoked.code == Some(0) && revoked.stdout.contains(READ), "{revoked:?}");
    let refused = reason(&world);
    assert_ne!(refused, "granted");
    assert_eq!(world.cli(&["grant", "revoke", grant["id"].as_str().unwrap()]).code, Some(1));
    world.restart_daemon();
    world.wait_for_phase(agentauth_api::SessionPhase::Active);
    assert_ne!(reason(&world), "granted");
    assert_eq!(world.records("grant.revoked").len(), 1);
}

/// A world whose agent was registered earlier, with this grant, and where somebody is logged in.
fn with_grant(grant: &Grant) -> World {
    let options = WorldOptions { store: Store::File, agents: Vec::new(), ..WorldOptions::default() };
    let mut world = World::without_daemon(&Provider::start(), options);
    let (registration, _) = AgentSpec::probe().standing();
    rights::put(&world.state_dir(), "default", &[registration], std::slice::from_ref(grant));
    world.start_daemon();
    world.login(ALICE);
    world
}

fn counted(uses: u32) -> Grant {
    let binding = Binding { consent: Some("question-1".into()), ..Binding::default() };
    Grant::new("probe-agent", READ.parse().unwrap(), Lifetime::UntilRevoked).for_uses(uses).bound(binding)
}

#[test]
fn a_grant_for_one_use_is_used_once_by_64_that_ask_at_once() {
    let mut world = with_grant(&counted(1));
    let allowed = |world: &World| {
        std::thread::scope(|scope| {
            let asking: Vec<_> = (0..64).map(|_| scope.spawn(|| world.check(READ))).collect();
            let answers = asking.into_iter().map(|asking| asking.join().unwrap());
            answers.filter(|answer| answer["decision"] == "allow").count()
        })
    };
    assert_eq!(allowed(&world), 1);
    let listed = world.cli(&["grants", "--json"]).json();
    assert_eq!((&listed["grants"][0]["left"], &listed["grants"][0]["holds"]), (&json!(0), &json!(false)));
    // The record of the decision is the record of the use.
    world.kill_daemon();
    world.start_daemon();
    world.wait_for_phase(agentauth_api::SessionPhase::Active);
    assert_eq!(allowed(&world), 0);
    assert_eq!(reason(&world), "consent_required");
    assert_eq!(world.status().problems, Vec::<String>::new());
}

/// Killed between question and answer, the daemon may have taken a use that nobody got; never does anybody get one twice.
#[test]
fn a_grant_for_one_use_is_used_once_at_most_where_the_daemon_is_killed_in_the_middle() {
    let mut world = with_grant(&counted(1));
    let mut asking: Vec<_> = (0..64).map(|_| Running::start(world.probe_command(&[READ]))).collect();
    // The first one that has its answer, whatever it is: the others are on their way.
    wait::until_true("an answer", || asking.iter_mut().any(|asking| !asking.so_far().stdout.is_empty()));
    world.kill_daemon();
    let answered: Vec<_> = asking.into_iter().map(Running::finish).collect();
    let allows = |outcome: &Outcome| outcome.stdout.contains(r#""decision":"allow""#);
    let before = answered.iter().filter(|outcome| allows(outcome)).count();
    world.start_daemon();
    world.wait_for_phase(agentauth_api::SessionPhase::Active);
    let after = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..64).map(|_| scope.spawn(|| world.check(READ))).collect();
        let answers = asking.into_iter().map(|asking| asking.join().unwrap());
        answers.filter(|answer| answer["decision"] == "allow").count()
    });
    assert!(before + after <= 1, "allowed {before} times before the kill and {after} times after it");
    let allowed = world.records("decision").iter().filter(|record| record["decision"] == "allow").count();
    assert!(allowed <= 1 && before + after <= allowed, "{allowed} in the record");
}

#[test]
fn uses_are_counted_across_a_kill_and_an_edited_count_counts_nothing() {
    let grant = counted(3);
    let mut world = with_grant(&grant);
    for _ in 0..3 {
        assert_eq!(world.check(READ)["decision"], "allow");
        world.kill_daemon();
        world.start_daemon();
        world.wait_for_phase(agentauth_api::SessionPhase::Active);
    }
    assert_ne!(world.check(READ)["decision"], "allow");

    world.stop_daemon();
    let database = rusqlite::Connection::open(world.state_dir().join("state.db")).unwrap();
    let more = grant.to_json().replace("\"uses\":3", "\"uses\":9");
    database
        .execute(
            "INSERT OR REPLACE INTO grants (profile, id, says) VALUES ('default', ?1, ?2)",
            [&*grant.id, &more],
        )
        .unwrap();
    world.start_daemon();
    world.wait_for_phase(agentauth_api::SessionPhase::Active);
    assert_ne!(world.check(READ)["decision"], "allow");
    let problems = world.status().problems;
    assert!(
        problems.iter().any(|problem| problem.contains("1 grants in the state database")),
        "{problems:?}"
    );
}
