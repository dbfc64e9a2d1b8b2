//! The one list of options: name, variables, bounds, and where each goes in [`Config`].

mod audit;
mod observe;
mod signals;
mod sinks;

use agentauth_core::SignedDuration;
use agentauth_core::consent::Choice;
use agentauth_core::passkey::is_aaguid;
use agentauth_idp::{
    AccessTokenForm, AccessTokenType, ConfigFault, Loopback, OidcSettings, Preset, ProviderConfig,
    ProviderSettings, RedirectConfig,
};
use tracing_subscriber::EnvFilter;
use url::Url;

use super::value::{self, Shape, Value, Wrong};
use super::{Config, DEFAULT_PROFILE, HideSockets, LogFormat, ProviderKind, RefreshRoute, StoreKind, places};
use crate::environment::{Environment, may_be_handed_on};

/// One option.
pub(super) struct OptionSpec {
    /// `section.key`, or `key` at the top of the file.
    pub(super) key: &'static str,
    /// The environment variables that set it, weakest first.
    pub(super) variables: &'static [&'static str],
    /// How text from a variable or a flag is read.
    pub(super) shape: Shape,
    /// Parses, bounds and stores a value.
    pub(super) set: fn(&mut Config, &Value) -> Result<(), Wrong>,
    /// The value in force. What is not set shows as empty text, which in a file means the same.
    pub(super) show: fn(&Config) -> Value,
}

/// The option of this name.
pub(super) fn option(key: &str) -> Option<&'static OptionSpec> {
    all().find(|option| option.key == key)
}

/// Every option.
pub(super) fn all() -> impl Iterator<Item = &'static OptionSpec> {
    [OPTIONS, sinks::OPTIONS, audit::OPTIONS, signals::OPTIONS, observe::OPTIONS].into_iter().flatten()
}

