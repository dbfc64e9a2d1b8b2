//! The claims of session, refresh and ID tokens (sheet section 3).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::apps::DefaultAudience;
use crate::clients::{Client, of_family};
use crate::factors::acr;
use crate::families::Family;
use crate::fixture::User;
use crate::realms::Realm;
use crate::settings::{AudienceForm, AuthorizationSchema, EmptyClaims, IssuerForm, NonceForm, ScopeForm};
use crate::state::{Site, World};

/// Names that a custom claim cannot take: it is dropped silently (sheet 3.1).
const SYSTEM: [&str; 22] = [
    "iss",
    "sub",
    "dsub",
    "drn",
    "amr",
    "iat",
    "exp",
    "nbf",
    "rexp",
    "aud",
    "azp",
    "act",
    "cnf",
    "roles",
    "permissions",
    "tenants",
    "dct",
    "su",
    "scope",
    "jti",
    "dcl",
    "nonce",
];

/// Which family of endpoints asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// `/oauth2/v1/…`
    Oauth,
    /// `/v1/auth/…`
    Rest,
}

/// `at` and `seconds` later, or the end of time.
pub(crate) fn later(at: Timestamp, seconds: u32) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(seconds.into())).unwrap_or(Timestamp::MAX)
}

/// The claims of a session token, and its end. It never outlives the refresh token.
pub(crate) fn session_claims(
    world: &World,
    site: &Site,
    family: &Family,
    user: &User,
    door: Door,
    refresh_end: Timestamp,
    now: Timestamp,
) -> (Map<String, Value>, Timestamp) {
    let shape = &world.settings.tokens;
    let client = of_family(world, site, family);
    let end = later(now, client.session_seconds(world)).min(refresh_end);
    let mut claims = common(world, site, family, user, now, end);
    if !shape.omit_drn {
        claims.insert("drn".to_owned(), json!("DS"));
    }
    claims.insert("rexp".to_owned(), json!(iso(refresh_end)));
    claims.extend(authorization(world, family, user));
    if family.stepped_up_until.is_some_and(|until| now < until) {
        claims.insert("su".to_owned(), json!(true));
    }
    if shape.session_jti {
        claims.insert("jti".to_owned(), json!(Uuid::new_v4().to_string()));
    }
    let audience = match (shape.audience, door) {
        (AudienceForm::Absent, _) | (AudienceForm::Auto, Door::Rest) => None,
        (AudienceForm::String, _) => Some(json!(site.project_id)),
        (AudienceForm::Auto, Door::Oauth) => {
            Some(own_audience(site, &family.client_id, &family.resources, client.app.audience))
        }
        (AudienceForm::List, _) => Some(json!([site.project_id, format!("{}-resource", family.client_id)])),
    };
    claims.extend(audience.map(|audience| ("aud".to_owned(), audience)));
    let third_party = family.realm.is_third_party();
    if third_party {
        claims.insert("azp".to_owned(), json!(family.client_id));
    }
    match shape.scope {
        ScopeForm::Absent if !third_party => {}
        ScopeForm::Absent | ScopeForm::String => {
            drop(claims.insert("scope".to_owned(), json!(family.scope.join(" "))))
        }
        ScopeForm::Array => drop(claims.insert("scope".to_owned(), json!(family.scope))),
    }
    claims.extend(custom(&family.claims));
    claims.retain(|name, _| !shape.omit.contains(name));
    claims.extend(shape.extra.clone());
    (claims, end)
}

/// The claims of a token for a client itself (the client credentials grant), and its end.
pub(crate) fn client_claims(
    world: &World,
    site: &Site,
    client: &Client,
    scope: &[String],
    resources: &[String],
    now: Timestamp,
) -> (Map<String, Value>, Timestamp) {
    let end = later(now, client.session_seconds(world));
    let claims = Map::from_iter([
        ("iss".to_owned(), json!(client.realm.issuer(site))),
        ("sub".to_owned(), json!(client.id)),
        ("azp".to_owned(), json!(client.id)),
        ("aud".to_owned(), own_audience(site, &client.id, resources, client.app.audience)),
        ("drn".to_owned(), json!("DS")),
        ("iat".to_owned(), json!(now.as_second())),
        ("exp".to_owned(), json!(end.as_second())),
        ("scope".to_owned(), json!(scope.join(" "))),
    ]);
    (claims, end)
}

