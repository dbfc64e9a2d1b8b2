//! Signing in with a code from another device (sheet 5.7, RFC 8628): the device's endpoint, its grant at the token
//! endpoint, and the pages on which the person enters the code, signs in, and approves or refuses.

mod pages;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::authorization::words;
use crate::clients::{Client, find};
use crate::devices::{CodeFault, DeviceAnswer, DevicePage};
use crate::doors::authorize::remembered;
use crate::doors::discovery::our_project;
use crate::doors::login::who;
use crate::doors::pages::SignInPage;
use crate::errors::Refusal;
use crate::ledger::SecretKind;
use crate::params::Params;
use crate::realms::Realm;
use crate::renew::{Issued, SignIn, begin};
use crate::settings::Approval;
use crate::state::{Shared, Site, World};
use crate::tokens::Door;
use pages::{code_page, confirm_page, done_page};

/// The grant type at the token endpoint (RFC 8628, 3.4).
pub(crate) const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

const GONE: &str = "This page is over. Enter the code again.";

/// The endpoints, in both spellings of the first.
pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/oauth2/v1/device", post(authorize))
        .route("/oauth2/v1/apps/device", post(authorize))
        .route("/device/{project}", get(verify))
        .route("/device/{project}/sign-in", post(sign_in))
        .route("/device/{project}/answer", post(answer))
}

/// Says in a discovery document that there is this way to sign in, where it is switched on.
pub(crate) fn announce(world: &World, site: &Site, realm: &Realm, document: &mut Value) {
    if !world.settings.device.announced {
        return;
    }
    let door = if realm.is_third_party() { Realm::Inbound } else { Realm::Project };
    if let Some(document) = document.as_object_mut() {
        document.insert("device_authorization_endpoint".to_owned(), json!(door.endpoint(site, "device")));
    }
    if let Some(grants) = document.get_mut("grant_types_supported").and_then(Value::as_array_mut) {
        grants.push(json!(GRANT));
    }
}

/// The device's turn at the token endpoint.
pub(crate) fn redeem(
    world: &mut World,
    site: &Site,
    params: &Params,
    client: &Client,
    now: Timestamp,
) -> Result<Issued, Refusal> {
    if !world.settings.device.enabled {
        return Err(Refusal::unsupported_grant(GRANT));
    }
    let grant = world.devices.poll(params.need("device_code")?, &client.id, now)?;
    let DeviceAnswer::Approved { user_id, auth_time } = grant.answer else {
        return Err(Refusal::internal("the question is not approved"));
    };
    // The approval names the scopes: it is the consent that a third party needs.
    if client.realm.is_third_party() {
        world.consents.give(client.consent_of(&user_id, &grant.scope, now));
    }
    let sign_in = SignIn {
        client_id: grant.client_id,
        realm: client.realm.clone(),
        scope: grant.scope,
        auth_time,
        ..SignIn::to_project(site, user_id, now)
    };
    begin(world, site, sign_in, Door::Oauth, now)
}

/// `POST /oauth2/v1/device`: the device asks for its codes.
async fn authorize(
    State(shared): State<Arc<Shared>>,
    door: Realm,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let shape = shared.world().settings.oauth.errors;
    match codes(&shared, &door, &headers, &body) {
        Ok(codes) => ([(header::CACHE_CONTROL, "no-store")], Json(codes)).into_response(),
        Err(refusal) => refusal.respond(shape),
    }
}

fn codes(shared: &Shared, door: &Realm, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let params = Params::from_body(kind, body)?;
    let client = params.need("client_id")?;
    let now = shared.clock.now();
    let mut world = shared.world();
    let known = find(&world, &shared.site, door, client).ok_or_else(Refusal::no_project)?;
    let settings = world.settings.device.clone();
    if !settings.enabled {
        return Err(Refusal::no_device_login());
    }
    let scope = words(params.get("scope"));
    if let Some(scope) = known.forbidden_scope(&scope) {
        return Err(Refusal::bad_scope(format!("The scope is not defined for this application: {scope}")));
    }
    let (device_code, user_code) = world.devices.begin(client, scope, &settings, now);
    world.ledger.note(SecretKind::DeviceCode, &device_code);
    if world.settings.approval == Approval::Deny {
        world.devices.answer(&user_code, DeviceAnswer::Denied, now);
    }
    let page = format!("{}/device/{}", shared.site.base_url, shared.site.project_id);
    let mut codes = json!({
        "device_code": device_code,
        "user_code": user_code,
        "verification_uri": page,
        "expires_in": settings.lifetime,
        "interval": settings.interval,
    });
    if settings.complete_uri
        && let Some(codes) = codes.as_object_mut()
    {
        codes.insert("verification_uri_complete".to_owned(), json!(format!("{page}?user_code={user_code}")));
    }
    Ok(codes)
}

