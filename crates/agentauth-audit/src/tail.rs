//! Where a log ends: the last record that proves itself, and what comes after it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use jiff::Timestamp;
use memchr::memrchr;

use crate::chain::{Frame, MAX_LINE};
use crate::files::{Form, Stub};
use crate::read::content;

/// How far back the last good record is looked for.
const WINDOW: u64 = 4 * MAX_LINE as u64;

/// The end of a log file.
#[derive(Debug)]
pub(crate) struct Tail {
    /// The last good record; `None` if there is none within reach.
    pub(crate) last: Option<Frame>,
    /// The file's length up to and with that record.
    pub(crate) good: u64,
    /// What follows it: a line cut short by a crash, or lines that are none.
    pub(crate) rest: Vec<u8>,
}

impl Tail {
    /// Reads the end of `file`.
    pub(crate) fn read(file: &mut File) -> io::Result<Tail> {
        let length = file.seek(SeekFrom::End(0))?;
        let start = length.saturating_sub(WINDOW);
        file.seek(SeekFrom::Start(start))?;
        let mut window = Vec::new();
        file.take(WINDOW).read_to_end(&mut window)?;

        let mut end = window.len();
        while let Some(lf) = window.get(..end).and_then(|bytes| memrchr(b'\n', bytes)) {
            let before = window.get(..lf).unwrap_or_default();
            let line_start = memrchr(b'\n', before).map_or(0, |at| at + 1);
            let line = before.get(line_start..).unwrap_or_default();
            // The window's first line may be a piece of one; a piece proves nothing.
            if let Ok(frame) = Frame::parse(line) {
                let rest = window.split_off(lf + 1);
                return Ok(Tail { last: Some(frame), good: start + lf as u64 + 1, rest });
            }
            end = lf;
        }
        Ok(Tail { last: None, good: 0, rest: window })
    }
}

/// When the last record in a file was written, found at its end or in its header: to the second where it is compressed.
/// Nothing where there is none.
pub(crate) fn last_time(path: &Path, form: Form) -> io::Result<Option<Timestamp>> {
    match form {
        Form::Stub => Stub::read(path).map(|stub| Some(stub.to)),
        Form::Packed => {
            let mut header = [0; 8];
            File::open(path)?.read_exact(&mut header)?;
            let [_, _, _, _, time @ ..] = header;
            Ok(Timestamp::from_second(u32::from_le_bytes(time).into()).ok())
        }
        Form::Plain => {
            let line = last_line(&mut File::open(path)?)?;
            Ok(line.as_deref().and_then(content).map(|event| event.time))
        }
    }
}

/// The last whole line of `file`, without its LF. What follows it is being written, or was cut short.
fn last_line(file: &mut File) -> io::Result<Option<Vec<u8>>> {
    let length = file.seek(SeekFrom::End(0))?;
    let window = length.min(2 * MAX_LINE as u64);
    file.seek(SeekFrom::Start(length - window))?;
    let mut end = Vec::new();
    file.take(window).read_to_end(&mut end)?;
    let Some(lf) = memrchr(b'\n', &end) else { return Ok(None) };
    end.truncate(lf);
    let start = memrchr(b'\n', &end).map_or(0, |at| at + 1);
    Ok(Some(end.split_off(start)))
}
