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
pub(crate) mod login;
pub(crate) mod mgmt;
pub(crate) mod native_flow;
pub(crate) mod pages;
pub(crate) mod par;
pub(crate) mod register;
pub(crate) mod revoke;
pub(crate) mod session;
pub(crate) mod sign_in;
pub(crate) mod token;
pub(crate) mod userinfo;

/// Every public endpoint of the emulated service.
pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .merge(realms())
        .route("/.well-known/project-configuration/{project}", get(discovery::project_configuration))
        .route("/{project}/.well-known/jwks.json", get(discovery::keys))
        .route("/v2/keys/{project}", get(discovery::keys))
        .route("/v1/keys/{project}", get(discovery::keys_v1))
        .route("/login/{project}", get(login::page).post(login::answer))
        .route("/login/{project}/link", get(login::open_link))
        .route("/oauth2/v1/apps/par", post(par::push))
        .route("/v1/mgmt/mcp/client/{project}/{server}/register", post(register::register))
        .route("/v1/auth/refresh", post(session::refresh))
        .route("/v1/auth/try-refresh", post(session::try_refresh))
        .route("/v1/auth/logout", post(session::logout))
        .route("/v1/auth/logoutall", post(session::logout_all))
        .route("/v1/auth/validate", post(session::validate))
        .route("/v1/auth/tenant/select", post(session::select_tenant))
        .route("/v1/flow/exchange", post(native_flow::exchange))
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

/// The authorization servers: discovery under each issuer, and the endpoints of each family (sheet 5.1 to 5.6).
fn realms() -> Router<Arc<Shared>> {
    let mut router = Router::new();
    for issuer in
        ["/{project}", "/{project}/{app}", "/v1/apps/{project}", "/v1/apps/agentic/{project}/{server}"]
    {
        for address in [
            format!("{issuer}/.well-known/openid-configuration"),
            format!("{issuer}/.well-known/oauth-authorization-server"),
            format!("/.well-known/oauth-authorization-server{issuer}"),
        ] {
            router = router.route(&address, get(discovery::document));
        }
    }
    let agentic = "/oauth2/v1/apps/agentic/{project}/{server}";
    for base in ["/oauth2/v1", "/{app}/oauth2/v1", "/oauth2/v1/apps", "/oauth2/v1/apps/{project}", agentic] {
        router = router
            .route(&format!("{base}/authorize"), get(authorize::authorize).post(authorize::authorize))
            .route(&format!("{base}/token"), post(token::token));
    }
    for base in ["/oauth2/v1", "/{app}/oauth2/v1", "/oauth2/v1/apps", "/oauth2/v1/apps/{project}"] {
        router = router
            .route(&format!("{base}/revoke"), post(revoke::revoke))
            .route(&format!("{base}/userinfo"), get(userinfo::userinfo).post(userinfo::userinfo));
    }
    for base in ["/oauth2/v1", "/{app}/oauth2/v1"] {
        let door = get(end_session::end_session).post(end_session::end_session);
        router = router.route(&format!("{base}/logout"), door);
    }
    router
}

async fn unknown(State(_): State<Arc<Shared>>, request: Request) -> Response {
    let message = format!("There is no {} {} here", request.method(), request.uri().path());
    let mut response = Refusal::bad_request(message).into_response();
    *response.status_mut() = http::StatusCode::NOT_FOUND;
    response
}
