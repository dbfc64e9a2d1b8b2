//! The part of the management API that a session's life depends on (sheet 8.1): users and their rights, access keys,
//! test codes, tokens, the audit trail. Everything here wants `Bearer {P}:{managementKey}`.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::routing::{delete, get, patch, post};
use serde_json::{Value, json};

use crate::doors::bearer::Reader;
use crate::errors::Refusal;
use crate::state::Shared;

mod access_keys;
mod audit;
mod directory;
mod edits;
mod tests;
mod tokens;
mod users;

type Answer = Result<Json<Value>, Refusal>;

/// The routes.
pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/mgmt/license", get(license))
        .route("/v1/mgmt/user", get(users::load))
        .route("/v1/mgmt/users/load", post(users::load_many))
        .route("/v1/mgmt/user/create", post(users::create))
        .route("/v1/mgmt/user/create/test", post(users::create_test))
        .route("/v1/mgmt/user/update", post(users::update))
        .route("/v1/mgmt/user/patch", patch(users::patch))
        .route("/v1/mgmt/user/delete", post(users::delete))
        .route("/v1/mgmt/user/test/delete/all", delete(users::delete_all_test_users))
        .route("/v2/mgmt/user/search", post(users::search))
        .route("/v2/mgmt/user/search/test", post(users::search_test))
        .route("/v1/mgmt/user/logout", post(users::logout))
        .route("/v1/mgmt/user/history", post(users::history))
        .route("/v1/mgmt/user/update/status", post(edits::status))
        .route("/v1/mgmt/user/update/name", post(edits::name))
        .route("/v1/mgmt/user/update/email", post(edits::email))
        .route("/v1/mgmt/user/update/phone", post(edits::phone))
        .route("/v1/mgmt/user/update/customAttribute", post(edits::attribute))
        .route("/v1/mgmt/user/update/role/set", post(edits::set_roles))
        .route("/v2/mgmt/user/update/role/add", post(edits::add_roles))
        .route("/v1/mgmt/user/update/role/remove", post(edits::remove_roles))
        .route("/v1/mgmt/user/update/tenant/add", post(edits::add_tenant))
        .route("/v1/mgmt/user/update/tenant/remove", post(edits::remove_tenant))
        .route("/v1/mgmt/user/password/set/active", post(edits::set_password))
        .route("/v1/mgmt/tests/generate/otp", post(tests::otp))
        .route("/v1/mgmt/tests/generate/magiclink", post(tests::magic_link))
        .route("/v1/mgmt/user/signin/embeddedlink", post(tests::embedded_link))
        .route("/v1/mgmt/user/signup/embeddedlink", post(tests::sign_up_link))
        .route("/v1/mgmt/role/create", post(directory::create_role))
        .route("/v1/mgmt/role/update", post(directory::update_role))
        .route("/v1/mgmt/role/delete", post(directory::delete_role))
        .route("/v1/mgmt/role/all", get(directory::all_roles))
        .route("/v1/mgmt/role/search", post(directory::search_roles))
        .route("/v1/mgmt/permission/create", post(directory::create_permission))
        .route("/v1/mgmt/permission/delete", post(directory::delete_permission))
        .route("/v1/mgmt/permission/all", get(directory::all_permissions))
        .route("/v1/mgmt/tenant", get(directory::load_tenant))
        .route("/v1/mgmt/tenant/create", post(directory::create_tenant))
        .route("/v1/mgmt/tenant/delete", post(directory::delete_tenant))
        .route("/v1/mgmt/tenant/all", get(directory::all_tenants))
        .route("/v1/mgmt/tenant/search", post(directory::search_tenants))
        .route("/v1/mgmt/accesskey", get(access_keys::load))
        .route("/v1/mgmt/accesskey/create", post(access_keys::create))
        .route("/v1/mgmt/accesskey/search", post(access_keys::search))
        .route("/v1/mgmt/accesskey/update", post(access_keys::update))
        .route("/v1/mgmt/accesskey/activate", post(access_keys::activate))
        .route("/v1/mgmt/accesskey/deactivate", post(access_keys::deactivate))
        .route("/v1/mgmt/accesskey/rotate", post(access_keys::rotate))
        .route("/v1/mgmt/accesskey/delete", post(access_keys::delete))
        .route("/v1/mgmt/jwt/update", post(tokens::update))
        .route("/v1/mgmt/auth/signin", post(tokens::sign_in))
        .route("/v1/mgmt/auth/signup", post(tokens::sign_up))
        .route("/v1/mgmt/auth/signup-in", post(tokens::sign_up_or_in))
        .route("/v1/mgmt/audit/search", post(audit::search))
        .route("/v1/mgmt/audit/event", post(audit::event))
}

/// `GET /v1/mgmt/license`: the tier by which the edge picks its limits.
async fn license(_: Reader) -> Json<Value> {
    Json(json!({"rateLimitTier": "tier1"}))
}
