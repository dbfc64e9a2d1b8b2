//! Many lines to standard output, until whoever reads them has had enough.

use std::io::{self, BufWriter, Write};

use super::Failure;

/// A buffered stream of lines.
pub(super) struct Out {
    to: BufWriter<Box<dyn Write>>,
    closed: bool,
}

impl Out {
    /// Standard output, with colour where it shows.
    pub(super) fn coloured() -> Out {
        Out::to(Box::new(anstream::stdout()))
    }

    /// Standard output as it is.
    pub(super) fn plain() -> Out {
        Out::to(Box::new(io::stdout()))
    }

    /// Something else.
    pub(super) fn to(to: Box<dyn Write>) -> Out {
        Out { to: BufWriter::with_capacity(64 * 1024, to), closed: false }
    }

    /// Writes a line.
    pub(super) fn line(&mut self, line: &str) -> Result<(), Failure> {
        let outcome = self.to.write_all(line.as_bytes()).and_then(|()| self.to.write_all(b"\n"));
        self.note(outcome)
    }

    /// Hands over what was written so far.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        let outcome = self.to.flush();
        self.note(outcome)
    }

    /// Whether nobody reads any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    fn note(&mut self, outcome: io::Result<()>) -> Result<(), Failure> {
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            other => other.map_err(Failure::Output),
        }
    }
}
