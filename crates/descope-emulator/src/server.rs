//! The listener: hyper driven by hand, so that a fault can end a connection instead of answering.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::Body;
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::errors::Refusal;
use crate::faults::{Facts, FaultAction, FaultBody, HoldStage, Plan, Verdict, Which};
use crate::params::Params;
use crate::state::Shared;
use crate::traffic::RequestRecord;

/// No request of a client is bigger.
const BODY_LIMIT: usize = 1024 * 1024;

/// A listener with its connections.
#[derive(Debug)]
pub(crate) struct Server {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Serves `router` on `listener` until stopped.
    pub(crate) fn start(listener: TcpListener, shared: Arc<Shared>, router: Router) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let serving = accept(listener, shared, router, stop.clone(), tasks.clone());
        tasks.spawn(serving);
        Self { stop, tasks }
    }

    /// Ends the listener, every connection and every held request, and waits for them.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    router: Router,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let stop = stop.clone();
                let talk =
                    converse(stream, peer, shared.clone(), router.clone(), stop.clone(), tasks.clone());
                tasks.spawn(async move {
                    tokio::select! { () = stop.cancelled() => {}, () = talk => {} }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    router: Router,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let orders = Arc::new(Orders::default());
    let line = Line { stream, orders: orders.clone(), copy: Vec::new() };
    let service = service_fn(move |request: Request<Incoming>| {
        let (shared, router, orders) = (shared.clone(), router.clone(), orders.clone());
        // A task of its own: a client that goes away does not undo what it asked for, as with a real server.
        let (stop, work) = (stop.clone(), answer(shared, router, request));
        let work = tasks.spawn(async move {
            tokio::select! { () = stop.cancelled() => Err(Dropped { reset: false }), result = work => result }
        });
        async move {
            let result = work.await.unwrap_or(Err(Dropped { reset: false }));
            match &result {
                Ok(response) => {
                    orders.twice.store(response.extensions().get::<Twice>().is_some(), Ordering::Relaxed);
                }
                Err(dropped) => orders.reset.store(dropped.reset, Ordering::Relaxed),
            }
            result
        }
    });
    // An error of the service ends the connection without a byte of answer.
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(line), service).await {
        tracing::debug!(%peer, %error, "connection over");
    }
}

/// The connection ends here, without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped on purpose")]
struct Dropped {
    reset: bool,
}

async fn answer(
    shared: Arc<Shared>,
    router: Router,
    request: Request<Incoming>,
) -> Result<Response, Dropped> {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(StatusCode::PAYLOAD_TOO_LARGE.into_response()),
    };
    let path = parts.uri.path().to_owned();
    if path.starts_with("/emulator/") {
        return Ok(call(router, Request::from_parts(parts, Body::from(body))).await);
    }
    let text = |name: header::HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let grant_type = Params::from_body(text(header::CONTENT_TYPE), &body)
        .ok()
        .and_then(|params| params.get("grant_type").map(str::to_owned));
    let facts = Facts { method: parts.method.to_string(), path: path.clone(), grant_type };
    let number = shared.traffic.came(RequestRecord {
        at: shared.clock.now(),
        method: facts.method.clone(),
        path: path.clone(),
        grant_type: facts.grant_type.clone(),
        user_agent: text(header::USER_AGENT).map(str::to_owned),
        status: None,
    });
    let plan = shared.gate.plan(&facts);
    let limits = shared.world().settings.rest.limits.clone();
    let limited = shared.limiter.exceeded(&limits, &path, shared.clock.now());
    let twice = plan.processed_twice;
    let process = async {
        match limited {
            Some(seconds) => too_many(seconds),
            None => process(router, parts, body, twice).await,
        }
    };
    let mut result = play(&shared, &facts, plan, process).await;
    if let Ok(response) = &mut result
        && let Some(date) = http_date(shared.clock.now())
    {
        response.headers_mut().insert(header::DATE, date);
    }
    shared.traffic.left(number, &path, result.as_ref().ok().map(|response| response.status().as_u16()));
    result
}

/// The clock as HTTP writes it (RFC 9110, 5.6.7); hyper would write the machine's.
fn http_date(now: Timestamp) -> Option<HeaderValue> {
    let text = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok()?;
    HeaderValue::from_str(&text).ok()
}

