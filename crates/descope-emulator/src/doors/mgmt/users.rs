//! Users as wholes: create, load, search, replace, delete, log out.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use serde_json::{Value, json};

use super::Answer;
use crate::body::Body;
use crate::doors::account::user_object;
use crate::doors::bearer::{Reader, Writer};
use crate::doors::sign_in::{add_user, new_user};
use crate::errors::Refusal;
use crate::families::FamilyEnd;
use crate::fixture::{TestPassword, User};
use crate::state::{Shared, World};

/// `GET /v1/mgmt/user?loginId=…` or `?userId=…`
pub(crate) async fn load(
    State(shared): State<Arc<Shared>>,
    _: Reader,
    Query(query): Query<BTreeMap<String, String>>,
) -> Answer {
    let id =
        query.get("loginId").or_else(|| query.get("userId")).ok_or_else(|| Refusal::missing("loginId"))?;
    let world = shared.world();
    let user = world.user(id).ok_or_else(Refusal::no_managed_user)?;
    Ok(one(&world, user))
}

/// `POST /v1/mgmt/users/load`
pub(crate) async fn load_many(State(shared): State<Arc<Shared>>, _: Reader, body: Body) -> Answer {
    let ids = body.texts("userIds");
    let world = shared.world();
    Ok(many(&world, world.users.iter().filter(|user| ids.contains(&user.id)), None))
}

/// `POST /v1/mgmt/user/create`
pub(crate) async fn create(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    created(&shared, &body, body.is_true("test"))
}

/// `POST /v1/mgmt/user/create/test`
pub(crate) async fn create_test(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    created(&shared, &body, true)
}

/// `POST /v1/mgmt/user/update`: what the body leaves out is emptied.
pub(crate) async fn update(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    replaced(&shared, &body, true)
}

/// `PATCH /v1/mgmt/user/patch`: what the body leaves out stays.
pub(crate) async fn patch(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    replaced(&shared, &body, false)
}

/// `POST /v1/mgmt/user/delete`
pub(crate) async fn delete(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    let mut world = shared.world();
    let id = meant(&world, &body)?.id.clone();
    world.note_event("UserDeleted", &id, "", shared.clock.now());
    remove(&mut world, &id);
    Ok(Json(json!({})))
}

/// `DELETE /v1/mgmt/user/test/delete/all`
pub(crate) async fn delete_all_test_users(State(shared): State<Arc<Shared>>, _: Writer) -> Answer {
    let mut world = shared.world();
    let ids: Vec<String> = world.users.iter().filter(|user| user.test).map(|user| user.id.clone()).collect();
    for id in ids {
        remove(&mut world, &id);
    }
    Ok(Json(json!({})))
}

/// `POST /v2/mgmt/user/search`
pub(crate) async fn search(State(shared): State<Arc<Shared>>, _: Reader, body: Body) -> Answer {
    Ok(found(&shared.world(), &body, body.is_true("testUsersOnly")))
}

/// `POST /v2/mgmt/user/search/test`
pub(crate) async fn search_test(State(shared): State<Arc<Shared>>, _: Reader, body: Body) -> Answer {
    Ok(found(&shared.world(), &body, true))
}

/// `POST /v1/mgmt/user/logout`: every session of the user is over.
pub(crate) async fn logout(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    let mut world = shared.world();
    let id = meant(&world, &body)?.id.clone();
    world.families.end_all(&id, FamilyEnd::RevokedByAdmin);
    world.note_event("UserLoggedOut", &id, "", shared.clock.now());
    Ok(Json(json!({})))
}

/// `POST /v1/mgmt/user/history`: the sign-ins of the users whose ids are the members of a list under `userIds`.
pub(crate) async fn history(State(shared): State<Arc<Shared>>, _: Reader, body: Body) -> Answer {
    let ids = body.texts("userIds");
    let world = shared.world();
    let lines: Vec<Value> = world
        .families
        .iter()
        .filter(|family| ids.contains(&family.user_id))
        .map(|family| {
            json!({"userId": family.user_id, "loginTime": family.auth_time.as_second(), "city": "",
                   "country": "", "ip": "127.0.0.1"})
        })
        .collect();
    Ok(Json(json!({"usersAuthHistory": lines})))
}

/// The user that `loginId` or `userId` means.
pub(crate) fn meant<'w>(world: &'w World, body: &Body) -> Result<&'w User, Refusal> {
    let id = body.text("loginId").or_else(|| body.text("userId"));
    world.user(id.ok_or_else(|| Refusal::missing("loginId"))?).ok_or_else(Refusal::no_managed_user)
}

/// `{"user": …}`
pub(crate) fn one(world: &World, user: &User) -> Json<Value> {
    Json(json!({"user": user_object(world, user)}))
}

/// The names, each of which must be a role of the project.
pub(crate) fn known_roles(world: &World, names: Vec<String>) -> Result<Vec<String>, Refusal> {
    match names.iter().find(|name| !world.roles.contains_key(*name)) {
        Some(name) => Err(Refusal::mismatch(format!("There is no role {name:?}"))),
        None => Ok(names),
    }
}

