//! Exports read back: events of every kind, names that try to break out of every format, each through a parser that knows
//! nothing of how it was written.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

#[path = "export/parsers.rs"]
mod parsers;
#[path = "export/samples.rs"]
mod samples;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use agentauth_audit::export::{Severity, agents, cef, csv, headline, ocsf, syslog};
use agentauth_audit::{Kind, Text};
use parsers::{Cef, Syslog};
use proptest::prelude::*;
use samples::{entries, hostile, named, origin};

/// Names that are separators, escapes, line ends, controls or formulas somewhere.
const HOSTILE: &[&str] = &[
    "two\nlines",
    "carriage\r\nreturn",
    "pi|pe||s",
    "back\\slash\\\\n\\",
    "\\",
    "quo\"tes\"",
    "']bracket]\\]",
    "a=b cs1=forged",
    "key\\=value",
    "\u{1b}[2J\u{1b}[31mred",
    "\u{202e}gpj.exe\u{202c}",
    "zero\u{200b}width\u{feff}",
    "tab\there",
    "nul\u{0}l",
    "\u{9b}csi\u{85}next",
    "=HYPERLINK(\"http://x\",\"y\")",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1+9)*cmd",
    "＝1+1",
    " leading and trailing ",
    "CEF:0|forged|x|1|y|z|10|",
    "<13>1 2026-01-01T00:00:00Z forged - - - - x",
    "a,b;c\t\"d\"",
    "ümläut 漢字 🦀",
    "tag\u{e0041}",
];

