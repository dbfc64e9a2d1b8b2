//! The measuring client. It runs as a process of its own, from the executable that is registered as an agent.

use std::path::PathBuf;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use agentauth_api::paths;
use e2e::World;
use e2e::raw::{Raw, request};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::empty::Empty;
use crate::median_of;
use crate::worlds::Setting;

/// More questions than the daemon remembers verdicts.
const VARIANTS: usize = 6_000;

/// What to measure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    turns: usize,
    requests: usize,
    /// Measure throughput for so long in each turn instead of latency.
    throughput_ms: Option<u64>,
    connections: usize,
    targets: Vec<Target>,
}

/// Something to ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    pub name: String,
    pub socket: PathBuf,
    pub greet: bool,
    pub scope: String,
    /// Every question is another one.
    pub vary: bool,
    /// A connection and a greeting for every question.
    pub fresh: bool,
    /// Ask so many times less often: it is slow.
    pub fewer: usize,
}

/// What was found, in microseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Latency {
    pub name: String,
    pub p50: f64,
    pub p99: f64,
}

impl Target {
    pub fn check(world: &World, name: &str, scope: &str) -> Self {
        Self {
            name: name.to_owned(),
            socket: world.socket(),
            greet: true,
            scope: scope.to_owned(),
            vary: false,
            fresh: false,
            fewer: 1,
        }
    }

    pub fn empty(empty: &Empty) -> Self {
        Self {
            name: "empty handler".to_owned(),
            socket: empty.socket.clone(),
            greet: false,
            scope: crate::READ.to_owned(),
            vary: false,
            fresh: false,
            fewer: 1,
        }
    }
}

impl Plan {
    pub fn latency(turns: usize, requests: usize, targets: Vec<Target>) -> Self {
        Self { turns, requests, throughput_ms: None, connections: 1, targets }
    }

    pub fn throughput(turns: usize, each: Duration, connections: usize, targets: Vec<Target>) -> Self {
        let throughput_ms = Some(u64::try_from(each.as_millis()).unwrap());
        Self { turns, requests: 0, throughput_ms, connections, targets }
    }
}

/// Measures latencies; the median of each target's turns.
pub fn latency(setting: &Setting, plan: &Plan) -> Vec<Latency> {
    let turns: Vec<Vec<Latency>> = serde_json::from_value(ask_agent(setting, plan)).unwrap();
    turns
        .iter()
        .map(|turns| Latency {
            name: turns[0].name.clone(),
            p50: median_of(turns, |turn| turn.p50),
            p99: median_of(turns, |turn| turn.p99),
        })
        .collect()
}

/// Measures throughputs, in requests a second; the median of each target's turns.
pub fn throughput(setting: &Setting, plan: &Plan) -> Vec<f64> {
    let turns: Vec<Vec<f64>> = serde_json::from_value(ask_agent(setting, plan)).unwrap();
    turns
        .into_iter()
        .map(|mut turns| {
            turns.sort_by(f64::total_cmp);
            turns[turns.len() / 2]
        })
        .collect()
}

