//! Exit codes, which scripts rely on.

use std::process::ExitCode;

/// With what the program exits. Closed: no other code is ever used, but that of a program which `exec` started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or allowed.
    Done,
    /// It did not work.
    Error,
    /// The decision was deny; `agent lint` found something, `agent diff` a widening, or `policy check --manifest` a scope that
    /// is denied.
    Deny,
    /// The daemon cannot be reached.
    Unreachable,
    /// The command line makes no sense (`EX_USAGE` of sysexits.h).
    Usage,
    /// As the program did that `exec` started.
    Program(u8),
}

impl Exit {
    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Deny => 2,
            Self::Unreachable => 3,
            Self::Usage => 64,
            Self::Program(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