/// The claims of a refresh token that ends at `end`.
pub(crate) fn refresh_claims(
    world: &World,
    site: &Site,
    family: &Family,
    user: &User,
    end: Timestamp,
    now: Timestamp,
) -> Map<String, Value> {
    let mut claims = common(world, site, family, user, now, end);
    claims.insert("drn".to_owned(), json!("DSR"));
    if world.settings.tokens.refresh_jti {
        claims.insert("jti".to_owned(), json!(Uuid::new_v4().to_string()));
    }
    if let Some(tenant) = current_tenant(world, family, user) {
        claims.insert("dct".to_owned(), json!(tenant));
    }
    let declared = custom(&family.claims);
    if !declared.is_empty() {
        claims.insert("dcl".to_owned(), json!(declared.keys().collect::<Vec<_>>()));
    }
    if !world.settings.tokens.omit_custom_from_refresh {
        claims.extend(declared);
    }
    claims
}

/// The claims of an ID token (OIDC Core, 2 and 3.1.3.6). A refreshed one carries no nonce (12.2).
pub(crate) fn id_claims(
    world: &World,
    site: &Site,
    family: &Family,
    user: &User,
    nonce: Option<&str>,
    access_token: &str,
    now: Timestamp,
) -> Map<String, Value> {
    let end = later(now, world.settings.lifetimes.id_token);
    let mut claims = Map::from_iter([
        ("iss".to_owned(), json!(family.realm.issuer(site))),
        ("sub".to_owned(), json!(subject(world, user))),
        ("aud".to_owned(), json!([family.client_id])),
        ("iat".to_owned(), json!(now.as_second())),
        ("exp".to_owned(), json!(end.as_second())),
        ("amr".to_owned(), json!(family.factors)),
        ("at_hash".to_owned(), json!(at_hash(access_token))),
    ]);
    let told = &world.settings.sign_in;
    if !told.omit_auth_time {
        let auth_time = family.auth_time.as_second() - i64::from(told.auth_time_age);
        claims.insert("auth_time".to_owned(), json!(auth_time));
    }
    claims.extend(acr(&world.settings, &family.factors).map(|acr| ("acr".to_owned(), json!(acr))));
    let nonce = match told.nonce {
        NonceForm::Echoed => nonce,
        NonceForm::Absent => None,
        NonceForm::Another => nonce.map(|_| "another-nonce"),
    };
    claims.extend(nonce.map(|nonce| ("nonce".to_owned(), json!(nonce))));
    let asked = |scope: &str| family.scope.iter().any(|asked| asked == scope);
    claims.extend(profile(user, asked("profile"), asked("email")));
    if asked("descope.claims") {
        claims.extend(authorization(world, family, user));
    }
    if asked("descope.custom_claims") {
        claims.extend(custom(&family.claims));
    }
    claims
}

/// `name`, `email` and their companions, for ID tokens and userinfo.
pub(crate) fn profile(user: &User, profile: bool, email: bool) -> Map<String, Value> {
    let mut claims = Map::new();
    if profile && let Some(name) = &user.name {
        claims.insert("name".to_owned(), json!(name));
        let (given, family) = name.split_once(' ').unwrap_or((name, ""));
        claims.insert("given_name".to_owned(), json!(given));
        if !family.is_empty() {
            claims.insert("family_name".to_owned(), json!(family));
        }
    }
    if email {
        claims.insert("email".to_owned(), json!(user.email));
        claims.insert("email_verified".to_owned(), json!(!user.unverified));
    }
    claims
}

/// What `sub` says for a user.
pub(crate) fn subject<'a>(world: &World, user: &'a User) -> &'a str {
    if world.settings.tokens.override_subject { &user.email } else { &user.id }
}

/// The tenant that is current in a family: the selected one, or the only one.
pub(crate) fn current_tenant(world: &World, family: &Family, user: &User) -> Option<String> {
    let selected = family.tenant.clone().filter(|tenant| user.tenants.contains_key(tenant));
    let mut all = user.tenants.keys();
    let only = match (all.next(), all.next()) {
        (Some(tenant), None) if world.settings.tokens.auto_dct => Some(tenant.clone()),
        _ => None,
    };
    selected.or(only)
}

