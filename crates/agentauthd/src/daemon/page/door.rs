//! The page with the questions: what each request gets.

use std::sync::Arc;

use agentauth_core::SignedDuration;
use agentauth_core::catalogue::Strength;
use agentauth_core::consent::{Answer, Choice, Question};
use agentauth_core::gate::{Asker, Operation, Widening, may_with};
use agentauth_core::recognise::Grade;
use agentauth_idp::Chain;
use http::Request;
use hyper::body::Incoming;

use super::guard::{Form, Wanted, judge};
use super::html::{self, Notice};
use super::operation::{self, Ceremony};
use super::serve::Page;
use super::visit::{Guest, Visit};
use crate::daemon::app::App;
use crate::daemon::consents::{AnswerError, ReauthError, Way, Word};
use crate::daemon::logins::{self, ByPasskey, Started};
use crate::daemon::passkeys::Purpose;

/// For how long the button refuses everything.
const EVERYTHING_FOR: SignedDuration = SignedDuration::from_hours(1);

/// Answers one request.
pub(super) async fn respond(app: Arc<App>, visit: Arc<Visit>, request: Request<Incoming>) -> Page {
    let wanted = judge(&visit, request.method(), request.uri().path(), request.headers());
    let answered = match wanted {
        Err(notice) => Err(notice),
        Ok(Wanted::File(page) | Wanted::Enter(page)) => Ok(page),
        Ok(Wanted::Look(guest)) => Ok(questions(&app, &visit, &guest)),
        Ok(Wanted::Send(guest, path)) => match path.split_once('/') {
            Some(("answer", id)) => answer(&app, &visit, &guest, id, request).await,
            // A new passkey is made on a page of its own.
            Some(("passkey", id))
                if app.passkeys.asked(id).is_none_or(|it| it.purpose == Purpose::Confirm) =>
            {
                operation::take(&app.passkeys, &visit, &guest, id, request).await
            }
            _ => Err(Notice::unknown()),
        },
    };
    answered.unwrap_or_else(|notice| notice.page(visit.path()))
}
fn questions(app: &App, visit: &Visit, guest: &Guest) -> Page {
    let now = app.clock.now();
    html::questions(visit.path(), &app.consents.list().1, &guest.token, now)
}

async fn answer(
    app: &Arc<App>,
    visit: &Visit,
    guest: &Guest,
    id: &str,
    request: Request<Incoming>,
) -> Result<Page, Notice> {
    let form = Form::read(request, guest).await?;
    let one = |name: &str| form.one(name);
    let question = app.consents.get(id).ok_or_else(Notice::over)?;
    let refuse_all = matches!(one("do"), Some("refuse" | "everything"));
    let answer = if refuse_all { Answer::nothing() } else { chosen(&question, &one)? };
    let everything_for = (one("do") == Some("everything")).then_some(EVERYTHING_FOR);
    let needs = app.consents.needs(id, &answer).map_err(|error| failed(&error))?;
    if needs > Some(Strength::Prompt) {
        return confirm(app, visit, guest, id, answer).await;
    }
    if !answer.allowed.is_empty() {
        // The page is the evidence: a prompt's.
        let operation = Operation::Approve(Widening::Expiring);
        may_with(operation, Asker::Person(Grade::None), Some(Strength::Prompt))
            .map_err(|refusal| Notice::failed(refusal.to_string()))?;
    }
    let word =
        Word { strength: Strength::Prompt, way: Way::Page, grade: Grade::None, by: None, confirmed: None };
    let (consents, id) = (app.consents.clone(), id.to_owned());
    let carrying = tokio::spawn(async move { consents.answer(&id, &answer, everything_for, &word).await });
    let done = carrying.await.map_err(|_| Notice::failed("The answer broke down.".to_owned()))?;
    let done = done.map_err(|error| failed(&error))?;
    let waiting = app.consents.list().1.len();
    Ok(html::answered(visit.path(), &question, &done, waiting))
}

/// What the form's buttons say, scope by scope, by the scope's place in the question.
fn chosen<'f>(question: &Question, one: &impl Fn(&str) -> Option<&'f str>) -> Result<Answer, Notice> {
    let mut answer = Answer::nothing();
    for (place, asked) in question.scopes.iter().enumerate() {
        match one(&format!("scope{place}")) {
            None | Some("no") => {}
            Some(choice) => {
                let choice: Choice =
                    choice.parse().map_err(|_| Notice::refused("This is not the page's form."))?;
                answer.allowed.push((asked.scope.clone(), choice));
            }
        }
    }
    Ok(answer)
}

/// Starts the login that has to confirm an answer, and says where, or which passkey may instead.
async fn confirm(app: &App, visit: &Visit, guest: &Guest, id: &str, answer: Answer) -> Result<Page, Notice> {
    let unavailable =
        || Notice::failed("Nobody can sign in here, because no provider is configured.".to_owned());
    let provider = app.provider.as_ref().ok_or_else(unavailable)?;
    let started = app.consents.confirm(&provider.logins, id, answer.clone(), Way::Page, None).await;
    match started {
        Ok(Started { way: logins::Way::Browser { url, .. }, passkey, .. }) => {
            let asked = match passkey {
                Some(ByPasskey::Here(asked)) => app.passkeys.asked(&asked),
                Some(ByPasskey::Page(_)) | None => None,
            };
            let ceremony = asked.map(|asked| Ceremony::of(&app.passkeys, &asked));
            Ok(html::confirm(visit.path(), &answer, &url, ceremony.as_ref(), &guest.token))
        }
        Ok(_) => Err(unavailable()),
        Err(ReauthError::Answer(error)) => Err(failed(&error)),
        Err(ReauthError::Confirm(error)) => {
            tracing::warn!(error = %Chain(&error), "a login that confirms an answer could not be started");
            Err(Notice::failed(Chain(&error).to_string()))
        }
    }
}

fn failed(error: &AnswerError) -> Notice {
    match error {
        AnswerError::Gone => Notice::over(),
        other => Notice::failed(Chain(other).to_string()),
    }
}
