//! Roles, permissions and tenants. Roles belong to the project here: those of a single tenant are refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use serde_json::{Value, json};

use super::Answer;
use crate::body::Body;
use crate::doors::bearer::{Reader, Writer};
use crate::errors::Refusal;
use crate::fixture::Tenant;
use crate::random::{stable_id, unguessable};
use crate::state::{Shared, World};

/// `POST /v1/mgmt/role/create`
pub(crate) async fn create_role(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    of_project(&body)?;
    let name = body.need("name")?;
    let mut world = shared.world();
    if world.roles.contains_key(name) {
        return Err(Refusal::invalid("The role exists already"));
    }
    let permissions = known_permissions(&world, body.texts("permissionNames"))?;
    world.roles.insert(name.to_owned(), permissions);
    describe(&mut world, "role", name, &body);
    Ok(Json(role(&world, name)))
}

/// `POST /v1/mgmt/role/update`
pub(crate) async fn update_role(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    of_project(&body)?;
    let name = body.need("name")?;
    let new_name = body.text("newName").unwrap_or(name);
    let mut world = shared.world();
    let permissions = known_permissions(&world, body.texts("permissionNames"))?;
    world.roles.remove(name).ok_or_else(|| Refusal::mismatch("There is no such role"))?;
    world.roles.insert(new_name.to_owned(), permissions);
    describe(&mut world, "role", new_name, &body);
    if new_name != name {
        let held = world
            .users
            .iter_mut()
            .flat_map(|user| std::iter::once(&mut user.roles).chain(user.tenants.values_mut()));
        for role in held.flatten().filter(|role| *role == name) {
            new_name.clone_into(role);
        }
    }
    Ok(Json(role(&world, new_name)))
}

/// `POST /v1/mgmt/role/delete`: nobody holds it any more, either.
pub(crate) async fn delete_role(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    of_project(&body)?;
    let name = body.need("name")?;
    let mut world = shared.world();
    world.roles.remove(name).ok_or_else(|| Refusal::mismatch("There is no such role"))?;
    for user in &mut world.users {
        user.roles.retain(|role| role != name);
        user.tenants.values_mut().for_each(|roles| roles.retain(|role| role != name));
    }
    Ok(Json(json!({})))
}

/// `GET /v1/mgmt/role/all`
pub(crate) async fn all_roles(State(shared): State<Arc<Shared>>, _: Reader) -> Answer {
    let world = shared.world();
    Ok(Json(json!({"roles": world.roles.keys().map(|name| role(&world, name)).collect::<Vec<_>>()})))
}

/// `POST /v1/mgmt/role/search`
pub(crate) async fn search_roles(State(shared): State<Arc<Shared>>, _: Reader, body: Body) -> Answer {
    let (names, permissions) = (body.texts("roleNames"), body.texts("permissionNames"));
    let like = body.text("roleNameLike").map(str::to_lowercase);
    let world = shared.world();
    let fits = |(name, held): &(&String, &Vec<String>)| {
        (names.is_empty() || names.contains(name))
            && permissions.iter().all(|permission| held.contains(permission))
            && like.as_ref().is_none_or(|like| name.to_lowercase().contains(like))
    };
    let found: Vec<Value> = world.roles.iter().filter(fits).map(|(name, _)| role(&world, name)).collect();
    Ok(Json(json!({"roles": found})))
}

/// `POST /v1/mgmt/permission/create`
pub(crate) async fn create_permission(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    let name = body.need("name")?;
    let mut world = shared.world();
    if !world.permissions.insert(name.to_owned()) {
        return Err(Refusal::invalid("The permission exists already"));
    }
    describe(&mut world, "permission", name, &body);
    Ok(Json(permission(&world, name)))
}

/// `POST /v1/mgmt/permission/delete`
pub(crate) async fn delete_permission(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    let name = body.need("name")?;
    let mut world = shared.world();
    if !world.permissions.remove(name) {
        return Err(Refusal::mismatch("There is no such permission"));
    }
    world.roles.values_mut().for_each(|held| held.retain(|permission| permission != name));
    Ok(Json(json!({})))
}

