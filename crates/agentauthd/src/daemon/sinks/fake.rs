//! A sink that does as it is told, and what tests of sinks have in common.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentauth_audit::{Actor, AuditLog, Entry, Event, Kind, Trail, Verdict};
use agentauth_core::Clock as _;
use agentauth_host::clock::SystemClock;

use super::door::{Sink, SinkError, Taken};
use crate::daemon::recorder::Recorder;

/// How long anything may take on a slow machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(40);

/// What a fake does with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// Takes it.
    Takes,
    /// Says that it cannot.
    Fails,
    /// Takes this many records of each batch and fails then.
    TakesOnly(usize),
    /// Never answers.
    Hangs,
    /// Never answers the first time, and takes everything after that.
    HangsOnce,
    /// Takes batches of at most so many records.
    Small(usize),
    /// Takes it, but for this many records.
    RefusesOf(u64),
    /// Takes it without confirming it, and loses what is not settled when the mood changes to [`Mood::Fails`].
    Unconfirmed,
}

/// One record as it arrived: its number, and the line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) seq: u64,
    pub(super) line: String,
}

/// Where a stand-in puts what it gets.
pub(super) type Heap = Arc<Mutex<Vec<Seen>>>;

/// The far end of a fake sink: what it has, batch by batch, and its mood.
#[derive(Clone, Debug)]
pub(super) struct FarEnd(Arc<Mutex<(Mood, Vec<Vec<u64>>)>>, Heap);

/// A sink for tests.
#[derive(Debug)]
pub(super) struct Fake {
    far_end: FarEnd,
    pub(super) settles_after: Duration,
}

pub(super) fn fake(mood: Mood) -> (Fake, FarEnd) {
    let far_end = FarEnd(Arc::new(Mutex::new((mood, Vec::new()))), Heap::default());
    (Fake { far_end: far_end.clone(), settles_after: Duration::ZERO }, far_end)
}

impl FarEnd {
    pub(super) fn mood(&self, mood: Mood) {
        self.0.lock().unwrap().0 = mood;
    }

    pub(super) fn batches(&self) -> Vec<Vec<u64>> {
        self.0.lock().unwrap().1.clone()
    }

    pub(super) fn lines(&self) -> Heap {
        self.1.clone()
    }

    pub(super) fn records(&self) -> Vec<u64> {
        self.batches().concat()
    }
}

impl Sink for Fake {
    async fn send(&mut self, batch: &[Entry]) -> Result<Taken, SinkError> {
        let mood = self.far_end.0.lock().unwrap().0;
        let mut numbers: Vec<u64> = batch.iter().map(|entry| entry.seq).collect();
        let refused = match mood {
            Mood::Takes | Mood::Unconfirmed => 0,
            Mood::Fails => return Err(SinkError::new("told to fail")),
            Mood::Hangs => std::future::pending().await,
            Mood::HangsOnce => {
                self.far_end.mood(Mood::Takes);
                std::future::pending().await
            }
            Mood::TakesOnly(count) if batch.len() > count => {
                numbers.truncate(count);
                self.far_end.0.lock().unwrap().1.push(numbers);
                return Err(SinkError { delivered: count, ..SinkError::new("told to fail midway") });
            }
            Mood::Small(most) if batch.len() > most => {
                return Err(SinkError { too_large: true, ..SinkError::new("too much") });
            }
            Mood::TakesOnly(_) | Mood::Small(_) => 0,
            Mood::RefusesOf(count) => count,
        };
        let seen = batch.iter().map(|entry| Seen { seq: entry.seq, line: entry.line.clone() });
        self.far_end.1.lock().unwrap().extend(seen);
        self.far_end.0.lock().unwrap().1.push(numbers);
        Ok(Taken { refused, why: (refused > 0).then(|| "told to refuse".to_owned()) })
    }

    fn settles_after(&self) -> Duration {
        self.settles_after
    }

    async fn still_there(&mut self) -> Result<(), SinkError> {
        if self.far_end.0.lock().unwrap().0 == Mood::Fails { Err(SinkError::new("gone")) } else { Ok(()) }
    }
}

/// A record of its own in a directory of its own.
pub(super) struct Record {
    pub(super) recorder: Recorder,
    pub(super) directory: tempfile::TempDir,
}

impl Record {
    pub(super) fn begin() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { recorder: Self::open(&directory.path().join("audit")), directory }
    }

    fn open(path: &Path) -> Recorder {
        Recorder::new(AuditLog::open(path, SystemClock.now()).unwrap())
    }

    /// The daemon ends, and another begins where it was.
    pub(super) fn again(self) -> Self {
        let directory = self.directory;
        drop(self.recorder);
        Self { recorder: Self::open(&directory.path().join("audit")), directory }
    }

    pub(super) fn trail(&self) -> Trail {
        Trail::new(&self.directory.path().join("audit"))
    }

    pub(super) fn cursor(&self) -> PathBuf {
        self.directory.path().join("test.cursor")
    }

    pub(super) fn write(&self, count: usize) {
        for _ in 0..count {
            self.recorder.append(&hostile()).unwrap();
        }
    }

    /// Every record so far.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.trail().entries().unwrap().map(Result::unwrap).collect()
    }

    /// What the records of a kind say beside what all say.
    pub(super) fn details(&self, kind: Kind) -> Vec<serde_json::Map<String, serde_json::Value>> {
        let entries = self.entries().into_iter();
        entries.filter(|entry| entry.event.kind == kind).map(|entry| entry.event.details).collect()
    }
}

/// The name of an agent that wants to be more than a name.
pub(super) const HOSTILE: &str =
    "a\nMESSAGE=forged\n<0>1 - evil\u{0}|\"]\\ \u{1b}[2J\u{202e}gnp.exe\u{2028}\r\nAGENTAUTH_SEQ=1";

/// A decision about an agent of that name.
pub(super) fn hostile() -> Event<'static> {
    Event {
        id: Some(HOSTILE.into()),
        decision: Some(Verdict::Deny),
        reason: Some("consent_required".into()),
        scopes: vec!["files.read:/a".into()],
        purpose: Some(HOSTILE.into()),
        actor: Some(Actor { pid: 1, agents: vec![HOSTILE.into()], ..Actor::default() }),
        ..Event::new(Kind::Decision, SystemClock.now())
    }
}

/// Waits until a condition holds.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain for: {what}");
}
