//! The HTML pages: signing in, consent, and why a sign-in goes no further. No scripts, nothing loaded from elsewhere.

use axum::response::{Html, IntoResponse, Response};
use http::header;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #16202c; --soft: #5b6776; --paper: #f3f5f8; --card: #fff; --line: #c3ccd6;
  --accent: #1a56db; --on-accent: #fff; --bad: #b3261e; --bad-paper: #fdeceb; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8edf3; --soft: #a3afbd; --paper: #10151c; --card: #1a212b;
  --line: #3a4655; --accent: #7aa7ff; --on-accent: #0b1524; --bad: #ffb4ab; --bad-paper: #3a1a18; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 24rem; background: var(--card); border: 1px solid var(--line); border-radius: .9rem;
  padding: 2rem; box-shadow: 0 1rem 2.5rem rgb(0 0 0 / .08); }
.mark { width: 2.75rem; height: 2.75rem; border-radius: .7rem; display: grid; place-items: center;
  background: var(--accent); color: var(--on-accent); font-weight: 700; font-size: 1.25rem; }
h1 { font-size: 1.4rem; line-height: 1.25; margin: 1rem 0 .25rem; }
p { margin: 0 0 1.25rem; color: var(--soft); }
label { display: block; font-weight: 600; margin: 1rem 0 .3rem; }
input { width: 100%; padding: .65rem .75rem; font: inherit; color: inherit; background: var(--paper);
  border: 1px solid var(--line); border-radius: .5rem; }
input[aria-invalid=true] { border-color: var(--bad); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.bad { background: var(--bad-paper); color: var(--bad); border-radius: .5rem; padding: .65rem .75rem; margin: 0 0 .5rem; }
.row { display: grid; gap: .6rem; margin-top: 1.5rem; }
button { width: 100%; padding: .7rem 1rem; font: inherit; font-weight: 600; border-radius: .5rem; cursor: pointer;
  border: 1px solid var(--line); background: transparent; color: inherit; }
button.go { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
footer { margin-top: 1.5rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--soft); font-size: .85rem; }
";

/// The sign-in page.
pub(crate) struct SignInPage<'a> {
    /// Where the form goes.
    pub(crate) action: &'a str,
    pub(crate) project_name: &'a str,
    pub(crate) tenant: Option<&'a str>,
    pub(crate) flow: Option<&'a str>,
    /// Where the person goes on afterwards.
    pub(crate) returns_to: &'a str,
    pub(crate) handle: &'a str,
    pub(crate) email: &'a str,
    pub(crate) trouble: Option<&'a str>,
}

impl SignInPage<'_> {
    /// The page as an answer.
    pub(crate) fn render(&self) -> Response {
        let wrong = self.trouble.is_some();
        let title = format!("Sign in to {}", self.project_name);
        let known = !self.email.is_empty();
        page(
            &title,
            html! {
                div.mark aria-hidden="true" { (self.project_name.chars().next().unwrap_or('?')) }
                h1 { (title) }
                p {
                    @if let Some(tenant) = self.tenant { "Organisation: " strong { (tenant) } ". " }
                    "Afterwards you return to " strong { (self.returns_to) } "."
                }
                form method="post" action=(self.action) {
                    @if let Some(trouble) = self.trouble {
                        div #trouble.bad role="alert" { (trouble) }
                    }
                    input type="hidden" name="state_id" value=(self.handle);
                    label for="email" { "E-mail address" }
                    input #email type="email" name="email" value=(self.email) autocomplete="username"
                        autofocus[!known] required aria-invalid=[wrong.then_some("true")]
                        aria-describedby=[wrong.then_some("trouble")];
                    label for="password" { "Password" }
                    input #password type="password" name="password" autocomplete="current-password"
                        autofocus[known] required aria-invalid=[wrong.then_some("true")]
                        aria-describedby=[wrong.then_some("trouble")];
                    div.row {
                        button #sign-in.go type="submit" name="action" value="sign-in" { "Sign in" }
                        button #cancel type="submit" name="action" value="cancel" formnovalidate { "Cancel" }
                    }
                }
                footer {
                    "A stand-in for Descope"
                    @if let Some(flow) = self.flow { ", flow " code { (flow) } }
                    ". The accounts are test data."
                }
            },
        )
    }
}

