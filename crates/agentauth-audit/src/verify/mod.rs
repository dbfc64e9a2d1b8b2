//! Checking a whole record: without a daemon, with nothing but its files and, best, a public key and a checkpoint that was
//! kept elsewhere.
//!
//! Each file is read once, in threads beside each other; then it is seen whether the files go together. Only when
//! something is not right is it looked at what follows, to say what was done.

mod damage;
mod diagnose;
mod scan;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use damage::{Damage, DamageKind, VerifyFailure};

use crate::files::{Closed, Form, Stub, closed_files, open_path};
use crate::note::{NoteError, SignedCheckpoint, VerifyingKey};
use crate::{Appended, Hash};
use diagnose::Trouble;
use scan::{Part, Scan};

/// At most so many threads read.
const THREADS: usize = 8;

/// What is believed beforehand.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The keys whose checkpoints count. Without any, the keys that the record itself names count, which shows only
    /// that it fits itself.
    pub keys: Vec<VerifyingKey>,
    /// A checkpoint that was kept elsewhere, and where.
    pub kept: Option<(PathBuf, SignedCheckpoint)>,
}

/// What a record that verifies holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// How many records were read.
    pub records: u64,
    /// How many bytes.
    pub bytes: u64,
    /// How many files.
    pub files: usize,
    /// The number of the first record; more than 1 where it goes on for one that was lost.
    pub first: Option<u64>,
    /// The last record.
    pub head: Option<Appended>,
    /// How many records were deleted, down to stubs that fit.
    pub deleted: u64,
    /// How many checkpoints, with right signatures, are in it.
    pub checkpoints: u64,
    /// The number up to which it is covered by a checkpoint that counts.
    pub signed_to: Option<u64>,
    /// The keys by which they were signed.
    pub keys: Vec<VerifyingKey>,
    /// How often a line that a crash cut short was set aside.
    pub torn: u64,
    /// Where the daemon found the record gone or altered, and went on without it.
    pub losses: Vec<Loss>,
}

impl Verified {
    /// Whether every record from the first on is there, or was deleted in order.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.losses.is_empty()
    }
}

/// A place where the daemon found the record gone or altered, and said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The file that was begun anew.
    pub path: PathBuf,
    /// The last record before that is there; 0 if none is.
    pub after: u64,
    /// The record that says so.
    pub seq: u64,
    /// What it says.
    pub message: String,
}

/// Checks the record in `directory`, as [`AuditLog`](crate::AuditLog) writes it. A daemon may be writing to it.
///
/// # Errors
/// [`VerifyFailure::Damaged`] names the first record that is not as it was written and what was done to it.
pub fn verify_trail(directory: &Path, trust: &Trust) -> Result<Verified, VerifyFailure> {
    let watched = trust.kept.as_ref().map(|(_, kept)| kept.unverified().at.seq);
    let parts = parts(directory)?;
    let scans = scan_all(&parts, watched);
    let mut run = Run { trust, parts: &parts, verified: Verified::default(), last: None, watched: None };
    for (index, (part, scan)) in parts.iter().zip(scans).enumerate() {
        match (part, scan) {
            (Part::Closed(closed), _) if closed.form == Form::Stub => run.stub(closed)?,
            (_, Some(scan)) => run.file(index, scan?)?,
            (_, None) => {}
        }
    }
    run.end(directory)
}

/// The files of a record, oldest first.
fn parts(directory: &Path) -> Result<Vec<Part>, VerifyFailure> {
    let unreadable = |cause| VerifyFailure::Unreadable { path: directory.to_owned(), cause };
    // A file may be closed in between: then it is listed already, or still open.
    for _ in 0..4 {
        let closed = closed_files(directory).map_err(unreadable)?;
        let open = open_path(directory);
        let there = open.exists();
        if closed_files(directory).map_err(unreadable)? != closed {
            continue;
        }
        let mut parts: Vec<Part> = closed.into_iter().map(Part::Closed).collect();
        if there {
            parts.push(Part::Open(open));
        }
        return Ok(parts);
    }
    Err(unreadable(std::io::Error::other("its files change too fast")))
}

