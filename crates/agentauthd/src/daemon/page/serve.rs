//! The server of a page: bounded connections, each for one request.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections at once; a browser opens a few ahead of need.
const MAX_CONNECTIONS: usize = 32;
/// Until a request's head, and its body, are there.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What a request is answered with.
pub(super) type Page = Response<Full<Bytes>>;

/// Serves until closed.
pub(super) async fn serve<R, F>(listener: TcpListener, closed: CancellationToken, respond: R)
where
    R: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Page> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = closed.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, respond.clone()));
                }
                Err(error) => {
                    tracing::debug!(kind = %error.kind(), "the page's listener could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(PATIENCE, async { while connections.join_next().await.is_some() {} }).await;
}

async fn connection<R, F>(stream: TcpStream, respond: R)
where
    R: Fn(Request<Incoming>) -> F,
    F: Future<Output = Page>,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let answering = respond(request);
        async move { Ok::<_, Infallible>(answering.await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .max_headers(64)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(timeout = error.is_timeout(), "a connection to the page ended early");
    }
}
