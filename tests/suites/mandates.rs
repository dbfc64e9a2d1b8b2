//! Mandates for runs that nobody watches, and what stands only as long as the person is there.

use agentauth_api::SessionPhase;
use e2e::cli::Outcome;
use e2e::{ALICE, AgentSpec, BOB, LoginRun, Person, Provider, Store, World, WorldOptions, wait};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

const READ: &str = "files.read:/projects";
const PAY: &str = "payments.execute:currency=EUR";

/// Somebody logged in, whose agent was allowed nothing.
fn world(more_configuration: &str) -> World {
    let agent = AgentSpec { grants: Vec::new(), ..AgentSpec::probe() };
    let options = WorldOptions {
        store: Store::File,
        agents: vec![agent],
        more_configuration: more_configuration.to_owned(),
        ..WorldOptions::default()
    };
    let world = World::with(&Provider::start(), options);
    world.login(ALICE);
    world
}

/// Asks for something that a sign-in has to confirm, and signs this person in for it.
#[track_caller]
fn confirmed_by(world: &World, person: Person, arguments: &[&str]) -> Outcome {
    let run = LoginRun::begin(world.command(&[arguments, &["--no-browser"]].concat()));
    world.provider.sign_in(&run.url, person.email, person.password);
    run.finish()
}

#[track_caller]
fn give(world: &World, arguments: &[&str]) -> Value {
    let outcome =
        confirmed_by(world, ALICE, &[&["grant", "give", "probe-agent", "--json"], arguments].concat());
    assert_eq!(outcome.code, Some(0), "{outcome:?}\n{}", world.log_tail());
    outcome.json()
}

/// A window of an hour, so many hours from now.
fn window_in(hours: i8) -> String {
    let now = jiff::Timestamp::now().to_zoned(TimeZone::UTC).hour();
    let hour = (now + hours).rem_euclid(24);
    format!("{hour:02}:00-{:02}:00 UTC", (hour + 1) % 24).replace("-00:00", "-24:00")
}

#[test]
fn a_mandate_is_given_by_a_sign_in_and_bounded_by_count_and_resource() {
    let mut world = world("");
    let bounds = ["grant", "give", "probe-agent", READ, "--until", "90d", "--uses", "2"];
    let refused = confirmed_by(&world, BOB, &bounds);
    assert!(refused.code == Some(1) && refused.stderr.contains("nothing was allowed"), "{refused:?}");
    assert_eq!(world.check(READ)["reason"], "consent_required");

    let given = give(&world, &[READ, "--until", "90d", "--uses", "2", "--window", "00:00-24:00 UTC"]);
    let id = given[0]["id"].as_str().unwrap();
    assert_eq!((&given[0]["mandate"], &given[0]["holds"]), (&json!(true), &json!(true)), "{given}");
    let record = &world.records("grant.added")[0];
    assert_eq!((&record["grants"], &record["details"]["uses"]), (&json!([id]), &json!(2)), "{record}");
    let request = &record["details"]["request"];
    assert_eq!((&request["operation"], &request["scopes"]), (&json!("grant.give"), &json!([READ])));
    assert_eq!((&request["window"], &request["uses"]), (&json!("00:00-24:00 UTC"), &json!(2)), "{request}");
    let evidence = record["details"]["request_digest"].as_str().unwrap();
    assert!(world.state_dir().join("evidence").join(format!("{evidence}.json")).exists());

    assert_eq!(world.check(READ)["decision"], "allow");
    world.kill_daemon();
    world.start_daemon();
    world.wait_for_phase(SessionPhase::Active);
    assert_eq!(world.check("files.read:/projects/alpha")["decision"], "allow");
    assert_eq!(world.check("files.read:/projects-other")["reason"], "not_in_manifest");
    let spent = world.check(READ);
    assert_eq!(spent["decision"], "deny", "{spent}");

    // An agent gives itself nothing, whatever it brings.
    let until = "2099-01-01T00:00:00Z";
    let body = json!({"agent": "probe-agent", "scopes": [READ], "until": until, "uses": 9}).to_string();
    for path in ["/v1/grants", "/v1/grants/confirm"] {
        let answer = world.probe(&["--request", "POST", path, &body]).remove(0);
        assert_eq!((&answer["http_status"], &answer["code"]), (&json!(403), &json!("forbidden")), "{answer}");
    }
}

