//! Plans, classes of failure, and what follows them.

use proptest::prelude::*;

use super::*;
use crate::session::tests::{at, session};

fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

#[test]
fn a_refresh_is_planned_at_70_to_80_percent() {
    for (lifetime, jitter, hint, expected) in [
        (600, 0.0, None, 1480),
        (600, 1.0, None, 1420),
        (600, 7.0, None, 1420),
        (600, f64::NAN, None, 1450),
        (600, 0.0, Some(60), 1060),
        (600, 0.0, Some(0), 1480),
        (600, 0.0, Some(1), 1005),
        (600, 0.0, Some(599), 1570),
        (600, 0.0, Some(u32::MAX), 1570),
        (100, 0.0, None, 1070),
        (60, 0.0, None, 1030),
        (59, 0.0, Some(3), 1029),
        (3, 0.0, None, 1001),
        (0, 0.0, None, 1001),
        (86_400, 0.0, None, 1000 + 2880),
        (86_400, 0.0, Some(80_000), 1000 + 3600),
    ] {
        let mut session = session(lifetime.max(1));
        session.claims.expires_at = at(1000 + lifetime);
        let planned = next_refresh(&session, jitter, hint);
        assert_eq!(planned.as_second(), expected, "{lifetime} {jitter} {hint:?}");
    }
}

#[test]
fn sleep_and_clock_changes_make_a_refresh_due() {
    // The wall clock, the time since the start, and of that the time awake.
    let reading = |wall: i64, since_boot: i64, awake: i64| ClockReading {
        wall: at(wall),
        since_boot: secs(since_boot),
        awake: secs(awake),
    };
    let before = reading(1000, 500, 400);
    let table = [
        (reading(1060, 560, 460), 1060, None),
        (reading(1068, 560, 460), 1068, None),
        (reading(1052, 560, 460), 1060, None),
        (reading(2000, 1500, 1400), 2000, Some(Due::Planned)),
        (reading(9000, 560, 460), 9000, Some(Due::Planned)),
        (reading(1500, 560, 460), 1500, Some(Due::Woke)),
        (reading(1500, 1000, 460), 1500, Some(Due::Woke)),
        (reading(1060, 1000, 460), 1500, Some(Due::ClockRanBack)),
        (reading(1040, 560, 460), 1060, Some(Due::ClockRanBack)),
        (reading(-90_000, 560, 460), 1060, Some(Due::ClockRanBack)),
        (reading(1060, 560, 460), -90_000, Some(Due::ClockRanBack)),
    ];
    for (now, steady, expected) in table {
        assert_eq!(refresh_due(at(2000), &before, &now, at(steady)), expected, "{now:?} {steady}");
    }
}

#[test]
fn a_refused_confirmation_is_a_revocation_unless_an_answer_got_lost_before() {
    let over = RefreshFailure::Over { code: None, message: "no".into(), revoked: false };
    let history = RefreshHistory::default();
    let end = |history: &RefreshHistory| after_unconfirmed(history, &over, at(0), 0.0);
    assert_eq!(end(&history), AfterFailure::End(OverReason::Revoked));
    assert_eq!(end(&RefreshHistory { ambiguous: 1, ..history }), AfterFailure::End(OverReason::AnswerLost));
    let down = RefreshFailure::network(true, "down");
    assert!(matches!(after_unconfirmed(&history, &down, at(0), 0.0), AfterFailure::RetryAt(_)));
}

fn answer(status: u16, readable: bool, code: &str) -> RefreshAnswer {
    RefreshAnswer {
        status,
        readable,
        code: Some(code).filter(|code| !code.is_empty()).map(str::to_owned),
        message: None,
        retry_after: None,
    }
}

