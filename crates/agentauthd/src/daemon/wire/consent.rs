//! Questions and answers, between the words on the socket and the rules.

use std::sync::Arc;

use agentauth_api as api;
use agentauth_core::SignedDuration;
use agentauth_core::catalogue::Strength;
use agentauth_core::consent::{Answer, AskedScope, Choice, Question};
use agentauth_core::decide::MAX_SCOPES_PER_REQUEST;
use agentauth_core::scope::Scope;

use super::{account, login_started};
use crate::daemon::consents::{Done, LONGEST_REFUSAL};
use crate::daemon::logins::Started;
use crate::daemon::server::Refusal;

/// What a person answered, and how it is to be confirmed.
pub(crate) struct Answering {
    pub(crate) answer: Answer,
    /// For how long everything is refused to the agent.
    pub(crate) everything_for: Option<SignedDuration>,
    /// Whether a fresh login is to confirm it.
    pub(crate) reauth: bool,
}

/// The answer in a request.
///
/// # Errors
/// A problem: a scope or a lifetime that is none, or too many of them.
pub(crate) fn consent_answer(request: api::ConsentAnswer) -> Result<Answering, Refusal> {
    let invalid = |detail: String| Refusal::new(api::ErrorCode::RequestInvalid, detail);
    let api::ConsentAnswer { allow, deny_everything_for_seconds, reauth } = request;
    if allow.len() > MAX_SCOPES_PER_REQUEST {
        return Err(invalid(format!(
            "more than {MAX_SCOPES_PER_REQUEST} scopes in one answer: no question has more"
        )));
    }
    let mut allowed = Vec::with_capacity(allow.len());
    for api::ConsentAllowed { scope, lifetime } in allow {
        let scope: Scope = scope.parse().map_err(|fault: agentauth_core::ScopeFault| {
            Refusal::new(api::ErrorCode::ScopeInvalid, fault.to_string())
        })?;
        let choice: Choice =
            lifetime.parse().map_err(|fault| invalid(format!("`for` of `{scope}`: {fault}")))?;
        allowed.push((scope, choice));
    }
    let everything_for = deny_everything_for_seconds.map(|seconds| SignedDuration::from_secs(seconds.into()));
    if everything_for.is_some_and(|span| span > LONGEST_REFUSAL || span.is_zero()) {
        let most = LONGEST_REFUSAL.as_secs();
        return Err(invalid(format!("`deny_everything_for_seconds` must be from 1 to {most}")));
    }
    Ok(Answering { answer: Answer { allowed }, everything_for, reauth })
}

/// The questions that wait.
pub(crate) fn consent_list(revision: u64, questions: &[Arc<Question>]) -> api::ConsentList {
    api::ConsentList { revision, consents: questions.iter().map(|question| consent(question)).collect() }
}

/// What an answer did.
pub(crate) fn consent_answered(done: Done) -> api::ConsentAnswered {
    let given = done.given.into_iter().map(|(given, id)| api::ConsentGiven {
        grant: id.to_string(),
        scope: given.scope.to_string(),
        lifetime: given.choice.as_str().to_owned(),
        until: match given.lifetime {
            agentauth_core::Lifetime::Until(end) => Some(end),
            agentauth_core::Lifetime::UntilRevoked | agentauth_core::Lifetime::Session => None,
        },
    });
    api::ConsentAnswered {
        given: given.collect(),
        refused: done.refused,
        denied_until: done.denied_until,
        login: None,
    }
}

/// An answer that a login has to confirm.
pub(crate) fn consent_confirming(login: Started) -> api::ConsentAnswered {
    api::ConsentAnswered { login: Some(login_started(login)), ..api::ConsentAnswered::default() }
}

pub(super) fn consent(question: &Question) -> api::Consent {
    let program = &question.program;
    api::Consent {
        id: question.id.to_string(),
        text: question.lines(),
        agent: question.agent.to_string(),
        version: question.version.clone(),
        publisher: question.publisher.clone(),
        manifest_digest: question.manifest_digest.clone(),
        user: account(&question.user),
        program: api::ConsentProgram {
            pid: program.pid,
            executable: program.executable.clone(),
            script: program.script.clone(),
            assurance: program.assurance.as_str().to_owned(),
            started_by: program.started_by.clone(),
            tampered: program.tampered.clone(),
        },
        purpose: question.purpose.clone(),
        action: question.action.as_ref().map(|action| api::ConsentAction {
            digest: action.digest().to_owned(),
            members: action.members().to_vec(),
        }),
        scopes: question.scopes.iter().map(scope).collect(),
        asked_at: question.asked_at,
        expires_at: question.expires_at,
    }
}

fn scope(asked: &AskedScope) -> api::ConsentScope {
    api::ConsentScope {
        scope: asked.scope.to_string(),
        says: asked.sentence(),
        risk: asked.risk.as_str().to_owned(),
        purpose: asked.purpose.clone(),
        news: asked.news.sentence(),
        at_least: asked.at_least.map(|least| strength(least).to_owned()),
        suggested: asked.suggested.as_str().to_owned(),
        offers: asked
            .offers
            .iter()
            .map(|offer| api::ConsentOffer {
                lifetime: offer.choice.as_str().to_owned(),
                needs: strength(offer.needs).to_owned(),
            })
            .collect(),
    }
}

fn strength(strength: Strength) -> &'static str {
    match strength {
        Strength::Prompt => "prompt",
        Strength::Passkey => "passkey",
        Strength::Reauth => "reauth",
    }
}
