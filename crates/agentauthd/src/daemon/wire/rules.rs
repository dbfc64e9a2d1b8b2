//! The person's own rules, on the socket and in the rules.

use agentauth_api as api;
use agentauth_core::own_rules::{Part, RuleChange};

use crate::daemon::logins::Started;

/// The part that a request names.
pub(crate) fn part(request: api::ApplyRequest) -> Part {
    match request.apply {
        api::RulePart::Configuration => Part::Configuration,
        api::RulePart::Policies => Part::Policies,
    }
}

/// What applying comes to.
pub(crate) fn applying(changes: &[RuleChange], login: Option<Started>) -> api::ApplyResponse {
    api::ApplyResponse {
        changes: changes.iter().map(difference).collect(),
        applied: changes.is_empty(),
        restart: changes.iter().any(|change| change.part() == Part::Configuration),
        login: login.map(super::login_started),
    }
}

fn difference(change: &RuleChange) -> api::RuleDifference {
    let (kind, name, from, to) = match change {
        RuleChange::Setting { key, from, to } => ("setting", key.as_str(), from.clone(), to.clone()),
        RuleChange::Catalogue { from, to } => {
            ("catalogue", "scopes.toml", from.clone().map(Into::into), to.clone().map(Into::into))
        }
        RuleChange::Policy { file, from, to } => {
            ("policy", file.as_str(), from.clone().map(Into::into), to.clone().map(Into::into))
        }
    };
    api::RuleDifference { kind: kind.to_owned(), name: name.to_owned(), from, to, says: change.says() }
}
