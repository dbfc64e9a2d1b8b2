//! `agentauthd exec`: start a registered agent, so that it and whatever it starts is proven to be that agent.
//!
//! This process stays above the program: it is what the daemon knows the launch by. It passes signals on, ends what is
//! left when it has to end, and exits as the program did.

mod surroundings;
mod watch;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use agentauth_client::{Confinement, LaunchRequest, LaunchResponse, LaunchSettings};
use agentauth_core::SignedDuration;
use agentauth_host::harden;
use agentauth_host::launch::{self, Covers, LaunchError, Marks, Program, tree};
use agentauth_idp::Chain;
use clap::Args;

use super::login::Confirmation;
use super::{Context, Exit, Failure, output};
use crate::config::{Config, HideSockets, Loaded};
use surroundings::Given;

/// The subcommand by which our own executable becomes the program.
pub(super) const TAKE_OVER: &str = "__launch";

/// Start a registered agent, confined and in a clean environment, so that it and whatever it starts is proven to be that agent
/// (assurance `launched`). Needs a fresh login, or an agent that the administrator registered, or a recognised terminal where
/// the agent's grants all expire, and read or write. Exits as the program does: with its code, or 128 and the number of the
/// signal that ended it.
#[derive(Debug, Args)]
pub(super) struct Exec {
    /// The registered agent to start.
    #[arg(long, value_name = "NAME")]
    agent: String,
    /// Hand on a variable of this environment, or set one. Variables that make programs load other code are refused.
    #[arg(long = "env", value_name = "NAME[=VALUE]", value_parser = surroundings::given)]
    environment: Vec<Given>,
    /// Let it use files only where its manifest asks for them (`files.read:/…` and the like), beside what every program needs to
    /// run.
    #[arg(long, conflicts_with = "no_confine")]
    confine_files: bool,
    /// Do not confine it: agentauthd's own files, the keychain's and other programs' sockets are within its reach. What the
    /// person registered needs `--reauth` for that.
    #[arg(long)]
    no_confine: bool,
    /// Confirm it by signing in anew.
    #[arg(long)]
    reauth: bool,
    /// Only print the address to open.
    #[arg(long, requires = "reauth")]
    no_browser: bool,
    /// How long what runs may take to end by itself when this command is told to end (SIGTERM), and what is left when the
    /// program has ended; `launch.grace` unless given.
    #[arg(long, value_name = "DURATION")]
    grace: Option<SignedDuration>,
    /// What the program is given, after `--`.
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<OsString>,
}

