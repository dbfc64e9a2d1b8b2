//! The log's place in the file system: who is there, and how new files get there.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// The name of the log in its directory.
pub(crate) const NAME: &str = "audit.jsonl";
/// The name of the file that is to be the next log.
pub(crate) const NEXT: &str = "audit.next";

/// A file as the system knows it, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

/// Which file is somewhere, and how long it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) identity: Identity,
    pub(crate) length: u64,
}

impl Standing {
    /// What is at `path`; a link there is itself what is found.
    pub(crate) fn at(path: &Path) -> io::Result<Standing> {
        fs::symlink_metadata(path).map(|metadata| Standing::of(&metadata))
    }

    #[cfg(unix)]
    pub(crate) fn of(metadata: &fs::Metadata) -> Standing {
        use std::os::unix::fs::MetadataExt as _;
        let identity = Identity { device: metadata.dev(), inode: metadata.ino() };
        Standing { identity, length: metadata.len() }
    }

    /// Without stable inode numbers only presence and length are compared; a file held open cannot be replaced there.
    #[cfg(not(unix))]
    pub(crate) fn of(metadata: &fs::Metadata) -> Standing {
        Standing { identity: Identity { device: 0, inode: 0 }, length: metadata.len() }
    }
}

/// How long the open `file` is, if it has a name still. Its times are not asked for: whoever does makes Linux write down
/// anew, at the next write, when the file was changed, which costs half as much as the write.
#[cfg(target_os = "linux")]
pub(crate) fn named_length(file: &File) -> Option<u64> {
    use rustix::fs::{AtFlags, StatxFlags, statx};
    let found = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::SIZE | StatxFlags::NLINK).ok()?;
    Some(found.stx_size).filter(|_| found.stx_nlink > 0)
}

/// How long the open `file` is, if it has a name still.
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) fn named_length(file: &File) -> Option<u64> {
    let found = rustix::fs::fstat(file).ok()?;
    u64::try_from(found.st_size).ok().filter(|_| found.st_nlink > 0)
}

/// A file that is open keeps its name there.
#[cfg(not(unix))]
pub(crate) fn named_length(file: &File) -> Option<u64> {
    file.metadata().ok().map(|metadata| metadata.len())
}

/// Keeps room on the disk for `length` bytes of `file` from `start` on, without making it longer. Whether the file system
/// knows how to.
///
/// # Errors
/// [`io::ErrorKind::StorageFull`] and the like: there is no such room.
#[cfg(target_os = "linux")]
pub(crate) fn keep_room(file: &File, start: u64, length: u64) -> io::Result<bool> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::KEEP_SIZE, start, length) {
        Ok(()) => Ok(true),
        Err(error @ (Errno::NOSPC | Errno::DQUOT)) => Err(error.into()),
        Err(_) => Ok(false),
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn keep_room(_: &File, _: u64, _: u64) -> io::Result<bool> {
    Ok(false)
}

/// Opens the file at `path` for appending, private and no link, making it if there is none; if `new`, only that.
pub(crate) fn open_file(path: &Path, new: bool) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).append(true).create(true).create_new(new);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if file.metadata()?.permissions().mode() & 0o777 != 0o600 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
    }
    Ok(file)
}

/// Removes a file that may not be there.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// A new file is on disk when its directory is. Other systems than Unix cannot open a directory to sync it.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

/// Makes `path` a directory for its owner only, with its parents.
pub(crate) fn make_private_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if fs::metadata(path)?.permissions().mode() & 0o777 != 0o700 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        }
    }
    Ok(())
}