/// `GET /device/{project}?user_code=…`: asks for the code, or for the person behind it.
async fn verify(
    State(shared): State<Arc<Shared>>,
    Path(project): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    our_project(&shared, &project)?;
    let params = Params::from_form(query.unwrap_or_default().as_bytes())?;
    let Some(typed) = params.get("user_code") else { return Ok(code_page(&shared.site, "", None)) };
    let now = shared.clock.now();
    let mut world = shared.world();
    let settings = world.settings.device.clone();
    let grant = match world.devices.look_up(typed, &settings, now) {
        Ok(grant) => grant,
        Err(fault) => {
            let (status, trouble) = match fault {
                CodeFault::Unknown => (StatusCode::NOT_FOUND, "There is no such code, or its time is over."),
                CodeFault::Locked => {
                    (StatusCode::TOO_MANY_REQUESTS, "Too many wrong codes. Wait a minute, then try again.")
                }
            };
            return Ok((status, code_page(&shared.site, typed, Some(trouble))).into_response());
        }
    };
    let known = match &world.settings.approval {
        Approval::As(login) => world.user(login).map(|user| (user.id.clone(), now)),
        _ => remembered(&world, &headers).map(|(user, proven)| (user.id, proven.auth_time)),
    };
    let page = DevicePage { user_code: grant.user_code, signed_in: known };
    let handle = world.devices.put_up(page.clone());
    world.ledger.note(SecretKind::BrowserHandle, &handle);
    if page.signed_in.is_some() {
        return Ok(ask(&shared.site, &world, &handle, &page));
    }
    Ok(sign_in_page(&shared.site, &page, &handle, None))
}

/// `POST /device/{project}/sign-in`: the password page's answer.
async fn sign_in(
    State(shared): State<Arc<Shared>>,
    Path(project): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    our_project(&shared, &project)?;
    let params = Params::from_form(&body)?;
    let handle = params.need("state_id")?;
    let (email, password) =
        (params.get("email").unwrap_or_default(), params.get("password").unwrap_or_default());
    let now = shared.clock.now();
    let mut world = shared.world();
    world.ledger.note(SecretKind::Password, password);
    let Some(page) = world.devices.page(handle) else { return Ok(gone(&shared.site)) };
    world.devices.take_down(handle);
    if params.get("action") == Some("cancel") {
        return Ok(settle(&shared.site, &mut world, &page, DeviceAnswer::Denied, now));
    }
    let (page, trouble) = match who(&world, email, password, None) {
        Ok(user) => (DevicePage { signed_in: Some((user.id, now)), ..page }, None),
        Err(trouble) => (page, Some((email, trouble))),
    };
    // Another handle: what was on the page before is worth nothing after the sign-in.
    let handle = world.devices.put_up(page.clone());
    world.ledger.note(SecretKind::BrowserHandle, &handle);
    if trouble.is_none() {
        return Ok(ask(&shared.site, &world, &handle, &page));
    }
    Ok((StatusCode::UNAUTHORIZED, sign_in_page(&shared.site, &page, &handle, trouble)).into_response())
}

/// `POST /device/{project}/answer`: yes or no.
async fn answer(
    State(shared): State<Arc<Shared>>,
    Path(project): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    our_project(&shared, &project)?;
    let params = Params::from_form(&body)?;
    let handle = params.need("state_id")?;
    let now = shared.clock.now();
    let mut world = shared.world();
    let Some(page) = world.devices.page(handle) else { return Ok(gone(&shared.site)) };
    let answer = match (params.need("action")?, &page.signed_in) {
        ("approve", Some((user_id, auth_time))) => {
            DeviceAnswer::Approved { user_id: user_id.clone(), auth_time: *auth_time }
        }
        ("deny", Some(_)) => DeviceAnswer::Denied,
        _ => return Ok(gone(&shared.site)),
    };
    world.devices.take_down(handle);
    Ok(settle(&shared.site, &mut world, &page, answer, now))
}

fn ask(site: &Site, world: &World, handle: &str, page: &DevicePage) -> Response {
    let user = page.signed_in.as_ref().and_then(|(id, _)| world.users.iter().find(|user| user.id == *id));
    let grant = world.devices.iter().find(|grant| grant.user_code == page.user_code);
    match (user, grant) {
        (Some(user), Some(grant)) => confirm_page(site, handle, grant, &user.email),
        _ => gone(site),
    }
}

fn settle(
    site: &Site,
    world: &mut World,
    page: &DevicePage,
    answer: DeviceAnswer,
    now: Timestamp,
) -> Response {
    let approved = matches!(answer, DeviceAnswer::Approved { .. });
    if world.devices.answer(&page.user_code, answer, now) { done_page(approved) } else { gone(site) }
}

fn sign_in_page(site: &Site, page: &DevicePage, handle: &str, trouble: Option<(&str, &str)>) -> Response {
    let page = SignInPage {
        action: &format!("/device/{}/sign-in", site.project_id),
        project_name: &site.project_name,
        tenant: None,
        flow: None,
        returns_to: &format!("the device that shows the code {}", page.user_code),
        handle,
        email: trouble.map(|(email, _)| email).unwrap_or_default(),
        trouble: trouble.map(|(_, trouble)| trouble),
    };
    page.render()
}

fn gone(site: &Site) -> Response {
    (StatusCode::NOT_FOUND, code_page(site, "", Some(GONE))).into_response()
}
