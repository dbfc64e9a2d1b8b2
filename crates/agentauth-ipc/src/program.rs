//! What is known of the program on the other end, where there is no `/proc`: plain data, the same on macOS and Windows.

use std::path::PathBuf;

/// The program that a process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Process id.
    pub pid: u32,
    /// Where its file is, as the system names it.
    pub path: PathBuf,
    /// What tells this run of the process from every other one under the same number: on Windows when it was created, in
    /// units of 100 ns since 1601; on macOS the version that each `exec` counts up.
    pub run: u64,
}

/// What the system says of the signature over a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// It is whole, and by whom the system's own rules want it to be.
    Valid {
        /// Who signed: the name in the certificate; on macOS the requirement that was asked for and holds.
        signer: String,
    },
    /// There is none, or it is broken, or its signer is not trusted.
    Invalid {
        /// The system's number for why.
        status: i32,
    },
}
