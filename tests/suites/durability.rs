//! What was answered is in the record, whatever happens to the daemon and to the disk below it.
//!
//! Under a load of checks the daemon is killed a hundred times at random moments: each decision whose answer was read is
//! in the record, the chain verifies, and each line that was cut short is accounted for. On a full disk, in a directory
//! that cannot be written to, and where the directory is deleted, checks are denied with `audit_unavailable`, `status`
//! says so, and all is well again by itself when the cause is gone.

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use agentauth_api::SessionPhase;
use agentauth_audit::{Kind, SignedCheckpoint, Trail, Trust, Verified, verify_trail};
use e2e::cli::Running;
use e2e::{ALICE, Provider, World, WorldOptions, wait};
use fastrand::Rng;
use serde_json::Value;

const ROUNDS: usize = 100;
const CLIENTS: usize = 3;
/// How many questions a client has: more than it comes to.
const QUESTIONS: usize = 3000;
const PAY: &str = "payments.execute:currency=EUR";
const READ: &str = "payments.read";

/// A world with small files.
fn world() -> World {
    World::with(&Provider::start(), options())
}

fn options() -> WorldOptions {
    WorldOptions {
        log_filter: "info".to_owned(),
        more_configuration: "[audit]\nrotate_size = \"64KiB\"\ncheckpoint_records = 10\n\n\
                             [checks]\nrequests_per_second = 100000\nburst = 100000\n"
            .to_owned(),
        ..WorldOptions::default()
    }
}

fn audit(world: &World) -> PathBuf {
    world.state_dir().join("audit")
}

/// The whole record verifies, against its key and the checkpoint beside it.
fn verified(world: &World) -> Verified {
    let state = world.state_dir();
    let keys = fs::read_to_string(state.join("audit-key.pub")).unwrap_or_default();
    let keys = keys.lines().map(|line| line.parse().unwrap()).collect();
    let place = state.join("audit-checkpoint");
    let kept = fs::read_to_string(&place).ok().map(|note| {
        let note: SignedCheckpoint = note.parse().unwrap();
        (place, note)
    });
    verify_trail(&audit(world), &Trust { keys, kept }).unwrap_or_else(|error| panic!("{error}"))
}

/// The kinds and ids of all records.
fn records(world: &World) -> Vec<(Kind, Option<String>, serde_json::Map<String, Value>)> {
    Trail::new(&audit(world))
        .entries()
        .unwrap()
        .map(|entry| {
            let event = entry.unwrap().event;
            (event.kind, event.id.map(|id| id.as_str().to_owned()), event.details)
        })
        .collect()
}

fn id(answer: &Value) -> String {
    answer["id"].as_str().unwrap_or_else(|| panic!("no id: {answer}")).to_owned()
}

/// An agent that asks one question after the other, until nobody answers any more.
fn begin_load(world: &World, rng: &mut Rng) -> Running {
    let scopes: Vec<String> = (0..QUESTIONS)
        .map(|_| match rng.u8(..4) {
            0 => PAY.to_owned(),
            1 => format!("files.read:/projects/{}", rng.u8(..)),
            2 => READ.to_owned(),
            _ => "files.delete:/etc".to_owned(),
        })
        .collect();
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    Running::start(world.probe_command(&scopes))
}

/// The ids of all decisions whose answer was read whole. What could not be recorded is denied, and is not in the record.
fn answered(load: Running) -> Vec<String> {
    let answers = load.finish().json_lines();
    let answers = answers.iter().filter(|answer| answer["id"].is_string());
    answers.filter(|answer| answer["reason"] != "audit_unavailable").map(id).collect()
}

