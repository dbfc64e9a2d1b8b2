//! The key cache: when it asks the provider and when it does not, what it forgets and what it remembers on disk.
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

use agentauth_idp::{FETCH_INTERVAL, KeyRefresh, Keys, STALE_LIMIT, UNKNOWN_LIFE};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use support::forge::{header, jwk, jwks, our_jwks, ours, session, sign, sign_text, theirs, with};
use support::stub::{Reply, Stub};
use support::{PROJECT, now, provider};

fn seconds(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count)
}

fn token() -> String {
    sign(&header(), &session())
}

/// A token that names key `kid`.
fn naming(kid: &str) -> String {
    sign(&with(header(), "kid", json!(kid)), &session())
}

async fn code(keys: &Keys, token: &str, at: Timestamp) -> String {
    match keys.verify(token, at).await {
        Ok(verified) => format!("by {}", verified.key_id),
        Err(error) => error.code().to_owned(),
    }
}

async fn started() -> (Stub, Keys) {
    let stub = Stub::start().await;
    stub.set_keys(&our_jwks());
    let keys = provider(&stub.base).keys(None, now());
    (stub, keys)
}

#[tokio::test]
async fn one_fetch_serves_everybody() {
    let (stub, keys) = started().await;
    stub.set(&format!("/v2/keys/{PROJECT}"), Reply::json(our_jwks()).after(Duration::from_millis(100)));
    assert_eq!(keys.age(now()), None);
    let token = token();
    let all = (0..20).map(|_| {
        let (keys, token) = (keys.clone(), token.clone());
        tokio::spawn(async move { code(&keys, &token, now()).await })
    });
    for task in all.collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap(), "by k1");
    }
    assert_eq!(stub.key_fetches(), 1);
    assert_eq!(code(&keys, &token, now() + seconds(60)).await, "by k1");
    assert_eq!(stub.key_fetches(), 1);
    assert!(keys.contains("k1") && !keys.contains("k2"));
    assert_eq!(keys.age(now() + seconds(60)), Some(seconds(60)));
    assert_eq!(keys.fresh_until(), Some(now() + STALE_LIMIT));
    assert!(stub.seen(&format!("/v2/keys/{PROJECT}"))[0].authorization.is_none());
}

#[tokio::test]
async fn hopeless_tokens_cause_no_fetch() {
    let (stub, keys) = started().await;
    for token in [
        "",
        "a.b.c",
        "x",
        &naming("k1").replace('.', ""),
        &sign(&json!({"alg":"HS256","kid":"z"}), &session()),
    ] {
        assert!(keys.verify(token, now()).await.is_err());
    }
    assert_eq!(stub.key_fetches(), 0);
}

#[tokio::test]
async fn a_new_key_is_fetched_once_and_the_whole_set_replaced() {
    let (stub, keys) = started().await;
    assert_eq!(code(&keys, &token(), now()).await, "by k1");
    stub.set_keys(&jwks(&[jwk(theirs(), "k2")]));
    let new = sign_text(&with(header(), "kid", json!("k2")).to_string(), &session().to_string(), theirs());
    // Within the interval the provider is not asked again, and nothing is remembered against the key.
    assert_eq!(code(&keys, &new, now() + seconds(30)).await, "unknown_key");
    assert_eq!(stub.key_fetches(), 1);
    assert_eq!(code(&keys, &new, now() + FETCH_INTERVAL).await, "by k2");
    assert_eq!(stub.key_fetches(), 2);
    // The old key is gone: a token that it signed is not believed any more.
    assert!(!keys.contains("k1"));
    assert_eq!(code(&keys, &token(), now() + FETCH_INTERVAL).await, "unknown_key");
}

