//! The page on which questions are answered, in a real browser and in the hands of others.

use std::io::{Read, Write};
use std::net::TcpStream;

use e2e::browser::{Browser, fill_in};
use e2e::page::{Scene, screenshot};
use e2e::{ALICE, wait};
use fantoccini::key::Key;
use fantoccini::{Client, Locator};
use serde_json::Value;

const READ: &str = "files.read:/projects";
const PAY: &str = "payments.execute:currency=EUR";
const OTHER: &str = "payments.read:currency=EUR";

/// Presses a key wherever the focus is.
async fn press(client: &Client, key: Key) {
    client.active_element().await.unwrap().send_keys(&String::from(char::from(key))).await.unwrap();
}

/// Moves on with the tabulator until the focus is on what this finds.
async fn tab_to(client: &Client, what: &str) {
    for _ in 0..40 {
        let found = client.execute(&format!("return document.activeElement.matches('{what}')"), vec![]).await;
        if found.unwrap() == Value::Bool(true) {
            return;
        }
        press(client, Key::Tab).await;
    }
    panic!("the tabulator does not lead to {what}");
}

#[test]
fn a_person_answers_scope_by_scope_with_the_keyboard_alone() {
    let scene = Scene::start();
    assert_eq!(scene.ask(&[READ, OTHER])["reason"], "consent_required");
    let address = scene.address(0);
    let browser = Browser::start();
    scene.world.provider.block_on(async {
        let client = browser.open().await;
        client.goto(&address).await.unwrap();
        client.wait().for_element(Locator::Css("form")).await.unwrap();
        let now_at = client.current_url().await.unwrap();
        let secret = address.rsplit('/').next().unwrap();
        assert!(!now_at.as_str().contains(secret), "the secret is gone from the address: {now_at}");
        screenshot(&client, "consent-question").await;
        client.set_window_size(420, 900).await.unwrap();
        screenshot(&client, "consent-question-narrow").await;

        // Nothing ran that the agent wrote, and nothing was fetched from elsewhere.
        let body = client.find(Locator::Css("body")).await.unwrap().text().await.unwrap();
        assert!(body.contains("<img src=x onerror=alert(1)>\\u{202e}now"), "{body}");
        assert!(client.find(Locator::Css("img")).await.is_err() && client.find(Locator::Css("script")).await.is_err());
        let fetched = "return performance.getEntriesByType('resource').map(entry => new URL(entry.name).origin)";
        let fetched = client.execute(fetched, vec![]).await.unwrap();
        let origin = now_at.origin().ascii_serialization();
        let all_ours = fetched.as_array().unwrap().iter().all(|from| *from == *origin || *from == "null");
        assert!(all_ours, "{fetched}");

        // Every control has a name, every group a legend.
        let nameless = "return [...document.querySelectorAll('input[type=radio]')].filter(input => !input.labels.length).length \
                        + [...document.querySelectorAll('fieldset')].filter(set => !set.querySelector('legend')).length";
        assert_eq!(client.execute(nameless, vec![]).await.unwrap(), 0);

        tab_to(&client, "[name=scope0]").await;
        press(&client, Key::Down).await;
        press(&client, Key::Down).await;
        tab_to(&client, "button[value=answer]").await;
        screenshot(&client, "consent-focus").await;
        press(&client, Key::Enter).await;
        client.wait().for_element(Locator::Css("ul")).await.unwrap();
        let done = client.find(Locator::Css("main")).await.unwrap().text().await.unwrap();
        assert!(done.contains(&format!("Allowed for 30 minutes: {READ}")), "{done}");
        assert!(done.contains(&format!("Refused: {OTHER}")), "{done}");
        screenshot(&client, "consent-answered").await;
        client.close().await.unwrap();
    });
    assert_eq!(scene.world.check(READ)["decision"], "allow");
    assert_eq!(scene.world.check(OTHER)["reason"], "consent_denied");
    let answered = scene.world.records("consent.answered");
    assert_eq!(answered.len(), 1);
    assert_eq!(answered[0]["details"]["strength"], "prompt", "{}", answered[0]);
    assert_eq!(answered[0]["details"]["binding"], "page");
}

