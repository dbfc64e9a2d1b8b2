//! What policies see: the user with their rights, the agent, the resource, and the context of one question.

use std::collections::HashSet;
use std::sync::Arc;

use cedar_policy::{Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use sha2::{Digest as _, Sha256};

use super::{Claimed, Question, schema};
use crate::agent::Agent;
use crate::catalogue::{Labels, RiskClass};
use crate::device::Device;
use crate::grant::GrantUse;
use crate::scope::{Scope, ScopeContext, path_and_above};
use crate::session::Session;
use crate::time::Timestamp;

/// Why a question could not be put to the policies; the decision is then a deny.
pub(super) type Unaskable = Box<dyn std::error::Error + Send + Sync>;

/// The types of the schema, by name.
#[derive(Debug, Clone)]
pub(super) struct Types {
    agent: EntityTypeName,
    user: EntityTypeName,
    role: EntityTypeName,
    permission: EntityTypeName,
    tenant: EntityTypeName,
    resource: EntityTypeName,
    device: EntityTypeName,
    action: EntityTypeName,
}

/// The user of one session, ready for evaluation. Made once per session.
#[derive(Debug)]
pub(super) struct PreparedUser {
    /// The session that it was made from. Held, so that its address names it.
    pub(super) session: Arc<Session>,
    /// A digest over everything that policies can read of the user: equal for sessions that differ in nothing else.
    pub(super) digest: [u8; 32],
    uid: EntityUid,
    entity: Entity,
    /// The user, and everything that the user is in.
    ancestors: Vec<EntityUid>,
}

/// An agent acting for a user, ready for evaluation. Made once per registration and session.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) uid: EntityUid,
    pub(super) entities: Entities,
}

impl Types {
    pub(super) fn new() -> Result<Self, Unaskable> {
        let named = |name: &str| -> Result<EntityTypeName, Unaskable> {
            Ok(format!("{}::{name}", schema::NAMESPACE).parse::<EntityTypeName>()?)
        };
        Ok(Self {
            agent: named("Agent")?,
            user: named("User")?,
            role: named("Role")?,
            permission: named("Permission")?,
            tenant: named("Tenant")?,
            resource: named("Resource")?,
            device: named("Device")?,
            action: named("Action")?,
        })
    }

    pub(super) fn action(&self, name: &str) -> EntityUid {
        uid(&self.action, name)
    }

    pub(super) fn prepare(&self, session: &Arc<Session>) -> Result<PreparedUser, Unaskable> {
        let Session { user, claims, rights, .. } = &**session;
        let user_uid = uid(&self.user, &user.subject);
        let groups = [
            (&self.role, &rights.roles),
            (&self.permission, &rights.permissions),
            (&self.tenant, &rights.tenants),
        ];
        let parents: Vec<_> = groups
            .into_iter()
            .flat_map(|(kind, names)| names.iter().map(move |name| uid(kind, name)))
            .collect();
        let factors = claims.factors.iter().map(|factor| RestrictedExpression::new_string(factor.clone()));
        let mut attributes = vec![
            ("factors".to_owned(), RestrictedExpression::new_set(factors)),
            ("stepped_up".to_owned(), RestrictedExpression::new_bool(claims.stepped_up)),
        ];
        let optional = [("email", &user.email), ("current_tenant", &rights.current_tenant)];
        for (name, value) in optional {
            if let Some(value) = value {
                attributes.push((name.to_owned(), RestrictedExpression::new_string(value.clone())));
            }
        }
        let entity = Entity::new(
            user_uid.clone(),
            attributes.into_iter().collect(),
            parents.iter().cloned().collect(),
        )?;
        let ancestors = std::iter::once(user_uid.clone()).chain(parents).collect();
        Ok(PreparedUser {
            session: Arc::clone(session),
            digest: digest(session),
            uid: user_uid,
            entity,
            ancestors,
        })
    }

