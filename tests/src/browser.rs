//! A real browser: Chromium, headless, driven through chromedriver.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;

use crate::process::Owned;

/// Chromium behind chromedriver; both end with the test.
#[derive(Debug)]
pub struct Browser {
    _driver: Owned,
    port: u16,
    profile: tempfile::TempDir,
}

impl Browser {
    /// Starts both.
    pub fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null());
        command.env("HOME", profile.path()).env_remove("DBUS_SESSION_BUS_ADDRESS");
        let mut driver = Owned::start(&mut command);
        let said = BufReader::new(driver.child().stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = said
            .filter_map(|line| {
                line.rsplit_once("on port ").map(|(_, port)| port.trim_end_matches('.').to_owned())
            })
            .find_map(|port| port.parse().ok().filter(|&port| port != 0))
            .expect("chromedriver says on which port it listens");
        Self { _driver: driver, port, profile }
    }

    /// A window.
    pub async fn open(&self) -> Client {
        let profile = format!("--user-data-dir={}", self.profile.path().display());
        let flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-proxy-server",
            &profile,
        ];
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("goog:chromeOptions".to_owned(), json!({"args": flags}));
        ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{}", self.port))
            .await
            .expect("a browser session")
    }
}

impl Browser {
    /// Gives the window an authenticator of its own, with somebody at it who is verified whenever asked (Web Authentication,
    /// section 11).
    pub async fn add_authenticator(&self, client: &Client) {
        let session = client.session_id().await.unwrap().expect("a session");
        let url = format!("http://127.0.0.1:{}/session/{session}/webauthn/authenticator", self.port);
        let authenticator = json!({
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
            "isUserConsenting": true, "isUserVerified": true,
        });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = http.post(url).json(&authenticator).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }
}

/// Fills in a sign-in page and presses this button.
pub async fn fill_in(browser: &Client, email: &str, password: &str, button: &str) {
    let field = browser.wait().for_element(Locator::Css("input[type=email]")).await.unwrap();
    field.clear().await.unwrap();
    field.send_keys(email).await.unwrap();
    browser.find(Locator::Css("input[type=password]")).await.unwrap().send_keys(password).await.unwrap();
    browser.find(Locator::Css(button)).await.unwrap().click().await.unwrap();
}
