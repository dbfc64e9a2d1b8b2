//! The record as the command line reads it: a real daemon writes, the real commands read, also without daemon and
//! configuration.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use e2e::cli::{Outcome, Running, run};
use e2e::{ALICE, AgentSpec, LoginRun, Provider, World, WorldOptions, binaries, wait};
use serde_json::{Value, json};

const PAY: &str = "payments.execute:currency=EUR";
const READ: &str = "payments.read";

fn world() -> World {
    let world = World::start();
    world.login(ALICE);
    world
}

fn id(decision: &Value) -> String {
    decision["id"].as_str().unwrap_or_else(|| panic!("no id: {decision}")).to_owned()
}

/// The command line on a machine that knows nothing of this installation.
fn elsewhere(arguments: &[&str]) -> Outcome {
    let home = tempfile::tempdir().unwrap();
    let mut command = binaries::command(binaries::program("agentauthd"));
    command
        .env("HOME", home.path())
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_STATE_HOME")
        .args(arguments);
    run(command)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// The one line of standard output that begins so.
fn line<'a>(outcome: &'a Outcome, start: &str) -> &'a str {
    outcome
        .stdout
        .lines()
        .find(|line| line.trim_start().starts_with(start))
        .unwrap_or_else(|| panic!("{outcome:?}"))
}

#[test]
fn who_follows_the_record_sees_a_decision_as_it_comes() {
    let world = world();
    let before = id(&world.check(READ));
    let mut lines =
        Running::start(world.command(&["audit", "tail", "-n", "1", "--follow", "--event", "decision"]));
    let mut objects =
        Running::start(world.command(&["audit", "tail", "-n", "1", "-f", "--json", "--decision", "deny"]));
    wait::until_true("what was there", || lines.so_far().stdout.contains(&before));
    let allowed = id(&world.check(READ));
    let denied = id(&world.check("files.write:/x"));
    wait::until_true("both decisions", || {
        let so_far = lines.so_far().stdout;
        so_far.contains(&allowed) && so_far.contains(&denied)
    });
    let so_far = lines.so_far().stdout;
    let shown: Vec<_> = so_far.lines().collect();
    assert_eq!(shown.len(), 3, "{so_far}");
    assert!(shown[1].contains("allow probe-agent payments.read granted"), "{so_far}");
    assert!(shown[2].contains("deny probe-agent files.write:/x not_in_manifest"), "{so_far}");
    assert!(!so_far.contains('\u{1b}'), "no colour but on a terminal");
    let found = wait::until("the denial", || {
        let so_far = objects.so_far().stdout;
        so_far.strip_suffix('\n').map(str::to_owned)
    });
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["id"], denied);
}

#[test]
fn the_newest_records_are_shown_and_filters_count_before_the_number() {
    let mut world = world();
    for _ in 0..3 {
        world.check(READ);
    }
    world.check("files.write:/x");
    world.stop_daemon();
    let newest = world.cli(&["audit", "tail", "-n", "1", "--json", "--event", "service"]);
    assert_eq!(newest.json()["event"], "service.stop", "no daemon is needed");
    let decisions = world.cli(&["audit", "tail", "-n", "3", "--json", "--event", "decision"]).json_lines();
    assert_eq!(decisions.len(), 3);
    assert_eq!(decisions[2]["decision"], "deny", "the newest last");
    let allowed =
        world.cli(&["audit", "tail", "--json", "--agent", "probe-agent", "--decision", "allow"]).json_lines();
    assert_eq!(allowed.len(), 3);
    let none = world.cli(&["audit", "tail", "--agent", "probe"]);
    assert_eq!((none.code, &*none.stdout), (Some(0), ""));
    assert_eq!(world.cli(&["audit", "tail", "--event", "nonsense"]).code, Some(64));
}

