//! `agentauthd agent`: what agents ask for.

mod diff;
mod lint;
mod manifest_file;

use clap::{Args, Subcommand};

use super::{Context, Exit, Failure};

/// Look at agents and their manifests.
#[derive(Debug, Args)]
pub(super) struct AgentCommand {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Lint(lint::Lint),
    Diff(diff::Diff),
}

impl AgentCommand {
    pub(super) fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        match self.command {
            What::Lint(command) => command.run(context),
            What::Diff(command) => command.run(context),
        }
    }
}
