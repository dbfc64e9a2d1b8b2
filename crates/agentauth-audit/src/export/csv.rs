//! Comma-separated values (RFC 4180), for spreadsheets and scripts. Every cell is quoted. A cell that a spreadsheet would
//! take for a formula begins with an apostrophe that is not in the record.

use super::text::push_harmless;
use super::words::{decision, details, joined, text};
use super::{Origin, agents};
use crate::Entry;

/// The columns, in order. New ones are added at the end.
pub const COLUMNS: [&str; 27] = [
    "seq",
    "time",
    "event",
    "id",
    "decision",
    "reason",
    "agents",
    "scopes",
    "purpose",
    "user",
    "profile",
    "pid",
    "executable",
    "sha256",
    "assurance",
    "policies",
    "grants",
    "dry_run",
    "message",
    "trace",
    "details",
    "host",
    "device",
    "hash",
    "risks",
    "signals",
    "facts",
];

/// The first line, with the names of the columns.
#[must_use]
pub fn header() -> String {
    row(COLUMNS)
}

/// One record as one line, without its end.
#[must_use]
pub fn line(entry: &Entry, origin: &Origin) -> String {
    let event = &entry.event;
    let actor = event.actor.as_ref();
    let profile = event.profile.as_ref().map(|profile| profile.as_str()).or(origin.profile.as_deref());
    row([
        entry.seq.to_string(),
        format!("{:.6}", event.time),
        event.kind.as_str().to_owned(),
        text(&event.id).to_owned(),
        decision(event).to_owned(),
        text(&event.reason).to_owned(),
        agents(event).join(", "),
        joined(&event.scopes).into_owned(),
        text(&event.purpose).to_owned(),
        text(&event.user).to_owned(),
        profile.unwrap_or_default().to_owned(),
        actor.map(|actor| actor.pid.to_string()).unwrap_or_default(),
        actor
            .and_then(|actor| actor.executable.as_ref())
            .map(|path| path.as_str().to_owned())
            .unwrap_or_default(),
        actor.map_or("", |actor| text(&actor.sha256)).to_owned(),
        actor.map_or("", |actor| text(&actor.assurance)).to_owned(),
        joined(&event.policies).into_owned(),
        joined(&event.grants).into_owned(),
        if event.dry_run { "true" } else { "" }.to_owned(),
        text(&event.message).to_owned(),
        text(&event.trace).to_owned(),
        details(event),
        origin.host.clone(),
        origin.device.clone().unwrap_or_default(),
        entry.hash.to_string(),
        joined(&event.risks).into_owned(),
        joined(&event.signals).into_owned(),
        joined(&event.facts).into_owned(),
    ])
}

fn row<T: AsRef<str>>(cells: [T; COLUMNS.len()]) -> String {
    let mut line = String::with_capacity(512);
    for (place, cell) in cells.iter().enumerate() {
        if place > 0 {
            line.push(',');
        }
        push_cell(&mut line, cell.as_ref());
    }
    line
}

/// A cell, quoted. What a spreadsheet evaluates begins with one of these, also in the wide forms that some of them read
/// the same way.
fn push_cell(line: &mut String, cell: &str) {
    line.push('"');
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) {
        line.push('\'');
    }
    for character in cell.chars() {
        match character {
            '"' => line.push_str("\"\""),
            _ => push_harmless(line, character, "\\"),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_no_formula_and_stays_on_its_line() {
        let cell = |text| {
            let mut line = String::new();
            push_cell(&mut line, text);
            line
        };
        assert_eq!(cell("plain, \"quoted\""), r#""plain, ""quoted""""#);
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "＝1"] {
            assert_eq!(cell(formula), format!("\"'{formula}\""));
        }
        assert_eq!(cell("\t=1"), "\"'\\u0009=1\"");
        assert_eq!(cell("a\r\nb"), "\"a\\u000d\\u000ab\"");
    }
}
