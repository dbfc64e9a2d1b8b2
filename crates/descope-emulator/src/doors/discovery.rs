//! Discovery documents and public keys (sheet 2.1 and 5.1).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::clients::OPENID_SCOPES;
use crate::doors::device;
use crate::errors::Refusal;
use crate::realms::Realm;
use crate::settings::IssParameter;
use crate::state::{Shared, World};

/// More than the token endpoints take: the last two are refused (sheet 5.1).
const GRANTS: [&str; 5] = [
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "urn:ietf:params:oauth:grant-type:token-exchange",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
];

/// The response says not to store it, and every SDK does all the same (sheet 2.3).
const NO_STORE: [(&str, &str); 1] = [("cache-control", "no-store, no-cache, max-age=0")];

/// The document of an authorization server, whatever its address (OpenID Connect Discovery 1.0, RFC 8414).
pub(crate) async fn document(State(shared): State<Arc<Shared>>, realm: Realm) -> Json<Value> {
    let (site, world) = (&shared.site, shared.world());
    let endpoint = |name: &str| json!(realm.endpoint(site, name));
    let algorithm = world.ring.present().algorithm().name();
    let settings = &world.settings;
    let mut document = json!({
        "issuer": realm.issuer(site),
        "jwks_uri": format!("{}/.well-known/jwks.json", site.issuer()),
        "authorization_endpoint": endpoint("authorize"),
        "token_endpoint": endpoint("token"),
        "userinfo_endpoint": endpoint("userinfo"),
        "revocation_endpoint": endpoint("revoke"),
        "pushed_authorization_request_endpoint": Realm::Inbound.endpoint(site, "par"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [algorithm],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic", "none"],
        "scopes_supported": scopes(&world, &realm),
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "amr", "acr", "name",
                             "given_name", "family_name", "email", "email_verified"],
        "grant_types_supported": GRANTS,
        "backchannel_logout_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": true,
        "client_id_metadata_document_supported": false,
    });
    device::announce(&world, site, &realm, &mut document);
    let Some(members) = document.as_object_mut() else { return Json(document) };
    if !realm.is_third_party() {
        members.insert("end_session_endpoint".to_owned(), endpoint("logout"));
    }
    if let Realm::Mcp(server) = &realm
        && world.registry.servers.get(server).is_some_and(|server| server.registration)
    {
        let address = format!("{}/v1/mgmt/mcp/client/{}/{server}/register", site.base_url, site.project_id);
        members.insert("registration_endpoint".to_owned(), json!(address));
    }
    if settings.sign_in.iss_parameter != IssParameter::Absent {
        members.insert("authorization_response_iss_parameter_supported".to_owned(), json!(true));
    }
    let acr = [&settings.sign_in.single_factor_acr, &settings.sign_in.multi_factor_acr];
    let acr: Vec<&String> = acr.into_iter().flatten().collect();
    if !acr.is_empty() {
        members.insert("acr_values_supported".to_owned(), json!(acr));
    }
    Json(document)
}

/// `GET /.well-known/project-configuration/{project}`: what the hosted pages may do.
pub(crate) async fn project_configuration(
    State(shared): State<Arc<Shared>>,
    Path(project): Path<String>,
) -> Result<Json<Value>, Refusal> {
    our_project(&shared, &project)?;
    let allowed = shared.world().settings.oauth.allow_iframe_embedding;
    Ok(Json(json!({"allowAuthHostingIframeEmbedding": allowed})))
}

fn scopes(world: &World, realm: &Realm) -> Vec<String> {
    let of_apps = |wanted: &Realm| {
        let apps = world.registry.apps.iter().filter(|(id, app)| app.realm(id) == *wanted);
        apps.flat_map(|(_, app)| app.scopes.clone()).collect::<Vec<_>>()
    };
    let own = match realm {
        Realm::Project | Realm::Federated(_) => Vec::new(),
        Realm::Inbound => of_apps(realm),
        Realm::Mcp(id) => {
            world.registry.servers.get(id).map(|server| server.scopes.clone()).unwrap_or_default()
        }
    };
    let mut all: Vec<String> = OPENID_SCOPES.map(str::to_owned).to_vec();
    for scope in own {
        if !all.contains(&scope) {
            all.push(scope);
        }
    }
    all
}

/// The public keys; `certs=true` adds certificates.
pub(crate) async fn keys(
    State(shared): State<Arc<Shared>>,
    Path(project): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    our_project(&shared, &project)?;
    let world = shared.world();
    let certificates =
        query.as_deref().is_some_and(|query| query.split('&').any(|pair| pair == "certs=true"));
    let jwks = if certificates { world.ring.jwks_with_certificates()? } else { world.ring.jwks() };
    Ok((NO_STORE, Json(jwks)).into_response())
}

/// The old form: a bare array.
pub(crate) async fn keys_v1(
    State(shared): State<Arc<Shared>>,
    Path(project): Path<String>,
) -> Result<Response, Refusal> {
    our_project(&shared, &project)?;
    let jwks = shared.world().ring.jwks();
    Ok((NO_STORE, Json(jwks.get("keys").cloned().unwrap_or_default())).into_response())
}

/// 404 and `E011008` for another project.
pub(crate) fn our_project(shared: &Shared, project: &str) -> Result<(), Refusal> {
    if project == shared.site.project_id { Ok(()) } else { Err(Refusal::no_project()) }
}
