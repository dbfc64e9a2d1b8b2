//! Access keys: their clear text is told once, when they are made or rotated.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Answer;
use super::users::{known_roles, memberships};
use crate::access_keys::AccessKey;
use crate::body::Body;
use crate::doors::bearer::{Reader, Writer};
use crate::errors::Refusal;
use crate::fixture::TestPassword;
use crate::ledger::SecretKind;
use crate::random::{stable_id, unguessable};
use crate::state::{Shared, World};

/// `POST /v1/mgmt/accesskey/create`
pub(crate) async fn create(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    let name = body.need("name")?;
    let now = shared.clock.now();
    let mut world = shared.world();
    let expires_at = match body.number("expireTime").unwrap_or(0) {
        0 => None,
        at => Some(
            Timestamp::from_second(at)
                .map_err(|_| Refusal::invalid("The expireTime field is not a point in time"))?,
        ),
    };
    let user_id = match body.text("userId") {
        Some(id) => Some(world.user(id).ok_or_else(Refusal::no_managed_user)?.id.clone()),
        None => None,
    };
    let mut key = AccessKey {
        id: stable_id('K', &unguessable()),
        secret: TestPassword::default(),
        name: name.to_owned(),
        description: body.text("description").unwrap_or_default().to_owned(),
        roles: known_roles(&world, body.texts("roleNames"))?,
        tenants: memberships(&world, &body.objects("keyTenants"))?,
        user_id,
        claims: body.object("customClaims").members().clone(),
        attributes: body.object("customAttributes").members().clone(),
        created_at: now,
        expires_at,
        inactive: false,
    };
    let cleartext = new_secret(&mut world, &mut key);
    let answer = json!({"key": key.describe(now), "cleartext": cleartext});
    world.access_keys.add(key);
    Ok(Json(answer))
}

/// `GET /v1/mgmt/accesskey?id=…`
pub(crate) async fn load(
    State(shared): State<Arc<Shared>>,
    _: Reader,
    Query(query): Query<BTreeMap<String, String>>,
) -> Answer {
    let id = query.get("id").ok_or_else(|| Refusal::missing("id"))?;
    let world = shared.world();
    let key = world.access_keys.iter().find(|key| key.id == *id).ok_or_else(no_key)?;
    Ok(Json(json!({"key": key.describe(shared.clock.now())})))
}

/// `POST /v1/mgmt/accesskey/search`
pub(crate) async fn search(State(shared): State<Arc<Shared>>, _: Reader, body: Body) -> Answer {
    let (tenants, user) = (body.texts("tenantIds"), body.text("boundUserId"));
    let (world, now) = (shared.world(), shared.clock.now());
    let fits = |key: &&AccessKey| {
        (tenants.is_empty() || tenants.iter().any(|tenant| key.tenants.contains_key(tenant)))
            && user.is_none_or(|user| key.user_id.as_deref() == Some(user))
    };
    let found: Vec<Value> = world.access_keys.iter().filter(fits).map(|key| key.describe(now)).collect();
    Ok(Json(json!({"keys": found})))
}

/// `POST /v1/mgmt/accesskey/update`
pub(crate) async fn update(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    let mut world = shared.world();
    let roles = known_roles(&world, body.texts("roleNames"))?;
    let tenants = memberships(&world, &body.objects("keyTenants"))?;
    let key = world.access_keys.get_mut(body.need("id")?).ok_or_else(no_key)?;
    body.need("name")?.clone_into(&mut key.name);
    if body.get("roleNames").is_some() {
        key.roles = roles;
    }
    if body.get("keyTenants").is_some() {
        key.tenants = tenants;
    }
    if body.get("customClaims").is_some() {
        key.claims = body.object("customClaims").members().clone();
    }
    if let Some(description) = body.text("description") {
        description.clone_into(&mut key.description);
    }
    Ok(Json(json!({"key": key.describe(shared.clock.now())})))
}

/// `POST /v1/mgmt/accesskey/activate`
pub(crate) async fn activate(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    set_inactive(&shared, &body, false)
}

/// `POST /v1/mgmt/accesskey/deactivate`
pub(crate) async fn deactivate(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    set_inactive(&shared, &body, true)
}

/// `POST /v1/mgmt/accesskey/rotate`: another clear text, the same key.
pub(crate) async fn rotate(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    let id = body.need("id")?;
    let mut world = shared.world();
    let mut key = world.access_keys.iter().find(|key| key.id == id).cloned().ok_or_else(no_key)?;
    let cleartext = new_secret(&mut world, &mut key);
    let answer = json!({"key": key.describe(shared.clock.now()), "cleartext": cleartext});
    if let Some(kept) = world.access_keys.get_mut(id) {
        *kept = key;
    }
    Ok(Json(answer))
}

/// `POST /v1/mgmt/accesskey/delete`
pub(crate) async fn delete(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    if !shared.world().access_keys.remove(body.need("id")?) {
        return Err(no_key());
    }
    Ok(Json(json!({})))
}

fn set_inactive(shared: &Shared, body: &Body, inactive: bool) -> Answer {
    let mut world = shared.world();
    world.access_keys.get_mut(body.need("id")?).ok_or_else(no_key)?.inactive = inactive;
    Ok(Json(json!({})))
}

fn new_secret(world: &mut World, key: &mut AccessKey) -> String {
    let cleartext = unguessable();
    world.ledger.note(SecretKind::AccessKey, &cleartext);
    key.secret = TestPassword::new(&cleartext);
    cleartext
}

fn no_key() -> Refusal {
    Refusal::mismatch("There is no such access key")
}
