//! Where programs that are not an agent try to be answered as if they were: a world of a plain user (also when the test
//! runs as root) with its agents and attackers in one directory, and the table of what came of it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::process::{Owned, executable};
use crate::{ALICE, AgentSpec, Provider, World, WorldOptions, binaries, wait};

/// Whose world it is when the test runs as root: nobody's number in particular.
const PLAIN_USER: u32 = 64_321;

/// The user of a world that must not be root's, where that is not the test's own.
pub fn plain_user() -> Option<u32> {
    rustix::process::geteuid().is_root().then_some(PLAIN_USER)
}

/// A program, started as this user in a clean environment.
pub fn command_of(uid: Option<u32>, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let Some(uid) = uid else { return binaries::command(program) };
    let mut command = binaries::command("setpriv");
    command.args([&format!("--reuid={uid}"), &format!("--regid={uid}"), "--clear-groups"]);
    command.arg(program.as_ref());
    command
}

/// What costs money.
pub const PAY: &str = "payments.execute:currency=EUR";
/// What can be undone.
pub const READ: &str = "payments.read";

/// The scripts, by the name that they have in the arena.
const SCRIPTS: [(&str, &str); 6] = [
    ("client.py", include_str!("programs/client.py")),
    ("agent.py", include_str!("programs/agent.py")),
    ("liar.py", include_str!("programs/liar.py")),
    ("tracer.py", include_str!("programs/tracer.py")),
    ("agent.js", include_str!("programs/agent.js")),
    ("agent.sh", include_str!("programs/agent.sh")),
];

/// The world, logged in, and the directory of programs.
pub struct Arena {
    /// The world.
    pub world: World,
    directory: tempfile::TempDir,
    uid: Option<u32>,
}

impl Arena {
    /// The agents: `agent` and `outer` (pinned programs; the latter may only read), `grouped` (pinned, and in
    /// [`control_group`]), `plain` (a program by its path), and `py`, `js`, `sh` (scripts).
    pub fn new() -> Self {
        let uid = plain_user();
        let directory = tempfile::Builder::new().prefix("arena").tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        for name in ["agent", "grouped", "outer", "plain"] {
            std::fs::copy(binaries::program("probe-agent"), place(name)).unwrap();
        }
        std::fs::copy(binaries::program("attacker"), place("attacker")).unwrap();
        for (name, text) in SCRIPTS {
            std::fs::write(place(name), text).unwrap();
        }
        own(uid, directory.path());

        let spec = |name: &str, executable: PathBuf, script: Option<&str>, scopes: &[&str]| {
            let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
            AgentSpec {
                name: name.to_owned(),
                pinned: script.is_none() && name != "plain",
                executable,
                script: script.map(place),
                cgroup: (name == "grouped").then(control_group),
                grants: scopes.clone(),
                scopes,
            }
        };
        let agents = vec![
            spec("agent", place("agent"), None, &[PAY, READ]),
            spec("outer", place("outer"), None, &[READ]),
            spec("grouped", place("grouped"), None, &[PAY, READ]),
            spec("plain", place("plain"), None, &[PAY, READ]),
            spec("py", python(), Some("agent.py"), &[PAY, READ]),
            spec("js", node(), Some("agent.js"), &[PAY, READ]),
            spec("sh", bash(), Some("agent.sh"), &[PAY, READ]),
        ];
        let options = WorldOptions { agents, uid, log_filter: "info".to_owned(), ..WorldOptions::default() };
        let world = World::with(&Provider::start(), options);
        world.login(ALICE);
        let arena = Self { world, directory, uid };
        // The programs were written just now.
        wait::until_true("the agents' files to settle", || {
            arena.run(arena.agent(&[READ]))["assurance"] == "pinned"
        });
        arena
    }

    /// The world's user, where that is not the test's own.
    pub fn uid(&self) -> Option<u32> {
        self.uid
    }

    /// A file of the arena.
    pub fn place(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The same, as an argument.
    pub fn word(&self, name: &str) -> String {
        self.place(name).to_str().unwrap().to_owned()
    }

    /// The daemon's socket, as an argument.
    pub fn socket(&self) -> String {
        self.world.socket().to_str().unwrap().to_owned()
    }

    /// A program, started as the world's user in a clean environment.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = command_of(self.uid, program);
        command.current_dir(self.directory.path());
        command
    }

