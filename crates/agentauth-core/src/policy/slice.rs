//! The policies cut by action, and by the kind of resource that an action is about, so that a question is put to the few
//! that can apply and not to a thousand.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Entity, EntityUid, PolicySet, PrincipalConstraint, ResourceConstraint, Schema,
};

use super::annotations::Preapprove;
use super::entities::{Types, Unaskable};
use super::reads::Reads;
use super::schema;

/// What concerns one action.
pub(super) struct ActionSlice {
    pub(super) uid: EntityUid,
    /// The action with the groups that it is in.
    pub(super) entity: Entity,
    pub(super) slice: Arc<Slice>,
}

/// The policies that can apply to an action. Actions to which the same ones apply share one.
pub(super) struct Slice {
    pub(super) policies: PolicySet,
    pub(super) reads: Reads,
    /// Whether one of them grants what nobody is asked about.
    pub(super) preapproves: Preapproves,
}

/// To whom policies grant what nobody is asked about.
#[derive(Clone, Default)]
pub(super) struct Preapproves {
    /// To agents that they do not name.
    anybody: bool,
    /// To these, by name.
    named: Vec<String>,
}

impl Preapproves {
    fn add(&mut self, policy: &cedar_policy::Policy) {
        match policy.principal_constraint() {
            _ if policy.annotation(Preapprove::KEY).is_none() => {}
            PrincipalConstraint::Eq(agent) => self.named.push(agent.id().unescaped().to_owned()),
            _ => self.anybody = true,
        }
    }

    /// Whether it may be granted to this agent.
    pub(super) fn reach(&self, agent: &str) -> bool {
        self.anybody || self.named.iter().any(|named| named == agent)
    }

    /// Whether nothing is granted to anybody.
    pub(super) fn is_empty(&self) -> bool {
        !self.anybody && self.named.is_empty()
    }
}

/// Cuts the policies into those that can apply to each action.
pub(super) fn slices(
    policies: &[cedar_policy::Policy],
    schema: &Schema,
    types: &Types,
    actions: &BTreeSet<&str>,
) -> Result<HashMap<String, ActionSlice>, Unaskable> {
    let reads: Vec<_> = policies
        .iter()
        .map(|policy| policy.to_json().map_or(Reads::EVERYTHING, |json| Reads::of(&json)))
        .collect();
    let mut everywhere = Vec::new();
    let mut named: HashMap<EntityUid, Vec<usize>> = HashMap::new();
    for (index, policy) in policies.iter().enumerate() {
        match policy.action_constraint() {
            ActionConstraint::Any => everywhere.push(index),
            ActionConstraint::Eq(action) => named.entry(action).or_default().push(index),
            ActionConstraint::In(groups) => {
                for group in groups.into_iter().collect::<HashSet<_>>() {
                    named.entry(group).or_default().push(index);
                }
            }
        }
    }
    let kinds: Vec<_> = policies.iter().map(kind_of_resource).collect();
    let known = schema.action_entities()?;
    let mut shared: HashMap<Vec<usize>, Arc<Slice>> = HashMap::new();
    let mut slices = HashMap::new();
    for name in actions {
        let uid = types.action(name);
        let entity =
            known.get(&uid).ok_or_else(|| format!("the vocabulary lacks the action `{name}`"))?.clone();
        let groups = known.ancestors(&uid).into_iter().flatten();
        let mut indices = everywhere.clone();
        indices.extend(std::iter::once(&uid).chain(groups).filter_map(|group| named.get(group)).flatten());
        indices.sort_unstable();
        indices.dedup();
        let about = schema::resource_of(name);
        indices.retain(|index| {
            kinds.get(*index).is_none_or(|kind| kind.as_deref().is_none_or(|kind| kind == about))
        });
        let slice = match shared.get(&indices) {
            Some(slice) => Arc::clone(slice),
            None => {
                let mut preapproves = Preapproves::default();
                let every = indices.iter().filter_map(|index| policies.get(*index));
                every.for_each(|policy| preapproves.add(policy));
                let chosen = indices.iter().filter_map(|index| policies.get(*index)).cloned();
                let slice = Arc::new(Slice {
                    policies: PolicySet::from_policies(chosen)?,
                    reads: indices
                        .iter()
                        .filter_map(|index| reads.get(*index))
                        .fold(Reads::default(), |all, one| all.and(*one)),
                    preapproves,
                });
                shared.insert(indices, Arc::clone(&slice));
                slice
            }
        };
        slices.insert((*name).to_owned(), ActionSlice { uid, entity, slice });
    }
    Ok(slices)
}

/// The one kind of resource (`files`) that a policy's head is about; nothing where it is about any. Every resource of a kind is
/// in resources of that kind only, so the policy cannot apply to others.
fn kind_of_resource(policy: &cedar_policy::Policy) -> Option<String> {
    match policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
        ResourceConstraint::Eq(uid) | ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) => {
            let id = uid.id().unescaped();
            Some(id.split_once(':').map_or(id, |(kind, _)| kind).to_owned())
        }
    }
}
