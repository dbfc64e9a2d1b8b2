//! A person on their own machine: directories, configuration, and the daemon that is theirs.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentauth_client::{
    Account, Client, ClientError, Consent, ConsentAllowed, ConsentAnswer, LoginProgress, LoginRequest,
    LoginStarted, LoginWay, LogoutRequest, RegisterRequest,
};
use serde_json::Value;

use crate::binaries;
use crate::child::Kept;
use crate::signin::{self, SignInError};

/// How long the daemon may take to answer at its start.
const PATIENCE: Duration = Duration::from_secs(30);
const GLANCE: Duration = Duration::from_millis(5);

/// Somebody of the stand-in provider's fixture. The password is test data.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// First name.
    pub name: &'static str,
    /// E-mail address, which is the login id.
    pub email: &'static str,
    /// Password.
    pub password: &'static str,
}

/// Has the role `payment_processor`.
pub const ALICE: Member = Member { name: "Alice", email: "alice@acme.test", password: "alice-in-acme" };
/// Has not.
pub const BOB: Member = Member { name: "Bob", email: "bob@acme.test", password: "bob-in-acme" };

/// Why somebody could not take part.
#[derive(Debug, thiserror::Error)]
pub enum PersonError {
    /// The directories or the configuration could not be written.
    #[error("cannot set up `{}`", path.display())]
    Files {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The daemon could not be started.
    #[error("cannot start the daemon `{}`", program.display())]
    Start {
        /// What was started.
        program: PathBuf,
        /// Why that failed.
        #[source]
        cause: io::Error,
    },
    /// The daemon ended, or does not answer.
    #[error("the daemon does not answer; it said: {said}")]
    Silent {
        /// The end of its log.
        said: String,
    },
    /// The daemon refused something.
    #[error("the daemon did not do what it was asked for")]
    Client(#[from] ClientError),
    /// The sign-in came to nothing.
    #[error("the sign-in came to nothing")]
    SignIn(#[from] SignInError),
    /// The login failed.
    #[error("the login failed: {0}")]
    Login(String),
    /// Something that should be there is not.
    #[error("the daemon knows of no {0}")]
    Absent(&'static str),
}

/// Someone with a daemon. It stops when this is dropped.
#[derive(Debug)]
pub struct Person {
    _daemon: Kept,
    directory: PathBuf,
    client: Client,
}

impl Person {
    /// Writes the configuration below `directory`, and starts the daemon.
    ///
    /// # Errors
    /// When something cannot be written, or the daemon does not come up.
    pub async fn move_in(
        directory: PathBuf,
        provider: (&str, &str),
        agentauthd: &Path,
    ) -> Result<Self, PersonError> {
        let files = |cause| PersonError::Files { path: directory.clone(), cause };
        for part in ["state", "run"] {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700).create(directory.join(part)).map_err(files)?;
        }
        let (base_url, project_id) = provider;
        fs::write(directory.join("config.toml"), configuration(&directory, base_url, project_id))
            .map_err(files)?;
        let log = File::create(directory.join("daemon.log")).map_err(files)?;
        let mut command = binaries::program(agentauthd);
        command
            .arg("--config")
            .arg(directory.join("config.toml"))
            .arg("run")
            .env_clear()
            .env("HOME", &directory)
            .stdin(std::process::Stdio::null())
            .stdout(log.try_clone().map_err(files)?)
            .stderr(log);
        let start = |cause| PersonError::Start { program: agentauthd.to_owned(), cause };
        let mut daemon = Kept::start(&mut command).map_err(start)?;
        let socket = directory.join("run/agent.sock");
        let mut client = Client::new(&socket, rustix::process::getuid().as_raw());
        let answers = tokio::time::timeout(PATIENCE, async {
            while client.health().await.is_err() {
                if daemon.exited().is_some() {
                    return false;
                }
                tokio::time::sleep(GLANCE).await;
            }
            true
        });
        if answers.await != Ok(true) {
            let log = fs::read_to_string(directory.join("daemon.log")).unwrap_or_default();
            return Err(PersonError::Silent { said: log.trim().to_owned() });
        }
        Ok(Self { _daemon: daemon, directory, client })
    }

    /// Where the daemon listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        self.client.socket()
    }

    /// The configuration file.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.directory.join("config.toml")
    }

    /// Starts a login; returns its identifier and the address to open.
    ///
    /// # Errors
    /// When the daemon cannot begin one.
    pub async fn begin_login(&mut self) -> Result<(String, String), PersonError> {
        let started = self.client.login_start(&LoginRequest::default()).await?;
        match started.way {
            LoginWay::Browser { url, .. } => Ok((started.id, url)),
            LoginWay::Device { .. } => Err(PersonError::Login("it wants another device".to_owned())),
        }
    }

    /// Logs in as a browser would: over HTTP, at the provider's page, back to the daemon's loopback listener.
    ///
    /// # Errors
    /// When any part of that fails.
    pub async fn log_in(&mut self, member: Member) -> Result<Account, PersonError> {
        let (id, url) = self.begin_login().await?;
        self.sign_in(&id, &url, member).await
    }

    /// Logs out.
    ///
    /// # Errors
    /// When the daemon does not do it.
    pub async fn log_out(&mut self) -> Result<(), PersonError> {
        self.client.logout(&LogoutRequest::default()).await?;
        Ok(())
    }

    /// Registers an agent, and signs in for exactly that.
    ///
    /// # Errors
    /// When any part of that fails.
    pub async fn register(
        &mut self,
        manifest: Value,
        program: &Path,
        member: Member,
    ) -> Result<(), PersonError> {
        let request = RegisterRequest {
            manifest: Some(manifest),
            executable: Some(program.to_string_lossy().into_owned()),
            ..RegisterRequest::default()
        };
        let login = self.client.register(&request).await?.login;
        self.confirm(login.ok_or(PersonError::Absent("login that confirms it"))?, member).await
    }

    /// The question that waits for an answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn question(&mut self) -> Result<Consent, PersonError> {
        let waiting = self.client.consents(None, Duration::ZERO).await?.consents;
        waiting.into_iter().next().ok_or(PersonError::Absent("question"))
    }