/// What is no section in a file of its own, in the order of `config/agentauthd.toml`.
const OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        key: "profile",
        variables: &["AGENTAUTHD_PROFILE"],
        shape: Shape::Text,
        set: |config, value| value::profile(value).map(|parsed| config.profile = parsed),
        show: |config| text(&config.profile),
    },
    OptionSpec {
        key: "provider.kind",
        variables: &["AGENTAUTHD_PROVIDER_KIND"],
        shape: Shape::Text,
        set: |config, value| {
            value::choice(value, &ProviderKind::ALL, ProviderKind::as_str)
                .map(|parsed| config.provider.kind = parsed)
        },
        show: |config| text(config.provider.kind.as_str()),
    },
    OptionSpec {
        key: "provider.issuer",
        variables: &["AGENTAUTHD_PROVIDER_ISSUER"],
        shape: Shape::Text,
        set: |config, value| {
            config.provider.issuer = oidc_text(value, |oidc, text| oidc.issuer = text)?;
            Ok(())
        },
        show: |config| maybe(config.provider.issuer.as_deref()),
    },
    OptionSpec {
        key: "provider.preset",
        variables: &["AGENTAUTHD_PROVIDER_PRESET"],
        shape: Shape::Text,
        set: |config, value| {
            value::choice(value, &Preset::ALL, Preset::as_str).map(|parsed| config.provider.preset = parsed)
        },
        show: |config| text(config.provider.preset.as_str()),
    },
    OptionSpec {
        key: "provider.roles_claim",
        variables: &["AGENTAUTHD_PROVIDER_ROLES_CLAIM"],
        shape: Shape::Text,
        set: |config, value| {
            config.provider.roles_claim = oidc_text(value, |oidc, text| oidc.roles_claim = Some(text))?;
            Ok(())
        },
        show: |config| maybe(config.provider.roles_claim.as_deref()),
    },
    OptionSpec {
        key: "provider.permissions_claim",
        variables: &["AGENTAUTHD_PROVIDER_PERMISSIONS_CLAIM"],
        shape: Shape::Text,
        set: |config, value| {
            config.provider.permissions_claim =
                oidc_text(value, |oidc, text| oidc.permissions_claim = Some(text))?;
            Ok(())
        },
        show: |config| maybe(config.provider.permissions_claim.as_deref()),
    },
    OptionSpec {
        key: "provider.tenant_claim",
        variables: &["AGENTAUTHD_PROVIDER_TENANT_CLAIM"],
        shape: Shape::Text,
        set: |config, value| {
            config.provider.tenant_claim = oidc_text(value, |oidc, text| oidc.tenant_claim = Some(text))?;
            Ok(())
        },
        show: |config| maybe(config.provider.tenant_claim.as_deref()),
    },
    OptionSpec {
        key: "provider.audience",
        variables: &["AGENTAUTHD_PROVIDER_AUDIENCE"],
        shape: Shape::Text,
        set: |config, value| {
            config.provider.audience = oidc_text(value, |oidc, text| oidc.audience = Some(text))?;
            Ok(())
        },
        show: |config| maybe(config.provider.audience.as_deref()),
    },
    OptionSpec {
        key: "provider.resource",
        variables: &["AGENTAUTHD_PROVIDER_RESOURCE"],
        shape: Shape::Text,
        set: |config, value| {
            config.provider.resource = oidc_text(value, |oidc, text| oidc.resource = Some(text))?;
            Ok(())
        },
        show: |config| maybe(config.provider.resource.as_deref()),
    },
    OptionSpec {
        key: "provider.access_token",
        variables: &["AGENTAUTHD_PROVIDER_ACCESS_TOKEN"],
        shape: Shape::Text,
        set: |config, value| {
            value::choice(value, &AccessTokenForm::ALL, AccessTokenForm::as_str)
                .map(|parsed| config.provider.access_token = parsed)
        },
        show: |config| text(config.provider.access_token.as_str()),
    },
    OptionSpec {
        key: "provider.access_token_type",
        variables: &["AGENTAUTHD_PROVIDER_ACCESS_TOKEN_TYPE"],
        shape: Shape::Text,
        set: |config, value| {
            config.provider.access_token_type = value::optional(value, |value| {
                value::choice(value, &AccessTokenType::ALL, AccessTokenType::as_str)
            })?;
            Ok(())
        },
        show: |config| maybe(config.provider.access_token_type.map(AccessTokenType::as_str)),
    },
    OptionSpec {
        key: "provider.project_id",
        variables: &["DESCOPE_PROJECT_ID", "AGENTAUTHD_PROVIDER_PROJECT_ID"],
        shape: Shape::Text,
        set: |config, value| {
            config.provider.project_id = judged_text(value, |settings, text| settings.project_id = text)?;
            Ok(())
        },
        show: |config| maybe(config.provider.project_id.as_deref()),
    },
    OptionSpec {
        key: "provider.base_url",
        variables: &["DESCOPE_BASE_URI", "DESCOPE_BASE_URL", "AGENTAUTHD_PROVIDER_BASE_URL"],
        shape: Shape::Text,
        set: |config, value| {
            let text = judged_text(value, |settings, text| settings.base_url = Some(text))?;
            config.provider.base_url = text
                .map(|text| Url::parse(&text))
                .transpose()
                .map_err(|error| format!("is not a URL: {error}"))?;
            Ok(())
        },
        show: |config| maybe(config.provider.base_url.as_ref().map(Url::as_str)),
    },
    OptionSpec {
        key: "provider.client_id",
        variables: &["AGENTAUTHD_PROVIDER_CLIENT_ID"],
        shape: Shape::Text,
        set: |config, value| {
            config.provider.client_id = judged_text(value, |settings, text| settings.client_id = Some(text))?;
            Ok(())
        },
        show: |config| maybe(config.provider.client_id.as_deref()),
    },
    OptionSpec {
        key: "provider.flow",
        variables: &["AGENTAUTHD_PROVIDER_FLOW"],
        shape: Shape::Text,
        set: |config, value| {
            config.provider.flow = judged_text(value, |settings, text| settings.flow = Some(text))?;
            Ok(())
        },
        show: |config| maybe(config.provider.flow.as_deref()),
    },
    OptionSpec {
        key: "provider.tenant",
        variables: &["AGENTAUTHD_PROVIDER_TENANT"],
        shape: Shape::Text,
        set: |config, value| {
            config.provider.tenant = judged_text(value, |settings, text| settings.tenant = Some(text))?;
            Ok(())
        },
        show: |config| maybe(config.provider.tenant.as_deref()),
    },
    OptionSpec {
        key: "provider.login_hint",
        variables: &["AGENTAUTHD_PROVIDER_LOGIN_HINT"],
        shape: Shape::Text,
        set: |config, value| {
            config.provider.login_hint =
                judged_text(value, |settings, text| settings.login_hint = Some(text))?;
            Ok(())
        },
        show: |config| maybe(config.provider.login_hint.as_deref()),
    },
    OptionSpec {
        key: "provider.scopes",
        variables: &["AGENTAUTHD_PROVIDER_SCOPES"],
        shape: Shape::Texts,
        set: |config, value| {
            config.provider.scopes = judged_list(value, |settings, items| settings.scopes = Some(items))?;
            Ok(())
        },
        show: |config| texts(&config.provider.scopes),
    },
    OptionSpec {
        key: "provider.extra_issuers",
        variables: &["AGENTAUTHD_PROVIDER_EXTRA_ISSUERS"],
        shape: Shape::Texts,
        set: |config, value| {
            config.provider.extra_issuers =
                judged_list(value, |settings, items| settings.extra_issuers = items)?;
            Ok(())
        },
        show: |config| texts(&config.provider.extra_issuers),
    },
    OptionSpec {
        key: "provider.audiences",
        variables: &["AGENTAUTHD_PROVIDER_AUDIENCES"],
        shape: Shape::Texts,
        set: |config, value| {
            config.provider.audiences = judged_list(value, |settings, items| settings.audiences = items)?;
            Ok(())
        },
        show: |config| texts(&config.provider.audiences),
    },
    OptionSpec {
        key: "provider.refresh",
        variables: &["AGENTAUTHD_PROVIDER_REFRESH"],
        shape: Shape::Text,
        set: |config, value| {
            value::choice(value, &RefreshRoute::ALL, RefreshRoute::as_str)
                .map(|parsed| config.provider.refresh = parsed)
        },
        show: |config| text(config.provider.refresh.as_str()),
    },
    OptionSpec {
        key: "login.loopback",
        variables: &["AGENTAUTHD_LOGIN_LOOPBACK"],
        shape: Shape::Text,
        set: |config, value| {
            value::choice(value, &Loopback::ALL, Loopback::as_str)
                .map(|parsed| config.login.loopback = parsed)
        },
        show: |config| text(config.login.loopback.as_str()),
    },
    OptionSpec {
        key: "login.ports",
        variables: &["AGENTAUTHD_LOGIN_PORTS"],
        shape: Shape::Integers,
        set: |config, value| {
            let ports = value::list(value, |item| value::number(item, 0, u16::MAX))?;
            provider_accepts(|settings| {
                settings.redirect =
                    Some(RedirectConfig { ports: ports.clone(), ..RedirectConfig::default() });
            })?;
            config.login.ports = ports;
            Ok(())
        },
        show: |config| {
            Value::List(config.login.ports.iter().map(|port| Value::Integer((*port).into())).collect())
        },
    },
    OptionSpec {
        key: "login.ephemeral_port",
        variables: &["AGENTAUTHD_LOGIN_EPHEMERAL_PORT"],
        shape: Shape::Switch,
        set: |config, value| value::switch(value).map(|parsed| config.login.ephemeral_port = parsed),
        show: |config| Value::Switch(config.login.ephemeral_port),
    },
    OptionSpec {
        key: "login.redirect_path",
        variables: &["AGENTAUTHD_LOGIN_REDIRECT_PATH"],
        shape: Shape::Text,
        set: |config, value| {
            let path = value::text(value)?;
            provider_accepts(|settings| {
                settings.redirect = Some(RedirectConfig { path: path.clone(), ..RedirectConfig::default() });
            })?;
            config.login.redirect_path = path;
            Ok(())
        },
        show: |config| text(&config.login.redirect_path),
    },
    OptionSpec {
        key: "login.time_limit",
        variables: &["AGENTAUTHD_LOGIN_TIME_LIMIT"],
        shape: Shape::Text,
        set: |config, value| {
            value::duration(value, SignedDuration::from_secs(30), SignedDuration::from_mins(30))
                .map(|parsed| config.login.time_limit = parsed)
        },
        show: |config| span(config.login.time_limit),
    },
    OptionSpec {
        key: "login.open_browser",
        variables: &["AGENTAUTHD_LOGIN_OPEN_BROWSER"],
        shape: Shape::Switch,
        set: |config, value| value::switch(value).map(|parsed| config.login.open_browser = parsed),
        show: |config| Value::Switch(config.login.open_browser),
    },
    OptionSpec {
        key: "login.allow_device",
        variables: &["AGENTAUTHD_LOGIN_ALLOW_DEVICE"],
        shape: Shape::Switch,
        set: |config, value| value::switch(value).map(|parsed| config.login.allow_device = parsed),
        show: |config| Value::Switch(config.login.allow_device),
    },
    OptionSpec {
        key: "session.max_age",
        variables: &["AGENTAUTHD_SESSION_MAX_AGE"],
        shape: Shape::Text,
        set: |config, value| {
            let (least, most) = (SignedDuration::from_hours(1), SignedDuration::from_hours(365 * 24));
            value::optional(value, |value| value::duration(value, least, most))
                .map(|parsed| config.session.max_age = parsed)
        },
        show: |config| config.session.max_age.map_or_else(|| text(""), span),
    },
    OptionSpec {
        key: "session.revalidate_every",
        variables: &["AGENTAUTHD_SESSION_REVALIDATE_EVERY"],
        shape: Shape::Text,
        set: |config, value| {
            let (least, most) = (SignedDuration::from_secs(10), SignedDuration::from_hours(24));
            value::optional(value, |value| value::duration(value, least, most))
                .map(|parsed| config.session.revalidate_every = parsed)
        },
        show: |config| config.session.revalidate_every.map_or_else(|| text(""), span),
    },
    OptionSpec {
        key: "network.proxy",
        variables: &["AGENTAUTHD_NETWORK_PROXY"],
        shape: Shape::Text,
        set: |config, value| {
            let text = value::optional(value, value::text)?.unwrap_or_default();
            config.network.proxy = text.parse().map_err(|fault: ConfigFault| fault.to_string())?;
            Ok(())
        },
        show: |config| text(config.network.proxy.word()),
    },
    OptionSpec {
        key: "network.ca_file",
        variables: &["AGENTAUTHD_NETWORK_CA_FILE"],
        shape: Shape::Text,
        set: |config, value| {
            value::optional(value, value::path).map(|parsed| config.network.ca_file = parsed)
        },
        show: |config| config.network.ca_file.as_deref().map_or_else(|| text(""), place),
    },
    OptionSpec {
        key: "secrets.store",
        variables: &["AGENTAUTHD_SECRETS_STORE"],
        shape: Shape::Text,
        set: |config, value| {
            value::choice(value, &StoreKind::ALL, StoreKind::as_str)
                .map(|parsed| config.secrets.store = parsed)
        },
        show: |config| text(config.secrets.store.as_str()),
    },
    OptionSpec {
        key: "secrets.passphrase_file",
        variables: &["AGENTAUTHD_SECRETS_PASSPHRASE_FILE"],
        shape: Shape::Text,
        set: |config, value| {
            value::optional(value, value::path).map(|parsed| config.secrets.passphrase_file = parsed)
        },
        show: |config| config.secrets.passphrase_file.as_deref().map_or_else(|| text(""), place),
    },
    OptionSpec {
        key: "checks.max_confirmation_age",
        variables: &["AGENTAUTHD_CHECKS_MAX_CONFIRMATION_AGE"],
        shape: Shape::Text,
        set: |config, value| {
            value::duration(value, SignedDuration::from_secs(1), SignedDuration::from_hours(24))
                .map(|parsed| config.checks.max_confirmation_age = parsed)
        },
        show: |config| span(config.checks.max_confirmation_age),
    },
    OptionSpec {
        key: "checks.requests_per_second",
        variables: &["AGENTAUTHD_CHECKS_REQUESTS_PER_SECOND"],
        shape: Shape::Integer,
        set: |config, value| {
            value::number(value, 1, 1_000_000).map(|parsed| config.checks.requests_per_second = parsed)
        },
        show: |config| Value::Integer(config.checks.requests_per_second.into()),
    },
    OptionSpec {
        key: "checks.burst",
        variables: &["AGENTAUTHD_CHECKS_BURST"],
        shape: Shape::Integer,
        set: |config, value| value::number(value, 1, 1_000_000).map(|parsed| config.checks.burst = parsed),
        show: |config| Value::Integer(config.checks.burst.into()),
    },
    OptionSpec {
        key: "checks.max_connections",
        variables: &["AGENTAUTHD_CHECKS_MAX_CONNECTIONS"],
        shape: Shape::Integer,
        set: |config, value| {
            value::number(value, 1, 10_000).map(|parsed| config.checks.max_connections = parsed)
        },
        show: |config| count(config.checks.max_connections),
    },
    OptionSpec {
        key: "checks.max_connections_per_process",
        variables: &["AGENTAUTHD_CHECKS_MAX_CONNECTIONS_PER_PROCESS"],
        shape: Shape::Integer,
        set: |config, value| {
            value::number(value, 1, 10_000).map(|parsed| config.checks.max_connections_per_process = parsed)
        },
        show: |config| count(config.checks.max_connections_per_process),
    },
    OptionSpec {
        key: "consent.longest",
        variables: &["AGENTAUTHD_CONSENT_LONGEST"],
        shape: Shape::Text,
        set: |config, value| {
            value::choice(value, &Choice::ALL, Choice::as_str).map(|parsed| config.consent.longest = parsed)
        },
        show: |config| text(config.consent.longest.as_str()),
    },
    OptionSpec {
        key: "consent.expires_after",
        variables: &["AGENTAUTHD_CONSENT_EXPIRES_AFTER"],
        shape: Shape::Text,
        set: |config, value| {
            value::duration(value, SignedDuration::from_secs(1), SignedDuration::from_hours(24))
                .map(|parsed| config.consent.expires_after = parsed)
        },
        show: |config| span(config.consent.expires_after),
    },
    OptionSpec {
        key: "consent.cool_down",
        variables: &["AGENTAUTHD_CONSENT_COOL_DOWN"],
        shape: Shape::Text,
        set: |config, value| {
            value::duration(value, SignedDuration::from_secs(1), SignedDuration::from_hours(24))
                .map(|parsed| config.consent.cool_down = parsed)
        },
        show: |config| span(config.consent.cool_down),
    },
    OptionSpec {
        key: "consent.open_browser",
        variables: &["AGENTAUTHD_CONSENT_OPEN_BROWSER"],
        shape: Shape::Switch,
        set: |config, value| value::switch(value).map(|parsed| config.consent.open_browser = parsed),
        show: |config| Value::Switch(config.consent.open_browser),
    },
    OptionSpec {
        key: "consent.notify",
        variables: &["AGENTAUTHD_CONSENT_NOTIFY"],
        shape: Shape::Switch,
        set: |config, value| value::switch(value).map(|parsed| config.consent.notify = parsed),
        show: |config| Value::Switch(config.consent.notify),
    },
    OptionSpec {
        key: "grants.recertify_after",
        variables: &["AGENTAUTHD_GRANTS_RECERTIFY_AFTER"],
        shape: Shape::Text,
        set: |config, value| {
            value::duration(value, SignedDuration::from_secs(1), SignedDuration::from_hours(365 * 24))
                .map(|parsed| config.grants.recertify_after = parsed)
        },
        show: |config| span(config.grants.recertify_after),
    },
    OptionSpec {
        key: "passkeys.allowed_aaguids",
        variables: &["AGENTAUTHD_PASSKEYS_ALLOWED_AAGUIDS"],
        shape: Shape::Texts,
        set: |config, value| {
            value::list(value, aaguid).map(|parsed| config.passkeys.allowed_aaguids = parsed)
        },
        show: |config| texts(&config.passkeys.allowed_aaguids),
    },
    OptionSpec {
        key: "passkeys.attestation_roots",
        variables: &["AGENTAUTHD_PASSKEYS_ATTESTATION_ROOTS"],
        shape: Shape::Text,
        set: |config, value| {
            value::optional(value, value::path).map(|parsed| config.passkeys.attestation_roots = parsed)
        },
        show: |config| config.passkeys.attestation_roots.as_deref().map_or_else(|| text(""), place),
    },
    OptionSpec {
        key: "launch.grace",
        variables: &["AGENTAUTHD_LAUNCH_GRACE"],
        shape: Shape::Text,
        set: |config, value| {
            value::duration(value, SignedDuration::ZERO, SignedDuration::from_mins(10))
                .map(|parsed| config.launch.grace = parsed)
        },
        show: |config| span(config.launch.grace),
    },
    OptionSpec {
        key: "launch.environment",
        variables: &["AGENTAUTHD_LAUNCH_ENVIRONMENT"],
        shape: Shape::Texts,
        set: |config, value| value::list(value, handed_on).map(|parsed| config.launch.environment = parsed),
        show: |config| Value::List(config.launch.environment.iter().map(|name| text(name)).collect()),
    },
    OptionSpec {
        key: "launch.hide",
        variables: &["AGENTAUTHD_LAUNCH_HIDE"],
        shape: Shape::Texts,
        set: |config, value| value::list(value, value::path).map(|parsed| config.launch.hide = parsed),
        show: |config| Value::List(config.launch.hide.iter().map(|path| place(path)).collect()),
    },
    OptionSpec {
        key: "launch.hide_sockets",
        variables: &["AGENTAUTHD_LAUNCH_HIDE_SOCKETS"],
        shape: Shape::Text,
        set: |config, value| {
            value::choice(value, &HideSockets::ALL, HideSockets::as_str)
                .map(|parsed| config.launch.hide_sockets = parsed)
        },
        show: |config| text(config.launch.hide_sockets.as_str()),
    },
    OptionSpec {
        key: "launch.sockets",
        variables: &["AGENTAUTHD_LAUNCH_SOCKETS"],
        shape: Shape::Texts,
        set: |config, value| value::list(value, value::path).map(|parsed| config.launch.sockets = parsed),
        show: |config| Value::List(config.launch.sockets.iter().map(|path| place(path)).collect()),
    },
    OptionSpec {
        key: "log.filter",
        variables: &["AGENTAUTHD_LOG_FILTER"],
        shape: Shape::Text,
        set: |config, value| {
            let filter = value::text(value)?;
            EnvFilter::builder().parse(&filter).map_err(|error| {
                format!("must be filter directives such as \"info\" ({error}), not {value}")
            })?;
            config.log.filter = filter;
            Ok(())
        },
        show: |config| text(&config.log.filter),
    },
    OptionSpec {
        key: "log.format",
        variables: &["AGENTAUTHD_LOG_FORMAT"],
        shape: Shape::Text,
        set: |config, value| {
            value::choice(value, &LogFormat::ALL, LogFormat::as_str).map(|parsed| config.log.format = parsed)
        },
        show: |config| text(config.log.format.as_str()),
    },
    OptionSpec {
        key: "paths.policies_dir",
        variables: &["AGENTAUTHD_POLICIES_DIR"],
        shape: Shape::Text,
        set: |config, value| value::path(value).map(|parsed| config.paths.policies_dir = parsed),
        show: |config| place(&config.paths.policies_dir),
    },
    OptionSpec {
        key: "paths.state_dir",
        variables: &["AGENTAUTHD_STATE_DIR"],
        shape: Shape::Text,
        set: |config, value| value::path(value).map(|parsed| config.paths.state_dir = parsed),
        show: |config| place(&config.paths.state_dir),
    },
    OptionSpec {
        key: "paths.socket",
        variables: &["AGENTAUTHD_SOCKET"],
        shape: Shape::Text,
        set: |config, value| value::path(value).map(|parsed| config.paths.socket = parsed),
        show: |config| place(&config.paths.socket),
    },
];

