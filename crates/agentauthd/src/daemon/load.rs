//! What the daemon reads at its start: registered agents with their grants, the catalogue and the policies.
//!
//! A file counts only if it is one, and nobody but the user or root could have written it or taken it away. A
//! registration that does not count takes rights from its agent alone; a policy that does not could have forbidden
//! something, so that without it nothing is decided at all.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentauth_core::agent::{Agent, AgentFile, Source};
use agentauth_core::agents::Agents;
use agentauth_core::catalogue::Catalogue;
use agentauth_core::grant::Grants;
use agentauth_core::manifest::MAX_FILE_BYTES;
use agentauth_core::policy::{MAX_POLICY_BYTES, Policy, PolicyFault, PolicyFaults, PolicyFile};
use agentauth_core::text::display_safe_within;
use agentauth_idp::Chain;
use agentauth_store::StateDb;

use super::assemble::provider_config;
use super::domains::{self, Domains};
use super::policies::{AdminPolicies, policy_files};
use super::rights::{Basis, Standings, Wished, standings};
use crate::config::trust::{self, Untrusted};
use crate::config::{self, ADMIN_DIRECTORY, Config, ScopesFaults, scopes};

/// At most this many characters of a path are shown.
const SHOWN: usize = 200;

/// The rules in force.
pub(crate) struct Loaded {
    pub(crate) agents: Agents,
    pub(crate) grants: Grants,
    pub(crate) policy: Arc<Policy>,
    pub(crate) catalogue: Arc<Catalogue>,
    /// The policy files.
    pub(crate) policy_files: Vec<PolicyFile>,
    /// The administrator's among them.
    pub(crate) admin_policies: AdminPolicies,
    /// The file of each agent that the administrator registered, by the agent's name.
    pub(crate) agent_files: Vec<(String, PathBuf)>,
    /// Agents that the administrator forbids.
    pub(crate) forbidden: Vec<String>,
    /// Agents that were not registered, and why; they get nothing.
    pub(crate) problems: Vec<String>,
}

/// Where rules are read from, and whose files count there.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The administrator's registrations, and the administrator.
    pub(crate) admin_agents: (PathBuf, u32),
    /// The administrator's policies, and the administrator.
    pub(crate) admin_policies: (PathBuf, u32),
    /// The person's policies.
    pub(crate) policies: PathBuf,
}

impl Places {
    /// Those of a configuration.
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            admin_agents: (Path::new(ADMIN_DIRECTORY).join("agents"), 0),
            admin_policies: (Path::new(ADMIN_DIRECTORY).join("policies"), 0),
            policies: config.paths.policies_dir.clone(),
        }
    }
}

/// Why the daemon cannot decide anything.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A catalogue of scopes cannot be used: it could have raised a risk.
    #[error(
        "nothing can be decided without the catalogue of scopes: mend what is named, and look again with \
         `agentauthd config validate`"
    )]
    Catalogue(#[from] ScopesFaults),
    /// Not all policies can be used, so none of them is: the missing one could forbid something.
    #[error(
        "not every policy can be used, so nothing can be decided: mend what is named, and look again with \
         `agentauthd config validate`"
    )]
    Policy(#[from] PolicyFaults),
}

/// What a start would make of a configuration, beyond the configuration itself. All texts are safe to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RulesReport {
    /// The agents that would be registered, by name.
    pub agents: Vec<String>,
    /// The same, whole.
    pub registered: Vec<Arc<Agent>>,
    /// How many policies would be in force, those that ship included.
    pub policies: usize,
    /// What would keep the daemon from starting. A policy's fault has the line in question and a mark on lines of their own.
    pub faults: Vec<String>,
    /// Registrations that would be refused: their agents would get nothing.
    pub problems: Vec<String>,
    /// What is not wrong but worth a look.
    pub notes: Vec<String>,
}

/// Reads the administrator's registrations. `own` are the person's policies by file, which stand on `basis`, and `standings`
/// what the person registered and granted.
///
/// # Errors
/// [`LoadError`], which names every policy at fault. A registration that is not valid is no error: its agent gets
/// nothing, and `status` says why.
pub(crate) fn load(
    catalogue: Catalogue,
    places: &Places,
    own: OwnPolicies,
    basis: Basis,
    standings: Standings,
) -> Result<Loaded, LoadError> {
    let found = registrations(places, &catalogue, standings);
    for note in &found.notes {
        tracing::warn!(note, "worth a look in a registration");
    }
    let (directory, administrator) = &places.admin_policies;
    let admin = AdminPolicies::read(directory, *administrator);
    let (policy, policy_files) = policies(&admin, &places.policies, own, basis, &catalogue, &found.agents)
        .inspect_err(|_| {
            // A policy may name an action that only a refused registration knows.
            for problem in &found.problems {
                tracing::error!(problem, "an agent was not registered");
            }
        })?;
    for warning in policy.warnings() {
        tracing::warn!(warning, "worth a look in a policy");
    }
    Ok(Loaded {
        agents: found.agents,
        grants: found.grants,
        policy: Arc::new(policy),
        catalogue: Arc::new(catalogue),
        policy_files,
        admin_policies: admin,
        agent_files: found.files,
        forbidden: found.forbidden,
        problems: found.problems,
    })
}

