//! A plain user's machine (also when the test runs as root) with two agents: `tool`, which runs whatever it is told, and
//! `other`, which was allowed to move money. What was allowed and registered is told before and after.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use agentauth_core::catalogue::Catalogue;
use serde_json::{Value, json};

use crate::{ALICE, AgentSpec, Provider, World, WorldOptions, binaries, cli, wait};

/// What can be undone.
pub const READ: &str = "files.read:/projects";
/// What costs money.
pub const PAY: &str = "payments.execute:currency=EUR";

/// Whose machine it is when the test runs as root, unless said otherwise.
const PLAIN_USER: u32 = 64_321;
/// No answer in a terminal or on the page gives anything for longer.
const A_DAY: i64 = 25 * 3600;

/// The machine, with Alice logged in.
pub struct Household {
    /// The world.
    pub world: World,
    programs: tempfile::TempDir,
    uid: Option<u32>,
}

impl Household {
    /// A plain user's.
    pub fn new() -> Self {
        Self::with(None, |_| {})
    }

    /// The same of this user, with other options.
    pub fn with(uid: Option<u32>, change: impl FnOnce(&mut WorldOptions)) -> Self {
        let uid = uid.or_else(|| rustix::process::geteuid().is_root().then_some(PLAIN_USER));
        let programs = tempfile::Builder::new().prefix("house").tempdir().unwrap();
        for name in ["tool", "other", "stranger"] {
            std::fs::copy(binaries::program("probe-agent"), programs.path().join(name)).unwrap();
        }
        let agent = |name: &str, scopes: &[&str], grants: &[&str]| AgentSpec {
            name: name.to_owned(),
            executable: programs.path().canonicalize().unwrap().join(name),
            pinned: true,
            script: None,
            cgroup: None,
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            grants: grants.iter().map(|&scope| scope.to_owned()).collect(),
        };
        let agents = vec![agent("tool", &[READ, PAY], &[]), agent("other", &[READ, PAY], &[PAY])];
        let mut options =
            WorldOptions { agents, uid, log_filter: "info".to_owned(), ..WorldOptions::default() };
        change(&mut options);
        let world = World::with(&Provider::start(), options);
        world.give(programs.path());
        world.login(ALICE);
        let house = Self { world, programs, uid };
        wait::until_true("the programs to settle", || house.check("other", READ)["assurance"] == "pinned");
        house
    }

    /// A program of the household: `tool`, `other`, or `stranger`, which is nobody's agent.
    pub fn place(&self, name: &str) -> PathBuf {
        self.programs.path().canonicalize().unwrap().join(name)
    }

    /// The same, as an argument.
    pub fn word(&self, name: &str) -> String {
        self.place(name).to_str().unwrap().to_owned()
    }

    /// Writes a file that belongs to the user.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.place(name);
        std::fs::write(&path, text).unwrap();
        self.world.give(&path);
        path
    }

    /// A program that runs as the user.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = match self.uid {
            None => binaries::command(program),
            Some(uid) => {
                let mut command = binaries::command("setpriv");
                command.args([&format!("--reuid={uid}"), &format!("--regid={uid}"), "--clear-groups"]);
                command.arg(program.as_ref());
                command
            }
        };
        command.current_dir(self.programs.path()).env("HOME", self.world.home());
        command
    }

    /// The tool, which is told to run this.
    pub fn tool(&self, words: &[&str]) -> Command {
        let mut command = self.command(self.place("tool"));
        command.arg("--run").args(words);
        command
    }

    /// One request of a program's, which greets.
    #[track_caller]
    pub fn request(&self, program: &str, method: &str, path: &str, body: &Value) -> Value {
        let mut command = self.command(self.place(program));
        command.arg("--socket").arg(self.world.socket());
        command.args(["--request", method, path, &body.to_string()]);
        cli::run(command).json()
    }

    /// An agent's check.
    #[track_caller]
    pub fn check(&self, program: &str, scope: &str) -> Value {
        self.request(program, "POST", "/v1/check", &json!({"scope": scope}))
    }

    /// The question that the tool's check opens or joins.
    #[track_caller]
    pub fn question(&self, scope: &str) -> String {
        self.question_of("tool", scope)
    }

    /// The same of a program of the household's.
    #[track_caller]
    pub fn question_of(&self, program: &str, scope: &str) -> String {
        let answer = self.check(program, scope);
        answer["consents"][0].as_str().unwrap_or_else(|| panic!("no question: {answer}")).to_owned()
    }

    /// The records of one kind.
    pub fn records(&self, kind: &str) -> Vec<Value> {
        self.world.records(kind)
    }

    /// Everything that anybody may do, as it stands.
    #[track_caller]
    pub fn rights(&self) -> Rights {
        let list = |arguments: &[&str], name: &str| -> Vec<Value> {
            self.world.cli(arguments).json()[name].as_array().unwrap().clone()
        };
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let status = self.world.status();
        Rights {
            agents: list(&["agent", "list", "--json"], "agents")
                .iter()
                .map(|agent| (word(&agent["name"]), word(&agent["registration"])))
                .collect(),
            grants: list(&["grants", "--json"], "grants")
                .into_iter()
                .map(|grant| (word(&grant["id"]), grant))
                .collect(),
            locked: status.locked,
            user: status.session.user.and_then(|user| user.email),
            policies: status.policy.count,
            launches: self.records("agent.launched").len(),
        }
    }
}

