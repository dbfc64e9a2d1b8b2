//! From what the kernel says of a caller to what the rules take.

use std::time::SystemTime;

use agentauth_core::caveat::Caveat;
use agentauth_core::recognise as rules;
use agentauth_core::{Launches, caller};
use agentauth_ipc as kernel;

/// The facts of a caller. Digests are filled in where they were computed, control groups where they are asked for.
pub(crate) fn caller(
    identity: &kernel::Identity,
    now: SystemTime,
    digest: impl Fn(&kernel::FileId) -> Option<String>,
    cgroup: impl Fn(&kernel::ProcessFacts) -> Option<kernel::ControlGroup>,
    launches: &Launches,
    is_manager: impl Fn(u32, u64) -> bool,
) -> caller::CallerFacts {
    let process = |facts| caller::ProcessFacts {
        cgroup: cgroup(facts).map(control_group),
        ..process(facts, now, &digest)
    };
    caller::CallerFacts {
        process: process(&identity.process),
        ancestors: identity.ancestors.iter().map(process).collect(),
        ancestry_complete: identity.ancestry_end.is_complete(),
        greeted: false,
        no_new_privs: identity.no_new_privs,
        caveats: caveats(identity, launches, is_manager),
    }
}

fn process(
    facts: &kernel::ProcessFacts,
    now: SystemTime,
    digest: &impl Fn(&kernel::FileId) -> Option<String>,
) -> caller::ProcessFacts {
    caller::ProcessFacts {
        pid: facts.pid,
        start_time: facts.start_time,
        executable: facts.executable.as_ref().map(|executable| caller::ExecutableFacts {
            path: executable.path.to_string_lossy().into_owned(),
            device: executable.id.device,
            inode: executable.id.inode,
            sha256: digest(&executable.id),
            deleted: executable.deleted,
            replaced: executable.replaced,
            writable_by_others: executable.writable_by_others,
            just_changed: !executable.id.is_settled(now),
            interpreter: executable.interpreter,
        }),
        script: facts.script.as_ref().map(|script| caller::ScriptFacts {
            path: script.path.to_string_lossy().into_owned(),
            sha256: digest(&script.id),
            writable_by_others: script.writable_by_others,
            just_changed: !script.id.is_settled(now),
        }),
        arguments: facts.arguments.clone(),
        cgroup: None,
    }
}

fn control_group(group: kernel::ControlGroup) -> caller::ControlGroup {
    let level = |level: &kernel::ControlGroupLevel| caller::ControlGroupLevel {
        owner: level.owner,
        writable_by_others: level.writable_by_others,
    };
    caller::ControlGroup { levels: group.levels.iter().map(level).collect(), path: group.path }
}

/// Signs that somebody else's code may run inside the caller, or that an agent hides among its ancestors.
fn caveats(
    identity: &kernel::Identity,
    launches: &Launches,
    is_manager: impl Fn(u32, u64) -> bool,
) -> Vec<Caveat> {
    let mut seen = match &identity.code_variables {
        Some(names) => names.iter().cloned().map(Caveat::Variable).collect(),
        None => vec![Caveat::EnvironmentUnreadable],
    };
    if identity.tracer.is_some() {
        seen.push(Caveat::Traced);
    }
    if identity.same_user_namespace != Some(true) {
        seen.push(Caveat::OtherUserNamespace);
    }
    if identity.same_pid_namespace != Some(true) {
        seen.push(Caveat::OtherProcessNamespace);
    }
    if identity.same_mount_namespace != Some(true) {
        seen.push(Caveat::OtherMountNamespace);
    }
    // What root runs may be hidden from us. What the caller's own user runs is hidden only if it wants to be; the half
    // of a login service that runs as the user (sshd's) does, and is told by its parent, which is root's.
    let hides = |(index, ancestor): (usize, &kernel::ProcessFacts)| {
        let of_login =
            identity.ancestors.get(index + 1).is_some_and(|parent| parent.uid == 0 && parent.pid != 1);
        // Our own launcher hides so that nobody steers it; it was looked at before it did.
        let launcher = launches.of(ancestor.pid, ancestor.start_time).is_some();
        ancestor.executable.is_none()
            && !launcher
            && !is_manager(ancestor.pid, ancestor.start_time)
            && ancestor.uid != 0
            && ancestor.uid == identity.process.uid
            && !of_login
    };
    if identity.ancestors.iter().enumerate().any(hides) {
        seen.push(Caveat::HiddenAncestor);
    }
    seen
}

/// What is left to say of a caller that hides everything.
pub(crate) fn hidden(pid: u32) -> caller::CallerFacts {
    caller::CallerFacts {
        process: caller::ProcessFacts { pid, ..caller::ProcessFacts::default() },
        ancestry_complete: false,
        caveats: vec![Caveat::Hidden],
        ..caller::CallerFacts::default()
    }
}