/// The page that asks where to mail a link to.
pub(crate) struct EmailPage<'a> {
    pub(crate) action: &'a str,
    pub(crate) project_name: &'a str,
    pub(crate) handle: &'a str,
    pub(crate) email: &'a str,
    pub(crate) trouble: Option<&'a str>,
}

impl EmailPage<'_> {
    /// The page as an answer.
    pub(crate) fn render(&self) -> Response {
        let wrong = self.trouble.is_some();
        let title = format!("Sign in to {}", self.project_name);
        page(
            &title,
            html! {
                h1 { (title) }
                p { "You get a mail with a link; no password is needed." }
                form method="post" action=(self.action) {
                    @if let Some(trouble) = self.trouble { div #trouble.bad role="alert" { (trouble) } }
                    input type="hidden" name="state_id" value=(self.handle);
                    label for="email" { "E-mail address" }
                    input #email type="email" name="email" value=(self.email) autocomplete="username" autofocus
                        required aria-invalid=[wrong.then_some("true")]
                        aria-describedby=[wrong.then_some("trouble")];
                    div.row {
                        button #send.go type="submit" name="action" value="send" { "Send me the link" }
                        button #cancel type="submit" name="action" value="cancel" formnovalidate { "Cancel" }
                    }
                }
            },
        )
    }
}

/// The page after a link was asked for; it does not tell whether there is such an account.
pub(crate) fn mail_sent_page(email: &str) -> Response {
    page(
        "Look into your mail",
        html! {
            h1 { "Look into your mail" }
            p { "If " strong { (email) } " has an account here, a mail with a link is on its way." }
        },
    )
}

/// The page that asks whether a third party gets what it asks for.
pub(crate) struct ConsentPage<'a> {
    pub(crate) action: &'a str,
    pub(crate) client: &'a str,
    pub(crate) account: &'a str,
    pub(crate) scopes: &'a [String],
    pub(crate) returns_to: &'a str,
    pub(crate) handle: &'a str,
}

impl ConsentPage<'_> {
    /// The page as an answer.
    pub(crate) fn render(&self) -> Response {
        page(
            "Allow access",
            html! {
                h1 { "Allow " (self.client) "?" }
                p { "You are signed in as " strong { (self.account) } ". It asks for:" }
                ul { @for scope in self.scopes { li { code { (scope) } } } }
                form method="post" action=(self.action) {
                    input type="hidden" name="state_id" value=(self.handle);
                    div.row {
                        button #allow.go type="submit" name="action" value="allow" { "Allow" }
                        button #deny type="submit" name="action" value="deny" { "Refuse" }
                    }
                }
                footer { "Afterwards you return to " strong { (self.returns_to) } "." }
            },
        )
    }
}

/// A page that says why the browser is not sent back.
pub(crate) fn refused_page(why: &str) -> Response {
    page(
        "Sign-in stopped",
        html! {
            h1 { "Sign-in stopped" }
            div.bad role="alert" { (why) }
            p { "Nothing was sent back to the program that started this." }
        },
    )
}

/// A page after a logout that leads nowhere else.
pub(crate) fn farewell_page() -> Response {
    page("Signed out", html! { h1 { "Signed out" } p { "You can close this window." } })
}

/// A page of the house style.
pub(crate) fn page(title: &str, content: Markup) -> Response {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { (content) } }
        }
    };
    // No `form-action`: browsers apply it to the redirect that follows the form, which goes to the client.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Html(markup.into_string())).into_response()
}
