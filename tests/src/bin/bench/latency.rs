//! What a question costs, beside an empty handler.

use crate::agent::Agent;
use crate::machine::Placement;
use crate::table::{Row, median, time};
use crate::task::{Quantiles, Report, Target, Task};
use crate::worlds::{Bench, PAY, READ, daemon};
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
    let empty = Target { socket, scope: READ.to_owned(), daemon: false, fresh: false };
    let check = daemon(&world, READ);

    let kept = compare(&mut agent, [&check, &empty], rounds, requests);
    let mut rows = vec![
        Row::new("empty handler, p50", time(kept.second.p50)),
        Row::new("empty handler, p99", time(kept.second.p99)),
        judged(Row::new("check, p50", time(kept.first.p50)).ratio(kept.ratio.p50), |row| row.at_most(2.0))
            .unless_wrong(kept.wrong),
        Row::new("check, p99", time(kept.first.p99)).ratio(kept.ratio.p99).unless_wrong(kept.wrong),
    ];
    let risky = compare(&mut agent, [&daemon(&world, PAY), &empty], rounds, slow_requests);
    rows.push(
        Row::new("check of high risk (fdatasync), p50", time(risky.first.p50))
            .ratio(risky.ratio.p50)
            .unless_wrong(risky.wrong),
    );
    rows.push(
        Row::new("check of high risk (fdatasync), p99", time(risky.first.p99))
            .ratio(risky.ratio.p99)
            .unless_wrong(risky.wrong),
    );
    rows.push(throughput(&mut agent, [&check, &empty], rounds, requests, judged));
    let fresh = Target { fresh: true, ..check.clone() };
    let fresh = compare(&mut agent, [&fresh, &check], rounds, slow_requests);
    rows.push(judged(
        Row::new("connection + greeting + check (beside a check), p50", time(fresh.first.p50))
            .ratio(fresh.ratio.p50)
            .unless_wrong(fresh.wrong),
        |row| row.at_most(8.0),
    ));
    rows
}

fn throughput(
    agent: &mut Agent,
    targets: [&Target; 2],
    rounds: usize,
    requests: usize,
    judged: impl Fn(Row, fn(Row) -> Row) -> Row,
) -> Row {
    let task = Task::Throughput {
        targets: targets.map(Target::clone).to_vec(),
        rounds,
        requests: requests / 2,
        connections: 8,
    };
    let Report::Throughput { rounds, wrong } = agent.measure(&task) else {
        unreachable!("not what was asked")
    };
    let value = median(rounds[0].iter().copied());
    let ratio = median(rounds[0].iter().zip(&rounds[1]).map(|(check, empty)| check / empty));
    let row = Row::new("8 connections", format!("{value:.0}/s")).ratio(ratio);
    judged(row, |row| row.at_least(0.6)).unless_wrong(wrong.iter().sum())
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
