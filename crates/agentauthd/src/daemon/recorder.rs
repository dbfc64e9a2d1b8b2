//! The audit log as the daemon uses it: remembers whether the last record could be written, for `status`.

use std::hash::{BuildHasher as _, Hash, Hasher, RandomState};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agentauth_audit::{AuditError, AuditLog, Event, Folding, Kind, Terms};
use agentauth_core::Timestamp;
use agentauth_idp::Chain;

use super::filing::Filed;
use super::grounds::Fact;
use super::news::News;
use super::preapprovals::Preapproval;
use super::record;

/// Appends records and knows how that went last.
#[derive(Clone)]
pub(crate) struct Recorder(Arc<Shared>);

struct Shared {
    log: AuditLog,
    trouble: Mutex<Trouble>,
    /// Whether there is any: looked at with each record.
    troubled: AtomicBool,
    /// Counts equal denials in a row; nothing where that cannot be.
    folding: Mutex<Option<Folding>>,
    /// Makes it unknowable which denials are counted together.
    secret: RandomState,
    /// Taken by who brings records to disk; who waits for it is served with everybody else who does.
    turn: tokio::sync::Mutex<()>,
    news: News,
    filed: Mutex<Filed>,
    failures: AtomicU64,
    /// Gaps in the record that began, or were found.
    gaps: AtomicU64,
    /// Denials that were counted instead of recorded in full.
    folded: AtomicU64,
    checkpoint: Mutex<Option<Checkpoint>>,
}

/// The newest checkpoint of this run.
#[derive(Clone, Copy)]
pub(crate) struct Checkpoint {
    /// The number of its record.
    pub(crate) seq: u64,
    /// When it was signed.
    pub(crate) at: Timestamp,
}

/// What went wrong, until it goes right again.
#[derive(Default)]
struct Trouble {
    /// Why the last record could not be written, or brought to disk.
    fault: Option<String>,
    /// What could not be recorded, until that is.
    gap: Option<Gap>,
}

/// What has to be in a file of the record before what rests on it.
pub(crate) trait Ground {
    /// Which file has it.
    fn written_in(&self) -> &WrittenIn;

    /// The record of it.
    fn event(&self, now: Timestamp) -> Event<'_>;
}

/// Which file of the record has something, by the number of the file's first record; 0 for none.
#[derive(Debug, Default)]
pub(crate) struct WrittenIn(AtomicU64);

impl WrittenIn {
    /// Whether it is the file that begins with this record.
    pub(crate) fn is(&self, file: u64) -> bool {
        self.0.load(Ordering::Acquire) == file
    }

