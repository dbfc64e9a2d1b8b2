//! `/v1/auth/accesskey/exchange`: a session token for an access key (sheet 4.2).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::access_keys::AccessKey;
use crate::body::Body;
use crate::doors::bearer::project_token;
use crate::errors::Refusal;
use crate::forge::TokenKind;
use crate::ledger::SecretKind;
use crate::renew::enabled_user;
use crate::state::{SessionRecord, Shared, Site, World};
use crate::tokens::{Door, session_claims};

/// `POST /v1/auth/accesskey/exchange`
pub(crate) async fn exchange(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let cleartext = project_token(&shared, &headers)?.ok_or_else(Refusal::no_access_key)?;
    let options = body.object("loginOptions");
    let now = shared.clock.now();
    let mut world = shared.world();
    world.ledger.note(SecretKind::Received, &cleartext);
    let key = world.access_keys.usable(&cleartext, now).cloned().ok_or_else(Refusal::bad_access_key)?;
    let tenant = options.text("selectedTenant").map(str::to_owned);
    if tenant.as_ref().is_some_and(|tenant| !key.tenants.contains_key(tenant)) {
        return Err(Refusal::mismatch("The access key does not belong to the tenant"));
    }
    let claims = options.object("customClaims").members().clone();
    let (token, end) = session(&mut world, &shared.site, &key, tenant, claims, Door::Rest, now)?;
    world.note_event("AccessKeyExchanged", &key.id, "accesskey", now);
    Ok(Json(json!({"keyId": key.id, "sessionJwt": token, "expiration": end.as_second()})))
}

/// A session token for an access key, and its end.
pub(crate) fn session(
    world: &mut World,
    site: &Site,
    key: &AccessKey,
    tenant: Option<String>,
    claims: Map<String, Value>,
    door: Door,
    now: Timestamp,
) -> Result<(String, Timestamp), Refusal> {
    if let Some(user) = &key.user_id {
        enabled_user(world, user)?;
    }
    let (user, family) = key.bearer(tenant, claims);
    let (mut claims, end) = session_claims(world, site, &family, &user, door, Timestamp::MAX, now);
    // There is no login and no refresh token behind it.
    claims.remove("rexp");
    claims.remove("amr");
    let token = world.sign(TokenKind::Session, claims.clone(), now)?;
    let kid = world.ring.present().kid().to_owned();
    let record = SessionRecord { family: family.id, kid, expires_at: end, claims };
    world.sessions.insert(token.clone(), record);
    Ok((token, end))
}
