//! The command line: one file per subcommand, one list of them.
//!
//! Architecture invariant: every subcommand but `run`, `doctor`, `audit` and `policy` is a client of the socket. None of the
//! others touches the keychain, the state directory or the network; `audit`, and `top`
//! beside it, read the files of the record, and nothing else. `policy` reads these and what decides: policies, the catalogue,
//! registrations. Of it only `apply` asks the daemon.

mod agent;
mod apply;
mod audit;
mod check;
mod completions;
mod config;
mod consents;
mod doctor;
mod edit;
mod exec;
mod exit;
mod failure;
mod glance;
mod grants;
mod hints;
mod lock;
mod log;
mod login;
mod logout;
mod man;
mod output;
mod overview;
mod passkey;
mod policy;
mod qr;
mod run;
mod setup;
mod status;
mod top;
mod whoami;
mod words;

use std::borrow::Cow;
use std::path::PathBuf;

use agentauth_client::Client;
use agentauth_core::{Clock, Timestamp};
use agentauth_host::clock::SystemClock;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

pub use exit::Exit;
pub use failure::Failure;

use crate::config::{DEFAULT_PROFILE, Flags, Loaded, addressed, load, survey};
use crate::environment::Environment;

/// Stands between AI agents and what they may do: one login, checked before every sensitive action.
#[derive(Debug, Parser)]
#[command(name = "agentauthd", version, max_term_width = 100)]
#[command(arg_required_else_help = true, subcommand_required = true, infer_subcommands = false)]
#[command(after_help = "Start with `agentauthd setup`, then `agentauthd run`, then `agentauthd login`.\n\
    Exit codes: 0 done or allow, 1 error, 2 deny, 3 the daemon cannot be reached, 64 usage.")]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every subcommand takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
struct Global {
    /// The profile: one daemon, login and socket each.
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// Read this configuration file in place of the user's.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The daemon's socket.
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<String>,
    /// Set any option of the configuration, as in `--set log.filter=debug`.
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// When to colour; by itself, on a terminal.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// Every subcommand.
#[derive(Debug, Subcommand)]
enum Command {
    /// Write the configuration, and say what to register with the provider.
    Setup(setup::Setup),
    /// Run the daemon in the foreground.
    Run(run::Run),
    /// Log in, in the browser or on another device.
    Login(login::Login),
    /// End the session, here and at the provider.
    Logout(logout::Logout),
    /// Pause everything: every check is denied until `unlock`.
    Lock(lock::Lock),
    /// Let everything go on that `lock` paused.
    Unlock(lock::Unlock),
    /// A glance at everything: login, keys, policy, record, agents, problems.
    Status(status::StatusCommand),
    /// Watch decisions as they come, agents and the session.
    Top(top::Top),
    /// Show or change what the daemon logs while it runs.
    Log(log::Log),
    /// Who is logged in. Exits with 1 if nobody is.
    Whoami(whoami::Whoami),
    /// May this be done? Exits with 0 for allow, 2 for deny.
    Check(check::Check),
    /// Look at agents and their manifests.
    Agent(agent::AgentCommand),
    /// Say what agents were allowed, and until when.
    Grants(grants::Grants),
    /// Give mandates, confirm what stands, take grants away.
    Grant(grants::GrantCommand),
    /// Show the questions that wait for your answer.
    Consents(consents::Consents),
    /// Allow what an agent asks.
    Approve(consents::Approve),
    /// Refuse what an agent asks.
    Deny(consents::Deny),
    /// Register and remove passkeys, which confirm what agents ask for.
    Passkey(passkey::PasskeyCommand),
    /// Start a registered agent, so that it is proven to be that agent.
    Exec(exec::Exec),
    /// Look at the configuration, and apply it.
    Config(config::ConfigCommand),
    /// Look at the record: what was asked, decided and done.
    Audit(audit::AuditCommand),
    /// Check, test, explain and apply policies.
    Policy(policy::PolicyCommand),
    /// Say what is wrong with this installation, why it matters and what to do.
    Doctor(doctor::Doctor),
    /// Print the completions for a shell.
    Completions(completions::Completions),
    /// Write the manual pages.
    Man(man::Man),
    /// Become the program of an agent: `agentauthd exec` starts this.
    #[command(name = exec::TAKE_OVER, hide = true)]
    TakeOver(exec::TakeOver),
}

/// What a subcommand works with.
struct Context<'a> {
    loaded: Loaded,
    environment: &'a Environment,
    flags: Flags,
}

impl Context<'_> {
    /// A client of the daemon that the configuration points at. The daemon is this user's own.
    fn client(&self) -> Client {
        let config = &self.loaded.config;
        Client::new(&config.paths.socket, self.environment.uid()).for_profile(&config.profile)
    }

    fn now(&self) -> Timestamp {
        now()
    }

    /// A text whose commands are those of the profile in use.
    fn addressed<'t>(&self, text: &'t str) -> Cow<'t, str> {
        addressed(&self.loaded.config.profile, text)
    }
}

