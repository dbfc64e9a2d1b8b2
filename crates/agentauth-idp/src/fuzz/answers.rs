//! What the provider answers: its description of itself, tokens, and errors.

use std::cell::RefCell;
use std::convert::Infallible;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use oauth2::{AuthorizationCode, HttpResponse};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use super::json::duplicates;
use super::{ISSUER, LOCAL_ISSUER, ORIGIN, PROJECT, assert_presentable, config, oidc, oidc_config};
use crate::config::{Preset, ProviderConfig};
use crate::discovery::{self, Metadata};
use crate::oauth::{self, OAuthClient};
use crate::problem::Problem;
use crate::reach::Reach;
use crate::refresh::refused;
use crate::session_api::Issued;
use crate::tokens::TokenSet;
use crate::transport::{Answer, describe};

static CONFIG: LazyLock<ProviderConfig> = LazyLock::new(config);
/// Any other provider: with a port and a path, on this machine, and with a final slash.
static OTHERS: LazyLock<[ProviderConfig; 3]> = LazyLock::new(|| {
    [ISSUER, LOCAL_ISSUER, "https://accounts.example/"].map(|issuer| oidc_config(issuer, Preset::Generic))
});
static CLIENT: LazyLock<OAuthClient> = LazyLock::new(|| {
    let document = json!({
        "issuer": format!("{ORIGIN}/{PROJECT}"),
        "authorization_endpoint": format!("{ORIGIN}/oauth2/v1/authorize"),
        "token_endpoint": format!("{ORIGIN}/oauth2/v1/token"),
        "jwks_uri": format!("{ORIGIN}/v2/keys/{PROJECT}"),
    });
    let metadata = discovery::judge(document.to_string().as_bytes(), &CONFIG).expect("a good description");
    oauth::client(&CONFIG, &metadata, None).expect("a usable client")
});

/// A discovery document, of Descope's and of any other provider.
pub fn discovery(input: &[u8]) {
    of_project(input);
    for config in &*OTHERS {
        of_issuer(input, config);
    }
}

/// Nothing leads away from https, or from this machine; nothing but the first description opens anything.
fn of_issuer(input: &[u8], config: &ProviderConfig) {
    let metadata = match discovery::judge(input, config) {
        Ok(metadata) => metadata,
        Err(error) => return assert_presentable(&describe(&error)),
    };
    assert!(!duplicates(input).expect("a description that was read is JSON").anywhere, "duplicates");
    // Byte by byte, path and port included.
    assert_eq!(metadata.issuer, config.issuer());
    let all = endpoints(&metadata);
    for url in &all {
        assert_eq!(url.scheme(), config.base_url().scheme(), "{url}");
        let host = url.host_str().unwrap_or_default();
        let here = host == "localhost" || host.starts_with("127.") || host == "[::1]";
        assert!(url.scheme() == "https" || here, "{url} is open to everybody on the way");
        assert!(!host.is_empty() && url.username().is_empty() && url.password().is_none());
        assert!(url.fragment().is_none(), "{url}");
    }
    let again = discovery::judge(input, config).expect("the same document");
    assert!(again.must_continue(&metadata).is_ok() && endpoints(&again) == all);
    reached(&metadata, &all, config);
}

/// What the description opens to requests.
fn reached(metadata: &Metadata, all: &[Url], config: &ProviderConfig) {
    let reach = Reach::open(config.base_url().origin());
    reach.admit(metadata);
    let plain = HeaderMap::new();
    let mut bearer = HeaderMap::new();
    bearer.insert(AUTHORIZATION, HeaderValue::from_static("Bearer t"));
    assert_eq!(reach.judge(&Method::POST, &metadata.token_endpoint, &plain), Ok(()));
    assert_eq!(reach.judge(&Method::GET, &metadata.jwks_uri, &plain), Ok(()));
    let takes_credentials = |url: &Url| {
        let named =
            [&metadata.userinfo_endpoint, &metadata.revocation_endpoint, &metadata.end_session_endpoint];
        *url == metadata.token_endpoint
            || named.into_iter().any(|one| one.as_ref() == Some(url))
            || metadata.device_authorization_endpoint.as_ref() == Some(url)
    };
    let elsewhere = Url::parse("https://elsewhere.invalid/token").expect("a url");
    for url in all.iter().chain([&elsewhere]) {
        let known = all.iter().any(|one| one.origin() == url.origin());
        for (method, headers) in [(Method::POST, &plain), (Method::GET, &bearer)] {
            let open = reach.judge(&method, url, headers).is_ok();
            assert_eq!(open, known && takes_credentials(url), "{method} {url}");
        }
    }
}

