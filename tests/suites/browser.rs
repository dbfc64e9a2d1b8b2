//! A login through a real browser.

use agentauth_api::SessionPhase;
use e2e::browser::{Browser, fill_in};
use e2e::{ALICE, World};
use fantoccini::Locator;

#[test]
fn a_person_signs_in_after_a_wrong_password() {
    let world = World::start();
    let browser = Browser::start();
    let login = world.begin_login();
    let (url, html, seen) = world.provider.block_on(async {
        let client = browser.open().await;
        client.goto(&login.url).await.unwrap();
        fill_in(&client, ALICE.email, "wrong", "button#sign-in").await;
        let trouble = client.wait().for_element(Locator::Css("[role=alert]")).await.unwrap();
        assert!(!trouble.text().await.unwrap().is_empty());
        assert!(client.current_url().await.unwrap().as_str().starts_with(world.provider.base_url()));
        fill_in(&client, ALICE.email, ALICE.password, "button#sign-in").await;
        let expected = login.redirect_uri().port();
        let mut landed = client.current_url().await.unwrap();
        for _ in 0..400 {
            if landed.port() == expected {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
            landed = client.current_url().await.unwrap();
        }
        assert_eq!(landed.port(), expected, "the browser came back: {landed}");
        client.wait().for_element(Locator::Css("h1")).await.unwrap();
        let html = client.source().await.unwrap();
        let seen = client.find(Locator::Css("body")).await.unwrap().text().await.unwrap();
        let address = client.execute("return document.location.href", vec![]).await.unwrap();
        client.close().await.unwrap();
        (address.as_str().unwrap().to_owned(), html, seen)
    });
    let outcome = login.finish();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(
        seen.contains(ALICE.name) || seen.contains(ALICE.email),
        "the page says who is logged in: {seen}"
    );
    assert!(seen.contains("agentauthd"), "and what comes next: {seen}");
    for secret in world.provider.issued() {
        assert!(!html.contains(&secret.value), "a {:?} is on the page", secret.kind);
    }
    eprintln!("landed at {}", url.split('?').next().unwrap_or_default());
    assert_eq!(world.status().session.phase, SessionPhase::Active);
    assert_eq!(world.check("payments.execute:currency=EUR")["decision"], "allow");
}

#[test]
fn a_person_cancels() {
    let world = World::start();
    let browser = Browser::start();
    let login = world.begin_login();
    let seen = world.provider.block_on(async {
        let client = browser.open().await;
        client.goto(&login.url).await.unwrap();
        client.wait().for_element(Locator::Css("button#cancel")).await.unwrap().click().await.unwrap();
        let port = login.redirect_uri().port();
        for _ in 0..400 {
            if client.current_url().await.unwrap().port() == port {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        let seen = client.wait().for_element(Locator::Css("body")).await.unwrap().text().await.unwrap();
        client.close().await.unwrap();
        seen
    });
    let outcome = login.finish();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("access_denied"), "{outcome:?}");
    assert!(
        seen.contains("access_denied") && seen.contains("agentauthd login"),
        "what happened, what to do: {seen}"
    );
    assert_eq!(world.status().session.phase, SessionPhase::LoggedOut);
}
