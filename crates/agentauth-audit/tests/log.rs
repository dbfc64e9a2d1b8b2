//! The log as a whole: what is written verifies, what is changed does not, and what goes wrong is mended.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use agentauth_audit::{
    Actor, Appended, AuditError, AuditLog, Event, Flaw, Kind, MAX_LINE, Reader, Verdict, VerifyError,
};
use common::{Room, at};
use jiff::Timestamp;
use proptest::prelude::*;

fn decision(second: i64) -> Event<'static> {
    Event {
        id: Some("dec_01".into()),
        user: Some("U2abc".into()),
        actor: Some(Actor {
            pid: 4711,
            executable: Some("/usr/bin/python3.11".into()),
            assurance: Some("path".into()),
            agents: vec!["payment-agent".into()],
            ..Actor::default()
        }),
        scopes: vec!["payments.execute:currency=EUR".into()],
        decision: Some(Verdict::Deny),
        reason: Some("consent_required".into()),
        message: Some("the user has not allowed this".into()),
        ..Event::new(Kind::Decision, at(second))
    }
}

impl Room {
    fn with(records: i64) -> Room {
        let room = Room::new();
        let log = room.open();
        for n in 0..records {
            log.append(&decision(n)).unwrap();
        }
        room
    }

    fn log(&self) -> PathBuf {
        self.file("audit.jsonl")
    }

    fn kinds(&self) -> Vec<&'static str> {
        Reader::open(&self.log()).unwrap().map(|entry| entry.unwrap().event.kind.as_str()).collect()
    }
}

/// What a file that verifies holds.
struct Verified {
    records: u64,
    first: Option<u64>,
    head: Option<Appended>,
}

fn verify(path: &Path) -> Result<Verified, VerifyError> {
    let mut verified = Verified { records: 0, first: None, head: None };
    for entry in Reader::open(path)? {
        let entry = entry?;
        verified.records += 1;
        verified.first = verified.first.or(Some(entry.seq));
        verified.head = Some(Appended { seq: entry.seq, hash: entry.hash });
    }
    Ok(verified)
}

fn flaw(log: &[u8]) -> (u64, Flaw) {
    match Reader::new(log, Path::new("changed")).find_map(Result::err) {
        Some(VerifyError::Broken { line, flaw, .. }) => (line, flaw),
        other => panic!("{other:?}"),
    }
}

fn unavailable<T: std::fmt::Debug>(outcome: &Result<T, AuditError>) -> bool {
    matches!(outcome, Err(AuditError::Unavailable { .. }))
}

#[test]
fn what_is_appended_verifies_reads_back_and_goes_on_after_a_restart() {
    let room = Room::with(3);
    let log = room.open();
    let last = log.append(&decision(3)).unwrap();
    assert_eq!(last.seq, 4);
    assert_eq!(log.head(), last);
    let verified = verify(&room.log()).unwrap();
    assert_eq!((verified.records, verified.first, verified.head), (4, Some(1), Some(last)));
    let entries: Vec<_> = Reader::open(&room.log()).unwrap().map(Result::unwrap).collect();
    assert_eq!(entries[2].event, decision(2));
    assert_eq!(entries[2].prev, entries[1].hash);
    assert_eq!(room.names(), ["audit.jsonl"]);
}

#[test]
fn an_empty_log_verifies() {
    let room = Room::new();
    let log = room.open();
    assert_eq!(log.head().seq, 0);
    assert_eq!(verify(&room.log()).unwrap().records, 0);
}

#[cfg(unix)]
#[test]
fn directory_and_file_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let room = Room::with(1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(room.directory()), mode(&room.log())), (0o700, 0o600));
}

#[test]
fn every_edited_byte_is_noticed() {
    let room = Room::with(3);
    let good = fs::read(room.log()).unwrap();
    for position in 0..good.len() {
        for change in [1, 0x20, 0x80] {
            let mut bad = good.clone();
            bad[position] ^= change;
            let line = good[..position].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
            assert_eq!(flaw(&bad).0, line, "byte {position} of {}, change {change}", good.len());
        }
    }
}

#[test]
fn every_removed_or_inserted_byte_is_noticed() {
    let room = Room::with(3);
    let good = fs::read(room.log()).unwrap();
    for position in 0..good.len() {
        let mut shorter = good.clone();
        shorter.remove(position);
        flaw(&shorter);
        let mut longer = good.clone();
        longer.insert(position, b'0');
        flaw(&longer);
    }
}

