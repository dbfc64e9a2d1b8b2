//! A test authority, servers with certificates of its making, and a proxy: all on loopback.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, version};

use super::PROJECT;
use super::stub::Stub;

/// A certificate authority that nobody trusts unless told to.
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What a server's certificate says.
#[derive(Clone, Copy)]
pub(crate) enum Life {
    /// Valid now.
    Now,
    /// Over since 2021.
    Over,
    /// From 2100.
    Coming,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Its certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Its certificate in a file below `folder`.
    pub(crate) fn file(&self, folder: &tempfile::TempDir) -> PathBuf {
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, &self.pem).unwrap();
        path
    }

    fn server(&self, host: &str, life: Life) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        (params.not_before, params.not_after) = match life {
            Life::Now => (date_time_ymd(2020, 1, 1), date_time_ymd(2099, 1, 1)),
            Life::Over => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
            Life::Coming => (date_time_ymd(2100, 1, 1), date_time_ymd(2101, 1, 1)),
        };
        let certificate: CertificateDer<'static> = params.signed_by(&key, &self.issuer).unwrap().into();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&version::TLS12, &version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Arc::new(config)
    }

    /// A provider called `host`, whose certificate this authority signed. Returns what it answers and its port.
    pub(crate) async fn provider(&self, host: &str, life: Life) -> (Stub, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stub = Stub::detached(format!("https://{host}:{port}"));
        let acceptor = TlsAcceptor::from(self.server(host, life));
        let serving = stub.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, stub) = (acceptor.clone(), serving.clone());
                tokio::spawn(async move {
                    // A client that refuses the certificate ends the handshake.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        stub.serve(stream).await;
                    }
                });
            }
        });
        (stub, port)
    }
}

/// A proxy that knows `CONNECT`, sends everything to one port of this machine, and remembers what it was told.
#[derive(Clone)]
pub(crate) struct ConnectProxy {
    pub(crate) port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

/// How a proxy answers.
#[derive(Clone, Copy)]
pub(crate) enum ProxyAnswer {
    /// Lets everybody through.
    Through(u16),
    /// Wants credentials.
    WantsCredentials,
    /// Forbids it.
    Forbids,
}

impl ConnectProxy {
    pub(crate) async fn start(answer: ProxyAnswer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self { port: listener.local_addr().unwrap().port(), heads: Arc::default() };
        let serving = proxy.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serving.clone().serve(stream, answer));
            }
        });
        proxy
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    async fn serve(self, mut stream: TcpStream, answer: ProxyAnswer) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && head.len() < 8192 {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        self.heads.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
        let refusal = match answer {
            ProxyAnswer::Through(port) => {
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut server).await;
                return;
            }
            ProxyAnswer::WantsCredentials => "407 Proxy Authentication Required",
            ProxyAnswer::Forbids => "403 Forbidden",
        };
        let text = format!("HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.write_all(text.as_bytes()).await;
    }
}

/// A server that answers every `ClientHello` with a `ServerHello` of this version, and remembers how many bytes came
/// after it.
pub(crate) async fn old_tls(minor: u8) -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let after = Arc::new(Mutex::new(Vec::new()));
    let seen = after.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = [0_u8; 5];
            if stream.read_exact(&mut hello).await.is_err() {
                continue;
            }
            let mut rest = vec![0; usize::from(u16::from_be_bytes([hello[3], hello[4]]))];
            let _ = stream.read_exact(&mut rest).await;
            // ServerHello: version, 32 random octets, no session, TLS_RSA_WITH_AES_128_CBC_SHA, no compression.
            let body = [&[3, minor][..], &[7; 32], &[0, 0x00, 0x2f, 0]].concat();
            let length = u8::try_from(body.len()).unwrap();
            let message = [&[2, 0, 0, length][..], &body].concat();
            let record = [&[22, 3, minor, 0, length + 4][..], &message].concat();
            let _ = stream.write_all(&record).await;
            let mut more = Vec::new();
            let _ = stream.read_to_end(&mut more).await;
            seen.lock().unwrap().extend(more);
        }
    });
    (port, after)
}

/// Where this project's provider describes itself.
pub(crate) fn description() -> String {
    format!("/{PROJECT}/.well-known/openid-configuration")
}
