//! The directory that holds the socket: private to its owner, or refused.

use std::{
    fs::{DirBuilder, Metadata},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

/// Makes the directory (mode 0700, with its missing parents) unless it exists, then holds it to [`verify`] and its
/// parents to [`verify_parents`]. A directory that was there before is never changed.
///
/// # Errors
/// See [`DirectoryError`].
pub fn prepare(directory: &Path, owner_uid: u32) -> Result<(), DirectoryError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    match made {
        Ok(()) => {}
        // Whatever stands there is judged below, with a better word than "exists".
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(DirectoryError::Create { path: directory.to_owned(), source }),
    }
    verify(directory, owner_uid)?;
    verify_parents(directory, owner_uid)
}

/// Checks that the directory is one (no symbolic link), belongs to `owner_uid` and is closed to everybody else.
///
/// # Errors
/// See [`DirectoryError`].
pub fn verify(directory: &Path, owner_uid: u32) -> Result<(), DirectoryError> {
    let path = || directory.to_owned();
    let metadata = std::fs::symlink_metadata(directory).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => DirectoryError::Missing { path: path() },
        _ => DirectoryError::Inspect { path: path(), source },
    })?;
    if metadata.is_symlink() {
        return Err(DirectoryError::Symlink { path: path() });
    }
    if !metadata.is_dir() {
        return Err(DirectoryError::NotADirectory { path: path() });
    }
    if metadata.uid() != owner_uid {
        return Err(DirectoryError::ForeignOwner {
            path: path(),
            owner: metadata.uid(),
            expected: owner_uid,
        });
    }
    if metadata.mode() & 0o777 != 0o700 {
        return Err(DirectoryError::Mode { path: path(), mode: metadata.mode() & 0o7777 });
    }
    Ok(())
}

/// Checks that nobody but root and the owner could rename the directory away: each parent belongs to one of them, and
/// others may not write there (unless it is sticky, as `/tmp` is).
///
/// # Errors
/// [`DirectoryError::Parent`] or [`DirectoryError::Inspect`].
pub fn verify_parents(directory: &Path, owner_uid: u32) -> Result<(), DirectoryError> {
    let inspect = |source| DirectoryError::Inspect { path: directory.to_owned(), source };
    let real = directory.canonicalize().map_err(inspect)?;
    for parent in real.ancestors().skip(1) {
        let metadata = std::fs::symlink_metadata(parent).map_err(inspect)?;
        let sticky = metadata.mode() & 0o1000 != 0;
        if !is_trusted(metadata.uid(), owner_uid) || (others_may_write(&metadata) && !sticky) {
            return Err(DirectoryError::Parent { path: parent.to_owned(), directory: directory.to_owned() });
        }
    }
    Ok(())
}

/// Whether somebody besides the file's owner (and root) may write to it. A group that bears the owner's own number is
/// taken for the owner's private group, as distributions with umask 002 make them.
pub(crate) fn others_may_write(metadata: &Metadata) -> bool {
    mode_lets_others_write(metadata.mode(), metadata.uid(), metadata.gid())
}

/// [`others_may_write`] on the bare numbers of a `stat`.
pub(crate) fn mode_lets_others_write(mode: u32, uid: u32, gid: u32) -> bool {
    let foreign_group = gid != 0 && gid != uid;
    mode & 0o002 != 0 || (mode & 0o020 != 0 && foreign_group)
}

/// Whether a file of this user may be trusted by `owner_uid`: it is theirs, or root's.
pub(crate) fn is_trusted(uid: u32, owner_uid: u32) -> bool {
    uid == 0 || uid == owner_uid
}

/// Why a directory cannot hold the socket.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It could not be made.
    #[error("cannot create the socket directory `{path}`")]
    Create {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is not there.
    #[error("the socket directory `{path}` does not exist")]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// It could not be looked at.
    #[error("cannot inspect the socket directory `{path}`")]
    Inspect {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A symbolic link stands in its place.
    #[error(
        "the socket directory `{path}` is a symbolic link; remove it, and make sure that you know who put it there"
    )]
    Symlink {
        /// The directory.
        path: PathBuf,
    },
    /// Something else stands in its place.
    #[error("`{path}` is not a directory, and the socket needs one there; remove it")]
    NotADirectory {
        /// The directory.
        path: PathBuf,
    },
    /// It belongs to somebody else.
    #[error(
        "the socket directory `{path}` belongs to uid {owner} instead of {expected}; remove it or choose another place"
    )]
    ForeignOwner {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose it should be.
        expected: u32,
    },
    /// Others may enter it, or its owner may not.
    #[error(
        "the socket directory `{path}` has mode {mode:04o} and needs 0700; run `chmod 700` on it after making sure that nobody put files there"
    )]
    Mode {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A directory above it can be written by others.
    #[error(
        "`{path}`, above the socket directory `{directory}`, belongs to or can be written by another user; choose another place"
    )]
    Parent {
        /// The directory at fault.
        path: PathBuf,
        /// The socket directory.
        directory: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn me() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn a_missing_directory_is_made_private_with_its_parents() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("a/b/agentauthd");
        prepare(&directory, me()).unwrap();
        for path in [&directory, &root.path().join("a"), &root.path().join("a/b")] {
            assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o700);
        }
        prepare(&directory, me()).unwrap();
    }

    #[test]
    fn what_others_could_reach_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("agentauthd");
        std::fs::create_dir(&directory).unwrap();
        for mode in [0o755, 0o770, 0o701, 0o500] {
            std::fs::set_permissions(&directory, PermissionsExt::from_mode(mode)).unwrap();
            let error = prepare(&directory, me()).unwrap_err();
            assert!(matches!(error, DirectoryError::Mode { mode: found, .. } if found == mode), "{error}");
        }
        std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o700)).unwrap();
        let error = verify(&directory, me() + 1).unwrap_err();
        assert!(matches!(error, DirectoryError::ForeignOwner { .. }), "{error}");

        let link = root.path().join("link");
        std::os::unix::fs::symlink(&directory, &link).unwrap();
        assert!(matches!(prepare(&link, me()), Err(DirectoryError::Symlink { .. })));
        let file = root.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(prepare(&file, me()), Err(DirectoryError::NotADirectory { .. })));
        assert!(matches!(verify(&root.path().join("none"), me()), Err(DirectoryError::Missing { .. })));
    }

    #[test]
    fn a_parent_that_others_may_write_is_refused_unless_sticky() {
        let root = tempfile::tempdir().unwrap();
        let parent = root.path().join("shared");
        let directory = parent.join("agentauthd");
        prepare(&directory, me()).unwrap();
        std::fs::set_permissions(&parent, PermissionsExt::from_mode(0o777)).unwrap();
        assert!(matches!(prepare(&directory, me()), Err(DirectoryError::Parent { .. })));
        std::fs::set_permissions(&parent, PermissionsExt::from_mode(0o1777)).unwrap();
        prepare(&directory, me()).unwrap();
    }

    #[test]
    fn a_private_group_is_not_others() {
        assert!(!mode_lets_others_write(0o664, 1000, 1000));
        assert!(!mode_lets_others_write(0o664, 1000, 0));
        assert!(mode_lets_others_write(0o664, 1000, 100));
        assert!(mode_lets_others_write(0o666, 1000, 1000));
        assert!(!mode_lets_others_write(0o755, 1000, 100));
    }
}
