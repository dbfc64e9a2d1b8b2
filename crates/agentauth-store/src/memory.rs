//! A store that forgets at exit: the fake beside the port, and what `--ephemeral` runs use.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use secrecy::SecretString;

use crate::{Health, Reply, SecretName, SecretStore, StoreError};

const KIND: &str = "memory";

/// What a [`Memory`] store is told to do at its next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answer [`StoreError::Locked`].
    Locked,
    /// Answer [`StoreError::Absent`].
    Absent,
    /// Answer [`StoreError::TimedOut`] with nothing changed.
    TimedOut,
    /// Do it, then answer [`StoreError::TimedOut`]: the case in which the caller cannot know.
    TimedOutAfterDoing,
    /// Answer [`StoreError::Damaged`].
    Damaged,
    /// Answer [`StoreError::Refused`].
    Refused,
    /// Never answer (a misbehaving store; the real ones do not).
    Hang,
    /// Do as asked: lets a later call in the queue fail.
    Nothing,
}

/// Secrets in this process's memory only.
#[derive(Default)]
pub struct Memory {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    secrets: BTreeMap<SecretName, SecretString>,
    faults: VecDeque<Fault>,
    calls: Vec<&'static str>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Memory {
        Memory::default()
    }

    /// Makes the next call (after those already queued) meet `fault`.
    pub fn fail_next(&self, fault: Fault) {
        self.inner().faults.push_back(fault);
    }

    /// The calls made so far, oldest first: `get`, `set`, `remove`.
    pub fn calls(&self) -> Vec<&'static str> {
        self.inner().calls.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run<T>(
        &self,
        call: &'static str,
        name: &SecretName,
        work: impl FnOnce(&mut BTreeMap<SecretName, SecretString>) -> T,
    ) -> Result<T, StoreError> {
        let fault = {
            let mut inner = self.inner();
            inner.calls.push(call);
            inner.faults.pop_front().unwrap_or(Fault::Nothing)
        };
        let remedy = || "this store was told to fail".to_owned();
        match fault {
            Fault::Nothing => Ok(work(&mut self.inner().secrets)),
            Fault::Hang => std::future::pending().await,
            Fault::TimedOutAfterDoing => {
                work(&mut self.inner().secrets);
                Err(StoreError::TimedOut { store: KIND, attempt: call, seconds: 0, cause: None })
            }
            Fault::TimedOut => {
                Err(StoreError::TimedOut { store: KIND, attempt: call, seconds: 0, cause: None })
            }
            Fault::Locked => Err(StoreError::Locked { store: KIND, remedy: remedy(), cause: None }),
            Fault::Absent => Err(StoreError::Absent { store: KIND, remedy: remedy(), cause: None }),
            Fault::Damaged => Err(StoreError::Damaged {
                store: KIND,
                name: name.to_string(),
                what: "this store was told to fail",
                cause: None,
            }),
            Fault::Refused => {
                Err(StoreError::Refused { store: KIND, attempt: call, remedy: remedy(), cause: None })
            }
        }
    }
}

impl SecretStore for Memory {
    fn get<'a>(&'a self, name: &'a SecretName) -> Reply<'a, Option<SecretString>> {
        Box::pin(self.run("get", name, |secrets| secrets.get(name).cloned()))
    }

    fn set<'a>(&'a self, name: &'a SecretName, secret: &'a SecretString) -> Reply<'a, ()> {
        Box::pin(self.run("set", name, |secrets| {
            secrets.insert(name.clone(), secret.clone());
        }))
    }

    fn remove<'a>(&'a self, name: &'a SecretName) -> Reply<'a, bool> {
        Box::pin(self.run("remove", name, |secrets| secrets.remove(name).is_some()))
    }

    fn describe(&self) -> &'static str {
        KIND
    }

    fn probe(&self) -> Pin<Box<dyn Future<Output = Health> + Send + '_>> {
        let health = match self.inner().faults.front() {
            None | Some(Fault::Nothing) => Health::Usable,
            Some(Fault::Locked) => Health::Locked { remedy: "this store was told to fail".to_owned() },
            Some(Fault::Absent) => Health::Absent { remedy: "this store was told to fail".to_owned() },
            Some(_) => Health::Failing {
                what: "this store was told to fail".to_owned(),
                remedy: "tell it otherwise".to_owned(),
            },
        };
        Box::pin(std::future::ready(health))
    }
}