/// Processes a request with its faults around it.
async fn play(
    shared: &Shared,
    facts: &Facts,
    plan: Plan,
    process: impl Future<Output = Response>,
) -> Result<Response, Dropped> {
    tokio::time::sleep(plan.delay_before).await;
    if plan.hold_before && shared.gate.hold(facts, HoldStage::Before).await == Verdict::Drop {
        return Err(Dropped { reset: true });
    }
    if plan.reset {
        return Err(Dropped { reset: true });
    }
    let response = match plan.answer {
        Some((action, processed)) => {
            if processed {
                process.await;
            }
            injected(&action)
        }
        None => process.await,
    };
    tokio::time::sleep(plan.delay_after).await;
    if plan.hold_after && shared.gate.hold(facts, HoldStage::After).await == Verdict::Drop || plan.lost {
        return Err(Dropped { reset: false });
    }
    let mut response = if plan.truncated { truncated(response).await } else { response };
    if plan.twice {
        response.extensions_mut().insert(Twice);
    }
    Ok(response)
}

async fn process(router: Router, parts: Parts, body: Bytes, twice: Option<Which>) -> Response {
    let once = || call(router.clone(), Request::from_parts(parts.clone(), Body::from(body.clone())));
    let first = once().await;
    match twice {
        None => first,
        Some(which) => {
            let second = once().await;
            if which == Which::First { first } else { second }
        }
    }
}

async fn call(router: Router, request: Request<Body>) -> Response {
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn too_many(seconds: u32) -> Response {
    let mut response = Refusal::rate_limited().into_response();
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

fn injected(action: &FaultAction) -> Response {
    let FaultAction::Status { status, retry_after, body, .. } = action else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let limited = status == StatusCode::TOO_MANY_REQUESTS;
    let (code, words) =
        if limited { ("E130429", "Rate limit exceeded") } else { ("E011000", "Internal error") };
    let json = [(header::CONTENT_TYPE, "application/json")];
    let mut response = match body {
        FaultBody::Descope => {
            let body = serde_json::json!({"errorCode": code, "errorDescription": words, "errorMessage": words});
            (json, body.to_string()).into_response()
        }
        FaultBody::Rfc => {
            let error = if limited { "slow_down" } else { "temporarily_unavailable" };
            (json, serde_json::json!({"error": error, "error_description": words}).to_string()).into_response()
        }
        FaultBody::Html => Html(format!(
            "<!DOCTYPE html><html><head><title>{status}</title></head><body><h1>{status}</h1><hr>cloudflare</body></html>"
        ))
        .into_response(),
        FaultBody::Empty => ().into_response(),
        FaultBody::Garbage => (json, "{\"errorCode\": ").into_response(),
    };
    *response.status_mut() = status;
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, (*seconds).into());
    }
    response
}

/// The head and half of the body; then the connection breaks.
async fn truncated(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(body) = body.collect().await else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let body = body.to_bytes();
    parts.headers.insert(header::CONTENT_LENGTH, body.len().into());
    let half: Bytes = body.slice(..body.len() / 2);
    Response::from_parts(parts, Body::new(Broken { half: Some(half), flushed: false }))
}

/// A body that breaks after its first half. In between it waits for one turn, in which hyper flushes what it has.
struct Broken {
    half: Option<Bytes>,
    flushed: bool,
}

impl hyper::body::Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(half) = self.half.take() {
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        if !std::mem::replace(&mut self.flushed, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())))
    }
}

/// Marks an answer that goes out twice.
#[derive(Clone, Copy)]
struct Twice;

/// What a connection is told to do beyond carrying octets.
#[derive(Debug, Default)]
struct Orders {
    /// End with a reset instead of an orderly close.
    reset: AtomicBool,
    /// Send what is sent now once more.
    twice: AtomicBool,
}

/// A connection that obeys [`Orders`].
struct Line {
    stream: TcpStream,
    orders: Arc<Orders>,
    /// What is still to be sent for the second time.
    copy: Vec<u8>,
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.orders.reset.load(Ordering::Relaxed) {
            // Best effort: the connection ends either way.
            drop(self.stream.set_zero_linger());
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, octets))?;
        if self.orders.twice.load(Ordering::Relaxed) {
            self.copy.extend(octets.iter().take(written));
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while !this.copy.is_empty() {
            let written = ready!(Pin::new(&mut this.stream).poll_write(cx, &this.copy))?;
            this.copy.drain(..written);
            this.orders.twice.store(false, Ordering::Relaxed);
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
