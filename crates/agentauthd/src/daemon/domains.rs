//! The domains by which enforcers ask: read from the administrator's directory and from what the person applied, and held
//! ready. A domain at fault takes its enforcers' answers away, and nothing else; `status` says why.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use agentauth_core::domain::{Domain, ENTITIES_FILE, MAX_FILE_BYTES, SCHEMA_FILE, is_domain_name};
use agentauth_core::policy::PolicyFault;
use agentauth_core::text::display_safe_within;
use arc_swap::ArcSwap;

use super::load::files;
use crate::config::trust;

/// The most domains of one directory.
const MAX_DOMAINS: usize = 64;
/// What the directories are called.
pub(crate) const DIRECTORY: &str = "domains";

/// The domains in force.
#[derive(Debug, Default)]
pub(crate) struct Domains {
    administrator: BTreeMap<String, Found>,
    /// Of the administrator's directory as a whole.
    problems: Vec<String>,
    person: ArcSwap<BTreeMap<String, Found>>,
}

/// A domain, or why there is none of that name. Safe to show.
type Found = Result<Arc<Domain>, String>;

/// The files of a directory of domains, by `NAME/FILE`, and what is wrong with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DomainTexts {
    pub(crate) texts: BTreeMap<String, String>,
    pub(crate) faults: Vec<PolicyFault>,
}

impl Domains {
    /// The administrator's, of this directory, and the person's, as they were applied.
    pub(crate) fn new(directory: &Path, administrator: u32, applied: &BTreeMap<String, String>) -> Self {
        let DomainTexts { texts, faults } = DomainTexts::read(directory, administrator);
        let mut loaded = load(&texts);
        let mut problems = Vec::new();
        for fault in faults {
            let place = Path::new(&fault.file).strip_prefix(directory).ok();
            let name =
                place.and_then(|place| place.iter().next()).map(|name| name.to_string_lossy().into_owned());
            match name {
                Some(name) => drop(loaded.insert(name, Err(fault.to_string()))),
                None => problems.push(fault.to_string()),
            }
        }
        Self { administrator: loaded, problems, person: ArcSwap::from_pointee(load(applied)) }
    }

    /// The domain of this name; the administrator's stands above the person's.
    ///
    /// # Errors
    /// Why there is none. Safe to show.
    pub(crate) fn get(&self, name: &str) -> Found {
        // It may have one of this name that cannot be read.
        if let Some(problem) = self.problems.first() {
            return Err(problem.clone());
        }
        let person = self.person.load();
        let found = self.administrator.get(name).or_else(|| person.get(name));
        found.cloned().unwrap_or_else(|| {
            Err(format!("there is no domain `{}`: see docs/authzen.md", display_safe_within(name, 64)))
        })
    }

    /// The person applied these files.
    pub(crate) fn apply(&self, applied: &BTreeMap<String, String>) {
        self.person.store(Arc::new(load(applied)));
    }

    /// What is wrong with them. Safe to show.
    pub(crate) fn problems(&self) -> Vec<String> {
        let person = self.person.load();
        let shadowed = person.keys().filter(|name| self.administrator.contains_key(*name)).map(|name| {
            format!("your domain `{name}` does not count, because this machine's administrator has one of that name")
        });
        let of = |(name, found): (&String, &Found)| {
            let why = found.as_ref().err()?;
            Some(format!("nothing is permitted by the domain `{}`: {why}", display_safe_within(name, 64)))
        };
        let faulty = self.administrator.iter().chain(&**person).filter_map(of);
        self.problems.iter().cloned().chain(faulty).chain(shadowed).collect()
    }

    /// What is in force, for the record: each name with the digest.
    pub(crate) fn names(&self) -> Vec<String> {
        let person = self.person.load();
        let mut named: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, found) in person.iter().chain(&self.administrator) {
            if let Ok(domain) = found {
                named.insert(name, domain.digest());
            }
        }
        named.into_iter().map(|(name, digest)| format!("{DIRECTORY}/{name} {digest}")).collect()
    }
}

impl DomainTexts {
    /// Reads a directory of domains. `owner` is the user whose files count, besides root's. One that is not there has none.
    pub(crate) fn read(directory: &Path, owner: u32) -> Self {
        let mut found = Self::default();
        if let Err((path, why)) = found.add(directory, owner) {
            found.faults.push(fault(&path, &why));
        }
        // A file that does not count could have forbidden something.
        for fault in &found.faults {
            let place = Path::new(&fault.file).strip_prefix(directory).ok();
            let name = place.and_then(|place| place.iter().next()).map(|name| name.to_string_lossy());
            found
                .texts
                .retain(|file, _| name.as_ref().is_some_and(|name| file.split('/').next() != Some(&**name)));
        }
        found
    }

