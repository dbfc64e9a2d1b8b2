//! The pages behind the authorization endpoint: password, mailed link, consent (sheet 5.2, 5.8 and 6.1).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode, header};
use jiff::Timestamp;

use crate::authorization::{AuthorizeRequest, Proven};
use crate::clients::find;
use crate::doors::authorize::COOKIE;
use crate::doors::discovery::our_project;
use crate::doors::pages::{ConsentPage, EmailPage, SignInPage, mail_sent_page, refused_page};
use crate::errors::Refusal;
use crate::factors::{First, factors, steps_up};
use crate::fixture::User;
use crate::ledger::SecretKind;
use crate::outbox::{LinkFault, Mail};
use crate::params::Params;
use crate::random::unguessable;
use crate::state::{Shared, World};
use crate::tokens::later;

const GONE: &str = "This sign-in is over. Start again from the program that sent you here.";

/// A page that waits for an answer.
#[derive(Debug, Clone)]
pub(crate) struct OpenPage {
    pub(crate) request: AuthorizeRequest,
    pub(crate) stage: Stage,
}

/// What a page asks for.
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    /// E-mail address and password; of this user, when somebody is signed in and steps up.
    Password { known: Option<Proven> },
    /// The address for a mailed link.
    Email,
    /// Nothing: the link is on its way to this address.
    LinkSent(String),
    /// Whether a third party gets what it asks for.
    Consent(Proven),
}

/// Puts up a page.
pub(crate) fn open(shared: &Shared, world: &mut World, request: AuthorizeRequest, stage: Stage) -> Response {
    let handle = unguessable();
    world.ledger.note(SecretKind::BrowserHandle, &handle);
    let page = OpenPage { request, stage };
    world.pages.insert(handle.clone(), page.clone());
    show(shared, world, &handle, &page, None)
}

/// A user is proven: on to the client, or first to the consent page.
pub(crate) fn proceed(
    shared: &Shared,
    world: &mut World,
    request: AuthorizeRequest,
    proven: Proven,
    now: Timestamp,
) -> Response {
    let asked = |prompt: &str| request.prompt.iter().any(|asked| asked == prompt);
    let covered = !request.realm.is_third_party()
        || !asked("consent")
            && world.consents.cover(&proven.user_id, &request.client_id, &request.scope, now);
    if covered {
        return send_code(world, request, proven, now);
    }
    if asked("none") {
        return request.back.with_error("consent_required", "The user has not consented");
    }
    open(shared, world, request, Stage::Consent(proven))
}

/// Notes that a user allows what a request asks for.
pub(crate) fn consent(
    shared: &Shared,
    world: &mut World,
    request: &AuthorizeRequest,
    user_id: &str,
    now: Timestamp,
) {
    if let Some(client) = find(world, &shared.site, &request.realm, &request.client_id) {
        world.consents.give(client.consent_of(user_id, &request.scope, now));
    }
}

/// Back to the client with a code.
pub(crate) fn send_code(
    world: &mut World,
    request: AuthorizeRequest,
    proven: Proven,
    now: Timestamp,
) -> Response {
    let code = unguessable();
    world.ledger.note(SecretKind::Code, &code);
    let response = request.back.with_code(&code);
    let expires_at = later(now, world.settings.lifetimes.code);
    world.issue_code(code, request, proven, expires_at);
    response
}

/// `GET /login/{project}?state_id=…`: the page again, after a reload.
pub(crate) async fn page(
    State(shared): State<Arc<Shared>>,
    Path(project): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    our_project(&shared, &project)?;
    let params = Params::from_form(query.unwrap_or_default().as_bytes())?;
    let handle = params.need("state_id")?;
    let world = shared.world();
    Ok(match world.pages.get(handle) {
        Some(page) => show(&shared, &world, handle, page, None),
        None => gone(),
    })
}

