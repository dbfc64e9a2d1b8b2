//! Large secrets in stores whose entries are small (Windows Credential Manager: 2560 bytes).
//!
//! An entry's first byte says what follows: `=` the secret itself; `+` the place of its parts, as `+<slot><count>:<bytes>`
//! with slot `a` or `b`. Parts are the entries `<name>#<slot><number>`. A new secret goes to the slot that the old one
//! is not in, and becomes the secret by the one write of the head: a crash before it leaves the old one whole.

use zeroize::Zeroizing;

/// Small named entries, as an operating system keeps them.
pub(crate) trait Entries {
    /// How they fail.
    type Fault;
    /// The largest entry in bytes.
    const LIMIT: usize;
    /// What is in `entry`.
    fn read(&self, entry: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Self::Fault>;
    /// Replaces what is in `entry`.
    fn write(&self, entry: &str, bytes: &[u8]) -> Result<(), Self::Fault>;
    /// Empties `entry`; `false` if it was empty.
    fn erase(&self, entry: &str) -> Result<bool, Self::Fault>;
}

/// Why a secret could not be put together or taken apart.
#[derive(Debug, PartialEq)]
pub(crate) enum ChunkFault<F> {
    /// An entry could not be read or written.
    Entry(F),
    /// What the entries hold does not fit together.
    Damaged(&'static str),
}

/// The secret under `name`.
pub(crate) fn read<E: Entries>(
    entries: &E,
    name: &str,
) -> Result<Option<Zeroizing<Vec<u8>>>, ChunkFault<E::Fault>> {
    let Some(head) = entries.read(name).map_err(ChunkFault::Entry)? else { return Ok(None) };
    let parts = match head.split_first() {
        Some((b'=', secret)) => return Ok(Some(Zeroizing::new(secret.to_vec()))),
        _ => Parts::parse(&head).ok_or(ChunkFault::Damaged("its head has no known form"))?,
    };
    let mut secret = Zeroizing::new(Vec::with_capacity(parts.bytes));
    for entry in parts.entries(name) {
        let part = entries.read(&entry).map_err(ChunkFault::Entry)?;
        secret.extend_from_slice(&part.ok_or(ChunkFault::Damaged("a part is missing"))?);
    }
    if secret.len() == parts.bytes {
        Ok(Some(secret))
    } else {
        Err(ChunkFault::Damaged("its parts have another length"))
    }
}

/// Replaces the secret under `name`.
pub(crate) fn write<E: Entries>(entries: &E, name: &str, secret: &[u8]) -> Result<(), ChunkFault<E::Fault>> {
    let old = entries.read(name).map_err(ChunkFault::Entry)?.and_then(|head| Parts::parse(&head));
    let head = if secret.len() < E::LIMIT {
        let mut head = Zeroizing::new(Vec::with_capacity(secret.len() + 1));
        head.push(b'=');
        head.extend_from_slice(secret);
        head
    } else {
        let slot = if old.as_ref().is_some_and(|parts| parts.slot == 'a') { 'b' } else { 'a' };
        let parts = Parts { slot, count: secret.len().div_ceil(E::LIMIT), bytes: secret.len() };
        for (entry, part) in parts.entries(name).zip(secret.chunks(E::LIMIT)) {
            entries.write(&entry, part).map_err(ChunkFault::Entry)?;
        }
        Zeroizing::new(format!("+{}{}:{}", parts.slot, parts.count, parts.bytes).into_bytes())
    };
    entries.write(name, &head).map_err(ChunkFault::Entry)?;
    if let Some(old) = old {
        erase_parts(entries, name, &old)?;
    }
    Ok(())
}

/// Empties `name`, the head first; `false` if there was nothing.
pub(crate) fn erase<E: Entries>(entries: &E, name: &str) -> Result<bool, ChunkFault<E::Fault>> {
    let old = entries.read(name).map_err(ChunkFault::Entry)?.and_then(|head| Parts::parse(&head));
    let was_there = entries.erase(name).map_err(ChunkFault::Entry)?;
    if let Some(old) = old {
        erase_parts(entries, name, &old)?;
    }
    Ok(was_there)
}

fn erase_parts<E: Entries>(entries: &E, name: &str, parts: &Parts) -> Result<(), ChunkFault<E::Fault>> {
    parts.entries(name).try_for_each(|entry| entries.erase(&entry).map(drop).map_err(ChunkFault::Entry))
}

/// Where a large secret's parts are.
struct Parts {
    slot: char,
    count: usize,
    bytes: usize,
}

impl Parts {
    /// More parts than this are not believed.
    const MOST: usize = 4096;

