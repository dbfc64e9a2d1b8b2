//! Passwords: sign-up, sign-in, replacing and updating (sheet 4.2).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde_json::{Value, json};

use super::{Entry, complete, pending, session_to_add_to};
use crate::body::Body;
use crate::doors::bearer::{need_token, open};
use crate::errors::Refusal;
use crate::fixture::TestPassword;
use crate::ledger::SecretKind;
use crate::state::{Shared, World};

/// Shorter ones are refused.
const SHORTEST: usize = 8;

/// `POST /v1/auth/password/signup`
pub(crate) async fn sign_up(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    open(&shared, &headers)?;
    let (login_id, password) = (body.need("loginId")?, body.need("password")?);
    let now = shared.clock.now();
    let mut world = shared.world();
    strong_enough(&mut world, password)?;
    let user = Entry::SignUp.user(&mut world, login_id, &body.object("user"), now)?;
    set(&mut world, &user.id, password);
    let pending = pending(&world, &user.id, "pwd", &body.object("loginOptions"), None, now)?;
    complete(&shared, &mut world, pending, now)
}

/// `POST /v1/auth/password/signin`
pub(crate) async fn sign_in(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    open(&shared, &headers)?;
    let options = body.object("loginOptions");
    let added_to = session_to_add_to(&shared, &headers, &options)?;
    let now = shared.clock.now();
    let mut world = shared.world();
    let user_id = proven(&mut world, &shared, body.need("loginId")?, body.need("password")?)?;
    let pending = pending(&world, &user_id, "pwd", &options, added_to.as_deref(), now)?;
    complete(&shared, &mut world, pending, now)
}

/// `POST /v1/auth/password/replace`: a sign-in that changes the password.
pub(crate) async fn replace(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    open(&shared, &headers)?;
    let now = shared.clock.now();
    let mut world = shared.world();
    let user_id = proven(&mut world, &shared, body.need("loginId")?, body.need("oldPassword")?)?;
    let password = body.need("newPassword")?;
    strong_enough(&mut world, password)?;
    set(&mut world, &user_id, password);
    let pending = pending(&world, &user_id, "pwd", &Body::default(), None, now)?;
    complete(&shared, &mut world, pending, now)
}

/// `POST /v1/auth/password/update`, with the refresh token of the user whose password it is.
pub(crate) async fn update(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let token = need_token(&shared, &headers)?;
    let now = shared.clock.now();
    let mut world = shared.world();
    let (_, family, _) = world.families.check(&token, &world.ring, now)?;
    let owner = world.families.get(family).map(|family| family.user_id.clone());
    let user = world.user(body.need("loginId")?).ok_or_else(Refusal::no_user)?.id.clone();
    if owner.as_ref() != Some(&user) {
        return Err(Refusal::mismatch("The session is another user's"));
    }
    let password = body.need("newPassword")?;
    strong_enough(&mut world, password)?;
    set(&mut world, &user, password);
    Ok(Json(json!({})))
}

/// `GET /v1/auth/password/policy`
pub(crate) async fn policy(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    open(&shared, &headers)?;
    Ok(Json(json!({"minLength": SHORTEST, "lowercase": false, "uppercase": false, "number": false,
                   "nonAlphanumeric": false})))
}

/// The id of the user whose password this is.
fn proven(world: &mut World, shared: &Shared, login_id: &str, password: &str) -> Result<String, Refusal> {
    world.ledger.note(SecretKind::Password, password);
    let user = world.user(login_id).ok_or_else(Refusal::no_user)?;
    let (id, fits) = (user.id.clone(), user.password.matches(password));
    if !fits {
        world.note_event("LoginFailed", &id, "pwd", shared.clock.now());
        return Err(Refusal::invalid_token("The credentials are not valid"));
    }
    Ok(id)
}

fn strong_enough(world: &mut World, password: &str) -> Result<(), Refusal> {
    world.ledger.note(SecretKind::Password, password);
    if password.chars().count() < SHORTEST {
        return Err(Refusal::invalid(format!("The password is shorter than {SHORTEST} characters")));
    }
    Ok(())
}

fn set(world: &mut World, user_id: &str, password: &str) {
    if let Some(user) = world.user_mut(user_id) {
        user.password = TestPassword::new(password);
    }
}
