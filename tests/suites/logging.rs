//! The daemon's log: what is in it, changed while it runs, in both formats.

use e2e::cli::Running;
use e2e::raw::Raw;
use e2e::{ALICE, Provider, World, WorldOptions, wait};
use serde_json::{Value, json};

const PAY: &str = "payments.execute:currency=EUR";

fn world(format: &str) -> World {
    let options = WorldOptions {
        log_filter: "info".to_owned(),
        environment: vec![("AGENTAUTHD_LOG_FORMAT".to_owned(), format.to_owned())],
        ..WorldOptions::default()
    };
    World::with(&Provider::start(), options)
}

/// Whether a line of the log has all of this in it.
fn says(world: &World, words: &[&str]) -> bool {
    world.daemon_output().lines().any(|line| words.iter().all(|word| line.contains(word)))
}

#[test]
fn more_is_logged_for_a_time_for_the_person_and_for_nobody_else() {
    let world = world("text");
    world.login(ALICE);
    let quiet = world.check(PAY);
    let id = |decision: &Value| decision["id"].as_str().unwrap().to_owned();

    // An agent may not even look.
    for request in [vec!["GET", "/v1/log"], vec!["PUT", "/v1/log", "{\"filter\":\"off\"}"]] {
        let answer = world.probe(&[&["--request"], &request[..]].concat()).remove(0);
        assert_eq!(answer["code"], "forbidden", "{answer}");
    }
    let shown = world.cli(&["log"]);
    assert_eq!((shown.code, shown.stdout.trim()), (Some(0), "The daemon logs `info`, as configured."));

    let changed = world.cli(&["log", "agentauthd::request=debug", "--for", "1h", "--json"]);
    let told: Value = serde_json::from_str(&changed.stdout).unwrap();
    assert_eq!((&told["filter"], &told["configured"]), (&json!("agentauthd::request=debug"), &json!("info")));
    assert!(told["until"].is_string(), "{told}");
    let decision = world.check(PAY);
    wait::until_true("the span of the request", || {
        says(
            &world,
            &["request", &id(&decision), "agent=\"probe-agent\"", "reason=\"granted\"", "status=200"],
        )
    });
    assert!(!says(&world, &[&id(&quiet)]), "nothing was logged of what came before");

    // A hostile path and identifier stay in their line.
    let mut raw = Raw::connect(&world.socket()).unwrap();
    raw.send(b"GET /v1/x%1b HTTP/1.1\r\nHost: agentauthd\r\nX-Request-ID: a\xe2\x80\xaeb\r\n\r\n").unwrap();
    raw.receive().unwrap();
    wait::until_true("the request", || says(&world, &["/v1/x%1b", "status=404"]));
    assert!(!world.daemon_output().contains('\u{202e}'));

    for (filter, wrong) in [("a=b=c=d,,=", "filter"), ("info", "")] {
        let outcome = world.cli(&["log", filter, "--for", "1s"]);
        assert_eq!(outcome.code, Some(i32::from(!wrong.is_empty())), "{outcome:?}");
        assert!(outcome.stderr.contains(wrong));
    }
    wait::until_true("the configured filter to be back", || {
        world.cli(&["log"]).stdout.trim() == "The daemon logs `info`, as configured."
    });
    let late = world.check(PAY);
    assert!(!says(&world, &[&id(&late)]));

    let records = world.records("log.filter_changed");
    let filters: Vec<&str> =
        records.iter().map(|record| record["details"]["filter"].as_str().unwrap()).collect();
    assert_eq!(filters, ["agentauthd::request=debug", "info", "info"], "{records:#?}");
    assert!(records[0]["actor"]["pid"].is_u64() && records[2]["actor"].is_null(), "{records:#?}");
}

#[test]
fn a_warning_about_a_decision_names_it_and_its_agent_at_the_usual_level() {
    let world = world("json");
    world.login(ALICE);
    std::fs::remove_dir_all(world.state_dir().join("audit")).unwrap();
    let denied = wait::until("a check that cannot be recorded", || {
        world.probe(&[PAY; 50]).into_iter().find(|answer| answer["reason"] == "audit_unavailable")
    });
    let told = wait::until("the warning", || {
        let log = world.daemon_output();
        let whole = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let mut records = whole.map(|line| serde_json::from_str::<Value>(line).unwrap());
        records.find(|record| record["fields"]["decision"] == denied["id"])
    });
    assert_eq!(
        (&told["level"], &told["fields"]["agent"]),
        (&json!("ERROR"), &json!("probe-agent")),
        "{told}"
    );
    assert!(told["fields"]["error"].is_string() && told["span"].is_null(), "{told}");
}

#[test]
fn nobody_turns_down_what_the_configuration_has_logged() {
    let world = world("text");
    for (filter, other) in [("off", "error"), ("agentauthd=off", "agentauthd::daemon=error")] {
        assert_eq!(world.cli(&["log", filter]).code, Some(0));
        // Said of the second change while the first one is in force.
        assert_eq!(world.cli(&["log", other]).code, Some(0));
        wait::until_true("the change to be told", || says(&world, &["what is logged was changed", other]));
    }
    let shown = world.cli(&["log"]).stdout;
    assert!(shown.starts_with("The daemon logs `info`, as configured, and for "), "{shown}");
}

#[test]
fn a_log_for_machines_is_one_object_a_line_with_the_spans_in_it() {
    let world = world("json");
    world.login(ALICE);
    assert_eq!(world.cli(&["log", "debug"]).code, Some(0));
    let decision = world.check(PAY);
    let line = wait::until("the span of the request", || {
        let lines = world.daemon_output();
        let whole = lines.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let mut objects =
            whole.map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}")));
        objects.find(|line| {
            line["target"] == "agentauthd::request" && line["span"]["decision"] == decision["id"]
        })
    });
    assert_eq!(line["fields"]["message"], "answered", "{line}");
    assert_eq!((&line["level"], &line["span"]["reason"]), (&json!("DEBUG"), &json!("granted")), "{line}");
    assert!(line["timestamp"].is_string() && line["span"]["pid"].is_u64(), "{line}");
    drop(Running::start(world.command(&["log", "--reset"])).finish());
    assert_eq!(world.cli(&["log"]).stdout.trim(), "The daemon logs `info`, as configured.");
}