    /// The file that begins with this record has it.
    pub(crate) fn put(&self, file: u64) {
        self.0.store(file, Ordering::Release);
    }
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
        Self(Arc::new(Shared {
            log,
            trouble: Mutex::default(),
            troubled: AtomicBool::default(),
            folding: Mutex::default(),
            secret: RandomState::new(),
            turn: tokio::sync::Mutex::default(),
            news: News::default(),
            filed: Mutex::default(),
            failures: AtomicU64::default(),
            gaps: AtomicU64::default(),
            folded: AtomicU64::default(),
            checkpoint: Mutex::default(),
        }))
    }

    /// Appends one record: handed to the kernel when this returns.
    pub(crate) fn append(&self, event: &Event<'_>) -> Result<(), AuditError> {
        self.appended(event, self.0.log.append(event).map(drop))
    }

    /// Appends a record that rests on these facts and consents by policy, after those of them that the file does not have yet.
    pub(crate) fn append_resting_on(
        &self,
        facts: &[Arc<Fact>],
        consents: &[Arc<Preapproval>],
        event: &Event<'_>,
    ) -> Result<(), AuditError> {
        let facts = facts.iter().map(|fact| &**fact as &dyn Ground);
        let mut missing = facts.chain(consents.iter().map(|consent| &**consent as &dyn Ground));
        let mut writing: Option<&dyn Ground> = None;
        let before = |file| {
            // Whoever asks for the next has written the one before.
            if let Some(written) = writing.take() {
                written.written_in().put(file);
            }
            writing = missing.find(|ground| !ground.written_in().is(file));
            writing.map(|ground| ground.event(event.time))
        };
        let appended = self.0.log.append_after(before, event).map(drop);
        self.appended(event, appended)
    }

    fn appended(&self, event: &Event<'_>, appended: Result<(), AuditError>) -> Result<(), AuditError> {
        self.0.news.tell();
        if event.kind == Kind::AuditGap && appended.is_ok() {
            self.0.gaps.fetch_add(1, Ordering::Relaxed);
        }
        match &appended {
            Err(error) => self.failed(error, Some(event.time)),
            // What room is kept for says nothing about other records.
            Ok(()) if event.kind.is_reserved() => {}
            Ok(()) => self.succeeded(event.time),
        }
        appended
    }

    /// Begins to count equal denials, and records those that the process before had counted.
    pub(crate) fn begin_folding(&self, terms: Terms) {
        let opened = Folding::open(self.0.log.directory(), terms).and_then(|(mut folding, left)| {
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
    }

    /// Records a denial that gives rise to nothing, or counts it with its like.
    pub(crate) fn denied(&self, facts: &[Arc<Fact>], event: &Event<'_>) -> Result<(), AuditError> {
        // While nothing can be recorded, that is what the answer says.
        if !self.0.troubled.load(Ordering::Relaxed) {
            let key = self.0.secret.hash_one(Alike(event));
            let mut folding = self.folding();
            if folding.as_mut().is_some_and(|folding| folding.fold(key, event)) {
                self.0.folded.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        }
        self.append_resting_on(facts, &[], event)
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

    fn folding(&self) -> MutexGuard<'_, Option<Folding>> {
        self.0.folding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// While nothing could be recorded: looks whether it can be again. Blocking.
    pub(crate) fn probe(&self, now: Timestamp) {
        if self.0.troubled.load(Ordering::Relaxed) {
            match self.0.log.probe(now) {
                Ok(()) => self.succeeded(now),
                Err(error) => self.failed(&error, None),
            }
        }
    }

    /// Notes a failure; and, with its time, an event that is not in the record for it.
    fn failed(&self, error: &AuditError, missed: Option<Timestamp>) {
        self.0.failures.fetch_add(1, Ordering::Relaxed);
        let why = Chain(error).to_string();
        let mut trouble = self.trouble();
        if let Some(since) = missed {
            let gap = trouble.gap.get_or_insert_with(|| {
                self.0.gaps.fetch_add(1, Ordering::Relaxed);
                Gap { events: 0, since, why: why.clone() }
            });
            gap.events += 1;
        }
        trouble.fault = Some(why);
        self.0.troubled.store(true, Ordering::Relaxed);
    }

    /// Forgets what went wrong before, and records what could not be recorded then.
    fn succeeded(&self, now: Timestamp) {
        if !self.0.troubled.load(Ordering::Relaxed) {
            return;
        }
        let mut trouble = self.trouble();
        trouble.fault = None;
        if let Some(gap) = &trouble.gap {
            let event = record::unrecorded(gap.events, gap.since, &gap.why, now);
            if self.0.log.append(&event).is_err() {
                return;
            }
            tracing::warn!(events = gap.events, why = gap.why, "the audit log can be written again");
            self.0.news.tell();
        }
        trouble.gap = None;
        self.0.troubled.store(false, Ordering::Relaxed);
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
        let _turn = self.0.turn.lock().await;
        if self.0.log.is_on_disk(newest) {
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
        self.0.log.sync().inspect_err(|error| self.failed(error, None))
    }

    /// Why the last record could not be written; `None` when it could.
    pub(crate) fn fault(&self) -> Option<String> {
        self.trouble().fault.clone()
    }

    /// Tells of new records.
    pub(crate) fn news(&self) -> &News {
        &self.0.news
    }

    /// How often something could not be written, or brought to disk.
    pub(crate) fn failures(&self) -> u64 {
        self.0.failures.load(Ordering::Relaxed)
    }

    /// How many gaps of the record began, or were found.
    pub(crate) fn gaps(&self) -> u64 {
        self.0.gaps.load(Ordering::Relaxed)
    }

    /// How many denials were counted instead of recorded in full.
    pub(crate) fn folded(&self) -> u64 {
        self.0.folded.load(Ordering::Relaxed)
    }

    /// A checkpoint was signed, and is on disk.
    pub(crate) fn signed(&self, checkpoint: Checkpoint) {
        *self.0.checkpoint.lock().unwrap_or_else(PoisonError::into_inner) = Some(checkpoint);
    }

    /// The newest checkpoint of this run.
    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        *self.0.checkpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log itself.
    pub(crate) fn log(&self) -> &AuditLog {
        &self.0.log
    }

    /// Notes how the files stand.
    pub(crate) fn filed(&self, filed: Filed) {
        *self.0.filed.lock().unwrap_or_else(PoisonError::into_inner) = filed;
    }

    /// How the files stood when they were looked at last.
    pub(crate) fn files(&self) -> Filed {
        self.0.filed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of the newest record.
    pub(crate) fn newest(&self) -> u64 {
        self.0.log.head().seq
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use agentauth_audit::Trail;
    use agentauth_core::{CallerFacts, MachineSet, Timestamp};

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

        let fact = Grounds::new(&MachineSet::default()).of_caller(&CallerFacts::default());
        let decide = || {
            let digest: &str = fact.set().digest();
            let event = Event { facts: vec![digest.into()], ..Event::new(Kind::Decision, now) };
            recorder.append_resting_on(std::slice::from_ref(&fact), &[], &event).unwrap();
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
