//! `agentauthd setup`: name the project, and say what to register with the provider.

use std::io::IsTerminal;

use agentauth_core::text::display_safe_within;
use clap::Args;
use dialoguer::Input;

use super::edit::Edited;
use super::output::{self, STRONG, WARN};
use super::{Context, Exit, Failure};
use crate::config::{DEFAULT_PROFILE, Login, Origin, free_ports, judge};

/// Write the configuration, and say what to register with the provider. Other keys in the file stay as they are.
#[derive(Debug, Args)]
pub(super) struct Setup {
    /// The provider's project; asked for if absent.
    #[arg(long, value_name = "ID")]
    project_id: Option<String>,
    /// The provider's base URL, if it does not follow from the project.
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Ask nothing, and replace what is set already.
    #[arg(long)]
    yes: bool,
}

/// The keys that setup sets, below `[provider]`.
const PROJECT: &str = "project_id";
const BASE_URL: &str = "base_url";

impl Setup {
    pub(super) fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let provider = &context.loaded.config.provider;
        let asks = !self.yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        let mut file = Edited::open(&context.loaded.user_file).map_err(told)?;

        let current =
            file.text("provider", PROJECT).map(str::to_owned).or_else(|| provider.project_id.clone());
        let project = match (self.project_id.clone(), current) {
            (Some(given), _) => given,
            (None, current) if asks => ask(
                "Descope project ID (from the console's project settings)",
                current,
                "provider.project_id",
            )?,
            (None, Some(current)) => current,
            (None, None) => {
                return Err(Failure::Usage(
                    "cannot ask for the project here; give it as `agentauthd setup --project-id ID`"
                        .to_owned(),
                ));
            }
        };
        let current = file.text("provider", BASE_URL).map(str::to_owned);
        let base_url = match (self.base_url.clone(), current) {
            (Some(given), _) => given,
            (None, current) if asks && self.project_id.is_none() => ask(
                "Base URL (empty unless you have a custom domain)",
                Some(current.unwrap_or_default()),
                "provider.base_url",
            )?,
            (None, current) => current.unwrap_or_default(),
        };
        for (key, text) in [("provider.project_id", &project), ("provider.base_url", &base_url)] {
            judge(key, text).map_err(|wrong| Failure::Usage(format!("`{key}`: {wrong}")))?;
        }
        self.put(&mut file, PROJECT, &project, asks)?;
        if !base_url.is_empty() || file.text("provider", BASE_URL).is_some() {
            self.put(&mut file, BASE_URL, &base_url, asks)?;
        }
        let login = self.ports(&mut file, context)?;
        if file.changed() {
            let path = file.save().map_err(told)?;
            output::say(&format!("Wrote {}.", path.display()));
        } else {
            output::say("Nothing to change: the project is set already.");
        }
        for key in ["provider.project_id", "provider.base_url"] {
            if let origin @ (Origin::Admin { .. } | Origin::Environment { .. } | Origin::Flag { .. }) =
                context.loaded.origins.of(key)
            {
                output::say(&format!("{WARN}note:{WARN:#} `{key}` is overridden by {origin}"));
            }
        }
        for note in context.loaded.notes.iter() {
            output::say(&format!("{WARN}note:{WARN:#} {}", display_safe_within(note, 2048)));
        }
        advise(context, &login)?;
        Ok(Exit::Done)
    }

    /// How a login comes back: a named profile that has been given no ports gets some that are no other profile's.
    fn ports(&self, file: &mut Edited, context: &Context<'_>) -> Result<Login, Failure> {
        let loaded = &context.loaded;
        let mut login = loaded.config.login.clone();
        let profile = &loaded.config.profile;
        if profile != DEFAULT_PROFILE
            && *loaded.origins.of("login.ports") == Origin::Default
            && let Some(ports) = free_ports(context.environment, profile)
        {
            file.set_numbers("login", "ports", &ports).map_err(told)?;
            login.ports = ports;
        }
        Ok(login)
    }

    /// Sets a key; asks before it replaces another value.
    fn put(&self, file: &mut Edited, key: &'static str, text: &str, asks: bool) -> Result<(), Failure> {
        let old = file.text("provider", key).map(str::to_owned);
        if let Some(old) = old.filter(|old| old != text && !old.is_empty()) {
            let replace = self.yes || asks && confirm(&format!("Replace `{key}` {old} by {text}?"))?;
            if !replace {
                return Err(Failure::Told(format!(
                    "left the configuration as it was: `provider.{key}` is {old}; give `--yes` to replace it"
                )));
            }
        }
        file.set("provider", key, text).map_err(told)
    }
}

/// What remains to be done. The addresses are data: a script may register them.
fn advise(context: &Context<'_>, login: &Login) -> Result<(), Failure> {
    output::say(&format!(
        "\n{STRONG}Register with the provider{STRONG:#}, exactly as they stand (approved redirect URLs of the application):\n"
    ));
    for uri in login.redirect_uris() {
        output::data(&uri)?;
    }
    let profile = &context.loaded.config.profile;
    let with = if profile == DEFAULT_PROFILE { String::new() } else { format!(" --profile {profile}") };
    output::say(&format!(
        "\n{STRONG}Then{STRONG:#}\n  agentauthd{with} run      starts the daemon\n  agentauthd{with} login    opens the browser\n  agentauthd{with} status   shows how things stand"
    ));
    Ok(())
}

fn ask(prompt: &str, default: Option<String>, key: &'static str) -> Result<String, Failure> {
    let mut input = Input::<String>::new()
        .with_prompt(prompt)
        .allow_empty(key == "provider.base_url")
        .validate_with(move |text: &String| judge(key, text.trim()));
    if let Some(default) = default {
        input = input.default(default);
    }
    input.interact_text().map(|text| text.trim().to_owned()).map_err(unasked)
}

/// A plain question: the one that hides the cursor would leave it hidden after Ctrl-C.
fn confirm(question: &str) -> Result<bool, Failure> {
    let answer = Input::<String>::new()
        .with_prompt(format!("{question} (yes or no)"))
        .default("no".to_owned())
        .interact_text()
        .map_err(unasked)?;
    Ok(matches!(answer.trim(), "y" | "yes"))
}

fn unasked(error: dialoguer::Error) -> Failure {
    Failure::caused("could not ask on this terminal; give `--project-id ID --yes`", error)
}

fn told(error: super::edit::EditError) -> Failure {
    let source = std::error::Error::source(&error).map(ToString::to_string);
    match source {
        Some(source) => Failure::caused(error.to_string(), source),
        None => Failure::Told(error.to_string()),
    }
}
