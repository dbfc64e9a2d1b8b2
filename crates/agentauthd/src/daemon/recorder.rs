//! The audit log as the daemon uses it: remembers whether the last record could be written, for `status`.

use std::hash::{BuildHasher as _, Hash, Hasher, RandomState};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use agentauth_audit::{AuditError, AuditLog, Event, Folding, Terms};
use agentauth_core::Timestamp;
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
    /// What could not be recorded, until that is.
    gap: Arc<Mutex<Option<Gap>>>,
    /// Whether there is such a thing: looked at with each record.
    gapped: Arc<AtomicBool>,
    /// Counts equal denials in a row; nothing where that cannot be.
    folding: Arc<Mutex<Option<Folding>>>,
    /// Makes it unknowable which denials are counted together.
    secret: RandomState,
    /// Taken by who brings records to disk; who waits for it is served with everybody else who does.
    turn: Arc<tokio::sync::Mutex<()>>,
    news: Arc<News>,
    filed: Arc<Mutex<Filed>>,
    failures: Arc<AtomicU64>,
}

/// What makes two denials equal: who asked, for what, and why not.
struct Alike<'a>(&'a Event<'a>);

impl Hash for Alike<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Event { actor, scopes, reason, policies, user, .. } = self.0;
        if let Some(actor) = actor {
            (actor.pid, &actor.executable, &actor.sha256, &actor.assurance, &actor.agents).hash(state);
        }
        (scopes, reason, policies, user).hash(state);
    }
}

/// What could not be recorded.
struct Gap {
    events: u64,
    since: Timestamp,
    why: String,
}

impl Recorder {
    /// Over an open log.
    pub(crate) fn new(log: AuditLog) -> Self {
        Self {
            log: Arc::new(log),
            fault: Arc::default(),
            gap: Arc::default(),
            gapped: Arc::default(),
            folding: Arc::default(),
            secret: RandomState::new(),
            turn: Arc::default(),
            news: Arc::default(),
            filed: Arc::default(),
            failures: Arc::default(),
        }
    }

    /// Appends one record: handed to the kernel when this returns.
    pub(crate) fn append(&self, event: &Event<'_>) -> Result<(), AuditError> {
        self.appended(event, self.log.append(event).map(drop))
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
        self.appended(event, appended)
    }

    fn appended(&self, event: &Event<'_>, appended: Result<(), AuditError>) -> Result<(), AuditError> {
        self.news.tell();
        match &appended {
            Err(error) => self.missed(event.time, error),
            // What room is kept for says nothing about other records.
            Ok(()) if event.kind.is_reserved() => return appended,
            Ok(()) => self.mind_the_gap(event.time),
        }
        self.note(appended)
    }

    /// Begins to count equal denials, and records those that the process before had counted.
    pub(crate) fn begin_folding(&self, terms: Terms) -> Result<(), AuditError> {
        let opened = Folding::open(self.log.directory(), terms).and_then(|(mut folding, left)| {
            for event in &left {
                self.append(event).map_err(io::Error::other)?;
            }
            folding.clear().map(|()| folding)
        });
        match opened {
            Ok(folding) => *self.folding() = Some(folding),
            // Then every one is recorded in full.
            Err(error) => tracing::warn!(%error, "equal denials cannot be counted together"),
        }
        Ok(())
    }

    /// Records a denial that gives rise to nothing, or counts it with its like.
    pub(crate) fn denied(&self, facts: &[Arc<Fact>], event: &Event<'_>) -> Result<(), AuditError> {
        // While nothing can be recorded, that is what the answer says.
        if !self.gapped.load(Ordering::Relaxed) {
            let key = self.secret.hash_one(Alike(event));
            let mut folding = self.folding();
            if folding.as_mut().is_some_and(|folding| folding.fold(key, event)) {
                return Ok(());
            }
        }
        self.append_resting_on(facts, event)
    }

    /// Records what was counted: in windows that are over, or all of it.
    pub(crate) fn unfold(&self, now: Timestamp, all: bool) {
        let mut folding = self.folding();
        let Some(folding) = &mut *folding else { return };
        for (key, event) in folding.due(now, all) {
            match self.append(&event) {
                Ok(()) => folding.free(key),
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "counted denials cannot be recorded yet");
                    return;
                }
            }
        }
    }

    fn folding(&self) -> std::sync::MutexGuard<'_, Option<Folding>> {
        self.folding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// While nothing could be recorded: looks whether it can be again.
    pub(crate) fn probe(&self, now: Timestamp) {
        if self.fault().is_some() && self.note(self.log.probe(now)).is_ok() {
            self.mind_the_gap(now);
        }
    }

    fn missed(&self, now: Timestamp, error: &AuditError) {
        let mut gap = self.gap.lock().unwrap_or_else(PoisonError::into_inner);
        let gap = gap.get_or_insert_with(|| Gap { events: 0, since: now, why: Chain(error).to_string() });
        gap.events += 1;
        self.gapped.store(true, Ordering::Relaxed);
    }

    /// Records what could not be recorded, once it can be.
    fn mind_the_gap(&self, now: Timestamp) {
        if !self.gapped.load(Ordering::Relaxed) {
            return;
        }
        let mut gap = self.gap.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(told) = &*gap else { return };
        let event = record::unrecorded(told.events, told.since, &told.why, now);
        if self.log.append(&event).is_ok() {
            tracing::warn!(events = told.events, why = told.why, "the audit log can be written again");
            *gap = None;
            self.gapped.store(false, Ordering::Relaxed);
            self.news.tell();
        }
    }

    /// Appends one record that nothing depends on; a failure is logged and shown by `status`.
    pub(crate) fn note_down(&self, event: &Event<'_>) {
        if let Err(error) = self.append(event) {
            tracing::error!(error = %Chain(&error), "an event cannot be recorded");
        }
    }

    /// Brings everything appended so far to disk, off the thread. Who asks at the same time shares one way there.
    pub(crate) async fn to_disk(&self) -> Result<(), AuditError> {
        let newest = self.newest();
        let _turn = self.turn.lock().await;
        if self.log.is_on_disk(newest) {
            return Ok(());
        }
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