    /// Allows everything that a question asks for half an hour, and signs in for exactly that.
    ///
    /// # Errors
    /// When any part of that fails.
    pub async fn approve(&mut self, question: &Consent, member: Member) -> Result<(), PersonError> {
        let allow = question
            .scopes
            .iter()
            .map(|asked| ConsentAllowed { scope: asked.scope.clone(), lifetime: "30m".to_owned() });
        let answer = ConsentAnswer { allow: allow.collect(), reauth: true, ..ConsentAnswer::default() };
        let login = self.client.consent_answer(&question.id, &answer).await?.login;
        self.confirm(login.ok_or(PersonError::Absent("login that confirms it"))?, member).await
    }

    /// Refuses everything that a question asks.
    ///
    /// # Errors
    /// When the daemon does not do it.
    pub async fn refuse(&mut self, question: &Consent) -> Result<(), PersonError> {
        self.client.consent_answer(&question.id, &ConsentAnswer::default()).await?;
        Ok(())
    }

    /// Takes the grant of `scope` back.
    ///
    /// # Errors
    /// When there is none.
    pub async fn revoke(&mut self, scope: &str) -> Result<(), PersonError> {
        let grants = self.client.grants().await?.grants;
        let grant = grants.into_iter().find(|grant| grant.scope == scope && !grant.denied);
        self.client.revoke_grant(&grant.ok_or(PersonError::Absent("grant"))?.id).await?;
        Ok(())
    }

    async fn confirm(&mut self, login: LoginStarted, member: Member) -> Result<(), PersonError> {
        let LoginWay::Browser { url, .. } = login.way else {
            return Err(PersonError::Login("it wants another device".to_owned()));
        };
        self.sign_in(&login.id, &url, member).await.map(drop)
    }

    async fn sign_in(&mut self, id: &str, url: &str, member: Member) -> Result<Account, PersonError> {
        let page = signin::sign_in(url, member.email, member.password).await?;
        match self.client.login_progress(id, PATIENCE).await? {
            LoginProgress::Done { user } => Ok(user),
            LoginProgress::Failed { message, .. } => Err(PersonError::Login(message)),
            LoginProgress::Waiting | LoginProgress::Confirm { .. } => Err(PersonError::Login(format!(
                "the sign-in ended at {} with HTTP {}",
                page.url.path(),
                page.status
            ))),
        }
    }

    /// How many records the audit log has.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub async fn records(&mut self) -> Result<u64, PersonError> {
        Ok(self.client.status().await?.audit.records)
    }
}

fn configuration(directory: &Path, base_url: &str, project_id: &str) -> String {
    let path = |part: &str| toml_text(&directory.join(part).to_string_lossy());
    format!(
        "# Written by agentauth-demo.\n\n[provider]\nproject_id = {}\nbase_url = {}\n\n\
         [login]\nephemeral_port = true\n\n\
         # A machine for demonstrations may have no keychain, so the login is kept in memory, by explicit choice.\n\
         [secrets]\nstore = \"memory\"\n\n\
         [paths]\nstate_dir = {}\nsocket = {}\n",
        toml_text(project_id),
        toml_text(base_url),
        path("state"),
        path("run/agent.sock"),
    )
}

/// A TOML basic string; its escapes are those of JSON.
fn toml_text(text: &str) -> String {
    Value::from(text).to_string()
}
