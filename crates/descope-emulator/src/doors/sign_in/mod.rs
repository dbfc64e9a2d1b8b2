//! Sign-ins without a page: password, one-time code, magic link. What they share is here.

use axum::response::Response;
use http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::body::Body;
use crate::doors::bearer::need_token;
use crate::doors::jwt_response::{Beside, jwt_response};
use crate::errors::Refusal;
use crate::families::FamilyEnd;
use crate::fixture::{TestPassword, User};
use crate::one_time::Pending;
use crate::random::{stable_id, unguessable};
use crate::renew::{SignIn, begin};
use crate::state::{Shared, World};
use crate::tokens::{Door, later};

pub(crate) mod magic_link;
pub(crate) mod otp;
pub(crate) mod password;

/// The token in the bearer, where the login options need one: a step-up or a second factor adds to a session.
pub(crate) fn session_to_add_to(
    shared: &Shared,
    headers: &HeaderMap,
    options: &Body,
) -> Result<Option<String>, Refusal> {
    let needed = options.is_true("stepup") || options.is_true("mfa");
    if needed { need_token(shared, headers).map(Some) } else { Ok(None) }
}

/// A sign-in of `user_id` that waits for its proof by `factor`.
pub(crate) fn pending(
    world: &World,
    user_id: &str,
    factor: &str,
    options: &Body,
    added_to: Option<&str>,
    now: Timestamp,
) -> Result<Pending, Refusal> {
    let mut factors = Vec::new();
    if let Some(token) = added_to {
        let (_, family, _) = world.families.check(token, &world.ring, now)?;
        let family = world.families.get(family).filter(|family| family.user_id == user_id);
        let family = family.ok_or_else(|| Refusal::mismatch("The session is another user's"))?;
        if options.is_true("mfa") {
            factors.clone_from(&family.factors);
        }
    }
    if !factors.iter().any(|known| known == factor) {
        factors.push(factor.to_owned());
    }
    Ok(Pending {
        user_id: user_id.to_owned(),
        factors,
        claims: options.object("customClaims").members().clone(),
        stepped_up: options.is_true("stepup"),
        revokes_others: options.is_true("revokeOtherSessions"),
        expires_at: later(now, world.settings.rest.one_time_seconds),
    })
}

/// Finishes a sign-in whose proof was shown.
pub(crate) fn complete(
    shared: &Shared,
    world: &mut World,
    pending: Pending,
    now: Timestamp,
) -> Result<Response, Refusal> {
    let Pending { user_id, factors, claims, stepped_up, revokes_others, .. } = pending;
    let method = factors.last().cloned().unwrap_or_default();
    let first_seen = !world.families.iter().any(|family| family.user_id == user_id);
    let sign_in = SignIn {
        factors: Some(factors),
        claims,
        stepped_up,
        ..SignIn::to_project(&shared.site, user_id.clone(), now)
    };
    if revokes_others {
        world.families.end_all(&user_id, FamilyEnd::LoggedOutEverywhere);
    }
    let mut issued = begin(world, &shared.site, sign_in, Door::Rest, now)?;
    if let Some(user) = world.users.iter_mut().find(|user| user.id == user_id) {
        user.invited = false;
        issued.user = user.clone();
    }
    world.note_event("LoginSucceed", &user_id, &method, now);
    Ok(jwt_response(world, &issued, Beside { user: true, first_seen }, now))
}

