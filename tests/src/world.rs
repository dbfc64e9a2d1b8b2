//! One person's machine: directories, configuration, the daemon, and a provider.

use std::ffi::OsString;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use agentauth_api::{SessionPhase, Status, paths};
use serde_json::Value;

use crate::agents::AgentSpec;
use crate::cli::{LoginRun, Outcome};
use crate::daemon::Daemon;
use crate::process::Owned;
use crate::provider::Provider;
use crate::raw::Raw;
use crate::{Person, binaries, rights, wait};

/// Where the refresh token is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Gone with the daemon.
    Memory,
    /// age-encrypted files.
    File,
    /// The Secret Service on the bus of [`WorldOptions::bus`].
    Keychain,
}

/// How a world is set up.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// Where the refresh token is kept.
    pub store: Store,
    /// The session bus, for [`Store::Keychain`].
    pub bus: Option<String>,
    /// Registered agents.
    pub agents: Vec<AgentSpec>,
    /// The profile; the default one unless given.
    pub profile: Option<String>,
    /// The user that daemon and command line run as; this process's own unless given.
    pub uid: Option<u32>,
    /// Appended to the configuration file.
    pub more_configuration: String,
    /// The log's filter.
    pub log_filter: String,
    /// Further environment variables of daemon and command line.
    pub environment: Vec<(String, String)>,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            store: Store::Memory,
            bus: None,
            agents: vec![AgentSpec::probe()],
            profile: None,
            uid: None,
            more_configuration: String::new(),
            log_filter: "trace".to_owned(),
            environment: Vec::new(),
        }
    }
}

/// One person's machine. The daemon runs from the start; everything ends with the test.
#[derive(Debug)]
pub struct World {
    /// The provider.
    pub provider: Arc<Provider>,
    daemon: Option<Daemon>,
    options: WorldOptions,
    agentauthd: PathBuf,
    home: Arc<tempfile::TempDir>,
}

impl World {
    /// A world with a provider of its own and defaults. The login does not outlive the daemon.
    pub fn start() -> Self {
        Self::with(&Provider::start(), WorldOptions::default())
    }

    /// The same with a login that does.
    pub fn durable() -> Self {
        Self::with(&Provider::start(), WorldOptions { store: Store::File, ..WorldOptions::default() })
    }

    /// A world set up as asked, with its daemon running.
    pub fn with(provider: &Arc<Provider>, options: WorldOptions) -> Self {
        let mut world = Self::without_daemon(provider, options);
        world.start_daemon();
        if world.options.store != Store::Keychain {
            world.wait_for_phase(SessionPhase::LoggedOut);
        }
        world
    }

    /// A world whose daemon does not run yet.
    pub fn without_daemon(provider: &Arc<Provider>, options: WorldOptions) -> Self {
        let home = tempfile::Builder::new().prefix("aad").tempdir().unwrap();
        Self::in_home(&Arc::new(home), provider, options)
    }

    /// The same person's machine, seen from another profile, with that one's daemon running too.
    pub fn beside(&self, provider: &Arc<Provider>, options: WorldOptions) -> Self {
        let mut world = self.beside_without_daemon(provider, options);
        world.start_daemon();
        world
    }

    /// The same whose daemon does not run yet.
    pub fn beside_without_daemon(&self, provider: &Arc<Provider>, options: WorldOptions) -> Self {
        Self::in_home(&self.home, provider, options)
    }

    fn in_home(home: &Arc<tempfile::TempDir>, provider: &Arc<Provider>, options: WorldOptions) -> Self {
        let mut world = Self {
            provider: provider.clone(),
            daemon: None,
            options,
            agentauthd: binaries::program("agentauthd"),
            home: home.clone(),
        };
        for directory in [world.runtime_dir(), world.config_dir(), world.home.path().join("state")] {
            private_directory(&directory);
        }
        std::fs::write(world.config_dir().join("passphrase"), "correct horse battery staple").unwrap();
        std::fs::set_permissions(world.config_dir().join("passphrase"), PermissionsExt::from_mode(0o600))
            .unwrap();
        std::fs::write(world.config_file(), world.configuration()).unwrap();
        if !world.options.agents.is_empty() {
            let (registrations, grants): (Vec<_>, Vec<_>) =
                world.options.agents.iter().map(AgentSpec::standing).unzip();
            let profile = world.options.profile.as_deref().unwrap_or("default");
            rights::put(&world.state_dir(), profile, &registrations, &grants.concat());
        }
        if world.options.uid.is_some() {
            // The build directory may not be readable for that user.
            let copy = world.home.path().join("agentauthd");
            std::fs::copy(&world.agentauthd, &copy).unwrap();
            world.agentauthd = copy;
            world.give(world.home.path());
        }
        world
    }

