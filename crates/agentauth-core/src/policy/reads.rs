//! What a policy reads, so that a verdict is remembered only where everything it depends on is part of its key.

use serde_json::Value;

/// The members of `context.known` that a remembered verdict's key contains.
const KEYED: [&str; 14] = [
    "logged_in_at",
    "acr",
    "amr",
    "person_seen_at",
    "device",
    "daemon_version",
    "proof",
    "assurance",
    "assurance_level",
    "greeted",
    "tampered",
    "caveats",
    "risk",
    "high_risk",
];

/// What a policy reads beyond the key of a remembered verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reads {
    /// The time of the question, or how long ago something was.
    pub(super) time: bool,
    /// The grant: its kind, or how it was confirmed. Part of the key where it is read, but comes and goes by itself.
    pub(super) grant: bool,
    /// How the grant was confirmed; then [`Reads::grant`], too.
    pub(super) strength: bool,
    /// What the caller claims.
    pub(super) claimed: bool,
    /// The signals that are up. They are part of the key, but come and go by themselves.
    pub(super) signals: bool,
}

impl Reads {
    /// Everything there is: what must be assumed of a policy that cannot be looked into.
    pub(super) const EVERYTHING: Self =
        Self { time: true, grant: true, strength: true, claimed: true, signals: true };
    /// Nothing beyond the key.
    const NOTHING: Self = Self { time: false, grant: false, strength: false, claimed: false, signals: false };
    const TIME: Self = Self { time: true, ..Self::NOTHING };
    const GRANT: Self = Self { grant: true, ..Self::NOTHING };
    const STRENGTH: Self = Self { strength: true, ..Self::GRANT };
    const CLAIMED: Self = Self { claimed: true, ..Self::NOTHING };
    const SIGNALS: Self = Self { signals: true, ..Self::NOTHING };

    /// What the policy reads whose JSON form (Cedar's own) is `policy`.
    pub(super) fn of(policy: &Value) -> Self {
        policy.get("conditions").map_or(Self::EVERYTHING, Self::of_expression)
    }

    /// Whether nothing is read beyond the key.
    pub(super) fn can_be_remembered(self) -> bool {
        !self.time && !self.claimed
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            time: self.time || other.time,
            grant: self.grant || other.grant,
            strength: self.strength || other.strength,
            claimed: self.claimed || other.claimed,
            signals: self.signals || other.signals,
        }
    }

    /// Walks an expression. Any use of `context` that is not plainly `context.known.x`, `context.signals` or
    /// `context.claimed…` counts
    /// as reading everything.
    fn of_expression(expression: &Value) -> Self {
        match expression {
            Value::Object(node) => {
                if node.get("Var").and_then(Value::as_str) == Some("context") {
                    return Self::EVERYTHING;
                }
                for operator in [".", "has"] {
                    if let Some(access) = node.get(operator)
                        && let (Some(left), Some(member)) =
                            (access.get("left"), access.get("attr").and_then(Value::as_str))
                    {
                        return match context_member(left) {
                            Some("known") if KEYED.contains(&member) => Self::NOTHING,
                            Some("known") if member == "grant" => Self::GRANT,
                            Some("known") if matches!(member, "grant_strength" | "grant_strength_level") => {
                                Self::STRENGTH
                            }
                            Some("known") => Self::TIME,
                            Some("claimed") => Self::CLAIMED,
                            Some(_) => Self::EVERYTHING,
                            // `context has known` reads nothing that varies.
                            None if operator == "has" && is_context(left) => Self::NOTHING,
                            None if is_context(left) => match member {
                                "claimed" => Self::CLAIMED,
                                "signals" => Self::SIGNALS,
                                _ => Self::EVERYTHING,
                            },
                            None => Self::of_expression(left),
                        };
                    }
                }
                node.values().map(Self::of_expression).fold(Self::default(), Self::and)
            }
            Value::Array(parts) => parts.iter().map(Self::of_expression).fold(Self::default(), Self::and),
            _ => Self::default(),
        }
    }
}

