//! The revocation endpoint (sheet 5.6, RFC 7009).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};

use crate::families::FamilyEnd;
use crate::ledger::SecretKind;
use crate::params::Params;
use crate::state::Shared;

/// `POST /oauth2/v1/revoke`: an unknown token is no error (RFC 7009, 2.2).
pub(crate) async fn revoke(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mut world = shared.world();
    let shape = world.settings.oauth.errors;
    let params = match Params::from_body(kind, &body) {
        Ok(params) => params,
        Err(refusal) => return refusal.respond(shape),
    };
    let token = match params.need("token") {
        Ok(token) => token,
        Err(refusal) => return refusal.respond(shape),
    };
    world.ledger.note(SecretKind::Received, token);
    let family = world.families.owner(token);
    if let Some(family) = family {
        world.families.end(family, FamilyEnd::Revoked);
    }
    StatusCode::OK.into_response()
}
