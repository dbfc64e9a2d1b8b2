//! What somebody wishes to be registered, made whole: links resolved, digests taken, faults named.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentauth_core::agent::{Agent, Registration, Selectors, Source};
use agentauth_core::text::display_safe_within;
use agentauth_ipc::HashCache;
use agentauth_ipc::hashes::regular_file;

use super::{Rights, RightsError};
use crate::daemon::wire::Wish;

/// A registration that could be made.
pub(crate) struct Drafted {
    pub(crate) registration: Registration,
    /// What it would replace.
    pub(crate) before: Option<Arc<Agent>>,
    /// What a careful reader would say of it.
    pub(crate) notes: Vec<String>,
}

impl Rights {
    /// What `wish` comes to now. Changes nothing.
    pub(crate) async fn draft(&self, wish: Wish, hashes: &HashCache) -> Result<Drafted, RightsError> {
        let Wish { manifest, update, executable, script, cgroup, launch_only, enforcer } = wish;
        let named = manifest.as_ref().map(|manifest| manifest.name.clone()).or_else(|| update.clone());
        let before = named.as_deref().and_then(|name| self.state.load().agents.get(name).cloned());
        if update.is_some() && before.is_none() {
            return Err(RightsError::NoAgent(update.unwrap_or_default()));
        }
        if let Some(before) = before.as_deref().filter(|before| before.source == Source::Administrator) {
            return Err(RightsError::Administrators((*before.name).to_owned()));
        }
        let known = before.as_deref().filter(|_| update.is_some()).map(Agent::registration);
        let manifest = manifest.or_else(|| known.as_ref().map(|known| known.manifest.clone()));
        let selectors = known.as_ref().map(|known| &known.selectors);
        let executable = executable.or_else(|| selectors.map(|known| known.executable.clone()));
        let (Some(manifest), Some(executable)) = (manifest, executable) else {
            return Err(RightsError::NoAgent(update.unwrap_or_default()));
        };
        let script = script.or_else(|| selectors.and_then(|known| known.script.clone()));
        let cgroup = cgroup.or_else(|| selectors.and_then(|known| known.cgroup.clone()));
        let launch_only = launch_only.or(known.as_ref().map(|known| known.launch_only)).unwrap_or_default();
        let enforcer = enforcer.or_else(|| known.as_ref().and_then(|known| known.enforcer.clone()));
        let enforcer = enforcer.filter(|name| !name.is_empty());
        let (executable, digest) = self.file(&executable, hashes).await?;
        let script = match script {
            Some(script) => Some(self.file(&script, hashes).await?),
            None => None,
        };
        let (script, script_sha256) = script.unzip();
        let mut selectors =
            Selectors { executable, sha256: None, script, script_sha256, cgroup: cgroup.clone() };
        // An interpreter is replaced with every update of the system, and its digest proves nothing: the script's does.
        if !selectors.names_interpreter() {
            selectors.sha256 = Some(digest);
        } else if selectors.script.is_none() {
            return Err(RightsError::NoScript(selectors.executable));
        }
        let selectors = selectors.checked().map_err(RightsError::Selectors)?;
        let registration = Registration { manifest, selectors, launch_only, enforcer };
        let catalogue = self.state.load().catalogue.clone();
        let notes = registration.lint(&catalogue).into_iter().map(|lint| lint.message).collect();
        Ok(Drafted { registration, before, notes })
    }

    /// Where a path leads to, and the digest of what is there.
    async fn file(&self, path: &str, hashes: &HashCache) -> Result<(String, String), RightsError> {
        let fault = |cause: Box<dyn std::error::Error + Send + Sync>| RightsError::File {
            path: display_safe_within(path, 200),
            cause,
        };
        if !Path::new(path).is_absolute() {
            return Err(fault("it is not an absolute path".into()));
        }
        let asked = PathBuf::from(path);
        let found = tokio::task::spawn_blocking(move || regular_file(&asked)).await;
        let (resolved, id) =
            found.map_err(|broken| fault(broken.into()))?.map_err(|cause| fault(cause.into()))?;
        let now = std::time::SystemTime::from(self.clock.now());
        let digest = hashes.digest(&resolved, id, now).await.map_err(|cause| fault(cause.into()))?;
        let text = resolved.into_os_string().into_string();
        let text = text.map_err(|_| fault("its path is not UTF-8 text".into()))?;
        Ok((text, digest.to_string()))
    }
}
