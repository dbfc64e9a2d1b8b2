//! `agentauthd doctor` where the provider is any OpenID provider: each misconfiguration staged at one that others wrote,
//! and named in words that fit it. Descope and its console are none of this installation's business.

use agentauth_api::SessionPhase;
use e2e::doctor::{Report, doctor, expect, free_port};
use e2e::oidc::{OidcProvider, PAYER};
use e2e::{World, WorldOptions, wait};
use serde_json::json;

/// What only a Descope project has.
const FOREIGN: [&str; 6] = ["descope", "the console", "region", "project_id", "base_url", "flow"];
const ELSEWHERE: &str = "daemon_other_configuration";

/// A world in which nobody has logged in, with its one login port; `more` goes below `[provider]`.
fn unused(provider: &OidcProvider, more: &str) -> (World, u16) {
    let port = free_port();
    let variable = |name: &str, value: String| (name.to_owned(), value);
    let options = WorldOptions {
        environment: vec![
            variable("AGENTAUTHD_LOGIN_PORTS", port.to_string()),
            variable("AGENTAUTHD_LOGIN_EPHEMERAL_PORT", "false".to_owned()),
        ],
        ..WorldOptions::default()
    };
    let world = provider.world_with(more, options);
    world.wait_for_phase(SessionPhase::LoggedOut);
    (world, port)
}

fn healthy(provider: &OidcProvider, more: &str) -> (World, u16) {
    provider.person("alice", &[PAYER]);
    let (world, port) = unused(provider, more);
    provider.log_in(&world, "alice");
    (world, port)
}

/// An examination. Nothing that the provider gave stands in the report, and nothing that only Descope has.
#[track_caller]
fn examined(provider: &OidcProvider, world: &World, arguments: &[&str]) -> Report {
    let report = doctor(world, arguments);
    let told = report.json.to_string();
    for token in provider.refresh_tokens() {
        assert!(!told.contains(&token), "a refresh token stands in {told}");
    }
    for finding in report.json["findings"].as_array().unwrap() {
        // Paths and names of other things may contain anything.
        if finding["area"] == "agents" || finding["area"] == "files" {
            continue;
        }
        let text = format!("{} {} {}", finding["what"], finding["why"], finding["todo"]).to_lowercase();
        let foreign = FOREIGN.iter().find(|word| text.contains(**word));
        assert_eq!(foreign, None, "{finding:#}");
    }
    report
}

#[track_caller]
fn assert_advice(report: &Report, code: &str, words: &[&str]) {
    let todo = report.finding(code)["todo"].as_str().unwrap();
    for word in words {
        assert!(todo.contains(word), "{code} does not say {word:?}: {todo}");
    }
}

