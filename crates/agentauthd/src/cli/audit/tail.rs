//! `agentauthd audit tail`: the newest records, and more as they come.

use std::collections::VecDeque;
use std::time::Duration;

use agentauth_audit::{Entries, Entry, VerifyError};
use agentauth_core::text::display_safe_within;
use clap::Args;

use super::filter::Filter;
use super::out::Out;
use super::{Record, next, view};
use crate::cli::output::{self, WARN};
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
        let mut damage = None;
        let mut told = false;
        let (kept, mut entries) = self.newest(record, &mut damage).map_err(|error| record.failure(error))?;
        for entry in &kept {
            self.show(&mut out, entry)?;
        }
        out.flush()?;
        while self.follow && !out.is_closed() {
            if let Some(error) = damage.as_ref().filter(|_| !told) {
                told = true;
                let error = display_safe_within(&error.to_string(), 1024);
                output::say(&format!("{WARN}warning:{WARN:#} {error}; see `agentauthd audit verify`"));
            }
            match next(&mut entries, &mut damage).map_err(|error| record.failure(error))? {
                Some(entry) if self.filter.wants(&entry.event) => {
                    self.show(&mut out, &entry)?;
                    out.flush()?;
                }
                Some(_) => {}
                None => std::thread::sleep(PAUSE),
            }
        }
        record.told(damage)
    }

    /// The newest records that are wanted, and what reads on behind them. Files are looked at from the newest back, so
    /// that a long record costs no more than a short one.
    fn newest(
        &self,
        record: &Record,
        damage: &mut Option<VerifyError>,
    ) -> Result<(VecDeque<Entry>, Entries), VerifyError> {
        let files = record.trail.closed_files()?;
        let mut before: Vec<u64> = files.iter().map(|file| file.last).collect();
        let mut entries = record.trail.entries_after(before.last().copied().unwrap_or(0))?.past_damage();
        let mut kept = self.last_of(&mut entries, None, damage)?;
        while kept.len() < self.lines
            && let Some(end) = before.pop()
        {
            let start = before.last().copied().unwrap_or(0);
            let mut older = record.trail.entries_after(start)?.past_damage();
            let mut more = self.last_of(&mut older, Some(end), damage)?;
            more.append(&mut kept);
            kept = more;
        }
        let surplus = kept.len().saturating_sub(self.lines);
        kept.drain(..surplus);
        Ok((kept, entries))
    }

    /// The last of those that are wanted, up to the number `end`.
    fn last_of(
        &self,
        entries: &mut Entries,
        end: Option<u64>,
        damage: &mut Option<VerifyError>,
    ) -> Result<VecDeque<Entry>, VerifyError> {
        let mut kept = VecDeque::new();
        while let Some(entry) = next(entries, damage)? {
            if end.is_some_and(|end| entry.seq > end) {
                break;
            }
            let last = Some(entry.seq) == end;
            if self.filter.wants(&entry.event) && self.lines > 0 {
                if kept.len() == self.lines {
                    kept.pop_front();
                }
                kept.push_back(entry);
            }
            if last {
                break;
            }
        }
        Ok(kept)
    }

    fn show(&self, out: &mut Out, entry: &Entry) -> Result<(), Failure> {
        if self.json { out.line(&entry.line) } else { out.line(&view::line(&entry.event)) }
    }
}
