//! `agentauthd audit stats`: what the record holds, counted.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use agentauth_audit::export::agents;
use agentauth_audit::{Entry, Event, Kind, Verdict};
use agentauth_core::Timestamp;
use agentauth_core::text::display_safe;
use clap::Args;
use serde::Serialize;

use super::filter::Period;
use super::out::Out;
use super::{Record, next, view};
use crate::cli::output::{FAINT, STRONG, WARN};
use crate::cli::{Exit, Failure, now, output};

/// How many of the busiest hours are told.
const HOURS: usize = 5;
/// How many missing outcomes are told: the newest.
const MISSING: usize = 50;

/// Count what the record holds.
#[derive(Debug, Args)]
pub(super) struct Stats {
    #[command(flatten)]
    period: Period,
    /// Print the numbers as JSON.
    #[arg(long)]
    json: bool,
}

impl Stats {
    pub(super) fn run(self, record: &Record) -> Result<Exit, Failure> {
        let bounds = self.period.resolve(now());
        let mut tally = Tally::default();
        let mut damage = None;
        let mut entries = record.trail.entries().map_err(|error| record.failure(error))?.past_damage();
        while let Some(entry) = next(&mut entries, &mut damage).map_err(|error| record.failure(error))? {
            if bounds.holds(&entry.event) {
                tally.count(&entry);
            }
        }
        let report = tally.report();
        if self.json {
            output::json(&report)?;
        } else {
            render(&report)?;
        }
        record.told(damage)
    }
}

/// Whether the record should one day say what became of it: an allow, no trial, of something that cannot be undone.
pub(super) fn awaits_outcome(event: &Event<'_>) -> bool {
    event.kind == Kind::Decision
        && event.decision == Some(Verdict::Allow)
        && !event.dry_run
        && event.risks.iter().any(|risk| {
            agentauth_core::RiskClass::ALL
                .iter()
                .any(|class| class.is_high() && class.as_str() == risk.as_str())
        })
}

/// What is kept while the record is read.
#[derive(Default)]
struct Tally {
    records: u64,
    bytes: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    events: BTreeMap<&'static str, u64>,
    decisions: Decisions,
    reasons: BTreeMap<String, u64>,
    agents: BTreeMap<String, Decisions>,
    hours: BTreeMap<i64, u64>,
    /// Hashes of scopes: how many there are is told, not which.
    scopes: HashSet<u64>,
    hasher: RandomState,
    open: HashMap<String, Missing>,
    reported: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Decisions {
    allow: u64,
    deny: u64,
}

/// An allow without an outcome.
#[derive(Clone, Debug, Serialize)]
struct Missing {
    seq: u64,
    time: Timestamp,
    id: String,
    agents: Vec<String>,
    scopes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    records: u64,
    bytes: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    events: BTreeMap<&'static str, u64>,
    decisions: Decisions,
    reasons: BTreeMap<String, u64>,
    agents: BTreeMap<String, Decisions>,
    distinct_scopes: usize,
    busiest_hours: Vec<Hour>,
    outcomes: Outcomes,
}

#[derive(Debug, Serialize)]
struct Hour {
    start: Timestamp,
    records: u64,
}

/// What became of allowed actions that cannot be undone.
#[derive(Debug, Serialize)]
struct Outcomes {
    reported: u64,
    missing: usize,
    newest_missing: Vec<Missing>,
}

impl Tally {
    fn count(&mut self, entry: &Entry) {
        let event = &entry.event;
        self.records += 1;
        // With its LF.
        self.bytes += entry.line.len() as u64 + 1;
        self.first = self.first.or(Some(event.time));
        self.last = Some(event.time);
        *self.events.entry(event.kind.as_str()).or_default() += 1;
        *self.hours.entry(event.time.as_second().div_euclid(3600)).or_default() += 1;
        for scope in &event.scopes {
            self.scopes.insert(self.hasher.hash_one(scope.as_str()));
        }
        match event.kind {
            Kind::Decision => self.decided(event, event.decision == Some(Verdict::Allow), 1),
            Kind::DecisionsFolded => {
                let times =
                    event.details.get("count").and_then(serde_json::Value::as_u64).unwrap_or_default();
                self.decided(event, false, times);
            }
            Kind::Outcome => {
                self.reported += 1;
                if let Some(id) = &event.id {
                    self.open.remove(id.as_str());
                }
            }
            _ => {}
        }
        if awaits_outcome(event)
            && let Some(id) = &event.id
        {
            let missing = Missing {
                seq: entry.seq,
                time: event.time,
                id: id.as_str().to_owned(),
                agents: agents(event).into_iter().map(str::to_owned).collect(),
                scopes: event.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
            };
            self.open.insert(missing.id.clone(), missing);
        }
    }

