//! What a browser does between the login URL and the result page, without a browser: fetch the sign-in page, fill in
//! its form, submit it, follow the redirects to the daemon's loopback listener.

use url::Url;

use crate::form::Form;

/// The page on which a sign-in ended.
#[derive(Clone, Debug)]
pub struct Landed {
    /// Its address.
    pub url: Url,
    /// The HTTP status.
    pub status: u16,
    /// Its HTML.
    pub html: String,
}

/// Why a sign-in came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// A request got no answer.
    #[error("the sign-in got no answer while trying to {tried}")]
    Http {
        /// What was tried.
        tried: &'static str,
        /// Why it failed.
        #[source]
        cause: reqwest::Error,
    },
    /// There is nothing to fill in.
    #[error("the page at `{url}` (HTTP {status}) has no form that asks for a password")]
    NoForm {
        /// The page's address, without its query.
        url: String,
        /// Its status.
        status: u16,
    },
    /// The form goes nowhere.
    #[error("the sign-in form goes to `{action}`, which is no address")]
    Action {
        /// Its action.
        action: String,
        /// Why it is none.
        #[source]
        cause: url::ParseError,
    },
}

/// Signs in at the page behind `login_url` and returns the page on which that ended: the daemon's result page, or the
/// sign-in page again with an error.
///
/// # Errors
/// When a server does not answer, or the page has no form to fill in.
pub async fn sign_in(login_url: &str, login: &str, password: &str) -> Result<Landed, SignInError> {
    // A browser of its own for each sign-in: no proxy, no memory of earlier ones.
    let browser = reqwest::Client::builder()
        .no_proxy()
        .build()
        .map_err(|cause| SignInError::Http { tried: "start", cause })?;
    let page = fetch(browser.get(login_url), "open the sign-in page").await?;
    let form = Form::all_of(&page.html).into_iter().find(Form::asks_for_password).ok_or_else(|| {
        SignInError::NoForm {
            url: format!("{}{}", page.url.origin().ascii_serialization(), page.url.path()),
            status: page.status,
        }
    })?;
    let action = page
        .url
        .join(&form.action)
        .map_err(|cause| SignInError::Action { action: form.action.clone(), cause })?;
    let filled_in = form.filled_in(login, password);
    fetch(browser.post(action).form(&filled_in), "submit the sign-in form").await
}

async fn fetch(request: reqwest::RequestBuilder, tried: &'static str) -> Result<Landed, SignInError> {
    let fault = |cause: reqwest::Error| SignInError::Http { tried, cause: cause.without_url() };
    let response = request.send().await.map_err(fault)?;
    let (url, status) = (response.url().clone(), response.status().as_u16());
    let html = response.text().await.map_err(fault)?;
    Ok(Landed { url, status, html })
}
