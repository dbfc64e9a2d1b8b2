//! Families of refresh tokens: each sign-in starts one, each refresh continues it, a logout or a detected replay ends
//! it.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::errors::Refusal;
use crate::keys::KeyRing;
use crate::realms::Realm;
use crate::settings::{RefreshSettings, ReusePolicy};

/// Why a family is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FamilyEnd {
    /// `/v1/auth/logout`.
    LoggedOut,
    /// `/v1/auth/logoutall`.
    LoggedOutEverywhere,
    /// The revocation endpoint (RFC 7009).
    Revoked,
    /// An administrator.
    RevokedByAdmin,
    /// A spent token came again.
    ReuseDetected,
}

/// One sign-in and everything that followed from it.
#[derive(Debug, Clone)]
pub(crate) struct Family {
    pub(crate) id: u64,
    pub(crate) user_id: String,
    pub(crate) client_id: String,
    pub(crate) realm: Realm,
    pub(crate) scope: Vec<String>,
    /// What its tokens are for, beside the app's own audience (RFC 8707).
    pub(crate) resources: Vec<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) auth_time: Timestamp,
    pub(crate) ends_at: Timestamp,
    pub(crate) stepped_up_until: Option<Timestamp>,
    /// `amr`.
    pub(crate) factors: Vec<String>,
    /// Custom claims as they were at the sign-in: they stay with the refresh token (sheet 3.1).
    pub(crate) claims: Map<String, Value>,
    pub(crate) ended: Option<FamilyEnd>,
    pub(crate) refreshes: u64,
    pub(crate) reuses: u64,
    tokens: Vec<RefreshToken>,
}

#[derive(Debug, Clone)]
struct RefreshToken {
    kid: String,
    expires_at: Timestamp,
    spent_at: Option<Timestamp>,
}

/// What a new family starts with.
pub(crate) struct NewFamily {
    pub(crate) user_id: String,
    pub(crate) client_id: String,
    pub(crate) realm: Realm,
    pub(crate) scope: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) auth_time: Timestamp,
    pub(crate) ends_at: Timestamp,
    pub(crate) stepped_up_until: Option<Timestamp>,
    pub(crate) factors: Vec<String>,
    pub(crate) claims: Map<String, Value>,
}

/// Every family so far.
#[derive(Debug, Default)]
pub(crate) struct Families {
    families: Vec<Family>,
    by_token: HashMap<String, (usize, usize)>,
}

/// Where a good refresh token was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    family: usize,
    token: usize,
}

impl Family {
    /// A session without a sign-in and without refresh tokens; it is in no list.
    pub(crate) fn detached(subject: &str, tenant: Option<String>, claims: Map<String, Value>) -> Self {
        Self {
            id: 0,
            user_id: subject.to_owned(),
            client_id: String::new(),
            realm: Realm::Project,
            scope: Vec::new(),
            resources: Vec::new(),
            tenant,
            auth_time: Timestamp::UNIX_EPOCH,
            ends_at: Timestamp::MAX,
            stepped_up_until: None,
            factors: Vec::new(),
            claims,
            ended: None,
            refreshes: 0,
            reuses: 0,
            tokens: Vec::new(),
        }
    }

    pub(crate) fn alive(&self, now: Timestamp) -> bool {
        self.ended.is_none() && self.live_tokens(now) > 0
    }

    pub(crate) fn live_tokens(&self, now: Timestamp) -> usize {
        if self.ended.is_some() {
            return 0;
        }
        self.tokens.iter().filter(|token| token.spent_at.is_none() && now < token.expires_at).count()
    }
}

