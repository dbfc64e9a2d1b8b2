//! What the pages look like: native controls, no inline style, nothing from elsewhere, and no script but the page's own
//! file where a passkey is asked.

use std::sync::Arc;

use agentauth_core::Timestamp;
use agentauth_core::catalogue::Strength;
use agentauth_core::consent::{Answer, AskedScope, Question};
use agentauth_core::passkey::{ALGORITHMS, RP_ID};
use agentauth_core::text::display_safe_within;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use maud::{DOCTYPE, Markup, html};

use super::operation::{Ceremony, TIME};
use crate::daemon::consents::Done;
use crate::daemon::passkeys::Purpose;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("passkey.js");

/// Nothing but our own stylesheet and our own forms.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// The same with our own script, which only a page with a passkey has.
const POLICY_WITH_SCRIPT: &str = "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Something to say in place of the questions.
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    pub(super) what: String,
}

impl Notice {
    pub(super) fn refused(what: &str) -> Self {
        Self { status: StatusCode::FORBIDDEN, title: "This request was refused", what: what.to_owned() }
    }

    pub(super) fn unknown() -> Self {
        let what = "There is nothing here.".to_owned();
        Self { status: StatusCode::NOT_FOUND, title: "This request was refused", what }
    }

    pub(super) fn over() -> Self {
        let what = "The question was answered already, or its time is over.".to_owned();
        Self { status: StatusCode::GONE, title: "This question is over", what }
    }

    pub(super) fn failed(what: String) -> Self {
        Self { status: StatusCode::CONFLICT, title: "Nothing was allowed", what }
    }

    /// A page that says it.
    pub(super) fn page(&self, path: &str) -> Response<Full<Bytes>> {
        tracing::debug!(status = self.status.as_u16(), what = self.what, "refused a request to the page");
        let body = html! {
            p #what { (display_safe_within(&self.what, 600)) }
            p .soft { code { "agentauthd consents" } " in a terminal shows the questions that wait." }
        };
        page(self.status, path, self.title, body)
    }
}

/// The script that asks the browser for a passkey.
pub(super) fn script() -> Response<Full<Bytes>> {
    respond(StatusCode::OK, "text/javascript; charset=utf-8", SCRIPT.to_owned())
}

/// The stylesheet.
pub(super) fn style() -> Response<Full<Bytes>> {
    respond(StatusCode::OK, "text/css; charset=utf-8", STYLE.to_owned())
}

