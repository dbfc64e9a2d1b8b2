//! The emulated project's whole state: one immutable site, one lock around everything that changes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::access_keys::AccessKeys;
use crate::apps::Registry;
use crate::audit::AuditEvent;
use crate::authorization::{AuthorizeRequest, IssuedCode, Proven};
use crate::clock::EmulatorClock;
use crate::consents::Consents;
use crate::devices::Devices;
use crate::doors::login::OpenPage;
use crate::doors::par::PushedRequests;
use crate::errors::Refusal;
use crate::families::Families;
use crate::faults::Gate;
use crate::fixture::{ProjectKeys, Tenant, User};
use crate::forge::{Keys, TokenKind, TokenOverride, forge};
use crate::keys::{KeyFault, KeyRing, SigningKey};
use crate::ledger::{Ledger, SecretKind};
use crate::limits::Limiter;
use crate::one_time::OneTimeSecrets;
use crate::outbox::Outbox;
use crate::settings::Settings;
use crate::traffic::Traffic;

/// What all doors share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) site: Site,
    pub(crate) clock: EmulatorClock,
    pub(crate) gate: Gate,
    pub(crate) traffic: Traffic,
    pub(crate) limiter: Limiter,
    world: Mutex<World>,
}

/// What never changes while the emulator runs.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) project_id: String,
    pub(crate) project_name: String,
    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub(crate) base_url: String,
}

impl Site {
    /// The issuer of discovery and of ID tokens.
    pub(crate) fn issuer(&self) -> String {
        format!("{}/{}", self.base_url, self.project_id)
    }
}

/// What changes.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) users: Vec<User>,
    pub(crate) tenants: BTreeMap<String, Tenant>,
    pub(crate) roles: BTreeMap<String, Vec<String>>,
    pub(crate) registry: Registry,
    pub(crate) consents: Consents,
    /// Permissions that were created by name, whether or not a role has them.
    pub(crate) permissions: BTreeSet<String>,
    /// What roles and permissions say of themselves.
    pub(crate) descriptions: BTreeMap<String, String>,
    pub(crate) project_keys: ProjectKeys,
    pub(crate) access_keys: AccessKeys,
    pub(crate) one_time: OneTimeSecrets,
    pub(crate) audit: Vec<AuditEvent>,
    pub(crate) ring: KeyRing,
    /// Another project's key, made when a forgery first needs it.
    pub(crate) foreign: Option<Arc<SigningKey>>,
    pub(crate) families: Families,
    /// Session tokens by their text.
    pub(crate) sessions: HashMap<String, SessionRecord>,
    /// Access tokens that were revoked, by their text.
    pub(crate) revoked: HashSet<String>,
    /// ID tokens by their text.
    pub(crate) id_tokens: HashMap<String, IdRecord>,
    pub(crate) codes: HashMap<String, IssuedCode>,
    pub(crate) pushed: PushedRequests,
    pub(crate) devices: Devices,
    /// Sign-in pages that wait for an answer, by their handle.
    pub(crate) pages: HashMap<String, OpenPage>,
    pub(crate) outbox: Outbox,
    /// Remembered browsers by their cookie.
    pub(crate) browsers: HashMap<String, Proven>,
    pub(crate) overrides: Vec<TokenOverride>,
    pub(crate) ledger: Ledger,
}

/// A session token as it was issued, before any override.
#[derive(Debug, Clone)]
pub(crate) struct SessionRecord {
    pub(crate) family: u64,
    pub(crate) kid: String,
    pub(crate) expires_at: Timestamp,
    pub(crate) claims: Map<String, Value>,
}

/// An ID token as it was issued.
#[derive(Debug, Clone)]
pub(crate) struct IdRecord {
    pub(crate) family: u64,
    pub(crate) kid: String,
}

impl Shared {
    pub(crate) fn new(site: Site, world: World) -> Self {
        Self {
            site,
            clock: EmulatorClock::default(),
            gate: Gate::default(),
            traffic: Traffic::default(),
            limiter: Limiter::default(),
            world: Mutex::new(world),
        }
    }

    /// The state, for a short while: nothing awaits with it in hand.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    pub(crate) fn user(&self, login: &str) -> Option<&User> {
        self.users.iter().find(|user| user.answers_to(login))
    }

    /// Notes a code that was sent to a client.
    pub(crate) fn issue_code(
        &mut self,
        code: String,
        request: AuthorizeRequest,
        proven: Proven,
        expires_at: Timestamp,
    ) {
        self.codes.insert(code, IssuedCode { request, proven, expires_at, used: false });
    }

    pub(crate) fn user_mut(&mut self, login: &str) -> Option<&mut User> {
        self.users.iter_mut().find(|user| user.answers_to(login))
    }

    /// A session token of ours that is neither expired nor signed by a revoked key.
    pub(crate) fn session(&self, token: &str, now: Timestamp) -> Result<SessionRecord, Refusal> {
        let session = self.sessions.get(token).filter(|session| self.ring.knows(&session.kid));
        let session = session.ok_or_else(|| Refusal::invalid_token("The session token is not valid"))?;
        if now >= session.expires_at {
            return Err(Refusal::invalid_token("The session token is expired"));
        }
        Ok(session.clone())
    }

    /// The permissions that come with these roles, each once.
    pub(crate) fn permissions(&self, roles: &[String]) -> Vec<String> {
        let mut permissions: Vec<String> =
            roles.iter().filter_map(|role| self.roles.get(role)).flatten().cloned().collect();
        permissions.sort();
        permissions.dedup();
        permissions
    }

    /// Signs a token, changed by the next override of its kind, and notes it in the ledger.
    pub(crate) fn sign(
        &mut self,
        kind: TokenKind,
        claims: Map<String, Value>,
        now: Timestamp,
    ) -> Result<String, KeyFault> {
        let change = self.take_override(kind);
        self.sign_with(kind, claims, change.as_ref(), now)
    }

    /// Signs a token, changed as given, and notes it in the ledger.
    pub(crate) fn sign_with(
        &mut self,
        kind: TokenKind,
        claims: Map<String, Value>,
        change: Option<&TokenOverride>,
        now: Timestamp,
    ) -> Result<String, KeyFault> {
        let foreign = self.foreign(change)?;
        let token = forge(&Keys { ring: &self.ring, foreign: foreign.as_ref() }, claims, change, now)?;
        let kind = match kind {
            TokenKind::Session => SecretKind::SessionJwt,
            TokenKind::Refresh => SecretKind::RefreshJwt,
            TokenKind::Id => SecretKind::IdToken,
        };
        self.ledger.note(kind, &token);
        Ok(token)
    }

    fn foreign(&mut self, change: Option<&TokenOverride>) -> Result<Option<Arc<SigningKey>>, KeyFault> {
        if self.foreign.is_none() && change.is_some_and(|change| change.signing.needs_foreign_key()) {
            let key = SigningKey::generate(self.ring.present().algorithm())?;
            self.ledger.note_key(key.private_pem());
            self.foreign = Some(Arc::new(key));
        }
        Ok(self.foreign.clone())
    }

    fn take_override(&mut self, kind: TokenKind) -> Option<TokenOverride> {
        let at = self.overrides.iter().position(|change| change.kind == kind && change.times > 0)?;
        let waiting = self.overrides.get_mut(at)?;
        waiting.times -= 1;
        let change = waiting.clone();
        self.overrides.retain(|change| change.times > 0);
        Some(change)
    }
}
