//! The typed client.

use std::path::{Path, PathBuf};
use std::time::Duration;

use agentauth_api::{
    AgentList, AgentView, ApplyRequest, ApplyResponse, CheckRequest, CheckResponse, ConsentAnswer,
    ConsentAnswered, ConsentList, ErrorCode, GiveRequest, GiveResponse, GrantList, HOST, Health, Hello,
    LaunchRequest, LaunchResponse, LockResponse, LogRequest, LogResponse, LoginProgress, LoginRequest,
    LoginStarted, LogoutRequest, LogoutResponse, NONCE_HEADER, OutcomeRequest, OutcomeResponse, PROTOCOL,
    PasskeyAdding, PasskeyList, PasskeyRemoved, PasskeyRequest, Problem, RegisterRequest, RegisterResponse,
    RemoveRequest, RemoveResponse, RevokeResponse, Status, UnlockRequest, UnlockResponse, paths,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::connection::{Connection, ExchangeError, RESPONSE_LIMIT};
use crate::error::ClientError;
use crate::events::{self, Events};

/// How long an answer may take, beyond what the request itself asks to wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest wait that the daemon grants.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long a logout may take, beyond the patience of any request: the daemon first waits for a refresh under way
/// (30 s), which may just have got a new login, and then tells the provider (10 s for each login).
const LOGOUT: Duration = Duration::from_secs(60);

/// At most this many characters of what a daemon calls itself are repeated.
const LONGEST_NAME: usize = 64;

/// At most this many characters of an explanation are repeated.
const LONGEST_DETAIL: usize = 500;

/// A client of one daemon. Not for use across `fork`: the greeting proves the process that made it.
pub struct Client {
    socket: PathBuf,
    owner: u32,
    profile: Option<String>,
    patience: Duration,
    connection: Option<Connection>,
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
    pub async fn check(&mut self, request: &CheckRequest) -> Result<CheckResponse, ClientError> {
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

    /// Changes it for a time, or ends such a change.
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
        let mut own =
            Self { connection: None, socket: self.socket.clone(), profile: self.profile.clone(), ..*self };
        let begun = async {
            own.greeted().await?;
            let Some(mut connection) = own.connection.take() else {
                return Err(failure(events::REQUEST.to_owned(), ExchangeError::NotSent));
            };
            let request = compose(&Method::GET, paths::EVENTS, connection.nonce.clone(), Bytes::new())?;
            let response = connection.begin(request).await;
            let response = response.map_err(|error| failure(events::REQUEST.to_owned(), error))?;
            Ok((connection, response))
        };
        let (mut connection, response) = within(self.patience, events::REQUEST, begun).await?;
        if response.status().is_success() {
            return Ok(Events::new(connection, response.into_body()));
        }
        let (head, mut body) = response.into_parts();
        let mut whole = Vec::new();
        while let Some(Ok(part)) = connection.part(&mut body).await {
            whole.extend_from_slice(&part);
            if whole.len() > RESPONSE_LIMIT {
                return Err(failure(events::REQUEST.to_owned(), ExchangeError::TooLarge));
            }
        }
        let response = Response::from_parts(head, Bytes::from(whole));
        Err(own
            .judge::<()>(events::REQUEST.to_owned(), &response)
            .err()
            .unwrap_or_else(|| failure(events::REQUEST.to_owned(), ExchangeError::NotSent)))
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
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(ClientError::Protocol {
                request: describe(&Method::POST, paths::CONSENTS),
                what: "names a question by something that is no identifier".to_owned(),
                source: None,
            });
        }
        // The daemon may have to fetch the provider's discovery document first.
        self.ask(Method::POST, &format!("{}/{id}", paths::CONSENTS), Some(answer), LONGEST_WAIT).await
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

    async fn ask<A: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        wait: Duration,
    ) -> Result<A, ClientError> {
        let request = describe(&method, path);
        let body = match body {
            None => Bytes::new(),
            Some(body) => {
                serde_json::to_vec(body).map(Bytes::from).map_err(|source| ClientError::Protocol {
                    request: request.clone(),
                    what: "was not waited for, because the request cannot be written as JSON".to_owned(),
                    source: Some(Box::new(source)),
                })?
            }
        };
        let answer = within(wait + self.patience, &request, self.deliver(&method, path, &body)).await;
        match answer {
            Ok(response) => self.judge(request, &response),
            Err(error) => {
                // An unfinished exchange leaves a connection that nobody can say anything about.
                self.connection = None;
                Err(error)
            }
        }
    }

    /// Sends a request over a greeted connection, over a fresh one if the kept one turns out to be closed.
    async fn deliver(
        &mut self,
        method: &Method,
        path: &str,
        body: &Bytes,
    ) -> Result<Response<Bytes>, ClientError> {
        loop {
            let kept = self.connection.is_some();
            let connection = self.greeted().await?.0;
            let nonce = connection.nonce.clone();
            let request = compose(method, path, nonce, body.clone())?;
            match connection.exchange(request).await {
                Ok(response) => return Ok(response),
                Err(ExchangeError::NotSent) if kept => self.connection = None,
                // The daemon closed the kept connection just as the request was on its way. Only what changes nothing
                // is asked twice.
                Err(ExchangeError::Broken(_)) if kept && *method == Method::GET => self.connection = None,
                Err(error) => {
                    self.connection = None;
                    return Err(failure(describe(method, path), error));
                }
            }
        }
    }

    /// The kept connection, or a fresh one that has greeted, with what the daemon answered to that.
    async fn greeted(&mut self) -> Result<(&mut Connection, Option<Hello>), ClientError> {
        let mut answered = None;
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let (connection, hello) = greet(&self.socket, self.owner).await?;
                if let Some(meant) = self.profile.as_deref().filter(|meant| **meant != hello.profile) {
                    return Err(ClientError::OtherProfile {
                        socket: self.socket.clone(),
                        meant: meant.to_owned(),
                        serves: hello.profile.chars().take(LONGEST_NAME).collect(),
                    });
                }
                answered = Some(hello);
                connection
            }
        };
        Ok((self.connection.insert(connection), answered))
    }

    fn judge<A: DeserializeOwned>(
        &mut self,
        request: String,
        response: &Response<Bytes>,
    ) -> Result<A, ClientError> {
        let status = response.status();
        let nonsense = |what: String, source: Option<Box<dyn std::error::Error + Send + Sync>>| {
            ClientError::Protocol { request: request.clone(), what, source }
        };
        // `readyz` says 503 with the same body when it is not ready.
        if status.is_success() || (status == StatusCode::SERVICE_UNAVAILABLE && !is_problem(response)) {
            return serde_json::from_slice(response.body())
                .map_err(|source| nonsense("cannot be read".to_owned(), Some(Box::new(source))));
        }
        match serde_json::from_slice::<Problem>(response.body()) {
            Ok(problem) => {
                // Proven by a greeting that no longer holds: the next request greets anew.
                if problem.code == ErrorCode::CallerUnproven {
                    self.connection = None;
                }
                Err(ClientError::Refused(Box::new(problem)))
            }
            Err(source) => Err(nonsense(undescribed(response), Some(Box::new(source)))),
        }
    }
}

