//! Prints what the record costs on this machine: an append, with and without the disk; a rotation; verifying, exporting; and
//! what a decision takes on the disk: `cargo run --profile P --example speed [DIRECTORY]`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "a measurement"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use agentauth_audit::export::{Origin, cef, csv, ocsf};
use agentauth_audit::{Actor, AuditLog, Entry, Event, Kind, SigningKey, Trail, Trust, Verdict, verify_trail};
use jiff::Timestamp;

const RECORDS: u64 = 200_000;
const FILES: u64 = 4;
const EXPORTED: usize = 20_000;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let place = std::env::args_os().nth(1).map_or_else(|| dir.path().to_owned(), Into::into);
    let log = AuditLog::open(&place, Timestamp::UNIX_EPOCH).unwrap();
    let key = SigningKey::from_seed("agentauthd/measured", &[1; 32]).unwrap();
    let mut appends = Vec::with_capacity(200_000);
    let mut rotations = Vec::new();
    for n in 0..RECORDS {
        let id = format!("dec_0198b7a15d5c7cc398c4{n:012x}");
        let event = decision(&id, n);
        appends.push(time(|| log.append(&event).unwrap()));
        if n % 1000 == 999 {
            log.append_signed(event.time, |head| key.sign(head)).unwrap();
        }
        if n % (RECORDS / FILES) == RECORDS / FILES - 1 && n + 1 < RECORDS {
            rotations.push(time(|| log.rotate(event.time).unwrap()));
        }
    }
    told("append", appends);
    told("rotation, its syncs included", rotations);
    let id = "dec_0198b7a15d5c7cc398c4dc0c0c07398f";
    told(
        "append, and on disk",
        (0..200)
            .map(|n| {
                let event = decision(id, n);
                time(|| log.append(&event).and_then(|appended| log.sync_to(appended.seq)).unwrap())
            })
            .collect(),
    );
    exported(&place);
    verified(&place, &key, "plain");
    let compressed = time(|| while log.compress_one().unwrap() {});
    println!("compressing the closed files: {compressed:?}");
    verified(&place, &key, "closed files compressed");
}

fn decision(id: &str, millisecond: u64) -> Event<'_> {
    Event {
        id: Some(id.into()),
        user: Some("U2abcdefghijklmnopqrstuvwxyz".into()),
        actor: Some(Actor {
            pid: 4711,
            executable: Some("/usr/bin/python3.11".into()),
            sha256: Some("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".into()),
            assurance: Some("path".into()),
            agents: vec!["payment-agent".into()],
        }),
        scopes: vec!["payments.execute:currency=EUR".into()],
        decision: Some(Verdict::Allow),
        reason: Some("granted".into()),
        policies: vec!["floor.cedar#0".into()],
        grants: vec!["grant-1".into()],
        ..Event::new(Kind::Decision, Timestamp::from_millisecond(millisecond.cast_signed()).unwrap())
    }
}

fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn told(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |share: usize| took[(took.len() - 1) * share / 100];
    println!("{what}: p50 {:?}, p99 {:?}, at most {:?}", at(50), at(99), at(100));
}

fn verified(directory: &Path, key: &SigningKey, what: &str) {
    let trust = Trust { keys: vec![key.public().clone()], kept: None };
    let took = (0..5).map(|_| time(|| verify_trail(directory, &trust).unwrap())).min().unwrap();
    let verified = verify_trail(directory, &trust).unwrap();
    let on_disk: u64 =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    println!(
        "{what}: {} records, {} bytes ({on_disk} on disk, {} a record) verified in {took:?}: {:.0} MB/s",
        verified.records,
        verified.bytes,
        on_disk / verified.records,
        verified.bytes as f64 / took.as_secs_f64() / 1e6
    );
}

fn exported(directory: &Path) {
    let mut entries = Vec::with_capacity(EXPORTED);
    let read = time(|| entries.extend(Trail::new(directory).entries().unwrap().take(EXPORTED)));
    let entries: Vec<Entry> = entries.into_iter().map(Result::unwrap).collect();
    println!("reading {EXPORTED} records: {:?} each", read / 20_000);
    let origin = Origin { host: "host.example".to_owned(), ..Origin::default() };
    let each = |name: &str, write: &dyn Fn(&Entry) -> String| {
        let took =
            time(|| std::hint::black_box(entries.iter().map(|entry| write(entry).len()).sum::<usize>()));
        println!("{name}: {:?} each", took / 20_000);
    };
    each("ocsf", &|entry| ocsf::line(entry, &origin).unwrap_or_default());
    each("cef", &|entry| cef::line(entry, &origin));
    each("csv", &|entry| csv::line(entry, &origin));
}
