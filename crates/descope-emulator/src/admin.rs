//! The admin API under `/emulator/…`: [`Control`] as JSON, for tests that are other processes. Faults do not touch it
//! and counts do not count it.
//!
//! | request | does |
//! |---|---|
//! | `GET state` | everything at once |
//! | `GET`, `PATCH settings` | [`crate::Settings`]; a patch replaces the members that it names |
//! | `POST approval` | `{"mode":"page"}`, `{"mode":"as","user":"…"}`, `{"mode":"deny"}` |
//! | `GET`, `POST clock` | `{"skew_seconds":n}` or `{"advance_seconds":n}` |
//! | `GET keys`, `POST keys/rotate` | `{"revoke":true}` drops the older keys |
//! | `GET users`, `GET`, `PATCH users/{login}` | [`UserChange`] |
//! | `POST users/{login}/revoke`, `…/sign-in`, `…/mint` | end all sessions; tokens without a browser; one forged token |
//! | `POST users/{login}/native-code` | `{"challenge":"…"}`: the code with which a native flow ends |
//! | `GET families`, `POST families/{id}/revoke` | the sign-ins and what became of them |
//! | `GET devices`, `POST devices/{user_code}/approve`, `…/deny` | sign-ins from other devices; `{"user":"…"}` approves |
//! | `GET apps`, `PUT`, `DELETE apps/{client_id}` | [`App`] |
//! | `PUT mcp-servers/{id}` | [`McpServer`] |
//! | `GET consents`, `DELETE consents/{login}/{client_id}` | what users allowed third parties |
//! | `GET outbox?to=…`, `DELETE outbox` | the mail with sign-in links |
//! | `POST`, `DELETE overrides` | [`TokenOverride`] for the next token |
//! | `GET`, `DELETE requests` | counts per path and the last requests |
//! | `GET issued` | every secret so far |
//! | `GET`, `POST`, `DELETE faults`, `DELETE faults/{id}` | [`Fault`] |
//! | `GET holds?path=…&wait_ms=…`, `POST holds/release` | held requests; `{"id":n,"drop":true}`, both optional |

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::apps::{App, McpServer};
use crate::control::{Control, ControlFault};
use crate::faults::Fault;
use crate::forge::TokenOverride;
use crate::settings::Approval;
use crate::state::Shared;
use crate::views::UserChange;

/// The routes.
pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/emulator/state", get(state))
        .route("/emulator/settings", get(settings).patch(patch_settings))
        .route("/emulator/approval", post(approval))
        .route("/emulator/clock", get(clock).post(set_clock))
        .route("/emulator/keys", get(keys))
        .route("/emulator/keys/rotate", post(rotate))
        .route("/emulator/users", get(users))
        .route("/emulator/users/{login}", get(user).patch(change_user))
        .route("/emulator/users/{login}/revoke", post(revoke_user))
        .route("/emulator/users/{login}/sign-in", post(sign_in))
        .route("/emulator/users/{login}/mint", post(mint))
        .route("/emulator/users/{login}/native-code", post(native_code))
        .route("/emulator/families", get(families))
        .route("/emulator/families/{id}/revoke", post(revoke_family))
        .route("/emulator/devices", get(devices))
        .route("/emulator/devices/{user_code}/approve", post(approve_device))
        .route("/emulator/devices/{user_code}/deny", post(deny_device))
        .route("/emulator/apps", get(apps))
        .route("/emulator/apps/{client_id}", put(put_app).delete(remove_app))
        .route("/emulator/mcp-servers/{id}", put(put_mcp_server))
        .route("/emulator/consents", get(consents))
        .route("/emulator/consents/{login}/{client_id}", delete(revoke_consent))
        .route("/emulator/outbox", get(outbox).delete(clear_outbox))
        .route("/emulator/overrides", post(add_override).delete(clear_overrides))
        .route("/emulator/requests", get(requests).delete(reset_requests))
        .route("/emulator/issued", get(issued))
        .route("/emulator/faults", get(faults).post(inject).delete(clear_faults))
        .route("/emulator/faults/{id}", delete(clear_fault))
        .route("/emulator/holds", get(holds))
        .route("/emulator/holds/release", post(release))
}

/// A refusal of the admin API.
struct Fail(StatusCode, String);

