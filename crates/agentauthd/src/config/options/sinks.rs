//! The options of what the record is copied to. They have no variables: whoever may set those of a daemon must not lead
//! its record elsewhere in passing.

use url::Url;

use super::form::{Maybe, Number, Place, Switch, Text, Word};
use super::{OptionSpec, row};
use crate::config::sinks::receiver;
use crate::config::value::{self, Value, Wrong};
use crate::config::{HttpBody, JournaldSend, RecordFormat, SyslogAddress};

/// How many records may wait for a sink.
const SPOOL: Number<u64> = Number(100, 100_000_000);
const FORMAT: Word<RecordFormat> = Word(&RecordFormat::ALL, RecordFormat::as_str);

pub(super) const OPTIONS: &[OptionSpec] = &[
    row!(sinks.journald.send = Word(&JournaldSend::ALL, JournaldSend::as_str)),
    row!(sinks.journald.socket = Place),
    row!(sinks.journald.spool = SPOOL),
    row!(sinks.syslog.address = Maybe(Text(syslog))),
    row!(sinks.syslog.facility = Number(0, 23)),
    row!(sinks.syslog.format = FORMAT),
    row!(sinks.syslog.spool = SPOOL),
    row!(sinks.otlp.url = RECEIVER),
    row!(sinks.otlp.token_file = Maybe(Place)),
    row!(sinks.otlp.gzip = Switch),
    row!(sinks.otlp.spool = SPOOL),
    row!(sinks.http.url = RECEIVER),
    row!(sinks.http.token_file = Maybe(Place)),
    row!(sinks.http.format = FORMAT),
    row!(sinks.http.body = Word(&HttpBody::ALL, HttpBody::as_str)),
    row!(sinks.http.gzip = Switch),
    row!(sinks.http.spool = SPOOL),
];

/// Whoever takes something over HTTP.
pub(super) const RECEIVER: Maybe<Text<Url>> = Maybe(Text(|value| receiver(&value::text(value)?)));

fn syslog(value: &Value) -> Result<SyslogAddress, Wrong> {
    value::text(value)?.parse()
}
