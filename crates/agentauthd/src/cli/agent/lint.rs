//! `agentauthd agent lint`: what a careful reader would say of manifests, without the daemon.

use std::path::{Path, PathBuf};

use agentauth_core::manifest::{ManifestFault, ManifestLint};
use agentauth_core::{Catalogue, display_safe};
use clap::Args;
use serde::Serialize;

use super::super::output::{self, BAD, FAINT, GOOD, WARN};
use super::super::{Context, Exit, Failure};
use super::manifest_file::{self, CatalogueChoice};

/// Say what a careful reader would say of manifests. Needs no daemon.
///
/// Exits with 0 if there is nothing to say, with 2 if there is, with 1 if a file is no manifest.
#[derive(Debug, Args)]
pub(super) struct Lint {
    /// The manifests.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    catalogue: CatalogueChoice,
    /// Print what was found as JSON.
    #[arg(long)]
    json: bool,
}

impl Lint {
    pub(super) fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let catalogue = self.catalogue.load(context)?;
        let verdicts: Vec<_> = self.files.iter().map(|file| Verdict::of(file, &catalogue)).collect();
        if self.json {
            output::json(&verdicts)?;
        } else {
            verdicts.iter().try_for_each(Verdict::tell)?;
        }
        Ok(if verdicts.iter().any(|verdict| !verdict.faults.is_empty()) {
            Exit::Error
        } else if verdicts.iter().any(|verdict| !verdict.findings.is_empty()) {
            Exit::Deny
        } else {
            Exit::Done
        })
    }
}

/// What there is to say of one file.
#[derive(Serialize)]
struct Verdict {
    file: String,
    /// Of a manifest that can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Known>,
    /// Why it is no manifest.
    faults: Vec<ManifestFault>,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Known {
    name: String,
    version: String,
    digest: String,
}

#[derive(Serialize)]
struct Finding {
    code: &'static str,
    path: String,
    message: String,
}

impl Verdict {
    fn of(path: &Path, catalogue: &Catalogue) -> Self {
        let file = path.display().to_string();
        match manifest_file::read(path) {
            Ok(manifest) => {
                let findings = manifest.lint(catalogue).into_iter().map(Finding::from).collect();
                let digest = manifest.digest();
                let known = Known { name: manifest.name, version: manifest.version, digest };
                Self { file, manifest: Some(known), faults: Vec::new(), findings }
            }
            Err(faults) => Self { file, manifest: None, faults, findings: Vec::new() },
        }
    }

    fn tell(&self) -> Result<(), Failure> {
        let file = display_safe(&self.file);
        for fault in &self.faults {
            output::say(&format!("{BAD}error:{BAD:#} {file}: {fault}"));
        }
        for Finding { code, path, message } in &self.findings {
            output::data(&format!("{file}: {WARN}{code}{WARN:#} {message} {FAINT}({path}){FAINT:#}"))?;
        }
        match &self.manifest {
            Some(Known { name, version, digest }) if self.findings.is_empty() => output::data(&format!(
                "{file}: {GOOD}clean{GOOD:#} {name} {} {FAINT}{digest}{FAINT:#}",
                display_safe(version)
            )),
            _ => Ok(()),
        }
    }
}

impl From<ManifestLint> for Finding {
    fn from(lint: ManifestLint) -> Self {
        Self { code: lint.code, path: lint.path, message: lint.message }
    }
}
