//! Userinfo (sheet 5.6, OpenID Connect Core 5.3).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::doors::bearer::bearer;
use crate::errors::Refusal;
use crate::ledger::SecretKind;
use crate::realms::Realm;
use crate::renew::enabled_user;
use crate::state::Shared;
use crate::tokens::{authorization, profile, subject};

/// `GET|POST …/userinfo`, with a bare access token of a client that is at home at this door.
pub(crate) async fn userinfo(
    State(shared): State<Arc<Shared>>,
    door: Realm,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let token =
        bearer(&headers).ok_or_else(|| Refusal::invalid_token("The Authorization header is missing"))?;
    let mut world = shared.world();
    world.ledger.note(SecretKind::Received, token);
    let session = world.session(token, shared.clock.now())?;
    if world.revoked.contains(token) {
        return Err(Refusal::logged_out());
    }
    let family =
        world.families.get(session.family).ok_or_else(|| Refusal::invalid_token("The session is gone"))?;
    if family.ended.is_some() {
        return Err(Refusal::logged_out());
    }
    if family.realm.is_third_party() != door.is_third_party() {
        return Err(Refusal::invalid_token("The token is for another endpoint"));
    }
    let user = enabled_user(&world, &family.user_id)?;
    let asked = |scope: &str| family.scope.iter().any(|asked| asked == scope);
    let mut claims = Map::from_iter([("sub".to_owned(), json!(subject(&world, &user)))]);
    claims.extend(profile(&user, asked("profile"), asked("email")));
    if asked("descope.claims") {
        claims.extend(authorization(&world, family, &user));
    }
    Ok(Json(Value::Object(claims)))
}
