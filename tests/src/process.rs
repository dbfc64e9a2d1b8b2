//! Child processes that end with the test, and what `/proc` says of processes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// A child process, killed when dropped.
#[derive(Debug)]
pub struct Owned {
    child: Child,
    what: String,
    reaped: Option<ExitStatus>,
}

impl Owned {
    /// Starts a program.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> Self {
        let what = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start `{what}`: {error}"));
        Self { child, what, reaped: None }
    }

    /// The child itself, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal; nothing once it has been reaped.
    pub fn signal(&mut self, signal: Signal) {
        if self.exited().is_none() {
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.reaped.is_none() {
            self.reaped = self.child.try_wait().unwrap();
        }
        self.reaped
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let what = format!("the end of `{}`", self.what);
        wait::until(&what, || self.exited())
    }

    /// Kills it at once, as `kill -9` does, and waits for its end.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait().map(|status| self.reaped.get_or_insert(status).to_owned());
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if self.exited().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Whether a process still runs: one that has ended and waits to be collected does not.
pub fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// The letter that the kernel gives a process's state (`T` stopped, `Z` ended and not collected, …); nothing once it
/// is gone.
pub fn state(pid: u32) -> Option<char> {
    let stat = String::from_utf8(proc_file(pid, "stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// What a process executes.
pub fn executable(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// A file below `/proc/<pid>`; empty where there is none.
pub fn proc_file(pid: u32, name: &str) -> Vec<u8> {
    std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default()
}

/// Resident memory in bytes.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let status = String::from_utf8(proc_file(pid, "status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Every file below a directory.
pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files_below(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}
