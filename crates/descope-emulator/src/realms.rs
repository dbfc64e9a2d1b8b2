//! The project's authorization servers: three families with one key set (sheet section 5).

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use serde::{Deserialize, Serialize};

use crate::errors::Refusal;
use crate::state::{Shared, Site};

/// One authorization server: an issuer with addresses of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Realm {
    /// The project itself, whose client id is the project id.
    Project,
    /// A federated app, by its `ssoAppId`.
    Federated(String),
    /// All inbound apps together.
    Inbound,
    /// An MCP server, by its id.
    Mcp(String),
}

impl Realm {
    /// `iss` of discovery and of ID tokens (sheet 3.2).
    pub(crate) fn issuer(&self, site: &Site) -> String {
        let Site { base_url, project_id, .. } = site;
        match self {
            Self::Project => site.issuer(),
            Self::Federated(app) => format!("{}/{app}", site.issuer()),
            Self::Inbound => format!("{base_url}/v1/apps/{project_id}"),
            Self::Mcp(server) => format!("{base_url}/v1/apps/agentic/{project_id}/{server}"),
        }
    }

    /// The address of an endpoint. MCP servers have two of their own and share the rest with the inbound apps.
    pub(crate) fn endpoint(&self, site: &Site, name: &str) -> String {
        let Site { base_url, project_id, .. } = site;
        match (self, name) {
            (Self::Project, _) => format!("{base_url}/oauth2/v1/{name}"),
            (Self::Federated(app), _) => format!("{base_url}/{app}/oauth2/v1/{name}"),
            (Self::Mcp(server), "authorize" | "token") => {
                format!("{base_url}/oauth2/v1/apps/agentic/{project_id}/{server}/{name}")
            }
            (Self::Inbound | Self::Mcp(_), _) => format!("{base_url}/oauth2/v1/apps/{name}"),
        }
    }

    /// Whether its clients are third parties: they need scopes and the user's consent.
    pub(crate) fn is_third_party(&self) -> bool {
        matches!(self, Self::Inbound | Self::Mcp(_))
    }
}

/// The realm that an address belongs to: `{project}` must be ours, `{app}` and `{server}` must exist.
impl FromRequestParts<Arc<Shared>> for Realm {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        let named = RawPathParams::from_request_parts(parts, shared).await;
        let named = named.map_err(|_| Refusal::bad_request("The address cannot be read"))?;
        let value = |wanted: &str| named.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
        if value("project").is_some_and(|project| project != shared.site.project_id) {
            return Err(Refusal::no_project());
        }
        let world = shared.world();
        match (value("server"), value("app")) {
            (Some(server), _) if world.registry.has_server(server) => Ok(Self::Mcp(server.to_owned())),
            (None, Some(app)) if world.registry.has_federated(app) => Ok(Self::Federated(app.to_owned())),
            (None, None) if parts.uri.path().contains("/apps/") => Ok(Self::Inbound),
            (None, None) => Ok(Self::Project),
            _ => Err(Refusal::no_project()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_and_endpoints() {
        let site = Site {
            project_id: "P1".to_owned(),
            project_name: String::new(),
            base_url: "http://h:1".to_owned(),
        };
        for (realm, issuer, token, revoke) in [
            (Realm::Project, "/P1", "/oauth2/v1/token", "/oauth2/v1/revoke"),
            (Realm::Federated("A".to_owned()), "/P1/A", "/A/oauth2/v1/token", "/A/oauth2/v1/revoke"),
            (Realm::Inbound, "/v1/apps/P1", "/oauth2/v1/apps/token", "/oauth2/v1/apps/revoke"),
            (
                Realm::Mcp("M".to_owned()),
                "/v1/apps/agentic/P1/M",
                "/oauth2/v1/apps/agentic/P1/M/token",
                "/oauth2/v1/apps/revoke",
            ),
        ] {
            assert_eq!(realm.issuer(&site), format!("http://h:1{issuer}"));
            assert_eq!(realm.endpoint(&site, "token"), format!("http://h:1{token}"));
            assert_eq!(realm.endpoint(&site, "revoke"), format!("http://h:1{revoke}"));
        }
    }
}
