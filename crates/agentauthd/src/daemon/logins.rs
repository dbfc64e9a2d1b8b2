//! Logins under way: one at a time, followed by its id. A new one takes the place of one that still waits for the
//! person, so that a closed tab is no obstacle.

mod enrol;
mod widening;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentauth_core::session::User;
use agentauth_core::{Clock, SignedDuration, Timestamp};
use agentauth_idp::{
    Carrier, Chain, CodeGrant, CompleteError, DeviceAttempt, DeviceError, DeviceLogin, DevicePrompt, Keys,
    LoggedIn, Login, LoginAttempt, LoginError, LoginOptions, Outcome, Provider, Responder, TokenFault,
};
use agentauth_store::{ProfileName, StateDb};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::keeper::{KeeperHandle, LoginMethod, NewLogin};
use super::passkeys::Passkeys;
use super::record;
use super::recorder::Recorder;
use super::state::State;
use enrol::Enrolling;
pub(crate) use widening::{CarryOut, ConfirmError, Confirming, Handover, NotDone, Owner, code};

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
    pub(crate) state: Arc<State>,
    pub(crate) db: Arc<StateDb>,
    pub(crate) profile: ProfileName,
    /// This installation, as it names itself in questions to its owner.
    pub(crate) device: String,
    /// What may confirm an operation in place of a login.
    pub(crate) passkeys: Arc<Passkeys>,
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
    /// In the browser, to hand the installation over to another account.
    Switch(LoginOptions),
    /// In the browser, by the owner, to confirm an operation.
    Confirm(LoginOptions, Box<Confirming>),
    /// In the browser, by the owner, to register a passkey.
    Enrol(LoginOptions, Box<Enrolling>),
}

/// A login has begun, and waits for the person.
pub(crate) struct Started {
    pub(crate) id: String,
    pub(crate) expires_at: Timestamp,
    pub(crate) way: Way,
    /// Where a passkey may confirm it instead.
    pub(crate) passkey: Option<ByPasskey>,
}

