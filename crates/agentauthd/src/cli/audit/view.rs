//! Records as lines for people.

use agentauth_audit::export::agents;
use agentauth_audit::{Event, Kind, Verdict};
use agentauth_core::Timestamp;
use agentauth_core::text::{display_safe, display_safe_within};

use super::super::output::{BAD, FAINT, GOOD, STRONG, WARN};

/// How many scopes a line names.
const SCOPES: usize = 4;

/// One record on one line: time, event, answer, agent, scope, reason, id.
pub(super) fn line(event: &Event<'_>) -> String {
    let mut line = format!("{FAINT}{}{FAINT:#}  {:<17}", time(event.time), event.kind.as_str());
    let mut put = |part: String| {
        if !part.is_empty() {
            line.push(' ');
            line.push_str(&part);
        }
    };
    put(answer(event));
    put(names(event));
    put(scopes(event));
    if let Some(reason) = &event.reason {
        put(display_safe(reason.as_str()));
    }
    put(told(event));
    if event.dry_run {
        put(format!("{FAINT}(a trial){FAINT:#}"));
    }
    if let Some(id) = &event.id {
        put(format!("{FAINT}{}{FAINT:#}", display_safe(id.as_str())));
    }
    line
}

/// UTC, to the millisecond, as in the record.
pub(super) fn time(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// The answer, in its colour.
pub(super) fn answer(event: &Event<'_>) -> String {
    match event.decision {
        Some(Verdict::Allow) => format!("{GOOD}allow{GOOD:#}"),
        Some(Verdict::Deny) => format!("{BAD}deny{BAD:#}"),
        None => String::new(),
    }
}

fn names(event: &Event<'_>) -> String {
    let names: Vec<_> = agents(event).into_iter().map(display_safe).collect();
    if names.is_empty() { String::new() } else { format!("{STRONG}{}{STRONG:#}", names.join(" < ")) }
}

/// The scopes, escaped, as many as fit.
pub(super) fn scopes(event: &Event<'_>) -> String {
    let mut shown: Vec<_> =
        event.scopes.iter().take(SCOPES).map(|scope| display_safe(scope.as_str())).collect();
    if event.scopes.len() > SCOPES {
        shown.push(format!("and {} more", event.scopes.len() - SCOPES));
    }
    shown.join(", ")
}

fn told(event: &Event<'_>) -> String {
    let detail = |name: &str| event.details.get(name);
    let text = |name: &str| detail(name).and_then(|value| value.as_str()).map(display_safe);
    let special = match event.kind {
        Kind::Outcome => text("outcome"),
        Kind::DecisionsFolded => detail("count").map(|count| format!("{WARN}{count} times{WARN:#}")),
        _ => None,
    };
    let message = event.message.as_ref().map(|message| display_safe_within(message.as_str(), 300));
    [special, message].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use agentauth_audit::Actor;

    use super::*;

    #[test]
    fn a_line_is_one_line_whatever_an_agent_is_called() {
        let mut event = Event::new(Kind::Decision, "2026-03-10T12:00:00.123456Z".parse().unwrap());
        event.decision = Some(Verdict::Deny);
        event.reason = Some("consent_required".into());
        event.id = Some("d1".into());
        event.actor = Some(Actor { agents: vec!["evil\u{1b}[2J\n\u{202e}".into()], ..Actor::default() });
        event.scopes = ["a.read", "b.read", "c.read", "d.read", "e.read"].map(Into::into).to_vec();
        let plain = anstream::adapter::strip_str(&line(&event)).to_string();
        assert_eq!(
            plain,
            "2026-03-10T12:00:00.123Z  decision          deny evil\\u{1b}[2J\\u{a}\\u{202e} a.read, b.read, c.read, d.read, \
             and 1 more consent_required d1"
        );
    }
}
