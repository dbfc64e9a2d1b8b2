//! Manifests in files, and the catalogue to examine them by.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use agentauth_core::Catalogue;
use agentauth_core::manifest::{FaultCode, MAX_FILE_BYTES, Manifest, ManifestFault};
use clap::Args;

use super::super::{Context, Failure};
use crate::config::scopes;
use crate::daemon::rulebook::read_bounded;

/// By which catalogue manifests are examined.
#[derive(Debug, Args)]
pub(in crate::cli) struct CatalogueChoice {
    /// Examine by the shipped catalogue with this one above it, in place of this machine's: for pipelines.
    #[arg(long, value_name = "FILE")]
    catalogue: Option<PathBuf>,
}

impl CatalogueChoice {
    pub(in crate::cli) fn load(&self, context: &Context<'_>) -> Result<Catalogue, Failure> {
        let Some(path) = &self.catalogue else {
            let config = &context.loaded.config;
            let own = scopes::own_text(config, context.environment.uid()).map_err(Failure::Told)?;
            return scopes::catalogue(config, own.as_deref())
                .map_err(|faults| Failure::Told(faults.to_string()));
        };
        let shown = path.display();
        let text = read_bounded(path, scopes::SIZE_LIMIT).map_err(|error| {
            Failure::caused(format!("could not read the catalogue `{shown}`; give its path"), error)
        })?;
        let unusable = |fault| Failure::caused(format!("could not use `{shown}`; mend what is named"), fault);
        let upper = Catalogue::parse(&text).map_err(unusable)?;
        Catalogue::shipped().map(|shipped| shipped.overlaid(upper)).map_err(unusable)
    }
}

/// Reads a manifest as it was, `/dev/null` if there was none, and as it is to be; fails with all that is wrong with
/// both.
pub(in crate::cli) fn read_change(old: &Path, new: &Path) -> Result<(Manifest, Manifest), Failure> {
    let named = |path: &Path| -> Result<Manifest, Vec<String>> {
        read(path)
            .map_err(|faults| faults.iter().map(|fault| format!("{}: {fault}", path.display())).collect())
    };
    let after = named(new);
    let before = if old.as_os_str() == "/dev/null" {
        after.as_ref().map(|new| Manifest { scopes: Vec::new(), ..new.clone() }).map_err(|_| Vec::new())
    } else {
        named(old)
    };
    match (before, after) {
        (Ok(before), Ok(after)) => Ok((before, after)),
        (before, after) => {
            let faults = before.err().into_iter().chain(after.err()).flatten().collect::<Vec<_>>();
            Err(Failure::Told(format!("could not compare the manifests:\n  {}", faults.join("\n  "))))
        }
    }
}

/// Reads a manifest from a file; fails with all that is wrong.
pub(super) fn read(path: &Path) -> Result<Manifest, Vec<ManifestFault>> {
    let read = |path: &Path| -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read(path) {
        Ok(bytes) => Manifest::parse(&bytes).map_err(|faults| faults.0),
        Err(error) => {
            let reason = format!("the file cannot be read: {error}; give the path of a manifest");
            Err(vec![ManifestFault { path: String::new(), code: FaultCode::NotJson, reason }])
        }
    }
}