impl Families {
    /// Starts a family that has no token yet.
    pub(crate) fn start(&mut self, new: NewFamily) -> u64 {
        let id = self.families.len() as u64 + 1;
        self.families.push(Family {
            id,
            user_id: new.user_id,
            client_id: new.client_id,
            realm: new.realm,
            scope: new.scope,
            resources: new.resources,
            tenant: new.tenant,
            auth_time: new.auth_time,
            ends_at: new.ends_at,
            stepped_up_until: new.stepped_up_until,
            factors: new.factors,
            claims: new.claims,
            ended: None,
            refreshes: 0,
            reuses: 0,
            tokens: Vec::new(),
        });
        id
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Family> {
        self.families.iter()
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Family> {
        self.families.iter().find(|family| family.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Family> {
        self.families.iter_mut().find(|family| family.id == id)
    }

    /// Adds a refresh token to a family.
    pub(crate) fn add_token(&mut self, id: u64, text: &str, kid: &str, expires_at: Timestamp) {
        let Some(index) = self.families.iter().position(|family| family.id == id) else { return };
        let Some(family) = self.families.get_mut(index) else { return };
        family.tokens.push(RefreshToken { kid: kid.to_owned(), expires_at, spent_at: None });
        self.by_token.insert(text.to_owned(), (index, family.tokens.len() - 1));
    }

    /// Ends one family; true when it was not over before.
    pub(crate) fn end(&mut self, id: u64, why: FamilyEnd) -> bool {
        match self.get_mut(id) {
            Some(family) if family.ended.is_none() => {
                family.ended = Some(why);
                true
            }
            _ => false,
        }
    }

    /// Ends every family of a user and returns how many that were.
    pub(crate) fn end_all(&mut self, user_id: &str, why: FamilyEnd) -> usize {
        let open =
            self.families.iter_mut().filter(|family| family.user_id == user_id && family.ended.is_none());
        open.map(|family| family.ended = Some(why)).count()
    }

    /// The family id that a token ever belonged to, whatever its state.
    pub(crate) fn owner(&self, text: &str) -> Option<u64> {
        let (family, _) = self.by_token.get(text)?;
        self.families.get(*family).map(|family| family.id)
    }

    /// Looks at a presented refresh token without consequences: where it is, its family's id, and whether it is spent.
    pub(crate) fn check(
        &self,
        text: &str,
        keys: &KeyRing,
        now: Timestamp,
    ) -> Result<(Found, u64, bool), Refusal> {
        let unknown = || Refusal::invalid_token("The refresh token is not valid");
        let (at, token_at) = *self.by_token.get(text).ok_or_else(unknown)?;
        let family = self.families.get(at).ok_or_else(unknown)?;
        let token = family.tokens.get(token_at).ok_or_else(unknown)?;
        if family.ended.is_some() {
            return Err(Refusal::logged_out());
        }
        if !keys.knows(&token.kid) {
            return Err(Refusal::invalid_token("The refresh token was signed by a revoked key"));
        }
        if now >= token.expires_at {
            return Err(Refusal::invalid_token("The refresh token is expired"));
        }
        Ok((Found { family: at, token: token_at }, family.id, token.spent_at.is_some()))
    }

    /// Judges a refresh token that wants to be exchanged. A replay has its consequences here.
    pub(crate) fn judge(
        &mut self,
        text: &str,
        keys: &KeyRing,
        settings: &RefreshSettings,
        now: Timestamp,
    ) -> Result<Found, Refusal> {
        let (found, id, spent) = self.check(text, keys, now)?;
        if !spent {
            return Ok(found);
        }
        let gone = || Refusal::internal("the family is gone");
        let family = self.families.get_mut(found.family).ok_or_else(gone)?;
        family.reuses += 1;
        let spent_at = family.tokens.get(found.token).and_then(|token| token.spent_at).unwrap_or(now);
        let in_grace =
            now.duration_since(spent_at) <= SignedDuration::from_secs(settings.grace_seconds.into());
        match settings.on_reuse {
            ReusePolicy::Accept => Ok(found),
            ReusePolicy::Grace if in_grace => Ok(found),
            ReusePolicy::Refuse => Err(Refusal::invalid_token("The refresh token was already used")),
            ReusePolicy::Kill | ReusePolicy::Grace => {
                self.end(id, FamilyEnd::ReuseDetected);
                Err(Refusal::logged_out())
            }
        }
    }

    /// The family of a judged token.
    pub(crate) fn of(&self, found: Found) -> Option<&Family> {
        self.families.get(found.family)
    }

    /// Marks a judged token as used up.
    pub(crate) fn spend(&mut self, found: Found, now: Timestamp) {
        let token = self.families.get_mut(found.family).and_then(|family| family.tokens.get_mut(found.token));
        if let Some(token) = token {
            token.spent_at.get_or_insert(now);
        }
    }
}
