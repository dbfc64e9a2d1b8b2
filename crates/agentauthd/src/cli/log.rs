//! `agentauthd log`: what the daemon logs while it runs.

use agentauth_api::LogRequest;
use agentauth_core::SignedDuration;
use agentauth_core::text::display_safe_within;
use clap::Args;

use super::{Context, Exit, Failure, output, words};

/// Show what the daemon logs, or have it log more for a time: what the configuration has logged stays logged. The log goes where
/// it always goes, to the daemon's standard error; what looks like a secret is left out of it at every level. A change is
/// recorded in the audit log.
#[derive(Debug, Args)]
pub(super) struct Log {
    /// What to log besides from now on, such as `debug` or `agentauthd::request=debug`.
    #[arg(value_name = "FILTER", conflicts_with = "reset")]
    filter: Option<String>,
    /// For how long. At most a day.
    #[arg(long = "for", value_name = "TIME", value_parser = time, default_value = "10m", requires = "filter")]
    lasts: SignedDuration,
    /// Log as configured again.
    #[arg(long)]
    reset: bool,
    /// Print what is logged as JSON.
    #[arg(long)]
    json: bool,
}

impl Log {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let mut client = context.client();
        let logged = match (self.filter, self.reset) {
            (None, false) => client.log().await?,
            (filter, _) => {
                let seconds =
                    filter.is_some().then(|| u64::try_from(self.lasts.as_secs()).unwrap_or_default());
                client.set_log(&LogRequest { filter, seconds }).await?
            }
        };
        if self.json {
            output::json(&logged)?;
            return Ok(Exit::Done);
        }
        let filter = display_safe_within(&logged.filter, 1024);
        output::data(&match logged.until {
            None => format!("The daemon logs `{filter}`, as configured."),
            Some(until) => {
                let configured = display_safe_within(&logged.configured, 1024);
                let left = words::span(until.duration_since(context.now()).max(SignedDuration::ZERO));
                format!(
                    "The daemon logs `{configured}`, as configured, and for {left} more `{filter}` beside it."
                )
            }
        })?;
        Ok(Exit::Done)
    }
}

fn time(text: &str) -> Result<SignedDuration, String> {
    let time: SignedDuration = text.parse().map_err(|_| "write it like `10m`".to_owned())?;
    if (SignedDuration::from_secs(1)..=SignedDuration::from_hours(24)).contains(&time) {
        Ok(time)
    } else {
        Err("it must be from `1s` to `24h`".to_owned())
    }
}
