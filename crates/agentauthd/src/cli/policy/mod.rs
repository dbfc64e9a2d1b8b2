//! `agentauthd policy`: the person's policies.

use agentauth_client::RulePart;
use clap::{Args, Subcommand};

use super::apply::Apply;
use super::{Context, Exit, Failure};

/// Look after the policies.
#[derive(Debug, Args)]
pub(super) struct PolicyCommand {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Let your policies take effect as their files are now. You confirm it by signing in.
    Apply(Apply),
}

impl PolicyCommand {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        match self.command {
            What::Apply(apply) => apply.run(context, RulePart::Policies).await,
        }
    }
}
