//! A machine for tests: a home directory, an environment, and an administrator.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::fault::ConfigFaults;
use super::load::{Administrator, Flags, Loaded, load_with};
use crate::environment::Environment;

/// A machine with a home directory and an administrator, who is whoever runs the test.
pub(super) struct Machine {
    pub(super) root: TempDir,
    pub(super) variables: Vec<(String, String)>,
    pub(super) flags: Flags,
}

impl Machine {
    pub(super) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("home/.config/agentauthd")).unwrap();
        for directory in ["etc", "etc/profiles"] {
            std::fs::create_dir_all(root.path().join(directory)).unwrap();
            std::fs::set_permissions(root.path().join(directory), std::fs::Permissions::from_mode(0o755))
                .unwrap();
        }
        let home = root.path().join("home").display().to_string();
        Self { root, variables: vec![("HOME".to_owned(), home)], flags: Flags::default() }
    }

    pub(super) fn user_file(&self) -> PathBuf {
        self.root.path().join("home/.config/agentauthd/config.toml")
    }

    pub(super) fn admin_file(&self) -> PathBuf {
        self.root.path().join("etc/config.toml")
    }

    pub(super) fn user(self, text: &str) -> Self {
        write(&self.user_file(), text);
        self
    }

    pub(super) fn admin(self, text: &str) -> Self {
        write(&self.admin_file(), text);
        self
    }

    pub(super) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn flag(mut self, key: &str, text: &str) -> Self {
        self.flags = self.flags.with("--set", key, Some(text.to_owned()));
        self
    }

    /// Writes the user's file of a named profile.
    pub(super) fn profile(self, name: &str, text: &str) -> Self {
        write(&self.root.path().join(format!("home/.config/agentauthd/profiles/{name}.toml")), text);
        self
    }

    /// Writes the administrator's file of a profile.
    pub(super) fn admin_of(self, name: &str, text: &str) -> Self {
        write(&self.root.path().join(format!("etc/profiles/{name}.toml")), text);
        self
    }

    /// The same machine, asked for another profile.
    pub(super) fn with_profile(&self, name: &str) -> Result<Loaded, ConfigFaults> {
        let flags = self.flags.clone().with("--profile", "profile", Some(name.to_owned()));
        self.administered(|administrator| load_with(&self.environment(), &flags, administrator))
    }

    pub(super) fn environment(&self) -> Environment {
        Environment::new(self.uid(), self.variables.clone())
    }

    /// Does something under this machine's administrator, who is whoever runs the test.
    pub(super) fn administered<T>(&self, work: impl FnOnce(Administrator<'_>) -> T) -> T {
        let directory = self.root.path().join("etc").display().to_string();
        work(Administrator { directory: &directory, uid: self.uid() })
    }

    fn uid(&self) -> u32 {
        std::fs::metadata(self.root.path()).unwrap().uid()
    }

    pub(super) fn load(&self) -> Result<Loaded, ConfigFaults> {
        self.administered(|administrator| load_with(&self.environment(), &self.flags, administrator))
    }

    /// The faults, with the machine's paths shortened.
    pub(super) fn faults(&self) -> Vec<String> {
        let root = self.root.path().display().to_string();
        self.load().unwrap_err().0.iter().map(|fault| fault.to_string().replace(&root, "")).collect()
    }
}

pub(super) fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
