//! `agentauthd policy explain`: why something was decided, or would be, in words for everybody.

mod past;
mod story;

use std::sync::Arc;

use agentauth_core::manifest::{Manifest, ManifestScope, UiHints};
use agentauth_core::policy::inspect::rules;
use agentauth_core::text::display_safe;
use agentauth_core::{Assurance, Scope, Strength};
use clap::Args;

use super::super::output;
use super::super::{Context, Exit, Failure};
use super::choice::{self, Choice};
use super::hypothesis::{Hypothesis, Question};
use super::recorded::RecordChoice;
use crate::daemon::rulebook::{Rulebook, machine};
use story::{Facts, Story};

/// Say why something was decided, or what would be decided. Needs no daemon.
///
/// Told are the checks in their order, the policies that decided with their lines, what helps, and what would have to
/// change. Either a decision of the record, by its id, or a question that nobody asked: `--scope` and `--agent`.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The id of a decision, as `check` and `audit tail` print it, or the number of its record.
    #[arg(value_name = "ID", required_unless_present = "scope", conflicts_with = "scope")]
    id: Option<String>,
    /// What would be asked for, such as `files.read:/projects/alpha`. May be repeated.
    #[arg(long, value_name = "SCOPE", requires = "agent")]
    scope: Vec<Scope>,
    /// Which agent would ask. One that is not registered here is taken for one that asks for exactly this.
    #[arg(long, value_name = "NAME", requires = "scope")]
    agent: Option<String>,
    /// What the agent was allowed beforehand; `always`, where nothing else is said.
    #[arg(long, value_name = "KIND", requires = "scope", value_parser = ["always", "until", "session", "once", "none"])]
    grant: Option<String>,
    /// How the person confirmed that; else an administrator gave it.
    #[arg(long, value_name = "STRENGTH", requires = "scope", value_parser = strength)]
    strength: Option<Strength>,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    record: RecordChoice,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hypothesis: Hypothesis,
}

impl Explain {
    pub(super) fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        self.all_is_of_use()?;
        let rulebook = self.choice.read(context)?;
        let notes = rulebook.notes.iter().map(|note| context.addressed(note).into_owned()).collect();
        let (story, damage) = match &self.id {
            Some(id) => {
                let record = self.record.open(context)?;
                let (story, damage) = past::story(id, &record, &rulebook, self.choice.is_draft(), notes)?;
                (story, damage.map(|error| record.failure(error)))
            }
            None => (self.supposed(context, &rulebook, notes)?, None),
        };
        if self.json {
            output::json(&story)?;
        } else {
            output::data(&story.text())?;
        }
        damage.map_or(Ok(Exit::Done), Err)
    }

    /// Refuses what would change nothing of what is told.
    fn all_is_of_use(&self) -> Result<(), Failure> {
        let why = if self.id.is_some() && self.hypothesis.is_given() {
            "a decision of the record rests on what is recorded: what is supposed is for `--scope`"
        } else if self.id.is_none() && self.record.is_named() {
            "`--dir` names the record of a decision: give its id, and no `--scope`"
        } else if self.grant.as_deref() == Some("none") && self.strength.is_some() {
            "`--strength` says how a grant was confirmed, and `--grant none` that there is none"
        } else {
            return Ok(());
        };
        Err(Failure::Usage(why.to_owned()))
    }

    /// What would be decided.
    fn supposed(
        &self,
        context: &Context<'_>,
        rulebook: &Rulebook,
        mut notes: Vec<String>,
    ) -> Result<Story, Failure> {
        let actions = self.scope.iter().map(|scope| scope.action_name().to_owned());
        let policy = choice::loaded(rulebook.load(actions))?;
        let name = self.agent.as_deref().unwrap_or_default();
        let registered = rulebook.agents.get(name).map(|agent| (agent.manifest.clone(), agent.at_best()));
        let (manifest, assurance) = match registered {
            Some(registered) => registered,
            None => {
                notes.push(format!(
                    "`{}` is not registered here: supposed is an agent whose manifest asks for exactly this",
                    display_safe(name)
                ));
                (made_up(name, &self.scope)?, Assurance::Path)
            }
        };
        let grant = self.grant.as_deref().unwrap_or("always");
        let question = Question {
            manifest: &manifest,
            assurance: assurance.as_str(),
            scopes: &self.scope,
            grant,
            strength: self.strength,
        };
        let mut here = machine(&context.loaded.config);
        here.insert("now".to_owned(), context.now().to_string().into());
        let decision = self.hypothesis.decide(&question, &here, &rulebook.catalogue, &Arc::clone(&policy))?;
        notes.push(format!(
            "nobody asked this: who is logged in, and what the agent was allowed (`{grant}`), is supposed"
        ));
        let rules = rules(&rulebook.files);
        Ok(Story::of(&Facts::of(&decision, &rules), &rules, &policy, notes))
    }
}

fn strength(text: &str) -> Result<Strength, String> {
    let all = [Strength::Prompt, Strength::Passkey, Strength::Reauth];
    let found = all.into_iter().find(|strength| strength.as_str() == text);
    found.ok_or_else(|| "must be `prompt`, `passkey` or `reauth`".to_owned())
}

fn made_up(name: &str, scopes: &[Scope]) -> Result<Manifest, Failure> {
    let purpose = || "asked for in a question that nobody asked".to_owned();
    let wanted = scopes.iter().map(|scope| ManifestScope {
        scope: scope.clone(),
        purpose: purpose(),
        required: false,
    });
    let manifest = Manifest {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        publisher: None,
        scopes: wanted.collect(),
        ui_hints: UiHints::default(),
    };
    let json = serde_json::to_vec(&manifest)
        .map_err(|error| Failure::caused("could not ask the policies", error))?;
    Manifest::parse(&json).map_err(|faults| {
        let faults: Vec<_> = faults.0.iter().map(ToString::to_string).collect();
        Failure::Usage(format!("no agent can ask that: {}", faults.join("; ")))
    })
}
