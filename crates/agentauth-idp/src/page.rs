//! The page that the browser shows when it comes back: static, without scripts, without tokens, readable in light
//! and dark and by a screen reader.

use std::borrow::Cow;

use agentauth_core::text::addressed;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use maud::{DOCTYPE, PreEscaped, html};

use crate::text::shown;

/// What became of a login, in the words that the person reads in the browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The tokens were accepted and the session stands.
    LoggedIn {
        /// The user's name, if the provider gave one.
        name: Option<String>,
        /// The user's address, if the provider gave one.
        email: Option<String>,
        /// What to do next, one sentence.
        next: String,
    },
    /// The person signed in, for something that the page names; that is no new login.
    SignedIn {
        /// The user's name, if the provider gave one.
        name: Option<String>,
        /// The user's address, if the provider gave one.
        email: Option<String>,
        /// What to do next, one sentence.
        next: String,
    },
    /// The person signed in, and this browser goes on to another page on this machine.
    GoesOn {
        /// The user's name, if the provider gave one.
        name: Option<String>,
        /// The user's address, if the provider gave one.
        email: Option<String>,
        /// Where to. Nobody but the browser that signed in learns it.
        url: String,
    },
    /// The login did not succeed; nothing was stored.
    Failed {
        /// What failed and why, one sentence.
        what: String,
        /// What to do next, one sentence.
        next: String,
    },
}

/// What the page is about, in colour, mark and word.
#[derive(Clone, Copy)]
enum Tone {
    Done,
    Failed,
    Refused,
}

const STYLE: &str = "\
:root{color-scheme:light dark;--back:#f4f5f7;--card:#fff;--text:#1b1f24;--soft:#57606a;--line:#d0d7de;\
--done:#1a7f37;--failed:#b3261e;--refused:#7a5200}\
@media (prefers-color-scheme:dark){:root{--back:#0d1117;--card:#161b22;--text:#e6edf3;--soft:#9da7b1;\
--line:#30363d;--done:#3fb950;--failed:#ff7b72;--refused:#d9a441}}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;background:var(--back);\
color:var(--text);font:1rem/1.55 system-ui,sans-serif}\
main{width:100%;max-width:32rem;background:var(--card);border:1px solid var(--line);border-radius:.75rem;\
padding:2rem}\
.mark{display:block;width:3rem;height:3rem;margin-bottom:1rem}\
h1{font-size:1.35rem;line-height:1.3;margin:0 0 .75rem;overflow-wrap:anywhere}\
p{margin:.5rem 0;overflow-wrap:anywhere}\
.who{font-weight:600}\
.next{margin-top:1.25rem;padding-top:1rem;border-top:1px solid var(--line)}\
footer{margin-top:1.25rem;color:var(--soft);font-size:.875rem}\
.done .mark{color:var(--done)}.failed .mark{color:var(--failed)}.refused .mark{color:var(--refused)}";

/// The page that says what became of the login; its commands are those of `profile`, where it is a named one.
pub(crate) fn outcome(outcome: &Outcome, profile: Option<&str>) -> Response<Full<Bytes>> {
    match outcome {
        Outcome::LoggedIn { name, email, next } => {
            let who = who(name.as_deref(), email.as_deref());
            let next = &told(profile, next);
            respond(StatusCode::OK, Tone::Done, "You are logged in", who.as_deref(), None, next)
        }
        Outcome::SignedIn { name, email, next } => {
            let who = who(name.as_deref(), email.as_deref());
            let next = &told(profile, next);
            respond(StatusCode::OK, Tone::Done, "You have signed in", who.as_deref(), None, next)
        }
        Outcome::GoesOn { name, email, url } => {
            let who = who(name.as_deref(), email.as_deref());
            let next = "The next page opens by itself.";
            shown_with(
                StatusCode::OK,
                Tone::Done,
                "You have signed in",
                who.as_deref(),
                None,
                next,
                Some(url),
            )
        }
        // 200: the browser did its part; an error status makes some browsers show a page of their own.
        Outcome::Failed { what, next } => {
            let (what, next) = (&told(profile, what), &told(profile, next));
            respond(StatusCode::OK, Tone::Failed, "The login did not succeed", None, Some(what), next)
        }
    }
}

/// The page for a request that is not the login's answer.
pub(crate) fn refusal(status: StatusCode, what: &str, profile: Option<&str>) -> Response<Full<Bytes>> {
    let next = "If you are logging in, go on in the tab that the login opened, or start again with `agentauthd login`.";
    respond(
        status,
        Tone::Refused,
        "This request was refused",
        None,
        Some(&format!("{what}. Nothing was stored.")),
        &told(profile, next),
    )
}

