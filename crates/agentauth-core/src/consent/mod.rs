//! Consent: the question to the person whether an agent may do something, and the answer.
//!
//! What a decision lacks ([`crate::Effect::AskConsent`]) becomes one [`Question`]. [`Questions`] holds those that wait and
//! bounds how many there may be. An [`Answer`] is judged against its question: it gives grants to that question's agent,
//! of scopes that it asked for, and no longer ones than the strength of the answer is enough for.

mod action;
mod answer;
mod choice;
mod declined;
mod question;
mod questions;

pub use action::{Action, ActionFault, MAX_ACTION_BYTES, MAX_ACTION_DEPTH};
pub use answer::{Answer, AnswerFault, Answered, Given};
pub use choice::{Choice, ONCE_WITHIN, Offer, Terms, needs, offers, suggested};
pub use declined::{Decline, Declined};
pub use question::{AskedScope, Lacking, MAX_QUESTION_BYTES, News, Program, Question, Wanted};
pub use questions::{Asking, Limits, NotPut, Questions};

#[cfg(test)]
mod tests;
