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
pub(crate) const SIZE_LIMIT: usize = 1024 * 1024;
/// At most this many characters of a path are shown.
const SHOWN: usize = 200;

/// Everything that is wrong with the catalogues, each fault with its file; never empty. Safe to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the catalogue of scopes cannot be used: {}", .0.join("; "))]
pub struct ScopesFaults(pub Vec<String>);

/// The text of the person's own catalogue, if there is one. `owner` is the user whose file counts.
///
/// # Errors
/// Why the file cannot be used, and what to do. Safe to show.
pub(crate) fn own_text(config: &Config, owner: u32) -> Result<Option<String>, String> {
    let path = config.paths.config_dir.join(FILE);
    trust::read_own_file(&path, owner, SIZE_LIMIT).map_err(|untrusted| unusable(&path, &untrusted, owner))
}

/// The catalogue in force with this text as the person's own.
///
/// # Errors
/// Every fault of every catalogue at once. One that cannot be used could have raised a risk, so that without it nothing
/// is decided.
pub(crate) fn catalogue(config: &Config, own: Option<&str>) -> Result<Catalogue, ScopesFaults> {
    catalogue_with(&config.paths.config_dir, own, Administrator::OF_THIS_MACHINE)
}

/// [`catalogue`] under another administrator, for tests.
pub(super) fn catalogue_with(
    config_dir: &Path,
    own: Option<&str>,
    administrator: Administrator<'_>,
) -> Result<Catalogue, ScopesFaults> {
    let directory = Path::new(administrator.directory);
    let (above, below) = (directory.join(FILE), config_dir.join(FILE));
    let mut faults = Vec::new();
    let mut parse = |path: &Path, text: Option<&str>| match text.map(Catalogue::parse).transpose() {
        Ok(catalogue) => catalogue,
        Err(CatalogueFault(found)) => {
            faults.extend(found.iter().map(|what| fault(path, what)));
            None
        }
    };
    let own = parse(&below, own);
    let upper = match trust::read_admin_file(&above, directory, administrator.uid) {
        Ok(text) => parse(&above, text.as_deref()),
        Err(untrusted) => {
            faults.push(unusable(&above, &untrusted, administrator.uid));
            None
        }
    };
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
                faults.extend(found.iter().map(|what| fault(&below, what)));
                return Err(ScopesFaults(faults));
            }
        }
    }
    if faults.is_empty() { Ok(catalogue) } else { Err(ScopesFaults(faults)) }
}

fn fault(path: &Path, what: &str) -> String {
    format!("`{}`: {what}", display_safe_within(&path.display().to_string(), SHOWN))
}

fn unusable(path: &Path, untrusted: &Untrusted, owner: u32) -> String {
    let (cause, remedy) = (untrusted.cause(), untrusted.remedy(path, owner));
    fault(path, &format!("the file is not used, because {untrusted}{cause}; {remedy}"))
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
            let user = self.home.path().join("user");
            let own = trust::read_own_file(&user.join(FILE), self.uid, SIZE_LIMIT)
                .map_err(|untrusted| vec![unusable(&user.join(FILE), &untrusted, self.uid)])?;
            catalogue_with(&user, own.as_deref(), administrator).map_err(|faults| faults.0)
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
