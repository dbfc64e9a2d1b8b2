//! Places that take what the daemon sends elsewhere: an HTTP endpoint that is healthy, silent, or not there at all, and a
//! socket for datagrams.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

/// What the endpoint does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Says that it has it.
    Takes,
    /// Reads it and never answers.
    Silent,
    /// Closes the connection at once.
    Closes,
}

/// A batch as it arrived.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Its idempotency key.
    pub key: String,
    /// What was said in `Authorization`.
    pub authorization: String,
    /// And in `Content-Type`.
    pub content: String,
    /// The lines of the records.
    pub lines: Vec<String>,
    /// Whether the sender was told that it was taken.
    pub taken: bool,
}

impl Batch {
    /// The records' numbers.
    pub fn numbers(&self) -> Vec<u64> {
        let number = |line: &String| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap();
        self.lines.iter().map(number).collect()
    }
}

/// An endpoint that takes batches; it ends with the test.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Mutex<(Mood, Vec<Batch>)>>,
    _accepting: JoinHandle<()>,
}

impl Receiver {
    /// An endpoint on a port of its own.
    pub fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new((mood, Vec::new())));
        let own = shared.clone();
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = own.clone();
                std::thread::spawn(move || {
                    // A sender that goes away is no matter.
                    let _ = serve(stream, &shared);
                });
            }
        });
        Self { address, shared, _accepting: accepting }
    }

    /// Its address, for any other section.
    pub fn url(&self) -> String {
        format!("http://{}/anything", self.address)
    }

    /// The section of the configuration that leads here.
    pub fn section(&self, more: &str) -> String {
        format!("[sinks.http]\nurl = \"http://{}/records\"\ngzip = false\n{more}\n", self.address)
    }

    /// From now on it does this.
    pub fn mood(&self, mood: Mood) {
        self.shared.lock().unwrap().0 = mood;
    }

    /// What arrived, whether or not it was answered.
    pub fn batches(&self) -> Vec<Batch> {
        self.shared.lock().unwrap().1.clone()
    }

    /// The lines of what it said that it took, in the order in which they arrived first.
    pub fn lines(&self) -> Vec<String> {
        let taken = self.batches().into_iter().filter(|batch| batch.taken);
        let mut seen = std::collections::HashSet::new();
        taken.flat_map(|batch| batch.lines).filter(|line| seen.insert(line.clone())).collect()
    }
}

fn serve(stream: TcpStream, shared: &Mutex<(Mood, Vec<Batch>)>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let (mut length, mut key, mut authorization) = (0, String::new(), String::new());
        let (mut content, mut line) = (String::new(), String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                if line.trim_end().is_empty() {
                    break;
                }
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "idempotency-key" => key = value.to_owned(),
                "authorization" => authorization = value.to_owned(),
                "content-type" => content = value.to_owned(),
                _ => {}
            }
        }
        let mood = shared.lock().unwrap().0;
        if mood == Mood::Closes {
            return Ok(());
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let lines = String::from_utf8(body).unwrap().lines().map(str::to_owned).collect();
        let taken = mood == Mood::Takes;
        shared.lock().unwrap().1.push(Batch { key, authorization, content, lines, taken });
        if !taken {
            // Open until the sender gives up.
            stream.set_read_timeout(Some(Duration::from_secs(300)))?;
            let _ = reader.read(&mut [0]);
            return Ok(());
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")?;
    }
}

/// A socket for datagrams, as a syslog server and the journal have one; it ends with the test.
#[derive(Debug)]
pub struct Datagrams {
    taken: Arc<Mutex<Vec<u8>>>,
    directory: tempfile::TempDir,
}

impl Datagrams {
    /// A socket that every user may send to.
    pub fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("aad").tempdir().unwrap();
        let it = Self { taken: Arc::default(), directory };
        let socket = UnixDatagram::bind(it.path()).unwrap();
        for (path, mode) in [(it.directory.path(), 0o755), (&it.path(), 0o666)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let taken = it.taken.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 256 * 1024];
            while let Ok(length) = socket.recv(&mut buffer) {
                let mut taken = taken.lock().unwrap();
                taken.extend_from_slice(&buffer[..length]);
                taken.push(b'\n');
            }
        });
        it
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// Everything that arrived.
    pub fn bytes(&self) -> Vec<u8> {
        self.taken.lock().unwrap().clone()
    }
}
