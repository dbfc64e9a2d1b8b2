//! Which records are wanted.

use agentauth_audit::export::agents;
use agentauth_audit::{Event, Kind, Verdict};
use agentauth_core::Timestamp;
use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use super::moment::{self, Moment};

/// Which records are wanted, by what they say.
#[derive(Debug, Default, Args)]
pub(super) struct Filter {
    /// Only what concerns this agent.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Only what was decided so.
    #[arg(long, value_name = "DECISION")]
    decision: Option<Decided>,
    /// Only events of this kind, such as `grant.added`, or of a group of them, such as `grant`. May be repeated.
    #[arg(long, value_name = "KIND", value_parser = kinds(), hide_possible_values = true)]
    event: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Decided {
    /// The answer was yes.
    Allow,
    /// The answer was no.
    Deny,
}

/// Which records are wanted, by when they were written.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct Period {
    /// Only what came after: a time, a date, or how long ago, such as `7d` or `12h`.
    #[arg(long, value_name = "WHEN", value_parser = moment::since)]
    since: Option<Moment>,
    /// Only what came before.
    #[arg(long, value_name = "WHEN", value_parser = moment::until)]
    until: Option<Moment>,
}

impl Filter {
    pub(super) fn wants(&self, event: &Event<'_>) -> bool {
        let decided = match self.decision {
            Some(Decided::Allow) => event.decision == Some(Verdict::Allow),
            // Denials that were counted are denials.
            Some(Decided::Deny) => {
                event.decision == Some(Verdict::Deny) || event.kind == Kind::DecisionsFolded
            }
            None => true,
        };
        let name = event.kind.as_str();
        decided
            && (self.event.is_empty()
                || self.event.iter().any(|wanted| wanted == name || wanted == group(name)))
            && self.agent.as_deref().is_none_or(|agent| agents(event).contains(&agent))
    }
}

impl Period {
    /// The period as moments.
    pub(in crate::cli) fn resolve(&self, now: Timestamp) -> Bounds {
        Bounds {
            since: self.since.map(|moment| moment.resolve(now)),
            until: self.until.map(|moment| moment.resolve(now)),
        }
    }
}

/// A period.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cli) struct Bounds {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Bounds {
    pub(in crate::cli) fn holds(&self, event: &Event<'_>) -> bool {
        self.since.is_none_or(|since| event.time >= since)
            && self.until.is_none_or(|until| event.time <= until)
    }
}

/// What stands before the dot.
fn group(name: &str) -> &str {
    name.split_once('.').map_or(name, |(group, _)| group)
}

fn kinds() -> PossibleValuesParser {
    let mut names: Vec<&'static str> = Vec::new();
    for kind in Kind::ALL {
        let name = kind.as_str();
        for name in [group(name), name] {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    PossibleValuesParser::new(names)
}

#[cfg(test)]
mod tests {
    use agentauth_audit::Actor;

    use super::*;

    #[test]
    fn a_filter_takes_what_meets_all_of_it() {
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().unwrap();
        let mut denied = Event::new(Kind::Decision, now);
        denied.decision = Some(Verdict::Deny);
        denied.actor = Some(Actor { agents: vec!["inner".into(), "outer".into()], ..Actor::default() });
        let folded = Event::new(Kind::DecisionsFolded, now);
        let granted = Event::new(Kind::GrantAdded, now);
        let filter = |agent: Option<&str>, decision, event: &[&str]| Filter {
            agent: agent.map(str::to_owned),
            decision,
            event: event.iter().map(|&name| name.to_owned()).collect(),
        };
        assert!(filter(None, None, &[]).wants(&denied));
        assert!(filter(Some("outer"), Some(Decided::Deny), &["decision"]).wants(&denied));
        assert!(!filter(Some("out"), None, &[]).wants(&denied));
        assert!(!filter(None, Some(Decided::Allow), &[]).wants(&denied));
        assert!(filter(None, Some(Decided::Deny), &["decision"]).wants(&folded));
        assert!(filter(None, None, &["login", "grant"]).wants(&granted));
        assert!(!filter(None, None, &["grant.revoked"]).wants(&granted));
        let bounds = Bounds { since: Some(now), until: Some(now) };
        assert!(bounds.holds(&granted));
        let later = Event::new(Kind::GrantAdded, "2026-03-10T12:00:01Z".parse().unwrap());
        assert!(!bounds.holds(&later) && Bounds::default().holds(&later));
    }
}
