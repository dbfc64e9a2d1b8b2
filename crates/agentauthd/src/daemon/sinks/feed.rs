//! The engine behind each sink: reads the log on from where the sink is, hands it over, tries again, and lets go of what
//! has waited too long.
//!
//! Architecture invariants: nothing here is on the way of a decision. A record counts as handed over when the receiver
//! has confirmed it, or has had the time that its [`Sink`] asks for. What is let go of is recorded first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use agentauth_audit::{Kind, Trail};
use agentauth_core::{Clock, SignedDuration, Timestamp};
use agentauth_idp::Chain;
use tokio_util::sync::CancellationToken;

use super::backlog::{Backlog, Batch, Limit};
use super::board::{Board, Place};
use super::cursor::{CursorFile, Mark, Position};
use super::door::{Sink, SinkError, Taken};
use crate::daemon::record;
use crate::daemon::recorder::Recorder;

/// How many failures in a row make a sink one that is down: one alone may be a connection that had grown old.
const DOWN_AFTER: u32 = 2;
/// What goes out within this time settles together, so that few places have to be remembered.
const TOGETHER: SignedDuration = SignedDuration::from_secs(1);
/// How often at most it is recorded that a receiver refuses records: the record of it may be refused in its turn.
const REFUSALS_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// How a sink is fed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// How many records may wait for the sink.
    pub(super) spool: u64,
    /// Only records of this kind, or all.
    pub(super) wanted: Option<Kind>,
    /// How long to wait for more before a batch is made up.
    pub(super) linger: Duration,
    /// How long handing over one batch may take.
    pub(super) patience: Duration,
    /// How long to wait after the first failure; twice as long after each further one.
    pub(super) first_pause: Duration,
    /// The longest such wait.
    pub(super) longest_pause: Duration,
    /// How many records are in a batch at most.
    pub(super) records: usize,
    /// How many bytes of lines are in a batch at most.
    pub(super) bytes: usize,
    /// Spreads the waits: a number from 0 to 1.
    pub(super) jitter: fn() -> f64,
}

impl Terms {
    /// What suits receivers on a network.
    pub(super) fn usual(spool: u64, wanted: Option<Kind>, jitter: fn() -> f64) -> Self {
        Self {
            spool,
            wanted,
            linger: Duration::from_millis(250),
            patience: Duration::from_secs(30),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
            records: 500,
            bytes: 512 * 1024,
            jitter,
        }
    }
}

/// What the engine works with.
pub(super) struct Parts<S> {
    pub(super) name: &'static str,
    pub(super) sink: S,
    pub(super) terms: Terms,
    pub(super) recorder: Recorder,
    pub(super) trail: Trail,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) board: Board,
    pub(super) place: Place,
    pub(super) cursor: CursorFile,
    pub(super) mark: Mark,
}

/// One sink and how far it has come.
pub(super) struct Feed<S> {
    parts: Parts<S>,
    /// Absent while a thread reads.
    backlog: Option<Backlog>,
    /// Handed over up to here.
    sent: Position,
    /// And so that it cannot get lost any more.
    sure: Position,
    /// What has yet to prove so, and since when: the time at which the first of it went out.
    unsettled: VecDeque<(Timestamp, Position)>,
    /// Read and not handed over yet.
    pending: Option<Batch>,
    /// The last record of a batch that was under way when the daemon ended.
    trying: u64,
    failures_in_a_row: u32,
    most: usize,
    refused: u64,
    refusals_recorded: Option<Timestamp>,
}

/// What to do next.
enum Next {
    /// Go on at once.
    On,
    /// Wait for news.
    Idle,
    /// Wait before the next attempt.
    Pause(Duration),
}

