//! The way from the launcher to the program, on Linux.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use rustix::thread::set_no_new_privs;

use super::{Covers, LaunchError, Marks, Program, covers, walls};
use crate::harden;

/// This process's own program, whatever became of its file.
const OWN_EXECUTABLE: &str = "/proc/self/exe";

/// Starts the launcher's own executable anew, to become the program: it must hand `take_over`, its command line, to
/// [`become_program`]. Standard input, output and error are this process's. Call it on the thread that lives as long as
/// the process.
///
/// # Errors
/// What the system says.
pub fn start(program: &Program, take_over: &[OsString]) -> Result<u32, LaunchError> {
    #[allow(clippy::disallowed_methods, reason = "the launcher starts what it launches, and nothing else")]
    let mut command = Command::new(OWN_EXECUTABLE);
    command.arg0("agentauthd").args(take_over).arg("--").arg(&program.executable).args(&program.arguments);
    command.env_clear().envs(program.environment.iter().map(|(name, value)| (name, value)));
    let child = command.spawn().map_err(LaunchError::step("start the process that becomes the program"))?;
    Ok(child.id())
}

/// Marks and confines this process, and becomes the program. Returns only when that fails, and the process must end
/// then. Descriptors other than the standard three are closed, so that nothing open in the launcher's surroundings
/// gets through the walls.
pub fn become_program(marks: &Marks, executable: &Path, arguments: &[OsString]) -> LaunchError {
    match prepare(marks) {
        Ok(()) => {
            #[allow(
                clippy::disallowed_methods,
                reason = "this process becomes the program that was launched"
            )]
            let source = Command::new(executable).args(arguments).exec();
            LaunchError::Run { executable: executable.to_owned(), source }
        }
        Err(error) => error,
    }
}

/// Whether the kernel can confine.
#[must_use]
pub fn can_confine() -> bool {
    walls::supported()
}

/// Whether the kernel looks at connections to sockets that have a path.
#[must_use]
pub fn sees_connections() -> bool {
    walls::sees_connections()
}

/// Starts the launcher's own executable anew, to lay covers and end: it must hand `rehearsal`, its command line, to
/// [`rehearse`], and exit with 0 only if that succeeds.
///
/// # Errors
/// [`LaunchError::NoCovers`] with what it says.
pub fn try_covers(rehearsal: &[OsString]) -> Result<(), LaunchError> {
    const STEP: &str = "try what can be kept from the program";
    #[allow(clippy::disallowed_methods, reason = "the launcher tries what it will do to what it launches")]
    let mut command = Command::new(OWN_EXECUTABLE);
    command.arg0("agentauthd").args(rehearsal).env_clear().stdin(Stdio::null());
    let tried = command.output().map_err(LaunchError::step(STEP))?;
    if tried.status.success() {
        return Ok(());
    }
    Err(LaunchError::NoCovers(String::from_utf8_lossy(&tried.stderr).trim().to_owned()))
}

/// Lays covers in this process, to see whether that can be done here.
///
/// # Errors
/// What the system says.
pub fn rehearse(covers: &Covers) -> Result<(), LaunchError> {
    covers::cover(covers)
}

fn prepare(marks: &Marks) -> Result<(), LaunchError> {
    harden::private_files().map_err(LaunchError::step("make new files private"))?;
    close_all_but_three().map_err(LaunchError::step("close what was left open"))?;
    if let Some(covers) = marks.walls.as_ref().and_then(|walls| walls.covers.as_ref()) {
        covers::cover(covers)?;
    }
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(LaunchError::step("have the program end with its launcher"))?;
    // It may have ended before that took hold.
    if getppid().map(|parent| parent.as_raw_nonzero().get()) != i32::try_from(marks.launcher).ok() {
        return Err(LaunchError::LauncherGone);
    }
    set_no_new_privs(true).map_err(LaunchError::step("give up gaining privileges"))?;
    if let Some(walls) = &marks.walls {
        walls::stay_within(walls)?;
        walls::keep_from_typing()?;
    }
    Ok(())
}

fn close_all_but_three() -> std::io::Result<()> {
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        open.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // The one by which they were listed is closed already.
        let _ = nix::unistd::close(descriptor);
    }
    Ok(())
}
