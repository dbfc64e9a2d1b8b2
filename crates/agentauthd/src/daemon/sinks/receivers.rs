//! Receivers on this machine for the contract of sinks: each can go away and come back, and keeps what it understood.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agentauth_idp::NetworkSettings;
use axum::Router;
use axum::body::Bytes;
use flate2::read::GzDecoder;
use http::HeaderMap;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::credential::Credential;
use super::fake::{FarEnd, Heap, Mood, Seen};
use super::post::Post;

/// A receiver; away until it is `up`.
pub(super) trait Receiver {
    async fn up(&mut self);
    async fn down(&mut self);
    fn heap(&self) -> Heap;
}

/// The far end of the fake.
impl Receiver for FarEnd {
    async fn up(&mut self) {
        self.mood(Mood::Takes);
    }

    async fn down(&mut self) {
        self.mood(Mood::Fails);
    }

    fn heap(&self) -> Heap {
        self.lines()
    }
}

/// Reads a datagram.
type Receive = Box<dyn FnMut(&mut [u8]) -> std::io::Result<usize> + Send>;

/// Where datagrams are taken.
pub(super) enum At {
    Path(PathBuf),
    Port(SocketAddr),
}

/// A socket for datagrams.
pub(super) struct Datagrams {
    at: At,
    heap: Heap,
    reads: fn(&[u8]) -> Seen,
    running: Option<(Arc<AtomicBool>, std::thread::JoinHandle<()>)>,
}

impl Datagrams {
    pub(super) fn new(at: At, reads: fn(&[u8]) -> Seen) -> Self {
        Self { at, heap: Heap::default(), reads, running: None }
    }
}

impl Receiver for Datagrams {
    async fn up(&mut self) {
        const PAUSE: Option<Duration> = Some(Duration::from_millis(5));
        let mut receive: Receive = match &self.at {
            At::Path(path) => {
                let socket = UnixDatagram::bind(path).unwrap();
                socket.set_read_timeout(PAUSE).unwrap();
                Box::new(move |buffer| socket.recv(buffer))
            }
            At::Port(address) => {
                let socket = std::net::UdpSocket::bind(address).unwrap();
                socket.set_read_timeout(PAUSE).unwrap();
                Box::new(move |buffer| socket.recv(buffer))
            }
        };
        let (heap, reads, over) = (self.heap.clone(), self.reads, Arc::new(AtomicBool::new(false)));
        let told = over.clone();
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 512 * 1024];
            while !told.load(Ordering::SeqCst) {
                if let Ok(length) = receive(&mut buffer) {
                    heap.lock().unwrap().push(reads(&buffer[..length]));
                }
            }
        });
        self.running = Some((over, thread));
    }

    async fn down(&mut self) {
        let (over, thread) = self.running.take().unwrap();
        over.store(true, Ordering::SeqCst);
        thread.join().unwrap();
        if let At::Path(path) = &self.at {
            std::fs::remove_file(path).unwrap();
        }
    }

    fn heap(&self) -> Heap {
        self.heap.clone()
    }
}

/// Reads the journal's protocol; panics at anything that is not exactly what should be there.
fn journal_fields(mut datagram: &[u8]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    while !datagram.is_empty() {
        let end = datagram.iter().position(|byte| matches!(byte, b'\n' | b'=')).unwrap();
        assert_eq!(datagram[end], b'\n', "a value without its length");
        let name = String::from_utf8(datagram[..end].to_vec()).unwrap();
        let known = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(name.bytes().all(known) && !name.starts_with('_'), "{name}");
        datagram = &datagram[end + 1..];
        let length = u64::from_le_bytes(datagram[..8].try_into().unwrap()) as usize;
        fields.push((name, String::from_utf8(datagram[8..8 + length].to_vec()).unwrap()));
        assert_eq!(datagram[8 + length], b'\n');
        datagram = &datagram[9 + length..];
    }
    fields
}

/// A record as the journal gets it.
pub(super) fn journal_message(datagram: &[u8]) -> Seen {
    let fields = journal_fields(datagram);
    let only = |wanted: &str| {
        let found: Vec<_> = fields.iter().filter(|(name, _)| name == wanted).collect();
        assert_eq!(found.len(), 1, "{wanted}");
        found[0].1.clone()
    };
    assert!(!only("MESSAGE").chars().any(char::is_control));
    Seen { seq: only("AGENTAUTH_SEQ").parse().unwrap(), line: only("AGENTAUTH_RECORD") }
}

/// Reads a message of RFC 5424; panics at anything that is none.
pub(super) fn syslog_message(message: &[u8]) -> Seen {
    let text = std::str::from_utf8(message).unwrap();
    assert!(!text.chars().any(char::is_control), "{text:?}");
    let (header, rest) = text.split_once(" [").unwrap();
    let header: Vec<_> = header.split(' ').collect();
    assert_eq!(header.len(), 6, "{header:?}");
    assert!(header[0].starts_with('<') && header[0].ends_with(">1") && header[3] == "agentauthd");
    let (mut quoted, mut escaped, mut end) = (false, false, None);
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b']' if !quoted => {
                end = Some(at);
                break;
            }
            _ => {}
        }
    }
    let (data, body) = rest.split_at(end.unwrap());
    let seq = data.split(" seq=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
    Seen { seq, line: body.strip_prefix("] ").unwrap().to_owned() }
}

