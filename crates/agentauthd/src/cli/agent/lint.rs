//! `agentauthd agent lint`: what a careful reader would say of manifests, without the daemon.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use agentauth_core::manifest::{MAX_FILE_BYTES, Manifest, ManifestLint};
use agentauth_core::{Catalogue, display_safe};
use clap::Args;
use serde::Serialize;

use super::super::output::{self, BAD, WARN};
use super::super::{Exit, Failure};

/// Say what a careful reader would say of manifests. Exits with 2 if there is anything, with 1 if one is no manifest.
#[derive(Debug, Args)]
pub(super) struct Lint {
    /// The manifests.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print what was found as JSON.
    #[arg(long)]
    json: bool,
}

impl Lint {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let catalogue = Catalogue::shipped().map_err(|fault| {
            Failure::caused("the shipped catalogue of scopes is not valid: please report this", fault)
        })?;
        let verdicts: Vec<_> = self.files.iter().map(|file| Verdict::of(file, &catalogue)).collect();
        if self.json {
            output::json(&verdicts)?;
        } else {
            for verdict in &verdicts {
                verdict.tell()?;
            }
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
    /// Why it is no manifest.
    faults: Vec<String>,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Finding {
    code: &'static str,
    message: String,
}

impl Verdict {
    fn of(path: &Path, catalogue: &Catalogue) -> Self {
        let file = path.display().to_string();
        match read(path) {
            Ok(manifest) => {
                let findings = manifest.lint(catalogue).into_iter().map(Finding::from).collect();
                Self { file, faults: Vec::new(), findings }
            }
            Err(fault) => Self { file, faults: vec![fault], findings: Vec::new() },
        }
    }

    fn tell(&self) -> Result<(), Failure> {
        let file = display_safe(&self.file);
        for fault in &self.faults {
            output::say(&format!("{BAD}error:{BAD:#} {file}: {fault}"));
        }
        for Finding { code, message } in &self.findings {
            output::data(&format!("{file}: {WARN}{code}{WARN:#}: {message}"))?;
        }
        Ok(())
    }
}

impl From<ManifestLint> for Finding {
    fn from(lint: ManifestLint) -> Self {
        Self { code: lint.code, message: lint.message }
    }
}

/// Reads a manifest from a file; fails with why that is not possible.
fn read(path: &Path) -> Result<Manifest, String> {
    let read = |path: &Path| -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes =
        read(path).map_err(|error| format!("it cannot be read: {error}; give the path of a manifest"))?;
    Manifest::parse(&bytes).map_err(|fault| fault.to_string())
}
