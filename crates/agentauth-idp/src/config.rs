//! Which provider, and how to log in to it: [`ProviderConfig`] and its validation, pure.

mod fault;
mod network;
mod oidc;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use url::{Host, Url};

pub use fault::{ConfigFault, ConfigFaults};
pub use network::{Loopback, NetworkSettings, Proxy};
pub use oidc::{AccessTokenForm, AccessTokenType, Oidc, OidcSettings, Preset};

/// The ports tried for the login's callback unless configured otherwise. Descope compares redirect URIs whole,
/// port included, so the list is fixed and each of its URIs is registered.
pub const DEFAULT_PORTS: [u16; 3] = [47823, 47824, 47825];

/// The scopes asked for unless configured otherwise. `offline_access` brings the refresh token, `profile` and
/// `email` name the user in the ID token.
pub const DEFAULT_SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];

/// What a person or an administrator wrote, before validation. Absent means the default.
#[derive(Clone, Debug, Default)]
pub struct ProviderSettings {
    /// Any OpenID provider; Descope if absent.
    pub oidc: Option<OidcSettings>,
    /// The Descope project id: `P` and 27 or 31 letters and digits.
    pub project_id: String,
    /// Overrides the address that the project id implies (custom domain, emulator).
    pub base_url: Option<String>,
    /// The OAuth client id; for Descope, the project id itself for the default application.
    pub client_id: Option<String>,
    /// OAuth scopes to ask for.
    pub scopes: Option<Vec<String>>,
    /// The Descope flow to run.
    pub flow: Option<String>,
    /// The tenant to log in to.
    pub tenant: Option<String>,
    /// The login name to suggest on the provider's page.
    pub login_hint: Option<String>,
    /// Issuers of ID tokens accepted beside `{base}/{project}`.
    pub extra_issuers: Vec<String>,
    /// Audiences accepted in session tokens that have one, beside the client id and the project id. For any OpenID
    /// provider: in access tokens beside the client id, and trusted beside it in ID tokens.
    pub audiences: Vec<String>,
    /// The profile of this login, where it is a named one: pages say it in the commands that they tell.
    pub profile: Option<String>,
    /// Where the browser comes back to.
    pub redirect: Option<RedirectConfig>,
    /// The loopback address that the browser comes back to.
    pub loopback: Loopback,
    /// How the provider is reached.
    pub network: NetworkSettings,
    /// How long to wait for what.
    pub timeouts: Option<Timeouts>,
    /// Which of the provider's two ways refreshes.
    pub refresh_via: RefreshVia,
}

/// One identity provider and how to log in to it; valid by construction.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    realm: Realm,
    oidc: Option<Oidc>,
    base_url: Url,
    client_id: String,
    scopes: Vec<String>,
    offline: bool,
    flow: Option<String>,
    tenant: Option<String>,
    login_hint: Option<String>,
    extra_issuers: Vec<String>,
    audiences: Vec<String>,
    profile: Option<String>,
    redirect: RedirectConfig,
    loopback: Loopback,
    network: NetworkSettings,
    timeouts: Timeouts,
    refresh_via: RefreshVia,
}

/// To whom a login belongs: nobody else is ever sent its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Realm {
    /// A Descope project at an address.
    Descope {
        /// The project id.
        project_id: String,
        /// Scheme, host and port, with a final slash.
        base_url: String,
    },
    /// A client of any OpenID provider.
    Oidc {
        /// The issuer.
        issuer: String,
        /// The client id.
        client_id: String,
    },
}

/// Ports and path that the browser is sent back to (RFC 8252 section 7.3), at the address of [`Loopback`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectConfig {
    /// Ports to try, in order.
    pub ports: Vec<u16>,
    /// Take any free port when none of `ports` is free; only for providers that ignore the port.
    pub ephemeral: bool,
    /// The path, one per provider (RFC 8252 section 8.10).
    pub path: String,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands, name resolution and TLS included.
    pub connect: Duration,
    /// Until a request is answered in full.
    pub total: Duration,
    /// Until a logout is answered; it is best effort.
    pub logout: Duration,
    /// Until the person has logged in.
    pub login: Duration,
}

