//! The keeper: the one task that owns the tokens. Others hold a [`KeeperHandle`] and send a message.
//!
//! The handle may be cloned freely, because no message carries a token out: what leaves the keeper is a session's
//! claims in the snapshot, and a [`View`] for `status`.
//!
//! A logout goes before everything else. Who asks for one raises a counter and takes the session out of the snapshot,
//! without waiting for the keeper. For as long as the counter is ahead of what the keeper has obeyed, the keeper puts
//! no session into the snapshot, sends nothing, and lets go of what it waits for.

mod adopt;
mod logout;
mod refresh;
mod stored;
#[cfg(test)]
mod tests;
mod upkeep;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agentauth_core::session::{OverReason, RefreshHistory, SessionState, User, refresh_due};
use agentauth_core::snapshot::Snapshot;
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

pub(crate) use adopt::{AdoptError, LoginMethod, NewLogin};
pub(crate) use logout::LoggedOut;
use stored::StoredLogin;

/// How long the keeper sleeps at most before it looks at the clock again: a laptop that slept, or a clock that was
/// set, is noticed within this.
const LONGEST_SLEEP: Duration = Duration::from_secs(20);
/// How long to wait for another process's refresh.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);
/// How long farewells to the provider may take once the daemon stops.
const FAREWELL: Duration = Duration::from_secs(5);

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
    /// Whether a refresh brings another refresh token, as far as this login has shown.
    pub(crate) rotates: Option<bool>,
    /// When the provider wished to be asked again, in seconds after its last answer.
    pub(crate) refresh_hint: Option<u32>,
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
    logouts: Arc<watch::Sender<u64>>,
}

/// The keeper has stopped, because the daemon is stopping.
#[derive(Debug, thiserror::Error)]
#[error("the daemon is stopping; ask again once it runs")]
pub(crate) struct Stopped;

impl KeeperHandle {
    /// How many logouts there have been. A login that began before the newest one is not kept.
    pub(crate) fn logouts(&self) -> u64 {
        *self.logouts.borrow()
    }

    /// Files a finished login and makes it the session.
    pub(crate) async fn adopt(&self, login: NewLogin) -> Result<User, AdoptError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Adopt { login: Box::new(login), reply };
        self.commands.send(command).await.map_err(|_| AdoptError::Stopped)?;
        answer.await.map_err(|_| AdoptError::Stopped)?
    }

    /// Ends the session: at once for decisions, then in the keychain, then at the provider.
    pub(crate) async fn logout(&self, everywhere: bool) -> Result<LoggedOut, Stopped> {
        self.logouts.send_modify(|count| *count += 1);
        self.state.change(|snapshot| snapshot.session = SessionState::LoggedOut);
        let (reply, answer) = oneshot::channel();
        let commands = self.commands.clone();
        // In a task of its own: the logout goes on when the one who asked for it has gone away.
        tokio::spawn(async move { commands.send(Command::Logout { everywhere, reply }).await });
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
    /// The logouts that were asked for.
    logouts: watch::Receiver<u64>,
    /// The logouts that were carried out.
    obeyed: u64,
    stop: CancellationToken,
    view: watch::Sender<View>,
    held: Held,
    history: RefreshHistory,
    /// When to act next: read the store, store a rotated token again, or refresh.
    next: Option<Timestamp>,
    /// Farewells to the provider that nobody waits for.
    background: TaskTracker,
    /// The clock and the timer when they were looked at last: together they show a jump of the clock.
    looked: (Timestamp, Instant),
    /// When the key set was fetched that the session token was last held against.
    keys_seen: Option<Timestamp>,
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
    stored: Box<StoredLogin>,
    /// `stored` has a rotated refresh token that the store has not taken yet; it is not used before.
    unstored: bool,
    /// The session token in force, to be held against each new set of keys.
    session_token: Option<SecretString>,
}

impl Keeper {
    /// The keeper and its handle; [`Keeper::run`] does the work until `stop`.
    pub(crate) fn new(parts: Parts, stop: CancellationToken) -> (Self, KeeperHandle) {
        let (commands, receiver) = mpsc::channel(16);
        let (view, view_receiver) = watch::channel(View::default());
        let (logouts, asked) = watch::channel(0);
        let handle = KeeperHandle {
            commands,
            view: view_receiver,
            state: parts.state.clone(),
            logouts: Arc::new(logouts),
        };
        let keeper = Self {
            name: SecretName::refresh_token(parts.profile.clone()),
            next: Some(parts.clock.now()),
            commands: receiver,
            logouts: asked,
            obeyed: 0,
            stop,
            view,
            held: Held::Unknown,
            history: RefreshHistory::default(),
            background: TaskTracker::new(),
            looked: (parts.clock.now(), monotonic()),
            keys_seen: None,
            parts,
        };
        (keeper, handle)
    }

