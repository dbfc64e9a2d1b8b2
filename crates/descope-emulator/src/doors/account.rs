//! What the service says about the user: `/v1/auth/me…` (sheet 4.2 and 4.4).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::body::Body;
use crate::doors::bearer::need_token;
use crate::errors::Refusal;
use crate::families::Family;
use crate::fixture::User;
use crate::ledger::SecretKind;
use crate::renew::enabled_user;
use crate::settings::HistoryShape;
use crate::state::{Shared, World};
use crate::tokens::current_tenant;

/// `GET /v1/auth/me`
pub(crate) async fn me(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    with_refresh(&shared, &headers, |world, _, user| user_object(world, user)).map(Json)
}

/// `POST /v1/auth/me/tenants`
pub(crate) async fn tenants(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    wanted: Body,
) -> Result<Json<Value>, Refusal> {
    let (ids, only_current) = (wanted.texts("ids"), wanted.is_true("dct"));
    if ids.is_empty() != only_current {
        return Err(Refusal::mismatch("Either dct or ids is needed"));
    }
    with_refresh(&shared, &headers, |world, family, user| {
        let current = current_tenant(world, family, user);
        let named = |id: &String| ids.contains(id) || only_current && current.as_ref() == Some(id);
        let all = user.tenants.keys().filter(|id| named(id));
        let tenant = |id: &String| {
            let name = world.tenants.get(id).map(|tenant| tenant.name.as_str()).unwrap_or_default();
            json!({"id": id, "name": name, "customAttributes": {}})
        };
        json!({"tenants": all.map(tenant).collect::<Vec<_>>()})
    })
    .map(Json)
}

/// `GET /v1/auth/me/history`
pub(crate) async fn history(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    with_refresh(&shared, &headers, |world, _, user| {
        let logins = world.families.iter().filter(|family| family.user_id == user.id);
        let line = |family: &Family| {
            json!({"userId": user.id, "loginTime": family.auth_time.as_second(), "city": "", "country": "",
                   "ip": "127.0.0.1", "selectedTenant": family.tenant})
        };
        let lines: Vec<Value> = logins.map(line).collect();
        match world.settings.rest.history {
            HistoryShape::Bare => json!(lines),
            HistoryShape::Wrapped => json!({"authHistory": lines}),
        }
    })
    .map(Json)
}

/// Answers for the user of the refresh token in the bearer.
fn with_refresh(
    shared: &Shared,
    headers: &HeaderMap,
    answer: impl FnOnce(&World, &Family, &User) -> Value,
) -> Result<Value, Refusal> {
    let token = need_token(shared, headers)?;
    let mut world = shared.world();
    world.ledger.note(SecretKind::Received, &token);
    let (_, family, spent) = world.families.check(&token, &world.ring, shared.clock.now())?;
    if spent {
        return Err(Refusal::invalid_token("The refresh token was already used"));
    }
    let family = world.families.get(family).ok_or_else(|| Refusal::internal("the family is gone"))?;
    let user = enabled_user(&world, &family.user_id)?;
    Ok(answer(&world, family, &user))
}

/// The user object of 4.4.
pub(crate) fn user_object(world: &World, user: &User) -> Value {
    let tenant = |(id, roles): (&String, &Vec<String>)| {
        let name = world.tenants.get(id).map(|tenant| tenant.name.as_str()).unwrap_or_default();
        json!({"tenantId": id, "tenantName": name, "roleNames": roles, "permissions": world.permissions(roles)})
    };
    let status = match (user.disabled, user.invited) {
        (true, _) => "disabled",
        (_, true) => "invited",
        _ => "enabled",
    };
    let (given, family) = user.name.as_deref().and_then(|name| name.split_once(' ')).unwrap_or_default();
    json!({
        "loginIds": user.login_ids,
        "userId": user.id,
        "name": user.name,
        "givenName": given,
        "familyName": family,
        "email": user.email,
        "verifiedEmail": !user.email.is_empty() && !user.unverified,
        "phone": user.phone.clone().unwrap_or_default(),
        "verifiedPhone": false,
        "roleNames": user.roles,
        "permissions": world.permissions(&user.roles),
        "userTenants": user.tenants.iter().map(tenant).collect::<Vec<_>>(),
        "status": status,
        "externalIds": user.login_ids,
        "picture": "",
        "test": user.test,
        "customAttributes": user.attributes,
        "createdTime": 0,
        "TOTP": false,
        "SAML": false,
        "OAuth": {},
        "webauthn": user.factors.iter().any(|factor| factor == "webauthn"),
        "password": user.password.is_set(),
        "ssoAppIds": [],
        "editable": true,
    })
}