    fn decided(&mut self, event: &Event<'_>, allow: bool, times: u64) {
        let add = |decisions: &mut Decisions| {
            if allow {
                decisions.allow += times;
            } else {
                decisions.deny += times;
            }
        };
        add(&mut self.decisions);
        let reason = event.reason.as_ref().map_or("", |reason| reason.as_str());
        increase(&mut self.reasons, reason, times);
        // The nearest one asked; those above it only started it.
        let agent = agents(event).first().copied().unwrap_or("(none)");
        match self.agents.get_mut(agent) {
            Some(known) => add(known),
            None => add(self.agents.entry(agent.to_owned()).or_default()),
        }
    }

    fn report(self) -> Report {
        let mut hours: Vec<_> = self.hours.into_iter().collect();
        hours.sort_by_key(|&(hour, records)| (std::cmp::Reverse(records), hour));
        let hour = |(hour, records): (i64, u64)| {
            let start = Timestamp::from_second(hour.saturating_mul(3600)).ok()?;
            Some(Hour { start, records })
        };
        let mut open: Vec<_> = self.open.into_values().collect();
        open.sort_by_key(|missing| std::cmp::Reverse(missing.seq));
        let missing = open.len();
        open.truncate(MISSING);
        Report {
            records: self.records,
            bytes: self.bytes,
            first: self.first,
            last: self.last,
            events: self.events,
            decisions: self.decisions,
            reasons: self.reasons,
            agents: self.agents,
            distinct_scopes: self.scopes.len(),
            busiest_hours: hours.into_iter().take(HOURS).filter_map(hour).collect(),
            outcomes: Outcomes { reported: self.reported, missing, newest_missing: open },
        }
    }
}

fn increase(counts: &mut BTreeMap<String, u64>, name: &str, by: u64) {
    match counts.get_mut(name) {
        Some(count) => *count += by,
        None => {
            counts.insert(name.to_owned(), by);
        }
    }
}

fn render(report: &Report) -> Result<(), Failure> {
    let mut out = Out::coloured();
    let period = match (report.first, report.last) {
        (Some(first), Some(last)) => {
            format!("  {FAINT}{} to {}{FAINT:#}", view::time(first), view::time(last))
        }
        _ => String::new(),
    };
    out.line(&format!("{STRONG}{}{STRONG:#} records, {} bytes{period}", report.records, report.bytes))?;
    let Decisions { allow, deny } = report.decisions;
    out.line(&format!("{STRONG}{}{STRONG:#} decisions: {allow} allow, {deny} deny", allow + deny))?;
    table(&mut out, "By event", report.events.iter().map(|(name, count)| (*count, (*name).to_owned())))?;
    table(&mut out, "Decisions by reason", by_name(&report.reasons))?;
    if !report.agents.is_empty() {
        out.line(&format!("\n{STRONG}Decisions by agent{STRONG:#}"))?;
        for (agent, Decisions { allow, deny }) in &report.agents {
            let name = display_safe(agent);
            out.line(&format!("  {:>9}  {name} {FAINT}{allow} allow, {deny} deny{FAINT:#}", allow + deny))?;
        }
    }
    let hours = report.busiest_hours.iter().map(|hour| (hour.records, format!("from {}", hour.start)));
    table(&mut out, "Busiest hours", hours)?;
    out.line(&format!("\n{STRONG}{}{STRONG:#} distinct scopes", report.distinct_scopes))?;
    let Outcomes { reported, missing, newest_missing } = &report.outcomes;
    out.line(&format!("{STRONG}{reported}{STRONG:#} outcomes reported"))?;
    if *missing > 0 {
        out.line(&format!(
            "{WARN}{missing}{WARN:#} allowed actions that cannot be undone have no outcome yet"
        ))?;
        for Missing { seq, time, id, agents, scopes } in newest_missing {
            let shown =
                |texts: &[String]| texts.iter().map(|text| display_safe(text)).collect::<Vec<_>>().join(", ");
            out.line(&format!(
                "  {FAINT}#{seq} {}{FAINT:#} {} {} {FAINT}{}{FAINT:#}",
                view::time(*time),
                shown(agents),
                shown(scopes),
                display_safe(id)
            ))?;
        }
        if *missing > newest_missing.len() {
            out.line(&format!("  {FAINT}and {} before that{FAINT:#}", missing - newest_missing.len()))?;
        }
    }
    out.flush()
}

fn by_name(counts: &BTreeMap<String, u64>) -> impl Iterator<Item = (u64, String)> {
    counts.iter().map(|(name, count)| (*count, display_safe(name)))
}

/// The largest first.
fn table(out: &mut Out, title: &str, rows: impl Iterator<Item = (u64, String)>) -> Result<(), Failure> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    if !rows.is_empty() {
        out.line(&format!("\n{STRONG}{title}{STRONG:#}"))?;
    }
    for (count, name) in rows {
        out.line(&format!("  {count:>9}  {name}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use agentauth_audit::{Actor, AuditLog, Trail};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + second).unwrap()
    }

    fn decision(id: &'static str, verdict: Verdict, risk: &'static str, second: i64) -> Event<'static> {
        Event {
            id: Some(id.into()),
            decision: Some(verdict),
            reason: Some(if verdict == Verdict::Allow { "granted" } else { "policy_forbids" }.into()),
            scopes: vec!["payments.execute:currency=EUR".into()],
            risks: vec![risk.into()],
            actor: Some(Actor { agents: vec!["inner".into(), "outer".into()], ..Actor::default() }),
            ..Event::new(Kind::Decision, at(second))
        }
    }

    fn report(events: &[Event<'static>]) -> Report {
        let room = tempfile::tempdir().unwrap();
        let log = AuditLog::open(room.path(), at(0)).unwrap();
        for event in events {
            log.append(event).unwrap();
        }
        let mut tally = Tally::default();
        for entry in Trail::new(room.path()).entries().unwrap() {
            tally.count(&entry.unwrap());
        }
        tally.report()
    }

    #[test]
    fn what_cannot_be_undone_should_have_an_outcome() {
        let mut folded = Event::new(Kind::DecisionsFolded, at(3700));
        folded.details.insert("count".to_owned(), 40.into());
        let report = report(&[
            decision("d1", Verdict::Allow, "money", 0),
            decision("d2", Verdict::Allow, "read", 1),
            decision("d3", Verdict::Deny, "money", 2),
            Event { dry_run: true, ..decision("d4", Verdict::Allow, "money", 3) },
            decision("d5", Verdict::Allow, "delete", 4),
            Event { id: Some("d1".into()), ..Event::new(Kind::Outcome, at(5)) },
            folded,
        ]);
        let missing: Vec<_> = report.outcomes.newest_missing.iter().map(|missing| &*missing.id).collect();
        assert_eq!((missing, report.outcomes.missing, report.outcomes.reported), (vec!["d5"], 1, 1));
        assert_eq!(report.decisions, Decisions { allow: 4, deny: 41 });
        assert_eq!(report.agents["inner"], Decisions { allow: 4, deny: 1 });
        assert_eq!(report.agents.get("outer"), None, "a decision counts once");
        assert_eq!(report.reasons["granted"], 4);
        assert_eq!(report.distinct_scopes, 1);
        assert_eq!(report.busiest_hours[0].records, 6);
        assert_eq!((report.first, report.last), (Some(at(0)), Some(at(3700))));
    }
}