/// ISO 8601 with whole seconds, as `rexp` has it.
pub(crate) fn iso(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn common(
    world: &World,
    site: &Site,
    family: &Family,
    user: &User,
    now: Timestamp,
    end: Timestamp,
) -> Map<String, Value> {
    let mut claims = Map::from_iter([
        ("iss".to_owned(), json!(issuer(world, site, family))),
        ("sub".to_owned(), json!(subject(world, user))),
        ("amr".to_owned(), json!(family.factors)),
        ("iat".to_owned(), json!(now.as_second())),
        ("exp".to_owned(), json!(end.as_second())),
    ]);
    if world.settings.tokens.override_subject {
        claims.insert("dsub".to_owned(), json!(user.id));
    }
    claims
}

fn issuer(world: &World, site: &Site, family: &Family) -> String {
    let Site { base_url, project_id, .. } = site;
    match &family.realm {
        Realm::Project => {}
        Realm::Mcp(_) if world.settings.tokens.mcp_tokens_say_inbound => return Realm::Inbound.issuer(site),
        realm => return realm.issuer(site),
    }
    match world.settings.tokens.issuer {
        IssuerForm::Bare => project_id.clone(),
        IssuerForm::Url => site.issuer(),
        IssuerForm::App => format!("{base_url}/{project_id}/SA2emulated"),
        IssuerForm::Inbound => format!("{base_url}/v1/apps/{project_id}"),
        IssuerForm::Agentic => format!("{base_url}/v1/apps/agentic/{project_id}/MS2emulated"),
        IssuerForm::Tenant => {
            format!("{base_url}/v1/apps/{project_id}/{}", family.tenant.as_deref().unwrap_or("T2emulated"))
        }
    }
}

/// The app's default audience and the granted resources: a string where it is one, a list where it is more.
fn own_audience(site: &Site, client_id: &str, resources: &[String], default: DefaultAudience) -> Value {
    let mut all = match default {
        DefaultAudience::Project => vec![site.project_id.as_str()],
        DefaultAudience::Client => vec![client_id],
        DefaultAudience::Both => vec![site.project_id.as_str(), client_id],
    };
    all.extend(resources.iter().map(String::as_str));
    match all.as_slice() {
        [one] => json!(one),
        more => json!(more),
    }
}

pub(crate) fn authorization(world: &World, family: &Family, user: &User) -> Map<String, Value> {
    let mut claims = Map::new();
    let shape = &world.settings.tokens;
    let current = current_tenant(world, family, user);
    claims.extend(current.iter().map(|tenant| ("dct".to_owned(), json!(tenant))));
    let top = match (shape.authorization, &current) {
        (AuthorizationSchema::None, _) => return claims,
        (AuthorizationSchema::TenantOnly, Some(tenant)) => {
            user.tenants.get(tenant).cloned().unwrap_or_default()
        }
        _ => user.roles.clone(),
    };
    claims.extend(list("roles", &top, shape.empty_claims));
    if !shape.exclude_permissions {
        claims.extend(list("permissions", &world.permissions(&top), shape.empty_claims));
    }
    if shape.authorization == AuthorizationSchema::Default && !user.tenants.is_empty() {
        let rights = |roles: &Vec<String>| {
            let mut rights = list("roles", roles, EmptyClaims::Delete);
            if !shape.exclude_permissions {
                rights.extend(list("permissions", &world.permissions(roles), EmptyClaims::Delete));
            }
            Value::Object(rights)
        };
        let tenants: Map<String, Value> =
            user.tenants.iter().map(|(tenant, roles)| (tenant.clone(), rights(roles))).collect();
        claims.insert("tenants".to_owned(), Value::Object(tenants));
    }
    claims
}

fn list(name: &str, items: &[String], empty: EmptyClaims) -> Map<String, Value> {
    let value = match (items.is_empty(), empty) {
        (true, EmptyClaims::Delete) => return Map::new(),
        (true, EmptyClaims::Null) => Value::Null,
        _ => json!(items),
    };
    Map::from_iter([(name.to_owned(), value)])
}

/// Custom claims without those that are named like the service's own.
pub(crate) fn custom(claims: &Map<String, Value>) -> Map<String, Value> {
    let mut claims = claims.clone();
    claims.retain(|name, _| !SYSTEM.contains(&name.as_str()));
    claims
}

/// The left half of SHA-256 over the token (OIDC Core, 3.1.3.6).
fn at_hash(access_token: &str) -> String {
    let digest = Sha256::digest(access_token.as_bytes());
    URL_SAFE_NO_PAD.encode(digest.get(..16).unwrap_or_default())
}
