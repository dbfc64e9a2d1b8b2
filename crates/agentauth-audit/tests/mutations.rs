//! What is done to a record is noticed, and named: the place, and what it was.
//!
//! A record of several files (a stub, a compressed one, a closed one, the open one) is damaged in 1,000 ways that a seed
//! chooses. What is *right* to say about each:
//! - *edited*: bytes within one line changed. The line, and its record. If the hash was made to fit, the same: the next
//!   record shows it.
//! - *deleted*: lines between others removed. The line where the next one stands now, and the first record missing.
//! - *inserted*: a line between two others: a copy of another record, a line of another record's chain, or no record. The
//!   inserted line, and the record in whose place it stands.
//! - *reordered*: two lines changed places, or one was moved. The first line that is not where it was written, and the
//!   record that belongs there.
//! - *truncated*: a file cut. The line after the last whole one, and the first record missing. Where a whole line or more
//!   is missing from the open file, only a checkpoint kept elsewhere shows it.
//! - *forged checkpoint*: a checkpoint signed by another key, with a signature that is not right, or of another hash,
//!   and the chain made to fit it from there on; or the checkpoint kept elsewhere. The line of the checkpoint.
//! - *missing file*, *stub*: a file removed; a stub changed. The first record missing; the stub.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use agentauth_audit::{
    Appended, AuditLog, Damage, DamageKind, Event, Hash, Kind, Retention, SignedCheckpoint, SigningKey,
    Trust, Verified, VerifyFailure, verify_trail,
};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

const ROUNDS: u64 = 1000;
const ORIGIN: &str = "agentauthd/device:uuid:0198b7a1";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + second).unwrap()
}

fn event(second: i64) -> Event<'static> {
    Event {
        id: Some(format!("dec_{second}").into()),
        message: Some("x".repeat(usize::try_from(second % 60).unwrap()).into()),
        ..Event::new(Kind::Decision, at(second))
    }
}

fn key() -> SigningKey {
    SigningKey::from_seed(ORIGIN, &[7; 32]).unwrap()
}

/// A record of four files, made once: a stub, a compressed one, a closed one, the open one.
struct Original {
    dir: tempfile::TempDir,
    kept: String,
    head: Appended,
}

impl Original {
    fn new() -> Original {
        let dir = tempfile::tempdir().unwrap();
        let (log, key) = (AuditLog::open(dir.path(), at(0)).unwrap(), key());
        log.append(&key_event(&key)).unwrap();
        for file in 0..4_i64 {
            if file > 0 {
                log.rotate(at(file * 100)).unwrap().unwrap();
                log.carry([], log.head().seq, at(file * 100)).unwrap();
            }
            for n in 0..20 {
                log.append(&event(file * 100 + n)).unwrap();
                if n % 7 == 6 {
                    log.append_signed(at(file * 100 + n), |head| key.sign(head)).unwrap();
                }
            }
            if file == 1 {
                let none = Retention { age: SignedDuration::ZERO, size: 0 };
                assert_eq!(log.retain(none, at(150), |last| Some(key.sign(last))).unwrap().len(), 1);
                // Only the older of the two that follow is compressed.
                log.rotate(at(199)).unwrap().unwrap();
                log.carry([], log.head().seq, at(199)).unwrap();
                assert!(log.compress_one().unwrap());
                for n in 0..5 {
                    log.append(&event(190 + n)).unwrap();
                }
            }
        }
        let head = log.head();
        drop(log);
        fs::remove_file(dir.path().join("audit.lock")).unwrap();
        Original { dir, kept: key.sign(head), head }
    }

    fn copy(&self) -> Copy {
        let dir = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(self.dir.path()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
        }
        let mut files: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        // `audit.jsonl` sorts behind the numbers.
        files.sort();
        Copy { dir, files, kept: self.kept.clone() }
    }
}

fn key_event(key: &SigningKey) -> Event<'static> {
    let mut event = Event::new(Kind::CheckpointKey, at(0));
    event.details.insert("key".to_owned(), key.public().to_string().into());
    event
}

