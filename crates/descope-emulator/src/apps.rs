//! The applications of the project, and its MCP servers (sheet 5 and 5.8): what an administrator registers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::fixture::TestPassword;
use crate::realms::Realm;

/// An application as written in a fixture, or registered while the emulator runs. Its key there is its client id.
///
/// ```toml
/// [apps.TPA2Reports]
/// kind = "inbound"
/// name = "Reports"
/// secret = "reports-secret"
/// redirects = ["http://127.0.0.1:9/callback"]
/// scopes = ["reports.read"]
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Which family it belongs to.
    pub kind: AppKind,
    /// The name on the consent page.
    #[serde(default)]
    pub name: String,
    /// The secret of a confidential client. Without one the client is public and must use PKCE.
    #[serde(default)]
    pub secret: Option<TestPassword>,
    /// Approved redirect addresses, exact or with `*`. Empty: a federated app falls back on the project's approved
    /// domains, any other app gets nothing approved.
    #[serde(default)]
    pub redirects: Vec<String>,
    /// Where a browser may land after a logout; exact. Empty: wherever it may land after a login.
    #[serde(default)]
    pub after_logout: Vec<String>,
    /// The grants that are switched on.
    #[serde(default = "every_grant")]
    pub grants: BTreeSet<GrantType>,
    /// `aud` of access tokens.
    #[serde(default)]
    pub audience: DefaultAudience,
    /// What may be asked for as `resource` or `audience` (RFC 8707).
    #[serde(default)]
    pub resources: Vec<String>,
    /// The scopes that an inbound app or MCP client may ask for, beside OpenID's own.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Demand PKCE from a confidential client, too.
    #[serde(default)]
    pub force_pkce: bool,
    /// Take authorization requests only if they were pushed (RFC 9126).
    #[serde(default)]
    pub require_par: bool,
    /// Lifetime of its session tokens in seconds; the project's without it.
    #[serde(default)]
    pub session_seconds: Option<u32>,
    /// Lifetime of its refresh tokens in seconds; without it the project's, and 520 weeks for inbound apps.
    #[serde(default)]
    pub refresh_seconds: Option<u32>,
    /// Seconds until the user's consent expires; never without it.
    #[serde(default)]
    pub consent_seconds: Option<u32>,
}

/// The family of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppKind {
    /// A federated OIDC app; its `ssoAppId` is its client id.
    Federated,
    /// An inbound (third-party) app.
    Inbound,
    /// A client of the MCP server with this id.
    Mcp(String),
}

/// A grant that can be switched on and off for an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// A code from the authorization endpoint.
    AuthorizationCode,
    /// A refresh token.
    RefreshToken,
    /// The client itself, without a user.
    ClientCredentials,
}

impl GrantType {
    /// Every grant that the token endpoints know.
    pub(crate) const ALL: [Self; 3] = [Self::AuthorizationCode, Self::RefreshToken, Self::ClientCredentials];

    /// `grant_type` on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
        }
    }
}

/// `default_audience` (sheet 3.4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefaultAudience {
    /// The project id.
    #[default]
    Project,
    /// The client id.
    Client,
    /// Both.
    Both,
}

/// An MCP server: an authorization server with clients of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct McpServer {
    /// The name that people read.
    pub name: String,
    /// Whether clients may register themselves (RFC 7591).
    pub registration: bool,
    /// The scopes that such clients may ask for, beside OpenID's own.
    pub scopes: Vec<String>,
    /// What they may ask for as `resource`.
    pub resources: Vec<String>,
}

/// An app as tests see it: everything but its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppView {
    /// The client id.
    pub client_id: String,
    /// The family.
    pub kind: AppKind,
    /// The name.
    pub name: String,
    /// Whether it has a secret.
    pub confidential: bool,
    /// Approved redirect addresses.
    pub redirects: Vec<String>,
    /// The scopes that it may ask for.
    pub scopes: Vec<String>,
}

/// Every app and MCP server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    pub(crate) apps: BTreeMap<String, App>,
    pub(crate) servers: BTreeMap<String, McpServer>,
}

impl App {
    /// An app of this kind with nothing else said: public, every grant, nothing approved.
    pub fn new(kind: AppKind) -> Self {
        Self {
            kind,
            name: String::new(),
            secret: None,
            redirects: Vec::new(),
            after_logout: Vec::new(),
            grants: every_grant(),
            audience: DefaultAudience::Project,
            resources: Vec::new(),
            scopes: Vec::new(),
            force_pkce: false,
            require_par: false,
            session_seconds: None,
            refresh_seconds: None,
            consent_seconds: None,
        }
    }

    /// The realm of an app with this client id.
    pub(crate) fn realm(&self, client_id: &str) -> Realm {
        match &self.kind {
            AppKind::Federated => Realm::Federated(client_id.to_owned()),
            AppKind::Inbound => Realm::Inbound,
            AppKind::Mcp(server) => Realm::Mcp(server.clone()),
        }
    }

    /// The app without its secret.
    pub(crate) fn view(&self, client_id: &str) -> AppView {
        AppView {
            client_id: client_id.to_owned(),
            kind: self.kind.clone(),
            name: self.name.clone(),
            confidential: self.secret.is_some(),
            redirects: self.redirects.clone(),
            scopes: self.scopes.clone(),
        }
    }
}

fn every_grant() -> BTreeSet<GrantType> {
    GrantType::ALL.into()
}

impl Registry {
    pub(crate) fn has_server(&self, id: &str) -> bool {
        self.servers.contains_key(id)
    }

    pub(crate) fn has_federated(&self, id: &str) -> bool {
        self.apps.get(id).is_some_and(|app| app.kind == AppKind::Federated)
    }

    /// The first app that names an MCP server that does not exist: client id and server id.
    pub(crate) fn astray(&self) -> Option<(String, String)> {
        self.apps.iter().find_map(|(id, app)| match &app.kind {
            AppKind::Mcp(server) if !self.has_server(server) => Some((id.clone(), server.clone())),
            _ => None,
        })
    }
}
