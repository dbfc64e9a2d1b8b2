//! Where the programs under test are: beside the test executables.

use std::path::{Path, PathBuf};

/// A program of this workspace: beside the test executables, or in the directory that `E2E_PROGRAMS` names (to test
/// programs that were built elsewhere, such as a release).
///
/// # Panics
/// When it has not been built.
pub fn program(name: &str) -> PathBuf {
    let directory = std::env::var_os("E2E_PROGRAMS").map_or_else(beside_this, PathBuf::from);
    let path = directory.join(name);
    assert!(
        path.is_file(),
        "{} is missing: build the programs first, with `cargo build --workspace --bins`",
        path.display()
    );
    path
}

/// A command for a program, in a clean environment: `cargo` gives tests an `LD_LIBRARY_PATH`, which lowers the assurance
/// of whoever inherits it.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> std::process::Command {
    let mut command = std::process::Command::new(program);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command
}

fn beside_this() -> PathBuf {
    let mut directory = std::env::current_exe().unwrap();
    directory.pop();
    if directory.ends_with("deps") {
        directory.pop();
    }
    directory
}

/// The real Python interpreter (not a launcher script that stands in for it), if there is one.
pub fn python() -> Option<PathBuf> {
    Path::new("/usr/bin/python3").canonicalize().ok()
}

/// The directory that holds what is built, `target` unless cargo was told otherwise.
pub fn target() -> PathBuf {
    beside_this().parent().unwrap().to_owned()
}

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
