//! Time as an argument: the types, and the question that the rim answers.

pub use jiff::{SignedDuration, Timestamp};

/// The question "what time is it". The rules take a [`Timestamp`]; tasks that must ask more than once hold a
/// `Clock`. `agentauth-host` answers with the system's clock, tests with one that they set.
pub trait Clock: Send + Sync {
    /// The present instant (UTC).
    fn now(&self) -> Timestamp;
}
