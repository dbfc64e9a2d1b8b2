//! The payment agent: what it asks for, and how it is run.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::binaries::{self, BinaryError};

/// What it cannot work without.
pub const PAY: &str = "payments.execute:currency=EUR";
/// What it would like to do, too.
pub const LOOK: &str = "payments.read:currency=EUR";

/// How old a file's last change has to be, at least.
const SETTLED_SECONDS: i64 = 2;

/// Why the agent could not take part.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Its files could not be laid out.
    #[error("cannot put the payment agent into `{}`", path.display())]
    Files {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It is missing.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// It could not be started.
    #[error("cannot start the payment agent `{}`", program.display())]
    Start {
        /// What was started.
        program: PathBuf,
        /// Why that failed.
        #[source]
        cause: io::Error,
    },
    /// It printed no decision.
    #[error("the payment agent printed no decision (exit code {code:?}): {said}")]
    NoDecision {
        /// Its exit code.
        code: Option<i32>,
        /// What it said instead.
        said: String,
    },
}

/// A payment agent, and a copy of it elsewhere that nobody registers.
#[derive(Clone, Debug)]
pub struct PaymentAgent {
    program: PathBuf,
    copy: PathBuf,
}

/// What an agent was told, and what it did.
#[derive(Clone, Debug)]
pub struct Told {
    /// `allow` or `deny`.
    pub decision: String,
    /// The stable reason.
    pub reason: String,
    /// For the person.
    pub message: String,
    /// What would turn a deny into an allow.
    pub remedy: Option<String>,
    /// How long the question took, greeting not included.
    pub took: Option<Duration>,
    /// The agent's exit code.
    pub exit_code: Option<i32>,
}

impl PaymentAgent {
    /// Lays the agent's copy out below `directory`.
    ///
    /// # Errors
    /// When a file cannot be written or the program is missing.
    pub fn set_up(directory: &Path) -> Result<Self, AgentError> {
        let files = |cause| AgentError::Files { path: directory.to_owned(), cause };
        let elsewhere = directory.join("elsewhere");
        fs::create_dir_all(&elsewhere).map_err(files)?;
        let program = binaries::agent()?;
        let copy = elsewhere.join("payment-agent");
        fs::copy(&program, &copy).map_err(|_| BinaryError::Missing { path: program.clone() })?;
        settle(&program, &elsewhere.join("now")).map_err(files)?;
        Ok(Self { program, copy })
    }

    /// What it says of itself.
    #[must_use]
    pub fn manifest() -> Value {
        json!({
            "name": "payment-agent",
            "version": "1.0.0",
            "scopes": [
                {"scope": PAY, "purpose": "pay supplier invoices", "required": true},
                {"scope": LOOK, "purpose": "see which invoices are paid"},
            ],
        })
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The command line that has it ask for `scope`.
    #[must_use]
    pub fn command_line(&self, socket: &Path, scope: &str) -> String {
        format!("{} --socket {} --scope {scope}", self.program.display(), socket.display())
    }

    /// The agent asks a daemon for `scope`.
    ///
    /// # Errors
    /// When it cannot be started or prints no decision.
    pub fn ask(&self, socket: &Path, scope: &str) -> Result<Told, AgentError> {
        run(&self.program, socket, &["--scope", scope])
    }

    /// The copy asks.
    ///
    /// # Errors
    /// As [`PaymentAgent::ask`].
    pub fn ask_as_copy(&self, socket: &Path, scope: &str) -> Result<Told, AgentError> {
        run(&self.copy, socket, &["--scope", scope])
    }

    /// The agent answers a question in its person's place: itself, and through the person's own command line.
    ///
    /// # Errors
    /// As [`PaymentAgent::ask`].
    pub fn approve_itself(&self, socket: &Path, question: &str, cli: &[&str]) -> Result<Told, AgentError> {
        let mut arguments = vec!["--approve", question];
        arguments.extend(cli.iter().flat_map(|word| ["--cli", word]));
        run(&self.program, socket, &arguments)
    }
}

/// Waits until the program's file has been as it is for a while: the daemon takes none for proven that was just written.
fn settle(program: &Path, probe: &Path) -> io::Result<()> {
    let changed = fs::metadata(program)?.ctime();
    loop {
        fs::write(probe, "")?;
        if fs::metadata(probe)?.ctime() > changed + SETTLED_SECONDS {
            return fs::remove_file(probe);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn run(program: &Path, socket: &Path, arguments: &[&str]) -> Result<Told, AgentError> {
    let mut command = binaries::program(program);
    // A clean environment: a loader variable in it would lower how well the agent is proven.
    command.env_clear().arg("--json").arg("--socket").arg(socket).args(arguments);
    let output =
        command.output().map_err(|cause| AgentError::Start { program: program.to_owned(), cause })?;
    let exit_code = output.status.code();
    let no_decision = || AgentError::NoDecision {
        code: exit_code,
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    };
    let decision: Value = serde_json::from_slice(&output.stdout).map_err(|_| no_decision())?;
    let text = |name: &str| decision.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Told {
        decision: text("decision").ok_or_else(no_decision)?,
        reason: text("reason").ok_or_else(no_decision)?,
        message: text("message").unwrap_or_default(),
        remedy: text("remedy"),
        took: decision.get("asked_in_us").and_then(Value::as_u64).map(Duration::from_micros),
        exit_code,
    })
}
