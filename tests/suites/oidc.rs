//! A login to a certified OpenID provider that others wrote: to its end, and through all that can become of it.

use agentauth_api::SessionPhase;
use e2e::browser::Browser;
use e2e::oidc::{OidcProvider, PAYER};
use e2e::{LoginRun, Store, World, WorldOptions, wait};
use fantoccini::Locator;
use serde_json::json;

const PAY: &str = "payments.execute:currency=EUR";

/// Both ways in which the facts may come.
const OPAQUE: &str = "";

fn jwt(provider: &OidcProvider) -> String {
    format!("resource = \"{}\"\naccess_token = \"jwt\"", provider.resource)
}

#[track_caller]
fn assert_allowed(world: &World) {
    let decision = world.check(PAY);
    assert_eq!(decision["decision"], "allow", "{decision}\n{}", world.log_tail());
}

#[track_caller]
fn assert_denied(world: &World, reason: &str) {
    let decision = world.check(PAY);
    let seen = (&decision["decision"], &decision["reason"]);
    assert_eq!(seen, (&json!("deny"), &json!(reason)), "{decision}\n{}", world.log_tail());
}

#[test]
fn a_role_from_opaque_tokens_and_userinfo_allows_and_without_it_nothing_is() {
    let provider = OidcProvider::start();
    provider.person("alice", &[PAYER]);
    provider.person("bob", &["reader"]);
    for (login, allowed) in [("alice", true), ("bob", false)] {
        let world = provider.world(OPAQUE);
        provider.log_in(&world, login);
        if allowed {
            assert_allowed(&world);
        } else {
            assert_denied(&world, "role_required");
        }
        let status = world.status();
        assert_eq!(status.session.user.unwrap().email.as_deref(), Some(&*format!("{login}@example.test")));
        assert_eq!(status.provider.kind.as_deref(), Some("oidc"));
        assert_eq!(status.provider.issuer.as_deref(), Some(&*provider.issuer));
        assert_eq!(status.provider.project_id, None);
        let shown = world.cli(&["status"]).stdout;
        assert!(shown.contains(&provider.issuer) && !shown.contains("project"), "{shown}");
    }
    assert!(provider.count(&json!({"event": "request", "path": "/me"})) >= 2, "userinfo was asked");
}

#[test]
fn a_role_from_a_jwt_access_token_allows_and_without_it_nothing_is() {
    let provider = OidcProvider::start();
    provider.person("alice", &[PAYER]);
    provider.person("bob", &[]);
    for (login, allowed) in [("alice", true), ("bob", false)] {
        let world = provider.world(&format!("{}\ntenant_claim = \"tenant\"", jwt(&provider)));
        provider.log_in(&world, login);
        if allowed {
            assert_allowed(&world);
            let status = world.status();
            assert_eq!(status.session.roles, [PAYER]);
            assert_eq!(status.session.tenant.as_deref(), Some("acme"));
        } else {
            assert_denied(&world, "role_required");
        }
    }
}

#[test]
fn rights_count_only_in_the_tenant_that_is_configured() {
    let provider = OidcProvider::start();
    provider.person("alice", &[PAYER]);
    let world = provider.world("tenant_claim = \"tenant\"\ntenant = \"other\"");
    provider.log_in(&world, "alice");
    assert_denied(&world, "role_required");
}

#[test]
fn each_refresh_rotates_and_brings_the_facts_anew() {
    let provider = OidcProvider::start();
    for more in [OPAQUE.to_owned(), jwt(&provider)] {
        provider.life(6);
        provider.person("alice", &[PAYER]);
        let world = provider.world(&more);
        let before = provider.refresh_tokens().len();
        provider.log_in(&world, "alice");
        assert_allowed(&world);
        wait::until_true("two rotations", || provider.refresh_tokens().len() >= before + 3);
        assert_allowed(&world);
        provider.person("alice", &[]);
        wait::until_true("the lost role to be noticed", || world.check(PAY)["reason"] == "role_required");
        world.cli(&["logout"]);
    }
}

