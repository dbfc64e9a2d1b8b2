//! An HTTP endpoint that takes batches of records.

use std::borrow::Cow;

use agentauth_audit::Entry;
use agentauth_audit::export::Origin;
use http::HeaderValue;
use serde_json::Value;

use super::door::{Sink, SinkError, Taken};
use super::form::render;
use super::post::Post;
use crate::config::{HttpBody, RecordFormat};

/// A receiver of batches.
#[derive(Debug)]
pub(super) struct Web {
    post: Post,
    format: RecordFormat,
    body: HttpBody,
    origin: Origin,
}

impl Web {
    pub(super) fn new(post: Post, format: RecordFormat, body: HttpBody, origin: Origin) -> Self {
        Self { post, format, body, origin }
    }

    /// All records of the batch as one body; nothing where the format has no word for any of them.
    fn body(&mut self, batch: &[Entry]) -> Option<Vec<u8>> {
        let mut lines: Vec<Cow<'_, str>> = Vec::with_capacity(batch.len());
        for entry in batch {
            self.origin.learn(&entry.event);
            let Some(line) = render(self.format, entry, &self.origin) else { continue };
            // An array holds JSON: what is none stands in it as text.
            let quotes = self.body == HttpBody::Array && self.format == RecordFormat::Cef;
            lines.push(if quotes { Value::from(line).to_string().into() } else { line });
        }
        if lines.is_empty() {
            return None;
        }
        let text = match self.body {
            HttpBody::Lines => lines.join("\n") + "\n",
            HttpBody::Array => format!("[{}]", lines.join(",")),
        };
        Some(text.into_bytes())
    }

    fn content_type(&self) -> &'static str {
        match (self.body, self.format) {
            (HttpBody::Array, _) => "application/json",
            (HttpBody::Lines, RecordFormat::Cef) => "text/plain; charset=utf-8",
            (HttpBody::Lines, RecordFormat::Json | RecordFormat::Ocsf) => "application/x-ndjson",
        }
    }
}

impl Sink for Web {
    async fn send(&mut self, batch: &[Entry]) -> Result<Taken, SinkError> {
        if let Some(body) = self.body(batch) {
            self.post.send(self.content_type(), idempotency_key(batch), body).await?;
        }
        Ok(Taken::default())
    }
}

/// The same for the same records and for no others: the hash of the last one covers all before it.
fn idempotency_key(batch: &[Entry]) -> Option<HeaderValue> {
    let (first, last) = (batch.first()?, batch.last()?);
    HeaderValue::from_str(&format!("\"{}-{}-{}\"", first.seq, last.seq, last.hash)).ok()
}
