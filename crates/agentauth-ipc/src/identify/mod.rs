//! What the kernel knows of a caller: facts, gathered once per connection, judged elsewhere.
//!
//! Identification is a port ([`Identify`]), since a daemon without the needed rights lets another process do it. The
//! real one reads `/proc` ([`ProcIdentifier`]), the other is for tests ([`FakeIdentifier`]); one contract test runs
//! against both.

mod control_group;
mod environment;
mod facts;
mod fake;
mod person;
mod process;
mod script;
mod stat;

pub(crate) mod proc;

pub use environment::loads_code;
pub use facts::{
    AncestryEnd, ControlGroup, ControlGroupLevel, ExecutableFacts, FileId, Identity, ProcessFacts,
    ScriptFacts,
};
pub use fake::FakeIdentifier;
pub use person::{Hop, LogindRecord, PersonProbe};
pub use process::ProcIdentifier;

use std::io;

use crate::peer::Peer;
use proc::ProcError;

/// The question "who is this?".
pub trait Identify: Send + Sync {
    /// Gathers what is known of the peer and its ancestors. A few dozen microseconds of reading `/proc`.
    ///
    /// # Errors
    /// See [`IdentifyError`]. Facts that are hidden from us are `None`, not errors.
    fn identify(&self, peer: &Peer) -> Result<Identity, IdentifyError>;

    /// The control group of a process that was identified; `None` when it is hidden from us, or another process has its
    /// number by now. Asked for only where a registration names a control group.
    fn control_group(&self, process: &ProcessFacts) -> Option<ControlGroup>;

    /// Gathers the further facts by which a person's own process is recognised. For persons' operations only, as it
    /// costs several times as much.
    ///
    /// # Errors
    /// See [`IdentifyError`].
    fn probe_person(&self, peer: &Peer) -> Result<PersonProbe, IdentifyError>;
}

/// Why a caller is not identified.
#[derive(Debug, thiserror::Error)]
pub enum IdentifyError {
    /// It exited.
    #[error("the calling process {pid} is gone")]
    Gone {
        /// Its process id.
        pid: u32,
    },
    /// It became another program while it was being looked at.
    #[error("the calling process {pid} changed its program while it was being identified; connect again")]
    Changed {
        /// Its process id.
        pid: u32,
    },
    /// The kernel said something that cannot be read.
    #[error("`/proc/{pid}/{file}` has an unknown form")]
    Form {
        /// Whose file.
        pid: u32,
        /// Which file.
        file: &'static str,
    },
    /// The caller's entry cannot be read.
    #[error("cannot read `{file}` of the calling process {pid}; is `/proc` mounted with `hidepid`?")]
    Read {
        /// Whose file.
        pid: u32,
        /// Which file.
        file: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// `/proc` itself cannot be used.
    #[error("cannot use `/proc`, without which no caller can be identified")]
    NoProc {
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl IdentifyError {
    fn of(pid: u32, file: &'static str, error: ProcError) -> Self {
        match error {
            ProcError::Gone => Self::Gone { pid },
            ProcError::Denied => Self::Read { pid, file, source: io::ErrorKind::PermissionDenied.into() },
            ProcError::TooLong => Self::Form { pid, file },
            ProcError::Io(source) => Self::Read { pid, file, source },
        }
    }
}
