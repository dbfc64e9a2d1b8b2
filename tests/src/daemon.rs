//! A running daemon and what it says.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use agentauth_api::paths;
use rustix::process::Signal;

use crate::process::Owned;
use crate::raw::Raw;
use crate::wait;

/// How much of the log a failing test shows.
const TAIL: usize = 6_000;

/// A running daemon, killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    process: Owned,
}

impl Daemon {
    /// Starts it, with its output appended to files in `home`, and waits until it answers on `socket`.
    ///
    /// # Panics
    /// When it ends or does not answer.
    #[track_caller]
    pub fn start(command: Command, home: &Path, socket: &Path) -> Self {
        let mut daemon = Self::spawn(command, home);
        let process = &mut daemon.process;
        let answers = wait::within(wait::PATIENCE, || {
            if let Some(status) = process.exited() {
                panic!("the daemon ended with {status} at its start:\n{}", tail(home));
            }
            Raw::connect(socket)
                .and_then(|mut raw| raw.ask("GET", paths::HEALTHZ, None, None))
                .is_ok_and(|answer| answer.status == 200)
                .then_some(())
        });
        assert!(answers.is_some(), "the daemon did not answer:\n{}", tail(home));
        daemon
    }

    /// Starts it, with its output appended to files in `home`.
    pub fn spawn(mut command: Command, home: &Path) -> Self {
        command.stdin(Stdio::null()).stdout(append(home, "daemon.out")).stderr(append(home, "daemon.err"));
        Self { process: Owned::start(&mut command) }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Asks it to stop and waits for its end.
    ///
    /// # Panics
    /// When it does not stop in good order.
    #[track_caller]
    pub fn terminate(mut self) {
        self.process.signal(Signal::TERM);
        let status = self.process.wait();
        assert!(status.success(), "the daemon ended with {status} when asked to stop");
    }

    /// Kills it at once.
    pub fn kill(mut self) {
        self.process.kill();
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.process.exited()
    }
}

/// Everything that daemons of this home wrote.
pub fn output(home: &Path) -> String {
    let read =
        |name| String::from_utf8_lossy(&std::fs::read(home.join(name)).unwrap_or_default()).into_owned();
    read("daemon.out") + &read("daemon.err")
}

/// The end of what they wrote.
pub fn tail(home: &Path) -> String {
    let all = output(home);
    let mut from = all.len().saturating_sub(TAIL);
    while !all.is_char_boundary(from) {
        from += 1;
    }
    all[from..].to_owned()
}

fn append(home: &Path, name: &str) -> File {
    OpenOptions::new().create(true).append(true).open(home.join(name)).unwrap()
}