#[test]
fn a_login_outlives_the_daemon() {
    let provider = OidcProvider::start();
    provider.person("alice", &[PAYER]);
    let options = WorldOptions { store: Store::File, ..WorldOptions::default() };
    let mut world = provider.world_with(OPAQUE, options);
    provider.log_in(&world, "alice");
    world.restart_daemon();
    world.wait_for_phase(SessionPhase::Active);
    assert_allowed(&world);
    // Another client of the same provider is another login: nothing of this one is sent for it.
    let file = world.config_dir().join("config.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&provider.client_id, "another-client")).unwrap();
    let run = LoginRun::begin(world.command(&["config", "apply", "--no-browser"]));
    provider.sign_in(&run.url, "alice");
    assert_eq!(run.finish().code, Some(0));
    world.stop_daemon();
    let refreshes = provider.count(&json!({"event": "request", "path": "/token"}));
    world.start_daemon();
    let problems = wait::until("the stored login to be passed over", || {
        let status = world.status();
        (status.session.phase == SessionPhase::LoggedOut).then_some(status.problems)
    });
    assert!(problems.iter().any(|problem| problem.contains(&provider.client_id)), "{problems:?}");
    assert_eq!(provider.count(&json!({"event": "request", "path": "/token"})), refreshes);
}

#[test]
fn a_spent_refresh_token_that_comes_again_ends_the_family_and_the_person_is_told() {
    let provider = OidcProvider::start();
    provider.person("alice", &[PAYER]);
    provider.life(8);
    let world = provider.world(OPAQUE);
    provider.log_in(&world, "alice");
    wait::until_true("a rotation", || provider.refresh_tokens().len() >= 2);
    // A thief comes with the first one.
    let (status, answer) = provider.redeem(&provider.refresh_tokens()[0]);
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")), "{answer}");
    world.wait_for_phase(SessionPhase::Over);
    let decision = world.check(PAY);
    assert_eq!((&decision["decision"], &decision["remedy"]), (&json!("deny"), &json!("login")), "{decision}");
    let shown = world.cli(&["status"]).all();
    assert!(shown.contains("ended at the provider") && shown.contains("log in"), "{shown}");
    // The way out works.
    provider.life(600);
    provider.log_in(&world, "alice");
    assert_allowed(&world);
}

#[test]
fn a_revocation_at_the_provider_is_noticed() {
    let provider = OidcProvider::start();
    for more in [OPAQUE.to_owned(), jwt(&provider)] {
        provider.person("alice", &[PAYER]);
        provider.life(6);
        let world = provider.world(&more);
        provider.log_in(&world, "alice");
        assert_allowed(&world);
        provider.tell(&json!({"do": "revoke", "login": "alice"}));
        world.wait_for_phase(SessionPhase::Over);
        assert_eq!(world.check(PAY)["remedy"], "login");
    }
}

#[test]
fn a_person_who_cancels_is_not_logged_in() {
    let provider = OidcProvider::start();
    let world = provider.world(OPAQUE);
    let login = world.begin_login();
    let landed = provider.cancel(&login.url);
    let outcome = login.finish();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("access_denied"), "{outcome:?}");
    assert!(landed.html.contains("access_denied") && landed.html.contains("agentauthd login"));
    assert_eq!(world.status().session.phase, SessionPhase::LoggedOut);
    assert_denied(&world, "not_logged_in");
}

#[test]
fn new_keys_are_picked_up_and_withdrawn_ones_are_let_go() {
    let provider = OidcProvider::start();
    provider.person("alice", &[PAYER]);
    let world = provider.world(&jwt(&provider));
    provider.log_in(&world, "alice");
    assert_allowed(&world);
    let before = provider.count(&json!({"event": "request", "path": "/jwks"}));
    assert_eq!(before, 1, "one fetch was enough");
    // A login with a key that is not known yet; the daemon is another, since keys are fetched at most once a minute.
    provider.tell(&json!({"do": "rotate_keys", "withdraw": false}));
    let other = provider.world(&jwt(&provider));
    provider.log_in(&other, "alice");
    assert_allowed(&other);
    // A restart meets keys on disk that do not sign any more.
    provider.tell(&json!({"do": "rotate_keys", "withdraw": true}));
    let options = WorldOptions { store: Store::File, ..WorldOptions::default() };
    let mut durable = provider.world_with(&jwt(&provider), options);
    provider.log_in(&durable, "alice");
    durable.restart_daemon();
    durable.wait_for_phase(SessionPhase::Active);
    assert_allowed(&durable);
}

#[test]
fn an_outage_denies_and_ends_nothing() {
    let provider = OidcProvider::start();
    provider.person("alice", &[PAYER]);
    provider.life(6);
    let world = provider.world(OPAQUE);
    provider.log_in(&world, "alice");
    // What moves no money: to ask for that again and again would be noticed as a burst.
    let unverified = || world.check("payments.read")["reason"] == "session_unverified";
    for path in ["/token", "/me"] {
        provider.tell(&json!({"do": "refuse", "path": path, "status": 503}));
        wait::until_true("the session to have run out", unverified);
        provider.tell(&json!({"do": "refuse"}));
        wait::until_true(&format!("the session to be back after {path}"), || !unverified());
        assert_allowed(&world);
    }
}

