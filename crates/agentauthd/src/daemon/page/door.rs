//! The page's server: which requests are let in, and what they get.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use agentauth_core::SignedDuration;
use agentauth_core::catalogue::Strength;
use agentauth_core::consent::{Answer, Choice, Question};
use agentauth_core::gate::{Asker, Operation, Widening, may_with};
use agentauth_core::recognise::Grade;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::html::{self, Notice};
use super::visit::{Guest, Visit};
use crate::daemon::app::App;
use crate::daemon::consents::{AnswerError, ReauthError, Way, Word};
use crate::daemon::logins;
use agentauth_idp::Chain;

/// Connections at once; a browser opens a few ahead of need.
const MAX_CONNECTIONS: usize = 32;
/// Until a request's head, and its body, are there.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest form.
const MAX_FORM: usize = 16 * 1024;
/// For how long the button refuses everything.
const EVERYTHING_FOR: SignedDuration = SignedDuration::from_hours(1);
/// The cookie's name.
const COOKIE: &str = "agentauthd";

type Page = Response<Full<Bytes>>;

/// Serves until closed.
pub(super) async fn serve(
    app: Arc<App>,
    visit: Arc<Visit>,
    listener: TcpListener,
    closed: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = closed.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(app.clone(), visit.clone(), stream));
                }
                Err(error) => {
                    tracing::debug!(kind = %error.kind(), "the page's listener could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(PATIENCE, async { while connections.join_next().await.is_some() {} }).await;
}

async fn connection(app: Arc<App>, visit: Arc<Visit>, stream: TcpStream) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (app, visit) = (app.clone(), visit.clone());
        async move { Ok::<_, Infallible>(respond(&app, &visit, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .max_headers(64)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(timeout = error.is_timeout(), "a connection to the page ended early");
    }
}

async fn respond(app: &Arc<App>, visit: &Visit, request: Request<Incoming>) -> Page {
    let answered = match judge(visit, request.method(), request.uri().path(), request.headers()) {
        Err(notice) => Err(notice),
        Ok(Wanted::Style) => Ok(html::style()),
        Ok(Wanted::Enter(cookie)) => Ok(html::entered(
            visit.path(),
            &format!("{COOKIE}={cookie}; Path={}; HttpOnly; SameSite=Strict", visit.path()),
        )),
        Ok(Wanted::Questions(guest)) => Ok(questions(app, visit, &guest)),
        Ok(Wanted::Answer(guest, id)) => answer(app, visit, &guest, &id, request).await,
    };
    answered.unwrap_or_else(|notice| {
        tracing::debug!(status = notice.status.as_u16(), what = notice.what, "refused a request to the page");
        html::notice(visit.path(), &notice)
    })
}

/// What a request is let in for.
enum Wanted {
    Style,
    /// With the cookie that the browser gets.
    Enter(String),
    Questions(Guest),
    Answer(Guest, String),
}

/// Whether a request is from the browser that the page was opened in, and from the page itself where it changes
/// anything.
fn judge(visit: &Visit, method: &Method, path: &str, headers: &HeaderMap) -> Result<Wanted, Notice> {
    // A name of the attacker's that leads here (DNS rebinding) is another host.
    if text(headers, header::HOST) != Some(&visit.host()) {
        return Err(Notice::refused("This address is not the page's own."));
    }
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    if !matches!(site, None | Some(b"none" | b"same-origin")) {
        return Err(Notice::refused("Another site sent this request."));
    }
    let rest = path.strip_prefix(visit.path()).ok_or_else(Notice::unknown)?;
    if let Some(key) = rest.strip_prefix("enter/") {
        return match (method, visit.enter(key)) {
            (&Method::GET, Some(cookie)) => Ok(Wanted::Enter(cookie)),
            _ => Err(Notice::refused("This address has been used, or is out of date.")),
        };
    }
    if rest == "style.css" && method == Method::GET {
        return Ok(Wanted::Style);
    }
    let cookie = cookie(headers).ok_or_else(|| Notice::refused("This browser was not let in."))?;
    let guest = visit.guest(cookie).ok_or_else(|| Notice::refused("This browser was not let in."))?;
    match (method, rest.strip_prefix("answer/")) {
        (&Method::GET, None) if rest.is_empty() => Ok(Wanted::Questions(guest)),
        (&Method::POST, Some(id)) => {
            if text(headers, header::ORIGIN) != Some(&visit.origin()) {
                return Err(Notice::refused("This form is not the page's own."));
            }
            if text(headers, header::CONTENT_TYPE) != Some("application/x-www-form-urlencoded") {
                return Err(Notice::refused("This is not the page's form."));
            }
            Ok(Wanted::Answer(guest, id.to_owned()))
        }
        _ => Err(Notice::unknown()),
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let one = values.next()?;
    // Of two that disagree neither counts.
    if values.next().is_some() { None } else { one.to_str().ok() }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
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
    let body = Limited::new(request.into_body(), MAX_FORM).collect();
    let body = tokio::time::timeout(PATIENCE, body).await.ok().and_then(Result::ok);
    let body = body.ok_or_else(|| Notice::refused("The form did not arrive whole."))?.to_bytes();
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&body).into_owned().collect();
    let one = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    if !one("token").is_some_and(|token| guest.sent(token)) {
        return Err(Notice::refused("This form is not the page's own."));
    }
    let question = app.consents.get(id).ok_or_else(Notice::over)?;
    let refuse_all = matches!(one("do"), Some("refuse" | "everything"));
    let answer = if refuse_all { Answer::nothing() } else { chosen(&question, &one)? };
    let everything_for = (one("do") == Some("everything")).then_some(EVERYTHING_FOR);
    let needs = app.consents.needs(id, &answer).map_err(|error| failed(&error))?;
    if needs > Some(Strength::Prompt) {
        return sign_in(app, visit, id, answer).await;
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

/// Starts the login that has to confirm an answer, and says where.
async fn sign_in(app: &App, visit: &Visit, id: &str, answer: Answer) -> Result<Page, Notice> {
    let unavailable =
        || Notice::failed("Nobody can sign in here, because no provider is configured.".to_owned());
    let provider = app.provider.as_ref().ok_or_else(unavailable)?;
    let started = app.consents.confirm(&provider.logins, id, answer.clone(), Way::Page, None).await;
    match started {
        Ok(started) => match started.way {
            logins::Way::Browser { url, .. } => Ok(html::sign_in(visit.path(), &answer, &url)),
            logins::Way::Device(_) => Err(unavailable()),
        },
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
