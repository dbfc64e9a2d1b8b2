//! `agentauthd config`: show what is in force and where it came from, or say what is wrong.

use std::fmt::Write as _;

use agentauth_client::RulePart;
use agentauth_core::text::display_safe_within;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::apply::Apply;
use super::output::{self, BAD, FAINT, STRONG, WARN};
use super::{Context, Exit, Failure, words};
use crate::config::{ConfigFaults, Loaded, Origin, Setting, addressed, overlaps};
use crate::daemon::{RulesReport, survey_rules};

/// At most this many characters of one line are shown.
const SHOWN: usize = 2048;

/// Look at the configuration, and apply it.
#[derive(Debug, Args)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Let the configuration and your catalogue of scopes take effect as their files are now. You confirm it by signing in.
    Apply(Apply),
    /// Print every option with its value and where that came from, as a configuration file.
    Show {
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say everything that is wrong with the configuration, the policies and the registered agents. Exits with 1 if
    /// anything is.
    Validate {
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
}

impl ConfigCommand {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let loaded = &context.loaded;
        match self.command {
            What::Apply(apply) => return apply.run(context, RulePart::Configuration).await,
            What::Show { json: true } => {
                let shown: Vec<_> = loaded.settings().into_iter().map(Shown::from).collect();
                output::json(&shown)?;
            }
            What::Show { json: false } => output::raw(&render(loaded))?,
            What::Validate { json } => {
                let rules = survey_rules(loaded, context.environment.uid());
                let verdict = Verdict::of(loaded, overlaps(context.environment, loaded), rules);
                if json {
                    output::json(&verdict)?;
                } else {
                    verdict.tell()?;
                }
                return Ok(verdict.exit());
            }
        }
        Ok(Exit::Done)
    }

    /// Answers in JSON for a configuration at fault, where JSON is asked for.
    pub(super) fn refuse(&self, faults: &ConfigFaults) -> Result<Option<Exit>, Failure> {
        let What::Validate { json: true } = self.command else { return Ok(None) };
        let faults = faults.0.iter().map(ToString::to_string).collect();
        let verdict = Verdict { faults, ..Verdict::default() };
        output::json(&verdict)?;
        Ok(Some(verdict.exit()))
    }
}

/// What `validate` found, as JSON shows it.
#[derive(Debug, Default, Serialize)]
struct Verdict {
    valid: bool,
    /// The configuration files that were read.
    files: Vec<String>,
    /// The agents that would be registered, by the person or the administrator.
    agents: Vec<String>,
    /// How many policies would be in force, those that ship included.
    policies: usize,
    /// What keeps the daemon from starting.
    faults: Vec<String>,
    /// Registrations that are refused: their agents get nothing.
    problems: Vec<String>,
    /// What is not wrong but worth saying.
    notes: Vec<String>,
}

impl Verdict {
    fn of(loaded: &Loaded, overlaps: Vec<String>, rules: RulesReport) -> Self {
        let mut notes = loaded.notes.clone();
        notes.extend(overlaps);
        if !loaded.config.provider.is_named() {
            let note = "no provider is named, so nobody can log in; run `agentauthd setup`";
            notes.push(addressed(&loaded.config.profile, note).into_owned());
        }
        notes.extend(rules.notes);
        Self {
            valid: rules.faults.is_empty() && rules.problems.is_empty(),
            files: loaded.files.iter().map(|file| file.display().to_string()).collect(),
            agents: rules.agents,
            policies: rules.policies,
            faults: rules.faults,
            problems: rules.problems,
            notes,
        }
    }

    fn exit(&self) -> Exit {
        if self.valid { Exit::Done } else { Exit::Error }
    }

    fn tell(&self) -> Result<(), Failure> {
        for wrong in self.faults.iter().chain(&self.problems) {
            // A policy's fault goes on with the line in question and a mark below it.
            let mut lines = wrong.lines().map(|line| display_safe_within(line, SHOWN));
            output::say(&format!("{BAD}error:{BAD:#} {}", lines.next().unwrap_or_default()));
            lines.for_each(|line| output::say(&format!("       {line}")));
        }
        for note in &self.notes {
            output::say(&format!("{WARN}note:{WARN:#} {}", display_safe_within(note, SHOWN)));
        }
        if self.valid {
            let read =
                if self.files.is_empty() { "no file is read".to_owned() } else { self.files.join(", ") };
            let agents = words::count(self.agents.len(), "agent");
            output::data(&format!(
                "The configuration is valid ({read}), with {agents} and {}.",
                if self.policies == 1 {
                    "1 policy".to_owned()
                } else {
                    format!("{} policies", self.policies)
                }
            ))?;
        }
        Ok(())
    }
}

/// An option as JSON shows it.
#[derive(Serialize)]
struct Shown {
    key: &'static str,
    value: serde_json::Value,
    origin: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    overridden: Vec<String>,
}

impl From<Setting> for Shown {
    fn from(setting: Setting) -> Self {
        Self {
            key: setting.key,
            value: setting.json,
            origin: setting.origin.to_string(),
            overridden: setting.overridden.iter().map(Origin::to_string).collect(),
        }
    }
}

fn render(loaded: &Loaded) -> String {
    let settings = loaded.settings();
    let width = settings.iter().map(|setting| line(setting).chars().count()).max().unwrap_or(0).min(64);
    let mut text = String::new();
    let mut section = "";
    for setting in &settings {
        if let Some((of, _)) = setting.key.rsplit_once('.')
            && of != section
        {
            section = of;
            // Writing to a `String` does not fail.
            let _ = writeln!(text, "\n{STRONG}[{section}]{STRONG:#}");
        }
        let mut origin = setting.origin.to_string();
        if let Origin::Admin { .. } = setting.origin {
            origin.push_str(", cannot be overridden");
        }
        for lost in setting.overridden.iter().rev() {
            let _ = write!(origin, ", over {lost}");
        }
        // A line break in a path must not end the comment.
        let origin = agentauth_core::text::display_safe_within(&origin, 1024);
        let _ = writeln!(text, "{:<width$}  {FAINT}# {origin}{FAINT:#}", line(setting));
    }
    text
}

fn line(setting: &Setting) -> String {
    let name = setting.key.rsplit('.').next().unwrap_or(setting.key);
    format!("{name} = {}", setting.text)
}
