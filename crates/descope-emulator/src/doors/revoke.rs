//! The revocation endpoints (sheet 5.6, RFC 7009).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};

use crate::clients::authenticate;
use crate::errors::Refusal;
use crate::families::FamilyEnd;
use crate::ledger::SecretKind;
use crate::params::Params;
use crate::realms::Realm;
use crate::state::Shared;

/// `POST …/revoke`: an unknown token is no error (RFC 7009, 2.2).
pub(crate) async fn revoke(
    State(shared): State<Arc<Shared>>,
    door: Realm,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let shape = shared.world().settings.oauth.errors;
    match end(&shared, &door, &headers, &body) {
        Ok(()) => StatusCode::OK.into_response(),
        Err(refusal) => refusal.respond(shape),
    }
}

/// A refresh token takes its family with it; an access token goes alone.
fn end(shared: &Shared, door: &Realm, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let params = Params::from_body(kind, body)?;
    let token = params.need("token")?;
    let mut world = shared.world();
    world.ledger.note(SecretKind::Received, token);
    // The documented parameters have no client: then it is the project's own.
    let anonymous = params.get("client_id").is_none() && !headers.contains_key(header::AUTHORIZATION);
    let asking = if anonymous && *door == Realm::Project {
        (shared.site.project_id.clone(), Realm::Project)
    } else {
        let (client, _) = authenticate(&mut world, &shared.site, door, headers, &params, shared.clock.now())?;
        (client.id, client.realm)
    };
    let refresh = world.families.owner(token);
    let access = world.sessions.get(token).map(|session| session.family);
    let family = refresh.or(access).and_then(|family| world.families.get(family));
    if family.is_some_and(|family| (&family.client_id, &family.realm) != (&asking.0, &asking.1)) {
        return Err(Refusal::mismatch("The token was issued to another client"));
    }
    if let Some(family) = refresh {
        world.families.end(family, FamilyEnd::Revoked);
    } else if access.is_some() {
        world.revoked.insert(token.to_owned());
    }
    Ok(())
}
