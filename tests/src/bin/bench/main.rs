//! The benchmark: what asking costs, as ratios within one run on one machine.
//!
//! ```text
//! cargo run --release -p e2e --bin bench [-- --quick]
//! ```
//!
//! It builds the release daemon, starts real ones beside an empty server ([`empty`]), asks as a registered agent
//! ([`agent`]) and prints one table. Once everything shares the first processor core, which shows what the work costs; once
//! nothing is pinned, which is what a user feels and where the wake-up of another core outweighs the rest. It judges
//! against the budgets but never fails for one: a machine that does other things at the same time measures those.
//!
//! `E2E_PROGRAMS` names a directory with another `agentauthd` to measure; then none is built. The keychain is used
//! where `AGENTAUTHD_TEST_KEYRING=1` says that there is one (see `crates/agentauth-store/tests/with-keyring.sh`), else
//! the encrypted file.

mod agent;
mod empty;
mod identity;
mod latency;
mod link;
mod machine;
mod parts;
mod record;
mod scale;
mod start;
mod table;
mod task;
mod worlds;

use std::process::ExitCode;

use machine::Placement;
use worlds::Bench;

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    /// Rounds, of which the median counts. The things compared take turns within each.
    rounds: usize,
    /// Requests of one thing in one round.
    requests: usize,
    /// The same for what takes much longer: records on disk, new connections.
    slow_requests: usize,
    /// Repetitions of what takes a whole start or login.
    starts: usize,
}

const FULL: Effort = Effort { rounds: 31, requests: 2_000, slow_requests: 200, starts: 9 };
const QUICK: Effort = Effort { rounds: 7, requests: 500, slow_requests: 50, starts: 3 };

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => run(FULL),
        ["--quick"] => run(QUICK),
        [agent::MODE] => agent::serve(),
        [empty::MODE, socket] => empty::serve(socket.as_ref()),
        _ => {
            eprintln!("usage: cargo run --release -p e2e --bin bench [-- --quick]");
            ExitCode::from(64)
        }
    }
}

fn run(effort: Effort) -> ExitCode {
    if cfg!(debug_assertions) {
        eprintln!("this build is not optimised and would measure nothing: add `--release`");
        return ExitCode::from(64);
    }
    // Another daemon, already built, may be named instead.
    if std::env::var_os("E2E_PROGRAMS").is_none()
        && let Err(error) = agentauth_demo::binaries::daemon()
    {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    println!("{}", machine::describe());
    let bench = Bench::new();
    let mut sections = Vec::new();
    for placement in [Placement::OneCore, Placement::Free] {
        placement.take();
        sections.push((placement.words(), latency::rows(&bench, effort, placement)));
        if placement == Placement::OneCore {
            sections.push((identity::TITLE, identity::rows(effort)));
            sections.push((record::TITLE, record::rows(&bench, effort)));
            sections.push((parts::TITLE, parts::rows(effort)));
            sections.push((scale::TITLE, scale::rows(&bench, effort)));
        }
    }
    sections.push((start::TITLE, start::rows(&bench, effort)));
    print!("{}", table::text(&sections));
    println!("{}", machine::load());
    ExitCode::SUCCESS
}

/// Says on standard error what is being done, since it takes a while.
fn say(what: &str) {
    eprintln!("measuring: {what}");
}
