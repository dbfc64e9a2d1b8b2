//! The options of who the user is, and how that comes to be known: profile, provider, login, session, network, secrets.

use agentauth_core::SignedDuration;
use agentauth_idp::{
    AccessTokenForm, AccessTokenType, ConfigFault, Loopback, OidcSettings, Preset, ProviderConfig,
    ProviderSettings, Proxy, RedirectConfig,
};
use url::Url;

use super::form::{Judged, LINE, List, Maybe, Number, Place, Span, Switch, Text, Word};
use super::{OptionSpec, row};
use crate::config::value::{self, Value, Wrong};
use crate::config::{ProviderKind, RefreshRoute, StoreKind};

const DAY: SignedDuration = SignedDuration::from_hours(24);
const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);

/// A text that Descope's settings take by the same name.
macro_rules! descope {
    ($name:ident) => {
        Maybe(Judged(LINE, |text| accepts(|settings| settings.$name = text.clone().into())))
    };
}

/// A text that only the settings of any other OpenID provider take.
macro_rules! oidc {
    ($name:ident) => {
        Maybe(Judged(LINE, |text| accepts_oidc(|settings| settings.$name = text.clone().into())))
    };
}

pub(super) const OPTIONS: &[OptionSpec] = &[
    row!(profile = Text(value::profile), "AGENTAUTHD_PROFILE"),
    row!(provider.kind = Word(&ProviderKind::ALL, ProviderKind::as_str), "AGENTAUTHD_PROVIDER_KIND"),
    row!(provider.issuer = oidc!(issuer), "AGENTAUTHD_PROVIDER_ISSUER"),
    row!(provider.preset = Word(&Preset::ALL, Preset::as_str), "AGENTAUTHD_PROVIDER_PRESET"),
    row!(provider.roles_claim = oidc!(roles_claim), "AGENTAUTHD_PROVIDER_ROLES_CLAIM"),
    row!(provider.permissions_claim = oidc!(permissions_claim), "AGENTAUTHD_PROVIDER_PERMISSIONS_CLAIM"),
    row!(provider.tenant_claim = oidc!(tenant_claim), "AGENTAUTHD_PROVIDER_TENANT_CLAIM"),
    row!(provider.audience = oidc!(audience), "AGENTAUTHD_PROVIDER_AUDIENCE"),
    row!(provider.resource = oidc!(resource), "AGENTAUTHD_PROVIDER_RESOURCE"),
    row!(
        provider.access_token = Word(&AccessTokenForm::ALL, AccessTokenForm::as_str),
        "AGENTAUTHD_PROVIDER_ACCESS_TOKEN"
    ),
    row!(
        provider.access_token_type = Maybe(Word(&AccessTokenType::ALL, AccessTokenType::as_str)),
        "AGENTAUTHD_PROVIDER_ACCESS_TOKEN_TYPE"
    ),
    row!(provider.project_id = descope!(project_id), "DESCOPE_PROJECT_ID", "AGENTAUTHD_PROVIDER_PROJECT_ID"),
    row!(
        provider.base_url = Maybe(Text(base_url)),
        "DESCOPE_BASE_URI",
        "DESCOPE_BASE_URL",
        "AGENTAUTHD_PROVIDER_BASE_URL"
    ),
    row!(provider.client_id = descope!(client_id), "AGENTAUTHD_PROVIDER_CLIENT_ID"),
    row!(provider.flow = descope!(flow), "AGENTAUTHD_PROVIDER_FLOW"),
    row!(provider.tenant = descope!(tenant), "AGENTAUTHD_PROVIDER_TENANT"),
    row!(provider.login_hint = descope!(login_hint), "AGENTAUTHD_PROVIDER_LOGIN_HINT"),
    row!(
        provider.scopes = Judged(List(LINE), |items| accepts(|it| it.scopes = Some(items.clone()))),
        "AGENTAUTHD_PROVIDER_SCOPES"
    ),
    row!(
        provider.extra_issuers = Judged(List(LINE), |items| accepts(|it| it.extra_issuers.clone_from(items))),
        "AGENTAUTHD_PROVIDER_EXTRA_ISSUERS"
    ),
    row!(
        provider.audiences = Judged(List(LINE), |items| accepts(|it| it.audiences.clone_from(items))),
        "AGENTAUTHD_PROVIDER_AUDIENCES"
    ),
    row!(provider.refresh = Word(&RefreshRoute::ALL, RefreshRoute::as_str), "AGENTAUTHD_PROVIDER_REFRESH"),
    row!(login.loopback = Word(&Loopback::ALL, Loopback::as_str), "AGENTAUTHD_LOGIN_LOOPBACK"),
    row!(
        login.ports = Judged(List(Number(0, u16::MAX)), |ports| {
            accepts_redirect(RedirectConfig { ports: ports.clone(), ..RedirectConfig::default() })
        }),
        "AGENTAUTHD_LOGIN_PORTS"
    ),
    row!(login.ephemeral_port = Switch, "AGENTAUTHD_LOGIN_EPHEMERAL_PORT"),
    row!(
        login.redirect_path = Judged(LINE, |path| {
            accepts_redirect(RedirectConfig { path: path.clone(), ..RedirectConfig::default() })
        }),
        "AGENTAUTHD_LOGIN_REDIRECT_PATH"
    ),
    row!(
        login.time_limit = Span(SignedDuration::from_secs(30), SignedDuration::from_mins(30)),
        "AGENTAUTHD_LOGIN_TIME_LIMIT"
    ),
    row!(login.open_browser = Switch, "AGENTAUTHD_LOGIN_OPEN_BROWSER"),
    row!(login.allow_device = Switch, "AGENTAUTHD_LOGIN_ALLOW_DEVICE"),
    row!(session.max_age = Maybe(Span(SignedDuration::from_hours(1), YEAR)), "AGENTAUTHD_SESSION_MAX_AGE"),
    row!(
        session.revalidate_every = Maybe(Span(SignedDuration::from_secs(10), DAY)),
        "AGENTAUTHD_SESSION_REVALIDATE_EVERY"
    ),
    row!(network.proxy = Text(proxy), "AGENTAUTHD_NETWORK_PROXY"),
    row!(network.ca_file = Maybe(Place), "AGENTAUTHD_NETWORK_CA_FILE"),
    row!(secrets.store = Word(&StoreKind::ALL, StoreKind::as_str), "AGENTAUTHD_SECRETS_STORE"),
    row!(secrets.passphrase_file = Maybe(Place), "AGENTAUTHD_SECRETS_PASSPHRASE_FILE"),
];

