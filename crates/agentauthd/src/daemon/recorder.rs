//! The audit log as the daemon uses it: remembers whether the last record could be written, for `status`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use agentauth_audit::{AuditError, AuditLog, Event};
use agentauth_idp::Chain;

use super::filing::Filed;
use super::grounds::Fact;
use super::news::News;
use super::record;

/// Appends records and knows how that went last.
#[derive(Clone)]
pub(crate) struct Recorder {
    log: Arc<AuditLog>,
    fault: Arc<Mutex<Option<String>>>,
    news: Arc<News>,
    filed: Arc<Mutex<Filed>>,
    failures: Arc<AtomicU64>,
}

impl Recorder {
    /// Over an open log.
    pub(crate) fn new(log: AuditLog) -> Self {
        Self {
            log: Arc::new(log),
            fault: Arc::default(),
            news: Arc::default(),
            filed: Arc::default(),
            failures: Arc::default(),
        }
    }

    /// Appends one record: handed to the kernel when this returns.
    pub(crate) fn append(&self, event: &Event<'_>) -> Result<(), AuditError> {
        let appended = self.log.append(event).map(drop);
        self.news.tell();
        self.note(appended)
    }

    /// Appends a record that names these facts, after those of them that the file does not have yet.
    pub(crate) fn append_resting_on(&self, facts: &[Arc<Fact>], event: &Event<'_>) -> Result<(), AuditError> {
        let mut missing = facts.iter();
        let mut writing: Option<&Arc<Fact>> = None;
        let before = |file| {
            // Whoever asks for the next has written the one before.
            if let Some(written) = writing.take() {
                written.put_in(file);
            }
            writing = missing.find(|fact| !fact.is_in(file));
            writing.map(|fact| record::facts(fact.set(), event.time))
        };
        let appended = self.log.append_after(before, event).map(drop);
        self.news.tell();
        self.note(appended)
    }

    /// Appends one record that nothing depends on; a failure is logged and shown by `status`.
    pub(crate) fn note_down(&self, event: &Event<'_>) {
        if let Err(error) = self.append(event) {
            tracing::error!(error = %Chain(&error), "an event cannot be recorded");
        }
    }

    /// Brings everything appended so far to disk, off the thread.
    pub(crate) async fn to_disk(&self) -> Result<(), AuditError> {
        let recorder = self.clone();
        match tokio::task::spawn_blocking(move || recorder.to_disk_here()).await {
            Ok(outcome) => outcome,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// The same on this thread. Blocking.
    pub(crate) fn to_disk_here(&self) -> Result<(), AuditError> {
        self.note(self.log.sync())
    }

    /// Why the last record could not be written; `None` when it could.
    pub(crate) fn fault(&self) -> Option<String> {
        self.lock().clone()
    }

    /// Tells of new records.
    pub(crate) fn news(&self) -> &News {
        &self.news
    }

    /// How often something could not be written, or brought to disk.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// The log itself.
    pub(crate) fn log(&self) -> &AuditLog {
        &self.log
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> &std::path::Path {
        self.log.directory()
    }

    /// Notes how the files stand.
    pub(crate) fn filed(&self, filed: Filed) {
        *self.filed.lock().unwrap_or_else(PoisonError::into_inner) = filed;
    }

    /// How the files stood when they were looked at last.
    pub(crate) fn files(&self) -> Filed {
        self.filed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of the newest record.
    pub(crate) fn newest(&self) -> u64 {
        self.log.head().seq
    }

    fn note(&self, outcome: Result<(), AuditError>) -> Result<(), AuditError> {
        if outcome.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        *self.lock() = outcome.as_ref().err().map(|error| Chain(error).to_string());
        outcome
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use agentauth_audit::{Kind, Trail};
    use agentauth_core::{CallerFacts, Timestamp};
    use agentauth_host::machine::Machine;

    use super::*;
    use crate::daemon::grounds::Grounds;

    /// The kinds of records, each with what it rests on and which facts it is.
    fn written(directory: &std::path::Path) -> Vec<(Kind, usize)> {
        let entries = Trail::new(directory).entries().unwrap().map(|entry| entry.unwrap().event);
        entries.map(|event| (event.kind, event.facts.len())).collect()
    }

    #[test]
    fn facts_are_written_once_for_each_file_before_what_rests_on_them() {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let recorder = Recorder::new(AuditLog::open(directory.path(), now).unwrap());
        let machine = Machine { host: None, os: "os".to_owned(), address: None };
        let fact = Grounds::new("device", &machine).of_caller(&CallerFacts::default());
        let decide = || {
            let digest: &str = fact.set().digest();
            let event = Event { facts: vec![digest.into()], ..Event::new(Kind::Decision, now) };
            recorder.append_resting_on(std::slice::from_ref(&fact), &event).unwrap();
        };
        recorder.append(&Event::new(Kind::ServiceStart, now)).unwrap();
        decide();
        decide();
        recorder.log().rotate(now).unwrap().unwrap();
        decide();
        let one = [(Kind::Facts, 0), (Kind::Decision, 1)];
        let expected: Vec<_> = [(Kind::ServiceStart, 0)]
            .into_iter()
            .chain(one)
            .chain([(Kind::Decision, 1), (Kind::ChainContinued, 0)])
            .chain(one)
            .collect();
        assert_eq!(written(directory.path()), expected);
    }
}
