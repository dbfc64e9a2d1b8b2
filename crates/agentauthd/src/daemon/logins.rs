//! Logins under way: one at a time, followed by its id. A new one takes the place of one that still waits for the
//! person, so that a closed tab is no obstacle.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentauth_core::session::User;
use agentauth_core::{Clock, SignedDuration, Timestamp};
use agentauth_idp::{
    CodeGrant, CompleteError, DeviceAttempt, DeviceError, DeviceLogin, DevicePrompt, Keys, LoggedIn, Login,
    LoginAttempt, LoginError, LoginOptions, Outcome, Provider, Responder, TokenFault,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::chain::Chain;
use super::keeper::{KeeperHandle, LoginMethod, NewLogin};
use super::record;
use super::recorder::Recorder;

/// How long the browser's page may still be on its way when the daemon stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// What logins work with.
pub(crate) struct Parts {
    pub(crate) provider: Provider,
    pub(crate) keys: Arc<Keys>,
    pub(crate) keeper: KeeperHandle,
    pub(crate) audit: Recorder,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) time_limit: SignedDuration,
    /// Whether a login may be made on another device.
    pub(crate) allow_device: bool,
}

/// The logins of this daemon.
pub(crate) struct Logins {
    parts: Arc<Parts>,
    current: Mutex<Option<Current>>,
    tasks: TaskTracker,
}

struct Current {
    id: String,
    progress: watch::Receiver<Progress>,
    cancel: CancellationToken,
}

/// What kind of login is asked for.
pub(crate) enum Ask {
    /// In the browser of this machine.
    Browser(LoginOptions),
    /// On another device, with a code.
    Device,
}

/// A login has begun, and waits for the person.
pub(crate) struct Started {
    pub(crate) id: String,
    pub(crate) expires_at: Timestamp,
    pub(crate) way: Way,
}

/// What the person has to do.
pub(crate) enum Way {
    /// Open the URL; the listener is bound.
    Browser { url: String, redirect_uri: String, device_offered: bool },
    /// Enter the code somewhere.
    Device(DevicePrompt),
}

/// Why a login could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Browser(#[from] LoginError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error("logins on another device are switched off here (`login.allow_device`): log in in the browser")]
    DeviceForbidden,
}

/// Where a login stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The person has not signed in yet.
    Waiting,
    /// Logged in.
    Done(User),
    /// Nothing was stored.
    Failed { code: &'static str, message: String },
}

/// A login that did not come to a session. Nothing was stored.
struct Failure {
    code: &'static str,
    message: String,
}

