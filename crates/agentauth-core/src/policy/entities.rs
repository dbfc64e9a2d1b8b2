//! What policies see: the user with their rights, the agent, the resource, and the context of one question.

use std::sync::Arc;

use cedar_policy::{Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use sha2::{Digest as _, Sha256};

use super::{Question, schema};
use crate::agent::Agent;
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

    /// The agent and its user. All ancestors are named directly, so that little is left to compute.
    pub(super) fn asker(&self, agent: &Agent, user: &PreparedUser) -> Result<Asker, Unaskable> {
        let uid = uid(&self.agent, &agent.name);
        let manifest = &agent.manifest;
        let mut attributes = vec![
            ("user".to_owned(), RestrictedExpression::new_entity_uid(user.uid.clone())),
            ("name".to_owned(), RestrictedExpression::new_string(manifest.name.clone())),
            ("version".to_owned(), RestrictedExpression::new_string(manifest.version.clone())),
        ];
        if let Some(publisher) = &manifest.publisher {
            attributes.push(("publisher".to_owned(), RestrictedExpression::new_string(publisher.clone())));
        }
        let entity = Entity::new(
            uid.clone(),
            attributes.into_iter().collect(),
            user.ancestors.iter().cloned().collect(),
        )?;
        Ok(Asker { uid, entities: Entities::from_entities([entity, user.entity.clone()], None)? })
    }

    /// The resource that a scope names: `files`, `files:/projects/alpha` in `files:/projects` in `files:/` in `files`,
    /// `sheets:sheetId=1` in `sheets`. Parameters are tags.
    pub(super) fn resource(&self, scope: &Scope) -> Result<Entity, Unaskable> {
        let kind = scope.resource();
        let named = |context: &str| uid(&self.resource, &format!("{kind}:{context}"));
        let whole = uid(&self.resource, kind);
        let mut attributes = vec![("kind".to_owned(), RestrictedExpression::new_string(kind.to_owned()))];
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

/// The context of one question.
pub(super) fn context(question: &Question<'_>) -> Result<Context, Unaskable> {
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let known = RestrictedExpression::new_record([
        ("now".to_owned(), instant(question.now)),
        ("logged_in_at".to_owned(), instant(question.session.logged_in_at)),
        ("assurance".to_owned(), text(question.assurance.as_str())),
        ("assurance_level".to_owned(), RestrictedExpression::new_long(question.assurance as i64)),
        ("greeted".to_owned(), RestrictedExpression::new_bool(question.greeted)),
        ("tampered".to_owned(), RestrictedExpression::new_bool(question.tampered)),
        ("caveats".to_owned(), RestrictedExpression::new_set(question.caveats.words().map(text))),
        ("risk".to_owned(), text(question.risk.as_str())),
        ("high_risk".to_owned(), RestrictedExpression::new_bool(question.risk.is_high())),
    ])?;
    let claimed = RestrictedExpression::new_record(
        question.purpose.map(|purpose| ("purpose".to_owned(), text(purpose))),
    )?;
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
    for optional in [&user.email, &rights.current_tenant] {
        add(if optional.is_some() { "some" } else { "none" });
        add(optional.as_deref().unwrap_or_default());
    }
    add(if claims.stepped_up { "stepped up" } else { "" });
    add(&logged_in_at.to_string());
    hash.finalize().into()
}
