//! `agentauthd run`: the daemon, in the foreground.

use std::io::IsTerminal;

use clap::Args;
use secrecy::SecretString;

use super::{Context, Exit, Failure};
use crate::config::{Config, Flags, StoreKind, overlaps};
use crate::daemon::{self, Start};
use crate::log;

/// Run the daemon in the foreground until it is told to stop (SIGTERM or Ctrl-C). The log goes to standard error.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The provider's project.
    #[arg(long, value_name = "ID")]
    project_id: Option<String>,
    /// The provider's base URL.
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// What to log, such as `debug` or `info,agentauth_idp=debug`.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

impl Run {
    /// The settings that its flags make.
    pub(super) fn flags(&self, flags: Flags) -> Flags {
        flags
            .with("--project-id", "provider.project_id", self.project_id.clone())
            .with("--base-url", "provider.base_url", self.base_url.clone())
            .with("--log", "log.filter", self.log.clone())
    }

    pub(super) async fn run(self, context: Context<'_>) -> Result<Exit, Failure> {
        let log = log::start(&context.loaded.config.log).map_err(|error| {
            Failure::caused("could not start the log; correct `log.filter` in the configuration", error)
        })?;
        let mut notes = context.loaded.notes.clone();
        notes.extend(overlaps(context.environment, &context.loaded));
        for note in &notes {
            tracing::warn!("{note}");
        }
        let passphrase = ask_for_passphrase(&context.loaded.config)?;
        let needless_credentials =
            context.environment.needless_credentials().iter().map(|&name| name.to_owned()).collect();
        let Context { loaded, environment, flags } = context;
        let environment = environment.clone();
        daemon::run(Start { loaded, environment, flags, notes, needless_credentials, passphrase, log })
            .await?;
        Ok(Exit::Done)
    }
}

/// Before the socket is there, so that nobody waits for the person's answer.
fn ask_for_passphrase(config: &Config) -> Result<Option<SecretString>, Failure> {
    let asks = config.secrets.store == StoreKind::File
        && config.secrets.passphrase_file.is_none()
        && config.provider.is_named()
        && std::io::stdin().is_terminal();
    if !asks {
        return Ok(None);
    }
    rpassword::prompt_password("Passphrase of the agentauthd secret file: ")
        .map(|text| Some(SecretString::from(text)))
        .map_err(|error| {
            Failure::caused("could not ask for the passphrase; set `secrets.passphrase_file`", error)
        })
}
