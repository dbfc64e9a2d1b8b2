//! `agentauthd agent list`, `show` and `remove`.

use agentauth_client::RemoveRequest;
use agentauth_core::text::{display_safe, display_safe_within};
use clap::Args;

use super::super::login::Confirmation;
use super::super::output::{self, BAD, FAINT, STRONG, WARN};
use super::super::{Context, Exit, Failure, words};
use super::register::{indented, publisher, scopes, selectors};

/// Say which programs are agents.
#[derive(Debug, Args)]
pub(super) struct List {
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let list = context.client().agents().await?;
        if self.json {
            output::json(&list)?;
            return Ok(Exit::Done);
        }
        if list.agents.is_empty() {
            output::say(&context.addressed("No program is an agent. `agentauthd agent register` makes one."));
        }
        for agent in &list.agents {
            let marks = [
                (agent.source == "administrator").then_some("the administrator's"),
                agent.forbidden.then_some("forbidden"),
                agent.launch_only.then_some("started by agentauthd only"),
            ];
            let marks: Vec<_> = marks.into_iter().flatten().collect();
            let marks = if marks.is_empty() { String::new() } else { format!(" ({})", marks.join(", ")) };
            output::data(&format!(
                "{STRONG}{}{STRONG:#} {}  {}  {FAINT}{}, {}{marks}{FAINT:#}",
                display_safe(&agent.name),
                display_safe(&agent.version),
                display_safe(agent.script.as_deref().unwrap_or(&agent.executable)),
                words::count(agent.scopes.len(), "scope"),
                words::count(agent.grants, "grant"),
            ))?;
        }
        Ok(Exit::Done)
    }
}

/// Show one agent: what recognises it, and what it asks for.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Its name.
    name: String,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let agent = context.client().agent(&self.name).await?;
        if self.json {
            output::json(&agent)?;
            return Ok(Exit::Done);
        }
        output::data(&format!(
            "{STRONG}{} {}{STRONG:#}{}\nregistered by the {}{}, with {}\n\nrecognised by\n{}\n\nasks for\n{}\n\n\
             {FAINT}manifest {}\nregistration {}{FAINT:#}",
            display_safe(&agent.name),
            display_safe(&agent.version),
            publisher(&agent),
            agent.source,
            if agent.forbidden { format!(", and {BAD}forbidden{BAD:#}") } else { String::new() },
            words::count(agent.grants, "grant"),
            indented(&selectors(&agent)),
            indented(&scopes(&agent, &[], false)),
            agent.manifest_digest,
            agent.registration,
        ))?;
        Ok(Exit::Done)
    }
}

/// Remove an agent with all its grants. Needs a recognised terminal, or a fresh login.
#[derive(Debug, Args)]
pub(super) struct Remove {
    /// Its name.
    name: String,
    /// Confirm it by signing in anew, where no terminal shows that a person asks.
    #[arg(long)]
    reauth: bool,
    /// Only print the address to open.
    #[arg(long)]
    no_browser: bool,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

impl Remove {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let mut client = context.client();
        let answer = client.remove_agent(&self.name, &RemoveRequest { reauth: self.reauth }).await?;
        if let Some(login) = &answer.login {
            let asked = Confirmation { what: "To remove it, sign in at", browser: !self.no_browser };
            if !asked.follow(context, &mut client, login, "the agent stays registered").await? {
                return Ok(Exit::Error);
            }
        }
        if self.json {
            output::json(&answer)?;
        } else {
            output::data(&format!("{} is no agent any more.", display_safe(&self.name)))?;
        }
        for failure in &answer.failures {
            output::say(&format!("{WARN}warning:{WARN:#} {}", display_safe_within(failure, 2048)));
        }
        Ok(if answer.failures.is_empty() { Exit::Done } else { Exit::Error })
    }
}
