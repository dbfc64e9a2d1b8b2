//! The catalogue of resources and actions: plain words, risk, context, default lifetime and least strength.
//!
//! It is written in TOML (`config/scopes.toml` is the one that ships). An action that it does not name can still
//! be registered by a manifest; it then counts as [`RiskClass::Execute`], because nobody said that it is harmless.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::scope::{MAX_NAME_BYTES, Scope};
use crate::text::{display_safe_within, has_hidden};
use crate::time::SignedDuration;

/// The catalogue that ships.
const SHIPPED: &str = include_str!("../../../config/scopes.toml");

/// What is known of every action, by its name (`files.read`).
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    actions: BTreeMap<String, ActionEntry>,
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
        let file: CatalogueFile = toml::from_str(text)
            .map_err(|fault| CatalogueFault(vec![fault.to_string().trim().to_owned()]))?;
        let mut faults = Vec::new();
        let mut actions = BTreeMap::new();
        for (resource, entry) in file.resources {
            for (action, entry) in entry.actions {
                let name = format!("{resource}.{action}");
                if name.parse::<Scope>().is_err() {
                    faults.push(format!(
                        "`{}` is not `resource.action` in lower-case letters, digits and `_`, at most {MAX_NAME_BYTES} each",
                        display_safe_within(&name, 100)
                    ));
                    continue;
                }
                match entry.check() {
                    Ok(entry) => {
                        actions.insert(name, entry);
                    }
                    Err(fault) => faults.push(format!("`{name}`: {fault}")),
                }
            }
        }
        if faults.is_empty() { Ok(Self { actions }) } else { Err(CatalogueFault(faults)) }
    }

    /// This catalogue with the entries of `upper` above its own.
    #[must_use]
    pub fn overlaid(mut self, upper: Self) -> Self {
        self.actions.extend(upper.actions);
        self
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

impl fmt::Display for RiskClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogueFile {
    #[serde(default)]
    resources: BTreeMap<String, ResourceText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceText {
    actions: BTreeMap<String, ActionText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionText {
    says: String,
    risk: RiskClass,
    #[serde(default)]
    path: bool,
    #[serde(default)]
    keys: Vec<String>,
    lifetime: String,
    strength: Strength,
}

impl ActionText {
    fn check(self) -> Result<ActionEntry, String> {
        if self.says.is_empty() || self.says.chars().count() > 80 || has_hidden(&self.says) {
            return Err("`says` must be 1 to 80 visible characters".to_owned());
        }
        if let Some(key) = self.keys.iter().find(|key| format!("a.b:{key}=x").parse::<Scope>().is_err()) {
            return Err(format!("the key `{}` cannot stand in a scope", display_safe_within(key, 64)));
        }
        if self.risk.is_high() && self.risk != RiskClass::Exfiltrate && self.strength == Strength::Prompt {
            return Err(format!("`strength = \"prompt\"` is too weak for risk `{}`", self.risk));
        }
        let lifetime = match self.lifetime.as_str() {
            "until_revoked" => DefaultLifetime::UntilRevoked,
            "session" => DefaultLifetime::Session,
            "once" => DefaultLifetime::Once,
            text => match text.parse::<SignedDuration>() {
                Ok(duration) if duration.is_positive() => DefaultLifetime::For(duration),
                _ => {
                    return Err(format!(
                        "`lifetime = \"{}\"` is none of `until_revoked`, `session`, `once`, or a duration such as `PT8H`",
                        display_safe_within(text, 32)
                    ));
                }
            },
        };
        Ok(ActionEntry {
            says: self.says,
            risk: self.risk,
            path: self.path,
            keys: self.keys,
            lifetime,
            strength: self.strength,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_catalogue_is_sound() {
        let catalogue = Catalogue::shipped().unwrap();
        let risk = |scope: &str| catalogue.risk(&scope.parse().unwrap());
        assert_eq!(risk("payments.execute:currency=EUR"), RiskClass::Money);
        assert_eq!(risk("files.read:/projects"), RiskClass::Read);
        assert_eq!(risk("files.delete"), RiskClass::Delete);
        assert!(catalogue.actions().count() > 20);
        for (name, entry) in catalogue.actions() {
            assert!(entry.path || !entry.keys.is_empty(), "{name} can only be asked for everywhere");
        }
    }

    #[test]
    fn an_action_that_nobody_described_is_high_risk() {
        let catalogue = Catalogue::default();
        assert!(catalogue.risk(&"nuke.read".parse().unwrap()).is_high());
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let text = r#"
            [resources.Files.actions.read]
            says = "read"
            risk = "read"
            lifetime = "session"
            strength = "prompt"
            [resources.money.actions.move]
            says = "move money"
            risk = "money"
            lifetime = "session"
            strength = "prompt"
            [resources.mail.actions.send]
            says = "send"
            risk = "write"
            lifetime = "forever"
            strength = "prompt"
        "#;
        let fault = Catalogue::parse(text).unwrap_err();
        assert_eq!(fault.0.len(), 3, "{fault}");
    }

    #[test]
    fn unknown_members_are_refused() {
        assert!(Catalogue::parse("[resources.files]\ncolour = 1\n[resources.files.actions]").is_err());
    }

    #[test]
    fn an_overlay_stands_above() {
        let upper = "[resources.files.actions.read]\nsays = \"read\"\nrisk = \"exfiltrate\"\npath = true\nlifetime = \"PT1H\"\nstrength = \"passkey\"";
        let catalogue = Catalogue::shipped().unwrap().overlaid(Catalogue::parse(upper).unwrap());
        assert_eq!(catalogue.risk_of("files.read"), RiskClass::Exfiltrate);
        assert_eq!(catalogue.risk_of("files.write"), RiskClass::Write);
    }
}