#[test]
fn answers_fall_into_their_classes() {
    let table: &[(u16, bool, &str, &str)] = &[
        (200, true, "", "success"),
        (200, false, "", "unknown, sent"),
        (204, false, "", "unknown, sent"),
        (301, false, "", "unknown"),
        (302, false, "", "unknown"),
        (400, true, "invalid_grant", "over"),
        (400, true, "E011003", "over"),
        (401, true, "E061005", "over"),
        (401, true, "E064001", "revoked"),
        (403, true, "", "over"),
        (401, false, "", "unknown"),
        (403, false, "", "unknown"),
        (400, true, "invalid_client", "config"),
        (401, true, "invalid_client", "config"),
        (400, true, "unauthorized_client", "config"),
        (400, true, "unsupported_grant_type", "config"),
        (400, true, "E011008", "config"),
        (404, true, "E011008", "config"),
        (404, false, "", "config"),
        (407, false, "", "config"),
        (408, true, "", "unknown"),
        (429, true, "E130429", "unknown"),
        (429, false, "", "unknown"),
        (400, true, "E130429", "unknown"),
        (400, true, "slow_down", "unknown"),
        (500, true, "", "unknown, sent"),
        (502, false, "", "unknown, sent"),
        (503, false, "", "unknown"),
        (504, false, "", "unknown, sent"),
        (599, false, "", "unknown, sent"),
        (100, false, "", "unknown"),
        (0, false, "", "unknown"),
        (999, true, "", "unknown"),
    ];
    for (status, readable, code, expected) in table {
        let class = match RefreshFailure::of_answer(&answer(*status, *readable, code)) {
            None => "success",
            Some(RefreshFailure::Over { revoked: true, .. }) => "revoked",
            Some(RefreshFailure::Over { .. }) => "over",
            Some(RefreshFailure::Config { .. }) => "config",
            Some(RefreshFailure::Unknown { sent: true, .. }) => "unknown, sent",
            Some(RefreshFailure::Unknown { .. }) => "unknown",
        };
        assert_eq!(class, *expected, "{status} {readable} {code}");
    }
}

fn lost() -> RefreshFailure {
    RefreshFailure::network(true, "the connection broke")
}

fn unreachable() -> RefreshFailure {
    RefreshFailure::network(false, "connection refused")
}

fn refused(revoked: bool) -> RefreshFailure {
    RefreshFailure::Over { code: None, message: String::new(), revoked }
}

/// Plays failures one after the other; the last verdict counts.
fn play(rotates: bool, failures: &[RefreshFailure]) -> AfterFailure {
    let mut history = RefreshHistory { rotates, ..RefreshHistory::default() };
    let mut verdict = AfterFailure::RetryAt(at(0));
    for (index, failure) in failures.iter().enumerate() {
        assert!(matches!(verdict, AfterFailure::RetryAt(_)), "stopped before failure {index}");
        verdict = after_failure(&history, failure, at(1000), 0.0);
        history = history.failed(failure);
    }
    verdict
}

#[test]
fn only_a_refusal_ends_a_login_and_a_lost_answer_before_it_is_named() {
    let end = AfterFailure::End;
    for rotates in [false, true] {
        assert_eq!(play(rotates, &[lost()]), AfterFailure::RetryAt(at(1002)));
        assert_eq!(play(rotates, &[lost(), lost(), lost()]), AfterFailure::RetryAt(at(1008)));
        assert_eq!(play(rotates, &[lost(), unreachable()]), AfterFailure::RetryAt(at(1004)));
        for revoked in [false, true] {
            assert_eq!(play(rotates, &[lost(), refused(revoked)]), end(OverReason::AnswerLost));
            assert_eq!(
                play(rotates, &[lost(), unreachable(), refused(revoked)]),
                end(OverReason::AnswerLost)
            );
        }
        assert_eq!(play(rotates, &[refused(false)]), end(OverReason::Expired));
        assert_eq!(play(rotates, &[unreachable(), refused(false)]), end(OverReason::Expired));
        assert_eq!(play(rotates, &[unreachable(), refused(true)]), end(OverReason::Revoked));
    }
}

