//! Where copies of the record go, as `status` tells it.

use agentauth_api as api;

use crate::daemon::sinks::SinkReport;

/// How one stands.
pub(super) fn status(report: SinkReport) -> api::SinkStatus {
    api::SinkStatus {
        name: report.name.to_owned(),
        to: report.to,
        up: report.up,
        since: report.since,
        behind: report.behind,
        delivered: report.delivered,
        dropped: report.dropped,
        failures: report.failures,
        error: report.error,
    }
}

/// What is wrong with it, where something is.
pub(super) fn problem(report: &SinkReport) -> Option<String> {
    let error = report.error.as_deref().filter(|_| !report.up)?;
    let (name, to, behind) = (report.name, &report.to, report.behind);
    Some(format!("the record is not copied to `{name}` ({to}), {behind} records wait: {error}"))
}