/// The two ways in which a Descope refresh token is redeemed (sheet 5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefreshVia {
    /// The OAuth `refresh_token` grant at the token endpoint (RFC 6749 section 6).
    #[default]
    TokenEndpoint,
    /// `POST /v1/auth/refresh`, Descope's own.
    SessionEndpoint,
}

impl Default for RedirectConfig {
    fn default() -> Self {
        Self { ports: DEFAULT_PORTS.to_vec(), ephemeral: false, path: "/callback".to_owned() }
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Descope { project_id, base_url } => write!(f, "project {project_id} at {base_url}"),
            Self::Oidc { issuer, client_id } => write!(f, "client {client_id} of {issuer}"),
        }
    }
}

impl RedirectConfig {
    /// The redirect URI at `address`.
    pub fn uri(&self, address: SocketAddr) -> String {
        format!("http://{address}{}", self.path)
    }

    /// The redirect URIs to register where logins listen on `ip`, in the order in which they are tried. With an
    /// ephemeral port the last one has `*` for the port, as Descope's patterns write it.
    pub fn uris(&self, ip: IpAddr) -> Vec<String> {
        let mut uris: Vec<String> =
            self.ports.iter().map(|&port| self.uri(SocketAddr::new(ip, port))).collect();
        if self.ephemeral {
            let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
            uris.push(format!("http://{host}:*{}", self.path));
        }
        uris
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            total: Duration::from_secs(30),
            logout: Duration::from_secs(10),
            login: Duration::from_secs(300),
        }
    }
}

impl ProviderConfig {
    /// Validates `settings`; nothing is looked up or connected to.
    ///
    /// # Errors
    /// All faults at once.
    pub fn new(settings: ProviderSettings) -> Result<Self, ConfigFaults> {
        let mut faults = Vec::new();
        let client_id = match (&settings.client_id, &settings.oidc) {
            (Some(given), _) => given.clone(),
            (None, None) => settings.project_id.clone(),
            (None, Some(_)) => {
                faults.push(ConfigFault::NoClientId);
                "none".to_owned()
            }
        };
        let (base_url, realm) = match &settings.oidc {
            None => descope_realm(&settings, &mut faults),
            Some(oidc) => oidc_realm(&settings, oidc, &client_id, &mut faults),
        };
        if client_id.is_empty() || client_id.len() > 256 || !client_id.bytes().all(|b| b.is_ascii_graphic()) {
            faults.push(ConfigFault::ClientId(crate::text::shown(&client_id, 64)));
        }
        let scopes =
            settings.scopes.unwrap_or_else(|| DEFAULT_SCOPES.iter().map(|&s| s.to_owned()).collect());
        check_scopes(&scopes, &mut faults);
        for (name, value) in
            [("flow", &settings.flow), ("tenant", &settings.tenant), ("login hint", &settings.login_hint)]
        {
            if value.as_deref().is_some_and(|v| !plain(v)) {
                faults.push(ConfigFault::Parameter(name));
            }
        }
        for issuer in &settings.extra_issuers {
            let fine = Url::parse(issuer).is_ok_and(|url| {
                protected(&url)
                    && url.query().is_none()
                    && url.fragment().is_none()
                    && url.username().is_empty()
                    && url.password().is_none()
            });
            if !fine {
                faults.push(ConfigFault::Issuer(crate::text::shown(issuer, 128)));
            }
        }
        for audience in settings.audiences.iter().filter(|audience| !plain(audience)) {
            faults.push(ConfigFault::Audience(crate::text::shown(audience, 64)));
        }
        let redirect = settings.redirect.unwrap_or_default();
        check_redirect(&redirect, &mut faults);
        let timeouts = settings.timeouts.unwrap_or_default();
        check_timeouts(&timeouts, &mut faults);
        let oidc = settings.oidc.map(|oidc| Oidc::new(oidc, &client_id, &mut faults));
        let offline = scopes.iter().any(|scope| scope == "offline_access");
        let scopes = scopes
            .into_iter()
            .filter(|scope| oidc.as_ref().is_none_or(|oidc| oidc.knows_scope(scope)))
            .collect();
        match base_url {
            Some(base_url) if faults.is_empty() => Ok(Self {
                realm,
                oidc,
                base_url,
                client_id,
                scopes,
                offline,
                flow: settings.flow,
                tenant: settings.tenant,
                login_hint: settings.login_hint,
                extra_issuers: settings.extra_issuers,
                audiences: settings.audiences,
                profile: settings.profile,
                redirect,
                loopback: settings.loopback,
                network: settings.network,
                timeouts,
                refresh_via: settings.refresh_via,
            }),
            _ => Err(ConfigFaults(faults)),
        }
    }

