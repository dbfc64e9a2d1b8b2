//! The page of metrics, put together when somebody asks.

use agentauth_core::session::SessionState;
use agentauth_core::{Reason, Signal, Timestamp};
use agentauth_host::usage::usage;

use super::page::{Page, Seconds};
use super::{ASSURANCES, Counter, RefreshOutcome, SpanOutcome};
use crate::daemon::app::App;
use crate::daemon::sinks::SinkReport;

/// Everything that is measured, in Prometheus' text format. `docs/observability.md` has the same list.
pub(crate) fn report(app: &App, connections: usize, now: Timestamp) -> String {
    let mut page = Page::default();
    decisions(&mut page, app);
    callers(&mut page, app, connections);
    session(&mut page, app, now);
    standing(&mut page, app, now);
    record(&mut page, app, now);
    copies(&mut page, app);
    process(&mut page, app);
    page.finish()
}

fn decisions(page: &mut Page, app: &App) {
    let metrics = &app.metrics;
    // What a reason answers is fixed: only `granted` allows.
    let verdict = |reason: Reason| if reason == Reason::Granted { "allow" } else { "deny" };
    for (name, help, counters) in [
        ("agentauthd_decisions_total", "Decisions about callers.", &metrics.decisions),
        ("agentauthd_dry_runs_total", "Decisions that a person tried out.", &metrics.dry_runs),
    ] {
        let labelled = Reason::ALL.map(|reason| [("decision", verdict(reason)), ("reason", reason.as_str())]);
        let samples = labelled.iter().zip(counters).map(|(labels, counter)| (&labels[..], counter.get()));
        page.counters(name, help, samples);
    }
    let labels = Signal::ALL.map(|signal| [("signal", signal.as_str())]);
    page.counters(
        "agentauthd_signals_total",
        "Signals that went up: an agent does what it does not usually do.",
        labels.iter().zip(&metrics.signals).map(|(labels, counter)| (&labels[..], counter.get())),
    );
    page.histogram(
        "agentauthd_check_duration_seconds",
        "Time from a check's question being read to its decision being recorded, without the time that it waited for an \
         answer.",
        &metrics.checks,
    );
}

fn callers(page: &mut Page, app: &App, connections: usize) {
    let metrics = &app.metrics;
    page.gauge("agentauthd_open_connections", "Connections that are served now.", Some(connections));
    let labels = ASSURANCES.map(|assurance| [("assurance", assurance.as_str())]);
    page.counters(
        "agentauthd_connections_total",
        "Connections whose caller was looked at, by how well it is proven to be a registered agent.",
        labels.iter().zip(&metrics.callers).map(|(labels, counter)| (&labels[..], counter.get())),
    );
    page.counter(
        "agentauthd_connections_refused_total",
        "Connections that were closed at once: another user's, or too many.",
        metrics.connections_refused.get(),
    );
    page.counter("agentauthd_requests_total", "Requests that were answered.", metrics.requests.get());
    page.counter(
        "agentauthd_rate_limited_total",
        "Requests that were refused because their process asks too often.",
        metrics.rate_limited.get(),
    );
    page.gauge(
        "agentauthd_event_streams",
        "Streams of events that are followed now.",
        Some(app.events.followed()),
    );
    page.counter(
        "agentauthd_event_streams_lagged_total",
        "Streams of events that ended because their reader was too slow.",
        metrics.streams_lagged.get(),
    );
}

fn session(page: &mut Page, app: &App, now: Timestamp) {
    let snapshot = app.state.load();
    let left = |end: Timestamp| end.duration_since(now).as_secs_f64().max(0.0);
    page.flag(
        "agentauthd_session_usable",
        "Whether there is a session that decisions can be made with.",
        Some(snapshot.session.usable_at(now).is_ok()),
    );
    let active = match &snapshot.session {
        SessionState::Active(session) => Some(session),
        _ => None,
    };
    page.gauge(
        "agentauthd_session_remaining_seconds",
        "Until the session in force ends, unless it is refreshed. Absent without one.",
        active.map(|session| left(session.claims.expires_at)),
    );
    page.gauge(
        "agentauthd_login_remaining_seconds",
        "Until the person has to log in again. Absent where no end is known.",
        active.and_then(|session| session.login_ends_at()).map(left),
    );
    let refreshes = &app.metrics.refreshes;
    let labels = RefreshOutcome::ALL.map(|outcome| [("outcome", outcome.as_str())]);
    page.counters(
        "agentauthd_refreshes_total",
        "Times that the provider was asked for a new session, by what became of it.",
        labels.iter().zip(refreshes).map(|(labels, counter): (_, &Counter)| (&labels[..], counter.get())),
    );
    let Some(side) = &app.provider else { return };
    page.flag(
        "agentauthd_provider_reachable",
        "Whether the provider answered last. Absent before it was asked.",
        side.keeper.view().reachable,
    );
    page.gauge("agentauthd_keys", "Keys of the provider that are known.", Some(side.keys.ids().len()));
    page.gauge(
        "agentauthd_keys_age_seconds",
        "Since the provider's keys were fetched. Absent without any.",
        side.keys.age(now).map(|age| age.as_secs_f64().max(0.0)),
    );
    page.gauge(
        "agentauthd_keys_remaining_seconds",
        "Until the provider's keys are too old to be used. Absent without any.",
        side.keys.fresh_until().map(left),
    );
}