/// A copy to do something to.
struct Copy {
    dir: tempfile::TempDir,
    files: Vec<PathBuf>,
    kept: String,
}

impl Copy {
    fn verify(&self) -> Result<Verified, VerifyFailure> {
        let kept: SignedCheckpoint = self.kept.parse().unwrap();
        let kept = Some((PathBuf::from("kept"), kept));
        verify_trail(self.dir.path(), &Trust { keys: vec![key().public().clone()], kept })
    }

    fn damage(&self) -> Damage {
        match self.verify() {
            Err(VerifyFailure::Damaged(damage)) => damage,
            other => panic!("not noticed: {other:?}"),
        }
    }

    /// The files with lines in them.
    fn with_lines(&self) -> Vec<&PathBuf> {
        self.files.iter().filter(|path| !path.to_str().unwrap().ends_with(".stub.json")).collect()
    }

    fn lines(&self, path: &Path) -> Vec<Vec<u8>> {
        let bytes = fs::read(path).unwrap();
        let mut text = Vec::new();
        if path.extension().unwrap() == "gz" {
            flate2::read::MultiGzDecoder::new(&*bytes).read_to_end(&mut text).unwrap();
        } else {
            text = bytes;
        }
        text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }

    fn put(&self, path: &Path, lines: &[Vec<u8>]) {
        self.put_bytes(path, &lines.concat());
    }

    fn put_bytes(&self, path: &Path, bytes: &[u8]) {
        if path.extension().unwrap() == "gz" {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            fs::write(path, encoder.finish().unwrap()).unwrap();
        } else {
            fs::write(path, bytes).unwrap();
        }
    }
}

fn seq(line: &[u8]) -> u64 {
    let text = std::str::from_utf8(line).unwrap();
    text["{\"seq\":".len()..].split(',').next().unwrap().parse().unwrap()
}

/// The line again with `prev`, and a hash that fits. This is written from the format's description, with nothing of the
/// crate.
fn rehashed(line: &[u8], prev: Hash) -> (Vec<u8>, Hash) {
    let end = line.len() - 76;
    let mut record = line[..end].to_vec();
    let start = record.windows(9).position(|part| part == b",\"prev\":\"").unwrap() + 9;
    record[start..start + 64].copy_from_slice(prev.to_string().as_bytes());
    let digest = Sha256::new()
        .chain_update([1])
        .chain_update(prev.0)
        .chain_update((record.len() as u64).to_be_bytes())
        .chain_update(&record)
        .finalize();
    let hash = Hash(digest.into());
    record.extend_from_slice(format!(",\"hash\":\"{hash}\"}}\n").as_bytes());
    (record, hash)
}

/// What verify has to say.
#[derive(Debug, PartialEq, Eq)]
struct Expected {
    kind: DamageKind,
    path: PathBuf,
    line: u64,
    seq: u64,
}

impl Expected {
    /// At the line of this index.
    fn at(kind: DamageKind, path: &Path, index: usize, seq: u64) -> Expected {
        Expected { kind, path: path.to_owned(), line: index as u64 + 1, seq }
    }
}

fn edited(copy: &Copy, path: &Path, rng: &mut Rng) -> Expected {
    let mut lines = copy.lines(path);
    let index = rng.usize(..lines.len());
    let number = seq(&lines[index]);
    let expected = Expected::at(DamageKind::Edited, path, index, number);
    // Not the LF: that makes one line of two, or one more.
    let position = rng.usize(..lines[index].len() - 1);
    loop {
        let change = rng.u8(1..);
        let byte = lines[index][position] ^ change;
        if byte != b'\n' {
            lines[index][position] = byte;
            break;
        }
    }
    copy.put(path, &lines);
    expected
}

