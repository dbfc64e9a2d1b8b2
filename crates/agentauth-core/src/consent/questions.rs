//! The questions that wait for an answer: each at most once, and few, so that nobody is worn down by asking.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::question::Question;
use crate::time::{SignedDuration, Timestamp};

/// Bounds on asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Questions that wait at once, all agents together.
    pub open: usize,
    /// Questions of one agent that wait at once.
    pub open_of_agent: usize,
    /// Questions of one agent within `within`.
    pub asked: usize,
    /// The time that `asked` counts in.
    pub within: SignedDuration,
}

/// The questions that wait.
#[derive(Debug, Clone)]
pub struct Questions {
    limits: Limits,
    /// In the order in which they were asked.
    waiting: Vec<Arc<Question>>,
    /// When each agent's latest questions were put to the person.
    asked: HashMap<Arc<str>, VecDeque<Timestamp>>,
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq)]
pub enum Asking {
    /// The question is new.
    Opened(Arc<Question>),
    /// It waits already.
    Joined(Arc<Question>),
    /// It is not put to the person.
    NotPut(NotPut),
}

/// Why a question is not put to the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotPut {
    /// Too many wait.
    #[error("{0} questions wait already: answer some of them first")]
    TooMany(usize),
    /// Too many of this agent wait.
    #[error("{0} questions of this agent wait already: answer some of them first")]
    TooManyOfAgent(usize),
    /// The agent asked too often.
    #[error("this agent has asked {0} questions in a short time: let it ask again later")]
    TooOften(usize),
}

impl Questions {
    /// None yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, waiting: Vec::new(), asked: HashMap::new() }
    }

    /// Puts a question to the person, unless it waits already or there are too many.
    pub fn ask(&mut self, question: Question, now: Timestamp) -> Asking {
        if let Some(same) =
            self.waiting.iter().find(|known| known.is_same_as(&question) && now < known.expires_at)
        {
            return Asking::Joined(Arc::clone(same));
        }
        let Limits { open, open_of_agent, asked, within } = self.limits;
        if self.waiting.len() >= open {
            return Asking::NotPut(NotPut::TooMany(open));
        }
        if self.waiting.iter().filter(|known| known.agent == question.agent).count() >= open_of_agent {
            return Asking::NotPut(NotPut::TooManyOfAgent(open_of_agent));
        }
        self.asked.retain(|_, times| {
            // A clock that went back forgets nothing.
            while times.front().is_some_and(|at| now.duration_since(*at) >= within) {
                times.pop_front();
            }
            !times.is_empty()
        });
        let times = self.asked.entry(Arc::clone(&question.agent)).or_default();
        if times.len() >= asked {
            return Asking::NotPut(NotPut::TooOften(asked));
        }
        times.push_back(now);
        let question = Arc::new(question);
        self.waiting.push(Arc::clone(&question));
        Asking::Opened(question)
    }

    /// Takes a question out, for its one answer.
    pub fn take(&mut self, id: &str) -> Option<Arc<Question>> {
        let position = self.waiting.iter().position(|known| *known.id == *id)?;
        Some(self.waiting.remove(position))
    }

    /// Puts a question back whose answer could not be carried out.
    pub fn put_back(&mut self, question: Arc<Question>) {
        if self.get(&question.id).is_none() {
            let position = self.waiting.partition_point(|known| known.asked_at <= question.asked_at);
            self.waiting.insert(position, question);
        }
    }

    /// Takes out every question that has expired, or that `stands` does not hold for any more.
    pub fn clear(&mut self, now: Timestamp, stands: impl Fn(&Question) -> bool) -> Vec<Arc<Question>> {
        let (kept, cleared) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|question| now < question.expires_at && stands(question));
        self.waiting = kept;
        cleared
    }

    /// The question of this id, if it waits.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Question>> {
        self.waiting.iter().find(|known| *known.id == *id)
    }

    /// Every question that waits, in the order in which they were asked.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Question>> {
        self.waiting.iter()
    }

    /// When the next one expires.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.waiting.iter().map(|question| question.expires_at).min()
    }
}
