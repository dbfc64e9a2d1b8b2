//! Decisions by example: a file of scenarios is a world with questions and the answers that are due.
//!
//! The format is plain JSON without anything computed in it, so that other languages can run the same files.

mod expectation;
mod world;

pub use expectation::{Difference, Expectation};
pub use world::{DeviceText, GrantText, LaunchText, MadeUp, SessionText, SnapshotText, World, overlay};

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::agent::AgentFileFault;
use crate::caller::CallerFacts;
use crate::catalogue::Catalogue;
use crate::consent::Action;
use crate::decide::{CheckRequest, Subject, decide_watched};
use crate::decision::{Decision, DecisionId};
use crate::policy::{Policy, PolicyFaults};
use crate::scope::Scope;
use crate::signals::Signals;
use crate::snapshot::Snapshot;
use crate::text::display_safe_within;

/// The longest file of scenarios, in bytes.
pub const MAX_SCENARIO_BYTES: usize = 4 * 1024 * 1024;

/// The members of a case that change its world; the others are the question and the answer.
const WORLD: [&str; 10] = [
    "now",
    "snapshot",
    "session",
    "policies",
    "agents",
    "grants",
    "callers",
    "launches",
    "device",
    "person_seen_at",
];
/// How many bytes the worlds of all cases of a file may have in common: each case has one of its own.
const MAX_COMMON_BYTES: usize = 64 * 1024 * 1024;

/// One question in its world, and the answer that is due.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it is decided in.
    pub world: World,
    /// The question, and the answer that is due.
    pub case: Case,
}

