//! What was found, for people.

use agentauth_audit::{Entry, Event, Kind};
use agentauth_core::text::{display_safe, display_safe_within};
use serde_json::Value;

use super::super::out::Out;
use super::super::view;
use super::related::{Group, Related};
use crate::cli::Failure;
use crate::cli::output::{FAINT, STRONG, WARN};

/// The longest text of a value, in characters.
const SHOWN: usize = 4096;

pub(super) fn render(related: &Related, out: &mut Out) -> Result<(), Failure> {
    for entry in related.of(Group::Subject) {
        whole(entry, out)?;
    }
    let counted = match related.of(Group::Folded).count() {
        0 | 1 => "Counted together with others",
        _ => "Counted together with others, by one of these",
    };
    section(related, Group::Folded, counted, out)?;
    if let Some(entry) = related.of(Group::Subject).find(|entry| awaits_outcome(&entry.event))
        && related.of(Group::Outcomes).next().is_none()
    {
        out.line(&format!("\n{WARN}No outcome{WARN:#} of record {} was ever reported.", entry.seq))?;
    }
    outcomes(related, out)?;
    facts(related, out)?;
    section(related, Group::Consents, "Questions and answers", out)?;
    section(related, Group::Grants, "Grants", out)?;
    if related.of(Group::Uses).next().is_some() {
        section(related, Group::Uses, "Decided by it", out)?;
        if related.left_out > 0 {
            out.line(&format!("  {FAINT}and {} before that{FAINT:#}", related.left_out))?;
        }
    }
    section(related, Group::Policies, "Policies in force", out)
}

/// An allow of something that cannot be undone.
fn awaits_outcome(event: &Event<'_>) -> bool {
    event.kind == Kind::Decision && super::super::stats::awaits_outcome(event)
}

fn section(related: &Related, group: Group, title: &str, out: &mut Out) -> Result<(), Failure> {
    let mut entries = related.of(group).peekable();
    if entries.peek().is_none() {
        return Ok(());
    }
    out.line(&format!("\n{STRONG}{title}{STRONG:#}"))?;
    for entry in entries {
        out.line(&format!("  {FAINT}#{}{FAINT:#} {}", entry.seq, view::line(&entry.event)))?;
    }
    Ok(())
}

fn outcomes(related: &Related, out: &mut Out) -> Result<(), Failure> {
    section(related, Group::Outcomes, "What became of it", out)?;
    for entry in related.of(Group::Outcomes) {
        for (name, value) in entry.event.details.iter().filter(|(name, _)| *name != "outcome") {
            out.line(&format!("    {FAINT}{}{FAINT:#} {}", display_safe(name), told(value)))?;
        }
    }
    Ok(())
}

fn facts(related: &Related, out: &mut Out) -> Result<(), Failure> {
    let mut entries = related.of(Group::Facts).peekable();
    if entries.peek().is_some() {
        out.line(&format!("\n{STRONG}Decided on these facts{STRONG:#}"))?;
    }
    for entry in entries {
        let kind = entry.event.details.get("kind").and_then(Value::as_str).unwrap_or("facts");
        out.line(&format!("  {} {FAINT}#{}{FAINT:#}", display_safe(kind), entry.seq))?;
        match entry.event.details.get("facts") {
            Some(Value::Object(members)) => {
                for (name, value) in members {
                    out.line(&format!("    {FAINT}{}{FAINT:#} {}", display_safe(name), told(value)))?;
                }
            }
            Some(value) => out.line(&format!("    {}", told(value)))?,
            None => {}
        }
    }
    Ok(())
}

/// Everything that one record says, member by member.
fn whole(entry: &Entry, out: &mut Out) -> Result<(), Failure> {
    let event = &entry.event;
    let answer = view::answer(event);
    let space = if answer.is_empty() { "" } else { "  " };
    out.line(&format!("{STRONG}{}{STRONG:#}{space}{answer}", event.kind.as_str()))?;
    let mut put = |name: &str, value: String| -> Result<(), Failure> {
        if value.is_empty() { Ok(()) } else { out.line(&format!("  {FAINT}{name:<11}{FAINT:#} {value}")) }
    };
    let text = |text: &Option<agentauth_audit::Text<'_>>| {
        text.as_ref().map(|text| display_safe_within(text.as_str(), SHOWN)).unwrap_or_default()
    };
    put("record", format!("{} {FAINT}{}{FAINT:#}", entry.seq, entry.hash))?;
    put("time", format!("{:.6}", event.time))?;
    put("id", text(&event.id))?;
    put("reason", text(&event.reason))?;
    put("message", text(&event.message))?;
    put("trial", if event.dry_run { "nothing was spent".to_owned() } else { String::new() })?;
    put("scopes", joined(&event.scopes))?;
    put("risks", joined(&event.risks))?;
    put("purpose", text(&event.purpose))?;
    put("user", text(&event.user))?;
    put("profile", text(&event.profile))?;
    if let Some(actor) = &event.actor {
        put("agents", joined(&actor.agents))?;
        let path = actor.executable.as_ref().map(|path| display_safe_within(path.as_str(), SHOWN));
        put("process", format!("{} {}", actor.pid, path.unwrap_or_default()))?;
        put("sha256", text(&actor.sha256))?;
        put("assurance", text(&actor.assurance))?;
    }
    put("policies", joined(&event.policies))?;
    put("grants", joined(&event.grants))?;
    put("grant kinds", text(&event.grant_kinds))?;
    put("confirmed by", text(&event.grant_strengths))?;
    put("signals", joined(&event.signals))?;
    put("trace", text(&event.trace))?;
    for (name, value) in &event.details {
        put(&display_safe(name), told(value))?;
    }
    Ok(())
}

fn joined<const LIMIT: usize>(texts: &[agentauth_audit::Text<'_, LIMIT>]) -> String {
    texts.iter().map(|text| display_safe_within(text.as_str(), SHOWN)).collect::<Vec<_>>().join(", ")
}

/// A value on one line.
fn told(value: &Value) -> String {
    match value {
        Value::String(text) => display_safe_within(text, SHOWN),
        other => display_safe_within(&other.to_string(), SHOWN),
    }
}
