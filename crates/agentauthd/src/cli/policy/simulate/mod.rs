//! `agentauthd policy simulate`: what would have been decided by other policies.

mod tally;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use agentauth_core::Scope;
use agentauth_core::text::display_safe;
use clap::Args;

use super::super::audit::filter::Period;
use super::super::output::{self, BAD, FAINT, GOOD, STRONG, WARN};
use super::super::{Context, Exit, Failure, words};
use super::choice::{self, Choice};
use super::recorded::{self, RecordChoice};
use tally::{Change, Report, Tally};

/// How many actions of the record the policies are told of, at most.
const ACTIONS: usize = 10_000;

/// Put the decisions of the record to other policies, and say what would have been decided otherwise, and for whom.
///
/// Needs no daemon. Which policies: those that ship, the administrator's, and those of `--policies` in place of your own;
/// without `--policies`, all as their files are now. Who asked, who was logged in and what was granted is as it was.
#[derive(Debug, Args)]
pub(super) struct Simulate {
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    record: RecordChoice,
    /// Print what would change as JSON.
    #[arg(long)]
    json: bool,
}

impl Simulate {
    pub(super) fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let rulebook = self.choice.read(context)?;
        let record = self.record.open(context)?;
        let bounds = self.period.resolve(context.now());
        // Agents that are gone asked for actions that only their manifests named.
        let mut actions = BTreeSet::new();
        recorded::each(&record, |decided| {
            if bounds.holds(decided.event()) && actions.len() < ACTIONS {
                let scopes = decided.event().scopes.iter();
                let scopes = scopes.filter_map(|scope| scope.as_str().parse::<Scope>().ok());
                actions.extend(scopes.map(|scope| scope.action_name().to_owned()));
            }
            ControlFlow::Continue(())
        })?;
        let policy = choice::loaded(rulebook.load(actions))?;
        let mut tally = Tally::default();
        let damage = recorded::each(&record, |decided| {
            if bounds.holds(decided.event()) {
                tally.count(decided, &policy);
            }
            ControlFlow::Continue(())
        })?;
        rulebook.notes.iter().for_each(|note| choice::tell_note(context, note));
        let report = tally.report(policy.digest(), rulebook.notes);
        if self.json {
            output::json(&report)?;
        } else {
            tell(&report)?;
        }
        record.told(damage)
    }
}

fn tell(report: &Report) -> Result<(), Failure> {
    for Change { change, agents, scopes, user, before, after, count, last, example, .. } in &report.changes {
        let style = match change.as_str() {
            "allow_to_deny" => BAD,
            "deny_to_allow" => WARN,
            _ => FAINT,
        };
        let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
        output::data(&format!(
            "{style}{} → {}{style:#}  {STRONG}{}{STRONG:#} {}  {times}",
            before.shown(),
            after.shown(),
            words::joined(agents),
            words::joined(scopes),
        ))?;
        let by = |policies: &[String]| {
            if policies.is_empty() { "no policy".to_owned() } else { words::joined(policies) }
        };
        let user = user.as_deref().map(|user| format!(" for {}", display_safe(user))).unwrap_or_default();
        output::data(&format!(
            "    {FAINT}by{FAINT:#} {} {FAINT}in place of{FAINT:#} {}{user}, {FAINT}last at {last:.0}, such as{FAINT:#} {}",
            by(&after.policies),
            by(&before.policies),
            display_safe(example),
        ))?;
    }
    if report.changes_left_out > 0 {
        output::data(&format!(
            "{WARN}and {} further decisions that would change{WARN:#}",
            report.changes_left_out
        ))?;
    }
    let style = if report.changed == 0 { GOOD } else { WARN };
    output::data(&format!(
        "{style}{} of {} decisions would be other ones.{style:#}",
        report.changed, report.replayed
    ))?;
    for (kind, count) in &report.by_change {
        output::data(&format!("{count:>8}  {}", kind.replace('_', " ")))?;
    }
    let beside = [
        (report.untouched, "were decided before policies are asked, and stay as they are"),
        (report.trials, "were trials, and are not counted"),
    ];
    for (count, what) in beside.into_iter().filter(|(count, _)| *count > 0) {
        output::data(&format!("{FAINT}{count} {what}{FAINT:#}"))?;
    }
    for (why, count) in &report.not_replayed {
        output::data(&format!("{WARN}{count} could not be put to them: {}{WARN:#}", display_safe(why)))?;
    }
    Ok(())
}
