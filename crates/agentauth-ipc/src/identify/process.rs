//! The real identifier: reads `/proc`, through directories held open so that no later process slips in.

use std::{
    collections::HashMap,
    ffi::OsStr,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, FileType, statat};

use super::{
    AncestryEnd, ControlGroup, ExecutableFacts, Identify, IdentifyError, Identity, PersonProbe, ProcessFacts,
    ScriptFacts,
    control_group::{Mounts, named},
    environment::code_variables,
    proc::{Proc, ProcDir, ProcError, file_id, modified_ns},
    script::Interpreter,
    stat::{Stat, Status},
};
use crate::{
    directory::{is_trusted, mode_lets_others_write, others_may_write},
    peer::Peer,
};

/// Most bytes of a command line that are looked at.
pub(crate) const LONGEST_COMMAND_LINE: usize = 64 * 1024;

/// Most bytes of an environment that are looked at; a longer one counts as hidden.
const LONGEST_ENVIRONMENT: usize = 1024 * 1024;

/// Most ancestors that are looked at.
const DEEPEST_ANCESTRY: usize = 64;

/// Where logind writes its records of sessions.
const LOGIND_SESSIONS: &str = "/run/systemd/sessions";

/// Identifies callers by `/proc`.
#[derive(Debug)]
pub struct ProcIdentifier {
    proc: Proc,
    user_namespace: Option<Place>,
    pid_namespace: Option<Place>,
    mount_namespace: Option<Place>,
    root: Option<Place>,
    control_groups: Mounts,
    pub(super) sessions: PathBuf,
    /// Who must own logind's records.
    pub(super) sessions_owner: u32,
}

/// How much is asked of a process.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Ancestor,
    Caller,
}

/// Device and inode: names a namespace or a directory.
type Place = (u64, u64);

impl ProcIdentifier {
    /// Opens `/proc` and notes the daemon's own namespaces.
    ///
    /// # Errors
    /// [`IdentifyError::NoProc`].
    pub fn new() -> Result<Self, IdentifyError> {
        let proc = Proc::open().map_err(|source| IdentifyError::NoProc { source })?;
        let own = |file| proc.own(file).ok().map(|stat| (stat.st_dev, stat.st_ino));
        Ok(Self {
            user_namespace: own("ns/user"),
            pid_namespace: own("ns/pid"),
            mount_namespace: own("ns/mnt"),
            root: own("root"),
            control_groups: Mounts::find(),
            proc,
            sessions: LOGIND_SESSIONS.into(),
            sessions_owner: 0,
        })
    }

    /// The peer's directory, proved to be the peer's by its handle still being alive after the opening.
    pub(super) fn directory(&self, peer: &Peer) -> Result<ProcDir, IdentifyError> {
        let pid = peer.pid();
        let directory = self.proc.process(pid).map_err(|error| IdentifyError::of(pid, "", error))?;
        if peer.alive() { Ok(directory) } else { Err(IdentifyError::Gone { pid }) }
    }

    pub(super) fn namespaces(&self, directory: &ProcDir) -> [Option<bool>; 3] {
        let same = |file, own: Option<Place>| {
            let theirs = directory.stat(file).ok()?;
            own.map(|own| own == (theirs.st_dev, theirs.st_ino))
        };
        [
            same("ns/user", self.user_namespace),
            same("ns/pid", self.pid_namespace),
            same("ns/mnt", self.mount_namespace),
        ]
    }

    /// Whether paths mean the same to the process as to us.
    fn shares_paths(&self, directory: &ProcDir) -> bool {
        let same = |file, own: Option<Place>| {
            directory.stat(file).is_ok_and(|theirs| own == Some((theirs.st_dev, theirs.st_ino)))
        };
        same("ns/mnt", self.mount_namespace) && same("root", self.root)
    }