/// `POST /login/{project}`: a form's answer.
pub(crate) async fn answer(
    State(shared): State<Arc<Shared>>,
    Path(project): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    our_project(&shared, &project)?;
    let params = Params::from_form(&body)?;
    let handle = params.need("state_id")?;
    let now = shared.clock.now();
    let mut world = shared.world();
    world.ledger.note(SecretKind::Password, params.get("password").unwrap_or_default());
    let Some(page) = world.pages.get(handle).cloned() else { return Ok(gone()) };
    if params.get("action") == Some("cancel") {
        world.pages.remove(handle);
        return Ok(page.request.back.with_error("access_denied", "The user cancelled the sign-in"));
    }
    Ok(match page.stage.clone() {
        Stage::Password { known } => with_password(&shared, &mut world, handle, page, known, &params, now),
        Stage::Email | Stage::LinkSent(_) => send_link(&shared, &mut world, handle, page, &params, now),
        Stage::Consent(proven) if params.get("action") == Some("allow") => {
            world.pages.remove(handle);
            consent(&shared, &mut world, &page.request, &proven.user_id, now);
            send_code(&mut world, page.request, proven, now)
        }
        Stage::Consent(_) => {
            world.pages.remove(handle);
            page.request.back.with_error("access_denied", "The user did not consent")
        }
    })
}

/// `GET /login/{project}/link?t=…`: somebody opens a mailed link.
pub(crate) async fn open_link(
    State(shared): State<Arc<Shared>>,
    Path(project): Path<String>,
    RawQuery(query): RawQuery,
    method: Method,
) -> Result<Response, Refusal> {
    our_project(&shared, &project)?;
    // Mail scanners look at links without opening them.
    if method == Method::HEAD {
        return Ok(StatusCode::OK.into_response());
    }
    let params = Params::from_form(query.unwrap_or_default().as_bytes())?;
    let now = shared.clock.now();
    let mut world = shared.world();
    let link = match world.outbox.open(params.get("t").unwrap_or_default(), now) {
        Ok(link) => link,
        Err(fault) => {
            let why = match fault {
                LinkFault::Unknown => "This link is not valid.",
                LinkFault::Used => "This link was already used.",
                LinkFault::Expired => "This link is expired.",
            };
            return Ok((StatusCode::UNAUTHORIZED, refused_page(why)).into_response());
        }
    };
    let user = world.users.iter().find(|user| user.id == link.user_id && !user.disabled).cloned();
    let (Some(page), Some(user)) = (world.pages.remove(&link.handle), user) else { return Ok(gone()) };
    Ok(signed_in(&shared, &mut world, page.request, &user, First::Link, &[], now))
}

/// Who signs in with this password, or what is wrong with that, for the page.
pub(crate) fn who(
    world: &World,
    email: &str,
    password: &str,
    tenant: Option<&str>,
) -> Result<User, &'static str> {
    match world.user(email).filter(|user| user.password.matches(password)) {
        None => Err("That e-mail address and password do not belong together. Try again."),
        Some(user) if user.disabled => Err("This account is disabled. Ask your administrator."),
        Some(user) if !may_enter(user, tenant) => Err("This account is not a member of that organisation."),
        Some(user) => Ok(user.clone()),
    }
}

/// Whether a user belongs to the tenant that is asked for.
pub(crate) fn may_enter(user: &User, tenant: Option<&str>) -> bool {
    tenant.is_none_or(|tenant| user.tenants.contains_key(tenant))
}

fn with_password(
    shared: &Shared,
    world: &mut World,
    handle: &str,
    page: OpenPage,
    known: Option<Proven>,
    params: &Params,
    now: Timestamp,
) -> Response {
    let (email, password) =
        (params.get("email").unwrap_or_default(), params.get("password").unwrap_or_default());
    let other = |user: &User| known.as_ref().is_some_and(|known| known.user_id != user.id);
    let user = match who(world, email, password, page.request.tenant.as_deref()) {
        Ok(user) if other(&user) => Err("Somebody else is signed in here. Confirm with that account."),
        result => result,
    };
    match user {
        Ok(user) => {
            world.pages.remove(handle);
            let before = known.map(|known| known.factors).unwrap_or_default();
            signed_in(shared, world, page.request, &user, First::Password, &before, now)
        }
        Err(trouble) => show(shared, world, handle, &page, Some((email, trouble))),
    }
}

