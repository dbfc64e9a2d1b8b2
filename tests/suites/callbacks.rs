//! Hostile answers to a login, end to end: whatever comes back from the browser or from the provider, either it is the
//! login that was begun, or nothing is stored and the person is told. The full table is beside the listener itself.

use agentauth_api::SessionPhase;
use descope_emulator::{Signing, TokenOverride};
use e2e::{ALICE, LoginRun, Outcome, World, process, wait};
use serde_json::json;

/// Nothing was stored, nobody is logged in, and a restart does not change that.
#[track_caller]
fn assert_nothing_stored(world: &mut World) {
    assert_eq!(world.status().session.phase, SessionPhase::LoggedOut);
    world.restart_daemon();
    assert_eq!(world.wait_for_phase(SessionPhase::LoggedOut).session.user, None);
    let secrets = process::files_below(&world.state_dir());
    assert!(
        !secrets.iter().any(|file| file.to_string_lossy().contains("refresh-token")),
        "no secret is on disk: {secrets:?}"
    );
}

#[track_caller]
fn assert_failed(outcome: &Outcome, because: &[&str]) {
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let said = outcome.stderr.to_lowercase();
    assert!(because.iter().any(|word| said.contains(word)), "none of {because:?} in {outcome:?}");
}

fn callback(login: &LoginRun, query: &str) -> String {
    format!("{}?{query}", login.redirect_uri())
}

#[test]
fn a_tampered_state_is_refused_and_the_login_goes_on() {
    let world = World::start();
    let login = world.begin_login();
    let state = login.parameter("state");
    let mut other = state.clone();
    other.replace_range(0..1, if state.starts_with('A') { "B" } else { "A" });
    for query in [
        format!("code=stolen&state={other}"),
        "code=stolen".to_owned(),
        format!("code=a&code=b&state={state}"),
        format!("state={state}"),
    ] {
        let (status, page) = world.provider.get(&callback(&login, &query), &[]).unwrap();
        assert!((400..500).contains(&status), "{query}: {status} {page}");
        assert!(!page.contains("stolen"), "nothing of the request is shown: {page}");
    }
    assert_eq!(world.status().session.phase, SessionPhase::LoggedOut);
    let page = world.provider.sign_in(&login.url, ALICE.email, ALICE.password);
    assert_eq!(page.status, 200, "{}", page.html);
    assert!(page.html.contains(ALICE.name) || page.html.contains(ALICE.email), "{}", page.html);
    assert_eq!(login.finish().code, Some(0));
    assert_eq!(world.status().session.phase, SessionPhase::Active);
}

#[test]
fn guessing_ends_the_login() {
    let mut world = World::durable();
    let mut login = world.begin_login();
    let mut tries = 0;
    while login.running().so_far().code.is_none() && tries < 200 {
        // Once it has given up, nobody listens any more.
        let _ = world.provider.get(&callback(&login, &format!("code=x&state=guess{tries}")), &[]);
        tries += 1;
    }
    assert!(tries < 200, "a login must not be guessed at for ever");
    assert_failed(&login.finish(), &["login"]);
    assert_nothing_stored(&mut world);
}

#[test]
fn a_foreign_host_a_foreign_page_and_other_paths_are_refused() {
    let world = World::start();
    let login = world.begin_login();
    let good = callback(&login, &format!("code=stolen&state={}", login.parameter("state")));
    for headers in [
        vec![("host", "evil.test")],
        vec![("host", "localhost")],
        vec![("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")],
    ] {
        let (status, page) = world.provider.get(&good, &headers).unwrap();
        assert!((400..500).contains(&status), "{headers:?}: {status} {page}");
    }
    let mut elsewhere = login.redirect_uri();
    elsewhere.set_path("/elsewhere");
    assert_eq!(world.provider.get(elsewhere.as_str(), &[]).unwrap().0, 404);
    elsewhere.set_path("/favicon.ico");
    assert_eq!(world.provider.get(elsewhere.as_str(), &[]).unwrap().0, 404);
    // And the login is still good.
    assert_eq!(world.provider.sign_in(&login.url, ALICE.email, ALICE.password).status, 200);
    assert_eq!(login.finish().code, Some(0));
}

#[test]
fn the_listener_is_on_loopback_and_gone_after_one_use() {
    let world = World::start();
    let login = world.begin_login();
    let redirect = login.redirect_uri();
    assert_eq!(redirect.host_str(), Some("127.0.0.1"));
    let (url, state) = (login.url.clone(), login.parameter("state"));
    assert_eq!(world.provider.sign_in(&url, ALICE.email, ALICE.password).status, 200);
    assert_eq!(login.finish().code, Some(0));
    let again = format!("{redirect}?code=second&state={state}");
    wait::until_true("the listener to be gone", || world.provider.get(&again, &[]).is_err());
    assert_eq!(world.status().session.phase, SessionPhase::Active);
}

