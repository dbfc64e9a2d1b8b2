//! How much one caller may ask: a token bucket for each process, a cap on connections.
//!
//! Pure: the time is an argument, so that the arithmetic is tested without waiting.

use std::collections::HashMap;

use agentauth_core::Timestamp;
use foldhash::fast::RandomState;

/// Bounds on callers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Requests a second that one process may make in the long run.
    pub(crate) requests_per_second: u32,
    /// Requests that it may make at once after a rest.
    pub(crate) burst: u32,
    /// Open connections, all callers together.
    pub(crate) connections: usize,
    /// Open connections of one process.
    pub(crate) connections_per_process: usize,
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooMany {
    /// All callers together.
    #[error("the daemon serves its maximum of {0} connections")]
    Connections(usize),
    /// This process.
    #[error("process {pid} holds its maximum of {limit} connections; keep one open and reuse it")]
    ConnectionsOfProcess {
        /// The process.
        pid: u32,
        /// The bound.
        limit: usize,
    },
}

/// The use that callers have made so far, by process id.
#[derive(Debug)]
pub(crate) struct Usage {
    limits: Limits,
    connections: usize,
    processes: HashMap<u32, Process, RandomState>,
}

#[derive(Debug)]
struct Process {
    connections: usize,
    /// Requests still allowed, in thousandths.
    credit: i64,
    filled_at: Timestamp,
}

impl Usage {
    /// Nothing used yet.
    #[must_use]
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, connections: 0, processes: HashMap::default() }
    }

    /// How many connections are open.
    pub(crate) fn connections(&self) -> usize {
        self.connections
    }

    /// Takes a place for a new connection.
    ///
    /// # Errors
    /// When there is none left, of all or of this process's.
    pub(crate) fn open(&mut self, pid: u32, now: Timestamp) -> Result<(), TooMany> {
        if self.connections >= self.limits.connections {
            return Err(TooMany::Connections(self.limits.connections));
        }
        let full = i64::from(self.limits.burst) * 1000;
        let process =
            self.processes.entry(pid).or_insert(Process { connections: 0, credit: full, filled_at: now });
        if process.connections >= self.limits.connections_per_process {
            return Err(TooMany::ConnectionsOfProcess { pid, limit: self.limits.connections_per_process });
        }
        process.connections += 1;
        self.connections += 1;
        Ok(())
    }

    /// Gives a connection's place back. A process whose bucket is not full yet is remembered until it is, so that
    /// reconnecting buys nothing.
    pub(crate) fn close(&mut self, pid: u32, now: Timestamp) {
        self.connections = self.connections.saturating_sub(1);
        if let Some(process) = self.processes.get_mut(&pid) {
            process.connections = process.connections.saturating_sub(1);
        }
        let limits = self.limits;
        self.processes.retain(|_, process| {
            process.connections > 0 || refilled(process, limits, now) < i64::from(limits.burst) * 1000
        });
    }

    /// Takes one request from the caller's bucket; `false` means too many.
    pub(crate) fn request(&mut self, pid: u32, now: Timestamp) -> bool {
        let limits = self.limits;
        let Some(process) = self.processes.get_mut(&pid) else { return false };
        process.credit = refilled(process, limits, now);
        process.filled_at = now;
        if process.credit < 1000 {
            return false;
        }
        process.credit -= 1000;
        true
    }
}

/// The bucket's content at `now`, in thousandths of a request. A clock that went back refills nothing.
fn refilled(process: &Process, limits: Limits, now: Timestamp) -> i64 {
    let elapsed =
        now.as_microsecond().saturating_sub(process.filled_at.as_microsecond()).clamp(0, 3_600_000_000);
    let gained = elapsed.saturating_mul(i64::from(limits.requests_per_second)) / 1000;
    process.credit.saturating_add(gained).min(i64::from(limits.burst) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { requests_per_second: 10, burst: 3, connections: 3, connections_per_process: 2 };
    const A: u32 = 1;
    const B: u32 = 2;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    #[test]
    fn a_burst_passes_and_the_rest_waits_for_the_rate() {
        let mut usage = Usage::new(LIMITS);
        usage.open(A, at(0)).unwrap();
        assert_eq!((0..5).filter(|_| usage.request(A, at(0))).count(), 3);
        assert!(!usage.request(A, at(50)));
        assert!(usage.request(A, at(150)));
    }

    #[test]
    fn reconnecting_does_not_fill_the_bucket() {
        let mut usage = Usage::new(LIMITS);
        usage.open(A, at(0)).unwrap();
        while usage.request(A, at(0)) {}
        usage.close(A, at(1));
        usage.open(A, at(2)).unwrap();
        assert!(!usage.request(A, at(2)));
    }

    #[test]
    fn connections_are_bounded_for_a_process_and_for_all() {
        let mut usage = Usage::new(LIMITS);
        usage.open(A, at(0)).unwrap();
        usage.open(A, at(0)).unwrap();
        assert!(matches!(usage.open(A, at(0)), Err(TooMany::ConnectionsOfProcess { pid: 1, limit: 2 })));
        usage.open(B, at(0)).unwrap();
        assert_eq!(usage.open(B, at(0)), Err(TooMany::Connections(3)));
        usage.close(A, at(0));
        usage.open(B, at(0)).unwrap();
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut usage = Usage::new(LIMITS);
        usage.open(A, at(10_000)).unwrap();
        while usage.request(A, at(10_000)) {}
        assert!(!usage.request(A, at(0)));
    }

    #[test]
    fn idle_processes_are_forgotten() {
        let mut usage = Usage::new(LIMITS);
        usage.open(A, at(0)).unwrap();
        usage.close(A, at(0));
        assert!(usage.processes.is_empty());
    }
}
