//! The handle through which tests, and the admin API, look at the emulator and change it.

mod apps;
mod device;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::body::Body;
use crate::doors::sign_in::pending;
use crate::emulator::{made, make_key};
use crate::errors::Refusal;
use crate::families::FamilyEnd;
use crate::faults::{Fault, FaultView, HeldRequest, Verdict};
use crate::fixture::User;
use crate::forge::{TokenKind, TokenOverride};
use crate::keys::KeyFault;
use crate::ledger::{Secret, SecretKind};
use crate::random::unguessable;
use crate::renew::{SignIn, begin};
use crate::settings::{Approval, Settings, SettingsFault};
use crate::state::{Shared, World};
use crate::tokens::{Door, id_claims, refresh_claims, session_claims};
use crate::traffic::{PathCount, RequestRecord};
use crate::views::{FamilyView, KeyView, SignedIn, UserChange, UserView, family_view, user_view};

/// A handle on a running emulator. Clones are the same handle.
#[derive(Debug, Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

/// Why a control operation failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlFault {
    /// No such user.
    #[error("there is no user `{0}`; the fixture names the users")]
    UnknownUser(String),
    /// No such role.
    #[error("there is no role `{0}`; the fixture defines the roles")]
    UnknownRole(String),
    /// No such tenant.
    #[error("there is no tenant `{0}`; the fixture defines the tenants")]
    UnknownTenant(String),
    /// No such family.
    #[error("there is no family {0}; `families` lists them")]
    UnknownFamily(u64),
    /// No such user code, or its question is answered or over.
    #[error("there is no open question with the user code `{0}`; `devices` lists them")]
    UnknownUserCode(String),
    /// No such MCP server.
    #[error("there is no MCP server `{0}`; register it first")]
    UnknownServer(String),
    /// The project is a client already.
    #[error("cannot register `{0}` as an app: it is the project's own client id")]
    OwnClient(String),
    /// The settings were refused.
    #[error(transparent)]
    Settings(#[from] SettingsFault),
    /// A key could not be made or used.
    #[error(transparent)]
    Keys(#[from] KeyFault),
    /// The emulated service itself refused.
    #[error("the emulated service refuses: {0}")]
    Refused(String),
}

impl From<Refusal> for ControlFault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.to_string())
    }
}

impl Control {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    // --- settings --------------------------------------------------------------------------------

    /// The present settings.
    pub fn settings(&self) -> Settings {
        self.shared.world().settings.clone()
    }