#[test]
fn a_logout_revokes_at_the_provider_and_says_what_the_browser_still_has() {
    let provider = OidcProvider::start();
    provider.person("alice", &[PAYER]);
    let world = provider.world(OPAQUE);
    provider.log_in(&world, "alice");
    let outcome = world.cli(&["logout"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("Logged out."), "{outcome:?}");
    let address = format!("{}/session/end?client_id={}", provider.issuer, provider.client_id);
    assert!(outcome.stderr.contains(&address), "{outcome:?}");
    assert!(!outcome.all().contains("id_token_hint"), "{outcome:?}");
    assert_denied(&world, "not_logged_in");
    // The provider's journal proves it, and so does the token.
    let revocation = json!({"event": "request", "method": "POST", "path": "/token/revocation"});
    assert_eq!(provider.count(&revocation), 1);
    for token in provider.refresh_tokens() {
        let (status, answer) = provider.redeem(&token);
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")), "{answer}");
    }
    // Everywhere is more than this provider can do, and that is said.
    provider.log_in(&world, "alice");
    let outcome = world.cli(&["logout", "--everywhere"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("other machines"), "{outcome:?}");
    assert_eq!(provider.count(&revocation), 2);
}

#[test]
fn nothing_secret_is_said_or_written() {
    let provider = OidcProvider::start();
    provider.person("alice", &[PAYER]);
    provider.life(6);
    let world = provider.world(OPAQUE);
    provider.log_in(&world, "alice");
    wait::until_true("a rotation", || provider.refresh_tokens().len() >= 2);
    let said = world.cli(&["status", "--json"]).all() + &world.cli(&["logout", "--json"]).all();
    let written = world.daemon_output();
    let files: Vec<Vec<u8>> =
        e2e::process::files_below(world.home()).iter().filter_map(|file| std::fs::read(file).ok()).collect();
    for token in provider.refresh_tokens() {
        assert!(!said.contains(&token) && !written.contains(&token), "a refresh token was said");
        let bytes = token.as_bytes();
        assert!(!files.iter().any(|file| file.windows(bytes.len()).any(|window| window == bytes)));
    }
    assert!(!written.contains("eyJ"), "a token is in the log");
}

#[test]
fn a_configuration_that_cannot_work_is_refused_with_all_its_faults() {
    let provider = OidcProvider::start();
    let world = provider.world(OPAQUE);
    let file = world.home().join("wrong.toml");
    std::fs::write(
        &file,
        "[provider]\nkind = \"oidc\"\nproject_id = \"P234567890123456789012345678\"\nflow = \"sign-up\"\n\
         roles_claim = \"https://acme.example/roles\"\naccess_token = \"opaque\"\naccess_token_type = \"plain\"\n",
    )
    .unwrap();
    let outcome = world.cli(&["--config", file.to_str().unwrap(), "config", "validate"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    for said in [
        "provider.issuer",
        "provider.client_id",
        "`provider.project_id`",
        "`provider.flow`",
        "/https:~1~1acme.example~1roles",
        "provider.access_token_type",
    ] {
        assert!(outcome.all().contains(said), "{said}: {outcome:?}");
    }
    let shown = world.cli(&["config", "show"]).stdout;
    assert!(shown.contains("kind = \"oidc\"") && shown.contains(&provider.issuer), "{shown}");
}

#[test]
fn a_person_signs_in_and_consents_in_a_real_browser() {
    let provider = OidcProvider::start();
    provider.person("alice", &[PAYER]);
    let world = provider.world(OPAQUE);
    let browser = Browser::start();
    let login = world.begin_login();
    let seen = provider.block_on(async {
        let client = browser.open().await;
        client.goto(&login.url).await.unwrap();
        let field = client.wait().for_element(Locator::Css("input[name=login]")).await.unwrap();
        field.send_keys("alice").await.unwrap();
        client.find(Locator::Css("input[type=password]")).await.unwrap().send_keys("any").await.unwrap();
        client.find(Locator::Css("button[type=submit]")).await.unwrap().click().await.unwrap();
        let consent = Locator::Css("input[name=prompt][value=consent]");
        client.wait().for_element(consent).await.unwrap();
        client.find(Locator::Css("button[type=submit]")).await.unwrap().click().await.unwrap();
        let port = login.redirect_uri().port();
        for _ in 0..800 {
            if client.current_url().await.unwrap().port() == port {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        client.wait().for_element(Locator::Css("h1")).await.unwrap();
        let seen = client.find(Locator::Css("body")).await.unwrap().text().await.unwrap();
        client.close().await.unwrap();
        seen
    });
    let outcome = login.finish();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(seen.contains("alice"), "the page says who is logged in: {seen}");
    assert_allowed(&world);
}
