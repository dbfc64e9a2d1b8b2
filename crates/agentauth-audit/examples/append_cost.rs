//! Prints what one append costs on this machine: `cargo run --profile P --example append_cost [DIRECTORY]`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a measurement"
)]

use std::time::Instant;

use agentauth_audit::{Actor, AuditLog, Event, Kind, Verdict};
use jiff::Timestamp;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let place = std::env::args_os().nth(1).map_or_else(|| dir.path().to_owned(), Into::into);
    let log = AuditLog::open(&place, Timestamp::UNIX_EPOCH).unwrap();
    let event = Event {
        id: Some("0198b7a1-5d5c-7cc3-98c4-dc0c0c07398f".into()),
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
        ..Event::new(Kind::Decision, Timestamp::UNIX_EPOCH)
    };
    let mut durations = Vec::with_capacity(50_000);
    for _ in 0..50_000 {
        let started = Instant::now();
        log.append(&event).unwrap();
        durations.push(started.elapsed());
    }
    durations.sort_unstable();
    println!("append: p50 {:?}, p99 {:?}", durations[25_000], durations[49_500]);
    let mut durable: Vec<_> = (0..200)
        .map(|_| {
            let started = Instant::now();
            log.append_durable(&event).unwrap();
            started.elapsed()
        })
        .collect();
    durable.sort_unstable();
    println!("append_durable: p50 {:?}", durable[100]);
}
