//! What holds of every sink, against the real thing and its stand-in on this machine: what is sent arrives whole and in
//! order, one record as one record whatever is in it; a receiver that is away is an error, not a wait; and when it is
//! back, the next attempt arrives.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use agentauth_audit::export::Origin;
use agentauth_audit::export::syslog::Style;
use agentauth_idp::NetworkSettings;
use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use flate2::read::GzDecoder;
use http::HeaderMap;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::credential::Credential;
use super::door::Sink;
use super::fake::{FarEnd, Heap, Mood, PATIENCE, Record, Seen, fake, hostile, until};
use super::journald::Journald;
use super::otlp::Otlp;
use super::post::Post;
use super::syslog::Syslog;
use super::web::Web;
use crate::config::{HttpBody, RecordFormat, SyslogAddress};

trait Receiver {
    async fn up(&mut self);
    async fn down(&mut self);
    fn heap(&self) -> Heap;
}

async fn keeps_the_contract(mut sink: impl Sink, mut far: impl Receiver) {
    let record = Record::begin();
    record.write(40);
    let entries = record.entries();
    far.up().await;
    let heap = far.heap();
    let last = |heap: &Heap| heap.lock().unwrap().last().map(|seen| seen.seq);
    sink.send(&entries[..20]).await.unwrap();
    until("the first to arrive", || last(&heap) == Some(20)).await;
    far.down().await;
    // Some notice only with the next message that nobody is there.
    let fails = async { while sink.send(&entries[20..21]).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, fails).await.expect("an error while the receiver is away");
    far.up().await;
    let arrives = async {
        while sink.send(&entries[20..]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, arrives).await.expect("to be taken again");
    until("the rest to arrive", || last(&heap) == Some(40)).await;
    let mut seen = heap.lock().unwrap().clone();
    // What was sent when it went down may have arrived, too.
    seen.dedup_by_key(|seen| seen.seq);
    let expected: Vec<_> =
        entries.iter().map(|entry| Seen { seq: entry.seq, line: entry.line.clone() }).collect();
    assert_eq!(seen, expected);
}

/// A socket for datagrams at a path.
struct Datagrams {
    path: PathBuf,
    heap: Heap,
    reads: fn(&[u8]) -> Seen,
    running: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Datagrams {
    fn at(path: PathBuf, reads: fn(&[u8]) -> Seen) -> Self {
        Self { path, heap: Heap::default(), reads, running: None }
    }
}

impl Receiver for Datagrams {
    async fn up(&mut self) {
        let socket = UnixDatagram::bind(&self.path).unwrap();
        self.running = Some(listen(self.heap.clone(), self.reads, move |buffer| {
            socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
            socket.recv(buffer)
        }));
    }

    async fn down(&mut self) {
        stop(self.running.take());
        std::fs::remove_file(&self.path).unwrap();
    }

    fn heap(&self) -> Heap {
        self.heap.clone()
    }
}

/// A UDP socket on the loopback.
struct Udp {
    address: SocketAddr,
    heap: Heap,
    running: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Receiver for Udp {
    async fn up(&mut self) {
        let socket = std::net::UdpSocket::bind(self.address).unwrap();
        self.address = socket.local_addr().unwrap();
        self.running = Some(listen(self.heap.clone(), syslog_message, move |buffer| {
            socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
            socket.recv(buffer)
        }));
    }

    async fn down(&mut self) {
        stop(self.running.take());
    }

    fn heap(&self) -> Heap {
        self.heap.clone()
    }
}

fn listen(
    heap: Heap,
    reads: fn(&[u8]) -> Seen,
    mut receive: impl FnMut(&mut [u8]) -> std::io::Result<usize> + Send + 'static,
) -> (Arc<AtomicBool>, JoinHandle<()>) {
    let over = Arc::new(AtomicBool::new(false));
    let told = over.clone();
    let thread = std::thread::spawn(move || {
        let mut buffer = vec![0; 512 * 1024];
        while !told.load(Ordering::SeqCst) {
            if let Ok(length) = receive(&mut buffer) {
                heap.lock().unwrap().push(reads(&buffer[..length]));
            }
        }
    });
    (over, thread)
}

fn stop(running: Option<(Arc<AtomicBool>, JoinHandle<()>)>) {
    let (over, thread) = running.unwrap();
    over.store(true, Ordering::SeqCst);
    thread.join().unwrap();
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

fn journal_message(datagram: &[u8]) -> Seen {
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
fn syslog_message(message: &[u8]) -> Seen {
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
struct Tls {
    address: SocketAddr,
    heap: Heap,
    acceptor: TlsAcceptor,
    task: Option<tokio::task::JoinHandle<()>>,
    _directory: tempfile::TempDir,
    network: NetworkSettings,
}

impl Tls {
    fn new() -> Self {
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
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            heap: Heap::default(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            task: None,
            network: NetworkSettings { ca_file: Some(path), ..NetworkSettings::default() },
            _directory: directory,
        }
    }
}

impl Receiver for Tls {
    async fn up(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
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

/// A request as an HTTP server saw it.
#[derive(Clone, Debug)]
struct Asked {
    headers: HeaderMap,
    body: String,
}

/// An HTTP server.
struct Server {
    address: SocketAddr,
    heap: Heap,
    asked: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<Mutex<(u16, String)>>,
    reads: fn(&str) -> Vec<Seen>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Server {
    async fn start(reads: fn(&str) -> Vec<Seen>) -> Self {
        let mut server = Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            heap: Heap::default(),
            asked: Arc::default(),
            answer: Arc::new(Mutex::new((200, String::new()))),
            reads,
            task: None,
        };
        server.up().await;
        server.down().await;
        *server.answer.lock().unwrap() = (200, String::new());
        server
    }

    fn post(&self, path: &str, token: Option<PathBuf>) -> Post {
        let url = format!("http://{}{path}", self.address).parse().unwrap();
        let owner = rustix::process::geteuid().as_raw();
        Post::new(url, &NetworkSettings::default(), Credential::new(token, owner), true).unwrap()
    }
}

impl Receiver for Server {
    async fn up(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
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
        let router = Router::new().route("/in", post(takes.clone())).route("/v1/logs", post(takes));
        self.task = Some(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }));
    }

    async fn down(&mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        let _ = task.await;
        // Connections are served by tasks of their own.
        *self.answer.lock().unwrap() = (503, String::new());
    }

    fn heap(&self) -> Heap {
        self.heap.clone()
    }
}

fn lines(body: &str) -> Vec<Seen> {
    let seen = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        Seen { seq: value["seq"].as_u64().unwrap(), line: line.to_owned() }
    };
    body.lines().map(seen).collect()
}

fn otlp_records(body: &str) -> Vec<Seen> {
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

/// The server with its answers set right as it comes up again.
struct Recovering(Server);

impl Receiver for Recovering {
    async fn up(&mut self) {
        *self.0.answer.lock().unwrap() = (200, String::new());
        self.0.up().await;
    }

    async fn down(&mut self) {
        self.0.down().await;
    }

    fn heap(&self) -> Heap {
        self.0.heap()
    }
}

fn syslog(to: SyslogAddress, network: NetworkSettings) -> Syslog {
    Syslog::new(to, network, Style::default(), RecordFormat::Json, Origin::default())
}

#[tokio::test]
async fn the_journal_keeps_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    keeps_the_contract(Journald::new(&path), Datagrams::at(path.clone(), journal_message)).await;
}

#[tokio::test]
async fn syslog_over_a_unix_socket_keeps_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let sink = syslog(SyslogAddress::Unix(path.clone()), NetworkSettings::default());
    keeps_the_contract(sink, Datagrams::at(path, syslog_message)).await;
}

#[tokio::test]
async fn syslog_over_udp_keeps_it() {
    let mut far =
        Udp { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), heap: Heap::default(), running: None };
    far.up().await;
    far.down().await;
    let to = SyslogAddress::Udp { host: "127.0.0.1".to_owned(), port: far.address.port() };
    keeps_the_contract(syslog(to, NetworkSettings::default()), far).await;
}

#[tokio::test]
async fn syslog_over_tls_keeps_it() {
    let mut far = Tls::new();
    far.up().await;
    far.down().await;
    let to = SyslogAddress::Tls { host: "localhost".to_owned(), port: far.address.port() };
    let network = far.network.clone();
    keeps_the_contract(syslog(to, network), far).await;
}

#[tokio::test]
async fn an_http_endpoint_keeps_it() {
    let far = Server::start(lines).await;
    let sink = Web::new(far.post("/in", None), RecordFormat::Json, HttpBody::Lines, Origin::default());
    keeps_the_contract(sink, Recovering(far)).await;
}

#[tokio::test]
async fn a_collector_keeps_it() {
    let far = Server::start(otlp_records).await;
    keeps_the_contract(Otlp::new(far.post("/v1/logs", None), Origin::default()), Recovering(far)).await;
}

/// The fake's far end.
struct Pretended(FarEnd);

impl Receiver for Pretended {
    async fn up(&mut self) {
        self.0.mood(Mood::Takes);
    }

    async fn down(&mut self) {
        self.0.mood(Mood::Fails);
    }

    fn heap(&self) -> Heap {
        self.0.lines()
    }
}

#[tokio::test]
async fn the_fake_keeps_it() {
    let (sink, far_end) = fake(Mood::Takes);
    keeps_the_contract(sink, Pretended(far_end)).await;
}

#[tokio::test]
async fn a_server_that_proves_to_be_another_gets_nothing() {
    let mut far = Tls::new();
    far.up().await;
    let record = Record::begin();
    record.write(1);
    let port = far.address.port();
    // Its certificate is for `localhost`; and nobody vouches for it unless its authority is named.
    let by_address = SyslogAddress::Tls { host: "127.0.0.1".to_owned(), port };
    let named = far.network.clone();
    let unknown = (SyslogAddress::Tls { host: "localhost".to_owned(), port }, NetworkSettings::default());
    for (to, network) in [(by_address, named), unknown] {
        let error = syslog(to, network).send(&record.entries()).await.unwrap_err();
        assert!(error.why.contains("certificate"), "{error}");
    }
    assert!(far.heap.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_token_goes_to_its_address_and_nowhere_else() {
    let mut far = Server::start(lines).await;
    far.up().await;
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "top-secret").unwrap();
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let post = far.post("/in", Some(token));
    let shown = format!("{post:?}");
    let mut sink = Web::new(post, RecordFormat::Json, HttpBody::Array, Origin::default());
    let record = Record::begin();
    record.write(3);
    let entries = record.entries();
    *far.answer.lock().unwrap() = (307, "top-secret".to_owned());
    let refused = sink.send(&entries).await.unwrap_err();
    assert!(refused.why.contains("redirects are not followed"), "{refused}");
    assert!(!format!("{refused:?}{shown}").contains("top-secret"));
    for (status, too_large) in [(401, false), (413, true), (500, false), (503, false)] {
        *far.answer.lock().unwrap() = (status, String::new());
        let refused = sink.send(&entries).await.unwrap_err();
        assert_eq!((refused.too_large, refused.wait), (too_large, Some(Duration::from_secs(7))), "{status}");
    }
    *far.answer.lock().unwrap() = (429, String::new());
    sink.send(&entries).await.unwrap_err();
    let asked = far.asked.lock().unwrap().clone();
    // The redirect's target was never asked, and each attempt bore the same key.
    assert_eq!(asked.len(), 6);
    let key = format!("\"1-3-{}\"", entries[2].hash);
    for asked in asked {
        assert_eq!(asked.headers["authorization"], "Bearer top-secret");
        assert_eq!(asked.headers["idempotency-key"], key.as_str());
        assert_eq!(asked.headers["content-type"], "application/json");
        let array: Vec<Value> = serde_json::from_str(&asked.body).unwrap();
        assert_eq!(array.len(), 3);
    }
}

#[tokio::test]
async fn other_formats_are_one_line_a_record_too() {
    let mut far = Server::start(|_| Vec::new()).await;
    far.up().await;
    let record = Record::begin();
    record.write(2);
    // A format may have no word for a kind of records.
    record
        .recorder
        .append(&agentauth_audit::Event::new(agentauth_audit::Kind::Facts, hostile().time))
        .unwrap();
    let entries = record.entries();
    for (format, body) in [
        (RecordFormat::Cef, HttpBody::Lines),
        (RecordFormat::Ocsf, HttpBody::Lines),
        (RecordFormat::Cef, HttpBody::Array),
        (RecordFormat::Ocsf, HttpBody::Array),
    ] {
        let mut sink = Web::new(far.post("/in", None), format, body, Origin::default());
        sink.send(&entries).await.unwrap();
        let text = far.asked.lock().unwrap().pop().unwrap().body;
        assert!(!text.trim_end().chars().any(|it| it.is_control() && it != '\n'), "{text:?}");
        match body {
            HttpBody::Lines => assert!((2..=3).contains(&text.lines().count()), "{text}"),
            HttpBody::Array => {
                let array: Vec<Value> = serde_json::from_str(&text).unwrap();
                assert!((2..=3).contains(&array.len()), "{text}");
            }
        }
    }
}

#[test]
fn what_is_too_long_for_a_datagram_reaches_the_journal_in_memory() {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixDatagram::bind(&path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let record = Record::begin();
    record.write(1);
    let entries = record.entries();
    runtime.block_on(async {
        let mut sink = Journald::new(&path);
        sink.send_with_little_room(&entries[0]).await.unwrap();
    });
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0; 1];
    let mut into = [std::io::IoSliceMut::new(&mut byte)];
    let message = rustix::net::recvmsg(&listener, &mut into, &mut control, RecvFlags::empty()).unwrap();
    assert_eq!(message.bytes, 0);
    let Some(RecvAncillaryMessage::ScmRights(mut descriptors)) = control.drain().next() else {
        panic!("no descriptor");
    };
    let memory = std::fs::File::from(descriptors.next().unwrap());
    let seals = rustix::fs::fcntl_get_seals(&memory).unwrap();
    assert!(seals.contains(rustix::fs::SealFlags::WRITE | rustix::fs::SealFlags::SEAL));
    let mut datagram = vec![0; usize::try_from(memory.metadata().unwrap().len()).unwrap()];
    std::os::unix::fs::FileExt::read_exact_at(&memory, &mut datagram, 0).unwrap();
    assert_eq!(journal_message(&datagram), Seen { seq: 1, line: entries[0].line.clone() });
}