impl Logins {
    /// No login yet.
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts), current: Mutex::new(None), tasks: TaskTracker::new() }
    }

    /// Starts a login, and returns what the person needs for it.
    pub(crate) async fn start(&self, ask: Ask) -> Result<Started, StartError> {
        // A logout from here on is newer than this login.
        let logouts = self.parts.keeper.logouts();
        let limit = Duration::try_from(self.parts.time_limit).ok();
        match ask {
            Ask::Browser(options) => {
                self.abandon();
                let options = LoginOptions { limit, ..options };
                let (attempt, url) = Login::start(&self.parts.provider, options).await?;
                let way = Way::Browser {
                    url: url.as_str().to_owned(),
                    redirect_uri: attempt.redirect_uri().to_owned(),
                    device_offered: self.offers_device().await,
                };
                let ends = self.parts.clock.now() + self.parts.time_limit;
                Ok(self.follow(way, ends, async move |parts, cancel| {
                    parts.complete(attempt, cancel, logouts).await
                }))
            }
            Ask::Device => {
                if !self.parts.allow_device {
                    return Err(StartError::DeviceForbidden);
                }
                self.abandon();
                let (attempt, prompt) =
                    DeviceLogin::start(&self.parts.provider, limit, self.parts.clock.as_ref()).await?;
                let ends = self.parts.clock.now() + prompt.lifetime;
                Ok(self.follow(Way::Device(prompt), ends, async move |parts, cancel| {
                    parts.complete_elsewhere(attempt, cancel, logouts).await
                }))
            }
        }
    }

    /// Lets a login run by itself, in the place of the one before.
    fn follow<F>(
        &self,
        way: Way,
        expires_at: Timestamp,
        run: impl FnOnce(Arc<Parts>, CancellationToken) -> F,
    ) -> Started
    where
        F: Future<Output = Result<User, Failure>> + Send + 'static,
    {
        let id = Uuid::new_v4().to_string();
        let (sender, progress) = watch::channel(Progress::Waiting);
        let cancel = CancellationToken::new();
        let current = Current { id: id.clone(), progress, cancel: cancel.clone() };
        if let Some(before) = self.lock().replace(current) {
            before.cancel.cancel();
        }
        let running = run(self.parts.clone(), cancel);
        self.tasks.spawn(async move {
            sender.send_replace(match running.await {
                Ok(user) => Progress::Done(user),
                Err(Failure { code, message }) => Progress::Failed { code, message },
            });
        });
        Started { id, expires_at, way }
    }

    /// Whether this login could be made on another device, too; asked when the provider's description is fresh.
    async fn offers_device(&self) -> bool {
        let described = self.parts.provider.metadata().await;
        self.parts.allow_device
            && described.is_ok_and(|metadata| metadata.device_authorization_endpoint.is_some())
    }

    /// Where the login with this id stands, after waiting at most so long for it to end.
    pub(crate) async fn progress(&self, id: &str, wait: Duration) -> Option<Progress> {
        let mut progress = self.lock().as_ref().filter(|current| current.id == id)?.progress.clone();
        let ended = progress.wait_for(|progress| *progress != Progress::Waiting);
        let answer = tokio::time::timeout(wait, ended).await;
        Some(match answer {
            Ok(Ok(progress)) => progress.clone(),
            _ => Progress::Waiting,
        })
    }

    /// Why the newest login came to nothing, if it did: a stable word and a text for people.
    pub(crate) fn failed(&self) -> Option<(&'static str, String)> {
        match &*self.lock().as_ref()?.progress.borrow() {
            Progress::Failed { code, message } => Some((code, message.clone())),
            Progress::Waiting | Progress::Done(_) => None,
        }
    }

    /// Ends a login that still waits for the person.
    pub(crate) fn abandon(&self) {
        if let Some(current) = self.lock().as_ref() {
            current.cancel.cancel();
        }
    }

    /// Ends what is under way and lets the browser have its page.
    pub(crate) async fn stop(&self) {
        self.abandon();
        self.tasks.close();
        let _ = tokio::time::timeout(FAREWELL, self.tasks.wait()).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parts {
    /// From the browser's return to the session; the browser learns how it went.
    async fn complete(
        &self,
        attempt: LoginAttempt,
        cancel: CancellationToken,
        logouts: u64,
    ) -> Result<User, Failure> {
        let callback = attempt.wait(cancel.cancelled()).await.map_err(|error| {
            self.refused(LoginMethod::Browser, login_code(&error), Chain(&error).to_string())
        })?;
        let (grant, responder) = callback.split();
        match self.session(&grant, logouts).await {
            Ok(user) => {
                let next = "You can close this page. Your agents can ask agentauthd now; `agentauthd status` shows how it stands.";
                let (name, email) = (user.name.clone(), user.email.clone());
                responder.finish(Outcome::LoggedIn { name, email, next: next.to_owned() }).await;
                Ok(user)
            }
            Err(failure) => {
                finish_failed(responder, &failure).await;
                Err(failure)
            }
        }
    }

    /// Redeems the code, verifies every token, and hands the login to the keeper.
    async fn session(&self, grant: &CodeGrant, logouts: u64) -> Result<User, Failure> {
        // Whether the account is the pinned one is asked by the keeper, which can name both.
        let done =
            self.provider.complete(grant, &self.keys, None, self.clock.as_ref()).await.map_err(|error| {
                let code = match &error {
                    CompleteError::Exchange(_) => "exchange_failed",
                    CompleteError::Token(fault) => fault.code(),
                };
                self.refused(LoginMethod::Browser, code, Chain(&error).to_string())
            })?;
        self.adopt(done, LoginMethod::Browser, logouts).await
    }

    /// From the approval on another device to the session.
    async fn complete_elsewhere(
        &self,
        attempt: DeviceAttempt,
        cancel: CancellationToken,
        logouts: u64,
    ) -> Result<User, Failure> {
        let (provider, clock) = (&self.provider, self.clock.as_ref());
        let tokens = attempt.wait(provider, clock, cancel.cancelled()).await.map_err(|error| {
            self.refused(LoginMethod::Device, device_code(&error), Chain(&error).to_string())
        })?;
        // There is no nonce in such a login: the record says so.
        let done =
            provider.believe(tokens, &self.keys, None, None, clock).await.map_err(|fault: TokenFault| {
                self.refused(LoginMethod::Device, fault.code(), Chain(&fault).to_string())
            })?;
        self.adopt(done, LoginMethod::Device, logouts).await
    }

    async fn adopt(&self, done: LoggedIn, method: LoginMethod, logouts: u64) -> Result<User, Failure> {
        let login = NewLogin {
            method,
            logouts,
            issuer: done.accepted.id.issuer,
            user: done.accepted.user,
            refresh_token: done.tokens.refresh_token,
            session_token: done.tokens.access_token,
            session: done.accepted.session,
        };
        self.keeper
            .adopt(login)
            .await
            .map_err(|error| self.refused(method, error.code(), Chain(&error).to_string()))
    }

    /// Writes down that a login came to nothing.
    fn refused(&self, method: LoginMethod, code: &'static str, message: String) -> Failure {
        tracing::warn!(method = method.as_str(), code, error = message, "a login came to nothing");
        self.audit.note_down(&record::login_refused(method, code, &message, self.clock.now()));
        Failure { code, message }
    }
}

async fn finish_failed(responder: Responder, failure: &Failure) {
    let next = "Nothing was stored. Run `agentauthd login` to try again.".to_owned();
    responder.finish(Outcome::Failed { what: failure.message.clone(), next }).await;
}

/// The stable code of a login in the browser that came to no code.
fn login_code(error: &LoginError) -> &'static str {
    match error {
        LoginError::Cancelled => "cancelled",
        LoginError::TimedOut { .. } => "timed_out",
        LoginError::TooManyRefused { .. } => "state_mismatch",
        LoginError::Provider { .. } => "provider_refused",
        LoginError::IssuerMismatch { .. } => "issuer_mismatch",
        LoginError::Ports(_) => "ports_taken",
        LoginError::Discovery(_) | LoginError::Url(_) => "discovery_failed",
        LoginError::Random | LoginError::Listener => "internal",
    }
}

/// The stable code of a login on another device that came to no tokens.
fn device_code(error: &DeviceError) -> &'static str {
    match error {
        DeviceError::Cancelled => "cancelled",
        DeviceError::Denied => "denied",
        DeviceError::Expired { .. } => "timed_out",
        DeviceError::AnswerLost(_) => "answer_lost",
        DeviceError::Refused(_) | DeviceError::NotAllowed(_) | DeviceError::NotStarted(_) => {
            "provider_refused"
        }
        DeviceError::Exchange(_) => "exchange_failed",
        DeviceError::NotOffered | DeviceError::Unusable(_) => "not_offered",
        DeviceError::Discovery(_) | DeviceError::Http(_) => "discovery_failed",
    }
}
