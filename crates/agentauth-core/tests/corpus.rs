//! The fuzzers' corpus, replayed on every run: each input that ever reached a new corner goes through the same readers
//! and the same properties as under the fuzzer. The published examples go the same way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

#[path = "../fuzz/properties.rs"]
mod properties;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Below this many inputs a corpus was lost, not tidied.
const FEWEST: usize = 25;
/// What a corpus may take up in the repository.
const MOST_FILES: usize = 400;
const MOST_BYTES: u64 = 300 * 1024;

fn inputs(folder: &Path) -> Vec<PathBuf> {
    let mut inputs: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    inputs.sort();
    inputs
}

fn replay(input: &Path, run: fn(&[u8])) {
    let content = std::fs::read(input).unwrap();
    let outcome = catch_unwind(AssertUnwindSafe(|| run(&content)));
    assert!(outcome.is_ok(), "{} violates a property", input.display());
}

fn replay_corpus(target: &str, run: fn(&[u8])) {
    let inputs = inputs(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target));
    assert!((FEWEST..=MOST_FILES).contains(&inputs.len()), "{target}: {} inputs", inputs.len());
    let bytes: u64 = inputs.iter().map(|input| input.metadata().unwrap().len()).sum();
    assert!(bytes <= MOST_BYTES, "{target}: {bytes} bytes");
    inputs.iter().for_each(|input| replay(input, run));
}

#[test]
fn scopes() {
    replay_corpus("scope", properties::scope);
}

#[test]
fn manifests() {
    replay_corpus("manifest", properties::manifest);
    for kind in ["good", "bad"] {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/manifest-examples").join(kind);
        inputs(&examples).iter().for_each(|input| replay(input, properties::manifest));
    }
}
