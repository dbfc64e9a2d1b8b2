//! Logging out by browser (sheet 5.6, OpenID Connect RP-Initiated Logout 1.0). It forgets the browser; tokens are not
//! touched, as the standard has it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};
use url::Url;

use crate::authorization::redirect;
use crate::clients::{Client, find};
use crate::doors::authorize::COOKIE;
use crate::doors::bearer::cookie_value;
use crate::doors::pages::{farewell_page, refused_page};
use crate::ledger::SecretKind;
use crate::params::Params;
use crate::realms::Realm;
use crate::state::{Shared, World};

/// `GET|POST …/logout`
pub(crate) async fn end_session(
    State(shared): State<Arc<Shared>>,
    door: Realm,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let params = Params::from_form(query.unwrap_or_default().as_bytes())
        .and_then(|query| query.and(Params::from_form(&body)?));
    let outcome = params.map_err(|refusal| refusal.to_string()).and_then(|params| {
        let mut world = shared.world();
        log_out(&shared, &mut world, &door, &params, &headers)
    });
    let mut response = match outcome {
        Ok(None) => farewell_page(),
        Ok(Some(to)) => redirect(&to),
        Err(why) => return (StatusCode::BAD_REQUEST, refused_page(&why)).into_response(),
    };
    let gone = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    if let Ok(value) = gone.parse() {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

/// Forgets the browser and says where it goes; in words, why it stays signed in.
fn log_out(
    shared: &Shared,
    world: &mut World,
    door: &Realm,
    params: &Params,
    headers: &HeaderMap,
) -> Result<Option<Url>, String> {
    world.ledger.note(SecretKind::Received, params.get("id_token_hint").unwrap_or_default());
    world.ledger.note(SecretKind::State, params.get("state").unwrap_or_default());
    let (client, user) = who_asks(shared, world, door, params)?;
    let browser = cookie_value(headers, COOKIE)
        .and_then(|cookie| Some((cookie, world.browsers.get(cookie)?.user_id.clone())));
    if let (Some((_, signed_in)), Some(hinted)) = (&browser, &user)
        && signed_in != hinted
    {
        return Err("Somebody else is signed in here than the id_token_hint says.".to_owned());
    }
    let to = match params.get("post_logout_redirect_uri") {
        None => None,
        Some(text) => {
            let to = Url::parse(text).ok();
            let to = to.filter(|_| client.may_land_on(&world.settings.redirects, text));
            Some(to.ok_or_else(|| format!("The address {text:?} is not approved for this project."))?)
        }
    };
    if let Some((cookie, _)) = browser {
        world.browsers.remove(cookie);
    }
    let to = to.map(|mut to| {
        if let Some(state) = params.get("state") {
            to.query_pairs_mut().append_pair("state", state);
        }
        to
    });
    Ok(to)
}

/// The client by `client_id`, by `id_token_hint`, or the project's own; and the hinted user. An expired hint is as good
/// as a fresh one.
fn who_asks(
    shared: &Shared,
    world: &World,
    door: &Realm,
    params: &Params,
) -> Result<(Client, Option<String>), String> {
    let hinted = match params.get("id_token_hint") {
        None => None,
        Some(hint) => {
            let record = world.id_tokens.get(hint).filter(|record| world.ring.knows(&record.kid));
            let family = record.and_then(|record| world.families.get(record.family));
            Some(family.ok_or("The id_token_hint is not an ID token of this project.")?)
        }
    };
    let named = params.get("client_id");
    if let (Some(family), Some(named)) = (hinted, named)
        && family.client_id != named
    {
        return Err("The id_token_hint was issued to another client.".to_owned());
    }
    let (realm, id) = match (hinted, named) {
        (Some(family), _) => (&family.realm, family.client_id.as_str()),
        (None, Some(named)) => (door, named),
        (None, None) => (door, shared.site.project_id.as_str()),
    };
    let client = find(world, &shared.site, realm, id);
    let client = client.ok_or_else(|| format!("There is no client with the id {id:?} here."))?;
    Ok((client, hinted.map(|family| family.user_id.clone())))
}
