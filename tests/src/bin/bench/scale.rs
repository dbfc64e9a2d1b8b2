//! What a question costs where there is much, beside one where there is little.

use e2e::World;
use e2e::process::resident_bytes;

use crate::agent::Agent;
use crate::latency::compare;
use crate::table::{Row, size, time};
use crate::task::Target;
use crate::worlds::{Bench, Crowd, NEW_EACH_TIME, READ, daemon};
use crate::{Effort, say};

pub const TITLE: &str =
    "100 and 1,000 policies and agents (1,000 and 100,000 grants) beside 10 of each, on one core";
const LITTLE: Crowd = Crowd { agents: 10, grants: 10, policies: 10 };
const MORE: Crowd = Crowd { agents: 100, grants: 1_000, policies: 100 };
const MUCH: Crowd = Crowd { agents: 1_000, grants: 100_000, policies: 1_000 };

/// All worlds run at the same time and are asked by turns.
pub fn rows(bench: &Bench, effort: Effort) -> Vec<Row> {
    say(TITLE);
    let (little, more, mut much) = (bench.crowded(LITTLE), bench.crowded(MORE), bench.crowded(MUCH));
    let mut agent = Agent::start(&bench.agent);
    let mut row = |world: &World, what: &str, variants: usize, fresh: bool, requests: usize| {
        let target = |world| Target { variants, fresh, ..daemon(world, READ) };
        let measured = compare(&mut agent, [&target(world), &target(&little)], effort.rounds, requests);
        Row::new(what, time(measured.first.p50)).ratio(measured.ratio.p50).unless_wrong(measured.wrong)
    };
    let mut rows = vec![
        row(&more, "check at 100, p50", 0, false, effort.requests).at_most(1.5),
        row(&much, "check at 1,000, p50", 0, false, effort.requests).at_most(1.5),
        row(&more, "check of another resource each time at 100, p50", NEW_EACH_TIME, false, effort.requests),
        row(
            &much,
            "check of another resource each time at 1,000, p50",
            NEW_EACH_TIME,
            false,
            effort.requests,
        ),
        row(&much, "connection + greeting + check at 1,000, p50", 0, true, effort.slow_requests),
    ];
    let memory = resident_bytes(much.daemon().pid()).unwrap_or_default() as f64;
    rows.push(Row::new("memory at 1,000", size(memory)));
    rows
}
