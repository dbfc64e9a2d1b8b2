//! Issuing and renewing: the one code path behind both refresh endpoints.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::errors::Refusal;
use crate::families::NewFamily;
use crate::fixture::User;
use crate::forge::TokenKind;
use crate::ledger::SecretKind;
use crate::state::{SessionRecord, Site, World};
use crate::tokens::{Door, id_claims, later, refresh_claims, session_claims};

/// Tokens of one family, fresh from the press.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) family: u64,
    pub(crate) user: User,
    pub(crate) scope: Vec<String>,
    pub(crate) session: String,
    pub(crate) session_end: Timestamp,
    pub(crate) refresh: Option<String>,
    pub(crate) refresh_end: Timestamp,
    /// The refresh token is another one than was presented.
    pub(crate) rotated: bool,
    pub(crate) id_token: Option<String>,
}

/// A sign-in that may be turned into tokens.
pub(crate) struct SignIn {
    pub(crate) user_id: String,
    pub(crate) client_id: String,
    pub(crate) scope: Vec<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) auth_time: Timestamp,
    pub(crate) nonce: Option<String>,
    pub(crate) stepped_up: bool,
}

/// What a sign-in may carry beside the ordinary.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extras {
    /// `amr`; the user's usual factors without it.
    pub(crate) factors: Option<Vec<String>>,
    /// Custom claims over the user's own.
    pub(crate) claims: Map<String, Value>,
}

/// How a refresh token is exchanged.
#[derive(Debug, Clone)]
pub(crate) struct Renewal {
    pub(crate) door: Door,
    /// Makes this tenant current; both tokens are new then, even without rotation.
    pub(crate) select_tenant: Option<String>,
}

impl Renewal {
    /// A refresh, nothing else.
    pub(crate) fn plain(door: Door) -> Self {
        Self { door, select_tenant: None }
    }
}

/// Starts a family and issues its first tokens.
pub(crate) fn begin(
    world: &mut World,
    site: &Site,
    sign_in: SignIn,
    door: Door,
    now: Timestamp,
) -> Result<Issued, Refusal> {
    begin_with(world, site, sign_in, Extras::default(), door, now)
}

/// As [`begin`], with extras.
pub(crate) fn begin_with(
    world: &mut World,
    site: &Site,
    sign_in: SignIn,
    extras: Extras,
    door: Door,
    now: Timestamp,
) -> Result<Issued, Refusal> {
    let user = enabled_user(world, &sign_in.user_id)?;
    let lifetimes = world.settings.lifetimes.clone();
    let ends_at = later(now, lifetimes.refresh);
    let offline = sign_in.scope.iter().any(|scope| scope == "offline_access");
    let wants_refresh = door == Door::Rest || offline || !world.settings.oauth.refresh_needs_offline_access;
    let openid = sign_in.scope.iter().any(|scope| scope == "openid");
    let family = world.families.start(NewFamily {
        user_id: sign_in.user_id,
        client_id: sign_in.client_id,
        scope: sign_in.scope,
        tenant: sign_in.tenant,
        auth_time: sign_in.auth_time,
        ends_at,
        stepped_up_until: sign_in.stepped_up.then(|| later(now, lifetimes.step_up)),
        factors: extras.factors.unwrap_or_else(|| user.factors.clone()),
        claims: user.claims.clone().into_iter().chain(extras.claims).collect(),
    });
    let refresh =
        if wants_refresh { Some(new_refresh(world, site, family, &user, ends_at, now)?) } else { None };
    let (session, session_end) = new_session(world, site, family, &user, door, ends_at, now)?;
    let id_token = if door == Door::Oauth && openid {
        Some(new_id(world, site, family, &user, sign_in.nonce.as_deref(), &session, now)?)
    } else {
        None
    };
    let scope = world.families.get(family).map(|family| family.scope.clone()).unwrap_or_default();
    Ok(Issued {
        family,
        user,
        scope,
        session,
        session_end,
        refresh,
        refresh_end: ends_at,
        rotated: true,
        id_token,
    })
}

