//! Prints how fast a record is verified on this machine, and what a decision takes on the disk:
//! `cargo run --profile P --example verify_speed`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a measurement"
)]

use std::time::{Duration, Instant};

use agentauth_audit::{Actor, AuditLog, Event, Kind, SigningKey, Trust, Verdict, verify_trail};
use jiff::Timestamp;

const RECORDS: u64 = 400_000;
const FILES: u64 = 4;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let log = AuditLog::open(dir.path(), Timestamp::UNIX_EPOCH).unwrap();
    let key = SigningKey::from_seed("agentauthd/measured", &[1; 32]).unwrap();
    let mut longest = Duration::ZERO;
    for n in 0..RECORDS {
        let id = format!("dec_0198b7a15d5c7cc398c4{n:012x}");
        let event = Event {
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
            ..Event::new(Kind::Decision, Timestamp::from_millisecond(n.cast_signed()).unwrap())
        };
        log.append(&event).unwrap();
        if n % 1000 == 999 {
            log.append_signed(event.time, |head| key.sign(head)).unwrap();
        }
        if n % (RECORDS / FILES) == RECORDS / FILES - 1 && n + 1 < RECORDS {
            let started = Instant::now();
            log.rotate(event.time).unwrap();
            longest = longest.max(started.elapsed());
        }
    }
    println!("rotation, its syncs included: {longest:?} at most");
    measure(dir.path(), &key, "plain");
    let started = Instant::now();
    while log.compress_one().unwrap() {}
    println!("compressing the closed files: {:?}", started.elapsed());
    measure(dir.path(), &key, "closed files compressed");
}

fn measure(directory: &std::path::Path, key: &SigningKey, what: &str) {
    let trust = Trust { keys: vec![key.public().clone()], kept: None };
    let best = (0..5)
        .map(|_| {
            let started = Instant::now();
            let verified = verify_trail(directory, &trust).unwrap();
            (started.elapsed(), verified)
        })
        .min_by_key(|(took, _)| *took);
    let (took, verified) = best.unwrap();
    let on_disk: u64 =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    println!(
        "{what}: {} records, {} bytes ({} on disk, {} a record) verified in {took:?}: {:.0} MB/s",
        verified.records,
        verified.bytes,
        on_disk,
        on_disk / verified.records,
        verified.bytes as f64 / took.as_secs_f64() / 1e6
    );
}
