//! The organisation's policies: loaded under strict validation, sliced by action, and asked one question at a time.
//!
//! Cedar skips a policy that fails to evaluate, so that a failing `forbid` would count as absent. Here any evaluation
//! error denies.

mod annotations;
mod entities;
pub mod inspect;
mod load;
mod memo;
mod reads;
mod schema;
mod slice;
mod source;
#[cfg(test)]
mod tests;

pub use load::{
    MAX_FAULTS, MAX_OWN_POLICIES, MAX_POLICIES, MAX_POLICY_BYTES, PolicyFault, PolicyFaults, PolicyFile,
};
pub use source::Place;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use cedar_policy::{AuthorizationError, Authorizer, Context, Decision, EntityUid, Request, Schema};
use quick_cache::sync::Cache;

use crate::agent::Agent;
use crate::agents::Assurance;
use crate::catalogue::{Catalogue, Labels, RiskClass};
use crate::caveat::CaveatKinds;
use crate::decision::{Obligations, Remedy, RemedyTerms};
use crate::device::Device;
use crate::grant::{GrantUse, Prefer};
use crate::scope::Scope;
use crate::session::Session;
use crate::signals::Signals;
use crate::text::display_safe_within;
use crate::time::Timestamp;

use annotations::Annotations;
use entities::{Asker, PreparedUser, Types, Unaskable};
use memo::{AskerKey, ContextKey, Facts, MemoKey, Registration};
use slice::ActionSlice;

/// How many verdicts are remembered.
const REMEMBERED: usize = 4096;

/// How many agents and contexts are kept ready for evaluation.
const PREPARED: usize = 256;

/// The policies that ship, by file name.
const SHIPPED: [(&str, &str); 6] = [
    ("base.cedar", include_str!("../../../../config/policies/base.cedar")),
    ("payments.cedar", include_str!("../../../../config/policies/payments.cedar")),
    ("admin.cedar", include_str!("../../../../config/policies/admin.cedar")),
    ("signals.cedar", include_str!("../../../../config/policies/signals.cedar")),
    ("tampered.cedar", include_str!("../../../../config/policies/tampered.cedar")),
    ("unproven.cedar", include_str!("../../../../config/policies/unproven.cedar")),
];

/// A set of policies that passed every check, ready to be asked.
pub struct Policy {
    rules: Vec<Rule>,
    by_id: HashMap<Arc<str>, usize>,
    slices: HashMap<String, ActionSlice>,
    /// Whether any policy looks at how a grant was confirmed.
    any_strength: bool,
    /// Whether any grants what nobody is asked about.
    any_preapproval: bool,
    schema: Schema,
    schema_text: String,
    labels: Labels,
    warnings: Vec<String>,
    digest: String,
    types: Types,
    /// The user of the latest session. Sessions change every few minutes, questions come every few milliseconds.
    user: RwLock<Option<Arc<PreparedUser>>>,
    memo: Cache<MemoKey, Arc<Verdict>>,
    askers: Cache<AskerKey, Arc<Asker>>,
    /// Contexts that passed the schema's check, for policies that read nothing beyond their key.
    contexts: Cache<ContextKey, Context>,
}

/// One policy.
#[derive(Debug)]
struct Rule {
    id: Arc<str>,
    file: Arc<str>,
    annotations: Annotations,
}

/// One question to the policies.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// Which agent asks.
    pub agent: &'a Arc<Agent>,
    /// For whom.
    pub session: &'a Arc<Session>,
    /// What for.
    pub scope: &'a Scope,
    /// What can go wrong with it.
    pub risk: RiskClass,
    /// How well the caller is proven.
    pub assurance: Assurance,
    /// Whether it answered the greeting.
    pub greeted: bool,
    /// Whether loader tricks were seen.
    pub tampered: bool,
    /// What keeps the caller from being better proven.
    pub caveats: CaveatKinds,
    /// What is unusual about what the agent does.
    pub signals: Signals,
    /// The machine, and the daemon on it.
    pub device: &'a Arc<Device>,
    /// When the person was seen last.
    pub seen: Option<Timestamp>,
    /// Tells the grant that an allow would use, of several the one that [`Policy::prefers`]. Asked only where a policy reads
    /// of it.
    pub grant: &'a dyn Fn() -> GrantUse,
    /// What the caller says.
    pub claimed: Claimed<'a>,
    /// When.
    pub now: Timestamp,
}

