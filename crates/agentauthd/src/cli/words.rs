//! Times and names as people read them.

use agentauth_client::Account;
use agentauth_core::text::display_safe;
use agentauth_core::{SignedDuration, Timestamp};

/// A length of time in one unit, to the nearest: `45 s`, `7 min`, `3 h`, `2 days`.
pub(super) fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().unsigned_abs();
    let rounded = |unit: u64| (seconds + unit / 2) / unit;
    // A unit begins where the one before would need three digits, or two days of hours.
    match seconds {
        0..100 => format!("{seconds} s"),
        100..5_970 => format!("{} min", rounded(60)),
        5_970..171_000 => format!("{} h", rounded(3_600)),
        _ => format!("{} days", rounded(86_400)),
    }
}

/// `in 7 min`, `7 min ago` or `now`.
pub(super) fn relative(now: Timestamp, then: Timestamp) -> String {
    let distance = then.duration_since(now);
    match distance.as_secs() {
        0 => "now".to_owned(),
        1.. => format!("in {}", span(distance)),
        _ => format!("{} ago", span(distance)),
    }
}

/// How long ago, without `ago`.
pub(super) fn age(now: Timestamp, then: Timestamp) -> String {
    span(now.duration_since(then).max(SignedDuration::ZERO))
}

/// A user by what people call them: `Ada Lovelace <ada@example.com>`, or as much of it as is known.
pub(super) fn account(user: &Account) -> String {
    match (user.name.as_deref(), user.email.as_deref()) {
        (Some(name), Some(email)) => format!("{} <{}>", display_safe(name), display_safe(email)),
        (Some(one), None) | (None, Some(one)) => display_safe(one),
        (None, None) => display_safe(&user.subject),
    }
}

/// `1 key`, `2 keys`.
pub(super) fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// Escaped items joined by commas.
pub(super) fn joined(items: &[impl AsRef<str>]) -> String {
    items.iter().map(|item| display_safe(item.as_ref())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_relative_and_rounded_to_one_unit() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        for (then, expected) in [
            ("2026-03-01T12:00:00Z", "now"),
            ("2026-03-01T12:00:59Z", "in 59 s"),
            ("2026-03-01T12:01:39Z", "in 99 s"),
            ("2026-03-01T12:01:40Z", "in 2 min"),
            ("2026-03-01T12:09:58Z", "in 10 min"),
            ("2026-03-01T11:58:20Z", "2 min ago"),
            ("2026-03-01T13:39:29Z", "in 99 min"),
            ("2026-03-01T13:39:31Z", "in 2 h"),
            ("2026-03-02T11:59:00Z", "in 24 h"),
            ("2026-03-03T11:20:00Z", "in 47 h"),
            ("2026-03-03T11:59:00Z", "in 2 days"),
            ("2026-03-29T11:59:59Z", "in 28 days"),
            ("2026-02-22T12:00:00Z", "7 days ago"),
        ] {
            assert_eq!(relative(now, then.parse().unwrap()), expected, "{then}");
        }
        assert_eq!(
            age(now, "2026-03-01T13:00:00Z".parse().unwrap()),
            "0 s",
            "a clock set back is no surprise"
        );
    }

    #[test]
    fn a_hostile_name_cannot_drive_the_terminal() {
        let user =
            Account { subject: "U1".to_owned(), name: Some("Ada\u{1b}[2J\u{202e}".to_owned()), email: None };
        assert_eq!(account(&user), "Ada\\u{1b}[2J\\u{202e}");
    }
}
