//! A page for one operation: shows it in plain words, and has a passkey confirm it, or makes a new one.
//!
//! Whoever sees the page can do no more with it than ask an authenticator; what counts is its signature.

use std::sync::Arc;
use std::time::Duration;

use agentauth_core::passkey::{Assertion, Creation};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Request;
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use super::guard::{Form, Wanted, judge};
use super::html::{self, Notice};
use super::serve::{self, Page};
use super::visit::{Guest, Visit};
use super::{LINGER, NoPage, bind};
use crate::daemon::logins::NotDone;
use crate::daemon::passkeys::{Asked, Passkeys, Purpose};

/// What the page's script asks the browser for.
pub(super) struct Ceremony {
    pub(super) id: String,
    pub(super) purpose: Purpose,
    /// All base64url.
    pub(super) challenge: String,
    pub(super) credentials: Vec<String>,
    /// What a new passkey is called, and whose it is.
    pub(super) name: String,
    pub(super) account: String,
    /// Whether a new passkey has to show which model it is.
    pub(super) attested: bool,
}

impl Ceremony {
    pub(super) fn of(passkeys: &Passkeys, asked: &Asked) -> Self {
        let credentials = match asked.purpose {
            Purpose::Confirm => passkeys.credentials(&asked.question),
            Purpose::Create => passkeys.registered(&asked.question),
        };
        Self {
            id: asked.id.clone(),
            purpose: asked.purpose,
            challenge: URL_SAFE_NO_PAD.encode(asked.question.challenge()),
            credentials,
            name: asked.name.clone(),
            account: asked.account.clone(),
            attested: passkeys.wants_attestation(),
        }
    }
}

/// One page, until nobody waits for its answer any more.
struct Shown {
    passkeys: Arc<Passkeys>,
    asked: Arc<Asked>,
    /// Where the person can sign in instead.
    sign_in: Option<String>,
    visit: Visit,
}

/// Serves a page that asks this. Its address, good for one visit.
pub(crate) async fn open(
    passkeys: Arc<Passkeys>,
    asked: Arc<Asked>,
    sign_in: Option<String>,
) -> Result<String, NoPage> {
    let (listener, address) = bind().await.map_err(NoPage::Port)?;
    let visit = Visit::new(address.port()).ok_or(NoPage::Random)?;
    let visit = if asked.purpose == Purpose::Create { visit.sent_from_elsewhere() } else { visit };
    let url = visit.invite().ok_or(NoPage::Random)?;
    let (ended, closed) = (asked.ended(), CancellationToken::new());
    let shown = Arc::new(Shown { passkeys, asked, sign_in, visit });
    let serving = serve::serve(listener, closed.clone(), move |request| respond(shown.clone(), request));
    tokio::spawn(serving);
    tokio::spawn(async move {
        ended.cancelled().await;
        // So that the browser gets its last answer whole.
        tokio::time::sleep(LINGER).await;
        closed.cancel();
    });
    Ok(url)
}

async fn respond(shown: Arc<Shown>, request: Request<Incoming>) -> Page {
    let Shown { passkeys, asked, sign_in, visit } = &*shown;
    let answered = match judge(visit, request.method(), request.uri().path(), request.headers()) {
        Err(notice) => Err(notice),
        Ok(Wanted::File(page) | Wanted::Enter(page)) => Ok(page),
        Ok(Wanted::Look(_)) if passkeys.asked(&asked.id).is_none() => Err(Notice::over()),
        Ok(Wanted::Look(guest)) => {
            let ceremony = Ceremony::of(passkeys, asked);
            Ok(html::operation(visit.path(), &asked.says, &ceremony, sign_in.as_deref(), &guest.token))
        }
        Ok(Wanted::Send(guest, path)) => match path.split_once('/') {
            Some(("passkey", id)) if id == asked.id => take(passkeys, visit, &guest, id, request).await,
            _ => Err(Notice::unknown()),
        },
    };
    answered.unwrap_or_else(|notice| notice.page(visit.path()))
}

/// Takes what the authenticator brought.
pub(super) async fn take(
    passkeys: &Arc<Passkeys>,
    visit: &Visit,
    guest: &Guest,
    id: &str,
    request: Request<Incoming>,
) -> Result<Page, Notice> {
    let form = Form::read(request, guest).await?;
    let asked = passkeys.asked(id).ok_or_else(Notice::over)?;
    let bytes = |name: &str| {
        let text = form.one(name).unwrap_or_default();
        URL_SAFE_NO_PAD.decode(text).map_err(|_| Notice::refused("This is not the page's form."))
    };
    let (passkeys, origin, id) = (passkeys.clone(), visit.origin(), id.to_owned());
    // In a task of its own: an answer that was taken is carried out even when the browser has gone away.
    let taking = match asked.purpose {
        Purpose::Confirm => {
            let assertion = Assertion {
                credential_id: bytes("credential")?,
                authenticator_data: bytes("authenticator_data")?,
                client_data: bytes("client_data")?,
                signature: bytes("signature")?,
            };
            tokio::spawn(async move { passkeys.answer(&id, &assertion, &origin).await })
        }
        Purpose::Create => {
            let creation = Creation {
                client_data: bytes("client_data")?,
                attestation_object: bytes("attestation_object")?,
            };
            tokio::spawn(async move { passkeys.create(&id, &creation, &origin).await })
        }
    };
    let taken = taking.await.map_err(|_| Notice::failed("The answer broke down.".to_owned()))?;
    taken.map_err(|NotDone { message, .. }| Notice::failed(message))?;
    Ok(html::done(visit.path(), &asked.says, &asked.done))
}

/// How long the page's script lets the person take.
pub(super) const TIME: Duration = Duration::from_mins(3);
