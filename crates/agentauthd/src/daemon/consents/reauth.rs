//! Answers that a fresh login or a passkey confirms. The answer is fixed before it is asked for: its canonical form is
//! what is signed.

use std::sync::Arc;

use agentauth_core::consent::Answer;
use agentauth_core::recognise::Grade;
use agentauth_core::widening::{Confirmed, Widening};
use agentauth_core::{Strength, caller::CallerFacts};

use super::{AnswerError, Consents, Way, Word};
use crate::daemon::logins::{ConfirmError, Logins, NotDone, Started};
use agentauth_idp::Chain;

/// Why a login that confirms an answer could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReauthError {
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error(transparent)]
    Confirm(#[from] ConfirmError),
}

impl Consents {
    /// Starts the login by which the person confirms an answer, which is then carried out.
    pub(crate) async fn confirm(
        self: &Arc<Self>,
        logins: &Logins,
        id: &str,
        answer: Answer,
        way: Way,
        by: Option<Arc<CallerFacts>>,
    ) -> Result<Started, ReauthError> {
        // What does not fit the question is said before the person signs in for it.
        let question = self.standing(id)?;
        answer.to(&question, Strength::Reauth, &self.terms()).map_err(AnswerError::from)?;
        let needs = answer.needs(&question, &self.terms()).map_err(AnswerError::from)?;
        let operation = {
            let (question, answer) = (question.clone(), answer.clone());
            move |account| Widening::Approve {
                account,
                question: question.id.to_string(),
                agent: question.agent.to_string(),
                manifest_digest: question.manifest_digest.clone(),
                subject: question.user.subject.clone(),
                scopes: answer.allowed,
                action: question.action.as_ref().map(|action| action.digest().to_owned()),
                needs: needs.unwrap_or(Strength::Passkey),
            }
        };
        let consents = self.clone();
        let carry_out = Box::new(move |confirmed: Confirmed| {
            let strength = confirmed.strength();
            let word = Word { strength, way, grade: Grade::None, by, confirmed: Some(confirmed) };
            let carrying = async move {
                let done = consents.answer(&question.id, &answer, None, &word).await;
                done.map(drop).map_err(|error| not_done(&error))
            };
            Box::pin(carrying) as _
        });
        let done = "You can close this page. The agent may do now what you allowed.";
        Ok(match way {
            Way::Page => logins.start_confirmation_here(operation, done, carry_out).await?,
            Way::Terminal => logins.start_confirmation(operation, done, carry_out).await?,
        })
    }
}

fn not_done(error: &AnswerError) -> NotDone {
    let code = match error {
        AnswerError::Gone => "consent_over",
        AnswerError::Paused => "locked",
        AnswerError::NoLogin => "not_logged_in",
        AnswerError::Fault(_) => "consent_unfit",
        AnswerError::Evidence(_) => "state",
        AnswerError::Rights(_) => "audit_unavailable",
    };
    NotDone { code, message: Chain(error).to_string() }
}
