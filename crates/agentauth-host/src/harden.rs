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
/// the file mask and the limits are the whole process's, and children inherit the mask and the core limit.
pub fn all() -> Vec<Step> {
    #[cfg(unix)]
    {
        vec![
            Step { what: "new files are private", outcome: private_files() },
            Step { what: "no core dumps", outcome: no_core_dumps() },
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
