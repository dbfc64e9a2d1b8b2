//! The keeper: the one task that owns the tokens. Others hold a [`KeeperHandle`] and send a message.
//!
//! The handle may be cloned freely, because no message carries a token out: what leaves the keeper is a session's
//! claims in the snapshot, and a [`View`] for `status`.

mod adopt;
mod logout;
mod refresh;
mod stored;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use agentauth_core::session::{OverReason, RefreshHistory, SessionState, User, refresh_due};
use agentauth_core::{Clock, SignedDuration, Timestamp};
use agentauth_host::clock::monotonic;
use agentauth_idp::{Keys, Provider};
use agentauth_store::{Health, ProfileName, SecretName, SecretStore, StateDb, StateError};
use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::chain::Chain;
use super::recorder::Recorder;
use super::state::State;

pub(crate) use adopt::{AdoptError, NewLogin};
pub(crate) use logout::LoggedOut;
use stored::StoredLogin;

/// How long the keeper sleeps at most before it looks at the clock again: a laptop that slept, or a clock that was
/// set, is noticed within this.
const LONGEST_SLEEP: Duration = Duration::from_secs(20);
/// How long a store that cannot be read is left alone.
const STORE_RETRY: SignedDuration = SignedDuration::from_secs(15);
/// How long to wait for another process's refresh.
pub(crate) const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// What the keeper works with.
pub(crate) struct Parts {
    pub(crate) profile: ProfileName,
    pub(crate) state_directory: PathBuf,
    /// The tenant whose roles count, if the configuration names one; else the token's current tenant.
    pub(crate) tenant: Option<String>,
    pub(crate) provider: Provider,
    pub(crate) keys: Arc<Keys>,
    pub(crate) store: Arc<dyn SecretStore>,
    pub(crate) db: Arc<StateDb>,
    pub(crate) audit: Recorder,
    pub(crate) state: Arc<State>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Between 0 and 1, drawn anew for each use.
    pub(crate) jitter: fn() -> f64,
}

/// What `status` tells of the keeper's work.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) next_refresh_at: Option<Timestamp>,
    pub(crate) store: Option<Health>,
    pub(crate) reachable: Option<bool>,
    pub(crate) last_reached_at: Option<Timestamp>,
    pub(crate) last_failure: Option<String>,
    /// What needs a person's attention.
    pub(crate) problem: Option<String>,
}

enum Command {
    Adopt { login: Box<NewLogin>, reply: oneshot::Sender<Result<User, AdoptError>> },
    Logout { everywhere: bool, reply: oneshot::Sender<LoggedOut> },
}

/// Talks to the keeper.
#[derive(Clone)]
pub(crate) struct KeeperHandle {
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<View>,
    state: Arc<State>,
    epoch: Arc<AtomicU64>,
}

/// The keeper has stopped, because the daemon is stopping.
#[derive(Debug, thiserror::Error)]
#[error("the daemon is stopping; ask again once it runs")]
pub(crate) struct Stopped;

impl KeeperHandle {
    /// Files a finished login and makes it the session.
    pub(crate) async fn adopt(&self, login: NewLogin) -> Result<User, AdoptError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Adopt { login: Box::new(login), reply };
        self.commands.send(command).await.map_err(|_| AdoptError::Stopped)?;
        answer.await.map_err(|_| AdoptError::Stopped)?
    }

    /// Ends the session: at once for decisions, then in the keychain, then at the provider.
    pub(crate) async fn logout(&self, everywhere: bool) -> Result<LoggedOut, Stopped> {
        // Taking rights away comes first and waits for nothing. The new epoch keeps a refresh that is under way
        // from bringing the session back.
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.state.change(|snapshot| snapshot.session = SessionState::LoggedOut);
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Logout { everywhere, reply }).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// What `status` tells.
    pub(crate) fn view(&self) -> View {
        self.view.borrow().clone()
    }
}

/// The task's own state.
pub(crate) struct Keeper {
    parts: Parts,
    name: SecretName,
    commands: mpsc::Receiver<Command>,
    epoch: Arc<AtomicU64>,
    view: watch::Sender<View>,
    held: Held,
    history: RefreshHistory,
    /// When to act next: read the store, store a rotated token again, or refresh.
    next: Option<Timestamp>,
    /// Farewells to the provider that nobody waits for.
    background: TaskTracker,
    /// The clock and the timer when they were looked at last: together they show a jump of the clock.
    looked: (Timestamp, Instant),
}