    fn configuration(&self) -> String {
        let store = match self.options.store {
            Store::Memory => "store = \"memory\"".to_owned(),
            Store::Keychain => "store = \"keychain\"".to_owned(),
            Store::File => {
                let file = self.config_dir().join("passphrase");
                format!("store = \"file\"\npassphrase_file = \"{}\"", file.display())
            }
        };
        format!(
            "[provider]\nproject_id = \"{}\"\nbase_url = \"{}\"\n\n[login]\nephemeral_port = true\n\n\
             [secrets]\n{store}\n\n[log]\nfilter = \"{}\"\n\n{}",
            self.provider.project_id(),
            self.provider.base_url(),
            self.options.log_filter,
            self.options.more_configuration,
        )
    }

    /// Gives files to the world's user, where that is not the test's own.
    pub fn give(&self, path: &Path) {
        if let Some(uid) = self.options.uid {
            let status = Command::new("chown").args(["-R", &format!("{uid}:{uid}")]).arg(path).status();
            assert!(status.unwrap().success());
        }
    }

    /// The program under test.
    pub fn agentauthd(&self) -> &Path {
        &self.agentauthd
    }

    /// Starts the daemon and waits until it answers.
    pub fn start_daemon(&mut self) {
        assert!(self.daemon.is_none(), "the daemon runs already");
        let command = self.command(&["run"]);
        self.daemon = Some(Daemon::start(command, self.home.path(), &self.socket()));
    }

    /// Starts the daemon, for somebody who waits in their own way.
    pub fn start_daemon_without_waiting(&mut self) {
        assert!(self.daemon.is_none(), "the daemon runs already");
        self.daemon = Some(Daemon::spawn(self.command(&["run"]), self.home.path()));
    }

    /// Stops the daemon as a service manager does.
    pub fn stop_daemon(&mut self) {
        self.daemon.take().expect("a daemon").terminate();
    }

    /// Kills the daemon, as `kill -9` does.
    pub fn kill_daemon(&mut self) {
        self.daemon.take().expect("a daemon").kill();
    }

    /// Stops and starts the daemon.
    pub fn restart_daemon(&mut self) {
        self.stop_daemon();
        self.start_daemon();
    }

