//! The command line, as a person or a script uses it.

use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::{Owned, proc_file};
use crate::wait;

/// What a command did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its exit code; nothing if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Outcome {
    /// Standard output as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// Standard output as JSON lines.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        let parsed = self.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>();
        parsed.unwrap_or_else(|error| panic!("not JSON lines ({error}): {self:?}"))
    }

    /// Both outputs.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// A command that runs, its output going to files.
#[derive(Debug)]
pub struct Running {
    process: Owned,
    stdout: File,
    stderr: File,
}

impl Running {
    /// Starts it without standard input.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null());
        Self::start_with_input(command)
    }

    /// Starts it with whatever standard input the command says.
    pub fn start_with_input(mut command: Command) -> Self {
        let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
        Self { process: Owned::start(&mut command), stdout, stderr }
    }

    /// The process.
    pub fn process(&mut self) -> &mut Owned {
        &mut self.process
    }

    /// What it wrote so far.
    pub fn so_far(&mut self) -> Outcome {
        let code = self.process.exited().and_then(|status| status.code());
        Outcome { code, stdout: read(&mut self.stdout), stderr: read(&mut self.stderr) }
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(mut self) -> Outcome {
        if wait::within(wait::PATIENCE, || self.process.exited()).is_none() {
            panic!("the command did not end; so far: {:#?}", self.so_far());
        }
        self.so_far()
    }
}

/// Runs a command to its end.
#[track_caller]
pub fn run(command: Command) -> Outcome {
    Running::start(command).finish()
}

/// A login under way.
#[derive(Debug)]
pub struct LoginRun {
    /// What to open in the browser.
    pub url: String,
    /// The command's `/proc/<pid>/cmdline` and `/proc/<pid>/environ` while it ran.
    pub seen_by_others: Vec<u8>,
    running: Running,
}

impl LoginRun {
    /// Starts the command and waits until it has printed a URL.
    #[track_caller]
    pub fn begin(command: Command) -> Self {
        let mut running = Running::start(command);
        let found = wait::within(wait::PATIENCE, || {
            let so_far = running.so_far();
            let url = url_in(&so_far.all());
            assert!(url.is_some() || so_far.code.is_none(), "the login ended without a URL: {so_far:#?}");
            url
        });
        let url = found.unwrap_or_else(|| panic!("the login printed no URL: {:#?}", running.so_far()));
        let pid = running.process.pid();
        let seen_by_others = [proc_file(pid, "cmdline"), proc_file(pid, "environ")].concat();
        Self { url, seen_by_others, running }
    }

    /// The redirect URI that the URL carries.
    pub fn redirect_uri(&self) -> reqwest::Url {
        reqwest::Url::parse(&self.parameter("redirect_uri")).unwrap()
    }

    /// A parameter of the URL.
    #[track_caller]
    pub fn parameter(&self, name: &str) -> String {
        let url = reqwest::Url::parse(&self.url).unwrap();
        let found = url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned());
        found.unwrap_or_else(|| panic!("the login URL has no `{name}`"))
    }

    /// The command, as far as it got.
    pub fn running(&mut self) -> &mut Running {
        &mut self.running
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(self) -> Outcome {
        self.running.finish()
    }
}

/// The authorization URL in a text, once it stands there with its whole line.
fn url_in(text: &str) -> Option<String> {
    let from = text.match_indices("http").map(|(at, _)| &text[at..]).find(|rest| {
        let url = rest.split_whitespace().next().unwrap_or_default();
        url.contains("code_challenge=")
    })?;
    let end = from.find(char::is_whitespace)?;
    Some(from[..end].to_owned())
}

fn read(file: &mut File) -> String {
    // The writer shares the file's position: read through a handle of its own.
    let mut own = File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file))).unwrap();
    own.rewind().unwrap();
    let mut bytes = Vec::new();
    own.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}
