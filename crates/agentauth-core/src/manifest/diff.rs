//! What a new version of a manifest asks for that the old one did not.
//!
//! On doubt it is a widening: whatever no single scope of the old manifest covers is one, even where several of them
//! together might.

use super::Manifest;
use crate::scope::Scope;

/// How two versions of a manifest differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManifestDiff {
    /// The scopes that differ, in the order of the newer manifest, then of the older one.
    pub scopes: Vec<ScopeChange>,
    /// The texts that differ.
    pub texts: Vec<TextChange>,
    /// Whether the name differs: it is another agent then, and everything that it asks for is new.
    pub renamed: bool,
}

/// How one scope differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScopeChange {
    /// Nothing like it was asked for.
    Added {
        /// The new scope.
        scope: Scope,
    },
    /// It covers what was asked for, and more.
    Widened {
        /// What was asked for.
        from: Vec<Scope>,
        /// What is asked for now.
        scope: Scope,
    },
    /// It is covered by what was asked for, and that is asked for no more.
    Narrowed {
        /// What was asked for.
        from: Vec<Scope>,
        /// What is asked for now.
        scope: Scope,
    },
    /// Nothing of it is asked for any more.
    Removed {
        /// The old scope.
        scope: Scope,
    },
    /// It stands in one of the two only, but is covered by a scope of the other, so that nothing changes.
    Covered {
        /// The scope.
        scope: Scope,
        /// What covers it, before and after.
        by: Scope,
    },
    /// The scope is the same; what is said of it is not.
    Reworded {
        /// The scope.
        scope: Scope,
        /// Its place among the scopes of the older manifest.
        old: usize,
        /// Its place among the scopes of the newer manifest.
        new: usize,
    },
}

/// A text beside the scopes that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextChange {
    /// Where: a JSON pointer (RFC 6901).
    pub path: &'static str,
    /// What it was.
    pub old: Option<String>,
    /// What it is.
    pub new: Option<String>,
}

impl ScopeChange {
    /// Whether something may be asked for that could not be before.
    #[must_use]
    pub fn widens(&self) -> bool {
        matches!(self, Self::Added { .. } | Self::Widened { .. })
    }

    /// The stable word: `added`, `widened`, `narrowed`, `removed`, `covered`, `reworded`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Added { .. } => "added",
            Self::Widened { .. } => "widened",
            Self::Narrowed { .. } => "narrowed",
            Self::Removed { .. } => "removed",
            Self::Covered { .. } => "covered",
            Self::Reworded { .. } => "reworded",
        }
    }

    /// The scope that it is about.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        match self {
            Self::Added { scope }
            | Self::Widened { scope, .. }
            | Self::Narrowed { scope, .. }
            | Self::Removed { scope }
            | Self::Covered { scope, .. }
            | Self::Reworded { scope, .. } => scope,
        }
    }
}

impl ManifestDiff {
    /// Whether the newer manifest may ask for anything that the older one could not.
    #[must_use]
    pub fn widens(&self) -> bool {
        self.scopes.iter().any(ScopeChange::widens)
    }

    /// Whether the two say the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scopes.is_empty() && self.texts.is_empty()
    }
}

impl Manifest {
    /// How `newer` differs from this manifest.
    #[must_use]
    pub fn diff(&self, newer: &Self) -> ManifestDiff {
        let renamed = self.name != newer.name;
        // What another agent was allowed to ask for says nothing of this one.
        let nothing = Self { scopes: Vec::new(), ..self.clone() };
        let scopes = (if renamed { &nothing } else { self }).scopes_changed(newer);
        ManifestDiff { scopes, texts: self.texts_changed(newer), renamed }
    }

    fn scopes_changed(&self, newer: &Self) -> Vec<ScopeChange> {
        let mut changes = Vec::new();
        for (new, entry) in newer.scopes.iter().enumerate() {
            let scope = entry.scope.clone();
            if let Some(old) = self.scopes.iter().position(|old| old.scope == scope) {
                if self.scopes.get(old) != Some(entry) {
                    changes.push(ScopeChange::Reworded { scope, old, new });
                }
                continue;
            }
            let of_old = |fits: &dyn Fn(&Scope) -> bool| -> Vec<Scope> {
                self.scopes.iter().map(|old| &old.scope).filter(|old| fits(old)).cloned().collect()
            };
            let wider = of_old(&|old| old.covers(&scope));
            changes.push(match wider.iter().find(|old| newer.covers(old)) {
                Some(by) => ScopeChange::Covered { scope, by: by.clone() },
                None if !wider.is_empty() => ScopeChange::Narrowed { from: wider, scope },
                None => {
                    let from = of_old(&|old| scope.covers(old));
                    if from.is_empty() {
                        ScopeChange::Added { scope }
                    } else {
                        ScopeChange::Widened { from, scope }
                    }
                }
            });
        }
        for old in self.scopes.iter().map(|entry| &entry.scope) {
            if newer.scopes.iter().any(|entry| entry.scope == *old) {
                continue;
            }
            let told = changes.iter().any(|change| match change {
                ScopeChange::Widened { from, .. } | ScopeChange::Narrowed { from, .. } => from.contains(old),
                _ => false,
            });
            if told {
                continue;
            }
            changes.push(match newer.scopes.iter().find(|entry| entry.scope.covers(old)) {
                Some(entry) => ScopeChange::Covered { scope: old.clone(), by: entry.scope.clone() },
                None => ScopeChange::Removed { scope: old.clone() },
            });
        }
        changes
    }

    fn texts_changed(&self, newer: &Self) -> Vec<TextChange> {
        let texts = |manifest: &Self| {
            let hints = manifest.ui_hints.clone();
            [
                ("/name", Some(manifest.name.clone())),
                ("/version", Some(manifest.version.clone())),
                ("/publisher", manifest.publisher.clone()),
                ("/uiHints/displayName", hints.display_name),
                ("/uiHints/description", hints.description),
                ("/uiHints/consentText", hints.consent_text),
                ("/uiHints/homepage", hints.homepage),
                ("/uiHints/icon", hints.icon),
            ]
        };
        texts(self)
            .into_iter()
            .zip(texts(newer))
            .filter(|(old, new)| old != new)
            .map(|((path, old), (_, new))| TextChange { path, old, new })
            .collect()
    }
}
