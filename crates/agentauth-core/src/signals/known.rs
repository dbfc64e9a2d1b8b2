//! The risky resources that an agent has been allowed before, as far as they are remembered.

use std::collections::BTreeMap;

/// How many are remembered; beyond that the one that was not used for longest is forgotten.
const MOST: usize = 512;

/// Resources, by hash, with the day on which each was used last.
#[derive(Debug, Clone)]
pub(super) struct Known(BTreeMap<u64, u32>);

impl Known {
    /// None yet.
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn contains(&self, resource: u64) -> bool {
        self.0.contains_key(&resource)
    }

    pub(super) fn insert(&mut self, resource: u64, day: u32) {
        if let Some(last) = self.0.get_mut(&resource) {
            *last = day.max(*last);
            return;
        }
        if self.0.len() >= MOST
            && let Some(oldest) =
                self.0.iter().min_by_key(|(resource, day)| (**day, **resource)).map(|(it, _)| *it)
        {
            self.0.remove(&oldest);
        }
        self.0.insert(resource, day);
    }

    pub(super) fn absorb(&mut self, other: &Self) {
        other.0.iter().for_each(|(resource, day)| self.insert(*resource, *day));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