/// Exchanges a refresh token for fresh tokens. Roles, tenants and the user's status are looked at again.
pub(crate) fn renew(
    world: &mut World,
    site: &Site,
    presented: &str,
    renewal: &Renewal,
    now: Timestamp,
) -> Result<Issued, Refusal> {
    world.ledger.note(SecretKind::Received, presented);
    let settings = world.settings.clone();
    let found = world.families.judge(presented, &world.ring, &settings.refresh, now)?;
    let family = world.families.of(found).cloned().ok_or_else(|| Refusal::internal("the family is gone"))?;
    let user = enabled_user(world, &family.user_id)?;
    if let Some(tenant) = &renewal.select_tenant {
        if !user.tenants.contains_key(tenant) {
            return Err(Refusal::mismatch("The user is not a member of the tenant"));
        }
        if let Some(family) = world.families.get_mut(family.id) {
            family.tenant = Some(tenant.clone());
        }
    }

    let door = renewal.door;
    let rotated = settings.refresh.rotate || renewal.select_tenant.is_some();
    let sliding = settings.refresh.rotate && settings.refresh.sliding;
    let refresh_end = if sliding { later(now, settings.lifetimes.refresh) } else { family.ends_at };
    let refresh = if rotated {
        if settings.refresh.rotate {
            world.families.spend(found, now);
        }
        new_refresh(world, site, family.id, &user, refresh_end, now)?
    } else {
        presented.to_owned()
    };
    if let Some(family) = world.families.get_mut(family.id) {
        family.refreshes += 1;
        family.ends_at = refresh_end;
    }
    let (session, session_end) = new_session(world, site, family.id, &user, door, refresh_end, now)?;
    let openid = family.scope.iter().any(|scope| scope == "openid");
    let id_token = if door == Door::Oauth && openid && settings.oauth.id_token_on_refresh {
        Some(new_id(world, site, family.id, &user, None, &session, now)?)
    } else {
        None
    };
    Ok(Issued {
        family: family.id,
        user,
        scope: family.scope,
        session,
        session_end,
        refresh: Some(refresh),
        refresh_end,
        rotated,
        id_token,
    })
}

/// A user who may have tokens.
pub(crate) fn enabled_user(world: &World, id: &str) -> Result<User, Refusal> {
    let user = world.users.iter().find(|user| user.id == id).cloned().ok_or_else(Refusal::no_user)?;
    if user.disabled { Err(Refusal::invalid_token("The user is disabled")) } else { Ok(user) }
}

fn new_refresh(
    world: &mut World,
    site: &Site,
    family: u64,
    user: &User,
    end: Timestamp,
    now: Timestamp,
) -> Result<String, Refusal> {
    let gone = || Refusal::internal("the family is gone");
    let claims = refresh_claims(world, site, world.families.get(family).ok_or_else(gone)?, user, end, now);
    let token = world.sign(TokenKind::Refresh, claims, now)?;
    let kid = world.ring.present().kid().to_owned();
    world.families.add_token(family, &token, &kid, end);
    Ok(token)
}

fn new_session(
    world: &mut World,
    site: &Site,
    family: u64,
    user: &User,
    door: Door,
    refresh_end: Timestamp,
    now: Timestamp,
) -> Result<(String, Timestamp), Refusal> {
    let gone = || Refusal::internal("the family is gone");
    let family = world.families.get(family).ok_or_else(gone)?;
    let (family, (claims, end)) =
        (family.id, session_claims(world, site, family, user, door, refresh_end, now));
    let token = world.sign(TokenKind::Session, claims.clone(), now)?;
    let kid = world.ring.present().kid().to_owned();
    world.sessions.insert(token.clone(), SessionRecord { family, kid, expires_at: end, claims });
    Ok((token, end))
}

fn new_id(
    world: &mut World,
    site: &Site,
    family: u64,
    user: &User,
    nonce: Option<&str>,
    session: &str,
    now: Timestamp,
) -> Result<String, Refusal> {
    let gone = || Refusal::internal("the family is gone");
    let family = world.families.get(family).ok_or_else(gone)?;
    let claims = id_claims(world, site, family, user, nonce, session, now);
    Ok(world.sign(TokenKind::Id, claims, now)?)
}
