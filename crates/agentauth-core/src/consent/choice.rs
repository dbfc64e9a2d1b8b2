//! What a person may answer for one scope, and how strongly they must show that the answer is theirs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::catalogue::{Catalogue, DefaultLifetime, Strength};
use crate::grant::Lifetime;
use crate::scope::Scope;
use crate::time::{SignedDuration, Timestamp};

/// Within this time a single use has to be made.
pub const ONCE_WITHIN: SignedDuration = SignedDuration::from_mins(15);

/// A yes, from the shortest to the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Choice {
    /// One use, within [`ONCE_WITHIN`].
    #[serde(rename = "once")]
    Once,
    /// Half an hour.
    #[serde(rename = "30m")]
    HalfHour,
    /// Until the person's day ends.
    #[serde(rename = "today")]
    Today,
    /// While the present login lasts.
    #[serde(rename = "session")]
    Session,
    /// Until it is revoked.
    #[serde(rename = "always")]
    Always,
}

/// A yes that a person may give, and what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The yes.
    pub choice: Choice,
    /// The least strength of the answer.
    pub needs: Strength,
}

/// What a yes is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// When the answer is given.
    pub now: Timestamp,
    /// When the person's day ends.
    pub today_ends: Timestamp,
    /// The longest yes that this machine allows.
    pub longest: Choice,
}

impl Choice {
    /// Every yes, the shortest first.
    pub const ALL: [Self; 5] = [Self::Once, Self::HalfHour, Self::Today, Self::Session, Self::Always];

    /// The word on the wire and in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::HalfHour => "30m",
            Self::Today => "today",
            Self::Session => "session",
            Self::Always => "always",
        }
    }

    /// The words for a person, as they complete "allow …".
    #[must_use]
    pub fn says(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::HalfHour => "for 30 minutes",
            Self::Today => "until the end of today",
            Self::Session => "while you stay logged in",
            Self::Always => "until you revoke it",
        }
    }

    /// Whether it ends by itself, within a day. A login may be kept for weeks.
    #[must_use]
    pub fn expires(self) -> bool {
        matches!(self, Self::Once | Self::HalfHour | Self::Today)
    }

    /// The lifetime of the grant.
    #[must_use]
    pub fn lifetime(self, terms: &Terms) -> Lifetime {
        let after = |span| terms.now.checked_add(span).unwrap_or(Timestamp::MAX);
        match self {
            Self::Once => Lifetime::Until(after(ONCE_WITHIN)),
            Self::HalfHour => Lifetime::Until(after(SignedDuration::from_mins(30))),
            // Whoever says when the day ends: it is over within one.
            Self::Today => Lifetime::Until(terms.today_ends.min(after(SignedDuration::from_hours(25)))),
            Self::Session => Lifetime::Session,
            Self::Always => Lifetime::UntilRevoked,
        }
    }

    /// How many uses the grant has; `None` for any number.
    #[must_use]
    pub fn uses(self) -> Option<u32> {
        (self == Self::Once).then_some(1)
    }
}

/// The least strength of an answer that gives `scope` for as long as `choice` says. An answer at the terminal or on
/// the page is enough only for what reads or writes, and ends by itself; more than that where the catalogue wants it.
#[must_use]
pub fn needs(catalogue: &Catalogue, scope: &Scope, choice: Choice) -> Strength {
    let least = catalogue.entry(scope).map_or(Strength::Passkey, |entry| entry.strength);
    if choice.expires() && !catalogue.risk(scope).is_high() { least } else { least.max(Strength::Passkey) }
}

/// Every yes that may be given to `scope`, the shortest first.
#[must_use]
pub fn offers(catalogue: &Catalogue, scope: &Scope, longest: Choice) -> Vec<Offer> {
    let offered = Choice::ALL.into_iter().filter(|choice| *choice <= longest);
    offered.map(|choice| Offer { choice, needs: needs(catalogue, scope, choice) }).collect()
}

/// The yes that is proposed: a short one.
#[must_use]
pub fn suggested(catalogue: &Catalogue, scope: &Scope, longest: Choice) -> Choice {
    let once = catalogue.risk(scope).is_high()
        || catalogue.entry(scope).is_none_or(|entry| entry.lifetime == DefaultLifetime::Once);
    if once { Choice::Once } else { Choice::HalfHour.min(longest) }
}

impl fmt::Display for Choice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|choice| choice.as_str() == text)
            .ok_or_else(|| "write `once`, `30m`, `today`, `session` or `always`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_serde() {
        for choice in Choice::ALL {
            assert_eq!(serde_json::to_value(choice).unwrap(), choice.as_str());
            assert_eq!(choice.as_str().parse(), Ok(choice));
        }
        assert!("forever".parse::<Choice>().is_err());
    }

    /// The promise of a prompt: nothing beyond expiring read and write grants, whatever the catalogue says.
    #[test]
    fn a_prompt_gives_only_what_expires_and_only_to_read_or_write() {
        let catalogue = Catalogue::shipped().unwrap();
        let terms = Terms { now: Timestamp::UNIX_EPOCH, today_ends: Timestamp::MAX, longest: Choice::Always };
        let day = SignedDuration::from_hours(25);
        let unknown = "warp.engage".to_owned();
        for name in catalogue.actions().map(|(name, _)| name.to_owned()).chain([unknown]) {
            let scope: Scope = name.parse().unwrap();
            for offer in offers(&catalogue, &scope, Choice::Always) {
                if offer.needs == Strength::Prompt {
                    assert!(!catalogue.risk(&scope).is_high(), "{name}");
                    let Lifetime::Until(end) = offer.choice.lifetime(&terms) else {
                        panic!("{name}: {} does not end", offer.choice)
                    };
                    assert!(end.duration_since(terms.now) <= day, "{name}");
                }
            }
        }
    }

    #[test]
    fn nothing_longer_is_offered_than_the_machine_allows() {
        let catalogue = Catalogue::shipped().unwrap();
        let scope: Scope = "files.read:/p".parse().unwrap();
        let offered: Vec<_> =
            offers(&catalogue, &scope, Choice::HalfHour).into_iter().map(|offer| offer.choice).collect();
        assert_eq!(offered, [Choice::Once, Choice::HalfHour]);
        assert_eq!(suggested(&catalogue, &scope, Choice::Once), Choice::Once);
    }
}
