//! The options of what can be watched.

use super::{OptionSpec, texts};
use crate::config::value::{self, Shape};

pub(super) const OPTIONS: &[OptionSpec] = &[OptionSpec {
    key: "metrics.scrapers",
    variables: &["AGENTAUTHD_METRICS_SCRAPERS"],
    shape: Shape::Texts,
    set: |config, value| value::list(value, value::text).map(|parsed| config.metrics.scrapers = parsed),
    show: |config| texts(&config.metrics.scrapers),
}];