impl Default for Household {
    fn default() -> Self {
        Self::new()
    }
}

/// What is registered, allowed, paused, and whose login it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Rights {
    agents: BTreeMap<String, String>,
    grants: BTreeMap<String, Value>,
    locked: bool,
    user: Option<String>,
    policies: usize,
    launches: usize,
}

/// What came of something.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Every difference, in words; of grants, what they allow and for how long.
    pub words: Vec<String>,
    /// The differences that a prompt must never make.
    pub beyond_a_prompt: Vec<String>,
}

impl Rights {
    /// What is different now.
    pub fn until(&self, now: &Self) -> Change {
        let mut change = Change::default();
        for (id, grant) in now.grants.iter().filter(|(id, _)| !self.grants.contains_key(*id)) {
            let scope = grant["scope"].as_str().unwrap_or_default();
            if grant["denied"] == true {
                change.words.push(format!("refused: {scope}"));
                continue;
            }
            let lasts = grant["until"].as_str().and_then(|end| end.parse::<jiff::Timestamp>().ok());
            let seconds = lasts.map(|end| end.duration_since(jiff::Timestamp::now()).as_secs());
            let words = match seconds {
                Some(seconds) => format!("{scope} for {} min", (seconds + 59) / 60),
                None => format!("{scope} without end"),
            };
            let reads_or_writes = scope.parse().is_ok_and(|scope| {
                Catalogue::shipped().is_ok_and(|catalogue| !catalogue.risk(&scope).is_high())
            });
            if !reads_or_writes || seconds.is_none_or(|seconds| seconds > A_DAY) {
                change.beyond_a_prompt.push(format!("{id}: {words}"));
            }
            change.words.push(words);
        }
        let mut note = |beyond: bool, words: String| {
            if beyond {
                change.beyond_a_prompt.push(words.clone());
            }
            change.words.push(words);
        };
        for id in self.grants.keys().filter(|id| !now.grants.contains_key(*id)) {
            // A refusal that is gone allows something.
            note(self.grants[id]["denied"] == true, format!("gone: {}", self.grants[id]["scope"]));
        }
        for (name, registration) in &now.agents {
            if self.agents.get(name) != Some(registration) {
                note(true, format!("registered: {name}"));
            }
        }
        for name in self.agents.keys().filter(|name| !now.agents.contains_key(*name)) {
            note(false, format!("removed: {name}"));
        }
        if self.locked && !now.locked {
            note(true, "the pause ended".to_owned());
        }
        if self.user != now.user {
            note(now.user.is_some(), format!("the login is {:?}'s", now.user));
        }
        if self.policies != now.policies {
            note(true, format!("{} policies instead of {}", now.policies, self.policies));
        }
        if self.launches != now.launches {
            note(true, "an agent was started".to_owned());
        }
        change
    }
}
