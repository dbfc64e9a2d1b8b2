//! Covers over Unix sockets that have a path: before Linux 7.1 Landlock does not look at `connect`.
//!
//! The program gets a user namespace in which it is itself and nobody else, and a mount namespace in which empty
//! directories lie over the hidden ones, and nothing to connect to over the sockets that its user made elsewhere. What
//! lies there cannot be taken away: mounting is what Landlock forbids altogether. Sockets that are made later, in a
//! place that is not covered, stay within reach.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{getegid, geteuid};

use super::walls::resolved;
use super::{Covers, LaunchError};

/// What is said to have failed.
const COVER: &str = "cover the sockets that the program is kept from";

/// Nobody listens there.
const NOTHING: &str = "/dev/null";

/// From now on this process, and whatever comes of it, has namespaces of its own in which all of that is covered. Call
/// it before Landlock forbids mounting, in a process with one thread.
pub(super) fn cover(covers: &Covers) -> Result<(), LaunchError> {
    enter_namespaces()?;
    let directories = outermost(covers.directories.iter().map(|path| resolved(path)));
    let kept: Vec<PathBuf> = covers.kept.iter().map(|path| resolved(path)).collect();
    let listing = fs::read("/proc/net/unix").map_err(LaunchError::step(COVER))?;
    let own = geteuid().as_raw();
    for directory in &directories {
        cover_directory(directory, &kept)?;
    }
    for socket in listed(&listing) {
        // Whatever cannot be reached any more, is none, or is another account's, is left as it is.
        let is_own = fs::symlink_metadata(&socket)
            .is_ok_and(|found| found.file_type().is_socket() && found.uid() == own);
        if is_own && !kept.iter().any(|kept| resolved(&socket).starts_with(kept)) {
            bind(Path::new(NOTHING), &socket)?;
        }
    }
    Ok(())
}

/// A user namespace that maps this user and group to themselves, and a mount namespace into which nothing spreads from
/// outside.
fn enter_namespaces() -> Result<(), LaunchError> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).map_err(LaunchError::step(COVER))?;
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{user} {user} 1")),
        ("gid_map", format!("{group} {group} 1")),
    ] {
        fs::write(format!("/proc/self/{file}"), text).map_err(LaunchError::step(COVER))?;
    }
    let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).map_err(LaunchError::step(COVER))
}

/// Lays an empty directory over this one, with what is kept of it.
fn cover_directory(directory: &Path, kept: &[PathBuf]) -> Result<(), LaunchError> {
    if !directory.is_dir() {
        return Ok(());
    }
    let within = kept.iter().filter(|path| path.starts_with(directory) && *path != directory);
    // Held open: under the cover it cannot be found any more.
    let within: Vec<(&PathBuf, bool, OwnedFd)> = within
        .filter_map(|path| {
            let handle = open(path, OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty()).ok()?;
            Some((path, path.is_dir(), handle))
        })
        .collect();
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), directory, Some("tmpfs"), flags, Some("mode=0700,size=64k"))
        .map_err(LaunchError::step(COVER))?;
    for (path, is_directory, handle) in within {
        let above = if is_directory { Some(path.as_path()) } else { path.parent() };
        above.map_or(Ok(()), fs::create_dir_all).map_err(LaunchError::step(COVER))?;
        if !is_directory {
            fs::write(path, "").map_err(LaunchError::step(COVER))?;
        }
        bind(Path::new(&format!("/proc/self/fd/{}", handle.as_raw_fd())), path)?;
    }
    let read_only = flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    mount(None::<&str>, directory, None::<&str>, read_only, None::<&str>).map_err(LaunchError::step(COVER))
}

fn bind(from: &Path, over: &Path) -> Result<(), LaunchError> {
    mount(Some(from), over, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(LaunchError::step(COVER))
}

/// The paths without those that lie below another.
fn outermost(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    // A path sorts before whatever lies below it.
    for path in paths.collect::<BTreeSet<_>>() {
        if !found.iter().any(|above| path.starts_with(above)) {
            found.push(path);
        }
    }
    found
}

/// The absolute paths in `/proc/net/unix`, whose eighth column is the name of the socket, if it has one.
fn listed(listing: &[u8]) -> BTreeSet<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    let name = |line: &[u8]| {
        let at = line.windows(2).position(|pair| pair == b" /")?;
        Some(PathBuf::from(std::ffi::OsStr::from_bytes(line.get(at + 1..)?)))
    };
    listing.split(|byte| *byte == b'\n').filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_with_a_path_are_read_from_the_kernels_list() {
        let list = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 10101 /run/user/1000/bus\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 10102 @/tmp/.X11-unix/X0\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 10103\n\
            0000000000000000: 00000002 00000000 00010000 0005 01 10104 /tmp/with space/s\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 10105 relative.sock\n";
        let found: Vec<PathBuf> = listed(list).into_iter().collect();
        assert_eq!(found, ["/run/user/1000/bus", "/tmp/with space/s"].map(PathBuf::from));
    }

    #[test]
    fn what_lies_below_a_cover_needs_none_of_its_own() {
        let paths = ["/home/a/.config/x", "/run/user/1", "/home/a/.config", "/home/a/.configuration"];
        let found = outermost(paths.into_iter().map(PathBuf::from));
        let expected = ["/home/a/.config", "/home/a/.configuration", "/run/user/1"];
        assert_eq!(found, expected.map(PathBuf::from));
    }
}
