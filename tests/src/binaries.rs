//! Where the programs under test are: beside the test executables.

use std::path::PathBuf;

/// A program of this workspace.
///
/// # Panics
/// When it has not been built.
pub fn program(name: &str) -> PathBuf {
    let mut directory = std::env::current_exe().unwrap();
    directory.pop();
    if directory.ends_with("deps") {
        directory.pop();
    }
    let path = directory.join(name);
    assert!(
        path.is_file(),
        "{} is missing: build the programs first, with `cargo build --workspace --bins`",
        path.display()
    );
    path
}

/// The real Python interpreter (not a launcher script that stands in for it), if there is one.
pub fn python() -> Option<PathBuf> {
    agentauth_demo::binaries::python()
}

/// The root of the checkout.
pub fn root() -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
