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
//! hashes for other languages.
//!
//! The record is a row of files ([`Trail`]): closed ones, perhaps compressed or deleted down to a stub, and the one that is
//! written to. A file begins with `seq` 1, with `chain.continued` where it goes on with the file before, or with
//! `chain.recovered` where its forerunner was lost or set aside.
//!
//! What the chain shows: an edit, insertion or removal anywhere but at the very end. What it cannot show by itself:
//! that the last lines are missing, or that all of it was written anew. For these there are checkpoints, signed and kept
//! elsewhere ([`SigningKey`], [`verify_trail`]).
//!
//! Invariants:
//! - An append returns after the one `write(2)` of the whole line, or fails and leaves the file as it was.
//! - What does not fit the chain is set aside next to it, never deleted; files are deleted only by
//!   [`AuditLog::retain`], which leaves stubs.
//! - Control, bidirectional and invisible characters are written as JSON escapes: a log on a terminal is only text.

#![forbid(unsafe_code)]

mod carried;
mod chain;
mod event;
pub mod export;
mod files;
#[cfg(unix)]
mod fold;
mod json;
mod keep;
mod log;
mod note;
mod place;
mod read;
mod replay;
mod rotate;
mod source;
mod tail;
mod trail;
mod verify;
mod writer;

pub use carried::carried;
pub use chain::{Flaw, Hash, MAX_LINE};
pub use event::{Actor, Event, Kind, Text, Verdict};
pub use files::{Closed, Form, Stub};
#[cfg(unix)]
pub use fold::{Folding, Terms};
pub use keep::{Holdings, KeepError, Retention};
pub use log::{Appended, AuditError, AuditLog};
pub use note::{Checkpoint, NoteError, SignedCheckpoint, SigningKey, VerifyingKey};
pub use read::{Entry, Reader, VerifyError};
pub use replay::{Replay, Replayed, Standing};
pub use trail::{Entries, Trail};
pub use verify::{Damage, DamageKind, Loss, Trust, Verified, VerifyFailure, verify_trail};
