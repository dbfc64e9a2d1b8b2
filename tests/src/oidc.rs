//! A certified OpenID provider that others wrote, on a loopback port, and a person's machine that logs in to it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, PoisonError};

use agentauth_demo::form::Form;
use agentauth_demo::signin::Landed;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, Url};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::process::Owned;
use crate::{Provider, World, WorldOptions, peers};

/// The role that payments need.
pub const PAYER: &str = "payment_processor";

/// npm's `oidc-provider`, driven by `tests/peers/oidc-provider.mjs`.
#[derive(Debug)]
pub struct OidcProvider {
    _process: Owned,
    talk: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    runtime: Mutex<Runtime>,
    /// Its issuer.
    pub issuer: String,
    /// The registered client.
    pub client_id: String,
    /// The resource whose access tokens are JWTs.
    pub resource: String,
}

impl OidcProvider {
    /// Starts it.
    ///
    /// # Panics
    /// When the packages are not installed.
    pub fn start() -> Self {
        let mut command = peers::node(&peers::script("oidc-provider.mjs"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Owned::start(&mut command);
        let child = process.child();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut output = BufReader::new(output);
        let said = line(&mut output);
        let text = |name: &str| said[name].as_str().unwrap().to_owned();
        Self {
            issuer: text("issuer"),
            client_id: text("client_id"),
            resource: text("resource"),
            _process: process,
            talk: Mutex::new((input, output)),
            runtime: Mutex::new(Builder::new_current_thread().enable_all().build().unwrap()),
        }
    }

    /// Tells it something, and returns what it answers.
    #[track_caller]
    pub fn tell(&self, command: &Value) -> Value {
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        let (input, output) = &mut *talk;
        writeln!(input, "{command}").unwrap();
        let mut said = line(output);
        assert!(said["failed"].is_null(), "{command}: {said}");
        said["done"].take()
    }

    /// From now on, this person has these roles.
    pub fn person(&self, login: &str, roles: &[&str]) {
        self.tell(&json!({"do": "person", "login": login, "roles": roles, "tenant": "acme"}));
    }

    /// From now on, access tokens live so long.
    pub fn life(&self, seconds: u32) {
        self.tell(&json!({"do": "life", "seconds": seconds}));
    }

    /// How many events of this kind there were.
    pub fn count(&self, wanted: &Value) -> usize {
        let journal = self.tell(&json!({"do": "journal"}));
        let matches =
            |event: &&Value| wanted.as_object().unwrap().iter().all(|(name, value)| &event[name] == value);
        journal.as_array().unwrap().iter().filter(matches).count()
    }

    /// Every refresh token that it gave, oldest first.
    pub fn refresh_tokens(&self) -> Vec<String> {
        serde_json::from_value(self.tell(&json!({"do": "refresh_tokens"}))).unwrap()
    }

    /// Redeems a refresh token, as a thief does; returns status and answer.
    pub fn redeem(&self, refresh_token: &str) -> (u16, Value) {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("client_id", &self.client_id),
        ];
        self.block_on(async {
            let client = Client::builder().no_proxy().build().unwrap();
            let answer = client.post(format!("{}/token", self.issuer)).form(&form).send().await.unwrap();
            (answer.status().as_u16(), answer.json().await.unwrap())
        })
    }

    /// Runs something asynchronous to its end.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner).block_on(work)
    }

    /// Signs in and consents at the pages behind a login URL, without a browser.
    pub fn sign_in(&self, url: &str, login: &str) -> Landed {
        self.block_on(walk(url, Some(login)))
    }

    /// Cancels there.
    pub fn cancel(&self, url: &str) -> Landed {
        self.block_on(walk(url, None))
    }

    /// A person's machine that logs in to this provider; `more` goes below `[provider]`.
    pub fn world(&self, more: &str) -> World {
        self.world_with(more, WorldOptions::default())
    }

    /// The same, set up otherwise.
    pub fn world_with(&self, more: &str, options: WorldOptions) -> World {
        let mut world = World::without_daemon(&Provider::start(), options);
        let file = world.config_dir().join("config.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let (_, rest) = text.split_once("\n\n").expect("a section beside [provider]");
        let provider = format!(
            "[provider]\nkind = \"oidc\"\nissuer = \"{}\"\nclient_id = \"{}\"\n{more}\n\n{rest}",
            self.issuer, self.client_id
        );
        std::fs::write(file, provider).unwrap();
        world.start_daemon();
        world
    }

    /// Logs somebody in to the end.
    #[track_caller]
    pub fn log_in(&self, world: &World, login: &str) {
        let run = world.begin_login();
        let landed = self.sign_in(&run.url, login);
        let outcome = run.finish();
        assert_eq!(outcome.code, Some(0), "{outcome:?}\n{}\n{}", landed.html, world.log_tail());
        assert_eq!(landed.status, 200, "{}", landed.html);
    }
}

/// What a browser does from the login URL to the daemon's page: cookies, redirects, and the two forms; or, without a
/// login, the link that cancels.
async fn walk(url: &str, login: Option<&str>) -> Landed {
    let stay = reqwest::redirect::Policy::none();
    let client = Client::builder().no_proxy().redirect(stay).build().unwrap();
    let mut cookies: BTreeMap<String, String> = BTreeMap::new();
    let mut request = (Method::GET, Url::parse(url).unwrap(), Vec::new());
    let provider = request.1.origin();
    for _ in 0..20 {
        let (method, address, form) = request;
        let at_provider = address.origin() == provider;
        let mut sent = client.request(method.clone(), address.clone());
        if at_provider {
            let pairs: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            sent = sent.header(COOKIE, pairs.join("; "));
        }
        if method == Method::POST {
            sent = sent.form(&form);
        }
        let answer = sent.send().await.unwrap();
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let (pair, _) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            cookies.insert(name.to_owned(), value.to_owned());
        }
        if answer.status().is_redirection() {
            let next = address.join(answer.headers()[LOCATION].to_str().unwrap()).unwrap();
            request = (Method::GET, next, Vec::new());
            continue;
        }
        let status = answer.status().as_u16();
        let html = answer.text().await.unwrap();
        let form = Form::all_of(&html).into_iter().next().filter(|_| at_provider);
        let Some(form) = form else { return Landed { url: address, status, html } };
        request = match login {
            Some(login) => {
                let action = address.join(&form.action).unwrap();
                (Method::POST, action, form.filled_in(login, "any password"))
            }
            None => (Method::GET, address.join(&format!("{}/abort", address.path())).unwrap(), Vec::new()),
        };
    }
    panic!("the sign-in goes round in circles");
}

#[track_caller]
fn line(output: &mut BufReader<ChildStdout>) -> Value {
    let mut text = String::new();
    output.read_line(&mut text).unwrap();
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("the provider says no JSON ({error}): {text:?}"))
}
