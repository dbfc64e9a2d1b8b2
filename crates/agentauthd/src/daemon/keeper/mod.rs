//! The keeper: the one task that owns the tokens. Others hold a [`KeeperHandle`] and send a message.
//!
//! The handle may be cloned freely, because no message carries a token out: what leaves the keeper is a session's
//! claims in the snapshot, and a [`View`] for `status`.
//!
//! A logout goes before everything else. Who asks for one raises a counter and takes the session out of the snapshot,
//! without waiting for the keeper. For as long as the counter is ahead of what the keeper has obeyed, the keeper puts
//! no session into the snapshot, sends nothing, and lets go of what it waits for.

mod adopt;
mod confirm;
mod farewells;
mod logout;
mod refresh;
mod stored;
#[cfg(test)]
mod tests;
mod upkeep;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agentauth_core::session::{OverReason, RefreshHistory, SessionLimits, SessionState, User, refresh_due};
use agentauth_core::snapshot::Snapshot;
use agentauth_core::{Clock, ClockReading, SignedDuration, Timestamp};
use agentauth_host::clock::SteadyClock;
use agentauth_idp::{Chain, Keys, Provider};
use agentauth_store::{Health, ProfileName, SecretName, SecretStore, StateDb, StateError};
use secrecy::SecretString;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::metrics::Metrics;
use super::recorder::Recorder;
use super::rights::RightsError;
use super::state::State;

pub(crate) use adopt::{AdoptError, LoginMethod, NewLogin, Replacing};
pub(crate) use logout::LoggedOut;
use stored::StoredLogin;

/// How long the keeper sleeps at most before it looks at the clock again: a laptop that slept, or a clock that was
/// set, is noticed within this; at once, when somebody asks for a decision that waits for the keeper.
const LONGEST_SLEEP: Duration = Duration::from_secs(20);
/// How long to wait for another process's refresh.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);
/// How often the time is noted in the state database, so that a clock that is set back across a restart is noticed.
const NOTE_TIME: SignedDuration = SignedDuration::from_mins(10);
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
    pub(crate) clock: Arc<SteadyClock>,
    /// What the configuration demands of a session.
    pub(crate) limits: SessionLimits,
    /// Between 0 and 1, drawn anew for each use.
    pub(crate) jitter: fn() -> f64,
    /// Writes down, before an account is pinned, what the person's own files say as applied. Blocking.
    pub(crate) settle: Arc<dyn Fn() -> Result<(), RightsError> + Send + Sync>,
    pub(crate) metrics: Arc<Metrics>,
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
    Adopt {
        login: Box<NewLogin>,
        replacing: Option<Box<Replacing>>,
        reply: oneshot::Sender<Result<User, AdoptError>>,
    },
    Logout {
        everywhere: bool,
        reply: oneshot::Sender<LoggedOut>,
    },
    /// The provider is asked now, whatever was planned.
    AskNow,
}

/// Talks to the keeper.
#[derive(Clone)]
pub(crate) struct KeeperHandle {
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<View>,
    state: Arc<State>,
    logouts: Arc<watch::Sender<u64>>,
    nudge: Arc<Notify>,
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
        self.file(login, None).await
    }

    /// The same for the login of another account, to which the installation is handed over.
    pub(crate) async fn hand_over(&self, login: NewLogin, replacing: Replacing) -> Result<User, AdoptError> {
        self.file(login, Some(Box::new(replacing))).await
    }

    async fn file(&self, login: NewLogin, replacing: Option<Box<Replacing>>) -> Result<User, AdoptError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Adopt { login: Box::new(login), replacing, reply };
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

    /// Somebody waits for the keeper: it looks at the clock now rather than in a while. Costs nothing to ask often.
    pub(crate) fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Has the provider asked now: a pause has ended.
    pub(crate) async fn ask_now(&self) {
        // A keeper that has stopped asks nobody.
        let _ = self.commands.send(Command::AskNow).await;
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
    /// When to have the session confirmed next, where the configuration wants that.
    confirm_at: Option<Timestamp>,
    /// When to tell the provider next of logins that are not used any more.
    farewell_at: Option<Timestamp>,
    /// When the time was noted last.
    time_noted: Option<Timestamp>,
    nudge: Arc<Notify>,
    /// Farewells to the provider that nobody waits for.
    background: TaskTracker,
    /// The clocks when they were looked at last: together they show a jump of one of them.
    looked: ClockReading,
    /// When the key set was fetched that the session token was last held against.
    keys_seen: Option<Timestamp>,
    /// The keys that the record names.
    keys_told: Vec<String>,
    /// Whether the record says that the keys cannot be had.
    keys_refused: bool,
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
    /// The signed token that carries the session in force, to be held against each new set of keys; an opaque access
    /// token is none.
    session_token: Option<SecretString>,
    /// The newest ID token, by which the provider knows at a logout which sign-in is meant. In memory only.
    id_token: Option<SecretString>,
}

