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
use super::recorded::{self, Decided, RecordChoice};
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
                    report.decisions += count(decided, &mut in_record);
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
        rulebook.notes.iter().for_each(|note| choice::tell_note(context, note));
        report.notes = rulebook.notes;
        if self.json {
            output::json(&report)?;
        } else {
            report.tell()?;
        }
        record.told(damage)
    }
}

/// Counts the policies that decided it. Returns for how many decisions it stands: trials decide nothing.
fn count(decided: &Decided<'_>, policies: &mut BTreeMap<String, u64>) -> u64 {
    let event = decided.event();
    if event.dry_run {
        return 0;
    }
    for id in &event.policies {
        if policies.len() < MOST || policies.contains_key(id.as_str()) {
            *policies.entry(id.as_str().to_owned()).or_default() += decided.count();
        }
    }
    decided.count()
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
    /// What is worth a look. Safe to show.
    notes: Vec<String>,
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

#[cfg(test)]
mod tests {
    use agentauth_audit::{AuditLog, Event, Kind};
    use agentauth_core::Timestamp;

    use super::super::super::audit::Record;
    use super::*;

    #[test]
    fn trials_are_not_counted() {
        let room = tempfile::tempdir().unwrap();
        let now = Timestamp::from_second(1_780_000_000).unwrap();
        let log = AuditLog::open(room.path(), now).unwrap();
        for dry_run in [false, true, false] {
            let policies = vec!["base-permit".into()];
            log.append(&Event { policies, dry_run, ..Event::new(Kind::Decision, now) }).unwrap();
        }
        let (mut decisions, mut policies) = (0, BTreeMap::new());
        recorded::each(&Record::archive(room.path().to_owned()), |decided| {
            decisions += count(decided, &mut policies);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!((decisions, policies), (2, [("base-permit".to_owned(), 2)].into_iter().collect()));
    }
}