fn of_project(input: &[u8]) {
    let metadata = match discovery::judge(input, &CONFIG) {
        Ok(metadata) => metadata,
        Err(error) => return assert_presentable(&describe(&error)),
    };
    assert!(!duplicates(input).expect("a description that was read is JSON").anywhere, "duplicates");
    assert_eq!(metadata.issuer.trim_end_matches('/'), format!("{ORIGIN}/{PROJECT}"));
    let endpoints = endpoints(&metadata);
    for url in &endpoints {
        assert_eq!(url.origin().ascii_serialization(), ORIGIN, "{url}");
        assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none(), "{url}");
    }
    let again = discovery::judge(input, &CONFIG).expect("the same document");
    assert_eq!(self::endpoints(&again), endpoints);
}

fn endpoints(metadata: &Metadata) -> Vec<Url> {
    let required = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
    let optional = [
        &metadata.userinfo_endpoint,
        &metadata.revocation_endpoint,
        &metadata.end_session_endpoint,
        &metadata.device_authorization_endpoint,
    ];
    required.into_iter().chain(optional.into_iter().flatten()).cloned().collect()
}

/// An answer of the token endpoint or of a session endpoint: a line with the status, then the body. A body alone came
/// with status 200. After a line that says `userinfo`, an answer of that endpoint.
pub fn token_response(input: &[u8]) {
    let split = input.iter().position(|&byte| byte == b'\n').and_then(|at| input.split_at_checked(at));
    if let Some(body) = input.strip_prefix(b"userinfo\n") {
        return oidc::userinfo(body);
    }
    let (status, body) = match split.and_then(|(line, rest)| Some((status(line)?, rest.get(1..)?))) {
        Some(found) => found,
        None => (StatusCode::OK, input),
    };
    let answer = Answer { status, headers: HeaderMap::new(), body: Zeroizing::new(body.to_vec()) };
    if status == StatusCode::OK {
        redeemed(body);
        issued(&answer);
    } else {
        assert_presentable(&format!("{:?}", refused(&answer)).replace("\\\\", "\\"));
    }
    assert_presentable(&Problem::of(&answer).to_string());
}

fn status(line: &[u8]) -> Option<StatusCode> {
    (line.len() == 3).then(|| StatusCode::from_bytes(line).ok()).flatten()
}

/// The answer to a code.
fn redeemed(body: &[u8]) {
    match redeem(body) {
        Ok(tokens) => {
            let document: Value = serde_json::from_slice(body).expect("a response that was read is JSON");
            for (name, token) in [
                ("access_token", &tokens.access_token),
                ("refresh_token", &tokens.refresh_token),
                ("id_token", &tokens.id_token),
            ] {
                assert!(!token.expose_secret().is_empty());
                assert_eq!(document.get(name).and_then(Value::as_str), Some(token.expose_secret()));
            }
            let shown = format!("{tokens:?}");
            assert!(!secrets(body).iter().any(|secret| shown.contains(secret)), "a token in {shown}");
            assert!(!duplicates(body).is_some_and(|found| found.anywhere), "duplicates");
            let kind = document.get("token_type").and_then(Value::as_str);
            assert!(kind.is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")), "{kind:?}");
            oidc::opaque(&tokens);
        }
        Err(error) => {
            assert_presentable(&error);
            for secret in secrets(body) {
                assert!(!error.contains(&secret), "a token in an error: {error}");
            }
        }
    }
}

/// The real client's way from a body to tokens, with an answer that is there at once.
fn redeem(body: &[u8]) -> Result<TokenSet, String> {
    oauth::readable(body)?;
    let body = RefCell::new(Some(body.to_vec()));
    let canned =
        |_| std::future::ready(Ok::<_, Infallible>(HttpResponse::new(body.take().unwrap_or_default())));
    let request = CLIENT.exchange_code(AuthorizationCode::new("code".to_owned()));
    let mut request = std::pin::pin!(request.request_async(&canned));
    let Poll::Ready(outcome) = request.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        return Err("the client waits for something else than the answer".to_owned());
    };
    let answer = outcome.map_err(|error| match error {
        oauth2::RequestTokenError::Parse(error, _) => oauth::place(&error.path().to_string()),
        _ => "not a JSON document".to_owned(),
    })?;
    TokenSet::of(&answer).map_err(|error| describe(&error))
}

/// The answer to a refresh by session.
fn issued(answer: &Answer) {
    let Some(issued) = Issued::of(answer) else { return };
    let twice = |name: &str| duplicates(&answer.body).is_some_and(|found| found.outermost.contains(name));
    for (name, token) in [("sessionJwt", &issued.session), ("refreshJwt", &issued.refresh)] {
        let Some(token) = token else { continue };
        assert!(!token.expose_secret().is_empty() && !twice(name));
    }
    assert_ne!(issued.next_refresh_seconds, Some(0));
}

/// The tokens of a response that can be told from everything else in it: those with the corpus's mark that occur once.
fn secrets(body: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(body);
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    ["access_token", "refresh_token", "id_token"]
        .iter()
        .filter_map(|name| document.get(name).and_then(Value::as_str))
        .filter(|token| token.contains("-of-the-test") && text.matches(token).count() == 1)
        .map(str::to_owned)
        .collect()
}
