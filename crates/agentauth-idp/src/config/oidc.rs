//! What is configured of a provider that is none of ours to know: its issuer, and where it puts what.

use agentauth_core::claims::{ClaimPlace, FactPlaces};
use url::Url;

use super::{ConfigFault, plain, protected};

/// Settings of any OpenID provider, before validation. Absent means what the preset says.
#[derive(Clone, Debug, Default)]
pub struct OidcSettings {
    /// The issuer, exactly as the provider writes it.
    pub issuer: String,
    /// The product that serves it.
    pub preset: Preset,
    /// Where the roles are; see [`ClaimPlace`].
    pub roles_claim: Option<String>,
    /// Where the permissions are.
    pub permissions_claim: Option<String>,
    /// Where the tenant is.
    pub tenant_claim: Option<String>,
    /// `audience` of the authorization request (Auth0).
    pub audience: Option<String>,
    /// `resource` of all requests (RFC 8707).
    pub resource: Option<String>,
    /// What the access tokens are.
    pub access_token: AccessTokenForm,
    /// How JWT access tokens are typed.
    pub access_token_type: Option<AccessTokenType>,
}

/// Any OpenID provider; valid by construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oidc {
    pub(crate) issuer: String,
    pub(crate) places: FactPlaces,
    pub(crate) audience: Option<String>,
    pub(crate) resource: Option<String>,
    pub(crate) access_token: AccessTokenForm,
    pub(crate) access_token_type: AccessTokenType,
    pub(crate) preset: Preset,
}

/// What the access tokens of a provider are to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessTokenForm {
    /// A JWT that names us as an audience is read, and must be good in every respect; any other token is opaque.
    #[default]
    Auto,
    /// JWTs for us, always.
    Jwt,
    /// Never read; ID token and userinfo carry the facts.
    Opaque,
}

/// How a provider types its JWT access tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessTokenType {
    /// `at+jwt`, as RFC 9068 requires.
    #[default]
    Rfc9068,
    /// Not at all, or as plain `JWT`.
    Plain,
}

/// A product, for what its providers have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    /// authentik.
    Authentik,
    /// Auth0.
    Auth0,
    /// Microsoft Entra ID.
    Entra,
    /// Nothing is known.
    #[default]
    Generic,
    /// Google.
    Google,
    /// Keycloak.
    Keycloak,
    /// Okta.
    Okta,
    /// ZITADEL.
    Zitadel,
}

impl AccessTokenForm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Jwt, Self::Opaque];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Jwt => "jwt",
            Self::Opaque => "opaque",
        }
    }
}

impl AccessTokenType {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Rfc9068, Self::Plain];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rfc9068 => "at+jwt",
            Self::Plain => "plain",
        }
    }
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Generic,
        Self::Keycloak,
        Self::Auth0,
        Self::Okta,
        Self::Entra,
        Self::Google,
        Self::Zitadel,
        Self::Authentik,
    ];

    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth0 => "auth0",
            Self::Authentik => "authentik",
            Self::Entra => "entra",
            Self::Generic => "generic",
            Self::Google => "google",
            Self::Keycloak => "keycloak",
            Self::Okta => "okta",
            Self::Zitadel => "zitadel",
        }
    }

    /// Where the product puts the facts unless its administrator says otherwise.
    fn places(self, client_id: &str) -> FactPlaces {
        let one = |name| Some(ClaimPlace::of_names([name]));
        let (roles, permissions, tenant) = match self {
            Self::Generic => (one("roles"), one("permissions"), None),
            Self::Keycloak => (
                Some(ClaimPlace::of_names(["realm_access", "roles"])),
                Some(ClaimPlace::of_names(["resource_access", client_id, "roles"])),
                None,
            ),
            Self::Auth0 => (None, one("permissions"), one("org_id")),
            Self::Okta => (one("groups"), one("scp"), None),
            Self::Entra => (one("roles"), one("scp"), one("tid")),
            Self::Google => (None, None, one("hd")),
            Self::Zitadel => {
                (one("urn:zitadel:iam:org:project:roles"), None, one("urn:zitadel:iam:user:resourceowner:id"))
            }
            Self::Authentik => (one("groups"), one("entitlements"), None),
        };
        FactPlaces { roles, permissions, tenant, roles_by_name: self == Self::Zitadel }
    }

    fn access_token_type(self) -> AccessTokenType {
        match self {
            Self::Generic | Self::Google => AccessTokenType::Rfc9068,
            Self::Auth0 | Self::Authentik | Self::Entra | Self::Keycloak | Self::Okta | Self::Zitadel => {
                AccessTokenType::Plain
            }
        }
    }

    /// Whether `offline_access` is only given along with `prompt=consent` (OpenID Connect Core section 11). The other
    /// products give it without, and some would stop people there who may not consent for themselves.
    fn needs_consent(self) -> bool {
        matches!(self, Self::Generic | Self::Google)
    }
}

