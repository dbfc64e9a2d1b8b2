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

use agentauth_idp::{FETCH_INTERVAL, KeyRefresh, Keys, REVOCATION_BOUND, STALE_LIMIT, UNKNOWN_LIFE};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use support::forge::{header, jwk, jwks, our_jwks, ours, session, sign, sign_text, theirs, unsigned, with};
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

/// A token that names a key of its own; no signature is ever looked at, so it has none.
fn forged(n: i64) -> String {
    format!("{}.c2ln", unsigned(&json!({"alg":"RS256","kid":format!("forged-{n}")}).to_string(), "{}"))
}

#[tokio::test]
async fn ten_thousand_unknown_keys_from_many_threads_cause_one_fetch_an_interval() {
    let (stub, keys) = started().await;
    assert_eq!(code(&keys, &token(), now()).await, "by k1");
    assert_eq!(stub.key_fetches(), 1);
    // Ten minutes of them; threads overtake each other, so that their clocks seem to go back.
    let minutes = 10;
    for minute in 1..=minutes {
        let threads = (0..20_i64).map(|thread| {
            let keys = keys.clone();
            tokio::task::spawn_blocking(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                for n in 0..50_i64 {
                    let jitter = SignedDuration::from_millis((thread * 37 + n * 61) % 1500 - 750);
                    let at = now() + FETCH_INTERVAL * minute + seconds(i64::from(minute)) + jitter;
                    let kid = i64::from(minute) * 1000 + thread * 50 + n;
                    assert_eq!(runtime.block_on(code(&keys, &forged(kid), at)), "unknown_key");
                }
            })
        });
        for thread in threads.collect::<Vec<_>>() {
            thread.await.unwrap();
        }
        let most = 1 + usize::try_from(minute).unwrap();
        assert!(stub.key_fetches() <= most, "{} fetches in minute {minute}", stub.key_fetches());
    }
    assert!(stub.key_fetches() > 5, "the provider is asked now and then");
    // Neither does the flood displace the good key.
    assert_eq!(code(&keys, &token(), now() + seconds(700)).await, "by k1");
}

#[tokio::test]
async fn a_flood_while_the_provider_is_down_asks_no_more_often() {
    let (stub, keys) = started().await;
    assert_eq!(code(&keys, &token(), now()).await, "by k1");
    stub.set(&format!("/v2/keys/{PROJECT}"), Reply::new(503, ""));
    let later = now() + FETCH_INTERVAL;
    for n in 0..10_000 {
        assert_eq!(code(&keys, &forged(n), later + SignedDuration::from_millis(n)).await, "unknown_key");
    }
    assert_eq!(stub.key_fetches(), 2);
}

#[tokio::test]
async fn a_withdrawn_key_works_no_longer_than_documented() {
    for said in ["no-store", "max-age=1", "max-age=86400", "max-age=31536000, immutable"] {
        let (stub, keys) = started().await;
        let answer = |set: String| Reply::json(set).header("cache-control", said);
        stub.set(&format!("/v2/keys/{PROJECT}"), answer(our_jwks()));
        assert_eq!(code(&keys, &token(), now()).await, "by k1");
        // Rotated and revoked in the same moment.
        stub.set(&format!("/v2/keys/{PROJECT}"), answer(jwks(&[jwk(theirs(), "k2")])));
        assert_eq!(code(&keys, &token(), now() + REVOCATION_BOUND).await, "unknown_key", "{said}");
    }
    // The provider cannot be asked: a day, and not a moment longer.
    let (stub, keys) = started().await;
    assert_eq!(code(&keys, &token(), now()).await, "by k1");
    stub.set(&format!("/v2/keys/{PROJECT}"), Reply::dropped());
    assert_eq!(code(&keys, &token(), now() + STALE_LIMIT).await, "stale_keys");
}

#[test]
fn the_documents_name_the_bounds_of_the_code() {
    let read = |path: &str| {
        let path = format!("{}/../../docs/{path}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let (hour, day) = (SignedDuration::from_hours(1), SignedDuration::from_hours(24));
    assert_eq!((REVOCATION_BOUND, STALE_LIMIT, FETCH_INTERVAL), (hour, day, seconds(60)));
    for document in ["architecture.md", "threat-model.md"] {
        let text = read(document);
        assert!(text.contains("within an hour where the provider can be reached"), "{document}");
        assert!(text.contains("within a day where it cannot"), "{document}");
    }
    assert!(read("architecture.md").contains("at most once a minute"));
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
        ("max-age=1800", 1800),
        ("public, max-age=1800, must-revalidate", 1800),
        ("max-age=1", 300),
        ("max-age=7200", 3600),
        ("max-age=99999999", 3600),
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