/// What a start would find in files and in the state directory if all that the files say were applied; changes nothing.
/// `owner` is the user whose files count, besides root's.
#[must_use]
pub fn survey_rules(loaded: &config::Loaded, owner: u32) -> RulesReport {
    let config = &loaded.config;
    let standings = standings_of(config);
    report(config, Wished::read(loaded, owner), standings)
}

/// What the person registered and granted, as state directory and record have it; nothing where there is none.
pub(super) fn standings_of(config: &Config) -> Standings {
    let database = config.paths.state_dir.join("state.db");
    let read = || -> Result<Standings, String> {
        if !database.exists() {
            return Ok(Standings::default());
        }
        let profile = config.profile.parse().map_err(|error| Chain(&error).to_string())?;
        let db = StateDb::copy_of(&database).map_err(|error| Chain(&error).to_string())?;
        standings(&db, &profile, &config.paths.state_dir).map_err(|error| Chain(&error).to_string())
    };
    read().unwrap_or_else(|problem| Standings { problems: vec![problem], ..Standings::default() })
}

fn report(config: &Config, wished: Wished, standings: Standings) -> RulesReport {
    let mut report = RulesReport::default();
    if let Err(faults) = provider_config(config) {
        report.faults.extend(faults.0.iter().map(ToString::to_string));
    }
    let catalogue = match catalogue(config, wished.rules.catalogue.as_deref(), wished.catalogue_fault) {
        Ok(catalogue) => catalogue,
        Err(ScopesFaults(faults)) => {
            report.faults.extend(faults.into_iter().map(|fault| format!("the catalogue of scopes: {fault}")));
            return report;
        }
    };
    let places = Places::of(config);
    let found = registrations(&places, &catalogue, standings);
    let own = OwnPolicies { texts: wished.rules.policies, faults: wished.policy_faults };
    let (directory, administrator) = &places.admin_policies;
    let admin = AdminPolicies::read(directory, *administrator);
    match policies(&admin, &places.policies, own, Basis::Files, &catalogue, &found.agents) {
        Ok((policy, _)) => {
            report.policies = policy.len();
            report.notes.extend(policy.warnings().iter().cloned());
        }
        Err(PolicyFaults(faults)) => report.faults.extend(faults.iter().map(|fault| {
            let lines = std::iter::once(fault.to_string()).chain(fault.excerpt());
            lines.collect::<Vec<_>>().join("\n")
        })),
    }
    report.registered.extend(found.agents.iter().cloned());
    report.agents.extend(found.agents.iter().map(|agent| (*agent.name).to_owned()));
    report.agents.sort();
    report.problems.extend(found.problems);
    report.problems.extend(wished.domain_faults.iter().map(ToString::to_string));
    let domains = Path::new(ADMIN_DIRECTORY).join(domains::DIRECTORY);
    report.problems.extend(Domains::new(&domains, places.admin_agents.1, &wished.rules.domains).problems());
    report.notes.extend(found.notes);
    report
}

/// The catalogue in force, with the person's own unless that has a fault.
pub(crate) fn catalogue(
    config: &Config,
    own: Option<&str>,
    fault: Option<String>,
) -> Result<Catalogue, ScopesFaults> {
    let catalogue = scopes::catalogue(config, own);
    let Some(fault) = fault else { return catalogue };
    let mut faults = catalogue.err().map(|ScopesFaults(faults)| faults).unwrap_or_default();
    faults.push(fault);
    Err(ScopesFaults(faults))
}

/// What all registrations amount to.
#[derive(Default)]
pub(super) struct Registrations {
    pub(super) agents: Agents,
    pub(super) grants: Grants,
    files: Vec<(String, PathBuf)>,
    forbidden: Vec<String>,
    pub(super) problems: Vec<String>,
    notes: Vec<String>,
}

/// The administrator's, and the person's where the administrator has none of the same name.
pub(super) fn registrations(places: &Places, catalogue: &Catalogue, standings: Standings) -> Registrations {
    let mut found = Registrations { problems: standings.problems, ..Registrations::default() };
    let (directory, administrator) = &places.admin_agents;
    found.add_files(directory, *administrator, catalogue);
    for registration in standings.registrations {
        let name = &registration.manifest.name;
        if found.agents.get(name).is_some() {
            found.problems.push(format!(
                "your registration of `{name}` does not count, because this machine's administrator registers it"
            ));
            continue;
        }
        found.agents.insert(registration.agent());
    }
    for grant in standings.grants {
        found.grants.insert(grant);
    }
    found
}

