//! `agentauthd status`: a glance at everything, once or over and over.

use std::io::IsTerminal;
use std::time::Duration;

use agentauth_api::Status;
use agentauth_client::{Client, ClientError};
use clap::Args;

use super::{Context, Exit, Failure, glance, output};

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(1);

/// A glance at everything: login, provider, keys, secret store, policy, record, agents, problems.
#[derive(Debug, Args)]
pub(super) struct StatusCommand {
    /// Print it as JSON; with `--watch`, one object a line.
    #[arg(long)]
    json: bool,
    /// Look again every second, until Ctrl-C.
    #[arg(long)]
    watch: bool,
}

impl StatusCommand {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let mut client = context.client();
        if self.watch {
            return self.watch(&mut client, context).await;
        }
        let status = client.status().await?;
        if self.json {
            output::json(&status)?;
        } else {
            output::raw(&glance::render(&status, context.now()))?;
        }
        Ok(Exit::Done)
    }

    async fn watch(&self, client: &mut Client, context: &Context<'_>) -> Result<Exit, Failure> {
        let redraws = !self.json && std::io::stdout().is_terminal();
        let mut beat = tokio::time::interval(EVERY);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let watching = async {
            loop {
                beat.tick().await;
                let seen = client.status().await;
                output::raw(&self.picture(&seen, context, redraws)?)?;
            }
        };
        tokio::select! {
            ended = watching => ended,
            _ = tokio::signal::ctrl_c() => Ok(Exit::Done),
        }
    }

    /// One picture of the sequence. A daemon that is away is a picture too: it may come back.
    fn picture(
        &self,
        seen: &Result<Status, ClientError>,
        context: &Context<'_>,
        redraws: bool,
    ) -> Result<String, Failure> {
        if self.json {
            let line = match seen {
                Ok(status) => serde_json::to_string(status),
                Err(error) => serde_json::to_string(&serde_json::json!({ "error": error.to_string() })),
            };
            return line.map(|line| line + "\n").map_err(|error| Failure::Output(error.into()));
        }
        let text = match seen {
            Ok(status) => glance::render(status, context.now()),
            Err(error) => format!("{}\n", glance::unreachable(error)),
        };
        if !redraws {
            return Ok(text + "\n");
        }
        // Home, each line cleared to its end, then the rest of the screen: no flicker.
        Ok(format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n")))
    }
}