/// A question, and the answer that is due.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// The process that asks: the name of one of the world's callers, or its facts.
    #[serde(default)]
    pub caller: Option<Value>,
    /// The registered agent as which a person tries it.
    #[serde(default)]
    pub dry_run: Option<String>,
    /// An agent that exists for this case only, and asks for exactly this. Where neither of the three is named, it is one
    /// that is known by its path and was allowed it.
    #[serde(default)]
    pub agent: Option<MadeUp>,
    /// What for.
    pub scopes: Vec<Scope>,
    /// Why, in the caller's words.
    #[serde(default)]
    pub purpose: Option<String>,
    /// What exactly, as a JSON object.
    #[serde(default)]
    pub action: Option<Value>,
    /// How many bytes it will move, by the caller's word.
    #[serde(default)]
    pub bytes: u64,
    /// How many items, likewise.
    #[serde(default)]
    pub items: u64,
    /// What is unusual about the agent.
    #[serde(default)]
    pub signals: Signals,
    /// `unavailable`: the decision cannot be written down.
    #[serde(default)]
    pub audit: Option<String>,
    /// What must come of it.
    #[serde(default)]
    pub expect: Expectation,
}

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioFault {
    /// Longer than [`MAX_SCENARIO_BYTES`].
    #[error("the file is {0} bytes long: at most {MAX_SCENARIO_BYTES} are read")]
    TooLong(usize),
    /// Not JSON, or not of this form.
    #[error("{place}: {source}")]
    Json {
        /// Which case; empty for the file.
        place: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Too much is said for too many cases.
    #[error(
        "what stands in the file for all cases is {bytes} bytes long, and there are {cases} cases: \
         {MAX_COMMON_BYTES} bytes for all of them together are the most; split the file"
    )]
    TooMuch {
        /// How long it is.
        bytes: usize,
        /// For how many cases.
        cases: usize,
    },
    /// Members of a case that do not go together.
    #[error("{case}: {what}")]
    Case {
        /// Which case; safe to show.
        case: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A member that is missing or not of its kind.
    #[error("the file needs a list of `cases`, each with a `name`")]
    Cases,
    /// A registration that is none.
    #[error("a registration cannot be used: {0}")]
    Agent(#[source] AgentFileFault),
    /// The policies that the scenario names itself.
    #[error(transparent)]
    Policy(#[from] PolicyFaults),
    /// A word that is none.
    #[error("`{member}` is `{found}`, and not one of {known}")]
    Word {
        /// The member.
        member: &'static str,
        /// What it says; safe to show.
        found: String,
        /// What it may say.
        known: &'static str,
    },
    /// A caller that the world does not have.
    #[error("there is no caller `{0}`")]
    Caller(String),
    /// An action that has no canonical form.
    #[error("the action cannot be used: {0}")]
    Action(String),
}

/// Reads a file of scenarios. `base`: the world below that of the file ([`World::plain`]).
///
/// # Errors
/// The first thing that is wrong with it.
pub fn read(text: &str, base: &Value) -> Result<Vec<Scenario>, ScenarioFault> {
    if text.len() > MAX_SCENARIO_BYTES {
        return Err(ScenarioFault::TooLong(text.len()));
    }
    let at = |place: &str| {
        let place = display_safe_within(place, 200);
        move |source| ScenarioFault::Json { place, source }
    };
    let mut header: Map<String, Value> = serde_json::from_str(text).map_err(at("the file"))?;
    let Some(Value::Array(cases)) = header.remove("cases") else { return Err(ScenarioFault::Cases) };
    let bytes = serde_json::to_string(&header).map_err(at("the file"))?.len();
    if bytes.saturating_mul(cases.len()) > MAX_COMMON_BYTES {
        return Err(ScenarioFault::TooMuch { bytes, cases: cases.len() });
    }
    let mut common = base.clone();
    overlay(&mut common, &header);
    let mut scenarios = Vec::with_capacity(cases.len());
    for case in cases {
        let Value::Object(mut members) = case else { return Err(ScenarioFault::Cases) };
        let Some(name) = members.get("name").and_then(Value::as_str).map(str::to_owned) else {
            return Err(ScenarioFault::Cases);
        };
        let changes: Map<_, _> = WORLD.iter().filter_map(|name| members.remove_entry(*name)).collect();
        let mut world = common.clone();
        overlay(&mut world, &changes);
        let world = serde_json::from_value(world).map_err(at(&name))?;
        let case: Case = serde_json::from_value(Value::Object(members)).map_err(at(&name))?;
        case.can_fail()?;
        scenarios.push(Scenario::new(world, case)?);
    }
    Ok(scenarios)
}

impl Case {
    /// Refuses members that nobody would look at.
    fn can_fail(&self) -> Result<(), ScenarioFault> {
        let askers = [self.caller.is_some(), self.dry_run.is_some(), self.agent.is_some()]
            .into_iter()
            .filter(|is| *is);
        let what = if askers.count() > 1 {
            "of `caller`, `dry_run` and `agent` one says who asks: take the others out"
        } else if self.caller.is_none() && (self.expect.asks.is_some() || self.expect.effects.is_some()) {
            "without a `caller` it is a trial, which asks nobody and changes nothing: take `asks` and `effects` out, or \
             name a `caller`"
        } else {
            return Ok(());
        };
        Err(ScenarioFault::Case { case: display_safe_within(&self.name, 200), what })
    }
}

impl Scenario {
    /// A question in its world.
    ///
    /// # Errors
    /// A made-up agent that cannot be made.
    pub fn new(mut world: World, mut case: Case) -> Result<Self, ScenarioFault> {
        if case.caller.is_none() && case.dry_run.is_none() {
            let agent = case.agent.get_or_insert_default();
            world.make_up(agent, &case.scopes)?;
            case.dry_run = Some(agent.name.clone());
        }
        Ok(Self { world, case })
    }

    /// Every action that policies have to know to decide it.
    ///
    /// # Errors
    /// A registration that is none.
    pub fn actions(&self) -> Result<BTreeSet<String>, ScenarioFault> {
        let mut actions = self.world.actions()?;
        actions.extend(self.case.scopes.iter().map(|scope| scope.action_name().to_owned()));
        Ok(actions)
    }

    /// The decision. `policy` has to know the [`Scenario::actions`].
    ///
    /// # Errors
    /// What cannot be used of it.
    pub fn decide(
        &self,
        catalogue: &Arc<Catalogue>,
        policy: &Arc<Policy>,
    ) -> Result<Decision, ScenarioFault> {
        self.decide_in(&self.world.snapshot(catalogue, policy)?)
    }

    /// The decision in a snapshot of its world ([`World::snapshot`]).
    ///
    /// # Errors
    /// The same.
    pub fn decide_in(&self, snapshot: &Snapshot) -> Result<Decision, ScenarioFault> {
        let Self { world, case } = self;
        let action = case
            .action
            .as_ref()
            .map(|action| Action::new(action).map_err(|fault| ScenarioFault::Action(fault.to_string())));
        let request = CheckRequest {
            scopes: case.scopes.clone(),
            purpose: case.purpose.clone(),
            action: action.transpose()?,
            bytes: case.bytes,
            items: case.items,
            dry_run_as: case.dry_run.clone(),
        };
        let facts: CallerFacts = match &case.caller {
            Some(Value::String(name)) => world
                .callers
                .get(name)
                .cloned()
                .ok_or_else(|| ScenarioFault::Caller(display_safe_within(name, 80)))?,
            Some(facts) => serde_json::from_value(facts.clone())
                .map_err(|source| ScenarioFault::Json { place: case.name.clone(), source })?,
            None => CallerFacts::default(),
        };
        let subject = match &case.dry_run {
            Some(agent) => Subject::DryRun { agent },
            None => Subject::Caller(&facts),
        };
        let id = DecisionId::new(&case.name);
        let decision = decide_watched(snapshot, &request, subject, &mut |_, _| case.signals, id, world.now);
        match case.audit.as_deref() {
            None => Ok(decision),
            Some("unavailable") => Ok(decision.audit_unavailable(world.now)),
            Some(other) => Err(ScenarioFault::word("audit", other, "`unavailable`")),
        }
    }
}

impl ScenarioFault {
    fn word(member: &'static str, found: &str, known: &'static str) -> Self {
        Self::Word { member, found: display_safe_within(found, 60), known }
    }
}

#[cfg(test)]
mod tests;
