//! The typed client: a method for each request.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agentauth_api::{
    AgentList, AgentView, ApplyRequest, ApplyResponse, CheckRequest, CheckResponse, ConsentAnswer,
    ConsentAnswered, ConsentList, GiveRequest, GiveResponse, GrantList, Health, Hello, LaunchRequest,
    LaunchResponse, LockResponse, LogRequest, LogResponse, LoginProgress, LoginRequest, LoginStarted,
    LogoutRequest, LogoutResponse, OutcomeRequest, OutcomeResponse, PasskeyAdding, PasskeyList,
    PasskeyRemoved, PasskeyRequest, RegisterRequest, RegisterResponse, RemoveRequest, RemoveResponse,
    RevokeResponse, Status, UnlockRequest, UnlockResponse, paths,
};
use http::Method;

use crate::asking::{below, describe, within};
use crate::connection::Connection;
use crate::error::ClientError;
use crate::events::Events;

/// How long an answer may take, beyond what the request itself asks to wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest wait that the daemon grants.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long a logout may take, beyond the patience of any request: the daemon first waits for a refresh under way
/// (30 s), which may just have got a new login, and then tells the provider (10 s for each login).
const LOGOUT: Duration = Duration::from_secs(60);

/// A client of one daemon. Not for use across `fork`: the greeting proves the process that made it.
pub struct Client {
    pub(crate) socket: PathBuf,
    pub(crate) owner: u32,
    pub(crate) profile: Option<String>,
    pub(crate) patience: Duration,
    pub(crate) connection: Option<Connection>,
}

impl Client {
    /// A client for the daemon of user `owner_uid` at `socket`. Connects at the first request.
    pub fn new(socket: impl Into<PathBuf>, owner_uid: u32) -> Self {
        Self { socket: socket.into(), owner: owner_uid, profile: None, patience: PATIENCE, connection: None }
    }

    /// Talks only to the daemon of this profile: one that serves another is told nothing.
    #[must_use]
    pub fn for_profile(mut self, profile: impl Into<String>) -> Self {
        self.profile = Some(profile.into());
        self
    }

