//! The options of what can be watched.

use super::sinks::address;
use super::{OptionSpec, place, text, texts};
use crate::config::value::{self, Shape};

/// Those of traces have no variables: whoever may set those of a daemon must not lead what it says elsewhere in passing.
pub(super) const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        key: "metrics.scrapers",
        variables: &["AGENTAUTHD_METRICS_SCRAPERS"],
        shape: Shape::Texts,
        set: |config, value| value::list(value, value::text).map(|parsed| config.metrics.scrapers = parsed),
        show: |config| texts(&config.metrics.scrapers),
    },
    OptionSpec {
        key: "traces.url",
        variables: &[],
        shape: Shape::Text,
        set: |config, value| address(value).map(|parsed| config.traces.url = parsed),
        show: |config| config.traces.url.as_ref().map_or_else(|| text(""), |url| text(url.as_str())),
    },
    OptionSpec {
        key: "traces.token_file",
        variables: &[],
        shape: Shape::Text,
        set: |config, value| {
            value::optional(value, value::path).map(|parsed| config.traces.token_file = parsed)
        },
        show: |config| config.traces.token_file.as_deref().map_or_else(|| text(""), place),
    },
];