#[test]
fn what_was_answered_is_in_the_record_however_the_daemon_ends() {
    let mut world = world();
    let mut rng = Rng::with_seed(5);
    let mut all = Vec::new();
    let mut torn = 0;
    for round in 0..ROUNDS {
        // With a login some are allowed, and those of high risk are synced.
        if round % 10 == 0 {
            world.login(ALICE);
            world.wait_for_phase(SessionPhase::Active);
        }
        let loads: Vec<_> = (0..CLIENTS).map(|_| begin_load(&world, &mut rng)).collect();
        std::thread::sleep(Duration::from_millis(rng.u64(10..250)));
        world.kill_daemon();
        all.extend(loads.into_iter().flat_map(answered));
        // One write is mostly whole or not there when only the process ends. A machine that loses power leaves half lines.
        if rng.u8(..5) == 0 {
            let line = format!("{{\"seq\":{},\"prev\":\"{}", rng.u16(..), "0".repeat(rng.usize(..64)));
            let log = audit(&world).join("audit.jsonl");
            fs::OpenOptions::new().append(true).open(log).unwrap().write_all(line.as_bytes()).unwrap();
            torn += 1;
        }
        world.start_daemon();
    }
    world.stop_daemon();

    let verified = verified(&world);
    assert!(verified.is_whole(), "{:?}", verified.losses);
    // The kernel looks for a kill between two pages of a write: then that line, which nobody was answered for, is torn, too.
    assert!(verified.torn >= torn, "{} of {torn}", verified.torn);
    let set_aside = fs::read_dir(audit(&world)).unwrap();
    let set_aside = set_aside
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("audit.torn-"));
    assert_eq!(set_aside.count() as u64, verified.torn);
    let records = records(&world);
    let recorded: HashSet<&str> = records
        .iter()
        .filter(|(kind, ..)| *kind == Kind::Decision)
        .filter_map(|(_, id, _)| id.as_deref())
        .collect();
    // What was counted instead is within what was counted, in number and in time.
    let missing: Vec<_> = all.iter().filter(|id| !recorded.contains(id.as_str())).collect();
    let folded: Vec<_> = records.iter().filter(|(kind, ..)| *kind == Kind::DecisionsFolded).collect();
    let count = folded.iter().map(|(_, _, details)| details["count"].as_u64().unwrap()).sum::<u64>();
    assert!(missing.len() as u64 <= count, "{} of {} answers, {count} are counted", missing.len(), all.len());
    let spans: Vec<(&str, &str)> = folded
        .iter()
        .map(|(_, _, details)| (details["first_id"].as_str().unwrap(), details["last_id"].as_str().unwrap()))
        .collect();
    // Identifiers begin with their time in milliseconds.
    let time = |id: &str| id["dec_".len()..][..12].to_owned();
    let lost = missing
        .iter()
        .filter(|id| !spans.iter().any(|(first, last)| time(first) <= time(id) && time(id) <= time(last)));
    assert_eq!(lost.count(), 0, "answered decisions are neither in the record nor counted");
    assert!(all.len() > ROUNDS, "there was no load: {} answers", all.len());
    let ends: Vec<_> = records
        .iter()
        .filter(|(kind, ..)| *kind == Kind::ServiceStart)
        .map(|(_, _, details)| details["last_run"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ends.len(), ROUNDS + 1);
    assert!(ends.iter().skip(1).all(|end| end == "crashed"), "{ends:?}");
    assert!(verified.files > 1 && verified.checkpoints > 10, "{verified:?}");
    println!(
        "{} answers in {} records, {} files, {} bytes; {torn} torn lines",
        all.len(),
        verified.records,
        verified.files,
        verified.bytes
    );
}

/// Until a check is denied because it cannot be recorded.
fn until_unavailable(world: &World) {
    wait::until_true("nothing can be recorded", || is_unavailable(world));
}

/// Whether one of many checks is denied because it cannot be recorded.
fn is_unavailable(world: &World) -> bool {
    let answers = world.probe(&[READ; 200]);
    let refused = answers.iter().find(|answer| answer["reason"] == "audit_unavailable");
    refused.inspect(|answer| assert_eq!(answer["decision"], "deny")).is_some()
}

/// By itself, and with a record of what could not be recorded.
fn recovers(world: &World) {
    wait::until_true("the record is written again", || world.status().audit.writable);
    let answer = world.check(READ);
    assert_eq!(answer["decision"], "allow", "{answer}");
    wait::until_true("the gap is recorded", || {
        records(world).iter().any(|(kind, _, details)| {
            *kind == Kind::AuditGap && details["events"].as_u64().is_some_and(|events| events > 0)
        })
    });
    assert!(records(world).iter().any(|(_, recorded, _)| recorded.as_deref() == Some(&*id(&answer))));
}

fn logged_in() -> World {
    let world = world();
    world.login(ALICE);
    world.wait_for_phase(SessionPhase::Active);
    wait::until_true("the agent's program has settled", || world.check(READ)["decision"] == "allow");
    world
}

#[test]
fn where_the_directory_is_deleted_checks_are_denied_and_go_on_in_a_new_one() {
    let mut world = logged_in();
    wait::until_true(
        "a check is the first to notice, and not a checkpoint, after which all is well again",
        || {
            // What is written there meanwhile may be in the way.
            _ = fs::remove_dir_all(audit(&world));
            is_unavailable(&world)
        },
    );
    recovers(&world);
    world.stop_daemon();
    let verified = verified(&world);
    assert!(!verified.is_whole(), "what is lost is told: {verified:?}");
}

