//! Discovery documents and public keys (sheet 2.1 and 5.1).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::doors::device;
use crate::errors::Refusal;
use crate::state::Shared;

/// The response says not to store it, and every SDK does all the same (sheet 2.3).
const NO_STORE: [(&str, &str); 1] = [("cache-control", "no-store, no-cache, max-age=0")];

pub(crate) async fn document(
    State(shared): State<Arc<Shared>>,
    Path(project): Path<String>,
) -> Result<Json<Value>, Refusal> {
    our_project(&shared, &project)?;
    let (issuer, base) = (shared.site.issuer(), &shared.site.base_url);
    let algorithm = shared.world().ring.present().algorithm().name();
    let mut document = json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "authorization_endpoint": format!("{base}/oauth2/v1/authorize"),
        "token_endpoint": format!("{base}/oauth2/v1/token"),
        "userinfo_endpoint": format!("{base}/oauth2/v1/userinfo"),
        "end_session_endpoint": format!("{base}/oauth2/v1/logout"),
        "revocation_endpoint": format!("{base}/oauth2/v1/revoke"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [algorithm],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic", "none"],
        "scopes_supported": ["openid", "profile", "email", "phone", "offline_access", "descope.claims",
                             "descope.custom_claims"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "amr", "name",
                             "given_name", "family_name", "email", "email_verified"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "backchannel_logout_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
    });
    device::announce(&shared, &mut document);
    Ok(Json(document))
}

pub(crate) async fn keys(
    State(shared): State<Arc<Shared>>,
    Path(project): Path<String>,
) -> Result<Response, Refusal> {
    our_project(&shared, &project)?;
    Ok((NO_STORE, Json(shared.world().ring.jwks())).into_response())
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
