//! The manifest: what an agent says of itself, and which scopes it may ever ask for.
//!
//! The agent's author wrote it, so every text in it is hostile until [`crate::text::display_safe`] has seen it;
//! what cannot be seen is refused here already. `docs/manifest.md` is the standard that this module reads.

mod diff;
mod lint;
mod read;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

pub use diff::{ManifestDiff, ScopeChange, TextChange};
pub use lint::ManifestLint;
pub use read::{FaultCode, MAX_FAULTS, ManifestFault, ManifestFaults};

use crate::canonical::{canonical_json, sha256_hex};
use crate::scope::Scope;

/// The version of the standard that is read (`manifestVersion`).
pub const MANIFEST_VERSION: u64 = 1;
/// The most scopes of one manifest.
pub const MAX_SCOPES: usize = 128;
/// The longest JSON of a manifest or registration, in bytes.
pub const MAX_FILE_BYTES: usize = 256 * 1024;

/// What an agent says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The agent's name: letters, digits, `.`, `_` and `-`, at most 64.
    pub name: String,
    /// The agent's version, at most 64 visible characters without spaces.
    pub version: String,
    /// Who publishes the agent; not proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// What the agent may ever ask for.
    pub scopes: Vec<ManifestScope>,
    /// How the agent would like to be shown.
    #[serde(skip_serializing_if = "UiHints::is_empty")]
    pub ui_hints: UiHints,
}

/// One scope of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ManifestScope {
    /// What the agent may ask for.
    pub scope: Scope,
    /// What for, in the author's words; at most 300 characters.
    pub purpose: String,
    /// Whether the agent is of no use without it.
    pub required: bool,
}

/// How an agent would like to be shown. Hints: nothing obeys them, and nothing is granted by them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UiHints {
    /// A name for people; at most 64 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What the agent does; at most 500 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What the author says to the person who is asked; at most 500 characters, and always shown as the author's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent_text: Option<String>,
    /// Where to read more; at most 300 characters, shown as text and never opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// Which icon of the desktop's theme to show; at most 64 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once, each with its place; nothing of it counts then.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestFaults> {
        read::manifest(json)
    }

    /// What [`Manifest::digest`] hashes: canonical JSON (RFC 8785) of what the manifest says. How it is written (order,
    /// spaces, escapes, `null` or nothing, a scope's parameters in another order) makes no difference.
    #[must_use]
    pub fn canonical(&self) -> String {
        let scopes: Vec<_> = self
            .scopes
            .iter()
            .map(|entry| json!({"scope": entry.scope.as_str(), "purpose": entry.purpose, "required": entry.required}))
            .collect();
        let mut hints = Map::new();
        hints.insert("displayName".to_owned(), json!(self.ui_hints.display_name));
        hints.insert("description".to_owned(), json!(self.ui_hints.description));
        hints.insert("homepage".to_owned(), json!(self.ui_hints.homepage));
        hints.insert("icon".to_owned(), json!(self.ui_hints.icon));
        // A member that came later is hashed only where it is used, so that older manifests keep their digest.
        if let Some(text) = &self.ui_hints.consent_text {
            hints.insert("consentText".to_owned(), json!(text));
        }
        let value = json!({
            "name": self.name,
            "version": self.version,
            "publisher": self.publisher,
            "scopes": scopes,
            "uiHints": Value::Object(hints),
        });
        // Without numbers, and three levels deep, the value always has a canonical text.
        canonical_json(&value).unwrap_or_else(|_| value.to_string())
    }

    /// SHA-256 over [`Manifest::canonical`], in lower-case hexadecimal. Two writings of one manifest have one digest.
    #[must_use]
    pub fn digest(&self) -> String {
        sha256_hex(self.canonical().as_bytes())
    }

    /// Whether the manifest asks for `scope`.
    #[must_use]
    pub fn covers(&self, scope: &Scope) -> bool {
        self.scopes.iter().any(|entry| entry.scope.covers(scope))
    }

    /// What `newer` asks for that this manifest does not: an update that adds any is a widening.
    #[must_use]
    pub fn widened_by<'a>(&self, newer: &'a Self) -> Vec<&'a ManifestScope> {
        newer.scopes.iter().filter(|entry| !self.covers(&entry.scope)).collect()
    }
}

impl UiHints {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// With every fault in one message; [`Manifest::parse`] has them one by one.
impl<'de> Deserialize<'de> for Manifest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read::from_deserializer(deserializer)?.map_err(serde::de::Error::custom)
    }
}

/// Whether `name` can be an agent's name.
#[must_use]
pub fn is_agent_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests;
