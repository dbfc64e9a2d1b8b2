//! `agentauthd agent`: what agents ask for.

mod lint;

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
    /// Say what a careful reader would say of manifests. Exits with 2 if there is anything, with 1 if one is no manifest.
    Lint(lint::Lint),
}

impl AgentCommand {
    pub(super) fn run(self, _context: &Context<'_>) -> Result<Exit, Failure> {
        match self.command {
            What::Lint(command) => command.run(),
        }
    }
}
