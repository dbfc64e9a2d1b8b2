//! The one immutable snapshot that decisions read, and the one way to replace it.

use std::sync::{Arc, Mutex, PoisonError};

use agentauth_core::snapshot::Snapshot;
use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

/// Holds the current snapshot. Readers take it without waiting; writers take turns.
#[derive(Debug)]
pub(crate) struct State {
    current: ArcSwap<Snapshot>,
    turn: Mutex<()>,
    generation: watch::Sender<u64>,
}

impl State {
    /// Starts from this snapshot.
    #[must_use]
    pub(crate) fn new(first: Snapshot) -> Self {
        let (generation, _) = watch::channel(first.generation);
        Self { current: ArcSwap::from_pointee(first), turn: Mutex::new(()), generation }
    }

    /// The snapshot as it is now. Does not block and costs no copy.
    #[must_use]
    pub(crate) fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// The same, to be kept across an await.
    #[must_use]
    pub(crate) fn load_full(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Builds the next snapshot from the current one and swaps it in. The maps in it are persistent: a change
    /// copies what it touches, not what there is.
    pub(crate) fn change(&self, with: impl FnOnce(&mut Snapshot)) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Snapshot::clone(&self.current.load());
        with(&mut next);
        next.generation += 1;
        let generation = next.generation;
        self.current.store(Arc::new(next));
        self.generation.send_replace(generation);
    }

    /// Tells when the snapshot has been replaced.
    #[must_use]
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }
}
