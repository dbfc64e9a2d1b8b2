//! `/v1/auth/accesskey/exchange`: a session token for an access key (sheet 4.2).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::body::Body;
use crate::doors::bearer::project_token;
use crate::errors::Refusal;
use crate::forge::TokenKind;
use crate::ledger::SecretKind;
use crate::renew::enabled_user;
use crate::state::{SessionRecord, Shared};
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
    if let Some(user) = &key.user_id {
        enabled_user(&world, user)?;
    }
    let tenant = options.text("selectedTenant").map(str::to_owned);
    if tenant.as_ref().is_some_and(|tenant| !key.tenants.contains_key(tenant)) {
        return Err(Refusal::mismatch("The access key does not belong to the tenant"));
    }
    let claims = options.object("customClaims").members().clone();
    let (user, family) = key.bearer(tenant, claims);
    let (mut claims, end) =
        session_claims(&world, &shared.site, &family, &user, Door::Rest, Timestamp::MAX, now);
    // There is no login and no refresh token behind it.
    claims.remove("rexp");
    claims.remove("amr");
    let token = world.sign(TokenKind::Session, claims.clone(), now)?;
    let kid = world.ring.present().kid().to_owned();
    let record = SessionRecord { family: family.id, kid, expires_at: end, claims };
    world.sessions.insert(token.clone(), record);
    world.note_event("AccessKeyExchanged", &key.id, "accesskey", now);
    Ok(Json(json!({"keyId": key.id, "sessionJwt": token, "expiration": end.as_second()})))
}
