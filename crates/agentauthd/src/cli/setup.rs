//! `agentauthd setup`: name the provider, and say what to register there.

use std::io::IsTerminal;

use agentauth_core::text::display_safe_within;
use agentauth_idp::Preset;
use clap::Args;
use dialoguer::Input;

use super::edit::Edited;
use super::output::{self, STRONG, WARN};
use super::{Context, Exit, Failure};
use crate::config::{DEFAULT_PROFILE, Login, Origin, ProviderKind, free_ports, judge};

/// Write the configuration, and say what to register with the provider. Asks for what is not given. Other keys in the file
/// stay as they are.
#[derive(Debug, Args)]
pub(super) struct Setup {
    /// The Descope project.
    #[arg(long, value_name = "ID")]
    project_id: Option<String>,
    /// Descope's base URL, if it does not follow from the project.
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// The issuer of another OpenID provider than Descope, as its discovery document has it.
    #[arg(long, value_name = "URL", conflicts_with_all = ["project_id", "base_url"])]
    issuer: Option<String>,
    /// The client that was registered there: a public (native) one, without a secret.
    #[arg(long, value_name = "ID", conflicts_with_all = ["project_id", "base_url"])]
    client_id: Option<String>,
    /// The product behind the issuer, such as keycloak or auth0: it says where roles and permissions are.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["project_id", "base_url"])]
    preset: Option<String>,
    /// Ask nothing, and replace what is set already.
    #[arg(long)]
    yes: bool,
}

/// The keys that setup sets, below `[provider]`.
const KIND: &str = "kind";
/// Descope's.
const PROJECT: &str = "project_id";
const BASE_URL: &str = "base_url";
/// Any other provider's.
const ISSUER: &str = "issuer";
const CLIENT: &str = "client_id";
const PRESET: &str = "preset";