/// Runs an ignored test of this program as root of a mount namespace of its own.
fn in_a_namespace(test: &str) {
    let unshare = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]).args(arguments);
        command
    };
    let possible = unshare(&["mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: {test}: this machine does not let us mount anything (it takes root)");
        return;
    }
    let mut command = unshare(&[]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    let outcome = e2e::cli::run(command);
    assert!(outcome.code == Some(0) && outcome.stdout.contains("1 passed"), "{outcome:?}");
}

#[test]
fn a_full_disk() {
    in_a_namespace("on_a_full_disk_checks_are_denied_until_there_is_room");
}

#[test]
#[ignore = "runs in a mount namespace, started by the test above"]
fn on_a_full_disk_checks_are_denied_until_there_is_room() {
    let mut world = World::without_daemon(&Provider::start(), options());
    on_a_disk_of_its_own(&audit(&world), "size=4m");
    world.start_daemon();
    world.login(ALICE);
    world.wait_for_phase(SessionPhase::Active);
    wait::until_true("the agent's program has settled", || world.check(READ)["decision"] == "allow");
    let grants = world.cli(&["grants", "--json"]).json();
    let grant = grants["grants"].as_array().unwrap().iter().find(|grant| grant["scope"] == "admin.manage");
    let grant = grant.unwrap_or_else(|| panic!("{grants}"))["id"].as_str().unwrap().to_owned();

    let filler = audit(&world).join("filler");
    let full = fs::File::create(&filler).unwrap().write_all(&vec![0; 8 << 20]);
    assert_eq!(full.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    until_unavailable(&world);
    let status = world.status();
    assert!(!status.audit.writable && status.audit.detail.is_some(), "{status:?}");
    // What takes a right away is recorded all the same.
    let revoked = world.cli(&["grant", "revoke", &grant]);
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    assert!(records(&world).iter().any(|(kind, ..)| *kind == Kind::GrantRevoked));
    assert!(!world.status().audit.writable, "that says nothing about decisions");

    fs::remove_file(&filler).unwrap();
    recovers(&world);
    world.stop_daemon();
    assert!(verified(&world).is_whole());
}

#[test]
fn a_read_only_place() {
    in_a_namespace("where_nothing_can_be_written_checks_are_denied_until_it_can");
}

#[test]
#[ignore = "runs in a mount namespace, started by the test above"]
fn where_nothing_can_be_written_checks_are_denied_until_it_can() {
    let mut world = logged_in();
    // A file system with open files is not remounted read-only; one that is comes in its place.
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "ro", "tmpfs"]).arg(audit(&world)).status();
    assert!(mounted.unwrap().success());
    until_unavailable(&world);
    assert!(!world.status().audit.writable);
    assert!(Command::new("umount").arg(audit(&world)).status().unwrap().success());
    recovers(&world);
    world.stop_daemon();
    assert!(verified(&world).is_whole(), "it went on where it had been");
}

/// Mounts a small disk at `place`, with what is there on it.
fn on_a_disk_of_its_own(place: &Path, options: &str) {
    let aside = tempfile::tempdir().unwrap();
    for file in fs::read_dir(place).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), aside.path().join(file.file_name())).unwrap();
    }
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("mode=700,{options}"), "tmpfs"])
        .arg(place)
        .status();
    assert!(mounted.unwrap().success());
    for file in fs::read_dir(aside.path()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), place.join(file.file_name())).unwrap();
    }
}

#[test]
fn a_record_whose_end_was_cut_off_gives_no_rights() {
    let mut world = logged_in();
    world.stop_daemon();
    let log = audit(&world).join("audit.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let before = lines[..lines.len() - 3].concat();
    fs::write(&log, before).unwrap();
    let keys = fs::read_to_string(world.state_dir().join("audit-key.pub")).unwrap();
    assert_eq!(keys.lines().count(), 1);

    world.start_daemon();
    let problems = world.status().problems;
    assert!(problems.iter().any(|problem| problem.contains("cut off")), "{problems:?}");
    assert!(world.status().agents.is_empty(), "no registration counts");
    let gap = records(&world)
        .into_iter()
        .any(|(kind, _, details)| kind == Kind::AuditGap && !details["kept"].is_null());
    assert!(gap, "it is in the record");
    // And it stays so: the start after that finds nothing that was given either.
    world.restart_daemon();
    assert!(world.status().agents.is_empty());
}