#[test]
fn what_is_risky_is_allowed_by_signing_in_for_it() {
    let scene = Scene::start();
    scene.ask(&[PAY]);
    let address = scene.address(0);
    let browser = Browser::start();
    scene.world.provider.block_on(async {
        let client = browser.open().await;
        client.goto(&address).await.unwrap();
        client
            .wait()
            .for_element(Locator::Css("[name=scope0][value=once]"))
            .await
            .unwrap()
            .click()
            .await
            .unwrap();
        client.find(Locator::Css("button[value=answer]")).await.unwrap().click().await.unwrap();
        let go = client.wait().for_element(Locator::Css("a.main")).await.unwrap();
        screenshot(&client, "consent-sign-in").await;
        go.click().await.unwrap();
        fill_in(&client, ALICE.email, ALICE.password, "button#sign-in").await;
        client.wait().for_element(Locator::Css("h1")).await.unwrap();
        for _ in 0..400 {
            if client.source().await.unwrap().contains("what you allowed") {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        client.close().await.unwrap();
    });
    let allowed = scene.world.check(PAY);
    assert_eq!(allowed["decision"], "allow", "{allowed}\n{}", scene.world.log_tail());
}

/// One request to the page, byte by byte; the whole answer.
fn send(port: u16, head: &[&str], body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = head.join("\r\n");
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let _ = stream.write_all(format!("{head}\r\n{length}\r\n{body}").as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}

#[test]
fn nobody_else_gets_in_and_no_form_of_others_counts() {
    let scene = Scene::start();
    let id = scene.ask(&[READ])["consents"][0].as_str().unwrap().to_owned();
    let address = reqwest::Url::parse(&scene.address(0)).unwrap();
    let (port, enter) = (address.port().unwrap(), address.path().to_owned());
    let base = enter.split_once("enter/").unwrap().0.to_owned();
    let (host, origin) = (format!("host: localhost:{port}"), format!("origin: http://localhost:{port}"));
    let get = |path: &str| format!("GET {path} HTTP/1.1");

    // Without the secret, or with the address of another site.
    for head in [
        vec![get(&base), host.clone()],
        vec![get("/"), host.clone()],
        vec![get(&format!("{base}enter/{}", "0".repeat(64))), host.clone()],
        vec![get(&enter), format!("host: 127.0.0.1:{port}")],
        vec![get(&enter), format!("host: evil.example:{port}")],
        vec![get(&enter), host.clone(), "sec-fetch-site: cross-site".to_owned()],
        vec![get(&enter), host.clone(), format!("host: localhost:{port}")],
    ] {
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let answer = send(port, &head, "");
        assert!([400, 403, 404].contains(&status(&answer)), "{head:?}: {answer}");
        assert!(!answer.contains("probe-agent"), "{answer}");
    }

    // With it, once.
    let entered = send(port, &[&get(&enter), &host], "");
    assert_eq!(status(&entered), 303, "{entered}");
    let cookie = entered.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && cookie.contains(&base),
        "{cookie}"
    );
    let cookie = format!("cookie: {}", cookie.split(';').next().unwrap());
    assert_eq!(status(&send(port, &[&get(&enter), &host], "")), 403, "a second time");
    let page = send(port, &[&get(&base), &host, &cookie], "");
    assert_eq!(status(&page), 200, "{page}");
    let policy = page.lines().find_map(|line| line.strip_prefix("content-security-policy: ")).unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(!page.contains("<style") && !page.contains("style=") && !page.contains("<script"), "{page}");
    let token = page.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap();

    // Forms of others.
    let post = format!("POST {base}answer/{id} HTTP/1.1");
    let form = "content-type: application/x-www-form-urlencoded";
    let yes = format!("token={token}&scope0=30m&do=answer");
    let other_token = format!("token={}&scope0=30m&do=answer", "0".repeat(64));
    let (foreign, null) = ("origin: http://evil.example", "origin: null");
    for (head, body) in [
        (vec![post.as_str(), &host, foreign, &cookie, form], &yes),
        (vec![post.as_str(), &host, null, &cookie, form], &yes),
        (vec![post.as_str(), &host, &cookie, form], &yes),
        (vec![post.as_str(), &host, &origin, form], &yes),
        (vec![post.as_str(), &host, &origin, &cookie, form], &other_token),
        (vec![post.as_str(), &host, &origin, &cookie, "content-type: text/plain"], &yes),
        (vec![post.as_str(), &host, &origin, &cookie, form, "sec-fetch-site: same-site"], &yes),
    ] {
        let answer = send(port, &head, body);
        assert_eq!(status(&answer), 403, "{head:?}: {answer}");
    }
    let longer = format!("token={token}&scope0=always&do=answer");
    let answer = send(port, &[&post, &host, &origin, &cookie, form], &longer);
    assert!(answer.contains("Sign in to allow"), "the page alone gives nothing that lasts: {answer}");
    assert_eq!(scene.world.check(READ)["reason"], "consent_required", "nothing was given by any of it");

    // The page's own, once; and not when the question is over.
    let answer = send(port, &[&post, &host, &origin, &cookie, form], &yes);
    assert!(status(&answer) == 200 && answer.contains("Allowed"), "{answer}");
    let again = send(port, &[&post, &host, &origin, &cookie, form], &yes);
    assert_eq!(status(&again), 410, "{again}");
    assert_eq!(scene.world.check(READ)["decision"], "allow");
    // With no question left the page goes.
    wait::until_true("the page to close", || TcpStream::connect(("127.0.0.1", port)).is_err());
}