/// Whether an option may have this value, written as text.
///
/// # Errors
/// What is wrong with it, as the rest of a sentence that begins with the option's name.
pub fn judge(key: &str, text: &str) -> Result<(), String> {
    let option = option(key).ok_or("is not an option")?;
    let environment = Environment::new(0, [("HOME", "/")]);
    let mut scratch = places::defaults(&environment, DEFAULT_PROFILE).ok_or("cannot be judged")?;
    (option.set)(&mut scratch, &option.shape.read(text))
}

/// What the crate that uses a provider setting thinks of it. Its rules are the only ones.
fn provider_accepts(fill: impl FnOnce(&mut ProviderSettings)) -> Result<(), Wrong> {
    // Well-shaped, so that only what is filled in can be at fault.
    let mut settings = ProviderSettings { project_id: format!("P{:027}", 0), ..ProviderSettings::default() };
    fill(&mut settings);
    ProviderConfig::new(settings).map(|_| ()).map_err(|faults| faults.to_string())
}

fn judged_text(
    value: &Value,
    fill: impl FnOnce(&mut ProviderSettings, String),
) -> Result<Option<String>, Wrong> {
    let text = value::optional(value, value::text)?;
    if let Some(text) = text.clone() {
        provider_accepts(|settings| fill(settings, text))?;
    }
    Ok(text)
}

