//! What the daemon reads at its start: registered agents with their grants, the catalogue and the policies.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentauth_core::agent::AgentFile;
use agentauth_core::agents::Agents;
use agentauth_core::catalogue::Catalogue;
use agentauth_core::grant::Grants;
use agentauth_core::policy::{Policy, PolicyFaults};

/// The rules in force.
pub(crate) struct Loaded {
    pub(crate) agents: Agents,
    pub(crate) grants: Grants,
    pub(crate) policy: Arc<Policy>,
    pub(crate) catalogue: Arc<Catalogue>,
    /// Where policies came from, by name.
    pub(crate) policy_sources: Vec<String>,
    /// The file of each registered agent, by the agent's name.
    pub(crate) agent_files: Vec<(String, PathBuf)>,
    /// Agents that were not registered, and why; they get nothing.
    pub(crate) problems: Vec<String>,
}

/// Why the daemon cannot decide anything.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A directory or file cannot be read.
    #[error("cannot read `{}`: check that it is yours and readable", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The shipped catalogue of scopes is broken.
    #[error("the shipped catalogue of scopes is not valid: please report this")]
    Catalogue(#[from] agentauth_core::catalogue::CatalogueFault),
    /// The policies do not validate, so none of them is used.
    #[error(
        "the policies do not validate, so nothing can be decided: mend them, `agentauthd config validate` tells"
    )]
    Policy(#[from] PolicyFaults),
}

/// Reads everything.
///
/// # Errors
/// [`LoadError`]. A registration that is not valid is no error: its agent gets nothing, and `status` says why.
pub(crate) fn load(agents_directory: &Path, policies_directory: &Path) -> Result<Loaded, LoadError> {
    let catalogue = Catalogue::shipped()?;
    let mut loaded_agents = Agents::new();
    let mut grants = Grants::new();
    let mut agent_files = Vec::new();
    let mut problems = Vec::new();
    for (path, text) in files(agents_directory, "json")? {
        match AgentFile::parse(text.as_bytes()) {
            Ok(file) if loaded_agents.get(&file.manifest.name).is_some() => {
                let name = &file.manifest.name;
                problems.push(format!(
                    "`{}` registers `{name}` a second time: remove one of the two",
                    path.display()
                ));
            }
            Ok(file) => {
                agent_files.push((file.manifest.name.clone(), path));
                for grant in file.grants() {
                    grants.insert(grant);
                }
                loaded_agents.insert(file.agent());
            }
            Err(fault) => problems.push(format!("`{}` registers nobody: {fault}", path.display())),
        }
    }
    let own = files(policies_directory, "cedar")?;
    let mut sources: Vec<(String, String)> = Policy::shipped()
        .iter()
        .map(|(name, text)| (format!("shipped/{name}"), (*text).to_owned()))
        .collect();
    sources.extend(own.into_iter().map(|(path, text)| (path.display().to_string(), text)));
    let actions = loaded_agents
        .iter()
        .flat_map(|agent| agent.manifest.scopes.iter().map(|wanted| wanted.scope.action_name().to_owned()));
    let policy = Policy::load(&sources, &catalogue, actions)?;
    Ok(Loaded {
        agents: loaded_agents,
        grants,
        policy: Arc::new(policy),
        catalogue: Arc::new(catalogue),
        policy_sources: sources.into_iter().map(|(name, _)| name).collect(),
        agent_files,
        problems,
    })
}

/// The files of a directory with this extension, by name; a directory that is not there has none.
fn files(directory: &Path, extension: &str) -> Result<Vec<(PathBuf, String)>, LoadError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |cause| LoadError::Read { path, cause }
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(directory)(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable(directory))?.path();
        if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).map_err(unreadable(&path))?;
            Ok((path, text))
        })
        .collect()
}