    /// The agent, its user and the device. All ancestors are named directly, so that little is left to compute.
    pub(super) fn asker(
        &self,
        agent: &Agent,
        user: &PreparedUser,
        device: &Device,
    ) -> Result<Asker, Unaskable> {
        let uid = uid(&self.agent, &agent.name);
        let manifest = &agent.manifest;
        let mut attributes = vec![
            ("user".to_owned(), RestrictedExpression::new_entity_uid(user.uid.clone())),
            ("name".to_owned(), RestrictedExpression::new_string(manifest.name.clone())),
            ("version".to_owned(), RestrictedExpression::new_string(manifest.version.clone())),
            ("registered_by".to_owned(), RestrictedExpression::new_string(agent.source.as_str().to_owned())),
        ];
        if let Some(publisher) = &manifest.publisher {
            attributes.push(("publisher".to_owned(), RestrictedExpression::new_string(publisher.clone())));
        }
        let entity = Entity::new(
            uid.clone(),
            attributes.into_iter().collect(),
            user.ancestors.iter().cloned().collect(),
        )?;
        let all = [entity, user.entity.clone(), self.device_entity(device)?];
        Ok(Asker { uid, entities: Entities::from_entities(all, None)? })
    }

    /// The name of a device.
    pub(super) fn device(&self, device: &Device) -> EntityUid {
        uid(&self.device, &device.id)
    }

    fn device_entity(&self, device: &Device) -> Result<Entity, Unaskable> {
        let text = |text: &String| RestrictedExpression::new_string(text.clone());
        let mut attributes = vec![
            ("id".to_owned(), text(&device.id)),
            ("os".to_owned(), text(&device.os)),
            ("managed".to_owned(), RestrictedExpression::new_bool(device.managed)),
            ("attested".to_owned(), RestrictedExpression::new_bool(device.attested)),
        ];
        attributes.extend(device.os_version.as_ref().map(|version| ("os_version".to_owned(), text(version))));
        Ok(Entity::new(self.device(device), attributes.into_iter().collect(), HashSet::new())?)
    }

    /// The resource that a scope names: `files`, `files:/projects/alpha` in `files:/projects` in `files:/` in `files`,
    /// `sheets:sheetId=1` in `sheets`. Parameters are tags.
    pub(super) fn resource(
        &self,
        scope: &Scope,
        risk: RiskClass,
        labels: &Labels,
    ) -> Result<Entity, Unaskable> {
        let kind = scope.resource();
        let named = |context: &str| uid(&self.resource, &format!("{kind}:{context}"));
        let whole = uid(&self.resource, kind);
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let mut attributes = vec![
            ("kind".to_owned(), text(kind)),
            ("risk".to_owned(), text(risk.as_str())),
            ("classification".to_owned(), RestrictedExpression::new_set(labels.of(scope).map(text))),
            (
                "classification_within".to_owned(),
                RestrictedExpression::new_set(labels.within(scope).map(text)),
            ),
        ];
        let mut tags = Vec::new();
        let (resource, parents) = match scope.context() {
            ScopeContext::Any => (whole, Vec::new()),
            ScopeContext::Path(path) => {
                attributes.push(("path".to_owned(), RestrictedExpression::new_string(path.clone())));
                let above = path_and_above(path).filter(|above| above != path).map(named);
                (named(path), std::iter::once(whole).chain(above).collect())
            }
            ScopeContext::Pairs(pairs) => {
                let text = |(key, value): (&String, &String)| {
                    (key.clone(), RestrictedExpression::new_string(value.clone()))
                };
                tags = pairs.iter().map(text).collect();
                (named(scope.context_text()), vec![whole])
            }
        };
        Ok(Entity::new_with_tags(resource, attributes, parents, tags)?)
    }
}

