//! The token endpoint (sheet 5.3, RFC 6749 4.1.3 and 6, RFC 7636 4.6).

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, header};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::doors::device;
use crate::errors::Refusal;
use crate::ledger::SecretKind;
use crate::params::Params;
use crate::renew::{Issued, Renewal, SignIn, begin, renew};
use crate::settings::UnrotatedAnswer;
use crate::state::{Shared, World};
use crate::tokens::Door;

/// `POST /oauth2/v1/token`
pub(crate) async fn token(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let shape = shared.world().settings.oauth.errors;
    match exchange(&shared, &headers, &body) {
        Ok(members) => ([(header::CACHE_CONTROL, "no-store")], Json(members)).into_response(),
        Err(refusal) => refusal.respond(shape),
    }
}

fn exchange(shared: &Shared, headers: &HeaderMap, body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let params = Params::from_body(kind, body)?;
    let now = shared.clock.now();
    let mut world = shared.world();
    note_secrets(&mut world, &params);
    let client = client(&mut world, shared, headers, &params)?;
    let issued = match params.need("grant_type")? {
        "authorization_code" => from_code(&mut world, shared, &params, &client, now)?,
        "refresh_token" => from_refresh(&mut world, shared, &params, &client, now)?,
        device::GRANT => device::redeem(&mut world, &shared.site, &params, &client.id, now)?,
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
        ("client_secret", SecretKind::ClientSecret),
    ];
    for (name, kind) in known {
        world.ledger.note(kind, params.get(name).unwrap_or_default());
    }
}

/// The client that asks.
struct Client {
    id: String,
    has_secret: bool,
}

fn client(
    world: &mut World,
    shared: &Shared,
    headers: &HeaderMap,
    params: &Params,
) -> Result<Client, Refusal> {
    let basic = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Basic ").map(str::to_owned))
        .and_then(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok());
    let client = match basic.as_deref().and_then(|text| text.split_once(':')) {
        Some((id, secret)) => {
            world.ledger.note(SecretKind::ClientSecret, secret);
            Client { id: id.to_owned(), has_secret: !secret.is_empty() }
        }
        None => Client {
            id: params.need("client_id")?.to_owned(),
            has_secret: params.get("client_secret").is_some(),
        },
    };
    if client.id == shared.site.project_id { Ok(client) } else { Err(Refusal::no_project()) }
}

fn from_code(
    world: &mut World,
    shared: &Shared,
    params: &Params,
    client: &Client,
    now: Timestamp,
) -> Result<Issued, Refusal> {
    let text = params.need("code")?;
    let verifier = params.need("code_verifier")?;
    let redirect = params.need("redirect_uri")?;
    let unknown = || Refusal::invalid_token("The code is not valid");
    let code = world.codes.get_mut(text).ok_or_else(unknown)?;
    // Whatever comes of it, a code is shown once.
    if std::mem::replace(&mut code.used, true) {
        return Err(Refusal::invalid_token("The code was already used"));
    }
    let code = code.clone();
    if now >= code.expires_at {
        return Err(Refusal::invalid_token("The code is expired"));
    }
    if code.request.client_id != client.id {
        return Err(Refusal::mismatch("The code was issued to another client"));
    }
    if code.request.redirect_text != redirect {
        return Err(Refusal::mismatch("The redirect_uri is not the one that the code was issued for"));
    }
    if URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())) != code.request.challenge {
        return Err(Refusal::mismatch("The code_verifier does not fit the code_challenge"));
    }
    let stepped_up = code.request.flow.as_ref() == Some(&world.settings.oauth.step_up_flow);
    let sign_in = SignIn {
        user_id: code.user_id,
        client_id: code.request.client_id,
        scope: code.request.scope,
        tenant: code.request.tenant,
        auth_time: code.auth_time,
        nonce: code.request.nonce,
        stepped_up,
    };
    begin(world, &shared.site, sign_in, Door::Oauth, now)
}

fn from_refresh(
    world: &mut World,
    shared: &Shared,
    params: &Params,
    client: &Client,
    now: Timestamp,
) -> Result<Issued, Refusal> {
    if !world.settings.oauth.refresh_grant {
        return Err(Refusal::unsupported_grant("refresh_token"));
    }
    if world.settings.oauth.secret_on_refresh && !client.has_secret {
        return Err(Refusal::missing_secret());
    }
    renew(world, &shared.site, params.need("refresh_token")?, &Renewal::plain(Door::Oauth), now)
}

fn answer(world: &World, issued: &Issued, now: Timestamp) -> Map<String, Value> {
    let mut members = Map::from_iter([
        ("access_token".to_owned(), json!(issued.session)),
        ("token_type".to_owned(), json!("Bearer")),
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