    /// The facts of one process. Of an ancestor only what selectors look at: fewer files to read for each of many.
    fn facts(
        &self,
        whose: Whose,
        directory: &ProcDir,
        stat: &Stat,
        reader: &mut Reader,
    ) -> Result<ProcessFacts, ProcError> {
        let uid = directory.uid()?;
        let executable = reader.executable(directory, uid);
        let interpreter = executable.as_ref().and_then(interpreter);
        let mut facts = ProcessFacts {
            pid: stat.pid,
            parent: stat.parent,
            start_time: stat.start_time,
            uid,
            executable,
            arguments: Vec::new(),
            arguments_truncated: false,
            working_directory: None,
            script: None,
            terminal: stat.terminal,
            session: stat.session,
            group: stat.group,
            foreground_group: stat.foreground_group,
        };
        if whose == Whose::Caller {
            facts.working_directory = directory.link("cwd").ok();
        }
        if whose == Whose::Caller || interpreter.is_some() {
            let mut line = std::mem::take(&mut reader.buffer);
            if let Ok(truncated) = directory.read_capped("cmdline", LONGEST_COMMAND_LINE, &mut line) {
                let words = words(&line);
                facts.arguments =
                    words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
                facts.arguments_truncated = truncated;
                // A script that was cut off, or whose path leads the process to another file, is not named at all.
                let script =
                    interpreter.filter(|_| !truncated).and_then(|found| found.script(words.get(1..)?));
                facts.script = script.and_then(|word| {
                    let word = Path::new(OsStr::from_bytes(word));
                    let path = if word.is_absolute() {
                        word.to_owned()
                    } else {
                        directory.link("cwd").ok()?.join(word)
                    };
                    let script = reader.script(&self.proc, &path, uid)?;
                    (self.shares_paths(directory) || directory.sees(&script.path, &script.id))
                        .then_some(script)
                });
            }
            reader.buffer = line;
        }
        Ok(facts)
    }

    fn ancestors(&self, child: &ProcessFacts, reader: &mut Reader) -> (Vec<ProcessFacts>, AncestryEnd) {
        let mut ancestors: Vec<ProcessFacts> = Vec::new();
        loop {
            let child = ancestors.last().unwrap_or(child);
            if child.pid == 1 {
                return (ancestors, AncestryEnd::Init);
            }
            if child.parent == 0 {
                return (ancestors, AncestryEnd::Outside);
            }
            if ancestors.len() == DEEPEST_ANCESTRY {
                return (ancestors, AncestryEnd::TooDeep);
            }
            let parent = self.parent_of(child.parent, child.start_time, |directory, stat| {
                self.facts(Whose::Ancestor, directory, stat, reader)
            });
            match parent {
                Ok(facts) => ancestors.push(facts),
                Err(end) => return (ancestors, end),
            }
        }
    }

    /// Looks at the process that is called `pid` now, if it can be the parent of one that started at `child_start`.
    pub(super) fn parent_of<T>(
        &self,
        pid: u32,
        child_start: u64,
        look: impl FnOnce(&ProcDir, &Stat) -> Result<T, ProcError>,
    ) -> Result<T, AncestryEnd> {
        let directory = self.proc.process(pid).map_err(|_| AncestryEnd::Vanished)?;
        let stat = read_stat(&directory).map_err(|_| AncestryEnd::Vanished)?;
        if stat.start_time > child_start || stat.is_dead() {
            return Err(AncestryEnd::Inconsistent);
        }
        look(&directory, &stat).map_err(|_| AncestryEnd::Vanished)
    }
}

