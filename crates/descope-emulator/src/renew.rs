//! Issuing and renewing: the one code path behind both refresh endpoints.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::clients::find;
use crate::errors::Refusal;
use crate::families::{Family, NewFamily};
use crate::fixture::User;
use crate::forge::TokenKind;
use crate::ledger::SecretKind;
use crate::realms::Realm;
use crate::state::{IdRecord, SessionRecord, Site, World};
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
    pub(crate) realm: Realm,
    pub(crate) scope: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) auth_time: Timestamp,
    /// `amr`; the user's usual factors without it.
    pub(crate) factors: Option<Vec<String>>,
    /// Custom claims over the user's own.
    pub(crate) claims: Map<String, Value>,
    pub(crate) nonce: Option<String>,
    pub(crate) stepped_up: bool,
}

impl SignIn {
    /// A sign-in to the project's own client, now, with nothing asked for.
    pub(crate) fn to_project(site: &Site, user_id: String, now: Timestamp) -> Self {
        Self {
            user_id,
            client_id: site.project_id.clone(),
            realm: Realm::Project,
            scope: Vec::new(),
            resources: Vec::new(),
            tenant: None,
            auth_time: now,
            factors: None,
            claims: Map::new(),
            nonce: None,
            stepped_up: false,
        }
    }
}

/// How a refresh token is exchanged.
#[derive(Debug, Clone)]
pub(crate) struct Renewal {
    pub(crate) door: Door,
    /// Makes this tenant current; both tokens are new then, even without rotation.
    pub(crate) select_tenant: Option<String>,
    /// Who asks, at the OAuth doors: client id and realm. Only its own tokens are renewed.
    pub(crate) client: Option<(String, Realm)>,
    /// Narrows the scope of this answer (RFC 6749, 6).
    pub(crate) scope: Option<Vec<String>>,
}

