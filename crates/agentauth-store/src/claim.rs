//! A state directory belongs to one profile.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::ProfileName;
use crate::files::write_new;

/// The file that says whose the directory is.
const MARK: &str = "profile";

/// Makes `directory` (which must exist) the state directory of `profile`, for good: the first profile that comes gets
/// it, and any other is refused. Two profiles that are configured to the same place would else share a record, a pin
/// and the provider's keys. Atomic across processes. Blocking.
///
/// # Errors
/// [`ClaimError`].
pub fn claim_directory(directory: &Path, profile: &ProfileName) -> Result<(), ClaimError> {
    let path = directory.join(MARK);
    let unusable = |cause| ClaimError::Unusable { path: path.clone(), cause };
    // A mark that is there is only read: at every start but the first.
    let owner = match fs::read_to_string(&path) {
        Ok(owner) => owner,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match write_new(&path, format!("{profile}\n").as_bytes(), 0o600) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    fs::read_to_string(&path).map_err(unusable)?
                }
                Err(error) => return Err(unusable(error)),
            }
        }
        Err(error) => return Err(unusable(error)),
    };
    let owner: String = owner.trim_end().chars().take(64).collect();
    if owner == profile.as_str() {
        Ok(())
    } else {
        Err(ClaimError::Taken { directory: directory.to_owned(), owner, profile: profile.clone() })
    }
}

/// Why a directory cannot be a profile's.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// It is another profile's.
    #[error(
        "the state directory `{}` is of the profile `{}`, not `{profile}`: give each profile its own `paths.state_dir`",
        directory.display(), owner.escape_default()
    )]
    Taken {
        /// The directory.
        directory: PathBuf,
        /// Whose it is.
        owner: String,
        /// Who wanted it.
        profile: ProfileName,
    },
    /// The file that says so cannot be read or written.
    #[error("cannot tell whose state directory this is from `{}`: check that it is yours and readable", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str) -> ProfileName {
        name.parse().unwrap()
    }

    #[test]
    fn the_first_profile_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        claim_directory(dir.path(), &profile("dev")).unwrap();
        claim_directory(dir.path(), &profile("dev")).unwrap();
        let error = claim_directory(dir.path(), &profile("prod")).unwrap_err();
        assert!(matches!(&error, ClaimError::Taken { owner, .. } if owner == "dev"), "{error:?}");
        claim_directory(dir.path(), &profile("dev")).unwrap();
    }

    #[test]
    fn of_many_who_come_at_once_one_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        let got: usize = std::thread::scope(|scope| {
            let claims: Vec<_> = (0..8)
                .map(|n| {
                    let path = dir.path();
                    scope.spawn(move || claim_directory(path, &profile(&format!("p{n}"))).is_ok())
                })
                .collect();
            claims.into_iter().map(|claim| usize::from(claim.join().unwrap())).sum()
        });
        assert_eq!(got, 1);
    }

    #[test]
    fn a_mark_that_says_nothing_is_nobodys_leave() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(MARK), "").unwrap();
        assert!(matches!(claim_directory(dir.path(), &profile("dev")), Err(ClaimError::Taken { .. })));
        let missing = claim_directory(&dir.path().join("no"), &profile("dev"));
        assert!(matches!(missing, Err(ClaimError::Unusable { .. })), "{missing:?}");
    }
}
