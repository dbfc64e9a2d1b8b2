//! Codes and links that would otherwise be sent: for test users, and embedded links for everybody.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::json;
use url::Url;

use super::Answer;
use super::users::meant;
use crate::body::Body;
use crate::doors::bearer::Writer;
use crate::doors::sign_in::magic_link::new_link;
use crate::doors::sign_in::otp::new_code;
use crate::doors::sign_in::{Delivery, Entry, pending};
use crate::errors::Refusal;
use crate::one_time::Pending;
use crate::state::{Shared, World};
use crate::tokens::later;

/// `POST /v1/mgmt/tests/generate/otp`
pub(crate) async fn otp(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    let mut world = shared.world();
    let pending = for_test_user(&shared, &world, &body)?;
    let code = new_code(&mut world, pending);
    Ok(Json(json!({"code": code, "loginId": body.text("loginId")})))
}

/// `POST /v1/mgmt/tests/generate/magiclink`
pub(crate) async fn magic_link(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    let mut world = shared.world();
    let pending = for_test_user(&shared, &world, &body)?;
    let address = body.text("URI").unwrap_or("http://localhost/verify");
    let mut link = Url::parse(address).map_err(|_| Refusal::invalid("The URI field is not an address"))?;
    let token = new_link(&mut world, pending);
    link.query_pairs_mut().append_pair("t", &token);
    Ok(Json(json!({"link": link.as_str(), "loginId": body.text("loginId")})))
}

/// `POST /v1/mgmt/user/signin/embeddedlink`: a token for `/v1/auth/magiclink/verify`.
pub(crate) async fn embedded_link(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    let mut world = shared.world();
    let user = meant(&world, &body)?.id.clone();
    // Here the claims stand beside the login id, elsewhere among the login options.
    let pending = embedded(&shared, &world, &user, &body, &body)?;
    Ok(Json(json!({"token": new_link(&mut world, pending)})))
}

/// `POST /v1/mgmt/user/signup/embeddedlink`
pub(crate) async fn sign_up_link(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    let now = shared.clock.now();
    let mut world = shared.world();
    let user = Entry::SignUp.user(&mut world, body.need("loginId")?, &body.object("user"), now)?.id;
    let pending = embedded(&shared, &world, &user, &body.object("loginOptions"), &body)?;
    Ok(Json(json!({"token": new_link(&mut world, pending)})))
}

fn for_test_user(shared: &Shared, world: &World, body: &Body) -> Result<Pending, Refusal> {
    let user = meant(world, body)?;
    if !user.test {
        return Err(Refusal::mismatch("The user is not a test user"));
    }
    let delivery = Delivery::named(body.text("deliveryMethod").unwrap_or("email"))?;
    let options = body.object("loginOptions");
    pending(world, &user.id, delivery.factor(), &options, None, shared.clock.now())
}

fn embedded(
    shared: &Shared,
    world: &World,
    user: &str,
    options: &Body,
    body: &Body,
) -> Result<Pending, Refusal> {
    let now = shared.clock.now();
    let mut pending = pending(world, user, "email", options, None, now)?;
    let seconds = body.number("timeout").and_then(|seconds| u32::try_from(seconds).ok());
    if let Some(seconds) = seconds.filter(|seconds| *seconds > 0) {
        pending.expires_at = later(now, seconds);
    }
    Ok(pending)
}
