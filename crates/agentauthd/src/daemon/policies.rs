//! Where policies come from: those that ship, the administrator's, the person's.
//!
//! The administrator's directory belongs to root. Its files are in force for every user of the machine and stand beside the
//! others: Cedar lets any `forbid` win. It alone can switch off policies that ship.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use agentauth_core::policy::{MAX_POLICY_BYTES, Policy, PolicyFault, PolicyFile};

use super::load::{files, shown};

/// How the file is called in which the administrator names the files that ship and are not wanted.
pub(crate) const SWITCHED_OFF: &str = "shipped.off";
/// How the names of policies that ship begin in `status` and in faults.
pub(super) const SHIPPED: &str = "shipped/";

/// The administrator's policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AdminPolicies {
    /// The text of each file, by its path.
    texts: Vec<(String, String)>,
    /// The files that ship and are switched off.
    off: BTreeSet<String>,
    /// What cannot be used.
    pub(crate) faults: Vec<PolicyFault>,
}

/// What a directory looks like from outside: another one, and something in it may have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look(Vec<(PathBuf, [i64; 5])>);

impl AdminPolicies {
    /// Those in a directory; none where there is none. `owner` is whose files count (root, outside tests). Blocking.
    pub(crate) fn read(directory: &Path, owner: u32) -> Self {
        let mut admin = Self::default();
        match files(directory, "cedar", MAX_POLICY_BYTES, owner) {
            Ok(found) => {
                for (path, text) in found {
                    match text {
                        Ok(text) => admin.texts.push((path.display().to_string(), text)),
                        Err(why) => admin.faults.push(unused(&path, &why)),
                    }
                }
            }
            Err(why) => admin.faults.push(unused(directory, &why)),
        }
        // What is wrong with the directory is said already.
        let found = files(directory, "off", MAX_POLICY_BYTES, owner).unwrap_or_default();
        for (path, text) in found.into_iter().filter(|(path, _)| path.ends_with(SWITCHED_OFF)) {
            match text {
                Ok(text) => admin.switch_off(&path, &text),
                Err(why) => admin.faults.push(unused(&path, &why)),
            }
        }
        admin
    }

    /// What an administrator would have who put these files in place, whoever wrote them.
    pub(super) fn draft(texts: Vec<(String, String)>, off: &[(PathBuf, String)]) -> Self {
        let mut admin = Self { texts, ..Self::default() };
        off.iter().for_each(|(path, text)| admin.switch_off(path, text));
        admin
    }

    fn switch_off(&mut self, path: &Path, text: &str) {
        for (number, line) in text.lines().enumerate() {
            let name = line.split('#').next().unwrap_or_default().trim();
            if name.is_empty() {
                continue;
            }
            if Policy::shipped().iter().any(|(shipped, _)| *shipped == name) {
                self.off.insert(name.to_owned());
            } else {
                let what = format!(
                    "line {}: no policy file of the name `{}` ships",
                    number + 1,
                    agentauth_core::text::display_safe_within(name, 80)
                );
                self.faults.push(PolicyFault { file: shown(path), policy: None, place: None, what });
            }
        }
    }
}

impl Look {
    /// Looks at the files in `directory`. Blocking, and short: nothing is opened.
    pub(crate) fn at(directory: &Path) -> Self {
        let seen = |path: PathBuf| {
            let metadata = fs::metadata(&path).ok()?;
            let stamps = [
                metadata.mtime(),
                metadata.mtime_nsec(),
                metadata.ctime(),
                metadata.ctime_nsec(),
                metadata.ino().cast_signed(),
            ];
            Some((path, stamps))
        };
        let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut looks: Vec<_> =
            std::iter::once(directory.to_owned()).chain(entries).filter_map(seen).collect();
        looks.sort();
        Self(looks)
    }
}