impl Exec {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        if !self.no_confine && !launch::can_confine() {
            return Err(failure(LaunchError::NoConfinement));
        }
        // Before the daemon looks: from here on nothing below this process gets away from it.
        tree::stay_above().map_err(|error| {
            Failure::caused("could not stay above what is started; nothing was started", error)
        })?;
        let answer = self.ask(context).await?;
        // Nobody but root looks into this process from now on, or steers it: it vouches for what is below it.
        harden::not_dumpable().map_err(|error| {
            Failure::caused("could not keep other programs out of the launcher; nothing was started", error)
        })?;
        let loaded = applied(&context.loaded, &answer.settings);
        let config = &loaded.config;
        let hidden = surroundings::hidden(&loaded, context.environment);
        let temporary =
            surroundings::temporary(context.environment, &self.environment, &hidden).map_err(|error| {
                Failure::caused("could not make a directory for temporary files; nothing was started", error)
            })?;
        let environment = surroundings::environment(
            config,
            &self.environment,
            context.environment.handed_on(),
            temporary.as_ref().map(tempfile::TempDir::path),
            !self.no_confine,
        )
        .map_err(Failure::Usage)?;
        let covers = self.covers(config, context.environment.uid(), &hidden)?;
        let own = temporary.as_ref().map(tempfile::TempDir::path);
        let home = context.environment.home();
        let walls = (!self.no_confine).then(|| {
            surroundings::walls(config, hidden, &answer, self.confine_files, own, covers, home.as_deref())
        });
        let arguments = answer.script.map(OsString::from).into_iter().chain(self.arguments.iter().cloned());
        let program =
            Program { executable: answer.executable.into(), arguments: arguments.collect(), environment };
        let marks = Marks { launcher: std::process::id(), walls };
        let grace = self.grace.unwrap_or(config.launch.grace);
        let grace = std::time::Duration::try_from(grace).unwrap_or_default();
        let code = watch::watch(&program, &marks, grace).await?;
        if let Some(Err(error)) = temporary.map(tempfile::TempDir::close) {
            output::say(&format!("some of the agent's temporary files are left: {error}"));
        }
        Ok(Exit::Program(code))
    }

    /// What is laid over sockets, where that is needed, asked for and possible.
    fn covers(&self, config: &Config, uid: u32, hidden: &[PathBuf]) -> Result<Option<Covers>, Failure> {
        let wanted = config.launch.hide_sockets;
        if self.no_confine || wanted == HideSockets::Never || launch::sees_connections() {
            return Ok(None);
        }
        let covers = surroundings::covers(config, uid, hidden);
        let text = serde_json::to_string(&covers)
            .map_err(|error| Failure::caused("could not write down what to cover", error))?;
        match launch::try_covers(&[TAKE_OVER.into(), "--rehearse".into(), text.into()]) {
            Ok(()) => Ok(Some(covers)),
            Err(error) if wanted == HideSockets::Always => Err(Failure::Told(format!(
                "{error}; nothing was started, as `launch.hide_sockets` is \"always\""
            ))),
            Err(error) => {
                output::say(&format!("{error} (`launch.hide_sockets`)"));
                Ok(None)
            }
        }
    }

    /// Asks the daemon, and lets the owner confirm it where that is asked for.
    async fn ask(&self, context: &Context<'_>) -> Result<LaunchResponse, Failure> {
        let request = LaunchRequest {
            agent: self.agent.clone(),
            arguments: self.arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
            confinement: match (self.no_confine, self.confine_files) {
                (true, _) => Confinement::None,
                (false, true) => Confinement::Files,
                (false, false) => Confinement::Standard,
            },
            reauth: self.reauth,
        };
        let mut client = context.client();
        let answer = client.launch(&request).await?;
        let Some(login) = &answer.login else { return Ok(answer) };
        let asked = Confirmation { what: "To start the agent, sign in at", browser: !self.no_browser };
        if asked.follow(context, &mut client, login, "nothing was started").await? {
            Ok(answer)
        } else {
            Err(Failure::Told("nothing was started: nobody confirmed it".to_owned()))
        }
    }
}

/// The configuration with the settings that the daemon goes by: files may say something else that nobody applied.
fn applied(loaded: &Loaded, settings: &LaunchSettings) -> Loaded {
    let mut loaded = loaded.clone();
    let launch = &mut loaded.config.launch;
    let hide_sockets = HideSockets::ALL.into_iter().find(|word| word.as_str() == settings.hide_sockets);
    launch.hide_sockets = hide_sockets.unwrap_or(HideSockets::Always);
    launch.environment.clone_from(&settings.environment);
    launch.hide.clone_from(&settings.hide);
    launch.sockets.clone_from(&settings.sockets);
    loaded
}

/// Become the program of an agent: `agentauthd exec` starts this.
#[derive(Debug, Args)]
pub(super) struct TakeOver {
    /// What is done to this process first.
    #[arg(value_parser = from_json::<Marks>, required_unless_present = "rehearse")]
    marks: Option<Marks>,
    /// Only see whether this can be covered.
    #[arg(long, value_parser = from_json::<Covers>, exclusive = true)]
    rehearse: Option<Covers>,
    /// The program, and what it is given.
    #[arg(last = true, required_unless_present = "rehearse")]
    program: Vec<OsString>,
}

impl TakeOver {
    /// Returns only when it fails, or rehearses.
    pub(super) fn run(&self) -> Exit {
        if let Some(covers) = &self.rehearse {
            return match launch::rehearse(covers) {
                Ok(()) => Exit::Done,
                Err(error) => {
                    output::say(&Chain(&error).to_string());
                    Exit::Error
                }
            };
        }
        let (Some(marks), Some((executable, arguments))) = (&self.marks, self.program.split_first()) else {
            return Exit::Usage;
        };
        let error = launch::become_program(marks, Path::new(executable), arguments);
        output::say(&failure(error).report());
        Exit::Error
    }
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn failure(error: LaunchError) -> Failure {
    match std::error::Error::source(&error) {
        Some(_) => Failure::caused("the agent was not started", error),
        None => Failure::Told(error.to_string()),
    }
}
