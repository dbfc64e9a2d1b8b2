//! The session endpoints: refresh, logout, validate, tenant selection (sheet 4.2).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::body::Body;
use crate::doors::bearer::{need_token, project_token};
use crate::doors::jwt_response::{Beside, farewell, jwt_response};
use crate::errors::Refusal;
use crate::families::FamilyEnd;
use crate::ledger::SecretKind;
use crate::renew::{Renewal, renew};
use crate::settings::ValidateShape;
use crate::state::{Shared, World};
use crate::tokens::{Door, iso};

/// `POST /v1/auth/refresh`
pub(crate) async fn refresh(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let token = need_token(&shared, &headers)?;
    renewed(&shared, &token, &Renewal::plain(Door::Rest), true)
}

/// `POST /v1/auth/try-refresh`: never fails for want of a good token.
pub(crate) async fn try_refresh(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let token = project_token(&shared, &headers)?.unwrap_or_default();
    let answer = renewed(&shared, &token, &Renewal::plain(Door::Rest), false);
    Ok(answer.unwrap_or_else(|_| Json(json!({})).into_response()))
}

/// `POST /v1/auth/tenant/select`: new session and refresh tokens with `dct`.
pub(crate) async fn select_tenant(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let token = need_token(&shared, &headers)?;
    let tenant = body.need("tenant")?;
    let renewal = Renewal { select_tenant: Some(tenant.to_owned()), ..Renewal::plain(Door::Rest) };
    renewed(&shared, &token, &renewal, true)
}

/// `POST /v1/auth/logout`
pub(crate) async fn logout(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let token = need_token(&shared, &headers)?;
    let mut world = shared.world();
    let family = open_family(&mut world, &token, shared.clock.now())?;
    world.families.end(family, FamilyEnd::LoggedOut);
    Ok(farewell(&world))
}

/// `POST /v1/auth/logoutall`
pub(crate) async fn logout_all(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let token = need_token(&shared, &headers)?;
    let mut world = shared.world();
    let family = open_family(&mut world, &token, shared.clock.now())?;
    let user = world.families.get(family).map(|family| family.user_id.clone()).unwrap_or_default();
    world.families.end_all(&user, FamilyEnd::LoggedOutEverywhere);
    Ok(farewell(&world))
}

/// `POST /v1/auth/validate`, with a *session* token. It looks at the token alone, not at logouts.
pub(crate) async fn validate(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let token = need_token(&shared, &headers)?;
    let world = shared.world();
    let mut claims = world.session(&token, shared.clock.now())?.claims;
    Ok(Json(match world.settings.rest.validate {
        ValidateShape::Parsed => json!({"parsedJWT": claims}),
        ValidateShape::Flat => {
            for name in ["iat", "exp", "nbf"] {
                let at = claims.get(name).and_then(Value::as_i64);
                if let Some(at) = at.and_then(|at| Timestamp::from_second(at).ok()) {
                    claims.insert(name.to_owned(), json!(iso(at)));
                }
            }
            Value::Object(claims)
        }
    }))
}

/// The family of a token that may log out: a spent token of a living family may.
fn open_family(world: &mut World, token: &str, now: Timestamp) -> Result<u64, Refusal> {
    world.ledger.note(SecretKind::Received, token);
    world.families.check(token, &world.ring, now).map(|(_, family, _)| family)
}

fn renewed(shared: &Shared, token: &str, renewal: &Renewal, with_user: bool) -> Result<Response, Refusal> {
    let now = shared.clock.now();
    let mut world = shared.world();
    let issued = renew(&mut world, &shared.site, token, renewal, now)?;
    Ok(jwt_response(&world, &issued, Beside { user: with_user, first_seen: false }, now))
}