#[test]
fn an_error_from_the_provider_is_told() {
    let mut world = World::durable();
    let login = world.begin_login();
    let state = login.parameter("state");
    let query = format!("error=access_denied&error_description=Not%20%1B%5B31mtoday&state={state}");
    let (_, page) = world.provider.get(&callback(&login, &query), &[]).unwrap();
    assert!(page.contains("access_denied"), "{page}");
    let outcome = login.finish();
    assert_failed(&outcome, &["access_denied"]);
    assert!(!outcome.all().contains('\u{1b}'), "control characters are shown, not obeyed: {outcome:?}");
    assert_nothing_stored(&mut world);
}

#[test]
fn a_code_that_is_not_the_providers() {
    let mut world = World::durable();
    let login = world.begin_login();
    let query = format!("code=made-up&state={}", login.parameter("state"));
    let (status, page) = world.provider.get(&callback(&login, &query), &[]).unwrap();
    assert!(status >= 400 || page.to_lowercase().contains("fail") || page.contains("not"), "{status} {page}");
    assert_failed(&login.finish(), &["code", "refused", "provider"]);
    assert_nothing_stored(&mut world);
}

#[test]
fn a_code_for_another_login_does_not_pass_for_this_one() {
    // Both are good codes of the same provider; the verifier tells them apart (RFC 7636).
    let mut victim = World::durable();
    let attacker = World::with(&victim.provider, e2e::WorldOptions::default());
    let (mine, theirs) = (attacker.begin_login(), victim.begin_login());
    let code = victim.provider.code_of(&mine.url, e2e::BOB);
    let query = format!("code={code}&state={}", theirs.parameter("state"));
    victim.provider.get(&callback(&theirs, &query), &[]).unwrap();
    assert_failed(&theirs.finish(), &["code", "refused", "provider"]);
    assert_nothing_stored(&mut victim);
}

#[test]
fn tokens_that_are_not_for_this_login() {
    let mut world = World::durable();
    let table: Vec<(&str, TokenOverride)> = vec![
        ("another nonce", TokenOverride::id().claim("nonce", "somebody-elses")),
        ("no nonce", TokenOverride::id().without("nonce")),
        ("another audience", TokenOverride::id().claim("aud", "another-client")),
        ("another issuer", TokenOverride::id().claim("iss", "https://evil.test")),
        ("expired", TokenOverride::id().expires_in(-60)),
        ("unsigned", TokenOverride::id().signing(Signing::Unsigned)),
        ("a foreign key", TokenOverride::id().signing(Signing::ForeignKey)),
        ("the audience twice", TokenOverride::id().duplicate("aud", "another-client")),
        ("an unsigned session", TokenOverride::session().signing(Signing::Unsigned)),
        ("a session of another project", TokenOverride::session().claim("iss", "P2another")),
        ("a refresh token as session", TokenOverride::session().claim("drn", "DSR")),
        ("a session without end", TokenOverride::session().without("exp")),
        ("a session of somebody else", TokenOverride::session().claim("sub", "U2somebodyelse")),
    ];
    for (what, change) in table {
        world.provider.control().clear_overrides();
        world.provider.next_token(change);
        let login = world.begin_login();
        let page = world.provider.sign_in(&login.url, ALICE.email, ALICE.password);
        assert!(!page.html.contains("eyJ"), "{what}: a token on the page: {}", page.html);
        let outcome = login.finish();
        assert_eq!(outcome.code, Some(1), "{what}: {outcome:?}");
        assert!(outcome.stderr.contains("login failed"), "{what}: {outcome:?}");
        assert_eq!(world.status().session.phase, SessionPhase::LoggedOut, "{what}");
    }
    world.provider.control().clear_overrides();
    assert_nothing_stored(&mut world);
    world.login(ALICE);
    assert_eq!(world.status().session.phase, SessionPhase::Active);
}

#[test]
fn the_first_login_pins_who_may_follow() {
    let world = World::start();
    world.login(ALICE);
    world.cli(&["logout"]);
    let login = world.begin_login();
    world.provider.sign_in(&login.url, e2e::BOB.email, e2e::BOB.password);
    let outcome = login.finish();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(world.status().session.phase, SessionPhase::LoggedOut);
    world.login(ALICE);
    assert_eq!(world.check("payments.read")["decision"], json!("allow"));
}

#[test]
fn a_new_login_takes_the_place_of_one_that_waits() {
    let world = World::start();
    let first = world.begin_login();
    let second = world.begin_login();
    let outcome = first.finish();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(world.provider.sign_in(&second.url, ALICE.email, ALICE.password).status, 200);
    assert_eq!(second.finish().code, Some(0));
    assert_eq!(world.status().session.phase, SessionPhase::Active);
}