#[tokio::test]
async fn a_flood_of_unknown_keys_does_not_reach_the_provider() {
    let (stub, keys) = started().await;
    assert_eq!(code(&keys, &token(), now()).await, "by k1");
    let later = now() + FETCH_INTERVAL;
    for n in 0..300 {
        assert_eq!(code(&keys, &naming(&format!("forged-{n}")), later).await, "unknown_key");
    }
    assert_eq!(stub.key_fetches(), 2);
    // One that was asked for is not asked for again for five minutes, others once a minute.
    assert_eq!(code(&keys, &naming("forged-0"), later + FETCH_INTERVAL).await, "unknown_key");
    assert_eq!(stub.key_fetches(), 2);
    assert_eq!(code(&keys, &naming("forged-1"), later + FETCH_INTERVAL).await, "unknown_key");
    assert_eq!(stub.key_fetches(), 3);
    assert_eq!(code(&keys, &naming("forged-0"), later + UNKNOWN_LIFE).await, "unknown_key");
    assert_eq!(stub.key_fetches(), 4);
    // A key that was remembered as unknown and is published now is known.
    stub.set_keys(&jwks(&[jwk(ours(), "k1"), jwk(ours(), "forged-0")]));
    assert_eq!(keys.fetch(later + UNKNOWN_LIFE + seconds(1)).await.unwrap(), KeyRefresh::Changed);
    assert_eq!(code(&keys, &naming("forged-0"), later + UNKNOWN_LIFE + seconds(2)).await, "by forged-0");
}

#[tokio::test]
async fn old_sets_are_confirmed_and_stale_ones_refused() {
    let (stub, keys) = started().await;
    assert_eq!(code(&keys, &token(), now()).await, "by k1");
    let hour = now() + seconds(3600);
    assert_eq!(code(&keys, &token(), hour).await, "by k1");
    assert_eq!(stub.key_fetches(), 2, "the set is confirmed after its hour");
    // The provider is down: the set goes on for a day, and the provider is asked again, but not by every token.
    stub.set(&format!("/v2/keys/{PROJECT}"), Reply::new(503, ""));
    let down = hour + seconds(3600);
    for _ in 0..10 {
        assert_eq!(code(&keys, &token(), down).await, "by k1");
    }
    assert_eq!(stub.key_fetches(), 3);
    assert_eq!(code(&keys, &token(), hour + STALE_LIMIT - seconds(1)).await, "by k1");
    assert_eq!(code(&keys, &token(), hour + STALE_LIMIT).await, "stale_keys");
    assert!(keys.verify_at_hand(&token(), hour + STALE_LIMIT).is_err());
    assert!(keys.verify_at_hand(&token(), hour).is_err(), "a clock that is set back makes no set younger");
    // And back again.
    stub.set_keys(&our_jwks());
    assert_eq!(code(&keys, &token(), hour + STALE_LIMIT + seconds(10)).await, "by k1");
}

