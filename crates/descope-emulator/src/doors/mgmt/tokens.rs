//! Tokens by an administrator's word: changed claims, and sign-ins without a proof.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::Answer;
use crate::body::Body;
use crate::doors::bearer::Writer;
use crate::doors::sign_in::{Entry, complete, pending};
use crate::errors::Refusal;
use crate::forge::TokenKind;
use crate::renew::enabled_user;
use crate::state::{SessionRecord, Shared};
use crate::tokens::{Door, later, refresh_claims, session_claims};

/// `POST /v1/mgmt/jwt/update`: the same token with more custom claims, and with the user's rights as they are now. A
/// name of the service's own among them is dropped.
pub(crate) async fn update(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    let token = body.need("jwt")?;
    let now = shared.clock.now();
    let mut world = shared.world();
    let kind = match world.session(token, now) {
        Ok(session) => (session.family, TokenKind::Session),
        Err(_) => (world.families.check(token, &world.ring, now)?.1, TokenKind::Refresh),
    };
    let (id, kind) = kind;
    let gone = || Refusal::invalid_token("The token is no login's");
    let family = world.families.get_mut(id).filter(|family| family.ended.is_none()).ok_or_else(gone)?;
    family.claims.extend(body.object("customClaims").members().clone());
    let family = family.clone();
    let user = enabled_user(&world, &family.user_id)?;
    let longer = body.number("refreshDuration").and_then(|seconds| u32::try_from(seconds).ok());
    let end = longer.filter(|seconds| *seconds > 0).map_or(family.ends_at, |seconds| later(now, seconds));
    let kid = world.ring.present().kid().to_owned();
    let updated = match kind {
        TokenKind::Session => {
            let (claims, ends) =
                session_claims(&world, &shared.site, &family, &user, Door::Rest, family.ends_at, now);
            let updated = world.sign(kind, claims.clone(), now)?;
            world
                .sessions
                .insert(updated.clone(), SessionRecord { family: id, kid, expires_at: ends, claims });
            updated
        }
        _ => {
            let claims = refresh_claims(&world, &shared.site, &family, &user, end, now);
            let updated = world.sign(kind, claims, now)?;
            world.families.add_token(id, &updated, &kid, end);
            updated
        }
    };
    Ok(Json(json!({"jwt": updated})))
}

/// `POST /v1/mgmt/auth/signin`
pub(crate) async fn sign_in(
    State(shared): State<Arc<Shared>>,
    _: Writer,
    body: Body,
) -> Result<Response, Refusal> {
    enter(&shared, &body, Entry::SignIn)
}

/// `POST /v1/mgmt/auth/signup`
pub(crate) async fn sign_up(
    State(shared): State<Arc<Shared>>,
    _: Writer,
    body: Body,
) -> Result<Response, Refusal> {
    enter(&shared, &body, Entry::SignUp)
}

/// `POST /v1/mgmt/auth/signup-in`
pub(crate) async fn sign_up_or_in(
    State(shared): State<Arc<Shared>>,
    _: Writer,
    body: Body,
) -> Result<Response, Refusal> {
    enter(&shared, &body, Entry::Either)
}

fn enter(shared: &Shared, body: &Body, entry: Entry) -> Result<Response, Refusal> {
    let now = shared.clock.now();
    let mut world = shared.world();
    let user = entry.user(&mut world, body.need("loginId")?, &body.object("user"), now)?;
    let pending = pending(&world, &user.id, "email", body, None, now)?;
    complete(shared, &mut world, pending, now)
}
