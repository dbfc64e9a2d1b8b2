//! The rules as files say them, for whoever looks at policies without a daemon. Nothing is changed, and nothing here
//! decides for anybody.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentauth_core::agents::Agents;
use agentauth_core::catalogue::Catalogue;
use agentauth_core::device::Device;
use agentauth_core::policy::inspect::{self, RuleText};
use agentauth_core::policy::{MAX_POLICY_BYTES, Policy, PolicyFault, PolicyFaults, PolicyFile};
use agentauth_host::device::DeviceId;
use agentauth_host::machine::Machine;
use serde_json::{Map, Value, json};

use super::assemble::machine_set;
pub(crate) use super::load::shown;
use super::load::{OwnPolicies, Places, counts, registrations, standings_of};
use super::policies::{AdminPolicies, SHIPPED, SWITCHED_OFF, policy_files};
use super::rights::Wished;
use crate::config::{self, Config};

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
        let mut notes = found.problems;
        match draft {
            Draft::None => files = policy_files(&installed, &places.policies, &own.texts),
            Draft::Own(paths) => {
                let drafted = read_draft(paths, &mut unusable, &mut notes).policies;
                let file =
                    |(path, text): (PathBuf, String)| PolicyFile { name: named(&path), text, own: true };
                files.extend(drafted.into_iter().map(file));
            }
            Draft::Administrator(paths) => {
                let Drafted { policies, off } = read_draft(paths, &mut unusable, &mut notes);
                let policies = policies.into_iter().map(|(path, text)| (named(&path), text)).collect();
                let admin = AdminPolicies::draft(policies, &off);
                unusable.extend(admin.faults.iter().cloned());
                files = policy_files(&admin, &places.policies, &own.texts);
            }
        }
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
        let unusable = &self.unusable;
        match Policy::load_files(&self.files, &self.catalogue, self.actions(more)) {
            Ok(policy) if unusable.is_empty() => Ok(policy),
            Ok(_) => Err(PolicyFaults(unusable.clone())),
            Err(PolicyFaults(faults)) => Err(PolicyFaults([unusable.as_slice(), &faults].concat())),
        }
    }

    /// Those in force, as a daemon loads them.
    pub(crate) fn load_in_force(
        &self,
        more: impl IntoIterator<Item = String>,
    ) -> Result<Policy, PolicyFaults> {
        Policy::load_applied(&self.in_force, &self.catalogue, self.actions(more))
    }

    fn actions(&self, more: impl IntoIterator<Item = String>) -> impl Iterator<Item = String> {
        let wanted = self.agents.iter().flat_map(|agent| agent.manifest.scopes.iter());
        wanted.map(|wanted| wanted.scope.action_name().to_owned()).chain(more)
    }
}

/// What a daemon on this machine knows of it, as members of a scenario's world.
pub(crate) fn machine(config: &Config) -> Map<String, Value> {
    let known = DeviceId::known(&config.paths.state_dir).map(|id| id.to_string()).unwrap_or_default();
    let Device { id, os, os_version, daemon_version, managed, attested, zone } =
        machine_set(&Machine::this(), &known, &config.signals.working_hours).device();
    let device = json!({
        "id": id,
        "os": os,
        "os_version": os_version,
        "daemon_version": daemon_version,
        "managed": managed,
        "attested": attested,
    });
    let zone = json!({ "zone": zone.name() });
    [("device".to_owned(), device), ("snapshot".to_owned(), zone)].into_iter().collect()
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

/// The files of a draft, with their texts.
#[derive(Default)]
struct Drafted {
    policies: Vec<(PathBuf, String)>,
    /// Those that switch off what ships.
    off: Vec<(PathBuf, String)>,
}

/// The files among these and in these directories, as the daemon would find them. What cannot be read is a fault, and so is
/// a policy that is named and that no daemon would read.
fn read_draft(paths: &[PathBuf], faults: &mut Vec<PolicyFault>, notes: &mut Vec<String>) -> Drafted {
    let mut drafted = Drafted::default();
    for path in paths {
        let found = files_in(path, "cedar").and_then(|policies| Ok((policies, files_in(path, "off")?)));
        let (policies, mut off) = match found {
            Ok(found) => found,
            Err(error) => {
                faults.push(unreadable(path, &error));
                continue;
            }
        };
        off.retain(|path| path.ends_with(SWITCHED_OFF));
        if policies.is_empty() && path.is_dir() {
            notes.push(format!("`{}` has no file whose name ends in `.cedar`", shown(path)));
        } else if policies.is_empty() && off.is_empty() {
            let what = "its name does not end in `.cedar`, so that no daemon would read it; rename it";
            faults.push(PolicyFault { file: shown(path), policy: None, place: None, what: what.to_owned() });
        }
        for (files, into) in [(policies, &mut drafted.policies), (off, &mut drafted.off)] {
            for path in files {
                match read_bounded(&path, MAX_POLICY_BYTES) {
                    Ok(text) => into.push((path, text)),
                    Err(error) => faults.push(unreadable(&path, &error)),
                }
            }
        }
    }
    drafted
}

/// The file itself, if it has the extension; of a directory, those whose names end so, in order, without hidden ones.
pub(crate) fn files_in(path: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        let counts = path.file_name().is_some_and(|name| counts(name, extension));
        return Ok(counts.then(|| path.to_owned()).into_iter().collect());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if counts(&entry.file_name(), extension) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// A file's text.
///
/// # Errors
/// It cannot be read, or has more than `limit` bytes.
pub(crate) fn read_bounded(path: &Path, limit: usize) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        let what = format!("it is longer than {limit} bytes, and no more are read");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
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
        let (mut faults, mut notes) = (Vec::new(), Vec::new());
        let drafted =
            read_draft(&[home.path().to_owned(), home.path().join("none")], &mut faults, &mut notes);
        assert_eq!((drafted.policies.len(), drafted.off.len(), faults.len()), (2, 1, 1), "{faults:?}");
        assert_eq!(notes, [""; 0]);
    }

    #[test]
    fn what_is_named_and_would_not_be_read_is_told() {
        let home = tempfile::tempdir().unwrap();
        for name in ["hr.cedr", "shipped.off", ".hidden.cedar"] {
            fs::write(home.path().join(name), "// text").unwrap();
        }
        let told = |name: &str| {
            let (mut faults, mut notes) = (Vec::new(), Vec::new());
            read_draft(&[home.path().join(name)], &mut faults, &mut notes);
            (faults.iter().map(ToString::to_string).collect::<String>(), notes.concat())
        };
        for name in ["hr.cedr", ".hidden.cedar"] {
            let (fault, note) = told(name);
            assert!(fault.contains("does not end in `.cedar`") && note.is_empty(), "{name}: {fault} {note}");
        }
        assert_eq!(told("shipped.off"), (String::new(), String::new()));
        let (fault, note) = told("");
        assert!(
            fault.is_empty() && note.contains("has no file whose name ends in `.cedar`"),
            "{fault} {note}"
        );
    }

    #[test]
    fn a_file_that_is_too_long_is_said_to_be_wherever_it_would_be_cut() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "aä").unwrap();
        assert_eq!(read_bounded(file.path(), 3).unwrap(), "aä");
        for limit in [1, 2] {
            let error = read_bounded(file.path(), limit).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge, "{error}");
        }
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
