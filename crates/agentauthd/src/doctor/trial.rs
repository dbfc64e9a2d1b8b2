//! One action that is allowed and one that is denied for a missing role: dry runs through the daemon, over what the
//! registered agents' manifests ask for.

use std::time::Duration;

use agentauth_api::{CheckRequest, CheckResponse, ErrorCode, Verdict};
use agentauth_client::{Client, ClientError};

use super::finding::{Code, Finding};
use crate::daemon::RulesReport;

/// The reason by which a missing role shows.
const ROLE_REQUIRED: &str = "role_required";
/// At most so many dry runs; each is recorded.
const MOST: usize = 24;
/// How long they may take together.
const LIMIT: Duration = Duration::from_secs(5);

/// What to try.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// A scope that should be allowed.
    pub allow: Option<String>,
    /// A scope that should be denied for a missing role.
    pub deny: Option<String>,
    /// The agent to try as; any if absent.
    pub agent: Option<String>,
}

/// A dry run's outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tried {
    pub(super) agent: String,
    pub(super) scope: String,
    pub(super) outcome: Outcome,
}

/// What the daemon said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Allowed.
    Allowed,
    /// Denied, with reason and message.
    Denied(String, String),
    /// This caller may not try decisions.
    NotPermitted(String),
    /// No answer, or the scope is none.
    Failed(String),
}

impl Tried {
    fn words(&self) -> String {
        format!("`{}` for `{}`", self.scope, self.agent)
    }
}

/// What the dry runs show.
pub(super) fn judge(wishes: &Wishes, tried: &[Tried]) -> Vec<Finding> {
    let refusal = tried.iter().find_map(|tried| match &tried.outcome {
        Outcome::NotPermitted(why) => Some(why),
        _ => None,
    });
    if let Some(why) = refusal {
        return vec![Finding::note(
            Code::TrialNotPermitted,
            format!("no decision was tried: {why}"),
            "run `agentauthd doctor` in a terminal of your own (not one inside an editor or multiplexer)",
        )];
    }
    let mut found: Vec<_> = [(&wishes.allow, true), (&wishes.deny, false)]
        .into_iter()
        .filter_map(|(wish, allow)| wish.as_ref().map(|wish| judge_wish(wish, allow, tried)))
        .collect();
    let allowed = tried.iter().find(|tried| tried.outcome == Outcome::Allowed);
    let denied = tried
        .iter()
        .find(|tried| matches!(&tried.outcome, Outcome::Denied(reason, _) if reason == ROLE_REQUIRED));
    if wishes.allow.is_none() {
        found.push(match allowed {
            Some(tried) => Finding::ok(Code::TrialAllowed, format!("allowed: {}", tried.words())),
            None => Finding::note(
                Code::TrialNothingAllowed,
                format!("none of {} dry runs was allowed{}", tried.len(), first_reason(tried)),
                "give an agent a grant for something that your roles permit, or name one: `agentauthd doctor --allow SCOPE --as AGENT`",
            ),
        });
    }
    if wishes.deny.is_none() {
        found.push(match denied {
            Some(tried) => {
                Finding::ok(Code::TrialRoleDenied, format!("denied for a missing role: {}", tried.words()))
            }
            None => Finding::note(
                Code::TrialNothingDenied,
                format!("none of {} dry runs was denied for a missing role", tried.len()),
                "log in as a user without the role, or register an agent that asks for something you have no role for, such \
                 as `admin.manage`",
            ),
        });
    }
    found
}

fn judge_wish(wish: &str, allow: bool, tried: &[Tried]) -> Finding {
    let of_wish = |tried: &&Tried| tried.scope == wish;
    let met = |tried: &&Tried| match &tried.outcome {
        Outcome::Allowed => allow,
        Outcome::Denied(reason, _) => !allow && reason == ROLE_REQUIRED,
        _ => false,
    };
    if let Some(tried) = tried.iter().filter(of_wish).find(met) {
        return if allow {
            Finding::ok(Code::TrialAllowed, format!("allowed: {}", tried.words()))
        } else {
            Finding::ok(Code::TrialRoleDenied, format!("denied for a missing role: {}", tried.words()))
        };
    }
    let got = match tried.iter().find(of_wish).map(|tried| &tried.outcome) {
        Some(Outcome::Allowed) => "it is allowed".to_owned(),
        Some(Outcome::Denied(reason, message)) => format!("it is denied with `{reason}`: {message}"),
        Some(Outcome::Failed(why) | Outcome::NotPermitted(why)) => why.clone(),
        None => "no agent is registered to try it as".to_owned(),
    };
    let expected = if allow { "be allowed" } else { "be denied for a missing role" };
    Finding::warning(
        Code::TrialUnexpected,
        format!("`{wish}` should {expected}, and {got}"),
        "compare the user's roles (`agentauthd whoami`) with the policies and the agent's grants",
    )
}

fn first_reason(tried: &[Tried]) -> String {
    let reason = tried.iter().find_map(|tried| match &tried.outcome {
        Outcome::Denied(reason, message) => Some(format!("; the first: `{reason}`, {message}")),
        Outcome::Failed(why) => Some(format!("; the first: {why}")),
        _ => None,
    });
    reason.unwrap_or_default()
}

