//! What of a question counts: the attributes and context members that the schema lets come from the request.
//!
//! The Cedar schema's own annotations say so. `@from("request")` on an attribute of an entity type lets a subject's or
//! resource's `properties` set it; on a member of an action's context, the request's `context`; `@from("action")` there, the
//! action's `properties`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cedar_policy::{EntityId, EntityTypeName, EntityUid, Schema};
use serde_json::{Map, Value};

use crate::text::display_safe_within;

/// How many common types may stand for each other.
const MAX_ALIASES: usize = 16;

/// The types and actions of a domain, by the names that questions use, and what of a question counts for each.
pub(super) struct Given {
    /// By base name in lower case.
    kinds: BTreeMap<String, EntityTypeName>,
    attributes: HashMap<EntityTypeName, BTreeSet<String>>,
    actions: BTreeMap<String, ActionShape>,
}

/// An action that can be asked about.
pub(super) struct ActionShape {
    pub(super) uid: EntityUid,
    from_context: BTreeSet<String>,
    from_action: BTreeSet<String>,
}

impl Given {
    /// Reads the annotations of a schema; `document` is its JSON form. Fails with everything that is wrong.
    pub(super) fn read(schema: &Schema, document: &Value) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let mut given = Self { kinds: BTreeMap::new(), attributes: HashMap::new(), actions: BTreeMap::new() };
        for kind in schema.entity_types() {
            if let Some(other) = given.kinds.insert(kind.basename().to_lowercase(), kind.clone()) {
                faults.push(format!(
                    "the entity types `{kind}` and `{other}` have one name but for their namespace or for capitals: questions \
                     could not tell them apart"
                ));
            }
        }
        let mut shapes: HashMap<EntityUid, (BTreeSet<String>, BTreeSet<String>)> = HashMap::new();
        for (namespace, declared) in document.as_object().into_iter().flatten() {
            let place = Place { document, namespace };
            let entries =
                |section: &str| declared.get(section).and_then(Value::as_object).into_iter().flatten();
            for (name, kind) in entries("entityTypes") {
                let members = kind.get("shape").and_then(|shape| place.members(shape));
                let mut own = BTreeSet::new();
                for (attribute, source) in place.sources(members) {
                    match source {
                        Some("request") => drop(own.insert(attribute.clone())),
                        Some(other) => faults.push(stranger(name, attribute, other, "`@from(\"request\")`")),
                        None => {}
                    }
                }
                if let Ok(kind) = place.qualified(name).parse::<EntityTypeName>() {
                    given.attributes.insert(kind, own);
                }
            }
            for (name, action) in entries("actions") {
                let context = action.get("appliesTo").and_then(|applies| applies.get("context"));
                let members = context.and_then(|context| place.members(context));
                let (mut from_context, mut from_action) = (BTreeSet::new(), BTreeSet::new());
                for (member, source) in place.sources(members) {
                    match source {
                        Some("request") => drop(from_context.insert(member.clone())),
                        Some("action") => drop(from_action.insert(member.clone())),
                        Some(other) => {
                            let known = "`@from(\"request\")` or `@from(\"action\")`";
                            faults.push(stranger(name, member, other, known));
                        }
                        None if is_required(members, member) => faults.push(format!(
                            "`{member}` in the context of `{}` is required, and nothing could give it: write \
                             `@from(\"request\")` or `@from(\"action\")` before it, or leave it out",
                            display_safe_within(name, 64)
                        )),
                        None => {}
                    }
                }
                shapes.extend(place.action(name).map(|uid| (uid, (from_context, from_action))));
            }
        }
        for uid in schema.actions() {
            let (from_context, from_action) = shapes.remove(uid).unwrap_or_default();
            let shape = ActionShape { uid: uid.clone(), from_context, from_action };
            if let Some(other) = given.actions.insert(uid.id().unescaped().to_owned(), shape) {
                faults.push(format!("the actions `{uid}` and `{}` have one name", other.uid));
            }
        }
        if faults.is_empty() { Ok(given) } else { Err(faults) }
    }

    /// The entity type of this name, however it is capitalised.
    pub(super) fn kind(&self, name: &str) -> Option<&EntityTypeName> {
        self.kinds.get(&name.to_lowercase())
    }

    /// The action of this name.
    pub(super) fn action(&self, name: &str) -> Option<&ActionShape> {
        self.actions.get(name)
    }

    /// Every action, by name.
    pub(super) fn actions(&self) -> impl Iterator<Item = (&str, &ActionShape)> {
        self.actions.iter().map(|(name, action)| (name.as_str(), action))
    }

    /// Those of the properties that count.
    pub(super) fn attributes(
        &self,
        kind: &EntityTypeName,
        properties: &Map<String, Value>,
    ) -> Map<String, Value> {
        self.attributes.get(kind).map(|counts| picked(counts, properties)).unwrap_or_default()
    }
}

