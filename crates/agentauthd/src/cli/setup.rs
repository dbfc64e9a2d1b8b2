//! `agentauthd setup`: name the project, and say what to register with the provider.

use std::io::IsTerminal;

use agentauth_core::text::display_safe_within;
use agentauth_idp::Preset;
use clap::Args;
use dialoguer::Input;

use super::edit::Edited;
use super::output::{self, STRONG, WARN};
use super::{Context, Exit, Failure};
use crate::config::{DEFAULT_PROFILE, Login, Origin, ProviderKind, free_ports, judge};

/// Write the configuration, and say what to register with the provider. Other keys in the file stay as they are.
#[derive(Debug, Args)]
pub(super) struct Setup {
    /// The provider's project; asked for if absent.
    #[arg(long, value_name = "ID")]
    project_id: Option<String>,
    /// The provider's base URL, if it does not follow from the project.
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// The issuer of another OpenID provider than Descope, as its discovery document has it.
    #[arg(long, value_name = "URL", requires = "client_id", conflicts_with_all = ["project_id", "base_url"])]
    issuer: Option<String>,
    /// The client that was registered there: a public (native) one, without a secret.
    #[arg(long, value_name = "ID", requires = "issuer")]
    client_id: Option<String>,
    /// The product behind the issuer, such as keycloak or auth0: it says where roles and permissions are.
    #[arg(long, value_name = "NAME", requires = "issuer")]
    preset: Option<String>,
    /// Ask nothing, and replace what is set already.
    #[arg(long)]
    yes: bool,
}

/// The keys that setup sets, below `[provider]`.
const PROJECT: &str = "project_id";
const BASE_URL: &str = "base_url";
/// Those for a provider of another kind.
const KIND: &str = "kind";

impl Setup {
    pub(super) fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let provider = &context.loaded.config.provider;
        let asks = !self.yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        let mut file = Edited::open(&context.loaded.user_file).map_err(told)?;
        if let (Some(issuer), Some(client_id)) = (&self.issuer, &self.client_id) {
            let preset = self.preset.clone().unwrap_or_else(|| provider.preset.as_str().to_owned());
            let kind = ProviderKind::Oidc.as_str();
            let mut keys =
                vec![(KIND, kind), ("issuer", issuer), ("client_id", client_id), ("preset", &preset)];
            // Empty means not set: what names the one kind is at fault beside the other.
            keys.extend(
                [PROJECT, BASE_URL]
                    .map(|key| (key, ""))
                    .iter()
                    .filter(|(key, _)| file.text("provider", key).is_some()),
            );
            return self.write(&mut file, &keys, asks, context);
        }
        if provider.kind == ProviderKind::Oidc && self.project_id.is_none() {
            return Err(Failure::Usage(
                "the configured provider is of kind \"oidc\"; give `--issuer URL --client-id ID` to name another, or \
                 `--project-id ID` for Descope"
                    .to_owned(),
            ));
        }

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
        let mut keys = vec![(PROJECT, project.as_str())];
        if !base_url.is_empty() || file.text("provider", BASE_URL).is_some() {
            keys.push((BASE_URL, &base_url));
        }
        if file.text("provider", KIND).is_some() {
            keys.push((KIND, ProviderKind::Descope.as_str()));
        }
        if file.text("provider", "issuer").is_some() {
            keys.extend([("issuer", ""), ("client_id", ""), ("preset", Preset::Generic.as_str())]);
        }
        self.write(&mut file, &keys, asks, context)
    }

    /// Judges and writes what names the provider, and says what is left to do.
    fn write(
        &self,
        file: &mut Edited,
        keys: &[(&'static str, &str)],
        asks: bool,
        context: &Context<'_>,
    ) -> Result<Exit, Failure> {
        for (key, text) in keys {
            let key = format!("provider.{key}");
            judge(&key, text).map_err(|wrong| Failure::Usage(format!("`{key}`: {wrong}")))?;
        }
        for (key, text) in keys {
            self.put(file, key, text, asks)?;
        }
        let login = self.ports(file, context)?;
        if file.changed() {
            let path = file.save().map_err(told)?;
            output::say(&format!("Wrote {}.", path.display()));
        } else {
            output::say("Nothing to change: the provider is set already.");
        }
        for (key, _) in keys {
            let key = format!("provider.{key}");
            if let origin @ (Origin::Admin { .. } | Origin::Environment { .. } | Origin::Flag { .. }) =
                context.loaded.origins.of(&key)
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
