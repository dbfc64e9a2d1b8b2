//! Reading a configuration file, a registration or a policy only when nobody but its rightful owner could have
//! written it.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// At most this many bytes of a configuration file are read.
const SIZE_LIMIT: usize = 1024 * 1024;

/// Why a file or a directory is not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untrusted {
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it is not a directory")]
    NotADirectory,
    #[error("it is larger than {} KiB", .0 / 1024)]
    TooLarge(usize),
    #[error("it is not UTF-8 text")]
    NotText,
    #[error("{0} belongs to uid {1}")]
    Owner(&'static str, u32),
    #[error("{0} can be written by others (mode {1:04o})")]
    Writable(&'static str, u32),
}

impl Untrusted {
    /// What to do about it; `owner` is who should own the file.
    pub(crate) fn remedy(&self, path: &Path, owner: u32) -> String {
        let shown = path.display();
        match self {
            Self::Read(error) if error.kind() == io::ErrorKind::NotFound => {
                "give the path of a file".to_owned()
            }
            Self::Read(_) => {
                format!("make it readable for the user who runs agentauthd, as in `chmod u+r {shown}`")
            }
            Self::NotAFile => "put a regular file there, or remove it".to_owned(),
            Self::NotADirectory => "put a directory there, or remove it".to_owned(),
            Self::TooLarge(_) => "make it smaller, or remove it".to_owned(),
            Self::NotText => "save it as UTF-8".to_owned(),
            Self::Owner("it", _) => format!("look at what it says, then run `chown {owner} {shown}`"),
            Self::Writable("it", _) => format!("look at what it says, then run `chmod go-w {shown}`"),
            Self::Owner(..) | Self::Writable(..) => {
                let directory = path.parent().unwrap_or(path).display();
                format!(
                    "look at what it says, then run `chown {owner} {directory}` and `chmod go-w {directory}`"
                )
            }
        }
    }

    /// What the system said, as the rest of the sentence.
    pub(crate) fn cause(&self) -> String {
        std::error::Error::source(self).map(|cause| format!(": {cause}")).unwrap_or_default()
    }
}

/// The text of the user's configuration file, by the rules of [`read_own_file`].
pub(super) fn read_user_file(path: &Path, owner: u32) -> Result<Option<String>, Untrusted> {
    read_own_file(path, owner, SIZE_LIMIT)
}

/// The text of a file of at most `limit` bytes that belongs to `owner` or root and that nobody else can write; nothing
/// if there is no file. A symbolic link is as good as the file that it leads to.
pub(crate) fn read_own_file(path: &Path, owner: u32, limit: usize) -> Result<Option<String>, Untrusted> {
    read(path, limit, |metadata| judge_own(metadata, owner))
}

/// Whether a directory belongs to `owner` or root and nobody else can put files into it or take them out.
pub(crate) fn judge_own_directory(path: &Path, owner: u32) -> Result<(), Untrusted> {
    let metadata = std::fs::metadata(path).map_err(Untrusted::Read)?;
    if !metadata.is_dir() {
        return Err(Untrusted::NotADirectory);
    }
    judge_own(&metadata, owner)
}

/// Whether `directory` is an administrator's: there, and nobody but `owner` (root, outside tests) can write it.
pub(crate) fn is_administered(directory: &Path, owner: u32) -> bool {
    judge_admin_directory(directory, owner).is_ok()
}

/// Whether a directory belongs to `owner`, and nobody else can put files into it or take them out. It is no link.
pub(crate) fn judge_admin_directory(directory: &Path, owner: u32) -> Result<(), Untrusted> {
    let metadata = std::fs::symlink_metadata(directory).map_err(Untrusted::Read)?;
    if !metadata.is_dir() {
        return Err(Untrusted::NotADirectory);
    }
    judge("it", &metadata, &[owner], 0o022)
}

fn judge_own(metadata: &Metadata, owner: u32) -> Result<(), Untrusted> {
    // A group that bears the owner's own number is the owner's private group, as umask 002 expects.
    let private_group = metadata.gid() == metadata.uid();
    judge("it", metadata, &[owner, 0], if private_group { 0o002 } else { 0o022 })
}

/// The text of a file in the administrator's `directory`, or below it. The file belongs to `owner` (root, outside tests),
/// as do all directories down to it, and nobody else can write any of them; nothing if there is no file.
pub(super) fn read_admin_file(
    path: &Path,
    directory: &Path,
    owner: u32,
) -> Result<Option<String>, Untrusted> {
    read(path, SIZE_LIMIT, |metadata| {
        judge("it", metadata, &[owner], 0o022)?;
        // Whoever can write a directory can put another file in this one's place.
        for above in path.ancestors().skip(1).take_while(|above| above.starts_with(directory)) {
            let metadata = std::fs::symlink_metadata(above).map_err(Untrusted::Read)?;
            judge("its directory", &metadata, &[owner], 0o022)?;
        }
        Ok(())
    })
}

fn read(
    path: &Path,
    limit: usize,
    judge: impl Fn(&Metadata) -> Result<(), Untrusted>,
) -> Result<Option<String>, Untrusted> {
    // Without O_NONBLOCK, opening a pipe would wait for a writer.
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    let opened = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path);
    let file: File = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Untrusted::Read(error)),
    };
    // What is judged is the file that was opened, not the one that has the name a moment later.
    let metadata = file.metadata().map_err(Untrusted::Read)?;
    if !metadata.is_file() {
        return Err(Untrusted::NotAFile);
    }
    judge(&metadata)?;
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(Untrusted::Read)?;
    if bytes.len() > limit {
        return Err(Untrusted::TooLarge(limit));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| Untrusted::NotText)
}

