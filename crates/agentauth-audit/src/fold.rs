//! Equal denials in a row are counted instead of written one by one, so that nobody fills the disk by asking.
//!
//! The first few within a window are in the record in full. Those that follow are counted in `folding`, a file of fixed
//! size with a slot for each kind of denial: a count is handed to the kernel before its answer leaves, as a record is. At
//! the end of the window, and at the next start after a crash, what a slot holds becomes one record (`decision.folded`).
//! A slot is freed when that is written, so that a crash in between counts it twice rather than not at all. What finds no
//! slot is recorded in full.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::json::Object;
use crate::place::{named_length, open_file};
use crate::{Event, Kind};

/// The name of the file in the log's directory.
const NAME: &str = "folding";
/// How many kinds of denials are counted at a time.
const SLOTS: usize = 64;
/// The longest text of a slot, in bytes.
const SLOT: usize = 2048;
/// How many kinds of denials are watched at a time.
const WATCHED: usize = 1024;

/// When denials are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How many equal ones within a window are recorded in full.
    pub in_full: u32,
    /// How long a window is.
    pub window: SignedDuration,
}

/// The counters.
#[derive(Debug)]
pub struct Folding {
    file: File,
    terms: Terms,
    seen: HashMap<u64, Seen>,
    slots: Vec<Option<Event<'static>>>,
    buffer: Vec<u8>,
}

/// A kind of denial within its window.
#[derive(Clone, Copy, Debug)]
struct Seen {
    since: Timestamp,
    times: u32,
    slot: Option<usize>,
}

impl Folding {
    /// Opens the counters in `directory`, which the log is in already. Returns what was counted and not recorded when the
    /// process before ended; [`Folding::clear`] is called when it is.
    ///
    /// # Errors
    /// Those of the file.
    pub fn open(directory: &Path, terms: Terms) -> io::Result<(Folding, Vec<Event<'static>>)> {
        let path = directory.join(NAME);
        let mut bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        bytes.truncate(SLOTS * SLOT);
        let left = bytes.chunks(SLOT).filter_map(|slot| serde_json::from_slice(slot).ok()).collect();
        // Appending would write at the end, wherever it is told to.
        drop(open_file(&path, false)?);
        let file = File::options().write(true).open(&path)?;
        let slots = vec![None; SLOTS];
        let folding = Folding { file, terms, seen: HashMap::new(), slots, buffer: Vec::with_capacity(SLOT) };
        Ok((folding, left))
    }

    /// Frees all slots, which also takes their room on the disk.
    ///
    /// # Errors
    /// Those of the file: then nothing can be counted.
    pub fn clear(&mut self) -> io::Result<()> {
        self.slots = vec![None; SLOTS];
        self.seen.clear();
        self.file.write_all_at(&vec![b' '; SLOTS * SLOT], 0)
    }

    /// Counts a denial; `key` is the same for equal ones. `false`: it has to be recorded in full.
    pub fn fold(&mut self, key: u64, event: &Event<'_>) -> bool {
        let now = event.time;
        if self.seen.len() >= WATCHED && !self.seen.contains_key(&key) {
            let window = self.terms.window;
            self.seen.retain(|_, seen| seen.slot.is_some() || now.duration_since(seen.since) < window);
            if self.seen.len() >= WATCHED {
                return false;
            }
        }
        let fresh = Seen { since: now, times: 0, slot: None };
        let seen = self.seen.entry(key).or_insert(fresh);
        let over = now.duration_since(seen.since) >= self.terms.window || now < seen.since;
        if over && seen.slot.is_none() {
            *seen = fresh;
        }
        seen.times = seen.times.saturating_add(1);
        if seen.times <= self.terms.in_full {
            return false;
        }
        let slot = match seen.slot {
            Some(slot) => slot,
            None => match self.slots.iter().position(Option::is_none) {
                Some(slot) => *seen.slot.insert(slot),
                None => return false,
            },
        };
        let counted = self.count(slot, event);
        if !counted
            && let Some(seen) = self.seen.get_mut(&key)
            && self.slots.get(slot).is_some_and(Option::is_none)
        {
            seen.slot = None;
        }
        counted
    }

    /// What is to be recorded: of windows that are over, or of all. Each is freed by [`Folding::free`] when it is.
    #[must_use]
    pub fn due(&self, now: Timestamp, all: bool) -> Vec<(u64, Event<'static>)> {
        let over = |seen: &Seen| all || now.duration_since(seen.since) >= self.terms.window;
        let due = self.seen.iter().filter(|(_, seen)| over(seen));
        due.filter_map(|(key, seen)| Some((*key, self.slots.get(seen.slot?)?.clone()?))).collect()
    }

    /// Frees the slot of what was recorded.
    pub fn free(&mut self, key: u64) {
        let Some(slot) = self.seen.remove(&key).and_then(|seen| seen.slot) else { return };
        if let Some(place) = self.slots.get_mut(slot) {
            *place = None;
        }
        // If it stays, it is counted twice after a crash.
        _ = self.file.write_all_at(&[b' '; SLOT], offset(slot));
    }

