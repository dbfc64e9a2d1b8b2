//! How the sinks stand, for `status`, metrics and problems.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agentauth_core::Timestamp;

use crate::daemon::recorder::Recorder;

/// How one sink stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SinkReport {
    /// `journald`, `syslog`, `otlp` or `http`.
    pub(crate) name: &'static str,
    /// Where it leads, safe to show; no credential is ever part of it.
    pub(crate) to: String,
    /// Whether it takes what it is given.
    pub(crate) up: bool,
    /// Since when that is so.
    pub(crate) since: Timestamp,
    /// How many records wait for it.
    pub(crate) behind: u64,
    /// How many records it has taken since the daemon started.
    pub(crate) delivered: u64,
    /// How many records it will not be given, or has refused, since the daemon started.
    pub(crate) dropped: u64,
    /// How many attempts failed since the daemon started.
    pub(crate) failures: u64,
    /// Why the last attempt failed; absent while it takes what it is given.
    pub(crate) error: Option<String>,
}

/// Where the engine of one sink notes how it stands.
#[derive(Clone, Debug)]
pub(super) struct Board {
    standing: Arc<Mutex<Standing>>,
}

/// A report, but for how far behind it is, and what that follows from.
#[derive(Clone, Debug)]
struct Standing {
    report: SinkReport,
    /// The last record that it was given.
    sent: u64,
}

impl Board {
    pub(super) fn new(name: &'static str, to: String, now: Timestamp) -> Self {
        let report = SinkReport {
            name,
            to,
            up: true,
            since: now,
            behind: 0,
            delivered: 0,
            dropped: 0,
            failures: 0,
            error: None,
        };
        Self { standing: Arc::new(Mutex::new(Standing { report, sent: 0 })) }
    }

    /// How it stands while `newest` is the log's newest record.
    pub(super) fn read(&self, newest: u64) -> SinkReport {
        let standing = self.lock();
        SinkReport { behind: newest.saturating_sub(standing.sent), ..standing.report.clone() }
    }

    pub(super) fn change(&self, with: impl FnOnce(&mut SinkReport)) {
        with(&mut self.lock().report);
    }

    /// How far it has come.
    pub(super) fn at(&self, sent: u64) {
        self.lock().sent = sent;
    }

    /// Nothing panics while it is held.
    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From which record on the log is needed: the files before it may be deleted.
pub(super) struct Shelf {
    recorder: Recorder,
    /// For each sink the first record that it needs.
    first: Mutex<Vec<u64>>,
}

impl Shelf {
    pub(super) fn new(recorder: Recorder) -> Self {
        Self { recorder, first: Mutex::default() }
    }

    /// A place for one more sink, which needs everything until it says otherwise.
    pub(super) fn place(self: &Arc<Self>) -> Place {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.push(0);
        Place { shelf: self.clone(), index: first.len() - 1 }
    }
}

/// One sink's place on the shelf.
pub(super) struct Place {
    shelf: Arc<Shelf>,
    index: usize,
}

impl Place {
    /// The first record that the sink needs from now on.
    pub(super) fn needs(&self, seq: u64) {
        let mut first = self.shelf.first.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = first.get_mut(self.index) {
            *slot = seq;
        }
        if let Some(least) = first.iter().min() {
            self.shelf.recorder.log().keep_from(*least);
        }
    }
}
