//! Where agents are started by `agentauthd exec`: a world of a plain user (also when the test runs as root), with a
//! worker that does what it is told.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::arena::{PAY, command_of, own, plain_user};
use crate::cli::{Outcome, Running};
use crate::{ALICE, AgentSpec, Person, Provider, World, WorldOptions, binaries, wait};

/// The worker's script, in the shop: beside it are no files but its own.
const WORKER: &str = "program/worker.py";

/// The world, logged in, and a directory of programs.
pub struct Shop {
    /// The world.
    pub world: World,
    directory: tempfile::TempDir,
}

impl Shop {
    /// The agents: `probe-agent` (a pinned program) and `worker` (a script, which may pay, and whose manifest
    /// asks for reading the directory `asked` and writing in `drafts`).
    pub fn open() -> Self {
        Self::with(WorldOptions::default())
    }

    /// The same in a world set up so; `agents` come in addition.
    pub fn with(options: WorldOptions) -> Self {
        let directory = tempfile::Builder::new().prefix("shop").tempdir().unwrap();
        let place = directory.path().canonicalize().unwrap();
        for made in ["asked", "other", "drafts", "program"] {
            std::fs::create_dir(place.join(made)).unwrap();
        }
        std::fs::write(place.join(WORKER), include_str!("programs/worker.py")).unwrap();
        for name in ["probe-agent", "attacker"] {
            std::fs::copy(binaries::program(name), place.join(name)).unwrap();
        }
        let uid = plain_user();
        own(uid, &place);
        let probe = AgentSpec { executable: place.join("probe-agent"), ..AgentSpec::probe() };
        let of_place = |action: &str, part: &str| format!("files.{action}:{}/{part}", place.display());
        let worker = AgentSpec {
            name: "worker".to_owned(),
            executable: crate::arena::python(),
            pinned: false,
            script: Some(place.join(WORKER)),
            cgroup: None,
            scopes: vec![PAY.to_owned(), of_place("read", "asked"), of_place("write", "drafts")],
            grants: vec![PAY.to_owned()],
        };
        let mut agents = options.agents;
        agents.retain(|agent| agent.name != probe.name);
        agents.extend([probe, worker]);
        let world = World::with(
            &Provider::start(),
            WorldOptions { agents, uid, log_filter: "info".to_owned(), ..options },
        );
        world.login(ALICE);
        let shop = Self { world, directory };
        for file in [WORKER, "probe-agent"] {
            shop.wait_until_settled(&place.join(file));
        }
        shop
    }

    /// A place where the worker may write.
    pub fn place(&self) -> PathBuf {
        self.directory.path().canonicalize().unwrap()
    }

    /// The worker's script.
    pub fn script(&self) -> PathBuf {
        self.place().join(WORKER)
    }

    /// A file there, as an argument.
    pub fn word(&self, name: &str) -> String {
        self.place().join(name).to_str().unwrap().to_owned()
    }

    /// A program, started as the world's user in a clean environment.
    pub fn program(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        command_of(plain_user(), program)
    }

    /// `agentauthd exec`, to be confirmed by signing in.
    pub fn command(&self, flags: &[&str], arguments: &[&str]) -> Command {
        let words = [&["exec", "--reauth", "--no-browser"], flags, &["--"], arguments].concat();
        self.world.command(&words)
    }

    /// Starts an agent by a fresh login of Alice's.
    #[track_caller]
    pub fn start(&self, flags: &[&str], arguments: &[&str]) -> Running {
        self.confirmed(self.command(flags, arguments), ALICE)
    }

    /// Starts the worker, and waits for its end.
    #[track_caller]
    pub fn work(&self, code: &str) -> Outcome {
        self.start(&["--agent", "worker"], &[code]).finish()
    }

    /// Starts a command, and signs this person in for it.
    #[track_caller]
    pub fn confirmed(&self, mut command: Command, person: Person) -> Running {
        command.stdin(Stdio::piped());
        let mut running = Running::start_with_input(command);
        let url = wait::until("the address to sign in at", || {
            let so_far = running.so_far();
            assert!(so_far.code.is_none(), "{so_far:#?}");
            // In a terminal all of it is one stream.
            let said = if so_far.stderr.is_empty() { so_far.stdout } else { so_far.stderr };
            let line = said.lines().find(|line| line.contains("code_challenge="))?.trim().to_owned();
            said.ends_with('\n').then_some(line)
        });
        self.world.provider.sign_in(&url, person.email, person.password);
        running
    }

    /// The records of one kind.
    pub fn records(&self, kind: &str) -> Vec<Value> {
        self.world.records(kind)
    }

    /// What was changed a moment ago is believed less.
    pub fn wait_until_settled(&self, file: &Path) {
        let changed = std::fs::metadata(file).unwrap().ctime();
        wait::until_true("the file to have been left alone for a while", || {
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
                > changed as u64 + 2
        });
    }
}

impl Default for Shop {
    fn default() -> Self {
        Self::open()
    }
}

/// The last answer that a program printed.
#[track_caller]
pub fn answer(outcome: &Outcome) -> Value {
    let line = outcome.stdout.lines().last().unwrap_or_else(|| panic!("no answer: {outcome:#?}"));
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {outcome:#?}"))
}

/// That it is an allow for this agent alone, as one that was launched.
#[track_caller]
pub fn assert_launched(answer: &Value, agent: &str) {
    assert_eq!(
        (&answer["decision"], &answer["assurance"], &answer["agents"]),
        (&json!("allow"), &json!("launched"), &json!([agent])),
        "{answer}"
    );
}
