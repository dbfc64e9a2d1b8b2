//! How users sign in, and what is told of it: mailed links, step-up, age and strength, and a provider that tells it wrongly.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod support;

use descope_emulator::{Approval, Control, Emulator, IssParameter, NonceForm, Settings, UserChange};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use support::{Tester, handle_in, returned, text};

const ALICE: &str = "alice@acme.test";
const BOB: &str = "bob@acme.test";
const AUTHORIZE: &str = "/oauth2/v1/authorize";

struct World {
    _emulator: Emulator,
    control: Control,
    tester: Tester,
}

impl World {
    async fn with(settings: Settings) -> Self {
        let emulator = Emulator::builder().settings(settings).start().await.unwrap();
        let (control, tester) = (emulator.control(), Tester::new(&emulator));
        Self { _emulator: emulator, control, tester }
    }

    /// Pages, and browsers that are remembered.
    async fn remembering() -> Self {
        let mut settings = Settings::default();
        settings.oauth.remember_browser = true;
        Self::with(settings).await
    }

    async fn post(&self, form: &[(&str, &str)]) -> Response {
        self.tester.form(&format!("/login/{}", self.tester.project), form).await
    }

    /// Fills the password page in.
    async fn password(&self, page: Response, user: &str) -> Response {
        let handle = handle_in(page).await;
        let password = format!("{}-in-acme", user.split('@').next().unwrap());
        self.post(&[("state_id", &handle), ("email", user), ("password", &password)]).await
    }

