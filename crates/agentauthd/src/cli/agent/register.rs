//! `agentauthd agent register`: show what an agent asks for and what recognises it, and have that confirmed.

use std::path::{Path, PathBuf};

use agentauth_client::{AgentView, RegisterRequest, RegisterResponse};
use agentauth_core::text::{display_safe, display_safe_within};
use clap::Args;
use serde_json::Value;

use super::super::login::Confirmation;
use super::super::output::{self, FAINT, STRONG, WARN};
use super::super::{Context, Exit, Failure};
use super::manifest_file;

/// Register a program as an agent, or register it anew. Whatever gives it more than it had is confirmed by signing in.
#[derive(Debug, Args)]
pub(super) struct Register {
    /// The agent's manifest; with `--update` only where it has changed.
    #[arg(required_unless_present = "update", value_name = "MANIFEST")]
    manifest: Option<PathBuf>,
    /// The program. Links are resolved, and its digest is taken now.
    #[arg(long, required_unless_present = "update", value_name = "PATH")]
    exe: Option<PathBuf>,
    /// The script, where the program is an interpreter.
    #[arg(long, value_name = "PATH")]
    script: Option<PathBuf>,
    /// The control group that its processes are in: a system service's, or a container's.
    #[arg(long, value_name = "GROUP")]
    cgroup: Option<String>,
    /// Take only what `agentauthd exec` started for this agent.
    #[arg(long)]
    launch_only: bool,
    /// Let it ask about others, by the rules of this domain (docs/authzen.md); with `--update`, an empty name ends that.
    #[arg(long, value_name = "DOMAIN")]
    enforcer: Option<String>,
    /// Bring the registration of this agent up to date: its files as they are now, for instance after a package update.
    #[arg(long, value_name = "NAME")]
    update: Option<String>,
    /// Only print the address to open.
    #[arg(long)]
    no_browser: bool,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

impl Register {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let request = self.request()?;
        let mut client = context.client();
        let mut answer = client.register(&request).await?;
        if !self.json {
            tell(&answer);
        }
        if let Some(login) = &answer.login {
            let asked = Confirmation { what: "To register it so, sign in at", browser: !self.no_browser };
            if !asked.follow(context, &mut client, login, "nothing was registered").await? {
                return Ok(Exit::Error);
            }
            answer.registered = true;
        }
        if self.json {
            output::json(&answer)?;
        } else {
            output::data(&format!("{} is registered.", display_safe(&answer.agent.name)))?;
        }
        Ok(Exit::Done)
    }

    fn request(&self) -> Result<RegisterRequest, Failure> {
        let manifest = self.manifest.as_deref().map(document).transpose()?;
        Ok(RegisterRequest {
            manifest,
            update: self.update.clone(),
            executable: self.exe.as_deref().map(absolute).transpose()?,
            script: self.script.as_deref().map(absolute).transpose()?,
            cgroup: self.cgroup.clone(),
            launch_only: self.launch_only.then_some(true),
            enforcer: self.enforcer.clone(),
        })
    }
}

/// The manifest in the file. What is wrong with it is said here, all at once.
fn document(path: &Path) -> Result<Value, Failure> {
    let manifest = manifest_file::read(path).map_err(|faults| {
        let told: Vec<_> = faults.iter().map(|fault| format!("  {fault}")).collect();
        let shown = display_safe(&path.display().to_string());
        Failure::Told(format!("`{shown}` is no manifest, so nothing was registered:\n{}", told.join("\n")))
    })?;
    serde_json::to_value(manifest).map_err(|error| Failure::caused("the manifest cannot be sent", error))
}

fn absolute(path: &Path) -> Result<String, Failure> {
    let shown = || display_safe_within(&path.display().to_string(), 200);
    let absolute = std::path::absolute(path).map_err(|error| {
        Failure::caused(format!("cannot tell where `{}` is: give its absolute path", shown()), error)
    })?;
    absolute.into_os_string().into_string().map_err(|_| {
        Failure::Told(format!("the path `{}` is not UTF-8 text: register a program at another path", shown()))
    })
}

/// Says what the person is about to confirm.
fn tell(answer: &RegisterResponse) {
    let agent = &answer.agent;
    output::say(&format!(
        "{STRONG}{} {}{STRONG:#}{}\n\nrecognised by\n{}\n\nasks for\n{}",
        display_safe(&agent.name),
        display_safe(&agent.version),
        publisher(agent),
        indented(&selectors(agent)),
        indented(&scopes(agent, &answer.widened, answer.replaces.is_some())),
    ));
    if let Some(before) = &answer.replaces {
        let changes = changes(before, agent);
        if !changes.is_empty() {
            output::say(&format!("\nin place of\n{}", indented(&changes)));
        }
    }
    for note in &answer.notes {
        output::say(&format!("{WARN}note:{WARN:#} {note}"));
    }
    output::say("");
}

pub(super) fn publisher(agent: &AgentView) -> String {
    agent.publisher.as_deref().map_or_else(String::new, |publisher| {
        format!(" {FAINT}says it is by {}{FAINT:#}", display_safe(publisher))
    })
}

/// What recognises an agent, one fact a line.
pub(super) fn selectors(agent: &AgentView) -> Vec<String> {
    let digest = |digest: &Option<String>| {
        digest.as_deref().map_or_else(String::new, |digest| format!("  {FAINT}SHA-256 {digest}{FAINT:#}"))
    };
    let mut lines = vec![format!("{}{}", display_safe(&agent.executable), digest(&agent.sha256))];
    lines.extend(
        agent
            .script
            .as_deref()
            .map(|script| format!("running {}{}", display_safe(script), digest(&agent.script_sha256))),
    );
    lines
        .extend(agent.cgroup.as_deref().map(|group| format!("in the control group {}", display_safe(group))));
    if agent.launch_only {
        lines.push("started by `agentauthd exec`, and in no other way".to_owned());
    }
    lines.extend(
        agent
            .enforcer
            .as_deref()
            .map(|domain| format!("it may ask about others, by the domain {}", display_safe(domain))),
    );
    lines
}

/// What an agent asks for, one scope a line; what is new is marked.
pub(super) fn scopes(agent: &AgentView, widened: &[String], again: bool) -> Vec<String> {
    agent
        .scopes
        .iter()
        .map(|scope| {
            let new = if again && widened.contains(&scope.scope) {
                format!("{WARN}new:{WARN:#} ")
            } else {
                String::new()
            };
            let says = scope.says.as_deref().map_or_else(|| "not in the catalogue".to_owned(), display_safe);
            format!(
                "{new}{STRONG}{}{STRONG:#}  {says} {FAINT}({}){FAINT:#}, to {}",
                display_safe(&scope.scope),
                scope.risk,
                display_safe_within(&scope.purpose, 300)
            )
        })
        .collect()
}

/// What recognised the agent so far and no longer does.
fn changes(before: &AgentView, after: &AgentView) -> Vec<String> {
    let (before, after) = (selectors(before), selectors(after));
    before.into_iter().filter(|line| !after.contains(line)).collect()
}

pub(super) fn indented(lines: &[String]) -> String {
    if lines.is_empty() {
        return "  nothing".to_owned();
    }
    lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