impl From<ControlFault> for Fail {
    fn from(fault: ControlFault) -> Self {
        let status = match fault {
            ControlFault::UnknownUser(_)
            | ControlFault::UnknownFamily(_)
            | ControlFault::UnknownUserCode(_) => StatusCode::NOT_FOUND,
            ControlFault::Keys(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        Self(status, fault.to_string())
    }
}

impl IntoResponse for Fail {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

type Answer = Result<Json<Value>, Fail>;

fn control(shared: Arc<Shared>) -> Control {
    Control::new(shared)
}

fn json(value: impl serde::Serialize) -> Answer {
    let broken = |error: serde_json::Error| Fail(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    serde_json::to_value(value).map(Json).map_err(broken)
}

async fn state(State(shared): State<Arc<Shared>>) -> Answer {
    let site = shared.site.clone();
    let control = control(shared);
    json(json!({
        "base_url": site.base_url, "project_id": site.project_id, "issuer": site.issuer(),
        "now": control.now(), "skew_seconds": control.skew_seconds(), "settings": control.settings(),
        "users": control.users(), "keys": control.keys(), "families": control.families(),
        "faults": control.faults(), "held": control.held(), "counts": control.counts(),
    }))
}

async fn settings(State(shared): State<Arc<Shared>>) -> Answer {
    json(control(shared).settings())
}

async fn patch_settings(State(shared): State<Arc<Shared>>, Json(patch): Json<Value>) -> Answer {
    json(control(shared).patch_settings(&patch)?)
}

async fn approval(State(shared): State<Arc<Shared>>, Json(approval): Json<Approval>) -> Answer {
    control(shared).set_approval(approval.clone())?;
    json(approval)
}

async fn clock(State(shared): State<Arc<Shared>>) -> Answer {
    let control = control(shared);
    json(json!({"now": control.now(), "skew_seconds": control.skew_seconds()}))
}

/// A change of the clock: one or the other.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ClockChange {
    SkewSeconds(i64),
    AdvanceSeconds(i64),
}

async fn set_clock(State(shared): State<Arc<Shared>>, Json(change): Json<ClockChange>) -> Answer {
    let handle = control(shared.clone());
    match change {
        ClockChange::SkewSeconds(seconds) => handle.set_skew(seconds),
        ClockChange::AdvanceSeconds(seconds) => handle.advance(seconds),
    }
    clock(State(shared)).await
}

async fn keys(State(shared): State<Arc<Shared>>) -> Answer {
    json(control(shared).keys())
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rotation {
    revoke: bool,
}

async fn rotate(State(shared): State<Arc<Shared>>, body: Option<Json<Rotation>>) -> Answer {
    let control = control(shared);
    let Json(Rotation { revoke }) = body.unwrap_or_default();
    let kid = if revoke { control.rotate_and_revoke_keys().await? } else { control.rotate_keys().await? };
    json(json!({"kid": kid, "keys": control.keys()}))
}

async fn users(State(shared): State<Arc<Shared>>) -> Answer {
    json(control(shared).users())
}

async fn user(State(shared): State<Arc<Shared>>, Path(login): Path<String>) -> Answer {
    json(control(shared).user(&login)?)
}

async fn change_user(
    State(shared): State<Arc<Shared>>,
    Path(login): Path<String>,
    Json(change): Json<UserChange>,
) -> Answer {
    json(control(shared).change_user(&login, change)?)
}

async fn revoke_user(State(shared): State<Arc<Shared>>, Path(login): Path<String>) -> Answer {
    json(json!({"ended": control(shared).revoke_user(&login)?}))
}

async fn sign_in(State(shared): State<Arc<Shared>>, Path(login): Path<String>) -> Answer {
    json(control(shared).sign_in(&login)?)
}

async fn mint(
    State(shared): State<Arc<Shared>>,
    Path(login): Path<String>,
    Json(change): Json<TokenOverride>,
) -> Answer {
    json(json!({"token": control(shared).mint(&login, &change)?}))
}

/// What binds the code of a native flow.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Challenge {
    challenge: String,
}

async fn native_code(
    State(shared): State<Arc<Shared>>,
    Path(login): Path<String>,
    Json(Challenge { challenge }): Json<Challenge>,
) -> Answer {
    json(json!({"code": control(shared).native_code(&login, &challenge)?}))
}

async fn families(State(shared): State<Arc<Shared>>) -> Answer {
    json(control(shared).families())
}

async fn revoke_family(State(shared): State<Arc<Shared>>, Path(id): Path<u64>) -> Answer {
    let control = control(shared);
    control.revoke_family(id);
    json(control.family(id)?)
}

async fn devices(State(shared): State<Arc<Shared>>) -> Answer {
    json(control(shared).devices())
}

/// Who approves a sign-in from another device.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceApproval {
    user: String,
}

async fn approve_device(
    State(shared): State<Arc<Shared>>,
    Path(user_code): Path<String>,
    Json(approval): Json<DeviceApproval>,
) -> Answer {
    let control = control(shared);
    control.approve_device(&user_code, &approval.user)?;
    json(control.devices())
}

async fn deny_device(State(shared): State<Arc<Shared>>, Path(user_code): Path<String>) -> Answer {
    let control = control(shared);
    control.deny_device(&user_code)?;
    json(control.devices())
}

async fn apps(State(shared): State<Arc<Shared>>) -> Answer {
    json(control(shared).apps())
}

async fn put_app(
    State(shared): State<Arc<Shared>>,
    Path(client_id): Path<String>,
    Json(app): Json<App>,
) -> Answer {
    json(control(shared).put_app(&client_id, app)?)
}

async fn remove_app(State(shared): State<Arc<Shared>>, Path(client_id): Path<String>) -> Answer {
    json(json!({"removed": control(shared).remove_app(&client_id)}))
}

async fn put_mcp_server(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    Json(server): Json<McpServer>,
) -> Answer {
    control(shared).put_mcp_server(&id, server.clone());
    json(server)
}

async fn consents(State(shared): State<Arc<Shared>>) -> Answer {
    json(control(shared).consents())
}

async fn revoke_consent(
    State(shared): State<Arc<Shared>>,
    Path((login, client_id)): Path<(String, String)>,
) -> Answer {
    json(json!({"revoked": control(shared).revoke_consent(&login, &client_id)?}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MailQuery {
    to: Option<String>,
}

async fn outbox(State(shared): State<Arc<Shared>>, Query(query): Query<MailQuery>) -> Answer {
    let mut mail = control(shared).outbox();
    mail.retain(|mail| query.to.as_ref().is_none_or(|to| mail.to.eq_ignore_ascii_case(to)));
    json(mail)
}

async fn clear_outbox(State(shared): State<Arc<Shared>>) -> Answer {
    control(shared).clear_outbox();
    json(json!({}))
}

async fn add_override(State(shared): State<Arc<Shared>>, Json(change): Json<TokenOverride>) -> Answer {
    control(shared).next_token_override(change);
    json(json!({}))
}

async fn clear_overrides(State(shared): State<Arc<Shared>>) -> Answer {
    control(shared).clear_overrides();
    json(json!({}))
}

async fn requests(State(shared): State<Arc<Shared>>) -> Answer {
    let control = control(shared);
    json(json!({"counts": control.counts(), "requests": control.requests()}))
}

async fn reset_requests(State(shared): State<Arc<Shared>>) -> Answer {
    control(shared).reset_counts();
    json(json!({}))
}

async fn issued(State(shared): State<Arc<Shared>>) -> Answer {
    json(control(shared).issued())
}

async fn faults(State(shared): State<Arc<Shared>>) -> Answer {
    json(control(shared).faults())
}

async fn inject(State(shared): State<Arc<Shared>>, Json(fault): Json<Fault>) -> Answer {
    json(json!({"id": control(shared).inject(fault)}))
}

async fn clear_faults(State(shared): State<Arc<Shared>>) -> Answer {
    control(shared).clear_faults();
    json(json!({}))
}

async fn clear_fault(State(shared): State<Arc<Shared>>, Path(id): Path<u64>) -> Answer {
    control(shared).clear_fault(id);
    json(json!({}))
}

/// `?path=PATTERN&wait_ms=N` waits so long for a held request; without them the answer is at once.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldQuery {
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    wait_ms: u64,
}

async fn holds(State(shared): State<Arc<Shared>>, Query(query): Query<HoldQuery>) -> Answer {
    let control = control(shared);
    let pattern = query.path.as_deref().unwrap_or("*");
    // Whether the time is up or a request is held, the list says which.
    drop(tokio::time::timeout(Duration::from_millis(query.wait_ms), control.wait_for_hold(pattern)).await);
    json(control.held())
}

/// Which held request, and what becomes of it.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Release {
    id: Option<u64>,
    drop: bool,
}

async fn release(State(shared): State<Arc<Shared>>, body: Option<Json<Release>>) -> Answer {
    let control = control(shared);
    let Json(Release { id, drop }) = body.unwrap_or_default();
    let ids: Vec<u64> = control
        .held()
        .into_iter()
        .map(|held| held.id)
        .filter(|held| id.is_none_or(|id| id == *held))
        .collect();
    let released =
        ids.into_iter().filter(|&id| if drop { control.drop_held(id) } else { control.release(id) }).count();
    json(json!({"released": released}))
}