/// The path of the thing that is named so below `parent`.
fn below(method: &Method, parent: &str, name: &str) -> Result<String, ClientError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':' | b'.');
    if name.is_empty() || !name.bytes().all(plain) || name.bytes().all(|byte| byte == b'.') {
        return Err(ClientError::Protocol {
            request: describe(method, parent),
            what: "was not waited for, because no such name is possible".to_owned(),
            source: None,
        });
    }
    Ok(format!("{parent}/{name}"))
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

async fn greet(socket: &Path, owner: u32) -> Result<(Connection, Hello), ClientError> {
    let stream = agentauth_ipc::connect::connect(socket, owner)
        .await
        .map_err(|source| ClientError::connect(socket.to_owned(), source))?;
    let asked = || describe(&Method::GET, paths::HELLO);
    let nonsense = |what: String, source| ClientError::Protocol { request: asked(), what, source };
    let mut connection = Connection::over(stream)
        .await
        .map_err(|source| ClientError::Lost { request: asked(), source: Box::new(source) })?;
    let request = compose(&Method::GET, paths::HELLO, None, Bytes::new())?;
    let response = connection.exchange(request).await.map_err(|error| failure(asked(), error))?;
    if let Ok(problem) = serde_json::from_slice::<Problem>(response.body()) {
        return Err(ClientError::Refused(Box::new(problem)));
    }
    if !response.status().is_success() {
        return Err(nonsense(undescribed(&response), None));
    }
    let hello: Hello = serde_json::from_slice(response.body())
        .map_err(|source| nonsense("cannot be read".to_owned(), Some(Box::new(source))))?;
    if !hello.protocols.contains(&PROTOCOL) {
        return Err(nonsense(
            format!("offers the protocol versions {:?}, and this program speaks {PROTOCOL}", hello.protocols),
            None,
        ));
    }
    let mut nonce = HeaderValue::from_str(&hello.nonce)
        .map_err(|source| nonsense("carries no usable nonce".to_owned(), Some(Box::new(source))))?;
    nonce.set_sensitive(true);
    connection.nonce = Some(nonce);
    Ok((connection, hello))
}

fn compose(
    method: &Method,
    path: &str,
    nonce: Option<HeaderValue>,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, ClientError> {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, HOST);
    if let Some(nonce) = nonce {
        request = request.header(NONCE_HEADER, nonce);
    }
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    request.body(Full::new(body)).map_err(|source| ClientError::Protocol {
        request: describe(method, path),
        what: "was not waited for, because the request cannot be written".to_owned(),
        source: Some(Box::new(source)),
    })
}

fn failure(request: String, error: ExchangeError) -> ClientError {
    match error {
        ExchangeError::NotSent => ClientError::Lost {
            request,
            source: "the connection was closed before the request was sent".into(),
        },
        ExchangeError::Broken(source) => ClientError::Lost { request, source },
        ExchangeError::TooLarge => ClientError::Protocol {
            request,
            what: format!("is larger than {RESPONSE_LIMIT} bytes"),
            source: None,
        },
    }
}

/// A refusal that is no [`Problem`] of this version; a newer daemon's still says in words what is wrong.
fn undescribed(response: &Response<Bytes>) -> String {
    let status = response.status();
    let told = serde_json::from_slice::<serde_json::Value>(response.body()).ok();
    match told.as_ref().and_then(|told| told.get("detail")?.as_str()) {
        Some(detail) => {
            format!("is HTTP {status}, saying `{}`", detail.chars().take(LONGEST_DETAIL).collect::<String>())
        }
        None => format!("is HTTP {status} without a reason"),
    }
}

fn is_problem(response: &Response<Bytes>) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/problem+json"))
}

async fn within<T>(
    limit: Duration,
    request: &str,
    answer: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    tokio::time::timeout(limit, answer)
        .await
        .unwrap_or_else(|_| Err(ClientError::TimedOut { request: request.to_owned(), limit }))
}

/// A request as an error names it: the query is left out.
fn describe(method: &Method, path: &str) -> String {
    format!("{method} {}", path.split('?').next().unwrap_or(path))
}
