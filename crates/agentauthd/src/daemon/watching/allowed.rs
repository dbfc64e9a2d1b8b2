//! What one agent was allowed lately, so that it can say what became of it. Bounded in number and in time; what is risky is
//! not pushed out by what is not.

use std::collections::VecDeque;

use agentauth_core::{SignedDuration, Timestamp};

/// How many are remembered of the risky ones, and of the others.
const KEPT: usize = 256;
/// For how long.
const FOR: SignedDuration = SignedDuration::from_hours(24);
/// How long after its allow the outcome of something risky is missing.
const DUE: SignedDuration = SignedDuration::from_mins(10);

/// What was allowed lately.
#[derive(Debug, Default)]
pub(crate) struct Allowed {
    risky: VecDeque<One>,
    others: VecDeque<One>,
}

/// A risky action without an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// The decision.
    pub(crate) decision: u128,
    /// When it was allowed.
    pub(crate) at: Timestamp,
}

#[derive(Debug)]
struct One {
    id: u128,
    at: Timestamp,
    bytes: u64,
    items: u64,
    told: bool,
}

impl Allowed {
    /// It is allowed.
    pub(super) fn add(&mut self, id: u128, risky: bool, bytes: u64, items: u64, at: Timestamp) {
        let list = if risky { &mut self.risky } else { &mut self.others };
        if list.len() >= KEPT {
            list.pop_front();
        }
        list.push_back(One { id, at, bytes, items, told: false });
    }

    /// Whether its outcome was told before; nothing where it is not remembered.
    pub(super) fn told(&self, id: u128, now: Timestamp) -> Option<bool> {
        let known = |one: &&One| one.id == id && now.duration_since(one.at) < FOR;
        self.risky.iter().chain(&self.others).rev().find(known).map(|one| one.told)
    }

    /// Its outcome is told, with all that it moved; how much of that was not known before.
    pub(super) fn tell(&mut self, id: u128, bytes: u64, items: u64) -> (u64, u64) {
        let Some(one) = self.risky.iter_mut().chain(&mut self.others).find(|one| one.id == id) else {
            return (0, 0);
        };
        let more = (bytes.saturating_sub(one.bytes), items.saturating_sub(one.items));
        (one.bytes, one.items, one.told) = (one.bytes.max(bytes), one.items.max(items), true);
        more
    }

    /// The risky ones whose outcome is due, and was not told.
    pub(super) fn missing(&self, now: Timestamp) -> impl Iterator<Item = Missing> {
        let due = move |one: &&One| {
            let age = now.duration_since(one.at);
            !one.told && age >= DUE && age < FOR
        };
        self.risky.iter().filter(due).map(|one| Missing { decision: one.id, at: one.at })
    }

    /// What was allowed earlier comes before what is remembered.
    pub(super) fn absorb(&mut self, earlier: Self) {
        let before = |own: &mut VecDeque<One>, mut earlier: VecDeque<One>| {
            earlier.retain(|one| own.iter().all(|known| known.id != one.id));
            earlier.append(own);
            earlier.drain(..earlier.len().saturating_sub(KEPT));
            *own = earlier;
        };
        before(&mut self.risky, earlier.risky);
        before(&mut self.others, earlier.others);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_is_remembered_is_bounded_and_risky_things_are_not_pushed_out() {
        let mut allowed = Allowed::default();
        allowed.add(1, true, 0, 0, at(0));
        for id in 2..10_000 {
            allowed.add(id, false, 0, 0, at(1));
        }
        assert!(allowed.others.len() == KEPT && allowed.told(9_999, at(2)) == Some(false));
        assert_eq!((allowed.told(2, at(2)), allowed.told(1, at(2))), (None, Some(false)));
        assert_eq!(allowed.told(1, at(0) + FOR), None, "too long ago");
    }

    #[test]
    fn more_is_counted_once_and_missing_is_what_was_never_told() {
        let mut allowed = Allowed::default();
        allowed.add(1, true, 100, 0, at(0));
        allowed.add(2, true, 0, 0, at(5));
        assert_eq!(allowed.missing(at(0)).count(), 0, "not due yet");
        assert_eq!(allowed.tell(1, 150, 3), (50, 3));
        assert_eq!(allowed.tell(1, 150, 3), (0, 0));
        assert_eq!(allowed.told(1, at(1)), Some(true));
        let missing: Vec<_> = allowed.missing(at(5) + DUE).collect();
        assert_eq!(missing, [Missing { decision: 2, at: at(5) }]);
    }

    #[test]
    fn what_was_learned_comes_before_what_happened_since() {
        let (mut now, mut earlier) = (Allowed::default(), Allowed::default());
        earlier.add(1, true, 0, 0, at(0));
        earlier.add(2, true, 0, 0, at(1));
        earlier.tell(1, 0, 0);
        now.add(2, true, 0, 0, at(1));
        now.add(3, true, 0, 0, at(2));
        now.absorb(earlier);
        assert_eq!([1, 2, 3].map(|id| now.told(id, at(3))), [Some(true), Some(false), Some(false)]);
        assert_eq!(now.risky.len(), 3);
    }
}