impl<S: Sink> Feed<S> {
    pub(super) fn new(parts: Parts<S>) -> Self {
        let Mark { position, trying } = parts.mark;
        // A log that is shorter than what was handed over is another one.
        let (position, trying) = if position.seq > parts.recorder.newest() {
            (Position::default(), 0)
        } else {
            (position, trying)
        };
        let feed = Self {
            backlog: None,
            sent: position,
            sure: position,
            unsettled: VecDeque::new(),
            pending: None,
            trying,
            failures_in_a_row: 0,
            most: parts.terms.records,
            refused: 0,
            refusals_recorded: None,
            parts,
        };
        feed.note_behind();
        feed
    }

    /// Feeds the sink until the daemon stops; what is there then is handed over if that takes no longer than `grace`.
    pub(super) async fn run(mut self, stop: CancellationToken, grace: Duration) {
        loop {
            let next = tokio::select! {
                () = stop.cancelled() => break,
                next = self.step() => next,
            };
            let wait = async {
                match next {
                    Next::On => {}
                    Next::Idle => self.idle().await,
                    Next::Pause(pause) => tokio::time::sleep(pause).await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = wait => {}
            }
        }
        if self.failures_in_a_row == 0 {
            let rest = async { while matches!(self.step().await, Next::On) {} };
            if tokio::time::timeout(grace, rest).await.is_err() {
                let sink = self.parts.name;
                tracing::info!(sink, "the rest of the record is handed over after the next start");
            }
        }
    }

    /// Until there is something to read, and a moment longer so that it is worth the way; or until what was sent has to be
    /// looked after.
    async fn idle(&mut self) {
        let left = self.unsettled.front().map(|(since, _)| {
            let left = self.settles_at(*since).duration_since(self.parts.clock.now());
            Duration::try_from(left).unwrap_or_default()
        });
        let (recorder, seq, linger) = (&self.parts.recorder, self.sent.seq, self.parts.terms.linger);
        let news = async {
            recorder.news().beyond(seq, || recorder.newest()).await;
            tokio::time::sleep(linger).await;
        };
        let settled = async {
            match left {
                Some(left) => tokio::time::sleep(left).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = news => {}
            () = settled => {}
        }
    }

    async fn step(&mut self) -> Next {
        if let Err(error) = self.settle().await {
            return self.failed(&error);
        }
        self.keep_within_bounds();
        let mut batch = match self.pending.take() {
            Some(batch) => batch,
            None => match self.read().await {
                Ok(Some(batch)) => batch,
                Ok(None) => return Next::Idle,
                Err(error) => return self.failed(&error),
            },
        };
        if batch.missing > 0 {
            if !self.dropped(batch.missing, batch.through.seq, "they are not in the log as they were written")
            {
                self.pending = Some(batch);
                return Next::Pause(self.parts.terms.longest_pause);
            }
            batch.missing = 0;
        }
        if batch.entries.is_empty() {
            self.advance(batch.through);
            return Next::On;
        }
        self.trying = batch.through.seq;
        self.write_mark();
        let patience = self.parts.terms.patience;
        match tokio::time::timeout(patience, self.parts.sink.send(&batch.entries)).await {
            Ok(Ok(taken)) => {
                self.taken(&taken, batch.entries.len() as u64);
                self.advance(batch.through);
                self.write_mark();
                Next::On
            }
            Ok(Err(error)) => self.not_taken(batch, error),
            Err(_) => {
                let error =
                    SinkError::new(format!("it did not take a batch within {} s", patience.as_secs()));
                self.not_taken(batch, error)
            }
        }
    }

    /// Counts as safe what has had its time, unless the receiver is gone.
    async fn settle(&mut self) -> Result<(), SinkError> {
        let now = self.parts.clock.now();
        let due = |(since, _): &(Timestamp, Position)| self.settles_at(*since) <= now;
        if !self.unsettled.front().is_some_and(due) {
            return Ok(());
        }
        if let Err(error) = self.parts.sink.still_there().await {
            self.rewind();
            return Err(error);
        }
        while let Some(front) = self.unsettled.front().copied()
            && self.settles_at(front.0) <= now
        {
            self.sure = front.1;
            self.unsettled.pop_front();
        }
        self.note_behind();
        self.write_mark();
        Ok(())
    }

    fn settles_at(&self, since: Timestamp) -> Timestamp {
        let span = SignedDuration::try_from(self.parts.sink.settles_after()).unwrap_or_default();
        since.checked_add(span.saturating_add(TOGETHER)).unwrap_or(Timestamp::MAX)
    }

    /// Reads the next batch on a thread of its own; nothing where there is nothing new.
    async fn read(&mut self) -> Result<Option<Batch>, SinkError> {
        let terms = &self.parts.terms;
        let from = self.sent;
        // The batch that was under way is made up again as it was.
        let through = if self.trying > from.seq { self.trying } else { u64::MAX };
        let limit = Limit { records: self.most, bytes: terms.bytes, through };
        let trail = self.parts.trail.clone();
        let mut backlog = self.backlog.take().unwrap_or_else(|| Backlog::new(trail, terms.wanted));
        let newest = self.parts.recorder.newest();
        let reading = tokio::task::spawn_blocking(move || {
            let mut outcome = backlog.next(from, limit);
            // A reader at the end of a file that another has taken the place of.
            if from.seq < newest
                && outcome.as_ref().is_ok_and(|batch| batch.through == from && !batch.foreign)
            {
                backlog.let_go();
                outcome = backlog.next(from, limit);
            }
            (backlog, outcome)
        });
        let (backlog, outcome) =
            reading.await.map_err(|_| SinkError::new("the log could not be read: please report this"))?;
        self.backlog = Some(backlog);
        let batch =
            outcome.map_err(|error| SinkError::new(format!("the log cannot be read: {}", Chain(&error))))?;
        if batch.foreign {
            let sink = self.parts.name;
            tracing::warn!(sink, seq = from.seq, "the log is not the one that was handed over so far");
            self.start_over(Position::default());
            return Ok(Some(Batch::default()));
        }
        if batch.through == from {
            return if from.seq < newest {
                Err(SinkError::new(format!("record {} is not found in the log", from.seq + 1)))
            } else {
                Ok(None)
            };
        }
        Ok(Some(batch))
    }

    fn advance(&mut self, through: Position) {
        if through.seq <= self.sent.seq {
            return;
        }
        self.sent = through;
        if self.parts.sink.settles_after().is_zero() {
            self.sure = through;
        } else {
            let now = self.parts.clock.now();
            match self.unsettled.back_mut() {
                Some((since, position)) if now.duration_since(*since) < TOGETHER => *position = through,
                _ => self.unsettled.push_back((now, through)),
            }
        }
        self.note_behind();
    }

    fn taken(&mut self, taken: &Taken, count: u64) {
        let now = self.parts.clock.now();
        let was_down = self.failures_in_a_row >= DOWN_AFTER;
        self.failures_in_a_row = 0;
        // After one that was too large, batches grow again bit by bit.
        self.most = (self.most + self.most / 8 + 1).min(self.parts.terms.records);
        self.parts.board.change(|report| {
            report.delivered += count.saturating_sub(taken.refused);
            report.dropped += taken.refused;
            report.error = None;
            if !report.up {
                (report.up, report.since) = (true, now);
            }
        });
        if was_down {
            tracing::info!(sink = self.parts.name, "the sink takes records again");
            self.parts.recorder.note_down(&record::sink_up(self.parts.name, now));
        }
        self.refused += taken.refused;
        let due = self.refusals_recorded.is_none_or(|last| now.duration_since(last) >= REFUSALS_EVERY);
        if self.refused > 0 && due {
            let why = taken.why.as_deref().unwrap_or("the receiver refused them");
            let event = record::sink_dropped(self.parts.name, self.refused, None, why, now);
            self.parts.recorder.note_down(&event);
            (self.refused, self.refusals_recorded) = (0, Some(now));
        }
    }

    fn not_taken(&mut self, mut batch: Batch, error: SinkError) -> Next {
        if error.too_large && batch.entries.len() > 1 {
            self.most = (batch.entries.len() / 2).max(1);
            self.trying = 0;
            if let Some(backlog) = &mut self.backlog {
                backlog.let_go();
            }
            return Next::On;
        }
        if !self.parts.sink.settles_after().is_zero() {
            self.rewind();
        } else {
            let last = batch.entries.drain(..error.delivered.min(batch.entries.len())).next_back();
            if let Some(last) = last {
                let through = Position { seq: last.seq, hash: Some(last.hash) };
                self.parts.board.change(|report| report.delivered += error.delivered as u64);
                self.advance(through);
                self.write_mark();
            }
            self.pending = Some(batch);
        }
        self.failed(&error)
    }

    fn failed(&mut self, error: &SinkError) -> Next {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let now = self.parts.clock.now();
        let why = agentauth_core::text::display_safe_within(&error.why, 512);
        tracing::debug!(sink = self.parts.name, why, "an attempt failed");
        let goes_down = self.failures_in_a_row == DOWN_AFTER;
        self.parts.board.change(|report| {
            report.failures += 1;
            report.error = Some(why.clone());
            if goes_down {
                (report.up, report.since) = (false, now);
            }
        });
        if goes_down {
            tracing::warn!(sink = self.parts.name, why, "the sink takes no records");
            self.parts.recorder.note_down(&record::sink_down(self.parts.name, &why, now));
        }
        Next::Pause(self.pause(error.wait))
    }

    /// Twice as long after each failure, between half of it and all of it; as long as the receiver asks for, where it does.
    fn pause(&self, asked: Option<Duration>) -> Duration {
        let terms = &self.parts.terms;
        let doubled = 1_u32.checked_shl(self.failures_in_a_row.saturating_sub(1)).unwrap_or(u32::MAX);
        let pause = terms.first_pause.saturating_mul(doubled).min(terms.longest_pause);
        let spread = pause.mul_f64(0.5 + 0.5 * (terms.jitter)().clamp(0.0, 1.0));
        asked.map_or(spread, |asked| asked.max(spread))
    }

    /// Lets go of the oldest where more waits than may. A quarter goes at once: the record of it is one more that waits.
    fn keep_within_bounds(&mut self) {
        let spool = self.parts.terms.spool;
        let newest = self.parts.recorder.newest();
        if newest.saturating_sub(self.sent.seq) <= spool {
            return;
        }
        let to = newest - (spool - spool / 4);
        let count = to - self.sent.seq;
        if self.dropped(count, to, "the sink was out of reach for longer than they are kept for it") {
            self.start_over(Position { seq: to, hash: None });
            self.write_mark();
        }
    }

    /// Records that records will not be handed over; whether that could be recorded.
    fn dropped(&mut self, count: u64, through: u64, why: &str) -> bool {
        let now = self.parts.clock.now();
        let range = Some((self.sent.seq + 1, through));
        let event = record::sink_dropped(self.parts.name, count, range, why, now);
        if self.parts.recorder.append(&event).is_err() {
            return false;
        }
        tracing::warn!(sink = self.parts.name, count, why, "records are not handed over");
        self.parts.board.change(|report| report.dropped += count);
        true
    }

    /// What has not settled is handed over again.
    fn rewind(&mut self) {
        let sure = self.sure;
        self.start_over(sure);
    }

    fn start_over(&mut self, at: Position) {
        (self.sent, self.sure) = (at, at);
        self.unsettled.clear();
        self.pending = None;
        self.trying = 0;
        self.note_behind();
    }

    /// A mark that cannot be written costs repetitions, no record.
    fn write_mark(&self) {
        if let Err(error) = self.parts.cursor.write(&Mark { position: self.sure, trying: self.trying }) {
            tracing::warn!(sink = self.parts.name, %error, "how far the sink has come cannot be written down");
        }
    }

    /// Tells `status`, and the log's retention, where the sink is.
    fn note_behind(&self) {
        self.parts.board.at(self.sent.seq);
        self.parts.place.needs(self.sure.seq.saturating_add(1));
    }
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