    fn parse(head: &[u8]) -> Option<Parts> {
        let mut text = std::str::from_utf8(head).ok()?.strip_prefix('+')?.chars();
        let slot = text.next().filter(|slot| matches!(slot, 'a' | 'b'))?;
        let (count, bytes) = text.as_str().split_once(':')?;
        let (count, bytes) = (count.parse().ok()?, bytes.parse().ok()?);
        (count <= Self::MOST && bytes <= 64 << 20).then_some(Parts { slot, count, bytes })
    }

    fn entries<'a>(&'a self, name: &'a str) -> impl Iterator<Item = String> + 'a {
        (0..self.count).map(move |number| format!("{name}#{}{number}", self.slot))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Default)]
    struct Small {
        held: RefCell<BTreeMap<String, Vec<u8>>>,
        writes_left: Cell<Option<usize>>,
    }

    impl Entries for Small {
        type Fault = &'static str;
        const LIMIT: usize = 16;

        fn read(&self, entry: &str) -> Result<Option<Zeroizing<Vec<u8>>>, &'static str> {
            Ok(self.held.borrow().get(entry).cloned().map(Zeroizing::new))
        }

        fn write(&self, entry: &str, bytes: &[u8]) -> Result<(), &'static str> {
            assert!(bytes.len() <= Self::LIMIT, "entry of {} bytes", bytes.len());
            if let Some(left) = self.writes_left.get() {
                self.writes_left.set(Some(left.checked_sub(1).ok_or("no more writes")?));
            }
            self.held.borrow_mut().insert(entry.to_owned(), bytes.to_vec());
            Ok(())
        }

        fn erase(&self, entry: &str) -> Result<bool, &'static str> {
            Ok(self.held.borrow_mut().remove(entry).is_some())
        }
    }

    fn secret(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n % 251) as u8).collect()
    }

    #[test]
    fn every_length_round_trips_over_every_other_and_leaves_nothing_behind() {
        let entries = Small::default();
        for length in [0, 1, 14, 15, 16, 17, 31, 32, 33, 100, 6000] {
            for before in [0, 15, 16, 200] {
                write(&entries, "n", &secret(before)).unwrap();
                write(&entries, "n", &secret(length)).unwrap();
                assert_eq!(**read(&entries, "n").unwrap().unwrap(), secret(length), "{before} then {length}");
            }
        }
        assert!(erase(&entries, "n").unwrap());
        assert!(!erase(&entries, "n").unwrap());
        assert!(entries.held.borrow().is_empty());
        assert_eq!(read(&entries, "n").unwrap(), None);
    }

    #[test]
    fn a_write_cut_short_anywhere_leaves_the_old_secret_whole() {
        for writes in 0..8 {
            let entries = Small::default();
            write(&entries, "n", &secret(50)).unwrap();
            entries.writes_left.set(Some(writes));
            let outcome = write(&entries, "n", &secret(90));
            entries.writes_left.set(None);
            let expected = if outcome.is_ok() { secret(90) } else { secret(50) };
            assert_eq!(**read(&entries, "n").unwrap().unwrap(), expected, "{writes}");
        }
    }

    #[test]
    fn damage_is_noticed() {
        let entries = Small::default();
        write(&entries, "n", &secret(50)).unwrap();
        entries.write("n#a1", b"short").unwrap();
        assert_eq!(read(&entries, "n"), Err(ChunkFault::Damaged("its parts have another length")));
        entries.erase("n#a1").unwrap();
        assert_eq!(read(&entries, "n"), Err(ChunkFault::Damaged("a part is missing")));
        for head in ["", "?", "+", "+c1:1", "+a1", "+a99999:1", "+a-1:1"] {
            entries.write("n", head.as_bytes()).unwrap();
            assert!(matches!(read(&entries, "n"), Err(ChunkFault::Damaged(_))), "{head}");
        }
    }
}
