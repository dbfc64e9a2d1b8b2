//! The record over several files: closed, carried over, compressed, deleted to a stub; read across all of them; and
//! nothing is lost wherever the process ends on the way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::cell::Cell;
use std::fs;
use std::io::Write as _;

use agentauth_audit::{Entries, Event, Form, Kind, Retention, Standing, Trail, VerifyError};
use common::{Room, at};
use jiff::SignedDuration;
use serde_json::Value;

fn event(second: i64) -> Event<'static> {
    Event { id: Some(format!("dec_{second}").into()), ..Event::new(Kind::Decision, at(second)) }
}

impl Room {
    /// Files of five decisions each, the last one open.
    fn with_files(files: i64) -> Room {
        let room = Room::new();
        let log = room.open();
        for file in 0..files {
            if file > 0 {
                log.rotate(at(file * 5)).unwrap().unwrap();
                log.carry([Value::from(format!("after file {file}"))], log.head().seq, at(file * 5)).unwrap();
            }
            for n in 0..5 {
                log.append(&event(file * 5 + n)).unwrap();
            }
        }
        room
    }

    fn trail(&self) -> Trail {
        Trail::new(self.directory())
    }

    fn all(&self) -> Vec<u64> {
        seqs(&mut self.trail().entries().unwrap())
    }

    fn decisions(&self) -> usize {
        let entries = self.trail().entries().unwrap().map(Result::unwrap);
        entries.filter(|entry| entry.event.kind == Kind::Decision).count()
    }
}

fn seqs(entries: &mut Entries) -> Vec<u64> {
    entries.by_ref().map(|entry| entry.unwrap().seq).collect()
}

/// What a replay hands over: texts that were carried, ids of decisions.
fn replayed(trail: &Trail) -> (Vec<String>, Option<VerifyError>) {
    let mut seen = Vec::new();
    let replay = trail
        .replay(
            None,
            |kind, _| kind == Kind::Decision,
            |record| {
                let entries = record.event.details.get("entries").and_then(Value::as_array);
                seen.extend(entries.into_iter().flatten().map(|entry| entry.as_str().unwrap().to_owned()));
                seen.extend(record.event.id.as_ref().map(|id| id.as_str().to_owned()));
                if record.standing == Standing::Doubtful {
                    seen.push("doubtful".to_owned());
                }
            },
        )
        .unwrap();
    (seen, replay.flaw)
}

const FIRST: &str = "audit.000000000001-000000000005.jsonl";
const SECOND: &str = "audit.000000000006-000000000012.jsonl";

#[test]
fn a_rotation_closes_one_file_and_goes_on_in_the_next() {
    let room = Room::with_files(3);
    assert_eq!(room.names(), [FIRST, SECOND, "audit.jsonl"]);
    assert_eq!(room.all(), (1..=19).collect::<Vec<u64>>());
    let log = room.open();
    assert_eq!((log.head().seq, log.first()), (19, 13));
    let first = room.trail().entries_after(12).unwrap().next().unwrap().unwrap();
    assert_eq!((first.seq, first.event.kind), (13, Kind::ChainContinued));
    assert_eq!(first.event.details["file"], SECOND);
}

#[test]
fn a_file_with_nothing_in_it_is_not_closed() {
    let room = Room::new();
    let log = room.open();
    assert!(log.rotate(at(0)).unwrap().is_none());
    assert!(!log.is_due(0, SignedDuration::ZERO, at(0)));
    log.append(&event(0)).unwrap();
    log.append(&event(1)).unwrap();
    assert!(log.is_due(10, SignedDuration::from_hours(1), at(1)));
    assert!(!log.is_due(1 << 20, SignedDuration::from_hours(1), at(1)));
    assert!(log.is_due(1 << 20, SignedDuration::from_hours(1), at(3601)));
    assert_eq!(room.names(), ["audit.jsonl"]);
}

#[test]
fn reading_begins_in_the_right_file_and_goes_on_over_a_rotation() {
    let room = Room::with_files(2);
    assert_eq!(seqs(&mut room.trail().entries_after(9).unwrap()), [10, 11, 12]);
    let log = room.open();
    let mut entries = room.trail().entries_after(12).unwrap();
    assert!(entries.next().is_none());
    log.append(&event(1)).unwrap();
    assert_eq!(seqs(&mut entries), [13]);
    log.append(&event(2)).unwrap();
    log.rotate(at(3)).unwrap().unwrap();
    log.append(&event(4)).unwrap();
    log.rotate(at(5)).unwrap().unwrap();
    assert_eq!(seqs(&mut entries), [14, 15, 16, 17]);
    while log.compress_one().unwrap() {}
    log.append(&event(6)).unwrap();
    assert_eq!(seqs(&mut entries), [18]);
    assert_eq!(room.all(), (1..=18).collect::<Vec<u64>>());
}

