//! Whether a document says anything twice: a second opinion on the strict parser's, by plain recursion.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The names that the outermost object has more than once, and whether any object at any depth has one.
#[derive(Default)]
pub(super) struct Duplicates {
    pub(super) outermost: BTreeSet<String>,
    pub(super) anywhere: bool,
}

/// The duplicates of a JSON document; `None` if it is none.
pub(super) fn duplicates(document: &[u8]) -> Option<Duplicates> {
    serde_json::from_slice(document).ok()
}

impl<'de> Deserialize<'de> for Duplicates {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Counter)
    }
}

struct Counter;

impl<'de> Visitor<'de> for Counter {
    type Value = Duplicates;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Duplicates, E> {
        Ok(Duplicates::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Duplicates, E> {
        Ok(Duplicates::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Duplicates, E> {
        Ok(Duplicates::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Duplicates, E> {
        Ok(Duplicates::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Duplicates, E> {
        Ok(Duplicates::default())
    }

    fn visit_unit<E>(self) -> Result<Duplicates, E> {
        Ok(Duplicates::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Duplicates, A::Error> {
        let mut anywhere = false;
        while let Some(element) = list.next_element::<Duplicates>()? {
            anywhere |= element.anywhere;
        }
        Ok(Duplicates { anywhere, ..Duplicates::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Duplicates, A::Error> {
        let mut found = Duplicates::default();
        let mut names = BTreeSet::new();
        while let Some(name) = object.next_key::<String>()? {
            found.anywhere |= object.next_value::<Duplicates>()?.anywhere;
            if !names.insert(name.clone()) {
                found.anywhere = true;
                found.outermost.insert(name);
            }
        }
        Ok(found)
    }
}

/// Whether the bytes are a JSON document at all.
pub(super) fn is_json(document: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(document).is_ok()
}