    /// Signs in by the password page and returns the browser's cookie.
    async fn browser_of(&self, user: &str) -> String {
        let answer = self.password(self.tester.authorize(&[]).await, user).await;
        answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    async fn again(&self, cookie: &str, changes: &[(&str, &str)]) -> Response {
        self.tester.authorize_with(AUTHORIZE, changes, cookie).await
    }

    async fn tokens(&self, back: &Response) -> Value {
        self.tester.exchange(&returned(back)["code"]).await.json().await.unwrap()
    }

    async fn id(&self, back: &Response) -> Value {
        let tokens = self.tokens(back).await;
        self.tester.verify(text(&tokens, "id_token")).await.unwrap()
    }
}

#[tokio::test]
async fn a_mailed_link_takes_the_passwords_place() {
    let world = World::with(Settings::default()).await;
    let open = async || handle_in(world.tester.authorize(&[("flow", "magic-link")]).await).await;
    let handle = open().await;
    let sent = world.post(&[("state_id", &handle), ("email", ALICE), ("action", "send")]).await;
    assert!(sent.text().await.unwrap().contains("Look into your mail"));
    let mail = world.control.newest_mail(ALICE).unwrap();
    assert!(mail.link.starts_with(&world.tester.base) && !format!("{mail:?}").contains(&mail.link));
    let token = mail.link.split_once("?t=").unwrap().1.to_owned();
    assert!(world.control.issued().iter().any(|secret| secret.value == token));

    // A scanner that looks at the link does not use it up.
    assert_eq!(world.tester.http.head(&mail.link).send().await.unwrap().status(), StatusCode::OK);
    let back = world.tester.http.get(&mail.link).send().await.unwrap();
    assert_eq!(returned(&back)["state"], "the-state");
    let tokens = world.tokens(&back).await;
    for name in ["id_token", "access_token"] {
        assert_eq!(
            world.tester.verify(text(&tokens, name)).await.unwrap()["amr"],
            json!(["email"]),
            "{name}"
        );
    }
    assert_eq!(world.control.family(1).unwrap().factors, ["email"]);

    let used = world.tester.http.get(&mail.link).send().await.unwrap();
    assert_eq!(used.status(), StatusCode::UNAUTHORIZED);
    assert!(used.text().await.unwrap().contains("already used"));
    let wrong = world.tester.get(&format!("/login/{}/link?t=guess", world.tester.project)).await;
    assert!(wrong.text().await.unwrap().contains("not valid"));

    let handle = open().await;
    world.post(&[("state_id", &handle), ("email", ALICE)]).await;
    let late = world.control.newest_mail(ALICE).unwrap().link;
    world.control.advance(181);
    let expired = world.tester.http.get(&late).send().await.unwrap();
    assert_eq!(expired.status(), StatusCode::UNAUTHORIZED);
    assert!(expired.text().await.unwrap().contains("expired"));
}

#[tokio::test]
async fn the_mail_page_tells_nobody_who_has_an_account() {
    let world = World::with(Settings::default()).await;
    let page = async |email: &str| {
        let handle = handle_in(world.tester.authorize(&[("flow", "magic-link")]).await).await;
        let answer = world.post(&[("state_id", handle.as_str()), ("email", email)]).await;
        (answer.status(), answer.text().await.unwrap().replace(email, "…"))
    };
    world.control.set_disabled(BOB, true).unwrap();
    let known = page(ALICE).await;
    assert_eq!((&known, &known), (&page("nobody@acme.test").await, &page(BOB).await));
    assert_eq!(page("").await.0, StatusCode::UNAUTHORIZED);
    let to: Vec<String> = world.control.outbox().into_iter().map(|mail| mail.to).collect();
    assert_eq!(to, [ALICE]);
    world.control.clear_outbox();
    assert!(world.control.outbox().is_empty());

    let handle = handle_in(world.tester.authorize(&[("flow", "magic-link")]).await).await;
    let cancelled = world.post(&[("state_id", &handle), ("action", "cancel")]).await;
    assert_eq!(returned(&cancelled)["error"], "access_denied");
}

#[tokio::test]
async fn a_link_leads_nowhere_once_its_page_or_user_is_gone() {
    let world = World::with(Settings::default()).await;
    let mut links = Vec::new();
    for _ in 0..2 {
        let handle = handle_in(world.tester.authorize(&[("flow", "magic-link")]).await).await;
        world.post(&[("state_id", &handle), ("email", ALICE)]).await;
        links.push((handle, world.control.newest_mail(ALICE).unwrap().link));
    }
    // A reload shows that the mail is on its way.
    let address = format!("/login/{}?state_id={}", world.tester.project, links[0].0);
    assert!(world.tester.get(&address).await.text().await.unwrap().contains("Look into your mail"));
    world.post(&[("state_id", &links[0].0), ("action", "cancel")]).await;
    world.control.set_disabled(ALICE, true).unwrap();
    for (_, link) in links {
        assert_eq!(world.tester.http.get(&link).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_step_up_is_for_the_one_who_is_signed_in_and_ends() {
    let world = World::remembering().await;
    let cookie = world.browser_of(ALICE).await;
    let page = async || world.again(&cookie, &[("flow", "step-up")]).await;
    assert_eq!(
        returned(&world.again(&cookie, &[("flow", "step-up"), ("prompt", "none")]).await)["error"],
        "login_required"
    );
    let shown = page().await.text().await.unwrap();
    assert!(shown.contains(ALICE), "the page knows who is signed in");
    let other = world.password(page().await, BOB).await;
    assert_eq!(other.status(), StatusCode::UNAUTHORIZED);
    assert!(other.text().await.unwrap().contains("Somebody else"));

    let tokens = world.tokens(&world.password(page().await, ALICE).await).await;
    let session = world.tester.verify(text(&tokens, "access_token")).await.unwrap();
    assert_eq!((&session["su"], &session["amr"]), (&json!(true), &json!(["pwd", "mfa"])));
    let renewed = async || -> Value {
        let answer = world.tester.refresh_grant(text(&tokens, "refresh_token")).await;
        let answer: Value = answer.json().await.unwrap();
        world.tester.verify(text(&answer, "access_token")).await.unwrap()
    };
    world.control.advance(300);
    assert_eq!(renewed().await["su"], true);
    world.control.advance(301);
    assert!(renewed().await.get("su").is_none());
}

#[tokio::test]
async fn factors_of_browser_and_step_up_add_up() {
    let world = World::remembering().await;
    let handle = handle_in(world.tester.authorize(&[("flow", "magic-link")]).await).await;
    world.post(&[("state_id", &handle), ("email", ALICE)]).await;
    let link = world.control.newest_mail(ALICE).unwrap().link;
    let back = world.tester.http.get(&link).send().await.unwrap();
    let cookie = back.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(world.id(&back).await["amr"], json!(["email"]));
    let up = world.password(world.again(&cookie, &[("flow", "step-up")]).await, ALICE).await;
    assert_eq!(world.id(&up).await["amr"], json!(["email", "pwd", "mfa"]));

    let two = UserChange { factors: Some(vec!["pwd".into(), "totp".into()]), ..UserChange::default() };
    world.control.change_user(BOB, two).unwrap();
    let back = world.password(world.tester.authorize(&[]).await, BOB).await;
    assert_eq!(world.id(&back).await["amr"], json!(["pwd", "totp"]));
}

#[tokio::test]
async fn max_age_and_prompt_ask_again() {
    let world = World::remembering().await;
    let cookie = world.browser_of(ALICE).await;
    world.control.advance(100);
    let asks =
        async |changes: &[(&str, &str)]| world.again(&cookie, changes).await.status() == StatusCode::OK;
    assert!(!asks(&[]).await && !asks(&[("max_age", "200")]).await);
    for changes in
        [[("max_age", "99")], [("max_age", "0")], [("prompt", "login")], [("prompt", "select_account")]]
    {
        assert!(asks(&changes).await, "{changes:?}");
    }
    let silent = world.again(&cookie, &[("max_age", "99"), ("prompt", "none")]).await;
    assert_eq!(returned(&silent)["error"], "login_required");
    let bad = world.again(&cookie, &[("max_age", "soon")]).await;
    assert_eq!(returned(&bad)["error"], "invalid_request");

    let fresh = world.password(world.again(&cookie, &[("max_age", "0")]).await, ALICE).await;
    let id = world.id(&fresh).await;
    let age = id["iat"].as_i64().unwrap() - id["auth_time"].as_i64().unwrap();
    assert!((0..60).contains(&age), "{age}");

    // A provider that does not care signs in with the old sign-in, and says so.
    world.control.update_settings(|settings| settings.sign_in.ignore_reauthentication = true);
    let careless = world.id(&world.again(&cookie, &[("max_age", "0"), ("prompt", "login")]).await).await;
    let age = careless["iat"].as_i64().unwrap() - careless["auth_time"].as_i64().unwrap();
    assert!((100..200).contains(&age), "{age}");
}

#[tokio::test]
async fn acr_values_are_met_or_refused_or_ignored() {
    let world = World::remembering().await;
    world.control.update_settings(|settings| {
        settings.sign_in.single_factor_acr = Some("one".to_owned());
        settings.sign_in.multi_factor_acr = Some("two".to_owned());
    });
    let document = format!("/{}/.well-known/openid-configuration", world.tester.project);
    assert_eq!(world.tester.json(&document).await["acr_values_supported"], json!(["one", "two"]));
    let cookie = world.browser_of(ALICE).await;
    assert_eq!(world.id(&world.again(&cookie, &[("acr_values", "one two")]).await).await["acr"], "one");
    let page = world.again(&cookie, &[("acr_values", "phr two")]).await;
    assert_eq!(page.status(), StatusCode::OK, "what the browser has proven is not enough");
    let raised = world.password(page, ALICE).await;
    let strong = raised.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let tokens = world.tokens(&raised).await;
    let id = world.tester.verify(text(&tokens, "id_token")).await.unwrap();
    assert_eq!((&id["acr"], &id["amr"]), (&json!("two"), &json!(["pwd", "mfa"])));
    let session = world.tester.verify(text(&tokens, "access_token")).await.unwrap();
    assert!(session.get("su").is_none(), "only the step-up flow marks the session");
    assert_eq!(world.id(&world.again(&strong, &[("acr_values", "two")]).await).await["acr"], "two");

    let unknown = world.again(&cookie, &[("acr_values", "phr")]).await;
    assert_eq!(returned(&unknown)["error"], "unmet_authentication_requirements");
    world.control.update_settings(|settings| settings.sign_in.honour_acr_values = false);
    assert_eq!(world.id(&world.again(&cookie, &[("acr_values", "phr")]).await).await["acr"], "one");
    // The automatic answer raises, too.
    world.control.set_approval(Approval::As(BOB.to_owned())).unwrap();
    world.control.update_settings(|settings| settings.sign_in.honour_acr_values = true);
    let id = world.id(&world.tester.authorize(&[("acr_values", "two")]).await).await;
    assert_eq!((&id["acr"], &id["amr"]), (&json!("two"), &json!(["pwd", "mfa"])));
}

#[tokio::test]
async fn the_id_token_can_be_told_to_lie() {
    let world =
        World::with(Settings { approval: Approval::As(ALICE.to_owned()), ..Settings::default() }).await;
    let id = async || world.id(&world.tester.authorize(&[]).await).await;
    let honest = id().await;
    assert_eq!((&honest["nonce"], honest.get("acr")), (&json!("the-nonce"), None));
    let age = honest["iat"].as_i64().unwrap() - honest["auth_time"].as_i64().unwrap();
    assert!((0..60).contains(&age), "{age}");
    world.control.update_settings(|settings| {
        settings.sign_in.nonce = NonceForm::Absent;
        settings.sign_in.auth_time_age = 3600;
    });
    let old = id().await;
    assert!(old.get("nonce").is_none());
    // Sign-in and token may lie on two sides of a second.
    let age = old["iat"].as_i64().unwrap() - old["auth_time"].as_i64().unwrap();
    assert!((3600..3660).contains(&age), "{age}");
    world.control.update_settings(|settings| {
        settings.sign_in.nonce = NonceForm::Another;
        settings.sign_in.omit_auth_time = true;
    });
    let another = id().await;
    assert!(another["nonce"] != "the-nonce" && another["nonce"].is_string());
    assert!(another.get("auth_time").is_none());
}

#[tokio::test]
async fn responses_name_their_issuer_when_told_to() {
    let world =
        World::with(Settings { approval: Approval::As(ALICE.to_owned()), ..Settings::default() }).await;
    let document = format!("/{}/.well-known/openid-configuration", world.tester.project);
    let announced = async || {
        let document = world.tester.json(&document).await;
        (document.get("authorization_response_iss_parameter_supported").cloned(), document["issuer"].clone())
    };
    assert_eq!(announced().await.0, None);
    assert!(!returned(&world.tester.authorize(&[]).await).contains_key("iss"));
    for (form, honest) in [(IssParameter::Present, true), (IssParameter::Another, false)] {
        world.control.update_settings(|settings| settings.sign_in.iss_parameter = form);
        let (supported, issuer) = announced().await;
        assert_eq!(supported, Some(json!(true)));
        for changes in [[("scope", "openid")], [("response_type", "token")]] {
            let answer = returned(&world.tester.authorize(&changes).await);
            assert_eq!(issuer == answer["iss"], honest, "{changes:?} {answer:?}");
        }
    }
}
