//! Somebody with a browser, whose agent asks for what it was not allowed.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use fantoccini::{Client, Locator};
use serde_json::Value;

use crate::{ALICE, AgentSpec, Provider, World, WorldOptions, binaries, wait};

/// Somebody logged in, whose agent was allowed nothing, and whose browser writes down what it is opened at.
#[derive(Debug)]
pub struct Scene {
    /// The world.
    pub world: World,
    opened: PathBuf,
    _scripts: tempfile::TempDir,
}

impl Scene {
    /// With the default options of a world.
    pub fn start() -> Self {
        Self::with(WorldOptions::default())
    }

    /// With these.
    pub fn with(options: WorldOptions) -> Self {
        let scripts = tempfile::tempdir().unwrap();
        let opened = scripts.path().join("opened");
        let browser = scripts.path().join("browser");
        let script = format!("#!/bin/sh\necho \"$1\" >>'{}'\n", opened.display());
        std::fs::write(&browser, script).unwrap();
        std::fs::set_permissions(&browser, PermissionsExt::from_mode(0o755)).unwrap();
        let agent = AgentSpec { grants: Vec::new(), ..AgentSpec::probe() };
        let options = WorldOptions {
            agents: vec![agent],
            environment: vec![("BROWSER".to_owned(), browser.display().to_string())],
            ..options
        };
        let world = World::with(&Provider::start(), options);
        world.login(ALICE);
        Self { world, opened, _scripts: scripts }
    }

    /// The agent asks for these scopes at once.
    pub fn ask(&self, scopes: &[&str]) -> Value {
        let body =
            serde_json::json!({"scopes": scopes, "purpose": "<img src=x onerror=alert(1)>\u{202e}now"});
        self.world.probe(&["--request", "POST", "/v1/check", &body.to_string()]).remove(0)
    }

    /// What the browser was opened at for the `nth` time.
    #[track_caller]
    pub fn address(&self, nth: usize) -> String {
        wait::until("the browser to be opened", || {
            std::fs::read_to_string(&self.opened).ok()?.lines().nth(nth).map(str::to_owned)
        })
    }
}

fn screenshot_path(name: &str) -> PathBuf {
    let directory = binaries::root().join("target/screenshots");
    std::fs::create_dir_all(&directory).unwrap();
    directory.join(format!("{name}.png"))
}

/// Waits until the page says this; what it says then.
pub async fn until_told(client: &Client, what: &str) -> String {
    let mut told = String::new();
    for _ in 0..400 {
        if let Ok(main) = client.find(Locator::Css("main")).await {
            told = main.text().await.unwrap_or_default();
            if told.contains(what) {
                return told;
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the page does not say `{what}`, but: {told}");
}

/// Presses what this finds, once it is there and can be pressed.
pub async fn press_button(client: &Client, css: &str) {
    let enabled = format!("{css}:not([disabled])");
    client.wait().for_element(Locator::Css(&enabled)).await.unwrap().click().await.unwrap();
}

/// Keeps a picture of the page for a look at it.
pub async fn screenshot(client: &Client, name: &str) {
    std::fs::write(screenshot_path(name), client.screenshot().await.unwrap()).unwrap();
}

/// Bytes that a page or a record writes as base64url.
pub fn from_base64url(text: &str) -> Vec<u8> {
    base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text).unwrap()
}
