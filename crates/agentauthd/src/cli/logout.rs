//! `agentauthd logout`: end the session.

use std::pin::pin;
use std::time::Duration;

use agentauth_client::LogoutRequest;
use agentauth_core::text::display_safe_within;
use clap::Args;

use super::output::{self, WARN};
use super::{Context, Exit, Failure};

/// After this long without an answer, the person is told what is being waited for.
const SILENCE: Duration = Duration::from_secs(2);

/// End the session, here and at the provider. Exits with 1 if something of it could not be done.
#[derive(Debug, Args)]
pub(super) struct Logout {
    /// End every session of this user, on all machines.
    #[arg(long)]
    everywhere: bool,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

impl Logout {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let mut client = context.client();
        let request = LogoutRequest { everywhere: self.everywhere };
        let mut logout = pin!(client.logout(&request));
        let answer = match tokio::time::timeout(SILENCE, &mut logout).await {
            Ok(answer) => answer?,
            Err(_) => {
                output::say("Waiting for the provider; this can take a minute.");
                logout.await?
            }
        };
        if self.json {
            output::json(&answer)?;
        } else {
            output::data(match (answer.was_logged_in, answer.revoked_at_provider) {
                (false, _) => "Nobody was logged in.",
                (true, true) if self.everywhere => "Logged out, on all machines.",
                (true, true) => "Logged out.",
                (true, false) => "Logged out on this machine.",
            })?;
        }
        if let Some(url) = answer.sign_out_url.as_deref().filter(|_| !self.json) {
            let url = display_safe_within(url, 2048);
            output::say(&format!(
                "The browser may still be signed in at the provider. To end that too, open {url}"
            ));
        }
        for failure in &answer.failures {
            output::say(&format!("{WARN}warning:{WARN:#} {}", display_safe_within(failure, 2048)));
        }
        Ok(if answer.failures.is_empty() { Exit::Done } else { Exit::Error })
    }
}