impl Identify for ProcIdentifier {
    fn identify(&self, peer: &Peer) -> Result<Identity, IdentifyError> {
        let pid = peer.pid();
        let fail = |file| move |error| IdentifyError::of(pid, file, error);
        let directory = self.directory(peer)?;
        let mut reader = Reader::default();

        let stat = read_stat(&directory).map_err(fail("stat"))?;
        let process = self.facts(Whose::Caller, &directory, &stat, &mut reader).map_err(fail("stat"))?;
        let status = read_status(&directory, &mut reader.buffer).map_err(fail("status"))?;
        let program = process.executable.as_ref().and_then(interpreter);
        let code_variables = read_environment(&directory, &mut reader.buffer)
            .map(|()| code_variables(&reader.buffer, program));
        let [same_user_namespace, same_pid_namespace, same_mount_namespace] = self.namespaces(&directory);
        let (ancestors, ancestry_end) = self.ancestors(&process, &mut reader);

        // The facts above are of one program only if the program is still the same.
        let now = directory.stat("exe").ok().map(|stat| file_id(&stat));
        if now != process.executable.as_ref().map(|executable| executable.id) {
            return Err(IdentifyError::Changed { pid });
        }
        if !peer.alive() {
            return Err(IdentifyError::Gone { pid });
        }
        Ok(Identity {
            process,
            ancestors,
            ancestry_end,
            code_variables,
            tracer: status.tracer,
            no_new_privs: status.no_new_privs,
            seccomp: status.seccomp,
            same_user_namespace,
            same_pid_namespace,
            same_mount_namespace,
        })
    }

    fn control_group(&self, process: &ProcessFacts) -> Option<ControlGroup> {
        let directory = self.proc.process(process.pid).ok()?;
        let stat = read_stat(&directory).ok()?;
        if stat.start_time != process.start_time {
            return None;
        }
        let mut lines = Vec::new();
        directory.read_piece("cgroup", &mut lines).ok()?;
        named(&lines).map(|(hierarchy, path)| self.control_groups.look(hierarchy, path))
    }

    fn probe_person(&self, peer: &Peer) -> Result<PersonProbe, IdentifyError> {
        PersonProbe::gather(self, peer)
    }
}

/// What one identification shares between the processes it looks at.
#[derive(Debug, Default)]
pub(super) struct Reader {
    buffer: Vec<u8>,
    /// Directories already looked at: whether somebody else than root and the user could change what is in them.
    directories: HashMap<(PathBuf, u32), bool>,
}

impl Reader {
    /// The program that a process of `uid` runs, unless that is hidden from us.
    pub(super) fn executable(&mut self, directory: &ProcDir, uid: u32) -> Option<ExecutableFacts> {
        const DELETED: &[u8] = b" (deleted)";
        let path = directory.link("exe").ok()?;
        let stat = directory.stat("exe").ok()?;
        let leads_here = |path: &Path| {
            statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|found| (found.st_dev, found.st_ino) == (stat.st_dev, stat.st_ino))
        };
        let (path, replaced, deleted) = if leads_here(&path) {
            (path, false, false)
        } else {
            let bytes = path.into_os_string().into_vec();
            let stripped = bytes.strip_suffix(DELETED).map(<[u8]>::to_vec);
            let deleted = stripped.is_some();
            (PathBuf::from(std::ffi::OsString::from_vec(stripped.unwrap_or(bytes))), true, deleted)
        };
        let open = mode_lets_others_write(stat.st_mode, stat.st_uid, stat.st_gid);
        let writable_by_others = open || !is_trusted(stat.st_uid, uid) || self.others_may_swap(&path, uid);
        let name = path.file_name().and_then(OsStr::to_str);
        Some(ExecutableFacts {
            interpreter: name.and_then(Interpreter::of).is_some(),
            id: file_id(&stat),
            modified_ns: modified_ns(&stat),
            owner: stat.st_uid,
            root_owned: stat.st_uid == 0 && !open,
            deleted,
            replaced,
            writable_by_others,
            path,
        })
    }

    /// The script at `path`, if it is a plain file. Its final path comes from the opened file, so that path and facts
    /// are of one file.
    fn script(&mut self, proc: &Proc, path: &Path, uid: u32) -> Option<ScriptFacts> {
        // There each process sees its own files: what the name means to the caller, it does not mean to us.
        if path.starts_with("/proc") || path.starts_with("/dev") {
            return None;
        }
        let (path, stat) = proc.locate(path).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return None;
        }
        let writable_by_others = mode_lets_others_write(stat.st_mode, stat.st_uid, stat.st_gid)
            || !is_trusted(stat.st_uid, uid)
            || self.others_may_swap(&path, uid);
        Some(ScriptFacts {
            id: file_id(&stat),
            modified_ns: modified_ns(&stat),
            owner: stat.st_uid,
            writable_by_others,
            path,
        })
    }

    /// Whether somebody besides root and `uid` could put another file in the place of `path`. Doubt counts as yes.
    fn others_may_swap(&mut self, path: &Path, uid: u32) -> bool {
        let Some(parent) = path.parent() else { return false };
        let key = (parent.to_owned(), uid);
        if let Some(known) = self.directories.get(&key) {
            return *known;
        }
        let here = std::fs::symlink_metadata(parent).map_or(true, |metadata| {
            let sticky = metadata.mode() & 0o1000 != 0;
            !is_trusted(metadata.uid(), uid) || (others_may_write(&metadata) && !sticky)
        });
        let open = here || self.others_may_swap(parent, uid);
        self.directories.insert(key, open);
        open
    }
}

