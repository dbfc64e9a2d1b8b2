//! The caller as the kernel describes it: facts in, gathered by the rim, judged here.

use serde::{Deserialize, Serialize};

use crate::caveat::Caveat;

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
    /// Whether the process has given up gaining privileges: a mark that is inherited and never taken back. Whatever
    /// the daemon's launcher starts bears it.
    pub no_new_privs: bool,
    /// Signs that somebody else's code may run inside the process, or that something about it is hidden
    /// (`LD_PRELOAD`, a tracer, a hidden ancestor, …). What its files say is not repeated here.
    pub caveats: Vec<Caveat>,
}

impl CallerFacts {
    /// Everything that keeps the caller from being better proven: what was seen around it, and what its files say.
    #[must_use]
    pub fn all_caveats(&self) -> Vec<Caveat> {
        let mut all = self.caveats.clone();
        let mut add = |so: bool, caveat: Caveat| {
            if so && !all.contains(&caveat) {
                all.push(caveat);
            }
        };
        if let Some(executable) = &self.process.executable {
            add(executable.deleted, Caveat::Deleted);
            add(executable.replaced && !executable.deleted, Caveat::Replaced);
            add(executable.writable_by_others, Caveat::WritableByOthers);
            add(executable.just_changed, Caveat::JustChanged);
        }
        if let Some(script) = &self.process.script {
            add(script.writable_by_others, Caveat::ScriptWritableByOthers);
            add(script.just_changed, Caveat::ScriptJustChanged);
        }
        all
    }
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
    /// The control group; looked at only where a registration names one.
    pub cgroup: Option<ControlGroup>,
}

/// The control group of a process, and who decides which processes are in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlGroup {
    /// Its path, from the root of its hierarchy: `/system.slice/backup.service`.
    pub path: String,
    /// Who may move processes: of the root, of each group on the way, and of the group itself. Empty where that
    /// could not be seen.
    pub levels: Vec<ControlGroupLevel>,
}

/// Who may move processes into, and make groups in, one control group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlGroupLevel {
    /// The user that owns the group's directory or the files in it by which processes are moved; root's number only
    /// if all are root's.
    pub owner: u32,
    /// Whether somebody besides the owner may write to one of them.
    pub writable_by_others: bool,
}

impl ControlGroup {
    /// Whether the process is in `group` or below it, and nobody but root could have put it there: root alone may move
    /// processes on every level down to the process's own.
    #[must_use]
    pub fn proves(&self, group: &str) -> bool {
        let within =
            self.path.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let segments = self.path.split('/').filter(|segment| !segment.is_empty()).count();
        let guarded = |level: &ControlGroupLevel| level.owner == 0 && !level.writable_by_others;
        within && self.levels.len() == segments + 1 && self.levels.iter().all(guarded)
    }
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
    /// Whether an account other than the process's user and root may write to it, or put another file in its place.
    pub writable_by_others: bool,
    /// Whether the file was changed less than two seconds before it was looked at, by the daemon's clock.
    pub just_changed: bool,
    /// Whether it runs programs that others wrote.
    pub interpreter: bool,
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
    /// Whether an account other than the process's user and root may write to it, or put another file in its place.
    pub writable_by_others: bool,
    /// Whether the file was changed less than two seconds before it was looked at, by the daemon's clock.
    pub just_changed: bool,
}

fn whole() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_group_proves_what_root_alone_decides() {
        let root = ControlGroupLevel::default();
        let user = ControlGroupLevel { owner: 1000, ..root };
        let open = ControlGroupLevel { writable_by_others: true, ..root };
        let group = |path: &str, levels: &[ControlGroupLevel]| {
            ControlGroup { path: path.to_owned(), levels: levels.to_vec() }.proves("/system.slice/a.service")
        };
        assert!(group("/system.slice/a.service", &[root; 3]));
        assert!(group("/system.slice/a.service/worker", &[root; 4]));
        for other in ["/system.slice/a.service2", "/system.slice", "/", "", "/../system.slice/a.service"] {
            assert!(!group(other, &[root; 3]), "{other}");
        }
        assert!(!group("/system.slice/a.service", &[]), "nothing was seen");
        assert!(!group("/system.slice/a.service", &[root; 2]), "not everything was seen");
        for (level, bad) in [(0, user), (1, user), (2, user), (2, open), (0, open)] {
            let mut levels = [root; 3];
            levels[level] = bad;
            assert!(!group("/system.slice/a.service", &levels), "{level}");
        }
        assert!(
            !group("/system.slice/a.service/mine", &[root, root, root, user]),
            "a part that was given away"
        );
    }

    #[test]
    fn caveats_are_those_of_the_surroundings_and_of_the_files() {
        let facts: CallerFacts = serde_json::from_str(
            r#"{"process": {"executable": {"path": "/opt/a", "deleted": true, "replaced": true, "writable_by_others": true, "just_changed": true},
                "script": {"path": "/opt/s", "writable_by_others": true, "just_changed": true}}, "caveats": ["PYTHONPATH", "traced"]}"#,
        )
        .unwrap();
        let words: Vec<String> = facts.all_caveats().iter().map(ToString::to_string).collect();
        assert_eq!(
            words.join(" "),
            "PYTHONPATH traced deleted writable_by_others just_changed script_writable_by_others script_just_changed"
        );
        let clean: CallerFacts =
            serde_json::from_str(r#"{"process": {"executable": {"path": "/opt/a"}}}"#).unwrap();
        assert_eq!(clean.all_caveats(), []);
    }

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
