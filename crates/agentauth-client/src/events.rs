//! What happens, as the daemon tells it: server-sent events (HTML, section 9.2), as far as the daemon makes use of them.

use std::collections::VecDeque;
use std::time::Duration;

use agentauth_api::Event;
use hyper::body::Incoming;

use crate::connection::Connection;
use crate::error::ClientError;

/// How long the daemon may be silent: it sends a comment every 15 s.
const SILENCE: Duration = Duration::from_secs(60);

/// The longest event that is read, in bytes.
const LONGEST: usize = 1024 * 1024;

/// How a failed reading is named in an error.
pub(crate) const REQUEST: &str = "GET /v1/events";

/// A stream of events, over a connection of its own.
pub struct Events {
    connection: Connection,
    body: Incoming,
    lines: Lines,
}

impl Events {
    pub(crate) fn new(connection: Connection, body: Incoming) -> Self {
        Self { connection, body, lines: Lines::default() }
    }

    /// What happens next; nothing once the daemon has ended the stream: follow anew, and look at what is so then.
    ///
    /// # Errors
    /// The connection broke, nothing was heard for a minute, or what came is no stream of events.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if let Some(data) = self.lines.ready.pop_front() {
                let event = serde_json::from_str(&data)
                    .map_err(|source| nonsense("has an event that cannot be read", Some(Box::new(source))))?;
                return Ok(Some(event));
            }
            let part = tokio::time::timeout(SILENCE, self.connection.part(&mut self.body)).await;
            let part =
                part.map_err(|_| ClientError::TimedOut { request: REQUEST.to_owned(), limit: SILENCE })?;
            match part {
                None => return Ok(None),
                Some(Ok(part)) => self.lines.take(&part)?,
                Some(Err(source)) => {
                    return Err(ClientError::Lost { request: REQUEST.to_owned(), source: Box::new(source) });
                }
            }
        }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

/// Lines, and the data of the events that they make.
#[derive(Debug, Default)]
struct Lines {
    line: Vec<u8>,
    data: String,
    ready: VecDeque<String>,
}

impl Lines {
    fn take(&mut self, part: &[u8]) -> Result<(), ClientError> {
        for &byte in part {
            if byte != b'\n' {
                self.line.push(byte);
                if self.line.len() > LONGEST {
                    return Err(nonsense("has an event that is too long", None));
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = std::str::from_utf8(&line)
                .map_err(|source| nonsense("is not UTF-8 text", Some(Box::new(source))))?;
            if line.is_empty() {
                if !self.data.is_empty() {
                    self.ready.push_back(std::mem::take(&mut self.data));
                }
            } else if let Some(data) = line.strip_prefix("data: ") {
                self.data.push_str(data);
            }
            // The event's name stands in its data, too; a comment is a sign of life.
        }
        Ok(())
    }
}

fn nonsense(what: &str, source: Option<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
    ClientError::Protocol { request: REQUEST.to_owned(), what: what.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_from_whatever_parts_they_come_in() {
        let text =
            ":\n\nevent: lagged\ndata: {\"type\":\"lagged\"}\n\n:\n\ndata: {\"type\":\ndata: \"later\"}\n\n";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            text.as_bytes().chunks(size).for_each(|part| lines.take(part).unwrap());
            let events: Vec<Event> =
                lines.ready.iter().map(|data| serde_json::from_str(data).unwrap()).collect();
            assert_eq!(events, [Event::Lagged, Event::Unknown], "parts of {size}");
        }
    }

    #[test]
    fn what_is_too_long_or_no_text_is_refused() {
        assert!(Lines::default().take(&vec![b'x'; LONGEST + 1]).is_err());
        assert!(Lines::default().take(b"data: \xff\n").is_err());
    }
}
