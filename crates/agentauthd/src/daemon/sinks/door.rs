//! What a sink looks like to the engine that feeds it.

use std::future::Future;
use std::time::Duration;

use agentauth_audit::Entry;

/// A place outside that records are handed to. Each is handed over at least once, in order; a receiver knows a repeated
/// one by its number and hash.
pub(super) trait Sink: Send {
    /// Hands over all of `batch`, which is never empty.
    ///
    /// # Errors
    /// [`SinkError`]; everything behind [`SinkError::delivered`] is handed over again.
    fn send(&mut self, batch: &[Entry]) -> impl Future<Output = Result<Taken, SinkError>> + Send;

    /// How long after it was sent something may still turn out to be lost: zero where the receiver confirms.
    fn settles_after(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether what was sent and has not settled may be lost by now.
    ///
    /// # Errors
    /// [`SinkError`]; everything that has not settled is handed over again.
    fn still_there(&mut self) -> impl Future<Output = Result<(), SinkError>> + Send {
        std::future::ready(Ok(()))
    }
}

/// What a receiver did with a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// How many of its records the receiver has refused for good.
    pub(super) refused: u64,
    /// Why, in the receiver's words.
    pub(super) why: Option<String>,
}

/// Why a batch could not be handed over.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub(super) struct SinkError {
    /// What was tried and why it failed, for a person.
    pub(super) why: String,
    /// How many records of the batch were handed over all the same, from its beginning.
    pub(super) delivered: usize,
    /// How long the receiver wants to be left alone.
    pub(super) wait: Option<Duration>,
    /// The receiver wants smaller batches.
    pub(super) too_large: bool,
}

impl SinkError {
    /// Nothing of the batch arrived, as far as is known.
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), delivered: 0, wait: None, too_large: false }
    }
}