#[test]
fn everything_about_a_decision_is_found_from_its_id() {
    let agents = vec![AgentSpec { grants: Vec::new(), ..AgentSpec::probe() }];
    let world = World::with(&Provider::start(), WorldOptions { agents, ..WorldOptions::default() });
    world.login(ALICE);
    let asked =
        world.probe(&["--request", "POST", "/v1/check", &json!({"scope": PAY}).to_string()]).remove(0);
    let consent = asked["consents"][0].as_str().unwrap_or_else(|| panic!("no question: {asked}")).to_owned();
    let login =
        LoginRun::begin(world.command(&["approve", &consent, "--for", "30m", "--reauth", "--no-browser"]));
    world.provider.sign_in(&login.url, ALICE.email, ALICE.password);
    assert_eq!(login.finish().code, Some(0), "{}", world.log_tail());
    let allowed = world.check(PAY);
    assert_eq!(allowed["reason"], "granted", "{allowed}");

    // From the allow to the grant, to the answer, to the question.
    let shown = world.cli(&["audit", "show", &id(&allowed), "--json"]).json();
    assert_eq!(shown["records"][0]["id"], id(&allowed));
    let kinds = |group: &str| -> Vec<String> {
        let records = shown[group].as_array().unwrap_or_else(|| panic!("no {group}: {shown}"));
        records.iter().map(|record| record["event"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds("consents"), ["consent.asked", "consent.answered"], "{shown:#}");
    assert_eq!(kinds("policies"), ["policy.loaded"]);
    assert!(kinds("uses").is_empty(), "other decisions are not this one's");
    assert_eq!(shown["consents"][0]["details"]["decision"], id(&asked));

    // From the question on.
    let text = world.cli(&["audit", "show", &consent]);
    assert!(text.stdout.contains("consent.asked") && text.stdout.contains("consent.answered"), "{text:?}");
    assert!(text.stdout.contains("Decided by it") && text.stdout.contains(&id(&allowed)), "{text:?}");
    // From the number of a record.
    let number = shown["records"][0]["seq"].to_string();
    let text = world.cli(&["audit", "show", &number]);
    assert_eq!(line(&text, "decision"), "decision  allow");
    assert!(line(&text, "scopes").contains(PAY));

    let unknown = world.cli(&["audit", "show", "no\u{1b}[2Jsuch"]);
    assert_eq!(unknown.code, Some(1));
    assert!(
        unknown.stderr.contains("no\\u{1b}[2Jsuch") && unknown.stderr.contains("audit tail"),
        "{unknown:?}"
    );
}

#[test]
fn the_record_is_exported_in_every_format() {
    let mut world = world();
    world.check(READ);
    world.check("files.write:/x");
    world.stop_daemon();
    let records = world.audit();
    let export = |arguments: &[&str]| {
        let outcome = world.cli(&[&["audit", "export"], arguments].concat());
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        outcome
    };
    let lines = export(&[]);
    assert_eq!(lines.json_lines(), records, "jsonl, the record as it is");
    assert!(lines.stderr.contains(&format!("{} records exported", records.len())), "{lines:?}");

    let events = export(&["--format", "ocsf"]).json_lines();
    let schema: Value = serde_json::from_str(
        &fs::read_to_string(binaries::root().join("crates/agentauth-audit/tests/ocsf/event.schema.json"))
            .unwrap(),
    )
    .unwrap();
    for event in &events {
        has_what_is_required(&schema, event);
    }
    let decided: Vec<_> =
        events.iter().filter(|event| event["metadata"]["event_code"] == "decision").collect();
    assert_eq!(decided.len(), 2);
    assert_eq!((&decided[0]["action_id"], &decided[1]["action_id"]), (&json!(1), &json!(2)));
    assert_eq!(decided[0]["actor"]["app_name"], "probe-agent");
    let device = events.last().unwrap()["device"]["uid"].as_str().unwrap();
    assert!(device.starts_with("device:uuid:"), "learnt from the record: {device}");

    let cef = export(&["--format", "cef"]).stdout;
    assert_eq!(cef.lines().count(), records.len());
    assert!(cef.lines().all(|line| line.starts_with("CEF:0|agentauthd|agentauthd|")), "{cef}");
    let csv = export(&["--format", "csv", "--since", "1h"]).stdout;
    assert_eq!(csv.lines().count(), records.len() + 1);
    assert!(csv.starts_with("\"seq\",\"time\",\"event\","));
    assert_eq!(export(&["--until", "1h"]).stdout, "", "nothing is that old");
    let denied = export(&["--decision", "deny", "--agent", "probe-agent"]).json_lines();
    assert_eq!(denied.len(), 1);

    let file = world.home().join("out.csv");
    fs::write(&file, "what was there").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let outcome = export(&["--format", "csv", "-o", file.to_str().unwrap()]);
    assert_eq!(outcome.stdout, "");
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), records.len() + 1);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "for its owner only");
    let nowhere = world.cli(&["audit", "export", "-o", "/nonexistent/x"]);
    assert_eq!(nowhere.code, Some(1));
    assert!(nowhere.stderr.contains("could not write `/nonexistent/x`"), "{nowhere:?}");
}