impl Keeper {
    /// The keeper and its handle; [`Keeper::run`] does the work until `stop`.
    pub(crate) fn new(parts: Parts, stop: CancellationToken) -> (Self, KeeperHandle) {
        let (commands, receiver) = mpsc::channel(16);
        let (view, view_receiver) = watch::channel(View::default());
        let (logouts, asked) = watch::channel(0);
        let nudge = Arc::new(Notify::new());
        let handle = KeeperHandle {
            commands,
            view: view_receiver,
            state: parts.state.clone(),
            logouts: Arc::new(logouts),
            nudge: nudge.clone(),
        };
        let keeper = Self {
            name: SecretName::refresh_token(parts.profile.clone()),
            next: Some(parts.clock.now()),
            confirm_at: None,
            farewell_at: Some(parts.clock.now()),
            time_noted: None,
            nudge,
            commands: receiver,
            logouts: asked,
            obeyed: 0,
            stop,
            view,
            held: Held::Unknown,
            history: RefreshHistory::default(),
            background: TaskTracker::new(),
            looked: parts.clock.reading(),
            keys_seen: None,
            keys_told: Vec::new(),
            keys_refused: false,
            parts,
        };
        (keeper, handle)
    }

    /// Works until told to stop. A refresh that was sent by then is finished first, and what it brought is stored.
    pub(crate) async fn run(mut self) {
        self.history = self.stored_history().await;
        let (stop, nudge) = (self.stop.clone(), self.nudge.clone());
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
                () = nudge.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.note_time().await;
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
            Command::Adopt { login, replacing, reply } => {
                let replacing = replacing.map(|replacing| *replacing);
                let _ = reply.send(self.adopt(*login, replacing).await);
            }
            Command::Logout { everywhere, reply } => {
                let done = self.logout(everywhere).await;
                self.obeyed += 1;
                let _ = reply.send(done);
            }
            Command::AskNow => {
                let now = Some(self.parts.clock.now());
                self.next = if matches!(self.held, Held::Nothing) { None } else { now };
                self.farewell_at = now;
            }
        }
    }

    /// Looks at the clocks and does what is due. While everything is paused, nothing is sent; a rotated token that came
    /// is stored all the same.
    async fn tick(&mut self) {
        self.end_expired_session();
        self.end_login_of_full_age().await;
        let paused = self.is_paused();
        if matches!(self.held, Held::Login(_)) && !paused {
            self.keep_keys_fresh().await;
        }
        let reading = self.parts.clock.reading();
        let now = self.parts.clock.now();
        let due = self.next.and_then(|planned| refresh_due(planned, &self.looked, &reading, now));
        let confirmation_due = self.confirm_at.is_some_and(|at| now >= at);
        self.looked = reading;
        if let Some(due) = due
            && !self.is_called_away()
        {
            tracing::debug!(?due, paused, "the keeper acts");
            match &self.held {
                Held::Nothing => self.next = None,
                Held::Unknown => self.read_store().await,
                Held::Login(login) if login.unstored => self.store_again().await,
                Held::Login(_) if paused => {}
                Held::Login(_) => self.refresh().await,
            }
        } else if confirmation_due && !paused && !self.is_called_away() {
            self.confirm().await;
        }
        if self.farewell_at.is_some_and(|at| now >= at) && !paused && !self.is_called_away() {
            self.say_farewells().await;
        }
        if self.time_noted.is_none_or(|noted| now.duration_since(noted).abs() >= NOTE_TIME) {
            self.note_time().await;
        }
        let asked_next = self.next.into_iter().chain(self.confirm_at).min();
        self.view.send_modify(|view| view.next_refresh_at = asked_next);
    }

    /// How long there is nothing to do.
    fn pause(&self) -> Duration {
        let waiting = matches!(&self.held, Held::Login(login) if !login.unstored);
        if waiting && self.is_paused() {
            return LONGEST_SLEEP;
        }
        let farewell = self.farewell_at.filter(|_| !self.is_paused());
        let end = match &self.held {
            Held::Login(login) => self.parts.limits.ends_at(login.stored.logged_in_at),
            Held::Nothing | Held::Unknown => None,
        };
        let next = [self.next, self.confirm_at, farewell, end].into_iter().flatten().min();
        let Some(next) = next else { return LONGEST_SLEEP };
        let remaining = next.duration_since(self.parts.clock.now());
        Duration::try_from(remaining).unwrap_or(Duration::ZERO).min(LONGEST_SLEEP)
    }

    /// Whether a person paused everything.
    fn is_paused(&self) -> bool {
        self.parts.state.load().locked
    }

    /// Remembers the time, so that it is known after a restart.
    async fn note_time(&mut self) {
        let now = self.parts.clock.now();
        self.time_noted = Some(now);
        if let Err(error) = self.with_db(move |db, profile| db.put_last_seen(profile, now)).await {
            tracing::warn!(error = %Chain(&error), "the time cannot be noted");
        }
    }

    /// The provider has just shown that the wall clock is right, so nothing holds against it any more. Only after the
    /// session that the provider gave is in the snapshot: an older one must not become younger.
    async fn trust_clock(&mut self) {
        let before = self.parts.clock.now();
        self.parts.clock.trust_wall();
        if self.parts.clock.now() < before {
            tracing::info!("the clock was set back, and the provider shows that it is right");
            self.note_time().await;
        }
        self.looked = self.parts.clock.reading();
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
        self.plan(None);
        self.show(|snapshot| snapshot.session = SessionState::LoggedOut);
        self.view.send_modify(|view| view.problem = problem);
    }

    /// The login ended otherwise than by a logout.
    fn end(&mut self, why: OverReason) {
        let now = self.parts.clock.now();
        let user = self.user();
        self.held = Held::Nothing;
        self.plan(None);
        self.show(|snapshot| snapshot.session = SessionState::Over { user, why, at: now });
    }

    /// Plans the next step; without a login there is nothing to confirm either.
    fn plan(&mut self, next: Option<Timestamp>) {
        self.next = next;
        if next.is_none() {
            self.confirm_at = None;
        }
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
