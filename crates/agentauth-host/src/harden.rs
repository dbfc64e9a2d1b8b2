//! What keeps this process's memory and files to itself.

use std::io;

/// One thing that was attempted, and how it went.
#[derive(Debug)]
pub struct Step {
    /// What, in words: `no core dumps`.
    pub what: &'static str,
    /// Whether it is in force now.
    pub outcome: Result<(), io::Error>,
}

/// Does everything in this module that the system knows, and says how each went. Call it first thing in the process:
/// the file mask and the limits are the whole process's, and children inherit the mask and the limits.
pub fn all() -> Vec<Step> {
    #[cfg(unix)]
    {
        vec![
            Step { what: "new files are private", outcome: private_files() },
            Step { what: "no core dumps", outcome: no_core_dumps() },
            Step { what: "room for connections", outcome: room_for_connections() },
            #[cfg(target_os = "linux")]
            Step { what: "no reading of memory by the user's other processes", outcome: not_dumpable() },
        ]
    }
    #[cfg(not(unix))]
    Vec::new()
}

/// Files and sockets made from now on are the owner's alone (umask 077).
///
/// # Errors
/// None on any known system.
#[cfg(unix)]
pub fn private_files() -> io::Result<()> {
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    Ok(())
}

/// No core file holds our secrets (`RLIMIT_CORE` 0, hard, so that nothing raises it again). A crash handler behind a
/// pipe in `core_pattern` is not bound by it; [`not_dumpable`] is what stops that one.
///
/// # Errors
/// What the kernel says.
#[cfg(unix)]
pub fn no_core_dumps() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}

/// As many open files as the system allows this process (`RLIMIT_NOFILE`'s soft limit raised to the hard one): a
/// caller costs several descriptors, and without any left nobody would get an answer. Never lowers the limit.
///
/// # Errors
/// What the kernel says.
#[cfg(unix)]
pub fn room_for_connections() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // macOS refuses more than this, whatever the hard limit says (`OPEN_MAX` in its sys/syslimits.h).
    let most = if cfg!(target_os = "macos") { 10_240 } else { u64::MAX };
    let wanted = limit.maximum.unwrap_or(u64::MAX).min(most);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let current = (wanted != u64::MAX).then_some(wanted);
    Ok(setrlimit(Resource::Nofile, Rlimit { current, maximum: limit.maximum })?)
}

/// How many files, sockets included, this process may have open at once; `u64::MAX` where nothing limits it.
#[must_use]
pub fn descriptors() -> u64 {
    #[cfg(unix)]
    {
        rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
    }
    #[cfg(not(unix))]
    u64::MAX
}

/// Same-uid processes can neither trace this one nor read its memory, environment or descriptors
/// (`PR_SET_DUMPABLE` 0). Undone by an `execve`. Does not bind root, nor hinder us in reading others.
///
/// # Errors
/// What the kernel says.
#[cfg(target_os = "linux")]
pub fn not_dumpable() -> io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn the_limit_of_open_files_is_raised_to_the_hard_one_and_never_lowered() {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(128), maximum }).unwrap();
        assert_eq!(descriptors(), 128);
        for _ in 0..2 {
            room_for_connections().unwrap();
            if cfg!(target_os = "linux") {
                assert_eq!(descriptors(), maximum.unwrap_or(u64::MAX));
            } else {
                assert!(descriptors() > 128);
            }
        }
    }

    #[test]
    fn every_step_succeeds_and_is_in_force() {
        for step in all() {
            assert!(step.outcome.is_ok(), "{step:?}");
        }
        #[cfg(target_os = "linux")]
        {
            use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit, umask};
            assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
            assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
            let mask = umask(rustix::fs::Mode::from_raw_mode(0o077));
            assert_eq!(mask.bits(), 0o077);
        }
    }
}