#[test]
fn a_healthy_installation_has_nothing_to_warn_of() {
    let provider = OidcProvider::start();
    let jwt = format!("resource = \"{}\"\naccess_token = \"jwt\"", provider.resource);
    for more in ["", &jwt] {
        let (mut world, port) = healthy(&provider, more);
        let redeemed = provider.count(&json!({"event": "request", "path": "/token"}));
        let report = examined(&provider, &world, &[]);
        expect("nothing", &report, &[]);
        let fine = report.codes(&["ok"]);
        for code in [
            "configuration_read",
            "provider_described",
            "keys_usable",
            "clock_agrees",
            "redirect_accepted",
            "ports_free",
            "files_private",
            "daemon_runs",
            "logged_in",
            "token_lifetimes",
            "agents_registered",
        ] {
            assert!(fine.contains(code), "{code}: {fine:?}");
        }
        let what = |code: &str| report.finding(code)["what"].as_str().unwrap();
        assert!(what("provider_described").contains(&provider.issuer));
        assert!(what("redirect_accepted").contains(&format!("http://127.0.0.1:{port}/callback")));
        assert!(what("logged_in").contains("alice@example.test") && what("logged_in").contains(PAYER));
        // Nobody was logged in by it, and nothing redeemed.
        assert_eq!(provider.count(&json!({"event": "request", "path": "/token"})), redeemed);

        let outcome = world.cli(&["doctor"]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert!(outcome.stdout.contains("0 errors, 0 warnings"), "{outcome:?}");

        let report = examined(&provider, &world, &["--offline"]);
        expect("offline", &report, &[]);
        assert!(report.codes(&["note"]).contains("provider_skipped"));

        world.stop_daemon();
        expect("no daemon", &examined(&provider, &world, &[]), &["daemon_absent"]);
    }
}

#[test]
fn an_issuer_that_is_wrong_or_away_is_named() {
    let provider = OidcProvider::start();
    let (world, _) = healthy(&provider, "");
    let at = |issuer: &str| examined(&provider, &world, &["--set", &format!("provider.issuer={issuer}")]);
    let own = &provider.issuer;

    let report = at(&format!("{own}/realms/other"));
    expect("a path that describes nothing", &report, &["issuer_unknown", ELSEWHERE]);
    assert_advice(&report, "issuer_unknown", &["provider.issuer", "/.well-known/openid-configuration"]);
    for (staged, issuer) in [
        ("another name than the issuer's", own.replace("127.0.0.1", "localhost")),
        ("a final slash too many", format!("{own}/")),
    ] {
        let report = at(&issuer);
        expect(staged, &report, &["issuer_mismatch", ELSEWHERE]);
        assert_advice(&report, "issuer_mismatch", &["provider.issuer", "letter by letter"]);
        assert!(report.finding("issuer_mismatch")["what"].as_str().unwrap().contains(own));
    }
    let report = at(&format!("http://127.0.0.1:{}", free_port()));
    expect("nobody there", &report, &["provider_unreachable", ELSEWHERE]);
    let report = at(&own.replace("http:", "https:"));
    expect("no TLS at the other end", &report, &["provider_tls", ELSEWHERE]);
    let report = at("http://accounts.example.com");
    expect("http beyond this machine", &report, &["configuration_fault"]);

    let refusing = |path: &str, status: u16| {
        provider.tell(&json!({"do": "refuse", "path": path, "status": status}));
        let report = examined(&provider, &world, &[]);
        provider.tell(&json!({"do": "refuse"}));
        report
    };
    let description = "/.well-known/openid-configuration";
    expect("HTML and 503", &refusing(description, 503), &["provider_out_of_order"]);
    expect("a rate limit", &refusing(description, 429), &["provider_out_of_order"]);
    let report = refusing(description, 200);
    expect("a page in its place", &report, &["description_unusable"]);
    assert_advice(&report, "description_unusable", &["provider.issuer", "captive portal"]);
    let report = refusing("/jwks", 502);
    expect("no keys", &report, &["keys_unusable"]);
    assert_advice(&report, "keys_unusable", &["jwks_uri"]);
    expect("a sign-in out of order", &refusing("/auth", 503), &["authorization_unjudged"]);

    for (seconds, severity) in [(30, "warning"), (-3_600, "error")] {
        provider.tell(&json!({"do": "skew", "seconds": seconds}));
        let report = examined(&provider, &world, &[]);
        provider.tell(&json!({"do": "skew", "seconds": 0}));
        expect(&format!("clocks {seconds} s apart"), &report, &["clock_skew"]);
        assert_eq!(report.finding("clock_skew")["severity"], severity);
    }
}

#[test]
fn what_the_provider_rejects_is_named() {
    let provider = OidcProvider::start();
    let (world, port) = healthy(&provider, "");
    let own = format!("http://127.0.0.1:{port}/callback");
    let look = |arguments: &[&str]| examined(&provider, &world, arguments);
    let register = |changes: serde_json::Value| provider.tell(&json!({"do": "client", "changes": changes}));

    let report = look(&["--set", "provider.client_id=nobody"]);
    expect("an unknown client", &report, &["client_rejected"]);
    assert_advice(&report, "client_rejected", &["provider.client_id", "public"]);

    register(json!({"redirect_uris": ["http://127.0.0.1/another"]}));
    let report = look(&[]);
    expect("another redirect URL", &report, &["redirect_rejected"]);
    assert_advice(&report, "redirect_rejected", &[&own]);
    let report = look(&["--set", "provider.client_id=nobody"]);
    expect("both: the client comes first", &report, &["client_rejected"]);
    register(json!({"redirect_uris": ["http://localhost/callback"]}));
    expect("localhost", &look(&[]), &["redirect_localhost"]);

    // A client that is registered as a web application has its ports compared.
    register(json!({"application_type": "web", "redirect_uris": [&own]}));
    expect("ports that are compared", &look(&[]), &[]);
    let report = look(&["--set", "login.ephemeral_port=true"]);
    expect("any port, where ports are compared", &report, &["any_port_rejected", ELSEWHERE]);
    assert_advice(&report, "any_port_rejected", &["login.ephemeral_port"]);
    register(json!(null));
    let report = look(&["--set", "login.ephemeral_port=true"]);
    expect("any port, where ports are ignored", &report, &[ELSEWHERE]);

    register(json!({"scope": "openid offline_access"}));
    let report = look(&[]);
    expect("scopes that the client may not ask for", &report, &["scope_rejected"]);
    assert_advice(&report, "scope_rejected", &["provider.scopes"]);
    expect("those that it may", &look(&["--set", "provider.scopes=openid offline_access"]), &[]);
    register(json!({"grant_types": ["refresh_token"], "response_types": []}));
    let report = look(&[]);
    expect("a client that may not use codes", &report, &["authorization_refused"]);
    assert_advice(&report, "authorization_refused", &["authorization code grant"]);
    register(json!(null));

    let resource = format!("provider.resource={}", provider.resource);
    expect("a resource that is registered", &look(&["--set", &resource]), &[]);
    let report = look(&["--set", "provider.resource=urn:nobody:knows"]);
    expect("a resource that nobody registered", &report, &["audience_rejected"]);
    assert_advice(&report, "audience_rejected", &["provider.resource"]);
}

#[test]
fn refresh_tokens_that_do_not_come_are_named() {
    let provider = OidcProvider::start();
    provider.person("alice", &[PAYER]);
    let (world, _) = unused(&provider, "");
    expect("nobody is logged in", &examined(&provider, &world, &[]), &["not_logged_in"]);
    let report = examined(&provider, &world, &["--set", "provider.scopes=openid profile email"]);
    expect("no offline_access", &report, &["offline_access_missing", "not_logged_in"]);

    provider.tell(&json!({"do": "refreshing", "given": false}));
    let login = world.begin_login();
    provider.sign_in(&login.url, "alice");
    assert_eq!(login.finish().code, Some(1));
    let report = examined(&provider, &world, &[]);
    expect("no refresh token", &report, &["login_failed", "not_logged_in"]);
    let what = report.finding("login_failed")["what"].as_str().unwrap();
    assert!(what.contains("refresh token"), "{what}");
}

#[test]
fn what_a_login_shows_of_the_providers_settings_is_judged() {
    let provider = OidcProvider::start();
    // Rotation, seen at the first refresh.
    for (rotated, expected) in [(false, &["rotation_off"][..]), (true, &[])] {
        provider.tell(&json!({"do": "refreshing", "rotated": rotated}));
        provider.life(8);
        let (world, _) = healthy(&provider, "");
        provider.life(600);
        wait::until_true("the first refresh", || {
            world.status().session.observed.is_some_and(|observed| observed.rotates.is_some())
        });
        let report = examined(&provider, &world, &[]);
        expect(&format!("rotation {rotated}"), &report, expected);
        if !rotated {
            assert_advice(&report, "rotation_off", &["rotate"]);
        }
        world.cli(&["logout"]);
    }
    provider.life(7_200);
    let (world, _) = healthy(&provider, "");
    let report = examined(&provider, &world, &[]);
    expect("tokens that live too long", &report, &["session_token_long"]);
    assert_advice(&report, "session_token_long", &["access tokens"]);
    provider.life(600);

    let (world, _) = healthy(&provider, "tenant_claim = \"tenant\"\ntenant = \"other\"");
    let report = examined(&provider, &world, &[]);
    expect("another tenant", &report, &["tenant_foreign"]);
    assert!(report.finding("tenant_foreign")["what"].as_str().unwrap().contains("acme"));
    assert_advice(&report, "tenant_foreign", &["provider.tenant_claim"]);

    provider.tell(&json!({"do": "person", "login": "bob", "roles": "a string"}));
    let (world, _) = unused(&provider, "");
    provider.log_in(&world, "bob");
    let report = examined(&provider, &world, &[]);
    expect("a claim of another shape", &report, &[]);
    assert_eq!(report.finding("claims_odd")["severity"], "note");
    assert_advice(&report, "claims_odd", &["provider.preset", "provider.roles_claim"]);

    provider.life(6);
    let (world, _) = healthy(&provider, "");
    provider.tell(&json!({"do": "revoke", "login": "alice"}));
    world.wait_for_phase(SessionPhase::Over);
    expect("a login that was ended there", &examined(&provider, &world, &[]), &["login_over"]);
}
