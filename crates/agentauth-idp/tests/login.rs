//! Whole logins, refreshes and logouts against the stand-in provider.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::future::pending;

use agentauth_core::session::RefreshFailure;
use agentauth_core::{Clock, Timestamp};
use agentauth_idp::{
    AuthorizationUrl, CompleteError, ExchangeError, Keys, LoggedIn, Login, LoginError, LoginOptions,
    LogoutFailure, Outcome, Provider, ProviderConfig, ProviderSettings, RefreshVia, describe,
};
use descope_emulator::{
    Approval, Control, Delivery, Emulator, ErrorShape, Fault, FaultAction, ReusePolicy, TokenOverride,
    UnrotatedAnswer, UserChange,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

const ALICE: &str = "alice@acme.test";

struct World {
    emulator: Emulator,
    provider: Provider,
    keys: Keys,
}

struct EmulatedClock(Control);

impl Clock for EmulatedClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

impl World {
    async fn start(change: impl FnOnce(&mut ProviderSettings)) -> Self {
        let emulator = Emulator::builder().auto_approve(ALICE).start().await.unwrap();
        let mut settings = ProviderSettings {
            project_id: emulator.project_id().to_owned(),
            ..support::settings(emulator.base_url())
        };
        change(&mut settings);
        let provider = Provider::new(ProviderConfig::new(settings).unwrap()).unwrap();
        let keys = provider.keys(None, emulator.control().now());
        Self { emulator, provider, keys }
    }

    fn control(&self) -> Control {
        self.emulator.control()
    }

    /// A login from beginning to end, and the page that the browser shows.
    async fn login(&self, pinned: Option<&str>) -> (Result<LoggedIn, CompleteError>, String) {
        let (attempt, url) = Login::start(&self.provider, LoginOptions::default()).await.unwrap();
        let browser = browse(&url);
        let (grant, page) = attempt.wait(pending()).await.unwrap().split();
        let clock = EmulatedClock(self.control());
        let outcome = self.provider.complete(&grant, &self.keys, pinned, &clock).await;
        page.finish(match &outcome {
            Ok(done) => Outcome::LoggedIn {
                name: done.accepted.user.name.clone(),
                email: done.accepted.user.email.clone(),
                next: "Close this tab.".to_owned(),
            },
            Err(error) => Outcome::Failed { what: describe(error), next: "Try again.".to_owned() },
        })
        .await;
        (outcome, browser.await.unwrap())
    }

    async fn refresh_token(&self) -> SecretString {
        self.login(None).await.0.unwrap().tokens.refresh_token
    }
}

/// A browser: follows the provider's redirect to the listener and returns the page.
fn browse(url: &AuthorizationUrl) -> tokio::task::JoinHandle<String> {
    let url = url.as_str().to_owned();
    tokio::spawn(async move {
        let browser = reqwest::Client::builder().no_proxy().build().unwrap();
        browser.get(url).send().await.unwrap().text().await.unwrap()
    })
}

#[tokio::test]
async fn a_person_logs_in_and_is_named() {
    let world = World::start(|_| {}).await;
    let (outcome, page) = world.login(None).await;
    let done = outcome.unwrap();
    let alice = world.control().user(ALICE).unwrap();
    assert_eq!(done.accepted.user.subject, alice.id);
    assert_eq!(done.accepted.user.email.as_deref(), Some(ALICE));
    assert_eq!(done.accepted.session.claims.roles, ["payment_processor"]);
    assert!(world.keys.contains(&done.accepted.session.key_id));
    assert!(done.accepted.id.auth_time.is_some());
    assert!(page.contains("You are logged in") && page.contains("Alice Moreau (alice@acme.test)"), "{page}");
    let everything = format!("{done:?} {:?} {:?} {page}", world.provider, world.keys);
    let issued = world.control().issued();
    assert!(issued.len() >= 4, "code and three tokens at least");
    for secret in issued {
        assert!(!everything.contains(&secret.value), "{:?} is shown", secret.kind);
    }
    assert!(!everything.contains("eyJ"), "a token is shown");
}

#[tokio::test]
async fn the_address_asks_for_what_is_configured() {
    let world = World::start(|settings| {
        settings.flow = Some("sign-in".to_owned());
        settings.tenant = Some("T1".to_owned());
        settings.login_hint = Some("bob@acme.test".to_owned());
    })
    .await;
    let options = LoginOptions {
        nonce: Some("hash-of-the-question".to_owned()),
        force: true,
        max_age_seconds: Some(0),
        login_hint: Some(ALICE.to_owned()),
        ..LoginOptions::default()
    };
    let (attempt, url) = Login::start(&world.provider, options).await.unwrap();
    let value = |name: &str| {
        let values: Vec<_> =
            url.url().query_pairs().filter(|(n, _)| n == name).map(|(_, v)| v.into_owned()).collect();
        assert!(values.len() < 2, "{name} twice");
        values.into_iter().next()
    };
    for (name, expected) in [
        ("response_type", "code"),
        ("client_id", world.emulator.project_id()),
        ("redirect_uri", attempt.redirect_uri()),
        ("scope", "openid profile email offline_access"),
        ("code_challenge_method", "S256"),
        ("nonce", "hash-of-the-question"),
        ("flow", "sign-in"),
        ("tenant", "T1"),
        ("login_hint", ALICE),
        ("prompt", "login"),
        ("max_age", "0"),
    ] {
        assert_eq!(value(name).as_deref(), Some(expected), "{name}");
    }
    assert_eq!(value("state").unwrap().len(), 43);
    assert_eq!(value("code_challenge").unwrap().len(), 43);
    assert!(attempt.redirect_uri().starts_with("http://127.0.0.1:"));
    assert!(!format!("{url:?} {attempt:?}").contains(&value("state").unwrap()));
    assert_eq!(attempt.nonce(), "hash-of-the-question");
}

#[tokio::test]
async fn a_refusal_at_the_provider_is_told() {
    let world = World::start(|_| {}).await;
    world.control().set_approval(Approval::Deny).unwrap();
    let (attempt, url) = Login::start(&world.provider, LoginOptions::default()).await.unwrap();
    let browser = browse(&url);
    let error = attempt.wait(pending()).await.unwrap_err();
    assert!(matches!(&error, LoginError::Provider { code, .. } if code == "access_denied"), "{error}");
    assert!(browser.await.unwrap().contains("access_denied"));
}

#[tokio::test]
async fn bad_tokens_are_refused_and_the_page_says_so() {
    let table: Vec<(&str, TokenOverride, &str)> = vec![
        ("session expired", TokenOverride::session().expires_in(-60), "expired"),
        (
            "session of another project",
            TokenOverride::session().claim("iss", "P999999999999999999999999999"),
            "wrong_issuer",
        ),
        ("refresh token as session", TokenOverride::session().claim("drn", "DSR"), "wrong_kind"),
        ("another's nonce", TokenOverride::id().claim("nonce", "guess"), "wrong_nonce"),
        ("no nonce", TokenOverride::id().without("nonce"), "missing_claim"),
        (
            "another's at_hash",
            TokenOverride::id().claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"),
            "other_access_token",
        ),
        ("another's id token", TokenOverride::id().claim("sub", "U-somebody"), "subject_mismatch"),
        ("another's audience", TokenOverride::id().claim("aud", "somebody"), "wrong_audience"),
        ("two audiences", TokenOverride::session().duplicate("aud", "x"), "duplicate_member"),
    ];
    let world = World::start(|_| {}).await;
    for (name, change, expected) in table {
        world.control().next_token_override(change);
        let (outcome, page) = world.login(None).await;
        let Err(CompleteError::Token(fault)) = outcome else { panic!("{name}: {outcome:?}") };
        assert_eq!(fault.code(), expected, "{name}");
        assert!(
            page.contains("The login did not succeed")
                && (page.contains("was refused") || page.contains("were refused")),
            "{name}: {page}"
        );
    }
    let (outcome, _) = world.login(Some("U-pinned-before")).await;
    let Err(CompleteError::Token(fault)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(fault.code(), "wrong_subject");
}

#[tokio::test]
async fn without_a_refresh_token_the_remedy_is_named() {
    let world = World::start(|settings| settings.scopes = Some(vec!["openid".to_owned()])).await;
    world.control().update_settings(|settings| settings.oauth.refresh_needs_offline_access = true);
    let (outcome, page) = world.login(None).await;
    assert!(matches!(outcome, Err(CompleteError::Exchange(ExchangeError::NoRefreshToken))), "{outcome:?}");
    assert!(page.contains("offline_access"), "{page}");
}

#[tokio::test]
async fn a_nameless_id_token_is_completed_by_userinfo() {
    let world = World::start(|_| {}).await;
    world.control().next_token_override(TokenOverride::id().without("name").without("email"));
    let (outcome, page) = world.login(None).await;
    assert!(outcome.unwrap().accepted.user.email.is_some() || page.contains("You are logged in"), "{page}");
    world.control().next_token_override(TokenOverride::id().without("name").without("email"));
    world.control().inject(Fault::on("/oauth2/v1/userinfo", FaultAction::html(503)).once());
    let done = world.login(None).await.0.unwrap();
    assert_eq!(done.accepted.user.email.as_deref(), Some(ALICE), "`me` steps in");
    world.control().next_token_override(TokenOverride::id().without("name").without("email"));
    world.control().inject(Fault::on("/oauth2/v1/userinfo", FaultAction::html(503)).once());
    world.control().inject(Fault::on("/v1/auth/me", FaultAction::html(503)).once());
    let done = world.login(None).await.0.unwrap();
    assert_eq!(done.accepted.user.label(), done.accepted.user.subject, "a name is not needed");
}

/// Whoever registers themselves can write any address there: policies that go by it must not see one that nobody verified.
#[tokio::test]
async fn an_address_that_nobody_verified_is_none() {
    let world = World::start(|_| {}).await;
    let unverified = UserChange { unverified: Some(true), ..UserChange::default() };
    world.control().change_user(ALICE, unverified).unwrap();
    let done = world.login(None).await.0.unwrap();
    assert_eq!((done.accepted.user.email, done.accepted.user.name.as_deref()), (None, Some("Alice Moreau")));
    assert_eq!(world.provider.me(&done.tokens.refresh_token).await.unwrap().email, None);
    for claims in [&["name", "email"][..], &["name", "email", "email_verified"]] {
        let nameless = claims.iter().fold(TokenOverride::id(), |id, claim| id.without(claim));
        world.control().next_token_override(nameless);
        let done = world.login(None).await.0.unwrap();
        assert_eq!(done.accepted.user.email, None, "userinfo says so, too");
    }
    // What the ID token calls unverified is not believed of another source.
    let verified = UserChange { unverified: Some(false), ..UserChange::default() };
    world.control().change_user(ALICE, verified).unwrap();
    let doubted = TokenOverride::id().without("name").claim("email_verified", false);
    world.control().next_token_override(doubted);
    assert_eq!(world.login(None).await.0.unwrap().accepted.user.email, None);
    world.control().next_token_override(TokenOverride::id().claim("email_verified", "false"));
    assert_eq!(world.login(None).await.0.unwrap().accepted.user.email, None);
}

#[tokio::test]
async fn a_code_is_redeemed_once_and_in_time() {
    for shape in [ErrorShape::Descope, ErrorShape::Rfc] {
        let world = World::start(|_| {}).await;
        world.control().update_settings(|settings| settings.oauth.errors = shape);
        let (attempt, url) = Login::start(&world.provider, LoginOptions::default()).await.unwrap();
        let browser = browse(&url);
        let (grant, page) = attempt.wait(pending()).await.unwrap().split();
        world.control().advance(3600);
        let error = world.provider.exchange(&grant).await.unwrap_err();
        assert!(matches!(error, ExchangeError::Refused(_)), "{error}");
        assert!(!error.to_string().contains(grant.code.expose_secret()), "{error}");
        drop(page);
        assert!(browser.await.unwrap().contains("stopped before the login was complete"));
    }
}

#[tokio::test]
async fn busy_ports_are_named() {
    let first = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let second = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ports = vec![first.local_addr().unwrap().port(), second.local_addr().unwrap().port()];
    let listed = ports.clone();
    let world = World::start(|settings| {
        let redirect = settings.redirect.as_mut().unwrap();
        (redirect.ports, redirect.ephemeral) = (listed, false);
    })
    .await;
    let error = Login::start(&world.provider, LoginOptions::default()).await.unwrap_err();
    assert!(matches!(&error, LoginError::Ports(tried) if tried.len() == 2), "{error}");
    assert!(ports.iter().all(|port| error.to_string().contains(&port.to_string())), "{error}");
    drop(second);
    let (attempt, _) = Login::start(&world.provider, LoginOptions::default()).await.unwrap();
    assert_eq!(attempt.redirect_uri(), format!("http://127.0.0.1:{}/callback", ports[1]));
}

#[tokio::test]
async fn an_unknown_project_is_explained() {
    let world = World::start(|settings| settings.project_id = support::PROJECT.to_owned()).await;
    let error = Login::start(&world.provider, LoginOptions::default()).await.unwrap_err();
    let LoginError::Discovery(cause) = error else { panic!("{error}") };
    assert!(cause.to_string().contains(support::PROJECT) && !cause.is_transient(), "{cause}");
}

#[tokio::test]
async fn refreshing_keeps_or_replaces_the_token() {
    for via in [RefreshVia::TokenEndpoint, RefreshVia::SessionEndpoint] {
        let world = World::start(|settings| settings.refresh_via = via).await;
        let control = world.control();
        let mut token = world.refresh_token().await;
        for unrotated in [UnrotatedAnswer::Same, UnrotatedAnswer::Omitted, UnrotatedAnswer::Empty] {
            control.update_settings(|settings| settings.refresh.unrotated = unrotated);
            let refreshed = world.provider.refresh(&token).await.unwrap();
            assert!(refreshed.new_refresh.is_none(), "{via:?} {unrotated:?}");
            let session = world
                .provider
                .verify_session(&refreshed.access_token, &world.keys, None, control.now())
                .await;
            assert_eq!(session.unwrap().claims.roles, ["payment_processor"]);
        }
        control.update_settings(|settings| {
            settings.refresh.rotate = true;
            settings.refresh.on_reuse = ReusePolicy::Kill;
        });
        for _ in 0..3 {
            control.advance(60);
            let refreshed = world.provider.refresh(&token).await.unwrap();
            let new = refreshed.new_refresh.expect("rotated");
            assert!(!format!("{:?}", new).contains(new.expose_secret()));
            token = new;
        }
        control.set_roles(ALICE, &[]).unwrap();
        let refreshed = world.provider.refresh(&token).await.unwrap();
        let session =
            world.provider.verify_session(&refreshed.access_token, &world.keys, None, control.now());
        assert!(session.await.unwrap().claims.roles.is_empty(), "roles are evaluated at each refresh");
    }
}

#[tokio::test]
async fn tokens_in_cookies_and_hints_are_read() {
    let world = World::start(|settings| settings.refresh_via = RefreshVia::SessionEndpoint).await;
    let token = world.refresh_token().await;
    world.control().update_settings(|settings| {
        settings.refresh.rotate = true;
        settings.refresh.delivery = Delivery::Cookies;
        settings.refresh.next_refresh_seconds = 42;
    });
    let refreshed = world.provider.refresh(&token).await.unwrap();
    assert!(refreshed.new_refresh.is_some());
    assert_eq!(refreshed.next_refresh_seconds, Some(42));
}

#[tokio::test]
async fn failed_refreshes_say_what_they_mean() {
    for via in [RefreshVia::TokenEndpoint, RefreshVia::SessionEndpoint] {
        let path = match via {
            RefreshVia::TokenEndpoint => "/oauth2/v1/token",
            RefreshVia::SessionEndpoint => "/v1/auth/refresh",
        };
        let world = World::start(|settings| settings.refresh_via = via).await;
        let control = world.control();
        let token = world.refresh_token().await;
        for (name, action, expected) in [
            ("reset before processing", FaultAction::Reset, "unknown, sent"),
            ("answer lost", FaultAction::AnswerLost, "unknown, sent"),
            ("answer cut", FaultAction::AnswerTruncated, "unknown, sent"),
            ("limited", FaultAction::too_many_requests(7), "unknown, 7 s"),
            ("unavailable", FaultAction::unavailable(503), "unknown"),
            ("bad gateway, html", FaultAction::html(502), "unknown, sent"),
            ("edge does not reach the origin", FaultAction::html(522), "unknown"),
            ("challenged by the edge", FaultAction::html(403), "unknown"),
        ] {
            control.inject(Fault::on(path, action).once());
            assert_eq!(meaning(world.provider.refresh(&token).await), expected, "{via:?} {name}");
        }
        assert_eq!(meaning(world.provider.refresh(&token).await), "refreshed", "{via:?}");
        control.revoke_user(ALICE).unwrap();
        assert!(meaning(world.provider.refresh(&token).await).starts_with("over"), "{via:?}");
        assert!(
            meaning(world.provider.refresh(&SecretString::from("garbage")).await).starts_with("over"),
            "{via:?}"
        );
    }
}

fn meaning(outcome: Result<agentauth_idp::Refreshed, RefreshFailure>) -> String {
    match outcome {
        Ok(_) => "refreshed".to_owned(),
        Err(RefreshFailure::Over { revoked: true, .. }) => "over, revoked".to_owned(),
        Err(RefreshFailure::Over { .. }) => "over".to_owned(),
        Err(RefreshFailure::Unknown { retry_after: Some(after), .. }) => {
            format!("unknown, {} s", after.as_secs())
        }
        Err(RefreshFailure::Unknown { sent: true, .. }) => "unknown, sent".to_owned(),
        Err(RefreshFailure::Unknown { .. }) => "unknown".to_owned(),
        Err(RefreshFailure::Config { what }) => format!("config: {what}"),
    }
}

#[tokio::test]
async fn a_provider_that_is_away_has_not_seen_the_request() {
    let mut world = World::start(|_| {}).await;
    let token = world.refresh_token().await;
    world.emulator.go_offline().await;
    assert_eq!(meaning(world.provider.refresh(&token).await), "unknown");
    // The same before anything was ever fetched.
    let fresh = Provider::new(world.provider.config().clone()).unwrap();
    assert_eq!(meaning(fresh.refresh(&token).await), "unknown");
    assert!(matches!(fresh.logout(&token, false).await, Err(LogoutFailure::Http(_))));
    world.emulator.go_online().await.unwrap();
    assert_eq!(meaning(fresh.refresh(&token).await), "refreshed");
}

#[tokio::test]
async fn a_client_that_must_not_refresh_is_a_matter_of_configuration() {
    let world = World::start(|_| {}).await;
    let token = world.refresh_token().await;
    for change in
        [json!({"secret_on_refresh": true}), json!({"secret_on_refresh": false, "refresh_grant": false})]
    {
        for shape in ["descope", "rfc"] {
            let mut oauth = change.clone();
            oauth["errors"] = json!(shape);
            world.control().patch_settings(&json!({ "oauth": oauth })).unwrap();
            let seen = meaning(world.provider.refresh(&token).await);
            assert!(seen.starts_with("config"), "{shape} {change}: {seen}");
        }
    }
}

#[tokio::test]
async fn logging_out_ends_one_session_or_all() {
    let world = World::start(|_| {}).await;
    let (one, two, three) =
        (world.refresh_token().await, world.refresh_token().await, world.refresh_token().await);
    world.provider.logout(&one, false).await.unwrap();
    assert_eq!(meaning(world.provider.refresh(&one).await), "over, revoked");
    world.provider.logout(&one, false).await.expect("over already is no failure");
    assert!(matches!(world.provider.logout(&one, true).await, Err(LogoutFailure::Refused(_))));
    assert_eq!(meaning(world.provider.refresh(&two).await), "refreshed");
    world.provider.logout(&two, true).await.unwrap();
    assert!(meaning(world.provider.refresh(&three).await).starts_with("over"));
    let error = world.provider.logout(&SecretString::from("bad\ntoken"), false).await.unwrap_err();
    assert!(matches!(error, LogoutFailure::Damaged), "{error}");
}

#[tokio::test]
async fn me_names_the_user_and_notices_a_logout() {
    let world = World::start(|_| {}).await;
    let token = world.refresh_token().await;
    let me = world.provider.me(&token).await.unwrap();
    assert_eq!(me.subject, world.control().user(ALICE).unwrap().id);
    assert_eq!(me.email.as_deref(), Some(ALICE));
    world.control().revoke_user(ALICE).unwrap();
    assert!(matches!(world.provider.me(&token).await, Err(RefreshFailure::Over { .. })));
}

#[tokio::test]
async fn rotated_and_revoked_keys_are_noticed() {
    let world = World::start(|_| {}).await;
    let done = world.login(None).await.0.unwrap();
    let control = world.control();
    control.rotate_and_revoke_keys().await.unwrap();
    control.advance(3600);
    world.keys.refresh_if_due(control.now()).await.unwrap();
    assert!(!world.keys.contains(&done.accepted.session.key_id));
    let refused =
        world.provider.verify_session(&done.tokens.access_token, &world.keys, None, control.now()).await;
    assert_eq!(refused.unwrap_err().code(), "unknown_key");
}

#[tokio::test]
async fn ten_thousand_unknown_keys_reach_the_provider_once() {
    let world = World::start(|_| {}).await;
    world.login(None).await.0.unwrap();
    let control = world.control();
    let before = control.key_fetches();
    let later = control.now() + agentauth_idp::FETCH_INTERVAL;
    for n in 0..10_000 {
        let header = serde_json::json!({"alg":"RS256","kid":format!("forged-{n}")}).to_string();
        let token = format!("{}.c2ln", support::forge::unsigned(&header, "{}"));
        assert_eq!(world.keys.verify(&token, later).await.unwrap_err().code(), "unknown_key");
    }
    assert_eq!(control.key_fetches(), before + 1);
}