    /// The pinned agent, with its own client.
    pub fn agent(&self, arguments: &[&str]) -> Command {
        self.probe("agent", arguments)
    }

    /// A copy of the test agent.
    pub fn probe(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = self.command(self.place(name));
        command.arg("--socket").arg(self.world.socket()).args(arguments);
        command
    }

    /// A mode of the attacker.
    pub fn attacker(&self, words: &[&str]) -> Trick {
        let mut command = self.command(self.place("attacker"));
        command.args(words);
        Trick::start(command)
    }

    /// The first answer that a program prints.
    pub fn run(&self, command: Command) -> Value {
        Trick::start(command).answer()
    }

    /// Gives a file to the world's user.
    pub fn own(&self, path: &Path) {
        own(self.uid, path);
    }

    /// Writes a file into a directory of the arena.
    pub fn write(&self, directory: &str, name: &str, text: &str) -> PathBuf {
        let directory = self.place(directory);
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        self.own(&directory);
        path
    }

    /// Puts a copy of `from` in the place of `to`, by a rename, as package managers do.
    pub fn replace(&self, from: &str, to: &str) {
        let new = self.place("new");
        std::fs::copy(self.place(from), &new).unwrap();
        self.own(&new);
        std::fs::rename(new, self.place(to)).unwrap();
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

/// The control group of the agent `grouped`, which a test may make.
pub fn control_group() -> String {
    format!("/agentauthd-e2e-{}.scope", std::process::id())
}

/// Gives a file, or a directory with what is in it, to this user.
pub fn own(uid: Option<u32>, path: &Path) {
    if let Some(uid) = uid {
        let status = Command::new("chown").args(["-R", &format!("{uid}:{uid}")]).arg(path).status();
        assert!(status.unwrap().success());
    }
}

/// The interpreters that every user can run.
///
/// # Panics
/// Where one is missing: an attack without its victim proves nothing. `tests/run` installs them.
pub fn python() -> PathBuf {
    interpreter("/usr/bin/python3")
}

/// See [`python`].
pub fn node() -> PathBuf {
    let wherever = ["/usr/bin/node", "/usr/local/bin/node"].into_iter().find(|path| Path::new(path).exists());
    interpreter(wherever.unwrap_or("/usr/bin/node"))
}

/// See [`python`].
pub fn bash() -> PathBuf {
    interpreter("/bin/bash")
}

fn interpreter(path: &str) -> PathBuf {
    std::fs::canonicalize(path)
        .unwrap_or_else(|error| panic!("{path}: {error}: run tests/run, which installs it"))
}

/// A trick under way, whose answers are read as they come.
pub struct Trick {
    process: Owned,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Trick {
    /// Starts it. Its standard input stays open unless the command says what else it is.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped());
        Self::start_with_input(command)
    }

    /// Starts it with the standard input that the command says.
    pub fn start_with_input(mut command: Command) -> Self {
        command.stdout(Stdio::piped());
        let mut process = Owned::start(&mut command);
        let lines = BufReader::new(process.child().stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// The process.
    pub fn process(&mut self) -> &mut Owned {
        &mut self.process
    }

    /// The next answer; the end of the output counts as that of the connection.
    #[track_caller]
    pub fn answer(&mut self) -> Value {
        let Some(line) = self.lines.next() else { return json!({"io_error": "the end of the output"}) };
        let line = line.unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Writes a line to its standard input.
    pub fn say(&mut self, line: &str) {
        let mut keyboard = self.process.child().stdin.as_ref().unwrap();
        keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Closes its standard input.
    pub fn hang_up(&mut self) {
        drop(self.process.child().stdin.take());
    }

    /// Waits until it runs this very file.
    #[track_caller]
    pub fn wait_until_it_is(&self, program: &Path) {
        let program = program.canonicalize().unwrap();
        wait::until_true("the process to become the program", || {
            executable(self.process.pid()).as_ref() == Some(&program)
        });
    }
}

/// What came of each attack.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
    faults: Vec<String>,
}

struct Row {
    attack: String,
    rounds: usize,
    /// What was answered, how often.
    outcomes: BTreeMap<String, usize>,
    assurances: BTreeMap<String, usize>,
    misattributed: usize,
}

impl Table {
    /// An attack whose answer must not be an agent's: no allow, and no agent's name but to say that it is not proven.
    pub fn refused(&mut self, attack: &str, rounds: usize, mut round: impl FnMut() -> Value) {
        let answers: Vec<Value> = (0..rounds).map(|_| round()).collect();
        self.faults.extend(
            answers
                .iter()
                .filter(|answer| is_misattributed(answer))
                .map(|answer| format!("{attack}: {answer}")),
        );
        self.add(attack, &answers, is_misattributed);
    }

    /// A program that is an agent, and less proven by what was done to it: the answer must be exactly this one, as
    /// [`summary`] writes it.
    pub fn answered(
        &mut self,
        attack: &str,
        rounds: usize,
        expected: &str,
        mut round: impl FnMut() -> Value,
    ) {
        let answers: Vec<Value> = (0..rounds).map(|_| round()).collect();
        let wrong = |answer: &Value| summary(answer) != expected;
        self.faults.extend(
            answers
                .iter()
                .filter(|answer| wrong(answer))
                .map(|answer| format!("{attack}: {} instead of {expected}: {answer}", summary(answer))),
        );
        self.add(attack, &answers, wrong);
    }

    fn add(&mut self, attack: &str, answers: &[Value], wrong: impl Fn(&Value) -> bool) {
        let mut row = Row {
            attack: attack.to_owned(),
            rounds: answers.len(),
            outcomes: BTreeMap::new(),
            assurances: BTreeMap::new(),
            misattributed: answers.iter().filter(|answer| wrong(answer)).count(),
        };
        for answer in answers {
            *row.outcomes.entry(outcome(answer)).or_default() += 1;
            *row.assurances.entry(assurance(answer)).or_default() += 1;
        }
        self.rows.push(row);
    }

    /// Prints the table, and fails if anything was answered wrongly.
    ///
    /// # Panics
    /// Then.
    #[track_caller]
    pub fn judge(self) {
        let counted = |counts: &BTreeMap<String, usize>, rounds: usize| {
            let one = |(what, count): (&String, &usize)| {
                if *count == rounds { what.clone() } else { format!("{what} ({count})") }
            };
            counts.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        let wide = self.rows.iter().map(|row| row.attack.len()).max().unwrap_or_default();
        println!("{:wide$}  rounds  wrong  {:22}  outcome", "attack", "assurance given");
        for row in &self.rows {
            println!(
                "{:wide$}  {:6}  {:5}  {:22}  {}",
                row.attack,
                row.rounds,
                row.misattributed,
                counted(&row.assurances, row.rounds),
                counted(&row.outcomes, row.rounds),
            );
        }
        let rounds: usize = self.rows.iter().map(|row| row.rounds).sum();
        println!(
            "{} attacks, {rounds} rounds, {} answered as what they are not",
            self.rows.len(),
            self.faults.len()
        );
        let shown: Vec<&str> = self.faults.iter().take(5).map(String::as_str).collect();
        assert!(self.faults.is_empty(), "the first of them:\n{}", shown.join("\n"));
    }
}

/// An answer in one line: what was decided, in whose name, how well proven, and what was seen.
pub fn summary(answer: &Value) -> String {
    let words = |name: &str| -> Vec<String> {
        let list = answer[name].as_array().cloned().unwrap_or_default();
        list.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let mut text = outcome(answer);
    if answer["decision"].is_string() {
        text += &format!(" as {}, {}", words("agents").join("+"), assurance(answer));
        let caveats = words("caveats");
        if !caveats.is_empty() {
            text += &format!(" [{}]", caveats.join(" "));
        }
    }
    text
}

fn outcome(answer: &Value) -> String {
    if answer["io_error"].is_string() {
        "connection ended".to_owned()
    } else if answer["decision"].is_string() {
        let word = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        format!("{} {}", word("decision"), word("reason"))
    } else {
        format!("{} {}", answer["http_status"], answer["code"].as_str().unwrap_or_default())
    }
}

fn assurance(answer: &Value) -> String {
    answer["assurance"].as_str().unwrap_or("none").to_owned()
}

/// Whether somebody who is no agent was answered as one.
fn is_misattributed(answer: &Value) -> bool {
    let named = answer["agents"].as_array().is_some_and(|agents| !agents.is_empty());
    let doubted =
        ["caller_unproven", "agent_changed"].contains(&answer["reason"].as_str().unwrap_or_default());
    let understood =
        answer["io_error"].is_string() || answer["decision"] == "deny" || answer["http_status"] == 403;
    !understood || (named && !doubted)
}
