//! The further facts by which a person's own process is told from a program acting for them. Facts only: the rules
//! live in the core.

use std::{
    io::Read as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
};

use super::{
    AncestryEnd, ExecutableFacts, IdentifyError, ProcIdentifier,
    control_group::named,
    environment::loader_variables,
    proc::{ProcDir, ProcError, file_id},
    process::{Reader, read_environment, read_stat, read_status},
    stat::Stat,
};
use crate::peer::Peer;

/// Most hops that are looked at.
const MOST_HOPS: usize = 64;

/// Longest logind record that is read, in bytes.
const LONGEST_RECORD: u64 = 16 * 1024;

/// What is known of a caller who may be a person's own process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonProbe {
    /// Whether the caller has given up gaining privileges; a mark of programs started by an agent.
    pub no_new_privs: bool,
    /// Seccomp mode: 0 none, 1 strict, 2 filter.
    pub seccomp: u8,
    /// The process that traces the caller, if any.
    pub tracer: Option<u32>,
    /// Names of environment variables that steer the loader of every program (`LD_*`, `GLIBC_TUNABLES`, ...); `None`
    /// when hidden from us.
    pub loader_variables: Option<Vec<String>>,
    /// Whether the caller's user namespace is ours; `None` when hidden from us.
    pub same_user_namespace: Option<bool>,
    /// Whether the caller's pid namespace is ours; `None` when hidden from us.
    pub same_pid_namespace: Option<bool>,
    /// Whether the caller's mount namespace is ours; `None` when hidden from us.
    pub same_mount_namespace: Option<bool>,
    /// Controlling terminal's device number; 0 for none.
    pub terminal: i32,
    /// Whether the caller's process group is the foreground group of that terminal.
    pub foreground: bool,
    /// The caller first, then parent by parent up to process 1. Start times never grow along the way.
    pub hops: Vec<Hop>,
    /// Why `hops` ends.
    pub hops_end: AncestryEnd,
    /// Place in `hops` of the caller's session leader, if the way led there.
    pub session_leader: Option<usize>,
    /// The caller's control group.
    pub cgroup: Option<String>,
    /// What logind wrote of the login session that this control group names; `None` without such a group or such a
    /// record.
    pub logind: Option<LogindRecord>,
}

/// One process on the way to process 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Process id.
    pub pid: u32,
    /// Parent's process id.
    pub parent: u32,
    /// Start time in clock ticks since boot.
    pub start_time: u64,
    /// Real user id.
    pub real_uid: u32,
    /// Effective user id.
    pub effective_uid: u32,
    /// Saved user id.
    pub saved_uid: u32,
    /// Session id: the session leader's pid.
    pub session: i32,
    /// Process group id.
    pub group: i32,
    /// The program; `None` when hidden from us, as another user's are.
    pub executable: Option<ExecutableFacts>,
    /// Control group; a service manager's own ends in `/init.scope`.
    pub cgroup: Option<String>,
}

/// A login session as logind recorded it in `/run/systemd/sessions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogindRecord {
    /// The session's name, as in `session-<id>.scope`.
    pub id: String,
    /// The uid in the name of the slice above that scope.
    pub slice_uid: u32,
    /// Whether the record is a plain file of root's that nobody else may write. If not, the fields below are empty.
    pub root_owned: bool,
    /// `CLASS`: `user` for a person's login.
    pub class: Option<String>,
    /// `UID`.
    pub uid: Option<u32>,
    /// `LEADER`: the process that logind holds for the session.
    pub leader: Option<u32>,
    /// `TYPE`: `tty`, `x11`, `wayland`, ...
    pub kind: Option<String>,
    /// `STATE`: `active`, `online`, `closing`.
    pub state: Option<String>,
    /// `REMOTE`: whether the login came over the network.
    pub remote: Option<bool>,
    /// `SERVICE`: the PAM service, such as `sshd`.
    pub service: Option<String>,
}