impl Renewal {
    /// A refresh, nothing else.
    pub(crate) fn plain(door: Door) -> Self {
        Self { door, select_tenant: None, client: None, scope: None }
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
    let user = enabled_user(world, &sign_in.user_id)?;
    let step_up = world.settings.lifetimes.step_up;
    let ends_at = refresh_end(world, site, &sign_in.realm, &sign_in.client_id, now);
    let offline = sign_in.scope.iter().any(|scope| scope == "offline_access");
    let wants_refresh = door == Door::Rest || offline || !world.settings.oauth.refresh_needs_offline_access;
    let openid = sign_in.scope.iter().any(|scope| scope == "openid");
    let family = world.families.start(NewFamily {
        user_id: sign_in.user_id,
        client_id: sign_in.client_id,
        realm: sign_in.realm,
        scope: sign_in.scope,
        resources: sign_in.resources,
        tenant: sign_in.tenant,
        auth_time: sign_in.auth_time,
        ends_at,
        stepped_up_until: sign_in.stepped_up.then(|| later(now, step_up)),
        factors: sign_in.factors.unwrap_or_else(|| user.factors.clone()),
        claims: user.claims.clone().into_iter().chain(sign_in.claims).collect(),
    });
    let family = world.families.get(family).cloned().ok_or_else(gone)?;
    let refresh =
        if wants_refresh { Some(new_refresh(world, site, &family, &user, ends_at, now)?) } else { None };
    let (session, session_end) = new_session(world, site, &family, &user, door, ends_at, now)?;
    let id_token = if door == Door::Oauth && openid {
        Some(new_id(world, site, &family, &user, sign_in.nonce.as_deref(), &session, now)?)
    } else {
        None
    };
    Ok(Issued {
        family: family.id,
        user,
        scope: family.scope,
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
    // Before the token is judged: what another client does with it has no consequences for the family.
    if let Some(family) = world.families.owner(presented).and_then(|family| world.families.get(family)) {
        may_renew(world, family, renewal, now)?;
    }
    let found = world.families.judge(presented, &world.ring, &settings.refresh, now)?;
    let mut family = world.families.of(found).cloned().ok_or_else(gone)?;
    let user = enabled_user(world, &family.user_id)?;
    if let Some(tenant) = &renewal.select_tenant {
        if !user.tenants.contains_key(tenant) {
            return Err(Refusal::mismatch("The user is not a member of the tenant"));
        }
        family.tenant = Some(tenant.clone());
    }

    let door = renewal.door;
    let rotated = settings.refresh.rotate || renewal.select_tenant.is_some();
    let sliding = settings.refresh.rotate && settings.refresh.sliding;
    let refresh_end = if sliding {
        refresh_end(world, site, &family.realm, &family.client_id, now)
    } else {
        family.ends_at
    };
    let refresh = if rotated {
        if settings.refresh.rotate {
            world.families.spend(found, now);
        }
        new_refresh(world, site, &family, &user, refresh_end, now)?
    } else {
        presented.to_owned()
    };
    if let Some(kept) = world.families.get_mut(family.id) {
        kept.refreshes += 1;
        kept.ends_at = refresh_end;
        kept.tenant.clone_from(&family.tenant);
    }
    // The answer's scope may be narrower than the family's, which stays.
    family.scope = renewal.scope.clone().unwrap_or(family.scope);
    let (session, session_end) = new_session(world, site, &family, &user, door, refresh_end, now)?;
    let openid = family.scope.iter().any(|scope| scope == "openid");
    let id_token = if door == Door::Oauth && openid && settings.oauth.id_token_on_refresh {
        Some(new_id(world, site, &family, &user, None, &session, now)?)
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

/// Whether the one who asks may have this family's tokens.
fn may_renew(world: &World, family: &Family, renewal: &Renewal, now: Timestamp) -> Result<(), Refusal> {
    let third_party = family.realm.is_third_party();
    match &renewal.client {
        Some((id, realm)) if *id != family.client_id || *realm != family.realm => {
            return Err(Refusal::mismatch("The refresh token was issued to another client"));
        }
        // Only the OAuth grant is documented for inbound apps.
        None if third_party => {
            return Err(Refusal::invalid_token("The refresh token belongs to an application"));
        }
        _ => {}
    }
    let covered =
        !third_party || world.consents.cover(&family.user_id, &family.client_id, &family.scope, now);
    if !covered {
        return Err(Refusal::invalid_token("The user's consent was revoked or is expired"));
    }
    let wider = renewal.scope.iter().flatten().any(|scope| !family.scope.contains(scope));
    if wider { Err(Refusal::bad_scope("The scope is wider than what was granted")) } else { Ok(()) }
}

/// When refresh tokens of a client end that are issued now.
fn refresh_end(world: &World, site: &Site, realm: &Realm, client_id: &str, now: Timestamp) -> Timestamp {
    let client = find(world, site, realm, client_id);
    later(now, client.map_or(world.settings.lifetimes.refresh, |client| client.refresh_seconds(world)))
}

fn gone() -> Refusal {
    Refusal::internal("the family is gone")
}

/// A user who may have tokens.
pub(crate) fn enabled_user(world: &World, id: &str) -> Result<User, Refusal> {
    let user = world.users.iter().find(|user| user.id == id).cloned().ok_or_else(Refusal::no_user)?;
    if user.disabled { Err(Refusal::invalid_token("The user is disabled")) } else { Ok(user) }
}

fn new_refresh(
    world: &mut World,
    site: &Site,
    family: &Family,
    user: &User,
    end: Timestamp,
    now: Timestamp,
) -> Result<String, Refusal> {
    let claims = refresh_claims(world, site, family, user, end, now);
    let token = world.sign(TokenKind::Refresh, claims, now)?;
    let kid = world.ring.present().kid().to_owned();
    world.families.add_token(family.id, &token, &kid, end);
    Ok(token)
}

fn new_session(
    world: &mut World,
    site: &Site,
    family: &Family,
    user: &User,
    door: Door,
    refresh_end: Timestamp,
    now: Timestamp,
) -> Result<(String, Timestamp), Refusal> {
    let (claims, end) = session_claims(world, site, family, user, door, refresh_end, now);
    let token = world.sign(TokenKind::Session, claims.clone(), now)?;
    let kid = world.ring.present().kid().to_owned();
    world.sessions.insert(token.clone(), SessionRecord { family: family.id, kid, expires_at: end, claims });
    Ok((token, end))
}

fn new_id(
    world: &mut World,
    site: &Site,
    family: &Family,
    user: &User,
    nonce: Option<&str>,
    session: &str,
    now: Timestamp,
) -> Result<String, Refusal> {
    let claims = id_claims(world, site, family, user, nonce, session, now);
    let token = world.sign(TokenKind::Id, claims, now)?;
    let kid = world.ring.present().kid().to_owned();
    world.id_tokens.insert(token.clone(), IdRecord { family: family.id, kid });
    Ok(token)
}
