//! `agentauthd grants` and `agentauthd grant revoke`: what agents were allowed, and the end of it.

use agentauth_client::GrantView;
use agentauth_core::text::{display_safe, display_safe_within};
use clap::{Args, Subcommand};

use super::output::{self, BAD, FAINT, STRONG, WARN};
use super::{Context, Exit, Failure, words};

/// Say what agents were allowed, and until when.
#[derive(Debug, Args)]
pub(super) struct Grants {
    /// Only those of this agent.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
}

impl Grants {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let mut list = context.client().grants().await?;
        if let Some(agent) = &self.agent {
            list.grants.retain(|grant| grant.agent == *agent);
        }
        if self.json {
            output::json(&list)?;
            return Ok(Exit::Done);
        }
        if list.grants.is_empty() {
            output::say("Nothing was granted.");
        }
        let mut agent = None;
        for grant in &list.grants {
            if agent != Some(&grant.agent) {
                output::data(&format!("{STRONG}{}{STRONG:#}", display_safe(&grant.agent)))?;
                agent = Some(&grant.agent);
            }
            output::data(&format!("  {}", told(context, grant)))?;
        }
        Ok(Exit::Done)
    }
}

/// Take grants away.
#[derive(Debug, Args)]
pub(super) struct GrantCommand {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Take a grant away: the next check knows.
    Revoke(Revoke),
}

/// Take a grant away: the next check knows.
#[derive(Debug, Args)]
struct Revoke {
    /// Its id, as `agentauthd grants` prints it.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Print what was taken away as JSON.
    #[arg(long)]
    json: bool,
}

impl GrantCommand {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let What::Revoke(command) = self.command;
        let mut client = context.client();
        let mut exit = Exit::Done;
        for id in &command.ids {
            let answer = client.revoke_grant(id).await?;
            if command.json {
                output::json_line(&answer)?;
            } else {
                let GrantView { agent, scope, .. } = &answer.grant;
                output::data(&format!("Revoked: {} for {}.", display_safe(scope), display_safe(agent)))?;
            }
            for failure in &answer.failures {
                output::say(&format!("{WARN}warning:{WARN:#} {}", display_safe_within(failure, 2048)));
                exit = Exit::Error;
            }
        }
        Ok(exit)
    }
}

fn told(context: &Context<'_>, grant: &GrantView) -> String {
    let lifetime = match (grant.lifetime.as_str(), grant.until) {
        ("until", Some(end)) => format!("ends {}", words::relative(context.now(), end)),
        ("session", _) => "while the login lasts".to_owned(),
        _ => "until revoked".to_owned(),
    };
    let uses = grant
        .left
        .zip(grant.uses)
        .map_or_else(String::new, |(left, uses)| format!(", {left} of {uses} uses left"));
    let one = grant.action.as_deref().map_or("", |_| ", for one action only");
    let denied = if grant.denied { format!("{BAD}refused{BAD:#} ") } else { String::new() };
    let over = if grant.holds { "" } else { ", does not hold now" };
    format!(
        "{denied}{}  {FAINT}{lifetime}{uses}{one}{over}  {}{FAINT:#}",
        display_safe(&grant.scope),
        display_safe(&grant.id)
    )
}
