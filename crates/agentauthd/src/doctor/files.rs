//! Directories and files: whose they are, who else can reach them, and whether they can be written.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use agentauth_ipc::directory::{self, DirectoryError};
use rustix::fs::{Access, access};

use super::finding::{Code, Finding};
use crate::config::Paths;
use crate::config::trust::{self, Untrusted};

/// What is on disk.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// What is wrong with the socket's directory, if it is there.
    pub(super) socket_directory: Option<DirectoryError>,
    /// The socket with its mode, if it is there.
    pub(super) socket: Option<(PathBuf, u32)>,
    /// Directories that others could write to, or that belong to others, and why.
    pub(super) untrusted: Vec<(PathBuf, Untrusted)>,
    /// Private directories that others can enter, with their modes.
    pub(super) open: Vec<(PathBuf, u32)>,
    /// The state directory, or the one that it would be made in, where that cannot be written.
    pub(super) unwritable_state: Option<PathBuf>,
    /// The record, where it is there and cannot be written.
    pub(super) unwritable_record: Option<PathBuf>,
}

/// Who else can reach what is ours. `owner` is whose it should be.
pub(super) fn judge(facts: &Facts, owner: u32) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(error) = &facts.socket_directory {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        found.push(Finding::error(
            Code::DirectoryExposed,
            format!("{error}{cause}"),
            "do what is said, then restart the daemon; until then it does not start, and no client talks to it",
        ));
    }
    if let Some((path, mode)) = facts.socket.as_ref().filter(|(_, mode)| mode & 0o077 != 0) {
        found.push(Finding::warning(
            Code::SocketExposed,
            format!("the socket {} has mode {:04o} and should have 0600", path.display(), mode & 0o7777),
            format!("run `chmod 600 {}`, and find out what changed it", path.display()),
        ));
    }
    for (path, why) in &facts.untrusted {
        let what = format!("{} is not safe, because {why}{}", path.display(), why.cause());
        found.push(Finding::error(Code::DirectoryExposed, what, why.remedy(path, owner)));
    }
    for (path, mode) in &facts.open {
        found.push(Finding::error(
            Code::DirectoryExposed,
            format!("{} has mode {:04o} and should have 0700", path.display(), mode & 0o7777),
            format!("run `chmod 700 {}`, and consider the stored login as seen by others", path.display()),
        ));
    }
    let unwritable = |code, path: &PathBuf, what: &str| {
        let shown = path.display();
        Finding::error(
            code,
            format!("{what} {shown} cannot be written"),
            format!(
                "look with `ls -ld {shown}` and `df {shown}`: it must be yours, and its disk neither full nor read-only"
            ),
        )
    };
    found.extend(
        facts
            .unwritable_state
            .as_ref()
            .map(|path| unwritable(Code::StateUnwritable, path, "the state directory")),
    );
    found.extend(
        facts.unwritable_record.as_ref().map(|path| unwritable(Code::RecordUnwritable, path, "the record")),
    );
    if found.is_empty() {
        found.push(Finding::ok(Code::FilesPrivate, "socket, configuration and state are yours alone"));
    }
    found
}

/// Looks; changes nothing. Blocking for a moment.
pub(super) fn examine(paths: &Paths, owner: u32) -> Vec<Finding> {
    judge(&gather(paths, owner), owner)
}

fn gather(paths: &Paths, owner: u32) -> Facts {
    let mut facts = Facts::default();
    if let Some(parent) = paths.socket.parent() {
        let verified =
            directory::verify(parent, owner).and_then(|()| directory::verify_parents(parent, owner));
        // One that is missing is made by the daemon.
        facts.socket_directory =
            verified.err().filter(|error| !matches!(error, DirectoryError::Missing { .. }));
    }
    facts.socket = fs::symlink_metadata(&paths.socket).ok().map(|found| (paths.socket.clone(), found.mode()));
    for path in [&paths.config_dir, &paths.state_dir] {
        if let Err(why) = trust::judge_own_directory(path, owner)
            && !is_missing(&why)
        {
            facts.untrusted.push((path.clone(), why));
        }
    }
    let record = paths.state_dir.join("audit");
    for path in [&paths.state_dir, &record, &paths.state_dir.join("secrets")] {
        let told = facts.untrusted.iter().any(|(untrusted, _)| untrusted == path);
        if let Ok(found) = fs::metadata(path)
            && found.mode() & 0o077 != 0
            && !told
        {
            facts.open.push((path.clone(), found.mode()));
        }
    }
    facts.unwritable_state = nearest(&paths.state_dir).filter(|path| !writable(path));
    let log = record.join("audit.jsonl");
    facts.unwritable_record = (log.exists() && !writable(&log)).then_some(log);
    facts
}

