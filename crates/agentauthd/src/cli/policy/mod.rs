//! `agentauthd policy`: which policies there are, what they say, what they said and what they would say.
//!
//! All but `apply` read files only: those of the policies, and those of the record. No daemon is needed. `import` writes the
//! one that it is told to.

mod check;
mod choice;
mod coverage;
mod explain;
mod hypothesis;
mod import;
mod recorded;
mod simulate;
mod test;
mod trials;

use agentauth_client::RulePart;
use clap::{Args, Subcommand};

use super::apply::Apply;
use super::{Context, Exit, Failure};

/// Check, test, explain, import and apply policies.
#[derive(Debug, Args)]
pub(super) struct PolicyCommand {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Check(check::Check),
    Test(test::Test),
    Explain(explain::Explain),
    Simulate(simulate::Simulate),
    Coverage(coverage::Coverage),
    Import(import::Import),
    /// Let your policies take effect as their files are now. You confirm it by signing in.
    Apply(Apply),
}

impl PolicyCommand {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        match self.command {
            What::Check(command) => command.run(context),
            What::Test(command) => command.run(context),
            What::Explain(command) => command.run(context),
            What::Simulate(command) => command.run(context),
            What::Coverage(command) => command.run(context),
            What::Import(command) => command.run(context),
            What::Apply(apply) => apply.run(context, RulePart::Policies).await,
        }
    }
}
