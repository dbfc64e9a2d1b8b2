//! What the client never does with credentials, and what it makes of odd answers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::time::Duration;

use agentauth_core::session::RefreshFailure;
use agentauth_idp::{
    DiscoveryError, Login, LoginError, LoginOptions, LogoutFailure, Provider, ProviderConfig,
    ProviderSettings, RefreshVia, Timeouts, describe,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use support::stub::{Reply, Stub};
use support::{PROJECT, provider, settings};

const TOKEN: &str = "/oauth2/v1/token";

fn secret() -> SecretString {
    SecretString::from("the-refresh-token")
}

#[tokio::test]
async fn redirects_are_never_followed() {
    let thief = Stub::start().await;
    for status in [301, 302, 303, 307, 308] {
        let stub = Stub::start().await;
        for path in [TOKEN, "/v1/auth/refresh", "/v1/auth/logout", "/v1/auth/me"] {
            let to = format!("{}{path}", thief.base);
            stub.set(path, Reply::new(status, "").header("location", &to));
        }
        let provider = provider(&stub.base);
        assert!(matches!(provider.refresh(&secret()).await, Err(RefreshFailure::Config { .. })), "{status}");
        assert!(matches!(provider.me(&secret()).await, Err(RefreshFailure::Config { .. })), "{status}");
        assert!(
            matches!(provider.logout(&secret(), false).await, Err(LogoutFailure::Refused(_))),
            "{status}"
        );
        assert_eq!(stub.seen(TOKEN).len(), 1, "{status}");
    }
    for path in [TOKEN, "/v1/auth/refresh", "/v1/auth/logout", "/v1/auth/me"] {
        assert!(thief.seen(path).is_empty(), "{path}");
    }
}

#[tokio::test]
async fn a_refresh_is_sent_once_whatever_happens() {
    for via in [RefreshVia::TokenEndpoint, RefreshVia::SessionEndpoint] {
        let path = if via == RefreshVia::TokenEndpoint { TOKEN } else { "/v1/auth/refresh" };
        for (name, reply) in [
            ("dropped", Reply::dropped()),
            ("503", Reply::new(503, "")),
            ("502", Reply::new(502, "<html>")),
            ("429", Reply::new(429, "{}").header("retry-after", "0")),
            ("no JSON", Reply::new(200, "<html>")),
            ("no tokens", Reply::json("{}")),
            ("empty token", Reply::json(r#"{"access_token":"","token_type":"Bearer","sessionJwt":""}"#)),
            ("oversize", Reply::json("x".repeat(1_100_000))),
            ("slow", Reply::json("{}").after(Duration::from_secs(600))),
        ] {
            let stub = Stub::start().await;
            stub.set(path, reply);
            let config = ProviderConfig::new(ProviderSettings {
                refresh_via: via,
                timeouts: Some(Timeouts { total: Duration::from_secs(1), ..Timeouts::default() }),
                ..settings(&stub.base)
            });
            let provider = Provider::new(config.unwrap()).unwrap();
            let failure = provider.refresh(&secret()).await.unwrap_err();
            assert!(matches!(failure, RefreshFailure::Unknown { .. }), "{via:?} {name}: {failure:?}");
            assert!(!format!("{failure:?}").contains(secret().expose_secret()), "{via:?} {name}");
            assert_eq!(stub.seen(path).len(), 1, "{via:?} {name}");
        }
    }
}

#[tokio::test]
async fn the_requests_say_what_they_must_and_no_more() {
    let stub = Stub::start().await;
    stub.set(TOKEN, Reply::json(json!({"access_token":"a","token_type":"bearer","refresh_token":"r2"})));
    stub.set("/v1/auth/logoutall", Reply::json("{}"));
    let provider = provider(&stub.base);
    let refreshed = provider.refresh(&secret()).await.unwrap();
    assert_eq!(refreshed.new_refresh.unwrap().expose_secret(), "r2");
    let seen = stub.seen(TOKEN).remove(0);
    assert_eq!((seen.method.as_str(), seen.authorization), ("POST", None));
    let form: Vec<(String, String)> =
        url::form_urlencoded::parse(seen.body.as_bytes()).into_owned().collect();
    let mut names: Vec<&str> = form.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["client_id", "grant_type", "refresh_token"]);
    assert!(form.contains(&("client_id".to_owned(), PROJECT.to_owned())));
    provider.logout(&secret(), true).await.unwrap();
    let seen = stub.seen("/v1/auth/logoutall").remove(0);
    assert_eq!(seen.authorization.unwrap(), format!("Bearer {PROJECT}:the-refresh-token"));
    assert_eq!(seen.body, "{}");
}

#[tokio::test]
async fn bound_tokens_are_not_taken_for_bearer_tokens() {
    let stub = Stub::start().await;
    stub.set(TOKEN, Reply::json(json!({"access_token":"a","token_type":"DPoP","refresh_token":"r2"})));
    let failure = provider(&stub.base).refresh(&secret()).await.unwrap_err();
    assert!(matches!(&failure, RefreshFailure::Config { what } if what.contains("dpop")), "{failure:?}");
}

#[tokio::test]
async fn a_description_that_lies_starts_no_login() {
    let elsewhere = "https://evil.example/x";
    for (name, document) in [
        ("issuer", json!({"issuer": format!("https://evil.example/{PROJECT}")})),
        ("token endpoint", json!({"token_endpoint": elsewhere})),
        ("authorization endpoint", json!({"authorization_endpoint": elsewhere})),
        ("keys", json!({"jwks_uri": elsewhere})),
        ("no S256", json!({"code_challenge_methods_supported": ["plain"]})),
    ] {
        let stub = Stub::start().await;
        stub.set_discovery(document);
        let error = Login::start(&provider(&stub.base), LoginOptions::default()).await.unwrap_err();
        assert!(matches!(error, LoginError::Discovery(_)), "{name}: {error}");
    }
    let stub = Stub::start().await;
    let path = format!("/{PROJECT}/.well-known/openid-configuration");
    for (reply, transient) in [
        (Reply::new(503, "<html>"), true),
        (Reply::new(404, ""), false),
        (Reply::new(200, "<html>"), false),
        (Reply::dropped(), true),
        (Reply::new(302, "").header("location", "https://evil.example"), false),
        (Reply::json("x".repeat(1_100_000)), false),
    ] {
        stub.set(&path, reply);
        let error = provider(&stub.base).metadata().await.unwrap_err();
        assert_eq!(error.is_transient(), transient, "{}", describe(&error));
    }
    let error = provider("http://127.0.0.1:9").metadata().await.unwrap_err();
    assert!(matches!(error, DiscoveryError::Http(_)) && error.is_transient());
    assert!(describe(&error).contains("cannot reach `127.0.0.1:9`"), "{}", describe(&error));
}

#[tokio::test]
async fn https_is_set_up_and_refuses_a_server_that_speaks_none() {
    let stub = Stub::start().await;
    let base = stub.base.replace("http://", "https://");
    let provider = provider(&base);
    let failure = provider.refresh(&secret()).await.unwrap_err();
    assert!(matches!(failure, RefreshFailure::Unknown { sent: false, .. }), "{failure:?}");
    assert!(stub.seen(TOKEN).is_empty());
}
