//! Who is let in to a page: the browser that it was opened in, and from the page itself where something changes.

use http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use super::html::{self, Notice};
use super::serve::{PATIENCE, Page};
use super::visit::{Guest, Visit};

/// The longest form.
const MAX_FORM: usize = 64 * 1024;
/// The cookie's name.
const COOKIE: &str = "agentauthd";

/// The fields of a form.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a form that `guest` sent.
    pub(super) async fn read(request: Request<Incoming>, guest: &Guest) -> Result<Self, Notice> {
        let body = Limited::new(request.into_body(), MAX_FORM).collect();
        let body = tokio::time::timeout(PATIENCE, body).await.ok().and_then(Result::ok);
        let body = body.ok_or_else(|| Notice::refused("The form did not arrive whole."))?.to_bytes();
        let form = Self(url::form_urlencoded::parse(&body).into_owned().collect());
        if form.one("token").is_some_and(|token| guest.sent(token)) {
            Ok(form)
        } else {
            Err(Notice::refused("This form is not the page's own."))
        }
    }

    /// The field of this name.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What a request is let in for.
pub(super) enum Wanted {
    /// One of the page's own files, which hold nothing of anybody's.
    File(Page),
    /// The way in, with the cookie.
    Enter(Page),
    /// The page.
    Look(Guest),
    /// A form of the page's, by the path that it was sent to. Its token is still to be compared.
    Send(Guest, String),
}

/// Whether a request is from the browser that the page was opened in, and from the page itself where it changes
/// anything.
pub(super) fn judge(
    visit: &Visit,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Result<Wanted, Notice> {
    // A name of the attacker's that leads here (DNS rebinding) is another host.
    if text(headers, header::HOST) != Some(&visit.host()) {
        return Err(Notice::refused("This address is not the page's own."));
    }
    let rest = path.strip_prefix(visit.path()).ok_or_else(Notice::unknown)?;
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    let sent_here = visit.is_from_elsewhere() && rest.starts_with("enter/");
    if !sent_here && !matches!(site, None | Some(b"none" | b"same-origin")) {
        return Err(Notice::refused("Another site sent this request."));
    }
    if let Some(key) = rest.strip_prefix("enter/") {
        return match (method, visit.enter(key)) {
            (&Method::GET, Some(cookie)) => {
                let cookie = format!("{COOKIE}={cookie}; Path={}; HttpOnly; SameSite=Strict", visit.path());
                // A browser that follows another site's redirect would not bring the cookie with it.
                let entered = if sent_here { html::enters } else { html::entered };
                Ok(Wanted::Enter(entered(visit.path(), &cookie)))
            }
            _ => Err(Notice::refused("This address has been used, or is out of date.")),
        };
    }
    match rest {
        "style.css" if method == Method::GET => return Ok(Wanted::File(html::style())),
        "passkey.js" if method == Method::GET => return Ok(Wanted::File(html::script())),
        _ => {}
    }
    let cookie = cookie(headers).ok_or_else(|| Notice::refused("This browser was not let in."))?;
    let guest = visit.guest(cookie).ok_or_else(|| Notice::refused("This browser was not let in."))?;
    match *method {
        Method::GET if rest.is_empty() => Ok(Wanted::Look(guest)),
        Method::POST => {
            if text(headers, header::ORIGIN) != Some(&visit.origin()) {
                return Err(Notice::refused("This form is not the page's own."));
            }
            if text(headers, header::CONTENT_TYPE) != Some("application/x-www-form-urlencoded") {
                return Err(Notice::refused("This is not the page's form."));
            }
            Ok(Wanted::Send(guest, rest.to_owned()))
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
