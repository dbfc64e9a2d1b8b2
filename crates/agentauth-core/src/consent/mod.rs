//! Consent: the question to the person whether an agent may do something, and the answer.

mod declined;

pub use declined::{Decline, Declined};
