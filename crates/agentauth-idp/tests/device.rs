//! Logins on another device, against a provider that answers what it is told to, and against the stand-in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::future::pending;
use std::time::{Duration, Instant};

use agentauth_core::{Clock, SignedDuration, Timestamp};
use agentauth_idp::{
    DeviceAttempt, DeviceError, DeviceLogin, DevicePrompt, ExchangeError, Provider, ProviderConfig,
    ProviderSettings, TokenSet, describe,
};
use descope_emulator::{Control, Emulator, Fault, FaultAction};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use support::forge::{self, header, id, session, sign, with};
use support::stub::{Reply, Stub};
use support::{now, provider, until};

const DEVICE: &str = "/oauth2/v1/device";
const TOKEN: &str = "/oauth2/v1/token";
const CODE: &str = "the-device-code-that-nobody-may-see";
const ALICE: &str = "alice@acme.test";

/// The instant at which the forged tokens are good.
struct Then;

impl Clock for Then {
    fn now(&self) -> Timestamp {
        now()
    }
}

/// A provider that offers this, with codes that live for `lifetime` seconds and may be asked about every second.
async fn offering(lifetime: u64) -> (Stub, Provider) {
    let stub = Stub::start().await;
    stub.set_discovery(json!({"device_authorization_endpoint": format!("{}{DEVICE}", stub.base)}));
    stub.set_keys(&forge::our_jwks());
    stub.set(DEVICE, Reply::json(codes(&stub, lifetime)));
    let provider = provider(&stub.base);
    (stub, provider)
}

fn codes(stub: &Stub, lifetime: u64) -> Value {
    json!({"device_code": CODE, "user_code": "WDJB-MJHT", "verification_uri": format!("{}/device", stub.base),
        "verification_uri_complete": format!("{}/device?user_code=WDJB-MJHT", stub.base),
        "expires_in": lifetime, "interval": 1})
}

fn tokens(stub: &Stub) -> Reply {
    Reply::json(json!({"access_token": sign(&header(), &session()), "token_type": "Bearer",
        "refresh_token": "r1", "id_token": sign(&header(), &with(id(&stub.base), "nonce", Value::Null))}))
}

fn refusal(code: &str) -> Reply {
    Reply::new(400, json!({ "error": code })).header("content-type", "application/json")
}

fn html(status: u16) -> Reply {
    Reply::new(status, "<!DOCTYPE html><title>Just a moment...</title>").header("content-type", "text/html")
}

async fn begin(provider: &Provider) -> (DeviceAttempt, DevicePrompt) {
    DeviceLogin::start(provider, None, &Then).await.unwrap()
}

async fn follow(provider: &Provider) -> Result<TokenSet, DeviceError> {
    begin(provider).await.0.wait(provider, &Then, pending()).await
}

fn word(error: &DeviceError) -> &'static str {
    match error {
        DeviceError::Discovery(_) => "discovery",
        DeviceError::NotOffered => "not offered",
        DeviceError::Http(_) => "http",
        DeviceError::NotAllowed(_) => "not allowed",
        DeviceError::NotStarted(_) => "not started",
        DeviceError::Unusable(_) => "unusable",
        DeviceError::Cancelled => "cancelled",
        DeviceError::Denied => "denied",
        DeviceError::Expired { .. } => "expired",
        DeviceError::AnswerLost(_) => "answer lost",
        DeviceError::Refused(_) => "refused",
        DeviceError::Exchange(_) => "exchange",
    }
}