#[test]
fn an_unfinished_line_is_not_there_yet() {
    let room = Room::with_files(1);
    let mut entries = room.trail().entries().unwrap();
    assert_eq!(seqs(&mut entries).len(), 5);
    let path = room.file("audit.jsonl");
    let good = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"seq\":6,\"prev\"").unwrap();
    assert!(entries.next().is_none() && entries.next().is_none());
    // A restart sets it aside, and says so.
    let log = room.open();
    assert!(fs::metadata(&path).unwrap().len() > good);
    let next = entries.next().unwrap().unwrap();
    assert_eq!((next.seq, next.event.kind), (6, Kind::ChainRecovered));
    log.append(&event(9)).unwrap();
    assert_eq!(seqs(&mut entries), [7]);
}

#[test]
fn a_missing_file_is_noticed_where_it_is_missing() {
    let room = Room::with_files(3);
    fs::remove_file(room.file(SECOND)).unwrap();
    let mut entries = room.trail().entries().unwrap();
    let found: Vec<_> = entries.by_ref().collect();
    assert_eq!(found.len(), 6);
    assert!(matches!(found[5], Err(VerifyError::Broken { .. } | VerifyError::Missing { .. })));
    assert!(entries.next().is_none());
}

#[test]
fn who_reads_past_damage_sees_what_follows_and_every_break() {
    let room = Room::with_files(4);
    let first = room.file(FIRST);
    let edited = fs::read_to_string(&first).unwrap().replace("dec_1\"", "dec_X\"");
    fs::write(&first, edited).unwrap();
    fs::remove_file(room.file(SECOND)).unwrap();
    assert!(room.trail().entries().unwrap().nth(1).unwrap().is_err());
    let mut entries = room.trail().entries().unwrap().past_damage();
    let found: Vec<_> = entries.by_ref().map(|entry| entry.map(|entry| entry.seq).ok()).collect();
    let wanted = [Some(1), None, Some(3), Some(4), Some(5), None].into_iter().chain((13..=26).map(Some));
    assert_eq!(found, wanted.collect::<Vec<_>>());
    room.open().append(&event(99)).unwrap();
    assert_eq!(entries.next().unwrap().unwrap().seq, 27, "and goes on");
}

#[test]
fn closed_files_are_compressed_and_say_when_they_end() {
    let room = Room::with_files(3);
    let log = room.open();
    let before = room.all();
    while log.compress_one().unwrap() {}
    let (first, second) = (format!("{FIRST}.gz"), format!("{SECOND}.gz"));
    assert_eq!(room.names(), [&*first, &*second, "audit.jsonl"]);
    assert_eq!(room.all(), before);
    assert_eq!(seqs(&mut room.trail().entries_after(7).unwrap()), (8..=19).collect::<Vec<u64>>());
    let holdings = log.holdings().unwrap();
    assert_eq!((holdings.files, holdings.first, holdings.oldest), (3, Some(1), Some(at(0))));
}

#[test]
fn the_period_is_told_by_beginning_and_end() {
    let room = Room::with_files(3);
    assert_eq!(room.trail().period(), Some((at(0), at(14))));
    let torn = fs::OpenOptions::new().append(true).open(room.file("audit.jsonl"));
    torn.unwrap().write_all(b"{\"seq\":20,\"prev").unwrap();
    assert_eq!(room.trail().period(), Some((at(0), at(14))), "the last whole record's");
    fs::write(room.file("audit.jsonl"), "").unwrap();
    assert_eq!(room.trail().period(), Some((at(0), at(9))), "the closed file's");
    assert_eq!(Room::new().trail().period(), None);
}