    /// The running daemon.
    pub fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("a daemon")
    }

    /// Everything that daemons of this world wrote to standard output and standard error so far.
    pub fn daemon_output(&self) -> String {
        crate::daemon::output(self.home.path())
    }

    /// A command of this world's `agentauthd`, with this world's environment and nothing else.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match self.options.uid {
            None => Command::new(&self.agentauthd),
            Some(uid) => {
                let mut command = Command::new("setpriv");
                command.args([&format!("--reuid={uid}"), &format!("--regid={uid}"), "--clear-groups"]);
                command.arg(&self.agentauthd);
                command
            }
        };
        if let Some(profile) = &self.options.profile {
            command.args(["--profile", profile]);
        }
        command.args(arguments).env_clear().envs(self.environment()).current_dir(self.home.path());
        command
    }

    /// This world's environment.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        let home = self.home.path();
        let mut environment: Vec<(OsString, OsString)> = vec![
            ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
            ("HOME".into(), home.into()),
            ("XDG_CONFIG_HOME".into(), home.join("config").into()),
            ("XDG_STATE_HOME".into(), home.join("state").into()),
            ("XDG_RUNTIME_DIR".into(), self.runtime_dir().into()),
        ];
        if let Some(bus) = &self.options.bus {
            environment.push(("DBUS_SESSION_BUS_ADDRESS".into(), bus.into()));
        }
        environment.extend(self.options.environment.iter().map(|(name, value)| (name.into(), value.into())));
        environment
    }

    /// Runs the command line to its end.
    #[track_caller]
    pub fn cli(&self, arguments: &[&str]) -> Outcome {
        crate::cli::run(self.command(arguments))
    }

    /// Starts `agentauthd login --no-browser` and waits for its URL.
    #[track_caller]
    pub fn begin_login(&self) -> LoginRun {
        LoginRun::begin(self.command(&["login", "--no-browser"]))
    }

    /// Logs a person in, over real HTTP, and waits for the command to end.
    #[track_caller]
    pub fn login(&self, person: Person) -> Outcome {
        let login = self.begin_login();
        let page = self.provider.sign_in(&login.url, person.email, person.password);
        assert_eq!(page.status, 200, "{}", page.html);
        let outcome = login.finish();
        assert_eq!(outcome.code, Some(0), "{outcome:?}\n{}", self.log_tail());
        outcome
    }

    /// Asks for something that has to be confirmed, and signs this person in for it.
    #[track_caller]
    pub fn confirmed_by(&self, person: Person, arguments: &[&str]) -> Outcome {
        let run = LoginRun::begin(self.command(&[arguments, &["--no-browser"]].concat()));
        self.provider.sign_in(&run.url, person.email, person.password);
        run.finish()
    }

    /// `GET /v1/status`, as this process sees it.
    #[track_caller]
    pub fn status(&self) -> Status {
        let mut raw = Raw::connect(&self.socket()).unwrap();
        let answer = raw.ask("GET", paths::STATUS, None, None).unwrap();
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.json()))
    }

    /// Waits until the session is in this phase.
    #[track_caller]
    pub fn wait_for_phase(&self, phase: SessionPhase) -> Status {
        wait::within(wait::PATIENCE, || Some(self.status()).filter(|status| status.session.phase == phase))
            .unwrap_or_else(|| {
                panic!("waited for {phase:?}, is {:#?}\n{}", self.status().session, self.log_tail())
            })
    }

    /// Runs the test agent with these arguments and returns its answers, one for each line that it printed.
    #[track_caller]
    pub fn probe(&self, arguments: &[&str]) -> Vec<Value> {
        self.lines_of(self.probe_command(arguments))
    }

    /// The test agent, asking this world's daemon.
    pub fn probe_command(&self, arguments: &[&str]) -> Command {
        let mut command = binaries::command(binaries::program("probe-agent"));
        command.arg("--socket").arg(self.socket()).args(arguments);
        command
    }

    /// The test agent's answer to one question.
    #[track_caller]
    pub fn check(&self, scope: &str) -> Value {
        let mut answers = self.probe(&[scope]);
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.remove(0)
    }

    /// Runs a program that prints JSON lines.
    #[track_caller]
    pub fn lines_of(&self, command: Command) -> Vec<Value> {
        crate::cli::run(command).json_lines()
    }

    /// Where the daemon listens.
    pub fn socket(&self) -> PathBuf {
        let profile = self.options.profile.as_ref().map(|profile| format!("-{profile}")).unwrap_or_default();
        self.runtime_dir().join(format!("agentauthd/agent{profile}.sock"))
    }

    /// The home directory, below which everything of this world is.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// `$XDG_CONFIG_HOME/agentauthd`, or what is a named profile's below it.
    pub fn config_dir(&self) -> PathBuf {
        self.of_profile("config/agentauthd")
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        match &self.options.profile {
            None => self.config_dir().join("config.toml"),
            Some(_) => self.config_dir().with_extension("toml"),
        }
    }

    /// `$XDG_STATE_HOME/agentauthd`, or what is a named profile's below it.
    pub fn state_dir(&self) -> PathBuf {
        self.of_profile("state/agentauthd")
    }

    fn of_profile(&self, base: &str) -> PathBuf {
        let base = self.home.path().join(base);
        self.options.profile.as_ref().map_or_else(|| base.clone(), |name| base.join("profiles").join(name))
    }

    fn runtime_dir(&self) -> PathBuf {
        self.home.path().join("run")
    }

    /// The audit log's records.
    pub fn audit(&self) -> Vec<Value> {
        let mut files = crate::process::files_below(&self.state_dir().join("audit"));
        files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
        files.sort();
        let lines = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect::<String>();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The audit log's records of one kind.
    pub fn records(&self, kind: &str) -> Vec<Value> {
        self.audit().into_iter().filter(|record| record["event"] == kind).collect()
    }

    /// The record of the decision of this id.
    #[track_caller]
    pub fn record_of(&self, id: &Value) -> Value {
        let decisions = self.records("decision");
        decisions
            .into_iter()
            .find(|record| record["id"] == *id)
            .unwrap_or_else(|| panic!("no decision {id} is in the record"))
    }

    /// The end of the daemon's log, for messages.
    pub fn log_tail(&self) -> String {
        crate::daemon::tail(self.home.path())
    }

    /// Starts a program of the world's own user that ends with the test.
    pub fn spawn(&self, mut command: Command) -> Owned {
        Owned::start(&mut command)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the daemon's log ends with ---\n{}", self.log_tail());
        }
    }
}

/// Creates a directory that only its owner can enter, with its parents.
pub fn private_directory(path: &Path) {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).unwrap();
}
