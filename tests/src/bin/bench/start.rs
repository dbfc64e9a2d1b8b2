//! How soon the daemon answers, how small it is, and how fast the end of a session reaches those who ask.

use std::time::{Duration, Instant};

use agentauth_api::{SessionPhase, Status, paths};
use e2e::process::resident_bytes;
use e2e::raw::Raw;
use e2e::{ALICE, World, wait};

use crate::agent::Agent;
use crate::table::{Row, median, size, time};
use crate::task::{Report, Task, now};
use crate::worlds::{Bench, READ, daemon};
use crate::{Effort, say};

pub const TITLE: &str = "start, memory, end of a session, unpinned";
/// How often a starting daemon is asked.
const POLL: Duration = Duration::from_micros(200);

pub fn rows(bench: &Bench, effort: Effort) -> Vec<Row> {
    say("starts");
    let mut world = bench.plain();
    world.stop_daemon();
    let starts: Vec<Start> = (0..effort.starts).map(|_| start(&mut world)).collect();
    let of = |value: fn(&Start) -> f64| median(starts.iter().map(value));
    let (answers, active, memory) = (of(|s| s.answers), of(|s| s.active), of(|s| s.memory));
    let store = bench.store();
    let mut rows = vec![
        Row::new(format!("start to answering `status`, session stored ({store})"), time(answers))
            .judged("<= 150 ms", Some(answers <= 150e6)),
        Row::new(format!("start to verified session ({store})"), time(active)),
        Row::new(format!("idle memory after it ({store})"), size(memory))
            .judged("<= 25 MiB", Some(memory <= 25.0 * 1_048_576.0)),
        Row::new("revocation event to first deny", "no event stream").judged("<= 10 ms", None),
    ];
    say("logouts");
    world.start_daemon();
    let logouts = median((0..effort.starts).map(|_| logout(bench, &world)));
    rows.push(
        Row::new("logout request to first deny", time(logouts)).judged("<= 10 ms", Some(logouts <= 10e6)),
    );
    rows
}

/// One start with a stored session, in nanoseconds from the start of the process, and bytes.
struct Start {
    answers: f64,
    active: f64,
    memory: f64,
}

fn start(world: &mut World) -> Start {
    let begun = Instant::now();
    world.start_daemon_without_waiting();
    let process = world.daemon().pid();
    let answers = poll(begun, || status(world).map(drop));
    let active =
        poll(begun, || status(world).filter(|status| status.session.phase == SessionPhase::Active).map(drop));
    // Idle: what the start took for a while has been given back, and nothing changes any more.
    let mut memory = 0;
    wait::until_true("its memory to stay the same", || {
        let earlier = std::mem::replace(&mut memory, resident_bytes(process).unwrap_or_default());
        std::thread::sleep(Duration::from_millis(100));
        earlier == memory
    });
    world.stop_daemon();
    Start { answers, active, memory: memory as f64 }
}

fn poll(begun: Instant, mut done: impl FnMut() -> Option<()>) -> f64 {
    while done().is_none() {
        assert!(begun.elapsed() < wait::PATIENCE, "the daemon does not get there");
        std::thread::sleep(POLL);
    }
    begun.elapsed().as_nanos() as f64
}

fn status(world: &World) -> Option<Status> {
    let answer = Raw::connect(&world.socket()).ok()?.ask("GET", paths::STATUS, None, None).ok()?;
    serde_json::from_slice(&answer.body).ok()
}

/// Logs in (if nobody is), lets the agent ask all the time, and logs out.
fn logout(bench: &Bench, world: &World) -> f64 {
    if world.status().session.phase != SessionPhase::Active {
        world.login(ALICE);
    }
    let mut agent = Agent::start(&bench.agent);
    agent.send(&Task::UntilDenied { target: daemon(world, READ) });
    assert!(matches!(agent.report(), Report::Asking), "not what was asked");
    let mut person = Raw::connect(&world.socket()).unwrap();
    let sent = now();
    let answer = person.ask("DELETE", paths::SESSION, None, None).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json());
    let Report::Denied { at, answer } = agent.report() else { unreachable!("not what was asked") };
    assert!(answer.contains("not_logged_in"), "{answer}");
    at.saturating_sub(sent) as f64
}
