//! Logins under way: one at a time, followed by its id. A new one takes the place of one that still waits for the
//! browser, so that a closed tab is no obstacle.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentauth_core::session::User;
use agentauth_core::{Clock, SignedDuration, Timestamp};
use agentauth_idp::{
    CodeGrant, CompleteError, Keys, Login, LoginAttempt, LoginError, LoginOptions, Outcome, Provider,
    Responder,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::chain::Chain;
use super::keeper::{KeeperHandle, NewLogin};
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

/// A login has begun: the listener is bound, the person may open the URL.
pub(crate) struct Started {
    pub(crate) id: String,
    pub(crate) url: String,
    pub(crate) redirect_uri: String,
    pub(crate) expires_at: Timestamp,
}

/// Where a login stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The person has not come back from the browser yet.
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

    /// Binds the listener, and returns the URL for the browser.
    pub(crate) async fn start(&self, options: LoginOptions) -> Result<Started, LoginError> {
        self.abandon();
        let limit = Duration::try_from(self.parts.time_limit).ok();
        let options = LoginOptions { limit, ..options };
        let (attempt, url) = Login::start(&self.parts.provider, options).await?;
        let id = Uuid::new_v4().to_string();
        let (sender, progress) = watch::channel(Progress::Waiting);
        let cancel = CancellationToken::new();
        let started = Started {
            id: id.clone(),
            url: url.as_str().to_owned(),
            redirect_uri: attempt.redirect_uri().to_owned(),
            expires_at: self.parts.clock.now() + self.parts.time_limit,
        };
        let current = Current { id, progress, cancel: cancel.clone() };
        if let Some(before) = self.lock().replace(current) {
            before.cancel.cancel();
        }
        let parts = self.parts.clone();
        self.tasks.spawn(async move {
            sender.send_replace(match parts.complete(attempt, cancel).await {
                Ok(user) => Progress::Done(user),
                Err(Failure { code, message }) => Progress::Failed { code, message },
            });
        });
        Ok(started)
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

    /// Ends a login that still waits for the browser.
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
    async fn complete(&self, attempt: LoginAttempt, cancel: CancellationToken) -> Result<User, Failure> {
        // A logout from here on is newer than this login.
        let logouts = self.keeper.logouts();
        let callback = match attempt.wait(cancel.cancelled()).await {
            Ok(callback) => callback,
            Err(error) => {
                let failure = Failure { code: login_code(&error), message: Chain(&error).to_string() };
                self.note_refused(failure.code, &failure.message);
                return Err(failure);
            }
        };
        let (grant, responder) = callback.split();
        match self.session(&grant, logouts).await {
            Ok(user) => {
                let next = "You can close this page. Your agents can ask agentauthd now; `agentauthd status` shows how it stands.";
                let (name, email) = (user.name.clone(), user.email.clone());
                responder.finish(Outcome::LoggedIn { name, email, next: next.to_owned() }).await;
                Ok(user)
            }
            Err(failure) => {
                self.note_refused(failure.code, &failure.message);
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
                tracing::warn!(error = %Chain(&error), "the login was not completed");
                let code = match &error {
                    CompleteError::Exchange(_) => "exchange_failed",
                    CompleteError::Token(fault) => fault.code(),
                };
                Failure { code, message: Chain(&error).to_string() }
            })?;
        let login = NewLogin {
            logouts,
            issuer: done.accepted.id.issuer,
            user: done.accepted.user,
            refresh_token: done.tokens.refresh_token,
            session_token: done.tokens.access_token,
            session: done.accepted.session,
        };
        self.keeper.adopt(login).await.map_err(|error| {
            tracing::warn!(error = %Chain(&error), "the login was not kept");
            Failure { code: error.code(), message: error.to_string() }
        })
    }

    fn note_refused(&self, code: &str, message: &str) {
        self.audit.note_down(&record::login_refused(code, message, self.clock.now()));
    }
}

async fn finish_failed(responder: Responder, failure: &Failure) {
    let next = "Nothing was stored. Run `agentauthd login` to try again.".to_owned();
    responder.finish(Outcome::Failed { what: failure.message.clone(), next }).await;
}

/// The stable code of a login that came to no code.
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
