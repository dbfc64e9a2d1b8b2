//! The token that a receiver asks for: from a file that only its owner can read.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use http::HeaderValue;
use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// No token is longer.
const LONGEST: u64 = 16 * 1024;

/// Where a token is, if one is needed.
#[derive(Clone, Debug)]
pub(super) struct Credential {
    path: Option<PathBuf>,
    owner: u32,
}

/// Why a token cannot be used. Nothing of it is ever part of this.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialError {
    #[error("the token in `{}` cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("`{}` is no regular file that belongs to you or root and that nobody else can read: run `chmod 600` on it", .0.display())]
    Open(PathBuf),
    #[error("`{}` holds no token: one line of visible characters", .0.display())]
    NoToken(PathBuf),
}

impl Credential {
    /// The token in the file at `path`, which belongs to `owner` or root; none without a path.
    pub(super) fn new(path: Option<PathBuf>, owner: u32) -> Self {
        Self { path, owner }
    }

    /// `Authorization`, read anew: whoever renews the token replaces the file. Blocking, and short.
    pub(super) fn header(&self) -> Result<Option<HeaderValue>, CredentialError> {
        let Some(path) = &self.path else { return Ok(None) };
        let token = self.read(path)?;
        let token = token.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CredentialError::NoToken(path.clone()));
        }
        let text = Zeroizing::new(format!("Bearer {token}"));
        let mut header = HeaderValue::from_str(&text).map_err(|_| CredentialError::NoToken(path.clone()))?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    fn read(&self, path: &Path) -> Result<Zeroizing<String>, CredentialError> {
        let unreadable = |cause| CredentialError::Unreadable { path: path.to_owned(), cause };
        // Without O_NONBLOCK, opening a pipe would wait for a writer.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file: File = File::options().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        let owned = [0, self.owner].contains(&metadata.uid());
        if !metadata.is_file() || !owned || metadata.mode() & 0o077 != 0 {
            return Err(CredentialError::Open(path.to_owned()));
        }
        let mut text = Zeroizing::new(String::new());
        file.take(LONGEST).read_to_string(&mut text).map_err(unreadable)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_comes_from_a_file_that_nobody_else_can_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let owner = rustix::process::geteuid().as_raw();
        let credential = Credential::new(Some(path.clone()), owner);
        assert!(matches!(credential.header(), Err(CredentialError::Unreadable { .. })));
        std::fs::write(&path, "secret-token\n").unwrap();
        for (mode, good) in [(0o644, false), (0o640, false), (0o604, false), (0o600, true), (0o400, true)] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(credential.header().is_ok(), good, "{mode:o}");
        }
        let header = credential.header().unwrap().unwrap();
        assert_eq!(header.to_str().unwrap(), "Bearer secret-token");
        assert!(header.is_sensitive() && !format!("{header:?}").contains("secret"));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        for bad in ["", "\n", "two words", "a\nX-Other: b", "t\u{f6}ken"] {
            std::fs::write(&path, bad).unwrap();
            assert!(matches!(credential.header(), Err(CredentialError::NoToken(_))), "{bad:?}");
        }
        assert!(Credential::new(None, owner).header().unwrap().is_none());
        assert!(matches!(
            Credential::new(Some(directory.path().to_owned()), owner).header(),
            Err(CredentialError::Open(_))
        ));
    }
}
