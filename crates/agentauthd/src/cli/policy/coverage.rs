//! `agentauthd policy coverage`: policies that never decide anything.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use agentauth_core::policy::inspect::rules;
use clap::Args;
use serde::Serialize;

use super::super::audit::filter::Period;
use super::super::output::{self, FAINT, GOOD, WARN};
use super::super::{Context, Exit, Failure, words};
use super::choice::{self, Choice};
use super::recorded::{self, RecordChoice};
use super::trials::Trials;
use crate::daemon::rulebook::Keeper;

/// How many different policies of the record are counted: as many as a set may have, and some that are gone.
const MOST: usize = 50_000;

/// Say which policies never decided anything, in scenarios or in the record. Needs no daemon.
///
/// A policy decides where it permits what is then permitted, or forbids. In the record it is known by its name, so that one
/// that was changed since then is taken for the one of before.
#[derive(Debug, Args)]
pub(super) struct Coverage {
    #[command(flatten)]
    choice: Choice,
    /// A file of scenarios, or a directory of them; else those beside your policies and the administrator's. May be
    /// repeated.
    #[arg(long, value_name = "FILE|DIR")]
    tests: Vec<PathBuf>,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    record: RecordChoice,
    /// Print the numbers as JSON.
    #[arg(long)]
    json: bool,
}

impl Coverage {
    pub(super) fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let rulebook = self.choice.read(context)?;
        let places = if self.tests.is_empty() { Trials::usual_places(context) } else { self.tests };
        let ran = Trials::read(&places)?.run(&rulebook)?;
        let failed = ran.outcomes.iter().filter(|outcome| !outcome.passed).count();
        let mut report = Report { scenarios: ran.outcomes.len(), failed, ..Report::default() };
        let mut in_record: BTreeMap<String, u64> = BTreeMap::new();
        let record = self.record.open(context)?;
        let mut damage = None;
        // Who has not run the daemon yet may still have scenarios.
        if self.record.is_named() || record.trail.directory().is_dir() {
            let bounds = self.period.resolve(context.now());
            damage = recorded::each(&record, |decided| {
                if bounds.holds(decided.event()) {
                    report.decisions += decided.count();
                    for id in &decided.event().policies {
                        if in_record.len() < MOST || in_record.contains_key(id.as_str()) {
                            *in_record.entry(id.as_str().to_owned()).or_default() += decided.count();
                        }
                    }
                }
                ControlFlow::Continue(())
            })?;
        }
        let policy = choice::loaded(rulebook.load([]))?;
        let times = |counts: &BTreeMap<String, u64>, id: &str| counts.get(id).copied().unwrap_or_default();
        report.policies = rules(&rulebook.files)
            .into_iter()
            .map(|rule| Covered {
                in_scenarios: times(&ran.decided, &rule.id),
                in_record: times(&in_record, &rule.id),
                keeper: Keeper::of(&rule),
                file: rule.file,
                line: rule.place.line,
                id: rule.id,
            })
            .collect();
        policy.digest().clone_into(&mut report.rules);
        if self.json {
            output::json(&report)?;
        } else {
            rulebook.notes.iter().for_each(|note| choice::tell_note(context, note));
            report.tell()?;
        }
        record.told(damage)
    }
}

/// What decided, as JSON shows it.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// The digest of the set.
    rules: String,
    /// How many scenarios were run, and how many of them failed.
    scenarios: usize,
    failed: usize,
    /// How many decisions of the record were looked at.
    decisions: u64,
    policies: Vec<Covered>,
}

/// How often one policy decided.
#[derive(Debug, Serialize)]
struct Covered {
    id: String,
    file: String,
    line: usize,
    /// Who can change it.
    keeper: Keeper,
    in_scenarios: u64,
    in_record: u64,
}

impl Report {
    fn tell(&self) -> Result<(), Failure> {
        let width = self.policies.iter().map(|policy| policy.id.len()).max().unwrap_or(0).max(6);
        output::data(&format!("{FAINT}{:<width$}  scenarios    record{FAINT:#}", "policy"))?;
        for Covered { id, file, line, in_scenarios, in_record, .. } in &self.policies {
            let style = if in_scenarios + in_record == 0 { WARN } else { FAINT };
            output::data(&format!(
                "{style}{id:<width$}{style:#} {in_scenarios:>10} {in_record:>9}  {FAINT}{file}:{line}{FAINT:#}"
            ))?;
        }
        let idle: Vec<_> =
            self.policies.iter().filter(|policy| policy.in_scenarios + policy.in_record == 0).collect();
        output::data(&format!(
            "{FAINT}{} and {} of the record{FAINT:#}",
            words::count(self.scenarios, "scenario"),
            words::count(usize::try_from(self.decisions).unwrap_or(usize::MAX), "decision")
        ))?;
        if self.failed > 0 {
            output::say(&format!(
                "{WARN}note:{WARN:#} {} failed; `agentauthd policy test` says why",
                words::count(self.failed, "scenario")
            ));
        }
        output::data(&match idle.as_slice() {
            [] => format!("{GOOD}Every policy decided something.{GOOD:#}"),
            idle => {
                let names: Vec<_> = idle.iter().map(|policy| policy.id.as_str()).collect();
                format!("{WARN}Never decided anything:{WARN:#} {}", names.join(", "))
            }
        })
    }
}
