//! The manifest: what an agent says of itself, and which scopes it may ever ask for.
//!
//! The agent's author wrote it, so every text in it is hostile until [`crate::text::display_safe`] has seen it;
//! what cannot be seen is refused here already.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use crate::canonical::{canonical_digest, sha256_hex};
use crate::catalogue::Catalogue;
use crate::scope::{Scope, ScopeContext};
use crate::text::{display_safe_within, has_hidden};

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestScope {
    /// What the agent may ask for.
    pub scope: Scope,
    /// What for, in the author's words; at most 300 characters.
    pub purpose: String,
    /// Whether the agent is of no use without it.
    #[serde(default)]
    pub required: bool,
}

/// How an agent would like to be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct UiHints {
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What the agent does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where to read more; shown as text, never opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// Which icon of the desktop's theme to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon: Option<String>,
}

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestFault {
    /// Not the JSON that a manifest is.
    #[error("the manifest cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Longer than [`MAX_FILE_BYTES`].
    #[error("the manifest is {0} bytes long: at most {MAX_FILE_BYTES} are read")]
    TooLong(usize),
}

/// What a careful reader would say about a manifest. Nothing here refuses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestLint {
    /// A stable code: `broad_scope`, `unknown_action`, `unknown_context`, `covered_twice`, `vague_purpose`,
    /// `interpreter_without_script`, `unpinned_executable`, `grant_outside_manifest`.
    pub code: &'static str,
    /// The sentence to show; already safe.
    pub message: String,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// An unknown or repeated member, a text that is too long or cannot be seen, or a scope that is none.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestFault> {
        if json.len() > MAX_FILE_BYTES {
            return Err(ManifestFault::TooLong(json.len()));
        }
        Ok(serde_json::from_slice(json)?)
    }

    /// SHA-256 over the canonical JSON (RFC 8785) of the manifest, in lower-case hexadecimal. Two writings of one
    /// manifest have one digest.
    #[must_use]
    pub fn digest(&self) -> String {
        let scopes: Vec<_> = self
            .scopes
            .iter()
            .map(|entry| json!({"scope": entry.scope.as_str(), "purpose": entry.purpose, "required": entry.required}))
            .collect();
        let value = json!({
            "name": self.name,
            "version": self.version,
            "publisher": self.publisher,
            "scopes": scopes,
            "uiHints": {
                "displayName": self.ui_hints.display_name,
                "description": self.ui_hints.description,
                "homepage": self.ui_hints.homepage,
                "icon": self.ui_hints.icon,
            },
        });
        // Without numbers, and three levels deep, the value always has a canonical text.
        canonical_digest(&value).unwrap_or_else(|_| sha256_hex(value.to_string().as_bytes()))
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

    /// What a careful reader would say.
    #[must_use]
    pub fn lint(&self, catalogue: &Catalogue) -> Vec<ManifestLint> {
        let mut lints = Vec::new();
        let mut say = |code, message| lints.push(ManifestLint { code, message });
        for (position, entry) in self.scopes.iter().enumerate() {
            let scope = &entry.scope;
            if let Some(broad) = scope.broad() {
                say("broad_scope", format!("`{scope}` {}", broad.advice()));
            }
            match (catalogue.entry(scope), scope.context()) {
                (None, _) => say(
                    "unknown_action",
                    format!(
                        "`{}` is not in the catalogue, so it counts as high risk: describe it there",
                        scope.action_name()
                    ),
                ),
                (Some(known), ScopeContext::Path(_)) if !known.path => {
                    say(
                        "unknown_context",
                        format!("`{}` knows no paths, but `{scope}` has one", scope.action_name()),
                    );
                }
                (Some(known), ScopeContext::Pairs(pairs)) => {
                    for key in pairs.keys().filter(|key| !known.keys.contains(key)) {
                        say(
                            "unknown_context",
                            format!("`{}` knows no parameter `{key}`", scope.action_name()),
                        );
                    }
                }
                (Some(_), ScopeContext::Any | ScopeContext::Path(_)) => {}
            }
            let covering = self
                .scopes
                .iter()
                .enumerate()
                .find(|(other, wider)| *other != position && wider.scope.covers(scope));
            if let Some((_, wider)) = covering {
                say("covered_twice", format!("`{scope}` is already covered by `{}`", wider.scope));
            }
            if entry.purpose.split_whitespace().count() < 2 {
                say(
                    "vague_purpose",
                    format!(
                        "the purpose of `{scope}` is `{}`: say what for",
                        display_safe_within(&entry.purpose, 40)
                    ),
                );
            }
        }
        lints
    }
}