#[tokio::test]
async fn the_request_says_who_asks_and_the_answer_what_to_show() {
    let (stub, provider) = offering(600).await;
    let (attempt, prompt) = begin(&provider).await;
    assert_eq!(prompt.user_code, "WDJB-MJHT");
    assert_eq!(prompt.verification_uri.as_str(), format!("{}/device", stub.base));
    assert_eq!(prompt.lifetime, SignedDuration::from_secs(600));
    let seen = stub.seen(DEVICE);
    assert_eq!((seen.len(), seen[0].method.as_str(), &seen[0].authorization), (1, "POST", &None));
    let sent: Vec<(String, String)> =
        url::form_urlencoded::parse(seen[0].body.as_bytes()).into_owned().collect();
    assert_eq!(sent[0], ("client_id".to_owned(), support::PROJECT.to_owned()));
    assert_eq!(sent[1], ("scope".to_owned(), "openid profile email offline_access".to_owned()));
    let shown = format!("{attempt:?} {prompt:?} {provider:?}");
    assert!(!shown.contains(CODE) && !shown.contains("WDJB"), "{shown}");

    let limited = DeviceLogin::start(&provider, Some(Duration::from_secs(90)), &Then).await.unwrap().1;
    assert_eq!(limited.lifetime, SignedDuration::from_secs(90), "the shorter one counts");
}

#[tokio::test]
async fn a_login_that_cannot_be_started_says_why() {
    let stub = Stub::start().await;
    let error = DeviceLogin::start(&provider(&stub.base), None, &Then).await.unwrap_err();
    assert_eq!(word(&error), "not offered");
    assert!(describe(&error).contains("switch on device authentication"), "{error}");
    assert!(stub.seen(DEVICE).is_empty());

    let (stub, provider) = offering(600).await;
    let descope = |code: &str| json!({ "errorCode": code, "errorMessage": "not for you" }).to_string();
    for (status, body, expected) in [
        (400, json!({"error": "unauthorized_client"}).to_string(), "not allowed"),
        (401, json!({"error": "invalid_client"}).to_string(), "not allowed"),
        (400, descope("E011003"), "not allowed"),
        (404, descope("E011008"), "not started"),
        (400, json!({"error": "invalid_scope"}).to_string(), "not started"),
        (404, String::new(), "not started"),
        (429, descope("E130429"), "not started"),
        (503, "<html>".to_owned(), "not started"),
        (302, String::new(), "not started"),
        (200, "<html>".to_owned(), "unusable"),
        (200, json!({"device_code": CODE}).to_string(), "unusable"),
    ] {
        stub.set(DEVICE, Reply::new(status, &body));
        let error = DeviceLogin::start(&provider, None, &Then).await.unwrap_err();
        assert_eq!(word(&error), expected, "{status} {body}");
        assert!(!describe(&error).contains(CODE), "{error}");
    }
    stub.set(DEVICE, Reply::dropped());
    assert_eq!(word(&DeviceLogin::start(&provider, None, &Then).await.unwrap_err()), "http");
}

#[tokio::test]
async fn each_refusal_ends_the_asking_at_once() {
    let cases = [
        ("access_denied", "denied"),
        ("expired_token", "expired"),
        ("invalid_grant", "refused"),
        ("invalid_client", "refused"),
        ("unsupported_grant_type", "refused"),
        ("something_new", "refused"),
    ];
    let runs = cases.map(|(code, expected)| async move {
        let (stub, provider) = offering(600).await;
        stub.set(TOKEN, refusal(code));
        let error = follow(&provider).await.unwrap_err();
        assert_eq!(word(&error), expected, "{code}: {error}");
        let seen = stub.seen(TOKEN);
        assert_eq!(seen.len(), 1, "{code}");
        assert!(seen[0].body.contains("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code"));
        assert!(seen[0].body.contains(&format!("device_code={CODE}")), "{}", seen[0].body);
    });
    join(runs).await;
}

#[tokio::test]
async fn slow_down_lengthens_the_interval_for_good() {
    let (stub, provider) = offering(600).await;
    let replies = [refusal("authorization_pending"), refusal("slow_down"), refusal("authorization_pending")];
    stub.set_all(TOKEN, replies.into_iter().chain([tokens(&stub)]));
    let (attempt, _) = begin(&provider).await;
    let waiting = tokio::spawn(async move {
        let outcome = attempt.wait(&provider, &Then, pending()).await;
        outcome.map(|_| ())
    });
    let mut at = Vec::new();
    for asked in 1..=4 {
        until("the next question", async || stub.seen(TOKEN).len() >= asked).await;
        at.push(Instant::now());
    }
    waiting.await.unwrap().unwrap();
    let gaps: Vec<f64> = at.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    assert!(gaps[0] >= 0.9 && gaps[1] >= 5.9 && gaps[2] >= 5.9, "{gaps:?}");
    assert_eq!(stub.seen(TOKEN).len(), 4);
}

