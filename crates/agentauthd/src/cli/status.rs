//! `agentauthd status`: a glance at everything of one profile, or a line for each; once, or again whenever it has changed.

use std::io::IsTerminal;
use std::time::Duration;

use agentauth_api::Status;
use agentauth_client::{Client, ClientError, Events};
use clap::Args;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::overview::{self, Overview};
use super::{Context, Exit, Failure, glance, output};
use crate::config::Flags;
use crate::environment::Environment;

/// How often `--watch` looks where nothing is told.
const EVERY: Duration = Duration::from_secs(1);

/// A glance at everything: login, provider, keys, secret store, policy, record, agents, problems. Where there are more
/// profiles than the default one, and none is named, a line for each.
///
/// Exits with 3 if the daemon does not run. For all profiles: with 1 if one of them is unusable (its configuration is at
/// fault, or its daemon gave no usable answer), else with 3 if no daemon runs, else with 0.
#[derive(Debug, Args)]
pub(super) struct StatusCommand {
    /// Print it as JSON; with `--watch`, one object a line for each change.
    #[arg(long)]
    json: bool,
    /// Go on until Ctrl-C: on a terminal what is shown is kept up to date, elsewhere each change is added below.
    #[arg(long)]
    watch: bool,
    /// A line for each profile, even if there is only one; with `--json`, an object with an array `profiles`.
    #[arg(long)]
    all: bool,
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

    /// Whether every profile is meant, which is so where no flag or variable names one.
    ///
    /// # Errors
    /// When flags name one and all.
    pub(super) fn means_all(&self, environment: &Environment, flags: &Flags) -> Result<bool, Failure> {
        let by_flag = flags.config.is_some()
            || flags.values.iter().any(|flag| matches!(flag.key.as_str(), "profile" | "paths.socket"));
        if self.all && by_flag {
            let told = "`--all` shows every profile, so `--profile`, `--config` and `--socket` make no sense beside it";
            return Err(Failure::Usage(told.to_owned()));
        }
        let by_variable = ["AGENTAUTHD_PROFILE", "AGENTAUTHD_CONFIG", "AGENTAUTHD_SOCKET"]
            .into_iter()
            .any(|variable| environment.value(variable).is_some());
        Ok(self.all || !by_flag && !by_variable && overview::has_more_than_the_default(environment))
    }

    /// Every profile.
    pub(super) async fn run_all(&self, environment: &Environment) -> Result<Exit, Failure> {
        if !self.watch {
            let overview = Overview::look(environment).await;
            if self.json {
                output::json(&overview)?;
            } else {
                output::raw(&overview.render(super::now()))?;
            }
            return Ok(overview.exit());
        }
        let redraws = !self.json && std::io::stdout().is_terminal();
        let mut pulse = Pulse::new();
        watched(async || {
            pulse.beat.tick().await;
            let overview = Overview::look(environment).await;
            let line = serde_json::to_string(&overview).map_err(|error| Failure::Output(error.into()))?;
            if self.json {
                return Ok(Picture { text: line.clone() + "\n", shows: line });
            }
            Ok(drawn(overview.render(super::now()), line, redraws))
        })
        .await
    }

    async fn watch(&self, client: &mut Client, context: &Context<'_>) -> Result<Exit, Failure> {
        let redraws = !self.json && std::io::stdout().is_terminal();
        let mut pulse = Pulse::new();
        watched(async || {
            pulse.wait(client).await;
            let seen = client.status().await;
            self.picture(&seen, context, redraws)
        })
        .await
    }

    /// One picture of the sequence. A daemon that is away is a picture too: it may come back.
    fn picture(
        &self,
        seen: &Result<Status, ClientError>,
        context: &Context<'_>,
        redraws: bool,
    ) -> Result<Picture, Failure> {
        let line = match seen {
            Ok(status) => serde_json::to_string(status),
            Err(error) => serde_json::to_string(&serde_json::json!({ "error": error.to_string() })),
        };
        let line = line.map_err(|error| Failure::Output(error.into()))?;
        if self.json {
            return Ok(Picture { text: line.clone() + "\n", shows: line });
        }
        let text = match seen {
            Ok(status) => glance::render(status, context.now()),
            Err(error) => format!("{}\n", glance::unreachable(error)),
        };
        Ok(drawn(text, line, redraws))
    }
}

/// What is shown, and what tells whether it is something else than before.
struct Picture {
    text: String,
    shows: String,
}

/// Shows one picture after the other where something has changed, until Ctrl-C.
async fn watched(mut picture: impl AsyncFnMut() -> Result<Picture, Failure>) -> Result<Exit, Failure> {
    let watching = async {
        let mut shown = None;
        loop {
            let Picture { text, shows } = picture().await?;
            if shown.as_ref() != Some(&shows) {
                output::raw(&text)?;
                shown = Some(shows);
            }
        }
    };
    tokio::select! {
        ended = watching => ended,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Done),
    }
}

/// A picture over the one before, or below it. On a terminal every word of it counts, as times go by; below each other only
/// what is so.
fn drawn(text: String, what: String, redraws: bool) -> Picture {
    if !redraws {
        return Picture { text: text + "\n", shows: what };
    }
    // Home, each line cleared to its end, then the rest of the screen: no flicker.
    Picture { text: format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n")), shows: text }
}

/// When to look again: as soon as the daemon tells that something happened, and every second.
struct Pulse {
    beat: Interval,
    events: Option<Events>,
    /// Whether it was looked at before.
    began: bool,
}

impl Pulse {
    fn new() -> Self {
        let mut beat = interval(EVERY);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { beat, events: None, began: false }
    }

    async fn wait(&mut self, client: &Client) {
        if self.began && self.events.is_none() {
            // A daemon that is away tells nothing; it is looked for at every beat.
            self.events = client.events().await.ok();
        }
        self.began = true;
        if let Some(events) = &mut self.events {
            tokio::select! {
                told = events.next() => {
                    if matches!(told, Ok(Some(_))) {
                        return;
                    }
                    self.events = None;
                }
                _ = self.beat.tick() => return,
            }
        }
        self.beat.tick().await;
    }
}