impl UiHints {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The manifest as it is written, before its texts are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Written {
    name: String,
    version: String,
    #[serde(default)]
    publisher: Option<String>,
    scopes: Vec<ManifestScope>,
    #[serde(default)]
    ui_hints: UiHints,
}

impl<'de> Deserialize<'de> for Manifest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Written::deserialize(deserializer)?.check().map_err(serde::de::Error::custom)
    }
}

impl Written {
    fn check(self) -> Result<Manifest, String> {
        let hints = &self.ui_hints;
        if !is_agent_name(&self.name) {
            return Err(format!(
                "`{}` cannot be an agent's name: use letters, digits, `.`, `_` and `-`, starting with a letter or digit, at most 64",
                display_safe_within(&self.name, 64)
            ));
        }
        text("version", Some(&self.version), 64)?;
        if self.version.contains(char::is_whitespace) {
            return Err("`version` contains a space".to_owned());
        }
        text("publisher", self.publisher.as_ref(), 128)?;
        text("uiHints.displayName", hints.display_name.as_ref(), 64)?;
        text("uiHints.description", hints.description.as_ref(), 500)?;
        text("uiHints.homepage", hints.homepage.as_ref(), 300)?;
        text("uiHints.icon", hints.icon.as_ref(), 64)?;
        if self.scopes.len() > MAX_SCOPES {
            return Err(format!(
                "the manifest has {} scopes: at most {MAX_SCOPES} are read",
                self.scopes.len()
            ));
        }
        for (position, entry) in self.scopes.iter().enumerate() {
            text(
                &format!("the purpose of `{}`", display_safe_within(entry.scope.as_str(), 100)),
                Some(&entry.purpose),
                300,
            )?;
            if self.scopes.iter().take(position).any(|earlier| earlier.scope == entry.scope) {
                return Err(format!(
                    "the scope `{}` stands twice",
                    display_safe_within(entry.scope.as_str(), 100)
                ));
            }
        }
        Ok(Manifest {
            name: self.name,
            version: self.version,
            publisher: self.publisher,
            scopes: self.scopes,
            ui_hints: self.ui_hints,
        })
    }
}

