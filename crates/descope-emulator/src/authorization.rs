//! Authorization requests: what is asked, whether it may be asked, and the way back to the client
//! (sheet 5.2, RFC 6749 4.1, RFC 7636, RFC 8707, RFC 9126, RFC 9207).

use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use jiff::Timestamp;
use url::Url;

use crate::apps::GrantType;
use crate::clients::{Client, find};
use crate::ledger::SecretKind;
use crate::params::Params;
use crate::realms::Realm;
use crate::settings::IssParameter;
use crate::state::{Shared, Site, World};

/// A checked authorization request.
#[derive(Clone)]
pub(crate) struct AuthorizeRequest {
    pub(crate) client_id: String,
    pub(crate) realm: Realm,
    pub(crate) back: WayBack,
    /// The address as sent: the token request must repeat it letter by letter.
    pub(crate) redirect_text: String,
    pub(crate) scope: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) challenge: Option<String>,
    pub(crate) flow: Option<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) login_hint: Option<String>,
    pub(crate) prompt: Vec<String>,
    /// Seconds since the user's last active sign-in that are still good (OpenID Connect Core, 3.1.2.1).
    pub(crate) max_age: Option<i64>,
    pub(crate) acr_values: Vec<String>,
}

impl std::fmt::Debug for AuthorizeRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorizeRequest").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// A user who has shown who they are.
#[derive(Debug, Clone)]
pub(crate) struct Proven {
    pub(crate) user_id: String,
    pub(crate) auth_time: Timestamp,
    /// `amr`.
    pub(crate) factors: Vec<String>,
}

/// A code that waits to be exchanged, once.
#[derive(Debug, Clone)]
pub(crate) struct IssuedCode {
    pub(crate) request: AuthorizeRequest,
    pub(crate) proven: Proven,
    pub(crate) expires_at: Timestamp,
    pub(crate) used: bool,
}

/// Why a request goes no further.
pub(crate) enum Stop {
    /// Client or redirect address are not to be trusted: the browser stays here (RFC 6749, 4.1.2.1).
    Here(String),
    /// The client is told by redirect.
    Redirect(Box<WayBack>, &'static str, String),
}

/// How the browser gets back to the client.
#[derive(Clone)]
pub(crate) struct WayBack {
    to: Url,
    state: Option<String>,
    iss: Option<String>,
}

impl WayBack {
    /// Where it leads, for people.
    pub(crate) fn place(&self) -> &str {
        self.to.host_str().unwrap_or(self.to.scheme())
    }

    /// Back with a code.
    pub(crate) fn with_code(&self, code: &str) -> Response {
        self.with(&[("code", code)])
    }

    /// Back with an error.
    pub(crate) fn with_error(&self, error: &str, why: &str) -> Response {
        self.with(&[("error", error), ("error_description", why)])
    }