#[test]
fn outside_its_window_a_mandate_does_not_hold_and_says_when_it_does() {
    let mut world = world("");
    let (closed, open) = (window_in(5), window_in(0));
    let given = give(&world, &[PAY, "--until", "2d", "--window", &closed]);
    assert_eq!(given[0]["holds"], false, "{given}");
    for _ in 0..2 {
        let denied = world.check(PAY);
        assert_eq!(
            (&denied["reason"], &denied["remedy"]),
            (&json!("grant_expired"), &json!("consent")),
            "{denied}"
        );
        let message = denied["message"].as_str().unwrap();
        for part in [closed.as_str(), "next from", given[0]["opens_at"].as_str().unwrap()] {
            assert!(message.contains(part), "{part} is missing: {message}");
        }
        world.restart_daemon();
        world.wait_for_phase(SessionPhase::Active);
    }
    let listed = world.cli(&["grants"]).stdout;
    assert!(listed.contains(&closed) && listed.contains("opens in"), "{listed}");
    let given = give(&world, &[PAY, "--until", "2d", "--window", &open]);
    // The hour may have changed in between.
    let held = given[0]["holds"] == true;
    let answer = world.check(PAY);
    assert!(answer["decision"] == "allow" || !held || window_in(0) != open, "{answer}");
}

#[test]
fn what_is_no_mandate_is_refused_before_anybody_signs_in() {
    let world = world("");
    let give = |arguments: &[&str]| world.cli(&[&["grant", "give", "probe-agent"], arguments].concat());
    for (arguments, code, part) in [
        (&[READ, "--until", "90d"][..], 64, "--uses"),
        (&[READ, "--uses", "1"][..], 64, "--until"),
        (&[READ, "--until", "soon", "--uses", "1"][..], 64, "2027-01-31"),
        (&[READ, "--until", "90d", "--window", "02:00-03:00"][..], 64, "Europe/Berlin"),
        (&[READ, "--until", "90d", "--window", "02:00-03:00 Atlantis"][..], 64, "no time zone"),
        (&[READ, "--until", "900d", "--uses", "1"][..], 1, "366 days"),
        (&[READ, "--until", "2020-01-01", "--uses", "1"][..], 1, "another end"),
        (&[READ, "--until", "90d", "--uses", "0"][..], 1, "uses"),
        (&["payments.read", "--until", "90d", "--uses", "1"][..], 1, "names nothing that it is for"),
        (&["files.read:/", "--until", "90d", "--uses", "1"][..], 1, "manifest"),
        (&["files.read:/../x", "--until", "90d", "--uses", "1"][..], 1, ".."),
    ] {
        let refused = give(arguments);
        assert!(refused.code == Some(code) && refused.stderr.contains(part), "{arguments:?}: {refused:?}");
    }
    let unknown = world.cli(&["grant", "give", "nobody", READ, "--until", "90d", "--uses", "1"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("no registered agent"), "{unknown:?}");
    assert!(world.records("grant.added").is_empty());
}

#[test]
fn what_stands_counts_only_while_the_person_is_seen() {
    let mut world = world("[grants]\nrecertify_after = \"20s\"\n");
    give(&world, &[READ, "--until", "90d", "--window", "00:00-24:00 UTC"]);
    let status = |world: &World| world.status().standing;
    let seen = status(&world).seen_at.unwrap();
    assert_eq!(status(&world).grants, 1);
    let answer = wait::until("the absence to be too long", || {
        let answer = world.check(READ);
        (answer["decision"] == "deny").then_some(answer)
    });
    assert_eq!(answer["reason"], "grant_expired", "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("agentauthd grant confirm"), "{answer}");
    assert_eq!(status(&world).seen_at, Some(seen), "a check and a refresh are no sign of the person");
    let problem = |world: &World| world.status().problems.iter().any(|one| one.contains("grant confirm"));
    assert!(problem(&world));
    let grants = world.cli(&["grants", "--json"]).json();
    assert_eq!(
        (&grants["grants"][0]["holds"], &grants["grants"][0]["unconfirmed"]),
        (&json!(false), &json!(true))
    );

    // Neither a restart, nor somebody else, nor a sign-in of long ago.
    world.restart_daemon();
    world.wait_for_phase(SessionPhase::Active);
    assert_eq!(world.check(READ)["reason"], "grant_expired");
    assert_eq!(status(&world).seen_at, Some(seen));
    let refused = confirmed_by(&world, BOB, &["grant", "confirm"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("nothing was confirmed"), "{refused:?}");
    let old = serde_json::from_value(json!({"kind": "id", "claims": {"auth_time": 1_000_000_000}})).unwrap();
    world.provider.next_token(old);
    world.login(ALICE);
    assert_eq!(
        world.check(READ)["reason"],
        "grant_expired",
        "the browser was remembered, and nobody was there"
    );

    let confirmed = confirmed_by(&world, ALICE, &["grant", "confirm"]);
    assert_eq!(confirmed.code, Some(0), "{confirmed:?}");
    assert!(confirmed.stderr.contains(READ), "what counts on is shown: {confirmed:?}");
    assert_eq!(world.check(READ)["decision"], "allow", "{:?}", world.status().standing);
    assert!(status(&world).seen_at.unwrap() > seen && !problem(&world));
    assert!(world.records("person.seen").len() >= 2);

    // The row alone says nothing: what the record says counts, also after a kill.
    world.kill_daemon();
    world.start_daemon();
    world.wait_for_phase(SessionPhase::Active);
    assert!(status(&world).seen_at.unwrap() > seen);
}