/// The facts by which a person is recognised. `agents` says of the caller and each of its parents, nearest first,
/// whether it looks like a registered agent; where it is too short, the parents are taken for what they are.
pub(crate) fn person(
    probe: &kernel::PersonProbe,
    uid: u32,
    agents: &[bool],
    is_manager: impl Fn(u32, u64) -> bool,
) -> rules::PersonFacts {
    let is_agent = |index: usize| agents.get(index).copied().unwrap_or(false);
    let own = probe.hops.first();
    rules::PersonFacts {
        pid: own.map_or(0, |hop| hop.pid),
        ppid: own.map_or(0, |hop| hop.parent),
        start_time: own.map_or(0, |hop| hop.start_time),
        uid,
        executable: own.and_then(|hop| hop.executable.as_ref()).map(|executable| rules::FileIdentity {
            path: executable.path.to_string_lossy().into_owned(),
            device: executable.id.device,
            inode: executable.id.inode,
        }),
        user_ns_same: probe.same_user_namespace,
        pid_ns_same: probe.same_pid_namespace,
        no_new_privs: Some(probe.no_new_privs),
        seccomp: Some(u32::from(probe.seccomp)),
        tracer_pid: Some(probe.tracer.unwrap_or(0)),
        loader_variables: probe.loader_variables.as_ref().map(|names| {
            let loads = |name: &&String| name.starts_with("LD_") || *name == "GLIBC_TUNABLES";
            names.iter().filter(loads).cloned().collect()
        }),
        is_agent: is_agent(0),
        tty_nr: i64::from(probe.terminal),
        pgrp: own.map_or(0, |hop| i64::from(hop.group)),
        tpgid: if probe.foreground { own.map_or(-1, |hop| i64::from(hop.group)) } else { -1 },
        session_id: own.map_or(0, |hop| u32::try_from(hop.session).unwrap_or(0)),
        hops: probe
            .hops
            .iter()
            .enumerate()
            .skip(1)
            .map(|(index, hop)| parent(hop, is_agent(index), is_manager(hop.pid, hop.start_time)))
            .collect(),
        cgroup: probe.cgroup.clone(),
        logind: probe.logind.as_ref().map(|record| rules::LogindRecord {
            id: record.id.clone(),
            root_owned: record.root_owned,
            class: record.class.clone().unwrap_or_default(),
            uid: record.uid.unwrap_or(u32::MAX),
            leader: record.leader.unwrap_or(0),
            state: record.state.clone(),
        }),
    }
}

