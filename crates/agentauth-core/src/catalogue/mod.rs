//! The catalogue of resources and actions: plain words, risk, context, default lifetime and least strength.
//!
//! It is written in TOML (`config/scopes.toml` is the one that ships). Above it lies an organisation's, which may say
//! anything; below both lies a person's own, which may add actions and be stricter, but never milder. An action that
//! nobody names can still be registered by a manifest; it then counts as [`RiskClass::Execute`], because nobody said
//! that it is harmless.

mod labels;
mod layers;
mod read;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) use labels::is_name as is_label;
pub use labels::{Labels, MAX_LABELLED, MAX_LABELS};

use crate::canonical::sha256_hex;
use crate::scope::Scope;
use crate::time::SignedDuration;

/// The catalogue that ships.
const SHIPPED: &str = include_str!("../../../../config/scopes.toml");

/// The most actions of one catalogue.
pub const MAX_ACTIONS: usize = 4096;

/// What is known of every action, by its name (`files.read`).
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    actions: BTreeMap<String, ActionEntry>,
    labels: Labels,
    closed: bool,
}

/// What is known of one action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionEntry {
    /// What the action does, in words for a person: "send email".
    pub says: String,
    /// What can go wrong.
    pub risk: RiskClass,
    /// Whether a path may stand as context.
    pub path: bool,
    /// The parameters that may stand as context.
    pub keys: Vec<String>,
    /// How long a grant is offered for.
    pub lifetime: DefaultLifetime,
    /// The least strength of consent that may grant it.
    pub strength: Strength,
}

/// What can go wrong with an action, the mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RiskClass {
    /// Somebody's data is read.
    Read,
    /// Data is changed, in a way that can be undone.
    Write,
    /// Data is lost.
    Delete,
    /// Code runs, or a system changes.
    Execute,
    /// Data leaves for somewhere else.
    Exfiltrate,
    /// Money moves.
    Money,
}

/// How long a grant of an action is offered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultLifetime {
    /// Until it is revoked.
    UntilRevoked,
    /// While the present login lasts.
    Session,
    /// For one use.
    Once,
    /// For this long.
    For(SignedDuration),
}

/// How strongly a person must show that the answer is theirs, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strength {
    /// An answer in a recognised terminal, or on the page.
    Prompt,
    /// A passkey with user verification.
    Passkey,
    /// A fresh login at the provider, for this question.
    Reauth,
}

/// Everything that is wrong with a catalogue's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the catalogue of scopes cannot be used: {}", .0.join("; "))]
pub struct CatalogueFault(pub Vec<String>);

impl Catalogue {
    /// The catalogue that ships.
    ///
    /// # Errors
    /// None in a build that passed its tests; the text is parsed like any other.
    pub fn shipped() -> Result<Self, CatalogueFault> {
        Self::parse(SHIPPED)
    }

    /// Reads a catalogue.
    ///
    /// # Errors
    /// Every fault at once, each with the resource and action that it stands at.
    pub fn parse(text: &str) -> Result<Self, CatalogueFault> {
        read::catalogue(text)
    }

    /// Whether persons may not add to it (`closed = true`).
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// SHA-256 over everything that it says, in lower-case hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        let entries = self.actions.iter().map(|(name, entry)| {
            let ActionEntry { says, risk, path, keys, lifetime, strength } = entry;
            json!([name, says, risk, path, keys, lifetime.to_string(), strength])
        });
        sha256_hex(
            json!({
                "closed": self.closed,
                "labels": self.labels.iter().collect::<Vec<_>>(),
                "own_labels": self.labels.own().collect::<Vec<_>>(),
                "actions": entries.collect::<Vec<_>>(),
            })
            .to_string()
            .as_bytes(),
        )
    }

    /// Which resources bear which label.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// What is known of the action of `scope`.
    #[must_use]
    pub fn entry(&self, scope: &Scope) -> Option<&ActionEntry> {
        self.actions.get(scope.action_name())
    }

    /// What can go wrong with `scope`; [`RiskClass::Execute`] for an action that the catalogue does not name.
    #[must_use]
    pub fn risk(&self, scope: &Scope) -> RiskClass {
        self.risk_of(scope.action_name())
    }

    /// As [`Catalogue::risk`], by the action's name.
    #[must_use]
    pub fn risk_of(&self, action_name: &str) -> RiskClass {
        self.actions.get(action_name).map_or(RiskClass::Execute, |entry| entry.risk)
    }

    /// The least strength of consent that may grant `scope`: for an action that the catalogue does not name,
    /// [`Strength::Passkey`], because nobody said that less is enough.
    #[must_use]
    pub fn strength(&self, scope: &Scope) -> Strength {
        self.entry(scope).map_or(Strength::Passkey, |entry| entry.strength)
    }

    /// The names of the actions that are known of a resource, in order.
    pub fn actions_of<'a>(&'a self, resource: &'a str) -> impl Iterator<Item = &'a str> {
        let names = self.actions.keys().map(String::as_str);
        names.filter(move |name| name.split_once('.').is_some_and(|(of, _)| of == resource))
    }

    /// Every action's name and entry, in order of name.
    pub fn actions(&self) -> impl Iterator<Item = (&str, &ActionEntry)> {
        self.actions.iter().map(|(name, entry)| (name.as_str(), entry))
    }
}

impl RiskClass {
    /// Every class, the mildest first.
    pub const ALL: [Self; 6] =
        [Self::Read, Self::Write, Self::Delete, Self::Execute, Self::Exfiltrate, Self::Money];

    /// Whether a mistake cannot be undone: such scopes need fresh knowledge of revocation, a strong consent, and
    /// their record on disk before the answer.
    #[must_use]
    pub fn is_high(self) -> bool {
        match self {
            Self::Read | Self::Write => false,
            Self::Delete | Self::Execute | Self::Exfiltrate | Self::Money => true,
        }
    }

    /// The word in configuration, policies and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::Execute => "execute",
            Self::Exfiltrate => "exfiltrate",
            Self::Money => "money",
        }
    }
}

impl Strength {
    /// Every strength, the weakest first.
    pub const ALL: [Self; 3] = [Self::Prompt, Self::Passkey, Self::Reauth];

    /// The strength of this word; nothing where there is none.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strength| strength.as_str() == word)
    }

    /// The word in configuration, policies and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Passkey => "passkey",
            Self::Reauth => "reauth",
        }
    }
}

impl DefaultLifetime {
    /// Whether a grant of this lifetime is over at the latest when one of the `other` is. A session can end at any time,
    /// so it compares with no duration.
    #[must_use]
    pub fn is_within(self, other: Self) -> bool {
        match (self, other) {
            (Self::Once, _) | (_, Self::UntilRevoked) | (Self::Session, Self::Session) => true,
            (Self::For(own), Self::For(others)) => own <= others,
            _ => false,
        }
    }
}

impl fmt::Display for DefaultLifetime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UntilRevoked => formatter.write_str("until_revoked"),
            Self::Session => formatter.write_str("session"),
            Self::Once => formatter.write_str("once"),
            Self::For(duration) => write!(formatter, "{duration}"),
        }
    }
}

impl fmt::Display for Strength {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for RiskClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
