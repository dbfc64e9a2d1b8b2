//! The one-shot listener that the browser comes back to: hyper's http1 on a loopback socket, one request per
//! connection, bounded headers, time and number of connections. Queries are never logged.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use crate::callback::{self, CallbackRefusal, Expected, Verdict};
use crate::config::{Loopback, RedirectConfig};
use crate::page::{self, Outcome};

/// Answers that did not belong to the login before it gives up.
pub(crate) const MAX_REFUSED: u32 = 5;

/// Connections at once; a browser opens a few ahead of need.
const MAX_CONNECTIONS: usize = 32;
/// Until a request's head is there.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Until the daemon has said what became of the login; longer than discovery, exchange and keys take together.
const OUTCOME_TIME: Duration = Duration::from_secs(120);
/// Until open connections are cut after the end.
const DRAIN_TIME: Duration = Duration::from_secs(3);

/// What the listener tells the login.
pub(crate) enum Event {
    /// The answer came; the page waits for the outcome.
    Code { code: SecretString, outcome: oneshot::Sender<Outcome> },
    /// The answer is an error of the provider.
    Error { code: String, description: Option<String> },
    /// Another issuer answered.
    IssuerMismatch { found: Option<String> },
    /// Too many answers did not belong to this login.
    TooManyRefused { count: u32, last: CallbackRefusal },
}

/// How far the listener is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Connections are accepted.
    Open,
    /// The answer came: no new connections.
    Answered,
    /// Only what is being written is finished.
    Closing,
}

/// The running listener; dropping it closes it.
pub(crate) struct Listener {
    phase: watch::Sender<Phase>,
    events: mpsc::Receiver<Event>,
    task: JoinHandle<()>,
}

struct Shared {
    expected: Expected,
    profile: Option<String>,
    events: mpsc::Sender<Event>,
    answered: AtomicBool,
    refused: AtomicU32,
    phase: watch::Sender<Phase>,
}

/// Binds the first free port of `redirect` on the loopback address of `loopback`.
///
/// # Errors
/// Every address tried, with the reason why it could not be had.
pub(crate) async fn bind(
    redirect: &RedirectConfig,
    loopback: Loopback,
) -> Result<(TcpListener, SocketAddr), Vec<(SocketAddr, String)>> {
    let ip = loopback.address();
    let mut tried = Vec::new();
    let ephemeral = redirect.ephemeral.then_some(0);
    for port in redirect.ports.iter().copied().chain(ephemeral) {
        let address = SocketAddr::new(ip, port);
        let bound = TcpListener::bind(address).await;
        match bound.and_then(|listener| listener.local_addr().map(|address| (listener, address))) {
            Ok(found) => return Ok(found),
            Err(error) => tried.push((address, error.kind().to_string())),
        }
    }
    Err(tried)
}

impl Listener {
    /// Serves `socket` until the login has its answer or is dropped.
    /// `profile` is the login's, where it is a named one.
    pub(crate) fn serve(socket: TcpListener, expected: Expected, profile: Option<String>) -> Self {
        let (phase, seen) = watch::channel(Phase::Open);
        let (sender, events) = mpsc::channel(4);
        let shared = Arc::new(Shared {
            expected,
            profile,
            events: sender,
            answered: AtomicBool::new(false),
            refused: AtomicU32::new(0),
            phase: phase.clone(),
        });
        let task = tokio::spawn(accept(socket, shared, seen));
        Self { phase, events, task }
    }

    /// The next event; `None` only if the listener broke.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Closes the listener and waits until the pages under way are written.
    pub(crate) async fn close(mut self) {
        self.phase.send_replace(Phase::Closing);
        let _ = (&mut self.task).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.phase.send_replace(Phase::Closing);
    }
}

