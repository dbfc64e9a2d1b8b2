//! The files of the record, looked after beside everything else: closed in time, carried over, compressed, and in the end
//! deleted but for a stub.

use std::sync::Arc;
use std::time::Duration;

use agentauth_audit::{Holdings, KeepError, Replay, Retention, Trail, VerifyError};
use agentauth_core::Clock;
use agentauth_idp::Chain;
use tokio_util::sync::CancellationToken;

use super::recorder::Recorder;
use super::rights;
use crate::config;

/// How often the open file is looked at.
const EVERY: Duration = Duration::from_secs(5);
/// How many looks go by between two rounds in which everything is looked at, if nothing was closed.
const SELDOM: u32 = 720;
/// How often a ledger is read anew because a line was just being written.
const ATTEMPTS: usize = 5;

/// Looks after the files.
pub(crate) struct Filing {
    audit: Recorder,
    clock: Arc<dyn Clock>,
    options: config::Audit,
}

/// How the files stand, for `status`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filed {
    pub(crate) holdings: Holdings,
    /// Why files are not carried over, compressed or deleted as they should be.
    pub(crate) problem: Option<String>,
}

impl Filing {
    pub(crate) fn new(audit: Recorder, clock: Arc<dyn Clock>, options: config::Audit) -> Filing {
        Filing { audit, clock, options }
    }

    /// Runs until the daemon stops.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let filing = Arc::new(self);
        let mut looks = 0;
        loop {
            let due = filing.is_due();
            if due || looks == 0 {
                let round = filing.clone();
                if let Err(error) = tokio::task::spawn_blocking(move || round.round(due)).await {
                    tracing::error!(%error, "looking after the audit log's files broke down");
                }
            }
            looks = (looks + 1) % SELDOM;
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    fn is_due(&self) -> bool {
        self.audit.log().is_due(self.options.rotate_size, self.options.rotate_after, self.clock.now())
    }

    /// Does what there is to do. Blocking.
    fn round(&self, close: bool) {
        let problem = self.close_and_carry(close).err().or_else(|| self.keep().err());
        if let Some(problem) = &problem {
            tracing::warn!(problem, "the audit log's files are not looked after as they should be");
        }
        let holdings = self.audit.log().holdings().unwrap_or_default();
        self.audit.filed(Filed { holdings, problem });
    }

    fn close_and_carry(&self, close: bool) -> Result<(), String> {
        let log = self.audit.log();
        if close
            && let Some(closed) = log.rotate(self.clock.now()).map_err(|error| Chain(&error).to_string())?
        {
            tracing::info!(file = closed.name(), "a file of the audit log is full, and the next one begun");
        }
        if log.is_carried().map_err(|error| Chain(&error).to_string())? {
            return Ok(());
        }
        let trail = Trail::new(log.directory());
        for _ in 0..ATTEMPTS {
            match rights::ledger(&trail).map_err(|error| Chain(&error).to_string())? {
                (ledger, Replay { flaw: None, last: Some(last) }) => {
                    let entries = rights::carried(&ledger);
                    return log
                        .carry(entries, last.seq, self.clock.now())
                        .map_err(|error| Chain(&error).to_string());
                }
                // Somebody is writing that line right now.
                (_, Replay { flaw: Some(flaw), .. }) if is_torn(&flaw) => {}
                (_, Replay { flaw: Some(flaw), .. }) => {
                    return Err(format!(
                        "what stands cannot be carried over into a new file: {}",
                        Chain(&flaw)
                    ));
                }
                (_, Replay { flaw: None, last: None }) => return Ok(()),
            }
        }
        Err("what stands cannot be carried over into a new file: its last line is not finished".to_owned())
    }

    fn keep(&self) -> Result<(), String> {
        let log = self.audit.log();
        let failed = |error: KeepError| Chain(&error).to_string();
        while self.options.compress && log.compress_one().map_err(failed)? {}
        let retention = Retention { age: self.options.keep_for, size: self.options.keep_size };
        for stub in log.retain(retention, self.clock.now(), |_| None).map_err(failed)? {
            tracing::info!(first = stub.first, last = stub.last, "old records of the audit log were deleted");
        }
        Ok(())
    }
}

fn is_torn(flaw: &VerifyError) -> bool {
    matches!(flaw, VerifyError::Broken { flaw: agentauth_audit::Flaw::Torn, .. })
}
