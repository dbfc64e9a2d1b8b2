//! The session endpoints: refresh, logout, validate, tenant selection (sheet 4.2 and 4.3).

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use http::{HeaderMap, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::doors::account::user_object;
use crate::doors::bearer::{need_token, project_token};
use crate::doors::token::refresh_member;
use crate::errors::Refusal;
use crate::families::FamilyEnd;
use crate::ledger::SecretKind;
use crate::params::Params;
use crate::renew::{Issued, Renewal, renew};
use crate::settings::Delivery;
use crate::state::{Shared, World};
use crate::tokens::Door;

/// `POST /v1/auth/refresh`
pub(crate) async fn refresh(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let token = need_token(&shared.site, &headers)?;
    renewed(&shared, &token, &Renewal::plain(Door::Rest), true)
}

/// `POST /v1/auth/try-refresh`: never fails for want of a good token.
pub(crate) async fn try_refresh(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let token = project_token(&shared.site, &headers)?.unwrap_or_default();
    let answer = renewed(&shared, &token, &Renewal::plain(Door::Rest), false);
    Ok(answer.unwrap_or_else(|_| Json(json!({})).into_response()))
}

/// `POST /v1/auth/tenant/select`: new session and refresh tokens with `dct`.
pub(crate) async fn select_tenant(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let token = need_token(&shared.site, &headers)?;
    let params = Params::from_body(Some("application/json"), &body)?;
    let tenant = params.need("tenant")?;
    renewed(&shared, &token, &Renewal { door: Door::Rest, select_tenant: Some(tenant.to_owned()) }, true)
}

/// `POST /v1/auth/logout`
pub(crate) async fn logout(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let token = need_token(&shared.site, &headers)?;
    let mut world = shared.world();
    let family = open_family(&mut world, &token, shared.clock.now())?;
    world.families.end(family, FamilyEnd::LoggedOut);
    Ok(farewell())
}

/// `POST /v1/auth/logoutall`
pub(crate) async fn logout_all(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let token = need_token(&shared.site, &headers)?;
    let mut world = shared.world();
    let family = open_family(&mut world, &token, shared.clock.now())?;
    let user = world.families.get(family).map(|family| family.user_id.clone()).unwrap_or_default();
    world.families.end_all(&user, FamilyEnd::LoggedOutEverywhere);
    Ok(farewell())
}

/// `POST /v1/auth/validate`, with a *session* token. It looks at the token alone, not at logouts.
pub(crate) async fn validate(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let token = need_token(&shared.site, &headers)?;
    let world = shared.world();
    let session = world.session(&token, shared.clock.now())?;
    Ok(Json(json!({"parsedJWT": session.claims})))
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
    Ok(jwt_response(&world, &issued, with_user, now))
}

/// The answer of 4.3, with tokens in the body or in cookies.
fn jwt_response(world: &World, issued: &Issued, with_user: bool, now: Timestamp) -> Response {
    let in_cookies = world.settings.refresh.delivery == Delivery::Cookies;
    let refresh = refresh_member(world, issued);
    let max_age = issued.refresh_end.duration_since(now).as_secs();
    let mut body = json!({
        "sessionJwt": if in_cookies { "" } else { issued.session.as_str() },
        "cookieDomain": "",
        "cookiePath": "/",
        "cookieMaxAge": max_age,
        "cookieExpiration": issued.refresh_end.as_second(),
        "firstSeen": false,
        "sessionExpiration": issued.session_end.as_second(),
        "nextRefreshSeconds": world.settings.refresh.next_refresh_seconds,
        "claims": {},
    });
    if let Some(members) = body.as_object_mut() {
        if in_cookies {
            members.insert("refreshJwt".to_owned(), json!(""));
        } else {
            members.extend(refresh.clone().map(|token| ("refreshJwt".to_owned(), json!(token))));
        }
        if with_user {
            members.insert("user".to_owned(), user_object(world, &issued.user));
        }
    }
    if !in_cookies {
        return (no_store(), Json(body)).into_response();
    }
    let cookie = |name: &str, value: &str| {
        (header::SET_COOKIE, format!("{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Strict"))
    };
    let mut cookies = vec![cookie("DS", &issued.session)];
    cookies.extend(refresh.map(|token| cookie("DSR", &token)));
    (no_store(), AppendHeaders(cookies), Json(body)).into_response()
}

fn farewell() -> Response {
    let body = json!({"sessionJwt": "", "refreshJwt": "", "cookieDomain": "", "cookiePath": "/", "cookieMaxAge": 0,
                      "cookieExpiration": 0, "user": null, "firstSeen": false});
    (no_store(), Json(body)).into_response()
}

fn no_store() -> [(header::HeaderName, &'static str); 1] {
    [(header::CACHE_CONTROL, "no-store")]
}