/// Reads all files, the largest effort, in threads beside each other.
fn scan_all(parts: &[Part], watched: Option<u64>) -> Vec<Option<Result<Scan, VerifyFailure>>> {
    let results: Vec<Mutex<Option<Result<Scan, VerifyFailure>>>> =
        parts.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        // The open file is the last and was not compressed: it is begun with.
        while let Some(index) = parts.len().checked_sub(1 + next.fetch_add(1, Ordering::Relaxed)) {
            let (Some(part), Some(slot)) = (parts.get(index), results.get(index)) else { return };
            if !matches!(part, Part::Closed(closed) if closed.form == Form::Stub)
                && let Ok(mut slot) = slot.lock()
            {
                *slot = Some(scan::scan(part, watched));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS).min(parts.len());
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    results.into_iter().map(|slot| slot.into_inner().ok().flatten()).collect()
}

struct Run<'a> {
    trust: &'a Trust,
    parts: &'a [Part],
    verified: Verified,
    last: Option<Appended>,
    /// The record that the kept checkpoint speaks of, as it was found.
    watched: Option<Appended>,
}

impl Run<'_> {
    fn expected(&self) -> Appended {
        self.last.map_or(Appended { seq: 1, hash: Hash::ZERO }, |last| Appended {
            seq: last.seq + 1,
            hash: last.hash,
        })
    }

    /// Adds a file that was read.
    fn file(&mut self, index: usize, scan: Scan) -> Result<(), VerifyFailure> {
        let expected = self.expected();
        self.verified.files += 1;
        if let Some(first) = scan.first {
            let fits = (first.seq, first.prev) == (expected.seq, expected.hash);
            let named = matches!(&scan.part, Part::Closed(closed) if closed.first != first.seq);
            if let Some(message) = &scan.recovered
                && !fits
                && first.seq >= expected.seq
            {
                self.verified.losses.push(Loss {
                    path: scan.part.path().to_owned(),
                    after: expected.seq - 1,
                    seq: first.seq,
                    message: message.clone(),
                });
            } else if !fits || named {
                return Err(self.diagnose(index, 1, expected, Trouble::Link).into());
            }
        } else if scan.trouble.is_none() && matches!(scan.part, Part::Closed(_)) {
            return Err(self.diagnose(index, 1, expected, Trouble::End).into());
        }
        for note in &scan.notes {
            self.note(&scan, note)?;
        }
        let verified = &mut self.verified;
        verified.records += scan.records;
        verified.bytes += scan.bytes;
        verified.torn += scan.torn;
        verified.first = verified.first.or(scan.first.map(|first| first.seq));
        self.watched = self.watched.or(scan.watched);
        self.last = scan.last.or(self.last);
        if let Some(trouble) = scan.trouble {
            return Err(self.diagnose(index, scan.records + 1, self.expected(), trouble).into());
        }
        if let (Part::Closed(closed), Some(last)) = (&scan.part, scan.last)
            && closed.last != last.seq
        {
            return Err(self.diagnose(index, scan.records + 1, self.expected(), Trouble::End).into());
        }
        Ok(())
    }

    /// Follows the chain across a file that was deleted.
    fn stub(&mut self, closed: &Closed) -> Result<(), VerifyFailure> {
        let wrong = |detail: &str| Damage {
            kind: DamageKind::Stub,
            path: closed.path.clone(),
            line: 1,
            seq: closed.first,
            detail: detail.to_owned(),
        };
        let stub = match Stub::read(&closed.path) {
            Ok(stub) => stub,
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Err(wrong("it is no stub").into());
            }
            Err(cause) => return Err(VerifyFailure::Unreadable { path: closed.path.clone(), cause }),
        };
        let expected = self.expected();
        let missing = self.last.is_none_or(|last| last.seq + 1 < closed.first);
        if missing && closed.first > expected.seq {
            return Err(missing_file(&closed.path, expected.seq, closed.first - 1).into());
        }
        if (stub.first, stub.last) != (closed.first, closed.last)
            || stub.records != stub.last - stub.first + 1
        {
            return Err(wrong("it does not say what its name says").into());
        }
        if (stub.first, stub.prev) != (expected.seq, expected.hash) {
            return Err(wrong("it does not follow the record before it").into());
        }
        let last = Appended { seq: stub.last, hash: stub.hash };
        if let Some(note) = &stub.checkpoint {
            self.signed(note, last).map_err(|why| wrong(&format!("its checkpoint does not count: {why}")))?;
        }
        // What follows has to go on from it; that is seen when it is read.
        self.verified.deleted += stub.records;
        self.watched = self.watched.or_else(|| {
            let kept = self.trust.kept.as_ref()?.1.unverified().at.seq;
            (kept == last.seq).then_some(last)
        });
        self.last = Some(last);
        Ok(())
    }

    /// Checks a record that concerns checkpoints.
    fn note(&mut self, scan: &Scan, note: &scan::Note) -> Result<(), VerifyFailure> {
        let forged = |why: &dyn std::fmt::Display| Damage {
            kind: DamageKind::ForgedCheckpoint,
            path: scan.part.path().to_owned(),
            line: note.line,
            seq: note.seq,
            detail: why.to_string(),
        };
        match &note.what {
            scan::Noted::Key(text) => {
                // With keys given from outside, what the record says of keys counts for nothing.
                if self.trust.keys.is_empty() {
                    let key = text.parse().map_err(|why: NoteError| forged(&why))?;
                    self.verified.keys.push(key);
                }
            }
            scan::Noted::Checkpoint(text) => {
                self.signed(text, note.before).map_err(|why| forged(&why))?;
            }
        }
        Ok(())
    }

    /// Whether `text` is a checkpoint of this record that counts.
    fn signed(&mut self, text: &str, record: Appended) -> Result<(), Wrong> {
        let note: SignedCheckpoint = text.parse()?;
        let keys = if self.trust.keys.is_empty() { &self.verified.keys } else { &self.trust.keys };
        if keys.is_empty() {
            // Neither given nor named, as where the file that names it was deleted: it shows nothing.
            return Ok(());
        }
        let at = note.verify(keys)?.at;
        if at != record {
            return Err(Wrong::Other { says: at, is: record });
        }
        self.verified.checkpoints += 1;
        self.verified.signed_to = self.verified.signed_to.max(Some(record.seq));
        Ok(())
    }

    /// Holds the end against the checkpoint that was kept elsewhere.
    fn end(mut self, directory: &Path) -> Result<Verified, VerifyFailure> {
        let open = open_path(directory);
        if !self.parts.is_empty() && !self.parts.iter().any(|part| matches!(part, Part::Open(_))) {
            let seq = self.expected().seq;
            return Err(missing_file(&open, seq, seq).into());
        }
        self.verified.head = self.last;
        let trust = self.trust;
        let Some((place, kept)) = &trust.kept else {
            self.finish_keys();
            return Ok(self.verified);
        };
        let forged = |detail: String, seq| Damage {
            kind: DamageKind::ForgedCheckpoint,
            path: place.clone(),
            line: 1,
            seq,
            detail,
        };
        let says = kept.unverified().at;
        let keys = if trust.keys.is_empty() { &self.verified.keys } else { &trust.keys };
        if let Err(why) = kept.verify(keys) {
            return Err(forged(why.to_string(), says.seq).into());
        }
        let end = self.last.map_or(0, |last| last.seq);
        if says.seq > end {
            let (path, line) = match self.parts.last() {
                Some(part) => (part.path().to_owned(), self.verified.records + 1),
                None => (open, 1),
            };
            let detail = format!(
                "a checkpoint kept elsewhere speaks of record {}, and the record ends before",
                says.seq
            );
            return Err(Damage { kind: DamageKind::Truncated, path, line, seq: end + 1, detail }.into());
        }
        if let Some(found) = self.watched {
            if found != says {
                let why = Wrong::Other { says, is: found };
                return Err(forged(why.to_string(), says.seq).into());
            }
            self.verified.signed_to = self.verified.signed_to.max(Some(says.seq));
        }
        self.finish_keys();
        Ok(self.verified)
    }

    fn finish_keys(&mut self) {
        if !self.trust.keys.is_empty() {
            self.verified.keys.clone_from(&self.trust.keys);
        }
    }

    fn diagnose(&self, index: usize, line: u64, expected: Appended, trouble: Trouble) -> Damage {
        diagnose::diagnose(self.parts, index, line, expected, self.last, trouble)
    }
}

fn missing_file(path: &Path, first: u64, last: u64) -> Damage {
    Damage {
        kind: DamageKind::MissingFile,
        path: path.to_owned(),
        line: 1,
        seq: first,
        detail: format!("the file of the records {first} to {last} is not there"),
    }
}

/// Why a checkpoint does not count.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error(
        "its signature is right, and it says that record {} has the hash {}, where record {} has the hash {}",
        says.seq, says.hash, is.seq, is.hash
    )]
    Other { says: Appended, is: Appended },
}