impl PersonProbe {
    /// The parent of the session leader: the terminal, the login program, or whoever started the session.
    pub fn session_leaders_parent(&self) -> Option<&Hop> {
        self.hops.get(self.session_leader? + 1)
    }

    pub(super) fn gather(identifier: &ProcIdentifier, peer: &Peer) -> Result<Self, IdentifyError> {
        let pid = peer.pid();
        let fail = |file| move |error| IdentifyError::of(pid, file, error);
        let directory = identifier.directory(peer)?;
        let mut reader = Reader::default();
        let mut buffer = Vec::with_capacity(4096);

        let stat = read_stat(&directory).map_err(fail("stat"))?;
        let caller = hop(&directory, &stat, &mut reader).map_err(fail("status"))?;
        let executable = caller.executable.as_ref().map(|executable| executable.id);
        let status = read_status(&directory, &mut buffer).map_err(fail("status"))?;
        let loader_variables = read_environment(&directory, &mut buffer).map(|()| loader_variables(&buffer));
        let [same_user_namespace, same_pid_namespace, same_mount_namespace] =
            identifier.namespaces(&directory);
        directory.read_piece("cgroup", &mut buffer).map_err(fail("cgroup"))?;
        let cgroup = named(&buffer).map(|(_, path)| path);
        let logind =
            cgroup.as_deref().and_then(login_session).and_then(|(uid, id)| identifier.record(uid, id));
        let (hops, hops_end) = identifier.hops(caller, &mut reader);
        let session_leader = hops.iter().position(|hop| u32::try_from(stat.session) == Ok(hop.pid));

        if directory.stat("exe").ok().map(|stat| file_id(&stat)) != executable {
            return Err(IdentifyError::Changed { pid });
        }
        if !peer.alive() {
            return Err(IdentifyError::Gone { pid });
        }
        Ok(Self {
            no_new_privs: status.no_new_privs,
            seccomp: status.seccomp,
            tracer: status.tracer,
            loader_variables,
            same_user_namespace,
            same_pid_namespace,
            same_mount_namespace,
            terminal: stat.terminal,
            foreground: stat.terminal != 0 && stat.foreground_group == stat.group,
            hops,
            hops_end,
            session_leader,
            cgroup,
            logind,
        })
    }
}

impl ProcIdentifier {
    fn hops(&self, caller: Hop, reader: &mut Reader) -> (Vec<Hop>, AncestryEnd) {
        let (mut pid, mut parent, mut start_time) = (caller.pid, caller.parent, caller.start_time);
        let mut hops = vec![caller];
        loop {
            if pid == 1 {
                return (hops, AncestryEnd::Init);
            }
            if parent == 0 {
                return (hops, AncestryEnd::Outside);
            }
            if hops.len() == MOST_HOPS {
                return (hops, AncestryEnd::TooDeep);
            }
            match self.parent_of(parent, start_time, |directory, stat| hop(directory, stat, reader)) {
                Ok(hop) => {
                    (pid, parent, start_time) = (hop.pid, hop.parent, hop.start_time);
                    hops.push(hop);
                }
                Err(end) => return (hops, end),
            }
        }
    }

    /// What logind wrote of this session, if it wrote anything.
    fn record(&self, slice_uid: u32, id: &str) -> Option<LogindRecord> {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let file = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
            .open(self.sessions.join(id))
            .ok()?;
        let mut record = LogindRecord { id: id.to_owned(), slice_uid, ..LogindRecord::default() };
        let metadata = file.metadata().ok()?;
        let directory = std::fs::symlink_metadata(&self.sessions).ok()?;
        let rooted = |metadata: &std::fs::Metadata| {
            metadata.uid() == self.sessions_owner && metadata.mode() & 0o022 == 0
        };
        record.root_owned =
            metadata.is_file() && rooted(&metadata) && directory.is_dir() && rooted(&directory);
        let mut text = String::new();
        if record.root_owned && file.take(LONGEST_RECORD).read_to_string(&mut text).is_ok() {
            record.fill(&text);
        }
        Some(record)
    }
}

