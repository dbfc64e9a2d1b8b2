//! Who a session token speaks for, and which roles and permissions it carries in which tenant.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Claims;
use super::read::{kind_of, strings};

/// A session token's claims after judgement.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionClaims {
    /// The user: `dsub` where a template overrides `sub`, else `sub`.
    pub subject: String,
    /// `iss`, as written.
    pub issuer: String,
    /// `iat`.
    pub issued_at: Option<Timestamp>,
    /// `exp`; the token is worth nothing from this instant on.
    pub expires_at: Timestamp,
    /// `rexp`: when the refresh token behind this session ends.
    pub refresh_expires_at: Option<Timestamp>,
    /// Top-level `roles`: the project's, or the current tenant's where `tenants` is absent.
    pub roles: Vec<String>,
    /// Top-level `permissions`, likewise.
    pub permissions: Vec<String>,
    /// `tenants`; absence and emptiness mean different things, see [`SessionClaims::tenant_rights`].
    pub tenants: Option<BTreeMap<String, TenantRights>>,
    /// `dct`.
    pub current_tenant: Option<String>,
    /// `amr`: how the user proved who they are.
    pub factors: Vec<String>,
    /// `acr`: how strongly the user authenticated, in the provider's words.
    pub acr: Option<String>,
    /// `su`: stepped up.
    pub stepped_up: bool,
    /// Claims that were there but not as they should be, and what they count as; for logs and `doctor`.
    pub warnings: Vec<String>,
}

/// Roles and permissions inside one tenant.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct TenantRights {
    /// Role names.
    pub roles: Vec<String>,
    /// Permission names.
    pub permissions: Vec<String>,
}

/// What the user may do where the profile says they act.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EffectiveRights {
    /// Role names.
    pub roles: Vec<String>,
    /// Permission names.
    pub permissions: Vec<String>,
    /// All tenants that the user is associated with, sorted.
    pub tenants: Vec<String>,
    /// The tenant that the roles and permissions belong to; `None` for the project as a whole, and where the wished
    /// tenant is none of the user's.
    pub current_tenant: Option<String>,
}

impl SessionClaims {
    /// The user's rights in `tenant`, or `None` when they are not associated with it. These are the rules of the
    /// provider's Go and JavaScript SDKs:
    ///
    /// - a key of `tenants`: that entry's lists, `{}` being an association without rights;
    /// - `tenants` absent and `dct` equal: the top-level lists, which then belong to that tenant;
    /// - `tenants` present without it and `dct` equal: associated, without rights;
    /// - the empty name: the top-level lists.
    pub fn tenant_rights(&self, tenant: &str) -> Option<TenantRights> {
        let top_level = || TenantRights { roles: self.roles.clone(), permissions: self.permissions.clone() };
        if tenant.is_empty() {
            return Some(top_level());
        }
        let is_current = self.current_tenant.as_deref() == Some(tenant);
        match &self.tenants {
            None => is_current.then(top_level),
            Some(tenants) => tenants.get(tenant).cloned().or_else(|| is_current.then(TenantRights::default)),
        }
    }

    /// The tenants in which the user has roles or permissions that are not among [`SessionClaims::effective`]'s, sorted.
    pub fn tenants_not_counted(&self, tenant: Option<&str>) -> Vec<String> {
        let wished = tenant.filter(|name| !name.is_empty());
        let gives = |rights: &TenantRights| !rights.roles.is_empty() || !rights.permissions.is_empty();
        let others =
            self.tenants.iter().flatten().filter(|(name, rights)| {
                gives(rights) && wished.is_none_or(|wished| wished != name.as_str())
            });
        others.map(|(name, _)| name.clone()).collect()
    }

    /// The rights to decide with: those in `tenant` (none at all, when the user is not associated with it), or the
    /// top-level ones without a wish.
    pub fn effective(&self, tenant: Option<&str>) -> EffectiveRights {
        let mut tenants: Vec<String> = self.tenants.iter().flat_map(BTreeMap::keys).cloned().collect();
        if let Some(current) = &self.current_tenant
            && !tenants.contains(current)
        {
            tenants.push(current.clone());
            tenants.sort();
        }
        let (rights, current_tenant) = match tenant.filter(|name| !name.is_empty()) {
            None => (self.tenant_rights(""), self.current_tenant.clone()),
            Some(name) => {
                let rights = self.tenant_rights(name);
                let current = rights.is_some().then(|| name.to_owned());
                (rights, current)
            }
        };
        let TenantRights { roles, permissions } = rights.unwrap_or_default();
        EffectiveRights { roles, permissions, tenants, current_tenant }
    }
}

/// Reads `tenants`. `null` counts as absent, as in the SDKs; any other non-object counts as present and empty, which
/// never gives rights that the provider did not mean.
pub(super) fn tenants(claims: &Claims, warnings: &mut Vec<String>) -> Option<BTreeMap<String, TenantRights>> {
    let entries = match claims.get("tenants")? {
        Value::Null => return None,
        Value::Object(entries) => entries,
        other => {
            warnings
                .push(format!("`tenants` is {} where an object is due; it counts as empty", kind_of(other)));
            return Some(BTreeMap::new());
        }
    };
    let mut tenants = BTreeMap::new();
    for (name, entry) in entries {
        if !matches!(entry, Value::Object(_)) {
            warnings.push(format!(
                "a tenant's entry is {} where an object is due; it carries no rights",
                kind_of(entry)
            ));
        }
        let roles = strings(entry.get("roles"), "tenants.*.roles", warnings);
        let permissions = strings(entry.get("permissions"), "tenants.*.permissions", warnings);
        tenants.insert(name.clone(), TenantRights { roles, permissions });
    }
    Some(tenants)
}
