//! Control groups: which one a process is in, and who could have put it there.

use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, statat, statfs};

use super::facts::{ControlGroup, ControlGroupLevel};
use crate::directory::mode_lets_others_write;

/// Where the hierarchies are mounted, in the order in which they are tried: alone, or beside those of the first kind.
const UNIFIED: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
const SYSTEMD: &str = "/sys/fs/cgroup/systemd";

/// Kinds of file system, as `statfs(2)` numbers them.
const CGROUP: i64 = 0x0027_e0eb;
const CGROUP2: i64 = 0x6367_7270;

/// The files by which processes and threads are moved, in both kinds of hierarchy. A group has the first in any case.
const MOVERS: [&str; 3] = ["cgroup.procs", "cgroup.threads", "tasks"];

/// Which hierarchy a path is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hierarchy {
    Systemd,
    Unified,
}

/// Where the hierarchies are mounted here.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    unified: Option<PathBuf>,
    systemd: Option<PathBuf>,
}

impl Mounts {
    pub(super) fn find() -> Self {
        let of_kind = |path: &&str, kind: i64| statfs(*path).is_ok_and(|found| found.f_type == kind);
        Self {
            unified: UNIFIED.iter().find(|path| of_kind(path, CGROUP2)).map(PathBuf::from),
            systemd: Some(SYSTEMD).filter(|path| of_kind(path, CGROUP)).map(PathBuf::from),
        }
    }

    /// The group of this path, and who decides who is in it.
    pub(super) fn look(&self, hierarchy: Hierarchy, path: String) -> ControlGroup {
        let mount = match hierarchy {
            Hierarchy::Systemd => &self.systemd,
            Hierarchy::Unified => &self.unified,
        };
        let levels = mount.as_deref().and_then(|mount| levels(mount, &path)).unwrap_or_default();
        ControlGroup { path, levels }
    }
}

/// The root of the hierarchy and each group down to `path`; `None` when one of them is hidden from us or gone.
fn levels(mount: &Path, path: &str) -> Option<Vec<ControlGroupLevel>> {
    let mut place = mount.to_owned();
    let mut levels = vec![level(&place)?];
    for name in path.split('/').filter(|name| !name.is_empty()) {
        // A group outside of our part of the tree is shown as `/../other`.
        if name == ".." {
            return None;
        }
        place.push(name);
        levels.push(level(&place)?);
    }
    Some(levels)
}

fn level(place: &Path) -> Option<ControlGroupLevel> {
    let mut level = ControlGroupLevel { owner: 0, writable_by_others: false };
    for file in [""].iter().chain(&MOVERS) {
        let stat = match statat(CWD, place.join(file), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(rustix::io::Errno::NOENT) if !["", "cgroup.procs"].contains(file) => continue,
            Err(_) => return None,
        };
        level.owner = level.owner.max(stat.st_uid);
        level.writable_by_others |= mode_lets_others_write(stat.st_mode, stat.st_uid, stat.st_gid);
    }
    Some(level)
}

/// The control group among the lines of `/proc/PID/cgroup`: that of the unified hierarchy unless the process is at its
/// root (a hybrid set-up), else systemd's own.
pub(super) fn named(lines: &[u8]) -> Option<(Hierarchy, String)> {
    let line = |at: &dyn Fn(&[u8]) -> Option<usize>| {
        let mut lines = lines.split(|byte| *byte == b'\n');
        let path = lines.find_map(|line| line.get(at(line)?..))?;
        String::from_utf8(path.to_owned()).ok()
    };
    let unified = line(&|line| line.starts_with(b"0::").then_some(3));
    if unified.as_deref().is_some_and(|path| path != "/") {
        return unified.map(|path| (Hierarchy::Unified, path));
    }
    let systemd = line(&|line| Some(line.windows(14).position(|part| part == b":name=systemd:")? + 14));
    systemd.map(|path| (Hierarchy::Systemd, path)).or_else(|| unified.map(|path| (Hierarchy::Unified, path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_groups_of_every_set_up() {
        let path = |lines: &[u8]| named(lines).map(|(_, path)| path);
        let unified = b"0::/user.slice/user-1000.slice/session-3.scope\n";
        assert_eq!(path(unified).as_deref(), Some("/user.slice/user-1000.slice/session-3.scope"));
        let hybrid = b"12:pids:/x\n1:name=systemd:/user.slice/a.scope\n0::/\n";
        assert_eq!(named(hybrid), Some((Hierarchy::Systemd, "/user.slice/a.scope".to_owned())));
        assert_eq!(named(b"0::/\n"), Some((Hierarchy::Unified, "/".to_owned())));
        assert_eq!(named(b"4:cpu:/x\n"), None);
        assert_eq!(named(b"0::/\xff\n"), None, "a name that is no text is nobody's");
    }

    #[test]
    fn who_may_move_processes_is_read_level_by_level() {
        // The shape of a hierarchy is all that counts here; what the kernel's own looks like is tested end to end.
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("system.slice/a.service");
        std::fs::create_dir_all(&group).unwrap();
        assert_eq!(levels(root.path(), "/system.slice/a.service"), None, "no group without `cgroup.procs`");
        for place in group.ancestors().take(3) {
            std::fs::write(place.join("cgroup.procs"), "").unwrap();
        }
        let me = rustix::process::geteuid().as_raw();
        let found = levels(root.path(), "/system.slice/a.service").unwrap();
        assert_eq!(found, vec![ControlGroupLevel { owner: me, writable_by_others: false }; 3]);
        std::fs::set_permissions(
            group.join("cgroup.procs"),
            std::os::unix::fs::PermissionsExt::from_mode(0o666),
        )
        .unwrap();
        let found = levels(root.path(), "/system.slice/a.service").unwrap();
        assert_eq!(
            found.iter().map(|level| level.writable_by_others).collect::<Vec<_>>(),
            [false, false, true]
        );
        assert_eq!(levels(root.path(), "/system.slice/gone.service"), None);
        assert_eq!(levels(root.path(), "/../system.slice"), None);
        assert_eq!(levels(root.path(), "/").unwrap().len(), 1);
    }
}
