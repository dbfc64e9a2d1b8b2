//! A provider that answers what it is told to, and counts what it was asked.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::PROJECT;

/// One request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: String,
}

/// What to answer.
#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// Wait this long first.
    pub(crate) delay: Duration,
    /// Close the connection instead.
    pub(crate) drop: bool,
}

impl Reply {
    pub(crate) fn json(body: impl ToString) -> Self {
        Self::new(200, body).header("content-type", "application/json")
    }

    pub(crate) fn new(status: u16, body: impl ToString) -> Self {
        Self { status, headers: vec![], body: body.to_string(), delay: Duration::ZERO, drop: false }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    pub(crate) fn dropped() -> Self {
        Self { drop: true, ..Self::new(200, "") }
    }
}

type Routes = Arc<Mutex<Vec<(String, VecDeque<Reply>)>>>;

/// The running stand-in.
#[derive(Clone)]
pub(crate) struct Stub {
    pub(crate) base: String,
    routes: Routes,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Stub {
    /// A stand-in that has discovery and nothing else.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Self::detached(format!("http://{}", listener.local_addr().unwrap()));
        let serving = stub.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        stub
    }

    /// The same for somebody else's listener, which is reached at `base`.
    pub(crate) fn detached(base: String) -> Self {
        let stub = Self { base, routes: Routes::default(), seen: Arc::default() };
        stub.set_discovery(json!({}));
        stub
    }

    /// Answers `path` with `reply` from now on.
    pub(crate) fn set(&self, path: &str, reply: Reply) {
        self.set_all(path, [reply]);
    }

    /// Answers `path` with these, one after the other; the last one stays.
    pub(crate) fn set_all(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        let mut routes = self.routes.lock().unwrap();
        routes.retain(|(known, _)| known != path);
        routes.push((path.to_owned(), replies.into_iter().collect()));
    }

    /// Discovery, with `more` members over the usual ones.
    pub(crate) fn set_discovery(&self, more: serde_json::Value) {
        let base = &self.base;
        let mut document = json!({
            "issuer": format!("{base}/{PROJECT}"),
            "authorization_endpoint": format!("{base}/oauth2/v1/authorize"),
            "token_endpoint": format!("{base}/oauth2/v1/token"),
            "jwks_uri": format!("{base}/{PROJECT}/.well-known/jwks.json"),
            "code_challenge_methods_supported": ["S256"],
        });
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.set(&format!("/{PROJECT}/.well-known/openid-configuration"), Reply::json(document));
    }

    /// The key set.
    pub(crate) fn set_keys(&self, document: &str) {
        self.set(&format!("/v2/keys/{PROJECT}"), Reply::json(document));
    }

    /// Everything that arrived at `path`.
    pub(crate) fn seen(&self, path: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.path == path).cloned().collect()
    }

    /// How often the keys were asked for.
    pub(crate) fn key_fetches(&self) -> usize {
        self.seen(&format!("/v2/keys/{PROJECT}")).len()
    }

    fn next_reply(&self, path: &str) -> Option<Reply> {
        let mut routes = self.routes.lock().unwrap();
        let (_, replies) = routes.iter_mut().find(|(known, _)| *known == path)?;
        if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() }
    }

    /// Serves one connection.
    pub(crate) async fn serve<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(move |request: Request<Incoming>| {
            let stub = self.clone();
            async move { stub.answer(request).await.map_err(|()| std::io::Error::other("told to drop")) }
        });
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, ()> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| ())?.to_bytes();
        let path = head.uri.path().to_owned();
        let text = |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        self.seen.lock().unwrap().push(Seen {
            method: head.method.to_string(),
            path: path.clone(),
            authorization: text("authorization"),
            body: String::from_utf8_lossy(&body).into_owned(),
        });
        let reply = self.next_reply(&path).unwrap_or_else(|| Reply::new(404, ""));
        tokio::time::sleep(reply.delay).await;
        if reply.drop {
            return Err(());
        }
        let mut response = Response::builder().status(StatusCode::from_u16(reply.status).unwrap());
        for (name, value) in &reply.headers {
            response = response.header(name, value);
        }
        let response: Result<_, Infallible> = Ok(response.body(Full::new(Bytes::from(reply.body))).unwrap());
        response.map_err(|never| match never {})
    }
}

/// Sends these very bytes to `port` on loopback and reads until the connection closes: status, head, body. A
/// connection that is closed without an answer counts as status 0.
pub(crate) async fn raw(port: u16, request: &[u8]) -> (u16, String, String) {
    raw_at(("127.0.0.1", port), request).await
}

/// The same at another address.
pub(crate) async fn raw_at(address: (&str, u16), request: &[u8]) -> (u16, String, String) {
    let Ok(mut stream) = TcpStream::connect(address).await else {
        return (0, String::new(), String::new());
    };
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer.as_str(), ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, head.to_ascii_lowercase(), body.to_owned())
}
