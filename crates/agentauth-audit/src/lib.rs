//! The hash-chained record of what agentauthd decided and did.
//!
//! # Format
//!
//! `audit.jsonl`: one JSON object per line, UTF-8, each line ended by one LF. A line is, byte for byte,
//!
//! ```text
//! {"seq":N,"prev":"H(n-1)","time":"…","event":"…", … ,"hash":"H(n)"}
//! ```
//!
//! with `seq` counting from 1 and both hashes as 64 lower-case hexadecimal digits. The *record bytes* are the line up
//! to and without its last 75 bytes, which are `,"hash":"`, the digits and `"}`. Then
//!
//! ```text
//! H(0) = 32 zero bytes
//! H(n) = SHA-256( 0x01 || H(n-1) || length of the record bytes (8 bytes, big-endian) || record bytes )
//! ```
//!
//! The hash is over the stored bytes: nothing is serialised again to check it. `tests/vectors/` has a log and its
//! hashes for other languages. A file begins with `seq` 1, or, where its forerunner was lost or set aside, with a
//! `chain.recovered` record that goes on counting.
//!
//! What the chain shows: an edit, insertion or removal anywhere but at the very end. What it cannot show by itself:
//! that the last lines are missing, or that all of it was written anew. For these keep [`AuditLog::head`] elsewhere
//! and compare.
//!
//! Invariants:
//! - An append returns after the one `write(2)` of the whole line, or fails and leaves the file as it was.
//! - Nothing that was ever in the log is deleted here; what does not fit the chain is set aside next to it.
//! - Control, bidirectional and invisible characters are written as JSON escapes: a log on a terminal is only text.

#![forbid(unsafe_code)]

mod chain;
mod event;
pub mod export;
mod json;
mod log;
mod place;
mod read;
mod tail;
mod trail;

pub use chain::{Flaw, Hash, MAX_LINE};
pub use event::{Actor, Event, Kind, Text, Verdict};
pub use log::{Appended, AuditError, AuditLog};
pub use read::{Entry, Reader, Standing, Verified, VerifyError, replay, verify};
pub use trail::{Entries, Trail};