    /// To whom logins with this configuration belong.
    pub fn realm(&self) -> &Realm {
        &self.realm
    }

    /// Any OpenID provider; nothing for Descope.
    pub fn oidc(&self) -> Option<&Oidc> {
        self.oidc.as_ref()
    }

    /// The Descope project id; nothing for any other provider.
    pub fn project_id(&self) -> Option<&str> {
        match &self.realm {
            Realm::Descope { project_id, .. } => Some(project_id),
            Realm::Oidc { .. } => None,
        }
    }

    /// Where the provider is. For Descope: scheme, host and port of every request (sheet 1.1). For any other: the issuer.
    pub fn base_url(&self) -> &Url {
        &self.base_url
    }

    /// The OAuth client id.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The OAuth scopes to ask for.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// The Descope flow to run, if one is chosen.
    pub fn flow(&self) -> Option<&str> {
        self.flow.as_deref()
    }

    /// The tenant to log in to, if one is chosen.
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// The login name to suggest.
    pub fn login_hint(&self) -> Option<&str> {
        self.login_hint.as_deref()
    }

    /// The named profile of this login.
    pub fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// Where the browser comes back to.
    pub fn redirect(&self) -> &RedirectConfig {
        &self.redirect
    }

    /// The loopback address that the browser comes back to.
    pub fn loopback(&self) -> Loopback {
        self.loopback
    }

    /// How the provider is reached.
    pub fn network(&self) -> &NetworkSettings {
        &self.network
    }

    /// How long to wait for what.
    pub fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// Which way refreshes.
    pub fn refresh_via(&self) -> RefreshVia {
        self.refresh_via
    }

    /// The issuer; of a Descope project: `{base}/{project}` (sheet 5.1).
    pub fn issuer(&self) -> String {
        match &self.realm {
            Realm::Descope { project_id, .. } => self.at(project_id),
            Realm::Oidc { issuer, .. } => issuer.clone(),
        }
    }

    /// The issuers accepted in ID tokens.
    pub fn issuers(&self) -> Vec<String> {
        std::iter::once(self.issuer()).chain(self.extra_issuers.iter().cloned()).collect()
    }

    /// The issuers accepted beside the project's own.
    pub fn extra_issuers(&self) -> &[String] {
        &self.extra_issuers
    }

    /// The audiences accepted in session tokens that have one: project id, client id and the configured ones. For any
    /// other provider: those of which an access token must name one.
    pub fn audiences(&self) -> Vec<String> {
        let mut all: Vec<String> = self.project_id().into_iter().map(str::to_owned).collect();
        all.push(self.client_id.clone());
        all.extend(self.oidc.iter().flat_map(Oidc::audiences).map(str::to_owned));
        all.extend(self.audiences.iter().cloned());
        all.dedup();
        all
    }

    /// The configured audiences: those that an ID token may name beside the client.
    pub(crate) fn trusted_audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Whether logins ask for a refresh token.
    pub(crate) fn is_offline(&self) -> bool {
        self.offline
    }

    /// The redirect URIs to register at the provider, for this machine: see [`RedirectConfig::uris`] and
    /// [`Loopback::address`].
    pub fn redirect_uris(&self) -> Vec<String> {
        self.redirect.uris(self.loopback.address())
    }

    /// `{base}/{path}`, where `path` comes without its leading slash. Descope's only.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.base_url.as_str().trim_end_matches('/'))
    }
}

fn descope_realm(settings: &ProviderSettings, faults: &mut Vec<ConfigFault>) -> (Option<Url>, Realm) {
    let project_id = settings.project_id.clone();
    let project_ok = project_shape(&project_id);
    if !project_ok {
        faults.push(ConfigFault::ProjectId(crate::text::shown(&project_id, 64)));
    }
    let base = match settings.base_url.as_deref() {
        Some(given) => base_url(given),
        None if project_ok => base_url(&derived_base(&project_id)),
        None => base_url("https://api.descope.com"),
    };
    let base = base.map_err(|fault| faults.push(fault)).ok();
    let base_url = base.as_ref().map(Url::to_string).unwrap_or_default();
    (base, Realm::Descope { project_id, base_url })
}

