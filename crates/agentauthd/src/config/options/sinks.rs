//! The options of what the record is copied to. They have no variables: whoever may set those of a daemon must not lead
//! its record elsewhere in passing.

use super::{OptionSpec, place, text};
use crate::config::sinks::{SPOOLS, receiver};
use crate::config::value::{self, Shape, Value, Wrong};
use crate::config::{HttpBody, JournaldSend, RecordFormat};

pub(super) const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        key: "sinks.journald.send",
        variables: &[],
        shape: Shape::Text,
        set: |config, value| {
            value::choice(value, &JournaldSend::ALL, JournaldSend::as_str)
                .map(|parsed| config.sinks.journald.send = parsed)
        },
        show: |config| text(config.sinks.journald.send.as_str()),
    },
    OptionSpec {
        key: "sinks.journald.socket",
        variables: &[],
        shape: Shape::Text,
        set: |config, value| value::path(value).map(|parsed| config.sinks.journald.socket = parsed),
        show: |config| place(&config.sinks.journald.socket),
    },
    OptionSpec {
        key: "sinks.journald.spool",
        variables: &[],
        shape: Shape::Integer,
        set: |config, value| spool(value).map(|parsed| config.sinks.journald.spool = parsed),
        show: |config| records(config.sinks.journald.spool),
    },
    OptionSpec {
        key: "sinks.syslog.address",
        variables: &[],
        shape: Shape::Text,
        set: |config, value| {
            let address = |value: &Value| value::text(value)?.parse();
            value::optional(value, address).map(|parsed| config.sinks.syslog.address = parsed)
        },
        show: |config| {
            config.sinks.syslog.address.as_ref().map_or_else(|| text(""), |it| text(&it.to_string()))
        },
    },
    OptionSpec {
        key: "sinks.syslog.facility",
        variables: &[],
        shape: Shape::Integer,
        set: |config, value| value::number(value, 0, 23).map(|parsed| config.sinks.syslog.facility = parsed),
        show: |config| Value::Integer(config.sinks.syslog.facility.into()),
    },
    OptionSpec {
        key: "sinks.syslog.format",
        variables: &[],
        shape: Shape::Text,
        set: |config, value| format(value).map(|parsed| config.sinks.syslog.format = parsed),
        show: |config| text(config.sinks.syslog.format.as_str()),
    },
    OptionSpec {
        key: "sinks.syslog.spool",
        variables: &[],
        shape: Shape::Integer,
        set: |config, value| spool(value).map(|parsed| config.sinks.syslog.spool = parsed),
        show: |config| records(config.sinks.syslog.spool),
    },
    OptionSpec {
        key: "sinks.otlp.url",
        variables: &[],
        shape: Shape::Text,
        set: |config, value| address(value).map(|parsed| config.sinks.otlp.url = parsed),
        show: |config| config.sinks.otlp.url.as_ref().map_or_else(|| text(""), |url| text(url.as_str())),
    },
    OptionSpec {
        key: "sinks.otlp.token_file",
        variables: &[],
        shape: Shape::Text,
        set: |config, value| {
            value::optional(value, value::path).map(|parsed| config.sinks.otlp.token_file = parsed)
        },
        show: |config| config.sinks.otlp.token_file.as_deref().map_or_else(|| text(""), place),
    },
    OptionSpec {
        key: "sinks.otlp.gzip",
        variables: &[],
        shape: Shape::Switch,
        set: |config, value| value::switch(value).map(|parsed| config.sinks.otlp.gzip = parsed),
        show: |config| Value::Switch(config.sinks.otlp.gzip),
    },
    OptionSpec {
        key: "sinks.otlp.spool",
        variables: &[],
        shape: Shape::Integer,
        set: |config, value| spool(value).map(|parsed| config.sinks.otlp.spool = parsed),
        show: |config| records(config.sinks.otlp.spool),
    },
    OptionSpec {
        key: "sinks.http.url",
        variables: &[],
        shape: Shape::Text,
        set: |config, value| address(value).map(|parsed| config.sinks.http.url = parsed),
        show: |config| config.sinks.http.url.as_ref().map_or_else(|| text(""), |url| text(url.as_str())),
    },
    OptionSpec {
        key: "sinks.http.token_file",
        variables: &[],
        shape: Shape::Text,
        set: |config, value| {
            value::optional(value, value::path).map(|parsed| config.sinks.http.token_file = parsed)
        },
        show: |config| config.sinks.http.token_file.as_deref().map_or_else(|| text(""), place),
    },
    OptionSpec {
        key: "sinks.http.format",
        variables: &[],
        shape: Shape::Text,
        set: |config, value| format(value).map(|parsed| config.sinks.http.format = parsed),
        show: |config| text(config.sinks.http.format.as_str()),
    },
    OptionSpec {
        key: "sinks.http.body",
        variables: &[],
        shape: Shape::Text,
        set: |config, value| {
            value::choice(value, &HttpBody::ALL, HttpBody::as_str)
                .map(|parsed| config.sinks.http.body = parsed)
        },
        show: |config| text(config.sinks.http.body.as_str()),
    },
    OptionSpec {
        key: "sinks.http.gzip",
        variables: &[],
        shape: Shape::Switch,
        set: |config, value| value::switch(value).map(|parsed| config.sinks.http.gzip = parsed),
        show: |config| Value::Switch(config.sinks.http.gzip),
    },
    OptionSpec {
        key: "sinks.http.spool",
        variables: &[],
        shape: Shape::Integer,
        set: |config, value| spool(value).map(|parsed| config.sinks.http.spool = parsed),
        show: |config| records(config.sinks.http.spool),
    },
];

fn spool(value: &Value) -> Result<u64, Wrong> {
    let (least, most) = SPOOLS;
    value::number(value, least, most)
}

fn records(count: u64) -> Value {
    Value::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

fn format(value: &Value) -> Result<RecordFormat, Wrong> {
    value::choice(value, &RecordFormat::ALL, RecordFormat::as_str)
}

pub(super) fn address(value: &Value) -> Result<Option<url::Url>, Wrong> {
    value::optional(value, |value| receiver(&value::text(value)?))
}
