//! How the grant that an allow uses was confirmed, as policies see it.

use serde::{Deserialize, Serialize};

use super::{Grant, GrantAnswer, GrantKind};
use crate::catalogue::Strength;

/// How a grant was confirmed, the weakest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantStrength {
    /// There is no grant that holds.
    #[default]
    None,
    /// By an answer in a recognised terminal, or on the page.
    Prompt,
    /// With a passkey.
    Passkey,
    /// By a fresh login.
    Reauth,
    /// It is the administrator's: nobody was asked.
    Policy,
}

/// The grant that an allow would use, as policies see it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct GrantUse {
    /// Its kind.
    pub kind: GrantKind,
    /// How it was confirmed.
    pub strength: GrantStrength,
}

/// Which one is used of several grants that hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefer {
    /// The one that holds longest.
    Longest,
    /// The one that was confirmed most strongly: where a policy looks at that. Of several, the one that holds longest.
    Strongest,
}

impl GrantStrength {
    /// Every strength.
    pub const ALL: [Self; 5] = [Self::None, Self::Prompt, Self::Passkey, Self::Reauth, Self::Policy];

    /// The word in policies and in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Prompt => "prompt",
            Self::Passkey => "passkey",
            Self::Reauth => "reauth",
            Self::Policy => "policy",
        }
    }

    /// The number in policies: 0 where there is no grant, and as much for an administrator's as for a fresh login.
    #[must_use]
    pub fn level(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Prompt => 1,
            Self::Passkey => 2,
            Self::Reauth | Self::Policy => 3,
        }
    }
}

impl GrantUse {
    /// A policy grants it, and nobody was asked.
    pub const PREAPPROVED: Self = Self { kind: GrantKind::Policy, strength: GrantStrength::Policy };

    /// What policies saw of it when it was decided: a grant by policy is none until they have permitted it.
    #[must_use]
    pub fn seen(self) -> Self {
        if self.kind == GrantKind::Policy { Self::default() } else { self }
    }
}

impl From<Strength> for GrantStrength {
    fn from(strength: Strength) -> Self {
        match strength {
            Strength::Prompt => Self::Prompt,
            Strength::Passkey => Self::Passkey,
            Strength::Reauth => Self::Reauth,
        }
    }
}

impl Grant {
    /// How it was confirmed. A person's that does not say counts as the weakest; what nobody gave is the administrator's.
    #[must_use]
    pub fn strength(&self) -> GrantStrength {
        match (self.binding.strength, &self.binding.consent) {
            (Some(strength), _) => strength.into(),
            (None, Some(_)) => GrantStrength::Prompt,
            (None, None) => GrantStrength::Policy,
        }
    }

    /// What policies see of it.
    #[must_use]
    pub fn used(&self) -> GrantUse {
        GrantUse { kind: self.kind(), strength: self.strength() }
    }
}

impl GrantAnswer<'_> {
    /// What policies see of the grant that holds.
    #[must_use]
    pub fn used(&self) -> GrantUse {
        match self {
            Self::Live(grant) => grant.used(),
            Self::Refused(_) | Self::Expired(..) | Self::Missing => GrantUse::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::{Binding, Lifetime};

    #[test]
    fn a_grant_is_as_strong_as_its_answer() {
        let grant = |strength, consent: Option<&str>| {
            let binding = Binding { strength, consent: consent.map(Into::into), ..Binding::default() };
            let scope = "files.read".parse().unwrap();
            Grant::new("a", scope, Lifetime::UntilRevoked).bound(binding)
        };
        assert_eq!(grant(None, None).strength(), GrantStrength::Policy);
        assert_eq!(grant(None, Some("ask_1")).strength(), GrantStrength::Prompt);
        let strong = grant(Some(Strength::Reauth), Some("ask_1"));
        assert_eq!(strong.strength(), GrantStrength::Reauth);
        // Who edits it makes another grant, which nobody gave.
        assert_ne!(strong.id, grant(Some(Strength::Passkey), Some("ask_1")).id);
        assert_eq!(Grant::from_json(&strong.to_json()).unwrap(), strong);
    }

    #[test]
    fn levels_follow_the_order() {
        for pair in GrantStrength::ALL.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].level() <= pair[1].level());
        }
        for strength in [Strength::Prompt, Strength::Passkey, Strength::Reauth] {
            assert_eq!(GrantStrength::from(strength).as_str(), strength.as_str());
        }
    }
}