#[tokio::test]
async fn what_says_nothing_is_outlived() {
    let cases = [
        ("html 502", html(502)),
        ("html 403", html(403)),
        ("429", Reply::new(429, "{}").header("retry-after", "1")),
        ("503", Reply::new(503, json!({"error": "temporarily_unavailable"}))),
        ("no answer", Reply::dropped()),
        ("an empty 500", Reply::new(500, "")),
    ];
    let runs = cases.map(|(what, reply)| async move {
        let (stub, provider) = offering(600).await;
        stub.set_all(TOKEN, [reply, tokens(&stub)]);
        let tokens = follow(&provider).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(tokens.refresh_token.expose_secret(), "r1");
        assert_eq!(stub.seen(TOKEN).len(), 2, "{what}");
    });
    join(runs).await;
}

#[tokio::test]
async fn tokens_in_a_lost_answer_are_told_from_a_refusal() {
    let (stub, provider) = offering(600).await;
    stub.set_all(TOKEN, [Reply::dropped(), refusal("invalid_grant")]);
    let error = follow(&provider).await.unwrap_err();
    assert_eq!(word(&error), "answer lost");
    assert!(error.to_string().contains("start again"), "{error}");
}

#[tokio::test]
async fn a_provider_that_stays_away_is_named_when_the_time_is_over() {
    let (stub, provider) = offering(4).await;
    stub.set(TOKEN, html(503));
    let error = follow(&provider).await.unwrap_err();
    assert_eq!(word(&error), "expired");
    assert!(error.to_string().contains("HTTP 503"), "{error}");
    assert!((1..=3).contains(&stub.seen(TOKEN).len()));
}

#[tokio::test]
async fn a_refusal_that_repeats_the_code_is_not_repeated() {
    let (stub, provider) = offering(600).await;
    let echo = json!({"error": "invalid_grant", "error_description": format!("no such code {CODE}")});
    stub.set(TOKEN, Reply::new(400, echo));
    let error = follow(&provider).await.unwrap_err();
    assert_eq!(word(&error), "refused");
    let shown = format!("{error:?} {}", describe(&error));
    assert!(!shown.contains(CODE), "{shown}");
}

#[tokio::test]
async fn an_answer_without_all_tokens_is_final() {
    let (stub, provider) = offering(600).await;
    stub.set(TOKEN, Reply::json(json!({"access_token": "t", "token_type": "Bearer", "refresh_token": "r"})));
    let error = follow(&provider).await.unwrap_err();
    assert!(matches!(error, DeviceError::Exchange(ExchangeError::NoIdToken)), "{error}");
    assert_eq!(stub.seen(TOKEN).len(), 1, "the code is spent");
}

#[tokio::test]
async fn who_gives_up_is_not_kept_waiting() {
    let (stub, provider) = offering(600).await;
    let (attempt, _) = begin(&provider).await;
    assert_eq!(word(&attempt.wait(&provider, &Then, async {}).await.unwrap_err()), "cancelled");
    assert!(stub.seen(TOKEN).is_empty());
}

#[tokio::test]
async fn tokens_that_come_after_giving_up_are_ended_at_the_provider() {
    let (stub, provider) = offering(600).await;
    stub.set(TOKEN, tokens(&stub).after(Duration::from_millis(300)));
    stub.set("/v1/auth/logout", Reply::json("{}"));
    let (attempt, _) = begin(&provider).await;
    let asked = stub.clone();
    let once_asked = async move { until("the question", async || !asked.seen(TOKEN).is_empty()).await };
    let error = attempt.wait(&provider, &Then, once_asked).await.unwrap_err();
    assert_eq!(word(&error), "cancelled");
    let ended = stub.seen("/v1/auth/logout");
    assert!(ended.len() == 1 && ended[0].authorization.as_deref().unwrap().ends_with("r1"), "{ended:?}");
}

