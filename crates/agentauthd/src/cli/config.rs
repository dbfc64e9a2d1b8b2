//! `agentauthd config`: show what is in force and where it came from, or say what is wrong.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::output::{self, FAINT, STRONG, WARN};
use super::{Context, Exit, Failure};
use crate::config::{Loaded, Origin, Setting};

/// Look at the configuration.
#[derive(Debug, Args)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print every option with its value and where that came from, as a configuration file.
    Show {
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say everything that is wrong with the configuration. Exits with 1 if anything is.
    Validate,
}

impl ConfigCommand {
    pub(super) fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let loaded = &context.loaded;
        match self.command {
            What::Show { json: true } => {
                let shown: Vec<_> = loaded.settings().into_iter().map(Shown::from).collect();
                output::json(&shown)?;
            }
            What::Show { json: false } => output::raw(&render(loaded))?,
            // A configuration that is at fault does not get this far.
            What::Validate => {
                let files: Vec<_> = loaded.files.iter().map(|file| file.display().to_string()).collect();
                let read = if files.is_empty() { "no file is read".to_owned() } else { files.join(", ") };
                output::data(&format!("The configuration is valid ({read})."))?;
                for note in &loaded.notes {
                    output::say(&format!("{WARN}note:{WARN:#} {note}"));
                }
                if loaded.config.provider.project_id.is_none() {
                    output::say(&format!(
                        "{WARN}note:{WARN:#} no project is named, so nobody can log in; run `agentauthd setup`"
                    ));
                }
            }
        }
        Ok(Exit::Done)
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
        if let Some((of, _)) = setting.key.split_once('.')
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