/// Asks the daemon, until an allow and a deny for a missing role have been seen or nothing is left to ask.
pub(super) async fn examine(client: &mut Client, wishes: &Wishes, rules: &RulesReport) -> Vec<Finding> {
    let mut tried = Vec::new();
    let trying = async {
        for (agent, scope) in questions(wishes, rules) {
            if enough(wishes, &tried) {
                break;
            }
            let outcome = ask(client, &agent, &scope).await;
            let ends = matches!(outcome, Outcome::NotPermitted(_));
            tried.push(Tried { agent, scope, outcome });
            if ends {
                break;
            }
        }
    };
    // What was tried by then counts.
    let _ = tokio::time::timeout(LIMIT, trying).await;
    if tried.is_empty() && wishes.allow.is_none() && wishes.deny.is_none() {
        return Vec::new();
    }
    judge(wishes, &tried)
}

fn questions(wishes: &Wishes, rules: &RulesReport) -> Vec<(String, String)> {
    let of_wish = |agent: &str| wishes.agent.as_deref().is_none_or(|wished| wished == agent);
    let agents: Vec<_> = rules.registered.iter().filter(|agent| of_wish(&agent.name)).collect();
    let mut questions = Vec::new();
    for scope in wishes.allow.iter().chain(&wishes.deny) {
        questions.extend(agents.iter().map(|agent| (agent.name.to_string(), scope.clone())));
    }
    if wishes.allow.is_none() || wishes.deny.is_none() {
        for agent in agents {
            let scopes = agent.manifest.scopes.iter();
            questions.extend(scopes.map(|wanted| (agent.name.to_string(), wanted.scope.to_string())));
        }
    }
    questions.truncate(MOST);
    questions
}

fn enough(wishes: &Wishes, tried: &[Tried]) -> bool {
    wishes.allow.is_none()
        && wishes.deny.is_none()
        && tried.iter().any(|tried| tried.outcome == Outcome::Allowed)
        && tried
            .iter()
            .any(|tried| matches!(&tried.outcome, Outcome::Denied(reason, _) if reason == ROLE_REQUIRED))
}

async fn ask(client: &mut Client, agent: &str, scope: &str) -> Outcome {
    let request = CheckRequest {
        scope: Some(scope.to_owned()),
        dry_run_as: Some(agent.to_owned()),
        ..CheckRequest::default()
    };
    match client.check(&request).await {
        Ok(CheckResponse { decision: Verdict::Allow, .. }) => Outcome::Allowed,
        Ok(CheckResponse { reason, message, .. }) => {
            Outcome::Denied(reason.into_owned(), message.into_owned())
        }
        Err(ClientError::Refused(problem)) if problem.code == ErrorCode::Forbidden => {
            Outcome::NotPermitted(problem.detail)
        }
        Err(error) => Outcome::Failed(agentauth_idp::describe(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    fn tried(scope: &str, outcome: Outcome) -> Tried {
        Tried { agent: "a".to_owned(), scope: scope.to_owned(), outcome }
    }

    fn denied(reason: &str) -> Outcome {
        Outcome::Denied(reason.to_owned(), "m".to_owned())
    }

    fn seen(wishes: &Wishes, tried: &[Tried]) -> Vec<(Code, Severity)> {
        judge(wishes, tried).iter().map(|finding| (finding.id, finding.severity)).collect()
    }

    #[test]
    fn one_of_each_is_enough() {
        let both = [tried("x.read", Outcome::Allowed), tried("admin.manage", denied(ROLE_REQUIRED))];
        assert_eq!(
            seen(&Wishes::default(), &both),
            [(Code::TrialAllowed, Severity::Ok), (Code::TrialRoleDenied, Severity::Ok)]
        );
        assert!(enough(&Wishes::default(), &both) && !enough(&Wishes::default(), &both[..1]));
        assert_eq!(
            seen(&Wishes::default(), &[tried("x.read", denied("consent_required"))]),
            [(Code::TrialNothingAllowed, Severity::Note), (Code::TrialNothingDenied, Severity::Note)]
        );
        assert_eq!(
            seen(&Wishes::default(), &[tried("x.read", Outcome::NotPermitted("no".to_owned()))]),
            [(Code::TrialNotPermitted, Severity::Note)]
        );
    }

    #[test]
    fn a_wish_that_is_not_met_is_told() {
        let wishes =
            Wishes { allow: Some("x.read".to_owned()), deny: Some("x.write".to_owned()), agent: None };
        let met = [tried("x.read", Outcome::Allowed), tried("x.write", denied(ROLE_REQUIRED))];
        assert_eq!(
            seen(&wishes, &met),
            [(Code::TrialAllowed, Severity::Ok), (Code::TrialRoleDenied, Severity::Ok)]
        );
        // Denied is not enough: it must be for the role.
        let unmet = [tried("x.read", denied(ROLE_REQUIRED)), tried("x.write", denied("not_in_manifest"))];
        assert_eq!(seen(&wishes, &unmet), [(Code::TrialUnexpected, Severity::Warning); 2]);
        assert_eq!(seen(&wishes, &[]), [(Code::TrialUnexpected, Severity::Warning); 2]);
    }
}