fn now() -> Timestamp {
    SystemClock.now()
}

/// Parses the process's arguments.
///
/// # Errors
/// After `--help`, `--version` and wrong usage, which have then been answered: with what the program exits.
pub fn parse() -> Result<Cli, Exit> {
    Cli::try_parse().map_err(|error| {
        // To a closed pipe nothing can be said.
        let _ = error.print();
        if error.use_stderr() { Exit::Usage } else { Exit::Done }
    })
}

impl Cli {
    /// Carries out what must happen before anything else runs in this process: becoming another program. Nothing where
    /// something else was asked for.
    #[must_use]
    pub fn take_over(&self) -> Option<Exit> {
        match &self.command {
            Command::TakeOver(command) => Some(command.run()),
            _ => None,
        }
    }
}

/// Says that not even a runtime could be made.
#[must_use]
pub fn cannot_start(error: &std::io::Error) -> Exit {
    output::say(&format!(
        "error: could not start: {error}; free some file descriptors or memory, and try again"
    ));
    Exit::Error
}

/// Carries out one command line.
pub async fn dispatch(cli: Cli, environment: &Environment) -> Exit {
    output::choose_colour(match cli.global.color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    });
    let named = cli.global.profile.clone();
    match carry_out(cli, environment).await {
        Ok(exit) => exit,
        Err(failure) => {
            let named = named.as_deref().or_else(|| environment.value("AGENTAUTHD_PROFILE")?.to_str());
            output::say(&addressed(named.unwrap_or(DEFAULT_PROFILE), &failure.report()));
            failure.exit()
        }
    }
}

async fn carry_out(cli: Cli, environment: &Environment) -> Result<Exit, Failure> {
    // These two look at nothing, so that they work on a machine where nothing is right yet.
    match &cli.command {
        Command::Completions(command) => return command.run(&mut Cli::command()),
        Command::Man(command) => return command.run(Cli::command()),
        _ => {}
    }
    let mut flags = Flags { config: cli.global.config, values: Vec::new() }
        .with("--profile", "profile", cli.global.profile)
        .with("--socket", "paths.socket", cli.global.socket);
    for (key, text) in cli.global.set {
        flags = flags.with("--set", &key, Some(text));
    }
    if let Command::Run(command) = &cli.command {
        flags = command.flags(flags);
    }
    if let Command::Status(command) = &cli.command
        && command.means_all(environment, &flags)?
    {
        return command.run_all(environment).await;
    }
    if let Command::Doctor(command) = cli.command {
        let (loaded, faults) = survey(environment, &flags);
        return command.run(environment, loaded.as_ref(), &faults).await;
    }
    if let Command::Audit(command) = cli.command {
        return command.run(environment, &flags);
    }
    let loaded = match load(environment, &flags) {
        Ok(loaded) => loaded,
        Err(faults) => {
            let answered = match &cli.command {
                Command::Config(command) => command.refuse(&faults)?,
                _ => None,
            };
            return answered.ok_or(Failure::Config(faults));
        }
    };
    let context = Context { loaded, environment, flags };
    match cli.command {
        Command::Setup(command) => command.run(&context),
        Command::Run(command) => command.run(context).await,
        Command::Login(command) => command.run(&context).await,
        Command::Logout(command) => command.run(&context).await,
        Command::Lock(command) => command.run(&context).await,
        Command::Unlock(command) => command.run(&context).await,
        Command::Status(command) => command.run(&context).await,
        Command::Log(command) => command.run(&context).await,
        Command::Top(command) => command.run(&context).await,
        Command::Whoami(command) => command.run(&context).await,
        Command::Check(command) => command.run(&context).await,
        Command::Agent(command) => command.run(&context).await,
        Command::Grants(command) => command.run(&context).await,
        Command::Grant(command) => command.run(&context).await,
        Command::Consents(command) => command.run(&context).await,
        Command::Approve(command) => command.run(&context).await,
        Command::Deny(command) => command.run(&context).await,
        Command::Passkey(command) => command.run(&context).await,
        Command::Exec(command) => command.run(&context).await,
        Command::Config(command) => command.run(&context).await,
        Command::Policy(command) => command.run(&context).await,
        // Answered above.
        Command::Audit(_)
        | Command::Completions(_)
        | Command::Doctor(_)
        | Command::Man(_)
        | Command::TakeOver(_) => Ok(Exit::Done),
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_before_and_after_the_subcommand() {
        for line in [
            ["agentauthd", "--profile", "staging", "status"],
            ["agentauthd", "status", "--profile", "staging"],
        ] {
            assert_eq!(Cli::try_parse_from(line).unwrap().global.profile.as_deref(), Some("staging"));
        }
    }

    #[test]
    fn an_assignment_has_an_equals_sign() {
        assert_eq!(assignment("log.filter=a=b"), Ok(("log.filter".to_owned(), "a=b".to_owned())));
        assert!(assignment("log.filter").is_err());
    }
}