/// Where a passkey may confirm something.
pub(crate) enum ByPasskey {
    /// On the page that the person is on: what to ask, by its id.
    Here(String),
    /// On a page of its own: its address, good for one visit.
    Page(String),
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
    /// Another account than the owner's has signed in; the owner has to confirm the handover.
    Confirm(Box<Handover>),
    /// Logged in.
    Done(User),
    /// Nothing was stored.
    Failed { code: &'static str, message: String },
}

/// What a login that runs has to do with those who follow it.
struct Running {
    id: String,
    cancel: CancellationToken,
    progress: Arc<watch::Sender<Progress>>,
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
                let (attempt, way, ends) = self.browser(options).await?;
                Ok(self.follow(way, ends, async move |parts, running: Running| {
                    parts.complete(attempt, running.cancel, logouts).await
                }))
            }
            Ask::Switch(options) => {
                let (attempt, way, ends) = self.browser(options).await?;
                Ok(self.follow(way, ends, async move |parts, running: Running| {
                    parts.switch(attempt, running, logouts).await
                }))
            }
            Ask::Confirm(options, confirming) => {
                let (attempt, way, ends) = self.browser(options).await?;
                Ok(self.follow(way, ends, async move |parts, running: Running| {
                    parts.confirm(attempt, &running.cancel, *confirming).await
                }))
            }
            Ask::Enrol(options, enrolling) => {
                let (attempt, way, ends) = self.browser(options).await?;
                Ok(self.follow(way, ends, async move |parts, running: Running| {
                    parts.enrol(attempt, running, *enrolling).await
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
                Ok(self.follow(Way::Device(prompt), ends, async move |parts, running: Running| {
                    parts.complete_elsewhere(attempt, running.cancel, logouts).await
                }))
            }
        }
    }

    /// Binds the listener for a login in the browser.
    async fn browser(&self, options: LoginOptions) -> Result<(LoginAttempt, Way, Timestamp), StartError> {
        self.abandon();
        let (attempt, url) = Login::start(&self.parts.provider, self.parts.limited(options)).await?;
        let way = Way::Browser {
            url: url.as_str().to_owned(),
            redirect_uri: attempt.redirect_uri().to_owned(),
            device_offered: self.offers_device().await,
        };
        Ok((attempt, way, self.parts.clock.now() + self.parts.time_limit))
    }

    /// Lets a login run by itself, in the place of the one before.
    fn follow<F>(
        &self,
        way: Way,
        expires_at: Timestamp,
        run: impl FnOnce(Arc<Parts>, Running) -> F,
    ) -> Started
    where
        F: Future<Output = Result<User, Failure>> + Send + 'static,
    {
        let method = match &way {
            Way::Browser { .. } => "browser",
            Way::Device(_) => "device",
        };
        self.parts.audit.note_down(&record::login_started(method, self.parts.clock.now()));
        let id = Uuid::new_v4().to_string();
        let (sender, progress) = watch::channel(Progress::Waiting);
        let cancel = CancellationToken::new();
        let current = Current { id: id.clone(), progress, cancel: cancel.clone() };
        if let Some(before) = self.lock().replace(current) {
            before.cancel.cancel();
        }
        let sender = Arc::new(sender);
        let running = Running { id: id.clone(), cancel, progress: sender.clone() };
        let outcome = run(self.parts.clone(), running);
        self.tasks.spawn(async move {
            sender.send_replace(match outcome.await {
                Ok(user) => Progress::Done(user),
                Err(Failure { code, message }) => Progress::Failed { code, message },
            });
        });
        Started { id, expires_at, way, passkey: None }
    }

    /// Whether this login could be made on another device, too; asked when the provider's description is fresh.
    async fn offers_device(&self) -> bool {
        let described = self.parts.provider.metadata().await;
        self.parts.allow_device
            && described.is_ok_and(|metadata| metadata.device_authorization_endpoint.is_some())
    }

    /// Where the login with this id stands, after waiting at most so long for another state than the one that was `seen`.
    pub(crate) async fn progress(&self, id: &str, seen: &str, wait: Duration) -> Option<Progress> {
        let mut progress = self.lock().as_ref().filter(|current| current.id == id)?.progress.clone();
        let changed = progress.wait_for(|progress| progress.word() != seen);
        // Whatever came of waiting, what is so now is the answer.
        let _ = tokio::time::timeout(wait, changed).await;
        let now = progress.borrow().clone();
        Some(now)
    }

    /// Why the newest login came to nothing, if it did: a stable word and a text for people.
    pub(crate) fn failed(&self) -> Option<(&'static str, String)> {
        match &*self.lock().as_ref()?.progress.borrow() {
            Progress::Failed { code, message } => Some((code, message.clone())),
            Progress::Waiting | Progress::Confirm(_) | Progress::Done(_) => None,
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
        let (done, responder) = self.signed_in(attempt, &cancel).await?;
        let kept = self.adopt(done, LoginMethod::Browser, logouts).await;
        answer(responder, kept).await
    }

    /// Waits for the browser, redeems the code and verifies every token. Whose account it is, is not asked here.
    async fn signed_in(
        &self,
        attempt: LoginAttempt,
        cancel: &CancellationToken,
    ) -> Result<(LoggedIn, Responder), Failure> {
        let callback = attempt.wait(cancel.cancelled()).await.map_err(|error| {
            self.refused(LoginMethod::Browser, login_code(&error), Chain(&error).to_string())
        })?;
        let (grant, responder) = callback.split();
        match self.redeem(&grant).await {
            Ok(done) => Ok((done, responder)),
            Err(failure) => {
                finish_failed(responder, &failure).await;
                Err(failure)
            }
        }
    }

    async fn redeem(&self, grant: &CodeGrant) -> Result<LoggedIn, Failure> {
        // Whether the account is the pinned one is asked by the keeper, which can name both.
        self.provider.complete(grant, &self.keys, None, self.clock.as_ref()).await.map_err(|error| {
            let code = match &error {
                CompleteError::Exchange(_) => "exchange_failed",
                CompleteError::Token(fault) => fault.code(),
            };
            self.refused(LoginMethod::Browser, code, Chain(&error).to_string())
        })
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

    /// Hands a verified login to the keeper.
    async fn adopt(&self, done: LoggedIn, method: LoginMethod, logouts: u64) -> Result<User, Failure> {
        let kept = self.keeper.adopt(new_login(done, method, logouts)).await;
        kept.map_err(|error| self.refused(method, error.code(), Chain(&error).to_string()))
    }

    fn limited(&self, options: LoginOptions) -> LoginOptions {
        LoginOptions { limit: Duration::try_from(self.time_limit).ok(), ..options }
    }

    /// Writes down that a login came to nothing.
    fn refused(&self, method: LoginMethod, code: &'static str, message: String) -> Failure {
        tracing::warn!(method = method.as_str(), code, error = message, "a login came to nothing");
        self.audit.note_down(&record::login_refused(method, code, &message, self.clock.now()));
        Failure { code, message }
    }
}

impl Progress {
    /// The state's word on the wire.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Confirm(_) => "confirm",
            Self::Done(_) => "done",
            Self::Failed { .. } => "failed",
        }
    }
}

fn new_login(done: LoggedIn, method: LoginMethod, logouts: u64) -> NewLogin {
    let original = done.accepted.id.original();
    NewLogin {
        method,
        logouts,
        issuer: done.accepted.id.issuer,
        user: done.accepted.user,
        refresh_token: done.tokens.refresh_token,
        session_token: match done.accepted.session.carrier {
            Carrier::AccessToken => Some(done.tokens.access_token),
            Carrier::IdToken => Some(done.tokens.id_token.clone()),
            Carrier::Userinfo => None,
        },
        session: done.accepted.session,
        id_token: done.tokens.id_token,
        original: Some(original),
    }
}

/// Shows in the browser what became of a login.
async fn answer(responder: Responder, outcome: Result<User, Failure>) -> Result<User, Failure> {
    match &outcome {
        Ok(user) => {
            let next = "You can close this page. Your agents can ask agentauthd now; `agentauthd status` shows how it stands.";
            let (name, email) = (user.name.clone(), user.email.clone());
            responder.finish(Outcome::LoggedIn { name, email, next: next.to_owned() }).await;
        }
        Err(failure) => finish_failed(responder, failure).await,
    }
    outcome
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