/// Whether `name` can be an agent's name.
#[must_use]
pub fn is_agent_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn text(what: &str, text: Option<&String>, limit: usize) -> Result<(), String> {
    let Some(text) = text else { return Ok(()) };
    if text.trim().is_empty() {
        return Err(format!("{what} is empty"));
    }
    if text.chars().count() > limit {
        return Err(format!("{what} is longer than {limit} characters"));
    }
    if has_hidden(text) {
        return Err(format!(
            "{what} contains a character that cannot be seen: `{}`",
            display_safe_within(text, 80)
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYMENT: &str = r#"{"name":"payment-agent","version":"1.0.0","publisher":"Example",
        "scopes":[{"scope":"payments.execute:payee=x,currency=EUR","purpose":"pay supplier invoices","required":true}],
        "uiHints":{"displayName":"Payments"}}"#;

    #[test]
    fn a_manifest_reads_and_writes() {
        let manifest = Manifest::parse(PAYMENT.as_bytes()).unwrap();
        assert!(manifest.covers(&"payments.execute:currency=EUR,payee=x,account=1".parse().unwrap()));
        assert!(!manifest.covers(&"payments.execute:currency=EUR".parse().unwrap()));
        let again = Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).unwrap();
        assert_eq!(manifest, again);
        assert_eq!(manifest.digest(), again.digest());
    }

    #[test]
    fn the_digest_is_of_the_content_not_of_the_writing() {
        let other = r#"{ "uiHints": {"displayName":"Payments"}, "scopes": [{"purpose":"pay supplier invoices",
            "scope":"payments.execute:currency=EUR,payee=x","required":true}], "publisher":"Example",
            "version":"1.0.0","name":"payment-agent"}"#;
        let digest = |json: &str| Manifest::parse(json.as_bytes()).unwrap().digest();
        assert_eq!(digest(PAYMENT), digest(other));
        assert_ne!(digest(PAYMENT), digest(&PAYMENT.replace("supplier", "any")));
        assert_eq!(digest(PAYMENT).len(), 64);
    }

    #[test]
    fn what_is_unknown_repeated_hidden_or_too_long_is_refused() {
        for (from, to) in [
            ("\"publisher\"", "\"publicher\""),
            ("\"version\":\"1.0.0\"", "\"version\":\"1.0.0\",\"version\":\"2\""),
            ("payment-agent", "payment agent"),
            ("payment-agent", "\\u0430gent"),
            ("payment-agent", ""),
            ("1.0.0", "1.0 0"),
            ("supplier", "\\u202esupplier"),
            ("supplier", "\\u0007supplier"),
            ("pay supplier invoices", " "),
            ("displayName", "display_name"),
            ("\"required\":true", "\"required\":1"),
            ("payments.execute", "payments.*"),
        ] {
            let json = PAYMENT.replace(from, to);
            assert_ne!(json, PAYMENT);
            assert!(Manifest::parse(json.as_bytes()).is_err(), "{json}");
        }
        let long = PAYMENT.replace("Example", &"x".repeat(129));
        assert!(Manifest::parse(long.as_bytes()).is_err());
        assert!(matches!(Manifest::parse(&vec![b' '; MAX_FILE_BYTES + 1]), Err(ManifestFault::TooLong(_))));
    }

    #[test]
    fn scopes_are_counted_and_stand_once() {
        let with = |scopes: &[String]| {
            let entries: Vec<_> = scopes
                .iter()
                .map(|scope| format!(r#"{{"scope":"{scope}","purpose":"do the work"}}"#))
                .collect();
            Manifest::parse(
                format!(r#"{{"name":"a","version":"1","scopes":[{}]}}"#, entries.join(",")).as_bytes(),
            )
        };
        let many: Vec<_> = (0..=MAX_SCOPES).map(|number| format!("files.read:/{number}")).collect();
        assert!(with(&many).is_err());
        assert!(with(many.get(1..).unwrap()).is_ok());
        assert!(with(&["files.read:a=1,b=2".to_owned(), "files.read:b=2,a=1".to_owned()]).is_err());
    }

    #[test]
    fn the_linter_finds_what_is_wide_or_unknown() {
        let manifest = Manifest::parse(
            br#"{"name":"a","version":"1","scopes":[
                {"scope":"files.read","purpose":"everything"},
                {"scope":"files.read:/projects","purpose":"read the project"},
                {"scope":"email.send:colour=red","purpose":"send red mail"},
                {"scope":"warp.engage:factor=9","purpose":"go there quickly"}]}"#,
        )
        .unwrap();
        let codes: Vec<_> =
            manifest.lint(&Catalogue::shipped().unwrap()).into_iter().map(|lint| lint.code).collect();
        assert_eq!(
            codes,
            ["broad_scope", "vague_purpose", "covered_twice", "unknown_context", "unknown_action"]
        );
    }

    #[test]
    fn an_update_that_asks_for_more_is_found() {
        let old = Manifest::parse(PAYMENT.as_bytes()).unwrap();
        let narrower = Manifest::parse(PAYMENT.replace("payee=x", "payee=x,account=1").as_bytes()).unwrap();
        let wider = Manifest::parse(PAYMENT.replace("payee=x,", "").as_bytes()).unwrap();
        assert!(old.widened_by(&narrower).is_empty());
        assert_eq!(old.widened_by(&wider).len(), 1);
    }
}
