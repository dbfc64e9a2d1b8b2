//! Single changes to a user. Tokens issued from now on show them (sheet section 11, item 8).

use std::sync::Arc;

use axum::extract::State;
use serde_json::Value;

use super::Answer;
use super::users::{known_roles, meant, one, put};
use crate::body::Body;
use crate::doors::bearer::Writer;
use crate::errors::Refusal;
use crate::fixture::{TestPassword, User};
use crate::state::{Shared, World};

/// `POST /v1/mgmt/user/update/status`
pub(crate) async fn status(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    let status = body.need("status")?;
    let (disabled, invited) = match status {
        "enabled" => (false, false),
        "disabled" => (true, false),
        "invited" => (false, true),
        _ => return Err(Refusal::invalid("The status field must be enabled, disabled or invited")),
    };
    edit(&shared, &body, |_, user| {
        (user.disabled, user.invited) = (disabled, invited);
        Ok(())
    })
}

/// `POST /v1/mgmt/user/update/name`
pub(crate) async fn name(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    edit(&shared, &body, |_, user| {
        let name = body.text("displayName").or_else(|| body.text("name"));
        user.name = name.map(str::to_owned).or_else(|| user.name.clone());
        Ok(())
    })
}

/// `POST /v1/mgmt/user/update/email`
pub(crate) async fn email(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    edit(&shared, &body, |_, user| {
        user.email = body.text("email").unwrap_or_default().to_owned();
        Ok(())
    })
}

/// `POST /v1/mgmt/user/update/phone`
pub(crate) async fn phone(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    edit(&shared, &body, |_, user| {
        user.phone = body.text("phone").map(str::to_owned);
        Ok(())
    })
}

/// `POST /v1/mgmt/user/update/customAttribute`
pub(crate) async fn attribute(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    let (key, value) = (body.need("attributeKey")?, body.get("attributeValue").cloned());
    edit(&shared, &body, |_, user| {
        user.attributes.insert(key.to_owned(), value.unwrap_or(Value::Null));
        Ok(())
    })
}

/// `POST /v1/mgmt/user/update/role/set`
pub(crate) async fn set_roles(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    edit_roles(&shared, &body, |held, named| *held = named)
}

/// `POST /v2/mgmt/user/update/role/add`
pub(crate) async fn add_roles(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    edit_roles(&shared, &body, |held, named| {
        let new: Vec<String> = named.into_iter().filter(|role| !held.contains(role)).collect();
        held.extend(new);
    })
}

/// `POST /v1/mgmt/user/update/role/remove`
pub(crate) async fn remove_roles(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    edit_roles(&shared, &body, |held, named| held.retain(|role| !named.contains(role)))
}

/// `POST /v1/mgmt/user/update/tenant/add`
pub(crate) async fn add_tenant(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    let tenant = body.need("tenantId")?;
    edit(&shared, &body, |world, user| {
        if !world.tenants.contains_key(tenant) {
            return Err(Refusal::mismatch(format!("There is no tenant {tenant:?}")));
        }
        user.tenants.entry(tenant.to_owned()).or_default();
        Ok(())
    })
}

/// `POST /v1/mgmt/user/update/tenant/remove`
pub(crate) async fn remove_tenant(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    let tenant = body.need("tenantId")?;
    edit(&shared, &body, |_, user| {
        let gone = user.tenants.remove(tenant);
        gone.map(drop).ok_or_else(|| Refusal::mismatch("The user is not a member of the tenant"))
    })
}

/// `POST /v1/mgmt/user/password/set/active`
pub(crate) async fn set_password(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    let password = TestPassword::new(body.need("password")?);
    edit(&shared, &body, |_, user| {
        user.password = password;
        Ok(())
    })
}

/// Changes the roles of the project, or of the tenant that the body names.
fn edit_roles(shared: &Shared, body: &Body, change: impl FnOnce(&mut Vec<String>, Vec<String>)) -> Answer {
    edit(shared, body, |world, user| {
        let named = known_roles(world, body.texts("roleNames"))?;
        let held = match body.text("tenantId") {
            None => &mut user.roles,
            Some(tenant) => user
                .tenants
                .get_mut(tenant)
                .ok_or_else(|| Refusal::mismatch("The user is not a member of the tenant"))?,
        };
        change(held, named);
        Ok(())
    })
}

fn edit(
    shared: &Shared,
    body: &Body,
    change: impl FnOnce(&World, &mut User) -> Result<(), Refusal>,
) -> Answer {
    let mut world = shared.world();
    let mut user = meant(&world, body)?.clone();
    change(&world, &mut user)?;
    world.note_event("UserModified", &user.id, "", shared.clock.now());
    put(&mut world, user.clone());
    Ok(one(&world, &user))
}
