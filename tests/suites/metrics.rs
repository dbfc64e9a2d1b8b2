//! The page of metrics: who may read it, that others' tools understand it, and that nobody's words become a series.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;

use e2e::raw::Raw;
use e2e::{ALICE, AgentSpec, Provider, World, WorldOptions, binaries, peers, wait};
use serde_json::json;

const PAY: &str = "payments.execute:currency=EUR";

/// The page, as a process of the person's reads it.
#[track_caller]
fn page(world: &World) -> String {
    let answer = Raw::connect(&world.socket()).unwrap().ask("GET", "/metrics", None, None).unwrap();
    let text = String::from_utf8(answer.body).unwrap();
    assert_eq!(answer.status, 200, "{text}");
    text
}

/// Every sample by its series: its name with its labels.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("`{line}`"));
            (series.to_owned(), value.parse().unwrap_or_else(|_| panic!("`{line}`")))
        })
        .collect()
}

#[track_caller]
fn value(world: &World, series: &str) -> f64 {
    let page = page(world);
    *samples(&page).get(series).unwrap_or_else(|| panic!("{series} is not in\n{page}"))
}

#[test]
fn what_happens_is_counted() {
    let world = World::start();
    assert_eq!(value(&world, "agentauthd_session_usable"), 0.0);
    assert_eq!(world.check(PAY)["reason"], "not_logged_in");
    world.login(ALICE);
    for _ in 0..3 {
        assert_eq!(world.check(PAY)["decision"], "allow");
    }
    assert_eq!(world.check("admin.manage")["reason"], "role_required");

    let page = page(&world);
    let samples = samples(&page);
    let counted = |reason: &str, decision: &str| {
        samples[&format!("agentauthd_decisions_total{{decision=\"{decision}\",reason=\"{reason}\"}}")]
    };
    assert_eq!(counted("granted", "allow"), 3.0);
    assert_eq!((counted("not_logged_in", "deny"), counted("role_required", "deny")), (1.0, 1.0));
    assert_eq!(counted("quarantined", "deny"), 0.0);
    assert_eq!(samples["agentauthd_check_duration_seconds_count"], 5.0);
    assert_eq!(samples["agentauthd_check_duration_seconds_bucket{le=\"+Inf\"}"], 5.0);
    assert!(samples["agentauthd_check_duration_seconds_sum"] > 0.0);
    assert_eq!(samples["agentauthd_session_usable"], 1.0);
    assert!(samples["agentauthd_session_remaining_seconds"] > 0.0);
    assert!(samples["agentauthd_keys_age_seconds"] >= 0.0);
    assert_eq!(samples["agentauthd_audit_writable"], 1.0);
    assert!(samples["agentauthd_audit_last_record"] >= 5.0);
    assert!(samples["agentauthd_connections_total{assurance=\"pinned\"}"] >= 1.0, "{page}");
    assert_eq!(samples["agentauthd_agents"], 1.0);
    assert!(samples["process_resident_memory_bytes"] > 1e6);
    let started = samples["process_start_time_seconds"];
    assert!((1.6e9..1e11).contains(&started), "{started}");
}

/// Waits for the first checkpoint.
#[track_caller]
fn until_signed(world: &World) {
    wait::until_true("a checkpoint", || {
        samples(&page(world)).contains_key("agentauthd_audit_checkpoint_age_seconds")
    });
}

#[test]
fn what_the_record_does_is_counted() {
    let world = World::start();
    world.login(ALICE);
    // Equal denials of one process: ten are recorded in full.
    world.probe(&["files.read:/nobody/asked"; 14]);
    assert_eq!(value(&world, "agentauthd_audit_folded_decisions_total"), 4.0);
    assert_eq!(value(&world, "agentauthd_audit_gaps_total"), 0.0);
    until_signed(&world);
    assert!((0.0..60.0).contains(&value(&world, "agentauthd_audit_checkpoint_age_seconds")));
    let unsigned = value(&world, "agentauthd_audit_unsigned_records");
    assert_eq!(world.check("payments.read")["decision"], "allow");
    assert!(value(&world, "agentauthd_audit_unsigned_records") > unsigned);

    std::fs::remove_dir_all(world.state_dir().join("audit")).unwrap();
    wait::until_true("the gap to be noticed", || {
        world.check("payments.read");
        value(&world, "agentauthd_audit_gaps_total") == 1.0
    });
}

#[test]
fn a_signal_is_counted_once_as_it_goes_up() {
    let more_configuration = "[signals]\nburst_floor = 2\nburst_limit = 2\n".to_owned();
    let world =
        World::with(&Provider::start(), WorldOptions { more_configuration, ..WorldOptions::default() });
    world.login(ALICE);
    world.probe(&[PAY; 5]);
    assert_eq!(value(&world, "agentauthd_signals_total{signal=\"burst\"}"), 1.0);
    assert_eq!(value(&world, "agentauthd_signals_total{signal=\"first_seen\"}"), 0.0);
}

