//! What a question costs, beside an empty handler.

use crate::agent::Agent;
use crate::machine::Placement;
use crate::table::{Row, median, time};
use crate::task::{Quantiles, Report, Target, Task};
use crate::worlds::{Bench, NEW_EACH_TIME, PAY, READ, daemon};
use crate::{Effort, empty, say};

/// Budgets hold where all share one core; elsewhere the ratios are reported.
pub fn rows(bench: &Bench, effort: Effort, placement: Placement) -> Vec<Row> {
    let Effort { rounds, requests, slow_requests, .. } = effort;
    let budgets = placement == Placement::OneCore;
    let judged = |row: Row, judge: fn(Row) -> Row| if budgets { judge(row) } else { row };
    say(&format!("questions, {}", placement.words()));
    let world = bench.plain();
    let socket = bench.home.path().join(format!("{placement:?}.sock"));
    let _server = empty::start(&socket);
    let mut agent = Agent::start(&bench.agent);
    let check = daemon(&world, READ);
    let empty = Target { socket, daemon: false, ..check.clone() };

    let row = |what: &str, value: f64, ratio: f64, measured: &Comparison| {
        Row::new(what, time(value)).ratio(ratio).unless_wrong(measured.wrong)
    };
    let kept = compare(&mut agent, [&check, &empty], rounds, requests);
    let mut rows = vec![
        Row::new("empty handler, p50", time(kept.second.p50)),
        Row::new("empty handler, p99", time(kept.second.p99)),
        judged(row("check, p50", kept.first.p50, kept.ratio.p50, &kept), |row| row.at_most(2.0)),
        row("check, p99", kept.first.p99, kept.ratio.p99, &kept),
    ];
    let unseen = Target { variants: NEW_EACH_TIME, ..check.clone() };
    let unseen = compare(&mut agent, [&unseen, &empty], rounds, requests);
    rows.push(row("check of another resource each time, p50", unseen.first.p50, unseen.ratio.p50, &unseen));
    let risky = compare(&mut agent, [&daemon(&world, PAY), &empty], rounds, slow_requests);
    rows.push(row("check of high risk (fdatasync), p50", risky.first.p50, risky.ratio.p50, &risky));
    rows.push(row("check of high risk (fdatasync), p99", risky.first.p99, risky.ratio.p99, &risky));
    rows.extend(throughput(&mut agent, [&check, &empty], rounds, requests, judged));
    let fresh = Target { fresh: true, ..check.clone() };
    let fresh = compare(&mut agent, [&fresh, &check], rounds, slow_requests);
    let fresh =
        row("connection + greeting + check, p50 (beside a check)", fresh.first.p50, fresh.ratio.p50, &fresh);
    rows.push(judged(fresh, |row| row.at_most(8.0)));
    rows
}

fn throughput(
    agent: &mut Agent,
    targets: [&Target; 2],
    rounds: usize,
    requests: usize,
    judged: impl Fn(Row, fn(Row) -> Row) -> Row,
) -> [Row; 2] {
    let task = Task::Throughput {
        targets: targets.map(Target::clone).to_vec(),
        rounds,
        requests: requests / 2,
        connections: 8,
    };
    let Report::Throughput { rounds, wrong } = agent.measure(&task) else {
        unreachable!("not what was asked")
    };
    let rate = |index: usize| format!("{:.0}/s", median(rounds[index].iter().copied()));
    let ratio = median(rounds[0].iter().zip(&rounds[1]).map(|(check, empty)| check / empty));
    let checks = Row::new("checks, 8 connections", rate(0)).ratio(ratio).unless_wrong(wrong.iter().sum());
    [Row::new("empty handler, 8 connections", rate(1)), judged(checks, |row| row.at_least(0.6))]
}

/// Two targets side by side, medians over the rounds.
pub struct Comparison {
    pub first: Quantiles,
    pub second: Quantiles,
    /// The first by the second, within each round.
    pub ratio: Quantiles,
    /// Answers that were not what they should be.
    pub wrong: u64,
}

/// Asks two targets by turns.
pub fn compare(agent: &mut Agent, targets: [&Target; 2], rounds: usize, requests: usize) -> Comparison {
    let task = Task::Latency { targets: targets.map(Target::clone).to_vec(), rounds, requests };
    let Report::Latency { rounds, wrong } = agent.measure(&task) else { unreachable!("not what was asked") };
    let middle = |of: &[Quantiles]| Quantiles {
        p50: median(of.iter().map(|round| round.p50)),
        p99: median(of.iter().map(|round| round.p99)),
    };
    let ratios: Vec<Quantiles> = rounds[0]
        .iter()
        .zip(&rounds[1])
        .map(|(first, second)| Quantiles { p50: first.p50 / second.p50, p99: first.p99 / second.p99 })
        .collect();
    Comparison {
        first: middle(&rounds[0]),
        second: middle(&rounds[1]),
        ratio: middle(&ratios),
        wrong: wrong.iter().sum(),
    }
}