/// The answer is the same whether or not there is such an account.
fn send_link(
    shared: &Shared,
    world: &mut World,
    handle: &str,
    page: OpenPage,
    params: &Params,
    now: Timestamp,
) -> Response {
    let Some(email) = params.get("email") else {
        let page = OpenPage { stage: Stage::Email, ..page };
        return show(shared, world, handle, &page, Some(("", "Enter your e-mail address.")));
    };
    let user =
        world.user(email).filter(|user| !user.disabled && may_enter(user, page.request.tenant.as_deref()));
    if let Some(user) = user.cloned() {
        let token = unguessable();
        world.ledger.note(SecretKind::MailedLink, &token);
        let link = format!("{}/login/{}/link?t={token}", shared.site.base_url, shared.site.project_id);
        let subject = format!("Sign in to {}", shared.site.project_name);
        let end = later(now, world.settings.sign_in.magic_link_seconds);
        let mail = Mail { to: user.email, subject, link, sent_at: now };
        world.outbox.send(mail, &token, handle, &user.id, end);
    }
    let page = OpenPage { stage: Stage::LinkSent(email.to_owned()), ..page };
    world.pages.insert(handle.to_owned(), page.clone());
    show(shared, world, handle, &page, None)
}

fn signed_in(
    shared: &Shared,
    world: &mut World,
    request: AuthorizeRequest,
    user: &User,
    first: First,
    before: &[String],
    now: Timestamp,
) -> Response {
    let factors = factors(&world.settings, user, first, steps_up(&world.settings, &request), before);
    let proven = Proven { user_id: user.id.clone(), auth_time: now, factors };
    let cookie = world.settings.oauth.remember_browser.then(|| {
        let cookie = unguessable();
        world.ledger.note(SecretKind::BrowserHandle, &cookie);
        world.browsers.insert(cookie.clone(), proven.clone());
        format!("{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Lax")
    });
    let mut response = proceed(shared, world, request, proven, now);
    if let Some(value) = cookie.and_then(|cookie| cookie.parse().ok()) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

fn show(
    shared: &Shared,
    world: &World,
    handle: &str,
    page: &OpenPage,
    trouble: Option<(&str, &str)>,
) -> Response {
    let request = &page.request;
    let action = format!("/login/{}", shared.site.project_id);
    let project_name = shared.site.project_name.as_str();
    let email = trouble.map(|(email, _)| email).or(request.login_hint.as_deref()).unwrap_or_default();
    let trouble = trouble.map(|(_, trouble)| trouble);
    let tenant =
        request.tenant.as_ref().and_then(|id| world.tenants.get(id)).map(|tenant| tenant.name.as_str());
    let rendered = match &page.stage {
        Stage::Password { known } => {
            let known = known.as_ref().and_then(|known| world.user(&known.user_id));
            SignInPage {
                action: &action,
                project_name,
                tenant,
                flow: request.flow.as_deref(),
                returns_to: request.back.place(),
                handle,
                email: known.filter(|_| email.is_empty()).map_or(email, |user| &user.email),
                trouble,
            }
            .render()
        }
        Stage::Email => EmailPage { action: &action, project_name, handle, email, trouble }.render(),
        Stage::LinkSent(address) => mail_sent_page(address),
        Stage::Consent(proven) => {
            let client = find(world, &shared.site, &request.realm, &request.client_id);
            let name = client.map(|client| client.app.name).filter(|name| !name.is_empty());
            ConsentPage {
                action: &action,
                client: name.as_deref().unwrap_or(&request.client_id),
                account: world.user(&proven.user_id).map(|user| user.email.as_str()).unwrap_or_default(),
                scopes: &request.scope,
                returns_to: request.back.place(),
                handle,
            }
            .render()
        }
    };
    let status = if trouble.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    (status, rendered).into_response()
}

fn gone() -> Response {
    (StatusCode::NOT_FOUND, refused_page(GONE)).into_response()
}
