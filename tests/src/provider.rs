//! The stand-in provider, on a thread of its own, driven from plain test functions.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentauth_demo::form::Form;
use agentauth_demo::signin::{Landed, sign_in};
use descope_emulator::{Control, Emulator, FamilyView, Fault, HeldRequest, Secret, TokenOverride};
use serde_json::Value;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::Person;
use crate::wait::PATIENCE;

/// Where the daemon refreshes: the token endpoint, with this grant type.
pub const TOKEN_ENDPOINT: &str = "/oauth2/v1/token";

/// A running provider.
#[derive(Debug)]
pub struct Provider {
    /// The emulator's own thread runs this.
    its: Handle,
    emulator: Arc<tokio::sync::Mutex<Emulator>>,
    /// What tests wait for runs on this one.
    runtime: Mutex<Runtime>,
    control: Control,
    base_url: String,
    project_id: String,
}

impl Provider {
    /// Starts one with the Acme fixture: refresh tokens rotate, and a spent one that comes again kills its family.
    pub fn start() -> Arc<Self> {
        Self::emulating(Emulator::builder())
    }

    /// The same with another project than the fixture's.
    pub fn of_project(project_id: &str) -> Arc<Self> {
        Self::emulating(Emulator::builder().project_id(project_id))
    }

    /// The same at another loopback address.
    pub fn start_at(listen: SocketAddr) -> Arc<Self> {
        Self::emulating(Emulator::builder().listen(listen))
    }

    fn emulating(builder: descope_emulator::Builder) -> Arc<Self> {
        let (started, starting) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let emulator = builder.start().await.unwrap();
                started.send((Handle::current(), emulator)).unwrap();
                std::future::pending::<()>().await;
            });
        });
        let (its, emulator) = starting.recv().unwrap();
        let control = emulator.control();
        let patch = serde_json::json!({"refresh": {"rotate": true, "on_reuse": "kill"}});
        control.patch_settings(&patch).unwrap();
        Arc::new(Self {
            its,
            runtime: Mutex::new(Builder::new_current_thread().enable_all().build().unwrap()),
            control,
            base_url: emulator.base_url().to_owned(),
            project_id: emulator.project_id().to_owned(),
            emulator: Arc::new(tokio::sync::Mutex::new(emulator)),
        })
    }

    /// Its address.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The project.
    pub fn project_id(&self) -> &str {
        &self.project_id
    }

    /// The emulator's own handle.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Runs something asynchronous to its end.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner).block_on(work)
    }

    /// Unplugs it: connections are refused.
    pub fn down(&self) {
        self.plug(false);
    }

    /// Plugs it in again.
    pub fn up(&self) {
        self.plug(true);
    }

    fn plug(&self, on: bool) {
        let emulator = self.emulator.clone();
        let plugging = self.its.spawn(async move {
            let mut emulator = emulator.lock().await;
            if on { emulator.go_online().await.unwrap() } else { emulator.go_offline().await }
        });
        self.block_on(plugging).unwrap();
    }

    /// Changes settings.
    pub fn patch(&self, patch: Value) {
        self.control.patch_settings(&patch).unwrap();
    }

    /// Gives a person exactly these roles.
    pub fn set_roles(&self, login: &str, roles: &[&str]) {
        self.control.set_roles(login, roles).unwrap();
    }

    /// Ends every session of a person.
    pub fn revoke(&self, login: &str) {
        self.control.revoke_user(login).unwrap();
    }

    /// Every family of refresh tokens so far.
    pub fn families(&self) -> Vec<FamilyView> {
        self.control.families()
    }

    /// How many families of a person can still refresh.
    pub fn live_families(&self, login: &str) -> usize {
        self.control.live_families().iter().filter(|family| family.user == login).count()
    }

    /// Everything secret that it issued or was sent.
    pub fn issued(&self) -> Vec<Secret> {
        self.control.issued()
    }

    /// Registers a fault.
    pub fn inject(&self, fault: Fault) -> u64 {
        self.control.inject(fault)
    }

    /// Changes the next token.
    pub fn next_token(&self, change: TokenOverride) {
        self.control.next_token_override(change);
    }

    /// Waits until a request is held.
    #[track_caller]
    pub fn wait_for_hold(&self, path: &str) -> HeldRequest {
        let held =
            self.block_on(async { tokio::time::timeout(PATIENCE, self.control.wait_for_hold(path)).await });
        held.unwrap_or_else(|_| panic!("no request to {path} was held within {PATIENCE:?}"))
    }

    /// Clears every fault and lets held requests go on.
    pub fn calm(&self) {
        self.control.clear_faults();
        self.control.release_all();
    }

    /// Signs in at the page behind a login URL.
    #[track_caller]
    pub fn sign_in(&self, url: &str, login: &str, password: &str) -> Landed {
        self.block_on(async { tokio::time::timeout(PATIENCE, sign_in(url, login, password)).await })
            .expect("the sign-in ends")
            .unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(&error)))
    }

    /// Signs in at the page behind a login URL and keeps the code, as somebody does who intercepts the redirect.
    pub fn code_of(&self, url: &str, person: Person) -> String {
        self.block_on(async {
            let stay = reqwest::redirect::Policy::none();
            let client = reqwest::Client::builder().no_proxy().redirect(stay).build().unwrap();
            let page = client.get(url).send().await.unwrap();
            let page = if page.status().is_redirection() {
                let next = page.url().join(page.headers()["location"].to_str().unwrap()).unwrap();
                client.get(next).send().await.unwrap()
            } else {
                page
            };
            let base = page.url().clone();
            let form = Form::all_of(&page.text().await.unwrap()).remove(0);
            let filled_in = form.filled_in(person.email, person.password);
            let sent = client.post(base.join(&form.action).unwrap()).form(&filled_in).send().await.unwrap();
            let back = reqwest::Url::parse(sent.headers()["location"].to_str().unwrap()).unwrap();
            back.query_pairs().find(|(name, _)| name == "code").expect("a code").1.into_owned()
        })
    }

    /// Fetches a page as a browser would, following redirects.
    pub fn get(&self, url: &str, headers: &[(&str, &str)]) -> reqwest::Result<(u16, String)> {
        self.block_on(async {
            let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
            let request =
                headers.iter().fold(client.get(url), |request, (name, value)| request.header(*name, *value));
            let response = request.send().await?;
            let status = response.status().as_u16();
            Ok((status, response.text().await?))
        })
    }
}