/// The context of one question. `grant` is the one that an allow would use, where a policy reads of it.
pub(super) fn context(types: &Types, question: &Question<'_>, grant: GrantUse) -> Result<Context, Unaskable> {
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let Question { session, device, .. } = question;
    let local = device.zone.time_of_day(question.now);
    // A clock that ran back makes nothing negative.
    let age = |since: Timestamp| {
        RestrictedExpression::new_long(question.now.duration_since(since).as_secs().max(0))
    };
    let mut known = vec![
        ("now".to_owned(), instant(question.now)),
        ("logged_in_at".to_owned(), instant(session.logged_in_at)),
        ("auth_age".to_owned(), age(session.logged_in_at)),
        ("amr".to_owned(), RestrictedExpression::new_set(session.claims.factors.iter().map(|one| text(one)))),
        ("session_confirmed_age".to_owned(), age(session.confirmed_at)),
        ("device".to_owned(), RestrictedExpression::new_entity_uid(types.device(device))),
        ("daemon_version".to_owned(), text(&device.daemon_version)),
        ("local_minute".to_owned(), RestrictedExpression::new_long(local.minute)),
        ("local_weekday".to_owned(), RestrictedExpression::new_long(local.weekday)),
        ("grant".to_owned(), text(grant.kind.as_str())),
        ("grant_strength".to_owned(), text(grant.strength.as_str())),
        ("grant_strength_level".to_owned(), RestrictedExpression::new_long(grant.strength.level().into())),
        // No token is bound to a key that a caller could prove to hold.
        ("proof".to_owned(), RestrictedExpression::new_bool(false)),
        ("assurance".to_owned(), text(question.assurance.as_str())),
        ("assurance_level".to_owned(), RestrictedExpression::new_long(question.assurance as i64)),
        ("greeted".to_owned(), RestrictedExpression::new_bool(question.greeted)),
        ("tampered".to_owned(), RestrictedExpression::new_bool(question.tampered)),
        ("caveats".to_owned(), RestrictedExpression::new_set(question.caveats.words().map(text))),
        ("risk".to_owned(), text(question.risk.as_str())),
        ("high_risk".to_owned(), RestrictedExpression::new_bool(question.risk.is_high())),
    ];
    known.extend(session.claims.acr.as_deref().map(|acr| ("acr".to_owned(), text(acr))));
    known.extend(question.seen.map(|seen| ("person_seen_at".to_owned(), instant(seen))));
    let known = RestrictedExpression::new_record(known)?;
    let Claimed { purpose, action, bytes, items } = question.claimed;
    let mut claimed = Vec::new();
    for (name, said) in [("purpose", purpose), ("action", action)] {
        claimed.extend(said.map(|said| (name.to_owned(), text(said))));
    }
    for (name, moved) in [("bytes", bytes), ("items", items)] {
        let moved = i64::try_from(moved).unwrap_or(i64::MAX);
        claimed.extend((moved > 0).then(|| (name.to_owned(), RestrictedExpression::new_long(moved))));
    }
    let claimed = RestrictedExpression::new_record(claimed)?;
    let signals = RestrictedExpression::new_set(question.signals.iter().map(|signal| text(signal.as_str())));
    let parts = [("known", known), ("claimed", claimed), ("signals", signals)];
    Ok(Context::from_pairs(parts.map(|(name, part)| (name.to_owned(), part)))?)
}

/// Cedar knows milliseconds.
fn instant(at: Timestamp) -> RestrictedExpression {
    RestrictedExpression::new_datetime(at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

/// Over everything that policies can read of the user; every part is preceded by its length.
fn digest(session: &Session) -> [u8; 32] {
    let Session { user, claims, rights, logged_in_at, .. } = session;
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    add(&user.subject);
    for list in [&rights.roles, &rights.permissions, &rights.tenants, &claims.factors] {
        add(&list.len().to_string());
        list.iter().for_each(|entry| add(entry));
    }
    for optional in [&user.email, &rights.current_tenant, &claims.acr] {
        add(if optional.is_some() { "some" } else { "none" });
        add(optional.as_deref().unwrap_or_default());
    }
    add(if claims.stepped_up { "stepped up" } else { "" });
    add(&logged_in_at.to_string());
    hash.finalize().into()
}
