//! The authorization endpoint and the sign-in page behind it (sheet 5.2, RFC 6749 4.1, RFC 7636).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use url::Url;

use crate::doors::discovery::our_project;
use crate::doors::pages::{SignInPage, refused_page};
use crate::errors::Refusal;
use crate::fixture::User;
use crate::ledger::SecretKind;
use crate::params::Params;
use crate::random::unguessable;
use crate::redirects::approved;
use crate::settings::{Approval, RefusalForm};
use crate::state::{Shared, World};
use crate::tokens::later;

/// The cookie of a remembered browser.
pub(crate) const COOKIE: &str = "emulator_browser";

/// A checked authorization request.
#[derive(Clone)]
pub(crate) struct AuthorizeRequest {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: Url,
    /// The address as sent: the token request must repeat it letter by letter.
    pub(crate) redirect_text: String,
    pub(crate) scope: Vec<String>,
    pub(crate) state: Option<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) challenge: String,
    pub(crate) flow: Option<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) login_hint: Option<String>,
    pub(crate) prompt: Option<String>,
}

impl std::fmt::Debug for AuthorizeRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorizeRequest").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// A code that waits to be exchanged, once.
#[derive(Debug, Clone)]
pub(crate) struct IssuedCode {
    pub(crate) request: AuthorizeRequest,
    pub(crate) user_id: String,
    pub(crate) auth_time: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) used: bool,
}

