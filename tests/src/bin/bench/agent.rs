//! The agent: a copy of this program, registered, that asks. A process of its own, since what starts the daemon and logs
//! in is the person, whom an agent may not stand in for.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, ExitCode, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use e2e::binaries;
use e2e::process::Owned;

use crate::link::{Link, find, question};
use crate::machine;
use crate::task::{Quantiles, Report, Target, Task, now};

/// The argument that makes this program the agent.
pub const MODE: &str = "--agent";

/// A running agent, as the benchmark holds it.
pub struct Agent {
    _process: Owned,
    tasks: ChildStdin,
    reports: BufReader<ChildStdout>,
}

impl Agent {
    /// Starts it.
    pub fn start(program: &Path) -> Self {
        let mut command = binaries::command(program);
        let mut process = Owned::start(command.arg(MODE).stdin(Stdio::piped()).stdout(Stdio::piped()));
        let tasks = process.child().stdin.take().unwrap();
        let reports = BufReader::new(process.child().stdout.take().unwrap());
        Self { _process: process, tasks, reports }
    }

    /// Gives it something to do.
    pub fn send(&mut self, task: &Task) {
        writeln!(self.tasks, "{}", serde_json::to_string(task).unwrap()).unwrap();
    }

    /// Waits for what it says.
    pub fn report(&mut self) -> Report {
        let mut line = String::new();
        self.reports.read_line(&mut line).unwrap();
        match serde_json::from_str(&line).unwrap() {
            Report::Failed(what) => panic!("the agent cannot measure: {what}"),
            report => report,
        }
    }

    /// Both.
    pub fn measure(&mut self, task: &Task) -> Report {
        self.send(task);
        self.report()
    }
}

/// Does tasks until there are none left.
pub fn serve() -> ExitCode {
    machine::end_with_parent();
    for line in io::stdin().lines() {
        let task = serde_json::from_str(&line.unwrap()).unwrap();
        let report = match task {
            Task::Latency { targets, rounds, requests } => latency(targets, rounds, requests),
            Task::Throughput { targets, rounds, requests, connections } => {
                throughput(&targets, rounds, requests, connections)
            }
            Task::UntilDenied { target } => until_denied(target),
        };
        say(&report.unwrap_or_else(|error| Report::Failed(error.to_string())));
    }
    ExitCode::SUCCESS
}

fn say(report: &Report) {
    println!("{}", serde_json::to_string(report).unwrap());
}

fn latency(targets: Vec<Target>, rounds: usize, requests: usize) -> io::Result<Report> {
    let mut askers = targets.into_iter().map(Asker::new).collect::<io::Result<Vec<_>>>()?;
    let mut measured = vec![Vec::with_capacity(rounds); askers.len()];
    let mut times = Vec::with_capacity(requests);
    // The first round warms everything up.
    for round in 0..=rounds {
        for (asker, measured) in askers.iter_mut().zip(&mut measured) {
            times.clear();
            for _ in 0..requests {
                times.push(asker.ask()?.as_nanos() as f64);
            }
            if round > 0 {
                times.sort_by(f64::total_cmp);
                let at = |hundredth: usize| times[times.len() * hundredth / 100];
                measured.push(Quantiles { p50: at(50), p99: at(99) });
            }
        }
    }
    Ok(Report::Latency { rounds: measured, wrong: askers.iter().map(|asker| asker.wrong).collect() })
}

fn throughput(targets: &[Target], rounds: usize, requests: usize, connections: usize) -> io::Result<Report> {
    let mut measured = vec![Vec::with_capacity(rounds); targets.len()];
    let mut wrong = vec![0; targets.len()];
    for round in 0..=rounds {
        for (index, target) in targets.iter().enumerate() {
            let barrier = Barrier::new(connections + 1);
            let asking = || {
                let mut asker = Asker::new(target.clone())?;
                asker.ask()?;
                barrier.wait();
                (0..requests).try_for_each(|_| asker.ask().map(drop))?;
                Ok(asker.wrong)
            };
            let (took, outcomes) = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..connections).map(|_| scope.spawn(asking)).collect();
                barrier.wait();
                let begun = Instant::now();
                let outcomes: io::Result<Vec<u64>> =
                    threads.into_iter().map(|thread| thread.join().unwrap()).collect();
                (begun.elapsed(), outcomes)
            });
            wrong[index] += outcomes?.iter().sum::<u64>();
            if round > 0 {
                measured[index].push((requests * connections) as f64 / took.as_secs_f64());
            }
        }
    }
    Ok(Report::Throughput { rounds: measured, wrong })
}

fn until_denied(target: Target) -> io::Result<Report> {
    let mut asker = Asker::new(target)?;
    asker.ask()?;
    if asker.wrong > 0 {
        return Ok(Report::Failed("it is denied before anything happened".to_owned()));
    }
    say(&Report::Asking);
    while asker.wrong == 0 {
        asker.ask()?;
    }
    Ok(Report::Denied { at: now(), answer: asker.last_wrong })
}

/// Asks one target.
struct Asker {
    target: Target,
    link: Link,
    questions: Vec<Vec<u8>>,
    next: usize,
    wrong: u64,
    last_wrong: String,
}

impl Asker {
    fn new(target: Target) -> io::Result<Self> {
        let mut link = Link::connect(&target.socket)?;
        let nonce = if target.daemon { link.greet()? } else { NO_NONCE.to_owned() };
        let scope = &target.scope;
        let questions = match target.variants {
            0 => vec![question(&nonce, scope)],
            variants => (0..variants).map(|number| question(&nonce, &format!("{scope}/{number}"))).collect(),
        };
        Ok(Self { target, link, questions, next: 0, wrong: 0, last_wrong: String::new() })
    }

    /// One question; how long it took until the whole answer was there.
    fn ask(&mut self) -> io::Result<Duration> {
        let begun = Instant::now();
        if self.target.fresh {
            self.link = Link::connect(&self.target.socket)?;
            let nonce = self.link.greet()?;
            self.questions = vec![question(&nonce, &self.target.scope)];
        }
        let question = &self.questions[self.next % self.questions.len()];
        self.next += 1;
        let answer = self.link.ask(question)?;
        let took = begun.elapsed();
        if self.target.daemon && find(answer, b"\"decision\":\"allow\"").is_none() {
            self.wrong += 1;
            self.last_wrong = String::from_utf8_lossy(answer).into_owned();
        }
        Ok(took)
    }
}

/// So that the empty server reads the same number of bytes.
const NO_NONCE: &str = "00000000000000000000000000000000";
