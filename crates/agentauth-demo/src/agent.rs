//! The payment agent: how it is registered, and how it is run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::binaries::{self, BinaryError};

/// What the agent asks for.
pub const SCOPE: &str = "payments.execute:currency=EUR";

/// The sample agent, so that the demonstration does not depend on where it was built.
const PYTHON_AGENT: &str = include_str!("../../../docs/examples/payment_agent.py");

/// What the agent is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// `docs/examples/payment_agent.py`, with nothing but the standard library. What runs it is an interpreter, so it is
    /// not proven well enough to move money.
    Python,
    /// Its twin: a compiled program, recognised by its digest.
    Rust,
}

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
    /// The twin is missing.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// There is no Python, though it was asked for.
    #[error("there is no Python 3 on this machine; leave --agent out, or pass --agent rust")]
    NoPython,
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

/// A payment agent: the registered one, and a copy of it elsewhere that nobody registered.
#[derive(Clone, Debug)]
pub struct PaymentAgent {
    program: PathBuf,
    /// SHA-256 of a compiled program.
    digest: Option<String>,
    script: Option<PathBuf>,
    stranger_program: PathBuf,
    stranger_script: Option<PathBuf>,
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
    /// How well the agent was proven.
    pub assurance: String,
    /// How long the question took, greeting not included.
    pub took: Option<Duration>,
    /// The agent's exit code.
    pub exit_code: Option<i32>,
}

impl PaymentAgent {
    /// Lays the agent out below `directory`.
    ///
    /// # Errors
    /// When a file cannot be written or a program is missing.
    pub fn set_up(directory: &Path, language: Option<Language>) -> Result<Self, AgentError> {
        let elsewhere = directory.join("elsewhere");
        let files = |cause| AgentError::Files { path: directory.to_owned(), cause };
        fs::create_dir_all(&elsewhere).map_err(files)?;
        if language == Some(Language::Python) {
            let python = binaries::python().ok_or(AgentError::NoPython)?;
            let copy = elsewhere.join("payment_agent.py");
            fs::write(&copy, PYTHON_AGENT).map_err(files)?;
            let original = binaries::checkout().map(|root| root.join("docs/examples/payment_agent.py"));
            let script = match original
                .filter(|path| fs::read_to_string(path).is_ok_and(|text| text == PYTHON_AGENT))
            {
                Some(original) => original,
                None => {
                    let script = directory.join("payment_agent.py");
                    fs::write(&script, PYTHON_AGENT).map_err(files)?;
                    script
                }
            };
            return Ok(Self {
                program: python.clone(),
                digest: None,
                script: Some(script),
                stranger_program: python,
                stranger_script: Some(copy),
            });
        }
        let program = binaries::neighbour("payment-agent")?;
        let copy = elsewhere.join("payment-agent");
        fs::copy(&program, &copy).map_err(|_| BinaryError::Missing { path: program.clone() })?;
        let bytes = fs::read(&program).map_err(|_| BinaryError::Missing { path: program.clone() })?;
        let digest = Some(hex::encode(Sha256::digest(bytes)));
        Ok(Self { program, digest, script: None, stranger_program: copy, stranger_script: None })
    }

    /// The file that registers the agent: what it is, how it is recognised, what it was granted.
    #[must_use]
    pub fn registration(&self) -> Value {
        let mut selectors = json!({"executable": self.program});
        if let Some(selectors) = selectors.as_object_mut() {
            selectors.extend(self.script.iter().map(|script| ("script".to_owned(), json!(script))));
            selectors.extend(self.digest.iter().map(|digest| ("sha256".to_owned(), json!(digest))));
        }
        json!({
            "manifest": {
                "name": "payment-agent",
                "version": "1.0.0",
                "scopes": [{"scope": SCOPE, "purpose": "pay supplier invoices", "required": true}],
            },
            "selectors": selectors,
            "grants": [{"scope": SCOPE, "lifetime": "until_revoked"}],
        })
    }

    /// What it is told when its person may pay: who is proven by a path alone moves no money.
    #[must_use]
    pub fn due(&self) -> (&'static str, &'static str) {
        if self.digest.is_some() { ("allow", "granted") } else { ("deny", "policy_forbids") }
    }

    /// What recognises it.
    #[must_use]
    pub fn recognised_by(&self) -> &Path {
        self.script.as_deref().unwrap_or(&self.program)
    }

    /// The command line that runs it.
    #[must_use]
    pub fn command_line(&self, socket: &Path) -> String {
        let script = self.script.as_ref().map(|script| format!(" {}", script.display())).unwrap_or_default();
        format!("{}{script} --socket {}", self.program.display(), socket.display())
    }

    /// Runs the registered agent against a daemon.
    ///
    /// # Errors
    /// When it cannot be started or prints no decision.
    pub fn run(&self, socket: &Path) -> Result<Told, AgentError> {
        ask(&self.program, self.script.as_deref(), socket)
    }

    /// Runs the copy that nobody registered.
    ///
    /// # Errors
    /// As [`PaymentAgent::run`].
    pub fn run_stranger(&self, socket: &Path) -> Result<Told, AgentError> {
        ask(&self.stranger_program, self.stranger_script.as_deref(), socket)
    }
}

fn ask(program: &Path, script: Option<&Path>, socket: &Path) -> Result<Told, AgentError> {
    let mut command = binaries::program(program);
    // A clean environment: a loader variable in it would lower how well the agent is proven.
    command.env_clear().args(script).arg("--json").arg("--socket").arg(socket);
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
        assurance: text("assurance").unwrap_or_default(),
        took: decision.get("asked_in_us").and_then(Value::as_u64).map(Duration::from_micros),
        exit_code,
    })
}
