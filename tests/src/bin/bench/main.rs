//! The benchmark: how much asking costs, as ratios to an empty handler in one run on one machine.
//!
//! ```text
//! cargo run --release -p e2e --bin bench            (some two minutes; --quick: half a minute)
//! ```
//!
//! The daemon is the real release binary with its real configuration file, log and audit log; the client is a
//! registered agent, recognised by path and SHA-256, that greeted once and then sends prepared bytes over a kept
//! connection. Beside it an empty axum JSON handler (reads a JSON body, answers a small one) listens on the same kind of
//! Unix socket, on the same kind of runtime. Both are measured in turns by the same client, so that what disturbs one
//! disturbs the other; each number is the median over the turns.
//!
//! Pinned: client and servers share core 0, so that no cross-core wake-up hides the work. Unpinned: as the system
//! pleases, which is what a user feels.

mod empty;
mod measure;
mod report;
mod worlds;

use std::time::{Duration, Instant};

use agentauth_api::{SessionPhase, paths};
use e2e::raw::Raw;
use e2e::{ALICE, Store, World, process, wait};
use serde_json::json;

use empty::Empty;
use measure::{Latency, Plan, Target};
use report::Report;
use worlds::{Setting, Size};

/// The question of the kept check: reading is no high risk.
const READ: &str = "files.read:/projects/alpha";
/// Money is: its record is on disk before the answer leaves.
const PAY: &str = "payments.execute:currency=EUR";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--serve-empty", socket] => empty::serve(socket.as_ref()),
        ["--measure", plan] => measure::run(plan),
        [] => run(&Effort::FULL),
        ["--quick"] => run(&Effort::QUICK),
        _ => {
            eprintln!("usage: bench [--quick]");
            std::process::exit(64);
        }
    }
}

/// How much is measured.
struct Effort {
    turns: usize,
    requests: usize,
    throughput: Duration,
    starts: usize,
    large: Size,
}

impl Effort {
    const FULL: Self = Self {
        turns: 15,
        requests: 4_000,
        throughput: Duration::from_millis(700),
        starts: 9,
        large: Size { policies: 1_000, agents: 1_000, grants: 100_000 },
    };
    const QUICK: Self = Self {
        turns: 5,
        requests: 1_000,
        throughput: Duration::from_millis(300),
        starts: 3,
        large: Size { policies: 1_000, agents: 1_000, grants: 100_000 },
    };
}

const SMALL: Size = Size { policies: 10, agents: 10, grants: 10 };

fn run(effort: &Effort) {
    if cfg!(debug_assertions) {
        println!(
            "This is a debug build, whose numbers mean nothing: cargo run --release -p e2e --bin bench\n"
        );
    }
    agentauth_demo::binaries::daemon().unwrap_or_else(|error| panic!("{error}"));
    let everywhere = rustix::thread::sched_getaffinity(None).unwrap();
    let setting = Setting::new();
    let mut report = Report::default();
    report.heading();

    for pinned in [true, false] {
        let mut cores = everywhere;
        if pinned {
            cores.clear();
            cores.set((0..rustix::thread::CpuSet::MAX_CPU).find(|&core| everywhere.is_set(core)).unwrap());
        }
        // What is started from this thread inherits where it may run.
        rustix::thread::sched_setaffinity(None, &cores).unwrap();
        report.part(if pinned { "pinned to one core" } else { "unpinned" }, pinned);
        latency(effort, &setting, &mut report);
        throughput(effort, &setting, &mut report);
        scale(effort, &setting, &mut report);
    }
    rustix::thread::sched_setaffinity(None, &everywhere).unwrap();
    report.part("start and memory", true);
    start(effort, &setting, &mut report);
    report.end();
}

/// One question over a kept connection, and what differs from it by one thing.
fn latency(effort: &Effort, setting: &Setting, report: &mut Report) {
    let (world, empty) = (logged_in(setting, SMALL), Empty::start());
    let check = Target::check(&world, "check", READ);
    let targets = vec![
        Target::empty(&empty),
        check.clone(),
        Target {
            vary: true,
            ..Target::check(&world, "check, a new question each time", "files.read:/projects/new")
        },
        Target { fewer: 8, ..Target::check(&world, "check, high risk (fdatasync)", PAY) },
        Target { fewer: 4, fresh: true, ..Target { name: "connect, greet, check".to_owned(), ..check } },
    ];
    let found = measure::latency(setting, &Plan::latency(effort.turns, effort.requests, targets));
    let [empty, check, varied, high, fresh] = found.as_slice() else { panic!("five targets") };
    report.latency(empty, None);
    report.latency(check, Some(("empty handler", check.p50 / empty.p50, Some(2.0))));
    report.latency(varied, Some(("empty handler", varied.p50 / empty.p50, None)));
    report.latency(high, Some(("empty handler", high.p50 / empty.p50, None)));
    report.latency(fresh, Some(("kept check", fresh.p50 / check.p50, Some(8.0))));
}

