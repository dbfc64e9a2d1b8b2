//! One-time codes by e-mail or phone (sheet 4.2). Nothing is sent: the management API tells the codes of test users.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderMap;
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Delivery, Entry, complete, pending, session_to_add_to};
use crate::body::Body;
use crate::doors::bearer::open;
use crate::errors::Refusal;
use crate::ledger::SecretKind;
use crate::one_time::Pending;
use crate::random::unguessable;
use crate::state::{Shared, World};

/// `POST /v1/auth/otp/{signin,signup,signup-in}/{method}`
pub(crate) async fn send(
    State(shared): State<Arc<Shared>>,
    Path((entry, method)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    open(&shared, &headers)?;
    let (entry, delivery) = (Entry::named(&entry)?, Delivery::named(&method)?);
    let options = body.object("loginOptions");
    let added_to = session_to_add_to(&shared, &headers, &options)?;
    let now = shared.clock.now();
    let mut world = shared.world();
    let user = entry.user(&mut world, body.need("loginId")?, &body.object("user"), now)?;
    let masked = delivery.masked(&user)?;
    let pending = pending(&world, &user.id, delivery.factor(), &options, added_to.as_deref(), now)?;
    new_code(&mut world, pending);
    Ok(Json(masked))
}

/// `POST /v1/auth/otp/verify/{method}`
pub(crate) async fn verify(
    State(shared): State<Arc<Shared>>,
    Path(method): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    open(&shared, &headers)?;
    Delivery::named(&method)?;
    let code = body.need("code")?;
    let now = shared.clock.now();
    let mut world = shared.world();
    world.ledger.note(SecretKind::Received, code);
    let user = world.user(body.need("loginId")?).ok_or_else(Refusal::no_user)?.id.clone();
    let pending = take(&mut world, &user, code, now)?;
    complete(&shared, &mut world, pending, now)
}

/// Six digits for a sign-in.
pub(crate) fn new_code(world: &mut World, pending: Pending) -> String {
    let digest = Sha256::digest(unguessable());
    let code: String = digest
        .iter()
        .take(6)
        .map(|octet| char::from_digit(u32::from(octet % 10), 10).unwrap_or('0'))
        .collect();
    world.ledger.note(SecretKind::Code, &code);
    world.one_time.add_code(&code, pending);
    code
}

fn take(world: &mut World, user: &str, code: &str, now: Timestamp) -> Result<Pending, Refusal> {
    let taken = world.one_time.take_code(user, code, now);
    if taken.is_err() {
        world.note_event("LoginFailed", user, "otp", now);
    }
    taken
}
