//! `agentauthd lock` and `agentauthd unlock`: pause everything, and let it go on.

use agentauth_client::UnlockRequest;
use agentauth_core::text::display_safe_within;
use clap::Args;

use super::login::Confirmation;
use super::output::{self, WARN};
use super::{Context, Exit, Failure};

/// Pause everything: every check is denied, and nothing is sent to the provider, until `unlock`. Survives a restart of the
/// daemon. Exits with 1 if something of it could not be done.
#[derive(Debug, Args)]
pub(super) struct Lock {
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

impl Lock {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let answer = context.client().lock().await?;
        if self.json {
            output::json(&answer)?;
        } else {
            output::data(&context.addressed(if answer.was_locked {
                "Everything was paused already."
            } else {
                "Everything is paused. `agentauthd unlock` lets it go on."
            }))?;
        }
        for failure in &answer.failures {
            output::say(&format!("{WARN}warning:{WARN:#} {}", display_safe_within(failure, 2048)));
        }
        Ok(if answer.failures.is_empty() { Exit::Done } else { Exit::Error })
    }
}

/// Let everything go on that `lock` paused. Needs a fresh login; a recognised terminal will do where every grant expires, and
/// reads or writes.
#[derive(Debug, Args)]
pub(super) struct Unlock {
    /// Confirm it by signing in anew.
    #[arg(long)]
    reauth: bool,
    /// Only print the address to open.
    #[arg(long)]
    no_browser: bool,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

impl Unlock {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let mut client = context.client();
        let answer = client.unlock(&UnlockRequest { reauth: self.reauth }).await?;
        if let Some(login) = &answer.login {
            let asked = Confirmation { what: "To end the pause, sign in at", browser: !self.no_browser };
            if !asked.follow(context, &mut client, login, "everything stays paused").await? {
                return Ok(Exit::Error);
            }
        }
        if self.json {
            output::json(&answer)?;
        } else {
            output::data(if answer.was_locked {
                "The pause has ended; the provider is asked to confirm the login."
            } else {
                "Nothing was paused."
            })?;
        }
        Ok(Exit::Done)
    }
}