    fn with(&self, pairs: &[(&str, &str)]) -> Response {
        let mut to = self.to.clone();
        to.query_pairs_mut()
            .extend_pairs(pairs)
            .extend_pairs(self.state.iter().map(|state| ("state", state)))
            .extend_pairs(self.iss.iter().map(|iss| ("iss", iss)));
        redirect(&to)
    }
}

/// Sends the browser to another address.
pub(crate) fn redirect(to: &Url) -> Response {
    let headers = [
        (header::LOCATION, to.as_str()),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    // 303, so that the browser does not repeat the form's POST at the client.
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// Checks a request to the authorization endpoint of `door`. `pushed`: it came by the back door (RFC 9126).
pub(crate) fn check(
    shared: &Shared,
    door: &Realm,
    params: &Params,
    pushed: bool,
) -> Result<AuthorizeRequest, Stop> {
    let mut world = shared.world();
    let state = params.get("state").map(str::to_owned);
    let nonce = params.get("nonce").map(str::to_owned);
    world.ledger.note(SecretKind::State, state.as_deref().unwrap_or_default());
    world.ledger.note(SecretKind::Nonce, nonce.as_deref().unwrap_or_default());

    let client_id = params.get("client_id").unwrap_or_default();
    let client = find(&world, &shared.site, door, client_id)
        .filter(|client| is_meant(client, params))
        .ok_or_else(|| Stop::Here(format!("There is no client with the id {client_id:?} here.")))?;
    let redirect_text = params.get("redirect_uri").unwrap_or_default().to_owned();
    let to = Url::parse(&redirect_text)
        .ok()
        .filter(|_| client.may_return_to(&world.settings.redirects, &redirect_text));
    let to = to.ok_or_else(|| {
        Stop::Here(format!("The redirect address {redirect_text:?} is not approved for this project."))
    })?;
    let back = WayBack { to, state, iss: iss_parameter(&world, &shared.site, &client.realm) };
    let stop = |error, why: &str| Stop::Redirect(Box::new(back.clone()), error, why.to_owned());

    if client.app.require_par && !pushed {
        return Err(stop("invalid_request", "The client must push its authorization requests"));
    }
    if client.need_grant(GrantType::AuthorizationCode).is_err() {
        return Err(stop(
            "unauthorized_client",
            "The authorization code grant is not enabled for this client",
        ));
    }
    match params.get("response_type") {
        Some("code") => {}
        Some(_) => return Err(stop("unsupported_response_type", "Only the response type code is supported")),
        None => return Err(stop("invalid_request", "The response_type parameter is required")),
    }
    let challenge = challenge(&client, params).map_err(|why| stop("invalid_request", why))?;
    let scope = words(params.get("scope"));
    if client.realm.is_third_party() && scope.is_empty() {
        return Err(stop("invalid_scope", "The scope parameter is required"));
    }
    if let Some(scope) = client.forbidden_scope(&scope) {
        return Err(stop("invalid_scope", &format!("The scope {scope:?} is not defined for this client")));
    }
    let resources = params.all("resource").to_vec();
    if client.need_resources(&resources).is_err() {
        return Err(stop("invalid_target", "The resource is not approved for this client"));
    }
    let flow = params.get("flow");
    let oauth = &world.settings.oauth;
    if flow.is_some_and(|flow| !oauth.flows.is_empty() && !oauth.flows.iter().any(|one| one == flow)) {
        return Err(stop("invalid_request", "The flow does not exist"));
    }
    if !oauth.scopes.is_empty() && scope.iter().any(|scope| !oauth.scopes.contains(scope)) {
        return Err(stop("invalid_scope", "A scope may not be asked for"));
    }
    let tenant = params.get("tenant");
    if tenant.is_some_and(|tenant| !world.tenants.contains_key(tenant)) {
        return Err(stop("invalid_request", "The tenant does not exist"));
    }
    let max_age = match params.get("max_age").map(str::parse::<u32>) {
        None => None,
        Some(Ok(seconds)) => Some(i64::from(seconds)),
        Some(Err(_)) => return Err(stop("invalid_request", "The max_age is not a number of seconds")),
    };
    Ok(AuthorizeRequest {
        client_id: client.id.clone(),
        realm: client.realm.clone(),
        scope,
        resources,
        challenge,
        flow: flow.map(str::to_owned),
        tenant: tenant.map(str::to_owned),
        login_hint: params.get("login_hint").or_else(|| params.get("loginHint")).map(str::to_owned),
        prompt: words(params.get("prompt")),
        max_age,
        acr_values: words(params.get("acr_values")),
        redirect_text,
        nonce,
        back: back.clone(),
    })
}

/// `ssoAppId` and `mcp_server_id`, where they are sent, must name the client's own realm; `project_id` was looked at by
/// the address.
fn is_meant(client: &Client, params: &Params) -> bool {
    let app = params.get("ssoAppId").is_none_or(|id| client.realm == Realm::Federated(id.to_owned()));
    let server = params.get("mcp_server_id").is_none_or(|id| client.realm == Realm::Mcp(id.to_owned()));
    app && server
}

fn challenge(client: &Client, params: &Params) -> Result<Option<String>, &'static str> {
    let Some(challenge) = params.get("code_challenge") else {
        return if client.needs_pkce() { Err("PKCE with the method S256 is required") } else { Ok(None) };
    };
    if params.get("code_challenge_method") != Some("S256") {
        return Err("PKCE with the method S256 is required");
    }
    let letters =
        challenge.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'));
    if challenge.len() != 43 || !letters {
        return Err("The code_challenge is not a base64url SHA-256 digest");
    }
    Ok(Some(challenge.to_owned()))
}

fn iss_parameter(world: &World, site: &Site, realm: &Realm) -> Option<String> {
    match world.settings.sign_in.iss_parameter {
        IssParameter::Absent => None,
        IssParameter::Present => Some(realm.issuer(site)),
        IssParameter::Another => Some("https://another-issuer.test".to_owned()),
    }
}

/// The words of a list separated by blanks.
pub(crate) fn words(text: Option<&str>) -> Vec<String> {
    text.unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect()
}
