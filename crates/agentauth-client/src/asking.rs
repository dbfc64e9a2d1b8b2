//! How a request is asked: over a greeted connection, within its time, and what its answer means.

use std::path::Path;
use std::time::Duration;

use agentauth_api::{ErrorCode, HOST, Hello, NONCE_HEADER, PROTOCOL, Problem, paths};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::connection::{Connection, ExchangeError, RESPONSE_LIMIT};
use crate::error::ClientError;
use crate::events::{self, Events};

/// At most this many characters of what a daemon calls itself are repeated.
const LONGEST_NAME: usize = 64;

/// At most this many characters of an explanation are repeated.
const LONGEST_DETAIL: usize = 500;

impl Client {
    /// Asks, and waits for the answer: so long as the request asks to wait, and the patience beyond that.
    pub(crate) async fn ask<A: DeserializeOwned>(
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

    /// Follows events over a connection of its own.
    pub(crate) async fn follow(&self) -> Result<Events, ClientError> {
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
    pub(crate) async fn greeted(&mut self) -> Result<(&mut Connection, Option<Hello>), ClientError> {
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
pub(crate) fn below(method: &Method, parent: &str, name: &str) -> Result<String, ClientError> {
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

pub(crate) async fn within<T>(
    limit: Duration,
    request: &str,
    answer: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    tokio::time::timeout(limit, answer)
        .await
        .unwrap_or_else(|_| Err(ClientError::TimedOut { request: request.to_owned(), limit }))
}

/// A request as an error names it: the query is left out.
pub(crate) fn describe(method: &Method, path: &str) -> String {
    format!("{method} {}", path.split('?').next().unwrap_or(path))
}
