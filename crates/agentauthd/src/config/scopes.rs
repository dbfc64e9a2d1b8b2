//! The catalogue of scopes in force: the shipped one, an organisation's above it, the user's own below both.

use std::path::Path;

use agentauth_core::Catalogue;
use agentauth_core::catalogue::CatalogueFault;
use agentauth_core::text::display_safe_within;

use super::Config;
use super::load::Administrator;
use super::trust::{self, Untrusted};

/// The name of a catalogue's file, beside a `config.toml`.
const FILE: &str = "scopes.toml";
/// At most this many bytes of it are read.
const SIZE_LIMIT: usize = 1024 * 1024;
/// At most this many characters of a path are shown.
const SHOWN: usize = 200;

/// Everything that is wrong with the catalogues, each fault with its file; never empty. Safe to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the catalogue of scopes cannot be used: {}", .0.join("; "))]
pub struct ScopesFaults(pub Vec<String>);

/// The catalogue in force. `owner` is the user whose file counts.
///
/// # Errors
/// Every fault of every file at once. A file that cannot be used could have raised a risk, so that without it nothing is
/// decided.
pub(crate) fn catalogue(config: &Config, owner: u32) -> Result<Catalogue, ScopesFaults> {
    catalogue_with(&config.paths.config_dir, owner, Administrator::OF_THIS_MACHINE)
}

/// [`catalogue`] under another administrator, for tests.
pub(super) fn catalogue_with(
    config_dir: &Path,
    owner: u32,
    administrator: Administrator<'_>,
) -> Result<Catalogue, ScopesFaults> {
    let mut faults = Vec::new();
    let mut fault = |path: &Path, what: &str| {
        faults.push(format!("`{}`: {what}", display_safe_within(&path.display().to_string(), SHOWN)));
    };
    let mut read = |path: &Path, text: Result<Option<String>, Untrusted>, owner: u32| match text {
        Ok(text) => match text.as_deref().map(Catalogue::parse).transpose() {
            Ok(catalogue) => catalogue,
            Err(CatalogueFault(found)) => {
                found.iter().for_each(|what| fault(path, what));
                None
            }
        },
        Err(untrusted) => {
            let (cause, remedy) = (untrusted.cause(), untrusted.remedy(path, owner));
            fault(path, &format!("the file is not used, because {untrusted}{cause}; {remedy}"));
            None
        }
    };
    let directory = Path::new(administrator.directory);
    let (above, below) = (directory.join(FILE), config_dir.join(FILE));
    let upper = read(&above, trust::read_admin_file(&above, directory, administrator.uid), administrator.uid);
    let own = read(&below, trust::read_own_file(&below, owner, SIZE_LIMIT), owner);
    let shipped = Catalogue::shipped().map_err(|CatalogueFault(found)| {
        ScopesFaults(
            found.into_iter().map(|what| format!("the one that ships, please report this: {what}")).collect(),
        )
    })?;
    let mut catalogue = shipped.overlaid(upper.unwrap_or_default());
    if let Some(own) = own {
        match catalogue.extended(own) {
            Ok(extended) => catalogue = extended,
            Err(CatalogueFault(found)) => {
                found.iter().for_each(|what| fault(&below, what));
                return Err(ScopesFaults(faults));
            }
        }
    }
    if faults.is_empty() { Ok(catalogue) } else { Err(ScopesFaults(faults)) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use agentauth_core::RiskClass;
    use tempfile::TempDir;

    use super::*;

    struct Machine {
        home: TempDir,
        uid: u32,
    }

    impl Machine {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            let uid = fs::metadata(home.path()).unwrap().uid();
            for directory in ["etc", "user"] {
                fs::create_dir(home.path().join(directory)).unwrap();
                fs::set_permissions(home.path().join(directory), fs::Permissions::from_mode(0o755)).unwrap();
            }
            Self { home, uid }
        }

        fn write(&self, name: &str, text: &str, mode: u32) {
            let path = self.home.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }

        fn load(&self) -> Result<Catalogue, Vec<String>> {
            let directory = self.home.path().join("etc").display().to_string();
            let administrator = Administrator { directory: &directory, uid: self.uid };
            catalogue_with(&self.home.path().join("user"), self.uid, administrator).map_err(|faults| faults.0)
        }
    }

    fn entry(action: &str, says: &str, risk: &str, strength: &str) -> String {
        format!(
            "[resources.files.actions.{action}]\nsays = \"{says}\"\nrisk = \"{risk}\"\npath = true\nlifetime = \"once\"\n\
             strength = \"{strength}\"\n"
        )
    }

    #[test]
    fn what_is_not_there_adds_nothing() {
        let found = Machine::new().load().unwrap();
        assert_eq!(found.actions().count(), Catalogue::shipped().unwrap().actions().count());
    }

    #[test]
    fn the_organisation_stands_above_and_the_user_below() {
        let machine = Machine::new();
        machine.write("etc/scopes.toml", &entry("write", "write to the archive", "execute", "reauth"), 0o644);
        machine.write("user/scopes.toml", &entry("index", "index files", "read", "prompt"), 0o600);
        let found = machine.load().unwrap();
        assert_eq!(found.risk_of("files.write"), RiskClass::Execute);
        assert_eq!(found.risk_of("files.index"), RiskClass::Read);
        // The user may not take back what the organisation said.
        machine.write(
            "user/scopes.toml",
            &entry("write", "create and change files", "write", "prompt"),
            0o600,
        );
        let faults = machine.load().unwrap_err();
        assert_eq!(faults.len(), 3, "{faults:#?}");
        assert!(faults.iter().all(|fault| fault.contains("user/scopes.toml")), "{faults:#?}");
    }

    #[test]
    fn faults_of_both_files_are_told_at_once() {
        let machine = Machine::new();
        machine.write("etc/scopes.toml", "colour = 1\nshape = 2\n", 0o644);
        machine.write("user/scopes.toml", &entry("index", "", "awful", "prompt"), 0o600);
        let faults = machine.load().unwrap_err();
        assert_eq!(faults.len(), 4, "{faults:#?}");
        assert_eq!(faults.iter().filter(|fault| fault.contains("etc/scopes.toml")).count(), 2, "{faults:#?}");
    }

    #[test]
    fn a_file_that_others_could_have_written_is_no_catalogue() {
        for (name, mode) in [("etc/scopes.toml", 0o666), ("user/scopes.toml", 0o606)] {
            let machine = Machine::new();
            machine.write(name, &entry("index", "index files", "read", "prompt"), mode);
            let faults = machine.load().unwrap_err();
            assert!(faults.len() == 1 && faults[0].contains("can be written by others"), "{faults:#?}");
        }
    }
}