/// The content is changed and its own hash made to fit. The last record of all is left out: there only the kept
/// checkpoint shows it.
fn edited_with_hash(copy: &Copy, path: &Path, rng: &mut Rng, original: &Original) -> Expected {
    let mut lines = copy.lines(path);
    let index = rng.usize(..lines.len());
    let number = seq(&lines[index]);
    let text = String::from_utf8(lines[index].clone()).unwrap();
    let prev: Hash = text.split("\"prev\":\"").nth(1).unwrap()[..64].parse().unwrap();
    let edited = text.replacen("2026-", "2025-", 1);
    assert_ne!(edited, text);
    lines[index] = rehashed(edited.as_bytes(), prev).0;
    copy.put(path, &lines);
    if number == original.head.seq {
        return Expected {
            path: "kept".into(),
            ..Expected::at(DamageKind::ForgedCheckpoint, path, 0, number)
        };
    }
    Expected::at(DamageKind::Edited, path, index, number)
}

fn deleted(copy: &Copy, path: &Path, rng: &mut Rng) -> Expected {
    let mut lines = copy.lines(path);
    let index = rng.usize(..lines.len() - 1);
    let count = rng.usize(1..(lines.len() - index).min(4));
    let number = seq(&lines[index]);
    lines.drain(index..index + count);
    copy.put(path, &lines);
    Expected::at(DamageKind::Deleted, path, index, number)
}

fn inserted(copy: &Copy, path: &Path, rng: &mut Rng) -> Expected {
    let mut lines = copy.lines(path);
    let index = rng.usize(..lines.len());
    let number = seq(&lines[index]);
    let line = match rng.u8(..3) {
        0 => lines[rng.usize(..lines.len())].clone(),
        1 => rehashed(&lines[index], Hash([rng.u8(..); 32])).0,
        _ => b"{\"event\":\"no record\"}\n".to_vec(),
    };
    lines.insert(index, line);
    // A copy right behind itself stands in the next one's place.
    let same = lines[index] == lines[index + 1];
    let expected = if same {
        Expected::at(DamageKind::Inserted, path, index + 1, number + 1)
    } else {
        Expected::at(DamageKind::Inserted, path, index, number)
    };
    copy.put(path, &lines);
    expected
}

fn reordered(copy: &Copy, path: &Path, rng: &mut Rng) -> Expected {
    let mut lines = copy.lines(path);
    let one = rng.usize(..lines.len() - 1);
    let other = rng.usize(one + 1..lines.len());
    let number = seq(&lines[one]);
    match rng.u8(..3) {
        0 => lines.swap(one, other),
        1 => {
            let line = lines.remove(one);
            lines.insert(other, line);
        }
        _ => {
            let line = lines.remove(other);
            lines.insert(one, line);
        }
    }
    copy.put(path, &lines);
    Expected::at(DamageKind::Reordered, path, one, number)
}

fn truncated(copy: &Copy, path: &Path, rng: &mut Rng) -> Expected {
    let lines = copy.lines(path);
    let bytes = lines.concat();
    let cut = rng.usize(..bytes.len());
    let whole = bytes[..cut].iter().filter(|byte| **byte == b'\n').count();
    if path.extension().unwrap() == "gz" && rng.bool() {
        // The compressed bytes: which record that is, only decompressing tells.
        let packed = fs::read(path).unwrap();
        fs::write(path, &packed[..rng.usize(20..packed.len() - 8)]).unwrap();
        let mut text = Vec::new();
        _ = flate2::read::MultiGzDecoder::new(&*fs::read(path).unwrap()).read_to_end(&mut text);
        let whole = text.iter().filter(|byte| **byte == b'\n').count();
        let number = lines.get(whole).map_or_else(|| seq(&lines[whole - 1]) + 1, |line| seq(line));
        return Expected::at(DamageKind::Truncated, path, whole, number);
    }
    copy.put_bytes(path, &bytes[..cut]);
    Expected::at(DamageKind::Truncated, path, whole, seq(&lines[whole]))
}

