//! What pages ask of passkeys, and who waits for the answers.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agentauth_core::passkey::Passkey;
use agentauth_core::widening::{Confirmed, Question};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::over;
use crate::daemon::logins::NotDone;

/// Answers that count for nothing before the question is over.
const MOST_WRONG: u32 = 5;

/// What a page asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The answer of a registered passkey.
    Confirm,
    /// A new passkey.
    Create,
}

/// What a page asks.
pub(crate) struct Asked {
    pub(crate) id: String,
    pub(crate) purpose: Purpose,
    pub(crate) question: Question,
    /// What is to be done, in plain words.
    pub(crate) says: Vec<String>,
    /// What the person reads when it is done.
    pub(crate) done: String,
    /// What a new passkey is called.
    pub(crate) name: String,
    /// The account as the person knows it.
    pub(crate) account: String,
    reply: Mutex<Option<oneshot::Sender<Answer>>>,
    wrong: AtomicU32,
    over: CancellationToken,
}

/// What a passkey brought.
#[derive(Debug)]
pub(crate) enum Given {
    Confirmed(Confirmed),
    Created(Box<Passkey>),
}

/// With where to say what came of it.
type Answer = (Given, oneshot::Sender<Result<(), NotDone>>);

/// The one right to answer.
pub(super) struct Give(oneshot::Sender<Answer>);

/// Waits for the answer; the question is over when this is dropped.
pub(crate) struct Waiting {
    pub(crate) asked: Arc<Asked>,
    answer: oneshot::Receiver<Answer>,
    desk: Arc<Mutex<Vec<Arc<Asked>>>>,
}

/// All that is asked.
#[derive(Default)]
pub(super) struct Desk {
    asked: Arc<Mutex<Vec<Arc<Asked>>>>,
}

impl Asked {
    /// Something to ask under this id.
    pub(crate) fn new(id: &str, purpose: Purpose, question: Question) -> Self {
        Self {
            id: id.to_owned(),
            purpose,
            question,
            says: Vec::new(),
            done: String::new(),
            name: String::new(),
            account: String::new(),
            reply: Mutex::default(),
            wrong: AtomicU32::new(0),
            over: CancellationToken::new(),
        }
    }

    /// Completes when nobody waits for an answer any more.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.over.clone()
    }

    /// The right to answer, once.
    pub(super) fn take(&self) -> Option<Give> {
        self.reply.lock().unwrap_or_else(PoisonError::into_inner).take().map(Give)
    }

    /// Counts an answer that counts for nothing.
    pub(super) fn wrong(&self) {
        if self.wrong.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_WRONG {
            drop(self.take());
        }
    }
}

impl Give {
    /// Hands over what was brought, and says what came of it.
    pub(super) async fn give(self, given: Given) -> Result<(), NotDone> {
        let (reply, outcome) = oneshot::channel();
        self.0.send((given, reply)).map_err(|_| over())?;
        outcome.await.unwrap_or_else(|_| Err(over()))
    }
}

impl Waiting {
    /// What a passkey brings, and where to say what came of it. Nothing where none will any more.
    pub(crate) async fn given(&mut self) -> Option<Answer> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.asked.over.cancel();
        let mut asked = self.desk.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|other| !Arc::ptr_eq(other, &self.asked));
    }
}

impl Desk {
    pub(super) fn put(&self, asked: Asked) -> Waiting {
        let (reply, answer) = oneshot::channel();
        *asked.reply.lock().unwrap_or_else(PoisonError::into_inner) = Some(reply);
        let asked = Arc::new(asked);
        self.lock().push(Arc::clone(&asked));
        Waiting { asked, answer, desk: Arc::clone(&self.asked) }
    }

    pub(super) fn get(&self, id: &str) -> Option<Arc<Asked>> {
        self.lock().iter().find(|asked| asked.id == id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Asked>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
