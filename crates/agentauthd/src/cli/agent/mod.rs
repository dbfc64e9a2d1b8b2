//! `agentauthd agent`: which programs are agents, and what they ask for.

mod diff;
mod lint;
mod list;
pub(super) mod manifest_file;
mod register;

use clap::{Args, Subcommand};

use super::{Context, Exit, Failure};

/// Register programs as agents, and look at agents and their manifests.
#[derive(Debug, Args)]
pub(super) struct AgentCommand {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Register(register::Register),
    List(list::List),
    Show(list::Show),
    Remove(list::Remove),
    Lint(lint::Lint),
    Diff(diff::Diff),
}

impl AgentCommand {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        match self.command {
            What::Register(command) => command.run(context).await,
            What::List(command) => command.run(context).await,
            What::Show(command) => command.run(context).await,
            What::Remove(command) => command.run(context).await,
            What::Lint(command) => command.run(context),
            What::Diff(command) => command.run(context),
        }
    }
}
