//! Scenarios of an organisation, run against policies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agentauth_core::policy::inspect::{RuleText, rules};
use agentauth_core::scenario::{
    Difference, Expectation, MAX_SCENARIO_BYTES, Scenario, ScenarioFault, World, read,
};
use agentauth_core::text::display_safe_within;
use serde::Serialize;

use super::super::{Context, Failure};
use super::choice;
use crate::config::ADMIN_DIRECTORY;
use crate::daemon::rulebook::{Rulebook, files_in, read_bounded, shown};

/// How the names of files of scenarios end.
pub(super) const EXTENSION: &str = "scenarios.json";

/// Files of scenarios, read.
pub(super) struct Trials {
    files: Vec<(String, Result<Vec<Scenario>, String>)>,
}

/// What came of one scenario.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) file: String,
    /// Its name; empty where the file itself cannot be used.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    pub(super) passed: bool,
    /// How what came of it differs from what must.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) differences: Vec<Difference>,
    /// Why it could not be run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<String>,
    /// What the person would be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
}

/// What came of all of them.
pub(super) struct Ran {
    pub(super) outcomes: Vec<Outcome>,
    /// How often each policy decided.
    pub(super) decided: BTreeMap<String, u64>,
}

impl Trials {
    /// The scenarios in these files and directories.
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut files = Vec::new();
        for path in paths {
            // A file that is named counts whatever it is called.
            let found = if path.is_dir() { files_in(path, EXTENSION) } else { Ok(vec![path.clone()]) };
            let found = found.map_err(|error| {
                Failure::caused(
                    format!(
                        "could not look for scenarios in `{}`; give the path of a file or a directory",
                        path.display()
                    ),
                    error,
                )
            })?;
            files.extend(found.iter().map(|path| (shown(path), scenarios(path))));
        }
        Ok(Self { files })
    }

    /// Where scenarios are looked for unless something else is said: beside the policies of the person and the
    /// administrator.
    pub(super) fn usual_places(context: &Context<'_>) -> Vec<PathBuf> {
        let places =
            [context.loaded.config.paths.policies_dir.clone(), Path::new(ADMIN_DIRECTORY).join("policies")];
        places.into_iter().filter(|place| place.is_dir()).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Runs them against these policies.
    pub(super) fn run(&self, rulebook: &Rulebook) -> Result<Ran, Failure> {
        let scenarios = || self.files.iter().filter_map(|(_, scenarios)| scenarios.as_ref().ok()).flatten();
        // What cannot be registered is told when the scenario is run.
        let actions = scenarios().flat_map(|scenario| scenario.actions().unwrap_or_default());
        let policy = choice::loaded(rulebook.load(actions))?;
        let mut ran = Ran { outcomes: Vec::new(), decided: BTreeMap::new() };
        for (file, scenarios) in &self.files {
            let outcome = |name: &str| Outcome {
                file: file.clone(),
                name: display_safe_within(name, 200),
                passed: false,
                differences: Vec::new(),
                fault: None,
                message: None,
            };
            let scenarios = match scenarios {
                Ok(scenarios) => scenarios,
                Err(fault) => {
                    ran.outcomes.push(Outcome { fault: Some(fault.clone()), ..outcome("") });
                    continue;
                }
            };
            for scenario in scenarios {
                let outcome = outcome(&scenario.case.name);
                ran.outcomes.push(match scenario.decide(&rulebook.catalogue, &Arc::clone(&policy)) {
                    Ok(decision) => {
                        let differences = scenario.case.expect.differences(&decision);
                        // Policies of its own say nothing of those that are tested.
                        if scenario.world.policies.is_none() {
                            for id in &decision.policies {
                                *ran.decided.entry(id.clone()).or_default() += 1;
                            }
                        }
                        let message = (!differences.is_empty()).then_some(decision.message);
                        Outcome { passed: differences.is_empty(), differences, message, ..outcome }
                    }
                    Err(fault) => Outcome { fault: Some(told(&fault)), ..outcome },
                });
            }
        }
        Ok(ran)
    }
}

/// One policy that never decided.
#[derive(Debug, Serialize)]
pub(super) struct Idle {
    pub(super) id: String,
    pub(super) file: String,
    pub(super) line: usize,
}

impl Idle {
    /// The policies of these files of which that is so.
    pub(super) fn among(rulebook: &Rulebook, is: impl Fn(&str) -> bool) -> Vec<Self> {
        let idle = rules(&rulebook.files).into_iter().filter(|rule| is(&rule.id));
        idle.map(|RuleText { id, file, place, .. }| Self { id, file, line: place.line }).collect()
    }

    pub(super) fn line(&self) -> String {
        format!("{}  {}:{}", self.id, self.file, self.line)
    }
}

fn scenarios(path: &Path) -> Result<Vec<Scenario>, String> {
    let text = read_bounded(path, MAX_SCENARIO_BYTES)
        .map_err(|error| format!("it cannot be read: {error}; give the path of a file of scenarios"))?;
    let scenarios = read(&text, &World::plain()).map_err(|fault| told(&fault))?;
    // What says nothing would pass for what found nothing wrong.
    if scenarios.is_empty() {
        return Err("it has no case".to_owned());
    }
    match scenarios.iter().find(|scenario| scenario.case.expect == Expectation::default()) {
        Some(scenario) => Err(format!(
            "{}: its `expect` names nothing that must be",
            display_safe_within(&scenario.case.name, 200)
        )),
        None => Ok(scenarios),
    }
}

fn told(fault: &ScenarioFault) -> String {
    fault.to_string().lines().map(|line| display_safe_within(line, 600)).collect::<Vec<_>>().join("\n")
}
