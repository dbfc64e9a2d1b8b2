//! What kind of grant an allow uses, as policies see it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Grant, GrantStrength, GrantUse, Lifetime};

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
    /// There is none: an administrator's policy grants it, and nobody was asked. No policy sees this one.
    Policy,
}

/// The grants of one decision, as policies saw them: for every scope in order, for every agent in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GrantKinds {
    uses: [GrantUse; GrantKinds::MOST],
    len: usize,
}

impl GrantKind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::None, Self::Once, Self::Until, Self::Session, Self::Always, Self::Mandate, Self::Policy];

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
            Self::Policy => "policy",
        }
    }
}

impl GrantKinds {
    /// How many are kept: as many as a request names scopes. Beyond that they are left out.
    pub const MOST: usize = 32;

    /// Adds the next one.
    pub fn push(&mut self, used: GrantUse) {
        if let Some(slot) = self.uses.get_mut(self.len) {
            *slot = used;
            self.len += 1;
        }
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = GrantUse> {
        self.uses.iter().copied().take(self.len)
    }

    /// The kinds in words for the record: one where all are the same, else all of them, with spaces between. Nothing where
    /// there is no grant.
    #[must_use]
    pub fn words(&self) -> Option<Cow<'static, str>> {
        self.worded(|used| used.kind.as_str())
    }

    /// How they were confirmed, in words for the record, as [`GrantKinds::words`].
    #[must_use]
    pub fn strength_words(&self) -> Option<Cow<'static, str>> {
        self.worded(|used| used.strength.as_str())
    }

    fn worded(&self, word: fn(GrantUse) -> &'static str) -> Option<Cow<'static, str>> {
        let first = word(self.iter().next()?);
        if self.iter().all(|used| word(used) == first) {
            return (first != word(GrantUse::default())).then_some(Cow::Borrowed(first));
        }
        Some(Cow::Owned(self.iter().map(word).collect::<Vec<_>>().join(" ")))
    }

    /// The grant for the pair of scope and agent at `position`, read from [`GrantKinds::words`] and
    /// [`GrantKinds::strength_words`].
    #[must_use]
    pub fn read(kinds: &str, strengths: &str, position: usize) -> GrantUse {
        let position = |words: &str| if words.contains(' ') { position } else { 0 };
        let kind = kinds.split(' ').nth(position(kinds)).unwrap_or_default();
        let kind = GrantKind::ALL.into_iter().find(|known| known.as_str() == kind).unwrap_or_default();
        let strength = strengths.split(' ').nth(position(strengths)).unwrap_or_default();
        let strength = match kind {
            GrantKind::None => GrantStrength::None,
            // A record of before does not say how it was confirmed: no less than by a prompt.
            GrantKind::Policy if strengths.is_empty() => GrantStrength::Policy,
            _ if strengths.is_empty() => GrantStrength::Prompt,
            _ => GrantStrength::ALL.into_iter().find(|known| known.as_str() == strength).unwrap_or_default(),
        };
        GrantUse { kind, strength }
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

    fn used(kind: GrantKind, strength: GrantStrength) -> GrantUse {
        GrantUse { kind, strength }
    }

    #[test]
    fn no_more_kinds_are_kept_than_there_is_room_for() {
        let mut kinds = GrantKinds::default();
        assert_eq!((kinds.words(), kinds.strength_words()), (None, None));
        (0..100).for_each(|_| kinds.push(used(GrantKind::Session, GrantStrength::Prompt)));
        assert_eq!(kinds.iter().count(), GrantKinds::MOST);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let kinds = |all: &[GrantUse]| {
            let mut kinds = GrantKinds::default();
            all.iter().for_each(|kind| kinds.push(*kind));
            kinds
        };
        let always = used(GrantKind::Always, GrantStrength::Passkey);
        let alike = kinds(&[always; 3]);
        assert_eq!(alike.words().as_deref(), Some("always"));
        assert_eq!(alike.strength_words().as_deref(), Some("passkey"));
        assert_eq!(GrantKinds::read("always", "passkey", 2), always);
        assert_eq!(kinds(&[GrantUse::default(); 2]).words(), None);
        let strengths = GrantStrength::ALL.into_iter().cycle();
        let each: Vec<_> =
            GrantKind::ALL.into_iter().zip(strengths).map(|(kind, strength)| used(kind, strength)).collect();
        let mixed = kinds(&each);
        let (words, strengths) = (mixed.words().unwrap(), mixed.strength_words().unwrap());
        for (position, one) in mixed.iter().enumerate() {
            assert_eq!(GrantKinds::read(&words, &strengths, position), one);
        }
        assert_eq!(GrantKinds::read(&words, &strengths, 99), GrantUse::default());
        assert_eq!(GrantKinds::read("sometimes", "somehow", 0), GrantUse::default());
    }

    #[test]
    fn a_record_that_does_not_say_how_a_grant_was_confirmed_counts_as_a_prompt() {
        assert_eq!(GrantKinds::read("always", "", 1), used(GrantKind::Always, GrantStrength::Prompt));
        assert_eq!(GrantKinds::read("none once", "", 1), used(GrantKind::Once, GrantStrength::Prompt));
        assert_eq!(GrantKinds::read("none once", "", 0), GrantUse::default());
        assert_eq!(GrantKinds::read("policy", "", 0), used(GrantKind::Policy, GrantStrength::Policy));
        assert_eq!(GrantKinds::read("", "", 0), GrantUse::default());
    }
}
