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
];
