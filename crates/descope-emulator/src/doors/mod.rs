//! The doors: what the emulated service answers, endpoint by endpoint.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

use crate::errors::Refusal;
use crate::state::Shared;

pub(crate) mod access_key;
pub(crate) mod account;
pub(crate) mod authorize;
pub(crate) mod bearer;
pub(crate) mod device;
pub(crate) mod discovery;
pub(crate) mod end_session;
pub(crate) mod jwt_response;
pub(crate) mod mgmt;
pub(crate) mod pages;
pub(crate) mod revoke;
pub(crate) mod session;
pub(crate) mod sign_in;
pub(crate) mod token;

/// Every public endpoint of the emulated service.
pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/{project}/.well-known/openid-configuration", get(discovery::document))
        .route("/{project}/.well-known/oauth-authorization-server", get(discovery::document))
        .route("/.well-known/oauth-authorization-server/{project}", get(discovery::document))
        .route("/{project}/.well-known/jwks.json", get(discovery::keys))
        .route("/v2/keys/{project}", get(discovery::keys))
        .route("/v1/keys/{project}", get(discovery::keys_v1))
        .route("/oauth2/v1/authorize", get(authorize::authorize).post(authorize::authorize))
        .route("/login/{project}", get(authorize::page).post(authorize::answer))
        .route("/oauth2/v1/token", post(token::token))
        .route("/oauth2/v1/revoke", post(revoke::revoke))
        .route("/oauth2/v1/logout", get(end_session::end_session).post(end_session::end_session))
        .route("/oauth2/v1/userinfo", get(account::userinfo).post(account::userinfo))
        .route("/v1/auth/refresh", post(session::refresh))
        .route("/v1/auth/try-refresh", post(session::try_refresh))
        .route("/v1/auth/logout", post(session::logout))
        .route("/v1/auth/logoutall", post(session::logout_all))
        .route("/v1/auth/validate", post(session::validate))
        .route("/v1/auth/tenant/select", post(session::select_tenant))
        .route("/v1/auth/accesskey/exchange", post(access_key::exchange))
        .route("/v1/auth/password/signup", post(sign_in::password::sign_up))
        .route("/v1/auth/password/signin", post(sign_in::password::sign_in))
        .route("/v1/auth/password/replace", post(sign_in::password::replace))
        .route("/v1/auth/password/update", post(sign_in::password::update))
        .route("/v1/auth/password/policy", get(sign_in::password::policy))
        .route("/v1/auth/otp/verify/{method}", post(sign_in::otp::verify))
        .route("/v1/auth/otp/{entry}/{method}", post(sign_in::otp::send))
        .route("/v1/auth/magiclink/verify", post(sign_in::magic_link::verify))
        .route("/v1/auth/magiclink/{entry}/{method}", post(sign_in::magic_link::send))
        .route("/v1/auth/me", get(account::me))
        .route("/v1/auth/me/tenants", post(account::tenants))
        .route("/v1/auth/me/history", get(account::history))
        .merge(device::router())
        .merge(mgmt::router())
        .fallback(unknown)
}

async fn unknown(State(_): State<Arc<Shared>>, request: Request) -> Response {
    let message = format!("There is no {} {} here", request.method(), request.uri().path());
    let mut response = Refusal::bad_request(message).into_response();
    *response.status_mut() = http::StatusCode::NOT_FOUND;
    response
}