/// What the keeper holds.
enum Held {
    /// The store has not been read yet, or could not be.
    Unknown,
    /// The store has no login.
    Nothing,
    /// A login.
    Login(Login),
}

struct Login {
    stored: StoredLogin,
    /// `stored` has a rotated refresh token that the store has not taken yet; it is not used before.
    unstored: bool,
    /// The session token in force, for as long as the session lives.
    session_token: Option<SecretString>,
}

impl Keeper {
    /// The keeper and its handle; [`Keeper::run`] does the work.
    pub(crate) fn new(parts: Parts) -> (Self, KeeperHandle) {
        let (commands, receiver) = mpsc::channel(16);
        let (view, view_receiver) = watch::channel(View::default());
        let epoch = Arc::new(AtomicU64::new(0));
        let handle =
            KeeperHandle { commands, view: view_receiver, state: parts.state.clone(), epoch: epoch.clone() };
        let keeper = Self {
            name: SecretName::refresh_token(parts.profile.clone()),
            next: Some(parts.clock.now()),
            commands: receiver,
            epoch,
            view,
            held: Held::Unknown,
            history: RefreshHistory::default(),
            background: TaskTracker::new(),
            looked: (parts.clock.now(), monotonic()),
            parts,
        };
        (keeper, handle)
    }