#[test]
fn a_success_wipes_the_slate_and_remembers_rotation() {
    let history = RefreshHistory::default().failed(&lost()).failed(&unreachable());
    assert_eq!(history, RefreshHistory { rotates: false, ambiguous: 1, failures: 2 });
    let history = history.succeeded(true);
    assert_eq!(history, RefreshHistory { rotates: true, ambiguous: 0, failures: 0 });
    assert!(history.succeeded(false).rotates);
}

#[test]
fn retries_back_off_and_respect_the_provider() {
    let retry = |failures: u32, jitter: f64, retry_after: Option<i64>| {
        let history = RefreshHistory { failures, ..RefreshHistory::default() };
        let retry_after = retry_after.map(secs);
        let failure = RefreshFailure::Unknown { sent: false, retry_after, what: String::new() };
        match after_failure(&history, &failure, at(1000), jitter) {
            AfterFailure::RetryAt(instant) => instant.as_second() - 1000,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        [0, 1, 2, 3, 7, 8, 20, u32::MAX].map(|failures| retry(failures, 0.0, None)),
        [2, 4, 8, 16, 256, 300, 300, 300]
    );
    assert_eq!(retry(4, 1.0, None), 16);
    assert_eq!(retry(0, 0.0, Some(60)), 60);
    assert_eq!(retry(8, 0.0, Some(60)), 300);
    assert_eq!(retry(0, 0.0, Some(1_000_000)), 3600);
    assert_eq!(retry(0, 0.0, Some(-5)), 2);
}

#[test]
fn a_configuration_fault_keeps_the_login_and_waits_for_a_person() {
    let failure = RefreshFailure::of_answer(&answer(404, true, "E011008")).unwrap();
    let verdict = play(true, &[lost(), failure]);
    assert!(matches!(verdict, AfterFailure::Fix { what } if what.contains("check project and base URL")));
}

proptest! {
    #[test]
    fn a_planned_refresh_lies_within_its_bounds(
        lifetime in 0i64..10_000_000,
        jitter in any::<f64>(),
        hint in proptest::option::of(any::<u32>()),
    ) {
        let mut session = session(1);
        session.claims.expires_at = at(1000 + lifetime);
        let planned = next_refresh(&session, jitter, hint);
        prop_assert!(planned > session.confirmed_at);
        prop_assert!(planned <= at(1000 + 3600));
        if lifetime >= 60 {
            prop_assert!(planned <= at(1000 + lifetime - 30));
            prop_assert!(planned >= at(1005));
        } else if lifetime > 1 {
            prop_assert!(planned < session.claims.expires_at);
        }
        if hint.is_none_or(|seconds| seconds == 0) && (100..=3600).contains(&lifetime) {
            let share = planned.duration_since(at(1000)).as_secs_f64() / lifetime as f64;
            prop_assert!((0.699..0.801).contains(&share), "{}", share);
        }
    }

    #[test]
    fn a_retry_always_lies_ahead_and_within_an_hour(
        failures in any::<u32>(), sent in any::<bool>(), jitter in any::<f64>(), asked in proptest::option::of(any::<i64>()),
    ) {
        let history = RefreshHistory { failures, ..RefreshHistory::default() };
        let retry_after = asked.map(SignedDuration::from_secs);
        let failure = RefreshFailure::Unknown { sent, retry_after, what: String::new() };
        let AfterFailure::RetryAt(instant) = after_failure(&history, &failure, at(1000), jitter) else {
            return Err(TestCaseError::fail("gave up"));
        };
        prop_assert!(instant >= at(1001) && instant <= at(1000 + 3600));
    }

    #[test]
    fn no_answer_ends_a_session_unless_it_is_a_readable_4xx(status in any::<u16>(), readable in any::<bool>(), code in "[A-Z0-9]{0,7}") {
        let failure = RefreshFailure::of_answer(&answer(status, readable, &code));
        let over = matches!(failure, Some(RefreshFailure::Over { .. }));
        prop_assert!(!over || (readable && (400..500).contains(&status) && ![404, 407, 408, 429].contains(&status)));
        prop_assert_eq!(failure.is_none(), readable && (200..300).contains(&status));
    }
}
