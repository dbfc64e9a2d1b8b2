//! `agentauthd config apply`, `agentauthd policy apply`: what the files say takes effect once the person confirmed it.

use agentauth_client::{ApplyRequest, ApplyResponse, RulePart};
use agentauth_core::text::display_safe_within;
use clap::Args;

use super::login::Confirmation;
use super::output;
use super::{Context, Exit, Failure};

/// At most this many characters of one difference are shown.
const SHOWN: usize = 1024;

/// How it is applied.
#[derive(Debug, Args)]
pub(super) struct Apply {
    /// Only print the address to open.
    #[arg(long)]
    no_browser: bool,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

impl Apply {
    pub(super) async fn run(self, context: &Context<'_>, part: RulePart) -> Result<Exit, Failure> {
        let mut client = context.client();
        let mut answer = client.apply_rules(ApplyRequest { apply: part }).await?;
        if !self.json {
            tell(&answer);
        }
        if let Some(login) = &answer.login {
            let asked = Confirmation { what: "To apply this, sign in at", browser: !self.no_browser };
            if !asked.follow(context, &mut client, login, "nothing was applied").await? {
                return Ok(Exit::Error);
            }
            answer.applied = true;
        }
        if self.json {
            output::json(&answer)?;
        } else if answer.changes.is_empty() {
            output::data("Nothing has changed since it was applied.")?;
        } else if answer.restart {
            output::data("Applied. It takes effect when agentauthd starts anew.")?;
        } else {
            output::data("Applied.")?;
        }
        Ok(Exit::Done)
    }
}

/// Says what the person is about to confirm.
fn tell(answer: &ApplyResponse) {
    for change in &answer.changes {
        output::say(&display_safe_within(&change.says, SHOWN));
    }
    if !answer.changes.is_empty() {
        output::say("");
    }
}