    /// Works until told to stop. What is under way then is finished first: a rotated token must reach the store.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        self.history = self.stored_history().await;
        loop {
            self.tick().await;
            let pause = self.pause();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => break,
                },
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.background.close();
        let _ = tokio::time::timeout(Duration::from_secs(5), self.background.wait()).await;
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Adopt { login, reply } => {
                let _ = reply.send(self.adopt(*login).await);
            }
            Command::Logout { everywhere, reply } => {
                let _ = reply.send(self.logout(everywhere).await);
            }
        }
    }

    /// Looks at the clock and does what is due.
    async fn tick(&mut self) {
        let now = self.parts.clock.now();
        self.end_expired_session(now);
        if !matches!(self.held, Held::Nothing | Held::Unknown) {
            self.keep_keys_fresh(now).await;
        }
        let waited = SignedDuration::try_from(self.looked.1.elapsed()).unwrap_or(SignedDuration::MAX);
        let due = self.next.and_then(|planned| refresh_due(planned, self.looked.0, waited, now));
        self.looked = (now, monotonic());
        if let Some(due) = due {
            tracing::debug!(?due, "the keeper acts");
            match &self.held {
                Held::Nothing => self.next = None,
                Held::Unknown => self.read_store().await,
                Held::Login(login) if login.unstored => self.store_again().await,
                Held::Login(_) => self.refresh().await,
            }
        }
        self.view.send_modify(|view| view.next_refresh_at = self.next);
    }

    fn pause(&self) -> Duration {
        let Some(next) = self.next else { return LONGEST_SLEEP };
        let remaining = next.duration_since(self.parts.clock.now());
        Duration::try_from(remaining).unwrap_or(Duration::ZERO).min(LONGEST_SLEEP)
    }

    /// A session token that ran out is no session: decisions must not wait for the refresh to say so.
    fn end_expired_session(&self, now: Timestamp) {
        let expired =
            |session: &SessionState| matches!(session, SessionState::Active(s) if s.claims.expires_at <= now);
        if expired(&self.parts.state.load().session) {
            self.parts.state.change(|snapshot| {
                if let SessionState::Active(session) = &snapshot.session
                    && session.claims.expires_at <= now
                {
                    let why = "the session token ran out and the provider has not given a new one yet";
                    let user = Some(session.user.clone());
                    snapshot.session = SessionState::Unverified { user, since: now, why: why.to_owned() };
                }
            });
        }
    }

    /// Fetches the keys when they are due, and takes the session back to the provider when its key is gone.
    async fn keep_keys_fresh(&mut self, now: Timestamp) {
        if let Err(error) = self.parts.keys.refresh_if_due(now).await {
            tracing::warn!(error = %Chain(&error), "the provider's keys could not be fetched");
            self.view.send_modify(|view| view.last_failure = Some(Chain(&error).to_string()));
        }
        let fresh_until = self.parts.keys.fresh_until();
        let key_gone = match &self.parts.state.load().session {
            SessionState::Active(session) => !self.parts.keys.contains(&session.key_id),
            _ => false,
        };
        if !key_gone && self.parts.state.load().keys_fresh_until == fresh_until {
            return;
        }
        self.parts.state.change(|snapshot| {
            snapshot.keys_fresh_until = fresh_until;
            if let SessionState::Active(session) = &snapshot.session
                && key_gone
            {
                let why = "the provider withdrew the key that signed the session";
                let user = Some(session.user.clone());
                snapshot.session = SessionState::Unverified { user, since: now, why: why.to_owned() };
            }
        });
        if key_gone {
            self.next = Some(now);
        }
    }

    /// Reads the login from the store, at the start and for as long as the store cannot be read.
    async fn read_store(&mut self) {
        let now = self.parts.clock.now();
        let answer = self.parts.store.get(&self.name).await;
        let health = self.parts.store.probe().await;
        self.view.send_modify(|view| view.store = Some(health));
        match answer {
            Ok(None) => self.forget(None),
            Ok(Some(secret)) => match self.read_login(&secret).await {
                Ok(stored) => {
                    let why = "the provider has not confirmed the stored login since agentauthd started";
                    self.set_unverified(Some(stored.user.clone()), why, now);
                    self.held = Held::Login(Login { stored, unstored: false, session_token: None });
                    self.next = Some(now);
                    self.view.send_modify(|view| view.problem = None);
                }
                Err(problem) => self.forget(Some(problem)),
            },
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "the secret store cannot be read");
                self.set_unverified(None, &error.to_string(), now);
                self.view.send_modify(|view| view.problem = Some(error.to_string()));
                self.next = Some(now + STORE_RETRY);
            }
        }
    }

    /// Reads a stored login, and refuses one of another account than the pinned one.
    async fn read_login(&self, secret: &SecretString) -> Result<StoredLogin, String> {
        let stored = StoredLogin::from_secret(secret).map_err(|error| error.to_string())?;
        match self.with_db(|db, profile| db.pin(profile)).await {
            Ok(Some(pin)) if pin.subject == stored.user.subject && pin.issuer == stored.issuer => Ok(stored),
            Ok(Some(_)) => {
                Err("the stored login belongs to another account than the one this installation is pinned \
                                to: log in again"
                    .to_owned())
            }
            Ok(None) => Err("the stored login has no pinned account beside it: log in again".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// There is no login.
    fn forget(&mut self, problem: Option<String>) {
        self.held = Held::Nothing;
        self.next = None;
        self.parts.state.change(|snapshot| snapshot.session = SessionState::LoggedOut);
        self.view.send_modify(|view| view.problem = problem);
    }

    /// The login ended otherwise than by a logout.
    fn end(&mut self, why: OverReason) {
        let now = self.parts.clock.now();
        let user = match &self.held {
            Held::Login(login) => Some(login.stored.user.clone()),
            Held::Nothing | Held::Unknown => None,
        };
        self.held = Held::Nothing;
        self.next = None;
        self.parts.state.change(|snapshot| snapshot.session = SessionState::Over { user, why, at: now });
    }

    /// Takes an active session back to unverified; an inactive one gets the newer reason.
    fn set_unverified(&self, user: Option<User>, why: &str, now: Timestamp) {
        self.parts.state.change(|snapshot| {
            snapshot.session = SessionState::Unverified { user, since: now, why: why.to_owned() };
        });
    }

    async fn stored_history(&self) -> RefreshHistory {
        match self.with_db(|db, profile| db.refresh_record(profile)).await {
            Ok(record) => {
                RefreshHistory { rotates: record.rotates, ambiguous: record.ambiguous, failures: 0 }
            }
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "the history of refreshes cannot be read");
                RefreshHistory::default()
            }
        }
    }

    /// Uses the database off the thread: a disk that is slow must not hold up decisions.
    async fn with_db<T: Send + 'static>(
        &self,
        with: impl FnOnce(&StateDb, &ProfileName) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let (db, profile) = (self.parts.db.clone(), self.parts.profile.clone());
        match tokio::task::spawn_blocking(move || with(&db, &profile)).await {
            Ok(result) => result,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}
