//! The options of how the record is kept.

use agentauth_core::SignedDuration;

use super::{OptionSpec, span, text};
use crate::config::value::{self, Shape, Value};

const DAY: SignedDuration = SignedDuration::from_hours(24);
const LONGEST: SignedDuration = SignedDuration::from_hours(3650 * 24);

pub(super) const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        key: "audit.rotate_size",
        variables: &["AGENTAUTHD_AUDIT_ROTATE_SIZE"],
        shape: Shape::Text,
        set: |config, value| {
            value::size(value, 64 << 10, 1 << 30).map(|parsed| config.audit.rotate_size = parsed)
        },
        show: |config| text(&value::size_text(config.audit.rotate_size)),
    },
    OptionSpec {
        key: "audit.rotate_after",
        variables: &["AGENTAUTHD_AUDIT_ROTATE_AFTER"],
        shape: Shape::Text,
        set: |config, value| {
            value::duration(value, SignedDuration::from_mins(1), LONGEST)
                .map(|parsed| config.audit.rotate_after = parsed)
        },
        show: |config| span(config.audit.rotate_after),
    },
    OptionSpec {
        key: "audit.compress",
        variables: &["AGENTAUTHD_AUDIT_COMPRESS"],
        shape: Shape::Switch,
        set: |config, value| value::switch(value).map(|parsed| config.audit.compress = parsed),
        show: |config| Value::Switch(config.audit.compress),
    },
    OptionSpec {
        key: "audit.keep_for",
        variables: &["AGENTAUTHD_AUDIT_KEEP_FOR"],
        shape: Shape::Text,
        set: |config, value| {
            value::duration(value, DAY, LONGEST).map(|parsed| config.audit.keep_for = parsed)
        },
        show: |config| span(config.audit.keep_for),
    },
    OptionSpec {
        key: "audit.keep_size",
        variables: &["AGENTAUTHD_AUDIT_KEEP_SIZE"],
        shape: Shape::Text,
        set: |config, value| {
            value::size(value, 1 << 20, 1 << 40).map(|parsed| config.audit.keep_size = parsed)
        },
        show: |config| text(&value::size_text(config.audit.keep_size)),
    },
    OptionSpec {
        key: "audit.fold_after",
        variables: &["AGENTAUTHD_AUDIT_FOLD_AFTER"],
        shape: Shape::Integer,
        set: |config, value| {
            value::number(value, 1, 1_000_000).map(|parsed| config.audit.fold_after = parsed)
        },
        show: |config| Value::Integer(config.audit.fold_after.into()),
    },
    OptionSpec {
        key: "audit.fold_window",
        variables: &["AGENTAUTHD_AUDIT_FOLD_WINDOW"],
        shape: Shape::Text,
        set: |config, value| {
            value::duration(value, SignedDuration::from_secs(1), SignedDuration::from_hours(1))
                .map(|parsed| config.audit.fold_window = parsed)
        },
        show: |config| span(config.audit.fold_window),
    },
    OptionSpec {
        key: "audit.checkpoint_records",
        variables: &["AGENTAUTHD_AUDIT_CHECKPOINT_RECORDS"],
        shape: Shape::Integer,
        set: |config, value| {
            value::number(value, 10, 1_000_000).map(|parsed| config.audit.checkpoint_records = parsed)
        },
        show: |config| Value::Integer(i64::try_from(config.audit.checkpoint_records).unwrap_or(i64::MAX)),
    },
    OptionSpec {
        key: "audit.checkpoint_interval",
        variables: &["AGENTAUTHD_AUDIT_CHECKPOINT_INTERVAL"],
        shape: Shape::Text,
        set: |config, value| {
            value::duration(value, SignedDuration::from_secs(1), DAY)
                .map(|parsed| config.audit.checkpoint_interval = parsed)
        },
        show: |config| span(config.audit.checkpoint_interval),
    },
];
