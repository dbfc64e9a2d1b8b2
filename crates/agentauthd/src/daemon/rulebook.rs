//! The rules as files say them, for whoever looks at policies without a daemon. Nothing is changed, and nothing here
//! decides for anybody.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentauth_core::agents::Agents;
use agentauth_core::catalogue::Catalogue;
use agentauth_core::policy::inspect::{self, RuleText};
use agentauth_core::policy::{MAX_POLICY_BYTES, Policy, PolicyFault, PolicyFaults, PolicyFile};

use super::load::{OwnPolicies, Places, registrations, shown, standings_of};
use super::policies::{AdminPolicies, SHIPPED, SWITCHED_OFF, policy_files};
use super::rights::Wished;
use crate::config;

/// Which policies are looked at, beside those that ship.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Draft {
    /// Those of the administrator and of the person, as their files are.
    None,
    /// The administrator's, and these in place of the person's.
    Own(Vec<PathBuf>),
    /// These in place of the administrator's, and the person's.
    Administrator(Vec<PathBuf>),
}

/// Everything that decides beside who asks and who is logged in.
pub(crate) struct Rulebook {
    /// The policy files that are looked at.
    pub(crate) files: Vec<PolicyFile>,
    /// Files that cannot be used.
    pub(crate) unusable: Vec<PolicyFault>,
    /// The policy files that a daemon would have in force that starts now: of the person's, what was applied.
    pub(crate) in_force: Vec<PolicyFile>,
    pub(crate) catalogue: Arc<Catalogue>,
    /// The registered agents.
    pub(crate) agents: Agents,
    /// What is not as it should be, but keeps nobody from looking. Safe to show.
    pub(crate) notes: Vec<String>,
}

impl Rulebook {
    /// Reads it. `owner` is the user whose files count, besides root's; whose a draft's are does not matter. Blocking.
    pub(crate) fn read(loaded: &config::Loaded, owner: u32, catalogue: Catalogue, draft: &Draft) -> Self {
        let config = &loaded.config;
        let places = Places::of(config);
        let (directory, administrator) = &places.admin_policies;
        let installed = AdminPolicies::read(directory, *administrator);
        let mut standings = standings_of(config);
        let wished = Wished::read(loaded, owner);
        let applied = wished.against(std::mem::take(&mut standings.rules));
        let found = registrations(&places, &catalogue, standings);
        let in_force = policy_files(&installed, &places.policies, &applied.rules.policies);
        let own = OwnPolicies { texts: wished.rules.policies, faults: wished.policy_faults };
        let mut unusable = Vec::new();
        let mut files = match draft {
            Draft::Administrator(_) => Vec::new(),
            Draft::None | Draft::Own(_) => {
                unusable.extend(installed.faults.iter().cloned());
                policy_files(&installed, &places.policies, &BTreeMap::new())
            }
        };
        match draft {
            Draft::Own(_) => {}
            Draft::None | Draft::Administrator(_) => unusable.extend(own.faults),
        }
        let (drafted, off) = match draft {
            Draft::None => (Vec::new(), Vec::new()),
            Draft::Own(paths) => (read_draft(paths, "cedar", &mut unusable), Vec::new()),
            Draft::Administrator(paths) => {
                (read_draft(paths, "cedar", &mut unusable), read_draft(paths, "off", &mut unusable))
            }
        };
        match draft {
            Draft::None => files = policy_files(&installed, &places.policies, &own.texts),
            Draft::Own(_) => {
                let file =
                    |(path, text): (PathBuf, String)| PolicyFile { name: named(&path), text, own: true };
                files.extend(drafted.into_iter().map(file));
            }
            Draft::Administrator(_) => {
                let drafted = drafted.into_iter().map(|(path, text)| (named(&path), text)).collect();
                let off = off.iter().find(|(path, _)| path.ends_with(SWITCHED_OFF));
                let admin =
                    AdminPolicies::draft(drafted, off.map(|(path, text)| (path.as_path(), text.as_str())));
                unusable.extend(admin.faults.iter().cloned());
                files = policy_files(&admin, &places.policies, &own.texts);
            }
        }
        let mut notes = found.problems;
        if matches!(draft, Draft::None) && inspect::digest(&files) != inspect::digest(&in_force) {
            notes.push(
                "your policy files are not as you applied them: what was applied is in force until \
                 `agentauthd policy apply`"
                    .to_owned(),
            );
        }
        Self { files, unusable, in_force, catalogue: Arc::new(catalogue), agents: found.agents, notes }
    }

    /// Loads the policies that are looked at. `more`: actions to know beside those of the catalogue and the registered
    /// agents.
    pub(crate) fn load(&self, more: impl IntoIterator<Item = String>) -> Result<Policy, PolicyFaults> {
        self.load_files(&self.files, &self.unusable, more)
    }

