//! `GET /v1/consents` and `POST /v1/consents/{id}`: the questions that wait, and the answers.

use std::sync::Arc;
use std::time::Duration;

use agentauth_api::ErrorCode;
use agentauth_core::Strength;
use agentauth_core::gate::{Operation, Widening};
use agentauth_core::recognise::Grade;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use super::body;
use super::connection::{Caller, Connection};
use super::login::not_configured;
use super::refusal::Refusal;
use crate::daemon::app::App;
use crate::daemon::consents::{AnswerError, ReauthError, Way, Word};
use crate::daemon::logins::ConfirmError;
use crate::daemon::wire;
use agentauth_idp::Chain;

/// The longest wait of one request.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// How to follow the list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Follow {
    /// Milliseconds to wait for a change.
    #[serde(default)]
    wait_ms: u64,
    /// The revision that the one who follows knows of.
    #[serde(default)]
    seen: Option<u64>,
}

/// The questions that wait; for an agent its own. Waits for a change as long as asked.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: http::HeaderMap,
    Query(follow): Query<Follow>,
) -> Result<Json<impl Serialize>, Refusal> {
    let (caller, own) = connection.reach(&app, &headers, Operation::ListConsents).await?;
    if let Some(seen) = follow.seen {
        let wait = Duration::from_millis(follow.wait_ms).min(MAX_WAIT);
        let mut changes = app.consents.watch();
        tokio::select! {
            biased;
            () = app.stop.cancelled() => {}
            // Whatever came of waiting, what is so now is the answer.
            _ = tokio::time::timeout(wait, changes.wait_for(|revision| *revision != seen)) => {}
        }
        connection.reprove(&caller).map_err(|why| Refusal::new(ErrorCode::CallerUnproven, why))?;
    }
    let (revision, questions) = app.consents.list();
    let mine = |agent: &str| own.as_ref().is_none_or(|own| own.iter().any(|name| **name == *agent));
    let shown: Vec<_> = questions.into_iter().filter(|question| mine(&question.agent)).collect();
    Ok(Json(wire::consent_list(revision, &shown)))
}

/// The person's answer, or an agent's no to its own question.
pub(super) async fn answer(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: http::HeaderMap,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<impl Serialize>, Refusal> {
    let wire::Answering { answer, everything_for, reauth } = wire::consent_answer(body::json(body).await?)?;
    if answer.allowed.is_empty() {
        let (caller, own) = connection.reach(&app, &headers, Operation::Deny).await?;
        if let Some(agents) = own {
            let question = app.consents.get(&id).filter(|question| agents.contains(&question.agent));
            question.ok_or_else(|| refused(&AnswerError::Gone))?;
        }
        let word = word(&app, &connection, &caller, Strength::Prompt);
        return carry_out(&app, id, answer, everything_for, word).await;
    }
    if everything_for.is_some() {
        let detail = "`deny_everything_for_seconds` goes with a no: leave `allow` out";
        return Err(Refusal::new(ErrorCode::RequestInvalid, detail));
    }
    if !reauth {
        let needs = app.consents.needs(&id, &answer).map_err(|error| refused(&error))?;
        let widening = if needs > Some(Strength::Prompt) { Widening::Standing } else { Widening::Expiring };
        let caller = connection.may(&app, &headers, Operation::Approve(widening)).await?;
        let word = word(&app, &connection, &caller, Strength::Prompt);
        return carry_out(&app, id, answer, None, word).await;
    }
    // The evidence is to come; who may bring it is whoever may log in.
    let caller = connection.may(&app, &headers, Operation::Login).await?;
    let provider = app.provider.as_ref().ok_or_else(not_configured)?;
    let by = Some(caller.facts.clone());
    let started = app.consents.confirm(&provider.logins, &id, answer, Way::Terminal, by).await;
    match started {
        Ok(started) => Ok(Json(wire::consent_confirming(started))),
        Err(ReauthError::Answer(error)) => Err(refused(&error)),
        Err(ReauthError::Confirm(error)) => {
            tracing::warn!(error = %Chain(&error), "a login that confirms an answer could not be started");
            let code = match error {
                ConfirmError::NoOwner => ErrorCode::Forbidden,
                _ => ErrorCode::LoginUnavailable,
            };
            Err(Refusal::new(code, Chain(&error).to_string()))
        }
    }
}

fn word(app: &App, connection: &Connection, caller: &Caller, strength: Strength) -> Word {
    let grade = if strength >= Strength::Prompt { connection.grade(app, caller).0 } else { Grade::None };
    Word { strength, way: Way::Terminal, grade, by: Some(caller.facts.clone()), confirmed: None }
}

/// In a task of its own: an answer that was taken is carried out even when the one who gave it has gone away.
async fn carry_out(
    app: &Arc<App>,
    id: String,
    answer: agentauth_core::consent::Answer,
    everything_for: Option<agentauth_core::SignedDuration>,
    word: Word,
) -> Result<Json<agentauth_api::ConsentAnswered>, Refusal> {
    let consents = app.consents.clone();
    let carrying = tokio::spawn(async move { consents.answer(&id, &answer, everything_for, &word).await });
    let done =
        carrying.await.map_err(|_| Refusal::new(ErrorCode::Internal, "the answer broke down: ask again"))?;
    done.map(|done| Json(wire::consent_answered(done))).map_err(|error| refused(&error))
}

fn refused(error: &AnswerError) -> Refusal {
    let code = match error {
        AnswerError::Gone => ErrorCode::NotFound,
        AnswerError::Paused => ErrorCode::Locked,
        AnswerError::NoLogin => ErrorCode::Forbidden,
        AnswerError::Fault(agentauth_core::consent::AnswerFault::TooWeak { .. }) => ErrorCode::Forbidden,
        AnswerError::Fault(_) => ErrorCode::RequestInvalid,
        AnswerError::Evidence(_) => ErrorCode::Internal,
        AnswerError::Rights(_) => ErrorCode::AuditUnavailable,
    };
    Refusal::new(code, Chain(error).to_string())
}