impl LogindRecord {
    fn fill(&mut self, text: &str) {
        for line in text.lines() {
            let Some((name, value)) = line.split_once('=') else { continue };
            match name {
                "CLASS" => self.class = Some(value.to_owned()),
                "UID" => self.uid = value.parse().ok(),
                "LEADER" => self.leader = value.parse().ok(),
                "TYPE" => self.kind = Some(value.to_owned()),
                "STATE" => self.state = Some(value.to_owned()),
                "REMOTE" => self.remote = Some(value != "0"),
                "SERVICE" => self.service = Some(value.to_owned()),
                _ => {}
            }
        }
    }
}

fn hop(directory: &ProcDir, stat: &Stat, reader: &mut Reader) -> Result<Hop, ProcError> {
    let mut buffer = Vec::with_capacity(4096);
    let status = read_status(directory, &mut buffer)?;
    let cgroup =
        directory.read_piece("cgroup", &mut buffer).ok().and_then(|()| named(&buffer)).map(|(_, path)| path);
    Ok(Hop {
        pid: stat.pid,
        parent: stat.parent,
        start_time: stat.start_time,
        real_uid: status.real_uid,
        effective_uid: status.effective_uid,
        saved_uid: status.saved_uid,
        session: stat.session,
        group: stat.group,
        executable: reader.executable(directory, status.effective_uid),
        cgroup,
    })
}

/// The uid and the session that a control group names: exactly `/user.slice/user-UID.slice/session-ID.scope`, or below
/// it. Elsewhere the user could make a group of that name themselves.
fn login_session(cgroup: &str) -> Option<(u32, &str)> {
    let mut parts = cgroup.strip_prefix("/user.slice/user-")?.split('/');
    let uid = parts.next()?.strip_suffix(".slice")?.parse().ok()?;
    let id = parts.next()?.strip_prefix("session-")?.strip_suffix(".scope")?;
    let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then_some((uid, id))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_logins_own_groups_name_a_session() {
        assert_eq!(login_session("/user.slice/user-1000.slice/session-3.scope"), Some((1000, "3")));
        assert_eq!(login_session("/user.slice/user-1000.slice/session-c2.scope/x"), Some((1000, "c2")));
        for other in [
            "/",
            "/user.slice/user-1000.slice/user@1000.service/session-3.scope",
            "/user.slice/user-1000.slice/session-..scope",
            "/user.slice/user-1000.slice/session-.scope",
            "/user.slice/user-x.slice/session-3.scope",
            "/x/user.slice/user-1000.slice/session-3.scope",
        ] {
            assert_eq!(login_session(other), None, "{other}");
        }
    }

    #[test]
    fn a_record_counts_only_when_nobody_else_could_write_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("3");
        let text = "# This is private data. Do not parse.\nUID=1000\nUSER=u\nACTIVE=1\nSTATE=active\nREMOTE=1\nTYPE=tty\n\
                    CLASS=user\nSCOPE=session-3.scope\nSERVICE=sshd\nLEADER=4711\n";
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        let mut identifier = ProcIdentifier::new().unwrap();
        identifier.sessions = directory.path().to_owned();
        identifier.sessions_owner = rustix::process::geteuid().as_raw();

        let record = identifier.record(1000, "3").unwrap();
        let expected = LogindRecord {
            id: "3".into(),
            slice_uid: 1000,
            root_owned: true,
            class: Some("user".into()),
            uid: Some(1000),
            leader: Some(4711),
            kind: Some("tty".into()),
            state: Some("active".into()),
            remote: Some(true),
            service: Some("sshd".into()),
        };
        assert_eq!(record, expected);
        assert_eq!(identifier.record(1000, "4"), None);

        let untrusted = LogindRecord { id: "3".into(), slice_uid: 1000, ..LogindRecord::default() };
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
        assert_eq!(identifier.record(1000, "3"), Some(untrusted.clone()));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        identifier.sessions_owner += 1;
        assert_eq!(identifier.record(1000, "3"), Some(untrusted));
    }
}