    /// The same of those in force.
    pub(crate) fn load_in_force(
        &self,
        more: impl IntoIterator<Item = String>,
    ) -> Result<Policy, PolicyFaults> {
        self.load_files(&self.in_force, &[], more)
    }

    fn load_files(
        &self,
        files: &[PolicyFile],
        unusable: &[PolicyFault],
        more: impl IntoIterator<Item = String>,
    ) -> Result<Policy, PolicyFaults> {
        let wanted = self.agents.iter().flat_map(|agent| agent.manifest.scopes.iter());
        let actions = wanted.map(|wanted| wanted.scope.action_name().to_owned()).chain(more);
        match Policy::load_files(files, &self.catalogue, actions) {
            Ok(policy) if unusable.is_empty() => Ok(policy),
            Ok(_) => Err(PolicyFaults(unusable.to_vec())),
            Err(PolicyFaults(faults)) => Err(PolicyFaults([unusable, &faults].concat())),
        }
    }
}

/// Who can change a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Keeper {
    /// It ships; an administrator can switch its file off.
    Shipped,
    /// The administrator.
    Administrator,
    /// The person.
    Own,
}

impl Keeper {
    /// Who can change the policies of this file.
    pub(crate) fn of_file(name: &str, own: bool) -> Self {
        match name.starts_with(SHIPPED) {
            _ if own => Self::Own,
            true => Self::Shipped,
            false => Self::Administrator,
        }
    }

    /// Who can change this policy.
    pub(crate) fn of(rule: &RuleText) -> Self {
        Self::of_file(&rule.file, rule.own)
    }
}

fn named(path: &Path) -> String {
    path.display().to_string()
}

/// The files with this extension among these and in these directories, as the daemon would find them. What cannot be read
/// is a fault.
fn read_draft(paths: &[PathBuf], extension: &str, faults: &mut Vec<PolicyFault>) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for path in paths {
        match files_in(path, extension) {
            Ok(files) => found.extend(files),
            Err(error) => faults.push(unreadable(path, &error)),
        }
    }
    let mut texts = Vec::new();
    for path in found {
        match read_bounded(&path, MAX_POLICY_BYTES + 1) {
            Ok(text) => texts.push((path, text)),
            Err(error) => faults.push(unreadable(&path, &error)),
        }
    }
    texts
}

/// The file itself, if it has the extension; of a directory, those whose names end so, in order, without hidden ones.
pub(crate) fn files_in(path: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let fits = |name: &std::ffi::OsStr| {
        let name = name.as_encoded_bytes();
        !name.starts_with(b".")
            && name.strip_suffix(extension.as_bytes()).is_some_and(|rest| rest.ends_with(b"."))
    };
    if !fs::metadata(path)?.is_dir() {
        return Ok(path.file_name().is_some_and(fits).then(|| path.to_owned()).into_iter().collect());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if fits(&entry.file_name()) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// A file's text, if it has no more than `limit` bytes; more is cut off, and the reader of the text refuses it.
pub(crate) fn read_bounded(path: &Path, limit: usize) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(limit as u64).read_to_string(&mut text)?;
    Ok(text)
}

fn unreadable(path: &Path, error: &io::Error) -> PolicyFault {
    let what =
        format!("it cannot be read: {error}; give the path of a policy file, or of a directory of them");
    PolicyFault { file: shown(path), policy: None, place: None, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_found_as_the_daemon_would_find_it() {
        let home = tempfile::tempdir().unwrap();
        for name in ["b.cedar", "a.cedar", ".hidden.cedar", "notes.txt", "x.scenarios.json", "shipped.off"] {
            fs::write(home.path().join(name), "// text").unwrap();
        }
        let names = |path: &Path, extension: &str| -> Vec<String> {
            let files = files_in(path, extension).unwrap();
            files.iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names(home.path(), "cedar"), ["a.cedar", "b.cedar"]);
        assert_eq!(names(home.path(), "scenarios.json"), ["x.scenarios.json"]);
        assert_eq!(names(&home.path().join("a.cedar"), "cedar"), ["a.cedar"]);
        assert_eq!(names(&home.path().join("a.cedar"), "off"), [""; 0]);
        let mut faults = Vec::new();
        let texts = read_draft(&[home.path().to_owned(), home.path().join("none")], "cedar", &mut faults);
        assert_eq!((texts.len(), faults.len()), (2, 1), "{faults:?}");
    }

    #[test]
    fn who_can_change_a_policy_follows_from_its_file() {
        for (name, own, keeper) in [
            ("shipped/base.cedar", false, Keeper::Shipped),
            ("/etc/agentauthd/policies/a.cedar", false, Keeper::Administrator),
            ("shipped/mine.cedar", true, Keeper::Own),
        ] {
            assert_eq!(Keeper::of_file(name, own), keeper, "{name}");
        }
    }
}
