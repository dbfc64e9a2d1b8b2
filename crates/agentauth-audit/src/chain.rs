//! The chain itself: lines, their frames and their hashes, as the crate's documentation says. Pure.

use std::fmt;
use std::io::Write as _;

use memchr::memchr;
use sha2::{Digest, Sha256};

use crate::{Appended, Kind};

/// The longest line, its LF included, in bytes.
pub const MAX_LINE: usize = 64 * 1024;

const SEQ: &[u8] = b"{\"seq\":";
const PREV: &[u8] = b",\"prev\":\"";
const TIME: &[u8] = b"\",\"time\":\"";
const EVENT: &[u8] = b"\",\"event\":\"";
const HASH: &[u8] = b",\"hash\":\"";
const END: &[u8] = b"\"}";
const DIGITS: usize = 64;
/// `HASH`, the digits, `END`.
const TRAILER: usize = 9 + DIGITS + 2;

/// A hash of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// What the first record's `prev` is.
    pub const ZERO: Hash = Hash([0; 32]);

    /// The hash of a record from the one before and its bytes.
    pub(crate) fn next(self, record: &[u8]) -> Hash {
        let digest = Sha256::new()
            .chain_update([0x01])
            .chain_update(self.0)
            .chain_update((record.len() as u64).to_be_bytes())
            .chain_update(record)
            .finalize();
        Hash(digest.into())
    }

    fn digits(self) -> [u8; DIGITS] {
        let mut digits = [b'0'; DIGITS];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            if let [high, low] = pair {
                (*high, *low) = (digit(byte >> 4), digit(byte & 0x0f));
            }
        }
        digits
    }

    /// From 64 lower-case digits; upper-case ones would be a second spelling of one line.
    fn from_digits(digits: &[u8]) -> Option<Hash> {
        if digits.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        let mut hash = [0; 32];
        hex::decode_to_slice(digits, &mut hash).ok()?;
        Some(Hash(hash))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl serde::Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl std::str::FromStr for Hash {
    type Err = Flaw;

    fn from_str(text: &str) -> Result<Hash, Flaw> {
        Hash::from_digits(text.as_bytes()).ok_or(Flaw::Frame)
    }
}

fn digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + (nibble - 10),
    }
}

/// Begins a line in the empty `buffer`. The event's members follow, then [`finish_line`].
pub(crate) fn begin_line(buffer: &mut Vec<u8>, seq: u64, prev: Hash) {
    buffer.extend_from_slice(SEQ);
    // Writing to memory does not fail.
    let _ = write!(buffer, "{seq}");
    buffer.extend_from_slice(PREV);
    buffer.extend_from_slice(&prev.digits());
    buffer.push(b'"');
}

/// Ends the line in `buffer`, whose content is the record bytes. Returns its hash.
pub(crate) fn finish_line(buffer: &mut Vec<u8>, prev: Hash) -> Hash {
    let hash = prev.next(buffer);
    buffer.extend_from_slice(HASH);
    buffer.extend_from_slice(&hash.digits());
    buffer.extend_from_slice(END);
    buffer.push(b'\n');
    hash
}

/// The frame of one line, checked against itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) seq: u64,
    pub(crate) prev: Hash,
    pub(crate) hash: Hash,
}

impl Frame {
    /// Reads the line after `last` (without its LF), as fast as can be: what is the same in all right lines is compared
    /// as bytes, and only the hash is computed.
    pub(crate) fn follow(line: &[u8], last: Appended) -> Result<Frame, Flaw> {
        let seq = last.seq + 1;
        let right = || {
            let (record, trailer) = line.split_at_checked(line.len().checked_sub(TRAILER)?)?;
            let (number, rest) = number(record.strip_prefix(SEQ)?)?;
            let (digits, rest) = rest.strip_prefix(PREV)?.split_at_checked(DIGITS)?;
            if number != seq || digits != last.hash.digits() || !rest.starts_with(b"\",") {
                return None;
            }
            let hash = last.hash.next(record);
            let digits = trailer.strip_prefix(HASH)?.strip_suffix(END)?;
            (digits == hash.digits()).then_some(Frame { seq, prev: last.hash, hash })
        };
        right().map_or_else(|| Frame::parse(line)?.after(last), Ok)
    }