/// `GET /v1/mgmt/permission/all`
pub(crate) async fn all_permissions(State(shared): State<Arc<Shared>>, _: Reader) -> Answer {
    let world = shared.world();
    let all: Vec<Value> = world.permissions.iter().map(|name| permission(&world, name)).collect();
    Ok(Json(json!({"permissions": all})))
}

/// `GET /v1/mgmt/tenant?id=…`
pub(crate) async fn load_tenant(
    State(shared): State<Arc<Shared>>,
    _: Reader,
    Query(query): Query<BTreeMap<String, String>>,
) -> Answer {
    let id = query.get("id").ok_or_else(|| Refusal::missing("id"))?;
    let world = shared.world();
    world
        .tenants
        .get(id)
        .map(|found| Json(tenant(id, found)))
        .ok_or_else(|| Refusal::mismatch("There is no such tenant"))
}

/// `POST /v1/mgmt/tenant/create`
pub(crate) async fn create_tenant(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    let name = body.need("name")?;
    let id = body.text("id").map_or_else(|| stable_id('T', &unguessable()), str::to_owned);
    let mut world = shared.world();
    if world.tenants.contains_key(&id) {
        return Err(Refusal::invalid("The tenant exists already"));
    }
    world.tenants.insert(id.clone(), Tenant { name: name.to_owned() });
    Ok(Json(json!({"id": id})))
}

/// `POST /v1/mgmt/tenant/delete`: nobody is a member any more, either.
pub(crate) async fn delete_tenant(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    let id = body.need("id")?;
    let mut world = shared.world();
    world.tenants.remove(id).ok_or_else(|| Refusal::mismatch("There is no such tenant"))?;
    for user in &mut world.users {
        user.tenants.remove(id);
    }
    Ok(Json(json!({})))
}

/// `GET /v1/mgmt/tenant/all`
pub(crate) async fn all_tenants(State(shared): State<Arc<Shared>>, _: Reader) -> Answer {
    Ok(tenants(&shared.world(), |_, _| true))
}

/// `POST /v1/mgmt/tenant/search`
pub(crate) async fn search_tenants(State(shared): State<Arc<Shared>>, _: Reader, body: Body) -> Answer {
    let (ids, names) = (body.texts("tenantIds"), body.texts("tenantNames"));
    Ok(tenants(&shared.world(), |id, tenant| {
        (ids.is_empty() || ids.iter().any(|wanted| wanted == id))
            && (names.is_empty() || names.contains(&tenant.name))
    }))
}

fn of_project(body: &Body) -> Result<(), Refusal> {
    match body.text("tenantId") {
        Some(_) => Err(Refusal::mismatch("The emulator has no roles of single tenants")),
        None => Ok(()),
    }
}

fn known_permissions(world: &World, names: Vec<String>) -> Result<Vec<String>, Refusal> {
    match names.iter().find(|name| !world.permissions.contains(*name)) {
        Some(name) => Err(Refusal::mismatch(format!("There is no permission {name:?}"))),
        None => Ok(names),
    }
}

fn describe(world: &mut World, kind: &str, name: &str, body: &Body) {
    if let Some(text) = body.text("description") {
        world.descriptions.insert(format!("{kind} {name}"), text.to_owned());
    }
}

fn described<'w>(world: &'w World, kind: &str, name: &str) -> &'w str {
    world.descriptions.get(&format!("{kind} {name}")).map(String::as_str).unwrap_or_default()
}

fn role(world: &World, name: &str) -> Value {
    json!({"id": stable_id('R', name), "name": name, "description": described(world, "role", name),
           "permissionNames": world.roles.get(name), "createdTime": 0, "tenantId": "", "default": false})
}

fn permission(world: &World, name: &str) -> Value {
    json!({"id": stable_id('M', name), "name": name, "description": described(world, "permission", name),
           "systemDefault": false})
}

fn tenant(id: &str, tenant: &Tenant) -> Value {
    json!({"id": id, "name": tenant.name, "selfProvisioningDomains": [], "customAttributes": {},
           "domains": [], "authType": "none", "disabled": false})
}

fn tenants(world: &World, fits: impl Fn(&str, &Tenant) -> bool) -> Json<Value> {
    let found = world.tenants.iter().filter(|(id, found)| fits(id, found));
    Json(json!({"tenants": found.map(|(id, found)| tenant(id, found)).collect::<Vec<_>>()}))
}
