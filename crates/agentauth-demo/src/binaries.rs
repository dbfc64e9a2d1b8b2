//! Finding, and where needed building, the programs that take part.

use std::io;
use std::path::PathBuf;
use std::process::Command;

/// Why a program is not there.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// The path of this program is unknown.
    #[error("cannot tell where this program is, so its neighbours cannot be found")]
    Own(#[source] io::Error),
    /// Cargo could not be started.
    #[error(
        "cannot start `{cargo}` to build what takes part; build it with `cargo build --workspace --bins`"
    )]
    Cargo {
        /// What was started.
        cargo: String,
        /// Why that failed.
        #[source]
        cause: io::Error,
    },
    /// Cargo could not build it.
    #[error("building what takes part failed; what the compiler said stands above")]
    Build,
    /// It was built, but is not where it should be.
    #[error("there is no program `{}`; build it with `cargo build --workspace --bins`", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
}

/// The daemon that belongs to this program: beside it, in the same build profile. Under `cargo run` it is built first,
/// so that it is never older than the sources.
///
/// # Errors
/// When it cannot be built or found.
pub fn daemon() -> Result<PathBuf, BinaryError> {
    built("agentauthd", &["--package", "agentauthd"])
}

/// The sample payment agent, likewise.
///
/// # Errors
/// When it cannot be built or found.
pub fn agent() -> Result<PathBuf, BinaryError> {
    built("payment-agent", &["--package", "agentauth-demo", "--bin", "payment-agent"])
}

fn built(name: &str, what: &[&str]) -> Result<PathBuf, BinaryError> {
    let path = neighbour(name)?;
    if let Some(cargo) = run_by_cargo() {
        let mut build = program(&cargo);
        build.arg("build").args(what).current_dir(env!("CARGO_MANIFEST_DIR"));
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let status = build.status().map_err(|cause| BinaryError::Cargo { cargo, cause })?;
        if !status.success() {
            return Err(BinaryError::Build);
        }
    }
    if path.is_file() { Ok(path) } else { Err(BinaryError::Missing { path }) }
}

/// A program in the same directory as this one.
///
/// # Errors
/// When the path of this program is unknown.
pub fn neighbour(name: &str) -> Result<PathBuf, BinaryError> {
    let own = std::env::current_exe().map_err(BinaryError::Own)?;
    Ok(own.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}

/// A command for this program.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the one place of the demonstration that starts programs")]
pub fn program(name: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(name)
}

/// The Cargo that runs this program, if one does.
#[allow(clippy::disallowed_methods, reason = "`cargo run` says in the environment which Cargo it is")]
fn run_by_cargo() -> Option<String> {
    std::env::var("CARGO").ok()
}
