//! What happens to rights and questions, told to those who follow `GET /v1/events`.
//!
//! Whoever makes something happen waits for nobody: each follower has a bounded place in one queue, and falls out of it
//! when it is too slow. Without followers nothing is even put together. What the session becomes is not told here: the
//! streams see it in the snapshot.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use agentauth_core::consent::Question;
use agentauth_core::grant::Grant;
use agentauth_core::signals::Told;
use tokio::sync::broadcast;

/// How much a follower may be behind.
const QUEUE: usize = 128;
/// At most this many grants are in one event, so that the queue is bounded in bytes, too.
const GRANTS_PER_EVENT: usize = 64;
/// Followers in all.
const FOLLOWERS: usize = 64;
/// Followers of one process.
const FOLLOWERS_OF_PROCESS: usize = 4;

/// Something that happened. It concerns one agent.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// A question waits for the person.
    Asked(Arc<Question>),
    /// A question was answered.
    Answered {
        question: Arc<Question>,
        /// The grants that the answer gave.
        given: Vec<Arc<str>>,
        /// The scopes that it refused.
        refused: Vec<String>,
    },
    /// A question ended without an answer of its own; `why` is a stable word.
    Ended { question: Arc<Question>, why: &'static str },
    /// Grants were given.
    Given { agent: Arc<str>, grants: Vec<Grant> },
    /// Grants were taken away; `why` is a stable word.
    Taken { agent: Arc<str>, grants: Vec<String>, why: &'static str },
    /// An agent does what it does not usually do; one without a name is none.
    Noticed { agent: Arc<str>, told: Told },
}

impl Happening {
    /// The agent that it concerns.
    pub(crate) fn agent(&self) -> &Arc<str> {
        match self {
            Self::Asked(question) | Self::Answered { question, .. } | Self::Ended { question, .. } => {
                &question.agent
            }
            Self::Given { agent, .. } | Self::Taken { agent, .. } | Self::Noticed { agent, .. } => agent,
        }
    }
}

/// Tells what happens to whoever follows.
#[derive(Debug)]
pub(crate) struct Events {
    sender: broadcast::Sender<Arc<Happening>>,
    /// How many streams each process follows.
    followers: Mutex<HashMap<u32, usize>>,
}

impl Events {
    /// Nobody follows yet.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { sender: broadcast::Sender::new(QUEUE), followers: Mutex::default() })
    }

    /// Tells those who follow, if anybody does.
    pub(crate) fn tell(&self, happening: impl FnOnce() -> Happening) {
        if self.sender.receiver_count() == 0 {
            return;
        }
        // The last follower may just have gone.
        let _ = self.sender.send(Arc::new(happening()));
    }

    /// Tells that grants were given to `agent`.
    pub(crate) fn given<'g>(&self, agent: &Arc<str>, grants: impl IntoIterator<Item = &'g Grant>) {
        if self.sender.receiver_count() == 0 {
            return;
        }
        let grants: Vec<&Grant> = grants.into_iter().collect();
        for grants in grants.chunks(GRANTS_PER_EVENT) {
            let grants = grants.iter().copied().cloned().collect();
            self.tell(|| Happening::Given { agent: Arc::clone(agent), grants });
        }
    }

    /// Tells that grants of `agent` were taken away.
    pub(crate) fn taken(&self, agent: &Arc<str>, ids: &[String], why: &'static str) {
        for ids in ids.chunks(GRANTS_PER_EVENT) {
            self.tell(|| Happening::Taken { agent: Arc::clone(agent), grants: ids.to_vec(), why });
        }
    }

    /// How many streams are followed.
    pub(crate) fn followed(&self) -> usize {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// Lets the process follow from now on; nothing where it, or all together, have too many streams.
    pub(crate) fn follow(self: &Arc<Self>, pid: u32) -> Option<Follower> {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = followers.values().sum();
        let own = followers.get(&pid).copied().unwrap_or_default();
        if all >= FOLLOWERS || own >= FOLLOWERS_OF_PROCESS {
            return None;
        }
        followers.insert(pid, own + 1);
        Some(Follower { receiver: self.sender.subscribe(), events: Arc::clone(self), pid })
    }
}

/// A place among those who follow; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Follower {
    receiver: broadcast::Receiver<Arc<Happening>>,
    events: Arc<Events>,
    pid: u32,
}

impl Follower {
    /// What happens next; nothing for one that has fallen behind.
    pub(crate) async fn next(&mut self) -> Option<Arc<Happening>> {
        self.receiver.recv().await.ok()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut followers = self.events.followers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = followers.get_mut(&self.pid) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                followers.remove(&self.pid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_followers_nothing_is_put_together() {
        let events = Events::new();
        events.tell(|| panic!("nobody listens"));
        drop(events.follow(1));
        events.tell(|| panic!("nobody listens any more"));
    }

    #[tokio::test]
    async fn whoever_is_too_slow_falls_out_and_holds_up_nobody() {
        let events = Events::new();
        let (mut slow, mut quick) = (events.follow(1).unwrap(), events.follow(2).unwrap());
        for number in 0..=QUEUE {
            events.taken(&"a".into(), &[number.to_string()], "revoked");
            let Some(Happening::Taken { grants, .. }) = quick.next().await.as_deref().cloned() else {
                panic!()
            };
            assert_eq!(grants, [number.to_string()]);
        }
        assert!(slow.next().await.is_none());
    }

    #[tokio::test]
    async fn many_grants_are_told_of_in_several_events() {
        let events = Events::new();
        let mut follower = events.follow(1).unwrap();
        let ids: Vec<_> = (0..=GRANTS_PER_EVENT).map(|number| number.to_string()).collect();
        events.taken(&"a".into(), &[], "revoked");
        events.taken(&"a".into(), &ids, "removed");
        let mut told = Vec::new();
        while told.len() < ids.len() {
            let Some(Happening::Taken { grants, .. }) = follower.next().await.as_deref().cloned() else {
                panic!()
            };
            assert!(grants.len() <= GRANTS_PER_EVENT);
            told.extend(grants);
        }
        assert_eq!(told, ids);
    }

    #[test]
    fn followers_are_bounded_for_a_process_and_for_all_and_give_their_place_back() {
        let events = Events::new();
        let mut held: Vec<_> = (0..FOLLOWERS_OF_PROCESS).filter_map(|_| events.follow(1)).collect();
        assert!(events.follow(1).is_none());
        held.pop();
        held.extend(events.follow(1));
        for pid in 2.. {
            match events.follow(pid) {
                Some(follower) => held.push(follower),
                None => break,
            }
        }
        assert_eq!(held.len(), FOLLOWERS);
        drop(held);
        assert!(events.followers.lock().unwrap().is_empty());
    }
}
