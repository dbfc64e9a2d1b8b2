//! `agentauthd passkey`: what may confirm an operation in place of a sign-in.

use agentauth_client::{Client, PasskeyRequest, PasskeyView};
use agentauth_core::text::{display_safe, display_safe_within};
use clap::{Args, Subcommand};

use super::login::Confirmation;
use super::output::{self, FAINT, STRONG, WARN};
use super::{Context, Exit, Failure, words};

/// Register and remove passkeys: they confirm what agents ask for, in place of a sign-in.
#[derive(Debug, Args)]
pub(super) struct PasskeyCommand {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Register a passkey: sign in for it, then have the browser make it.
    Add(Add),
    /// Say which passkeys are registered.
    List(List),
    /// Remove passkeys: they confirm nothing any more.
    Remove(Remove),
}

/// Register a passkey: sign in for it, then have the browser make it. Needs a browser on this machine.
#[derive(Debug, Args)]
struct Add {
    /// What to call it.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Only print the address to open.
    #[arg(long)]
    no_browser: bool,
    /// Print the registered passkeys as JSON.
    #[arg(long)]
    json: bool,
}

/// Say which passkeys are registered.
#[derive(Debug, Args)]
struct List {
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
}

/// Remove passkeys: they confirm nothing any more.
#[derive(Debug, Args)]
struct Remove {
    /// Their ids, or the beginnings of them, as `agentauthd passkey list` prints them.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Print what was removed as JSON, one object a line.
    #[arg(long)]
    json: bool,
}

impl PasskeyCommand {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        match self.command {
            What::Add(command) => command.run(context).await,
            What::List(command) => command.run(context).await,
            What::Remove(command) => command.run(context).await,
        }
    }
}

impl Add {
    async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let mut client = context.client();
        let answer = client.add_passkey(&PasskeyRequest { name: self.name }).await?;
        let what = "To register a passkey, sign in in the browser that is to make it, at";
        let asked = Confirmation { what, browser: !self.no_browser };
        if !asked.follow(context, &mut client, &answer.login, "no passkey was registered").await? {
            return Ok(Exit::Error);
        }
        if self.json {
            output::json(&client.passkeys().await?)?;
        } else {
            output::data("The passkey is registered.")?;
        }
        Ok(Exit::Done)
    }
}

impl List {
    async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let list = context.client().passkeys().await?;
        if self.json {
            output::json(&list)?;
            return Ok(Exit::Done);
        }
        if list.passkeys.is_empty() {
            output::say(&context.addressed("No passkey is registered: `agentauthd passkey add` does it."));
        }
        for passkey in &list.passkeys {
            output::data(&told(context, passkey))?;
        }
        Ok(Exit::Done)
    }
}

impl Remove {
    async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let mut client = context.client();
        let mut exit = Exit::Done;
        for id in &self.ids {
            let id = whole(&mut client, id).await?;
            let answer = client.remove_passkey(&id).await?;
            if self.json {
                output::json_line(&answer)?;
            } else {
                output::data(&format!("Removed: {}.", display_safe(&answer.passkey.name)))?;
            }
            for failure in &answer.failures {
                output::say(&format!("{WARN}warning:{WARN:#} {}", display_safe_within(failure, 2048)));
                exit = Exit::Error;
            }
        }
        Ok(exit)
    }
}

/// The id that begins so, where it is the only one; else what was given.
async fn whole(client: &mut Client, beginning: &str) -> Result<String, Failure> {
    let list = client.passkeys().await?;
    let mut fitting = list.passkeys.into_iter().filter(|passkey| passkey.id.starts_with(beginning));
    Ok(match (fitting.next(), fitting.next()) {
        (Some(passkey), None) if beginning.len() >= 7 => passkey.id,
        _ => beginning.to_owned(),
    })
}

fn told(context: &Context<'_>, passkey: &PasskeyView) -> String {
    let copies = if passkey.backup_eligible { ", can be copied to other devices" } else { "" };
    let model = match passkey.attestation.as_str() {
        "vouched" => "vouched for",
        _ => "as it says itself",
    };
    format!(
        "{STRONG}{}{STRONG:#}  {FAINT}{}, registered {}{copies}, model {} ({model})  {}{FAINT:#}",
        display_safe(&passkey.name),
        display_safe_within(&passkey.algorithm, 16),
        words::relative(context.now(), passkey.created_at),
        display_safe_within(&passkey.aaguid, 64),
        display_safe_within(&passkey.id, 64),
    )
}
