//! What a browser and its attackers do with the login's listener.

use std::future::pending;

use agentauth_idp::{Login, LoginAttempt, LoginOptions, Outcome, Provider};
use secrecy::ExposeSecret as _;
use url::Url;

use super::stub::{Stub, raw};

/// A login that waits for its browser.
pub(crate) struct Started {
    pub(crate) stub: Stub,
    pub(crate) attempt: LoginAttempt,
    pub(crate) port: u16,
    pub(crate) state: String,
}

/// Starts a login at a stand-in of its own.
pub(crate) async fn start(options: LoginOptions) -> Started {
    let stub = Stub::start().await;
    let provider = super::provider(&stub.base);
    start_with(stub, &provider, options).await
}

/// Starts a login at `provider`.
pub(crate) async fn start_with(stub: Stub, provider: &Provider, options: LoginOptions) -> Started {
    let (attempt, url) = Login::start(provider, options).await.unwrap();
    let port = Url::parse(attempt.redirect_uri()).unwrap().port().unwrap();
    let state = parameter(url.url(), "state").unwrap();
    Started { stub, attempt, port, state }
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(n, _)| n == name).map(|(_, v)| v.into_owned())
}

/// A browser's request.
pub(crate) fn get(port: u16, target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n").into_bytes()
}

/// Sends the right answer, finishes the login with it, and returns the code that arrived and the page.
pub(crate) async fn right_answer(attempt: LoginAttempt, port: u16, state: &str) -> (String, String) {
    let request = get(port, &format!("/callback?code=the-code&state={state}"));
    let browser = tokio::spawn(async move { raw(port, &request).await });
    let callback = attempt.wait(pending()).await.unwrap();
    let code = callback.grant.code.expose_secret().to_owned();
    callback
        .finish(Outcome::LoggedIn {
            name: Some("Ada".to_owned()),
            email: None,
            next: "Close this tab.".to_owned(),
        })
        .await;
    let (status, _, page) = browser.await.unwrap();
    assert_eq!(status, 200);
    (code, page)
}