/// A syslog server that speaks TLS, with a certificate of its own authority.
pub(super) struct Tls {
    pub(super) port: u16,
    pub(super) network: NetworkSettings,
    heap: Heap,
    acceptor: TlsAcceptor,
    task: Option<JoinHandle<()>>,
    _directory: tempfile::TempDir,
}

impl Tls {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let root = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let path = directory.path().join("ca.pem");
        std::fs::write(&path, root.pem()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        Self {
            port: free_port(),
            network: NetworkSettings { ca_file: Some(path), ..NetworkSettings::default() },
            heap: Heap::default(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            task: None,
            _directory: directory,
        }
    }
}

impl Receiver for Tls {
    async fn up(&mut self) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await.unwrap();
        let (heap, acceptor) = (self.heap.clone(), self.acceptor.clone());
        self.task = Some(tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut buffer = Vec::new();
                while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
                    while let Some(message) = counted(&mut buffer) {
                        heap.lock().unwrap().push(syslog_message(&message));
                    }
                }
            }
        }));
    }

    async fn down(&mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        let _ = task.await;
    }

    fn heap(&self) -> Heap {
        self.heap.clone()
    }
}

/// Takes one message off its front, as RFC 5425 frames it.
fn counted(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let space = buffer.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&buffer[..space]).unwrap().parse().unwrap();
    if buffer.len() < space + 1 + length {
        return None;
    }
    let message = buffer[space + 1..space + 1 + length].to_vec();
    buffer.drain(..space + 1 + length);
    Some(message)
}

fn free_port() -> u16 {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A request as an HTTP server saw it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// An HTTP server.
pub(super) struct Server {
    port: u16,
    heap: Heap,
    asked: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<Mutex<(u16, String)>>,
    reads: fn(&str) -> Vec<Seen>,
    task: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn new(reads: fn(&str) -> Vec<Seen>) -> Self {
        Self {
            port: free_port(),
            heap: Heap::default(),
            asked: Arc::default(),
            answer: Arc::default(),
            reads,
            task: None,
        }
    }

    /// The way there, with the token in this file.
    pub(super) fn post(&self, path: &str, token: Option<PathBuf>) -> Post {
        let url = format!("http://127.0.0.1:{}{path}", self.port).parse().unwrap();
        let owner = rustix::process::geteuid().as_raw();
        Post::new(url, &NetworkSettings::default(), Credential::new(token, owner), true).unwrap()
    }

    /// What it answers from now on.
    pub(super) fn answers(&self, status: u16, text: &str) {
        *self.answer.lock().unwrap() = (status, text.to_owned());
    }

    /// What it was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Receiver for Server {
    async fn up(&mut self) {
        self.answers(200, "");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await.unwrap();
        let (heap, asked, answer, reads) =
            (self.heap.clone(), self.asked.clone(), self.answer.clone(), self.reads);
        let takes = move |headers: HeaderMap, body: Bytes| async move {
            let mut text = String::new();
            assert_eq!(headers["content-encoding"], "gzip");
            GzDecoder::new(&*body).read_to_string(&mut text).unwrap();
            let (status, said) = answer.lock().unwrap().clone();
            if status == 200 {
                heap.lock().unwrap().extend(reads(&text));
            }
            asked.lock().unwrap().push(Asked { headers, body: text });
            let location = [("location", "/elsewhere"), ("retry-after", "7")];
            (http::StatusCode::from_u16(status).unwrap(), location, said)
        };
        let router = Router::new().fallback(takes);
        self.task = Some(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }));
    }

    async fn down(&mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        let _ = task.await;
        // Connections are served by tasks of their own.
        *self.answer.lock().unwrap() = (503, String::new());
        self.answers(503, "");
    }

    fn heap(&self) -> Heap {
        self.heap.clone()
    }
}

/// Records as lines of JSON.
pub(super) fn lines(body: &str) -> Vec<Seen> {
    let seen = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        Seen { seq: value["seq"].as_u64().unwrap(), line: line.to_owned() }
    };
    body.lines().map(seen).collect()
}

/// Records of a request in OTLP.
pub(super) fn otlp_records(body: &str) -> Vec<Seen> {
    let request: Value = serde_json::from_str(body).unwrap();
    let records = request["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap();
    let seen = |record: &Value| {
        let line = record["body"]["stringValue"].as_str().unwrap().to_owned();
        let attributes = record["attributes"].as_array().unwrap();
        let seq = attributes.iter().find(|it| it["key"] == "agentauth.seq").unwrap();
        Seen { seq: seq["value"]["intValue"].as_str().unwrap().parse().unwrap(), line }
    };
    records.iter().map(seen).collect()
}
