//! What was asked: counts per path, and how many requests were under way at once.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How many requests are remembered one by one; counts go on beyond.
const REMEMBERED: usize = 10_000;

/// Requests to one path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathCount {
    /// Requests so far, including those that a fault ate.
    pub total: u64,
    /// Under way now.
    pub in_flight: u64,
    /// The most that were ever under way at once: 1 proves that nobody overlapped.
    pub peak: u64,
}

/// One request. It holds no secret: neither query nor body nor headers with credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// When it came, by the emulator's clock.
    pub at: Timestamp,
    /// `GET`, …
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// `grant_type`, at the token endpoint.
    pub grant_type: Option<String>,
    /// The `user-agent` header.
    pub user_agent: Option<String>,
    /// The answer's status; none while it is under way or when the connection was dropped instead.
    pub status: Option<u16>,
}

/// The books.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    counts: BTreeMap<String, PathCount>,
    requests: Vec<RequestRecord>,
    forgotten: usize,
}

impl Traffic {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request came; the result names it for [`Traffic::left`].
    pub(crate) fn came(&self, record: RequestRecord) -> usize {
        let mut books = self.books();
        let count = books.counts.entry(record.path.clone()).or_default();
        count.total += 1;
        count.in_flight += 1;
        count.peak = count.peak.max(count.in_flight);
        books.requests.push(record);
        if books.requests.len() > REMEMBERED {
            books.requests.remove(0);
            books.forgotten += 1;
        }
        books.forgotten + books.requests.len() - 1
    }

    /// A request is over, with an answer or without.
    pub(crate) fn left(&self, number: usize, path: &str, status: Option<u16>) {
        let mut books = self.books();
        if let Some(count) = books.counts.get_mut(path) {
            count.in_flight = count.in_flight.saturating_sub(1);
        }
        let at = number.checked_sub(books.forgotten);
        if let Some(record) = at.and_then(|at| books.requests.get_mut(at)) {
            record.status = status;
        }
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, PathCount> {
        self.books().counts.clone()
    }

    pub(crate) fn requests(&self) -> Vec<RequestRecord> {
        self.books().requests.clone()
    }

    /// Forgets everything but what is under way.
    pub(crate) fn reset(&self) {
        let mut books = self.books();
        for count in books.counts.values_mut() {
            *count = PathCount { total: 0, in_flight: count.in_flight, peak: count.in_flight };
        }
        books.counts.retain(|_, count| count.in_flight > 0);
        books.forgotten += books.requests.len();
        books.requests.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(path: &str) -> RequestRecord {
        RequestRecord {
            at: Timestamp::UNIX_EPOCH,
            method: "GET".to_owned(),
            path: path.to_owned(),
            grant_type: None,
            user_agent: None,
            status: None,
        }
    }

    #[test]
    fn overlap_is_seen_and_a_reset_keeps_what_is_under_way() {
        let traffic = Traffic::default();
        let first = traffic.came(record("/a"));
        let second = traffic.came(record("/a"));
        traffic.left(first, "/a", Some(200));
        assert_eq!(traffic.counts().get("/a"), Some(&PathCount { total: 2, in_flight: 1, peak: 2 }));
        traffic.reset();
        traffic.left(second, "/a", Some(200));
        assert_eq!(traffic.counts().get("/a"), Some(&PathCount { total: 0, in_flight: 0, peak: 1 }));
        assert!(traffic.requests().is_empty());
    }
}