#[test]
fn a_refresh_is_counted_by_what_became_of_it() {
    let provider = Provider::start();
    provider.patch(json!({"lifetimes": {"session": 4}}));
    let world = World::with(&provider, WorldOptions::default());
    world.login(ALICE);
    wait::until_true("a refresh", || value(&world, "agentauthd_refreshes_total{outcome=\"renewed\"}") >= 1.0);
}

#[test]
fn nobody_reads_it_but_the_person_and_who_is_named() {
    let world = World::start();
    let answer = world.probe(&["--request", "GET", "/metrics"]).remove(0);
    assert_eq!((&answer["http_status"], &answer["code"]), (&json!(403), &json!("forbidden")), "{answer}");
    assert!(!world.records("operation.refused").is_empty(), "a refusal is on record");

    let named = WorldOptions {
        more_configuration: "[metrics]\nscrapers = [\"probe-agent\"]\n".to_owned(),
        ..WorldOptions::default()
    };
    let world = World::with(&Provider::start(), named);
    let shown = e2e::cli::run(world.probe_command(&["--request", "GET", "/metrics"])).stdout;
    assert!(shown.contains("# TYPE agentauthd_decisions_total counter"), "{shown}");
}

/// Words that would be a series, or several, where somebody put them into a label without a thought.
fn hostile(number: usize) -> String {
    format!("x{number}\"}} 1\nagentauthd_forged{{agent=\"x{number}")
}

#[test]
fn callers_create_no_series() {
    let configuration = "[checks]\nrequests_per_second = 100000\nburst = 100000\n".to_owned();
    let options = WorldOptions {
        agents: vec![AgentSpec::probe()],
        more_configuration: configuration,
        log_filter: "warn".to_owned(),
        ..WorldOptions::default()
    };
    let world = World::with(&Provider::start(), options);
    world.login(ALICE);
    // One of each kind first, so that nothing is absent for want of an occasion.
    world.check(PAY);
    until_signed(&world);
    let before: Vec<String> = samples(&page(&world)).into_keys().collect();

    let mut raw = Raw::connect(&world.socket()).unwrap();
    let nonce = raw.greet().unwrap();
    for number in 0..2000 {
        let words = hostile(number);
        let body = match number % 4 {
            0 => json!({"scope": format!("files.read:/x{number}"), "purpose": words, "call": words}),
            1 => json!({"scope": words}),
            2 => json!({"scope": format!("resource{number}.act{number}"), "purpose": words}),
            _ => json!({"scope": PAY, "as": words}),
        };
        raw.ask("POST", "/v1/check", Some(&nonce), Some(&body)).unwrap();
    }
    // Programs of many names, each a caller of its own.
    let programs = tempfile::tempdir().unwrap();
    // Another name for the agent's own file would make that look changed to everybody else who tests with it.
    let program = programs.path().join("program");
    std::fs::copy(binaries::program("probe-agent"), &program).unwrap();
    for number in 0..20 {
        let name = programs.path().join(format!("x{number}\"}} 1"));
        std::fs::hard_link(&program, &name).unwrap();
        let mut command = binaries::command(&name);
        command.arg("--socket").arg(world.socket()).arg(format!("files.read:/x{number}"));
        e2e::cli::run(command);
    }
    let after = page(&world);
    assert!(!after.contains("forged") && !after.contains("x1"), "{after}");
    assert_eq!(samples(&after).into_keys().collect::<Vec<_>>(), before);
}

#[test]
fn promtool_finds_nothing_to_complain_of() {
    let world = World::start();
    world.login(ALICE);
    world.check(PAY);
    let page = page(&world);
    let promtool = peers::directory().join("promtool");
    assert!(promtool.is_file(), "run tests/run, which puts promtool there");
    let mut check = binaries::command(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let outcome = check.wait_with_output().unwrap();
    let said = [outcome.stdout, outcome.stderr].concat();
    assert!(outcome.status.success() && said.is_empty(), "{}\n{page}", String::from_utf8_lossy(&said));
}

#[test]
fn names_say_what_they_count_and_every_family_is_described_once() {
    let world = World::start();
    let page = page(&world);
    let mut families: BTreeMap<&str, &str> = BTreeMap::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        assert!(families.insert(name, kind).is_none(), "{name} twice");
        assert!(page.contains(&format!("# HELP {name} ")), "{name} has no help");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
    }
    let read = |path: &str| std::fs::read_to_string(binaries::root().join(path)).unwrap();
    let (documented, source) =
        (read("docs/observability.md"), read("crates/agentauthd/src/daemon/metrics/report.rs"));
    let rows = documented.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    for (name, _) in rows.filter(|(name, _)| name.starts_with("agentauthd_") || name.starts_with("process_"))
    {
        assert!(source.contains(&format!("\"{name}\"")), "{name} is in no page");
    }
    for (name, kind) in families {
        let row = documented.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("{name} is not in docs/observability.md"));
        assert!(row.contains(kind), "{row} does not say {kind}");
    }
}
