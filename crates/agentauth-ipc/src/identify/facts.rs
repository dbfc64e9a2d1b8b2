//! The facts themselves: plain data, all of it said by the kernel unless a field is marked as the process's own claim.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

/// What is known of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The process that connected.
    pub process: ProcessFacts,
    /// Its parent, the parent's parent and so on. Start times never grow along the way.
    pub ancestors: Vec<ProcessFacts>,
    /// Why `ancestors` ends.
    pub ancestry_end: AncestryEnd,
    /// Names of environment variables that change which code this program runs (`LD_*`; `PYTHONPATH` for Python,
    /// `NODE_OPTIONS` for Node, ...), as they stood when it was started. `None` when they are hidden from us or too many
    /// to tell. A claim: a process can overwrite what it shows here.
    pub code_variables: Option<Vec<String>>,
    /// The process that traces this one, if any.
    pub tracer: Option<u32>,
    /// Whether the process has given up gaining privileges; inherited, and never taken back.
    pub no_new_privs: bool,
    /// Seccomp mode: 0 none, 1 strict, 2 filter.
    pub seccomp: u8,
    /// Whether its user namespace is ours; `None` when hidden from us.
    pub same_user_namespace: Option<bool>,
    /// Whether its pid namespace is ours; `None` when hidden from us.
    pub same_pid_namespace: Option<bool>,
    /// Whether its mount namespace is ours; `None` when hidden from us.
    pub same_mount_namespace: Option<bool>,
}

/// Why a walk along the ancestors ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AncestryEnd {
    /// It reached process 1.
    Init,
    /// The parent lives outside our pid namespace.
    Outside,
    /// A parent exited, or is hidden from us.
    Vanished,
    /// A parent started later than its child: the process id was given away meanwhile.
    Inconsistent,
    /// More ancestors than we are ready to look at.
    TooDeep,
}

impl AncestryEnd {
    /// Whether the whole way was seen, as far as there is one in our pid namespace.
    pub fn is_complete(self) -> bool {
        matches!(self, Self::Init | Self::Outside)
    }
}

/// What is known of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessFacts {
    /// Process id.
    pub pid: u32,
    /// Parent's process id; 0 when there is none that we can see.
    pub parent: u32,
    /// Start time in clock ticks since boot. With the pid it names a process, but not a program: `execve` keeps both.
    pub start_time: u64,
    /// Effective user id.
    pub uid: u32,
    /// The program it runs; `None` when hidden from us (another user's, non-dumpable) or a kernel thread.
    pub executable: Option<ExecutableFacts>,
    /// Command line, its bytes made UTF-8; at most 64 KiB of it. The process's own claim. Read of the caller, and of
    /// ancestors that are interpreters.
    pub arguments: Vec<String>,
    /// Whether `arguments` was cut off.
    pub arguments_truncated: bool,
    /// Its working directory; `None` when hidden from us, and for ancestors.
    pub working_directory: Option<PathBuf>,
    /// For interpreters: the script, from the command line, so a claim. `None` when the command line leaves any doubt.
    pub script: Option<ScriptFacts>,
    /// Controlling terminal's device number; 0 for none.
    pub terminal: i32,
    /// Session id: the session leader's pid.
    pub session: i32,
    /// Process group id.
    pub group: i32,
    /// Foreground process group of the terminal; -1 for none.
    pub foreground_group: i32,
}

/// The control group of a process (of the unified hierarchy, or else systemd's), and who decides who is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlGroup {
    /// Its path from the root of the hierarchy, as our own control group namespace shows it.
    pub path: String,
    /// Who may move processes: of the root, of each group on the way, and of the group itself. Empty when that is hidden
    /// from us.
    pub levels: Vec<ControlGroupLevel>,
}

/// Who may make groups in one control group, and move processes into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlGroupLevel {
    /// Who owns its directory, or one of the files by which processes are moved; the largest number where these differ.
    pub owner: u32,
    /// Somebody besides the owner (and root) may write to one of them.
    pub writable_by_others: bool,
}

/// Which file, in which state: the key under which a digest is worth remembering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Last status change in nanoseconds since the epoch; every write, link and permission change moves it, and
    /// nobody but root can set it back.
    pub changed_ns: i128,
    /// Size in bytes.
    pub size: u64,
}

/// How long a file must have been left alone before what was read of it is believed. Within one tick of the file
/// system's clock a second write leaves the same time stamp behind, and whoever writes a program in order to run it
/// at once is looked at with more care.
const SETTLED_NS: i128 = 2_000_000_000;

impl FileId {
    /// When the file will have been left alone for two seconds, unless it is changed again.
    pub fn settles_at(&self) -> Option<SystemTime> {
        let settled = u64::try_from(self.changed_ns.checked_add(SETTLED_NS)?).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(settled))
    }

    /// Whether the file had been left alone for two seconds at `now`. A change in the future counts as one just made.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .ok()
            .and_then(|since| i128::try_from(since.as_nanos()).ok());
        now.is_some_and(|now| now - self.changed_ns >= SETTLED_NS)
    }
}

/// The program that a process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutableFacts {
    /// Its path as the kernel renders it for us, without the mark of a deleted file.
    pub path: PathBuf,
    /// Whether it runs programs that others wrote, by its name.
    pub interpreter: bool,
    /// Which file.
    pub id: FileId,
    /// Last modification in nanoseconds since the epoch. Its owner can set it.
    pub modified_ns: i128,
    /// The file's owner.
    pub owner: u32,
    /// The file is root's and nobody else may write it.
    pub root_owned: bool,
    /// The file was removed, or replaced by an upgrade, while the program runs.
    pub deleted: bool,
    /// `path` does not lead *us* to this very file: removed, replaced, or seen from another mount namespace. A rule
    /// about paths must not apply then.
    pub replaced: bool,
    /// Somebody besides root and the process's user could change or swap the file.
    pub writable_by_others: bool,
}

/// The script that an interpreter runs, by its own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptFacts {
    /// Absolute path, symbolic links resolved.
    pub path: PathBuf,
    /// Which file.
    pub id: FileId,
    /// Last modification in nanoseconds since the epoch.
    pub modified_ns: i128,
    /// The file's owner.
    pub owner: u32,
    /// Somebody besides root and the process's user could change or swap the file.
    pub writable_by_others: bool,
}