/// Keys and what they are set to; empty text means not set.
type Keys = Vec<(&'static str, String)>;

impl Setup {
    pub(super) fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let asks = !self.yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        let mut file = Edited::open(&context.loaded.user_file).map_err(told)?;
        let kind = self.kind(context, asks)?;
        let keys = match kind {
            ProviderKind::Descope => self.descope(&file, context, asks)?,
            ProviderKind::Oidc => self.oidc(&file, context, asks)?,
        };
        self.write(&mut file, kind, &keys, asks, context)
    }

    /// What the flags name; else what the person says; else what is configured.
    fn kind(&self, context: &Context<'_>, asks: bool) -> Result<ProviderKind, Failure> {
        let current = context.loaded.config.provider.kind;
        if self.project_id.is_some() || self.base_url.is_some() {
            return Ok(ProviderKind::Descope);
        }
        if self.issuer.is_some() || self.client_id.is_some() || self.preset.is_some() {
            return Ok(ProviderKind::Oidc);
        }
        if !asks {
            return Ok(current);
        }
        let named = ask(
            "Kind of provider: descope, or oidc for any other OpenID provider",
            Some(current.as_str().to_owned()),
            "provider.kind",
        )?;
        let oidc = named == ProviderKind::Oidc.as_str();
        Ok(if oidc { ProviderKind::Oidc } else { ProviderKind::Descope })
    }

    fn descope(&self, file: &Edited, context: &Context<'_>, asks: bool) -> Result<Keys, Failure> {
        let provider = &context.loaded.config.provider;
        let current = known(file, PROJECT).or_else(|| provider.project_id.clone());
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
                    "cannot ask for the project here; give it as `agentauthd setup --project-id ID`, or another provider \
                     than Descope as `agentauthd setup --issuer URL --client-id ID`"
                        .to_owned(),
                ));
            }
        };
        let current = known(file, BASE_URL);
        let base_url = match (self.base_url.clone(), current) {
            (Some(given), _) => given,
            (None, current) if asks && self.project_id.is_none() => ask(
                "Base URL (empty unless you have a custom domain)",
                Some(current.unwrap_or_default()),
                "provider.base_url",
            )?,
            (None, current) => current.unwrap_or_default(),
        };
        let mut keys = vec![(PROJECT, project)];
        if !base_url.is_empty() || file.text("provider", BASE_URL).is_some() {
            keys.push((BASE_URL, base_url));
        }
        if file.text("provider", KIND).is_some() {
            keys.push((KIND, ProviderKind::Descope.as_str().to_owned()));
        }
        // What names the one kind is at fault beside the other.
        if file.text("provider", ISSUER).is_some() {
            let generic = Preset::Generic.as_str().to_owned();
            keys.extend([(ISSUER, String::new()), (CLIENT, String::new()), (PRESET, generic)]);
        }
        Ok(keys)
    }

    fn oidc(&self, file: &Edited, context: &Context<'_>, asks: bool) -> Result<Keys, Failure> {
        let provider = &context.loaded.config.provider;
        // What was configured beside another kind of provider, or another issuer, is no answer here.
        let same = provider.kind == ProviderKind::Oidc
            && self.issuer.as_ref().is_none_or(|given| provider.issuer.as_ref() == Some(given));
        let current = |key: &str, configured: &Option<String>| {
            known(file, key).or_else(|| configured.clone()).filter(|_| same)
        };
        let missing = |what: &str| {
            Failure::Usage(format!(
                "cannot ask for the {what} here; give both as `agentauthd setup --issuer URL --client-id ID`"
            ))
        };
        let issuer = match (self.issuer.clone(), current(ISSUER, &provider.issuer)) {
            (Some(given), _) => given,
            (None, current) if asks => {
                ask("Issuer (as the provider's discovery document has it)", current, "provider.issuer")?
            }
            (None, current) => current.ok_or_else(|| missing("issuer"))?,
        };
        let client_id = match (self.client_id.clone(), current(CLIENT, &provider.client_id)) {
            (Some(given), _) => given,
            (None, current) if asks => ask(
                "Client ID (of a public or native client, without a secret)",
                current,
                "provider.client_id",
            )?,
            (None, current) => current.ok_or_else(|| missing("client"))?,
        };
        let preset = provider.preset.as_str().to_owned();
        let preset = match self.preset.clone() {
            Some(given) => given,
            None if asks && !(self.issuer.is_some() && self.client_id.is_some()) => {
                let names = Preset::ALL.map(Preset::as_str).join(", ");
                ask(&format!("Product behind the issuer ({names})"), Some(preset), "provider.preset")?
            }
            None => preset,
        };
        let kind = ProviderKind::Oidc.as_str().to_owned();
        let mut keys = vec![(KIND, kind), (ISSUER, issuer), (CLIENT, client_id), (PRESET, preset)];
        // What names the one kind is at fault beside the other.
        let others = [PROJECT, BASE_URL].into_iter().filter(|key| file.text("provider", key).is_some());
        keys.extend(others.map(|key| (key, String::new())));
        Ok(keys)
    }

    /// Judges and writes what names the provider, and says what is left to do.
    fn write(
        &self,
        file: &mut Edited,
        kind: ProviderKind,
        keys: &Keys,
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
            let existed = context.loaded.user_file.exists();
            let path = file.save().map_err(told)?;
            output::say(&format!("Wrote {}.", path.display()));
            if existed {
                output::say(
                    "Where somebody has logged in before, it counts once you run `agentauthd config apply`.",
                );
            }
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
        advise(context, kind, &login)?;
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
            let question = match text {
                "" => format!("Remove `{key}` {old}?"),
                text => format!("Replace `{key}` {old} by {text}?"),
            };
            let replace = self.yes || asks && confirm(&question)?;
            if !replace {
                return Err(Failure::Told(format!(
                    "left the configuration as it was: `provider.{key}` is {old}; give `--yes` to replace it"
                )));
            }
        }
        file.set("provider", key, text).map_err(told)
    }
}

/// What the file says of a key, where it says anything.
fn known(file: &Edited, key: &str) -> Option<String> {
    file.text("provider", key).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// What remains to be done. The addresses are data: a script may register them.
fn advise(context: &Context<'_>, kind: ProviderKind, login: &Login) -> Result<(), Failure> {
    let place = match kind {
        ProviderKind::Descope => "approved redirect URLs of the application",
        ProviderKind::Oidc => {
            "redirect URLs of the client; a provider that ignores the port of a native client needs one of them"
        }
    };
    output::say(&format!(
        "\n{STRONG}Register with the provider{STRONG:#}, exactly as they stand ({place}):\n"
    ));
    for uri in login.redirect_uris() {
        output::data(&uri)?;
    }
    if kind == ProviderKind::Oidc {
        output::say(
            "\nThe client is a public one (PKCE, no secret), may use the authorization code grant, and is given refresh \
             tokens that rotate.",
        );
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
    let what = "could not ask on this terminal; give `--project-id ID --yes`, or `--issuer URL --client-id ID --yes`";
    Failure::caused(what, error)
}

fn told(error: super::edit::EditError) -> Failure {
    let source = std::error::Error::source(&error).map(ToString::to_string);
    match source {
        Some(source) => Failure::caused(error.to_string(), source),
        None => Failure::Told(error.to_string()),
    }
}