#[test]
fn whole_lines_removed_swapped_doubled_or_brought_from_elsewhere_are_noticed() {
    let room = Room::with(4);
    let text = fs::read_to_string(room.log()).unwrap();
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let check = |order: &[usize], expected: (u64, Flaw)| {
        let reordered: String = order.iter().map(|n| lines[*n]).collect();
        assert_eq!(flaw(reordered.as_bytes()), expected, "{order:?}");
    };
    check(&[1, 2, 3], (1, Flaw::Beginning));
    check(&[0, 2, 3], (2, Flaw::Link));
    check(&[0, 2, 1, 3], (2, Flaw::Link));
    check(&[0, 1, 1, 2], (3, Flaw::Link));

    let other = Room::with(5);
    let foreign = fs::read_to_string(other.log()).unwrap();
    let foreign = foreign.split_inclusive('\n').nth(4).unwrap();
    assert_eq!(flaw([lines[0], lines[1], foreign].concat().as_bytes()).0, 3);
}

#[test]
fn a_missing_end_shows_only_against_a_kept_head() {
    let room = Room::new();
    let log = room.open();
    let kept = (0..3).map(|n| log.append(&decision(n)).unwrap()).last().unwrap();
    let text = fs::read_to_string(room.log()).unwrap();
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    fs::write(room.log(), lines[..2].concat()).unwrap();
    assert_ne!(verify(&room.log()).unwrap().head, Some(kept));
}

#[test]
fn concurrent_appends_make_one_chain() {
    let room = Room::new();
    let log = room.open();
    let mut seqs: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let log = &log;
                scope.spawn(move || -> Vec<u64> {
                    (0..50)
                        .map(|m| {
                            let appended = log.append(&decision(n * 50 + m)).unwrap();
                            if m % 10 == 0 {
                                log.sync_to(appended.seq).unwrap();
                            }
                            appended.seq
                        })
                        .collect()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=400).collect::<Vec<u64>>());
    assert_eq!(verify(&room.log()).unwrap().records, 400);
}