impl ActionShape {
    /// Those of the members that count.
    pub(super) fn context(
        &self,
        context: &Map<String, Value>,
        properties: &Map<String, Value>,
    ) -> Map<String, Value> {
        let mut members = picked(&self.from_context, context);
        members.extend(picked(&self.from_action, properties));
        members
    }
}

/// What is absent is absent, and so is what is `null`.
fn picked(counts: &BTreeSet<String>, said: &Map<String, Value>) -> Map<String, Value> {
    let said = |name: &String| said.get_key_value(name).filter(|(_, value)| !value.is_null());
    counts.iter().filter_map(said).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn is_required(members: Option<&Map<String, Value>>, member: &str) -> bool {
    let declared = members.and_then(|members| members.get(member));
    declared.is_some_and(|declared| declared.get("required").and_then(Value::as_bool).unwrap_or(true))
}

fn stranger(of: &str, member: &str, source: &str, known: &str) -> String {
    format!(
        "`{}` of `{}` is `@from(\"{}\")`: it can be {known}",
        display_safe_within(member, 64),
        display_safe_within(of, 64),
        display_safe_within(source, 40)
    )
}

/// Where in a schema's JSON form names are looked up.
struct Place<'d> {
    document: &'d Value,
    namespace: &'d str,
}

impl<'d> Place<'d> {
    /// The members of a record type, or of a common type that is one.
    fn members(&self, declared: &'d Value) -> Option<&'d Map<String, Value>> {
        let mut declared = declared;
        for _ in 0..MAX_ALIASES {
            let kind = declared.get("type")?.as_str()?;
            if kind == "Record" {
                return declared.get("attributes")?.as_object();
            }
            let name = declared.get("name").and_then(Value::as_str).unwrap_or(kind);
            declared = self.common(name)?;
        }
        None
    }

    /// The common type of this name: of this namespace, of the one that it names, or of none.
    fn common(&self, name: &str) -> Option<&'d Value> {
        let document = self.document;
        let in_namespace =
            move |namespace: &str, name: &str| document.get(namespace)?.get("commonTypes")?.get(name);
        match name.rsplit_once("::") {
            Some((namespace, name)) => in_namespace(namespace, name),
            None => in_namespace(self.namespace, name).or_else(|| in_namespace("", name)),
        }
    }

    /// Each member with what its `@from` says.
    fn sources(
        &self,
        members: Option<&'d Map<String, Value>>,
    ) -> impl Iterator<Item = (&'d String, Option<&'d str>)> + use<'d> {
        members.into_iter().flatten().map(|(name, declared)| {
            let from = declared.get("annotations").and_then(|said| said.get("from"));
            // Without a value it says nothing that could be meant.
            (name, from.map(|from| from.as_str().unwrap_or_default()))
        })
    }

    fn qualified(&self, name: &str) -> String {
        if self.namespace.is_empty() { name.to_owned() } else { format!("{}::{name}", self.namespace) }
    }

    fn action(&self, name: &str) -> Option<EntityUid> {
        let kind = self.qualified("Action").parse().ok()?;
        Some(EntityUid::from_type_name_and_id(kind, EntityId::new(name)))
    }
}
