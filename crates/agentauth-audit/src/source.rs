//! The bytes of one file of the record, whatever form it has.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::files::{Closed, Form};
use crate::place::Standing;

const BUFFER: usize = 64 * 1024;

/// An opened file of the record.
pub(crate) enum Source {
    Plain(BufReader<File>),
    Packed(Box<BufReader<MultiGzDecoder<BufReader<File>>>>),
}

impl Source {
    /// Opens a file that is there line by line.
    pub(crate) fn plain(path: &Path) -> io::Result<Source> {
        Ok(Source::Plain(BufReader::with_capacity(BUFFER, File::open(path)?)))
    }

    /// Opens a closed file. A stub holds no records: [`io::ErrorKind::Unsupported`].
    pub(crate) fn closed(file: &Closed) -> io::Result<Source> {
        match file.form {
            Form::Plain => Source::plain(&file.path),
            Form::Packed => {
                let packed = BufReader::with_capacity(BUFFER, File::open(&file.path)?);
                let lines = BufReader::with_capacity(BUFFER, MultiGzDecoder::new(packed));
                Ok(Source::Packed(Box::new(lines)))
            }
            Form::Stub => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Goes back by `count` bytes, so that they are read anew from the file: meanwhile they may be others.
    pub(crate) fn back(&mut self, count: usize) -> io::Result<()> {
        match self {
            Source::Plain(file) => {
                let count = i64::try_from(count).map_err(io::Error::other)?;
                file.seek(SeekFrom::Current(-count)).map(drop)
            }
            Source::Packed(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Which file it is; nothing for a compressed one, which nobody writes to.
    pub(crate) fn standing(&self) -> Option<io::Result<Standing>> {
        match self {
            Source::Plain(file) => Some(file.get_ref().metadata().map(|metadata| Standing::of(&metadata))),
            Source::Packed(_) => None,
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Source::Plain(_) => "Plain",
            Source::Packed(_) => "Packed",
        })
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Source::Plain(file) => file.read(buffer),
            Source::Packed(file) => file.read(buffer),
        }
    }
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Source::Plain(file) => file.fill_buf(),
            Source::Packed(file) => file.fill_buf(),
        }
    }

    fn consume(&mut self, amount: usize) {
        match self {
            Source::Plain(file) => file.consume(amount),
            Source::Packed(file) => file.consume(amount),
        }
    }
}