fn is_missing(why: &Untrusted) -> bool {
    matches!(why, Untrusted::Read(error) if error.kind() == std::io::ErrorKind::NotFound)
}

/// The directory, or the nearest above it that is there.
fn nearest(path: &Path) -> Option<PathBuf> {
    path.ancestors().find(|path| path.exists()).map(Path::to_owned)
}

fn writable(path: &Path) -> bool {
    access(path, Access::WRITE_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::doctor::Severity;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn codes(found: &[Finding]) -> Vec<Code> {
        found.iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn each_exposure_is_told() {
        assert_eq!(codes(&judge(&Facts::default(), 1000)), [Code::FilesPrivate]);
        let path = || PathBuf::from("/p");
        for (facts, code, severity) in [
            (
                Facts {
                    socket_directory: Some(DirectoryError::Symlink { path: path() }),
                    ..Facts::default()
                },
                Code::DirectoryExposed,
                Severity::Error,
            ),
            (
                Facts { socket: Some((path(), 0o140666)), ..Facts::default() },
                Code::SocketExposed,
                Severity::Warning,
            ),
            (
                Facts { untrusted: vec![(path(), Untrusted::Writable("it", 0o777))], ..Facts::default() },
                Code::DirectoryExposed,
                Severity::Error,
            ),
            (
                Facts { open: vec![(path(), 0o755)], ..Facts::default() },
                Code::DirectoryExposed,
                Severity::Error,
            ),
            (
                Facts { unwritable_state: Some(path()), ..Facts::default() },
                Code::StateUnwritable,
                Severity::Error,
            ),
            (
                Facts { unwritable_record: Some(path()), ..Facts::default() },
                Code::RecordUnwritable,
                Severity::Error,
            ),
        ] {
            let found = judge(&facts, 1000);
            assert_eq!(codes(&found), [code], "{facts:?}");
            assert!(found[0].severity == severity && !found[0].todo.is_empty(), "{found:?}");
        }
        let private = Facts { socket: Some((path(), 0o140600)), ..Facts::default() };
        assert_eq!(codes(&judge(&private, 1000)), [Code::FilesPrivate]);
    }

    #[test]
    fn real_directories_are_looked_at_and_missing_ones_are_no_fault() {
        let home = tempfile::tempdir().unwrap();
        let me = fs::metadata(home.path()).unwrap().uid();
        let paths = Paths {
            config_dir: home.path().join("config"),
            policies_dir: home.path().join("config/policies"),
            state_dir: home.path().join("state"),
            socket: home.path().join("run/agent.sock"),
        };
        assert_eq!(codes(&examine(&paths, me)), [Code::FilesPrivate]);
        for directory in [&paths.config_dir, &paths.state_dir, &home.path().join("run")] {
            fs::create_dir(directory).unwrap();
            chmod(directory, 0o700);
        }
        assert_eq!(codes(&examine(&paths, me)), [Code::FilesPrivate]);
        chmod(&paths.config_dir, 0o755);
        assert_eq!(codes(&examine(&paths, me)), [Code::FilesPrivate], "reading the configuration is no harm");
        chmod(&paths.config_dir, 0o777);
        chmod(&paths.state_dir, 0o750);
        chmod(&home.path().join("run"), 0o755);
        let found = examine(&paths, me);
        assert_eq!(codes(&found), [Code::DirectoryExposed; 3], "{found:?}");
    }
}
