//! The facts that recognition rests on, in a form that can be recorded and replayed.

use serde::{Deserialize, Serialize};

/// A file, by what the kernel calls it; the path is for people.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FileIdentity {
    /// Path as the kernel shows it.
    pub path: String,
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

impl FileIdentity {
    /// Whether both are one file, whatever their paths.
    pub fn is_same(&self, other: &Self) -> bool {
        self.device == other.device && self.inode == other.inode
    }
}

/// What the kernel and the system say of a calling process. `None` means that it could not be read.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PersonFacts {
    /// Process identifier, in the daemon's namespace.
    pub pid: u32,
    /// Parent (`/proc/PID/stat` field 4).
    pub ppid: u32,
    /// Start time in clock ticks since boot (field 22).
    pub start_time: u64,
    /// The user of the connection, which must also be its real, effective and saved one.
    pub uid: u32,
    /// The executable.
    pub executable: Option<FileIdentity>,
    /// Its user namespace is the daemon's.
    pub user_ns_same: Option<bool>,
    /// Its PID namespace is the daemon's.
    pub pid_ns_same: Option<bool>,
    /// `NoNewPrivs` of `/proc/PID/status`.
    pub no_new_privs: Option<bool>,
    /// `Seccomp` of `/proc/PID/status`: 0 is off.
    pub seccomp: Option<u32>,
    /// `TracerPid` of `/proc/PID/status`: 0 is nobody.
    pub tracer_pid: Option<u32>,
    /// Names of environment variables that steer the loader: all that begin with `LD_`, and `GLIBC_TUNABLES`.
    pub loader_variables: Option<Vec<String>>,
    /// The caller matches a registered agent.
    #[serde(default)]
    pub is_agent: bool,
    /// Controlling terminal (field 7); 0 is none.
    pub tty_nr: i64,
    /// Process group (field 5).
    pub pgrp: i64,
    /// Foreground process group of the terminal (field 8); -1 is none.
    pub tpgid: i64,
    /// Session (field 6): the process identifier of its leader; 0 is outside of the namespace.
    pub session_id: u32,
    /// The parents, from the first one up to and including process 1.
    pub hops: Vec<Hop>,
    /// `/proc/PID/cgroup`, whole, or only the path in the service manager's hierarchy.
    pub cgroup: Option<String>,
    /// logind's record of the session that the control group names.
    pub logind: Option<LogindRecord>,
}

impl PersonFacts {
    /// The path in the service manager's hierarchy: the unified one, or `name=systemd` on older layouts.
    pub(super) fn control_group(&self) -> Option<&str> {
        let text = self.cgroup.as_deref()?.trim_end_matches('\n');
        if text.starts_with('/') && !text.contains('\n') {
            return Some(text);
        }
        let mut unified = None;
        for line in text.lines() {
            let mut fields = line.splitn(3, ':');
            match (fields.next(), fields.next(), fields.next()) {
                (_, Some("name=systemd"), path) => return path,
                (Some("0"), Some(""), path) => unified = path,
                _ => {}
            }
        }
        unified
    }
}

/// One parent process.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Hop {
    /// Process identifier.
    pub pid: u32,
    /// Its parent.
    pub ppid: u32,
    /// Start time in clock ticks since boot.
    pub start_time: u64,
    /// Its user: root's (0) if any of its users is, else the effective one.
    pub uid: u32,
    /// The executable; `None` where the kernel does not let us see it (root's processes, and those of the user that are
    /// protected from inspection).
    pub executable: Option<HopExecutable>,
    /// It is known to collect orphans (a service manager, a container's init).
    #[serde(default)]
    pub subreaper: bool,
    /// Its `stat` could be read.
    #[serde(default = "yes")]
    pub readable: bool,
    /// It matches a registered agent.
    #[serde(default)]
    pub is_agent: bool,
    /// The system manager itself names this process as the user's service manager.
    #[serde(default)]
    pub vouched: bool,
}

fn yes() -> bool {
    true
}

/// A parent's executable.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HopExecutable {
    /// Path as the kernel shows it; a replaced file ends in ` (deleted)`.
    pub path: String,
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// The file belongs to root and nobody else may write it.
    pub root_owned: bool,
}

/// What logind says of a session (`/run/systemd/sessions/ID`).
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LogindRecord {
    /// The session's identifier.
    pub id: String,
    /// The record's file and its directory belong to root and nobody else may write them.
    pub root_owned: bool,
    /// `CLASS`: `user`, `greeter`, `background`, …
    pub class: String,
    /// `UID`.
    pub uid: u32,
    /// `LEADER`: the process that opened the session.
    pub leader: u32,
    /// `STATE`: `active`, `online`, `closing`.
    #[serde(default)]
    pub state: Option<String>,
}
