//! From what the kernel says of a caller to what the rules take.

use agentauth_core::caller;
use agentauth_core::recognise as rules;
use agentauth_ipc as kernel;

/// The facts of a caller. Digests are filled in where they were computed.
pub(crate) fn caller(
    identity: &kernel::Identity,
    digest: impl Fn(&kernel::FileId) -> Option<String>,
) -> caller::CallerFacts {
    caller::CallerFacts {
        process: process(&identity.process, &digest),
        ancestors: identity.ancestors.iter().map(|ancestor| process(ancestor, &digest)).collect(),
        greeted: false,
        tampered: tampered(identity),
    }
}

fn process(
    facts: &kernel::ProcessFacts,
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
            // A path that leads us elsewhere says nothing about the program that runs.
            deleted: executable.deleted || executable.replaced,
            writable_by_others: executable.writable_by_others,
        }),
        script: facts.script.as_ref().map(|script| caller::ScriptFacts {
            path: script.path.to_string_lossy().into_owned(),
            sha256: digest(&script.id),
        }),
        arguments: facts.arguments.clone(),
        cgroup: facts.cgroup.clone(),
    }
}

/// Signs that somebody else's code may run inside the caller.
fn tampered(identity: &kernel::Identity) -> Vec<String> {
    let mut seen = match &identity.loader_variables {
        Some(names) => names.clone(),
        None => vec!["environment unreadable".to_owned()],
    };
    if identity.tracer.is_some() {
        seen.push("traced".to_owned());
    }
    if identity.same_user_namespace != Some(true) {
        seen.push("other user namespace".to_owned());
    }
    if identity.same_pid_namespace != Some(true) {
        seen.push("other process namespace".to_owned());
    }
    if identity.same_mount_namespace != Some(true) {
        seen.push("other mount namespace".to_owned());
    }
    seen
}

/// What is left to say of a caller that hides everything.
pub(crate) fn hidden(pid: u32) -> caller::CallerFacts {
    caller::CallerFacts {
        process: caller::ProcessFacts { pid, ..caller::ProcessFacts::default() },
        tampered: vec!["hidden".to_owned()],
        ..caller::CallerFacts::default()
    }
}

/// The facts by which a person is recognised. `agents` says of the caller and each of its parents, nearest first,
/// whether it looks like a registered agent; where it is too short, the parents are taken for what they are.
pub(crate) fn person(probe: &kernel::PersonProbe, uid: u32, agents: &[bool]) -> rules::PersonFacts {
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
            .map(|(index, hop)| parent(hop, is_agent(index)))
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

fn parent(hop: &kernel::Hop, is_agent: bool) -> rules::Hop {
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
        vouched: false,
    }
}
