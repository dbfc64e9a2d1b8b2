//! Logging out by browser (sheet 5.6, OpenID Connect RP-Initiated Logout 1.0). It forgets the browser; tokens are not
//! touched, as the standard has it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};
use url::Url;

use crate::doors::authorize::{COOKIE, cookie_of, redirect};
use crate::doors::pages::{farewell_page, refused_page};
use crate::ledger::SecretKind;
use crate::params::Params;
use crate::redirects::approved;
use crate::state::Shared;

/// `GET|POST /oauth2/v1/logout`
pub(crate) async fn end_session(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let params = Params::from_form(query.unwrap_or_default().as_bytes())
        .and_then(|query| query.and(Params::from_form(&body)?));
    let params = match params {
        Ok(params) => params,
        Err(refusal) => return (StatusCode::BAD_REQUEST, refused_page(&refusal.to_string())).into_response(),
    };
    let mut world = shared.world();
    world.ledger.note(SecretKind::Received, params.get("id_token_hint").unwrap_or_default());
    world.ledger.note(SecretKind::State, params.get("state").unwrap_or_default());
    if let Some(cookie) = cookie_of(&headers) {
        world.browsers.remove(cookie);
    }
    let mut response = match params.get("post_logout_redirect_uri") {
        None => farewell_page(),
        Some(text) => match Url::parse(text).ok().filter(|_| approved(&world.settings.redirects, text)) {
            None => {
                let why = format!("The address {text:?} is not approved for this project.");
                (StatusCode::BAD_REQUEST, refused_page(&why)).into_response()
            }
            Some(mut to) => {
                if let Some(state) = params.get("state") {
                    to.query_pairs_mut().append_pair("state", state);
                }
                redirect(&to)
            }
        },
    };
    let gone = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    if let Ok(value) = gone.parse() {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}
