//! The client whose cost counts: blocking, with requests made beforehand, and no more of HTTP than where an answer ends.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use agentauth_api::{Hello, paths};
use e2e::raw::request;
use serde_json::json;

/// Longer than any answer.
const ROOM: usize = 16 * 1024;

/// One connection.
pub struct Link {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Link {
    /// Connects.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        Ok(Self { stream: UnixStream::connect(socket)?, buffer: vec![0; ROOM] })
    }

    /// Sends a request and returns the body of the answer. Anything but 200 is an error.
    pub fn ask(&mut self, request: &[u8]) -> io::Result<&[u8]> {
        self.stream.write_all(request)?;
        let mut filled = 0;
        loop {
            match self.stream.read(&mut self.buffer[filled..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
            if let Some((body, end)) = extent(&self.buffer[..filled])?
                && end <= filled
            {
                return Ok(&self.buffer[body..end]);
            }
        }
    }

    /// Greets and returns the nonce.
    pub fn greet(&mut self) -> io::Result<String> {
        let body = self.ask(&request("GET", paths::HELLO, None, None))?;
        let hello: Hello = serde_json::from_slice(body)?;
        Ok(hello.nonce)
    }
}

/// The bytes of a question.
pub fn question(nonce: &str, scope: &str) -> Vec<u8> {
    request("POST", paths::CHECK, Some(nonce), Some(&json!({"scope": scope, "purpose": "measure"})))
}

/// Where the body begins and ends, once the head is complete.
fn extent(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    const LENGTH: &[u8] = b"content-length: ";
    let Some(head) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let wrong = || io::Error::other(String::from_utf8_lossy(bytes).into_owned());
    if !bytes.starts_with(b"HTTP/1.1 200") {
        return Err(wrong());
    }
    let length = find(&bytes[..head], LENGTH).ok_or_else(wrong)?;
    let digits = bytes[length + LENGTH.len()..head].iter().take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    Ok(Some((head + 4, head + 4 + length)))
}

/// Where `wanted` begins.
pub fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
