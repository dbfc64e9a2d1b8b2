//! Common Event Format, version 0: `CEF:0|vendor|product|version|class|name|severity|key=value …`.
//!
//! In the header `|` and `\` are escaped, in values `=`, `\` and line ends; see `docs/audit.md` for the keys.

use super::text::push_harmless;
use super::words::{decision, details, joined, text};
use super::{Origin, PRODUCT, Severity, agents, headline, sentence, success};
use crate::{Entry, Event};

/// One record as one line, without its end.
#[must_use]
pub fn line(entry: &Entry, origin: &Origin) -> String {
    let event = &entry.event;
    let mut line = String::with_capacity(768);
    line.push_str("CEF:0");
    let severity = severity(Severity::of(event)).to_string();
    for field in [PRODUCT, PRODUCT, &*origin.version, event.kind.as_str(), headline(event.kind), &*severity] {
        line.push('|');
        push_header(&mut line, field);
    }
    line.push('|');
    extension(&mut line, entry, origin);
    line
}

fn extension(line: &mut String, entry: &Entry, origin: &Origin) {
    let event = &entry.event;
    let mut first = true;
    let mut put = |key: &str, value: &str| {
        if value.is_empty() {
            return;
        }
        if !std::mem::take(&mut first) {
            line.push(' ');
        }
        line.push_str(key);
        line.push('=');
        push_value(line, value);
    };
    put("rt", &event.time.as_millisecond().to_string());
    put("cat", category(event));
    put("externalId", text(&event.id));
    put("act", decision(event));
    put(
        "outcome",
        match success(event) {
            Some(true) => "success",
            Some(false) => "failure",
            None => "",
        },
    );
    put("reason", text(&event.reason));
    put("msg", &sentence(event));
    put("suid", text(&event.user));
    if let Some(actor) = &event.actor {
        put("spid", &actor.pid.to_string());
        put("sproc", actor.executable.as_ref().map_or("", |path| path.as_str()));
        put("fileHash", text(&actor.sha256));
    }
    put("dvchost", &origin.host);
    let address = origin.address.as_deref().unwrap_or_default();
    put(if address.contains(':') { "c6a1" } else { "dvc" }, address);
    if address.contains(':') {
        put("c6a1Label", "Device IPv6 Address");
    }
    put("deviceExternalId", origin.device.as_deref().unwrap_or_default());
    put("cn1", &entry.seq.to_string());
    put("cn1Label", "seq");
    let strings = [
        ("cs1", "cs1Label", "agents", agents(event).join(", ")),
        ("cs2", "cs2Label", "scopes", joined(&event.scopes).into_owned()),
        ("cs3", "cs3Label", "policies", joined(&event.policies).into_owned()),
        ("cs4", "cs4Label", "grants", joined(&event.grants).into_owned()),
        ("cs5", "cs5Label", "purpose", text(&event.purpose).to_owned()),
        ("cs6", "cs6Label", "hash", entry.hash.to_string()),
    ];
    for (key, label_key, label, value) in &strings {
        if !value.is_empty() {
            put(key, value);
            put(label_key, label);
        }
    }
    // Keys of our own, which the format leaves to the sender.
    let profile = event.profile.as_ref().map(|profile| profile.as_str()).or(origin.profile.as_deref());
    put("agentauthProfile", profile.unwrap_or_default());
    put("agentauthAssurance", event.actor.as_ref().map_or("", |actor| text(&actor.assurance)));
    put("agentauthRisks", &joined(&event.risks));
    put("agentauthSignals", &joined(&event.signals));
    put("agentauthFacts", &joined(&event.facts));
    put("agentauthTrace", text(&event.trace));
    put("agentauthDryRun", if event.dry_run { "true" } else { "" });
    put("agentauthDetails", &details(event));
}

/// What stands before the dot in the name of the kind.
fn category(event: &Event<'_>) -> &'static str {
    let name = event.kind.as_str();
    name.split_once('.').map_or(name, |(category, _)| category)
}

/// 0 to 3 is low, 4 to 6 medium, 7 and 8 high, 9 and 10 very high.
fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Informational => 1,
        Severity::Low => 3,
        Severity::Medium => 5,
        Severity::High => 8,
    }
}

fn push_header(line: &mut String, field: &str) {
    for character in field.chars() {
        match character {
            '|' => line.push_str("\\|"),
            '\\' => line.push_str("\\\\"),
            _ => push_harmless(line, character, "\\\\"),
        }
    }
}

fn push_value(line: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '=' => line.push_str("\\="),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            _ => push_harmless(line, character, "\\\\"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_separates_is_escaped() {
        let mut header = String::new();
        push_header(&mut header, "a|b\\c=d\ne");
        assert_eq!(header, "a\\|b\\\\c=d\\\\u000ae");
        let mut value = String::new();
        push_value(&mut value, "a|b\\c=d\r\ne\u{1b}");
        assert_eq!(value, "a|b\\\\c\\=d\\r\\ne\\\\u001b");
    }
}