/// `x`, where the expression is `context.x`.
fn context_member(expression: &Value) -> Option<&str> {
    let access = expression.get(".")?;
    if is_context(access.get("left")?) { access.get("attr")?.as_str() } else { None }
}

fn is_context(expression: &Value) -> bool {
    expression.get("Var").and_then(Value::as_str) == Some("context")
}

#[cfg(test)]
mod tests {
    use cedar_policy::Policy;

    use super::*;

    fn reads(condition: &str) -> (bool, bool) {
        let policy =
            Policy::parse(None, format!("permit(principal, action, resource) when {{ {condition} }};"))
                .unwrap();
        let reads = Reads::of(&policy.to_json().unwrap());
        (reads.time, reads.claimed)
    }

    #[test]
    fn what_the_key_contains_is_not_counted() {
        assert_eq!(reads("true"), (false, false));
        assert_eq!(
            reads(r#"principal.user.stepped_up && resource.hasTag("now") && resource.getTag("now") == "x""#),
            (false, false)
        );
        assert_eq!(
            reads(r#"context.known.assurance == "pinned" || context.known.high_risk"#),
            (false, false)
        );
        assert_eq!(reads("context has known && context.known has risk"), (false, false));
        assert_eq!(reads(r#"context.known.assurance like "p*""#), (false, false));
    }

    #[test]
    fn time_and_claims_are_found_wherever_they_stand() {
        assert_eq!(reads(r#"context.known.now < datetime("2027-01-01")"#), (true, false));
        assert_eq!(
            reads(r#"if principal.name == "x" then context.known.now.toTime() == duration("1h") else true"#),
            (true, false)
        );
        assert_eq!(reads(r#"context.claimed has purpose && context.claimed.purpose == "x""#), (false, true));
        assert_eq!(reads(r#"[context.claimed].contains({"purpose": "x"})"#), (false, true));
    }

    #[test]
    fn the_grant_is_in_the_key_where_it_is_read() {
        let policy = |condition: &str| {
            let text = format!("permit(principal, action, resource) when {{ {condition} }};");
            Reads::of(&Policy::parse(None, text).unwrap().to_json().unwrap())
        };
        let reads = policy(r#"context.known.grant == "once" && context.known.device.managed"#);
        assert!(reads.grant && !reads.strength && !reads.time && reads.can_be_remembered());
        for strength in
            [r#"context.known.grant_strength == "passkey""#, "context.known.grant_strength_level < 2"]
        {
            let reads = policy(strength);
            assert!(reads.grant && reads.strength && !reads.time && reads.can_be_remembered(), "{strength}");
        }
        for aged in [
            "context.known.auth_age < 300",
            "context.known.session_confirmed_age < 60",
            "context.known.local_minute < 480",
            "context.known.local_weekday > 5",
        ] {
            assert!(policy(aged).time && !policy(aged).can_be_remembered(), "{aged}");
        }
        assert!(policy("context.known == context.known").grant);
    }

    #[test]
    fn signals_are_in_the_key_and_come_and_go() {
        for condition in [r#"context.signals.contains("volume")"#, "context.signals.isEmpty()"] {
            assert_eq!(reads(condition), (false, false), "{condition}");
            let policy = format!("permit(principal, action, resource) when {{ {condition} }};");
            let reads = Reads::of(&Policy::parse(None, policy).unwrap().to_json().unwrap());
            assert!(reads.signals && reads.can_be_remembered(), "{condition}");
        }
    }

    #[test]
    fn what_cannot_be_told_counts_as_everything() {
        assert_eq!(reads("context == context"), (true, true));
        assert_eq!(reads("context.known == context.known"), (true, true));
        assert_eq!(reads(r#"(if true then context else context).known.risk == "read""#), (true, true));
        assert_eq!(reads(r#"{"x": context}.x.known.now == datetime("2027-01-01")"#), (true, true));
        assert_eq!(reads("context.other.x"), (true, true));
        assert_eq!(reads("context has known.now"), (true, true));
    }
}
