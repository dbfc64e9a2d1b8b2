//! The token endpoints (sheet 5.3, RFC 6749 4.1.3 and 6, RFC 7636 4.6).

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, header};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::apps::GrantType;
use crate::authorization::{IssuedCode, words};
use crate::clients::{Client, Proof, authenticate};
use crate::doors::{access_key, device};
use crate::errors::Refusal;
use crate::forge::TokenKind;
use crate::ledger::SecretKind;
use crate::params::Params;
use crate::realms::Realm;
use crate::renew::{Issued, Renewal, SignIn, begin, renew};
use crate::settings::UnrotatedAnswer;
use crate::state::{SessionRecord, Shared, World};
use crate::tokens::{Door, client_claims};

/// `POST …/token`, of every family.
pub(crate) async fn token(
    State(shared): State<Arc<Shared>>,
    door: Realm,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let shape = shared.world().settings.oauth.errors;
    match exchange(&shared, &door, &headers, &body) {
        Ok(members) => ([(header::CACHE_CONTROL, "no-store")], Json(members)).into_response(),
        Err(refusal) => refusal.respond(shape),
    }
}

fn exchange(
    shared: &Shared,
    door: &Realm,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Map<String, Value>, Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let params = Params::from_body(kind, body)?;
    let now = shared.clock.now();
    let mut world = shared.world();
    note_secrets(&mut world, &params);
    let (client, proof) = authenticate(&mut world, &shared.site, door, headers, &params, now)?;
    let issued = match params.need("grant_type")? {
        "authorization_code" => from_code(&mut world, shared, &params, &client, now)?,
        "refresh_token" => from_refresh(&mut world, shared, &params, &client, &proof, now)?,
        device::GRANT => device::redeem(&mut world, &shared.site, &params, &client, now)?,
        "client_credentials" => return machine(&mut world, shared, &params, &client, &proof, now),
        other => return Err(Refusal::unsupported_grant(other)),
    };
    Ok(answer(&world, &issued, now))
}

fn note_secrets(world: &mut World, params: &Params) {
    let known = [
        ("code", SecretKind::Received),
        ("refresh_token", SecretKind::Received),
        ("device_code", SecretKind::Received),
        ("code_verifier", SecretKind::Verifier),
    ];
    for (name, kind) in known {
        world.ledger.note(kind, params.get(name).unwrap_or_default());
    }
}

fn from_code(
    world: &mut World,
    shared: &Shared,
    params: &Params,
    client: &Client,
    now: Timestamp,
) -> Result<Issued, Refusal> {
    client.need_grant(GrantType::AuthorizationCode)?;
    let text = params.need("code")?;
    let redirect = match params.get("redirect_uri") {
        // The documented parameters of the inbound endpoint have none.
        None if client.realm.is_third_party() => None,
        _ => Some(params.need("redirect_uri")?),
    };
    let verifier = params.get("code_verifier");
    if verifier.is_none() && client.needs_pkce() {
        return Err(Refusal::missing("code_verifier"));
    }
    let unknown = || Refusal::invalid_token("The code is not valid");
    let code = world.codes.get_mut(text).ok_or_else(unknown)?;
    // Whatever comes of it, a code is shown once.
    if std::mem::replace(&mut code.used, true) {
        return Err(Refusal::invalid_token("The code was already used"));
    }
    let IssuedCode { request, proven, expires_at, .. } = code.clone();
    if now >= expires_at {
        return Err(Refusal::invalid_token("The code is expired"));
    }
    if request.client_id != client.id || request.realm != client.realm {
        return Err(Refusal::mismatch("The code was issued to another client"));
    }
    if redirect.is_some_and(|redirect| request.redirect_text != redirect) {
        return Err(Refusal::mismatch("The redirect_uri is not the one that the code was issued for"));
    }
    match (&request.challenge, verifier) {
        (None, None) => {}
        (Some(challenge), Some(verifier))
            if *challenge == URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())) => {}
        (Some(_), _) => return Err(Refusal::mismatch("The code_verifier does not fit the code_challenge")),
        // A downgrade (RFC 9700, 4.8.2).
        (None, Some(_)) => return Err(Refusal::mismatch("The code was issued without a code_challenge")),
    }
    let stepped_up = request.flow.as_ref() == Some(&world.settings.oauth.step_up_flow);
    let sign_in = SignIn {
        client_id: request.client_id,
        realm: request.realm,
        resources: resources(params, client, &request.resources)?,
        scope: request.scope,
        tenant: request.tenant,
        auth_time: proven.auth_time,
        factors: Some(proven.factors),
        nonce: request.nonce,
        stepped_up,
        ..SignIn::to_project(&shared.site, proven.user_id, now)
    };
    begin(world, &shared.site, sign_in, Door::Oauth, now)
}

