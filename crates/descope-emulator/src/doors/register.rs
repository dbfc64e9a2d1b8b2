//! Clients that register themselves with an MCP server (sheet 5.8, RFC 7591).

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::apps::{App, AppKind, GrantType};
use crate::authorization::words;
use crate::errors::Refusal;
use crate::fixture::TestPassword;
use crate::ledger::SecretKind;
use crate::random::unguessable;
use crate::realms::Realm;
use crate::state::Shared;

/// The client metadata that is understood; the rest is ignored, as RFC 7591, 2, has it.
#[derive(Deserialize)]
struct Metadata {
    redirect_uris: Vec<String>,
    #[serde(default)]
    client_name: String,
    #[serde(default = "by_basic")]
    token_endpoint_auth_method: String,
    #[serde(default = "code_only")]
    grant_types: Vec<String>,
    #[serde(default)]
    scope: Option<String>,
}

fn by_basic() -> String {
    "client_secret_basic".to_owned()
}

fn code_only() -> Vec<String> {
    vec!["authorization_code".to_owned()]
}

/// `POST /v1/mgmt/mcp/client/{project}/{server}/register`
pub(crate) async fn register(State(shared): State<Arc<Shared>>, realm: Realm, body: Bytes) -> Response {
    let shape = shared.world().settings.oauth.errors;
    match enter(&shared, realm, &body) {
        Ok(answer) => {
            (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
        }
        Err(refusal) => refusal.respond(shape),
    }
}

fn enter(shared: &Shared, realm: Realm, body: &[u8]) -> Result<Value, Refusal> {
    let wrong = |why: &str| Refusal::registration("invalid_client_metadata", why);
    let Realm::Mcp(id) = realm else { return Err(Refusal::no_project()) };
    let metadata: Metadata =
        serde_json::from_slice(body).map_err(|_| wrong("The client metadata cannot be read"))?;
    let confidential = match metadata.token_endpoint_auth_method.as_str() {
        "none" => false,
        "client_secret_basic" | "client_secret_post" => true,
        _ => return Err(wrong("The token_endpoint_auth_method is not supported")),
    };
    let known = |name: &String| GrantType::ALL.into_iter().find(|grant| grant.name() == name);
    let grants: Option<_> = metadata.grant_types.iter().map(known).collect();
    let grants = grants.ok_or_else(|| wrong("A grant type is not supported"))?;
    let good =
        |text: &String| Url::parse(text).is_ok_and(|url| url.fragment().is_none()) && !text.contains('*');
    if metadata.redirect_uris.is_empty() || !metadata.redirect_uris.iter().all(good) {
        return Err(Refusal::registration(
            "invalid_redirect_uri",
            "A redirect address is missing or not valid",
        ));
    }

    let now = shared.clock.now();
    let mut world = shared.world();
    let server = world.registry.servers.get(&id).cloned().unwrap_or_default();
    if !server.registration {
        return Err(Refusal::registration("access_denied", "The MCP server does not take registrations"));
    }
    let scopes = metadata.scope.as_deref().map_or(server.scopes, |scope| words(Some(scope)));
    let client_id = format!("TPA{}", unguessable());
    let secret = confidential.then(unguessable);
    let app = App {
        name: metadata.client_name.clone(),
        secret: secret.as_deref().map(TestPassword::new),
        redirects: metadata.redirect_uris.clone(),
        resources: server.resources,
        grants,
        scopes: scopes.clone(),
        ..App::new(AppKind::Mcp(id))
    };
    world.registry.apps.insert(client_id.clone(), app);
    let mut answer = json!({
        "client_id": client_id,
        "client_id_issued_at": now.as_second(),
        "client_name": metadata.client_name,
        "redirect_uris": metadata.redirect_uris,
        "token_endpoint_auth_method": metadata.token_endpoint_auth_method,
        "grant_types": metadata.grant_types,
        "response_types": ["code"],
        "scope": scopes.join(" "),
    });
    if let (Some(secret), Some(members)) = (secret, answer.as_object_mut()) {
        world.ledger.note(SecretKind::IssuedClientSecret, &secret);
        members.insert("client_secret".to_owned(), json!(secret));
        members.insert("client_secret_expires_at".to_owned(), json!(0));
    }
    Ok(answer)
}