    /// Works until told to stop. A refresh that was sent by then is finished first, and what it brought is stored.
    pub(crate) async fn run(mut self) {
        self.history = self.stored_history().await;
        let stop = self.stop.clone();
        while !stop.is_cancelled() {
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
        if !self.store_rotated().await {
            tracing::error!(
                "the newest login could not be stored; it is lost: log in again after the next start"
            );
        }
        self.background.close();
        let _ = tokio::time::timeout(FAREWELL, self.background.wait()).await;
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Adopt { login, reply } => {
                let _ = reply.send(self.adopt(*login).await);
            }
            Command::Logout { everywhere, reply } => {
                let done = self.logout(everywhere).await;
                self.obeyed += 1;
                let _ = reply.send(done);
            }
        }
    }

    /// Looks at the clock and does what is due.
    async fn tick(&mut self) {
        self.end_expired_session();
        if matches!(self.held, Held::Login(_)) {
            self.keep_keys_fresh().await;
        }
        // Both at one moment: what lies between them would look like a jump of the clock.
        let (now, timer) = (self.parts.clock.now(), monotonic());
        let waited =
            SignedDuration::try_from(timer.duration_since(self.looked.1)).unwrap_or(SignedDuration::MAX);
        let due = self.next.and_then(|planned| refresh_due(planned, self.looked.0, waited, now));
        self.looked = (now, timer);
        if let Some(due) = due
            && !self.is_called_away()
        {
            tracing::debug!(?due, "the keeper acts");
            match &self.held {
                Held::Nothing => self.next = None,
                Held::Unknown => self.read_store().await,
                Held::Login(login) if login.unstored => self.store_again().await,
                Held::Login(_) => self.refresh().await,
            }
            // Answers may have taken long; that was no jump either.
            self.looked = (self.parts.clock.now(), monotonic());
        }
        self.view.send_modify(|view| view.next_refresh_at = self.next);
    }

    fn pause(&self) -> Duration {
        let Some(next) = self.next else { return LONGEST_SLEEP };
        let remaining = next.duration_since(self.parts.clock.now());
        Duration::try_from(remaining).unwrap_or(Duration::ZERO).min(LONGEST_SLEEP)
    }

    /// Whether a logout waits to be obeyed, or the daemon stops: then nothing new is begun.
    fn is_called_away(&self) -> bool {
        self.stop.is_cancelled() || *self.logouts.borrow() != self.obeyed
    }

    /// Waits for `work`, but not beyond the moment at which the keeper is called away. Not for what must be finished.
    async fn unless_called_away<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut logouts = self.logouts.clone();
        let obeyed = self.obeyed;
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            _ = logouts.wait_for(|asked| *asked != obeyed) => None,
            outcome = work => Some(outcome),
        }
    }

    /// Changes the snapshot, unless a logout has been asked for: then the snapshot says so already.
    fn show(&self, with: impl FnOnce(&mut Snapshot)) {
        self.parts.state.change(|snapshot| {
            if *self.logouts.borrow() == self.obeyed {
                with(snapshot);
            }
        });
    }

    /// There is no login.
    fn forget(&mut self, problem: Option<String>) {
        self.held = Held::Nothing;
        self.next = None;
        self.show(|snapshot| snapshot.session = SessionState::LoggedOut);
        self.view.send_modify(|view| view.problem = problem);
    }

    /// The login ended otherwise than by a logout.
    fn end(&mut self, why: OverReason) {
        let now = self.parts.clock.now();
        let user = self.user();
        self.held = Held::Nothing;
        self.next = None;
        self.show(|snapshot| snapshot.session = SessionState::Over { user, why, at: now });
    }

    fn set_unverified(&self, user: Option<User>, why: &str) {
        let since = self.parts.clock.now();
        self.show(|snapshot| {
            snapshot.session = SessionState::Unverified { user, since, why: why.to_owned() }
        });
    }

    fn user(&self) -> Option<User> {
        match &self.held {
            Held::Login(login) => Some(login.stored.user.clone()),
            Held::Nothing | Held::Unknown => None,
        }
    }

    /// Ends a login at the provider; nobody waits for it. One that belongs to another provider is sent nowhere.
    fn farewell(&self, login: StoredLogin) {
        if !login.belongs_to(&self.parts.profile, self.parts.provider.config()) {
            return;
        }
        let provider = self.parts.provider.clone();
        self.background.spawn(async move {
            if let Err(error) = provider.logout(&login.refresh_token, false).await {
                tracing::info!(error = %Chain(&error), "a login that is not kept could not be ended at the provider");
            }
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
