//! What stands at the beginning of a file: a set of entries, in as many records as it takes, from which the start can go
//! on without reading the files before. What the entries mean is the caller's affair.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{Event, Kind};

/// How much of a set goes into one record, in bytes of JSON; well below [`crate::MAX_LINE`].
const PART: usize = 48 * 1024;

/// The records that say that `entries` stand after record `after`. At least one, so that a set of nothing is known to be
/// complete.
#[must_use]
pub fn carried(entries: impl IntoIterator<Item = Value>, after: u64, now: Timestamp) -> Vec<Event<'static>> {
    let mut parts = vec![Vec::new()];
    let mut room = PART;
    for entry in entries {
        let length = entry.to_string().len() + 1;
        if length > room {
            parts.push(Vec::new());
            room = PART;
        }
        room = room.saturating_sub(length);
        if let Some(part) = parts.last_mut() {
            part.push(entry);
        }
    }
    let count = parts.len();
    let event = |(number, entries): (usize, Vec<Value>)| {
        let mut details = Map::new();
        details.insert("after".to_owned(), after.into());
        details.insert("part".to_owned(), (number + 1).into());
        details.insert("parts".to_owned(), count.into());
        details.insert("entries".to_owned(), entries.into());
        Event { details, ..Event::new(Kind::ChainCarried, now) }
    };
    parts.into_iter().enumerate().map(event).collect()
}

/// The set that is being read, from the records of one file.
#[derive(Debug, Default)]
pub(crate) struct Set {
    /// The record after which it stands.
    after: u64,
    parts: Vec<Option<Event<'static>>>,
}

impl Set {
    /// Takes another part. What is none is passed over; a later attempt replaces one that was never finished.
    pub(crate) fn add(&mut self, event: Event<'static>) {
        let number = |name: &str| event.details.get(name).and_then(Value::as_u64);
        let count = |name: &str| number(name).and_then(|number| u16::try_from(number).ok()).map(usize::from);
        let (Some(after), Some(part), Some(parts)) = (number("after"), count("part"), count("parts")) else {
            return;
        };
        if event.kind != Kind::ChainCarried {
            return;
        }
        if self.after != after || self.parts.len() != parts {
            *self = Set { after, parts: vec![None; parts] };
        }
        if let Some(place) = part.checked_sub(1).and_then(|index| self.parts.get_mut(index)) {
            *place = Some(event);
        }
    }

    /// The record after which it stands.
    pub(crate) fn after(&self) -> u64 {
        self.after
    }

    /// Whether all of it is there.
    pub(crate) fn is_complete(&self) -> bool {
        !self.parts.is_empty() && self.parts.iter().all(Option::is_some)
    }

    /// All parts, in order.
    pub(crate) fn into_parts(self) -> impl Iterator<Item = Event<'static>> {
        self.parts.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: u64) -> Vec<Value> {
        (0..count).map(|n| format!("{n:040}").into()).collect()
    }

    #[test]
    fn a_set_is_complete_when_each_of_its_parts_is_there() {
        let all = entries(5000);
        let parts = carried(all.clone(), 7, Timestamp::UNIX_EPOCH);
        assert!(parts.len() > 2);
        let mut set = Set::default();
        for part in parts.iter().rev() {
            assert!(!set.is_complete());
            set.add(part.clone());
        }
        assert!(set.is_complete());
        let read: Vec<Value> = set
            .into_parts()
            .flat_map(|event| event.details["entries"].as_array().cloned().unwrap_or_default())
            .collect();
        assert_eq!(read, all);
    }

    #[test]
    fn a_set_of_nothing_is_one_part_and_parts_of_two_sets_make_none() {
        let parts = carried(Vec::new(), 7, Timestamp::UNIX_EPOCH);
        assert_eq!(parts.len(), 1);
        let mut set = Set::default();
        set.add(parts[0].clone());
        assert!(set.is_complete() && set.after() == 7);

        let mut set = Set::default();
        let two = |after| carried(entries(2000), after, Timestamp::UNIX_EPOCH);
        set.add(two(7)[0].clone());
        set.add(two(8)[1].clone());
        assert!(!set.is_complete());
    }
}
