//! The options of `[signals]`.

use agentauth_core::{SignedDuration, Window};

use super::super::value::{self, Shape, Value, Wrong};
use super::{OptionSpec, span, texts};

/// The most that a limit may be.
const MOST: i64 = 1 << 50;

macro_rules! limit {
    ($key:literal, $($place:ident).+) => {
        OptionSpec {
            key: $key,
            variables: &[],
            shape: Shape::Integer,
            set: |config, value| {
                number(value).map(|parsed| config.signals.$($place).+ = parsed)
            },
            show: |config| shown(config.signals.$($place).+),
        }
    };
}

/// In the order of `config/agentauthd.toml`.
pub(in crate::config) const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        key: "signals.enabled",
        variables: &[],
        shape: Shape::Switch,
        set: |config, value| value::switch(value).map(|parsed| config.signals.enabled = parsed),
        show: |config| Value::Switch(config.signals.enabled),
    },
    OptionSpec {
        key: "signals.holds",
        variables: &[],
        shape: Shape::Text,
        set: |config, value| {
            value::duration(value, SignedDuration::from_secs(1), SignedDuration::from_hours(24))
                .map(|parsed| config.signals.holds = parsed)
        },
        show: |config| span(config.signals.holds),
    },
    OptionSpec {
        key: "signals.working_hours",
        variables: &[],
        shape: Shape::Texts,
        set: |config, value| {
            let one = |value: &Value| {
                value::text(value)?.parse::<Window>().map_err(|fault| format!("is no window: {fault}"))
            };
            value::list(value, one).map(|parsed| config.signals.working_hours = parsed)
        },
        show: |config| {
            let written: Vec<String> = config.signals.working_hours.iter().map(ToString::to_string).collect();
            texts(&written)
        },
    },
    OptionSpec {
        key: "signals.first_seen",
        variables: &[],
        shape: Shape::Switch,
        set: |config, value| value::switch(value).map(|parsed| config.signals.first_seen = parsed),
        show: |config| Value::Switch(config.signals.first_seen),
    },
    OptionSpec {
        key: "signals.learning_days",
        variables: &[],
        shape: Shape::Integer,
        set: |config, value| value::number(value, 0, 14).map(|parsed| config.signals.learning_days = parsed),
        show: |config| Value::Integer(config.signals.learning_days.into()),
    },
    OptionSpec {
        key: "signals.factor",
        variables: &[],
        shape: Shape::Integer,
        set: |config, value| value::number(value, 1, 1000).map(|parsed| config.signals.factor = parsed),
        show: |config| shown(config.signals.factor),
    },
    limit!("signals.rate_floor", rate.floor),
    limit!("signals.rate_limit", rate.most),
    limit!("signals.burst_floor", burst.floor),
    limit!("signals.burst_limit", burst.most),
    limit!("signals.bytes_floor", bytes.floor),
    limit!("signals.bytes_limit", bytes.most),
    limit!("signals.items_floor", items.floor),
    limit!("signals.items_limit", items.most),
    limit!("signals.spread_floor", spread.floor),
    limit!("signals.spread_limit", spread.most),
    limit!("signals.denies_floor", denies.floor),
    limit!("signals.denies_limit", denies.most),
    limit!("signals.off_hours_limit", off_hours),
];

fn number(value: &Value) -> Result<u64, Wrong> {
    let number: i64 = value::number(value, 0, MOST)?;
    u64::try_from(number).map_err(|_| "must not be negative".to_owned())
}

fn shown(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(MOST))
}
