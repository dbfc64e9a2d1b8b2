//! What tests get to see: users, families, keys, tokens.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::devices::{DeviceAnswer, DeviceGrant};
use crate::families::{Family, FamilyEnd};
use crate::fixture::User;
use crate::realms::Realm;
use crate::state::World;

/// A family as tests see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyView {
    /// Its number, counting sign-ins from 1.
    pub id: u64,
    /// The user's first login id (an e-mail address).
    pub user: String,
    /// The user's id.
    pub user_id: String,
    /// The client that signed in.
    pub client_id: String,
    /// The authorization server that it signed in at.
    pub realm: Realm,
    /// How the user signed in (`amr`).
    pub factors: Vec<String>,
    /// The current tenant, if one is selected.
    pub tenant: Option<String>,
    /// Whether a token of the family can still refresh.
    pub alive: bool,
    /// Why it is over.
    pub ended: Option<FamilyEnd>,
    /// Refresh tokens that are neither spent nor expired.
    pub live_tokens: usize,
    /// Successful refreshes.
    pub refreshes: u64,
    /// Times that a spent token came again, whatever the answer was.
    pub reuses: u64,
    /// When the user signed in.
    pub signed_in_at: Timestamp,
}

/// A sign-in from another device, as tests see it. The device code is in the ledger only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceView {
    /// What the person types.
    pub user_code: String,
    /// The client that asked.
    pub client_id: String,
    /// Where it stands.
    pub state: DeviceState,
    /// Who approved it: the first login id.
    pub user: Option<String>,
    /// Seconds that the device has to wait between two questions by now.
    pub interval: u32,
    /// How often it asked.
    pub polls: u64,
    /// When the codes end.
    pub expires_at: Timestamp,
}

/// Where a sign-in from another device stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// Nobody has answered.
    Open,
    /// Approved, and not fetched by the device yet.
    Approved,
    /// Refused.
    Denied,
    /// The device has its tokens.
    Redeemed,
    /// Its time ended before it came to anything.
    Expired,
}

pub(crate) fn device_view(world: &World, grant: &DeviceGrant, now: Timestamp) -> DeviceView {
    let (state, user) = match &grant.answer {
        DeviceAnswer::Redeemed => (DeviceState::Redeemed, None),
        DeviceAnswer::Denied => (DeviceState::Denied, None),
        _ if now >= grant.expires_at => (DeviceState::Expired, None),
        DeviceAnswer::Open => (DeviceState::Open, None),
        DeviceAnswer::Approved { user_id, .. } => (DeviceState::Approved, Some(user_id)),
    };
    let user = user.and_then(|id| world.users.iter().find(|user| user.id == *id));
    DeviceView {
        user_code: grant.user_code.clone(),
        client_id: grant.client_id.clone(),
        state,
        user: user.map(|user| user.email.clone()),
        interval: grant.interval,
        polls: grant.polls,
        expires_at: grant.expires_at,
    }
}

/// A user as tests see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserView {
    /// The user id, which is `sub`.
    pub id: String,
    /// The e-mail address, which is the login id.
    pub email: String,
    /// The full name.
    pub name: Option<String>,
    /// Project-level roles.
    pub roles: Vec<String>,
    /// Tenants with the roles held there.
    pub tenants: BTreeMap<String, Vec<String>>,
    /// Can neither sign in nor refresh.
    pub disabled: bool,
}

/// A change to a user. What is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserChange {
    /// Project-level roles.
    pub roles: Option<Vec<String>>,
    /// Tenants with the roles held there.
    pub tenants: Option<BTreeMap<String, Vec<String>>>,
    /// Whether the user is disabled.
    pub disabled: Option<bool>,
    /// The full name.
    pub name: Option<String>,
    /// Custom claims.
    pub claims: Option<Map<String, Value>>,
    /// `amr` of sign-ins.
    pub factors: Option<Vec<String>>,
    /// Whether nobody showed that the address is theirs.
    pub unverified: Option<bool>,
}

/// A published key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    /// The key id.
    pub kid: String,
    /// The algorithm.
    pub alg: String,
    /// Whether it signs.
    pub present: bool,
}

/// The tokens of a sign-in without a browser.
#[derive(Clone, Serialize, Deserialize)]
pub struct SignedIn {
    /// The family, for [`Control::family`](crate::Control::family).
    pub family: u64,
    /// The session JWT.
    pub session: String,
    /// The refresh JWT.
    pub refresh: String,
    /// The ID token.
    pub id_token: Option<String>,
}

impl std::fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedIn").field("family", &self.family).finish_non_exhaustive()
    }
}

pub(crate) fn user_view(user: &User) -> UserView {
    UserView {
        id: user.id.clone(),
        email: user.email.clone(),
        name: user.name.clone(),
        roles: user.roles.clone(),
        tenants: user.tenants.clone(),
        disabled: user.disabled,
    }
}

pub(crate) fn family_view(world: &World, family: &Family, now: Timestamp) -> FamilyView {
    let user = world.users.iter().find(|user| user.id == family.user_id);
    FamilyView {
        id: family.id,
        user: user.map(|user| user.email.clone()).unwrap_or_default(),
        user_id: family.user_id.clone(),
        client_id: family.client_id.clone(),
        realm: family.realm.clone(),
        factors: family.factors.clone(),
        tenant: family.tenant.clone(),
        alive: family.alive(now),
        ended: family.ended,
        live_tokens: family.live_tokens(now),
        refreshes: family.refreshes,
        reuses: family.reuses,
        signed_in_at: family.auth_time,
    }
}
