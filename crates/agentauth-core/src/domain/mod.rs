//! Domains: what a program that is registered as an enforcer may ask about others. A gateway on this machine asks whether
//! some user may do something to some thing; a domain says which users and things there are, and which policies decide.
//!
//! A domain is a schema, policies and entities of its own, in Cedar. It shares nothing with the organisation's policies for
//! agents, which decide whether the enforcer itself may ask.
//!
//! What a question says of its subject, action or resource counts only where the schema says so, with the annotation
//! `@from("request")`: everything else is looked up. Cedar skips a policy that fails to evaluate, so that a failing `forbid`
//! would count as absent; here any evaluation error denies.

mod given;
mod load;
mod paging;
#[cfg(test)]
mod tests;

pub use load::{
    DomainFault, DomainFaults, ENTITIES_FILE, MAX_DOMAIN_POLICIES, MAX_ENTITIES, MAX_FILE_BYTES, SCHEMA_FILE,
    is_domain_name,
};
pub use paging::{DEFAULT_LIMIT, MAX_LIMIT, Page, PageAsk, PageFault};

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    PolicyId, PolicySet, Request, Schema,
};
use serde_json::{Map, Value, json};

use crate::text::display_safe_within;
use given::{ActionShape, Given};
use load::Rule;

/// The most characters of an evaluation error that are shown.
const SHOWN: usize = 300;

/// A set of policies with its schema and entities that passed every check, ready to be asked.
pub struct Domain {
    name: String,
    digest: String,
    schema: Schema,
    policies: PolicySet,
    rules: BTreeMap<PolicyId, Rule>,
    entities: Entities,
    given: Given,
}

/// Who, what, to what: in the asker's words.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Question {
    /// Who. Of a search for subjects, the id is not looked at.
    pub subject: Thing,
    /// What. Of a search for actions, it is not looked at.
    pub action: String,
    /// What the asker says of the action.
    pub action_properties: Map<String, Value>,
    /// To what. Of a search for resources, the id is not looked at.
    pub resource: Thing,
    /// What the asker says of the circumstances.
    pub context: Map<String, Value>,
}

/// A subject or a resource, in the asker's words.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Thing {
    /// Its kind.
    pub kind: String,
    /// Which one.
    pub id: String,
    /// What the asker says of it.
    pub properties: Map<String, Value>,
}

/// What a search is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sought {
    /// Who may do it.
    Subjects,
    /// To what it may be done.
    Resources,
    /// What may be done.
    Actions,
}

/// What a domain says to a question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether at least one policy permits, none forbids, and none failed.
    pub permitted: bool,
    /// The policies that decided (all that permitted, or all that forbade, or all that failed), in order of name. Empty when
    /// none permitted.
    pub policies: Vec<String>,
    /// What the first policy that forbade wants the person told.
    pub reason_user: Option<String>,
    /// What the first policy that forbade wants the administrator told.
    pub reason_admin: Option<String>,
    /// Why it could not be evaluated: something is not known, or does not fit. Safe to show.
    pub unasked: Option<String>,
}

/// Why a question could not be put to the policies.
struct Unasked(String);

impl Domain {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 over names and texts of its files, in lower-case hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// How many policies it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether it has none; then nothing is permitted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What it says to a question.
    #[must_use]
    pub fn judge(&self, question: &Question) -> Verdict {
        self.judged(question).unwrap_or_else(Verdict::from)
    }

    /// Every subject or resource (by id) or action (by name) for which the question would be permitted, in order. Only what
    /// the domain's entities name is found.
    #[must_use]
    pub fn search(&self, sought: Sought, question: &Question) -> Vec<String> {
        self.found(sought, question).unwrap_or_default()
    }

    fn judged(&self, question: &Question) -> Result<Verdict, Unasked> {
        let action =
            self.given.action(&question.action).ok_or_else(|| unknown("action", &question.action))?;
        let (subject, entities) = self.with(Cow::Borrowed(&self.entities), "subject", &question.subject)?;
        let (resource, entities) = self.with(entities, "resource", &question.resource)?;
        self.evaluate(subject, action, resource, question, &entities)
    }