    /// How long an answer may take (10 s by default), beyond what the request itself asks to wait.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The socket that this client talks to.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Greets on a fresh connection, and says what the daemon answered.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn hello(&mut self) -> Result<Hello, ClientError> {
        self.connection = None;
        within(self.patience, &describe(&Method::GET, paths::HELLO), self.greeted()).await?.1.ok_or_else(
            || ClientError::Protocol {
                request: describe(&Method::GET, paths::HELLO),
                what: "is missing".to_owned(),
                source: None,
            },
        )
    }

    /// The state of everything, without secrets.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn status(&mut self) -> Result<Status, ClientError> {
        self.ask(Method::GET, paths::STATUS, None::<&()>, Duration::ZERO).await
    }

    /// May this process do that? Anything except [`agentauth_api::Verdict::Allow`] means no, an error too. Waits for
    /// the answer as long as `wait_ms` asks for (30 s at most), and its patience beyond that.
    ///
    /// # Errors
    /// See [`ClientError`]. A deny is not an error.
    pub async fn check(&mut self, request: &CheckRequest) -> Result<CheckResponse<'static>, ClientError> {
        let wait = Duration::from_millis(request.wait_ms.unwrap_or(0)).min(LONGEST_WAIT);
        self.ask(Method::POST, paths::CHECK, Some(request), wait).await
    }

    /// Tells what became of an action that this agent was allowed.
    ///
    /// # Errors
    /// See [`ClientError`]; `decision_unknown` for a decision that is not this agent's, or too long ago.
    pub async fn outcome(&mut self, request: &OutcomeRequest) -> Result<OutcomeResponse, ClientError> {
        self.ask(Method::POST, paths::OUTCOME, Some(request), Duration::ZERO).await
    }

    /// Starts a login: the daemon listens for the browser or asks for a code, and says what the person has to do.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn login_start(&mut self, request: &LoginRequest) -> Result<LoginStarted, ClientError> {
        // The daemon may have to fetch the provider's discovery document first.
        self.ask(Method::POST, paths::LOGIN, Some(request), LONGEST_WAIT).await
    }

    /// Where a login stands. Waits at most `wait` (30 s) for a change.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn login_progress(&mut self, id: &str, wait: Duration) -> Result<LoginProgress, ClientError> {
        self.login_change(id, "waiting", wait).await
    }

    /// The same, where the state `seen` is known already.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn login_change(
        &mut self,
        id: &str,
        seen: &'static str,
        wait: Duration,
    ) -> Result<LoginProgress, ClientError> {
        let wait = wait.min(LONGEST_WAIT);
        let one = below(&Method::GET, paths::LOGIN, id)?;
        let seen = if seen == "waiting" { String::new() } else { format!("&seen={seen}") };
        let path = format!("{one}?wait_ms={}{seen}", wait.as_millis());
        self.ask(Method::GET, &path, None::<&()>, wait).await
    }

    /// Asks to be the launcher of an agent: whatever this process starts from then on, directly or not, is that agent, as
    /// long as this process lives. The daemon grants it to its own command line only. Hashing the program may take a while.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn launch(&mut self, request: &LaunchRequest) -> Result<LaunchResponse, ClientError> {
        self.ask(Method::POST, paths::LAUNCHES, Some(request), LONGEST_WAIT).await
    }

    /// Ends the session. Waits for more than a minute if it must: a refresh under way is let finish, and the provider
    /// is told.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn logout(&mut self, request: &LogoutRequest) -> Result<LogoutResponse, ClientError> {
        self.ask(Method::DELETE, paths::SESSION, Some(request), LOGOUT).await
    }

    /// Pauses everything.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn lock(&mut self) -> Result<LockResponse, ClientError> {
        self.ask(Method::POST, paths::LOCK, None::<&()>, Duration::ZERO).await
    }

    /// Lets everything go on, or says which login has to confirm that first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn unlock(&mut self, request: &UnlockRequest) -> Result<UnlockResponse, ClientError> {
        // The daemon may have to fetch the provider's discovery document first.
        self.ask(Method::DELETE, paths::LOCK, Some(request), LONGEST_WAIT).await
    }

    /// What the daemon logs.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn log(&mut self) -> Result<LogResponse, ClientError> {
        self.ask(Method::GET, paths::LOG, None::<&()>, Duration::ZERO).await
    }

    /// Has it log more for a time, or ends that.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn set_log(&mut self, request: &LogRequest) -> Result<LogResponse, ClientError> {
        self.ask(Method::PUT, paths::LOG, Some(request), Duration::ZERO).await
    }

    /// The registered agents, as far as this process may see them.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn agents(&mut self) -> Result<AgentList, ClientError> {
        self.ask(Method::GET, paths::AGENTS, None::<&()>, Duration::ZERO).await
    }

    /// One registered agent.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn agent(&mut self, name: &str) -> Result<AgentView, ClientError> {
        let path = below(&Method::GET, paths::AGENTS, name)?;
        self.ask(Method::GET, &path, None::<&()>, Duration::ZERO).await
    }

    /// Registers an agent, or says which login has to confirm that first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn register(&mut self, request: &RegisterRequest) -> Result<RegisterResponse, ClientError> {
        // The daemon reads the program to digest it, and may have to fetch the provider's discovery document.
        self.ask(Method::POST, paths::AGENTS, Some(request), LONGEST_WAIT).await
    }

    /// Applies what the person's own files say, or says which login has to confirm that first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn apply_rules(&mut self, request: ApplyRequest) -> Result<ApplyResponse, ClientError> {
        self.ask(Method::POST, paths::RULES, Some(&request), LONGEST_WAIT).await
    }

    /// Removes an agent with all its grants, or says which login has to confirm that first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn remove_agent(
        &mut self,
        name: &str,
        request: &RemoveRequest,
    ) -> Result<RemoveResponse, ClientError> {
        let path = below(&Method::DELETE, paths::AGENTS, name)?;
        self.ask(Method::DELETE, &path, Some(request), LONGEST_WAIT).await
    }

    /// The grants, as far as this process may see them.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn grants(&mut self) -> Result<GrantList, ClientError> {
        self.ask(Method::GET, paths::GRANTS, None::<&()>, Duration::ZERO).await
    }

    /// Asks to give a mandate, for runs that nobody watches; says which login has to confirm it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn give(&mut self, request: &GiveRequest) -> Result<GiveResponse, ClientError> {
        // The daemon may have to fetch the provider's discovery document first.
        self.ask(Method::POST, paths::GRANTS, Some(request), LONGEST_WAIT).await
    }

    /// Asks that what was allowed for long counts on; says which login has to confirm it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn confirm_grants(&mut self) -> Result<GiveResponse, ClientError> {
        self.ask(Method::POST, paths::GRANTS_CONFIRM, None::<&()>, LONGEST_WAIT).await
    }

    /// Follows what happens from now on, over a connection of its own: an agent what concerns itself. The first event says
    /// where the session stands.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(&self) -> Result<Events, ClientError> {
        self.follow().await
    }

    /// Takes a grant away.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn revoke_grant(&mut self, id: &str) -> Result<RevokeResponse, ClientError> {
        let path = below(&Method::DELETE, paths::GRANTS, id)?;
        self.ask(Method::DELETE, &path, None::<&()>, Duration::ZERO).await
    }

    /// The registered passkeys.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn passkeys(&mut self) -> Result<PasskeyList, ClientError> {
        self.ask(Method::GET, paths::PASSKEYS, None::<&()>, Duration::ZERO).await
    }

    /// Starts the login that has to confirm a new passkey.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn add_passkey(&mut self, request: &PasskeyRequest) -> Result<PasskeyAdding, ClientError> {
        self.ask(Method::POST, paths::PASSKEYS, Some(request), Duration::ZERO).await
    }

    /// Removes a passkey.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn remove_passkey(&mut self, id: &str) -> Result<PasskeyRemoved, ClientError> {
        let path = below(&Method::DELETE, paths::PASSKEYS, id)?;
        self.ask(Method::DELETE, &path, None::<&()>, Duration::ZERO).await
    }

    /// The questions that wait for the person. With the revision `seen` it waits at most `wait` (30 s) for another.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn consents(&mut self, seen: Option<u64>, wait: Duration) -> Result<ConsentList, ClientError> {
        let wait = wait.min(LONGEST_WAIT);
        let path = match seen {
            Some(seen) => format!("{}?seen={seen}&wait_ms={}", paths::CONSENTS, wait.as_millis()),
            None => paths::CONSENTS.to_owned(),
        };
        self.ask(Method::GET, &path, None::<&()>, wait).await
    }

    /// Answers a question, or says which login has to confirm the answer first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn consent_answer(
        &mut self,
        id: &str,
        answer: &ConsentAnswer,
    ) -> Result<ConsentAnswered, ClientError> {
        let path = below(&Method::POST, paths::CONSENTS, id)?;
        // The daemon may have to fetch the provider's discovery document first.
        self.ask(Method::POST, &path, Some(answer), LONGEST_WAIT).await
    }

    /// Whether the daemon is up.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn health(&mut self) -> Result<Health, ClientError> {
        self.ask(Method::GET, paths::HEALTHZ, None::<&()>, Duration::ZERO).await
    }

    /// Whether decisions can be made; what keeps them from being made is in [`Health::missing`].
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn ready(&mut self) -> Result<Health, ClientError> {
        self.ask(Method::GET, paths::READYZ, None::<&()>, Duration::ZERO).await
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("socket", &self.socket)
            .field("owner", &self.owner)
            .field("profile", &self.profile)
            .field("connected", &self.connection.is_some())
            .finish_non_exhaustive()
    }
}