async fn accept(socket: TcpListener, shared: Arc<Shared>, mut phase: watch::Receiver<Phase>) {
    let mut connections = JoinSet::new();
    let mut order: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        tokio::select! {
            biased;
            () = past(&mut phase, Phase::Open) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) => {
                    order.retain(|connection| !connection.is_finished());
                    // A browser says at once what it wants: whoever has said nothing for longest makes room, so that
                    // no number of silent connections keeps the answer out.
                    if connections.len() >= MAX_CONNECTIONS && let Some(oldest) = order.pop_front() {
                        oldest.abort();
                        let _ = connections.join_next().await;
                    }
                    order.push_back(connections.spawn(connection(stream, shared.clone(), phase.clone())));
                }
                Err(error) => {
                    tracing::debug!(kind = %error.kind(), "the login's listener could not accept a connection");
                    // Out of file descriptors, or the peer went away: do not spin on it.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
    drop(socket);
    past(&mut phase, Phase::Answered).await;
    let _ =
        tokio::time::timeout(DRAIN_TIME, async { while connections.join_next().await.is_some() {} }).await;
}

async fn connection(stream: TcpStream, shared: Arc<Shared>, mut phase: watch::Receiver<Phase>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(respond(&shared, request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .keep_alive(false)
        .max_headers(64)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => Some(ended),
        () = past(&mut phase, Phase::Answered) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(timeout = error.is_timeout(), "a connection to the login's listener ended early");
    }
}

/// Until the listener is further than `phase`, or nobody holds it any more.
async fn past(watch: &mut watch::Receiver<Phase>, phase: Phase) {
    let _ = watch.wait_for(|&now| now > phase).await;
}

async fn respond(shared: &Shared, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, _) = request.into_parts();
    let verdict = callback::judge(&shared.expected, &head);
    let verdict = match verdict {
        Verdict::Refused(refusal) => return refuse(shared, refusal).await,
        answer if shared.answered.swap(true, Ordering::SeqCst) => {
            drop(answer);
            return refuse(shared, CallbackRefusal::AlreadyAnswered).await;
        }
        answer => answer,
    };
    shared.phase.send_if_modified(|phase| {
        let open = *phase == Phase::Open;
        if open {
            *phase = Phase::Answered;
        }
        open
    });
    match verdict {
        Verdict::Code(code) => {
            let (outcome, told) = oneshot::channel();
            let _ = shared.events.send(Event::Code { code, outcome }).await;
            let outcome = match tokio::time::timeout(OUTCOME_TIME, told).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Outcome::Failed {
                    what: "agentauthd stopped before the login was complete".to_owned(),
                    next: "Start again with `agentauthd login`.".to_owned(),
                },
                Err(_) => Outcome::Failed {
                    what: "agentauthd is still waiting for the provider".to_owned(),
                    next: "Look at the terminal, or ask `agentauthd status`.".to_owned(),
                },
            };
            page::outcome(&outcome, shared.profile.as_deref())
        }
        Verdict::Error { code, description } => {
            let what = match &description {
                Some(description) => format!("the provider answered `{code}`: {description}"),
                None => format!("the provider answered `{code}`"),
            };
            let _ = shared.events.send(Event::Error { code, description }).await;
            let next = "Nothing was stored. Start again with `agentauthd login`.".to_owned();
            page::outcome(&Outcome::Failed { what, next }, shared.profile.as_deref())
        }
        Verdict::IssuerMismatch { found } => {
            let _ = shared.events.send(Event::IssuerMismatch { found }).await;
            let failed = Outcome::Failed {
                what: "the answer came from another provider than the one that was asked".to_owned(),
                next: "Nothing was stored. Start again with `agentauthd login`.".to_owned(),
            };
            page::outcome(&failed, shared.profile.as_deref())
        }
        Verdict::Refused(refusal) => refuse(shared, refusal).await,
    }
}

async fn refuse(shared: &Shared, refusal: CallbackRefusal) -> Response<Full<Bytes>> {
    tracing::debug!(reason = refusal.code(), "refused a request to the login's listener");
    let mut response = page::refusal(refusal.status(), &refusal.to_string(), shared.profile.as_deref());
    if let Some((name, value)) = refusal.header() {
        response.headers_mut().insert(name, value);
    }
    if refusal.counts() {
        let count = shared.refused.fetch_add(1, Ordering::SeqCst) + 1;
        if count >= MAX_REFUSED && !shared.answered.swap(true, Ordering::SeqCst) {
            let _ = shared.events.send(Event::TooManyRefused { count, last: refusal }).await;
        }
    }
    response
}