#[tokio::test]
async fn the_timer_refreshes_before_the_end() {
    let (stub, keys) = started().await;
    assert_eq!(keys.refresh_if_due(now()).await.unwrap(), KeyRefresh::Changed);
    assert_eq!(keys.refresh_if_due(now() + seconds(2000)).await.unwrap(), KeyRefresh::NotDue);
    assert_eq!(keys.due_at(), Some(now() + seconds(2880)));
    assert_eq!(keys.refresh_if_due(now() + seconds(2880)).await.unwrap(), KeyRefresh::Unchanged);
    stub.set_keys(&jwks(&[jwk(ours(), "k9")]));
    assert_eq!(keys.refresh_if_due(now() + seconds(6000)).await.unwrap(), KeyRefresh::Changed);
    assert!(!keys.contains("k1"));
    stub.set_keys(r#"{"keys":[]}"#);
    assert!(keys.refresh_if_due(now() + seconds(9000)).await.is_err());
    assert!(keys.contains("k9"), "a set without keys does not replace one with keys");
    assert_eq!(keys.refresh_if_due(now() + seconds(9001)).await.unwrap(), KeyRefresh::NotDue, "just failed");
    assert!(keys.refresh_if_due(now() + seconds(9005)).await.is_err());
    // The clock was set back: ages mean nothing, so the set is confirmed.
    stub.set_keys(&our_jwks());
    assert_eq!(keys.refresh_if_due(now() - seconds(86_400)).await.unwrap(), KeyRefresh::Changed);
}

#[tokio::test]
async fn the_provider_may_say_how_long_within_reason() {
    for (said, life) in [
        ("max-age=7200", 7200),
        ("public, max-age=7200, must-revalidate", 7200),
        ("max-age=1", 300),
        ("max-age=99999999", 86_400),
        ("no-store", 3600),
        ("max-age=soon", 3600),
        ("max-age=-5", 3600),
    ] {
        let (stub, keys) = started().await;
        stub.set(&format!("/v2/keys/{PROJECT}"), Reply::json(our_jwks()).header("cache-control", said));
        keys.fetch(now()).await.unwrap();
        assert_eq!(keys.due_at(), Some(now() + seconds(life * 4 / 5)), "{said}");
    }
}

#[tokio::test]
async fn without_network_and_without_memory_nothing_is_verified() {
    let keys = provider("http://127.0.0.1:9").keys(None, now());
    let error = keys.verify(&token(), now()).await.unwrap_err();
    assert_eq!(error.code(), "no_keys");
    assert!(error.to_string().contains("127.0.0.1:9"), "{error}");
}

#[tokio::test]
async fn odd_answers_are_no_keys() {
    for reply in [
        Reply::json(r#"{"keys":[]}"#),
        Reply::json("[]"),
        Reply::json(r#"{"keys":[],"keys":[]}"#),
        Reply::new(200, "<html>"),
        Reply::new(404, r#"{"errorCode":"E011008"}"#),
        Reply::new(302, "").header("location", "http://127.0.0.1:9/keys"),
        Reply::json(format!(r#"{{"keys":[],"pad":"{}"}}"#, "x".repeat(1_100_000))),
        Reply::dropped(),
    ] {
        let (stub, keys) = started().await;
        stub.set(&format!("/v2/keys/{PROJECT}"), reply);
        assert_eq!(code(&keys, &token(), now()).await, "no_keys");
    }
}

#[tokio::test]
async fn the_set_is_remembered_for_a_start_without_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let stub = Stub::start().await;
    stub.set_keys(&our_jwks());
    let keys = provider(&stub.base).keys(Some(path.clone()), now());
    keys.fetch(now()).await.unwrap();
    stub.set(&format!("/v2/keys/{PROJECT}"), Reply::new(503, ""));

    let later = now() + seconds(7200);
    let again = provider(&stub.base).keys(Some(path.clone()), later);
    assert_eq!(again.fetched_at(), Some(now()));
    assert_eq!(code(&again, &token(), later).await, "by k1");
    // Not beyond a day, not from the future, not another provider's, not broken, not absent.
    let empty = |at, base: &str| provider(base).keys(Some(path.clone()), at).fetched_at().is_none();
    assert!(empty(now() + STALE_LIMIT, &stub.base));
    assert!(empty(now() - seconds(3600), &stub.base));
    assert!(empty(later, "http://127.0.0.1:9"));
    let text = std::fs::read_to_string(&path).unwrap();
    for broken in [
        String::new(),
        "{}".to_owned(),
        text[..text.len() / 2].to_owned(),
        text.replace("\"version\":1", "\"version\":2"),
        text.replace("\"keys\":[", "\"keis\":["),
        text.replacen('{', r#"{"more":1,"#, 1),
    ] {
        std::fs::write(&path, &broken).unwrap();
        assert!(empty(later, &stub.base), "{broken}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(empty(later, &stub.base));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a temporary file was left behind");
}

#[tokio::test]
async fn a_folder_that_is_missing_is_no_reason_to_fail() {
    let stub = Stub::start().await;
    stub.set_keys(&our_jwks());
    let keys = provider(&stub.base).keys(Some("/nonexistent/folder/keys.json".into()), now());
    assert_eq!(code(&keys, &token(), now()).await, "by k1");
}
