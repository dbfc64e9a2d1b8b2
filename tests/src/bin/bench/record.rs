//! What the record costs: of each check, on the disk, and to be read back.

use std::path::Path;
use std::time::Instant;

use agentauth_audit::{AuditLog, Event, Kind, Trail, Trust, verify_trail};
use jiff::Timestamp;

use crate::agent::Agent;
use crate::latency::compare;
use crate::table::{Row, median, size, time};
use crate::worlds::{Bench, READ, daemon};
use crate::{Effort, say};

/// What stands above these rows.
pub const TITLE: &str = "the record, one processor core";
/// How many records are verified for each record that is written in a round.
const VERIFIED: usize = 100;

/// The rows. What is written is what the daemon writes of a check.
pub fn rows(bench: &Bench, effort: Effort) -> Vec<Row> {
    say("the record");
    let world = bench.plain();
    let target = daemon(&world, READ);
    let mut agent = Agent::start(&bench.agent);
    let check = compare(&mut agent, [&target, &target], effort.rounds, effort.slow_requests).first.p50;
    let entries = Trail::new(&world.state_dir().join("audit")).entries().unwrap();
    let decisions = entries.map(Result::unwrap).filter(|entry| entry.event.kind == Kind::Decision);
    let entry = decisions.last().expect("a decision");

    let log = AuditLog::open(&bench.home.path().join("record"), Timestamp::UNIX_EPOCH).unwrap();
    let append = median((0..effort.rounds).map(|_| {
        median((0..effort.requests).map(|_| {
            let begun = Instant::now();
            log.append(&entry.event).unwrap();
            begun.elapsed().as_nanos() as f64
        }))
    }));
    // It takes what is sent, and never answers.
    let receiver = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", receiver.local_addr().unwrap());
    let copied = bench.configured(&format!("\n[sinks.http]\nurl = \"{url}\"\n"));
    let hung = compare(&mut agent, [&daemon(&copied, READ), &target], effort.rounds, effort.requests);
    let rate = verified(&log, &entry.event, effort.requests * VERIFIED);
    vec![
        Row::new("one record, handed to the system, p50 (beside a check)", time(append))
            .ratio(append / check),
        Row::new("check while a sink does not answer, p50 (beside one without a sink)", time(hung.first.p50))
            .ratio(hung.ratio.p50)
            .unless_wrong(hung.wrong),
        Row::new("a decision on the disk", format!("{} bytes", entry.line.len() + 1)),
        Row::new("verifying", format!("{}/s", size(rate))),
    ]
}

/// Bytes in a second.
fn verified(log: &AuditLog, event: &Event<'_>, records: usize) -> f64 {
    for _ in 0..records {
        log.append(event).unwrap();
    }
    let length = |path: &Path| std::fs::metadata(path).unwrap().len() as f64;
    let rates = (0..3).map(|_| {
        let begun = Instant::now();
        verify_trail(log.directory(), &Trust::default()).unwrap();
        length(log.path()) / begun.elapsed().as_secs_f64()
    });
    median(rates)
}
