//! Numbers for monitoring, counted where things happen.
//!
//! Every label has a closed set of values that the program itself chose, so the number of series is fixed: what a caller
//! says never becomes one. Counting on the way of a check is a few relaxed additions to places that are known at
//! compile time; no lock, no look-up by text, nothing put together. The page is written only when it is asked for.

mod page;
mod report;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agentauth_core::{Assurance, Decision, Reason, Signal, Signals};

pub(crate) use page::CONTENT_TYPE;
pub(crate) use report::report;

/// What is counted while the daemon runs.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Decisions about callers, by reason.
    decisions: [Counter; Reason::ALL.len()],
    /// Dry runs, by reason.
    dry_runs: [Counter; Reason::ALL.len()],
    /// How long checks took.
    checks: Histogram,
    /// Connections whose caller was looked at, by how well it is proven.
    callers: [Counter; ASSURANCES.len()],
    /// Refreshes of the session, by what became of them.
    refreshes: [Counter; RefreshOutcome::ALL.len()],
    /// Spans of traces, by what became of them.
    spans: [Counter; SpanOutcome::ALL.len()],
    /// Signals that went up.
    signals: [Counter; Signal::ALL.len()],
    /// Requests that were answered.
    pub(crate) requests: Counter,
    /// Requests that were refused because their process asks too often.
    pub(crate) rate_limited: Counter,
    /// Connections that were not taken.
    pub(crate) connections_refused: Counter,
    /// Streams of events that ended because their reader was too slow.
    pub(crate) streams_lagged: Counter,
}

/// How well a caller is proven, in the order of the counters.
const ASSURANCES: [Assurance; 4] =
    [Assurance::Unproven, Assurance::Path, Assurance::Pinned, Assurance::Launched];

impl Metrics {
    /// A decision was made and recorded, or could not be.
    pub(crate) fn decided(&self, decision: &Decision) {
        let counters = if decision.dry_run { &self.dry_runs } else { &self.decisions };
        // The reasons are counted in the order in which they are declared, as `ALL` lists them; a test holds that.
        if let Some(counter) = counters.get(decision.reason as usize) {
            counter.add();
        }
    }

    /// A check was answered that took so long, from its question being read to its record being written.
    pub(crate) fn checked(&self, took: Duration) {
        self.checks.observe(took);
    }

    /// A connection's caller was looked at for the first time.
    pub(crate) fn identified(&self, assurance: Assurance) {
        let place = ASSURANCES.iter().position(|one| *one == assurance);
        if let Some(counter) = place.and_then(|place| self.callers.get(place)) {
            counter.add();
        }
    }

    /// These went up, about one agent.
    pub(crate) fn raised(&self, signals: Signals) {
        for (counter, signal) in self.signals.iter().zip(Signal::ALL) {
            if signals.contains(signal) {
                counter.add();
            }
        }
    }

    /// How often this signal went up.
    #[cfg(test)]
    pub(crate) fn raised_so_far(&self, signal: Signal) -> u64 {
        self.signals.get(signal as usize).map_or(0, Counter::get)
    }

    /// So many spans met their end.
    pub(crate) fn traced(&self, outcome: SpanOutcome, count: u64) {
        if let Some(counter) = self.spans.get(outcome as usize) {
            counter.add_many(count);
        }
    }

    /// The provider was asked for a new session.
    pub(crate) fn refreshed(&self, outcome: RefreshOutcome) {
        if let Some(counter) = self.refreshes.get(outcome as usize) {
            counter.add();
        }
    }
}

/// What became of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpanOutcome {
    /// The collector took it.
    Sent,
    /// There was no room for it, or the collector did not take it.
    Dropped,
}

impl SpanOutcome {
    pub(crate) const ALL: [Self; 2] = [Self::Sent, Self::Dropped];

    /// The label's value.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Dropped => "dropped",
        }
    }
}

/// What became of a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefreshOutcome {
    /// The provider gave a session that is in force.
    Renewed,
    /// The provider refused: the login is over, or the configuration is wrong.
    Refused,
    /// The provider gave no usable answer.
    Unanswered,
    /// It answered, and what it gave could not be used: not verified, not stored or not recorded.
    Unusable,
}

impl RefreshOutcome {
    pub(crate) const ALL: [Self; 4] = [Self::Renewed, Self::Refused, Self::Unanswered, Self::Unusable];

    /// The label's value.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Renewed => "renewed",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
            Self::Unusable => "unusable",
        }
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So many more.
    fn add_many(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// How many there are.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The upper ends of the buckets, in nanoseconds: 10 µs to 100 ms.
const BOUNDS: [u64; 13] = [
    10_000,
    25_000,
    50_000,
    75_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    100_000_000,
];

/// How long something took, in buckets.
#[derive(Debug, Default)]
struct Histogram {
    /// How many fell into each bucket and into none before it; the last is for what took longer than all bounds.
    buckets: [Counter; BOUNDS.len() + 1],
    /// All together, in nanoseconds.
    sum: AtomicU64,
}

impl Histogram {
    fn observe(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let place = BOUNDS.partition_point(|bound| *bound < nanoseconds);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.add();
        }
        self.sum.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_lists() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{reason}");
        }
        for (place, outcome) in RefreshOutcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place, "{outcome:?}");
        }
        for (place, signal) in Signal::ALL.into_iter().enumerate() {
            assert_eq!(signal as usize, place, "{signal}");
        }
        for (place, outcome) in SpanOutcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place, "{outcome:?}");
        }
    }

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for microseconds in [0, 10, 11, 100_000, 100_001, 10_000_000] {
            histogram.observe(Duration::from_micros(microseconds));
        }
        let counts: Vec<u64> = histogram.buckets.iter().map(Counter::get).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(histogram.sum.load(Ordering::Relaxed), (10 + 11 + 100_000 + 100_001 + 10_000_000) * 1000);
        assert!(BOUNDS.is_sorted());
    }
}
