//! `agentauthd audit tail`: the newest records, and more as they come.

use std::collections::VecDeque;
use std::time::Duration;

use agentauth_audit::{Entries, Entry};
use clap::Args;

use super::filter::Filter;
use super::out::Out;
use super::{Record, view};
use crate::cli::{Exit, Failure};

/// How long until it is looked for more.
const PAUSE: Duration = Duration::from_millis(200);

/// Show the newest records, oldest first.
#[derive(Debug, Args)]
pub(super) struct Tail {
    /// How many.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    lines: usize,
    /// Go on with what is recorded from now on.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    filter: Filter,
    /// Print the records as they are, one JSON object a line.
    #[arg(long)]
    json: bool,
}

impl Tail {
    pub(super) fn run(self, record: &Record) -> Result<Exit, Failure> {
        let mut out = Out::coloured();
        let (kept, mut entries) = self.newest(record)?;
        for entry in &kept {
            self.show(&mut out, entry)?;
        }
        out.flush()?;
        while self.follow && !out.is_closed() {
            match entries.next() {
                Some(Ok(entry)) if self.filter.wants(&entry.event) => {
                    self.show(&mut out, &entry)?;
                    out.flush()?;
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(record.failure(error)),
                None => std::thread::sleep(PAUSE),
            }
        }
        Ok(Exit::Done)
    }

    /// The newest records that are wanted, and what reads on behind them. Files are looked at from the newest back, so
    /// that a long record costs no more than a short one.
    fn newest(&self, record: &Record) -> Result<(VecDeque<Entry>, Entries), Failure> {
        let files = record.trail.closed_files().map_err(|error| record.failure(error))?;
        let mut before: Vec<u64> = files.iter().map(|file| file.last).collect();
        let after = before.last().copied().unwrap_or(0);
        let mut entries = record.trail.entries_after(after).map_err(|error| record.failure(error))?;
        let mut kept = self.last_of(&mut entries, None).map_err(|error| record.failure(error))?;
        while kept.len() < self.lines
            && let Some(end) = before.pop()
        {
            let start = before.last().copied().unwrap_or(0);
            let mut older = record.trail.entries_after(start).map_err(|error| record.failure(error))?;
            let mut more = self.last_of(&mut older, Some(end)).map_err(|error| record.failure(error))?;
            more.append(&mut kept);
            kept = more;
        }
        let surplus = kept.len().saturating_sub(self.lines);
        kept.drain(..surplus);
        Ok((kept, entries))
    }

    fn last_of(
        &self,
        entries: &mut Entries,
        end: Option<u64>,
    ) -> Result<VecDeque<Entry>, agentauth_audit::VerifyError> {
        let mut kept = VecDeque::new();
        for entry in entries {
            let entry = entry?;
            let seq = entry.seq;
            if self.filter.wants(&entry.event) && self.lines > 0 {
                if kept.len() == self.lines {
                    kept.pop_front();
                }
                kept.push_back(entry);
            }
            if Some(seq) == end {
                break;
            }
        }
        Ok(kept)
    }

    fn show(&self, out: &mut Out, entry: &Entry) -> Result<(), Failure> {
        if self.json { out.line(&entry.line) } else { out.line(&view::line(&entry.event)) }
    }
}