/// What the caller says of its question: its own word, and no more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Claimed<'a> {
    /// What it is for.
    pub purpose: Option<&'a str>,
    /// The digest of the canonical action.
    pub action: Option<&'a str>,
    /// How many bytes it will move; 0 where it does not say.
    pub bytes: u64,
    /// How many items, likewise.
    pub items: u64,
}

/// What the policies say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether at least one permits, none forbids, and none failed.
    pub permitted: bool,
    /// The policies that decided (all that permitted, or all that forbade, or all that failed), in order of name.
    /// Empty when none permitted.
    pub policies: Vec<Arc<str>>,
    /// What an allow demands: the strictest over all that permitted.
    pub obligations: Obligations,
    /// The first policy of those that permit that grants it, too, so that nobody has to be asked.
    pub preapproved: Option<Arc<str>>,
    /// The role that the user lacks, where one that forbade names it.
    pub role: Option<Arc<str>>,
    /// What would help, where every policy that forbade names something: the first one's.
    pub remedy: Option<Remedy>,
    /// What exactly that takes: the strictest over all that forbade and name it.
    pub remedy_terms: RemedyTerms,
    /// What the first policy that forbade wants the person told.
    pub reason_user: Option<Arc<str>>,
    /// What the first policy that forbade wants the administrator told.
    pub reason_admin: Option<Arc<str>>,
    /// Evaluation errors, safe to show. Any denies.
    pub errors: Vec<String>,
    /// Whether the verdict may change with time alone, or with what the agent does.
    pub depends_on_time: bool,
    /// Whether the grant was looked at, so that a grant may change it.
    pub depends_on_grant: bool,
    /// Whether it was looked at how the grant was confirmed, so that one that is confirmed more strongly may change it.
    pub depends_on_strength: bool,
}