fn oidc_realm(
    settings: &ProviderSettings,
    oidc: &OidcSettings,
    client_id: &str,
    faults: &mut Vec<ConfigFault>,
) -> (Option<Url>, Realm) {
    for (name, set) in [
        ("project id", !settings.project_id.is_empty()),
        ("base url", settings.base_url.is_some()),
        ("flow", settings.flow.is_some()),
        ("an extra issuer", !settings.extra_issuers.is_empty()),
        ("the session endpoint's refresh", settings.refresh_via != RefreshVia::TokenEndpoint),
    ] {
        if set {
            faults.push(ConfigFault::DescopeOnly(name));
        }
    }
    let url = oidc::issuer_url(&oidc.issuer).map_err(|fault| faults.push(fault)).ok();
    (url, Realm::Oidc { issuer: oidc.issuer.clone(), client_id: client_id.to_owned() })
}

/// `P` and 27 alphanumerics, or 31 of which the first four are the region (sheet 1.1).
fn project_shape(id: &str) -> bool {
    matches!(id.len(), 28 | 32) && id.starts_with('P') && id.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// The address that a well-shaped project id implies (sheet 1.1).
fn derived_base(project_id: &str) -> String {
    match project_id.get(1..5) {
        Some(region) if project_id.len() == 32 => format!("https://api.{region}.descope.com"),
        _ => "https://api.descope.com".to_owned(),
    }
}

fn base_url(given: &str) -> Result<Url, ConfigFault> {
    let url = Url::parse(given.trim()).map_err(|_| ConfigFault::BaseUrl(crate::text::shown(given, 128)))?;
    let named = || crate::text::shown(&format!("{}://{}", url.scheme(), url.host_str().unwrap_or("")), 128);
    if url.host().is_none() {
        return Err(ConfigFault::BaseUrl(named()));
    }
    if !protected(&url) {
        return Err(ConfigFault::NotHttps(named()));
    }
    let bare = url.username().is_empty()
        && url.password().is_none()
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none();
    if bare { Ok(url) } else { Err(ConfigFault::BaseUrlParts(named())) }
}

/// https, or http that does not leave the machine.
pub(crate) fn protected(url: &Url) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => match url.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        },
        _ => false,
    }
}

fn plain(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= 256 && !text.chars().any(char::is_control)
}

fn check_scopes(scopes: &[String], faults: &mut Vec<ConfigFault>) {
    // RFC 6749 section 3.3: %x21 / %x23-5B / %x5D-7E.
    let token = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
    for scope in scopes.iter().filter(|scope| scope.len() > 256 || !token(scope)) {
        faults.push(ConfigFault::Scope(crate::text::shown(scope, 64)));
    }
    if !scopes.iter().any(|scope| scope == "openid") {
        faults.push(ConfigFault::NoOpenid);
    }
}

fn check_redirect(redirect: &RedirectConfig, faults: &mut Vec<ConfigFault>) {
    if redirect.ports.is_empty() && !redirect.ephemeral {
        faults.push(ConfigFault::NoPorts);
    }
    if redirect.ports.len() > 16 {
        faults.push(ConfigFault::TooManyPorts);
    }
    for &port in redirect.ports.iter().filter(|&&port| port < 1024) {
        faults.push(ConfigFault::Port(port));
    }
    let segment = |s: &str| {
        !s.is_empty()
            && s != "."
            && s != ".."
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b))
    };
    let fine = redirect.path.len() <= 64
        && redirect.path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(segment));
    if !fine {
        faults.push(ConfigFault::Path(crate::text::shown(&redirect.path, 64)));
    }
}

fn check_timeouts(timeouts: &Timeouts, faults: &mut Vec<ConfigFault>) {
    let range = Duration::from_secs(1)..=Duration::from_secs(3600);
    for (name, value) in [
        ("connect", timeouts.connect),
        ("total", timeouts.total),
        ("logout", timeouts.logout),
        ("login", timeouts.login),
    ] {
        if !range.contains(&value) {
            faults.push(ConfigFault::Timeout(name));
        }
    }
}
