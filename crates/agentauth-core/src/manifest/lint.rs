//! What a careful reader would say about a manifest.

use super::{Manifest, ManifestScope};
use crate::catalogue::{ActionEntry, Catalogue, RiskClass};
use crate::scope::{Broad, Scope, ScopeContext};
use crate::text::{display_safe_within, mixed_script_word};

/// At most this many characters of a text of the author's are shown.
const SHOWN: usize = 100;

/// What a careful reader would say about a manifest or registration. Nothing here refuses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestLint {
    /// A stable code: `broad_scope`, `missing_context`, `unknown_resource`, `unknown_action`, `unknown_context`,
    /// `covered_twice`, `vague_purpose`, `look_alike`, `no_scopes`; of a registration also
    /// `interpreter_without_script`, `unpinned_executable`, `grant_outside_manifest`.
    pub code: &'static str,
    /// Where: a JSON pointer (RFC 6901) into the document that was examined.
    pub path: String,
    /// The sentence to show; already safe.
    pub message: String,
}

impl Manifest {
    /// What a careful reader would say. `catalogue` is the one in force where the agent is to run.
    #[must_use]
    pub fn lint(&self, catalogue: &Catalogue) -> Vec<ManifestLint> {
        let mut lints = Vec::new();
        if self.scopes.is_empty() {
            lints.push(ManifestLint {
                code: "no_scopes",
                path: "/scopes".to_owned(),
                message: "the agent asks for nothing, so that everything is denied".to_owned(),
            });
        }
        for (position, entry) in self.scopes.iter().enumerate() {
            let mut say = |code, member: &str, message| {
                lints.push(ManifestLint { code, path: format!("/scopes/{position}/{member}"), message });
            };
            let scope = &entry.scope;
            if let Some((code, message)) = broad(scope, catalogue) {
                say(code, "scope", message);
            }
            for (code, message) in unknown(scope, catalogue) {
                say(code, "scope", message);
            }
            if let Some(wider) = self.covered_by_another(position, scope) {
                say("covered_twice", "scope", format!("`{scope}` is already covered by `{}`", wider.scope));
            }
            if let Some(word) = mixed_script_word(scope.context_text()) {
                let message = format!(
                    "`{scope}` mixes letters of several scripts in `{}`, so it can look like another scope",
                    display_safe_within(word, SHOWN)
                );
                say("look_alike", "scope", message);
            }
            if is_vague(&entry.purpose, scope) {
                let message = format!(
                    "the purpose of `{scope}` is `{}`: say what for",
                    display_safe_within(&entry.purpose, 40)
                );
                say("vague_purpose", "purpose", message);
            }
        }
        for (path, text) in [
            ("/publisher", &self.publisher),
            ("/uiHints/displayName", &self.ui_hints.display_name),
            ("/uiHints/homepage", &self.ui_hints.homepage),
        ] {
            if let Some(word) = text.as_deref().and_then(mixed_script_word) {
                let word = display_safe_within(word, SHOWN);
                let message =
                    format!("`{word}` mixes letters of several scripts, so it can look like another name");
                lints.push(ManifestLint { code: "look_alike", path: path.to_owned(), message });
            }
        }
        lints
    }

    fn covered_by_another(&self, position: usize, scope: &Scope) -> Option<&ManifestScope> {
        let mut others = self.scopes.iter().enumerate().filter(|(other, _)| *other != position);
        others.find(|(_, wider)| wider.scope.covers(scope)).map(|(_, wider)| wider)
    }
}

/// A scope that holds for more than most agents need. Where something can go wrong, a context that is not there at all
/// has a code of its own.
fn broad(scope: &Scope, catalogue: &Catalogue) -> Option<(&'static str, String)> {
    let broad = scope.broad()?;
    let risk = catalogue.risk(scope);
    if broad == Broad::NoContext && risk != RiskClass::Read {
        return Some(("missing_context", format!("`{scope}` (risk `{risk}`) {}", broad.advice())));
    }
    Some(("broad_scope", format!("`{scope}` {}", broad.advice())))
}

/// What the catalogue does not know of a scope.
fn unknown(scope: &Scope, catalogue: &Catalogue) -> Vec<(&'static str, String)> {
    let action = scope.action_name();
    let Some(known) = catalogue.entry(scope) else {
        let actions: Vec<_> = catalogue.actions_of(scope.resource()).collect();
        return vec![if actions.is_empty() {
            let message = format!(
                "the catalogue has no resource `{}`, so `{action}` counts as high risk: describe it there",
                scope.resource()
            );
            ("unknown_resource", message)
        } else {
            let message = format!(
                "`{action}` is not in the catalogue, so it counts as high risk: describe it there, or use one of `{}`",
                actions.join("`, `")
            );
            ("unknown_action", message)
        }];
    };
    match scope.context() {
        ScopeContext::Path(_) if !known.path => {
            vec![(
                "unknown_context",
                format!("`{action}` knows no paths, but `{scope}` has one; {}", contexts(known)),
            )]
        }
        ScopeContext::Pairs(pairs) => {
            let unknown = pairs.keys().filter(|key| !known.keys.contains(key));
            let say = |key| format!("`{action}` knows no parameter `{key}`; {}", contexts(known));
            unknown.map(|key| ("unknown_context", say(key))).collect()
        }
        ScopeContext::Any | ScopeContext::Path(_) => Vec::new(),
    }
}

fn contexts(known: &ActionEntry) -> String {
    let path = known.path.then(|| "a path".to_owned());
    let keys = known.keys.iter().map(|key| format!("`{key}`"));
    let all: Vec<_> = path.into_iter().chain(keys).collect();
    if all.is_empty() { "it knows no context".to_owned() } else { format!("it knows {}", all.join(", ")) }
}

/// Whether a purpose says nothing that the scope does not say already.
fn is_vague(purpose: &str, scope: &Scope) -> bool {
    /// Words that stand in every purpose.
    const FILLERS: [&str; 68] = [
        "a",
        "access",
        "agent",
        "all",
        "also",
        "an",
        "and",
        "any",
        "anything",
        "app",
        "application",
        "as",
        "be",
        "because",
        "can",
        "data",
        "do",
        "etc",
        "everything",
        "feature",
        "features",
        "for",
        "function",
        "functionality",
        "general",
        "i",
        "in",
        "information",
        "is",
        "it",
        "its",
        "misc",
        "must",
        "my",
        "n",
        "need",
        "needed",
        "needs",
        "none",
        "of",
        "on",
        "or",
        "permission",
        "properly",
        "purpose",
        "purposes",
        "reasons",
        "require",
        "required",
        "requires",
        "scope",
        "something",
        "stuff",
        "tbd",
        "that",
        "the",
        "things",
        "this",
        "to",
        "todo",
        "use",
        "used",
        "user",
        "various",
        "want",
        "work",
        "works",
        "x",
    ];
    let lower = purpose.to_lowercase();
    let words: Vec<_> =
        lower.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let says_something =
        |word: &&&str| !FILLERS.contains(*word) && **word != scope.action() && **word != scope.resource();
    // Not every language puts spaces between its words.
    let short = words.len() < 2 && purpose.is_ascii();
    short || words.iter().filter(says_something).count() == 0
}