#[tokio::test]
async fn the_tokens_are_verified_without_a_nonce_and_nothing_less() {
    let (stub, provider) = offering(600).await;
    stub.set("/v1/auth/logout", Reply::json("{}"));
    let keys = provider.keys(None, now());
    stub.set(TOKEN, tokens(&stub));
    let set = follow(&provider).await.unwrap();
    let done = provider.believe(set, &keys, None, None, &Then).await.unwrap();
    assert_eq!(done.accepted.user.subject, "U1");

    let spoilt = with(with(id(&stub.base), "nonce", Value::Null), "aud", json!("somebody-else"));
    stub.set(
        TOKEN,
        Reply::json(json!({"access_token": sign(&header(), &session()), "token_type": "Bearer",
            "refresh_token": "r2", "id_token": sign(&header(), &spoilt)})),
    );
    let set = follow(&provider).await.unwrap();
    assert!(provider.believe(set, &keys, None, None, &Then).await.is_err());
    assert_eq!(stub.seen("/v1/auth/logout").len(), 1, "a login that nobody will use is not left alive");
}

struct EmulatedClock(Control);

impl Clock for EmulatedClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

async fn emulated() -> (Emulator, Provider) {
    let emulator = Emulator::builder().start().await.unwrap();
    emulator.control().update_settings(|settings| settings.device.interval = 1);
    let settings = ProviderSettings {
        project_id: emulator.project_id().to_owned(),
        ..support::settings(emulator.base_url())
    };
    let provider = Provider::new(ProviderConfig::new(settings).unwrap()).unwrap();
    (emulator, provider)
}

#[tokio::test]
async fn a_person_approves_and_the_login_lives() {
    let (emulator, provider) = emulated().await;
    let clock = EmulatedClock(emulator.control());
    // The first answers are lost: nothing was in them.
    let lost = Fault::on(TOKEN, FaultAction::AnswerLost).times(1);
    emulator.control().inject(lost);
    let (attempt, prompt) = DeviceLogin::start(&provider, None, &clock).await.unwrap();
    let control = emulator.control();
    let approving = async {
        until("the first question", async || control.devices()[0].polls > 0).await;
        control.approve_device(&prompt.user_code, ALICE).unwrap();
    };
    let (tokens, ()) = tokio::join!(attempt.wait(&provider, &clock, pending()), approving);
    let keys = provider.keys(None, clock.now());
    let done = provider.believe(tokens.unwrap(), &keys, None, None, &clock).await.unwrap();
    assert_eq!(done.accepted.user.email.as_deref(), Some(ALICE));
    provider.refresh(&done.tokens.refresh_token).await.unwrap();
    assert_eq!(control.live_families().len(), 1);
}

#[tokio::test]
async fn a_person_refuses_or_never_comes() {
    let (emulator, provider) = emulated().await;
    let clock = EmulatedClock(emulator.control());
    let (attempt, prompt) = DeviceLogin::start(&provider, None, &clock).await.unwrap();
    emulator.control().deny_device(&prompt.user_code).unwrap();
    assert_eq!(word(&attempt.wait(&provider, &clock, pending()).await.unwrap_err()), "denied");

    let (attempt, _) = DeviceLogin::start(&provider, None, &clock).await.unwrap();
    emulator.control().advance(3_600);
    assert_eq!(word(&attempt.wait(&provider, &clock, pending()).await.unwrap_err()), "expired");

    emulator.control().update_settings(|settings| settings.device.enabled = false);
    let error = DeviceLogin::start(&provider, None, &clock).await.unwrap_err();
    assert_eq!(word(&error), "not allowed", "{error}");
    assert_eq!(emulator.control().families().len(), 0);
}

/// Runs all of them side by side.
async fn join<F: Future<Output = ()>>(runs: impl IntoIterator<Item = F>) {
    let mut runs: Vec<_> = runs.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|context| {
        runs.retain_mut(|run| run.as_mut().poll(context).is_pending());
        if runs.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