#[test]
fn a_damaged_file_is_neither_compressed_nor_deleted() {
    let room = Room::with_files(2);
    let log = room.open();
    let path = room.file(FIRST);
    let text = fs::read_to_string(&path).unwrap().replacen("dec_2", "dec_9", 1);
    fs::write(&path, &text).unwrap();
    assert!(log.compress_one().is_err());
    assert!(log.retain(Retention { age: SignedDuration::ZERO, size: 0 }, at(1000), |_| None).is_err());
    assert_eq!(room.names(), [FIRST, "audit.jsonl"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn what_is_deleted_leaves_a_stub_that_the_chain_is_followed_across() {
    let room = Room::with_files(4);
    let log = room.open();
    log.compress_one().unwrap();
    let keep_all = Retention { age: SignedDuration::from_hours(1), size: 1 << 30 };
    assert!(log.retain(keep_all, at(100), |_| None).unwrap().is_empty());
    // Somebody reads from record 9 on.
    log.keep_from(9);
    let keep_none = Retention { age: SignedDuration::ZERO, size: 0 };
    let stubs = log.retain(keep_none, at(100), |last| Some(format!("note of {}", last.seq))).unwrap();
    assert_eq!(stubs.len(), 1);
    assert_eq!((stubs[0].first, stubs[0].last, stubs[0].records), (1, 5, 5));
    assert_eq!((stubs[0].from, stubs[0].to, stubs[0].deleted), (at(0), at(4), at(100)));
    assert_eq!(stubs[0].checkpoint.as_deref(), Some("note of 5"));
    assert_eq!(room.all(), (6..=26).collect::<Vec<u64>>());
    log.keep_from(u64::MAX);
    assert_eq!(log.retain(keep_none, at(100), |_| None).unwrap().len(), 2);
    assert_eq!(seqs(&mut room.trail().entries_after(2).unwrap()), (20..=26).collect::<Vec<u64>>());
    assert_eq!(replayed(&room.trail()).0[0], "after file 3");
    let forms: Vec<_> = room.trail().closed_files().unwrap().iter().map(|file| file.form).collect();
    assert_eq!(forms, [Form::Stub; 3]);
}

#[test]
fn what_the_next_start_needs_is_not_deleted() {
    let room = Room::with_files(3);
    let log = room.open();
    log.rotate(at(50)).unwrap().unwrap();
    // Nothing was carried into the newest file yet.
    assert!(!log.is_carried().unwrap());
    let keep_none = Retention { age: SignedDuration::ZERO, size: 0 };
    assert_eq!(log.retain(keep_none, at(100), |_| None).unwrap().len(), 2);
    assert_eq!(replayed(&room.trail()).0[0], "after file 2");
    log.carry([], log.head().seq, at(60)).unwrap();
    assert!(log.is_carried().unwrap());
    assert_eq!(log.retain(keep_none, at(100), |_| None).unwrap().len(), 1);
}

#[test]
fn a_replay_begins_with_what_was_carried_and_only_what_came_after_it() {
    let room = Room::new();
    let log = room.open();
    log.append(&event(1)).unwrap();
    log.rotate(at(2)).unwrap().unwrap();
    log.append(&event(2)).unwrap();
    // The set says what stands after that; meanwhile another is written, and the set has several parts.
    let after = log.head().seq;
    log.append(&event(3)).unwrap();
    log.carry((0..3).map(|n| Value::from(format!("{n:030000}"))), after, at(3)).unwrap();
    log.append(&event(4)).unwrap();
    let (seen, flaw) = replayed(&room.trail());
    let seen: Vec<_> = seen.iter().map(|text| &text[text.len().saturating_sub(5)..]).collect();
    assert_eq!(seen, ["00000", "00001", "00002", "dec_3", "dec_4"]);
    assert!(flaw.is_none());
}

/// Only what waits for a set that is to come before it is kept meanwhile.
#[test]
fn a_replay_hands_over_as_it_reads() {
    let room = Room::with_files(1);
    let (read, handed) = (Cell::new(0), Cell::new(0));
    let count = |counter: &Cell<usize>| counter.set(counter.get() + 1);
    let wanted = |_: Kind, _: &[u8]| {
        assert_eq!(read.get(), handed.get());
        count(&read);
        true
    };
    room.trail().replay(None, wanted, |_| count(&handed)).unwrap();
    assert_eq!((read.get(), handed.get()), (5, 5));
}

#[test]
fn without_a_whole_set_the_files_before_are_read() {
    let room = Room::with_files(2);
    let log = room.open();
    log.rotate(at(20)).unwrap().unwrap();
    let half =
        agentauth_audit::carried((0..3).map(|n| Value::from(format!("{n:030000}"))), log.head().seq, at(21));
    log.append(&half[0]).unwrap();
    log.append(&event(99)).unwrap();
    let (seen, flaw) = replayed(&room.trail());
    assert_eq!(seen, ["after file 1", "dec_5", "dec_6", "dec_7", "dec_8", "dec_9", "dec_99"]);
    assert!(flaw.is_none());
}

#[test]
fn where_files_are_missing_without_a_set_nothing_is_proven() {
    let room = Room::with_files(1);
    let log = room.open();
    log.rotate(at(20)).unwrap().unwrap();
    log.append(&event(99)).unwrap();
    fs::remove_file(room.file(FIRST)).unwrap();
    let (seen, flaw) = replayed(&room.trail());
    assert_eq!(seen, ["dec_99", "doubtful"]);
    assert!(flaw.is_some());
}

/// Every state in which a rotation can be interrupted, made by hand, is one that the next start goes on from.
#[test]
fn wherever_a_rotation_ends_nothing_is_lost() {
    type Damage = fn(&Room);
    let states: [(&str, Damage); 5] = [
        ("the new file was made", |room| fs::write(room.file("audit.next"), "").unwrap()),
        ("and written to", |room| fs::write(room.file("audit.next"), "{\"seq\":6,").unwrap()),
        ("the old file has its name", |room| {
            fs::rename(room.file("audit.jsonl"), room.file(FIRST)).unwrap();
            fs::write(room.file("audit.next"), "{\"seq\":6,").unwrap();
        }),
        ("the new one is there, and lost what was written", |room| {
            fs::rename(room.file("audit.jsonl"), room.file(FIRST)).unwrap();
            fs::write(room.file("audit.jsonl"), "").unwrap();
        }),
        ("and lost half of it", |room| {
            fs::rename(room.file("audit.jsonl"), room.file(FIRST)).unwrap();
            fs::write(room.file("audit.jsonl"), "{\"seq\":6,\"prev\":\"00").unwrap();
        }),
    ];
    for (state, make) in states {
        let room = Room::with_files(1);
        make(&room);
        let log = room.open();
        log.append(&event(5)).unwrap();
        assert_eq!(room.decisions(), 6, "{state}");
        assert!(!room.names().contains(&"audit.next".to_owned()), "{state}");
        let (seen, flaw) = replayed(&room.trail());
        assert_eq!(seen, ["dec_0", "dec_1", "dec_2", "dec_3", "dec_4", "dec_5"], "{state}");
        assert!(flaw.is_none(), "{state}: {flaw:?}");
        log.rotate(at(7)).unwrap().unwrap();
        assert_eq!(room.decisions(), 6, "{state}");
    }
}

/// The same for compressing and deleting: of two forms one counts, and the next round tidies up.
#[test]
fn wherever_compressing_or_deleting_ends_nothing_is_lost() {
    let done = {
        let room = Room::with_files(2);
        room.open().compress_one().unwrap();
        fs::read(room.file(&format!("{FIRST}.gz"))).unwrap()
    };
    let (part, packed) = (format!("{FIRST}.gz.part"), format!("{FIRST}.gz"));
    for cut in [0, 1, done.len() / 2, done.len()] {
        let room = Room::with_files(2);
        let all = room.all();
        fs::write(room.file(&part), &done[..cut]).unwrap();
        assert_eq!(room.all(), all);
        assert!(room.open().compress_one().unwrap());
        assert_eq!(room.names(), [&*packed, "audit.jsonl"]);
        assert_eq!(room.all(), all);
    }
    let room = Room::with_files(2);
    let all = room.all();
    fs::write(room.file(&packed), &done).unwrap();
    assert_eq!(room.all(), all, "both forms are there");
    let log = room.open();
    while log.compress_one().unwrap() {}
    assert_eq!(room.names(), [&*packed, "audit.jsonl"]);

    let keep_none = Retention { age: SignedDuration::ZERO, size: 0 };
    let stub = FIRST.replace(".jsonl", ".stub.json");
    log.retain(keep_none, at(100), |_| None).unwrap();
    // The stub is there, the file is not removed yet.
    fs::write(room.file(&packed), &done).unwrap();
    assert_eq!(room.all(), all);
    log.retain(keep_none, at(100), |_| None).unwrap();
    assert_eq!(room.names(), [&*stub, "audit.jsonl"]);
    assert_eq!(room.all(), [6, 7, 8, 9, 10, 11, 12]);
}

#[test]
fn appends_go_on_while_files_are_closed_and_read() {
    let room = Room::new();
    let log = room.open();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for n in 0..300 {
                        log.append(&event(n)).unwrap();
                    }
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let mut entries = room.trail().entries().unwrap();
            let mut seen = 0;
            while seen < 1200 {
                match entries.next() {
                    Some(entry) => seen += u64::from(entry.unwrap().event.kind == Kind::Decision),
                    None => std::thread::yield_now(),
                }
            }
        });
        for _ in 0..8 {
            log.rotate(at(1)).unwrap();
            log.compress_one().unwrap();
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        reader.join().unwrap();
    });
    assert_eq!(room.decisions(), 1200);
}