/// Tenants with the roles held there, from a list of `{"tenantId", "roleNames"}`.
pub(crate) fn memberships(world: &World, list: &[Body]) -> Result<BTreeMap<String, Vec<String>>, Refusal> {
    let membership = |entry: &Body| {
        let tenant = entry.need("tenantId")?;
        if !world.tenants.contains_key(tenant) {
            return Err(Refusal::mismatch(format!("There is no tenant {tenant:?}")));
        }
        Ok((tenant.to_owned(), known_roles(world, entry.texts("roleNames"))?))
    };
    list.iter().map(membership).collect()
}

fn created(shared: &Shared, body: &Body, test: bool) -> Answer {
    let login_id = body.need("loginId")?;
    let now = shared.clock.now();
    let mut world = shared.world();
    let mut user = new_user(&world, login_id, body)?;
    user.roles = known_roles(&world, body.texts("roleNames"))?;
    user.tenants = memberships(&world, &body.objects("userTenants"))?;
    user.invited = body.text("status").is_none_or(|status| status == "invited");
    user.disabled = body.text("status") == Some("disabled");
    user.test = test;
    add_user(&mut world, user.clone(), now);
    Ok(one(&world, &user))
}

fn replaced(shared: &Shared, body: &Body, whole: bool) -> Answer {
    let now = shared.clock.now();
    let mut world = shared.world();
    let mut user = meant(&world, body)?.clone();
    let given = |name: &str| whole || body.get(name).is_some();
    if given("roleNames") {
        user.roles = known_roles(&world, body.texts("roleNames"))?;
    }
    if given("userTenants") {
        user.tenants = memberships(&world, &body.objects("userTenants"))?;
    }
    if given("email") {
        user.email = body.text("email").unwrap_or_default().to_owned();
    }
    if given("phone") {
        user.phone = body.text("phone").map(str::to_owned);
    }
    if given("displayName") || given("name") {
        user.name = body.text("displayName").or_else(|| body.text("name")).map(str::to_owned);
    }
    if given("customAttributes") {
        user.attributes = body.object("customAttributes").members().clone();
    }
    if let Some(password) = body.text("password") {
        user.password = TestPassword::new(password);
    }
    if let Some(status) = body.text("status") {
        (user.disabled, user.invited) = (status == "disabled", status == "invited");
    }
    world.note_event("UserModified", &user.id, "", now);
    put(&mut world, user.clone());
    Ok(one(&world, &user))
}

/// Puts a changed user back.
pub(crate) fn put(world: &mut World, changed: User) {
    if let Some(user) = world.users.iter_mut().find(|user| user.id == changed.id) {
        *user = changed;
    }
}

fn remove(world: &mut World, id: &str) {
    world.families.end_all(id, FamilyEnd::RevokedByAdmin);
    world.users.retain(|user| user.id != id);
}

fn found(world: &World, body: &Body, test_only: bool) -> Json<Value> {
    let text = body.text("text").map(str::to_lowercase);
    let wanted = |name: &str| body.texts(name);
    let (logins, ids, emails) = (wanted("loginIds"), wanted("userIds"), wanted("emails"));
    let (tenants, roles, statuses) = (wanted("tenantIds"), wanted("roleNames"), wanted("statuses"));
    let fits = |user: &&User| {
        let status = match (user.disabled, user.invited) {
            (true, _) => "disabled",
            (_, true) => "invited",
            _ => "enabled",
        };
        (!test_only || user.test)
            && (test_only || body.is_true("withTestUser") || !user.test)
            && (logins.is_empty() || logins.iter().any(|login| user.answers_to(login)))
            && (ids.is_empty() || ids.contains(&user.id))
            && (emails.is_empty() || emails.contains(&user.email))
            && (tenants.is_empty() || tenants.iter().any(|tenant| user.tenants.contains_key(tenant)))
            && (roles.is_empty() || roles.iter().any(|role| user.roles.contains(role)))
            && (statuses.is_empty() || statuses.iter().any(|wanted| wanted == status))
            && text.as_ref().is_none_or(|text| {
                let name = user.name.as_deref().unwrap_or_default();
                format!("{} {} {name}", user.email, user.login_ids.join(" ")).to_lowercase().contains(text)
            })
    };
    let all: Vec<&User> = world.users.iter().filter(fits).collect();
    let number = |name: &str| body.number(name).and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
    let limit = match number("limit") {
        0 => 100,
        limit => limit,
    };
    let total = all.len();
    many(world, all.into_iter().skip(number("page").saturating_mul(limit)).take(limit), Some(total))
}

fn many<'w>(world: &World, users: impl Iterator<Item = &'w User>, total: Option<usize>) -> Json<Value> {
    let users: Vec<Value> = users.map(|user| user_object(world, user)).collect();
    let total = total.unwrap_or(users.len());
    Json(json!({"users": users, "total": total}))
}
