//! What is said of a daemon, for each way in which it may be there or not.

use agentauth_api::HardeningStatus;
use serde_json::json;

use super::*;
use crate::doctor::Severity;

fn status() -> Status {
    serde_json::from_value(json!({
        "version": env!("CARGO_PKG_VERSION"), "pid": 42, "started_at": "2026-03-01T10:00:00Z", "profile": "default",
        "device": "device:uuid:1", "locked": false, "session": {"phase": "logged_out"},
        "provider": {"kind": "descope", "issuer": "https://api.descope.com/P1", "project_id": "P1", "base_url": "https://api.descope.com/", "redirect_uris": ["http://127.0.0.1:1/c"]},
        "keys": {"count": 1}, "secret_store": {"kind": "memory", "usable": true},
        "policy": {"count": 1, "sources": []}, "audit": {"writable": true, "records": 1}, "agents": [],
        "caller": {"pid": 1, "assurance": "unproven", "grade": "none", "greeted": true}, "problems": []
    }))
    .unwrap()
}

fn facts(reached: Reached) -> Facts {
    Facts {
        reached,
        socket: "/run/s".into(),
        socket_exists: true,
        record_holder: None,
        state_dir: "/state".into(),
        profile: "default".to_owned(),
        provider: Some((
            "https://api.descope.com/P1".to_owned(),
            "https://api.descope.com/".to_owned(),
            vec!["http://127.0.0.1:1/c".to_owned()],
        )),
        provider_fails: false,
        comparable: true,
    }
}

fn answered(change: impl FnOnce(&mut Status)) -> Facts {
    let mut status = status();
    change(&mut status);
    facts(Reached::Answered(Box::new(status)))
}

fn seen(facts: &Facts) -> Vec<(Code, Severity)> {
    judge(facts).iter().map(|finding| (finding.id, finding.severity)).collect()
}

const RUNS: (Code, Severity) = (Code::DaemonRuns, Severity::Ok);

#[test]
fn absence_has_its_kinds() {
    let absent = facts(Reached::Absent);
    assert_eq!(seen(&absent), [(Code::DaemonAbsent, Severity::Warning), (Code::SocketStale, Severity::Note)]);
    assert_eq!(
        seen(&Facts { socket_exists: false, ..absent.clone() }),
        [(Code::DaemonAbsent, Severity::Warning)]
    );
    assert_eq!(seen(&Facts { record_holder: Some(7), ..absent }), [(Code::DaemonElsewhere, Severity::Error)]);
    assert_eq!(seen(&facts(Reached::Untrusted("w".to_owned()))), [(Code::DaemonUntrusted, Severity::Error)]);
    assert_eq!(seen(&facts(Reached::Silent("w".to_owned()))), [(Code::DaemonSilent, Severity::Error)]);
}

#[test]
fn a_daemon_is_held_against_what_is_known() {
    assert_eq!(seen(&answered(|_| {})), [RUNS]);
    assert_eq!(seen(&Facts { record_holder: Some(42), ..answered(|_| {}) }), [RUNS]);
    assert_eq!(
        seen(&Facts { record_holder: Some(7), ..answered(|_| {}) }),
        [(Code::DaemonTwice, Severity::Error)]
    );
    type Change = fn(&mut Status);
    let cases: [(Change, Code, Severity); 7] = [
        (|s| s.version = "0.0.1".to_owned(), Code::DaemonOtherVersion, Severity::Warning),
        (|s| s.profile = "dev".to_owned(), Code::DaemonOtherConfiguration, Severity::Warning),
        (
            |s| s.provider.issuer = Some("https://api.descope.com/P2".to_owned()),
            Code::DaemonOtherConfiguration,
            Severity::Warning,
        ),
        (|s| s.provider.redirect_uris.clear(), Code::DaemonOtherConfiguration, Severity::Warning),
        (|s| s.locked = true, Code::DaemonPaused, Severity::Note),
        (
            |s| {
                s.needless_credentials.push("DESCOPE_MANAGEMENT_KEY".to_owned());
                s.problems.push("DESCOPE_MANAGEMENT_KEY is set in the environment".to_owned());
            },
            Code::CredentialInDaemon,
            Severity::Warning,
        ),
        (|s| s.problems.push("something else".to_owned()), Code::DaemonProblem, Severity::Warning),
    ];
    for (change, code, severity) in cases {
        assert_eq!(seen(&answered(change)), [(code, severity), RUNS]);
    }
    let hardening = |s: &mut Status| {
        let step = |failure: Option<&str>| HardeningStatus {
            what: "no core dumps".to_owned(),
            failure: failure.map(str::to_owned),
        };
        s.hardening = vec![step(None), step(Some("not permitted"))];
    };
    assert_eq!(seen(&answered(hardening)), [(Code::HardeningMissing, Severity::Warning), RUNS]);
    let record = |s: &mut Status| {
        s.audit.writable = false;
        s.audit.detail = Some("disk full".to_owned());
        s.problems.push("nothing can be recorded, so nothing is allowed: disk full".to_owned());
    };
    assert_eq!(seen(&answered(record)), [(Code::RecordUnwritable, Severity::Error)]);
}

#[test]
fn what_other_findings_say_is_not_said_twice() {
    let problem = "the provider could not be asked: cannot reach `h`";
    let complains = answered(|s| s.problems.push(problem.to_owned()));
    assert_eq!(seen(&complains).len(), 2);
    assert_eq!(seen(&Facts { provider_fails: true, ..complains }), [RUNS]);
}
