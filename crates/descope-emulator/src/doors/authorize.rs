//! The authorization endpoints (sheet 5.2): page, remembered browser, or one of the automatic answers.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;

use crate::authorization::{AuthorizeRequest, Proven, Stop, check};
use crate::doors::bearer::cookie_value;
use crate::doors::login::{self, Stage, may_enter};
use crate::doors::pages::refused_page;
use crate::doors::par;
use crate::errors::Refusal;
use crate::factors::{First, factors, steps_up, unreachable};
use crate::fixture::User;
use crate::params::Params;
use crate::realms::Realm;
use crate::settings::{Approval, RefusalForm};
use crate::state::{Shared, World};

/// The cookie of a remembered browser.
pub(crate) const COOKIE: &str = "emulator_browser";

/// `GET|POST …/authorize`, of every family.
pub(crate) async fn authorize(
    State(shared): State<Arc<Shared>>,
    door: Realm,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let params = Params::from_form(query.unwrap_or_default().as_bytes())
        .and_then(|query| query.and(Params::from_body(kind, &body)?));
    let params = match params {
        Ok(params) => params,
        Err(refusal) => return (StatusCode::BAD_REQUEST, refused_page(&refusal.to_string())).into_response(),
    };
    let form = shared.world().settings.oauth.refusals;
    let checked = match params.get("request_uri") {
        None => check(&shared, &door, &params, false),
        Some(uri) => {
            par::fetch(&shared, &params, uri).and_then(|(door, pushed)| check(&shared, &door, &pushed, true))
        }
    };
    match checked {
        Ok(request) => decide(&shared, request, &headers),
        Err(Stop::Here(why)) => match form {
            RefusalForm::Page => (StatusCode::BAD_REQUEST, refused_page(&why)).into_response(),
            RefusalForm::Json => Refusal::mismatch(why).into_response(),
        },
        Err(Stop::Redirect(back, error, why)) => back.with_error(error, &why),
    }
}

/// Who signed in with this browser before.
pub(crate) fn remembered(world: &World, headers: &HeaderMap) -> Option<(User, Proven)> {
    if !world.settings.oauth.remember_browser {
        return None;
    }
    let proven = world.browsers.get(cookie_value(headers, COOKIE)?)?;
    let user = world.users.iter().find(|user| user.id == proven.user_id && !user.disabled)?;
    Some((user.clone(), proven.clone()))
}

fn decide(shared: &Shared, request: AuthorizeRequest, headers: &HeaderMap) -> Response {
    let now = shared.clock.now();
    let mut world = shared.world();
    if unreachable(&world.settings, &request) {
        let why = "None of the acr_values can be reached";
        return request.back.with_error("unmet_authentication_requirements", why);
    }
    let approval = world.settings.approval.clone();
    match approval {
        Approval::Deny => return request.back.with_error("access_denied", "The user refused the sign-in"),
        Approval::As(login) => return approve(shared, &mut world, request, &login, now),
        Approval::Page => {}
    }
    let remembered = remembered(&world, headers);
    let good = remembered.as_ref().filter(|(user, proven)| {
        may_enter(user, request.tenant.as_deref()) && is_enough(&world, &request, proven, now)
    });
    if let Some((_, proven)) = good.cloned() {
        return login::proceed(shared, &mut world, request, proven, now);
    }
    if asks(&request, "none") {
        return request.back.with_error("login_required", "The user is not signed in");
    }
    // A step-up is for the one who is signed in.
    let known = remembered.map(|(_, proven)| proven).filter(|_| steps_up(&world.settings, &request));
    let stage = if request.flow.as_ref() == Some(&world.settings.sign_in.magic_link_flow) {
        Stage::Email
    } else {
        Stage::Password { known }
    };
    login::open(shared, &mut world, request, stage)
}

/// Signs a user in without a page; a third party gets its consent, too.
fn approve(
    shared: &Shared,
    world: &mut World,
    request: AuthorizeRequest,
    login: &str,
    now: Timestamp,
) -> Response {
    let user = match world.user(login) {
        None => {
            let why = "The user of the automatic approval does not exist";
            return request.back.with_error("server_error", why);
        }
        Some(user) if user.disabled => {
            return request.back.with_error("access_denied", "The user is disabled");
        }
        Some(user) if !may_enter(user, request.tenant.as_deref()) => {
            return request.back.with_error("access_denied", "The user is not a member of the tenant");
        }
        Some(user) => user,
    };
    let mailed = request.flow.as_ref() == Some(&world.settings.sign_in.magic_link_flow);
    let first = if mailed { First::Link } else { First::Password };
    let factors = factors(&world.settings, user, first, steps_up(&world.settings, &request), &[]);
    let proven = Proven { user_id: user.id.clone(), auth_time: now, factors };
    if request.realm.is_third_party() {
        login::consent(shared, world, &request, &proven.user_id, now);
    }
    login::send_code(world, request, proven, now)
}

/// Whether what the browser has proven before answers the request.
fn is_enough(world: &World, request: &AuthorizeRequest, proven: &Proven, now: Timestamp) -> bool {
    if request.flow.as_ref() == Some(&world.settings.oauth.step_up_flow) {
        return false;
    }
    let strong = !steps_up(&world.settings, request) || proven.factors.len() > 1;
    let age = now.duration_since(proven.auth_time).as_secs();
    let young = request.max_age.is_none_or(|max_age| age <= max_age);
    let unforced = !asks(request, "login") && !asks(request, "select_account");
    strong && (world.settings.sign_in.ignore_reauthentication || young && unforced)
}

fn asks(request: &AuthorizeRequest, prompt: &str) -> bool {
    request.prompt.iter().any(|asked| asked == prompt)
}
