//! What holds of every sink, against the real thing and its stand-in on this machine: what is sent arrives whole and in
//! order, one record as one record whatever is in it; a receiver that is away is an error, not a wait; and when it is
//! back, the next attempt arrives.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use agentauth_audit::export::Origin;
use agentauth_audit::export::syslog::Style;
use agentauth_audit::{Event, Kind};
use agentauth_idp::NetworkSettings;
use serde_json::Value;

use super::door::Sink;
use super::fake::{Mood, PATIENCE, Record, Seen, fake, hostile, until};
use super::journald::Journald;
use super::otlp::Otlp;
use super::receivers::{
    At, Datagrams, Receiver, Server, Tls, journal_message, lines, otlp_records, syslog_message,
};
use super::syslog::Syslog;
use super::web::Web;
use crate::config::{HttpBody, RecordFormat, SyslogAddress};

async fn keeps_the_contract(mut sink: impl Sink, mut far: impl Receiver) {
    let record = Record::begin();
    record.write(40);
    let entries = record.entries();
    far.up().await;
    let heap = far.heap();
    let last = || heap.lock().unwrap().last().map(|seen| seen.seq);
    sink.send(&entries[..20]).await.unwrap();
    until("the first to arrive", || last() == Some(20)).await;
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
    until("the rest to arrive", || last() == Some(40)).await;
    let mut seen = heap.lock().unwrap().clone();
    // What was sent when it went down may have arrived, too.
    seen.dedup_by_key(|seen| seen.seq);
    let expected: Vec<_> =
        entries.iter().map(|entry| Seen { seq: entry.seq, line: entry.line.clone() }).collect();
    assert_eq!(seen, expected);
}

fn syslog(to: SyslogAddress, network: NetworkSettings) -> Syslog {
    Syslog::new(to, network, Style::default(), RecordFormat::Json, Origin::default())
}

fn web(server: &Server, format: RecordFormat, body: HttpBody) -> Web {
    Web::new(server.post("/in", None), format, body, Origin::default())
}

#[tokio::test]
async fn the_fake_keeps_it() {
    let (sink, far_end) = fake(Mood::Takes);
    keeps_the_contract(sink, far_end).await;
}

#[tokio::test]
async fn the_journal_keeps_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    keeps_the_contract(Journald::new(&path), Datagrams::new(At::Path(path.clone()), journal_message)).await;
}

#[tokio::test]
async fn syslog_over_a_unix_socket_keeps_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let sink = syslog(SyslogAddress::Unix(path.clone()), NetworkSettings::default());
    keeps_the_contract(sink, Datagrams::new(At::Path(path), syslog_message)).await;
}

#[tokio::test]
async fn syslog_over_udp_keeps_it() {
    let port = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let sink = syslog(SyslogAddress::Udp { host: "127.0.0.1".to_owned(), port }, NetworkSettings::default());
    let at = At::Port(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    keeps_the_contract(sink, Datagrams::new(at, syslog_message)).await;
}

#[tokio::test]
async fn syslog_over_tls_keeps_it() {
    let far = Tls::new();
    let to = SyslogAddress::Tls { host: "localhost".to_owned(), port: far.port };
    keeps_the_contract(syslog(to, far.network.clone()), far).await;
}

#[tokio::test]
async fn an_http_endpoint_keeps_it() {
    let far = Server::new(lines);
    keeps_the_contract(web(&far, RecordFormat::Json, HttpBody::Lines), far).await;
}

#[tokio::test]
async fn a_collector_keeps_it() {
    let far = Server::new(otlp_records);
    keeps_the_contract(Otlp::new(far.post("/v1/logs", None), Origin::default()), far).await;
}

#[tokio::test]
async fn a_server_that_proves_to_be_another_gets_nothing() {
    let mut far = Tls::new();
    far.up().await;
    let record = Record::begin();
    record.write(1);
    let port = far.port;
    // Its certificate is for `localhost`; and nobody vouches for it unless its authority is named.
    let by_address = SyslogAddress::Tls { host: "127.0.0.1".to_owned(), port };
    let named = far.network.clone();
    let unknown = (SyslogAddress::Tls { host: "localhost".to_owned(), port }, NetworkSettings::default());
    for (to, network) in [(by_address, named), unknown] {
        let error = syslog(to, network).send(&record.entries()).await.unwrap_err();
        assert!(error.why.contains("certificate"), "{error}");
    }
    assert!(far.heap().lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_token_goes_to_its_address_and_nowhere_else() {
    let mut far = Server::new(lines);
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
    far.answers(307, "top-secret");
    let refused = sink.send(&entries).await.unwrap_err();
    assert!(refused.why.contains("redirects are not followed"), "{refused}");
    assert!(!format!("{refused:?}{shown}").contains("top-secret"));
    for (status, too_large) in [(401, false), (413, true), (500, false), (503, false)] {
        far.answers(status, "");
        let refused = sink.send(&entries).await.unwrap_err();
        assert_eq!((refused.too_large, refused.wait), (too_large, Some(Duration::from_secs(7))), "{status}");
    }
    far.answers(429, "");
    sink.send(&entries).await.unwrap_err();
    let asked = far.asked();
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
    let mut far = Server::new(|_| Vec::new());
    far.up().await;
    let record = Record::begin();
    record.write(2);
    // A format may have no word for a kind of records.
    record.recorder.append(&Event::new(Kind::Facts, hostile().time)).unwrap();
    let entries = record.entries();
    for (format, body) in [
        (RecordFormat::Cef, HttpBody::Lines),
        (RecordFormat::Ocsf, HttpBody::Lines),
        (RecordFormat::Cef, HttpBody::Array),
        (RecordFormat::Ocsf, HttpBody::Array),
    ] {
        web(&far, format, body).send(&entries).await.unwrap();
        let text = far.asked().pop().unwrap().body;
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