fn ask_agent(setting: &Setting, plan: &Plan) -> Value {
    let mut command = e2e::binaries::command(&setting.agent);
    command.arg("--measure").arg(json!(plan).to_string()).stderr(std::process::Stdio::inherit());
    let output = command.output().unwrap();
    assert!(output.status.success(), "the measuring process failed: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// In the measuring process: carries out a plan and prints what was found.
pub fn run(plan: &str) {
    let plan: Plan = serde_json::from_str(plan).unwrap();
    let found = match plan.throughput_ms {
        None => json!(latencies(&plan)),
        Some(ms) => json!(throughputs(&plan, Duration::from_millis(ms))),
    };
    println!("{found}");
}

/// A target with its kept connection and its prepared requests.
struct Ready<'a> {
    target: &'a Target,
    connection: Raw,
    requests: Vec<Vec<u8>>,
    next: usize,
}

impl<'a> Ready<'a> {
    fn new(target: &'a Target) -> Self {
        let mut connection = Raw::connect(&target.socket).unwrap();
        let nonce = target.greet.then(|| connection.greet().unwrap());
        let variants = if target.vary { VARIANTS } else { 1 };
        let requests = (0..variants)
            .map(|variant| {
                let scope =
                    if target.vary { format!("{}/{variant}", target.scope) } else { target.scope.clone() };
                request("POST", paths::CHECK, nonce.as_deref(), Some(&json!({"scope": scope})))
            })
            .collect();
        let mut ready = Self { target, connection, requests, next: 0 };
        // The first answers must be what is measured: an allow, proven as well as can be. The executable's hash is
        // computed once, off the thread; until it is there the answer may be another.
        e2e::wait::until_true(&format!("an allow for {}", target.name), || {
            ready.ask();
            let answer = ready.last_answer();
            answer["decision"] == "allow" && (!target.greet || answer["assurance"] == "pinned")
        });
        ready
    }

    fn last_answer(&mut self) -> Value {
        self.connection.send(&self.requests[0]).unwrap();
        self.connection.receive().unwrap().json()
    }

    /// One question and its answer.
    fn ask(&mut self) {
        let bytes = &self.requests[self.next];
        self.next = (self.next + 1) % self.requests.len();
        self.connection.send(bytes).unwrap();
        let (status, _) = self.connection.receive_borrowed().unwrap();
        assert_eq!(status, 200);
    }

    /// A connection, a greeting, one question.
    fn ask_afresh(&mut self) {
        let mut connection = Raw::connect(&self.target.socket).unwrap();
        let nonce = connection.greet().unwrap();
        let bytes = request("POST", paths::CHECK, Some(&nonce), Some(&json!({"scope": self.target.scope})));
        connection.send(&bytes).unwrap();
        assert_eq!(connection.receive_borrowed().unwrap().0, 200);
    }
}

fn latencies(plan: &Plan) -> Vec<Vec<Latency>> {
    let mut ready: Vec<Ready<'_>> = plan.targets.iter().map(Ready::new).collect();
    let mut found: Vec<Vec<Latency>> = plan.targets.iter().map(|_| Vec::new()).collect();
    // The first turn warms up and does not count, unless it is the only one.
    for turn in 0..plan.turns + usize::from(plan.turns > 1) {
        for (ready, found) in ready.iter_mut().zip(&mut found) {
            let requests = (plan.requests / ready.target.fewer.max(1)).max(1);
            let mut times: Vec<Duration> = Vec::with_capacity(requests);
            for _ in 0..requests {
                let asked = Instant::now();
                if ready.target.fresh {
                    ready.ask_afresh()
                } else {
                    ready.ask()
                }
                times.push(asked.elapsed());
            }
            times.sort_unstable();
            let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
            if turn > 0 || plan.turns == 1 {
                found.push(Latency { name: ready.target.name.clone(), p50: at(0.5), p99: at(0.99) });
            }
        }
    }
    found
}

fn throughputs(plan: &Plan, each: Duration) -> Vec<Vec<f64>> {
    let mut found: Vec<Vec<f64>> = plan.targets.iter().map(|_| Vec::new()).collect();
    let mut ready: Vec<Vec<Ready<'_>>> = plan
        .targets
        .iter()
        .map(|target| (0..plan.connections).map(|_| Ready::new(target)).collect())
        .collect();
    for turn in 0..=plan.turns {
        for (ready, found) in ready.iter_mut().zip(&mut found) {
            let begin = Barrier::new(ready.len());
            let (answers, took) = std::thread::scope(|scope| {
                let asking: Vec<_> = ready
                    .iter_mut()
                    .map(|ready| {
                        let begin = &begin;
                        scope.spawn(move || {
                            begin.wait();
                            let started = Instant::now();
                            let mut answers = 0_u64;
                            while started.elapsed() < each {
                                ready.ask();
                                answers += 1;
                            }
                            (answers, started.elapsed())
                        })
                    })
                    .collect();
                asking
                    .into_iter()
                    .map(|asking| asking.join().unwrap())
                    .fold((0, Duration::ZERO), |(sum, longest), (answers, took)| {
                        (sum + answers, longest.max(took))
                    })
            });
            if turn > 0 {
                found.push(answers as f64 / took.as_secs_f64());
            }
        }
    }
    found
}