    fn add(&mut self, directory: &Path, owner: u32) -> Result<(), (std::path::PathBuf, String)> {
        let at = |path: &Path, why: String| (path.to_owned(), why);
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(at(directory, error.to_string())),
        };
        trust::judge_own_directory(directory, owner).map_err(|why| {
            at(directory, format!("{why}{}; {}", why.cause(), why.remedy(directory, owner)))
        })?;
        let mut places = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| at(directory, error.to_string()))?;
            if !entry.file_name().as_encoded_bytes().starts_with(b".") && entry.path().is_dir() {
                places.push(entry.path());
            }
        }
        places.sort();
        if places.len() > MAX_DOMAINS {
            let why = format!("there are {} domains: at most {MAX_DOMAINS} are read", places.len());
            return Err(at(directory, why));
        }
        for place in places {
            let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !is_domain_name(&name) {
                let why =
                    "its name is not 1 to 64 lower-case letters, digits, `_` and `-`, with a letter first";
                self.faults.push(fault(&place, why));
                continue;
            }
            for extension in ["cedarschema", "cedar", "json"] {
                match files(&place, extension, MAX_FILE_BYTES, owner) {
                    Ok(read) => read.into_iter().for_each(|(path, text)| self.take(&name, &path, text)),
                    Err(why) => self.faults.push(fault(&place, &why)),
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, name: &str, path: &Path, text: Result<String, String>) {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        if file != SCHEMA_FILE && file != ENTITIES_FILE && !file.ends_with(".cedar") {
            return;
        }
        match text {
            Ok(text) => drop(self.texts.insert(format!("{name}/{file}"), text)),
            Err(why) => self.faults.push(fault(path, &why)),
        }
    }
}

/// Every fault of these domains, for whoever is about to apply them.
pub(crate) fn faults(texts: &BTreeMap<String, String>) -> Vec<String> {
    let faulty = load(texts).into_iter().filter_map(|(name, found)| found.err().map(|why| (name, why)));
    faulty.map(|(name, why)| format!("the domain `{}`: {why}", display_safe_within(&name, 64))).collect()
}

fn load(texts: &BTreeMap<String, String>) -> BTreeMap<String, Found> {
    let mut domains: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for (place, text) in texts {
        let (name, file) = place.split_once('/').unwrap_or((place, ""));
        domains.entry(name).or_default().insert(file.to_owned(), text.clone());
    }
    let loaded = domains.into_iter().map(|(name, files)| {
        (name.to_owned(), Domain::load(name, &files).map(Arc::new).map_err(|faults| faults.to_string()))
    });
    loaded.collect()
}

fn fault(path: &Path, why: &str) -> PolicyFault {
    let file = display_safe_within(&path.display().to_string(), 200);
    PolicyFault {
        file,
        policy: None,
        place: None,
        what: format!("nothing of the domain is used, because {why}"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const SCHEMA: &str =
        "entity User; entity Thing; action \"see\" appliesTo { principal: [User], resource: [Thing] };";
    const POLICY: &str = "@id(\"all\") permit(principal, action, resource);";

    fn me() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn write(directory: &Path, domain: &str, file: &str, text: &str) {
        fs::create_dir_all(directory.join(domain)).unwrap();
        fs::write(directory.join(domain).join(file), text).unwrap();
        for place in [directory.to_owned(), directory.join(domain), directory.join(domain).join(file)] {
            fs::set_permissions(place, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    #[test]
    fn a_domain_is_its_files_and_a_faulty_one_is_none() {
        let home = tempfile::tempdir().unwrap();
        let places = home.path().join("domains");
        for domain in ["good", "bad"] {
            write(&places, domain, SCHEMA_FILE, SCHEMA);
            write(&places, domain, "p.cedar", POLICY);
            write(&places, domain, "README.md", "words");
        }
        write(&places, "bad", "p.cedar", "permit(principal, action, resource);");
        write(&places, "Worse", "p.cedar", POLICY);
        let domains = Domains::new(&places, me(), &BTreeMap::new());
        assert_eq!(domains.get("good").unwrap().len(), 1);
        assert!(domains.get("bad").unwrap_err().contains("no @id"));
        assert!(domains.get("none").unwrap_err().contains("there is no domain"));
        let problems = domains.problems();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("`Worse`") && problems[1].contains("`bad`"), "{problems:?}");
        assert_eq!(domains.names().len(), 1);
    }

    #[test]
    fn a_file_that_others_can_write_takes_its_domain_away() {
        let home = tempfile::tempdir().unwrap();
        let places = home.path().join("domains");
        write(&places, "todo", SCHEMA_FILE, SCHEMA);
        write(&places, "todo", "p.cedar", POLICY);
        assert!(Domains::new(&places, me(), &BTreeMap::new()).get("todo").is_ok());
        let more = places.join("todo/more.cedar");
        fs::write(&more, "@id(\"no\") forbid(principal, action, resource);").unwrap();
        fs::set_permissions(&more, fs::Permissions::from_mode(0o666)).unwrap();
        let refused = Domains::new(&places, me(), &BTreeMap::new()).get("todo").unwrap_err();
        assert!(refused.contains("written by others"), "{refused}");
    }

    #[test]
    fn the_administrators_stands_above_the_persons() {
        let home = tempfile::tempdir().unwrap();
        let places = home.path().join("domains");
        write(&places, "todo", SCHEMA_FILE, SCHEMA);
        write(&places, "todo", "p.cedar", "permit(principal, action, resource);");
        let mine = |name: &str| {
            [
                (format!("{name}/{SCHEMA_FILE}"), SCHEMA.to_owned()),
                (format!("{name}/p.cedar"), POLICY.to_owned()),
            ]
        };
        let applied: BTreeMap<_, _> = mine("todo").into_iter().chain(mine("own")).collect();
        let domains = Domains::new(&places, me(), &applied);
        assert!(domains.get("todo").is_err(), "a faulty one does not make way");
        assert!(domains.get("own").is_ok());
        assert!(
            domains.problems().iter().any(|problem| problem.contains("your domain `todo` does not count"))
        );
        fs::set_permissions(&places, fs::Permissions::from_mode(0o777)).unwrap();
        let unread = Domains::new(&places, me(), &applied);
        assert!(unread.get("own").is_err(), "a directory at fault may have one of any name");
        domains.apply(&BTreeMap::new());
        assert!(domains.get("own").is_err());
        assert_eq!(faults(&applied), [""; 0]);
        assert_eq!(faults(&[("x/p.cedar".to_owned(), POLICY.to_owned())].into()).len(), 1);
    }
}
