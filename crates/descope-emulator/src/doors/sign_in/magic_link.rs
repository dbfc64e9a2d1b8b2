//! Magic links, and the embedded links of the management API, which are verified at the same place (sheet 4.2).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderMap;
use serde_json::Value;

use super::{Delivery, Entry, complete, pending, session_to_add_to};
use crate::body::Body;
use crate::doors::bearer::open;
use crate::errors::Refusal;
use crate::ledger::SecretKind;
use crate::one_time::Pending;
use crate::random::unguessable;
use crate::state::{Shared, World};

/// `POST /v1/auth/magiclink/{signin,signup,signup-in}/{method}`
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
    new_link(&mut world, pending);
    Ok(Json(masked))
}

/// `POST /v1/auth/magiclink/verify`
pub(crate) async fn verify(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    open(&shared, &headers)?;
    let token = body.need("token")?;
    let now = shared.clock.now();
    let mut world = shared.world();
    world.ledger.note(SecretKind::Received, token);
    let pending = world.one_time.take_link(token, now)?;
    complete(&shared, &mut world, pending, now)
}

/// The token of a link for a sign-in.
pub(crate) fn new_link(world: &mut World, pending: Pending) -> String {
    let token = unguessable();
    world.ledger.note(SecretKind::Code, &token);
    world.one_time.add_link(&token, pending);
    token
}