/// One resource at most, and one of those that were granted (RFC 8707, 2.2).
fn resources(params: &Params, client: &Client, granted: &[String]) -> Result<Vec<String>, Refusal> {
    match params.all("resource") {
        [] => Ok(granted.to_vec()),
        [one] if granted.is_empty() => {
            let one = vec![one.clone()];
            client.need_resources(&one).map(|()| one)
        }
        [one] if granted.contains(one) => Ok(vec![one.clone()]),
        [one] => Err(Refusal::no_target(one)),
        _ => Err(Refusal::bad_request("The parameter resource occurs more than once")),
    }
}

fn from_refresh(
    world: &mut World,
    shared: &Shared,
    params: &Params,
    client: &Client,
    proof: &Proof,
    now: Timestamp,
) -> Result<Issued, Refusal> {
    if !world.settings.oauth.refresh_grant {
        return Err(Refusal::unsupported_grant("refresh_token"));
    }
    client.need_grant(GrantType::RefreshToken)?;
    if world.settings.oauth.secret_on_refresh && matches!(proof, Proof::None) {
        return Err(Refusal::missing_secret());
    }
    let renewal = Renewal {
        client: Some((client.id.clone(), client.realm.clone())),
        scope: params.get("scope").map(|scope| words(Some(scope))),
        ..Renewal::plain(Door::Oauth)
    };
    renew(world, &shared.site, params.need("refresh_token")?, &renewal, now)
}

/// A token for the client itself: no user, no refresh token, no ID token.
fn machine(
    world: &mut World,
    shared: &Shared,
    params: &Params,
    client: &Client,
    proof: &Proof,
    now: Timestamp,
) -> Result<Map<String, Value>, Refusal> {
    client.need_grant(GrantType::ClientCredentials)?;
    if matches!(proof, Proof::None) {
        return Err(Refusal::missing_secret());
    }
    let scope = words(params.get("scope"));
    if client.realm.is_third_party() && scope.is_empty() {
        return Err(Refusal::missing("scope"));
    }
    if let Some(scope) = client.forbidden_scope(&scope) {
        return Err(Refusal::bad_scope(format!("The scope is not defined for this application: {scope}")));
    }
    let asked: Vec<String> = params
        .get("audience")
        .map(str::to_owned)
        .into_iter()
        .chain(resources(params, client, &[])?)
        .collect();
    client.need_resources(&asked)?;
    let (token, end) = match proof {
        Proof::AccessKey(key) => {
            access_key::session(world, &shared.site, key, None, Map::new(), Door::Oauth, now)?
        }
        _ => {
            let (claims, end) = client_claims(world, &shared.site, client, &scope, &asked, now);
            let token = world.sign(TokenKind::Session, claims.clone(), now)?;
            let kid = world.ring.present().kid().to_owned();
            // No family has this number: nobody signed in.
            world.sessions.insert(token.clone(), SessionRecord { family: 0, kid, expires_at: end, claims });
            (token, end)
        }
    };
    Ok(Map::from_iter([
        ("access_token".to_owned(), json!(token)),
        ("token_type".to_owned(), json!(world.settings.oauth.token_type)),
        ("expires_in".to_owned(), json!(end.duration_since(now).as_secs())),
        ("scope".to_owned(), json!(scope.join(" "))),
    ]))
}

fn answer(world: &World, issued: &Issued, now: Timestamp) -> Map<String, Value> {
    let mut members = Map::from_iter([
        ("access_token".to_owned(), json!(issued.session)),
        ("token_type".to_owned(), json!(world.settings.oauth.token_type)),
        ("expires_in".to_owned(), json!(issued.session_end.duration_since(now).as_secs())),
        ("scope".to_owned(), json!(issued.scope.join(" "))),
    ]);
    members.extend(issued.id_token.as_ref().map(|token| ("id_token".to_owned(), json!(token))));
    if let Some(refresh) = refresh_member(world, issued) {
        members.insert("refresh_token".to_owned(), json!(refresh));
        members
            .insert("refresh_expire_in".to_owned(), json!(issued.refresh_end.duration_since(now).as_secs()));
    }
    members
}

/// The refresh token as it stands in an answer.
pub(crate) fn refresh_member(world: &World, issued: &Issued) -> Option<String> {
    let refresh = issued.refresh.clone()?;
    match world.settings.refresh.unrotated {
        _ if issued.rotated => Some(refresh),
        UnrotatedAnswer::Same => Some(refresh),
        UnrotatedAnswer::Omitted => None,
        UnrotatedAnswer::Empty => Some(String::new()),
    }
}