    fn found(&self, sought: Sought, question: &Question) -> Result<Vec<String>, Unasked> {
        let base = Cow::Borrowed(&self.entities);
        let permitted = |verdict: Result<Verdict, Unasked>| verdict.is_ok_and(|verdict| verdict.permitted);
        match sought {
            Sought::Subjects | Sought::Resources => {
                let (of, other, role) = match sought {
                    Sought::Subjects => (&question.subject, &question.resource, "resource"),
                    _ => (&question.resource, &question.subject, "subject"),
                };
                let action =
                    self.given.action(&question.action).ok_or_else(|| unknown("action", &question.action))?;
                let kind = self.given.kind(&of.kind).ok_or_else(|| unknown("type", &of.kind))?;
                let (known, entities) = self.with(base, role, other)?;
                let mut ids: Vec<String> = self
                    .entities
                    .iter()
                    .map(Entity::uid)
                    .filter(|uid| uid.type_name() == kind)
                    .map(|uid| uid.id().unescaped().to_owned())
                    .collect();
                ids.retain(|id| {
                    let candidate = Thing { id: id.clone(), ..of.clone() };
                    permitted(self.with(Cow::Borrowed(&*entities), "candidate", &candidate).and_then(
                        |(candidate, entities)| match sought {
                            Sought::Subjects => {
                                self.evaluate(candidate, action, known.clone(), question, &entities)
                            }
                            _ => self.evaluate(known.clone(), action, candidate, question, &entities),
                        },
                    ))
                });
                ids.sort();
                Ok(ids)
            }
            Sought::Actions => {
                let (subject, entities) = self.with(base, "subject", &question.subject)?;
                let (resource, entities) = self.with(entities, "resource", &question.resource)?;
                let names = self.given.actions().filter(|(_, action)| {
                    permitted(self.evaluate(subject.clone(), action, resource.clone(), question, &entities))
                });
                Ok(names.map(|(name, _)| name.to_owned()).collect())
            }
        }
    }

    /// The entity that is meant, and the entities with what the question says of it as far as that counts.
    fn with<'e>(
        &self,
        entities: Cow<'e, Entities>,
        role: &str,
        thing: &Thing,
    ) -> Result<(EntityUid, Cow<'e, Entities>), Unasked> {
        let kind = self.given.kind(&thing.kind).ok_or_else(|| unknown("type", &thing.kind))?;
        let uid = EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(&thing.id));
        let said = self.given.attributes(kind, &thing.properties);
        let known = entities.get(&uid);
        if said.is_empty() {
            return if known.is_some() { Ok((uid, entities)) } else { Err(unknown(role, &thing.id)) };
        }
        let unfit = |error: cedar_policy::entities_errors::EntitiesError| {
            Unasked(format!(
                "what is said of the {role} does not fit the schema: {}",
                display_safe_within(&error.to_string(), SHOWN)
            ))
        };
        let mut document = match known {
            Some(known) => known.to_json_value().map_err(unfit)?,
            None => blank(kind, &thing.id),
        };
        if let Some(attributes) = document.get_mut("attrs").and_then(Value::as_object_mut) {
            attributes.extend(said);
        }
        let entity = Entity::from_json_value(document, Some(&self.schema)).map_err(unfit)?;
        let entities = entities.into_owned().upsert_entities([entity], Some(&self.schema)).map_err(unfit)?;
        Ok((uid, Cow::Owned(entities)))
    }

    fn evaluate(
        &self,
        subject: EntityUid,
        action: &ActionShape,
        resource: EntityUid,
        question: &Question,
        entities: &Entities,
    ) -> Result<Verdict, Unasked> {
        let unfit = |error: &dyn fmt::Display| Unasked(display_safe_within(&error.to_string(), SHOWN));
        let context = action.context(&question.context, &question.action_properties);
        let context = Context::from_json_value(Value::Object(context), Some((&self.schema, &action.uid)))
            .map_err(|error| unfit(&error))?;
        let request = Request::new(subject, action.uid.clone(), resource, context, Some(&self.schema))
            .map_err(|error| unfit(&error))?;
        let response = Authorizer::new().is_authorized(&request, &self.policies, entities);
        let failed: Vec<&PolicyId> = response
            .diagnostics()
            .errors()
            .map(|AuthorizationError::PolicyEvaluationError(error)| error.policy_id())
            .collect();
        if !failed.is_empty() {
            let unasked = response.diagnostics().errors().next().map(ToString::to_string);
            return Ok(Verdict {
                policies: names(failed),
                unasked: unasked.map(|error| display_safe_within(&error, SHOWN)),
                ..Verdict::default()
            });
        }
        let permitted = response.decision() == Decision::Allow;
        let policies = names(response.diagnostics().reason());
        let said = |text: fn(&Rule) -> &Option<String>| {
            let mut rules = policies.iter().filter_map(|id| self.rules.get(&PolicyId::new(id)));
            rules.find_map(|rule| text(rule).clone()).filter(|_| !permitted)
        };
        Ok(Verdict {
            permitted,
            reason_user: said(|rule| &rule.reason_user),
            reason_admin: said(|rule| &rule.reason_admin),
            unasked: None,
            policies,
        })
    }
}

/// An entity of which nothing is known yet, as JSON.
fn blank(kind: &EntityTypeName, id: &str) -> Value {
    json!({ "uid": { "type": kind.to_string(), "id": id }, "attrs": {}, "parents": [] })
}

fn names<'p>(ids: impl IntoIterator<Item = &'p PolicyId>) -> Vec<String> {
    let mut names: Vec<String> = ids.into_iter().map(|id| AsRef::<str>::as_ref(id).to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

fn unknown(what: &str, which: &str) -> Unasked {
    Unasked(format!("there is no {what} `{}`", display_safe_within(which, 64)))
}

impl From<Unasked> for Verdict {
    fn from(Unasked(why): Unasked) -> Self {
        Self { unasked: Some(why), ..Self::default() }
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Domain")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .field("policies", &self.rules.len())
            .finish_non_exhaustive()
    }
}