#[test]
fn a_torn_last_line_is_set_aside_wherever_it_was_torn() {
    let good = fs::read(Room::with(3).log()).unwrap();
    let third = good[..good.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for cut in [third + 1, third + 40, good.len() - 30, good.len() - 1] {
        let room = Room::with(3);
        fs::write(room.log(), &good[..cut]).unwrap();
        let log = room.open();
        assert_eq!(log.head().seq, 3);
        log.append(&decision(9)).unwrap();
        assert_eq!(room.kinds(), ["decision", "decision", "chain.recovered", "decision"]);
        assert_eq!(fs::read(room.file("audit.torn-3")).unwrap(), &good[third..cut]);
        assert_eq!(room.names(), ["audit.jsonl", "audit.torn-3"]);
    }
}

#[test]
fn zeros_after_a_power_cut_are_set_aside() {
    let room = Room::with(2);
    fs::OpenOptions::new().append(true).open(room.log()).unwrap().write_all(&[0; 5000]).unwrap();
    room.open();
    assert_eq!(room.kinds(), ["decision", "decision", "chain.recovered"]);
}

#[test]
fn a_log_without_a_single_good_record_in_reach_is_set_aside_whole() {
    let room = Room::with(2);
    let rubbish = "not a record\n".repeat(30_000);
    fs::write(room.log(), &rubbish).unwrap();
    room.open();
    assert_eq!(room.kinds(), ["chain.recovered"]);
    assert_eq!(fs::read_to_string(room.file("audit.altered-0")).unwrap(), rubbish);
}

#[test]
fn a_second_process_is_kept_out() {
    let room = Room::with(1);
    let log = room.open();
    assert!(matches!(AuditLog::open(room.directory(), at(0)), Err(AuditError::InUse { .. })));
    drop(log);
    room.open();
}

/// One append fails, the next one goes through, and the chain says what happened.
fn mended(room: &Room, log: &AuditLog, disturb: impl FnOnce()) -> Appended {
    let before = log.append(&decision(1)).unwrap();
    disturb();
    assert!(unavailable(&log.append(&decision(2))));
    let after = log.append(&decision(3)).unwrap();
    assert_eq!(after.seq, before.seq + 2, "the lost record's number is the recovery's");
    assert_eq!(room.kinds(), ["chain.recovered", "decision"]);
    let verified = verify(&room.log()).unwrap();
    assert_eq!(verified.first, Some(before.seq + 1));
    log.append(&decision(4)).unwrap()
}

#[test]
fn a_file_that_vanished_is_begun_anew_within_the_chain() {
    let room = Room::new();
    let log = room.open();
    mended(&room, &log, || fs::remove_file(room.log()).unwrap());
    assert_eq!(room.names(), ["audit.jsonl"]);
}

#[test]
fn a_file_that_comes_back_as_it_was_left_is_gone_on_with() {
    let room = Room::new();
    let log = room.open();
    log.append(&decision(1)).unwrap();
    let away = room.dir.path().join("away");
    fs::rename(room.log(), &away).unwrap();
    assert!(unavailable(&log.sync()));
    fs::rename(&away, room.log()).unwrap();
    log.append(&decision(3)).unwrap();
    assert_eq!(room.kinds(), ["decision", "decision"]);
    assert_eq!(room.names(), ["audit.jsonl"]);
}

#[test]
fn a_directory_that_vanished_is_made_again() {
    let room = Room::new();
    let log = room.open();
    mended(&room, &log, || fs::remove_dir_all(room.directory()).unwrap());
}

#[test]
fn what_was_moved_is_missed_when_it_is_to_be_on_disk_or_after_some_records() {
    for (durable, whole) in [(true, true), (true, false), (false, true), (false, false)] {
        let room = Room::new();
        let log = room.open();
        log.append(&decision(1)).unwrap();
        let away = room.dir.path().join("away");
        fs::rename(if whole { room.directory().to_owned() } else { room.log() }, &away).unwrap();
        let mut good = 1;
        let refused = loop {
            let synced = log.append(&decision(2)).and_then(|appended| {
                good += 1;
                if durable { log.sync_to(appended.seq) } else { Ok(()) }
            });
            if synced.is_err() {
                break synced;
            }
            assert!(good < 20);
        };
        assert!(unavailable(&refused));
        assert!(good == 2 || !durable);
        assert_eq!(log.append(&decision(3)).unwrap().seq, good + 2);
        assert_eq!(room.kinds(), ["chain.recovered", "decision"]);
        let moved = if whole { away.join("audit.jsonl") } else { away };
        assert_eq!(verify(&moved).unwrap().records, good, "nothing of before is lost");
    }
}

#[test]
fn a_replaced_file_is_set_aside() {
    let room = Room::new();
    let log = room.open();
    mended(&room, &log, || {
        let copy = room.file("copy");
        fs::copy(room.log(), &copy).unwrap();
        fs::rename(&copy, room.log()).unwrap();
    });
    assert_eq!(room.names(), ["audit.altered-1", "audit.jsonl"]);
}

#[test]
fn a_file_cut_or_written_to_by_another_is_set_aside() {
    let room = Room::new();
    let log = room.open();
    mended(&room, &log, || fs::OpenOptions::new().write(true).open(room.log()).unwrap().set_len(10).unwrap());
    assert_eq!(room.names(), ["audit.altered-1", "audit.jsonl"]);

    let room = Room::new();
    let log = room.open();
    mended(&room, &log, || {
        fs::OpenOptions::new().append(true).open(room.log()).unwrap().write_all(b"mine\n").unwrap();
    });
    assert_eq!(room.names(), ["audit.altered-1", "audit.jsonl"]);
}

#[test]
fn while_nothing_can_be_written_every_append_fails_and_then_none_does() {
    let room = Room::new();
    let log = room.open();
    log.append(&decision(1)).unwrap();
    // Works for root too, whom no missing right would stop.
    fs::remove_dir_all(room.directory()).unwrap();
    fs::write(room.directory(), b"a file in the way").unwrap();
    for _ in 0..3 {
        assert!(unavailable(&log.append(&decision(2))));
    }
    fs::remove_file(room.directory()).unwrap();
    assert_eq!(log.append(&decision(3)).unwrap().seq, 3);
    verify(&room.log()).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_only_whole_records() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // A file size limit stands for the full disk: it cuts a write short in the same way. The shell ignores its signal,
    // which this test, run again by the shell, inherits with the limit.
    let limit = getrlimit(Resource::Fsize);
    if limit.current != Some(4096) {
        let again = "trap '' XFSZ; ulimit -S -f 8; exec \"$0\" --exact a_full_disk_leaves_only_whole_records";
        #[allow(clippy::disallowed_methods, reason = "the limit is for a process of its own")]
        let output = std::process::Command::new("sh")
            .args(["-c", again])
            .arg(std::env::current_exe().unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
        return;
    }
    let room = Room::new();
    let log = room.open();
    let mut good = 0;
    let error = loop {
        match log.append(&decision(good)) {
            Ok(_) => good += 1,
            Err(error) => break error,
        }
        assert!(good < 1000, "the limit is not in force");
    };
    assert!(matches!(error, AuditError::Unavailable { .. }), "{error:?}");
    assert_eq!(verify(&room.log()).unwrap().records, good as u64);
    assert!(unavailable(&log.append(&decision(0))));
    setrlimit(Resource::Fsize, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    log.append(&decision(1)).unwrap();
    assert_eq!(verify(&room.log()).unwrap().records, good as u64 + 1);
}

#[test]
fn long_text_is_cut_and_a_longer_record_is_refused() {
    let room = Room::new();
    let log = room.open();
    let mut event = decision(0);
    event.purpose = Some("ä".repeat(5000).into());
    log.append(&event).unwrap();
    let entry = Reader::open(&room.log()).unwrap().next().unwrap().unwrap();
    let purpose = entry.event.purpose.unwrap();
    assert!(purpose.as_str().len() <= 1024 && purpose.as_str().ends_with("ä…"));

    event.scopes = vec!["x".repeat(1000).into(); MAX_LINE / 1000];
    assert!(matches!(log.append(&event), Err(AuditError::TooLarge { .. })));
    assert_eq!(log.append(&decision(1)).unwrap().seq, 2);
    verify(&room.log()).unwrap();
}

#[test]
fn hostile_text_is_one_line_of_harmless_characters() {
    let room = Room::new();
    let log = room.open();
    let mut event = decision(0);
    event.message = Some("\u{1b}[2J\r\n{\"seq\":2}\u{202e}\u{9b}31m".into());
    log.append(&event).unwrap();
    let text = fs::read_to_string(room.log()).unwrap();
    assert_eq!(text.matches('\n').count(), 1);
    assert!(!text.trim_end().chars().any(|c| c.is_control() || c == '\u{202e}'), "{text}");
    assert_eq!(Reader::open(&room.log()).unwrap().next().unwrap().unwrap().event, event);
}

#[test]
fn the_recorded_log_verifies_here_and_its_events_are_written_byte_for_byte_the_same() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let recorded = vectors.join("chain.jsonl");
    let hashes: Vec<String> =
        fs::read_to_string(vectors.join("hashes.txt")).unwrap().lines().map(str::to_owned).collect();
    let entries: Vec<_> = Reader::open(&recorded).unwrap().map(Result::unwrap).collect();
    assert_eq!(entries.iter().map(|entry| entry.hash.to_string()).collect::<Vec<_>>(), hashes);
    let room = Room::new();
    let log = room.open();
    for entry in &entries {
        log.append(&entry.event).unwrap();
    }
    assert_eq!(fs::read_to_string(room.log()).unwrap(), fs::read_to_string(recorded).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_event_reads_back(
        message in ".{0,200}", scopes in prop::collection::vec("[a-z]{1,8}\\.[a-z]{1,8}", 0..5),
        micros in 0_i64..4_000_000_000_000_000, pid: u32, key in "\\PC{0,20}", value in ".{0,50}",
    ) {
        let room = Room::new();
        let log = room.open();
        let mut event = Event::new(Kind::Outcome, Timestamp::from_microsecond(micros).unwrap());
        event.message = Some(message.into());
        event.scopes = scopes.into_iter().map(Into::into).collect();
        event.actor = Some(Actor { pid, ..Actor::default() });
        event.details.insert(key, value.into());
        log.append(&event).unwrap();
        let entry = Reader::open(&room.log()).unwrap().next().unwrap().unwrap();
        prop_assert_eq!(entry.event, event);
    }
}