/// The checkpoint is replaced and everything after it made to fit, in all files.
fn forged(copy: &mut Copy, rng: &mut Rng, original: &Original) -> Expected {
    if rng.u8(..4) == 0 {
        let at = match rng.u8(..2) {
            0 => Appended { seq: original.head.seq, hash: Hash([9; 32]) },
            _ => Appended { seq: original.head.seq - 1, hash: original.head.hash },
        };
        copy.kept = key().sign(at);
        return Expected {
            path: "kept".into(),
            ..Expected::at(DamageKind::ForgedCheckpoint, Path::new(""), 0, at.seq)
        };
    }
    let files: Vec<PathBuf> = copy.with_lines().into_iter().cloned().collect();
    let mut places = Vec::new();
    for (file, path) in files.iter().enumerate() {
        let checkpoint = |line: &Vec<u8>| line.windows(20).any(|part| part == b"\"event\":\"checkpoint\"");
        places.extend(
            copy.lines(path).iter().enumerate().filter(|(_, line)| checkpoint(line)).map(|(n, _)| (file, n)),
        );
    }
    let (file, index) = places[rng.usize(..places.len())];
    let line = String::from_utf8(copy.lines(&files[file])[index].clone()).unwrap();
    let (number, prev): (u64, Hash) =
        (seq(line.as_bytes()), line.split("\"prev\":\"").nth(1).unwrap()[..64].parse().unwrap());
    let before = Appended { seq: number - 1, hash: prev };
    let other = SigningKey::from_seed(ORIGIN, &[8; 32]).unwrap();
    let note = match rng.u8(..4) {
        0 => other.sign(before),
        1 => key().sign(Appended { hash: Hash([3; 32]), ..before }),
        2 => key().sign(Appended { seq: 1, ..before }),
        _ => key().sign(Appended { hash: Hash([3; 32]), ..before }).replacen(
            &key().sign(Appended { hash: Hash([3; 32]), ..before }).lines().nth(2).unwrap().to_owned(),
            key().sign(before).lines().nth(2).unwrap(),
            1,
        ),
    };
    let mut last = prev;
    for (n, path) in files.iter().enumerate().skip(file) {
        let mut lines = copy.lines(path);
        for (m, text) in lines.iter_mut().enumerate() {
            if (n, m) < (file, index) {
                continue;
            }
            if (n, m) == (file, index) {
                let start = line.find("\"note\":").unwrap();
                let end = start + line[start..].find("\"}").unwrap() + 1;
                let changed = format!(
                    "{}\"note\":{}{}",
                    &line[..start],
                    serde_json::to_string(&note).unwrap(),
                    &line[end..]
                );
                *text = changed.into_bytes();
            }
            (*text, last) = rehashed(text, last);
        }
        copy.put(path, &lines);
    }
    // Even the newest checkpoint elsewhere is made to fit, as far as there is no key.
    Expected::at(DamageKind::ForgedCheckpoint, &files[file], index, number)
}

fn missing(copy: &Copy, path: &Path) -> Expected {
    let lines = copy.lines(path);
    fs::remove_file(path).unwrap();
    let open = path.file_name().unwrap() == "audit.jsonl";
    let next = copy.files.iter().position(|file| file == path).unwrap() + 1;
    let place = if open { path } else { &copy.files[next] };
    Expected::at(DamageKind::MissingFile, place, 0, seq(&lines[0]))
}

fn stub(copy: &Copy, rng: &mut Rng) -> Expected {
    let path = &copy.files[0];
    let text = fs::read_to_string(path).unwrap();
    let mut stub: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (member, value) = match rng.u8(..6) {
        0 => ("last", serde_json::json!(5)),
        1 => ("prev", serde_json::json!("11".repeat(32))),
        2 => ("hash", serde_json::json!("11".repeat(32))),
        3 => ("records", serde_json::json!(7)),
        4 => ("checkpoint", serde_json::json!("no note")),
        _ => ("more", serde_json::json!(1)),
    };
    stub[member] = value;
    fs::write(path, stub.to_string()).unwrap();
    Expected::at(DamageKind::Stub, path, 0, 1)
}

#[test]
fn the_record_as_it_was_written_verifies() {
    let original = Original::new();
    let copy = original.copy();
    let names: Vec<_> = copy.files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert!(
        names[0].ends_with(".stub.json") && names[1].ends_with(".gz") && names[2].ends_with(".jsonl"),
        "{names:?}"
    );
    assert_eq!(names.last(), Some(&"audit.jsonl"));
    let verified = copy.verify().unwrap();
    assert_eq!(verified.head, Some(original.head));
    assert_eq!(verified.signed_to, Some(original.head.seq));
    assert!(verified.deleted > 20 && verified.checkpoints > 5 && verified.is_whole());
    assert_eq!(verified.records + verified.deleted, original.head.seq);
}

