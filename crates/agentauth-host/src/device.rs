//! Who this installation is.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use uuid::Uuid;

const NAME: &str = "device_id";
const PREFIX: &str = "device:uuid:";

/// This installation's name, `device:uuid:<uuid>`: random, made once, not secret, and no proof of anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceId(Uuid);

impl DeviceId {
    /// The name kept in `state_directory`, where there is one that can be read.
    #[must_use]
    pub fn known(state_directory: &Path) -> Option<DeviceId> {
        fs::read_to_string(state_directory.join(NAME)).ok()?.trim_end().parse().ok()
    }

    /// The name kept in `state_directory` (which must exist), made now if there is none: one for all processes that
    /// ask at once. The file `device_id` is 0600.
    ///
    /// # Errors
    /// [`DeviceError`]. A damaged file is not replaced, since the name is in consents and audit records.
    pub fn of_installation(state_directory: &Path) -> Result<DeviceId, DeviceError> {
        let path = state_directory.join(NAME);
        loop {
            match fs::read_to_string(&path) {
                Ok(text) => {
                    return text.trim_end().parse().map_err(|_| DeviceError::Damaged { path });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(DeviceError::Damaged { path });
                }
                Err(cause) => return Err(DeviceError::Inaccessible { path, cause }),
            }
            match create(state_directory, &path, DeviceId(Uuid::new_v4())) {
                // Whoever was first, the file tells.
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(cause) => return Err(DeviceError::Inaccessible { path, cause }),
            }
        }
    }
}

/// Whole and on disk, or not there.
fn create(directory: &Path, path: &Path, id: DeviceId) -> io::Result<()> {
    let mut temporary = tempfile::Builder::new().prefix(".new-").tempfile_in(directory)?;
    writeln!(temporary, "{id}")?;
    temporary.as_file().sync_all()?;
    temporary.persist_noclobber(path).map_err(|error| error.error)?;
    if cfg!(unix) { fs::File::open(directory)?.sync_all() } else { Ok(()) }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0.hyphenated())
    }
}

impl FromStr for DeviceId {
    type Err = NotADeviceId;

    fn from_str(text: &str) -> Result<DeviceId, NotADeviceId> {
        let id = text
            .strip_prefix(PREFIX)
            .and_then(|uuid| Uuid::try_parse(uuid).ok())
            .map(DeviceId)
            .ok_or(NotADeviceId)?;
        // One device has one spelling.
        if id.to_string() == text { Ok(id) } else { Err(NotADeviceId) }
    }
}

/// A text that is not `device:uuid:` and a UUID in its usual lower-case form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a device is named `device:uuid:` followed by a lower-case UUID")]
pub struct NotADeviceId;

/// Why the installation's name is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The file holds something else.
    #[error("`{}` does not hold this device's name: restore it, or remove it to become a new device", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or made.
    #[error("`{}` cannot be read or made: check that its directory exists and is yours", path.display())]
    Inaccessible {
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

    #[test]
    fn it_is_made_once_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let ids: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| DeviceId::of_installation(dir.path()).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(DeviceId::of_installation(other.path()).unwrap(), ids[0]);
        assert_eq!(ids[0].to_string().parse::<DeviceId>().unwrap(), ids[0]);
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        DeviceId::of_installation(dir.path()).unwrap();
        let mode = fs::metadata(dir.path().join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_said_to_be_and_left() {
        let dir = tempfile::tempdir().unwrap();
        let upper = format!("{PREFIX}{}", "0F8FAD5B-D9CB-469F-A165-70867728950E");
        for content in ["", "device:uuid:", "device:uuid:1234", &upper, "\u{fffd}"] {
            fs::write(dir.path().join(NAME), content).unwrap();
            let refused = DeviceId::of_installation(dir.path());
            assert!(matches!(refused, Err(DeviceError::Damaged { .. })), "{content}: {refused:?}");
            assert_eq!(fs::read_to_string(dir.path().join(NAME)).unwrap(), content);
        }
        let missing = DeviceId::of_installation(&dir.path().join("no"));
        assert!(matches!(missing, Err(DeviceError::Inaccessible { .. })), "{missing:?}");
    }
}
