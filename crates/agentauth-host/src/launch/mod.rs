//! Starting a program so that whatever comes of it stays below this process, bears a mark that it cannot take off, and
//! is confined.
//!
//! Three steps, in two processes. The launcher makes itself the one that collects orphans ([`tree::stay_above`]). It
//! starts its own executable anew ([`start`]), which marks and confines itself and then becomes the program
//! ([`become_program`]): nothing needs to be done between `fork` and `exec`, where no safe code can run.
//!
//! On systems without the kernel's part of it, each function says so.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[cfg(target_os = "linux")]
mod covers;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub mod tree;
#[cfg(target_os = "linux")]
mod walls;

#[cfg(target_os = "linux")]
pub use linux::{become_program, can_confine, rehearse, sees_connections, start, try_covers};

/// What is done to the process that becomes the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// The launcher: without it the process ends.
    pub launcher: u32,
    /// What is kept from it; absent, nothing.
    pub walls: Option<Walls>,
}

/// What a program may reach. Directories stand for everything below them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walls {
    /// What it can neither read, write nor run, though it may see the names.
    pub hidden: Vec<PathBuf>,
    /// Where it may use files at all; absent, everywhere.
    pub only: Option<Vec<Opening>>,
    /// The Unix sockets that it may connect to although they are none of its own, where the kernel can tell.
    pub sockets: Vec<PathBuf>,
    /// What is laid over other sockets, where the kernel cannot tell; absent, nothing.
    pub covers: Option<Covers>,
}

/// What is covered in namespaces of the program's own, so that no socket there can be connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covers {
    /// Directories that are empty to it. The user's sockets elsewhere are covered one by one.
    pub directories: Vec<PathBuf>,
    /// Sockets, and directories with sockets, that stay.
    pub kept: Vec<PathBuf>,
}

/// A place where a program may do something with files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub access: Vec<Use>,
}

/// What is done with files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Use {
    /// Read them, list directories.
    Read,
    /// Create and change them.
    Write,
    /// Remove them.
    Remove,
    /// Run them.
    Run,
    /// Everything that the system lets the user do.
    All,
}

/// A program with what it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The file, by its absolute path.
    pub executable: PathBuf,
    /// Its arguments, after its name.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
}

/// Why a program is not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// Another system, or a kernel without what is needed.
    #[error("this system cannot keep a program below its launcher: agents are started so on Linux only")]
    NotHere,
    /// The kernel has no Landlock, or it is switched off.
    #[error(
        "this kernel cannot confine programs (Landlock is missing or not among its `lsm=` modules): switch it on, or \
         start the agent without confinement, with `--no-confine --reauth`"
    )]
    NoConfinement,
    /// The system lets the user have no namespaces.
    #[error(
        "this system does not let you have namespaces of your own, so sockets with a path cannot be kept from the \
         program: {0}"
    )]
    NoCovers(String),
    /// A step failed.
    #[error("could not {step}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// What the system said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The program itself could not be run.
    #[error("could not run `{}`", executable.display())]
    Run {
        /// The program.
        executable: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The launcher ended before the program began.
    #[error("the launcher has ended, so the program is not started")]
    LauncherGone,
}

impl LaunchError {
    #[cfg(target_os = "linux")]
    fn step<E: Into<Box<dyn std::error::Error + Send + Sync>>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Step { step, source: source.into() }
    }
}

/// Starts the launcher's own executable anew, to become the program: it must hand `take_over`, its command line, to
/// [`become_program`]. Standard input, output and error are this process's.
///
/// # Errors
/// [`LaunchError::NotHere`].
#[cfg(not(target_os = "linux"))]
pub fn start(_program: &Program, _take_over: &[OsString]) -> Result<u32, LaunchError> {
    Err(LaunchError::NotHere)
}

/// Marks and confines this process, and becomes the program. Returns only when that fails.
#[cfg(not(target_os = "linux"))]
pub fn become_program(_marks: &Marks, _executable: &std::path::Path, _arguments: &[OsString]) -> LaunchError {
    LaunchError::NotHere
}

/// Whether the kernel looks at connections to sockets that have a path.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn sees_connections() -> bool {
    false
}

/// Lays covers in this process, to see whether that can be done here.
///
/// # Errors
/// [`LaunchError::NotHere`].
#[cfg(not(target_os = "linux"))]
pub fn rehearse(_covers: &Covers) -> Result<(), LaunchError> {
    Err(LaunchError::NotHere)
}

/// Starts the launcher's own executable anew, to try the covers.
///
/// # Errors
/// [`LaunchError::NotHere`].
#[cfg(not(target_os = "linux"))]
pub fn try_covers(_rehearsal: &[OsString]) -> Result<(), LaunchError> {
    Err(LaunchError::NotHere)
}

/// Whether the kernel can confine.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn can_confine() -> bool {
    false
}