fn standing(page: &mut Page, app: &App, now: Timestamp) {
    let snapshot = app.state.load();
    page.flag("agentauthd_locked", "Whether a person paused everything.", Some(snapshot.locked));
    page.gauge("agentauthd_agents", "Registered agents.", Some(snapshot.agents.len()));
    page.gauge(
        "agentauthd_grants",
        "Grants that are kept, ended ones included.",
        Some(snapshot.grants.len()),
    );
    page.gauge("agentauthd_policies", "Policies in force.", Some(snapshot.policy.len()));
    let pending = app.consents.list().1;
    page.gauge("agentauthd_pending_consents", "Questions that wait for the person.", Some(pending.len()));
    let oldest = pending.iter().map(|question| now.duration_since(question.asked_at).as_secs_f64().max(0.0));
    page.gauge(
        "agentauthd_oldest_pending_consent_seconds",
        "How long the oldest of them has waited. Absent without any.",
        oldest.reduce(f64::max),
    );
}

fn record(page: &mut Page, app: &App, now: Timestamp) {
    let newest = app.audit.newest();
    page.gauge("agentauthd_audit_last_record", "The number of the newest record.", Some(newest));
    page.flag(
        "agentauthd_audit_writable",
        "Whether the last record could be written; where not, nothing is allowed.",
        Some(app.audit.fault().is_none()),
    );
    page.counter(
        "agentauthd_audit_failures_total",
        "Records that could not be written, and what could not be brought to disk.",
        app.audit.failures(),
    );
    page.counter(
        "agentauthd_audit_gaps_total",
        "Gaps of the record: events could not be recorded for a while, or its end was found cut off.",
        app.audit.gaps(),
    );
    page.counter(
        "agentauthd_audit_folded_decisions_total",
        "Denials that were counted with their like instead of recorded in full.",
        app.audit.folded(),
    );
    let checkpoint = app.audit.checkpoint();
    page.gauge(
        "agentauthd_audit_checkpoint_age_seconds",
        "Since the newest checkpoint was signed. Absent before the first.",
        checkpoint.map(|newest| now.duration_since(newest.at).as_secs_f64().max(0.0)),
    );
    page.gauge(
        "agentauthd_audit_unsigned_records",
        "Records that no checkpoint vouches for yet. Absent before the first checkpoint.",
        checkpoint.map(|checkpoint| newest.saturating_sub(checkpoint.seq)),
    );
}

/// What goes elsewhere. A sink's name is the program's own.
fn copies(page: &mut Page, app: &App) {
    let sinks = app.sinks.reports();
    let labels: Vec<_> = sinks.iter().map(|sink| [("sink", sink.name)]).collect();
    let each = |value: fn(&SinkReport) -> u64| {
        labels.iter().zip(&sinks).map(move |(labels, sink)| (&labels[..], value(sink)))
    };
    if !sinks.is_empty() {
        page.gauges(
            "agentauthd_sink_up",
            "Whether the sink took what it was last handed.",
            each(|sink| u64::from(sink.up)),
        );
        page.gauges(
            "agentauthd_sink_waiting_records",
            "Records that the sink has not had yet.",
            each(|sink| sink.behind),
        );
        page.counters(
            "agentauthd_sink_dropped_records_total",
            "Records that the sink never gets: it was away for too long, or refused them.",
            each(|sink| sink.dropped),
        );
    }
    if app.traces.is_some() {
        let labels = SpanOutcome::ALL.map(|outcome| [("outcome", outcome.as_str())]);
        page.counters(
            "agentauthd_trace_spans_total",
            "Spans of traces, by what became of them. Absent where no collector is configured.",
            labels
                .iter()
                .zip(&app.metrics.spans)
                .map(|(labels, counter): (_, &Counter)| (&labels[..], counter.get())),
        );
    }
}

fn process(page: &mut Page, app: &App) {
    page.gauges(
        "agentauthd_build_info",
        "The program. Always 1.",
        [(&[("version", env!("CARGO_PKG_VERSION")), ("os", std::env::consts::OS)][..], 1)],
    );
    let started = app.about.started_at.as_millisecond();
    page.gauge(
        "process_start_time_seconds",
        "When the daemon started, in seconds since 1970.",
        u64::try_from(started).ok().map(|milliseconds| Seconds(milliseconds.saturating_mul(1_000_000))),
    );
    let used = usage();
    if let Some(cpu) = used.cpu {
        page.counter(
            "process_cpu_seconds_total",
            "Processor time that the daemon has used.",
            cpu.as_secs_f64(),
        );
    }
    page.gauge("process_resident_memory_bytes", "Memory that is resident.", used.resident_bytes);
    page.gauge("process_open_fds", "Open file descriptors.", used.open_descriptors);
}