    /// Whether it follows `last`.
    fn after(self, last: Appended) -> Result<Frame, Flaw> {
        if self.prev != last.hash {
            Err(Flaw::Link)
        } else if self.seq != last.seq + 1 {
            Err(Flaw::Number)
        } else {
            Ok(self)
        }
    }

    /// Reads `line` (without its LF) and checks that its hash is that of its bytes.
    pub(crate) fn parse(line: &[u8]) -> Result<Frame, Flaw> {
        let record_length = line.len().checked_sub(TRAILER).ok_or(Flaw::Frame)?;
        let (record, trailer) = line.split_at(record_length);
        let digits = trailer.strip_prefix(HASH).and_then(|rest| rest.strip_suffix(END)).ok_or(Flaw::Frame)?;
        let hash = Hash::from_digits(digits).ok_or(Flaw::Frame)?;
        let (seq, rest) = number(record.strip_prefix(SEQ).ok_or(Flaw::Frame)?).ok_or(Flaw::Frame)?;
        let rest = rest.strip_prefix(PREV).ok_or(Flaw::Frame)?;
        let (digits, rest) = rest.split_at_checked(DIGITS).ok_or(Flaw::Frame)?;
        if !rest.starts_with(b"\",") {
            return Err(Flaw::Frame);
        }
        let prev = Hash::from_digits(digits).ok_or(Flaw::Frame)?;
        if prev.next(record) != hash {
            return Err(Flaw::Hash);
        }
        Ok(Frame { seq, prev, hash })
    }
}

/// The kind of the record of a line, found without reading all of it: it stands behind frame and time, before anything that
/// somebody could have said.
pub(crate) fn kind(line: &[u8]) -> Option<Kind> {
    let (_, rest) = number(line.strip_prefix(SEQ)?)?;
    let (_, rest) = rest.strip_prefix(PREV)?.split_at_checked(DIGITS)?;
    let rest = rest.strip_prefix(TIME)?;
    let rest = rest.get(memchr(b'"', rest)?..)?.strip_prefix(EVENT)?;
    let name = rest.get(..memchr(b'"', rest)?)?;
    Some(Kind::of_name(std::str::from_utf8(name).ok()?))
}

/// A decimal number without sign or leading zero, and what follows it.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at_checked(length)?;
    if digits.first() == Some(&b'0') {
        return None;
    }
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// Not a line of this format.
    #[error("it is not a line of an audit log")]
    Frame,
    /// Its bytes are not those that its hash was taken of.
    #[error("its content was changed: the hash does not match")]
    Hash,
    /// It does not follow the record before it.
    #[error("it does not follow the record before it: something was changed, removed or inserted")]
    Link,
    /// Its number does not follow that of the record before it.
    #[error("its number does not follow that of the record before it")]
    Number,
    /// The first line of the file is neither number 1 nor a `chain.recovered`.
    #[error("the log does not begin here: earlier records are missing")]
    Beginning,
    /// The file ends within it.
    #[error("the file ends within it")]
    Torn,
    /// The line is longer than [`MAX_LINE`].
    #[error("it is longer than any record")]
    TooLong,
    /// Its hash is right but it is no record of this program.
    #[error("its content is no record")]
    Content,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Event;
    use crate::json::Object;

    fn line(event: &Event<'_>) -> Vec<u8> {
        let mut line = Vec::new();
        begin_line(&mut line, 1_234, Hash([7; 32]));
        Object::go_on(&mut line, |line| event.write(line));
        finish_line(&mut line, Hash([7; 32]));
        line
    }

    #[test]
    fn every_kind_is_found_in_its_line_and_nothing_that_was_said_passes_for_one() {
        let time = "2026-03-10T12:00:00.123456Z".parse().unwrap();
        for wanted in Kind::ALL {
            let said = r#"","event":"lock"#;
            let event =
                Event { id: Some(said.into()), message: Some(said.into()), ..Event::new(*wanted, time) };
            assert_eq!(kind(&line(&event)), Some(*wanted));
        }
        let text = String::from_utf8(line(&Event::new(Kind::Lock, time))).unwrap();
        assert_eq!(kind(text.replacen("lock", "of.later", 1).as_bytes()), Some(Kind::Unknown));
        for end in 0..text.find("lock").unwrap() {
            assert_eq!(kind(&text.as_bytes()[..end]), None);
        }
        assert_eq!(kind(text.replacen("\"time\"", "\"x\"", 1).as_bytes()), None);
    }
}