/// The words of a command line as the kernel renders it.
fn words(line: &[u8]) -> Vec<&[u8]> {
    let line = line.strip_suffix(b"\0").unwrap_or(line);
    if line.is_empty() { Vec::new() } else { line.split(|byte| *byte == 0).collect() }
}

pub(super) fn read_stat(directory: &ProcDir) -> Result<Stat, ProcError> {
    let mut line = Vec::with_capacity(4096);
    directory.read_piece("stat", &mut line)?;
    Stat::parse(&line).ok_or(ProcError::TooLong)
}

pub(super) fn read_status(directory: &ProcDir, buffer: &mut Vec<u8>) -> Result<Status, ProcError> {
    directory.read_piece("status", buffer)?;
    Status::parse(buffer).ok_or(ProcError::TooLong)
}

/// Fills the buffer with the environment as it stood when the program was started; `None` when it is hidden from us or
/// too long.
pub(super) fn read_environment(directory: &ProcDir, buffer: &mut Vec<u8>) -> Option<()> {
    let truncated = directory.read_capped("environ", LONGEST_ENVIRONMENT, buffer).ok()?;
    (!truncated).then_some(())
}

fn interpreter(executable: &ExecutableFacts) -> Option<Interpreter> {
    executable.path.file_name().and_then(OsStr::to_str).and_then(Interpreter::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_that_started_later_is_no_parent() {
        let identifier = ProcIdentifier::new().unwrap();
        let own = read_stat(&identifier.proc.process(std::process::id()).unwrap()).unwrap();
        let outcome = identifier.parent_of(std::process::id(), own.start_time - 1, |_, _| Ok(()));
        assert_eq!(outcome, Err(AncestryEnd::Inconsistent));
        assert_eq!(identifier.parent_of(std::process::id(), own.start_time, |_, _| Ok(())), Ok(()));
        assert_eq!(identifier.parent_of(u32::MAX, 0, |_, _| Ok(())), Err(AncestryEnd::Vanished));
    }

    #[test]
    fn a_name_that_each_process_reads_differently_is_no_script() {
        let proc = Proc::open().unwrap();
        let (mut reader, uid) = (Reader::default(), rustix::process::geteuid().as_raw());
        let file = tempfile::NamedTempFile::new().unwrap();
        let by_descriptor = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file.as_file()));
        assert!(reader.script(&proc, file.path(), uid).is_some());
        for alias in [by_descriptor.clone(), by_descriptor.replace("/proc/self", "/dev")] {
            assert!(std::fs::metadata(&alias).unwrap().is_file(), "{alias} leads to the file for us");
            assert_eq!(reader.script(&proc, Path::new(&alias), uid), None, "{alias}");
        }
    }
}
