//! The caller as the kernel describes it: facts in, gathered by the rim, judged here.

use serde::{Deserialize, Serialize};

/// What is known of the process on the other end of a connection, and of those that started it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallerFacts {
    /// The process itself.
    pub process: ProcessFacts,
    /// Its parent, the parent's parent and so on, the nearest first.
    pub ancestors: Vec<ProcessFacts>,
    /// Whether the process answered the greeting on this connection, so that it cannot be a program that another
    /// one put in its place.
    pub greeted: bool,
    /// The loader tricks that were seen (`LD_PRELOAD`, a tracer, …), by name.
    pub tampered: Vec<String>,
}

/// What is known of one process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProcessFacts {
    /// The process id, in the daemon's namespace.
    pub pid: u32,
    /// When it started, in the kernel's ticks since boot: with the pid it names one process for ever.
    pub start_time: u64,
    /// What it runs; `None` when the kernel would not say.
    pub executable: Option<ExecutableFacts>,
    /// The script that an interpreter was told to run; `None` where the executable is none.
    pub script: Option<ScriptFacts>,
    /// The command line: the process's own claim.
    pub arguments: Vec<String>,
    /// The control group, where there is one.
    pub cgroup: Option<String>,
}

/// What is known of the file that a process runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExecutableFacts {
    /// Where it was when the process started.
    pub path: String,
    /// The device it is on.
    pub device: u64,
    /// Its inode there.
    pub inode: u64,
    /// SHA-256 in lower-case hexadecimal; `None` until it has been computed.
    pub sha256: Option<String>,
    /// Whether the file is gone from its path.
    pub deleted: bool,
    /// Whether an account other than the owner and root may write to it.
    pub writable_by_others: bool,
}

/// What is known of the script that an interpreter runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScriptFacts {
    /// Its absolute path.
    pub path: String,
    /// SHA-256 in lower-case hexadecimal; `None` until it has been computed.
    pub sha256: Option<String>,
}
