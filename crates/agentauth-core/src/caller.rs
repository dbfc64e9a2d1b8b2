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
    /// Whether `ancestors` is the whole way, as far as there is one in the daemon's process namespace. Facts that do
    /// not say are taken for whole, so that recorded ones stay valid; [`CallerFacts::default`] is not.
    #[serde(default = "whole")]
    pub ancestry_complete: bool,
    /// Whether the process answered the greeting on this connection, so that it cannot be a program that another
    /// one put in its place.
    pub greeted: bool,
    /// Signs that somebody else's code may run inside the process, or that something about it is hidden
    /// (`LD_PRELOAD`, a tracer, a hidden ancestor, …), by name.
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
    /// Whether the path does not lead the daemon to this very file: removed, replaced by another, mounted over, or
    /// seen from another mount namespace. The path says nothing about the program then.
    pub replaced: bool,
    /// Whether an account other than the owner and root may write to it.
    pub writable_by_others: bool,
}

impl ExecutableFacts {
    /// Whether the daemon finds this very file at its path, so that a rule about paths may apply.
    #[must_use]
    pub fn stands_at_its_path(&self) -> bool {
        !(self.deleted || self.replaced)
    }
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

fn whole() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_is_the_default_and_recorded_facts_stay_valid() {
        assert!(!CallerFacts::default().ancestry_complete && !CallerFacts::default().greeted);
        let recorded: CallerFacts =
            serde_json::from_str(r#"{"process": {"executable": {"path": "/opt/a"}}}"#).unwrap();
        assert!(recorded.ancestry_complete);
        assert!(recorded.process.executable.unwrap().stands_at_its_path());
        let cut: CallerFacts = serde_json::from_str(r#"{"ancestry_complete": false}"#).unwrap();
        assert!(!cut.ancestry_complete);
    }
}