fn throughput(effort: &Effort, setting: &Setting, report: &mut Report) {
    let (world, empty) = (logged_in(setting, SMALL), Empty::start());
    let targets = vec![Target::empty(&empty), Target::check(&world, "check", READ)];
    let found =
        measure::throughput(setting, &Plan::throughput(effort.turns.min(9), effort.throughput, 8, targets));
    report.throughput("empty handler", found[0], None);
    report.throughput("check", found[1], Some((found[1] / found[0], 0.6)));
}

/// The same question with little and with much to know.
fn scale(effort: &Effort, setting: &Setting, report: &mut Report) {
    let (small, large) = (logged_in(setting, SMALL), logged_in(setting, effort.large));
    let targets = |world: &World, size: Size| {
        let name = format!("check with {size}");
        [
            Target::check(world, &name, READ),
            Target {
                vary: true,
                ..Target::check(world, &format!("{name}, new questions"), "files.read:/projects/new")
            },
        ]
    };
    let targets = [targets(&small, SMALL), targets(&large, effort.large)].concat();
    let found = measure::latency(setting, &Plan::latency(effort.turns, effort.requests, targets));
    let [small, small_varied, large, large_varied] = found.as_slice() else { panic!("four targets") };
    report.latency(small, None);
    report.latency(large, Some(("that", large.p50 / small.p50, Some(1.5))));
    report.latency(small_varied, None);
    report.latency(large_varied, Some(("that", large_varied.p50 / small_varied.p50, None)));
}

/// From the start of the process to the first status, with a stored session; and what it weighs when idle.
fn start(effort: &Effort, setting: &Setting, report: &mut Report) {
    let mut world = worlds::world(setting, SMALL, Store::File);
    world.login(ALICE);
    let (mut to_status, mut to_session) = (Vec::new(), Vec::new());
    for _ in 0..effort.starts {
        world.stop_daemon();
        let started = Instant::now();
        world.start_daemon_without_waiting();
        let status = wait::until("an answer to status", || {
            Raw::connect(&world.socket()).and_then(|mut raw| raw.ask("GET", paths::STATUS, None, None)).ok()
        });
        assert_eq!(status.status, 200);
        to_status.push(started.elapsed());
        world.wait_for_phase(SessionPhase::Active);
        to_session.push(started.elapsed());
    }
    report.duration("start to the first status", median(to_status), Some(Duration::from_millis(150)));
    report.duration("start to a session in force (age file: scrypt)", median(to_session), None);
    let resident = process::resident_bytes(world.daemon().pid()).unwrap();
    report.bytes("resident memory, idle, with the age-file store", resident, Some(25 * 1024 * 1024));
    let mut world = logged_in(setting, SMALL);
    let resident = process::resident_bytes(world.daemon().pid()).unwrap();
    report.bytes("resident memory, idle, with the memory store", resident, Some(25 * 1024 * 1024));
}

fn logged_in(setting: &Setting, size: Size) -> World {
    let world = worlds::world(setting, size, Store::Memory);
    world.login(ALICE);
    let mut command = e2e::binaries::command(&setting.agent);
    let plan =
        Plan::latency(1, 1, vec![Target::check(&world, "probe", READ), Target::check(&world, "probe", PAY)]);
    command.arg("--measure").arg(json!(plan).to_string());
    let outcome = e2e::cli::run(command);
    assert_eq!(outcome.code, Some(0), "the agent must be allowed: {outcome:?}");
    world
}

fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort();
    durations[durations.len() / 2]
}

/// The median of one number of each turn, in microseconds.
fn median_of(turns: &[Latency], number: fn(&Latency) -> f64) -> f64 {
    let mut numbers: Vec<f64> = turns.iter().map(number).collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
