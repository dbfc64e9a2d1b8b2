//! What remembered verdicts, and the parts kept ready for evaluation, depend on: the keys that they stand under.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::Question;
use super::entities::PreparedUser;
use crate::agent::Agent;
use crate::agents::Assurance;
use crate::catalogue::RiskClass;
use crate::caveat::CaveatKinds;
use crate::device::Device;
use crate::grant::GrantUse;
use crate::scope::Scope;
use crate::signals::Signals;
use crate::time::Timestamp;

/// Everything that a remembered verdict depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemoKey {
    pub(super) agent: Registration,
    pub(super) scope: Scope,
    pub(super) user: [u8; 32],
    pub(super) device: Arc<Device>,
    pub(super) facts: Facts,
}

/// What an agent that is ready for evaluation depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct AskerKey {
    pub(super) agent: Registration,
    pub(super) user: [u8; 32],
    pub(super) device: Arc<Device>,
}

/// What a context that is ready for evaluation depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ContextKey {
    pub(super) user: [u8; 32],
    pub(super) device: Arc<Device>,
    pub(super) facts: Facts,
}

/// What is known of the question itself, but for its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Facts {
    pub(super) assurance: Assurance,
    pub(super) risk: RiskClass,
    pub(super) greeted: bool,
    pub(super) tampered: bool,
    pub(super) caveats: CaveatKinds,
    pub(super) signals: Signals,
    pub(super) seen: Option<Timestamp>,
    /// None where no policy reads it.
    pub(super) grant: GrantUse,
}

/// A registration, by its place in memory; held, so that no other one can come to stand there.
#[derive(Debug, Clone)]
pub(super) struct Registration(pub(super) Arc<Agent>);

impl Facts {
    pub(super) fn of(question: &Question<'_>, grant: GrantUse) -> Self {
        Self {
            assurance: question.assurance,
            risk: question.risk,
            greeted: question.greeted,
            tampered: question.tampered,
            caveats: question.caveats,
            signals: question.signals,
            seen: question.seen,
            grant,
        }
    }
}

impl MemoKey {
    pub(super) fn new(question: &Question<'_>, grant: GrantUse, user: &PreparedUser) -> Self {
        Self {
            agent: Registration(Arc::clone(question.agent)),
            scope: question.scope.clone(),
            user: user.digest,
            device: Arc::clone(question.device),
            facts: Facts::of(question, grant),
        }
    }
}

impl Hash for MemoKey {
    /// Leaves out what hardly ever differs.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.agent.hash(state);
        self.scope.hash(state);
        self.facts.hash(state);
    }
}

impl PartialEq for Registration {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Registration {}

impl Hash for Registration {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}