/// The attributes that an event's class demands; the whole schema is checked for all kinds by `tests/schema`.
#[track_caller]
fn has_what_is_required(schema: &Value, event: &Value) {
    let class = schema["allOf"]
        .as_array()
        .unwrap()
        .iter()
        .find(|rule| rule["if"]["properties"]["class_uid"]["const"] == event["class_uid"])
        .unwrap_or_else(|| panic!("no such class: {event}"));
    let definition = class["then"]["$ref"].as_str().unwrap().trim_start_matches("#/$defs/");
    for name in ["base_event", definition] {
        for required in schema["$defs"][name]["required"].as_array().into_iter().flatten() {
            assert!(!event[required.as_str().unwrap()].is_null(), "{required} is missing: {event}");
        }
    }
}

#[test]
fn who_stops_reading_is_not_an_error() {
    let world = world();
    let mut command = world.command(&["audit", "tail", "--follow", "-n", "1"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0]).unwrap();
    drop(output);
    let status = wait::until("the end", || {
        world.check(READ);
        child.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_changed_byte_is_found_on_any_machine() {
    let mut world = world();
    world.check(READ);
    world.check(PAY);
    let intact = world.cli(&["audit", "verify", "--json"]);
    assert_eq!(intact.code, Some(0), "while the daemon writes: {intact:?}");
    world.stop_daemon();
    let records = world.audit();
    let archive = world.home().join("archive");
    copy(&world.state_dir().join("audit"), &archive);
    let directory = archive.to_str().unwrap();
    let intact = elsewhere(&["audit", "verify", "--dir", directory]);
    assert_eq!(intact.code, Some(0), "{intact:?}");
    assert!(intact.stdout.contains(records.last().unwrap()["hash"].as_str().unwrap()), "{intact:?}");

    let log = archive.join("audit.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    let forged = text.replacen("\"decision\":\"allow\"", "\"decision\":\"deny!\"", 1);
    assert_ne!(forged, text);
    let place = text.lines().position(|line| line.contains("\"decision\":\"allow\"")).unwrap() + 1;
    fs::write(&log, forged).unwrap();
    let damaged = elsewhere(&["audit", "verify", "--dir", directory]);
    assert_eq!(damaged.code, Some(1), "{damaged:?}");
    assert!(damaged.all().contains(&place.to_string()), "line {place}: {damaged:?}");
    let export = elsewhere(&["audit", "export", "--dir", directory]);
    assert_eq!(export.code, Some(1), "{export:?}");
    assert_eq!(export.json_lines().len(), place - 1, "what stands before the damage");
    assert!(export.stderr.contains("audit verify"), "{export:?}");

    let newest = elsewhere(&["audit", "tail", "-n", "1", "--json", "--dir", directory]);
    assert_eq!(
        (newest.code, newest.json()),
        (Some(1), records.last().unwrap().clone()),
        "what follows is not hidden"
    );

    let nothing = elsewhere(&["audit", "verify", "--dir", "/nonexistent"]);
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
    assert!(nothing.stderr.contains("there is no record in `/nonexistent`"), "{nothing:?}");
}

#[test]
fn the_record_is_counted() {
    let mut world = world();
    for _ in 0..3 {
        world.check(READ);
    }
    let paid = id(&world.check(PAY));
    world.check("files.write:/x");
    world.stop_daemon();
    let records = world.audit();
    let stats = world.cli(&["audit", "stats", "--json"]).json();
    assert_eq!(stats["records"], records.len());
    assert_eq!(stats["decisions"], json!({"allow": 4, "deny": 1}), "{stats:#}");
    assert_eq!(stats["reasons"], json!({"granted": 4, "not_in_manifest": 1}));
    assert_eq!(stats["agents"]["probe-agent"], json!({"allow": 4, "deny": 1}));
    assert_eq!(stats["distinct_scopes"], distinct(&records));
    let size: u64 =
        files(&world.state_dir().join("audit")).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert_eq!(stats["bytes"], size);
    let missing = &stats["outcomes"]["newest_missing"];
    let names_risks =
        records.iter().any(|record| record["event"] == "decision" && !record["risks"].is_null());
    assert_eq!(missing.as_array().unwrap().iter().any(|one| one["id"] == paid), names_risks, "{stats:#}");
    let mut events = BTreeMap::<_, u64>::new();
    for record in &records {
        *events.entry(record["event"].as_str().unwrap()).or_default() += 1;
    }
    assert_eq!(stats["events"], json!(events));
    let text = world.cli(&["audit", "stats"]).stdout;
    assert!(text.contains("5 decisions: 4 allow, 1 deny"), "{text}");
    let none = world.cli(&["audit", "stats", "--until", "1h", "--json"]).json();
    assert_eq!(none["records"], 0);
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files
}

fn distinct(records: &[Value]) -> usize {
    let scopes = records.iter().filter_map(|record| record["scopes"].as_array()).flatten();
    scopes.map(Value::to_string).collect::<std::collections::BTreeSet<_>>().len()
}
