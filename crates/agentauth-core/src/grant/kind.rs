//! What kind of grant an allow uses, as policies see it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Grant, GrantAnswer, Lifetime};

/// The kind of the grant that an allow uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantKind {
    /// There is none that holds.
    #[default]
    None,
    /// Its uses are counted.
    Once,
    /// It ends by itself.
    Until,
    /// It ends with the login.
    Session,
    /// It stands until it is revoked.
    Always,
    /// It is for runs that nobody watches.
    Mandate,
}

/// The kinds of the grants of one decision: for every scope in order, for every agent in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GrantKinds {
    kinds: [GrantKind; GrantKinds::MOST],
    len: usize,
}

impl GrantKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::None, Self::Once, Self::Until, Self::Session, Self::Always, Self::Mandate];

    /// The word in policies and in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Once => "once",
            Self::Until => "until",
            Self::Session => "session",
            Self::Always => "always",
            Self::Mandate => "mandate",
        }
    }
}

impl GrantKinds {
    /// How many are kept: as many as a request names scopes. Beyond that they are left out.
    pub const MOST: usize = 32;

    /// Adds the next one.
    pub fn push(&mut self, kind: GrantKind) {
        if let Some(slot) = self.kinds.get_mut(self.len) {
            *slot = kind;
            self.len += 1;
        }
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = GrantKind> {
        self.kinds.iter().copied().take(self.len)
    }

    /// The words for the record: one where all are the same, else all of them, with spaces between. Nothing where there is
    /// no grant.
    #[must_use]
    pub fn words(&self) -> Option<Cow<'static, str>> {
        let first = self.iter().next()?;
        if self.iter().all(|kind| kind == first) {
            return (first != GrantKind::None).then_some(Cow::Borrowed(first.as_str()));
        }
        Some(Cow::Owned(self.iter().map(GrantKind::as_str).collect::<Vec<_>>().join(" ")))
    }

    /// The kind for the pair of scope and agent at `position`, read from [`GrantKinds::words`].
    #[must_use]
    pub fn read(words: &str, position: usize) -> GrantKind {
        let mut all = words.split(' ');
        let (first, second) = (all.next(), all.next());
        let word = if second.is_none() { first } else { words.split(' ').nth(position) };
        let known = GrantKind::ALL.into_iter().find(|kind| Some(kind.as_str()) == word);
        known.unwrap_or_default()
    }
}

impl Grant {
    /// Its kind. A mandate is one whatever its lifetime, and so is what has its uses counted.
    #[must_use]
    pub fn kind(&self) -> GrantKind {
        match self.lifetime {
            _ if self.mandate.is_some() => GrantKind::Mandate,
            _ if self.uses.is_some() => GrantKind::Once,
            Lifetime::Until(_) => GrantKind::Until,
            Lifetime::Session => GrantKind::Session,
            Lifetime::UntilRevoked => GrantKind::Always,
        }
    }
}

impl GrantAnswer<'_> {
    /// The kind of the grant that holds.
    #[must_use]
    pub fn kind(&self) -> GrantKind {
        match self {
            Self::Live(grant) => grant.kind(),
            Self::Refused(_) | Self::Expired(..) | Self::Missing => GrantKind::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn a_grant_is_of_the_kind_that_bounds_it_most() {
        let grant = |lifetime| Grant::new("a", "files.read".parse().unwrap(), lifetime);
        assert_eq!(grant(Lifetime::UntilRevoked).kind(), GrantKind::Always);
        assert_eq!(grant(Lifetime::Session).kind(), GrantKind::Session);
        assert_eq!(grant(Lifetime::Until(Timestamp::MAX)).kind(), GrantKind::Until);
        assert_eq!(grant(Lifetime::Until(Timestamp::MAX)).for_uses(1).kind(), GrantKind::Once);
    }

    #[test]
    fn no_more_kinds_are_kept_than_there_is_room_for() {
        let mut kinds = GrantKinds::default();
        assert_eq!(kinds.words(), None);
        (0..100).for_each(|_| kinds.push(GrantKind::Session));
        assert_eq!(kinds.iter().count(), GrantKinds::MOST);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let kinds = |all: &[GrantKind]| {
            let mut kinds = GrantKinds::default();
            all.iter().for_each(|kind| kinds.push(*kind));
            kinds
        };
        let alike = kinds(&[GrantKind::Always; 3]);
        assert_eq!(alike.words().as_deref(), Some("always"));
        assert_eq!(GrantKinds::read("always", 2), GrantKind::Always);
        assert_eq!(kinds(&[GrantKind::None; 2]).words(), None);
        let mixed = kinds(&GrantKind::ALL);
        let words = mixed.words().unwrap();
        for (position, kind) in mixed.iter().enumerate() {
            assert_eq!(GrantKinds::read(&words, position), kind);
        }
        assert_eq!(GrantKinds::read(&words, 99), GrantKind::None);
        assert_eq!(GrantKinds::read("sometimes", 0), GrantKind::None);
    }
}
