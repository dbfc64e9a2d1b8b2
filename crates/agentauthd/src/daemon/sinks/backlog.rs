//! What a sink has still to be given, read from the log in batches.

use agentauth_audit::{Entries, Entry, Kind, Trail, VerifyError};

use super::cursor::Position;

/// How much is read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// At most so many records.
    pub(super) records: usize,
    /// At most so many bytes of lines, but for a single record.
    pub(super) bytes: usize,
    /// At most up to this record.
    pub(super) through: u64,
}

/// Records in a row.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Those to hand over.
    pub(super) entries: Vec<Entry>,
    /// Up to where the log was read for them.
    pub(super) through: Position,
    /// How many records before them are not in the log any more.
    pub(super) missing: u64,
    /// What follows the place asked for is not what followed it before: this is another log.
    pub(super) foreign: bool,
}

/// A reader of the log that goes on where it stopped. Blocking.
#[derive(Debug)]
pub(super) struct Backlog {
    trail: Trail,
    /// Only records of this kind, or all.
    wanted: Option<Kind>,
    at: Position,
    entries: Option<Entries>,
    /// Read, but one too many for the batch.
    ahead: Option<Entry>,
}

impl Backlog {
    pub(super) fn new(trail: Trail, wanted: Option<Kind>) -> Self {
        Self { trail, wanted, at: Position::default(), entries: None, ahead: None }
    }

    /// The next batch after `from`. Nothing to hand over and nothing passed by means that there is nothing more now.
    ///
    /// # Errors
    /// [`VerifyError`] where there is a flaw right behind `from`; what comes before one is handed over first.
    pub(super) fn next(&mut self, from: Position, limit: Limit) -> Result<Batch, VerifyError> {
        if self.entries.is_none() || self.at != from {
            self.open(from)?;
        }
        let mut batch = Batch { through: from, ..Batch::default() };
        let mut bytes = 0;
        while batch.entries.len() < limit.records {
            let entry = match self.ahead.take().map(Ok).or_else(|| self.entries.as_mut()?.next()) {
                None => break,
                Some(Ok(entry)) => entry,
                Some(Err(error)) => {
                    self.entries = None;
                    if batch.through == from {
                        return Err(error);
                    }
                    break;
                }
            };
            if batch.through == from && follows_another(from, &entry) {
                self.let_go();
                return Ok(Batch { through: from, foreign: true, ..Batch::default() });
            }
            // A line that was put there again, or never followed the one before it.
            if entry.seq <= batch.through.seq {
                continue;
            }
            let full = !batch.entries.is_empty() && bytes + entry.line.len() > limit.bytes;
            if full || entry.seq > limit.through {
                self.ahead = Some(entry);
                break;
            }
            // A sink that begins takes the log from where it begins; one that wants few does not see what is missing.
            if batch.through.seq > 0 && self.wanted.is_none() {
                batch.missing += entry.seq.saturating_sub(batch.through.seq + 1);
            }
            batch.through = Position { seq: entry.seq, hash: Some(entry.hash) };
            bytes += entry.line.len();
            batch.entries.push(entry);
        }
        // What was passed over on the way.
        let passed = self.entries.as_ref().filter(|_| self.ahead.is_none()).and_then(Entries::newest);
        if let Some(passed) = passed.filter(|passed| passed.seq > batch.through.seq) {
            batch.through = Position { seq: passed.seq, hash: Some(passed.hash) };
        }
        self.at = batch.through;
        Ok(batch)
    }

    /// Forgets where it is in the files: the next look begins at the place that is asked for.
    pub(super) fn let_go(&mut self) {
        self.entries = None;
        self.ahead = None;
    }

    fn open(&mut self, from: Position) -> Result<(), VerifyError> {
        self.ahead = None;
        self.entries = Some(self.trail.copies_after(from.seq, self.wanted)?);
        self.at = from;
        Ok(())
    }
}

fn follows_another(from: Position, entry: &Entry) -> bool {
    entry.seq == from.seq + 1 && from.hash.is_some_and(|hash| hash != entry.prev)
}
