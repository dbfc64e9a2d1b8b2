//! Examinations by `agentauthd doctor`, and what every report of one must be.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::World;

/// No examination takes longer.
const LONGEST: Duration = Duration::from_secs(25);
/// A credential for tests to leave lying about. No report may repeat it.
pub const PLANTED: &str = "K2doctorMustNeverRepeatThis";

/// A free port that the system gives to nobody who asks for any.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let own = std::process::id().wrapping_mul(16);
    let candidates = std::iter::repeat_with(|| own.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)));
    let mut ports = candidates.map(|number| u16::try_from(20_000 + number % 12_000).unwrap());
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).unwrap()
}

/// A report, with what it cost.
#[derive(Clone, Debug)]
pub struct Report {
    /// The report.
    pub json: Value,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// The codes of the findings of these severities.
    pub fn codes(&self, severities: &[&str]) -> BTreeSet<String> {
        let findings = self.json["findings"].as_array().unwrap();
        let of = |finding: &&Value| severities.contains(&finding["severity"].as_str().unwrap());
        findings.iter().filter(of).map(|finding| finding["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Those of what is not as it should be.
    pub fn wrong(&self) -> BTreeSet<String> {
        self.codes(&["warning", "error"])
    }

    /// The finding of this code.
    #[track_caller]
    pub fn finding(&self, code: &str) -> &Value {
        let findings = self.json["findings"].as_array().unwrap();
        let found = findings.iter().find(|finding| finding["id"] == code);
        found.unwrap_or_else(|| panic!("no `{code}` in {:#}", self.json))
    }
}

/// Runs an examination; `arguments` come after `doctor --json`.
#[track_caller]
pub fn doctor(world: &World, arguments: &[&str]) -> Report {
    let mut words = vec!["doctor", "--json"];
    words.extend(arguments);
    run_doctor(world, world.command(&words))
}

/// Runs an examination, and holds the report to what every report must be.
#[track_caller]
pub fn run_doctor(world: &World, command: Command) -> Report {
    let started = Instant::now();
    let outcome = crate::cli::run(command);
    let took = started.elapsed();
    assert!(took < LONGEST, "{took:?}");
    let json = outcome.json();
    let findings = json["findings"].as_array().unwrap();
    let count = |severity: &str| findings.iter().filter(|finding| finding["severity"] == severity).count();
    assert_eq!(json["errors"], count("error"), "{json:#}");
    assert_eq!(json["warnings"], count("warning"), "{json:#}");
    assert_eq!(outcome.code, Some(i32::from(count("error") > 0)), "{outcome:?}");
    for finding in findings {
        for member in ["id", "area", "severity", "what", "why"] {
            assert!(finding[member].as_str().is_some_and(|text| !text.is_empty()), "{finding}");
        }
        let calm = finding["severity"] == "ok";
        assert!(calm || finding["todo"].as_str().is_some_and(|text| !text.is_empty()), "{finding}");
    }
    let all = outcome.all();
    assert!(!all.contains(PLANTED), "{all}");
    for secret in world.provider.issued() {
        assert!(!all.contains(&secret.value), "{:?} stands in {all}", secret.kind);
    }
    Report { json, took }
}

/// One line of the table: what was staged, what was expected and what was reported.
#[track_caller]
pub fn expect(staged: &str, report: &Report, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|&code| code.to_owned()).collect();
    eprintln!("{staged:<48} {expected:?} in {:?}", report.took);
    assert_eq!(report.wrong(), expected, "{staged}: {:#}", report.json);
}