/// Why a request goes no further.
enum Stop {
    /// Client or redirect address are not to be trusted: the browser stays here (RFC 6749, 4.1.2.1).
    Here(String),
    /// The client is told by redirect.
    Redirect(Box<Url>, Option<String>, &'static str, String),
}

/// `GET|POST /oauth2/v1/authorize`
pub(crate) async fn authorize(
    State(shared): State<Arc<Shared>>,
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
    match check(&shared, &params) {
        Ok(request) => decide(&shared, request, &headers),
        Err(Stop::Here(why)) => match form {
            RefusalForm::Page => (StatusCode::BAD_REQUEST, refused_page(&why)).into_response(),
            RefusalForm::Json => Refusal::mismatch(why).into_response(),
        },
        Err(Stop::Redirect(to, state, error, why)) => send_error(&to, state.as_deref(), error, &why),
    }
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
    let request = shared.world().pages.get(handle).cloned();
    Ok(match request {
        Some(request) => show(&shared, handle, &request, None),
        None => (StatusCode::NOT_FOUND, refused_page(GONE)).into_response(),
    })
}

const GONE: &str = "This sign-in is over. Start again from the program that sent you here.";

/// `POST /login/{project}`: the form's answer.
pub(crate) async fn answer(
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
    let Some(request) = world.pages.get(handle).cloned() else {
        return Ok((StatusCode::NOT_FOUND, refused_page(GONE)).into_response());
    };
    if params.get("action") == Some("cancel") {
        world.pages.remove(handle);
        let (to, state) = (&request.redirect_uri, request.state.as_deref());
        return Ok(send_error(to, state, "access_denied", "The user cancelled the sign-in"));
    }
    match who(&world, email, password, request.tenant.as_deref()) {
        Ok(user) => {
            world.pages.remove(handle);
            let cookie = world.settings.oauth.remember_browser.then(|| {
                let cookie = unguessable();
                world.ledger.note(SecretKind::BrowserHandle, &cookie);
                world.browsers.insert(cookie.clone(), (user.id.clone(), now));
                format!("{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Lax")
            });
            let mut response = send_code(&mut world, request, &user, now, now);
            if let Some(value) = cookie.and_then(|cookie| cookie.parse().ok()) {
                response.headers_mut().insert(header::SET_COOKIE, value);
            }
            Ok(response)
        }
        Err(trouble) => {
            drop(world);
            Ok(show(&shared, handle, &request, Some((email, trouble))))
        }
    }
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

fn check(shared: &Shared, params: &Params) -> Result<AuthorizeRequest, Stop> {
    let mut world = shared.world();
    let state = params.get("state").map(str::to_owned);
    let nonce = params.get("nonce").map(str::to_owned);
    world.ledger.note(SecretKind::State, state.as_deref().unwrap_or_default());
    world.ledger.note(SecretKind::Nonce, nonce.as_deref().unwrap_or_default());

    let client_id = params.get("client_id").unwrap_or_default();
    if client_id != shared.site.project_id {
        return Err(Stop::Here(format!("There is no client with the id {client_id:?} here.")));
    }
    let redirect_text = params.get("redirect_uri").unwrap_or_default().to_owned();
    let redirect_uri =
        Url::parse(&redirect_text).ok().filter(|_| approved(&world.settings.redirects, &redirect_text));
    let Some(redirect_uri) = redirect_uri else {
        return Err(Stop::Here(format!(
            "The redirect address {redirect_text:?} is not approved for this project."
        )));
    };

    let stop = |error, why: &str| {
        Stop::Redirect(Box::new(redirect_uri.clone()), state.clone(), error, why.to_owned())
    };
    match params.get("response_type") {
        Some("code") => {}
        Some(_) => return Err(stop("unsupported_response_type", "Only the response type code is supported")),
        None => return Err(stop("invalid_request", "The response_type parameter is required")),
    }
    let challenge = params.get("code_challenge").unwrap_or_default();
    if params.get("code_challenge_method") != Some("S256") || challenge.is_empty() {
        return Err(stop("invalid_request", "PKCE with the method S256 is required"));
    }
    let letters =
        challenge.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_');
    if challenge.len() != 43 || !letters {
        return Err(stop("invalid_request", "The code_challenge is not a base64url SHA-256 digest"));
    }
    let flow = params.get("flow");
    let known = &world.settings.oauth;
    if flow.is_some_and(|flow| !known.flows.is_empty() && !known.flows.iter().any(|one| one == flow)) {
        return Err(stop("invalid_request", "The flow does not exist"));
    }
    let mut scopes = params.get("scope").unwrap_or_default().split_ascii_whitespace();
    if !known.scopes.is_empty() && scopes.any(|scope| !known.scopes.iter().any(|one| one == scope)) {
        return Err(stop("invalid_scope", "A scope may not be asked for"));
    }
    let tenant = params.get("tenant");
    if tenant.is_some_and(|tenant| !world.tenants.contains_key(tenant)) {
        return Err(stop("invalid_request", "The tenant does not exist"));
    }
    Ok(AuthorizeRequest {
        client_id: client_id.to_owned(),
        scope: params.get("scope").unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect(),
        challenge: challenge.to_owned(),
        flow: params.get("flow").map(str::to_owned),
        tenant: tenant.map(str::to_owned),
        login_hint: params.get("login_hint").or_else(|| params.get("loginHint")).map(str::to_owned),
        prompt: params.get("prompt").map(str::to_owned),
        redirect_uri: redirect_uri.clone(),
        redirect_text,
        state: state.clone(),
        nonce,
    })
}

/// Page, remembered browser, or one of the automatic answers.
fn decide(shared: &Shared, request: AuthorizeRequest, headers: &HeaderMap) -> Response {
    let now = shared.clock.now();
    let mut world = shared.world();
    let (to, state) = (request.redirect_uri.clone(), request.state.clone());
    let refuse = |error, why: &str| send_error(&to, state.as_deref(), error, why);
    let approval = world.settings.approval.clone();
    match approval {
        Approval::Deny => return refuse("access_denied", "The user refused the sign-in"),
        Approval::As(login) => {
            return match world.user(&login).cloned() {
                None => refuse("server_error", "The user of the automatic approval does not exist"),
                Some(user) if user.disabled => refuse("access_denied", "The user is disabled"),
                Some(user) if !may_enter(&user, request.tenant.as_deref()) => {
                    refuse("access_denied", "The user is not a member of the tenant")
                }
                Some(user) => send_code(&mut world, request, &user, now, now),
            };
        }
        Approval::Page => {}
    }
    let prompts: Vec<&str> = request.prompt.as_deref().unwrap_or_default().split_ascii_whitespace().collect();
    let remembered = remembered(&world, headers).filter(|_| !prompts.contains(&"login"));
    if let Some((user, auth_time)) = remembered.filter(|(user, _)| may_enter(user, request.tenant.as_deref()))
    {
        return send_code(&mut world, request, &user, auth_time, now);
    }
    if prompts.contains(&"none") {
        return refuse("login_required", "The user is not signed in");
    }
    let handle = unguessable();
    world.ledger.note(SecretKind::BrowserHandle, &handle);
    world.pages.insert(handle.clone(), request.clone());
    drop(world);
    show(shared, &handle, &request, None)
}

/// Who signed in with this browser before, and when.
pub(crate) fn remembered(world: &World, headers: &HeaderMap) -> Option<(User, Timestamp)> {
    if !world.settings.oauth.remember_browser {
        return None;
    }
    let cookie = cookie_of(headers)?;
    let (user_id, auth_time) = world.browsers.get(cookie)?;
    let user = world.users.iter().find(|user| user.id == *user_id && !user.disabled)?;
    Some((user.clone(), *auth_time))
}

/// The cookie by which a browser is remembered.
pub(crate) fn cookie_of(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, cookie)| cookie)
}