/// The same for a setting that only any other OpenID provider has.
fn oidc_text(value: &Value, fill: impl FnOnce(&mut OidcSettings, String)) -> Result<Option<String>, Wrong> {
    let text = value::optional(value, value::text)?;
    if let Some(text) = text.clone() {
        let mut oidc =
            OidcSettings { issuer: "https://issuer.example".to_owned(), ..OidcSettings::default() };
        fill(&mut oidc, text);
        provider_accepts(|settings| {
            *settings = ProviderSettings {
                oidc: Some(oidc),
                client_id: Some("client".to_owned()),
                ..ProviderSettings::default()
            };
        })?;
    }
    Ok(text)
}

fn judged_list(
    value: &Value,
    fill: impl FnOnce(&mut ProviderSettings, Vec<String>),
) -> Result<Vec<String>, Wrong> {
    let items = value::list(value, value::text)?;
    provider_accepts(|settings| fill(settings, items.clone()))?;
    Ok(items)
}

fn aaguid(value: &Value) -> Result<String, Wrong> {
    let aaguid = value::text(value)?;
    if is_aaguid(&aaguid) {
        Ok(aaguid)
    } else {
        Err("is no AAGUID: write it as a UUID in lower case".to_owned())
    }
}

fn handed_on(value: &Value) -> Result<String, Wrong> {
    let name = value::text(value)?;
    may_be_handed_on(&name).map(|()| name)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn maybe(value: Option<&str>) -> Value {
    text(value.unwrap_or_default())
}

fn texts(items: &[String]) -> Value {
    Value::List(items.iter().map(|item| text(item)).collect())
}

fn span(duration: SignedDuration) -> Value {
    Value::Text(format!("{duration:#}"))
}

fn count(count: usize) -> Value {
    Value::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

fn place(path: &std::path::Path) -> Value {
    Value::Text(path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::VARIABLES;

    #[test]
    fn each_variable_of_an_option_is_listed_and_each_listed_one_sets_an_option() {
        let used: Vec<_> = all().flat_map(|option| option.variables).copied().collect();
        for name in &used {
            assert!(VARIABLES.iter().any(|variable| variable.name == *name), "{name} is not listed");
        }
        for variable in VARIABLES.iter().filter(|variable| variable.meaning.starts_with('`')) {
            let key = variable.meaning.split('`').nth(1).unwrap();
            let option = option(key).unwrap_or_else(|| panic!("{} names no option", variable.name));
            assert!(option.variables.contains(&variable.name), "{} does not set {key}", variable.name);
        }
    }
}