/// A text with the commands of this profile.
fn told<'a>(profile: Option<&str>, text: &'a str) -> Cow<'a, str> {
    profile.map_or(Cow::Borrowed(text), |profile| addressed(profile, text))
}

fn who(name: Option<&str>, email: Option<&str>) -> Option<String> {
    let filled = |text: Option<&str>| text.map(str::trim).filter(|t| !t.is_empty()).map(|t| shown(t, 120));
    match (filled(name), filled(email)) {
        (Some(name), Some(email)) if name != email => Some(format!("{name} ({email})")),
        (Some(one), _) | (None, Some(one)) => Some(one),
        (None, None) => None,
    }
}

fn respond(
    status: StatusCode,
    tone: Tone,
    title: &str,
    who: Option<&str>,
    what: Option<&str>,
    next: &str,
) -> Response<Full<Bytes>> {
    shown_with(status, tone, title, who, what, next, None)
}

fn shown_with(
    status: StatusCode,
    tone: Tone,
    title: &str,
    who: Option<&str>,
    what: Option<&str>,
    next: &str,
    onward: Option<&str>,
) -> Response<Full<Bytes>> {
    let (class, path) = match tone {
        Tone::Done => ("done", "M14 25l7 7 14-16"),
        Tone::Failed => ("failed", "M16 16l16 16M32 16L16 32"),
        Tone::Refused => ("refused", "M24 13v14M24 34v1"),
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) " – agentauthd" }
                @if let Some(url) = onward { meta http-equiv="refresh" content=(format!("0; url={url}")); }
                style { (PreEscaped(STYLE)) }
            }
            body class=(class) {
                main {
                    svg .mark viewBox="0 0 48 48" fill="none" stroke="currentColor" stroke-width="3"
                        stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" {
                        circle cx="24" cy="24" r="21" {}
                        path d=(path) {}
                    }
                    h1 #title { (title) }
                    @if let Some(who) = who { p .who #who { (who) } }
                    @if let Some(what) = what { p #what { (shown(&sentence(what), 600)) } }
                    p .next #next { (shown(next, 300)) }
                    @if let Some(url) = onward { p { a href=(url) rel="noreferrer" { "Go on" } } }
                    footer { "agentauthd, on this computer" }
                }
            }
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(page.into_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (CONNECTION, "close"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Error texts begin in lower case; a page's sentence does not.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn body(response: Response<Full<Bytes>>) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_hostile_name_stays_text() {
        let logged_in = Outcome::LoggedIn {
            name: Some("<script>alert(1)</script>\u{202e}x".to_owned()),
            email: Some("a@example.com".to_owned()),
            next: "Close this tab.".to_owned(),
        };
        let page = body(outcome(&logged_in, None)).await;
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;\\u{202e}x (a@example.com)"), "{page}");
    }

    #[tokio::test]
    async fn the_page_is_closed_to_everything() {
        let response = refusal(StatusCode::FORBIDDEN, "no", None);
        let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert!(
            header("content-security-policy").starts_with("default-src 'none'; style-src 'unsafe-inline'")
        );
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("x-content-type-options"), "nosniff");
        let page = body(response).await;
        for forbidden in ["<script", "http://", "https://", "src=", "href="] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
    }

    #[tokio::test]
    async fn commands_are_those_of_the_profile() {
        let failed = Outcome::Failed {
            what: "it failed: run `agentauthd --profile dev status`".to_owned(),
            next: "Run `agentauthd login`.".to_owned(),
        };
        let plain = body(outcome(&failed, None)).await;
        assert!(plain.contains("Run `agentauthd login`."), "{plain}");
        let named = body(outcome(&failed, Some("dev"))).await;
        assert!(named.contains("Run `agentauthd --profile dev login`."), "{named}");
        assert_eq!(named.matches("--profile").count(), 2, "{named}");
        let refused = body(refusal(StatusCode::FORBIDDEN, "no", Some("dev"))).await;
        assert!(refused.contains("`agentauthd --profile dev login`"), "{refused}");
    }

    #[test]
    fn a_person_is_named_once() {
        assert_eq!(who(Some("Ada"), Some("ada@example.com")).as_deref(), Some("Ada (ada@example.com)"));
        assert_eq!(who(Some("a@b"), Some("a@b")).as_deref(), Some("a@b"));
        assert_eq!(who(Some(" "), Some("a@b")).as_deref(), Some("a@b"));
        assert_eq!(who(None, None), None);
    }
}
