//! Where log records go: standard error, each whole and without what looks like a secret.

use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

use super::redact;

/// Standard error, behind the filter.
pub(super) struct Stderr;

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Record<io::Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        Record { buffer: Vec::new(), to: io::stderr() }
    }
}

/// One record. It is looked at as a whole, however it is written, and written when it is complete.
pub(super) struct Record<W: Write> {
    buffer: Vec<u8>,
    to: W,
}

impl<W: Write> Write for Record<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Drop for Record<W> {
    fn drop(&mut self) {
        // Where not even that works, nobody is left to be told.
        let _ = self.to.write_all(&redact(&self.buffer));
        let _ = self.to.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_written_in_pieces_is_seen_whole() {
        let mut written = Vec::new();
        let mut record = Record { buffer: Vec::new(), to: &mut written };
        for piece in ["a eyJhbGciOiJSUz", "I1NiJ9.eyJzdWIiOiJhbG", "ljZSJ9.c2ln b\n"] {
            record.write_all(piece.as_bytes()).unwrap();
        }
        drop(record);
        assert_eq!(String::from_utf8(written).unwrap(), "a [redacted] b\n");
    }
}