/// The way from the address with the secret to the page's own, with the cookie.
pub(super) fn entered(path: &str, cookie: &str) -> Response<Full<Bytes>> {
    let mut response = respond(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", String::new());
    for (name, value) in [(SET_COOKIE, cookie), (LOCATION, path)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The same for a browser that comes from another site: the page itself leads on.
pub(super) fn enters(path: &str, cookie: &str) -> Response<Full<Bytes>> {
    let body = html! {
        meta http-equiv="refresh" content=(format!("0; url={path}"));
        p { a .main href=(path) { "Go on" } }
    };
    let mut response = page(StatusCode::OK, path, "The page opens", body);
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(SET_COOKIE, value);
    }
    response
}

/// Every question that waits, each with its form.
pub(super) fn questions(
    path: &str,
    questions: &[Arc<Question>],
    token: &str,
    now: Timestamp,
) -> Response<Full<Bytes>> {
    if questions.is_empty() {
        let body = html! { p { "No question waits. You can close this page." } };
        return page(StatusCode::OK, path, "Nothing to answer", body);
    }
    let title =
        if questions.len() == 1 { "An agent asks for your consent" } else { "Agents ask for your consent" };
    let body = html! {
        @for (number, question) in questions.iter().enumerate() { (form(path, question, token, number, now)) }
    };
    page(StatusCode::OK, path, title, body)
}

fn form(path: &str, question: &Question, token: &str, number: usize, now: Timestamp) -> Markup {
    let minutes = question.expires_at.duration_since(now).as_secs().max(0).div_euclid(60) + 1;
    html! {
        section aria-labelledby=(format!("who{number}")) {
            h2 id=(format!("who{number}")) { (question.who()) }
            dl {
                dt { "Acts for" } dd { (question.for_whom()) }
                dt { "Program" } dd { (after_colon(&question.program.line())) }
                dt { "Started by" } dd { (after_colon(&question.program.origin())) }
                @if let Some(says) = &question.says { dt { "Its author says" } dd .quoted { (says) } }
                @if let Some(purpose) = &question.purpose { dt { "It says" } dd .quoted { (purpose) } }
            }
            @if !question.program.tampered.is_empty() {
                p .careful {
                    strong { "Careful: " }
                    "other code may run inside this program (" (question.program.tampered.join(", ")) ")."
                }
            }
            @if let Some(action) = &question.action {
                div .action {
                    h3 { "Only for exactly this" }
                    dl { @for (name, value) in action.members() { dt { (name) } dd { (value) } } }
                }
            }
            form method="post" action=(format!("{path}answer/{}", question.id)) autocomplete="off" {
                input type="hidden" name="token" value=(token);
                @for (place, asked) in question.scopes.iter().enumerate() { (scope(asked, place, number)) }
                div .buttons {
                    button type="submit" name="do" value="answer" .main { "Give this answer" }
                    button type="submit" name="do" value="refuse" { "Refuse" }
                    button type="submit" name="do" value="everything" {
                        "Refuse everything from this agent for an hour"
                    }
                }
                p .soft { "Without an answer it is refused in " (minutes) " minutes." }
            }
        }
    }
}

fn scope(asked: &AskedScope, place: usize, number: usize) -> Markup {
    let name = format!("scope{place}");
    let about = format!("about{number}-{place}");
    html! {
        fieldset aria-describedby=(about) {
            legend { (asked.sentence()) " " span class=(format!("risk {}", asked.risk)) { (asked.risk_says()) } }
            div id=(about) {
                p .scope { code { (display_safe_within(asked.scope.as_str(), usize::MAX)) } }
                p { "For: " span .quoted { (asked.purpose) } }
                p { (asked.news.sentence()) }
                @if let Some(demand) = asked.demand() { p { (demand) } }
            }
            div .choices {
                label { input type="radio" name=(name) value="no" checked; " Do not allow" }
                @for offer in &asked.offers {
                    label {
                        input type="radio" name=(name) value=(offer.choice.as_str());
                        " Allow " (offer.choice.says())
                        @if offer.needs > Strength::Prompt { span .soft { " (you sign in for it)" } }
                    }
                }
            }
        }
    }
}

/// What an answer did.
pub(super) fn answered(
    path: &str,
    question: &Question,
    done: &Done,
    waiting: usize,
) -> Response<Full<Bytes>> {
    let title = if done.given.is_empty() { "Refused" } else { "Allowed" };
    let body = html! {
        p { (question.who()) }
        ul {
            @for (given, _) in &done.given {
                li { "Allowed " (given.choice.says()) ": " code { (display_safe_within(given.scope.as_str(), usize::MAX)) } }
            }
            @for scope in &done.refused { li { "Refused: " code { (display_safe_within(scope, usize::MAX)) } } }
        }
        @if done.denied_until.is_some() { p { "Everything from this agent is refused for an hour." } }
        @if waiting > 0 { p { a href=(path) { "Go on to the next question" } } }
        @else { p .soft { "You can close this page. " code { "agentauthd grants" } " shows what is allowed." } }
    };
    page(StatusCode::OK, path, title, body)
}

/// How to confirm an answer: with a passkey where one may, or by signing in.
pub(super) fn confirm(
    path: &str,
    answer: &Answer,
    url: &str,
    ceremony: Option<&Ceremony>,
    token: &str,
) -> Response<Full<Bytes>> {
    let how =
        if ceremony.is_some() { "Confirm exactly this:" } else { "Sign in anew to confirm exactly this:" };
    let body = html! {
        p { "What you want to allow lasts, or cannot be undone. " (how) }
        ul {
            @for (scope, choice) in &answer.allowed {
                li { "Allow " (choice.says()) ": " code { (display_safe_within(scope.as_str(), usize::MAX)) } }
            }
        }
        @if let Some(ceremony) = ceremony {
            (by_passkey(path, ceremony, token))
            p { a #sign-in href=(url) rel="noreferrer" { "Sign in to allow it instead" } }
        } @else {
            p { a #sign-in .main href=(url) rel="noreferrer" { "Sign in to allow" } }
        }
        p .soft { "Until then nothing is allowed." }
    };
    match ceremony {
        Some(_) => scripted(path, "Confirm to allow this", body),
        None => page(StatusCode::OK, path, "Sign in to allow this", body),
    }
}

/// One operation, and how to confirm it.
pub(super) fn operation(
    path: &str,
    says: &[String],
    ceremony: &Ceremony,
    sign_in: Option<&str>,
    token: &str,
) -> Response<Full<Bytes>> {
    let title = match ceremony.purpose {
        Purpose::Confirm => "Do you want this?",
        Purpose::Create => "Register a passkey",
    };
    let body = html! {
        section {
            (told(says))
            p .soft { "For " (display_safe_within(&ceremony.account, 120)) }
            (by_passkey(path, ceremony, token))
            @if let Some(url) = sign_in {
                p { a #sign-in href=(url) rel="noreferrer" { "Sign in to confirm it instead" } }
            }
            p .soft { "Did you not ask for this? Close the page, and nothing happens." }
        }
    };
    scripted(path, title, body)
}

/// What was confirmed.
pub(super) fn done(path: &str, says: &[String], done: &str) -> Response<Full<Bytes>> {
    let body = html! { section { (told(says)) p { (done) } } };
    page(StatusCode::OK, path, "Confirmed", body)
}

fn told(says: &[String]) -> Markup {
    html! {
        @if let Some((what, more)) = says.split_first() {
            h2 { (what) }
            @if !more.is_empty() { ul { @for line in more { li { (line) } } } }
        }
    }
}

/// The form that the page's script fills in.
fn by_passkey(path: &str, ceremony: &Ceremony, token: &str) -> Markup {
    let (kind, button, fields): (_, _, &[&str]) = match ceremony.purpose {
        Purpose::Confirm => (
            "get",
            "Confirm with your passkey",
            &["credential", "authenticator_data", "client_data", "signature"],
        ),
        Purpose::Create => ("create", "Make the passkey", &["client_data", "attestation_object"]),
    };
    html! {
        form #passkey method="post" action=(format!("{path}passkey/{}", ceremony.id)) data-kind=(kind)
            data-challenge=(ceremony.challenge) data-credentials=(ceremony.credentials.join(" "))
            data-site=(RP_ID) data-algorithms=(ALGORITHMS.map(|it| it.to_string()).join(" "))
            data-account=(display_safe_within(&ceremony.account, 120))
            data-name=(display_safe_within(&ceremony.name, 64))
            data-attestation=(if ceremony.attested { "direct" } else { "none" })
            data-time=(TIME.as_millis()) {
            input type="hidden" name="token" value=(token);
            @for field in fields { input type="hidden" name=(field); }
            p .buttons { button #ask .main type="button" disabled { (button) } }
            p #trouble .careful role="alert" {}
        }
        noscript { p .careful { "A passkey needs scripts, and this browser does not run this page's own." } }
    }
}

fn scripted(path: &str, title: &str, body: Markup) -> Response<Full<Bytes>> {
    let body = html! { (body) script src=(format!("{path}passkey.js")) {} };
    let mut response = page(StatusCode::OK, path, title, body);
    let policy = HeaderValue::from_static(POLICY_WITH_SCRIPT);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    response
}

fn page(status: StatusCode, path: &str, title: &str, body: Markup) -> Response<Full<Bytes>> {
    let text = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) " – agentauthd" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href=(format!("{path}style.css"));
            }
            body { main { h1 { (title) } (body) footer { "agentauthd, on this computer" } } }
        }
    };
    respond(status, "text/html; charset=utf-8", text.into_string())
}

fn respond(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "same-origin"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (CONNECTION, "close"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The words behind the label that a line of text begins with.
fn after_colon(line: &str) -> &str {
    line.split_once(": ").map_or(line, |(_, rest)| rest)
}
