//! `agentauthd agent diff`: what a new version of a manifest asks for that the old one did not, without the daemon.

use std::path::PathBuf;

use agentauth_core::manifest::{Manifest, ManifestDiff, ManifestScope, ScopeChange, TextChange};
use agentauth_core::text::display_safe_within;
use agentauth_core::{Catalogue, RiskClass, Scope, Strength, display_safe};
use clap::Args;
use serde::Serialize;

use super::super::output::{self, BAD, FAINT, GOOD, STRONG, WARN};
use super::super::{Context, Exit, Failure};
use super::manifest_file::{self, CatalogueChoice};

/// Say what a new version of a manifest asks for that the old one did not. Needs no daemon.
///
/// Whatever no single scope of the old manifest covers is a widening; so is everything in the manifest of another agent.
/// Exits with 0 if nothing is widened, with 2 if something is, with 1 if a file is no manifest.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The manifest as it was; `/dev/null` if there was none.
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The manifest as it is to be.
    #[arg(value_name = "NEW")]
    new: PathBuf,
    #[command(flatten)]
    catalogue: CatalogueChoice,
    /// Print the difference as JSON.
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub(super) fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let catalogue = self.catalogue.load(context)?;
        let (old, new) = manifest_file::read_change(&self.old, &self.new)?;
        let diff = old.diff(&new);
        let shown = Shown::of(&old, &new, &diff, &catalogue);
        if self.json {
            output::json(&shown)?;
        } else {
            shown.tell()?;
        }
        Ok(if diff.widens() { Exit::Deny } else { Exit::Done })
    }
}

/// The difference, as JSON shows it.
#[derive(Serialize)]
struct Shown {
    widened: bool,
    renamed: bool,
    old: Side,
    new: Side,
    scopes: Vec<ShownScope>,
    texts: Vec<ShownText>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Side {
    name: String,
    version: String,
    digest: String,
}

#[derive(Serialize)]
struct ShownScope {
    /// `added`, `widened`, `narrowed`, `removed`, `covered` or `reworded`.
    change: &'static str,
    /// The scope that it is about.
    scope: Scope,
    /// What a widened or narrowed scope takes the place of; what covers a scope that changes nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    from: Vec<Scope>,
    /// What the action does.
    #[serde(skip_serializing_if = "Option::is_none")]
    says: Option<String>,
    risk: RiskClass,
    /// The least strength of consent that may grant it.
    strength: Strength,
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_purpose: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    required: Option<bool>,
}

#[derive(Serialize)]
struct ShownText {
    path: &'static str,
    old: Option<String>,
    new: Option<String>,
}

impl Shown {
    fn of(old: &Manifest, new: &Manifest, diff: &ManifestDiff, catalogue: &Catalogue) -> Self {
        let side = |manifest: &Manifest| Side {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            digest: manifest.digest(),
        };
        let mut notes = Vec::new();
        if diff.renamed {
            notes.push(format!(
                "`{}` is another agent than `{}`, so that all of its scopes are new",
                new.name, old.name
            ));
        }
        if !diff.is_empty() && !old.scopes.is_empty() && old.version == new.version {
            notes.push("the manifest changed, but its `version` did not".to_owned());
        }
        Self {
            widened: diff.widens(),
            renamed: diff.renamed,
            old: side(old),
            new: side(new),
            scopes: diff.scopes.iter().map(|change| ShownScope::of(change, old, new, catalogue)).collect(),
            texts: diff.texts.iter().map(ShownText::of).collect(),
            notes,
        }
    }

    fn tell(&self) -> Result<(), Failure> {
        for scope in &self.scopes {
            scope.tell()?;
        }
        for ShownText { path, old, new } in &self.texts {
            let shown = |text: &Option<String>| match text {
                Some(text) => format!("`{}`", display_safe_within(text, 80)),
                None => "nothing".to_owned(),
            };
            output::data(&format!("{FAINT}text{FAINT:#}      {path}: {} → {}", shown(old), shown(new)))?;
        }
        for note in &self.notes {
            output::say(&format!("{WARN}note:{WARN:#} {note}"));
        }
        let widened = self.scopes.iter().filter(|scope| scope.widens()).count();
        output::data(&match widened {
            0 if self.scopes.is_empty() && self.texts.is_empty() => {
                "The two manifests say the same.".to_owned()
            }
            0 => format!("{GOOD}Nothing is widened.{GOOD:#}"),
            1 => format!("{BAD}1 scope is widened.{BAD:#}"),
            many => format!("{BAD}{many} scopes are widened.{BAD:#}"),
        })
    }
}

impl ShownScope {
    fn of(change: &ScopeChange, old: &Manifest, new: &Manifest, catalogue: &Catalogue) -> Self {
        let scope = change.scope();
        let entry = |manifest: &Manifest| -> Option<ManifestScope> {
            manifest.scopes.iter().find(|entry| entry.scope == *scope).cloned()
        };
        let (was, is) = (entry(old), entry(new));
        let from = match change {
            ScopeChange::Widened { from, .. } | ScopeChange::Narrowed { from, .. } => from.clone(),
            ScopeChange::Covered { by, .. } => vec![by.clone()],
            _ => Vec::new(),
        };
        let old_purpose = was.map(|entry| entry.purpose);
        Self {
            change: change.word(),
            from,
            says: catalogue.entry(scope).map(|entry| entry.says.clone()),
            risk: catalogue.risk(scope),
            strength: catalogue.strength(scope),
            required: is.as_ref().map(|entry| entry.required),
            old_purpose: old_purpose.filter(|old| is.as_ref().is_none_or(|is| is.purpose != *old)),
            purpose: is.map(|entry| entry.purpose),
            scope: scope.clone(),
        }
    }

    fn widens(&self) -> bool {
        matches!(self.change, "added" | "widened")
    }

    fn tell(&self) -> Result<(), Failure> {
        let style = match self.change {
            "added" | "widened" => BAD,
            "narrowed" | "removed" => GOOD,
            _ => FAINT,
        };
        let from = self.from.iter().map(Scope::as_str).collect::<Vec<_>>().join("`, `");
        let beside = match self.change {
            "widened" | "narrowed" => format!(" (was `{from}`)"),
            "covered" => format!(" (by `{from}`: nothing changes)"),
            _ => String::new(),
        };
        output::data(&format!(
            "{style}{:<9}{style:#} {STRONG}{}{STRONG:#}{beside}",
            self.change, self.scope
        ))?;
        if self.widens() {
            let says = self.says.as_deref().unwrap_or("an action that the catalogue does not describe");
            output::data(&format!("          {says}; risk {}, needs {}", self.risk, needs(self.strength)))?;
        }
        if self.widens() || self.change == "reworded" {
            if let Some(old) = &self.old_purpose {
                output::data(&format!("          {FAINT}said:{FAINT:#} {}", display_safe(old)))?;
            }
            if let Some(purpose) = &self.purpose {
                let required = if self.required == Some(true) { " (required)" } else { "" };
                output::data(&format!(
                    "          {FAINT}says:{FAINT:#} {}{required}",
                    display_safe(purpose)
                ))?;
            }
        }
        Ok(())
    }
}

/// What a consent of this strength takes.
fn needs(strength: Strength) -> &'static str {
    match strength {
        Strength::Prompt => "an answer",
        Strength::Passkey => "a passkey",
        Strength::Reauth => "a fresh login",
    }
}

impl ShownText {
    fn of(change: &TextChange) -> Self {
        Self { path: change.path, old: change.old.clone(), new: change.new.clone() }
    }
}
