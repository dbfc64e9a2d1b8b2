//! Setting keys in the user's configuration file without touching what else stands in it.

use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table, Value};

/// A configuration file being edited.
pub(super) struct Edited {
    /// What is written: the file itself, where the name given is a symbolic link.
    path: PathBuf,
    document: DocumentMut,
    changed: bool,
}

/// Why a configuration file could not be edited.
#[derive(Debug, thiserror::Error)]
pub(super) enum EditError {
    #[error("could not read `{}`; make it readable", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("could not edit `{}`, because it is not TOML; correct it by hand, or move it away", path.display())]
    Parse {
        path: PathBuf,
        #[source]
        source: toml_edit::TomlError,
    },
    #[error("could not set `{key}`, because `{section}` in the file is no table; correct it by hand")]
    NotATable { key: &'static str, section: &'static str },
    #[error("could not write `{}`; look at its directory's permissions and free space", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Edited {
    /// Opens the file, or begins an empty one.
    pub(super) fn open(path: &Path) -> Result<Self, EditError> {
        // Through a symbolic link the file itself is replaced, not the link.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(EditError::Read { path, source }),
        };
        match text.parse() {
            Ok(document) => Ok(Self { path, document, changed: false }),
            Err(source) => Err(EditError::Parse { path, source }),
        }
    }

    /// The text that a key is set to, if it is.
    pub(super) fn text(&self, section: &str, key: &str) -> Option<&str> {
        self.document.get(section)?.get(key)?.as_str()
    }

    /// Sets a key to a text.
    pub(super) fn set(
        &mut self,
        section: &'static str,
        key: &'static str,
        text: &str,
    ) -> Result<(), EditError> {
        if self.text(section, key) == Some(text) {
            return Ok(());
        }
        self.put(section, key, text.into())
    }

    /// Sets a key to a list of numbers.
    pub(super) fn set_numbers(
        &mut self,
        section: &'static str,
        key: &'static str,
        numbers: &[u16],
    ) -> Result<(), EditError> {
        self.put(section, key, Value::Array(numbers.iter().map(|number| i64::from(*number)).collect()))
    }

    fn put(&mut self, section: &'static str, key: &'static str, new: Value) -> Result<(), EditError> {
        let table = self.document.entry(section).or_insert_with(|| Item::Table(Table::new()));
        let table = table.as_table_like_mut().ok_or(EditError::NotATable { key, section })?;
        match table.get_mut(key).and_then(Item::as_value_mut) {
            // What stands beside the old value, a comment for example, stays beside the new one.
            Some(old) => {
                let decor = old.decor().clone();
                *old = new;
                *old.decor_mut() = decor;
            }
            None => {
                table.insert(key, Item::Value(new));
            }
        }
        self.changed = true;
        Ok(())
    }

    /// Whether anything differs from the file.
    pub(super) fn changed(&self) -> bool {
        self.changed
    }

    /// Writes the file whole (mode 0600), or not at all.
    pub(super) fn save(&self) -> Result<&Path, EditError> {
        self.replace()
            .map(|()| self.path.as_path())
            .map_err(|source| EditError::Write { path: self.path.clone(), source })
    }

    fn replace(&self) -> io::Result<()> {
        let directory = self.path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        // Made with mode 0600.
        let mut file = tempfile::Builder::new().prefix(".config.toml.").tempfile_in(directory)?;
        file.write_all(self.document.to_string().as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        std::fs::File::open(directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn what_else_stands_in_the_file_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        std::fs::write(
            &path,
            "# mine\n[log]\nfilter = \"debug\" # loud\n\n[provider]\nproject_id = \"old\" # work\n",
        )
        .unwrap();
        let mut edited = Edited::open(&path).unwrap();
        assert_eq!(edited.text("provider", "project_id"), Some("old"));
        edited.set("provider", "project_id", "new").unwrap();
        edited.set("provider", "base_url", "https://x").unwrap();
        edited.save().unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "# mine\n[log]\nfilter = \"debug\" # loud\n\n[provider]\nproject_id = \"new\" # work\nbase_url = \"https://x\"\n"
        );
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no leftovers");
    }

    #[test]
    fn a_new_file_gets_a_private_directory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/config.toml");
        let mut edited = Edited::open(&path).unwrap();
        edited.set("provider", "project_id", "x\"y").unwrap();
        edited.set_numbers("login", "ports", &[5000, 5001]).unwrap();
        assert!(edited.changed());
        edited.save().unwrap();
        let table: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        assert_eq!(table["provider"]["project_id"].as_str(), Some("x\"y"));
        assert_eq!(table["login"]["ports"].as_array().unwrap().len(), 2);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_symbolic_link_stays_one() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real.toml"), directory.path().join("config.toml"));
        std::fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut edited = Edited::open(&link).unwrap();
        edited.set("provider", "project_id", "x").unwrap();
        edited.save().unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(std::fs::read_to_string(&real).unwrap().contains("project_id"));
    }

    #[test]
    fn a_file_that_is_not_toml_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        std::fs::write(&path, "provider = \n").unwrap();
        assert!(matches!(Edited::open(&path), Err(EditError::Parse { .. })));
        std::fs::write(&path, "provider = 3\n").unwrap();
        let mut edited = Edited::open(&path).unwrap();
        assert!(matches!(edited.set("provider", "project_id", "x"), Err(EditError::NotATable { .. })));
    }
}