impl Policy {
    /// Loads a set of policies that nobody's own are among: pairs of file name and text. As [`Policy::load_files`].
    ///
    /// # Errors
    /// The same.
    pub fn load<N: AsRef<str>, T: AsRef<str>>(
        sources: &[(N, T)],
        catalogue: &Catalogue,
        additional_actions: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, PolicyFaults> {
        let file = |(name, text): &(N, T)| PolicyFile {
            name: name.as_ref().to_owned(),
            text: text.as_ref().to_owned(),
            own: false,
        };
        let files: Vec<_> = sources.iter().map(file).collect();
        Self::load_files(&files, catalogue, additional_actions)
    }

    /// Loads a set of policies, a person's own behind all others. `additional_actions`: the actions that registered
    /// manifests name and the catalogue does not ([`crate::Agents::action_names`]); of a kind of resource that no other is about,
    /// the group of all (`files.*`), too.
    ///
    /// # Errors
    /// Every fault at once. A policy without its own `@id`, with an unknown annotation, or that does not pass
    /// Cedar's strict validation is a fault.
    pub fn load_files(
        sources: &[PolicyFile],
        catalogue: &Catalogue,
        additional_actions: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, PolicyFaults> {
        let additional: Vec<_> = additional_actions.into_iter().collect();
        let mut actions = schema::action_names(catalogue, additional.iter().map(AsRef::as_ref));
        let schema_text = schema::schema_text(catalogue, &actions);
        actions.retain(|name| !schema::is_group(name));
        let own_fault = |what: String| {
            let file = "(generated vocabulary)".to_owned();
            PolicyFaults(vec![PolicyFault { file, policy: None, place: None, what }])
        };
        let (schema, _) =
            Schema::from_cedarschema_str(&schema_text).map_err(|error| own_fault(error.to_string()))?;
        let loaded = load::load(sources, &schema)?;
        let types = Types::new().map_err(|error| own_fault(error.to_string()))?;
        let slices = slice::slices(&loaded.policies, &schema, &types, &actions)
            .map_err(|error| own_fault(error.to_string()))?;
        Ok(Self {
            by_id: loaded
                .rules
                .iter()
                .enumerate()
                .map(|(index, rule)| (Arc::clone(&rule.id), index))
                .collect(),
            rules: loaded.rules,
            any_preapproval: slices.values().any(|action| !action.slice.preapproves.is_empty()),
            any_strength: slices.values().any(|action| action.slice.reads.strength),
            slices,
            schema,
            schema_text,
            labels: catalogue.labels().clone(),
            warnings: loaded.warnings,
            digest: inspect::digest(sources),
            types,
            user: RwLock::new(None),
            memo: Cache::new(REMEMBERED),
            askers: Cache::new(PREPARED),
            contexts: Cache::new(PREPARED),
        })
    }

    /// The same, where the person's own passed all checks once and were applied: what they name was known then, and is known here,
    /// too. Nobody who removes an agent keeps the policies of others out by it.
    ///
    /// # Errors
    /// As [`Policy::load_files`].
    pub fn load_applied(
        sources: &[PolicyFile],
        catalogue: &Catalogue,
        additional_actions: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, PolicyFaults> {
        let mut actions = inspect::own_actions(sources);
        actions.extend(additional_actions.into_iter().map(|name| name.as_ref().to_owned()));
        Self::load_files(sources, catalogue, actions)
    }

    /// The policies that ship, as pairs of file name and text.
    #[must_use]
    pub fn shipped() -> &'static [(&'static str, &'static str)] {
        &SHIPPED
    }

    /// What the policies say to `question`. The same answer is given from memory as long as nothing that the
    /// policies read of the question has changed.
    #[must_use]
    pub fn judge(&self, question: &Question<'_>) -> Arc<Verdict> {
        let Some(action) = self.slices.get(question.scope.action_name()) else {
            let error = format!(
                "no policy knows the action `{}`: load the policies again",
                question.scope.action_name()
            );
            return Arc::new(Verdict { errors: vec![error], ..Verdict::default() });
        };
        let user = match self.prepared(question.session) {
            Ok(user) => user,
            Err(error) => return Arc::new(Verdict::failed(&error)),
        };
        let reads = action.slice.reads;
        let grant = if reads.grant { (question.grant)() } else { GrantUse::default() };
        let key = reads.can_be_remembered().then(|| MemoKey::new(question, grant, &user));
        if let Some(remembered) = key.as_ref().and_then(|key| self.memo.get(key)) {
            return remembered;
        }
        let verdict = Arc::new(
            self.evaluate(action, question, grant, &user).unwrap_or_else(|error| Verdict::failed(&error)),
        );
        if let Some(key) = key {
            self.memo.insert(key, Arc::clone(&verdict));
        }
        verdict
    }

    /// Which one of several grants for `scope` is used.
    #[must_use]
    pub fn prefers(&self, scope: &Scope) -> Prefer {
        let strength = self.any_strength
            && self.slices.get(scope.action_name()).is_some_and(|action| action.slice.reads.strength);
        if strength { Prefer::Strongest } else { Prefer::Longest }
    }

    /// Whether a policy may grant `scope` to `agent` without anybody being asked.
    #[must_use]
    pub fn may_preapprove(&self, agent: &str, scope: &Scope) -> bool {
        self.any_preapproval
            && self
                .slices
                .get(scope.action_name())
                .is_some_and(|action| action.slice.preapproves.reach(agent))
    }

    /// Whether the vocabulary knows `action` (`files.read`). Registering an agent with a new one needs a new load.
    #[must_use]
    pub fn knows(&self, action: &str) -> bool {
        self.slices.contains_key(action)
    }

    /// How many policies there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none; then nothing is permitted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// How many policies each file holds.
    #[must_use]
    pub fn files(&self) -> BTreeMap<Arc<str>, usize> {
        load::count_by_file(&self.rules)
    }

    /// What Cedar's validator thinks is odd, though not wrong.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The vocabulary, as a Cedar schema, for authors' editors.
    #[must_use]
    pub fn schema_text(&self) -> &str {
        &self.schema_text
    }

    /// SHA-256 over names and texts of the sources, in lower-case hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    fn prepared(&self, session: &Arc<Session>) -> Result<Arc<PreparedUser>, Unaskable> {
        let latest = self.user.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(user) = latest.filter(|user| Arc::ptr_eq(&user.session, session)) {
            return Ok(user);
        }
        let user = Arc::new(self.types.prepare(session)?);
        *self.user.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&user));
        Ok(user)
    }

    fn evaluate(
        &self,
        action: &ActionSlice,
        question: &Question<'_>,
        grant: GrantUse,
        user: &PreparedUser,
    ) -> Result<Verdict, Unaskable> {
        let asker = self.asker(question, user)?;
        let resource = self.types.resource(question.scope, question.risk, &self.labels)?;
        let resource_uid = resource.uid();
        let entities = asker.entities.clone().add_entities([resource, action.entity.clone()], None)?;
        let request = self.request(action, question, grant, user, [asker.uid.clone(), resource_uid])?;
        let response = Authorizer::new().is_authorized(&request, &action.slice.policies, &entities);

        let errors: Vec<_> = response
            .diagnostics()
            .errors()
            .map(|error| display_safe_within(&error.to_string(), 300))
            .collect();
        let reads = action.slice.reads;
        let allowed = response.decision() == Decision::Allow;
        let mut rules: Vec<&Rule> = if errors.is_empty() {
            response.diagnostics().reason().filter_map(|id| self.rule(id)).collect()
        } else {
            response
                .diagnostics()
                .errors()
                .filter_map(|AuthorizationError::PolicyEvaluationError(error)| self.rule(error.policy_id()))
                .collect()
        };
        rules.sort_by(|one, other| one.id.cmp(&other.id));
        rules.dedup_by(|one, other| one.id == other.id);
        if errors.is_empty() && allowed && rules.iter().all(|rule| rule.annotations.limits_only) {
            // What only limits permits nothing.
            rules.clear();
        }
        let permitted = errors.is_empty() && allowed && !rules.is_empty();
        let policies = rules.iter().map(|rule| Arc::clone(&rule.id)).collect();
        let mut verdict = Verdict {
            permitted,
            policies,
            errors,
            depends_on_grant: reads.grant,
            depends_on_strength: reads.strength,
            depends_on_time: reads.time || reads.signals || reads.grant,
            ..Verdict::default()
        };
        if permitted {
            verdict.obligations = rules
                .iter()
                .fold(Obligations::default(), |strictest, rule| strictest.and(rule.annotations.obligations));
            let preapproves = |rule: &&&Rule| {
                rule.annotations.preapprove.is_some_and(|preapprove| preapprove.grants(question.risk))
            };
            verdict.preapproved = rules.iter().find(preapproves).map(|rule| Arc::clone(&rule.id));
        } else if verdict.errors.is_empty() {
            let first = |text: fn(&Annotations) -> &Option<String>| {
                rules.iter().find_map(|rule| text(&rule.annotations).as_deref()).map(Arc::from)
            };
            verdict.role = first(|annotations| &annotations.role);
            verdict.reason_user = first(|annotations| &annotations.reason_user);
            verdict.reason_admin = first(|annotations| &annotations.reason_admin);
            if rules.iter().all(|rule| rule.annotations.remedy.is_some()) {
                verdict.remedy = rules.iter().find_map(|rule| rule.annotations.remedy);
                let alike = rules.iter().filter(|rule| rule.annotations.remedy == verdict.remedy);
                verdict.remedy_terms = alike
                    .fold(RemedyTerms::default(), |strictest, rule| strictest.and(&rule.annotations.terms));
            }
        }
        Ok(verdict)
    }

    fn asker(&self, question: &Question<'_>, user: &PreparedUser) -> Result<Arc<Asker>, Unaskable> {
        let key = AskerKey {
            agent: Registration(Arc::clone(question.agent)),
            user: user.digest,
            device: Arc::clone(question.device),
        };
        if let Some(asker) = self.askers.get(&key) {
            return Ok(asker);
        }
        let asker = Arc::new(self.types.asker(question.agent, user, question.device)?);
        self.askers.insert(key, Arc::clone(&asker));
        Ok(asker)
    }

    /// The request; its context is checked against the schema once.
    fn request(
        &self,
        action: &ActionSlice,
        question: &Question<'_>,
        grant: GrantUse,
        user: &PreparedUser,
        [agent, resource]: [EntityUid; 2],
    ) -> Result<Request, Unaskable> {
        let reusable = action.slice.reads.can_be_remembered();
        let key = ContextKey {
            user: user.digest,
            device: Arc::clone(question.device),
            facts: Facts::of(question, grant),
        };
        if let Some(context) = reusable.then(|| self.contexts.get(&key)).flatten() {
            return Ok(Request::new(agent, action.uid.clone(), resource, context, None)?);
        }
        let context = entities::context(&self.types, question, grant)?;
        let request = Request::new(agent, action.uid.clone(), resource, context.clone(), Some(&self.schema))?;
        if reusable {
            self.contexts.insert(key, context);
        }
        Ok(request)
    }

    fn rule(&self, id: &cedar_policy::PolicyId) -> Option<&Rule> {
        self.by_id.get(AsRef::<str>::as_ref(id)).and_then(|index| self.rules.get(*index))
    }
}

impl Verdict {
    /// Whether an answer of the person's may turn it into a permission.
    #[must_use]
    pub fn consent_helps(&self) -> bool {
        self.depends_on_grant && self.remedy == Some(Remedy::Consent)
    }

    fn failed(error: &Unaskable) -> Self {
        Self { errors: vec![display_safe_within(&error.to_string(), 300)], ..Self::default() }
    }
}

impl fmt::Debug for Question<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Question")
            .field("agent", &self.agent.name)
            .field("scope", self.scope)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Policy")
            .field("policies", &self.rules.len())
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