impl Registrations {
    fn add_files(&mut self, directory: &Path, owner: u32, catalogue: &Catalogue) {
        let files = files(directory, "json", MAX_FILE_BYTES, owner).unwrap_or_else(|why| {
            self.problems.push(format!("`{}` registers nobody, because {why}", shown(directory)));
            Vec::new()
        });
        for (path, text) in files {
            let file = match text.map(|text| AgentFile::parse(text.as_bytes())) {
                Ok(Ok(file)) => file,
                Ok(Err(fault)) => {
                    self.problems.push(format!("`{}` registers nobody: {fault}", shown(&path)));
                    continue;
                }
                Err(why) => {
                    self.problems.push(format!("`{}` registers nobody, because {why}", shown(&path)));
                    continue;
                }
            };
            let name = &file.manifest.name;
            if self.agents.get(name).is_some() {
                self.problems.push(format!(
                    "`{}` registers `{name}` a second time: remove one of the two",
                    shown(&path)
                ));
                continue;
            }
            let lints = file.lint(catalogue);
            self.notes.extend(lints.into_iter().map(|lint| format!("{}: {}", shown(&path), lint.message)));
            for grant in file.grants() {
                self.grants.insert(grant);
            }
            self.agents.insert(Agent { source: Source::Administrator, ..file.agent() });
            if file.forbidden {
                self.forbidden.push(name.clone());
            }
            self.files.push((file.manifest.name, path));
        }
    }
}

/// A person's policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnPolicies {
    /// The text of each file, by the file's name.
    pub(crate) texts: BTreeMap<String, String>,
    /// Files that cannot be used.
    pub(crate) faults: Vec<PolicyFault>,
}

impl OwnPolicies {
    /// Those in a directory. `owner` is the user whose files count, besides root's.
    pub(crate) fn read(directory: &Path, owner: u32) -> Self {
        let mut own = Self::default();
        let fault = |path: &Path, why: String| {
            let what = format!("nothing of it is used, because {why}");
            PolicyFault { file: shown(path), policy: None, place: None, what }
        };
        match files(directory, "cedar", MAX_POLICY_BYTES, owner) {
            Ok(files) => {
                for (path, text) in files {
                    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    match text {
                        Ok(text) => drop(own.texts.insert(name, text)),
                        Err(why) => own.faults.push(fault(&path, why)),
                    }
                }
            }
            Err(why) => own.faults.push(fault(directory, why)),
        }
        own
    }
}

/// The policies in force, and their texts with their names.
fn policies(
    admin: &AdminPolicies,
    directory: &Path,
    own: OwnPolicies,
    basis: Basis,
    catalogue: &Catalogue,
    agents: &Agents,
) -> Result<(Policy, Vec<PolicyFile>), PolicyFaults> {
    let OwnPolicies { texts, faults: own_faults } = own;
    let faults: Vec<_> = admin.faults.iter().cloned().chain(own_faults).collect();
    let sources = policy_files(admin, directory, &texts);
    let loaded = match basis {
        Basis::Files | Basis::Lost => Policy::load_files(&sources, catalogue, agents.action_names()),
        // Which agents there were then does not matter any more.
        Basis::Applied => Policy::load_applied(&sources, catalogue, agents.action_names()),
    };
    match loaded {
        Ok(policy) if faults.is_empty() => Ok((policy, sources)),
        Ok(_) => Err(PolicyFaults(faults)),
        Err(PolicyFaults(more)) => Err(PolicyFaults(faults.into_iter().chain(more).collect())),
    }
}

/// A file with its text, or with why that does not count and what to do.
pub(super) type Found = (PathBuf, Result<String, String>);

/// The files of a directory with this extension, by name, as a shell's `*.extension` finds them; a directory that is
/// not there has none. Fails with why the directory does not count and what to do.
pub(super) fn files(
    directory: &Path,
    extension: &str,
    limit: usize,
    owner: u32,
) -> Result<Vec<Found>, String> {
    let told = |path: &Path, why: &Untrusted| format!("{why}{}; {}", why.cause(), why.remedy(path, owner));
    let refused = |error| told(directory, &Untrusted::Read(error));
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(told(directory, &Untrusted::NotADirectory));
        }
        Err(error) => return Err(refused(error)),
    };
    // Whoever can take a file away could take a prohibition away.
    trust::judge_own_directory(directory, owner).map_err(|why| told(directory, &why))?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(refused)?;
        if counts(&entry.file_name(), extension) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    let read = |path: PathBuf| {
        let text = match trust::read_own_file(&path, owner, limit) {
            Ok(Some(text)) => Ok(text),
            Ok(None) => Err("it is a link to nothing; mend the link, or remove it".to_owned()),
            Err(why) => Err(told(&path, &why)),
        };
        (path, text)
    };
    Ok(paths.into_iter().map(read).collect())
}

/// Whether a file of this name is one of a directory's with this extension.
pub(super) fn counts(name: &OsStr, extension: &str) -> bool {
    let name = name.as_encoded_bytes();
    // Editors keep notes of their own beside a file, under names that begin with a dot.
    !name.starts_with(b".")
        && name.strip_suffix(extension.as_bytes()).is_some_and(|rest| rest.ends_with(b"."))
}

pub(crate) fn shown(path: &Path) -> String {
    display_safe_within(&path.display().to_string(), SHOWN)
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