impl Oidc {
    /// The issuer, as the provider writes it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Where the provider puts the facts.
    pub fn places(&self) -> &FactPlaces {
        &self.places
    }

    /// Audiences of access tokens that are ours without being named after us: Keycloak's, of every client.
    pub(super) fn audiences(&self) -> impl Iterator<Item = &str> {
        let account = (self.preset == Preset::Keycloak).then_some("account");
        self.audience.as_deref().into_iter().chain(self.resource.as_deref()).chain(account)
    }

    /// Whether the provider knows a scope of the standard: Google has another parameter in place of `offline_access`.
    pub(super) fn knows_scope(&self, scope: &str) -> bool {
        self.preset != Preset::Google || scope != "offline_access"
    }

    /// Parameters of the authorization request beyond the standard's own, for a login that wants a refresh token or
    /// not.
    pub(crate) fn authorization_parameters(&self, offline: bool) -> Vec<(&'static str, &str)> {
        let mut parameters = Vec::new();
        parameters.extend(self.resource.as_deref().map(|resource| ("resource", resource)));
        parameters.extend(self.audience.as_deref().map(|audience| ("audience", audience)));
        parameters.extend((self.preset == Preset::Google && offline).then_some(("access_type", "offline")));
        parameters
    }

    /// The same with `prompt`, as a login without further wishes sends them.
    pub(crate) fn authorization_request(&self, offline: bool) -> Vec<(&'static str, String)> {
        let mut parameters = self.authorization_parameters(offline);
        parameters.extend(self.prompts_consent(offline).then_some(("prompt", "consent")));
        parameters.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
    }

    /// Whether the provider has to be made to ask for consent.
    pub(crate) fn prompts_consent(&self, offline: bool) -> bool {
        offline && self.preset.needs_consent()
    }

    pub(super) fn new(settings: OidcSettings, client_id: &str, faults: &mut Vec<ConfigFault>) -> Self {
        let mut places = settings.preset.places(client_id);
        for (name, text, place) in [
            ("roles claim", &settings.roles_claim, &mut places.roles),
            ("permissions claim", &settings.permissions_claim, &mut places.permissions),
            ("tenant claim", &settings.tenant_claim, &mut places.tenant),
        ] {
            match text.as_deref().map(str::parse).transpose() {
                Ok(Some(parsed)) => *place = Some(parsed),
                Ok(None) => {}
                Err(fault) => faults.push(ConfigFault::Claim(name, fault)),
            }
        }
        for (name, value) in [("audience", &settings.audience), ("resource", &settings.resource)] {
            if value.as_deref().is_some_and(|text| !plain(text)) {
                faults.push(ConfigFault::Parameter(name));
            }
        }
        // RFC 8707 section 2: an absolute URI without a fragment.
        let uri = |text: &str| Url::parse(text).is_ok_and(|url| url.fragment().is_none());
        if let Some(resource) = settings.resource.as_deref().filter(|text| plain(text) && !uri(text)) {
            faults.push(ConfigFault::Resource(crate::text::shown(resource, 128)));
        }
        if settings.access_token == AccessTokenForm::Opaque && settings.access_token_type.is_some() {
            faults.push(ConfigFault::TypeOfOpaque);
        }
        Self {
            issuer: settings.issuer,
            places,
            audience: settings.audience,
            resource: settings.resource,
            access_token: settings.access_token,
            access_token_type: settings
                .access_token_type
                .unwrap_or_else(|| settings.preset.access_token_type()),
            preset: settings.preset,
        }
    }
}

/// The issuer's URL (Discovery 1.0 section 3): https, or http that does not leave the machine; no query, no fragment.
pub(super) fn issuer_url(issuer: &str) -> Result<Url, ConfigFault> {
    let bad = || ConfigFault::OidcIssuer(crate::text::shown(issuer, 128));
    let url = Url::parse(issuer).map_err(|_| bad())?;
    let fine = protected(&url)
        && issuer.len() <= 512
        && issuer.bytes().all(|byte| byte.is_ascii_graphic())
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if fine { Ok(url) } else { Err(bad()) }
}
