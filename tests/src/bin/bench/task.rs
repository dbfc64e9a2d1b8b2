//! The words between the benchmark and the agent process that asks for it: one JSON line each way.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What to measure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Task {
    /// How long each question takes. The targets take turns, `requests` each in a round.
    Latency { targets: Vec<Target>, rounds: usize, requests: usize },
    /// How many questions are answered in a second over this many connections, a thread for each.
    Throughput { targets: Vec<Target>, rounds: usize, requests: usize, connections: usize },
    /// Asks over and over until the answer is no allow any more; says `Asking` first.
    UntilDenied { target: Target },
}

/// Whom to ask what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Where.
    pub socket: PathBuf,
    /// The scope.
    pub scope: String,
    /// Among how many resources below that scope to change with every question; 0 asks for the scope itself.
    pub variants: usize,
    /// Whether there is a greeting, and an allow in the answer: the daemon, not the empty server.
    pub daemon: bool,
    /// Whether every question opens a connection and greets.
    pub fresh: bool,
}

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Report {
    /// For each target its rounds, and how many answers were not what they should be.
    Latency { rounds: Vec<Vec<Quantiles>>, wrong: Vec<u64> },
    /// For each target its rounds, in questions a second, and how many answers were not what they should be.
    Throughput { rounds: Vec<Vec<f64>>, wrong: Vec<u64> },
    /// The asking has begun, and was allowed.
    Asking,
    /// When the first answer that was no allow had arrived, in nanoseconds since 1970, and that answer.
    Denied { at: u64, answer: String },
    /// It cannot be measured.
    Failed(String),
}

/// One round, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half of the questions took no longer.
    pub p50: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
}

/// The time of day in nanoseconds, the same for all processes.
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}