/// All policies: those that ship and are not switched off, the administrator's, and a person's of this directory.
pub(crate) fn policy_files(
    admin: &AdminPolicies,
    directory: &Path,
    own: &BTreeMap<String, String>,
) -> Vec<PolicyFile> {
    let file = |name: String, text: &str, own| PolicyFile { name, text: text.to_owned(), own };
    let shipped = Policy::shipped().iter().filter(|(name, _)| !admin.off.contains(*name));
    let shipped = shipped.map(|(name, text)| file(format!("{SHIPPED}{name}"), text, false));
    let admin = admin.texts.iter().map(|(name, text)| file(name.clone(), text, false));
    let own = own.iter().map(|(name, text)| file(directory.join(name).display().to_string(), text, true));
    shipped.chain(admin).chain(own).collect()
}

fn unused(path: &Path, why: &str) -> PolicyFault {
    let what = format!("nothing of it is used, because {why}");
    PolicyFault { file: shown(path), policy: None, place: None, what }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    struct Etc {
        home: tempfile::TempDir,
        owner: u32,
    }

    impl Etc {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            let owner = fs::metadata(home.path()).unwrap().uid();
            Self { home, owner }
        }

        fn write(&self, name: &str, text: &str, mode: u32) {
            let path = self.home.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }

        fn read(&self) -> AdminPolicies {
            AdminPolicies::read(self.home.path(), self.owner)
        }

        fn names(&self) -> Vec<String> {
            let files = policy_files(&self.read(), Path::new("/home/.config"), &BTreeMap::new());
            files.into_iter().map(|file| file.name).collect()
        }
    }

    #[test]
    fn the_administrators_stand_between_those_that_ship_and_the_persons() {
        let etc = Etc::new();
        assert_eq!(etc.names().len(), Policy::shipped().len());
        etc.write("b.cedar", "// b", 0o644);
        etc.write("a.cedar", "// a", 0o644);
        etc.write("notes.txt", "permit", 0o644);
        let own = BTreeMap::from([("mine.cedar".to_owned(), "// mine".to_owned())]);
        let files = policy_files(&etc.read(), Path::new("/home"), &own);
        let names: Vec<_> = files.iter().map(|file| file.name.rsplit('/').next().unwrap()).collect();
        assert_eq!(names[Policy::shipped().len()..], ["a.cedar", "b.cedar", "mine.cedar"]);
        assert!(files[0].name.starts_with("shipped/"));
        assert!(files.iter().all(|file| file.own == file.name.ends_with("mine.cedar")));
    }

    #[test]
    fn the_administrator_alone_switches_off_what_ships() {
        let etc = Etc::new();
        etc.write(SWITCHED_OFF, "# not here\nsignals.cedar\n  payments.cedar # roles are elsewhere\n", 0o644);
        let names = etc.names();
        assert_eq!(names.len(), Policy::shipped().len() - 2);
        assert!(!names.iter().any(|name| name.ends_with("signals.cedar")));
        etc.write(SWITCHED_OFF, "signals.cedar\nunknown.cedar\n", 0o644);
        let faults = etc.read().faults;
        assert!(
            faults.len() == 1
                && faults[0].what.contains("line 2")
                && faults[0].what.contains("`unknown.cedar`")
        );
        etc.write(SWITCHED_OFF, "signals.cedar\n", 0o666);
        let faults = etc.read().faults;
        assert!(faults.len() == 1 && faults[0].what.contains("can be written by others"), "{faults:?}");
    }

    #[test]
    fn what_others_could_have_written_is_a_fault_and_not_left_out() {
        let etc = Etc::new();
        etc.write("a.cedar", "// a", 0o666);
        assert_eq!(etc.read().faults.len(), 1);
        let other = AdminPolicies::read(etc.home.path(), etc.owner.wrapping_add(1));
        assert!(etc.owner == 0 || !other.faults.is_empty());
        assert_eq!(AdminPolicies::read(&etc.home.path().join("none"), 0), AdminPolicies::default());
    }

    #[test]
    fn a_look_tells_when_something_changed() {
        let etc = Etc::new();
        let look = || Look::at(etc.home.path());
        let before = look();
        assert_eq!(before, look());
        etc.write("a.cedar", "// a", 0o644);
        let with = look();
        assert_ne!(before, with);
        etc.write("new", "// other", 0o644);
        fs::rename(etc.home.path().join("new"), etc.home.path().join("a.cedar")).unwrap();
        assert_ne!(with, look());
        assert_eq!(Look::at(&etc.home.path().join("none")), Look::default());
    }
}
