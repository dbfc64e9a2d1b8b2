//! Messages of RFC 5424: `<PRI>1 TIMESTAMP HOST APP PROCID MSGID [SD] MSG`.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::text::{capped, push_harmless};
use super::words::{decision, joined, text};
use super::{Origin, PRODUCT, Severity, agents};
use crate::Entry;

/// The longest value of a parameter, in bytes of the text: structured data is for finding a record, which is whole in
/// the message.
const LONGEST: usize = 256;

/// What every message of a sink has in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// The facility, 0 to 23: 10 is `authpriv`, 13 `log audit`.
    pub facility: u8,
    /// The private enterprise number behind the `@` of the structured data's name (RFC 5424, 7.2.2).
    pub enterprise: u32,
}

impl Default for Style {
    /// Facility 10 (`authpriv`), which collectors keep from unprivileged eyes; the enterprise number that stands for none
    /// (RFC 5612).
    fn default() -> Style {
        Style { facility: 10, enterprise: 32_473 }
    }
}

/// Everything of a message but its free text.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// Of the sender.
    pub style: Style,
    /// How urgent.
    pub severity: Severity,
    /// When it happened.
    pub time: Timestamp,
    /// Where; empty where it is not known.
    pub host: &'a str,
    /// What kind of message.
    pub id: &'a str,
}

/// One record as one message, without framing. `body` is its free text: the record's line as it is, or in another format.
#[must_use]
pub fn message(entry: &Entry, origin: &Origin, style: Style, body: &str) -> String {
    let event = &entry.event;
    let header = Header {
        style,
        severity: Severity::of(event),
        time: event.time,
        host: &origin.host,
        id: event.kind.as_str(),
    };
    let seq = entry.seq.to_string();
    let hash = entry.hash.to_string();
    let agents = agents(event).join(", ");
    let scopes = joined(&event.scopes);
    let parameters = [
        ("seq", &*seq),
        ("hash", &*hash),
        ("id", text(&event.id)),
        ("decision", decision(event)),
        ("reason", text(&event.reason)),
        ("agents", &*agents),
        ("scopes", &*scopes),
        ("user", text(&event.user)),
        ("device", origin.device.as_deref().unwrap_or_default()),
    ];
    compose(&header, &parameters, body)
}

/// A message. Parameters without a value are left out; names are taken as they are.
#[must_use]
pub fn compose(header: &Header<'_>, parameters: &[(&str, &str)], body: &str) -> String {
    let mut out = String::with_capacity(body.len() + 512);
    let priority = u16::from(header.style.facility.min(23)) * 8 + level(header.severity);
    // Writing to a `String` does not fail.
    let _ = write!(out, "<{priority}>1 {:.6} ", header.time);
    push_word(&mut out, header.host, 255);
    out.push(' ');
    push_word(&mut out, PRODUCT, 48);
    out.push_str(" - ");
    push_word(&mut out, header.id, 32);
    out.push(' ');
    if parameters.iter().all(|(_, value)| value.is_empty()) {
        out.push('-');
    } else {
        let _ = write!(out, "[{PRODUCT}@{}", header.style.enterprise);
        for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
            let _ = write!(out, " {name}=\"");
            push_value(&mut out, &capped(value, LONGEST));
            out.push('"');
        }
        out.push(']');
    }
    if !body.is_empty() {
        out.push(' ');
        for character in body.chars() {
            push_harmless(&mut out, character, "\\");
        }
    }
    out
}

/// A field of the header: printable ASCII without spaces, or `-`.
fn push_word(out: &mut String, word: &str, limit: usize) {
    let start = out.len();
    out.extend(word.chars().filter(char::is_ascii_graphic).take(limit));
    if out.len() == start {
        out.push('-');
    }
}

fn push_value(out: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '"' | '\\' | ']' => {
                out.push('\\');
                out.push(character);
            }
            _ => push_harmless(out, character, "\\\\"),
        }
    }
}

/// The numerical severity: 6 informational, 5 notice, 4 warning, 3 error.
fn level(severity: Severity) -> u16 {
    match severity {
        Severity::Informational => 6,
        Severity::Low => 5,
        Severity::Medium => 4,
        Severity::High => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(host: &'a str, id: &'a str) -> Header<'a> {
        Header {
            style: Style::default(),
            severity: Severity::Low,
            time: "2003-10-11T22:14:15.003Z".parse().unwrap(),
            host,
            id,
        }
    }

    #[test]
    fn a_message_is_what_the_standard_says() {
        assert_eq!(
            compose(&header("my.example", "decision"), &[("a", "x\"]\\\n"), ("b", "")], "text"),
            "<85>1 2003-10-11T22:14:15.003000Z my.example agentauthd - decision \
             [agentauthd@32473 a=\"x\\\"\\]\\\\\\\\u000a\"] text"
        );
        assert_eq!(compose(&header("", ""), &[], ""), "<85>1 2003-10-11T22:14:15.003000Z - agentauthd - - -");
    }

    #[test]
    fn the_header_holds_no_more_than_it_may() {
        let long = "h o\u{fc}st\n".repeat(200);
        let message = compose(&header(&long, &long), &[("a", &"]".repeat(1000))], "");
        let words: Vec<_> = message.split(' ').collect();
        assert_eq!(words[2].len(), 255);
        assert_eq!(words[5].len(), 32);
        assert!(message.len() < 1024, "{}", message.len());
    }
}