fn judge(what: &'static str, metadata: &Metadata, owners: &[u32], forbidden: u32) -> Result<(), Untrusted> {
    if !owners.contains(&metadata.uid()) {
        return Err(Untrusted::Owner(what, metadata.uid()));
    }
    if metadata.mode() & forbidden != 0 {
        return Err(Untrusted::Writable(what, metadata.mode() & 0o7777));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_that_others_can_write_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let me = std::fs::metadata(directory.path()).unwrap().uid();
        assert!(read_user_file(&path, me).unwrap().is_none());

        std::fs::write(&path, "x").unwrap();
        let private = std::fs::metadata(&path).unwrap().gid() == me;
        for (mode, fine) in [(0o600, true), (0o644, true), (0o664, private), (0o646, false), (0o666, false)] {
            chmod(&path, mode);
            assert_eq!(read_user_file(&path, me).is_ok(), fine, "{mode:o}");
        }
        chmod(&path, 0o600);
        let other = me.wrapping_add(1);
        if me != 0 {
            assert!(matches!(read_user_file(&path, other), Err(Untrusted::Owner("it", _))));
        }
        assert!(matches!(read_user_file(directory.path(), me), Err(Untrusted::NotAFile)));
    }

    #[test]
    fn the_administrators_file_and_its_directories_are_the_administrators() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("profiles");
        std::fs::create_dir(&below).unwrap();
        chmod(directory.path(), 0o755);
        chmod(&below, 0o755);
        let me = std::fs::metadata(directory.path()).unwrap().uid();
        for path in [directory.path().join("config.toml"), below.join("dev.toml")] {
            let read = |owner| read_admin_file(&path, directory.path(), owner);
            std::fs::write(&path, "x").unwrap();
            chmod(&path, 0o644);
            assert_eq!(read(me).unwrap().as_deref(), Some("x"));
            assert!(matches!(read(me.wrapping_add(1)), Err(Untrusted::Owner("it", _))));
            for above in path.ancestors().skip(1).take_while(|above| above.starts_with(directory.path())) {
                chmod(above, 0o777);
                assert!(matches!(read(me), Err(Untrusted::Writable("its directory", _))), "{above:?}");
                chmod(above, 0o755);
            }
        }
    }

    #[test]
    fn size_and_encoding_are_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let me = std::fs::metadata(directory.path()).unwrap().uid();
        std::fs::write(&path, [0xff]).unwrap();
        chmod(&path, 0o600);
        assert!(matches!(read_user_file(&path, me), Err(Untrusted::NotText)));
        std::fs::write(&path, vec![b' '; 1024 * 1024 + 1]).unwrap();
        assert!(matches!(read_user_file(&path, me), Err(Untrusted::TooLarge(_))));
    }
}
