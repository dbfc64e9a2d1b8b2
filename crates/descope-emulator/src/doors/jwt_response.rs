//! The answer of every REST endpoint that hands out tokens (sheet 4.3): in the body, or in cookies.

use axum::Json;
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use http::header;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::doors::account::user_object;
use crate::doors::token::refresh_member;
use crate::renew::Issued;
use crate::settings::Delivery;
use crate::state::World;

/// What an answer says beside the tokens.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Beside {
    /// The user object; not after `try-refresh`.
    pub(crate) user: bool,
    /// The user's first sign-in ever.
    pub(crate) first_seen: bool,
}

/// The tokens of `issued`.
pub(crate) fn jwt_response(world: &World, issued: &Issued, beside: Beside, now: Timestamp) -> Response {
    let in_cookies = world.settings.refresh.delivery == Delivery::Cookies;
    let rest = &world.settings.rest;
    let refresh = refresh_member(world, issued);
    let max_age = issued.refresh_end.duration_since(now).as_secs();
    let named = |name: &str, usual: &str| if name == usual { String::new() } else { name.to_owned() };
    let mut body = json!({
        "sessionJwt": if in_cookies { "" } else { issued.session.as_str() },
        "cookieDomain": "",
        "cookiePath": "/",
        "cookieMaxAge": max_age,
        "cookieExpiration": issued.refresh_end.as_second(),
        "cookieName": named(&rest.refresh_cookie, "DSR"),
        "sessionCookieName": named(&rest.session_cookie, "DS"),
        "firstSeen": beside.first_seen,
        "sessionExpiration": issued.session_end.as_second(),
        "nextRefreshSeconds": world.settings.refresh.next_refresh_seconds,
        "claims": {},
    });
    if let Some(members) = body.as_object_mut() {
        if in_cookies {
            members.insert("refreshJwt".to_owned(), json!(""));
        } else {
            members.extend(refresh.clone().map(|token| ("refreshJwt".to_owned(), json!(token))));
        }
        if beside.user {
            members.insert("user".to_owned(), user_object(world, &issued.user));
        } else {
            members.remove("firstSeen");
        }
    }
    if !in_cookies {
        return (no_store(), Json(body)).into_response();
    }
    let cookie = |name: &str, value: &str| {
        (header::SET_COOKIE, format!("{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Strict"))
    };
    let mut cookies = vec![cookie(&rest.session_cookie, &issued.session)];
    cookies
        .extend(refresh.filter(|token| !token.is_empty()).map(|token| cookie(&rest.refresh_cookie, &token)));
    (no_store(), AppendHeaders(cookies), Json(body)).into_response()
}

/// The answer of a logout: every field there, and nothing in it. Cookies are taken back.
pub(crate) fn farewell(world: &World) -> Response {
    let body = json!({"sessionJwt": "", "refreshJwt": "", "cookieDomain": "", "cookiePath": "/", "cookieMaxAge": 0,
                      "cookieExpiration": 0, "user": Value::Null, "firstSeen": false});
    let rest = &world.settings.rest;
    let gone =
        |name: &str| (header::SET_COOKIE, format!("{name}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"));
    let cookies = match world.settings.refresh.delivery {
        Delivery::Cookies => vec![gone(&rest.session_cookie), gone(&rest.refresh_cookie)],
        Delivery::Body => Vec::new(),
    };
    (no_store(), AppendHeaders(cookies), Json(body)).into_response()
}

fn no_store() -> [(header::HeaderName, &'static str); 1] {
    [(header::CACHE_CONTROL, "no-store")]
}