fn may_enter(user: &User, tenant: Option<&str>) -> bool {
    tenant.is_none_or(|tenant| user.tenants.contains_key(tenant))
}

fn show(
    shared: &Shared,
    handle: &str,
    request: &AuthorizeRequest,
    trouble: Option<(&str, &str)>,
) -> Response {
    let tenant = request
        .tenant
        .as_ref()
        .and_then(|id| shared.world().tenants.get(id).map(|tenant| tenant.name.clone()));
    let page = SignInPage {
        action: &format!("/login/{}", shared.site.project_id),
        project_name: &shared.site.project_name,
        tenant: tenant.as_deref(),
        flow: request.flow.as_deref(),
        returns_to: request.redirect_uri.host_str().unwrap_or(request.redirect_uri.scheme()),
        handle,
        email: trouble.map(|(email, _)| email).or(request.login_hint.as_deref()).unwrap_or_default(),
        trouble: trouble.map(|(_, trouble)| trouble),
    };
    let status = if trouble.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    (status, page.render()).into_response()
}

fn send_code(
    world: &mut World,
    request: AuthorizeRequest,
    user: &User,
    auth_time: Timestamp,
    now: Timestamp,
) -> Response {
    let code = unguessable();
    world.ledger.note(SecretKind::Code, &code);
    let mut to = request.redirect_uri.clone();
    to.query_pairs_mut().append_pair("code", &code);
    if let Some(state) = &request.state {
        to.query_pairs_mut().append_pair("state", state);
    }
    let expires_at = later(now, world.settings.lifetimes.code);
    world
        .codes
        .insert(code, IssuedCode { request, user_id: user.id.clone(), auth_time, expires_at, used: false });
    redirect(&to)
}

fn send_error(to: &Url, state: Option<&str>, error: &str, why: &str) -> Response {
    let mut to = to.clone();
    to.query_pairs_mut().append_pair("error", error).append_pair("error_description", why);
    if let Some(state) = state {
        to.query_pairs_mut().append_pair("state", state);
    }
    redirect(&to)
}

/// Sends the browser to the client.
pub(crate) fn redirect(to: &Url) -> Response {
    let headers = [
        (header::LOCATION, to.as_str()),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    // 303, so that the browser does not repeat the form's POST at the client.
    (StatusCode::SEE_OTHER, headers).into_response()
}