fn parent(hop: &kernel::Hop, is_agent: bool, vouched: bool) -> rules::Hop {
    let program = hop.executable.as_ref();
    rules::Hop {
        pid: hop.pid,
        ppid: hop.parent,
        start_time: hop.start_time,
        uid: if [hop.real_uid, hop.effective_uid, hop.saved_uid].contains(&0) {
            0
        } else {
            hop.effective_uid
        },
        executable: program.map(|executable| rules::HopExecutable {
            path: executable.path.to_string_lossy().into_owned(),
            device: executable.id.device,
            inode: executable.id.inode,
            root_owned: executable.root_owned && !executable.replaced,
        }),
        // Who collects orphans is not to be read; a service manager's own group is the sign of one.
        subreaper: hop.pid == 1 || hop.cgroup.as_ref().is_some_and(|group| group.ends_with("/init.scope")),
        readable: true,
        is_agent,
        vouched,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const USER: u32 = 1000;

    fn of(pid: u32, uid: u32, path: Option<&str>) -> kernel::ProcessFacts {
        kernel::ProcessFacts {
            pid,
            parent: 0,
            start_time: 1,
            uid,
            executable: path.map(|path| kernel::ExecutableFacts {
                path: path.into(),
                id: kernel::FileId { device: 1, inode: 2, changed_ns: 3, size: 4 },
                modified_ns: 3,
                owner: 0,
                root_owned: true,
                deleted: false,
                replaced: false,
                writable_by_others: false,
                interpreter: false,
            }),
            arguments: Vec::new(),
            arguments_truncated: false,
            working_directory: None,
            script: None,
            terminal: 0,
            session: 0,
            group: 0,
            foreground_group: -1,
        }
    }

    fn identity(ancestors: Vec<kernel::ProcessFacts>) -> kernel::Identity {
        kernel::Identity {
            process: of(9, USER, Some("/opt/agent")),
            ancestors,
            ancestry_end: kernel::AncestryEnd::Init,
            code_variables: Some(Vec::new()),
            tracer: None,
            no_new_privs: false,
            seccomp: 0,
            same_user_namespace: Some(true),
            same_pid_namespace: Some(true),
            same_mount_namespace: Some(true),
        }
    }

    fn launch_by(pid: u32) -> agentauth_core::Launch {
        let file =
            br#"{"manifest":{"name":"a","version":"1","scopes":[{"scope":"files.read","purpose":"p"}]},
            "selectors":{"executable":"/opt/a"}}"#;
        let agent = std::sync::Arc::new(agentauth_core::AgentFile::parse(file).unwrap().agent());
        agentauth_core::Launch { id: "launch".into(), agent, pid, start_time: 1 }
    }

    /// When every file has settled.
    fn later() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(10)
    }

    fn seen(identity: &kernel::Identity) -> caller::CallerFacts {
        caller(identity, later(), |_| None, |_| None, &Launches::new(), |_, _| false)
    }

    #[test]
    fn replaced_and_deleted_are_told_apart() {
        let mut identity = identity(Vec::new());
        for (deleted, replaced) in [(false, false), (false, true), (true, true)] {
            let executable = identity.process.executable.as_mut().unwrap();
            (executable.deleted, executable.replaced) = (deleted, replaced);
            let facts = seen(&identity).process.executable.unwrap();
            assert_eq!((facts.deleted, facts.replaced), (deleted, replaced));
        }
    }

    #[test]
    fn a_file_that_was_just_changed_is_marked_for_two_seconds() {
        let mut identity = identity(Vec::new());
        let after = |identity: &kernel::Identity, milliseconds| {
            let now = SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds);
            caller(identity, now, |_| None, |_| None, &Launches::new(), |_, _| false)
                .process
                .executable
                .unwrap()
                .just_changed
        };
        identity.process.executable.as_mut().unwrap().id.changed_ns = 5_000_000_000;
        assert_eq!([4_000, 5_000, 6_999, 7_000].map(|at| after(&identity, at)), [true, true, true, false]);
    }

    #[test]
    fn ancestry_is_whole_only_up_to_the_first_process() {
        let mut identity = identity(Vec::new());
        for (end, whole) in [
            (kernel::AncestryEnd::Init, true),
            (kernel::AncestryEnd::Outside, true),
            (kernel::AncestryEnd::Vanished, false),
            (kernel::AncestryEnd::Inconsistent, false),
            (kernel::AncestryEnd::TooDeep, false),
        ] {
            identity.ancestry_end = end;
            assert_eq!(seen(&identity).ancestry_complete, whole, "{end:?}");
        }
        assert!(!hidden(9).ancestry_complete && !hidden(9).greeted && !hidden(9).caveats.is_empty());
    }

    #[test]
    fn only_what_could_be_seen_and_is_not_counts_as_hidden() {
        let shell = || of(8, USER, Some("/bin/bash"));
        let caveats = |ancestors| seen(&identity(ancestors)).caveats;
        assert_eq!(caveats(vec![shell(), of(1, 0, None)]), [], "root's");
        assert_eq!(caveats(vec![shell(), of(7, 0, None), of(6, USER + 1, None)]), [], "another user's");
        assert_eq!(caveats(vec![shell(), of(7, USER, None), of(1, 0, None)]), [Caveat::HiddenAncestor]);
        let mut launches = Launches::new();
        launches.insert(launch_by(7));
        let below = |pid| {
            let identity = identity(vec![shell(), of(pid, USER, None), of(1, 0, None)]);
            caller(&identity, later(), |_| None, |_| None, &launches, |_, _| false).caveats
        };
        assert_eq!(below(7), [], "our own launcher");
        assert_eq!(below(6), [Caveat::HiddenAncestor]);
        let managed = |pid| {
            let identity = identity(vec![shell(), of(pid, USER, None), of(1, 0, None)]);
            caller(
                &identity,
                later(),
                |_| None,
                |_| None,
                &Launches::new(),
                |pid, start| (pid, start) == (5, 1),
            )
            .caveats
        };
        assert_eq!(managed(5), [], "the user's service manager");
        assert_eq!(managed(6), [Caveat::HiddenAncestor]);
        let sshd = vec![shell(), of(7, USER, None), of(6, 0, None), of(1, 0, None)];
        assert_eq!(caveats(sshd), [], "sshd's half that runs as the user");
    }

    #[test]
    fn doubt_about_the_surroundings_is_a_sign() {
        let mut identity = identity(Vec::new());
        identity.code_variables = None;
        identity.tracer = Some(5);
        identity.same_user_namespace = None;
        identity.same_pid_namespace = Some(false);
        identity.same_mount_namespace = Some(false);
        assert_eq!(seen(&identity).caveats.len(), 5);
        identity.code_variables = Some(vec!["LD_PRELOAD".to_owned()]);
        assert_eq!(seen(&identity).caveats.first(), Some(&Caveat::Variable("LD_PRELOAD".to_owned())));
    }
}
