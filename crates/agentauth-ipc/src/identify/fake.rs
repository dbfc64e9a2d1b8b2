//! An identifier for tests: answers what it was told.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{ControlGroup, Identify, IdentifyError, Identity, PersonProbe, ProcessFacts};
use crate::peer::Peer;

/// Answers by process id what a test has put in. A process it knows nothing of is gone, as is one that really is.
#[derive(Debug, Default)]
pub struct FakeIdentifier {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    identities: HashMap<u32, Identity>,
    persons: HashMap<u32, PersonProbe>,
    control_groups: HashMap<u32, ControlGroup>,
}

impl FakeIdentifier {
    /// From now on the process `identity.process.pid` is this one.
    pub fn set(&self, identity: Identity) {
        self.known().identities.insert(identity.process.pid, identity);
    }

    /// From now on the process `pid` shows these facts of a person.
    pub fn set_person(&self, pid: u32, probe: PersonProbe) {
        self.known().persons.insert(pid, probe);
    }

    /// From now on the process `pid` is in this control group.
    pub fn set_control_group(&self, pid: u32, group: ControlGroup) {
        self.known().control_groups.insert(pid, group);
    }

    /// From now on nothing is known of the process `pid`.
    pub fn forget(&self, pid: u32) {
        let mut known = self.known();
        known.identities.remove(&pid);
        known.persons.remove(&pid);
        known.control_groups.remove(&pid);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Identify for FakeIdentifier {
    fn identify(&self, peer: &Peer) -> Result<Identity, IdentifyError> {
        let pid = peer.pid();
        let known = self.known().identities.get(&pid).cloned();
        known.filter(|_| peer.alive()).ok_or(IdentifyError::Gone { pid })
    }

    fn control_group(&self, process: &ProcessFacts) -> Option<ControlGroup> {
        self.known().control_groups.get(&process.pid).cloned()
    }

    fn probe_person(&self, peer: &Peer) -> Result<PersonProbe, IdentifyError> {
        let pid = peer.pid();
        let known = self.known().persons.get(&pid).cloned();
        known.filter(|_| peer.alive()).ok_or(IdentifyError::Gone { pid })
    }
}