    /// Changes settings in place.
    pub fn update_settings(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.shared.world().settings);
    }

    /// Replaces the members that `patch` names.
    ///
    /// # Errors
    /// When the patch names what does not exist.
    pub fn patch_settings(&self, patch: &Value) -> Result<Settings, ControlFault> {
        let mut world = self.shared.world();
        world.settings = world.settings.patched(patch)?;
        Ok(world.settings.clone())
    }

    /// Who answers the sign-in question from now on.
    ///
    /// # Errors
    /// When the user does not exist.
    pub fn set_approval(&self, approval: Approval) -> Result<(), ControlFault> {
        let mut world = self.shared.world();
        if let Approval::As(login) = &approval {
            known(&world, login)?;
        }
        world.settings.approval = approval;
        Ok(())
    }

    // --- time ------------------------------------------------------------------------------------

    /// The emulator's present.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Seconds by which the emulator's clock is ahead of the machine's.
    pub fn skew_seconds(&self) -> i64 {
        self.shared.clock.skew_seconds()
    }

    /// Puts the emulator's clock `seconds` ahead of the machine's (negative: behind).
    pub fn set_skew(&self, seconds: i64) {
        self.shared.clock.set_skew(seconds);
    }

    /// Moves the emulator's clock by `seconds` from where it is.
    pub fn advance(&self, seconds: i64) {
        self.shared.clock.advance(seconds);
    }

    // --- keys ------------------------------------------------------------------------------------

    /// The published keys, newest first.
    pub fn keys(&self) -> Vec<KeyView> {
        let world = self.shared.world();
        let present = world.ring.present().kid();
        let view = |kid: &str, alg: &str| KeyView {
            kid: kid.to_owned(),
            alg: alg.to_owned(),
            present: kid == present,
        };
        world.ring.published().map(|key| view(key.kid(), key.algorithm().name())).collect()
    }

    /// "Rotate": a new key signs; the older ones stay published. Returns the new key's id.
    ///
    /// # Errors
    /// When no key can be made.
    pub async fn rotate_keys(&self) -> Result<String, ControlFault> {
        self.new_key(false).await
    }

    /// "Rotate and revoke": a new key signs, every older one is gone, and with it every session.
    ///
    /// # Errors
    /// When no key can be made.
    pub async fn rotate_and_revoke_keys(&self) -> Result<String, ControlFault> {
        self.new_key(true).await
    }

    async fn new_key(&self, revoke: bool) -> Result<String, ControlFault> {
        let algorithm = self.settings().tokens.algorithm;
        let key = made(make_key(algorithm)).await?;
        let kid = key.kid().to_owned();
        let mut world = self.shared.world();
        world.ledger.note_key(key.private_pem());
        if revoke {
            world.ring.rotate_and_revoke(key)
        } else {
            world.ring.rotate(key)
        }
        Ok(kid)
    }

    /// The present public key in PEM, as an attacker would have it.
    pub fn public_pem(&self) -> String {
        self.shared.world().ring.present().public_pem().to_owned()
    }

    // --- people ----------------------------------------------------------------------------------

    /// Everybody.
    pub fn users(&self) -> Vec<UserView> {
        self.shared.world().users.iter().map(user_view).collect()
    }

    /// One user, by login id or user id.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn user(&self, login: &str) -> Result<UserView, ControlFault> {
        known(&self.shared.world(), login).map(user_view)
    }

    /// Changes a user. Tokens issued from now on show it; older ones do not.
    ///
    /// # Errors
    /// When user, role or tenant do not exist.
    pub fn change_user(&self, login: &str, change: UserChange) -> Result<UserView, ControlFault> {
        let mut world = self.shared.world();
        known(&world, login)?;
        let held = change.tenants.iter().flat_map(|tenants| tenants.values().flatten());
        let mut roles = change.roles.iter().flatten().chain(held);
        if let Some(role) = roles.find(|role| !world.roles.contains_key(*role)) {
            return Err(ControlFault::UnknownRole(role.clone()));
        }
        let mut tenants = change.tenants.iter().flat_map(|tenants| tenants.keys());
        if let Some(tenant) = tenants.find(|tenant| !world.tenants.contains_key(*tenant)) {
            return Err(ControlFault::UnknownTenant(tenant.clone()));
        }
        let user = world.user_mut(login).ok_or_else(|| ControlFault::UnknownUser(login.to_owned()))?;
        let UserChange { roles, tenants, disabled, name, claims, factors, unverified } = change;
        user.roles = roles.unwrap_or_else(|| user.roles.clone());
        user.tenants = tenants.unwrap_or_else(|| user.tenants.clone());
        user.disabled = disabled.unwrap_or(user.disabled);
        user.name = name.or_else(|| user.name.clone());
        user.claims = claims.unwrap_or_else(|| user.claims.clone());
        user.factors = factors.unwrap_or_else(|| user.factors.clone());
        user.unverified = unverified.unwrap_or(user.unverified);
        Ok(user_view(user))
    }

    /// Gives a user exactly these project-level roles.
    ///
    /// # Errors
    /// When user or role do not exist.
    pub fn set_roles(&self, login: &str, roles: &[&str]) -> Result<UserView, ControlFault> {
        let roles = roles.iter().map(|&role| role.to_owned()).collect();
        self.change_user(login, UserChange { roles: Some(roles), ..UserChange::default() })
    }

    /// Disables or enables a user.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn set_disabled(&self, login: &str, disabled: bool) -> Result<UserView, ControlFault> {
        self.change_user(login, UserChange { disabled: Some(disabled), ..UserChange::default() })
    }

    /// Ends every family of a user, as an administrator would; returns how many.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn revoke_user(&self, login: &str) -> Result<usize, ControlFault> {
        let mut world = self.shared.world();
        let id = known(&world, login)?.id.clone();
        Ok(world.families.end_all(&id, FamilyEnd::RevokedByAdmin))
    }

    // --- families --------------------------------------------------------------------------------

    /// Every family so far, oldest first.
    pub fn families(&self) -> Vec<FamilyView> {
        let (now, world) = (self.now(), self.shared.world());
        world.families.iter().map(|family| family_view(&world, family, now)).collect()
    }

    /// The families that can still refresh.
    pub fn live_families(&self) -> Vec<FamilyView> {
        self.families().into_iter().filter(|family| family.alive).collect()
    }

    /// One family.
    ///
    /// # Errors
    /// When there is no such family.
    pub fn family(&self, id: u64) -> Result<FamilyView, ControlFault> {
        self.families().into_iter().find(|family| family.id == id).ok_or(ControlFault::UnknownFamily(id))
    }

    /// Ends one family; false when it was over already.
    pub fn revoke_family(&self, id: u64) -> bool {
        self.shared.world().families.end(id, FamilyEnd::RevokedByAdmin)
    }

    /// Signs a user in without a browser: a family with its first tokens, as from the token endpoint.
    ///
    /// # Errors
    /// When there is no such user, or the user is disabled.
    pub fn sign_in(&self, login: &str) -> Result<SignedIn, ControlFault> {
        let now = self.now();
        let mut world = self.shared.world();
        let user_id = known(&world, login)?.id.clone();
        let scope = ["openid", "profile", "email", "offline_access"].map(str::to_owned).to_vec();
        let sign_in = SignIn { scope, ..SignIn::to_project(&self.shared.site, user_id, now) };
        let issued = begin(&mut world, &self.shared.site, sign_in, Door::Oauth, now)?;
        Ok(SignedIn {
            family: issued.family,
            session: issued.session,
            refresh: issued.refresh.unwrap_or_default(),
            id_token: issued.id_token,
        })
    }

    /// The code with which a native flow of this user would end, bound to a challenge (sheet 6.2).
    ///
    /// # Errors
    /// When there is no such user.
    pub fn native_code(&self, login: &str, challenge: &str) -> Result<String, ControlFault> {
        let now = self.now();
        let mut world = self.shared.world();
        let id = known(&world, login)?.id.clone();
        let pending = pending(&world, &id, "pwd", &Body::default(), None, now)?;
        let code = unguessable();
        world.ledger.note(SecretKind::Code, &code);
        world.one_time.add_native(&code, challenge, pending);
        Ok(code)
    }

    // --- hostile tokens --------------------------------------------------------------------------

    /// Changes the next token (or tokens) of a kind. Several overrides of one kind are used one after the other.
    pub fn next_token_override(&self, change: TokenOverride) {
        self.shared.world().overrides.push(change);
    }

    /// Forgets overrides that were not used.
    pub fn clear_overrides(&self) {
        self.shared.world().overrides.clear();
    }

    /// Makes a token of the kind that `change` names, for a user who has signed in before or not, without any request.
    ///
    /// # Errors
    /// When there is no such user, or the signature cannot be made.
    pub fn mint(&self, login: &str, change: &TokenOverride) -> Result<String, ControlFault> {
        let now = self.now();
        let signed_in = self.sign_in(login)?;
        let mut world = self.shared.world();
        let user = known(&world, login)?.clone();
        let family = world.families.get(signed_in.family).cloned();
        let family = family.ok_or(ControlFault::UnknownFamily(signed_in.family))?;
        let (site, end) = (&self.shared.site, family.ends_at);
        let claims = match change.kind {
            TokenKind::Session => session_claims(&world, site, &family, &user, Door::Oauth, end, now).0,
            TokenKind::Refresh => refresh_claims(&world, site, &family, &user, end, now),
            TokenKind::Id => id_claims(&world, site, &family, &user, None, &signed_in.session, now),
        };
        world.families.end(signed_in.family, FamilyEnd::RevokedByAdmin);
        Ok(world.sign_with(change.kind, claims, Some(change), now)?)
    }

    // --- traffic and secrets ---------------------------------------------------------------------

    /// Requests per path.
    pub fn counts(&self) -> BTreeMap<String, PathCount> {
        self.shared.traffic.counts()
    }

    /// Requests to one path so far.
    pub fn count(&self, path: &str) -> u64 {
        self.counts().get(path).map_or(0, |count| count.total)
    }

    /// Requests to the key endpoints so far, all spellings together.
    pub fn key_fetches(&self) -> u64 {
        let counts = self.counts();
        let keys = counts.iter().filter(|(path, _)| path.contains("/keys/") || path.ends_with("/jwks.json"));
        keys.map(|(_, count)| count.total).sum()
    }

    /// The last requests one by one, oldest first.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.traffic.requests()
    }

    /// Starts counting anew, towards rate limits, too.
    pub fn reset_counts(&self) {
        self.shared.limiter.reset();
        self.shared.traffic.reset();
    }

    /// Every secret string that the emulator ever gave or was given.
    pub fn issued(&self) -> Vec<Secret> {
        self.shared.world().ledger.all().to_vec()
    }

    // --- faults ----------------------------------------------------------------------------------

    /// Registers a fault and returns its number.
    pub fn inject(&self, fault: Fault) -> u64 {
        self.shared.gate.inject(fault)
    }

    /// The registered faults, spent ones included.
    pub fn faults(&self) -> Vec<FaultView> {
        self.shared.gate.faults()
    }

    /// Removes one fault.
    pub fn clear_fault(&self, id: u64) {
        self.shared.gate.clear(Some(id));
    }

    /// Removes every fault. Held requests stay held.
    pub fn clear_faults(&self) {
        self.shared.gate.clear(None);
    }

    /// The requests that are held now.
    pub fn held(&self) -> Vec<HeldRequest> {
        self.shared.gate.held()
    }

    /// Waits until a request whose path fits `pattern` is held.
    pub async fn wait_for_hold(&self, pattern: &str) -> HeldRequest {
        self.shared.gate.wait_for_hold(pattern).await
    }

    /// Lets a held request go on; false when it is not held. It goes on even if its client is gone.
    pub fn release(&self, id: u64) -> bool {
        self.shared.gate.release(Some(id), Verdict::Continue) > 0
    }

    /// Lets every held request go on; returns how many.
    pub fn release_all(&self) -> usize {
        self.shared.gate.release(None, Verdict::Continue)
    }

    /// Drops the connection of a held request instead of going on.
    pub fn drop_held(&self, id: u64) -> bool {
        self.shared.gate.release(Some(id), Verdict::Drop) > 0
    }
}

fn known<'a>(world: &'a World, login: &str) -> Result<&'a User, ControlFault> {
    world.user(login).ok_or_else(|| ControlFault::UnknownUser(login.to_owned()))
}
