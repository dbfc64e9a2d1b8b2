//! What the tests with real processes share: a socket of one's own, Python as the other process, and patience.

use std::{
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use agentauth_ipc::{CredStream, Listener, Peer, listen};

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct House {
    pub directory: tempfile::TempDir,
    pub listener: Listener,
}

impl House {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = listen(&socket_below(&directory), me()).unwrap();
        Self { directory, listener }
    }

    pub fn socket(&self) -> &Path {
        self.listener.path()
    }

    /// The next caller, who must come soon.
    pub async fn accept(&self) -> (CredStream, Peer) {
        soon(self.listener.accept()).await.unwrap()
    }

    /// Runs Python code in which `s` is connected to the socket and `hold()` waits for a line on standard input.
    pub fn python(&self, code: &str) -> Process {
        let connect = "import os, socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n";
        let hold = "def hold():\n    sys.stdin.readline()\n";
        self.python_bare(&format!("{connect}{hold}{code}"))
    }

    /// Runs Python code with the socket's path in `sys.argv[1]`.
    pub fn python_bare(&self, code: &str) -> Process {
        let mut command = command("python3");
        command.arg("-c").arg(code).arg(self.socket());
        Process::start(&mut command)
    }
}

/// A process that is ended with its test.
pub struct Process(pub Child);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::piped()).spawn();
        Self(child.unwrap_or_else(|error| panic!("these tests need `{name}` on this machine: {error}")))
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Gives the process the line that it waits for.
    pub fn go_on(&mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    pub fn end(&mut self) {
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

pub fn command(program: &str) -> Command {
    #[allow(clippy::disallowed_methods, reason = "these tests are about other processes")]
    let mut command = Command::new(program);
    // What the machine happens to set must not show up among the facts.
    command.env_remove("PYTHONPATH").env_remove("LD_LIBRARY_PATH");
    command
}

pub fn socket_below(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("agentauthd/agent.sock")
}

pub fn me() -> u32 {
    std::fs::metadata("/proc/self").unwrap().uid()
}

pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("that should have happened long ago")
}

/// Waits until `condition` holds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    #[allow(clippy::disallowed_methods, reason = "the patience of a test")]
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