/// A user who does not exist yet, with what the request says of them.
pub(crate) fn new_user(world: &World, login_id: &str, details: &Body) -> Result<User, Refusal> {
    let mut login_ids = vec![login_id.to_owned()];
    login_ids.extend(details.texts("additionalLoginIds"));
    if login_ids.iter().any(|id| world.user(id).is_some()) {
        return Err(Refusal::user_exists());
    }
    let address = details.text("email").or_else(|| Some(login_id).filter(|id| id.contains('@')));
    let number = details.text("phone").or_else(|| Some(login_id).filter(|id| id.starts_with('+')));
    let parts = [details.text("givenName"), details.text("familyName")];
    let joined = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let name = details.text("name").or_else(|| details.text("displayName")).map(str::to_owned);
    Ok(User {
        id: stable_id('U', &unguessable()),
        email: address.unwrap_or_default().to_owned(),
        login_ids,
        name: name.or_else(|| Some(joined).filter(|name| !name.is_empty())),
        password: TestPassword::new(details.text("password").unwrap_or_default()),
        roles: Vec::new(),
        tenants: std::collections::BTreeMap::new(),
        disabled: false,
        factors: vec!["pwd".to_owned()],
        claims: Map::new(),
        phone: number.map(str::to_owned),
        unverified: false,
        invited: false,
        test: false,
        attributes: details.object("customAttributes").members().clone(),
    })
}

/// Adds a user and writes that down.
pub(crate) fn add_user(world: &mut World, user: User, now: Timestamp) {
    let id = user.id.clone();
    world.users.push(user);
    world.note_event("UserCreated", &id, "", now);
}

/// How a code or link travels, and what it proves.
pub(crate) struct Delivery {
    factor: &'static str,
    by_phone: bool,
}

impl Delivery {
    /// From the last segment of the path.
    pub(crate) fn named(name: &str) -> Result<Self, Refusal> {
        match name.to_ascii_lowercase().as_str() {
            "email" | "embedded" => Ok(Self { factor: "email", by_phone: false }),
            "sms" | "voice" => Ok(Self { factor: "sms", by_phone: true }),
            "whatsapp" => Ok(Self { factor: "whatsapp", by_phone: true }),
            _ => Err(Refusal::mismatch("There is no such way of delivery")),
        }
    }

    pub(crate) fn factor(&self) -> &'static str {
        self.factor
    }

    /// The answer that says where it went: `maskedEmail` or `maskedPhone`.
    pub(crate) fn masked(&self, user: &User) -> Result<Value, Refusal> {
        let address = if self.by_phone { user.phone.clone().unwrap_or_default() } else { user.email.clone() };
        if address.is_empty() {
            return Err(Refusal::mismatch("The user has no address for this way of delivery"));
        }
        let member = if self.by_phone { "maskedPhone" } else { "maskedEmail" };
        Ok(Value::Object(Map::from_iter([(member.to_owned(), Value::String(mask(&address)))])))
    }
}

/// `a****@acme.test`, `+1*****89`.
fn mask(address: &str) -> String {
    let (name, host) = address.split_once('@').map_or((address, None), |(name, host)| (name, Some(host)));
    let first: String = name.chars().take(1).collect();
    match host {
        Some(host) => format!("{first}****@{host}"),
        None => {
            let all: Vec<char> = name.chars().collect();
            let tail: String = all.iter().rev().take(2).rev().collect();
            format!("{first}*****{tail}")
        }
    }
}

/// What to do with a login id that is known, or is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    SignIn,
    SignUp,
    Either,
}

impl Entry {
    /// From the segment of the path.
    pub(crate) fn named(name: &str) -> Result<Self, Refusal> {
        match name {
            "signin" => Ok(Self::SignIn),
            "signup" => Ok(Self::SignUp),
            "signup-in" => Ok(Self::Either),
            _ => Err(Refusal::mismatch("There is no such way in")),
        }
    }

    /// The user, made where that is asked for.
    pub(crate) fn user(
        self,
        world: &mut World,
        login_id: &str,
        details: &Body,
        now: Timestamp,
    ) -> Result<User, Refusal> {
        match (world.user(login_id).cloned(), self) {
            (Some(_), Self::SignUp) => Err(Refusal::user_exists()),
            (Some(user), _) => Ok(user),
            (None, Self::SignIn) => Err(Refusal::no_user()),
            (None, _) => {
                let user = new_user(world, login_id, details)?;
                add_user(world, user.clone(), now);
                Ok(user)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_masked() {
        assert_eq!(mask("alice@acme.test"), "a****@acme.test");
        assert_eq!(mask("+33612345678"), "+*****78");
        assert_eq!(mask(""), "*****");
    }
}
