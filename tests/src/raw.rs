//! A bare HTTP/1.1 client over a Unix socket: it sends the bytes it is given and reads one answer, so that tests can
//! misbehave and the benchmark measures the daemon rather than a client library.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use agentauth_api::{Hello, NONCE_HEADER, paths};
use serde_json::Value;

/// How long an answer may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection.
pub struct Raw {
    stream: UnixStream,
    buffer: Vec<u8>,
    filled: usize,
    consumed: usize,
}

/// One answer.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", String::from_utf8_lossy(&self.body)))
    }
}

impl Raw {
    /// Connects.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        Ok(Self::over(UnixStream::connect(socket)?))
    }

    /// Over a connection that exists already.
    pub fn over(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, buffer: vec![0; 64 * 1024], filled: 0, consumed: 0 }
    }

    /// The connection itself.
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Gives the connection away.
    pub fn into_stream(self) -> UnixStream {
        self.stream
    }

    /// Greets and returns the nonce.
    pub fn greet(&mut self) -> io::Result<String> {
        let answer = self.ask("GET", paths::HELLO, None, None)?;
        let hello: Hello = serde_json::from_slice(&answer.body)?;
        Ok(hello.nonce)
    }

    /// Asks and reads the answer.
    pub fn ask(
        &mut self,
        method: &str,
        path: &str,
        nonce: Option<&str>,
        body: Option<&Value>,
    ) -> io::Result<Answer> {
        self.send(&request(method, path, nonce, body))?;
        self.receive()
    }

    /// Asks for the events, and reads them from then on.
    pub fn follow(mut self, nonce: Option<&str>) -> io::Result<Following> {
        self.send(&request("GET", paths::EVENTS, nonce, None))?;
        let mut reader = BufReader::new(self.stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if head.starts_with("HTTP/1.1 200 ") && head.contains("text/event-stream") {
            Ok(Following { reader })
        } else {
            Err(io::Error::other(head))
        }
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads one answer.
    pub fn receive(&mut self) -> io::Result<Answer> {
        let (status, body) = self.receive_borrowed()?;
        let body = body.to_vec();
        Ok(Answer { status, body })
    }

    /// Reads one answer, with its head as it came.
    pub fn receive_with_head(&mut self) -> io::Result<(String, Answer)> {
        loop {
            let waiting = &self.buffer[self.consumed..self.filled];
            if let Some((_, head, _)) = parse_head(waiting)? {
                let head = String::from_utf8_lossy(&waiting[..head]).into_owned();
                return Ok((head, self.receive()?));
            }
            self.fill()?;
        }
    }

    /// Reads one answer without copying it.
    pub fn receive_borrowed(&mut self) -> io::Result<(u16, &[u8])> {
        loop {
            if let Some((status, head, length)) = parse_head(&self.buffer[self.consumed..self.filled])? {
                let body = self.consumed + head;
                while self.filled < body + length {
                    self.fill()?;
                }
                self.consumed = body + length;
                return Ok((status, &self.buffer[body..body + length]));
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.consumed == self.filled {
            self.consumed = 0;
            self.filled = 0;
        }
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        match self.stream.read(&mut self.buffer[self.filled..])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.filled += read;
                Ok(())
            }
        }
    }
}

/// A stream of events.
#[derive(Debug)]
pub struct Following {
    reader: BufReader<UnixStream>,
}

impl Following {
    /// The events as they come, in a thread of their own; the channel ends with the stream.
    pub fn in_background(self) -> mpsc::Receiver<Value> {
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            self.take_while(|event| sender.send(event.clone()).is_ok()).for_each(drop)
        });
        receiver
    }
}

/// One line of data for each event; the daemon sends each event as a chunk of its own, and an empty chunk at the end.
impl Iterator for Following {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        loop {
            let mut line = String::new();
            match self.reader.read_line(&mut line) {
                Ok(read) if read > 0 && line != "0\r\n" => {}
                _ => return None,
            }
            if let Some(data) = line.strip_prefix("data: ") {
                assert!(!data.contains(['\u{1b}', '\u{202e}']), "not safe to show: {data:?}");
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }
}

/// The bytes of a request.
pub fn request(method: &str, path: &str, nonce: Option<&str>, body: Option<&Value>) -> Vec<u8> {
    use std::fmt::Write as _;
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: agentauthd\r\n");
    if let Some(nonce) = nonce {
        write!(text, "{NONCE_HEADER}: {nonce}\r\n").unwrap();
    }
    let body = body.map(Value::to_string);
    if let Some(body) = &body {
        write!(text, "content-type: application/json\r\ncontent-length: {}\r\n", body.len()).unwrap();
    }
    text.push_str("\r\n");
    text.push_str(body.as_deref().unwrap_or_default());
    text.into_bytes()
}

/// Status, length of the head and length of the body, once the head is complete.
fn parse_head(bytes: &[u8]) -> io::Result<Option<(u16, usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let wrong =
        |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("not an HTTP answer: {what}"));
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| wrong("head"))?;
    let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(|| wrong("status"))?;
    let mut length = 0;
    for line in head.split("\r\n").skip(1) {
        if let Some((name, value)) = line.split_once(':') {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().map_err(|_| wrong("length"))?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                return Err(wrong("chunked, which this client does not read"));
            }
        }
    }
    Ok(Some((status, end + 4, length)))
}
