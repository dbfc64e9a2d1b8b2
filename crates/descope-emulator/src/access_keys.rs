//! Access keys: what machines show instead of a login (sheet 4.1 and 8.1).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::families::Family;
use crate::fixture::{TestPassword, User};

/// One access key.
#[derive(Debug, Clone)]
pub(crate) struct AccessKey {
    /// `K` and 27 letters or digits; `sub` of its session tokens.
    pub(crate) id: String,
    pub(crate) secret: TestPassword,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) roles: Vec<String>,
    pub(crate) tenants: BTreeMap<String, Vec<String>>,
    /// The user that it is bound to.
    pub(crate) user_id: Option<String>,
    pub(crate) claims: Map<String, Value>,
    pub(crate) attributes: Map<String, Value>,
    pub(crate) created_at: Timestamp,
    /// None: never.
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) inactive: bool,
}

/// Every access key.
#[derive(Debug, Default)]
pub(crate) struct AccessKeys(Vec<AccessKey>);

impl AccessKeys {
    pub(crate) fn add(&mut self, key: AccessKey) {
        self.0.push(key);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &AccessKey> {
        self.0.iter()
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut AccessKey> {
        self.0.iter_mut().find(|key| key.id == id)
    }

    /// Removes a key; false when there is none.
    pub(crate) fn remove(&mut self, id: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|key| key.id != id);
        self.0.len() < before
    }

    /// The key that fits a clear text and may be used now.
    pub(crate) fn usable(&self, cleartext: &str, now: Timestamp) -> Option<&AccessKey> {
        let key = self.0.iter().find(|key| key.secret.matches(cleartext))?;
        let expired = key.expires_at.is_some_and(|end| now >= end);
        (!key.inactive && !expired).then_some(key)
    }
}

impl AccessKey {
    /// The key as the bearer of a session: tokens are made for users in sign-ins.
    pub(crate) fn bearer(&self, tenant: Option<String>, claims: Map<String, Value>) -> (User, Family) {
        let user = User {
            id: self.id.clone(),
            email: self.id.clone(),
            login_ids: Vec::new(),
            name: Some(self.name.clone()),
            password: TestPassword::default(),
            roles: self.roles.clone(),
            tenants: self.tenants.clone(),
            disabled: false,
            factors: Vec::new(),
            claims: Map::new(),
            phone: None,
            unverified: false,
            invited: false,
            test: false,
            attributes: Map::new(),
        };
        let claims = claims.into_iter().chain(self.claims.clone()).collect();
        (user, Family::detached(&self.id, tenant, claims))
    }

    /// The key as the management API describes it; never its clear text.
    pub(crate) fn describe(&self, now: Timestamp) -> Value {
        let expired = self.expires_at.is_some_and(|end| now >= end);
        let status = match (self.inactive, expired) {
            (true, _) => "inactive",
            (_, true) => "expired",
            _ => "active",
        };
        let tenants: Vec<Value> =
            self.tenants.iter().map(|(id, roles)| json!({"tenantId": id, "roleNames": roles})).collect();
        json!({"id": self.id, "clientId": self.id, "name": self.name, "description": self.description,
               "roleNames": self.roles, "keyTenants": tenants, "status": status,
               "createdTime": self.created_at.as_second(),
               "expireTime": self.expires_at.map_or(0, Timestamp::as_second),
               "boundUserId": self.user_id.clone().unwrap_or_default(), "createdBy": "", "permittedIps": [],
               "customClaims": self.claims, "customAttributes": self.attributes})
    }
}