/// What a format without escapes of its own makes of a text: everything that acts is shown.
fn shown(text: &str) -> String {
    let acts = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    let mut out = String::new();
    for c in text.chars() {
        if acts(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[track_caller]
fn is_harmless(line: &str) {
    assert_eq!(shown(line), line, "something in it acts");
}

#[test]
fn every_kind_has_a_form_in_ocsf_or_is_left_out_on_purpose() {
    let left_out = [Kind::ChainCarried, Kind::ChainContinued, Kind::Checkpoint, Kind::Facts];
    for kind in Kind::ALL {
        assert_eq!(ocsf::class(*kind).is_none(), left_out.contains(kind), "{kind:?}");
        assert!(!headline(*kind).is_empty() && headline(*kind).len() < 64);
        assert!(kind.as_str().len() <= 32, "a message id of RFC 5424");
    }
    let used: BTreeSet<_> = Kind::ALL.iter().filter_map(|kind| ocsf::class(*kind)).collect();
    assert_eq!(used.len(), ocsf::Class::ALL.len(), "no class without a kind");
}

#[test]
fn there_is_an_example_of_every_kind() {
    let there: BTreeSet<_> = entries().iter().map(|entry| entry.event.kind).collect();
    let missing: Vec<_> = Kind::ALL.iter().filter(|kind| !there.contains(kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// `tests/schema` holds the examples against the schema, with a validator that the product is not built with.
#[test]
fn the_examples_that_are_validated_are_what_is_exported() {
    let now: String = entries()
        .iter()
        .chain(&hostile(HOSTILE))
        .filter_map(|entry| ocsf::line(entry, &origin()))
        .map(|line| line + "\n")
        .collect();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/ocsf/examples.jsonl");
    if fs::read_to_string(&path).unwrap_or_default() != now {
        let new = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("examples.jsonl");
        fs::write(&new, now).unwrap();
        panic!(
            "`{}` is not what is exported now: look at `{}`, and if it is right copy it there",
            path.display(),
            new.display()
        );
    }
}

#[test]
fn an_ocsf_event_holds_the_record() {
    for entry in entries().iter().chain(&hostile(HOSTILE)) {
        let Some(line) = ocsf::line(entry, &origin()) else { continue };
        is_harmless(&line);
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            event["type_uid"],
            event["class_uid"].as_u64().unwrap() * 100 + event["activity_id"].as_u64().unwrap()
        );
        assert_eq!(event["time"], entry.event.time.as_millisecond());
        assert_eq!(event["metadata"]["sequence"], entry.seq);
        assert_eq!(event["metadata"]["uid"], entry.hash.to_string());
        assert_eq!(event["metadata"]["event_code"], entry.event.kind.as_str());
        let names = agents(&entry.event);
        if !names.is_empty() {
            assert_eq!(event["unmapped"]["agents"], serde_json::json!(names), "the name as it was");
        }
        if !entry.event.details.is_empty() {
            assert_eq!(event["unmapped"]["details"], serde_json::Value::Object(entry.event.details.clone()));
        }
    }
}

#[test]
fn cef_says_the_same_through_another_parser() {
    for entry in entries().iter().chain(&hostile(HOSTILE)) {
        let event = &entry.event;
        let line = cef::line(entry, &origin());
        is_harmless(&line);
        let cef = Cef::parse(&line).unwrap_or_else(|| panic!("{line}"));
        assert_eq!(cef.header[..3], ["agentauthd", "agentauthd", "1.2.3"], "{line}");
        assert_eq!(cef.header[3], event.kind.as_str());
        assert_eq!(cef.header[4], headline(event.kind));
        assert!(cef.header[5].parse::<u8>().unwrap() <= 10);
        assert_eq!(cef.get("rt"), event.time.as_millisecond().to_string());
        assert_eq!(cef.get("cn1"), entry.seq.to_string());
        assert_eq!(cef.get("cs6"), entry.hash.to_string());
        assert_eq!(cef.get("cs1"), cef_text(&agents(event).join(", ")), "{line}");
        assert_eq!(cef.get("cs2"), cef_text(&joined(&event.scopes)));
        assert_eq!(cef.get("cs5"), cef_text(event.purpose.as_ref().map_or("", Text::as_str)));
        let known = [
            "rt",
            "cat",
            "externalId",
            "act",
            "outcome",
            "reason",
            "msg",
            "suid",
            "spid",
            "sproc",
            "fileHash",
            "dvchost",
            "dvc",
            "c6a1",
            "c6a1Label",
            "deviceExternalId",
            "cn1",
            "cn1Label",
            "cs1",
            "cs1Label",
            "cs2",
            "cs2Label",
            "cs3",
            "cs3Label",
            "cs4",
            "cs4Label",
            "cs5",
            "cs5Label",
            "cs6",
            "cs6Label",
        ];
        for key in cef.extension.keys() {
            assert!(known.contains(&&**key) || key.starts_with("agentauth"), "a forged key: {key} in {line}");
        }
    }
}

/// CEF has escapes for line ends; for the rest it has none.
fn cef_text(text: &str) -> String {
    text.split_inclusive(['\n', '\r'])
        .map(|piece| match piece.char_indices().next_back() {
            Some((end, last @ ('\n' | '\r'))) => format!("{}{last}", shown(&piece[..end])),
            _ => shown(piece),
        })
        .collect()
}

#[test]
fn csv_says_the_same_through_another_parser() {
    let mut whole = csv::header() + "\n";
    let all: Vec<_> = entries().into_iter().chain(hostile(HOSTILE)).collect();
    for entry in &all {
        let line = csv::line(entry, &origin());
        is_harmless(&line);
        whole.push_str(&line);
        whole.push('\n');
    }
    assert_eq!(whole.lines().count(), all.len() + 1, "one line a record");
    let mut reader = ::csv::Reader::from_reader(whole.as_bytes());
    let columns: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(columns, csv::COLUMNS);
    for (row, entry) in reader.records().zip(&all) {
        let row = row.unwrap();
        let cells: BTreeMap<&str, &str> = columns.iter().map(String::as_str).zip(row.iter()).collect();
        for (column, cell) in &cells {
            assert!(
                !cell.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']),
                "a formula in {column}: {cell}"
            );
        }
        assert_eq!(cells["seq"], entry.seq.to_string());
        assert_eq!(cells["event"], entry.event.kind.as_str());
        assert_eq!(cells["hash"], entry.hash.to_string());
        assert_eq!(cells["agents"], cell(&agents(&entry.event).join(", ")));
        assert_eq!(cells["scopes"], cell(&joined(&entry.event.scopes)));
        let details = if entry.event.details.is_empty() {
            String::new()
        } else {
            serde_json::to_string(&entry.event.details).unwrap()
        };
        assert_eq!(cells["details"], shown(&details));
    }
}

/// What a cell holds: never what a spreadsheet evaluates.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    format!("{}{}", if formula { "'" } else { "" }, shown(text))
}

#[test]
fn syslog_says_the_same_through_another_parser() {
    for entry in entries().iter().chain(&hostile(HOSTILE)) {
        let event = &entry.event;
        let message = syslog::message(entry, &origin(), syslog::Style::default(), &entry.line);
        is_harmless(&message);
        let parsed = Syslog::parse(&message).unwrap_or_else(|| panic!("{message}"));
        assert_eq!(parsed.priority / 8, 10);
        assert!((3..=6).contains(&(parsed.priority % 8)));
        assert_eq!(parsed.header[..4], ["host.example", "agentauthd", "-", event.kind.as_str()], "{message}");
        assert_eq!(parsed.time.parse::<jiff::Timestamp>().unwrap(), event.time);
        assert_eq!(parsed.data_id, "agentauthd@32473");
        assert_eq!(parsed.parameters["seq"], entry.seq.to_string());
        assert_eq!(parsed.parameters["hash"], entry.hash.to_string());
        let names = agents(event).join(", ");
        assert_eq!(parsed.parameters.get("agents").map_or("", String::as_str), shown(&names), "{message}");
        assert_eq!(parsed.message, entry.line, "the record as it is");
        let known = ["seq", "hash", "id", "decision", "reason", "agents", "scopes", "user", "device"];
        assert!(
            parsed.parameters.keys().all(|name| known.contains(&&**name)),
            "a forged parameter: {message}"
        );
    }
}

#[test]
fn what_should_worry_does() {
    let severity = |kind| {
        let entry = entries().into_iter().find(|entry| entry.event.kind == kind).unwrap();
        Severity::of(&entry.event)
    };
    assert_eq!(severity(Kind::AuditGap), Severity::High);
    assert_eq!(severity(Kind::Signal), Severity::Medium);
    assert_eq!(severity(Kind::LoginRefused), Severity::Low);
    assert_eq!(severity(Kind::Login), Severity::Informational);
}

proptest! {
    #[test]
    fn no_name_breaks_out_of_any_format(name in any::<String>(), other in "[\\\\=|\"\\]\\n\\r,';@+\u{202e}\u{1b} a-c]{0,24}") {
        for name in [name, other] {
            let entry = named(&name);
            let cef = Cef::parse(&cef::line(&entry, &origin())).unwrap();
            prop_assert_eq!(cef.get("cs1"), cef_text(&name));
            let message = syslog::message(&entry, &origin(), syslog::Style::default(), "body");
            let parsed = Syslog::parse(&message).unwrap();
            prop_assert_eq!(&*parsed.message, "body");
            let line = csv::line(&entry, &origin());
            let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
            let row = reader.records().next().unwrap().unwrap();
            prop_assert_eq!(row.len(), csv::COLUMNS.len());
            prop_assert_eq!(&row[6], cell(&name));
            prop_assert!(!line.contains('\n') && !message.contains('\n'));
        }
    }
}

fn joined(texts: &[Text<'_>]) -> String {
    texts.iter().map(Text::as_str).collect::<Vec<_>>().join(", ")
}
