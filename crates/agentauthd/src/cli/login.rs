//! `agentauthd login`: start a login, open the browser, follow it.

use std::time::Duration;

use agentauth_client::{LoginProgress, LoginRequest};
use agentauth_core::text::display_safe_within;
use clap::Args;

use super::output::{self, FAINT, STRONG};
use super::{Context, Exit, Failure, words};

/// How long one request waits for the person to come back from the browser.
const POLL: Duration = Duration::from_secs(25);

/// The longest address that is shown whole, in characters.
const LONGEST_URL: usize = 8 * 1024;

/// Log in, in the browser. The daemon must be running.
#[derive(Debug, Args)]
pub(super) struct Login {
    /// Only print the address to open.
    #[arg(long)]
    no_browser: bool,
    /// The sign-in flow to run.
    #[arg(long, value_name = "FLOW")]
    flow: Option<String>,
    /// The tenant to sign in to.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Whom the sign-in page should expect, usually an e-mail address.
    #[arg(long, value_name = "NAME")]
    login_hint: Option<String>,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

impl Login {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let mut client = context.client();
        let request = LoginRequest { flow: self.flow, tenant: self.tenant, login_hint: self.login_hint };
        let started = client.login_start(&request).await?;

        let url = display_safe_within(&started.url, LONGEST_URL);
        output::say(&format!("{STRONG}Sign in at{STRONG:#}\n\n  {url}\n"));
        let opened = !self.no_browser && context.loaded.config.login.open_browser && open(&started.url);
        if opened {
            output::say("Your browser has been opened there.");
        } else if let Some(port) = port_of(&started.redirect_uri) {
            output::say(&format!(
                "{FAINT}If the browser is on another machine, first run this there: ssh -L {port}:127.0.0.1:{port} THIS-MACHINE{FAINT:#}"
            ));
        }
        let now = context.now();
        output::say(&format!(
            "Waiting until you have signed in ({} left; Ctrl-C stops waiting).",
            words::span(started.expires_at.duration_since(now))
        ));

        loop {
            let progress = tokio::select! {
                progress = client.login_progress(&started.id, POLL) => progress?,
                _ = tokio::signal::ctrl_c() => {
                    output::say("\nStopped waiting. The address stays good until it expires; sign in there, or run `agentauthd login` again.");
                    return Ok(Exit::Error);
                }
            };
            match &progress {
                LoginProgress::Waiting => {}
                _ if self.json => {
                    output::json(&progress)?;
                    let done = matches!(progress, LoginProgress::Done { .. });
                    return Ok(if done { Exit::Done } else { Exit::Error });
                }
                LoginProgress::Done { user } => {
                    output::data(&format!("Logged in as {}.", words::account(user)))?;
                    return Ok(Exit::Done);
                }
                LoginProgress::Failed { message, .. } => {
                    return Err(Failure::Told(format!("the login failed: {message}")));
                }
            }
        }
    }
}

/// Opens the browser; if that fails, says so, and the person uses the printed address.
fn open(url: &str) -> bool {
    match agentauth_host::browser::open(url) {
        Ok(()) => true,
        Err(error) => {
            output::say(&format!(
                "No browser was opened: {}.",
                display_safe_within(&error.to_string(), 1024)
            ));
            false
        }
    }
}

fn port_of(redirect_uri: &str) -> Option<u16> {
    url::Url::parse(redirect_uri).ok()?.port()
}
