//! Pushed authorization requests (sheet 5.8, RFC 9126), for inbound and federated apps and MCP clients alike.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::authorization::{Stop, check};
use crate::clients::{authenticate, find};
use crate::errors::Refusal;
use crate::ledger::SecretKind;
use crate::params::Params;
use crate::random::unguessable;
use crate::realms::Realm;
use crate::state::Shared;
use crate::tokens::later;

/// Seconds for which a pushed request is good.
const LIFETIME: u32 = 60;
/// What every `request_uri` begins with (RFC 9126, 2.2).
const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

/// The pushed requests that wait, by their `request_uri`.
#[derive(Default)]
pub(crate) struct PushedRequests(HashMap<String, Pushed>);

struct Pushed {
    door: Realm,
    params: Params,
    expires_at: Timestamp,
}

impl std::fmt::Debug for PushedRequests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PushedRequests").field(&self.0.len()).finish()
    }
}

/// `POST /oauth2/v1/apps/par`
pub(crate) async fn push(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let shape = shared.world().settings.oauth.errors;
    match accept(&shared, &headers, &body) {
        Ok(answer) => {
            (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
        }
        Err(refusal) => refusal.respond(shape),
    }
}

/// The request behind a `request_uri`, and the door that it is for. It works once, for the client that pushed it.
pub(crate) fn fetch(shared: &Shared, params: &Params, uri: &str) -> Result<(Realm, Params), Stop> {
    let stop = || Stop::Here("The request_uri is not valid, was used, or is expired.".to_owned());
    let now = shared.clock.now();
    let pushed =
        shared.world().pushed.0.remove(uri).filter(|pushed| now < pushed.expires_at).ok_or_else(stop)?;
    if pushed.params.get("client_id") != params.get("client_id") {
        return Err(stop());
    }
    Ok((pushed.door, pushed.params))
}

fn accept(shared: &Shared, headers: &HeaderMap, body: &[u8]) -> Result<Value, Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let params = Params::from_body(kind, body)?;
    if params.get("request_uri").is_some() {
        return Err(Refusal::bad_request("A pushed request cannot refer to another one"));
    }
    let now = shared.clock.now();
    let door = {
        let mut world = shared.world();
        let third_party =
            params.get("client_id").and_then(|id| find(&world, &shared.site, &Realm::Inbound, id));
        let door = if third_party.is_some() { Realm::Inbound } else { Realm::Project };
        let (client, _) = authenticate(&mut world, &shared.site, &door, headers, &params, now)?;
        client.realm
    };
    check(shared, &door, &params, true).map_err(|stop| match stop {
        Stop::Here(why) => Refusal::mismatch(why),
        Stop::Redirect(_, word, why) => Refusal::unacceptable(word, why),
    })?;
    let uri = format!("{PREFIX}{}", unguessable());
    let mut world = shared.world();
    world.ledger.note(SecretKind::BrowserHandle, &uri);
    let pushed = Pushed { door, params, expires_at: later(now, LIFETIME) };
    world.pushed.0.insert(uri.clone(), pushed);
    Ok(json!({"request_uri": uri, "expires_in": LIFETIME}))
}