/// What the crate that uses a provider's settings thinks of them. Its rules are the only ones.
fn accepts(fill: impl FnOnce(&mut ProviderSettings)) -> Result<(), Wrong> {
    // Well-shaped, so that only what is filled in can be at fault.
    let mut settings = ProviderSettings { project_id: format!("P{:027}", 0), ..ProviderSettings::default() };
    fill(&mut settings);
    ProviderConfig::new(settings).map(drop).map_err(|faults| faults.to_string())
}

fn accepts_oidc(fill: impl FnOnce(&mut OidcSettings)) -> Result<(), Wrong> {
    let mut oidc = OidcSettings { issuer: "https://issuer.example".to_owned(), ..OidcSettings::default() };
    fill(&mut oidc);
    accepts(|settings| {
        let client_id = Some("client".to_owned());
        *settings = ProviderSettings { oidc: Some(oidc), client_id, ..ProviderSettings::default() };
    })
}

fn accepts_redirect(redirect: RedirectConfig) -> Result<(), Wrong> {
    accepts(|settings| settings.redirect = Some(redirect))
}

fn base_url(value: &Value) -> Result<Url, Wrong> {
    let text = value::text(value)?;
    accepts(|settings| settings.base_url = Some(text.clone()))?;
    Url::parse(&text).map_err(|error| format!("is not a URL: {error}"))
}

fn proxy(value: &Value) -> Result<Proxy, Wrong> {
    let text = value::optional(value, value::text)?.unwrap_or_default();
    text.parse().map_err(|fault: ConfigFault| fault.to_string())
}
