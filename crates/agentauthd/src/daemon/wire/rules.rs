//! The person's own rules, on the socket and in the rules.

use agentauth_api as api;
use agentauth_core::own_rules::{Part, RuleChange};
use agentauth_core::policy::PolicyFault;

use crate::daemon::logins::Started;
use crate::daemon::rights::RefusedPolicies;

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

/// Policies that were refused.
pub(super) fn refused_policies(refused: RefusedPolicies) -> api::PoliciesRefused {
    let fault = |fault: &PolicyFault| api::PolicyFault {
        file: fault.file.clone(),
        policy: fault.policy.clone(),
        line: fault.place.as_ref().map(|place| place.line),
        column: fault.place.as_ref().map(|place| place.column),
        what: fault.what.clone(),
        excerpt: fault.excerpt(),
    };
    api::PoliciesRefused { at: refused.at, faults: refused.faults.iter().map(fault).collect() }
}

/// The same among the problems.
pub(super) fn refusal_told(refused: &RefusedPolicies) -> Option<String> {
    let first = refused.faults.first()?;
    let more = match refused.faults.len() {
        1 => String::new(),
        count => format!(", and {} faults more", count - 1),
    };
    Some(format!("the changed policies are refused, and those of before stay in force: {first}{more}"))
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
