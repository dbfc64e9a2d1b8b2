//! The options of the daemon itself: what it says, who may watch it, where things are.

use tracing_subscriber::EnvFilter;

use super::form::{LINE, List, Maybe, Place, Text, Word};
use super::sinks::RECEIVER;
use super::{OptionSpec, row};
use crate::config::LogFormat;
use crate::config::value::{self, Value, Wrong};

/// Those of traces have no variables, as those of sinks.
pub(super) const OPTIONS: &[OptionSpec] = &[
    row!(log.filter = Text(filter), "AGENTAUTHD_LOG_FILTER"),
    row!(log.format = Word(&LogFormat::ALL, LogFormat::as_str), "AGENTAUTHD_LOG_FORMAT"),
    row!(metrics.scrapers = List(LINE), "AGENTAUTHD_METRICS_SCRAPERS"),
    row!(traces.url = RECEIVER),
    row!(traces.token_file = Maybe(Place)),
    row!(paths.policies_dir = Place, "AGENTAUTHD_POLICIES_DIR"),
    row!(paths.state_dir = Place, "AGENTAUTHD_STATE_DIR"),
    row!(paths.socket = Place, "AGENTAUTHD_SOCKET"),
];

fn filter(value: &Value) -> Result<String, Wrong> {
    let filter = value::text(value)?;
    EnvFilter::builder()
        .parse(&filter)
        .map_err(|error| format!("must be filter directives such as \"info\" ({error}), not {value}"))?;
    Ok(filter)
}
