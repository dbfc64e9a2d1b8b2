//! The options of what counts as unusual. They have no variables.

use agentauth_core::{SignedDuration, Window};

use super::form::{List, Number, Span, Switch, Text};
use super::{OptionSpec, row};
use crate::config::value::{self, Value, Wrong};

/// A limit of something that is counted.
const LIMIT: Number<u64> = Number(0, 1 << 50);

pub(super) const OPTIONS: &[OptionSpec] = &[
    row!(signals.enabled = Switch),
    row!(signals.holds = Span(SignedDuration::from_secs(1), SignedDuration::from_hours(24))),
    row!(signals.working_hours = List(Text(window))),
    row!(signals.first_seen = Switch),
    row!(signals.learning_days = Number(0, 14)),
    row!(signals.factor = Number(1, 1000)),
    row!(signals.rate_floor in signals.rate.floor = LIMIT),
    row!(signals.rate_limit in signals.rate.most = LIMIT),
    row!(signals.burst_floor in signals.burst.floor = LIMIT),
    row!(signals.burst_limit in signals.burst.most = LIMIT),
    row!(signals.bytes_floor in signals.bytes.floor = LIMIT),
    row!(signals.bytes_limit in signals.bytes.most = LIMIT),
    row!(signals.items_floor in signals.items.floor = LIMIT),
    row!(signals.items_limit in signals.items.most = LIMIT),
    row!(signals.spread_floor in signals.spread.floor = LIMIT),
    row!(signals.spread_limit in signals.spread.most = LIMIT),
    row!(signals.denies_floor in signals.denies.floor = LIMIT),
    row!(signals.denies_limit in signals.denies.most = LIMIT),
    row!(signals.off_hours_limit in signals.off_hours = LIMIT),
];

fn window(value: &Value) -> Result<Window, Wrong> {
    value::text(value)?.parse().map_err(|fault| format!("is no window: {fault}"))
}