#[test]
fn a_thousand_damages_are_named() {
    let original = Original::new();
    let mut counts = std::collections::BTreeMap::new();
    let mut wrong = Vec::new();
    for seed in 0..ROUNDS {
        let mut rng = Rng::with_seed(seed);
        let mut copy = original.copy();
        let files: Vec<PathBuf> = copy.with_lines().into_iter().cloned().collect();
        let path = files[rng.usize(..files.len())].clone();
        let expected = match rng.u8(..20) {
            0..4 => edited(&copy, &path, &mut rng),
            4..6 => edited_with_hash(&copy, &path, &mut rng, &original),
            6..9 => deleted(&copy, &path, &mut rng),
            9..12 => inserted(&copy, &path, &mut rng),
            12..14 => reordered(&copy, &path, &mut rng),
            14..16 => truncated(&copy, &path, &mut rng),
            16..18 => forged(&mut copy, &mut rng, &original),
            18 => missing(&copy, &path),
            _ => stub(&copy, &mut rng),
        };
        let Damage { kind, path, line, seq, detail } = copy.damage();
        let said = Expected { kind, path, line, seq };
        if said != expected {
            wrong.push(format!("seed {seed}: expected {expected:?}, said {said:?}: {detail}"));
        }
        *counts.entry(expected.kind.as_str()).or_insert(0) += 1;
    }
    assert!(wrong.is_empty(), "{} are named wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(counts.len(), 8, "each kind was tried: {counts:?}");
}

#[test]
fn a_cut_of_whole_lines_at_the_end_shows_only_against_a_checkpoint_elsewhere() {
    let original = Original::new();
    let copy = original.copy();
    let path = copy.files.last().unwrap();
    let mut lines = copy.lines(path);
    lines.pop();
    copy.put(path, &lines);
    assert_eq!(copy.damage().kind, DamageKind::Truncated);
    let keys = vec![key().public().clone()];
    verify_trail(copy.dir.path(), &Trust { keys, kept: None }).unwrap();
}

#[test]
fn with_another_key_than_the_given_no_checkpoint_counts() {
    let original = Original::new();
    let keys = vec![SigningKey::from_seed(ORIGIN, &[8; 32]).unwrap().public().clone()];
    let outcome = verify_trail(original.dir.path(), &Trust { keys, kept: None });
    let Err(VerifyFailure::Damaged(damage)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(damage.kind, DamageKind::Stub, "the oldest checkpoint is the stub's");
    // Without any key, those that it names itself count; that of this record was deleted with its first file.
    let verified = verify_trail(original.dir.path(), &Trust::default()).unwrap();
    assert_eq!((verified.checkpoints, verified.signed_to), (0, None));
}

#[test]
fn what_the_daemon_found_gone_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let log = AuditLog::open(dir.path(), at(0)).unwrap();
    (0..3).for_each(|n| _ = log.append(&event(n)).unwrap());
    log.rotate(at(5)).unwrap().unwrap();
    (0..3).for_each(|n| _ = log.append(&event(n)).unwrap());
    fs::remove_file(dir.path().join("audit.jsonl")).unwrap();
    assert!(log.append(&event(9)).is_err());
    log.append(&event(10)).unwrap();
    let verified = verify_trail(dir.path(), &Trust::default()).unwrap();
    assert!(!verified.is_whole());
    assert_eq!((verified.losses[0].after, verified.losses[0].seq), (3, 8));
    // A line that a crash cut short is none.
    drop(log);
    let path = dir.path().join("audit.jsonl");
    fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"{\"seq\":").unwrap();
    AuditLog::open(dir.path(), at(20)).unwrap();
    assert_eq!(verify_trail(dir.path(), &Trust::default()).unwrap().torn, 1);
}