    /// Counts it in this slot, and hands that to the kernel. If it cannot be, all is as before.
    fn count(&mut self, slot: usize, event: &Event<'_>) -> bool {
        // A file that was deleted keeps nothing for anybody.
        if named_length(&self.file).is_none() {
            return false;
        }
        let Some(place) = self.slots.get_mut(slot) else { return false };
        let next = match place {
            Some(before) => counted_once_more(before, event),
            None => first_of(event),
        };
        self.buffer.clear();
        Object::append(&mut self.buffer, |slot| next.write(slot));
        if self.buffer.len() > SLOT {
            return false;
        }
        self.buffer.resize(SLOT, b' ');
        let written = self.file.write_all_at(&self.buffer, offset(slot)).is_ok();
        if written {
            *place = Some(next);
        }
        written
    }
}

fn offset(slot: usize) -> u64 {
    (slot * SLOT) as u64
}

fn first_of(event: &Event<'_>) -> Event<'static> {
    // What borrows is copied by writing and reading it, once for each slot.
    let mut text = Vec::new();
    Object::append(&mut text, |object| event.write(object));
    let copy = serde_json::from_slice::<Event<'static>>(&text).ok();
    let mut folded = copy.unwrap_or_else(|| Event::new(Kind::DecisionsFolded, event.time));
    folded.kind = Kind::DecisionsFolded;
    let id = folded.id.take().map_or_else(String::new, |id| id.as_str().to_owned());
    let details = &mut folded.details;
    details.insert("count".to_owned(), 1.into());
    details.insert("first_id".to_owned(), id.as_str().into());
    details.insert("last_id".to_owned(), id.into());
    for member in ["first_time", "last_time"] {
        details.insert(member.to_owned(), event.time.to_string().into());
    }
    folded
}

fn counted_once_more(before: &Event<'static>, event: &Event<'_>) -> Event<'static> {
    let mut next = before.clone();
    next.time = event.time;
    let count = next.details.get("count").and_then(Value::as_u64).unwrap_or_default();
    next.details.insert("count".to_owned(), (count + 1).into());
    next.details.insert("last_time".to_owned(), event.time.to_string().into());
    if let Some(id) = &event.id {
        next.details.insert("last_id".to_owned(), id.as_str().into());
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;

    const TERMS: Terms = Terms { in_full: 3, window: SignedDuration::from_secs(10) };

    fn deny(second: i64) -> Event<'static> {
        Event {
            id: Some(format!("dec_{second}").into()),
            decision: Some(Verdict::Deny),
            reason: Some("not_in_manifest".into()),
            ..Event::new(Kind::Decision, Timestamp::from_second(second).unwrap())
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn opened(room: &tempfile::TempDir) -> (Folding, Vec<Event<'static>>) {
        let (mut folding, left) = Folding::open(room.path(), TERMS).unwrap();
        folding.clear().unwrap();
        (folding, left)
    }

    #[test]
    fn the_first_are_recorded_in_full_and_the_others_counted() {
        let room = tempfile::tempdir().unwrap();
        let (mut folding, left) = opened(&room);
        assert!(left.is_empty());
        let folded: Vec<_> = (0..8).map(|second| folding.fold(1, &deny(second))).collect();
        assert_eq!(folded, [false, false, false, true, true, true, true, true]);
        assert!(!folding.fold(2, &deny(8)), "another kind has its own window");
        assert!(folding.due(at(9), false).is_empty());
        let due = folding.due(at(10), false);
        assert_eq!(due.len(), 1);
        let (key, event) = &due[0];
        assert_eq!(
            (event.kind, event.reason.as_ref().unwrap().as_str()),
            (Kind::DecisionsFolded, "not_in_manifest")
        );
        assert_eq!(
            (&event.details["count"], &event.details["first_id"], &event.details["last_id"]),
            (&5.into(), &"dec_3".into(), &"dec_7".into())
        );
        folding.free(*key);
        assert!(folding.due(at(99), true).is_empty());
        assert!(!folding.fold(1, &deny(12)), "a new window");
    }

    #[test]
    fn what_was_counted_survives_the_process() {
        let room = tempfile::tempdir().unwrap();
        let (mut folding, _) = opened(&room);
        (0..9).for_each(|second| _ = folding.fold(1, &deny(second)));
        (0..5).for_each(|second| _ = folding.fold(2, &deny(second)));
        drop(folding);
        let (folding, left) = opened(&room);
        let mut counts: Vec<_> = left.iter().map(|event| event.details["count"].as_u64().unwrap()).collect();
        counts.sort_unstable();
        assert_eq!(counts, [2, 6]);
        drop(folding);
        assert!(opened(&room).1.is_empty());
    }

    #[test]
    fn what_finds_no_slot_is_recorded_in_full() {
        let room = tempfile::tempdir().unwrap();
        let (mut folding, _) = opened(&room);
        let folds = |folding: &mut Folding, key| (0..4).any(|second| folding.fold(key, &deny(second)));
        assert!((0..SLOTS as u64).all(|key| folds(&mut folding, key)));
        assert!(!folds(&mut folding, 9999));
        std::fs::remove_file(room.path().join(NAME)).unwrap();
        assert!(!folding.fold(1, &deny(5)), "a file that is gone keeps nothing");
    }
}
